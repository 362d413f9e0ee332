"""Give the posts of a list times at a fixed interval (``users-design.md`` 2, ``scheduling_options``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import ScheduledTime, at_instant, parse, resolve
from publish.schedule.zones import TimeZones

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)
DAY = timedelta(days=1)
OPTIONS = ("interval_hours", "start_time", "timezone")


@dataclass(frozen=True, slots=True)
class SchedulingOptions:
    """The first time, and how long after one post the next one is due."""

    start: ScheduledTime
    interval: timedelta

    def time(self, position: int, zones: TimeZones) -> ScheduledTime:
        """Return the time of the post at ``position``, from 0.

        Whole days keep the wall time, so 24 hours means the same time each day across a change of daylight saving.
        Any other interval is counted in hours that pass.
        """
        step = self.interval * position
        zone = self.start.zone
        if self.interval % DAY == timedelta():
            return self.start if position == 0 else resolve(self.start.wall + step, zone, zones)
        reached = at_instant(self.start.instant + step, zone, zones)
        if self.start.decision == "instant":
            return reached
        by_clock = resolve(reached.wall, zone, zones)
        # The second pass of an hour that comes twice can only be named by its instant.
        return by_clock if by_clock.instant == reached.instant else reached


def read_options(options: Mapping[str, object], zone: str | None, zones: TimeZones) -> SchedulingOptions:
    """Read ``scheduling_options``. ``zone`` is where the wall time is when they name none. Raises ScheduleError."""
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise ScheduleError(
            f"scheduling_options has no field {unknown[0][:40]!r}", f"its fields are {', '.join(OPTIONS)}"
        )
    start, hours, named = (options.get(name) for name in ("start_time", "interval_hours", "timezone"))
    if not isinstance(start, str):
        raise ScheduleError("start_time is missing or is no text", "write it as 2027-05-01 09:00")
    if named is not None and not isinstance(named, str):
        raise ScheduleError("timezone is no text", "name a zone such as Europe/Berlin")
    return SchedulingOptions(parse(start, named or zone, zones), _interval(hours))


def _interval(hours: object) -> timedelta:
    remedy = f"give a number of hours from {SHORTEST / timedelta(hours=1):.3f} to {LONGEST // timedelta(hours=1)}"
    if isinstance(hours, bool) or not isinstance(hours, (int, float)):
        raise ScheduleError("interval_hours is missing or is no number", remedy)
    # Compared before it is multiplied: a timedelta of too many hours overflows.
    if not 0 < hours <= LONGEST / timedelta(hours=1):
        raise ScheduleError("interval_hours is out of range", remedy)
    interval = timedelta(seconds=round(hours * 3600))
    if interval < SHORTEST:
        raise ScheduleError("interval_hours is out of range", remedy)
    return interval
