"""The pages of the real web process, reached through a proxy as a browser reaches them."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ops.access import users
from ops.runtime.db import open_pool
from publish.vault.envelope import new_key
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS
from tests.support import Service

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
PUBLIC = "https://crm.example.org"


@pytest.fixture
async def behind_proxy(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    settings = {
        "LANDFALL_VAULT_KEYS": new_key(),
        "LANDFALL_PUBLIC_URL": PUBLIC,
        "LANDFALL_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    running = Service(database, None, tmp_path, settings)
    await running.start(worker=False)
    yield running
    await running.stop()


async def test_visitor_behind_a_proxy_logs_in_and_is_known_by_the_own_address(
    behind_proxy: Service, database: str, connection: asyncpg.Connection
) -> None:
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        await users.add(pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
    url = behind_proxy.url
    passed_on = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "Host": "web:8080"}
    form = {"email": EMAIL, "password": PASSWORD}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.get(f"{url}/", headers=passed_on, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/connections")
        for origin, status in (("https://evil.example", 403), ("http://web:8080", 303), (PUBLIC, 303)):
            headers = passed_on | {"Origin": origin}
            async with http.post(f"{url}/login", data=form, headers=headers, allow_redirects=False) as response:
                assert response.status == status, origin
                cookie = response.cookies.get("__Host-landfall")
        assert cookie is not None
        headers = passed_on | {"Cookie": f"__Host-landfall={cookie.value}"}
        for path in ("/connections", "/people", "/account", "/audit"):
            async with http.get(f"{url}{path}", headers=headers) as response:
                text = await response.text()
                assert (response.status, "<script" in text) == (200, False)
                assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert "203.0.113.9" in text
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    rows = await connection.fetch("SELECT host(address) FROM sessions UNION ALL SELECT host(address) FROM audit_log")
    assert {row[0] for row in rows} == {"203.0.113.9", None}
