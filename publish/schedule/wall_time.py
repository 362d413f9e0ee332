"""Turn the wall time and time zone that a person names into one instant, and say in words how that was decided.

Where the clocks go forward over a wall time, it is the first instant after the gap; where it comes twice, it is the
first of the two (``faults.md`` D6).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from publish.schedule.errors import ScheduleError
from publish.schedule.zones import TimeZones

Decision = Literal["exact", "gap", "overlap", "instant"]
"""How an instant was found. ``exact``: the wall time comes once. ``gap``: it does not exist. ``overlap``: it comes
twice. ``instant``: an offset from UTC was named, so no rule of a zone has a say in it."""

_WRITTEN = re.compile(r"(20\d\d-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_FORM = "write it as 2027-05-01 09:00, or with an offset from UTC as 2027-05-01T09:00:00+02:00"


@dataclass(frozen=True, slots=True)
class ScheduledTime:
    """When a post is due. ``wall`` is the time that was asked for, without a zone, and ``instant`` is in UTC.

    ``words`` says how it was decided, for the person to see before it is saved.
    """

    wall: datetime
    zone: str
    instant: datetime
    decision: Decision
    words: str

    @property
    def written(self) -> str:
        """The time as :func:`parse` reads it again, together with the zone."""
        if self.decision == "instant":
            return f"{_written(self.instant)}Z"
        return _written(self.wall)


def resolve(wall: datetime, zone: str, zones: TimeZones) -> ScheduledTime:
    """Decide which instant a wall time without an offset is. Raises ScheduleError for an unknown zone."""
    if wall.tzinfo is not None:
        raise ValueError("a wall time has no offset from UTC; use at_instant")
    wall = wall.replace(fold=0)
    rules = zones.zone(zone)
    first, second = (_utc(wall, rules, fold) for fold in (0, 1))
    if first == second:
        words = f"{_written(wall)} in {zone} ({_offset(first, rules)})"
        return ScheduledTime(wall, zone, first, "exact", words)
    # In a gap, fold 0 stands for the offset before it, which leads to an instant after it, and fold 1 the reverse.
    changed = _change(min(first, second), max(first, second), rules)
    before = (changed + _shift(changed - timedelta(seconds=1), rules)).replace(tzinfo=None)
    after = (changed + _shift(changed, rules)).replace(tzinfo=None)
    if first > second:
        words = (
            f"{_written(wall)} does not exist in {zone}: the clocks go forward from {_written(before)} to"
            f" {_written(after)}. It is scheduled for {_written(after)} ({_offset(changed, rules)}), the first time"
            " after that"
        )
        return ScheduledTime(wall, zone, changed, "gap", words)
    words = (
        f"{_written(wall)} comes twice in {zone}: the clocks go back from {_written(before)} to {_written(after)}."
        f" It is scheduled for the first of the two ({_offset(first, rules)})"
    )
    return ScheduledTime(wall, zone, first, "overlap", words)


def at_instant(instant: datetime, zone: str, zones: TimeZones) -> ScheduledTime:
    """Schedule for an instant, whatever the clocks of a zone show then; the zone says how it is shown."""
    rules = zones.zone(zone)
    instant = instant.astimezone(UTC)
    wall = instant.astimezone(rules).replace(tzinfo=None, fold=0)
    words = f"{_written(instant)} UTC"
    if _shift(instant, rules):
        words = f"{words}, which is {_written(wall)} in {zone} ({_offset(instant, rules)})"
    return ScheduledTime(wall, zone, instant, "instant", words)


def local_time(wall: datetime) -> str:
    """Return a wall time as it is stored, such as ``2026-11-28T09:00``."""
    return wall.isoformat(timespec="auto" if wall.second or wall.microsecond else "minutes")


def parse(text: str, zone: str | None, zones: TimeZones) -> ScheduledTime:
    """Read a time as ISO 8601 writes it. Raises ScheduleError.

    With an offset from UTC it is an instant. Without, it is a wall time in ``zone``. Forms such as 01/03/2027, which
    mean different days in different countries, are not read.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ScheduleError(f"{text.strip()[:40]!r} is not a time that can be read", _FORM)
    day, time, offset = found.groups()
    try:
        written = datetime.fromisoformat(f"{day}T{time}{(offset or '').upper()}")
    except ValueError:
        raise ScheduleError(f"{text.strip()!r} is not a time of the calendar", _FORM) from None
    if offset:
        return at_instant(written, zone or "UTC", zones)
    if zone is None:
        raise ScheduleError(
            f"{text.strip()!r} names no time zone",
            "name the zone, such as Europe/Berlin, in the field timezone, or add an offset from UTC to the time",
        )
    return resolve(written, zone, zones)


def _utc(wall: datetime, rules: tzinfo, fold: int) -> datetime:
    return wall.replace(tzinfo=rules, fold=fold).astimezone(UTC)


def _shift(instant: datetime, rules: tzinfo) -> timedelta:
    """Return how far a zone's clocks are ahead of UTC at an instant."""
    return instant.astimezone(rules).utcoffset() or timedelta()


def _change(before: datetime, after: datetime, rules: tzinfo) -> datetime:
    """Return the first instant at which the clocks have the offset of ``after``, to the second."""
    later = _shift(after, rules)
    low, high = 0, int((after - before).total_seconds())
    begin = after - timedelta(seconds=high)
    while high - low > 1:
        middle = (low + high) // 2
        if _shift(begin + timedelta(seconds=middle), rules) == later:
            high = middle
        else:
            low = middle
    return (begin + timedelta(seconds=high)).replace(microsecond=0)


def _written(moment: datetime) -> str:
    exact = "auto" if moment.second or moment.microsecond else "minutes"
    return moment.replace(tzinfo=None).isoformat(" ", exact)


def _offset(instant: datetime, rules: tzinfo) -> str:
    return f"UTC{instant.astimezone(rules).isoformat(timespec='seconds')[19:]}"
