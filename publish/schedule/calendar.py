"""Months and weeks of a calendar in a time zone: which days they have, and between which instants they lie. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from publish.schedule.wall_time import resolve
from publish.schedule.zones import TimeZones

View = Literal["month", "week"]
VIEWS: Sequence[View] = ("month", "week")
FIRST, LAST = date(2000, 1, 10), date(2099, 12, 20)
"""No page of a calendar begins earlier or later than with one of these days."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """One page of a calendar: whole weeks, each from Monday on. ``since`` and ``until`` are in UTC.

    ``day`` is one of the page, ``before`` and ``after`` are days of the pages beside it.
    """

    view: View
    zone: str
    day: date
    weeks: Sequence[Sequence[date]]
    since: datetime
    until: datetime
    before: date
    after: date

    def holds(self, day: date) -> bool:
        """Whether a day is of the month that is shown, or of the week."""
        return self.view == "week" or day.month == self.day.month


def calendar_of(view: View, day: date, zone: str, zones: TimeZones) -> Calendar:
    """Return the month or the week that has a day. Raises ScheduleError for a zone that there is not.

    A day begins at its first instant in the zone: where the clocks go forward at midnight, that is later than midnight.
    """
    day = min(max(day, FIRST), LAST)
    if view == "week":
        first = day - timedelta(days=day.weekday())
        count, before, after = 1, day - timedelta(days=7), day + timedelta(days=7)
    else:
        begin = day.replace(day=1)
        after = (begin + timedelta(days=32)).replace(day=1)
        before = (begin - timedelta(days=1)).replace(day=1)
        first = begin - timedelta(days=begin.weekday())
        count = -(-(after - first).days // 7)
    weeks = [[first + timedelta(days=7 * week + each) for each in range(7)] for week in range(count)]
    since, until = (_begin(each, zone, zones) for each in (first, first + timedelta(days=7 * count)))
    return Calendar(view, zone, day, weeks, since, until, before, after)


def _begin(day: date, zone: str, zones: TimeZones) -> datetime:
    return resolve(datetime(day.year, day.month, day.day), zone, zones).instant  # noqa: DTZ001  a wall time
