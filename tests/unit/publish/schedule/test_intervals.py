"""Posts at a fixed interval: ``users-design.md`` 2, ``scheduling_options``."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.schedule.errors import ScheduleError
from publish.schedule.intervals import read_options
from tests.unit.publish.schedule.support import ZONE, ZONES, utc


def instants(start: str, hours: float, count: int, zone: str = "Europe/Berlin") -> list[str]:
    options = read_options({"start_time": start, "interval_hours": hours}, zone, ZONES)
    return [options.time(position, ZONES).instant.strftime("%d %H:%M") for position in range(count)]


def test_hours_are_counted_as_they_pass() -> None:
    assert instants("2027-05-01 22:00", 4, 3) == ["01 20:00", "02 00:00", "02 04:00"]
    assert instants("2027-05-01 22:00", 0.5, 3) == ["01 20:00", "01 20:30", "01 21:00"]
    assert instants("2027-03-28 01:00", 1, 3) == ["28 00:00", "28 01:00", "28 02:00"]
    assert instants("2027-10-31 01:30", 1, 4) == ["30 23:30", "31 00:30", "31 01:30", "31 02:30"]


def test_whole_days_keep_the_wall_time_over_a_change_of_daylight_saving() -> None:
    assert instants("2027-03-27 09:00", 24, 3) == ["27 08:00", "28 07:00", "29 07:00"]
    assert instants("2027-03-27 02:30", 24, 3) == ["27 01:30", "28 01:00", "29 00:30"]
    assert instants("2027-10-25 09:00", 7 * 24, 2) == ["25 07:00", "01 08:00"]


def test_whole_days_begin_at_the_wall_time_that_was_asked_for_and_not_where_a_gap_moved_it() -> None:
    assert instants("2027-03-28 02:30", 24, 2) == ["28 01:00", "29 00:30"]


@settings(deadline=None)
@given(
    st.datetimes(datetime.fromisoformat("2012-01-01"), datetime.fromisoformat("2040-01-01")),
    ZONE,
    st.integers(1, 200),
    st.integers(1, 30),
)
def test_each_post_is_due_after_the_one_before(wall: datetime, zone: str, hours: int, position: int) -> None:
    start = {"start_time": wall.isoformat(" ", "minutes"), "interval_hours": hours}
    options = read_options(start, zone, ZONES)
    first, second = (options.time(each, ZONES) for each in (position - 1, position))
    assert second.instant > first.instant
    if hours % 24:
        assert second.instant - first.instant == timedelta(hours=hours)
    else:
        assert second.wall - first.wall == timedelta(hours=hours)


def test_zone_of_the_options_comes_before_the_one_of_the_caller() -> None:
    options = {"start_time": "2027-05-01 09:00", "interval_hours": 1, "timezone": "Asia/Tokyo"}
    assert read_options(options, "Europe/Berlin", ZONES).start.instant == utc("2027-05-01 00:00")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interval_hours": 1}, "start_time is missing"),
        ({"interval_hours": 1, "start_time": 5}, "start_time is missing or is no text"),
        ({"start_time": "2027-05-01 09:00"}, "interval_hours is missing"),
        ({"start_time": "2027-05-01 09:00", "interval_hours": "4"}, "is no number"),
        ({"start_time": "2027-05-01 09:00", "interval_hours": True}, "is no number"),
        *(
            ({"start_time": "2027-05-01 09:00", "interval_hours": hours}, "out of range")
            for hours in (0, -1, 0.001, 1e300, 10**400, float("nan"), float("inf"), 9000)
        ),
        ({"start_time": "2027-05-01 09:00", "interval_hours": 1, "timezone": 1}, "timezone is no text"),
        ({"start_time": "2027-05-01 09:00", "interval_hours": 1, "every": 1}, "has no field 'every'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ScheduleError, match=said) as refused:
        read_options(options, "Europe/Berlin", ZONES)
    assert refused.value.remedy
