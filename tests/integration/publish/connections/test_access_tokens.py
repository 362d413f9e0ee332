"""What publishing is given to act with: fresh, never twice, and never what is over."""

import asyncio

import pytest

from ops.runtime.platform_protocol import PlatformError
from schema.tenancy import DEFAULT_TENANT
from tests.rig import LONG, PLATFORMS, ROTATING, Rig


async def test_token_that_ends_soon_is_refreshed_before_it_is_used_by_however_many(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    first = await rig.refresher.access(DEFAULT_TENANT, id_)
    assert await rig.refresher.access(DEFAULT_TENANT, id_) == first, "it has time"
    await rig.raw("UPDATE connections SET access_expires_at = now() + interval '4 minutes'")
    found = await asyncio.gather(*(rig.refresher.access(DEFAULT_TENANT, id_) for _ in range(8)))
    assert all(held == found[0] for held in found)
    assert found[0]["access_token"] != first["access_token"]
    assert len(await rig.sandbox.ledger("call", platform="x", path="/2/oauth2/token")) == 2


async def test_nobody_is_given_what_is_over_or_not_his(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    await rig.sandbox.command("faults", platform="x", times=0, status=500)
    await rig.raw("UPDATE connections SET access_expires_at = now() - interval '1 second'")
    with pytest.raises(PlatformError, match="a new one could not be had"):
        await rig.refresher.access(DEFAULT_TENANT, id_)
    with pytest.raises(PlatformError, match="no such connection"):
        await rig.refresher.access("00000000-0000-7000-8000-000000000002", id_)
    await rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'It was removed.'")
    with pytest.raises(PlatformError, match=r"It was removed\."):
        await rig.refresher.access(DEFAULT_TENANT, id_)
    await rig.api("DELETE", f"/api/connections/{id_}")
    with pytest.raises(PlatformError, match="was disconnected"):
        await rig.refresher.access(DEFAULT_TENANT, id_)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_person_can_have_an_account_checked_at_once_and_not_too_often(rig: Rig, platform: str) -> None:
    [id_, *_] = await rig.connect(platform)
    await rig.sandbox.command("clock", jump=61)
    address = f"/api/connections/{id_}/check"
    before = len(await rig.sandbox.ledger("call", platform=platform))
    await rig.raw("UPDATE connections SET checked_at = now()")  # however long it took to connect
    assert (await rig.api("POST", address))[1]["state"] == "active"
    assert len(await rig.sandbox.ledger("call", platform=platform)) == before, "it was at the platform just now"
    await rig.raw("UPDATE connections SET checked_at = checked_at - interval '61 seconds'")
    found = (await rig.api("POST", address))[1]
    assert found["state"] == "active"
    assert len(await rig.sandbox.ledger("call", platform=platform)) == before + 1
    await rig.sandbox.command(
        "act", platform=platform, what="revoke", account={"facebook": "alice"}.get(platform, "shop")
    )
    await rig.raw("UPDATE connections SET checked_at = checked_at - interval '61 seconds'")
    found = (await rig.api("POST", address))[1]
    assert (found["state"], "connect the account again" in found["reason"]) == ("needs_reconnect", True)


@pytest.mark.parametrize("platform", sorted(LONG))
async def test_password_that_was_changed_is_found_within_a_day_although_the_token_has_weeks(
    rig: Rig, platform: str
) -> None:
    [id_] = await rig.connect(platform)
    rig.server.simulation.platforms[platform].end("shop", 460, "password")  # type: ignore[attr-defined]
    [row] = await rig.raw("SELECT extract(epoch FROM check_due_at - now())::float8 AS check FROM connections")
    assert row["check"] <= 86_400
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "needs_reconnect"


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - ROTATING))
async def test_check_that_meets_trouble_disconnects_nobody(rig: Rig, platform: str) -> None:
    [id_, *_] = await rig.connect(platform)
    for fault in ({"status": 500}, {"drop": True}, {"status": 200, "spoil": "html"}):
        async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
            pass
        rig.providers.client.breakers.clear()
        await rig.sandbox.command("faults", platform=platform, times=0, **fault)
        await rig.raw("UPDATE connections SET check_due_at = now()")
        assert await rig.refresher.refresh(id_) == "failed", fault
        [row] = await rig.raw(
            "SELECT state, extract(epoch FROM check_due_at - now())::float8 AS check FROM connections"
            " WHERE id = $1::uuid", id_,
        )  # fmt: skip
        assert (row["state"], 0 < row["check"] <= 1800) == ("active", True)


async def test_page_whose_permission_was_taken_away_says_which(rig: Rig) -> None:
    ids = await rig.connect("facebook")
    simulated = rig.server.simulation.platforms["facebook"]
    for token in simulated.tokens.values():  # type: ignore[attr-defined]
        token.scopes = [scope for scope in token.scopes if scope != "pages_manage_metadata"]
    await rig.due()
    assert await rig.refresher.refresh(ids[0]) == "needs_reconnect"
    assert "leave pages_manage_metadata ticked" in (await rig.shown(ids[0]))["reason"]


async def test_one_tenant_with_a_thousand_due_does_not_let_the_others_wait(rig: Rig) -> None:
    """Row J3 of ``faults.md``."""
    [id_] = await rig.connect("x")
    other = "00000000-0000-7000-8000-000000000002"
    await rig.connection.execute("INSERT INTO tenants (id, name) VALUES ($1::uuid, 'noisy')", other)
    await rig.raw(
        """
        INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
            authorized_at, access_expires_at, refresh_due_at)
        SELECT $1::uuid, gen_random_uuid(), 'x', n::text, '{}', 'noisy', '{}', '{}', 'active', now(), now(), now()
        FROM generate_series(1, 1000) n""",
        other,
    )
    await rig.raw("UPDATE connections SET refresh_due_at = now() WHERE id = $1::uuid", id_)
    await rig.refresher._round()
    [row] = await rig.raw("SELECT refresh_due_at > now() AS done FROM connections WHERE id = $1::uuid", id_)
    assert row["done"], "its turn came with the first round"
