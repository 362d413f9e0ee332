"""What becomes of a post whose time has come, or passed."""

from datetime import timedelta

import pytest

from publish.schedule.errors import ScheduleError
from publish.schedule.lateness import LatePolicy, WhenLate, decide
from tests.unit.publish.schedule.support import utc

DUE = utc("2027-05-01 09:00")
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("when_late", "late", "decision"),
    [
        ("publish", -SECOND, "wait"),
        ("skip", -SECOND, "wait"),
        ("ask", -timedelta(days=300), "wait"),
        ("publish", timedelta(), "publish_now"),
        ("skip", timedelta(), "publish_now"),
        ("ask", timedelta(minutes=5), "publish_now"),
        ("skip", timedelta(minutes=5), "publish_now"),
        ("skip", timedelta(minutes=5) + SECOND, "missed"),
        ("ask", timedelta(minutes=5) + SECOND, "ask"),
        ("publish", timedelta(minutes=5) + SECOND, "publish_now"),
        ("publish", timedelta(hours=2), "publish_now"),
        ("ask", timedelta(hours=2), "ask"),
        ("publish", timedelta(hours=2) + SECOND, "missed"),
        ("ask", timedelta(hours=2) + SECOND, "missed"),
        ("publish", timedelta(days=7), "missed"),
    ],
)
def test_late_post_is_published_within_its_window_and_missed_after_it(
    when_late: WhenLate, late: timedelta, decision: str
) -> None:
    assert decide(DUE, DUE + late, LatePolicy(when_late, timedelta(hours=2))) == decision


@pytest.mark.parametrize("window", [timedelta(), timedelta(minutes=4), timedelta(days=31), -timedelta(days=1)])
def test_window_that_no_policy_can_have_is_refused(window: timedelta) -> None:
    with pytest.raises(ScheduleError, match="window") as refused:
        LatePolicy("publish", window)
    assert refused.value.remedy == "choose from 5 minutes to 30 days"


def test_late_occurrence_is_missed_where_a_later_one_is_due_and_one_on_time_is_not() -> None:
    due, policy = utc("2027-01-01 00:00"), LatePolicy("publish", timedelta(days=30))
    assert decide(due, due + timedelta(minutes=4), policy, superseded=True) == "publish_now"
    assert decide(due, due + timedelta(days=1), policy, superseded=True) == "missed"
    assert decide(due, due + timedelta(days=1), policy) == "publish_now"
    assert decide(due, due + timedelta(days=1), LatePolicy("ask"), superseded=True) == "missed"
