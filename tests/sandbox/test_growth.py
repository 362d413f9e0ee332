"""Insights of Instagram that grow by the clock, and those that cannot be had (``meta.md`` 10.5, 10.8)."""

from itertools import pairwise
from typing import Any

import pytest

from ops.sandbox import growth
from tests.sandbox.conftest import Stand, code
from tests.sandbox.reading import DAY, act, commented, graph, newest, platform_of, token

HOUR = 3600
TODAY = 20_700
"""A day since 1970, of the year 2026."""


def test_number_of_a_day_ripens_for_48_hours_and_then_stays() -> None:
    whole = growth.daily("a", "reach", TODAY)
    end = (TODAY + 1) * DAY
    seen = [growth.known("a", "reach", TODAY, end + hours * HOUR) for hours in (0, 23, 24, 47, 48, 500)]
    assert seen == [int(whole * 0.6)] * 2 + [int(whole * 0.9)] * 2 + [whole] * 2


def test_each_day_has_more_than_the_one_before_and_each_subject_numbers_of_its_own() -> None:
    days = [growth.daily("a", "reach", day) for day in range(TODAY, TODAY + 40)]
    assert all(before < after for before, after in pairwise(days))
    assert days[0] != growth.daily("b", "reach", TODAY)
    assert days[0] != growth.daily("a", "views", TODAY)


def test_window_is_the_sum_of_its_days_and_parts_of_days_count_in_part() -> None:
    late = (TODAY + 30) * DAY
    first, second = growth.daily("a", "views", TODAY), growth.daily("a", "views", TODAY + 1)
    begin = TODAY * DAY
    assert growth.between("a", "views", begin, begin + 2 * DAY, late) == first + second
    assert growth.between("a", "views", begin, begin + DAY // 2, late) == first // 2
    assert growth.between("a", "views", begin, begin, late) == 0


def test_number_of_a_post_begins_at_nothing_and_never_falls() -> None:
    numbers = [growth.grown("1", "views", hours * HOUR) for hours in range(2000)]
    assert numbers[0] == growth.grown("1", "views", -5) == 0
    assert all(before <= after for before, after in pairwise(numbers))
    assert numbers[-1] > numbers[24] > 0


async def insights(stand: Stand, secret: str, subject: str, metric: str, platform: str = "instagram", **q: Any) -> Any:
    return await graph(stand, secret, f"{subject}/insights", platform, metric=metric, **q)


@pytest.mark.parametrize("login", ["instagram", "facebook"])
async def test_day_of_an_account_is_the_same_in_a_series_and_alone_and_whenever_it_is_read(
    stand: Stand, login: str
) -> None:
    secret, account = token(stand, login), platform_of(stand).instagram.people["shop"].user_id
    midnight = int(stand.server.simulation.clock.seconds()) // DAY * DAY
    window = {"since": str(midnight - 6 * DAY), "until": str(midnight - 2 * DAY), "period": "day"}
    [series] = (await insights(stand, secret, account, "reach", login, metric_type="time_series", **window))["data"]
    values = [item["value"] for item in series["values"]]
    assert len(values) == 4
    assert values == sorted(values)
    assert series["values"][-1]["end_time"].endswith("T00:00:00+0000")
    day = window | {"since": str(midnight - 3 * DAY)}
    for _ in range(2):
        [alone] = (await insights(stand, secret, account, "reach", login, metric_type="total_value", **day))["data"]
        assert alone["total_value"]["value"] == values[-1]
        await stand.command("clock", jump=9 * DAY)


async def test_account_of_few_followers_lacks_some_metrics_and_windows_have_no_end(stand: Stand) -> None:
    secret = token(stand)
    await stand.command("account", platform="instagram", account="shop", settings={"followers": 99})
    found = await insights(stand, secret, "me", "views,follower_demographics", metric_type="total_value")
    assert [item["name"] for item in found["data"]] == ["views"], "left out, which is not 0"
    assert set(found["paging"]) == {"previous", "next"}
    following = await stand.get(found["paging"]["next"].removeprefix(stand.url))
    assert "next" in following["paging"], "into the future"
    await stand.command("account", platform="instagram", account="shop", settings={"followers": 100})
    [series] = (await insights(stand, secret, "me", "follower_count"))["data"]
    ends = [item["end_time"][:10] for item in series["values"]]
    assert f"{stand.server.simulation.clock.now():%Y-%m-%d}" not in ends or len(ends) <= 1, "not today"


async def test_follows_of_the_day_just_ended_are_not_there_yet(stand: Stand) -> None:
    secret = token(stand)
    midnight = int(stand.server.simulation.clock.seconds()) // DAY * DAY
    ended = {"since": str(midnight - DAY), "until": str(midnight), "breakdown": "follow_type"}
    [shell] = (await insights(stand, secret, "me", "follows_and_unfollows", **ended))["data"]
    assert "total_value" not in shell
    await stand.command("clock", jump=DAY)
    [found] = (await insights(stand, secret, "me", "follows_and_unfollows", **ended))["data"]
    results = found["total_value"]["breakdowns"][0]["results"]
    assert sum(result["value"] for result in results) == found["total_value"]["value"] > 0


async def test_numbers_of_a_post_grow_and_agree_with_its_fields(stand: Stand) -> None:
    secret = token(stand)
    media = newest(stand)
    await act(stand, "like", id=media, count=7)
    await commented(stand, media)

    async def read() -> dict[str, int]:
        found = await insights(stand, secret, media, "views,reach,likes,comments,shares,saved,total_interactions")
        return {item["name"]: item["values"][0]["value"] for item in found["data"]}

    before = await read()
    await stand.command("clock", jump=3 * DAY)
    after = await read()
    assert (after["likes"], after["comments"]) == (7, 1)
    assert all(after[name] > before[name] for name in ("views", "reach", "shares", "saved", "total_interactions"))
    fields = await graph(stand, secret, media, fields="view_count,saved_count,shares_count,like_count")
    assert fields["view_count"] == after["views"]
    assert (fields["saved_count"], fields["shares_count"]) == (after["saved"], after["shares"])


async def test_totals_of_facebooks_login_count_boosts_beside_the_organic_numbers(stand: Stand) -> None:
    """``meta.md`` 10.5: two series that are never mixed."""
    secret, media = token(stand, "facebook"), newest(stand)
    await stand.command("clock", jump=3 * DAY)
    found = (await insights(stand, secret, media, "likes,total_likes", "facebook"))["data"]
    likes, total = (item["values"][0]["value"] for item in found)
    assert total > likes
    shown = await graph(stand, secret, media, "facebook", fields="like_count,total_like_count")
    assert (shown["like_count"], shown["total_like_count"]) == (likes, total)
    assert code(await graph(stand, token(stand), media, fields="total_like_count")) == (100, None)


async def test_post_without_insights_says_why_and_the_others_go_on(stand: Stand) -> None:
    """``meta.md`` 10.5, T24."""
    secret = token(stand)
    first, second, third, *_ = [media.id for media in platform_of(stand).instagram.of("shop")]

    async def refused(media: str, **settings: bool) -> tuple[int, int | None]:
        await stand.command("object", platform="instagram", id=media, settings=settings)
        return code(await insights(stand, secret, media, "views"))

    assert await refused(first, before_conversion=True) == (100, 2108006)
    await stand.command("variants", platform="instagram", name="conversion_code", variant="4")
    assert await refused(first, before_conversion=True) == (4, 2108006), "match on the subcode"
    assert await refused(second, collab=True) == (10, None)
    await stand.command("variants", platform="instagram", name="collab_refusal", variant="100")
    assert await refused(second, collab=True) == (100, None)
    assert await refused(third, few_viewers=True) == (10, None)
    assert "Not enough viewers" in (await insights(stand, secret, third, "views"))["error"]["message"]
    await stand.command("clock", jump=60)
    now = int(stand.server.simulation.clock.seconds())
    await stand.command("account", platform="instagram", account="shop", settings={"converted_at": now})
    later = (await act(stand, "publish", text="later"))["id"]
    *_, oldest = platform_of(stand).instagram.of("shop")
    assert code(await insights(stand, secret, oldest.id, "views")) == (4, 2108006)
    assert (await insights(stand, secret, later, "views"))["data"][0]["name"] == "views"


async def test_metrics_are_refused_to_one_account_by_name(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    settings = {"refused_metrics": ["reposts", "profile_views"], "denied_metrics": ["saved", "website_clicks"]}
    await stand.command("account", platform="instagram", account="shop", settings=settings)
    for subject, unknown, denied in ((media, "reposts", "saved"), ("me", "profile_views", "website_clicks")):
        refused = await insights(stand, secret, subject, f"views,{unknown}")
        assert code(refused) == (100, None)
        assert "must be one of the following values" in refused["error"]["message"]
        assert unknown not in refused["error"]["message"]
        assert code(await insights(stand, secret, subject, f"views,{denied}")) == (200, None)
        assert len((await insights(stand, secret, subject, "views"))["data"]) == 1
    other = newest(stand, "alice")
    assert len((await insights(stand, token(stand, account="alice"), other, "reposts"))["data"]) == 1
