"""What is to be made of a rule at a time: a week ahead, in order, and of what is late at most one."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publish.posting.occurrences import plan
from publish.posting.recurrence_store import StoredRecurrence
from publish.posting.recurrences import recurrence_of
from publish.schedule.recurrence import AHEAD
from schema.states import RecurrenceState
from tests.unit.publish.schedule.support import ZONES, utc

START = utc("2027-03-22 08:00")  # 09:00 in Berlin
ARMED = utc("2027-01-01 00:00")


def stored(count: int = 30, **changes: Any) -> StoredRecurrence:
    found = StoredRecurrence(
        id="id",
        template={"late_policy": "publish", "late_minutes": 1440},
        rule=f"FREQ=DAILY;COUNT={count}",
        start_time="2027-03-22 09:00",
        zone="Europe/Berlin",
        author="ada",
        state=RecurrenceState.ACTIVE,
        revision=1,
        armed_at=ARMED,
        handled=0,
        next_at=START,
        trouble=None,
        held_until=None,
        created_at=ARMED,
        updated_at=ARMED,
    )
    return replace(found, **changes)


def planned(now: datetime, **changes: Any) -> tuple[list[int], int | None, int, int | None]:
    """The numbers of what is missed, what is made, what was handled last, and what is next."""
    found = stored(**changes)
    step = plan(found, recurrence_of(found, ZONES), now)
    return (
        [each.number for each in step.missed],
        None if step.occurrence is None else step.occurrence.number,
        step.handled,
        None if step.following is None else step.following.number,
    )


@pytest.mark.parametrize(
    ("when", "handled", "expected"),
    [
        (START - AHEAD - timedelta(minutes=1), 0, ([], None, 0, 1)),
        (START - AHEAD, 0, ([], 1, 1, 2)),
        (START - AHEAD, 1, ([], None, 1, 2)),
        (START - timedelta(hours=1), 5, ([], 6, 6, 7)),
        (START + timedelta(minutes=1), 0, ([], 1, 1, 2)),
        (START + timedelta(days=4, minutes=1), 1, ([2, 3, 4], 5, 5, 6)),
        (START + timedelta(days=200), 3, ([*range(4, 31)], None, 30, None)),
        (START + timedelta(days=22), 29, ([], 30, 30, None)),
    ],
)
def test_next_occurrence_is_made_a_week_ahead_and_of_what_is_late_only_the_latest(
    when: datetime, handled: int, expected: Any
) -> None:
    assert planned(when, handled=handled) == expected


def test_policy_that_skips_makes_nothing_late_and_goes_on() -> None:
    policy = {"late_policy": "skip", "late_minutes": 1440}
    late = START + timedelta(days=2, hours=1)
    assert planned(late, template=policy) == ([1, 2, 3], 4, 4, 5), "the next one is not late"


def test_what_was_due_before_a_restore_is_missed_and_what_comes_after_is_made() -> None:
    held = START + timedelta(days=2, hours=1)
    assert planned(held, held_until=held) == ([1, 2, 3], None, 3, 4)
    assert planned(held, held_until=held, handled=3) == ([], 4, 4, 5)


def test_what_was_due_before_it_was_armed_is_neither_made_nor_missed() -> None:
    armed = START + timedelta(days=2, hours=1)
    assert planned(armed, armed_at=armed) == ([], 4, 4, 5)


@given(st.lists(st.integers(0, 40 * 24 * 60), min_size=1, max_size=12).map(sorted))
def test_however_often_somebody_looks_each_occurrence_is_handled_once_and_nothing_comes_in_a_burst(
    minutes: list[int],
) -> None:
    found, seen = stored(), list[int]()
    for minute in minutes:
        now, late = START - timedelta(days=8) + timedelta(minutes=minute), 0
        for _ in range(40):
            step = plan(found, recurrence_of(found, ZONES), now)
            seen += [each.number for each in (*step.missed, step.occurrence) if each is not None]
            late += step.occurrence is not None and step.occurrence.time.instant <= now
            found = replace(found, handled=step.handled)
            if step.occurrence is None:
                break
        assert late <= 1
    assert seen == sorted(set(seen))
    assert seen == [*range(1, len(seen) + 1)]
