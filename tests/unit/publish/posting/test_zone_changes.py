"""What becomes of saved wall times when a release of the time zone database changes the clocks: decided without I/O."""

from dataclasses import replace
from datetime import datetime, time

import pytest

from publish.posting.zone_change_store import SavedTime
from publish.posting.zone_changes import moved_post, moved_slots
from publish.schedule.errors import ScheduleError
from publish.schedule.slots import Queue, Slot
from publish.schedule.wall_time import resolve
from tests.unit.publish.schedule.support import STANDARD, SUMMER, TOWN, release_of, utc

OLD, NEW = release_of("2098a", STANDARD), release_of("2098b", SUMMER)
EMPTY = Queue(frozenset(), TOWN)


def saved(wall: str, id_: str = "t", **more: object) -> SavedTime:
    """A target that the old release decided."""
    at = resolve(datetime.fromisoformat(wall), TOWN, OLD).instant
    return replace(SavedTime(id_, f"post of {id_}", "c", at, wall, TOWN, planned=True, begun=False), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wall", "at", "decision"),
    [
        ("2099-06-01T09:00", "2099-06-01 07:00", "exact"),
        ("2099-04-10T02:30", "2099-04-10 01:00", "gap"),
        ("2099-07-19T02:30", "2099-07-19 00:30", "overlap"),
        ("2099-06-01T09:00:30", "2099-06-01 07:00:30", "exact"),
    ],
)
def test_post_keeps_its_wall_time_in_a_gap_and_an_overlap_too(wall: str, at: str, decision: str) -> None:
    found = moved_post([saved(wall)], NEW)
    assert found is not None
    assert (found.instant, found.decision) == (utc(at), decision)


def test_post_stays_where_the_clocks_did_not_change_where_it_began_and_where_no_wall_time_is_known() -> None:
    assert moved_post([saved("2099-12-01T09:00")], NEW) is None
    assert moved_post([saved("2099-06-01T09:00", begun=True)], NEW) is None
    assert moved_post([saved("2099-06-01T09:00", local_time=None)], NEW) is None
    with pytest.raises(ScheduleError):
        moved_post([saved("2099-06-01T09:00", zone="Gone/Zone")], NEW)


def test_slots_take_the_places_that_others_leave_in_either_direction() -> None:
    hours = [saved(f"2099-06-01T{hour:02}:00", f"at {hour}") for hour in range(9, 12)]
    earlier = moved_slots(hours, [], EMPTY, NEW)
    assert [earlier[each.target_id].instant for each in hours] == [
        utc(f"2099-06-01 {hour:02}:00") for hour in (7, 8, 9)
    ]
    back = [replace(each, at=earlier[each.target_id].instant) for each in hours]
    later = moved_slots(back, [], EMPTY, release_of("2098c", STANDARD))
    assert [later[each.target_id].instant for each in hours] == [each.at for each in hours]


def test_two_slots_that_a_gap_makes_one_are_published_apart() -> None:
    night = [saved("2099-04-10T02:30", "first"), saved("2099-04-10T03:00", "second")]
    queue = Queue(frozenset([Slot(4, time(2, 30)), Slot(4, time(3, 0)), Slot(4, time(21, 0))]), TOWN)
    found = moved_slots(night, [], queue, NEW)
    assert {name: f"{each.instant:%d %H:%M}" for name, each in found.items()} == {
        "first": "10 01:00",
        "second": "10 19:00",
    }, "the other one takes the next free slot"
    held = moved_slots(night, [utc("2099-04-10 19:00")], queue, NEW)
    assert f"{held['second'].instant:%d %H:%M}" == "17 00:30", "that is taken, so a week later"
    without = moved_slots(night, [], EMPTY, NEW)
    assert f"{without['second'].instant:%d %H:%M}" == "10 01:01", (
        "an account without a queue still never posts two at once"
    )


def test_slot_that_a_person_tries_again_or_whose_zone_is_gone_stays_and_nothing_else_takes_it() -> None:
    again = saved("2099-06-01T07:00", "again", planned=False)
    gone = saved("2099-06-01T08:00", "gone", zone="Gone/Zone")
    wants_both = saved("2099-06-01T08:00", "wants", at=utc("2099-06-01 07:30"))
    found = moved_slots([again, gone, wants_both], [], EMPTY, NEW)
    assert set(found) == {"wants"}
    assert found["wants"].instant == utc("2099-06-01 06:01")
