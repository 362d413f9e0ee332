"""Time zones and instants for the tests of schedules."""

import io
import struct
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from publish.schedule.zones import TimeZones, installed

ZONES = installed()
ZONE = st.sampled_from(sorted(ZONES.names))
WALL = st.datetimes(datetime.fromisoformat("1980-01-01"), datetime.fromisoformat("2040-01-01"))
"""Without an offset: a past with odd changes of the clocks, and the years that posts are made for."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


TOWN = "Test/Town"
"""A zone that only made-up releases have."""

STANDARD, SUMMER = "XST-1", "XST-1XDT,J100/2,J200/3"
"""Rules of it, as POSIX writes them: an hour ahead of UTC all year, or two from 10 April until 19 July.

By the second, 02:30 does not exist on the former day, and comes twice on the latter.
"""


def release_of(name: str, rule: str) -> TimeZones:
    """Return a made-up release of the time zone database, in which TOWN has this rule."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    block = b"TZif2" + bytes(15) + counts + struct.pack(">lbb", 3600, 0, 0) + b"XST\0"
    content = block * 2 + b"\n" + rule.encode() + b"\n"
    return TimeZones([TOWN], lambda key: ZoneInfo.from_file(io.BytesIO(content), key=key), name)
