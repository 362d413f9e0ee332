"""When an account has been silent for longer than its own history makes likely. Decisions without I/O.

Hours are numbers of whole hours since 1970. An account that was busy by day alone, or on working days, has its nights
and weekends in its history, so that a silence is one that was longer than those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

HISTORY_DAYS = 28

LEAST_HOURS, LEAST_DAYS = 20, 7
"""An account in fewer hours of which events came, or whose events span fewer days, has no history to judge by."""

FLOOR_HOURS = 12
"""No shorter pause is reported: platforms have troubles of hours, and repeat what they could not deliver."""

OUTLIER = 3
"""A pause so many times as long as the second longest was an outage, and no habit."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The longest usual pause between an account's events, and the one that is reported, in hours."""

    usual: int
    alarm: int


def rhythm(hours: Sequence[int]) -> Rhythm | None:
    """Return the rhythm of the hours in which events came, in ascending order; None for too short a history.

    What is reported is twice as long as the third longest pause, and longer than the longest that was no outage.
    """
    if len(hours) < LEAST_HOURS or hours[-1] - hours[0] < LEAST_DAYS * 24:
        return None
    pauses = sorted((later - earlier for earlier, later in pairwise(hours)), reverse=True)
    longest = pauses[1] if pauses[0] > OUTLIER * pauses[1] else pauses[0]
    return Rhythm(pauses[2], max(FLOOR_HOURS, 2 * pauses[2], longest + 1))


def silent_since(
    now: datetime, heard_at: datetime | None, listening_since: datetime, alarm_hours: int | None
) -> datetime | None:
    """Return since when an account is silent, where that is to be reported; None where it is not.

    ``listening_since`` is when events could come again: after an outage of ours, or a repair of the subscription, the
    platform is given the whole time anew.
    """
    if heard_at is None or alarm_hours is None:
        return None
    quiet = now - max(heard_at, listening_since)
    return heard_at if quiet >= timedelta(hours=alarm_hours) else None
