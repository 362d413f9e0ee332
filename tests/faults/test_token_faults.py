"""Rows G3, G4, I-4 and J5 of ``faults.md``: no account is lost that could be kept, or looks healthy and is not."""

import asyncio
import json
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import generate_latest

from ops.access import api_keys, users
from ops.runtime.db import open_pool
from ops.runtime.embedded import free_port
from ops.runtime.tenancy import tenant_transaction
from ops.sandbox.client import Client as Sandbox
from ops.sandbox.server import Server
from publish.connections import connection_store
from publish.oauth import authorization
from publish.vault import key_rotation
from publish.vault.envelope import LocalRing, Vault, new_key
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests import fork_server
from tests.rig import KEYS, PLATFORMS, TESTS, Rig, variables
from tests.secret_scan import redis_keys, secrets_of, shown, tables
from tests.support import Service, eventually, sign_tiktok, tiktok

PASSWORD = "correct horse battery canary"

CHILD = """
import asyncio, json, os, sys
from ops.access.audit_log_store import COMMAND
from ops.cli import wiring
from ops.cli.composition import assembled
from ops.runtime.db import open_pool
from ops.runtime.http import Client
from ops.runtime.platform_client import PlatformClient
from ops.runtime.rate_limits import RateLimits
from publish.oauth.authorization import Callback
from publish.oauth.providers import OAuthProviders
from publish.vault import key_rotation
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT

job = json.loads(sys.argv[1])

async def main():
    vault = Vault(LocalRing(job["keys"]))
    async with (
        await open_pool(job["database"], "child", 4, role="landfall_app", wait_seconds=5) as pool,
        Client(frozenset(job["trusted"])) as client,
    ):
        if job["what"] == "rotate":
            return await key_rotation.rotate(pool, vault, lambda _: None)
        variables = {name: tuple(values) for name, values in job["variables"].items()}
        platforms = wiring.oauth_providers()
        platform_client = PlatformClient(platforms, client, RateLimits(pool))
        providers = OAuthProviders(platforms, variables, platform_client, job["public_url"])
        built = assembled(pool, vault, providers)
        if job["what"] == "disconnect":
            return await built.disconnector.disconnect(DEFAULT_TENANT, job["connection"], COMMAND)
        if job["what"] == "finish":
            return (await built.flows.complete(Callback(**job["visit"]))).ok
        return await built.refresher.refresh(job["connection"])

print(asyncio.run(main()))
"""


async def child(rig: Rig, database: str, fault: str = "", **job: Any) -> tuple[int, str]:
    """A process of its own that does one thing, and dies where it is told to."""
    whole = {
        "database": database,
        "keys": KEYS,
        "trusted": [rig.sandbox.url.removeprefix("http://")],
        "variables": rig.providers.variables,
        "public_url": rig.url,
        **job,
    }
    with TemporaryFile() as written:
        both = {"stdout": written.fileno(), "stderr": written.fileno()}
        variables = {"PATH": os.environ["PATH"]} | ({"LANDFALL_FAULT": fault} if fault else {})
        process = fork_server.start(json.dumps(whole), environment=variables, code=CHILD, **both)
        async with asyncio.timeout(30):
            code = await process.wait()
        written.seek(0)
        return code, written.read().decode()


async def works(rig: Rig, platform: str, id_: str) -> bool:
    """Whether the platform takes the token that is kept."""
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        held = await connection_store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)
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
        await rig.sandbox.command("clock", jump=86_400 + 1 if platform in ("instagram", "threads") else 60)
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


async def test_process_that_dies_while_connecting_keeps_nothing_by_halves_and_spends_no_code_twice(
    rig: Rig, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorization, "WAIT_SECONDS", 0.5)
    points = []
    for number in range(1, 10):
        fired = tmp_path / f"fired{number}"
        query = await rig.consented("instagram")
        mark = authorization.mark_of(query["state"])
        [cookie] = [cookie for cookie in rig.http.cookie_jar if cookie.key == f"landfall-flow-{mark}"]
        visit = {"platform": "instagram", "instance": "", "error": "", "session": cookie.value}
        visit |= {"state": query["state"], "code": query["code"]}
        code, said = await child(rig, database, f"exit:{number}:{fired}", what="finish", visit=visit)
        if not fired.exists():
            assert (code, said.strip()) == (0, "True")
            break
        points.append(fired.read_text().strip())
        assert await rig.raw("SELECT 1 FROM connections") == await rig.raw("SELECT 1 FROM connection_secrets") == []
        before = len(await rig.sandbox.ledger("call", platform="instagram"))
        outcome = await rig.back("instagram", query)
        assert (outcome["ok"], "It is not known whether the platform took it" in outcome["says"]) == (False, True)
        assert len(await rig.sandbox.ledger("call", platform="instagram")) == before, "the code is not sent again"
    assert points == ["publish.claimed", "publish.exchanged", "publish.verified"]
    assert [row["state"] for row in await rig.raw("SELECT state FROM connections")] == ["active"]


async def test_process_that_dies_while_disconnecting_leaves_the_rest_to_the_worker(
    rig: Rig, database: str, tmp_path: Path
) -> None:
    [id_] = await rig.connect("tiktok")
    fired = tmp_path / "fired"
    code, _ = await child(rig, database, f"exit:1:{fired}", what="disconnect", connection=id_)
    assert (code, fired.read_text()) == (137, "publish.disconnected\n")
    assert (await rig.shown(id_))["state"] == "disconnected", "nothing uses it any more"
    await rig.raw("UPDATE connections SET lease_until = now() - interval '1 second'")
    await rig.refresher._round()
    assert await rig.raw("SELECT 1 FROM connection_secrets") == []
    assert "live" not in {entry["state"] for entry in await rig.sandbox.ledger("token", platform="tiktok")}


async def test_i4_crash_at_every_point_of_a_rotation(rig: Rig, database: str, tmp_path: Path) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.connect("mastodon")
    keys = [new_key(), *KEYS]
    fired = tmp_path / "fired"
    code, _ = await child(rig, database, f"exit:1:{fired}", what="rotate", keys=keys)
    assert (code, fired.read_text()) == (137, "publish.rewrapped\n")
    code, _ = await child(rig, database, what="rotate", keys=keys)
    assert code == 0
    counted = await key_rotation.count(rig.pool)
    assert counted[keys[0].partition(":")[0]] == 4, "two of TikTok's, Mastodon's, and our own at the instance"
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        held = await connection_store.secrets(connection, Vault(LocalRing(keys[:1])), DEFAULT_TENANT, id_)
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
            await rig.sandbox.command("faults", platform=platform, times=1, **fault)
            seen.append(str(await rig.back(platform, query)))
            query = await rig.consented(platform)
            await rig.sandbox.command("faults", platform=platform, times=1, **fault)
            await rig.due()
            seen.append(await rig.refresher.refresh(ids[0]))
            async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
                pass
        middle = "/social.example" if platform == "mastodon" else ""
        async with rig.http.get(f"{rig.url}/api/auth/{platform}{middle}/callback", params=query) as response:
            seen.append(await response.text())
        seen.append(str(await rig.api("GET", "/api/connections")))
        seen.append(str(await rig.api("DELETE", f"/api/connections/{ids[0]}")))
    captured = capfd.readouterr()
    places = {"pages": "\n".join(seen), "metrics": generate_latest().decode(), "output": captured.out + captured.err}
    places |= await tables(rig.connection)
    secrets = secrets_of(rig.server)
    assert len(secrets) > 50
    assert shown(secrets, places) == []
    assert {"users (hex)", "audit_log (escape)", "alembic_version (hex)"} <= set(places)


REFRESH_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 500},
    {"status": 400, "body": {"error": "invalid_grant"}},
    {"drop": True, "effect": True},
    {"status": 400, "body": {"error": {"code": 190, "message": "canary"}}},
    {"spoil": "html"},
    {"truncate": 20, "effect": True},
    {"status": 200, "body": ["nonsense"]},
)


async def test_j5_no_secret_is_in_what_real_processes_write_show_or_keep(
    database: str, redis_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    port, vault_key = free_port(), new_key()
    server = Server(seed=7)
    pages: list[str] = []

    async def keep(_: Any, __: Any, got: aiohttp.TraceResponseChunkReceivedParams) -> None:
        if got.url.port == port:
            pages.append(got.chunk.decode(errors="replace"))

    trace = aiohttp.TraceConfig()
    trace.on_response_chunk_received.append(keep)
    async with (
        TestServer(server.app()) as platforms,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), trace_configs=[trace]) as http,
        await open_pool(database, "publish", 4, role=APP_ROLE, wait_seconds=20) as pool,
    ):
        sandbox = Sandbox(http, str(platforms.make_url("")))
        given = {name: ",".join(values) for name, values in variables(server, sandbox.url).items()}
        service = Service(
            database,
            redis_url,
            tmp_path,
            given
            | {
                "LANDFALL_VAULT_KEYS": vault_key,
                "LANDFALL_PUBLIC_URL": f"http://127.0.0.1:{port}",
                "LANDFALL_LOG_LEVEL": "debug",
            },
            port,
        )
        key = await api_keys.create(pool, DEFAULT_TENANT, "tests", api_keys.SCOPES, TESTS)
        await users.add(pool, DEFAULT_TENANT, "ada@example.org", PASSWORD, "owner", TESTS)
        for name in PLATFORMS:
            if name != "mastodon":
                await sandbox.command(
                    "redirects", platform=name, redirect_uri=f"http://127.0.0.1:{port}/api/auth/{name}/callback"
                )
        await service.start(worker=False)
        try:
            rig = Rig(server, sandbox, service.url, http, key, pool, None, None, connection, database, None, tmp_path)  # type: ignore[arg-type]
            tried = await _everything_fails(rig)
            cookies = [cookie.value for cookie in http.cookie_jar if cookie["path"] == "/" and len(cookie.value) > 8]
            for worker_faults in (REFRESH_FAULTS, ()):
                for platform, fault in zip(PLATFORMS, worker_faults, strict=False):
                    await sandbox.command("faults", platform=platform, times=0, **fault)
                await rig.due()
                await service.worker.start()
                await eventually(lambda: _nothing_due(rig))
                metrics = [await _metrics(http, number) for number in (service.web_metrics, service.work_metrics)]
                assert await service.worker.terminate() == 0
                await _no_faults(rig)
            secret = given["TIKTOK_CLIENT_SECRET"]
            body = tiktok("post.publish.complete", {"publish_id": "p1", "publish_type": "INBOX_SHARE"})
            assert (await service.send("tiktok", body, sign_tiktok(body, secret=secret)))[0] == 200
            assert (await service.send("tiktok", body, sign_tiktok(body, secret="tried-canary")))[0] == 401
            states = {row["state"] for row in await rig.raw("SELECT state FROM connections")}
            assert states == {"active", "needs_reconnect", "disconnected"}
        finally:
            await service.stop()
        places = {f"metrics {number}": text for number, text in enumerate(metrics)}
        places |= {"serve.log": service.web.output(), "work.log": service.worker.output()}
        places |= await tables(connection) | redis_keys(redis_url)
    assert "oauth.failed" in places["serve.log"]
    assert "refresh.failed" in places["work.log"]
    assert any(place.startswith("redis") for place in places), "the last ring was left for nobody"
    kept_out = [*secrets_of(server), key, vault_key.partition(":")[2], PASSWORD, *service_secrets(service), *cookies]
    assert len(kept_out) > 100
    assert shown([*kept_out, *tried], places) == []
    assert len(pages) > 50
    assert shown(kept_out, {"pages": "\n".join(pages)}) == []


def service_secrets(service: Service) -> list[str]:
    """What both processes were given that is called a secret, a token or a password."""
    given = service.web.environment
    password = urlsplit(service.database).password or ""
    return [value for name, value in given.items() if name.endswith(("_SECRET", "_TOKEN"))] + [password]


async def _metrics(http: aiohttp.ClientSession, port: int) -> str:
    async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
        return await response.text()


async def _nothing_due(rig: Rig) -> bool:
    due = "SELECT 1 FROM connections WHERE state = 'active' AND least(refresh_due_at, check_due_at) <= now()"
    return not await rig.raw(due)


async def _no_faults(rig: Rig) -> None:
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass


async def _everything_fails(rig: Rig) -> list[str]:
    """Connect an account of each platform, with every fault on the way; what was tried, and may be nowhere either."""
    tried = ["wrong password canary", "lf_wrong-key-canary", "wrong-state-canary", "wrong-code-canary", "wrong-ticket"]
    password, wrong_key, wrong_state, wrong_code, wrong_ticket = tried
    for attempt in (password, PASSWORD):
        form = {"email": "ada@example.org", "password": attempt}
        async with rig.http.post(f"{rig.url}/login", data=form, headers={"Accept": "text/html"}) as response:
            assert response.status == (200 if attempt == PASSWORD else 401)
    for path in ("/api/connections", "/api/auth/x"):
        headers = {"Authorization": f"Bearer {wrong_key}"}
        async with rig.http.get(rig.url + path, headers=headers) as response:
            assert response.status == 401
    async with rig.http.post(f"{rig.url}/logout", data={"csrf": wrong_ticket}) as response:
        assert response.status == 403
    for platform in PLATFORMS:
        ids = await rig.connect(platform)
        for fault in REFRESH_FAULTS:
            query = await rig.consented(platform)
            await rig.sandbox.command("faults", platform=platform, times=0, **fault)
            assert not (await rig.back(platform, query))["ok"], (platform, fault)
            await _no_faults(rig)
            tried += [query["state"], query["code"]]
        query = await rig.consented(platform)
        tried += [query["state"], query["code"]]
        async with aiohttp.ClientSession() as stranger:
            await rig.back(platform, query, stranger)
        await rig.back(platform, query | {"state": wrong_state, "code": wrong_code})
        await rig.back(platform, query | {"code": wrong_code})
        async with rig.http.get(f"{rig.url}/api/auth/{platform}/open", params={"ticket": wrong_ticket}) as response:
            assert response.status == 400
        form = {"signed_request": f"{wrong_state}.{wrong_code}"}
        async with rig.http.post(f"{rig.url}/api/auth/{platform}/deletion", data=form) as response:
            assert response.status == 401
        async with rig.http.get(f"{rig.url}/api/connections/{ids[0]}") as response:
            assert response.status == 200
    for path in ("/connections", "/api/connections"):
        async with rig.http.get(rig.url + path) as response:
            assert response.status == 200
    await rig.sandbox.command("faults", platform="mastodon", times=0, status=500)
    assert (await rig.api("DELETE", f"/api/connections/{ids[0]}"))[0] == 200
    await _no_faults(rig)
    return tried
