"""The one clock that is passed around. Leases and schedules ask PostgreSQL's instead."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)
