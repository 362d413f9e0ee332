"""Wall times with time zones: D6 of ``faults.md``, and each decision in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings

from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import at_instant, parse, resolve
from tests.unit.publish.schedule.support import WALL, ZONE, ZONES, utc


@pytest.mark.parametrize(
    ("zone", "wall", "instant", "decision"),
    [
        ("Europe/Berlin", "2027-03-28 01:59", "2027-03-28 00:59", "exact"),
        ("Europe/Berlin", "2027-03-28 02:00", "2027-03-28 01:00", "gap"),
        ("Europe/Berlin", "2027-03-28 02:30", "2027-03-28 01:00", "gap"),
        ("Europe/Berlin", "2027-03-28 02:59:59.5", "2027-03-28 01:00", "gap"),
        ("Europe/Berlin", "2027-03-28 03:00", "2027-03-28 01:00", "exact"),
        ("Europe/Berlin", "2027-10-31 02:30", "2027-10-31 00:30", "overlap"),
        ("Europe/Berlin", "2027-10-31 03:00", "2027-10-31 02:00", "exact"),
        ("America/New_York", "2027-03-14 02:30", "2027-03-14 07:00", "gap"),
        ("America/New_York", "2027-11-07 01:30", "2027-11-07 05:30", "overlap"),
        ("Australia/Lord_Howe", "2027-10-03 02:15", "2027-10-02 15:30", "gap"),
        ("Australia/Lord_Howe", "2027-04-04 01:45", "2027-04-03 14:45", "overlap"),
        ("America/Santiago", "2027-09-05 00:30", "2027-09-05 04:00", "gap"),
        ("Asia/Kathmandu", "2027-01-01 12:00", "2027-01-01 06:15", "exact"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00", "gap"),
        ("UTC", "2027-01-01 12:00", "2027-01-01 12:00", "exact"),
    ],
)
def test_d6_gap_is_the_first_valid_instant_and_overlap_the_first_of_two(
    zone: str, wall: str, instant: str, decision: str
) -> None:
    found = resolve(datetime.fromisoformat(wall), zone, ZONES)
    assert (found.instant, found.decision) == (utc(instant), decision)
    assert (found.wall, found.zone) == (datetime.fromisoformat(wall), zone)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2027-05-01 09:00", "2027-05-01 09:00 in Europe/Berlin (UTC+02:00)"),
        (
            "2027-03-28 02:30",
            (
                "2027-03-28 02:30 does not exist in Europe/Berlin: the clocks go forward from 2027-03-28 02:00 to"
                " 2027-03-28 03:00. It is scheduled for 2027-03-28 03:00 (UTC+02:00), the first time after that"
            ),
        ),
        (
            "2027-10-31 02:30:15",
            (
                "2027-10-31 02:30:15 comes twice in Europe/Berlin: the clocks go back from 2027-10-31 03:00 to"
                " 2027-10-31 02:00. It is scheduled for the first of the two (UTC+02:00)"
            ),
        ),
        ("2027-10-31T01:30Z", "2027-10-31 01:30 UTC, which is 2027-10-31 02:30 in Europe/Berlin (UTC+01:00)"),
    ],
)
def test_each_decision_is_said_in_words(text: str, words: str) -> None:
    assert parse(text, "Europe/Berlin", ZONES).words == words


@settings(deadline=None)
@given(WALL, ZONE)
def test_d6_whatever_the_zone_the_instant_is_the_first_that_shows_the_wall_time_or_a_later_one(
    wall: datetime, zone: str
) -> None:
    found = resolve(wall, zone, ZONES)
    rules = ZONES.zone(zone)
    shown = found.instant.astimezone(rules).replace(tzinfo=None)
    if found.decision == "gap":
        just_before = (found.instant - timedelta(microseconds=1)).astimezone(rules).replace(tzinfo=None)
        assert just_before < wall < shown or wall == just_before + timedelta(microseconds=1)
    else:
        assert shown == wall
    later = {wall.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)}
    assert found.decision == "gap" or found.instant == min(later)
    assert (found.decision == "overlap") == (found.decision != "gap" and len(later) == 2)


@settings(deadline=None)
@given(WALL, WALL, ZONE)
def test_later_wall_time_is_never_an_earlier_instant(one: datetime, other: datetime, zone: str) -> None:
    first, second = sorted((one, other))
    assert resolve(first, zone, ZONES).instant <= resolve(second, zone, ZONES).instant


def test_d6_two_years_of_hours_in_zones_of_every_kind() -> None:
    first = datetime.fromisoformat("2027-01-01 00:15")
    for zone in ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago"):
        decisions = []
        last = utc("2026-12-31 00:00")
        for half_hours in range(2 * 24 * 730):
            found = resolve(first + timedelta(minutes=30 * half_hours), zone, ZONES)
            assert found.instant >= last
            last = found.instant
            decisions.append(found.decision)
        assert decisions.count("gap") == decisions.count("overlap") > 0, zone


def test_time_with_an_offset_is_no_wall_time() -> None:
    with pytest.raises(ValueError, match="use at_instant"):
        resolve(utc("2027-05-01 09:00"), "Europe/Berlin", ZONES)


@settings(deadline=None)
@given(WALL, ZONE)
def test_instant_stays_itself_whatever_zone_shows_it(naive: datetime, zone: str) -> None:
    instant = naive.replace(tzinfo=UTC)
    found = at_instant(instant, zone, ZONES)
    assert (found.instant, found.decision) == (instant, "instant")
    assert found.wall == instant.astimezone(ZONES.zone(zone)).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-05-01 09:00", "2027-05-01 07:00"),
        ("2027-05-01T09:00", "2027-05-01 07:00"),
        (" 2027-05-01 09:00:30 ", "2027-05-01 07:00:30"),
        ("2027-05-01T09:00:00.250", "2027-05-01 07:00:00.250"),
        ("2027-05-01t09:00z", "2027-05-01 09:00"),
        ("2027-05-01 09:00 +02:00", "2027-05-01 07:00"),
        ("2027-05-01T09:00:00-0530", "2027-05-01 14:30"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, instant: str) -> None:
    assert parse(text, "Europe/Berlin", ZONES).instant == utc(instant)


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "01/03/2027 09:00", "1.3.2027 09:00", "2027-05-01", "09:00", "2027-W09-1T09:00"),
        *("2027-02-29 09:00", "2027-05-01 24:00", "2027-05-01 09:60", "2207-05-01 09:00", "2027-05-01 09:00 CET"),
        *("2027-05-01 09:00+99:00", "２０２７-05-01 09:00", "2027-05-01 9:00", "1830297600"),  # noqa: RUF001
    ],
)
def test_what_means_different_days_or_none_is_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse(text, "Europe/Berlin", ZONES)
    assert "2027-05-01 09:00" in refused.value.remedy


def test_wall_time_without_a_zone_is_refused_and_with_an_offset_taken() -> None:
    with pytest.raises(ScheduleError, match="names no time zone") as refused:
        parse("2027-05-01 09:00", None, ZONES)
    assert "Europe/Berlin" in refused.value.remedy
    assert parse("2027-05-01 09:00+02:00", None, ZONES).words == "2027-05-01 07:00 UTC"


@pytest.mark.parametrize(
    "name", ["Europe/Berlim", "europe/berlin", "", "../../etc/passwd", "/etc/passwd", "x" * 10_000]
)
def test_unknown_zone_is_refused_by_name_and_opens_no_file(name: str) -> None:
    with pytest.raises(ScheduleError, match="no time zone") as refused:
        parse("2027-05-01 09:00", name, ZONES)
    assert "Europe/Berlin" in refused.value.remedy
    assert len(str(refused.value)) < 100


@settings(deadline=None)
@given(WALL, ZONE)
def test_zones_are_those_of_the_package(wall: datetime, zone: str) -> None:
    """The system's database may be older; where both have the same rules they agree."""
    rules = ZoneInfo.no_cache(zone)
    assume(wall.year < 2025)
    assert wall.replace(tzinfo=ZONES.zone(zone)).utcoffset() is not None
    assert str(ZONES.zone(zone)) == str(rules) == zone
