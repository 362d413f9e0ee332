"""Posts that repeat: each occurrence once, none in bursts, and every rule has an end."""

import time
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.schedule.errors import ScheduleError
from publish.schedule.lateness import LatePolicy
from publish.schedule.recurrence import MOST_OCCURRENCES, Recurrence, due, edited, read_rule
from publish.schedule.wall_time import parse
from tests.unit.publish.schedule.support import ZONES, utc

NOW = utc("2027-01-01 00:00")
PUBLISH, SKIP, ASK = (LatePolicy(when, timedelta(hours=12)) for when in ("publish", "skip", "ask"))


def repeated(rule: str, start: str = "2027-03-22 09:00", zone: str = "Europe/Berlin") -> Recurrence:
    return read_rule(rule, parse(start, zone, ZONES), NOW, ZONES)


def walls(recurrence: Recurrence) -> list[str]:
    return [found.time.wall.isoformat(" ", "minutes")[5:] for found in recurrence.occurrences]


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        ("FREQ=DAILY;COUNT=3", "2027-03-22 09:00", ["03-22 09:00", "03-23 09:00", "03-24 09:00"]),
        ("FREQ=DAILY;INTERVAL=2;UNTIL=20270326", "2027-03-22 09:00", ["03-22 09:00", "03-24 09:00", "03-26 09:00"]),
        ("FREQ=DAILY;UNTIL=20270323T085959", "2027-03-22 09:00", ["03-22 09:00"]),
        ("FREQ=DAILY;UNTIL=20270323T080000Z", "2027-03-22 09:00", ["03-22 09:00", "03-23 09:00"]),
        ("freq=weekly;byday=mo,th;count=3", "2027-03-22 09:00", ["03-22 09:00", "03-25 09:00", "03-29 09:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=MO;COUNT=2", "2027-03-22 09:00", ["03-22 09:00", "03-28 09:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;WKST=SU;COUNT=2", "2027-03-22 09:00", ["03-22 09:00", "04-04 09:00"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", "2027-03-26 09:00", ["03-26 09:00", "04-30 09:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "2027-01-31 09:00", ["01-31 09:00", "02-28 09:00", "03-31 09:00"]),
        ("FREQ=MONTHLY;COUNT=2", "2027-01-31 09:00", ["01-31 09:00", "03-31 09:00"]),
        ("FREQ=YEARLY;COUNT=2", "2027-03-22 09:00", ["03-22 09:00", "03-22 09:00"]),
    ],
)
def test_rule_gives_the_times_that_rfc_5545_says(rule: str, start: str, expected: list[str]) -> None:
    assert walls(repeated(rule, start)) == expected


def test_occurrences_keep_their_wall_time_over_a_change_of_daylight_saving() -> None:
    found = repeated("FREQ=DAILY;COUNT=4", "2027-03-26 02:30").occurrences
    instants = ["2027-03-26 01:30", "2027-03-27 01:30", "2027-03-28 01:00", "2027-03-29 00:30"]
    assert [each.time.instant for each in found] == [utc(text) for text in instants]
    assert [each.time.decision for each in found] == ["exact", "exact", "gap", "exact"]


def test_day_that_some_months_lack_is_said_before_it_is_saved() -> None:
    assert "Months without a day 31" in repeated("FREQ=MONTHLY;COUNT=2", "2027-01-31 09:00").note
    assert "29 February" in repeated("FREQ=YEARLY;COUNT=2", "2028-02-29 09:00").note
    for rule in ("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2", "FREQ=MONTHLY;BYDAY=-1SU;COUNT=2", "FREQ=DAILY;COUNT=2"):
        assert repeated(rule, "2027-01-31 09:00").note == ""


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("FREQ=DAILY", "needs one end"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270401", "needs one end"),
        ("FREQ=HOURLY;COUNT=2", "no frequency that posts can have, but 'HOURLY'"),
        ("COUNT=2", "no frequency"),
        ("", "cannot be read"),
        ("every day", "cannot be read"),
        ("FREQ=DAILY;;COUNT=2", "cannot be read"),
        ("FREQ=DAILY;COUNT=2;COUNT=3", "'COUNT=3' that cannot be read"),
        ("FREQ=DAILY;BYHOUR=9,10,11;COUNT=2", "no part 'BYHOUR'"),
        ("FREQ=WEEKLY;BYSETPOS=1;COUNT=2", "no part 'BYSETPOS'"),
        ("FREQ=DAILY;COUNT=0", "COUNT of the rule is '0'"),
        ("FREQ=DAILY;COUNT=501", "COUNT of the rule is '501'"),
        ("FREQ=DAILY;COUNT=" + "9" * 9000, "COUNT of the rule is '999"),
        ("FREQ=DAILY;INTERVAL=-1;COUNT=2", "INTERVAL of the rule"),
        ("FREQ=DAILY;INTERVAL=367;COUNT=2", "INTERVAL of the rule"),
        ("FREQ=DAILY;UNTIL=20290401", "more than 500 posts"),
        ("FREQ=DAILY;UNTIL=20270231", "UNTIL of the rule"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL of the rule"),
        ("FREQ=DAILY;UNTIL=20270321", "ends before its first time"),
        ("FREQ=MONTHLY;UNTIL=20380101", "more than 10 years"),
        ("FREQ=YEARLY;COUNT=12", "more than 10 years"),
        ("FREQ=WEEKLY;BYDAY=TU;COUNT=2", "does not hold at its first time, 2027-03-22 09:00 .Monday."),
        ("FREQ=WEEKLY;BYDAY=2MO;COUNT=2", "BYDAY of the rule names '2MO'"),
        ("FREQ=WEEKLY;BYDAY=;COUNT=2", "BYDAY of the rule names ''"),
        ("FREQ=MONTHLY;BYDAY=6MO;COUNT=2", "BYDAY of the rule names '6MO'"),
        ("FREQ=MONTHLY;BYMONTHDAY=32;COUNT=2", "BYMONTHDAY of the rule"),
        ("FREQ=MONTHLY;BYMONTHDAY=1;BYDAY=1MO;COUNT=2", "both BYDAY and BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=31;INTERVAL=12;COUNT=2", "does not hold"),
        ("FREQ=WEEKLY;WKST=XX;COUNT=2", "WKST is no weekday"),
    ],
)
def test_rule_without_a_near_end_or_with_parts_that_posts_do_not_have_is_refused(rule: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(ScheduleError, match=said) as refused:
        repeated(rule)
    assert refused.value.remedy
    assert time.monotonic() - began < 2, "a rule that never holds does not keep the process"
    assert len(str(refused.value)) < 200


NUMBER = st.integers(-3, 40).map(str)
DAY = st.builds("{}{}".format, st.sampled_from(["", "", "1", "-1", "5", "6"]), st.sampled_from(["MO", "SU", "XX"]))
PART = st.one_of(
    st.builds("{}={}".format, st.sampled_from(["INTERVAL", "COUNT", "BYMONTHDAY", "BYHOUR"]), NUMBER),
    st.builds("BYDAY={}".format, st.lists(DAY, max_size=3).map(",".join)),
    st.builds("UNTIL={}".format, st.sampled_from(["20270631", "20991231", "x"])),
    st.sampled_from(["WKST=SU", "", "=", "COUNT"]),
)
END = st.sampled_from(["COUNT=3", "UNTIL=20270601", "UNTIL=20270601T080000Z"])


@settings(deadline=None)
@given(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "SECONDLY"]), END, st.lists(PART, max_size=3))
def test_whatever_a_rule_says_it_is_read_or_refused(frequency: str, end: str, parts: list[str]) -> None:
    try:
        found = repeated(";".join([f"FREQ={frequency}", end, *parts]))
    except ScheduleError:
        return
    assert 1 <= len(found.occurrences) <= MOST_OCCURRENCES
    assert [each.number for each in found.occurrences] == list(range(1, len(found.occurrences) + 1))
    assert found.occurrences[0].time == found.start
    assert read_rule(found.rule, found.start, NOW, ZONES) == found, "what is stored is read the same"


DAILY = "FREQ=DAILY;COUNT=10"


def test_occurrence_on_time_is_made_once() -> None:
    week = repeated(DAILY)
    first, second = week.occurrences[:2]
    at = first.time.instant
    assert due(week, 0, at - timedelta(seconds=1), SKIP).latest is None
    found = due(week, 0, at, SKIP)
    assert (found.latest, found.decision, found.missed, found.following) == (first, "publish_now", (), second)
    assert due(week, 1, at, SKIP).latest is None


def test_a_week_of_downtime_makes_the_latest_only_and_misses_the_others() -> None:
    week = repeated(DAILY)
    now = week.occurrences[6].time.instant + timedelta(hours=1)
    found = due(week, 1, now, PUBLISH)
    assert (found.latest, found.decision) == (week.occurrences[6], "publish_now")
    assert [each.number for each in found.missed] == [2, 3, 4, 5, 6]
    assert found.following == week.occurrences[7]
    assert due(week, 7, now, PUBLISH).latest is None
    assert due(week, 1, now, ASK).decision == "ask"


def test_policy_may_miss_the_latest_too() -> None:
    week = repeated(DAILY)
    for policy, late in ((SKIP, timedelta(hours=1)), (PUBLISH, timedelta(hours=13)), (ASK, timedelta(hours=13))):
        found = due(week, 1, week.occurrences[6].time.instant + late, policy)
        assert (found.latest, found.decision) == (None, "missed")
        assert [each.number for each in found.missed] == [2, 3, 4, 5, 6, 7]


@settings(deadline=None)
@given(st.integers(0, 10), st.integers(0, 30 * 24), st.sampled_from([PUBLISH, SKIP, ASK]))
def test_at_most_one_is_made_and_each_is_made_missed_or_still_to_come(
    handled: int, hours: int, policy: LatePolicy
) -> None:
    week = repeated(DAILY)
    now = week.start.instant + timedelta(hours=hours)
    found = due(week, handled, now, policy)
    made = [] if found.latest is None else [found.latest]
    settled = [each.number for each in (*found.missed, *made)]
    assert settled == [each.number for each in week.occurrences if handled < each.number and each.time.instant <= now]
    rest = [each for each in week.occurrences if each.number > handled and each.time.instant > now]
    assert found.following == (rest[0] if rest else None)


def test_edit_arms_the_rule_anew_and_makes_nothing_of_the_past() -> None:
    week = repeated(DAILY)
    now = week.occurrences[3].time.instant + timedelta(hours=1)
    later = edited(week, "FREQ=DAILY;COUNT=10", parse("2027-03-22 18:00", "Europe/Berlin", ZONES), now, ZONES)
    assert (later.revision, week.revision) == (2, 1), "no occurrence has the key of one that was made"
    found = due(later, 0, now, PUBLISH)
    assert (found.latest, found.missed) == (None, ()), "those before the edit are past, not missed"
    assert found.following is not None
    assert found.following.time.instant == utc("2027-03-25 17:00")
    assert due(later, 0, utc("2027-03-25 17:00"), PUBLISH).latest == found.following


def test_end_is_the_end() -> None:
    week = repeated(DAILY)
    found = due(week, 10, week.occurrences[-1].time.instant + timedelta(days=400), PUBLISH)
    assert (found.latest, found.following, found.missed, found.decision) == (None, None, (), "wait")
    assert len(repeated(f"FREQ=DAILY;COUNT={MOST_OCCURRENCES}").occurrences) == MOST_OCCURRENCES
