"""Which days a month and a week of a calendar have, and between which instants they lie."""

from datetime import UTC, date, datetime, timedelta

import pytest

from publish.schedule.calendar import FIRST, LAST, calendar_of
from publish.schedule.errors import ScheduleError
from publish.schedule.zones import installed

ZONES = installed()


def test_month_is_shown_in_whole_weeks_from_monday_on() -> None:
    found = calendar_of("month", date(2027, 5, 20), "Europe/Berlin", ZONES)
    assert (found.weeks[0][0], found.weeks[-1][-1], len(found.weeks)) == (date(2027, 4, 26), date(2027, 6, 6), 6)
    assert (found.before, found.after) == (date(2027, 4, 1), date(2027, 6, 1))
    assert (found.since, found.until) == (datetime(2027, 4, 25, 22, tzinfo=UTC), datetime(2027, 6, 6, 22, tzinfo=UTC))
    assert (found.holds(date(2027, 5, 31)), found.holds(date(2027, 6, 1))) == (True, False)
    february = calendar_of("month", date(2027, 2, 28), "UTC", ZONES)
    assert len(february.weeks) == 4, "it begins on a Monday and has 28 days"


def test_week_holds_its_day_and_leads_to_the_weeks_beside_it() -> None:
    found = calendar_of("week", date(2027, 3, 28), "Europe/Berlin", ZONES)
    assert (found.weeks[0][0], found.weeks[0][-1]) == (date(2027, 3, 22), date(2027, 3, 28))
    assert (found.before, found.after) == (date(2027, 3, 21), date(2027, 4, 4))
    assert found.until - found.since == timedelta(days=7, hours=-1), "the clocks go forward on its last day"
    assert found.holds(date(2027, 4, 1))


def test_day_that_has_no_midnight_begins_at_its_first_instant() -> None:
    found = calendar_of("week", date(2027, 4, 30), "Africa/Cairo", ZONES)
    following = calendar_of("week", date(2027, 5, 3), "Africa/Cairo", ZONES)
    assert found.until == following.since
    friday = ZONES.zone("Africa/Cairo")
    assert datetime(2027, 4, 29, 22, tzinfo=UTC).astimezone(friday).hour == 1, "there the clocks go forward at midnight"


def test_pages_follow_one_another_without_a_gap_for_years() -> None:
    day, until = date(2026, 10, 15), None
    for _ in range(60):
        found = calendar_of("month", day, "America/New_York", ZONES)
        assert until is None or found.since <= until, "the weeks at the edges are shown on both"
        assert found.weeks[0][0].weekday() == 0
        assert any(day in week for week in found.weeks)
        day, until = found.after, found.until


def test_no_day_is_out_of_reach_of_the_rules_of_zones() -> None:
    for day, shown in ((date.min, FIRST), (date.max, LAST)):
        for view in ("month", "week"):
            assert calendar_of(view, day, "Europe/Berlin", ZONES).day == shown  # type: ignore[arg-type]


def test_zone_that_there_is_not_is_refused() -> None:
    with pytest.raises(ScheduleError, match="there is no time zone"):
        calendar_of("month", date(2027, 5, 1), "Nowhere/There", ZONES)
