"""The database is asked once per request whose session or key came with it."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys, sessions
from ops.web.concurrency_limit import RUNNING
from ops.web.routing import Route
from ops.web.site import build_site
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in, page, post
from tests.rig import HTML, Rig
from tests.support import eventually

pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


def counting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    """Each call of a function that asks the database, which is made all the same."""
    calls, asked = [], getattr(module, name)

    async def ask(*arguments: Any) -> Any:
        calls.append(name)
        return await asked(*arguments)

    monkeypatch.setattr(module, name, ask)
    return calls


async def test_database_is_asked_once_per_request_whose_session_or_key_it_is(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.web.concurrency_limit.REMEMBERED_SECONDS", 0.0)  # as if each request were the first
    csrf = await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    people, programs = counting(monkeypatch, sessions, "authenticate"), counting(monkeypatch, api_keys, "authenticate")
    for path in ("/connections", "/account", "/people", "/audit", "/login", f"/connections/{id_}/disconnect"):
        await page(rig, path)
        assert (path, people) == (path, ["authenticate"])
        people.clear()
    assert (await post(rig, f"/connections/{id_}/check", csrf=csrf))[0] == 303
    assert people == ["authenticate"]
    people.clear()
    assert (await rig.api("GET", "/api/connections"))[0] == 200
    assert (people, programs) == ([], ["authenticate"])
    async with (
        aiohttp.ClientSession(headers=HTML | {"Cookie": "landfall=made-up"}) as stranger,
        stranger.get(f"{rig.url}/connections", allow_redirects=False) as response,
    ):
        assert (response.status, people) == (303, ["authenticate"])


async def test_session_that_ends_while_its_request_waits_for_a_slot_is_looked_up_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was true before the wait may not be after it: a request of somebody logged out does nothing."""
    monkeypatch.setattr("ops.web.concurrency_limit.REMEMBERED_SECONDS", 0.0)
    site = build_site(rig.pool, secure=False)
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert isinstance(person, sessions.Person)
    release, running = asyncio.Event(), 0

    async def hold(_: web.Request) -> web.Response:
        nonlocal running
        running += 1
        await release.wait()
        return web.Response()

    async def who(request: web.Request) -> web.Response:
        return web.json_response(await site.authentication.person(request) is not None)

    app = web.Application()
    site.router.add(app, [Route("GET", "/hold", hold), Route("GET", "/who", who)])
    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    async with aiohttp.ClientSession(headers={"Cookie": f"landfall={person.token}"}) as http:

        async def get(path: str) -> bytes:
            async with http.get(url + path) as response:
                return await response.read()

        held = [asyncio.create_task(get("/hold")) for _ in range(RUNNING)]

        async def all_run() -> bool:
            return running == RUNNING

        await eventually(all_run, 10)
        waiting = asyncio.create_task(get("/who"))

        async def waits() -> bool:
            return [queue.length for queue in site.limit._queues.values()] == [RUNNING + 1]

        await eventually(waits, 10)
        await sessions.logout(rig.pool, person, None)
        release.set()
        assert await waiting == b"false"
        await asyncio.gather(*held)
    await server.close()
