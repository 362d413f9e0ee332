"""Row G2 of ``faults.md``: who asks too often waits, alone where it is alone, and in every process."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ops.cli.composition import assembled
from ops.runtime.circuit_breaker import FAILURES, Breakers
from ops.runtime.db import open_pool
from ops.runtime.platform_protocol import PlatformError, Request, Response, Steps
from ops.runtime.rate_limits import STOP_SECONDS, RateLimits
from ops.runtime.tenancy import tenant_transaction
from publish.connections import connection_store
from publish.vault.envelope import LocalRing, Vault
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import INSTANCE, KEYS, LONG, PLATFORMS, PROVIDERS, Rig

BUSINESS = "X-Business-Use-Case-Usage"
REFRESHABLE = sorted(set(PLATFORMS) - {"linkedin"})
AGAIN = {"Retry-After": "600"}
DONE = ("refreshed", "checked")
"""The second where there is nothing to refresh."""

GRAPH_ERROR = {"error": {"code": 80002, "message": "There have been too many calls to this account"}}
SPENT: dict[str, dict[str, Any]] = {
    "facebook": {"status": 400, "body": {"error": {"code": 80001}}, "headers": {BUSINESS: ""}},
    "instagram": {"status": 403, "body": GRAPH_ERROR, "headers": {BUSINESS: ""}},
    "threads": {"status": 403, "body": GRAPH_ERROR, "headers": {BUSINESS: ""}},
    "x": {"headers": {"x-rate-limit-limit": "75", "x-rate-limit-remaining": "0", "x-rate-limit-reset": ""}},
    "mastodon": {"headers": {"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": ""}},
}
"""An answer of each platform whose documents name headers, without the time: ten minutes from now."""


async def two(rig: Rig, platform: str) -> tuple[str, str]:
    """Two accounts of a platform, both old enough to be refreshed, and due."""
    first, *more = await rig.connect(platform)
    second = (more or await rig.connect(platform, account="bob"))[0]
    await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    await rig.due()
    return first, second


def in_ten_minutes(platform: str) -> dict[str, Any]:
    at = datetime.now(UTC) + timedelta(minutes=10)
    usage = {"call_count": 100, "total_time": 9, "total_cputime": 9, "estimated_time_to_regain_access": 10}
    times = {
        BUSINESS: json.dumps({"17841400000000001": [{"type": "instagram"} | usage]}),
        "x-rate-limit-reset": str(int(at.timestamp())),
        "X-RateLimit-Reset": at.isoformat(),
    }
    fault = {"status": 429, "body": {"error": "Too many requests"}} | SPENT[platform]
    return fault | {"headers": {name: times.get(name, value) for name, value in fault["headers"].items()}}


async def befall(rig: Rig, platform: str, times: int = 1, **fault: Any) -> None:
    await rig.sandbox.command("faults", platform=platform, times=times, **fault)


async def calls(rig: Rig, platform: str) -> int:
    return len(await rig.sandbox.ledger("call", platform=platform))


async def due_in(rig: Rig, id_: str) -> float:
    [row] = await rig.raw(
        "SELECT extract(epoch FROM coalesce(refresh_due_at, check_due_at) - now())::float8 AS s FROM connections"
        " WHERE id = $1::uuid",
        id_,
    )
    return float(row["s"])


async def pass_by(rig: Rig) -> None:
    """The waits are over."""
    await rig.connection.execute("UPDATE platform_budgets SET held_until = now() - interval '1 second'")


def asking(url: str, **options: Any) -> Steps[Response]:
    return (yield Request("GET", url, **options))


@pytest.mark.parametrize("platform", REFRESHABLE)
async def test_retry_after_keeps_one_account_away_and_no_other(rig: Rig, platform: str) -> None:
    first, second = await two(rig, platform)
    await befall(rig, platform, status=429, body={"error": "slow down"}, headers=AGAIN)
    assert await rig.refresher.refresh(first) == "failed"
    asked = await calls(rig, platform)
    assert 590 < await due_in(rig, first) <= 660
    await rig.due()
    assert await rig.refresher.refresh(first) == "held"
    assert await calls(rig, platform) == asked, "nobody asked"
    assert 590 < await due_in(rig, first) <= 660, "and nobody does before the time is up"
    assert await rig.refresher.refresh(second) in DONE
    found = await rig.shown(first)
    assert (found["state"], found["refresh_failures"]) == ("active", 1), "to be held is no failure"
    await pass_by(rig)
    await rig.due()
    assert await rig.refresher.refresh(first) in DONE


@pytest.mark.parametrize("platform", sorted(SPENT))
async def test_headers_of_a_platform_keep_one_account_away_until_its_budget_is_whole(rig: Rig, platform: str) -> None:
    first, second = await two(rig, platform)
    await befall(rig, platform, **in_ten_minutes(platform))
    assert await rig.refresher.refresh(first) == "failed"
    [row] = await rig.connection.fetch("SELECT *, held_until - now() AS left FROM platform_budgets WHERE percent > 95")
    assert (row["platform"], row["subject"]) == (platform, (await rig.shown(first))["account_id"])
    assert row["instance"] == (INSTANCE if platform == "mastodon" else "")
    assert 590 < row["left"].total_seconds() <= 601
    await rig.due()
    assert await rig.refresher.refresh(first) == "held"
    assert await rig.refresher.refresh(second) in DONE


@pytest.mark.parametrize(
    ("platform", "fault"),
    [
        *((name, {"status": 400, "body": {"error": {"code": 4}}}) for name in ("facebook", "instagram", "threads")),
        ("facebook", {"effect": True, "headers": {"X-App-Usage": '{"call_count": 98}'}}),
        ("x", {"status": 402, "body": {"title": "CreditsDepleted"}}),
        ("x", {"status": 429, "body": {"type": "https://api.x.com/2/problems/usage-capped"}}),
    ],
)
async def test_budget_of_the_whole_application_keeps_every_account_away_and_every_newcomer(
    rig: Rig, platform: str, fault: Mapping[str, Any]
) -> None:
    first, second = await two(rig, platform)
    query = await rig.consented(platform)
    await befall(rig, platform, **fault)
    await rig.refresher.refresh(first)
    await rig.due()
    asked = await calls(rig, platform)
    assert [await rig.refresher.refresh(id_) for id_ in (first, second)] == ["held", "held"]
    outcome = await rig.back(platform, query)
    assert (outcome["ok"], outcome["kind"]) == (False, "transient")
    assert PROVIDERS[platform].title in outcome["says"]
    assert "asked again after" in outcome["says"]
    assert await calls(rig, platform) == asked
    await pass_by(rig)
    await rig.due()
    assert await rig.refresher.refresh(second) in DONE


async def test_instance_that_is_asked_too_often_holds_back_nobody_at_another(rig: Rig) -> None:
    url = f"{rig.sandbox.url}/mastodon/api/v1/accounts/verify_credentials"
    await befall(rig, "mastodon", status=429, headers=AGAIN)
    await rig.providers.client.run(asking(url), platform="mastodon", instance="one.example", account="1")
    with pytest.raises(PlatformError, match=r"one\.example asks for patience"):
        await rig.providers.client.run(asking(url), platform="mastodon", instance="one.example", account="1")
    for instance, account in (("one.example", "2"), ("two.example", "1")):
        found = await rig.providers.client.run(asking(url), platform="mastodon", instance=instance, account=account)
        assert found.status == 401


async def test_wait_is_seen_by_every_process(rig: Rig, database: str) -> None:
    first, second = await two(rig, "x")
    await befall(rig, "x", status=429, headers=AGAIN)
    assert await rig.refresher.refresh(first) == "failed"
    async with await open_pool(database, "another", 2, role=APP_ROLE) as pool:
        client = replace(rig.providers.client, rate_limits=RateLimits(pool), breakers=Breakers())
        another = assembled(pool, Vault(LocalRing(KEYS)), replace(rig.providers, client=client)).refresher
        await rig.due()
        asked = await calls(rig, "x")
        assert await another.refresh(first) == "held"
        assert await calls(rig, "x") == asked
        assert await another.refresh(second) in DONE


async def test_platform_that_wants_to_be_asked_less_often_is_not_in_trouble(rig: Rig) -> None:
    url = f"{rig.sandbox.url}/x/2/users/me"
    await befall(rig, "x", times=0, status=429, headers=AGAIN)
    for number in range(2 * FAILURES):
        found = await rig.providers.client.run(asking(url), platform="x", instance="", account=f"a{number}")
        assert found.status == 429
    for _ in range(2 * FAILURES):
        with pytest.raises(PlatformError) as held:
            await rig.providers.client.run(asking(url), platform="x", instance="", account="a0")
        assert held.value.code == "budget"
        assert 590 < held.value.after_seconds <= 600
    assert len(rig.providers.client.breakers) == 0


async def test_longer_wait_stands_whatever_comes_in_meanwhile_and_no_wait_is_longer_than_a_day(rig: Rig) -> None:
    budgets = rig.providers.client.rate_limits
    usage = PROVIDERS["facebook"].rate_limit_status
    now = datetime.now(UTC)
    few = {"x-business-use-case-usage": '{"1": [{"call_count": 3}]}'}
    for retry_after, seconds in (("600", 600), ("30", 600), ("9" * 30, 86_400), ("1", 86_400)):
        await budgets.note("facebook", "", "1", usage(Response(429, {}, {"retry-after": retry_after}), now))
        with pytest.raises(PlatformError) as held:
            await budgets.require("Facebook Pages", "facebook", "", "1")
        assert held.value.after_seconds == pytest.approx(seconds, abs=5)
    await budgets.note("facebook", "", "1", usage(Response(200, {}, few), now))
    assert await rig.connection.fetchval("SELECT percent FROM platform_budgets") == 100
    await pass_by(rig)
    await budgets.note("facebook", "", "1", usage(Response(200, {}, few), now))
    await budgets.require("Facebook Pages", "facebook", "", "1")
    assert await rig.connection.fetchval("SELECT percent FROM platform_budgets") == 3


async def test_database_that_is_away_costs_nobody_the_token_that_came(rig: Rig) -> None:
    """What is said of budgets can be lost; a rotated token cannot be had again."""
    [id_] = await rig.connect("x")
    await rig.due()
    headers = {"x-rate-limit-limit": "75", "x-rate-limit-remaining": "1", "x-rate-limit-reset": str(int(time.time()))}
    await befall(rig, "x", effect=True, headers=headers)
    await rig.connection.execute("ALTER TABLE platform_budgets DROP COLUMN percent CASCADE")
    assert await rig.refresher.refresh(id_) in DONE
    await rig.due()
    assert await rig.refresher.refresh(id_) in DONE


# --- what the platforms themselves send


async def token(rig: Rig, id_: str) -> str:
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        held = await connection_store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)
    return held["access_token"]


@pytest.mark.parametrize("platform", ["facebook", "instagram", "threads"])
async def test_metas_own_header_slows_down_and_then_stops(rig: Rig, platform: str) -> None:
    [id_, *_] = await rig.connect(platform)
    query = {"access_token": await token(rig, id_)}
    account = (await rig.shown(id_))["account_id"]
    url = f"{rig.sandbox.url}/{platform}/{'v1.0' if platform == 'threads' else 'v25.0'}/me"
    graph: Any = rig.server.simulation.platforms[platform]

    async def asked(used: int) -> float:
        """Ask once at so many percent of the budget; the seconds to wait after that."""
        for name in graph._calls:
            graph._calls[name] = [graph.sandbox.clock.seconds()] * (480 * used)
        await rig.providers.client.run(asking(url, query=query), platform=platform, instance="", account=account)
        [row] = await rig.connection.fetch("SELECT percent, held_until - now() AS left FROM platform_budgets")
        assert row["percent"] == used
        await pass_by(rig)
        return row["left"].total_seconds() if row["left"] is not None else 0.0

    assert await asked(50) == 0
    assert 0 < await asked(76) <= 6
    assert 50 < await asked(94) <= 60
    assert STOP_SECONDS - 10 < await asked(96) <= STOP_SECONDS
    assert await asked(101) > 80_000, "throttled: the header says when it is over"


async def test_xs_own_headers_stop_an_account_before_x_has_to(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    headers = {"Authorization": f"Bearer {await token(rig, id_)}"}
    url = f"{rig.sandbox.url}/x/2/users/me"
    for used in range(2, 73):  # of 75; once it was asked when it was connected
        found = await rig.providers.client.run(asking(url, headers=headers), platform="x", instance="", account="1")
        assert found.headers["x-rate-limit-remaining"] == str(75 - used)
        # The pauses from 75 percent on are short, and seen above.
        await rig.connection.execute("UPDATE platform_budgets SET held_until = NULL WHERE percent < 95")
    with pytest.raises(PlatformError) as held:
        await rig.providers.client.run(asking(url, headers=headers), platform="x", instance="", account="1")
    assert (held.value.code, 840 < held.value.after_seconds <= 901) == ("budget", True)


async def test_mastodons_own_429_is_obeyed(rig: Rig) -> None:
    [id_] = await rig.connect("mastodon")
    headers = {"Authorization": f"Bearer {await token(rig, id_)}"}
    steps = asking(f"{rig.sandbox.url}/mastodon/api/v1/accounts/verify_credentials", headers=headers)
    server: Any = rig.server.simulation.platforms["mastodon"]
    server._calls[headers["Authorization"].removeprefix("Bearer "), "calls"] = [server.sandbox.clock.seconds()] * 300
    found = await rig.providers.client.run(steps, platform="mastodon", instance=INSTANCE, account="1")
    assert (found.status, found.headers["x-ratelimit-remaining"]) == (429, "0")
    with pytest.raises(PlatformError) as held:
        await rig.providers.client.run(asking("http://nobody"), platform="mastodon", instance=INSTANCE, account="1")
    assert (held.value.code, 290 < held.value.after_seconds <= 301) == ("budget", True)


# --- what is shown, and what is left


async def test_fullest_budget_of_a_platform_is_shown_and_nobodys_id(rig: Rig) -> None:
    await rig.connection.execute(
        """
        INSERT INTO platform_budgets (platform, instance, subject, percent, held_until, updated_at) VALUES
            ('x', '', 'person-4711', 40, NULL, now()), ('x', '', 'person-4712', 93, NULL, now()),
            ('tiktok', '', 'person-4713', 99, NULL, now() - interval '1 hour'),
            ('facebook', '', '', 100, now() + interval '1 hour', now() - interval '1 hour')"""
    )
    await rig.refresher._round()
    shown = {
        tuple(sample.labels.values()): sample.value
        for metric in REGISTRY.collect()
        if metric.name == "landfall_platform_budget_used_ratio"
        for sample in metric.samples
    }
    assert shown == {("x",): 0.93, ("facebook",): 1.0}, "what was said long ago and holds nobody is no news"


async def test_old_budgets_are_dropped(rig: Rig) -> None:
    await rig.connection.execute(
        """
        INSERT INTO platform_budgets (platform, instance, subject, percent, updated_at) VALUES
            ('x', '', 'old', 1, now() - interval '49 hours'), ('x', '', 'new', 1, now() - interval '47 hours')"""
    )
    await rig.refresher._round()
    assert [row["subject"] for row in await rig.connection.fetch("SELECT subject FROM platform_budgets")] == ["new"]
