"""Time zones and instants for the tests of schedules."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from publish.schedule.zones import installed

ZONES = installed()
ZONE = st.sampled_from(sorted(ZONES.names))
WALL = st.datetimes(datetime.fromisoformat("1980-01-01"), datetime.fromisoformat("2040-01-01"))
"""Without an offset: a past with odd changes of the clocks, and the years that posts are made for."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
