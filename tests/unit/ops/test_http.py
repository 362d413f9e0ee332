"""The way out: which addresses are public, what is never sent twice, and what no error shows."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.runtime import http
from ops.runtime.http import Client, Unreachable, public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "not an address",
        "",
    ],
)
def test_inner_addresses_are_not_public_whatever_they_are_wrapped_in(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_outer_addresses_are_public(address: str) -> None:
    assert public(address)


class Rig:
    def __init__(self) -> None:
        self.calls = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        what = request.match_info["what"]
        if what == "flaky":
            return web.json_response({"n": self.calls}, status=200 if self.calls > 2 else 503)
        if what == "big":
            return web.Response(body=b"x" * (http.ANSWER_BYTES + 1))
        if what == "html":
            return web.Response(text="<h1>502</h1>", content_type="text/html", status=502)
        if what == "away":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
        if what == "slow":
            await asyncio.sleep(30)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(http, "PAUSE_SECONDS", 0.001)
    found = Rig()
    app = web.Application()
    app.router.add_route("*", "/{what}", found.answer)
    running = TestServer(app)
    await running.start_server()
    found.url = str(running.make_url("")).rstrip("/")
    yield found
    await running.close()


async def ask(rig: Rig, what: str, *, trusted: bool = True, repeatable: bool = False, **options: Any) -> Any:
    hosts = frozenset({rig.url.removeprefix("http://")} if trusted else set[str]())
    async with Client(hosts) as client:
        method = "GET" if repeatable else "POST"
        return await client.ask(method, f"{rig.url}/{what}", repeatable=repeatable, **options)


async def test_only_what_may_be_repeated_is_sent_again(rig: Rig) -> None:
    assert (await ask(rig, "flaky", repeatable=True)).content == {"n": 3}
    rig.calls = 0
    assert (await ask(rig, "flaky")).status == 503
    assert rig.calls == 1
    for repeatable, calls in ((False, 1), (True, http.TRIES)):
        rig.calls = 0
        with pytest.raises(Unreachable) as lost:
            await ask(rig, "dropped", repeatable=repeatable)
        assert lost.value.sent
        assert rig.calls == calls or (repeatable and rig.calls <= 2 * calls), "aiohttp has a second try of its own"


async def test_answers_are_bounded_and_what_is_no_json_is_nothing(rig: Rig) -> None:
    with pytest.raises(Unreachable, match="longer than"):
        await ask(rig, "big")
    found = await ask(rig, "html")
    assert (found.status, found.content) == (502, None)
    assert (await ask(rig, "away")).status == 302, "and nobody went there"


async def test_time_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TOTAL_SECONDS", 0.2)
    with pytest.raises(Unreachable, match="Timeout"):
        await ask(rig, "slow")


async def test_inner_networks_are_refused_at_the_connection_and_no_error_shows_a_query(rig: Rig) -> None:
    for query in (None, {"access_token": "canary-1234"}):
        with pytest.raises(Unreachable, match="not a public one") as refused:
            await ask(rig, "flaky", trusted=False, query=query)
        assert "canary" not in str(refused.value)
    assert rig.calls == 0


async def test_name_that_is_rebound_to_an_inner_address_is_refused_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(rig.url.rpartition(":")[2])

    async def rebound(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{"hostname": "h", "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", rebound)
    if hasattr(aiohttp.resolver, "AsyncResolver"):
        monkeypatch.setattr(aiohttp.resolver.AsyncResolver, "resolve", rebound)
    async with Client(frozenset()) as client:
        with pytest.raises(Unreachable, match="not a public one"):
            await client.ask("GET", f"http://public.example:{port}/flaky", repeatable=False)
    assert rig.calls == 0
