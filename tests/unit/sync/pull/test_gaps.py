"""What an outage lost: what was sent so early in it that every repetition fell into it too."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.runtime.process_store import Outage
from sync.pull.gaps import lost_until, reason

BEGAN = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "lost"),
    [(1, None), (35.9, None), (36, None), (36.1, 0.1), (72, 36)],
)
def test_only_an_outage_longer_than_the_repetitions_loses_something(hours: float, lost: float | None) -> None:
    """meta.md 1.3: 36 hours."""
    found = lost_until(Outage(BEGAN, BEGAN + timedelta(hours=hours)), timedelta(hours=36))
    assert found == (None if lost is None else BEGAN + timedelta(hours=lost))


def test_reason_names_the_hours() -> None:
    outage = Outage(BEGAN, BEGAN + timedelta(hours=40))
    assert reason(outage, BEGAN + timedelta(hours=4)) == (
        "webhooks sent from 2026-11-01 12:00 to 2026-11-01 16:00 UTC were not received"
    )
