"""Numbers that grow by the clock: the same object, metric and day always give the same number."""

from zlib import crc32

DAY, HOUR = 86_400, 3600
FIRST_DAY = 19_000
"""The day (since 1970) on which every daily number is at its lowest."""

RIPENING = (0.6, 0.9, 1.0)
"""The part of a day's number that is known in the first day after it, in the second, and after 48 h
(``meta.md`` 10.8)."""


def grown(subject: str, metric: str, age_seconds: float) -> int:
    """Return a number of an object of this age: 0 at first, then more each hour, towards a limit of its own."""
    hours = max(0, int(age_seconds)) // HOUR
    return (20 + crc32(f"{subject}/{metric}".encode()) % 400) * hours // (hours + 48)


def daily(subject: str, metric: str, day: int) -> int:
    """Return the whole number of one day since 1970; each day's is more than that of the day before."""
    own = crc32(f"{subject}/{metric}".encode())
    return own % 50 + (1 + own % 3) * max(0, day - FIRST_DAY)


def known(subject: str, metric: str, day: int, now: float) -> int:
    """Return what of a day's number is known at ``now`` (Unix seconds): less than all for 48 h after its end."""
    days_after = int((now - (day + 1) * DAY) // DAY)
    part = RIPENING[min(max(days_after, 0), len(RIPENING) - 1)]
    return int(daily(subject, metric, day) * part)


def between(subject: str, metric: str, since: float, until: float, now: float) -> int:
    """Return what is known of the days from ``since`` to ``until``; of a day that is only begun, its part."""
    total = 0.0
    for day in range(int(since // DAY), int(-(-until // DAY))):
        inside = min(until, (day + 1) * DAY) - max(since, day * DAY)
        total += known(subject, metric, day, now) * inside / DAY
    return int(total)
