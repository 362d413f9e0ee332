"""Find the next free slot of an account's queue: times of the week at which it publishes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import ScheduledTime, resolve
from publish.schedule.zones import TimeZones

HORIZON_DAYS = 366
"""How far ahead the queue is filled. A queue that is full for so long takes no more."""

MOST_SLOTS = 168


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A time of the week. ``weekday`` is 0 for Monday, as :meth:`datetime.date.weekday` counts."""

    weekday: int
    wall: time

    def __post_init__(self) -> None:
        """Raise ScheduleError for what is no time of the week."""
        if not 0 <= self.weekday <= 6:
            raise ScheduleError("a slot has no such weekday", "choose from 0 for Monday to 6 for Sunday")
        if self.wall.tzinfo is not None:
            raise ScheduleError("the time of a slot has an offset from UTC", "name the zone once for the whole queue")


@dataclass(frozen=True, slots=True)
class Queue:
    """The slots of one account, in one time zone."""

    slots: frozenset[Slot]
    zone: str

    def __post_init__(self) -> None:
        """Raise ScheduleError for too many slots."""
        if len(self.slots) > MOST_SLOTS:
            raise ScheduleError("the queue has too many slots", f"keep at most {MOST_SLOTS} in a week")


def times(queue: Queue, after: datetime, zones: TimeZones) -> Iterator[ScheduledTime]:
    """Yield the times of the slots after an instant, in order and each instant once, for a year.

    A slot in an hour that daylight saving skips moves to the first time after it. Where another slot is there already,
    the two are one on that day.
    """
    rules = zones.zone(queue.zone)
    # A day earlier: the day of a slot that was moved by a gap is the one before.
    first = after.astimezone(rules).date() - timedelta(days=1)
    last = after
    for offset in range(HORIZON_DAYS + 2):
        day = first + timedelta(days=offset)
        for slot in sorted(slot for slot in queue.slots if slot.weekday == day.weekday()):
            found = resolve(datetime.combine(day, slot.wall), queue.zone, zones)
            if found.instant > last:
                last = found.instant
                yield found


def free_times(queue: Queue, taken: Collection[datetime], after: datetime, zones: TimeZones) -> Iterator[ScheduledTime]:
    """Yield the times after an instant at which the account has no post; ``taken`` are the instants of its posts."""
    occupied = frozenset(taken)
    return (found for found in times(queue, after, zones) if found.instant not in occupied)


def next_free(queue: Queue, taken: Collection[datetime], after: datetime, zones: TimeZones) -> ScheduledTime:
    """Return the next free time. Raises ScheduleError where the queue has no slot, or none that is free in a year."""
    if not queue.slots:
        raise ScheduleError("the queue of this account has no slot", "add times of the week, or choose a time")
    for found in free_times(queue, taken, after, zones):
        return found
    raise ScheduleError(
        "the queue of this account is full for a year", "add times of the week, choose a time, or remove posts"
    )
