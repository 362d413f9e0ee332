"""One tenant's flood is its own (row J3 of ``faults.md``), and a flood of logins is nobody's."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from statistics import median

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys, passwords, sessions, tenants, users
from ops.cli.serve import PUBLISH_CONNECTIONS
from ops.runtime import metrics
from ops.runtime.db import open_pool
from ops.web import concurrency_limit
from ops.web.routing import Route
from ops.web.site import build_site
from publish.oauth.authorization import OPEN_FLOWS
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, add_pages
from tests.support import eventually, is_error

pytestmark = pytest.mark.hash_cost

QUIET, EACH, FLOOD = 5, 40, 150


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """Collect no garbage: late in a run that stops this process for long, and the web process has no such heap."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def url(rig: Rig, database: str) -> AsyncIterator[str]:
    """The web process as `landfall serve` has it: few connections, and a second's patience for one."""
    async with await open_pool(database, "few", PUBLISH_CONNECTIONS, role=APP_ROLE) as pool:
        app = web.Application()
        add_pages(app, pool, rig.built)
        server = TestServer(app)
        await server.start_server()
        yield str(server.make_url("")).rstrip("/")
        await server.close()


async def answered(http: aiohttp.ClientSession, address: str, key: str) -> tuple[int, float]:
    begun = time.monotonic()
    async with http.get(address, headers={"Authorization": f"Bearer {key}"}) as response:
        await response.read()
        if response.status == 429:
            assert response.headers["Retry-After"] == "1"
            body = await response.json()
            assert is_error(body)
            assert (body["error"]["code"], body["error"]["retryable"]) == ("rate_limit_exceeded", True)
        return response.status, time.monotonic() - begun


@pytest.mark.usefixtures("no_pauses")
async def test_noisy_tenant_is_told_to_wait_and_five_quiet_ones_are_served(rig: Rig, url: str) -> None:
    noisy = [
        await api_keys.create(rig.pool, DEFAULT_TENANT, f"noisy {number}", api_keys.DEFAULT_SCOPES, TESTS)
        for number in range(2)
    ]
    quiet = []
    for number in range(QUIET):
        tenant = await tenants.add(rig.connection, f"quiet {number}", TESTS)
        quiet.append(await api_keys.create(rig.pool, tenant, "key", api_keys.DEFAULT_SCOPES, TESTS))
    # Slow enough that whoever holds a connection is seen to hold it.
    await rig.connection.execute(
        """
        CREATE FUNCTION dawdle() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN ''; END $$;
        ALTER POLICY tenant ON connections USING (
            dawdle() = '' AND current_setting('landfall.tenant', true) IN ('*', tenant_id::text))"""
    )
    await rig.connect("tiktok")
    stop = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def flood(key: str) -> Counter[int]:
            found: Counter[int] = Counter()
            while not stop.is_set():
                status, _ = await answered(http, f"{url}/api/connections", key)
                found[status] += 1
                # The flood shares this process with the server: without pauses the server itself would starve.
                await asyncio.sleep(0.5 if status == 429 else 0)
            return found

        async def polite(key: str) -> list[tuple[int, float]]:
            return [await answered(http, f"{url}/api/connections", key) for _ in range(EACH)]

        hits = metrics.rate_limit_hits.labels("/api/connections")
        counted = hits._value.get()
        floods = [asyncio.create_task(flood(noisy[number % 2])) for number in range(FLOOD)]
        served = await asyncio.gather(*(polite(key) for key in quiet))
        stop.set()
        told = sum((await asyncio.gather(*floods)), Counter())
    statuses = Counter(status for tenant in served for status, _ in tenant)
    assert statuses == {200: QUIET * EACH}
    assert set(told) == {200, 429}
    assert told[429] > told[200] > 0
    assert hits._value.get() - counted == told[429], "each is counted, by its endpoint"
    assert median(seconds for tenant in served for _, seconds in tenant) < 0.5


async def test_slots_of_a_tenant_are_given_back_and_count_over_all_its_keys() -> None:
    found = concurrency_limit.ConcurrencyLimit()

    async def owner(key: str) -> str | None:
        return {"one": "tenant", "two": "tenant", "another tenant's": "another"}.get(key)

    held = [found.slot({key: owner}) for key in ("one", "two")]
    for slot in held:
        await slot.__aenter__()

    async def waits(key: str) -> None:
        async with found.slot({key: owner}):
            pass

    line = [asyncio.create_task(waits("one" if number % 2 else "two")) for number in range(concurrency_limit.WAITING)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in line)
    with pytest.raises(concurrency_limit.TooManyRequests):
        await waits("one")
    with pytest.raises(concurrency_limit.TooManyRequests):
        async with found.slot({"made up": owner, "two": owner}):
            pass
    await waits("another tenant's")
    line[0].cancel()
    for slot in held:
        await slot.__aexit__(None, None, None)
    outcomes = await asyncio.gather(*line, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] + [type(None)] * (
        concurrency_limit.WAITING - 1
    )
    await waits("one")
    assert found._queues == {}


async def test_credential_that_ended_elsewhere_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found, living = concurrency_limit.ConcurrencyLimit(), {"one": "tenant"}

    async def owner(key: str) -> str | None:
        return living.get(key)

    async with found.slot({"one": owner}):
        assert set(found._queues) == {"tenant"}
    living.clear()
    async with found.slot({"one": owner}):
        assert set(found._queues) == {"tenant"}, "remembered"
    later = time.monotonic() + concurrency_limit.REMEMBERED_SECONDS
    monkeypatch.setattr(concurrency_limit.time, "monotonic", lambda: later)
    async with found.slot({"one": owner}):
        assert found._queues == {}
    assert found._tenants == {}


async def test_credentials_of_nobody_take_no_slot_and_leave_nothing_in_memory(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    key = await api_keys.create(rig.pool, other, "living", api_keys.DEFAULT_SCOPES, TESTS)
    dead = await api_keys.create(rig.pool, other, "revoked", api_keys.DEFAULT_SCOPES, TESTS)
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "owner", TESTS)
    person = await sessions.login(rig.pool, "ada@example.org", "correct horse battery", None)
    assert person is not None
    site = build_site(rig.pool, secure=False)
    held, release = 0, asyncio.Event()

    async def holding(request: web.Request) -> web.Response:
        nonlocal held
        held += 1
        await release.wait()
        return web.Response()

    async def who(request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            await site.authentication.require_caller(request, "connections:read")
        return web.json_response(await site.authentication.person(request) is not None)

    app = web.Application()
    site.router.add(app, [Route("POST", "/hold", holding), Route("GET", "/who", who)])

    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    cookie = {"Cookie": f"landfall={person.token}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        for headers in (cookie, {"Authorization": f"Bearer {dead}"}):  # known as the tenant's while they live
            async with http.get(f"{url}/who", headers=headers) as response:
                assert response.status == 200
        await sessions.logout(rig.pool, person, None)
        await api_keys.revoke(rig.pool, other, "revoked", TESTS)
        for headers in (cookie, {"Authorization": f"Bearer {dead}"}):  # seen to be dead, once
            async with http.get(f"{url}/who", headers=headers) as response:
                await response.read()
        made_up = [{"Authorization": f"Bearer lf_{number}"} for number in range(20)]
        sent = [
            asyncio.create_task(http.post(f"{url}/hold", headers=headers))
            for headers in [cookie] * 20 + [{"Authorization": f"Bearer {dead}"}] * 20 + made_up
        ]

        async def all_held() -> bool:
            return held == len(sent)

        await eventually(all_held, 10)
        assert site.limit._queues == {}
        assert site.limit._tenants == {}
        async with asyncio.timeout(2), http.get(f"{url}/who", headers={"Authorization": f"Bearer {key}"}) as response:
            assert response.status == 200, "whoever is somebody is served meanwhile"
        release.set()
        assert {(await response).status for response in sent} == {200}
    await server.close()


async def test_tenant_may_leave_only_so_many_flows_unfinished(rig: Rig) -> None:
    for _ in range(OPEN_FLOWS - 1):
        await rig.built.flows.start("x", "", DEFAULT_TENANT, TESTS, "/")
    assert (await rig.api("GET", "/api/auth/x"))[0] == 201
    hits = metrics.rate_limit_hits.labels("/api/auth/{platform}")
    counted = hits._value.get()
    status, answer = await rig.api("GET", "/api/auth/x")
    assert hits._value.get() == counted + 1
    assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (429, "rate_limit_exceeded", True)
    assert "100 connections were begun and not finished; each ends after 5 minutes" in answer["error"]["message"]
    other = await tenants.add(rig.connection, "other", TESTS)
    key = await api_keys.create(rig.pool, other, "theirs", api_keys.DEFAULT_SCOPES, TESTS)
    assert (await rig.api("GET", "/api/auth/x", headers={"Authorization": f"Bearer {key}"}))[0] == 201
    await rig.raw("UPDATE oauth_states SET opened_at = now() WHERE tenant_id = $1::uuid", DEFAULT_TENANT)
    await rig.raw("UPDATE oauth_states SET used_at = now() WHERE tenant_id = $1::uuid", DEFAULT_TENANT)
    assert (await rig.api("GET", "/api/auth/x"))[0] == 201


@pytest.mark.usefixtures("no_pauses")
async def test_flood_of_logins_is_cut_and_the_rest_goes_on(rig: Rig, url: str) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "owner", TESTS)
    most = 0
    stop = asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not stop.is_set():
            most = max(most, passwords._waiting)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def tried(number: int) -> int:
            form = {"email": f"nobody{number}@example.org", "password": "wrong"}
            async with http.post(f"{url}/login", data=form) as response:
                if response.status == 503:
                    assert response.headers["Retry-After"] == "3"
                    assert "Wait a few seconds" in await response.text()
                return response.status

        flood = asyncio.gather(*(tried(number) for number in range(120)))
        await asyncio.sleep(0.1)
        for _ in range(10):
            status, seconds = await answered(http, f"{url}/api/connections", rig.key)
            assert status == 200
            assert seconds < 1.0
        found = Counter(await flood)
        stop.set()
        await watching
        assert set(found) <= {401, 429, 503}
        assert found[503] > found[401] > 0
        assert most == passwords.MAX_CONCURRENT + passwords.MAX_QUEUED
        await rig.connection.execute("DELETE FROM login_failures")
        form = {"email": "ada@example.org", "password": "correct horse battery"}
        async with http.post(f"{url}/login", data=form, allow_redirects=False) as response:
            assert response.status == 303, "and afterwards everything is as before"
