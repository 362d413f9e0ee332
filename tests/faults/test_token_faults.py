"""Rows G3, G4, I-4 and J5 of ``faults.md``: no account is lost that could be kept, or looks healthy and is not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import generate_latest

from publish import keeping, store
from publish.vault import LocalRing, Vault, new_key
from schema.people import DEFAULT_TENANT
from tests.rig import KEYS, PLATFORMS, Rig, rigged

CHILD = """
import asyncio, json, os, sys
from ops.cli import wiring
from ops.cli.outside import assembled
from ops.runtime.db import open_pool
from ops.runtime.http import Client
from publish import keeping
from publish.budgets import Budgets
from publish.driver import Outside
from publish.vault import LocalRing, Vault

wish = json.loads(sys.argv[1])

async def main():
    vault = Vault(LocalRing(wish["keys"]))
    async with (
        await open_pool(wish["database"], "child", 4, role="landfall_app", wait_seconds=5) as pool,
        Client(frozenset(wish["trusted"])) as client,
    ):
        if wish["what"] == "rotate":
            return await keeping.rotate(pool, vault, lambda _: None)
        variables = {name: tuple(values) for name, values in wish["variables"].items()}
        outside = Outside(wiring.channels(), variables, client, wish["public_url"], Budgets(pool))
        return await assembled(pool, vault, outside).refresher.refresh(wish["connection"])

print(asyncio.run(main()))
"""


@pytest.fixture
async def rig(database: str, connection: asyncpg.Connection) -> AsyncIterator[Rig]:
    async with rigged(database, connection) as found:
        yield found


async def child(rig: Rig, database: str, fault: str = "", **wish: Any) -> tuple[int, str]:
    """A process of its own that does one thing, and dies where it is told to."""
    whole = {
        "database": database,
        "keys": KEYS,
        "trusted": [rig.sandbox.url.removeprefix("http://")],
        "variables": rig.outside.variables,
        "public_url": rig.url,
        **wish,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, json.dumps(whole), cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]} | ({"LANDFALL_FAULT": fault} if fault else {}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def works(rig: Rig, platform: str, id_: str) -> bool:
    """Whether the platform takes the token that is kept."""
    async with store.acting(rig.pool, DEFAULT_TENANT) as connection:
        held = await store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)
    headers = {"Authorization": f"Bearer {held['access_token']}"}
    path = {
        "tiktok": "/v2/user/info/?fields=open_id",
        "x": "/2/users/me",
        "instagram": "/v25.0/me",
        "threads": "/v1.0/me",
    }[platform]
    async with rig.http.get(f"{rig.sandbox.url}/{platform}{path}", headers=headers) as response:
        return response.status == 200


@pytest.mark.parametrize("platform", ["instagram", "threads", "tiktok", "x"])
async def test_g4_crash_at_every_point_of_a_refresh(rig: Rig, database: str, platform: str, tmp_path: Path) -> None:
    points = {}
    for number in range(1, 10):
        fired = tmp_path / f"fired{number}"
        [id_, *_] = await rig.connect(platform)
        await rig.sandbox.wish("clock", jump=86_400 + 1 if platform in ("instagram", "threads") else 60)
        await rig.due()
        code, said = await child(rig, database, f"exit:{number}:{fired}", what="refresh", connection=id_)
        if not fired.exists():
            assert (code, said.strip()) == (0, "refreshed")
            break
        assert code == 137
        # Whoever comes next waits for the lease, and no longer.
        assert await rig.refresher.refresh(id_) == "leased"
        await rig.raw("UPDATE connections SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL")
        outcome = await rig.refresher.refresh(id_)
        state = (await rig.shown(id_))["state"]
        points[fired.read_text().strip()] = (outcome, state)
        if state == "active":
            assert await works(rig, platform, id_)
    assert list(points) == ["publish.leased", "publish.asked", "publish.kept"]
    assert points["publish.leased"][1] == points["publish.kept"][1] == "active"
    # What the platform rotated before it was kept is lost with the process, and that is said.
    lost = "needs_reconnect" if platform in ("tiktok", "x") else "active"
    assert points["publish.asked"][1] == lost


async def test_i4_crash_at_every_point_of_a_rotation(rig: Rig, database: str, tmp_path: Path) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.connect("mastodon")
    keys = [new_key(), *KEYS]
    fired = tmp_path / "fired"
    code, _ = await child(rig, database, f"exit:1:{fired}", what="rotate", keys=keys)
    assert (code, fired.read_text()) == (137, "publish.rewrapped\n")
    code, _ = await child(rig, database, what="rotate", keys=keys)
    assert code == 0
    counted = await keeping.count(rig.pool)
    assert counted[keys[0].partition(":")[0]] == 4, "two of TikTok's, Mastodon's, and our own at the instance"
    async with store.acting(rig.pool, DEFAULT_TENANT) as connection:
        held = await store.secrets(connection, Vault(LocalRing(keys[:1])), DEFAULT_TENANT, id_)
    assert set(held) == {"access_token", "refresh_token"}


async def test_g3_twenty_processes_want_one_refresh_and_the_ledger_counts_one_call(rig: Rig, database: str) -> None:
    [id_] = await rig.connect("x")
    await rig.due()
    outcomes = await asyncio.gather(*(child(rig, database, what="refresh", connection=id_) for _ in range(20)))
    assert sorted(said.strip() for _, said in outcomes) == ["leased"] * 19 + ["refreshed"]
    calls = await rig.sandbox.ledger("call", platform="x", path="/2/oauth2/token")
    assert len(calls) == 2, "the code, and one refresh"
    assert await works(rig, "x", id_)


async def test_j5_no_token_is_in_any_log_metric_page_error_or_table_whatever_fails(
    rig: Rig, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    for platform in PLATFORMS:
        ids = await rig.connect(platform)
        query = await rig.consented(platform)
        for body in ({"error": "invalid_grant"}, {"error": {"code": 190}}, None):
            fault = {"body": body, "status": 400} if body else {"drop": True, "effect": True}
            await rig.sandbox.wish("faults", platform=platform, times=1, **fault)
            seen.append(str(await rig.back(platform, query)))
            query = await rig.consented(platform)
            await rig.sandbox.wish("faults", platform=platform, times=1, **fault)
            await rig.due()
            seen.append(await rig.refresher.refresh(ids[0]))
            async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
                pass
        middle = "/social.example" if platform == "mastodon" else ""
        async with rig.http.get(f"{rig.url}/api/auth/{platform}{middle}/callback", params=query) as response:
            seen.append(await response.text())
        seen.append(str(await rig.api("GET", "/api/connections")))
        seen.append(str(await rig.api("DELETE", f"/api/connections/{ids[0]}")))
    seen.append(generate_latest().decode())
    seen += [str(await rig.raw(f"SELECT * FROM {table}")) for table in ("connections", "oauth_states", "audit_log")]
    captured = capfd.readouterr()
    everything = "\n".join([*seen, captured.out, captured.err])
    held: list[str] = []
    for platform in rig.server.world.platforms.values():
        for name in ("tokens", "access", "refresh", "refreshes", "codes", "apps"):
            kept = getattr(platform, name, None)
            held += list(kept) if isinstance(kept, dict) else []
        held.append(platform.application()[1])
    for app in rig.server.world.platforms["mastodon"].apps.values():  # type: ignore[attr-defined]
        held.append(app.client_secret)
        held.remove(app.client_id)
    secrets = [secret for secret in held if len(secret) > 8]
    assert len(secrets) > 50
    assert [secret for secret in secrets if secret in everything] == []
