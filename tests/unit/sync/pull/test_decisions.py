"""What a pull decides: pure functions of what was read and what is known."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from ops.runtime.platform_protocol import Kind, PlatformError
from ops.runtime.rate_limits import HELD
from sync.pull import decisions
from sync.pull.contract import Object, Page, Priority, PullingPlatform, PullTask, Reading, Steps, never
from sync.pull.decisions import CONTROL_SECONDS, Count, Judged, Known, Setback, judge, judge_missing, progress, setback

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
C1, C2 = Object("comment", "c1"), Object("comment", "c2")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def reading(about: Object = C1, type_: str = "comment.read", parent: str = "m1", **payload: object) -> Reading:
    return Reading(type_, about, {"id": about.id, **payload}, parent)


def told(*steps: tuple[float, Reading]) -> tuple[list[tuple[str, str]], Mapping[Object, Known]]:
    """Readings one after another: type and text of the events that they make, and what is known then."""
    known: dict[Object, Known] = {}
    events = []
    for seconds, each in steps:
        judged = judge(known, [each], at(seconds))
        events += [(new.type, new.external_id) for new in judged.events]
        known |= judged.objects
    return events, known


def test_unchanged_reading_makes_no_event() -> None:
    events, known = told((0, reading(text="a")), (1, reading(text="a")))
    assert len(events) == 1
    assert (known[C1].read_at, known[C1].checked_at) == (at(0), at(1))


def test_order_of_keys_is_no_change() -> None:
    events, _ = told((0, reading(a=1, b={"c": 2, "d": 3})), (1, reading(b={"d": 3, "c": 2}, a=1)))
    assert len(events) == 1


def test_changes_and_changes_back_have_names_of_their_own() -> None:
    events, _ = told(*((n, reading(text=text)) for n, text in enumerate("abab")))
    assert len({name for _, name in events}) == 4


def test_same_history_gives_the_same_names() -> None:
    history = [(0, reading(text="a")), (1, reading(text="b")), (2, reading(text="a"))]
    assert told(*history)[0] == told(*history)[0]


@pytest.mark.parametrize("unchanged", [False, True])
def test_reading_that_began_before_the_newest_makes_no_event(*, unchanged: bool) -> None:
    """Also where the newest only showed that nothing had changed."""
    steps = [(0.0, reading(text="a")), *([(9.0, reading(text="a"))] if unchanged else []), (5.0, reading(text="b"))]
    if not unchanged:
        steps[0] = (9.0, reading(text="a"))
    events, known = told(*steps)
    assert len(events) == 1
    assert known[C1].checked_at == at(9)


def test_events_of_several_types_about_one_object_are_told_apart() -> None:
    events, _ = told(
        (0, reading(text="a")), (1, reading(type_="comment.figures", likes=1)), (2, reading(text="a")),
        (3, reading(type_="comment.figures", likes=1)), (4, reading(type_="comment.figures", likes=2)),
    )  # fmt: skip
    assert [type_ for type_, _ in events] == ["comment.read", "comment.figures", "comment.figures"]


def test_listing_says_where_an_object_stands_and_others_only_of_what_nobody_knew() -> None:
    known = judge({}, [reading(parent="m1")], at(0), lists="comment").objects
    known = judge(known, [reading(parent="unlisted")], at(1)).objects
    assert known[C1].parent == "m1"
    known = judge(known, [reading(parent="m2")], at(2), lists="comment").objects
    assert known[C1].parent == "m2"
    assert judge({}, [reading(parent="unlisted")], at(0)).objects[C1].parent == "unlisted"


def test_reading_that_does_not_say_where_an_object_stands_keeps_what_an_event_said() -> None:
    told_of = {C1: Known(C1, parent="m1")}
    assert judge(told_of, [reading(parent="")], at(0)).objects[C1].parent == "m1"
    assert judge(told_of, [reading(parent="m2")], at(0)).objects[C1].parent == "m2"


def steps(*_: object) -> Steps[Page]:
    yield from ()
    return Page()


PLATFORM = PullingPlatform(
    tasks={"comments": PullTask(steps, never, lists="comment"), "one": PullTask(steps, never)},
    first=[],
    confirms={"comment": "one"},
    gone={"comment": "comment.gone"},
)

UNLISTED = Known(C1, "m1", None, "e1", {}, at(0), at(0), None, at(100), "reader")
"""Read at 0, and left out by a complete walk at 100."""


def missing(known: Known, seconds: float, page: Page | None = None, **options: object) -> Judged:
    page = page or Page(missing=[C1])
    of = {known.about: known}
    judged = judge(of, page.readings, at(seconds))
    platform = options.pop("platform", PLATFORM)
    assert isinstance(platform, PullingPlatform)
    judge_missing(judged, of, page, platform, **{"reader": "reader", "now": at(seconds), "confirm": 600.0} | options)  # type: ignore[arg-type]
    return judged


def test_first_miss_is_noted_and_the_second_with_a_walk_of_its_own_is_believed() -> None:
    first = missing(UNLISTED, 101)
    assert (first.missed, first.events) == ([C1], [])
    again = replace(first.objects[C1], unlisted_at=at(720))
    second = missing(again, 721)
    assert [(new.type, new.payload) for new in second.events] == [("comment.gone", '{"id":"c1"}')]
    assert second.objects[C1].gone_at == at(721)


NOT_ENOUGH = {
    "it stands in no walk that left it out": (replace(UNLISTED, unlisted_at=None), 101, {}),
    "a reading showed it after that walk": (replace(UNLISTED, checked_at=at(100.5)), 101, {}),
    "another connection walked": (UNLISTED, 101, {"reader": "another"}),
    "the walk is long over": (UNLISTED, 101 + CONTROL_SECONDS, {}),
    "the second miss comes too soon": (replace(UNLISTED, missed_at=at(101), unlisted_at=at(400)), 401, {}),
    "no walk was made between the misses": (replace(UNLISTED, missed_at=at(101)), 900, {}),
    "what it hangs on is gone": (
        replace(UNLISTED, missed_at=at(101), unlisted_at=at(720)),
        721,
        {"gone_parents": {"m1"}},
    ),
    "the platform has no event for it": (
        replace(UNLISTED, missed_at=at(101), unlisted_at=at(720)),
        721,
        {"platform": replace(PLATFORM, gone={})},
    ),
    "the same answer shows it": (
        replace(UNLISTED, missed_at=at(101), unlisted_at=at(720)),
        721,
        {"page": Page([reading()], missing=[C1])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", NOT_ENOUGH)
def test_miss_that_proves_nothing(why: str) -> None:
    known, seconds, options = NOT_ENOUGH[why]
    judged = missing(known, seconds, **options)
    assert (judged.gone, judged.missed, [new for new in judged.events if new.type == "comment.gone"]) == ([], [], [])


def test_sibling_in_the_same_answer_proves_only_where_the_platform_says_so() -> None:
    known = replace(UNLISTED, unlisted_at=None, missed_at=at(101))
    page = Page([reading(C2)], missing=[C1])
    assert missing(known, 800, page).gone == []
    proving = replace(PLATFORM, siblings_prove=("comment",))
    assert missing(known, 800, page, platform=proving).gone == [C1]
    assert missing(known, 300, page, platform=proving).gone == [], "too soon"
    assert missing(known, 800, Page(missing=[C1]), platform=proving).gone == [], "everything is missing"
    assert missing(known, 800, Page([reading(Object("media", "m"))], missing=[C1]), platform=proving).gone == []


def test_reading_lifts_what_was_gone_though_it_says_what_it_said_before() -> None:
    _, known = told((0, reading(text="a")))
    gone = {C1: replace(known[C1], gone_at=at(5), external_id="comment.gone:c1:x")}
    judged = judge(gone, [reading(text="a")], at(9))
    assert (len(judged.events), judged.lifted, judged.objects[C1].gone_at) == (1, [C1], None)
    assert judged.events[0].external_id != known[C1].external_id


@pytest.mark.parametrize(
    ("percent", "allowed"),
    [(0, set(Priority)), (49, set(Priority)), (50, {0, 1, 2}), (74, {0, 1, 2}), (75, {0}), (300, {0})],
)
def test_rate_limit_leaves_what_is_asked_for_now_to_the_last(percent: int, allowed: set[int]) -> None:
    assert set(decisions.allowed_priorities(percent)) == allowed


SETBACKS: list[tuple[Kind, str, float, bool, Mapping[str, object]]] = [
    ("transient", "503", 0, False, {"account_seconds": 5.0}),
    ("transient", "80002", 240, False, {"account_seconds": 240.0}),
    ("transient", HELD, 240, False, {"account_seconds": 240.0, "counts": False, "task_seconds": 0.0}),
    ("transient", "breaker", 0, False, {"account_seconds": 5.0, "counts": False}),
    ("transient", "undocumented", 0, False, {"account_seconds": 0.0}),
    ("transient", "access_token_invalid", 0, False, {"renews": True, "account_seconds": 0.0}),
    ("grant", "190", 0, False, {"renews": True, "skip_code": ""}),
    ("lacking", "10", 0, False, {"skip_code": "scopes"}),
    ("wrong", "100/33", 0, False, {"skip_code": "platform"}),
    ("wrong", "100", 0, True, {"restarts": True, "skip_code": ""}),
    ("app", "invalid_client", 0, False, {"account_seconds": 300.0, "skip_code": ""}),
]


@pytest.mark.parametrize(("kind", "code", "after", "walking", "wanted"), SETBACKS)
def test_problem_means(kind: Kind, code: str, after: float, wanted: Mapping[str, object], *, walking: bool) -> None:
    found = setback(PlatformError(kind, "It is so.", code, after), 1, walking=walking)
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert isinstance(found, Setback)


def test_failures_in_a_row_are_tried_again_later_and_later() -> None:
    problem = PlatformError("transient", "It is so.", "503")
    delays = [setback(problem, failures, walking=False).task_seconds for failures in (1, 3, 5, 50)]
    assert delays == sorted(delays)
    assert delays[-1] <= 3600


def test_task_is_due_again_by_its_plan_and_what_is_seldom_waits_for_history() -> None:
    often = PullTask(steps, lambda now, made: timedelta(hours=1))
    seldom = PullTask(steps, lambda now, made: timedelta(days=7) if made else None)
    assert decisions.due_again(often, NOON, None) == (timedelta(hours=1), Priority.RECENT)
    assert decisions.due_again(seldom, NOON, NOON) == (timedelta(days=7), Priority.SELDOM)
    assert decisions.due_again(seldom, NOON, None) == (None, Priority.SELDOM)


@pytest.mark.parametrize(
    ("counts", "percent", "seconds"),
    [
        ([], 100, 0.0),
        ([Count("media", 4, 0, 4, 0, 0, 0)], 0, None),
        ([Count("media", 1, 1, 0, 0, 0, 9), Count("comments", 3, 0, 3, 0, 0, 0)], 25, 300.0),
        ([Count("media", 1, 1, 0, 0, 0, 9), Count("comments", 3, 1, 0, 2, 0, 5)], 100, 0.0),
        ([Count("media", 1, 1, 0, 0, 0, 9), Count("one", 30, 0, 30, 0, 0, 0)], 100, 0.0),
        ([Count("media", 1000, 999, 1, 0, 0, 9)], 99, 100 / 999),
    ],
)
def test_progress_is_that_of_the_history(counts: list[Count], percent: int, seconds: float | None) -> None:
    found = progress(counts, {"media", "comments"}, timedelta(seconds=100))
    assert found.percent == percent
    assert found.seconds == (None if seconds is None else pytest.approx(seconds))


def test_object_that_stands_twice_in_a_page_makes_one_event_of_what_came_last() -> None:
    """Two of one time would be put in order by their names."""
    for order in permutations([reading(text="a"), reading(C2, text="x")]):
        judged = judge({}, [*order, reading(text="b")], at(0))
        assert [new.payload for new in judged.events if '"c1"' in new.payload] == ['{"id":"c1","text":"b"}']
