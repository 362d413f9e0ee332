"""Reading accounts of TikTok by ``tiktok.md`` 3.4, 9, 12 and 17: what is asked, and what is made of the answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops.runtime.platform_protocol import PlatformError, Request, Response, Steps
from sync.platforms.tiktok_pull import MOST_IDS, PAGE, PLATFORM, PROFILE_FIELDS, REREAD, VIDEO
from sync.pull.contract import Account, Object, Page, PullingPlatform, Task, Turn

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")


class Api:
    def url(self, host: str, path: str) -> str:
        return f"https://{host}.example{path}"


ACCOUNT = Account("tiktok", "-000me", Api(), {"access_token": "act.1"}, scopes=SCOPES)


def answer(data: Any, code: str = "ok", status: int = 200) -> Response:
    return Response(status, {"data": data, "error": {"code": code, "message": "", "log_id": "1"}})


def refused(code: str, status: int = 400) -> Response:
    return answer({}, code, status)


@dataclass
class World:
    """TikTok, for one account: its public videos by id, with their ``create_time``."""

    videos: dict[str, int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    """Fields that it does not know."""
    shown: int = PAGE
    """Videos on a page at most."""
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        self.asked.append(request)
        assert request.headers == {"Authorization": "Bearer act.1"}
        fields = request.query["fields"].split(",")
        if self.unknown.intersection(fields):
            return refused("invalid_params")
        body: Any = request.json
        if request.url.endswith("/v2/video/query/"):
            ids = body["filters"]["video_ids"]
            assert 1 <= len(ids) <= 20
            return answer({"videos": [self._video(id_, fields) for id_ in self.videos if id_ in ids]})
        if request.url.endswith("/v2/video/list/"):
            newest = sorted(self.videos, key=lambda id_: (-self.videos[id_], id_))
            cursor = body.get("cursor")
            left = [id_ for id_ in newest if cursor is None or self.videos[id_] * 1000 < cursor]
            page = left[: min(self.shown, body["max_count"])]
            last = self.videos[page[-1]] * 1000 if page else cursor
            more = len(left) > len(page)
            return answer({"videos": [self._video(id_, fields) for id_ in page], "cursor": last, "has_more": more})
        raise AssertionError(request.url)

    def _video(self, id_: str, fields: Sequence[str]) -> dict[str, Any]:
        video = {"id": id_, "create_time": self.videos[id_], "video_description": f"says {id_}", "is_aigc": False}
        return {name: video[name] for name in fields if name in video}


def run(steps: Steps[Page], answer_: Callable[[Request], Response]) -> Page:
    try:
        request = next(steps)
        while True:
            request = steps.send(answer_(request))
    except StopIteration as done:
        found: Page = done.value
        return found


def turn(kind: str, object_id: str = "", **more: Any) -> Turn:
    return Turn(Task(kind, object_id), NOW, **more)


def page(world: World, kind: str, object_id: str = "", account: Account = ACCOUNT, **more: Any) -> Page:
    return run(PLATFORM.tasks[kind].read(account, turn(kind, object_id, **more)), world.answer)


def walk(world: World, kind: str, account: Account = ACCOUNT, **more: Any) -> list[Page]:
    pages = [page(world, kind, account=account, **more)]
    while pages[-1].cursor is not None:
        assert len(pages) < 500, "the walk has no end"
        pages.append(page(world, kind, account=account, cursor=pages[-1].cursor, **more))
    return pages


def ids(pages: Sequence[Page]) -> list[str]:
    return [reading.about.id for one in pages for reading in one.readings]


def numbered(count: int, every: int = 60) -> dict[str, int]:
    """So many videos, the last of them the newest."""
    return {f"75{number:017d}": AT - every * (count - number) for number in range(count)}


def test_platform_says_what_can_be_read_and_what_not() -> None:
    assert isinstance(PLATFORM, PullingPlatform)
    assert {task.kind for task in PLATFORM.first} <= PLATFORM.tasks.keys()
    assert PLATFORM.confirms.keys() == PLATFORM.gone.keys() == {VIDEO}
    assert set(PLATFORM.confirms.values()) <= PLATFORM.tasks.keys()
    assert not any("deleted" in word for word in PLATFORM.gone.values()), "tiktok.md 17: it is not knowable"
    said = " ".join(PLATFORM.not_offered)
    for wanted in ("Comments", "mentions", "messages", "drafts", "Reach", "history", "deleted or made private"):
        assert wanted in said, "tiktok.md 12.1"


# --- the account


@pytest.mark.parametrize(
    ("scopes", "fields"),
    [
        (("user.info.basic",), "open_id,union_id,display_name"),
        (("user.info.stats", "video.list"), "follower_count,following_count,likes_count,video_count"),
        (
            SCOPES,
            ",".join(name for fields in PROFILE_FIELDS.values() for name in fields),
        ),
    ],
)
def test_profile_is_asked_for_by_the_scopes_that_were_granted(scopes: Sequence[str], fields: str) -> None:
    """tiktok.md 3.4"""
    asked: list[Request] = []

    def tell(request: Request) -> Response:
        asked.append(request)
        return answer(
            {"user": {name: f"its {name}" for name in request.query["fields"].split(",") if name != "open_id"}}
        )

    found = run(PLATFORM.tasks["account"].read(replace(ACCOUNT, scopes=scopes), turn("account")), tell)
    [request] = asked
    assert (request.method, request.url, request.query) == (
        "GET",
        "https://api.example/v2/user/info/",
        {"fields": fields},
    )
    [reading] = found.readings
    assert (reading.type, reading.about) == ("account.read", Object("tiktok_account", "-000me"))
    assert reading.payload.keys() == set(fields.split(",")) - {"open_id"}, "only keys that came"


def test_account_without_a_scope_of_the_profile_is_skipped_with_a_reason() -> None:
    found = run(
        PLATFORM.tasks["account"].read(replace(ACCOUNT, scopes=("video.list",)), turn("account")),
        lambda _: pytest.fail("nothing is to be asked"),
    )
    assert found.skipped is not None
    assert "connect the account again" in found.skipped


def test_profile_of_somebody_else_is_not_taken_for_this_accounts() -> None:
    steps = PLATFORM.tasks["account"].read(ACCOUNT, turn("account"))
    with pytest.raises(PlatformError) as problem:
        run(steps, lambda _: answer({"user": {"open_id": "-000other", "follower_count": 9}}))
    assert problem.value.kind == "transient"


def test_fields_of_a_scope_that_is_refused_after_all_are_left_out_and_remembered() -> None:
    def tell(request: Request) -> Response:
        fields = request.query["fields"].split(",")
        if "follower_count" in fields:
            return refused("scope_permission_missed")
        return answer({"user": dict.fromkeys(fields, "-000me")})

    found = run(PLATFORM.tasks["account"].read(ACCOUNT, turn("account")), tell)
    assert found.refused == ["follower_count", "following_count", "likes_count", "video_count"]
    assert "username" in found.readings[0].payload
    later = replace(ACCOUNT, refused=frozenset(found.refused))
    again = PLATFORM.tasks["account"].read(later, turn("account"))
    assert "follower_count" not in next(again).query["fields"]


# --- the listing


def test_first_walk_reads_every_video_and_says_what_each_is() -> None:
    world = World(numbered(45))
    pages = walk(world, "videos")
    assert ids(pages) == sorted(world.videos, reverse=True)[:20] + ids(pages)[20:]
    assert set(ids(pages)) == set(world.videos)
    first = pages[0].readings[0]
    newest = max(world.videos)
    assert (first.type, first.about) == ("video.read", Object(VIDEO, newest))
    assert first.source_time == datetime.fromtimestamp(world.videos[newest], UTC)
    assert first.payload == {
        "id": newest,
        "create_time": world.videos[newest],
        "video_description": f"says {newest}",
        "is_aigc": False,
    }
    assert "cover_image_url" not in world.asked[0].query["fields"], "it holds for six hours and is another each time"
    assert [request.json for request in world.asked[:1]] == [{"max_count": 20}]
    [again] = pages[-1].wanted
    assert again.task == Task("all_videos")
    assert [one.wanted for one in pages[:-1]] == [()] * (len(pages) - 1)


def test_walk_goes_on_where_it_was_killed() -> None:
    """faults.md C7: the cursor alone says where; a page that is read again says the same."""
    world = World(numbered(45))
    whole = walk(world, "videos")
    [first, *_] = whole
    again = page(world, "videos", cursor=first.cursor)
    assert (again.readings, again.cursor) == (whole[1].readings, whole[1].cursor)


@settings(max_examples=150, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 12), max_size=40),
    shown=st.integers(1, 20),
)
@example(seconds=[5] * 7 + [4] * 5, shown=6)
@example(seconds=[5, 5, 4], shown=1)
def test_walk_ends_and_finds_what_a_page_can_show_of_each_second(seconds: list[int], shown: int) -> None:
    """tiktok.md 12: two posts in one second share a cursor, and pages may be shorter than asked."""
    world = World({f"75{number:03d}": AT + second for number, second in enumerate(seconds)}, shown=shown)
    found = set(ids(walk(world, "videos")))
    for second in set(seconds):
        of_second = {id_ for id_, at in world.videos.items() if at == AT + second}
        # More posts of one second than a page has cannot be reached by any cursor.
        assert len(of_second & found) >= min(len(of_second), shown)


def test_posts_of_the_second_in_which_a_page_ends_are_not_passed_over() -> None:
    videos = numbered(19) | {"8": AT - 4000, "9": AT - 4000, "7": AT - 9000}
    world = World(videos)
    pages = walk(world, "videos")
    assert set(ids(pages)) == set(videos)
    assert world.asked[1].json == {"max_count": 20, "cursor": (AT - 4000) * 1000 + 1000}


def test_cursor_with_milliseconds_is_taken_as_it_is() -> None:
    first = answer({"videos": [], "cursor": 1_760_000_000_123, "has_more": True})
    found = run(PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos")), lambda _: first)
    assert json.loads(found.cursor or "")["at"] == 1_760_000_000_123


def test_page_without_a_video_is_not_the_end() -> None:
    empty = answer({"videos": [], "cursor": 1_760_000_000_000, "has_more": True})
    assert run(PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos")), lambda _: empty).cursor is not None


def test_listing_that_gets_no_older_is_refused_and_not_walked_for_ever() -> None:
    same = answer({"videos": [{"id": "7"}], "cursor": 1_760_000_000_000, "has_more": True})
    cursor: str | None = ""
    for _ in range(2):  # the second page may show what the first one ended with
        cursor = run(PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos", cursor=cursor)), lambda _: same).cursor
    steps = PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos", cursor=cursor))
    with pytest.raises(PlatformError) as problem:
        run(steps, lambda _: same)
    assert (problem.value.kind, problem.value.code) == ("transient", "undocumented")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"videos": None, "has_more": False},
        {"videos": []},
        {"videos": [], "has_more": True},
        {"videos": [], "has_more": True, "cursor": "soon"},
        {"videos": [], "has_more": True, "cursor": True},
        {"videos": [], "has_more": "false", "cursor": 1},
    ],
)
def test_listing_in_a_shape_that_is_not_documented_never_counts_as_complete(data: Any) -> None:
    with pytest.raises(PlatformError) as problem:
        run(PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos")), lambda _: answer(data))
    assert problem.value.kind == "transient"


def test_later_walk_ends_a_week_before_the_last_one_began() -> None:
    """tiktok.md 17: until an id that is known and older than the re-read window."""
    day = 86_400
    world = World({f"75{number:03d}": AT - number * day // 4 for number in range(400)})
    since = NOW - timedelta(days=2)
    pages = walk(world, "videos", first=False, since=since)
    found, until = set(ids(pages)), (since - REREAD).timestamp()
    assert {id_ for id_, at in world.videos.items() if at >= until} <= found, "all that is younger"
    assert len(pages) == 2, "and no page more than that takes"
    assert all(one.wanted == () for one in pages)
    life = PLATFORM.tasks["videos"].range.life
    assert life is not None
    assert since - REREAD <= NOW - life, "what the walk is said to show, it shows"


def test_later_walk_of_all_reads_to_the_beginning() -> None:
    world = World({f"75{number:03d}": AT - number * 86_400 for number in range(60)})
    pages = walk(world, "all_videos", first=False, since=NOW)
    assert set(ids(pages)) == set(world.videos)
    assert PLATFORM.tasks["all_videos"].range.life is None


def test_field_that_the_platform_does_not_know_is_left_out_and_remembered() -> None:
    """tiktok.md 12: an unknown field refuses the whole call; is_aigc is younger than the others."""
    world = World(numbered(3), unknown=frozenset({"is_aigc"}))
    found = page(world, "videos")
    assert (len(found.readings), found.refused) == (3, ["is_aigc"])
    before = len(world.asked)
    again = page(world, "videos", account=replace(ACCOUNT, refused=frozenset(found.refused)))
    assert (len(world.asked) - before, again.refused) == (1, ()), "asked once, and right"


def test_call_that_is_refused_whatever_the_fields_are_refuses_no_field() -> None:
    with pytest.raises(PlatformError) as problem:
        run(PLATFORM.tasks["videos"].read(ACCOUNT, turn("videos")), lambda _: refused("invalid_param"))
    assert (problem.value.kind, problem.value.code) == ("wrong", "invalid_param")


# --- single videos


def test_video_that_is_missing_beside_a_sibling_is_missing_and_no_more_is_said() -> None:
    world = World(numbered(30))
    gone = "7599"
    known = list(world.videos)
    found = page(world, VIDEO, gone, known=known)
    assert found.missing == [Object(VIDEO, gone)]
    assert set(ids([found])) == set(known[: MOST_IDS - 1]), "and its siblings are read with it, in the same call"
    assert len(world.asked) == 1


def test_nothing_is_missing_where_no_video_came_back() -> None:
    """tiktok.md 17: the account may be private."""
    world = World()
    found = page(world, VIDEO, "7599", known=["7598"])
    assert (found.readings, found.missing) == ((), ())
    assert found.skipped is not None
    assert page(world, "videos_by_id", known=["7598", "7599"]) == Page([], missing=[])


def test_lone_video_is_compared_with_the_newest_that_is_listed() -> None:
    world = World({"7501": AT})
    found = page(world, "videos_by_id", known=["7598", "7599"])
    assert found.missing == [Object(VIDEO, "7598"), Object(VIDEO, "7599")]
    assert ids([found]) == ["7501"]
    assert [request.url.rpartition("/v2/")[2] for request in world.asked] == [
        "video/query/",
        "video/list/",
        "video/query/",
    ]


def test_no_more_ids_are_asked_for_at_once_than_the_platform_takes() -> None:
    """Not with the one that they are compared with either; what does not fit then is not said to be missing."""
    world = World({"7501": AT})
    known = [f"76{number:03d}" for number in range(40)]
    found = page(world, "videos_by_id", known=known)
    assert [object_.id for object_ in found.missing] == known[: MOST_IDS - 1]


def test_newest_video_that_goes_between_two_calls_proves_nothing() -> None:
    world = World({"7501": AT})

    def gone_meanwhile(request: Request) -> Response:
        found = world.answer(request)
        if request.url.endswith("list/"):
            world.videos.clear()
        return found

    found = run(PLATFORM.tasks["videos_by_id"].read(ACCOUNT, turn("videos_by_id", known=["7599"])), gone_meanwhile)
    assert (found.readings, found.missing) == ([], [])


def test_round_of_known_videos_reads_each_once_and_ends() -> None:
    """Those that were checked longest ago first; what was read goes to the end."""
    for count in (0, 1, 19, 20, 21, 40, 55):
        world = World(numbered(count))
        known = list(world.videos)
        read: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            found = page(world, "videos_by_id", known=known[:MOST_IDS], cursor=cursor)
            checked = ids([found])
            read += checked
            known = [id_ for id_ in known if id_ not in checked] + checked
            cursor = found.cursor
        assert sorted(read) == sorted(world.videos)
        assert len(world.asked) == -(-count // MOST_IDS), "and not one call more"


def test_round_of_known_videos_ends_where_nothing_is_learned() -> None:
    world = World()
    known = [f"76{number:03d}" for number in range(40)]
    first = page(world, "videos_by_id", known=known[:MOST_IDS])
    assert first.cursor is not None
    assert page(world, "videos_by_id", known=known[:MOST_IDS], cursor=first.cursor) == Page()


@pytest.mark.parametrize("id_", ["", "7x", "75 01", "٣", "7" * 33])
def test_id_that_is_none_of_the_platforms_is_not_asked_for(id_: str) -> None:
    """It would refuse the whole call, and all ids that are asked for with it."""
    world = World({"7501": AT})
    assert page(world, VIDEO, id_, known=["7501"]).skipped is not None
    assert world.asked == []
    assert page(world, "videos_by_id", known=[id_, "7501"]).missing == []


# --- errors


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refused("access_token_invalid", 401), "transient"),
        (refused("scope_not_authorized", 401), "lacking"),
        (refused("rate_limit_exceeded", 429), "transient"),
        (refused("internal_error", 500), "transient"),
        (refused("internal_error", 200), "transient"),
        (refused("unheard_of", 200), "wrong"),
        (Response(403, {}), "wrong"),
        (Response(200, None), "transient"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind_", ["account", "videos", "all_videos", "videos_by_id", VIDEO])
def test_error_of_any_status_is_an_error_and_nothing_is_missing(kind_: str, response: Response, kind: str) -> None:
    """tiktok.md 4 and 9: the code decides, at status 200 too."""
    steps = PLATFORM.tasks[kind_].read(ACCOUNT, turn(kind_, "7501", known=["7502"]))
    with pytest.raises(PlatformError) as problem:
        run(steps, lambda _: response)
    assert problem.value.kind == kind


@pytest.mark.parametrize("kind", [*PLATFORM.tasks])
def test_task_is_due_again_after_its_interval_or_never(kind: str) -> None:
    again = PLATFORM.tasks[kind].again(NOW, None)
    assert again is None if kind == VIDEO else again is not None and timedelta(hours=1) <= again <= timedelta(days=30)
