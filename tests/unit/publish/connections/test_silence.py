"""When an account counts as silent: by its own history, and never without one."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publish.connections.silence import FLOOR_HOURS, HISTORY_DAYS, LEAST_DAYS, LEAST_HOURS, Rhythm, rhythm, silent_since

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOURS = HISTORY_DAYS * 24


def by_day(first: int = 8, last: int = 20, *, weekend: bool = True) -> list[int]:
    """Four weeks in which events come in the hours of the day; hour 0 is of a Monday."""
    return [hour for hour in range(HOURS) if first <= hour % 24 < last and (weekend or hour // 24 % 7 < 5)]


def without(hours: Iterable[int], first: int, last: int) -> list[int]:
    return [hour for hour in hours if not first <= hour < last]


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        pytest.param([], None, id="no event"),
        pytest.param(range(LEAST_HOURS - 1), None, id="too few hours"),
        pytest.param(range(0, LEAST_DAYS * 24, 8), None, id="less than a week"),
        pytest.param(range(0, LEAST_DAYS * 24 + 8, 8), Rhythm(8, 16), id="a week, just enough"),
        pytest.param(range(HOURS), Rhythm(1, FLOOR_HOURS), id="each hour: no shorter pause is reported"),
        pytest.param(by_day(), Rhythm(13, 26), id="by day: the nights are its habit"),
        pytest.param(by_day(weekend=False), Rhythm(61, 122), id="on working days: weekends are its habit"),
        pytest.param(without(range(HOURS), 100, 220), Rhythm(1, FLOOR_HOURS), id="one outage is no habit"),
        pytest.param(without(by_day(), 100, 220), Rhythm(13, 26), id="nor between nights"),
        pytest.param(
            [*range(10), *range(200, 210), *range(390, 400)], Rhythm(1, 192), id="three bursts: never alarm early"
        ),
        pytest.param(range(0, HOURS, 30), Rhythm(30, 60), id="an event each day or so"),
    ],
)
def test_rhythm_is_that_of_the_history(hours: Iterable[int], found: Rhythm | None) -> None:
    assert rhythm(list(hours)) == found


@given(st.sets(st.integers(0, HOURS), min_size=LEAST_HOURS))
def test_what_happened_twice_in_the_history_is_not_reported(hours: set[int]) -> None:
    """But for one outage, an account is to be more silent than it ever was, and by far more than it usually is."""
    ordered = sorted(hours)
    found = rhythm(ordered)
    if found is None:
        assert ordered[-1] - ordered[0] < LEAST_DAYS * 24
        return
    pauses = sorted(later - earlier for earlier, later in pairwise(ordered))
    assert found.alarm > pauses[-2]
    assert found.alarm >= max(FLOOR_HOURS, 2 * found.usual)
    assert found.usual <= pauses[-1]


@pytest.mark.parametrize(
    ("quiet_hours", "listening_hours", "alarm", "silent"),
    [
        pytest.param(25.9, 500, 26, False, id="just before"),
        pytest.param(26, 500, 26, True, id="from then on"),
        pytest.param(26, 500, None, False, id="no history, no alarm"),
        pytest.param(None, 500, 26, False, id="nothing was ever heard"),
        pytest.param(500, 25, 26, False, id="events could not come until a day ago"),
        pytest.param(500, 26, 26, True, id="and did not come since"),
        pytest.param(0, 500, 26, False, id="heard just now"),
    ],
)
def test_account_is_silent_once_the_pause_is_over(
    quiet_hours: float | None,
    listening_hours: float,
    alarm: int | None,
    silent: bool,  # noqa: FBT001
) -> None:
    heard = None if quiet_hours is None else NOW - timedelta(hours=quiet_hours)
    found = silent_since(NOW, heard, NOW - timedelta(hours=listening_hours), alarm)
    assert found == (heard if silent else None)
