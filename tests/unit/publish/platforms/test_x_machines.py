"""X: what a step asks and what answers mean, without a network (``x.md`` 4, 5 and 12)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import Request, Response
from publish.oauth.contract import App
from publish.platforms.x_machines import (
    PLATFORM,
    ask_look,
    ask_publish,
    kind_of,
    read_initialize,
    read_look,
    read_publish,
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
    Retry,
    TokenRefused,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT
from schema.states import TargetState
from tests.exploration import EPOCH, Explorer, ViolationError

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
APP = App("client", "secret", "https://example.org/callback", {"api": "https://api.x.example"})
JOB = Job(
    id="t1",
    kind="text",
    app=APP,
    account_id="17",
    username="shop",
    text="Tea",
    secrets={"access_token": "token"},
    now=NOON,
    step_since=NOON - timedelta(seconds=200),
    intent_at=NOON - timedelta(seconds=210),
)
PICTURE = Media("p1", "image/jpeg", 1000, 640, 640, alt_text="a cup")
WITH_FILE = replace(JOB, kind="images", media=[PICTURE], kept={"media_ids": ["9"], "media_keys": ["3_9"], "looks": 2})


def problem(status: int, detail: str, kind: str = "about:blank") -> Response:
    return Response(status, {"type": kind, "title": "Problem", "detail": detail, "status": status})


DUPLICATE = problem(403, "You are not allowed to create a Tweet with duplicate content.")
LEGACY = Response(403, {"errors": [{"code": 187, "message": "Status is a duplicate."}]})


def tweet(**more: Any) -> dict[str, Any]:
    return {"id": "1", "text": "Tea", "created_at": NOON.isoformat(), **more}


def listed(*posts: dict[str, Any], **meta: Any) -> Response:
    return Response(200, {"data": list(posts), "meta": {"result_count": len(posts), **meta}})


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (Response(201, {"data": {"id": "1", "text": "Tea"}}), Published),
        (Response(201, {"data": {"id": "1"}, "errors": [{"title": "a warning"}]}), Published),
        (Response(201, {"errors": [{"title": "x"}]}), Unknown),
        (Response(201, {}), Unknown),
        (DUPLICATE, Unknown),
        (LEGACY, Unknown),
        (Response(503, None), Unknown),
        (Response(429, None), Unknown),
        (problem(429, "Too Many Requests", "https://api.x.com/2/problems/rate-limit-exceeded"), Hold),
        (problem(429, "Usage cap", "https://api.x.com/2/problems/usage-capped"), Hold),
        (problem(401, "Unauthorized"), TokenRefused),
        (problem(402, "no credits"), Failed),
        (problem(403, "You are not permitted to perform this action."), Failed),
        (problem(400, "too long", "https://api.x.com/2/problems/invalid-request"), Failed),
    ],
)
def test_answer_to_a_post(response: Response, expected: type[Verdict]) -> None:
    assert isinstance(read_publish(JOB, response), expected)


@pytest.mark.parametrize("response", [DUPLICATE, LEGACY])
def test_refused_repeat_is_remembered_and_widens_the_look_to_a_day(response: Response) -> None:
    verdict = read_publish(JOB, response)
    assert verdict.keep == {"duplicate": True}
    assert ask_look(JOB).query["start_time"] == "2026-11-28T11:54:30Z"
    assert ask_look(replace(JOB, kept=verdict.keep)).query["start_time"] == "2026-11-27T12:00:00Z"


def test_answers_are_listed_only_where_the_post_is_one() -> None:
    assert ask_look(JOB).query["exclude"] == "retweets,replies"
    assert ask_look(replace(JOB, parent_id="5")).query["exclude"] == "retweets"


def test_refused_answer_stops_the_thread_and_a_parent_of_seconds_ago_is_waited_for() -> None:
    reply = replace(JOB, parent_id="5")
    refused = read_publish(reply, problem(403, "You are not permitted to reply"))
    assert isinstance(refused, Failed)
    assert refused.code == "reply_refused"
    assert isinstance(read_publish(reply, problem(400, "not there")), Retry)


def test_files_whose_time_is_over_are_uploaded_again_unless_a_post_may_have_them() -> None:
    over = Response(400, {"title": "Invalid Request", "errors": [{"message": "Your media IDs are invalid."}]})
    verdict = read_publish(WITH_FILE, over)
    assert isinstance(verdict, Go)
    assert (verdict.step, verdict.keep["media_ids"], verdict.keep["media_keys"]) == ("initialize", [], [])
    doubted = replace(WITH_FILE, kept={**WITH_FILE.kept, DOUBT: "no answer"})
    assert isinstance(read_publish(doubted, over), Doubt)


LOOKED = {"looks": 2}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Tea & <cake>", {"text": "Tea &amp; &lt;cake&gt;"}),
        ("Tea &amp; cake", {"text": "Tea &amp;amp; cake"}),
        (
            "See example.org/tea, or HTTPS://Example.com/",
            {
                "text": "See https://t.co/aaaaaaaaaa, or https://t.co/bbbbbbbbbb",
                "entities": {
                    "urls": [
                        {"url": "https://t.co/aaaaaaaaaa", "expanded_url": "http://example.org/tea"},
                        {"url": "https://t.co/bbbbbbbbbb", "expanded_url": "https://example.com/"},
                    ]
                },
            },
        ),
        ("See kiel.de", {"text": "See kiel.de"}),
        ("Cafe\u0301", {"text": "Caf\u00e9"}),
        (
            "long",
            {"text": "lo…", "note_tweet": {"text": "long"}},
        ),
    ],
)
def test_text_is_recognised_as_x_shows_it(text: str, shown: dict[str, Any]) -> None:
    verdict = read_look(replace(JOB, text=text, kept=LOOKED), listed(tweet(**shown)))
    assert verdict == Published("1", "https://x.com/shop/status/1", keep={"page": "", "earlier": []})


@pytest.mark.parametrize(
    "other",
    [
        tweet(text="Coffee"),
        tweet(created_at="2026-11-28T11:00:00Z"),
        tweet(referenced_tweets=[{"type": "replied_to", "id": "5"}]),
        tweet(referenced_tweets=[{"type": "quoted", "id": "5"}]),
        tweet(attachments={"media_keys": ["3_1"]}),
        tweet(id="7"),
    ],
)
def test_other_posts_are_not_taken_for_it(other: dict[str, Any]) -> None:
    job = replace(JOB, kept=LOOKED, bound=frozenset(["7"]))
    verdict = read_look(job, listed(other))
    assert verdict == Go("publish", keep={"sent_again": True, "page": "", "earlier": []})
    # X refuses an exact repeat by itself, so a text is sent once more, and no more than that.
    again = read_look(replace(job, kept={**LOOKED, "sent_again": True}), listed(other))
    assert isinstance(again, Doubt)


def test_it_is_looked_for_three_times_over_two_minutes() -> None:
    early = replace(JOB, step_since=NOON - timedelta(seconds=60), kept=LOOKED)
    for job in (replace(JOB, kept={"looks": 1}), early):
        assert isinstance(read_look(job, listed()), Wait)
    assert isinstance(read_look(replace(JOB, kept=LOOKED), Response(200, {"meta": {"result_count": 0}})), Go)


def test_list_is_read_to_its_end_before_it_says_that_there_is_nothing() -> None:
    more = read_look(replace(JOB, kept=LOOKED), listed(tweet(text="Coffee"), next_token="p2"))
    assert isinstance(more, Wait)
    job = replace(JOB, kept={**LOOKED, **more.keep})
    assert ask_look(job).query["pagination_token"] == "p2"
    assert isinstance(read_look(job, listed(tweet())), Published)


def test_files_tell_a_post_for_certain_whatever_its_text_and_nothing_is_sent_again_without() -> None:
    ours = tweet(text="", attachments={"media_keys": ["3_9"]})
    for other in (tweet(id="2"), tweet(id="2", attachments={"media_keys": ["3_1"]})):
        found = read_look(WITH_FILE, listed(other, ours))
        assert isinstance(found, Published)
        assert found.post_id == "1"
    assert isinstance(read_look(WITH_FILE, listed(tweet(id="2"))), Published), "where files are not given, the text"
    doubt = read_look(WITH_FILE, listed())
    assert isinstance(doubt, Doubt)
    assert doubt.evidence


def test_key_of_a_file_is_kept_before_the_file_is_sent() -> None:
    second = replace(WITH_FILE, media=[PICTURE, PICTURE])
    verdict = read_initialize(second, Response(200, {"data": {"id": "10", "media_key": "3_10"}}))
    kept = {"media_ids": ["9", "10"], "media_keys": ["3_9", "3_10"], "segment": 0}
    assert verdict == Go("append", keep=kept)
    assert isinstance(read_initialize(second, Response(200, {"data": {"id": "10"}})), Unknown)


def test_repeat_that_x_refused_and_does_not_show_is_a_question_with_what_is_there() -> None:
    job = replace(JOB, kept={**LOOKED, "duplicate": True, DOUBT: "X says that it is there"})
    verdict = read_look(job, listed(tweet(id="3", created_at="2026-11-28T01:00:00Z")))
    assert isinstance(verdict, Doubt)
    assert verdict.evidence[:2] == [
        "X says that it is there",
        "https://x.com/shop/status/3 of 2026-11-28T01:00:00Z",
    ]


def test_look_that_is_refused_asks_a_person() -> None:
    assert isinstance(read_look(JOB, problem(403, "no")), Doubt)
    assert isinstance(read_look(JOB, problem(404, "no")), Doubt)
    assert isinstance(read_look(JOB, problem(401, "no")), TokenRefused)


def test_post_has_the_keys_that_it_needs_and_no_others() -> None:
    assert ask_publish(JOB).json == {"text": "Tea"}
    full = replace(
        WITH_FILE,
        text="",
        parent_id="5",
        options={
            "reply_control": "following",
            "ai_generated": True,
            "paid_partnership": True,
            "quote_of": "6",
            "community_id": "7",
            "share_with_followers": True,
            "tagged_user_ids": ["8"],
            "first_comment": "a child of its own",
        },
    )
    assert ask_publish(full).json == {
        "reply": {"in_reply_to_tweet_id": "5"},
        "media": {"media_ids": ["9"], "tagged_user_ids": ["8"]},
        "reply_settings": "following",
        "made_with_ai": True,
        "paid_partnership": True,
        "quote_tweet_id": "6",
        "community_id": "7",
        "share_with_followers": True,
    }


def test_kind_follows_from_what_is_attached() -> None:
    video, gif = replace(PICTURE, content_type="video/mp4"), replace(PICTURE, content_type="image/gif")
    assert kind_of([], {}, {}) == "text"
    assert kind_of([], {"poll": {"options": ["a", "b"]}}, {}) == "poll"
    assert kind_of([PICTURE, gif], {}, {}) == "images"
    assert (kind_of([gif], {}, {}), kind_of([video], {}, {})) == ("gif", "video")
    assert PLATFORM.reply_kind == "text"


# --- every path


@dataclass(frozen=True, slots=True)
class Account:
    """``uploads`` counts files, ``posts`` has the files of each post and its time."""

    uploads: int = 0
    posts: tuple[tuple[tuple[str, ...], float], ...] = ()


class XModel:
    """``x.md`` 4 and 12: an exact repeat is refused, with its files taken into account, and the list lags."""

    def __init__(self, lag: float) -> None:
        self.lag = lag

    def respond(self, platform: Account, request: Request, now: float) -> tuple[Account, Response]:
        path = request.url.removeprefix("https://api.x.example")
        if path.endswith("/initialize"):
            data = {"id": str(platform.uploads), "media_key": f"3_{platform.uploads}"}
            return replace(platform, uploads=platform.uploads + 1), Response(200, {"data": data})
        if path.startswith("/2/media/"):
            return platform, Response(200, {"data": {"id": "0"}})
        if request.method == "GET":
            data = [self._shown(*post) for post in platform.posts if post[1] + self.lag <= now]
            return platform, Response(200, {"data": data} if data else {"meta": {}})
        assert isinstance(request.json, dict)
        files = tuple(request.json.get("media", {}).get("media_ids", ()))
        if any(made == files for made, _ in platform.posts):
            return platform, DUPLICATE
        made = replace(platform, posts=(*platform.posts, (files, now)))
        return made, Response(201, {"data": {"id": str(100 + len(platform.posts))}})

    def _shown(self, files: tuple[str, ...], at: float) -> dict[str, Any]:
        attachments = {"attachments": {"media_keys": [f"3_{each}" for each in files]}} if files else {}
        return tweet(id="100", created_at=(EPOCH + timedelta(seconds=at)).isoformat(), **attachments)

    def visible(self, platform: Account) -> int:
        return len(platform.posts)

    def choices(self, platform: Account) -> Iterator[Account]:
        return iter(())


@pytest.fixture
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "RETRIES", RetryPolicy((10, 60), jitter=0.0))


EXPLORED = replace(JOB, intent_at=None)


@pytest.mark.usefixtures("_no_jitter")
@pytest.mark.parametrize("lag", [100, 900])
@pytest.mark.parametrize("kind", ["text", "images"])
def test_no_path_posts_twice_or_ends_without_a_word(kind: str, lag: float) -> None:
    job = EXPLORED if kind == "text" else replace(EXPLORED, kind=kind, media=[PICTURE])
    found = Explorer(PLATFORM.machines[kind], XModel(lag), job).explore(Account())
    assert found["values"] > 300
    assert found[TargetState.PUBLISHED] > 0
    assert TargetState.FAILED not in found


@pytest.mark.usefixtures("_no_jitter")
def test_explorer_finds_a_look_that_is_skipped() -> None:
    """With files of a new upload nothing tells X that it is a repeat."""
    steps = dict(PLATFORM.machines["images"].steps)
    steps["look"] = replace(steps["look"], read=lambda job, response: Go("initialize", keep={"media_ids": []}))
    steps["look"] = replace(steps["look"], leads_to=("initialize", "publish"))
    machine = Machine("images", "Images", steps, "initialize")
    with pytest.raises(ViolationError, match="2 posts are visible"):
        Explorer(machine, XModel(0), replace(EXPLORED, kind="images", media=[PICTURE])).explore(Account())
