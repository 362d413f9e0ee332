"""Repeat a post by a rule of RFC 5545, anchored to its first wall time, with an end.

Each occurrence is a post of its own. Its key is the revision of the rule and the number of the occurrence, so that it
is made once, whoever makes it, up to ``AHEAD`` before it is due. After downtime only the latest one that is due is
made. An edit arms the rule anew.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Literal

from dateutil import rrule

from publish.schedule.errors import ScheduleError
from publish.schedule.lateness import LateDecision, LatePolicy, decide
from publish.schedule.wall_time import ScheduledTime, resolve
from publish.schedule.zones import TimeZones

MOST_OCCURRENCES = 500
LONGEST = timedelta(days=3653)
"""How long after the first occurrence the last one may be: ten years."""

MOST_INTERVAL = 366

AHEAD = timedelta(days=7)
"""So long before it is due an occurrence becomes a post, which people see, approve, change and cancel by itself."""

_FREQUENCIES: Mapping[str, Literal[0, 1, 2, 3]] = {
    "DAILY": rrule.DAILY,
    "WEEKLY": rrule.WEEKLY,
    "MONTHLY": rrule.MONTHLY,
    "YEARLY": rrule.YEARLY,
}
_ALWAYS = ("FREQ", "INTERVAL", "COUNT", "UNTIL")
_PARTS: Mapping[str, tuple[str, ...]] = {
    "DAILY": _ALWAYS,
    "WEEKLY": (*_ALWAYS, "BYDAY", "WKST"),
    "MONTHLY": (*_ALWAYS, "BYDAY", "BYMONTHDAY"),
    "YEARLY": _ALWAYS,
}
"""The parts that each frequency takes. With these, a rule that holds on its first day holds again within some years."""

_WEEKDAYS = {name: getattr(rrule, name) for name in ("MO", "TU", "WE", "TH", "FR", "SA", "SU")}
_DAY = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_NUMBER = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_MONTH_DAY = re.compile(r"-?(?:[1-9]|[12]\d|3[01])", re.ASCII)
_UNTIL = re.compile(r"20\d{6}(T\d{6}Z?)?", re.ASCII)
_EXAMPLE = "for example FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time at which the rule holds. ``number`` counts from 1, at the first wall time."""

    number: int
    time: ScheduledTime


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule that was checked. ``rule`` is its text, in one form, for storing.

    ``armed_at`` is when it was made or last edited: occurrences until then are past and nobody is told of them.
    ``revision`` is part of the key of each occurrence, and grows with each edit.
    """

    rule: str
    start: ScheduledTime
    occurrences: tuple[Occurrence, ...]
    armed_at: datetime
    revision: int
    note: str
    """What to say of it before it is saved: which months or years have no occurrence; "" for nothing."""


@dataclass(frozen=True, slots=True)
class Due:
    """What to do now. ``missed`` are occurrences to record as missed, without a post.

    ``latest`` is the one to make, if any, and ``decision`` what its late policy says of it: ``publish_now`` or ``ask``.
    ``following`` is the next one that is not due yet; None when the rule has ended.
    """

    missed: tuple[Occurrence, ...]
    latest: Occurrence | None
    decision: LateDecision
    following: Occurrence | None

    def next_post(self, now: datetime) -> Occurrence | None:
        """Return the occurrence to make now: the latest that is due, or the next one where that is due soon."""
        if self.latest is None and self.following is not None and self.following.time.instant - now <= AHEAD:
            return self.following
        return self.latest


def read_rule(rule: str, start: ScheduledTime, now: datetime, zones: TimeZones, revision: int = 1) -> Recurrence:
    """Check a rule such as ``FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10``, and list its occurrences. Raises ScheduleError.

    ``start`` is the first occurrence. All others have its wall time, whatever daylight saving does.
    """
    parts = _parts(rule)
    walls = _walls(parts, start, zones)
    occurrences = tuple(
        Occurrence(number, start if number == 1 else resolve(wall, start.zone, zones))
        for number, wall in enumerate(walls, 1)
    )
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    return Recurrence(text, start, occurrences, now, revision, _note(parts, start.wall))


def _note(parts: Mapping[str, str], first: datetime) -> str:
    if "BYDAY" in parts or parts.get("BYMONTHDAY", "").startswith("-"):
        return ""
    if parts["FREQ"] == "MONTHLY" and first.day > 28:
        return f"Months without a day {first.day} are left out; BYMONTHDAY=-1 is the last day of every month"
    if parts["FREQ"] == "YEARLY" and (first.month, first.day) == (2, 29):
        return "Years without a 29 February are left out"
    return ""


def edited(old: Recurrence, rule: str, start: ScheduledTime, now: datetime, zones: TimeZones) -> Recurrence:
    """Arm a rule anew after an edit: what the old one had left is not made, what is past now is not made again."""
    return read_rule(rule, start, now, zones, old.revision + 1)


def due(recurrence: Recurrence, handled: int, now: datetime, policy: LatePolicy) -> Due:
    """Decide what to make now. ``handled`` is the number of the last occurrence that was made or missed, 0 for none.

    However many are due, at most one is made: the latest, and that only if its late policy allows it.
    """
    left = [
        found for found in recurrence.occurrences if found.number > handled and found.time.instant > recurrence.armed_at
    ]
    reached = [found for found in left if found.time.instant <= now]
    following = next((found for found in left if found.time.instant > now), None)
    if not reached:
        return Due((), None, "wait", following)
    decision = decide(reached[-1].time.instant, now, policy)
    if decision == "missed":
        return Due(tuple(reached), None, decision, following)
    return Due(tuple(reached[:-1]), reached[-1], decision, following)


def _parts(rule: str) -> dict[str, str]:
    """Split a rule into its parts, and check each. Raises ScheduleError."""
    parts: dict[str, str] = {}
    for part in rule.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in parts:
            raise ScheduleError(f"the rule has a part {part[:40]!r} that cannot be read", f"write it as in {_EXAMPLE}")
        parts[name] = value
    frequency = parts.get("FREQ", "")
    if frequency not in _PARTS:
        raise ScheduleError(
            f"the rule has no frequency that posts can have, but {frequency[:40]!r}",
            f"choose one of {', '.join(_PARTS)}",
        )
    if unknown := [name for name in parts if name not in _PARTS[frequency]]:
        known = ", ".join(_PARTS[frequency])
        raise ScheduleError(f"a {frequency} rule has no part {unknown[0][:40]!r}", f"its parts are {known}")
    if ("COUNT" in parts) == ("UNTIL" in parts):
        raise ScheduleError("the rule needs one end", "name either COUNT, how many there are, or UNTIL, the last day")
    if "BYDAY" in parts and "BYMONTHDAY" in parts:
        raise ScheduleError("the rule names both BYDAY and BYMONTHDAY", "name one of them")
    _check("INTERVAL", parts, _NUMBER, MOST_INTERVAL)
    _check("COUNT", parts, _NUMBER, MOST_OCCURRENCES)
    _check("BYMONTHDAY", parts, _MONTH_DAY, 31)
    if "WKST" in parts and parts["WKST"] not in _WEEKDAYS:
        raise ScheduleError("WKST is no weekday", f"choose one of {', '.join(_WEEKDAYS)}")
    return parts


def _check(name: str, parts: Mapping[str, str], form: re.Pattern[str], most: int) -> None:
    value = parts.get(name)
    if value is not None and not (form.fullmatch(value) and int(value) <= most):
        raise ScheduleError(f"{name} of the rule is {value[:40]!r}", f"choose a whole number of at most {most}")


def _walls(parts: Mapping[str, str], start: ScheduledTime, zones: TimeZones) -> list[datetime]:
    """List the wall times at which the rule holds, from the first to the last."""
    first = start.wall
    end, until = first + LONGEST, _until(parts, start, zones)
    if until is not None and until < first:
        raise ScheduleError("the rule ends before its first time", "choose a later UNTIL")
    count = int(parts["COUNT"]) if "COUNT" in parts else None
    found = rrule.rrule(
        _FREQUENCIES[parts["FREQ"]],
        dtstart=first.replace(microsecond=0),
        interval=int(parts.get("INTERVAL", 1)),
        wkst=_WEEKDAYS[parts.get("WKST", "MO")],
        byweekday=_by_day(parts),
        bymonthday=int(parts["BYMONTHDAY"]) if "BYMONTHDAY" in parts else None,
        until=min(until or end, end),
    )
    walls = list(islice(found, count or MOST_OCCURRENCES + 1))
    if not walls or walls[0] != first.replace(microsecond=0):
        raise ScheduleError(
            f"the rule does not hold at its first time, {first.isoformat(' ', 'minutes')} ({first:%A})",
            "begin at a time that the rule names" + (f", such as {walls[0]:%Y-%m-%d}" if walls else ""),
        )
    if len(walls) > MOST_OCCURRENCES:
        raise ScheduleError(
            f"the rule makes more than {MOST_OCCURRENCES} posts", "end it earlier, and continue it with another rule"
        )
    if (until is not None and until > end) or (count is not None and len(walls) < count):
        raise ScheduleError(f"the rule ends more than {LONGEST.days // 365} years after it begins", "end it earlier")
    return walls


def _by_day(parts: Mapping[str, str]) -> list[rrule.weekday] | None:
    if "BYDAY" not in parts:
        return None
    days = []
    for text in parts["BYDAY"].split(","):
        found = _DAY.fullmatch(text)
        if found is None or (found[1] and parts["FREQ"] != "MONTHLY"):
            raise ScheduleError(
                f"BYDAY of the rule names {text[:40]!r}",
                f"name weekdays as {', '.join(_WEEKDAYS)}; in a MONTHLY rule with their place, as 2TU or -1FR",
            )
        day = _WEEKDAYS[found[2]]
        days.append(day(int(found[1])) if found[1] else day)
    return days


def _until(parts: Mapping[str, str], start: ScheduledTime, zones: TimeZones) -> datetime | None:
    """Return the last wall time that counts. A day without a time counts whole."""
    if "UNTIL" not in parts:
        return None
    text = parts["UNTIL"]
    found = _UNTIL.fullmatch(text)
    try:
        until = datetime.fromisoformat(text) if found else None
    except ValueError:
        until = None
    if found is None or until is None:
        raise ScheduleError(
            f"UNTIL of the rule is {text[:40]!r}", "write the last day as 20271231, or with a time as 20271231T090000"
        )
    if until.tzinfo is not None:
        return until.astimezone(zones.zone(start.zone)).replace(tzinfo=None, fold=0)
    return until if found[1] else datetime.combine(until, time.max)
