"""When a post is due by its request, and in which state its targets wait for that."""

from dataclasses import dataclass
from datetime import datetime

from publish.posting.errors import PostError
from publish.posting.requests import PostBody
from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import ScheduledTime, local_time, parse
from publish.schedule.zones import TimeZones
from schema.states import TargetState


@dataclass(frozen=True, slots=True)
class Time:
    """When a post is due, as it was asked for. ``action`` is draft, schedule or publish.

    ``queued``: each account publishes it at the next free slot of its own.
    """

    action: str
    found: ScheduledTime | None = None
    queued: bool = False

    @property
    def words(self) -> str:
        """How the time was decided, as where the clocks change; empty where none was named."""
        return self.found.words if self.found is not None else ""


def time_of_post(body: PostBody, zones: TimeZones) -> Time:
    """Return when a new post is due. Raises PostError."""
    if not body.next_free_slot:
        return time_of(body.action, body.scheduled_time, body.timezone, zones)
    if body.scheduled_time or body.action not in (None, "schedule"):
        message = "The next free slot is the time of a post, so it has no other, and is neither kept nor published now."
        raise PostError("unprocessable", message, "leave scheduled_time and action out, or next_free_slot")
    return Time("schedule", queued=True)


def time_of(action: str | None, scheduled_time: str | None, zone: str | None, zones: TimeZones) -> Time:
    """Return when a post is due by its request. Raises PostError."""
    action = action or ("schedule" if scheduled_time else "draft")
    if action == "publish":
        return Time(action)
    if not scheduled_time:
        if action == "schedule":
            message = "The post has no time."
            raise PostError("unprocessable", message, "give it a scheduled_time and a timezone, or publish it now")
        return Time(action)
    try:
        return Time(action, parse(scheduled_time, zone or None, zones))
    except ScheduleError as error:
        raise PostError("unprocessable", f"{error.message[:1].upper()}{error.message[1:]}.", error.remedy) from None


def release_of(time: Time, zones: TimeZones) -> str | None:
    """Return the release of the time zone database that decided a time; None where an instant was named, or none.

    What is due at an instant stays there, whatever the clocks of its zone do.
    """
    return None if time.found is None or time.found.decision == "instant" else zones.release


def due_at(time: Time, now: datetime, before: datetime | None = None) -> datetime:
    """Return when a post is due: the time that it names, the one that it had before, or now. Raises PostError."""
    if time.found is None:
        return before or now
    if time.found.instant < now and time.action != "draft":
        message = f"The time is past: {time.found.words}."
        raise PostError("unprocessable", message, "choose a later time, or publish it now")
    return time.found.instant


def state_after(action: str, *, needs_approval: bool) -> TargetState:
    """Return the state of the targets of a new post."""
    if action == "draft":
        return TargetState.DRAFT
    return TargetState.AWAITING_APPROVAL if needs_approval else TargetState.SCHEDULED


def stored_wall(found: ScheduledTime | None) -> str | None:
    return None if found is None else local_time(found.wall)
