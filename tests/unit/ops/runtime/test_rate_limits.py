"""What answers say of budgets: the documented headers, nonsense in their place, and for how long nobody asks then."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime import rate_limits
from ops.runtime.platform_protocol import RateLimitStatus, Response
from ops.runtime.rate_limits import LONGEST_SECONDS, SLOW_SECONDS, STOP_SECONDS, pause
from tests.rig import PLATFORMS, PROVIDERS

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"
META = ["facebook", "instagram", "threads"]


def said(platform: str, headers: Mapping[str, str], status: int = 200, content: Any = None) -> list[RateLimitStatus]:
    answer = Response(status, {} if content is None else content, headers)
    return list(PROVIDERS[platform].rate_limit_status(answer, NOW))


def business(**budget: Any) -> dict[str, str]:
    whole = {"type": "instagram", "call_count": 1, "total_cputime": 1, "total_time": 1} | budget
    return {"x-business-use-case-usage": json.dumps({"17841400000000001": [whole]})}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ((NOW + timedelta(minutes=5)).strftime(HTTP_DATE), 300),
        ((NOW - timedelta(minutes=5)).strftime(HTTP_DATE), 0),
    ],
)
def test_retry_after_is_read_in_both_its_forms_on_every_platform(
    platform: str, retry_after: str, seconds: float
) -> None:
    for status in (429, 503):
        assert said(platform, {"retry-after": retry_after}, status) == [RateLimitStatus(100, seconds)]
    for status in (200, 400, 500):
        assert said(platform, {"retry-after": retry_after}, status) == []


@pytest.mark.parametrize(
    "retry_after", ["-5", "1.5", "soon", "٣", "", "Wed, 99 Mar 2026 12:00:00 GMT", "Wed, 04 Mar 99999 1"]
)
def test_retry_after_that_makes_no_sense_leaves_a_429_that_says_no_time(retry_after: str) -> None:
    assert said("facebook", {"retry-after": retry_after}, 429) == [RateLimitStatus(100)]
    assert pause(said("facebook", {"retry-after": retry_after}, 429)) == STOP_SECONDS


def test_platforms_clock_decides_and_not_ours() -> None:
    theirs = NOW - timedelta(hours=3)
    headers = {"date": theirs.strftime(HTTP_DATE), "retry-after": (theirs + timedelta(seconds=40)).strftime(HTTP_DATE)}
    assert said("facebook", headers, 429) == [RateLimitStatus(100, 40)]
    rate = {"x-rate-limit-limit": "75", "x-rate-limit-remaining": "0"}
    reset = {"x-rate-limit-reset": str(int(theirs.timestamp()) + 600)}
    assert said("x", rate | reset | {"date": headers["date"]}) == [RateLimitStatus(100, 600)]


@pytest.mark.parametrize("platform", META)
def test_metas_two_headers_are_the_largest_of_three_percents(platform: str) -> None:
    app = {"x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":25}'}
    assert said(platform, app) == [RateLimitStatus(28, whole_app=True)]
    assert said(platform, business(call_count=95, total_cputime=20, total_time=20)) == [RateLimitStatus(95)]
    assert said(platform, business(total_cputime=81)) == [RateLimitStatus(81)]
    spent = business(call_count=100, estimated_time_to_regain_access=19)
    assert said(platform, app | spent) == [RateLimitStatus(28, whole_app=True), RateLimitStatus(100, 19 * 60)]
    assert said(platform, business(call_count=3, estimated_time_to_regain_access=2)) == [RateLimitStatus(100, 120)]


def test_every_object_and_every_list_of_metas_header_counts() -> None:
    several = {"1": [{"call_count": 10}, {"call_count": 97, "estimated_time_to_regain_access": 5}], "2": [{}]}
    found = said("facebook", {"x-business-use-case-usage": json.dumps(several)})
    assert found == [RateLimitStatus(10), RateLimitStatus(100, 300), RateLimitStatus(0)]
    assert pause(found) == 300


@pytest.mark.parametrize("platform", META)
@pytest.mark.parametrize(
    ("code", "subcode", "found"),
    [
        *((code, None, [RateLimitStatus(100, whole_app=True)]) for code in (4, "4")),
        (4, 2207051, [RateLimitStatus(100)]),
        *((code, None, [RateLimitStatus(100)]) for code in (17, 32, 613, 80001, 80002, 80006)),
        *((code, None, []) for code in (1, 2, 10, 100, 190, 506, "x", "4x", True, None)),
    ],
)
def test_metas_codes_say_whether_the_application_or_one_account_is_spent(
    platform: str, code: Any, subcode: int | None, found: list[RateLimitStatus]
) -> None:
    error = {"code": code, "message": "no"} | ({"error_subcode": subcode} if subcode else {})
    assert said(platform, {}, 400, {"error": error}) == found


def test_metas_code_without_a_time_takes_the_one_of_the_header() -> None:
    answer = said("instagram", business(estimated_time_to_regain_access=10), 403, {"error": {"code": 80002}})
    assert pause(answer) == 600


@pytest.mark.parametrize("platform", META)
@pytest.mark.parametrize(
    "header", ["", "no", "[]", "null", "7", '"x"', "{", "NaN", "[" * 5000, '{"1": 7}', '{"1": [7, null, "x"]}', "{}"]
)
def test_metas_headers_that_are_no_such_json_say_nothing(platform: str, header: str) -> None:
    assert said(platform, {"x-business-use-case-usage": header}) == []
    found = said(platform, {"x-app-usage": header})
    assert [usage.percent for usage in found] in ([], [0])


@pytest.mark.parametrize("value", [-1, True, None, "many", "-3", [], {}, 1e30, 10**400, float("nan"), float("inf")])
def test_numbers_of_meta_that_are_none_count_as_nothing(value: Any) -> None:
    header = business(call_count=value, estimated_time_to_regain_access=value, total_time=2)
    assert said("instagram", header) == [RateLimitStatus(2)]


def test_numbers_that_come_as_text_are_numbers() -> None:
    assert said("instagram", business(call_count="96", estimated_time_to_regain_access="3")) == [
        RateLimitStatus(100, 180)
    ]


def test_x_counts_down_to_an_epoch() -> None:
    rate = {"x-rate-limit-limit": "75", "x-rate-limit-remaining": "15", "x-rate-limit-reset": str(EPOCH + 500)}
    assert said("x", rate) == [RateLimitStatus(80, 500)]
    spent = rate | {"x-rate-limit-remaining": "0"}
    assert pause(said("x", spent, 429, {"errors": [{"code": 88}]})) == 500
    assert pause(said("x", spent | {"x-rate-limit-reset": str(EPOCH - 5)})) == STOP_SECONDS


@pytest.mark.parametrize(
    ("status", "content", "whole"),
    [
        (429, {"type": "https://api.twitter.com/2/problems/usage-capped", "title": "UsageCapExceeded"}, True),
        (429, {"type": "https://api.x.com/2/problems/rate-limit-exceeded"}, False),
        (429, {"type": ["usage-capped"]}, False),
        (402, {"title": "CreditsDepleted"}, True),
        (402, [], True),
        (403, {"type": "https://api.twitter.com/2/problems/usage-capped"}, False),
    ],
)
def test_x_tells_a_cap_of_the_application_from_a_limit_of_the_account(
    status: int, content: Any, *, whole: bool
) -> None:
    found = said("x", {}, status, content)
    assert any(usage.whole_app and usage.percent == 100 for usage in found) is whole
    assert 0 < pause([usage for usage in found if usage.whole_app] or [RateLimitStatus(100)]) <= 3600


def test_mastodon_counts_down_to_a_date() -> None:
    rate = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "6"}
    for reset in ("2026-03-04T12:05:00.000000Z", "2026-03-04T13:05:00+01:00", "2026-03-04T12:05:00"):
        assert said("mastodon", rate | {"x-ratelimit-reset": reset}) == [RateLimitStatus(98, 300)]
    for reset in (str(EPOCH + 300), "", "tomorrow", "2026-13-40T00:00:00Z"):
        assert said("mastodon", rate | {"x-ratelimit-reset": reset})[0].percent == 98


@pytest.mark.parametrize(
    ("limit", "remaining"), [("", "1"), ("0", "0"), ("-5", "1"), ("75", ""), ("75", "-1"), ("75", "all"), ("x", "y")]
)
def test_counts_that_are_none_say_nothing(limit: str, remaining: str) -> None:
    for platform, prefix in (("x", "x-rate-limit"), ("mastodon", "x-ratelimit")):
        assert said(platform, {f"{prefix}-limit": limit, f"{prefix}-remaining": remaining}) == []


def test_more_remaining_than_there_is_are_none_used() -> None:
    assert said("x", {"x-rate-limit-limit": "75", "x-rate-limit-remaining": "900"}) == [RateLimitStatus(0)]


def test_platforms_that_document_no_header_are_left_alone_for_what_their_pages_say() -> None:
    assert said("tiktok", {}, 429, {"error": {"code": "rate_limit_exceeded"}}) == [RateLimitStatus(100, 60)]
    assert said("linkedin", {}, 429) == [RateLimitStatus(100, 3600)]
    late = datetime(2026, 3, 4, 23, 50, tzinfo=UTC)
    assert PROVIDERS["linkedin"].rate_limit_status(Response(429, {}), late) == [RateLimitStatus(100, 600)], (
        "the budgets are a day's, in UTC"
    )


@pytest.mark.parametrize(
    ("usages", "seconds"),
    [
        ([], 0),
        ([RateLimitStatus(74, 900)], 0),
        ([RateLimitStatus(75)], SLOW_SECONDS / 20),
        ([RateLimitStatus(94)], SLOW_SECONDS),
        ([RateLimitStatus(94, 2)], 2),
        ([RateLimitStatus(95, 900)], 900),
        ([RateLimitStatus(100)], STOP_SECONDS),
        ([RateLimitStatus(100), RateLimitStatus(100, 20)], 20),
        ([RateLimitStatus(80, 5000), RateLimitStatus(100, 20)], 20),
        ([RateLimitStatus(100, 20), RateLimitStatus(99, 40)], 40),
        ([RateLimitStatus(100, 10.0**12)], LONGEST_SECONDS),
        ([RateLimitStatus(100, float("inf"))], LONGEST_SECONDS),
    ],
)
def test_it_is_slow_from_75_percent_and_stops_at_95(usages: list[RateLimitStatus], seconds: float) -> None:
    assert pause(usages) == pytest.approx(seconds)


NAMES = [
    *("retry-after", "date", "x-app-usage", "x-business-use-case-usage"),
    *(f"{prefix}-{name}" for prefix in ("x-rate-limit", "x-ratelimit") for name in ("limit", "remaining", "reset")),
]
NUMBERS = st.integers().map(str) | st.floats().map(str)
DATES = st.datetimes().map(lambda at: at.strftime(HTTP_DATE)) | st.datetimes().map(lambda at: at.isoformat() + "Z")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["1", "call_count", "estimated_time_to_regain_access", "type", "error", "code"]), inner
        )
    ),
)
ANSWERS = st.builds(
    Response,
    st.sampled_from([200, 400, 402, 403, 429, 503]),
    JSON,
    st.dictionaries(st.sampled_from(NAMES), NUMBERS | DATES | JSON.map(json.dumps) | st.text(max_size=20)),
)


@given(ANSWERS)
def test_no_answer_can_hurt_and_none_keeps_anybody_away_for_longer_than_a_day(answer: Response) -> None:
    for platform in PLATFORMS:
        found = PROVIDERS[platform].rate_limit_status(answer, NOW)
        assert all(usage.percent >= 0 and usage.seconds >= 0 for usage in found)
        assert 0 <= pause(found) <= rate_limits.LONGEST_SECONDS
