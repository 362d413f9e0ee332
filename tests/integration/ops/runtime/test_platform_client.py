"""What a platform's answers say about its clock."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from prometheus_client import REGISTRY

from ops.runtime.platform_protocol import Response, clock_skew
from tests.rig import Rig

AHEAD = "landfall_platform_clock_skew_seconds"


@pytest.mark.parametrize("seconds", [-90, 0, 3600])
def test_skew_is_how_far_the_platform_is_ahead(seconds: int) -> None:
    now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    said = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    assert clock_skew(Response(200, {}, {"date": said}), now) == seconds


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "yesterday"}, {"date": "99 Nov 2026"}])
def test_an_answer_without_a_readable_date_says_nothing_about_the_clock(headers: dict[str, str]) -> None:
    assert clock_skew(Response(200, {}, headers), datetime.now(UTC)) is None


async def test_clock_of_a_platform_is_shown_once_it_has_answered(rig: Rig) -> None:
    await rig.sandbox.command("clock", jump=3600)
    await rig.connect("instagram")
    shown = REGISTRY.get_sample_value(AHEAD, {"platform": "instagram"})
    assert shown is not None
    assert 3540 < shown < 3660
