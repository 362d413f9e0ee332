"""The queue of an account: its slots, and which of them is free next."""

from datetime import UTC, datetime, time, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.schedule.errors import ScheduleError
from publish.schedule.slots import MOST_SLOTS, Queue, Slot, free_times, next_free, times
from tests.unit.publish.schedule.support import WALL, ZONE, ZONES, utc

SUNDAY = 6


def queue(*slots: tuple[int, str], zone: str = "Europe/Berlin") -> Queue:
    return Queue(frozenset(Slot(day, time.fromisoformat(wall)) for day, wall in slots), zone)


def test_next_free_slot_is_the_first_that_no_post_has() -> None:
    week = queue((0, "09:00"), (0, "17:00"), (3, "12:00"))
    after = utc("2027-05-01 00:00")  # a Saturday
    taken: list[datetime] = []
    for expected in ("2027-05-03 07:00", "2027-05-03 15:00", "2027-05-06 10:00", "2027-05-10 07:00"):
        found = next_free(week, taken, after, ZONES)
        assert found.instant == utc(expected)
        taken.append(found.instant)
    taken.remove(utc("2027-05-03 15:00"))
    assert next_free(week, taken, after, ZONES).instant == utc("2027-05-03 15:00"), "a post was removed"


def test_slot_is_after_the_instant_and_not_at_it() -> None:
    assert next_free(queue((0, "09:00")), [], utc("2027-05-03 07:00"), ZONES).instant == utc("2027-05-10 07:00")


def test_slots_keep_their_wall_time_over_changes_of_daylight_saving() -> None:
    found = times(queue((SUNDAY, "09:00")), utc("2027-03-20 00:00"), ZONES)
    assert [next(found).instant for _ in range(2)] == [utc("2027-03-21 08:00"), utc("2027-03-28 07:00")]
    found = times(queue((SUNDAY, "02:30")), utc("2027-10-30 00:00"), ZONES)
    assert [next(found).instant for _ in range(2)] == [utc("2027-10-31 00:30"), utc("2027-11-07 01:30")]


def test_slots_that_meet_in_a_gap_are_one_on_that_day_and_two_posts_never_share_it() -> None:
    week = queue((SUNDAY, "02:30"), (SUNDAY, "03:00"))
    after = utc("2027-03-27 12:00")
    found = free_times(week, [], after, ZONES)
    assert [next(found).instant for _ in range(3)] == [
        utc("2027-03-28 01:00"),
        utc("2027-04-04 00:30"),
        utc("2027-04-04 01:00"),
    ]
    assert next_free(week, [utc("2027-03-28 01:00")], after, ZONES).instant == utc("2027-04-04 00:30")


def test_slot_that_a_gap_moved_into_the_next_day_is_found_there() -> None:
    """Beirut's clocks go forward at midnight, so a Sunday's slot at 00:30 comes at 01:00."""
    found = next_free(queue((SUNDAY, "00:30"), zone="Asia/Beirut"), [], utc("2027-03-27 21:59"), ZONES)
    assert (found.instant, found.decision) == (utc("2027-03-27 22:00"), "gap")


@settings(max_examples=50, deadline=None)
@given(
    st.sets(
        st.tuples(st.integers(0, 6), st.times().map(lambda found: found.replace(microsecond=0))), min_size=1, max_size=8
    ),
    ZONE,
    WALL,
)
def test_times_are_in_order_each_once_and_all_in_the_year_that_follows(
    slots: set[tuple[int, time]], zone: str, naive: datetime
) -> None:
    after = naive.replace(tzinfo=UTC)
    week = Queue(frozenset(Slot(*slot) for slot in slots), zone)
    found = [each.instant for each in times(week, after, ZONES)]
    assert found == sorted(set(found))
    assert after < found[0] <= after + timedelta(days=9)
    assert after + timedelta(days=357) < found[-1] < after + timedelta(days=369)


def test_full_queue_and_queue_without_slots_say_so() -> None:
    week, after = queue((0, "09:00")), utc("2027-05-01 00:00")
    full = [found.instant for found in times(week, after, ZONES)]
    with pytest.raises(ScheduleError, match="full for a year"):
        next_free(week, full, after, ZONES)
    with pytest.raises(ScheduleError, match="has no slot"):
        next_free(queue(), [], after, ZONES)


def test_what_is_no_time_of_the_week_is_refused() -> None:
    with pytest.raises(ScheduleError, match="weekday"):
        Slot(7, time(9))
    with pytest.raises(ScheduleError, match="offset"):
        Slot(0, time(9, tzinfo=timezone(timedelta(hours=1))))
    with pytest.raises(ScheduleError, match="too many slots"):
        queue(
            *((day, f"{minute // 60:02}:{minute % 60:02}") for day in range(7) for minute in range(MOST_SLOTS // 7 + 1))
        )
