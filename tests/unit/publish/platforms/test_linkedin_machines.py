"""LinkedIn: what a step asks and what answers mean, without a network, and every path (``linkedin.md`` 4, 5 and 11)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import Request, Response
from publish.oauth.contract import App
from publish.platforms.linkedin_machines import (
    PLATFORM,
    ask_finish,
    ask_look,
    ask_publish,
    ask_send,
    kind_of,
    read_begin,
    read_finish,
    read_look,
    read_publish,
    read_send,
    read_status,
    read_verify,
)
from publish.posting import decision
from publish.posting.contract import (
    Doubt,
    Failed,
    Go,
    Hold,
    Job,
    Machine,
    Media,
    Published,
    TokenRefused,
    Unknown,
    Verdict,
    Wait,
)
from schema.states import TargetState
from tests.exploration import EPOCH, Explorer, ViolationError

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
APP = App("client", "secret", "https://example.org/callback", {"api": "https://api.li.example"})
JOB = Job(
    id="t1",
    kind="text",
    app=APP,
    account_id="1000",
    text="Tea (hot)",
    secrets={"access_token": "token"},
    profile={"owner": "organization"},
    now=NOON,
    step_since=NOON - timedelta(seconds=400),
    intent_at=NOON - timedelta(seconds=410),
    kept={"looks": 2},
)
MEMBER = replace(JOB, profile={}, account_id="aLiCe")
PICTURE = Media("p1", "image/jpeg", 1000, 640, 640, alt_text="a cup")
FILM = Media("v1", "video/mp4", 100_000, 640, 640, 5.0)
URN = "urn:li:image:1"
WITH_FILE = replace(JOB, kind="image", media=[PICTURE], kept={"looks": 2, "urns": [URN]})
DUPLICATE = Response(
    422,
    {
        "message": "Content is a duplicate of urn:li:share:77",
        "errorDetails": {"inputErrors": [{"code": "DUPLICATE_POST"}]},
        "status": 422,
    },
)


def error(status: int, code: str = "") -> Response:
    return Response(status, {"status": status, "message": "no", "code": code})


def post(**more: Any) -> dict[str, Any]:
    made = {"id": "urn:li:share:1", "commentary": r"Tea \(hot\)", "createdAt": int(NOON.timestamp() * 1000)}
    return {**made, "lifecycleState": "PUBLISHED", **more}


def listed(*posts: dict[str, Any]) -> Response:
    return Response(200, {"elements": list(posts), "paging": {"start": 0, "count": 50, "links": []}})


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (Response(201, None, {"x-restli-id": "urn:li:share:1"}), Published),
        (Response(201, None), Unknown),
        (DUPLICATE, Unknown),
        (error(409), Unknown),
        (error(500), Unknown),
        (error(504), Unknown),
        (error(422, "FIELD_INVALID"), Unknown),
        (error(429), Hold),
        (error(401), TokenRefused),
        (error(403), Failed),
        (error(400), Failed),
        (error(426, "NONEXISTENT_VERSION"), Failed),
        (error(400, "MEDIA_ASSET_WAITING_UPLOAD"), Go),
        (error(400, "MEDIA_ASSET_PROCESSING_FAILED"), Failed),
    ],
)
def test_answer_to_a_post(response: Response, expected: type[Verdict]) -> None:
    assert isinstance(read_publish(JOB, response), expected)


def test_refused_repeat_keeps_the_post_that_it_names() -> None:
    assert read_publish(JOB, DUPLICATE).keep == {"refused": True, "named": "urn:li:share:77"}


def test_calls_have_their_headers_and_encoded_urns() -> None:
    request = ask_look(JOB)
    assert request.url == (
        "https://api.li.example/rest/posts?q=author&author=urn%3Ali%3Aorganization%3A1000&start=0&count=50&sortBy=CREATED"
    )
    assert request.headers == {
        "Authorization": "Bearer token",
        "Linkedin-Version": "202609",
        "X-Restli-Protocol-Version": "2.0.0",
        "X-RestLi-Method": "FINDER",
    }


def test_author_is_the_member_or_the_organization() -> None:
    for job, author in ((MEMBER, "urn:li:person:aLiCe"), (JOB, "urn:li:organization:1000")):
        body = ask_publish(job).json
        assert isinstance(body, dict)
        assert (body["author"], body["commentary"]) == (author, r"Tea \(hot\)")
        assert "content" not in body


@pytest.mark.parametrize("status", [400, 403])
def test_member_is_asked_with_what_a_refusal_named(status: int) -> None:
    job = replace(MEMBER, kept={"refused": True, "named": "urn:li:share:77", "doubt": "it is a repeat"})
    verdict = read_look(job, error(status))
    assert isinstance(verdict, Doubt)
    assert verdict.evidence == [
        "it is a repeat",
        "LinkedIn says that it repeats https://www.linkedin.com/feed/update/urn:li:share:77/, which need not exist",
        "https://www.linkedin.com/in/me/recent-activity/all/",
    ]


def test_organization_whose_posts_may_not_be_read_is_a_question_too() -> None:
    verdict = read_look(JOB, error(403))
    assert isinstance(verdict, Doubt)
    assert verdict.evidence == ["https://www.linkedin.com/company/1000/"]


def test_text_is_recognised_without_its_escapes() -> None:
    verdict = read_look(JOB, listed(post()))
    assert verdict == Published("urn:li:share:1", "https://www.linkedin.com/feed/update/urn:li:share:1/")


@pytest.mark.parametrize(
    "other",
    [
        post(commentary="Tea"),
        post(createdAt=int(NOON.timestamp() * 1000) - 3_600_000),
        post(content={"media": {"id": URN}}),
        post(content={"article": {"source": "https://example.org"}}),
        post(content={"poll": {"question": "Which?"}}),
        post(reshareContext={"parent": "urn:li:share:5"}),
        post(id="urn:li:share:7"),
    ],
)
def test_other_posts_are_not_taken_for_it_and_a_text_is_not_sent_again(other: dict[str, Any]) -> None:
    job = replace(JOB, bound=frozenset(["urn:li:share:7"]))
    assert isinstance(read_look(job, listed(other)), Doubt)
    assert isinstance(read_look(replace(job, kept={}), listed(other)), Wait)


def test_files_tell_a_post_and_one_that_is_not_there_is_sent_once_more() -> None:
    ours, theirs = post(content={"media": {"id": URN}}, commentary=""), post(id="urn:li:share:2")
    assert read_look(WITH_FILE, listed(theirs, ours)) == Go("verify", keep={"urn": "urn:li:share:1"})
    assert read_look(WITH_FILE, listed(theirs)) == Go("publish", keep={"sent_again": True})
    for more in ({"sent_again": True}, {"refused": True}, {"urns": []}):
        job = replace(WITH_FILE, kept={**WITH_FILE.kept, **more})
        assert isinstance(read_look(job, listed()), Doubt)


def test_video_is_sent_in_the_parts_that_are_named_without_the_token() -> None:
    job = replace(JOB, kind="video", media=[FILM], kept={})
    parts = [
        {"uploadUrl": "https://up.example/1", "firstByte": 0, "lastByte": 59_999},
        {"uploadUrl": "https://up.example/2", "firstByte": 60_000, "lastByte": 99_999},
    ]
    value = {"video": "urn:li:video:1", "uploadToken": "t", "uploadInstructions": parts}
    begun = read_begin(job, Response(200, {"value": value}))
    job = replace(job, kept=begun.keep, sealed=begun.seal)
    for number, (tag, step) in enumerate((('"a"', "send"), ('"b"', "finish"))):
        request = ask_send(job)
        assert "Authorization" not in request.headers
        assert request.content is not None
        assert (request.content.offset, request.content.length) == ((0, 60_000), (60_000, 40_000))[number]
        sent = read_send(job, Response(200, None, {"etag": tag}))
        assert isinstance(sent, Go)
        assert sent.step == step
        job = replace(job, kept={**job.kept, **sent.keep})
    request = {"video": "urn:li:video:1", "uploadToken": "t", "uploadedPartIds": ["a", "b"]}
    assert ask_finish(job).json == {"finalizeUploadRequest": request}
    refused = read_finish(job, error(422))
    assert refused == Go("finish", keep={"quoted": True})
    job = replace(job, kept={**job.kept, **refused.keep})
    assert ask_finish(job).json == {"finalizeUploadRequest": {**request, "uploadedPartIds": ['"a"', '"b"']}}
    assert isinstance(read_send(job, Response(200, None)), Unknown), "a part without a name cannot be put together"


def test_instructions_with_a_gap_are_not_followed() -> None:
    job = replace(JOB, kind="video", media=[FILM], kept={})
    parts = [{"uploadUrl": "https://up.example/1", "firstByte": 0, "lastByte": 99_998}]
    with pytest.raises(ValueError, match="99999 bytes"):
        read_begin(job, Response(200, {"value": {"video": "urn:li:video:1", "uploadInstructions": parts}}))


def test_state_of_a_file() -> None:
    job = replace(WITH_FILE, step_since=NOON)
    assert read_status(job, error(403)) == Go("publish", 15.0, keep={"unverified": True})
    assert read_status(job, Response(200, {"status": "AVAILABLE"})) == Go("publish", keep={"ready": 1})
    assert isinstance(read_status(job, Response(200, {"status": "WAITING_UPLOAD"})), Wait)
    late = replace(job, step_since=NOON - timedelta(seconds=130))
    assert isinstance(read_status(late, Response(200, {"status": "WAITING_UPLOAD"})), Go)
    third = replace(job, kept={**job.kept, "again": 2})
    assert isinstance(read_status(third, Response(200, {"status": "PROCESSING_FAILED"})), Failed)


def test_what_was_accepted_is_read_back() -> None:
    job = replace(WITH_FILE, kept={"urn": "urn:li:share:1"}, step_since=NOON)
    assert isinstance(read_verify(job, error(403)), Published)
    assert isinstance(read_verify(job, Response(200, {"lifecycleState": "PUBLISHED"})), Published)
    assert isinstance(read_verify(job, Response(200, {"lifecycleState": "PUBLISH_REQUESTED"})), Wait)
    assert isinstance(read_verify(job, Response(200, {"lifecycleState": "PUBLISH_FAILED"})), Failed)
    assert isinstance(read_verify(job, error(404)), Wait)
    assert isinstance(read_verify(replace(job, step_since=NOON - timedelta(hours=1)), error(404)), Doubt)


def test_kind_follows_from_what_is_attached() -> None:
    paper = replace(PICTURE, content_type="application/pdf")
    assert kind_of([], {}, {}) == "text"
    assert kind_of([], {"poll": {"question": "Which?"}}, {}) == "poll"
    assert kind_of([PICTURE], {}, {"url": "https://example.org"}) == "article"
    assert (kind_of([PICTURE], {}, {}), kind_of([PICTURE, PICTURE], {}, {})) == ("image", "multi_image")
    assert (kind_of([FILM], {}, {}), kind_of([paper], {}, {})) == ("video", "document")


# --- every path


@dataclass(frozen=True, slots=True)
class Account:
    """``files`` counts uploads; ``posts`` has the content of each post and its time."""

    files: int = 0
    posts: tuple[tuple[str, float], ...] = ()


class LinkedInModel:
    """``linkedin.md`` 4, 5 and 11: a repeat is refused, and the list lags."""

    def __init__(self, lag: float, *, organization: bool) -> None:
        self.lag, self.organization = lag, organization

    def respond(self, platform: Account, request: Request, now: float) -> tuple[Account, Response]:
        path = request.url.removeprefix("https://api.li.example")
        if path.endswith("action=initializeUpload"):
            value = {"image": f"urn:li:image:{platform.files}", "uploadUrl": "https://up.example/1"}
            return replace(platform, files=platform.files + 1), Response(200, {"value": value})
        if request.method == "PUT":
            return platform, Response(201, None)
        if request.method == "GET":
            return platform, self._read(platform, path, now) if self.organization else error(403)
        assert isinstance(request.json, dict)
        content = str(request.json.get("content", {}).get("media", {}).get("id") or "")
        if any(made == content for made, _ in platform.posts):
            return platform, DUPLICATE
        made = replace(platform, posts=(*platform.posts, (content, now)))
        return made, Response(201, None, {"x-restli-id": f"urn:li:share:{len(platform.posts)}"})

    def _read(self, platform: Account, path: str, now: float) -> Response:
        if path.startswith("/rest/images/"):
            return Response(200, {"status": "AVAILABLE"})
        if path.startswith("/rest/posts?"):
            shown = [number for number, (_, at) in enumerate(platform.posts) if at + self.lag <= now]
            return listed(*[self._shown(platform, number) for number in shown])
        return Response(200, self._shown(platform, int(path.partition("?")[0][-1])))

    def _shown(self, platform: Account, number: int) -> dict[str, Any]:
        content, at = platform.posts[number]
        made = int((EPOCH + timedelta(seconds=at)).timestamp() * 1000)
        media = {"content": {"media": {"id": content}}} if content else {}
        return post(id=f"urn:li:share:{number}", createdAt=made, **media)

    def visible(self, platform: Account) -> int:
        return len(platform.posts)

    def choices(self, platform: Account) -> Iterator[Account]:
        return iter(())


@pytest.fixture
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "RETRIES", RetryPolicy((10, 60), jitter=0.0))


def explored(kind: str, *, organization: bool, lag: float, machine: Machine | None = None) -> dict[str, int]:
    job = replace(JOB if organization else MEMBER, kept={}, intent_at=None, kind=kind)
    job = replace(job, media=[PICTURE]) if kind == "image" else job
    model = LinkedInModel(lag, organization=organization)
    return dict(Explorer(machine or PLATFORM.machines[kind], model, job).explore(Account()))


@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.parametrize("lag", [200, 900])
@pytest.mark.parametrize("organization", [True, False])
@pytest.mark.parametrize("kind", ["text", "image"])
def test_no_path_posts_twice_or_ends_without_a_word(kind: str, organization: bool, lag: float) -> None:  # noqa: FBT001
    found = explored(kind, organization=organization, lag=lag)
    assert found["values"] > 100
    assert found[TargetState.PUBLISHED] > 0
    assert found[TargetState.UNCONFIRMED] > 0
    assert TargetState.FAILED not in found


@pytest.mark.usefixtures("_no_jitter")
def test_explorer_finds_an_upload_that_is_made_anew_after_an_unknown_outcome() -> None:
    steps = dict(PLATFORM.machines["image"].steps)
    steps["look"] = replace(steps["look"], read=lambda job, response: Go("begin", keep={"urns": []}))
    steps["look"] = replace(steps["look"], leads_to=("begin", "publish", "verify"))
    with pytest.raises(ViolationError, match="2 posts are visible"):
        explored("image", organization=True, lag=0, machine=Machine("image", "Image", steps, "begin"))
