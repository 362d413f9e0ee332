"""The real processes without a vault key: people, keys and the audit log work; only connecting does not."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ops.access import api_keys, factor_enrolment, login_throttle, second_factor, sessions, users
from ops.access.sessions import Person
from ops.runtime.db import Pool, open_pool
from publish.vault.envelope import LocalRing, Vault
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.authenticator import code_of
from tests.rig import KEYS, TESTS
from tests.support import Service, eventually

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
HTML = {"Accept": "text/html"}
REMEDY = "make a key with `landfall vault key`, set LANDFALL_VAULT_KEYS to it and start `landfall serve` again"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 2, role=APP_ROLE) as found:
        await users.add(found, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
        yield found


@pytest.fixture
async def unkeyed(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    running = Service(database, None, tmp_path)
    await running.start(worker=False)
    yield running
    await running.stop()


async def answer(
    http: aiohttp.ClientSession, method: str, address: str, headers: dict[str, str] | None = None, **form: str
) -> tuple[int, str, str]:
    """The status, where it leads, and the text; as a browser unless ``headers`` say otherwise."""
    async with http.request(
        method, address, data=form or None, headers=HTML if headers is None else headers, allow_redirects=False
    ) as response:
        return response.status, response.headers.get("Location", ""), await response.text()


async def test_people_keys_invitations_and_the_audit_log_work(unkeyed: Service, pool: Pool) -> None:
    url = unkeyed.url
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        assert (await answer(http, "GET", f"{url}/login"))[0] == 200
        status, where, _ = await answer(http, "POST", f"{url}/login", email=EMAIL, password=PASSWORD)
        assert (status, where) == (303, "/connections")
        status, _, text = await answer(http, "GET", f"{url}/connections")
        assert (status, "Accounts cannot be connected" in text, REMEDY[1:] in text) == (503, True, True)
        assert 'href="/people"' in text, "the other pages stay in reach"
        [csrf, *_] = re.findall(r'name="csrf" value="(\w+)"', text)
        for path in ("/account", "/people", "/audit"):
            assert (await answer(http, "GET", f"{url}{path}"))[0] == 200, path
        status, _, text = await answer(http, "POST", f"{url}/people", csrf=csrf, email="eve@example.org", role="editor")
        [link] = re.findall(r"<code>([^<]*/invitation[^<]*)</code>", text)
        form = {"csrf": csrf, "name": "crm", "audit:read": "on", "connections:read": "on"}
        status, _, text = await answer(http, "POST", f"{url}/keys", **form)
        [key] = re.findall(r"<code>(lf_[^<]*)</code>", text)
        bearer = {"Authorization": f"Bearer {key}"}
        status, _, text = await answer(http, "GET", f"{url}/api/audit", bearer)
        assert (status, '"key.created"' in text) == (200, True)
        assert (await answer(http, "POST", f"{url}/logout", csrf=csrf))[:2] == (303, "/login")
    path = link[link.index("/invitation") :]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        assert (await answer(http, "GET", url + path))[:2] == (303, "/invitation")
        [csrf] = re.findall(r'name="csrf" value="(\w+)"', (await answer(http, "GET", f"{url}/invitation"))[2])
        assert (await answer(http, "POST", f"{url}/invitation/password", csrf=csrf, new=PASSWORD))[0] == 200
    assert {member.email: member.role for member in await users.list_members(pool, DEFAULT_TENANT)} == {
        EMAIL: "owner",
        "eve@example.org": "editor",
    }


async def test_every_route_that_connects_says_what_is_missing(unkeyed: Service, pool: Pool) -> None:
    url, key = unkeyed.url, await api_keys.create(pool, DEFAULT_TENANT, "crm", api_keys.SCOPES, TESTS)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        for method, path in (
            ("GET", "/api/auth/x"),
            ("GET", "/api/auth/x/callback"),
            ("POST", "/api/auth/facebook/deauthorize"),
            ("GET", "/api/connections"),
            ("POST", "/api/connections/0/check"),
            ("GET", "/api/flows/0"),
            ("GET", "/api/notices"),
            ("GET", "/deletions/0"),
        ):
            async with http.request(method, url + path, headers=headers) as response:
                found = (await response.json())["error"]
                assert (response.status, found["code"], found["retryable"]) == (503, "not_configured", False), path
                assert (found["details"]["remedy"], "no vault key" in found["message"]) == (REMEDY, True), path
            status, _, text = await answer(http, method, url + path)
            assert (status, "no vault key" in text, "LANDFALL_VAULT_KEYS" in text) == (503, True, True), path
        assert (await answer(http, "GET", f"{url}/connections"))[:2] == (303, "/login")
        assert (await answer(http, "GET", f"{url}/nowhere"))[0] == 404


async def test_app_whose_secret_could_not_be_encrypted_is_not_added_and_no_code_is_guessed(
    unkeyed: Service, pool: Pool
) -> None:
    """A secret that is kept open would be worth a second factor to whoever reads a backup."""
    url = unkeyed.url
    vault = Vault(LocalRing(KEYS))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await answer(http, "POST", f"{url}/login", email=EMAIL, password=PASSWORD)
        _, _, text = await answer(http, "GET", f"{url}/account")
        assert ('action="/account/totp"' in text, REMEDY in text) == (False, True)
        [csrf, *_] = re.findall(r'name="csrf" value="(\w+)"', text)
        status, _, text = await answer(http, "POST", f"{url}/account/totp", csrf=csrf, password=PASSWORD)
        assert (status, "cannot be added: no vault key" in text) == (503, True)
    # Somebody who added one while there was a key.
    own = await sessions.login(pool, EMAIL, PASSWORD, None)
    assert isinstance(own, Person)

    enrolment = await factor_enrolment.begin_totp(pool, vault, own, "Phone")
    assert enrolment is not None
    code = code_of(enrolment.secret, second_factor.current_step())
    added = await factor_enrolment.confirm_totp(pool, vault, own, enrolment.id, code, None)
    assert added is not None
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        status, where, _ = await answer(http, "POST", f"{url}/login", email=EMAIL, password=PASSWORD)
        assert (status, where) == (303, "/login/second")
        for _ in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL + 1):
            text = (await answer(http, "GET", f"{url}/login/second"))[2]
            [csrf] = re.findall(r'name="csrf" value="(\w+)"', text)
            status, _, text = await answer(http, "POST", f"{url}/login/second", csrf=csrf, code="123456")
            assert (status, "no vault key" in text) == (503, True), "it is no wrong code, and counts as none"
        form = {"csrf": csrf, "code": added.codes[0]}
        assert (await answer(http, "POST", f"{url}/login/second", **form))[:2] == (303, "/connections")


async def test_worker_forgets_sessions_that_are_over(
    service: Service, pool: Pool, connection: asyncpg.Connection
) -> None:
    """Nobody else does it: the sweep that keeps connections has no key to work with."""
    assert isinstance(await sessions.login(pool, EMAIL, PASSWORD, None), Person)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    await connection.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")

    async def forgotten() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM sessions")

    await eventually(forgotten)
