"""The sandbox on a port, and a person with a browser."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from ops.sandbox.server import Server


@dataclass
class Stand:
    """``server`` from inside, ``http`` and ``url`` from outside."""

    server: Server
    http: aiohttp.ClientSession
    url: str

    async def control(self, path: str, method: str = "POST", **wish: Any) -> Any:
        async with self.http.request(method, f"{self.url}/_sandbox/{path}", json=wish) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ledger(self, kind: str, **fields: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/_sandbox/ledger", params={"kind": kind, **fields}) as response:
            found: list[dict[str, Any]] = await response.json()
            return found

    async def consent(self, address: str, decision: str = "approve", account: str = "alice", untick: str = "") -> Any:
        """Open a consent page, do as a person would, and return what the application is sent, or the page."""
        async with self.http.get(address) as response:
            page = await response.text()
            assert response.status == 200, page
        fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
        scopes = [scope for scope in re.findall(r'name="granted\[\]" value="([^"]+)"', page) if scope != untick]
        form = [*fields, *(("granted[]", scope) for scope in scopes), ("account", account), ("decision", decision)]
        async with self.http.post(address.partition("?")[0], data=form, allow_redirects=False) as response:
            if response.status == 302:
                query = parse_qs(urlsplit(response.headers["Location"]).query)
                return {name: values[0] for name, values in query.items()}
            return await response.text()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    server = Server(seed=7)
    running = TestServer(server.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http:
        yield Stand(server, http, str(running.make_url("")).rstrip("/"))
    await running.close()
