"""Decide what becomes of a post whose time has come, or passed while nothing could be published."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from publish.schedule.errors import ScheduleError

PUNCTUAL = timedelta(minutes=5)
"""A post that is not later than this is on time: a worker that restarts takes as long."""

LONGEST_WINDOW = timedelta(days=30)

WhenLate = Literal["publish", "skip", "ask"]
LateDecision = Literal["wait", "publish_now", "ask", "missed"]


@dataclass(frozen=True, slots=True)
class LatePolicy:
    """What a post wants to happen when it is late, by up to ``window``. Later than that it is missed in any case."""

    when_late: WhenLate = "publish"
    window: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        """Raise ScheduleError for a window that no policy can have."""
        if not PUNCTUAL <= self.window <= LONGEST_WINDOW:
            raise ScheduleError(
                "the window for late posts is out of range",
                f"choose from {PUNCTUAL // timedelta(minutes=1)} minutes to {LONGEST_WINDOW.days} days",
            )


def decide(due: datetime, now: datetime, policy: LatePolicy, *, superseded: bool = False) -> LateDecision:
    """Decide what to do with a post at ``now``. ``missed`` is a state that people see, and can publish from.

    ``superseded``: it is an occurrence of a schedule of which a later one is due as well. Of those that are late, only
    the latest is published or asked about, so that nothing comes in a burst after downtime.
    """
    late = now - due
    if late < timedelta():
        return "wait"
    if late <= PUNCTUAL:
        return "publish_now"
    if superseded or policy.when_late == "skip" or late > policy.window:
        return "missed"
    return "publish_now" if policy.when_late == "publish" else "ask"
