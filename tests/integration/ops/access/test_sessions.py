"""How sessions end: by time, without use, from the list, and by a login in their place."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import passwords, sessions, tenants, users
from ops.access.sessions import Person
from ops.runtime.db import Pool, open_pool
from schema.rights import WEB_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, add_pages, join

EMAIL, PASSWORD, NEW = "ada@example.org", "correct horse battery", "another long password"
HTML = {"Accept": "text/html"}
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


async def logged_in(rig: Rig, email: str = EMAIL, **more: str) -> Person:
    found = await sessions.login(rig.pool, email, PASSWORD, "203.0.113.9", **more)
    assert isinstance(found, Person)
    return found


async def asked(rig: Rig, token: str, path: str = "/account", **form: str) -> tuple[int, str]:
    """What a browser with this session is answered; with a form, it presses a button."""
    headers = HTML | {"Cookie": f"landfall={token}"}
    method = "POST" if form else "GET"
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, rig.url + path, data=form or None, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, await response.text()


async def alive(rig: Rig, person: Person) -> bool:
    return (await asked(rig, person.token))[0] == 200


async def test_login_ends_the_session_that_was_there_in_that_browser_whosever_it_was(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    hers, elsewhere = await logged_in(rig, "eve@example.org"), await logged_in(rig)
    headers, form = {"Cookie": f"landfall={hers.token}"}, {"email": EMAIL, "password": "wrong"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.post(f"{rig.url}/login", data=form, headers=headers) as response:
            assert (response.status, await alive(rig, hers)) == (401, True), "a wrong password ends nothing"
        form["password"] = PASSWORD
        async with http.post(f"{rig.url}/login", data=form, headers=headers, allow_redirects=False) as response:
            assert response.status == 303
            own = response.cookies["landfall"].value
    assert own != hers.token
    assert not await alive(rig, hers), "whoever knows the old token has nothing"
    assert ((await asked(rig, own))[0], await alive(rig, elsewhere)) == (200, True)
    [row] = await rig.raw("SELECT subject, host(address) AS address FROM audit_log WHERE detail ? 'replaced'")
    assert tuple(row) == ("eve@example.org", "127.0.0.1")


async def test_session_that_nobody_uses_ends_and_one_in_use_does_not(rig: Rig) -> None:
    used, idle = await logged_in(rig), await logged_in(rig)
    ago = "UPDATE sessions SET last_used_at = now() - make_interval(mins => $1)"
    await rig.raw(ago, sessions.IDLE_MINUTES - 1)
    assert await alive(rig, used)
    await rig.raw("UPDATE sessions SET last_used_at = last_used_at - interval '2 minutes'")
    assert (await alive(rig, used), await alive(rig, idle)) == (True, False)
    assert (await asked(rig, idle.token, "/api/connections"))[0] == 303, "to the login"
    csrf = {"csrf": sessions.csrf_token(idle.token)}
    assert (await asked(rig, idle.token, "/logout", **csrf))[0] == 401
    assert [item.current for item in await sessions.list_sessions(rig.pool, used)] == [True], "it is not listed either"


async def test_how_long_without_use_is_a_setting(rig: Rig) -> None:
    app = web.Application()
    add_pages(app, rig.pool, rig.built, idle_minutes=5)
    server = TestServer(app)
    await server.start_server()
    person = await logged_in(rig)
    headers = HTML | {"Cookie": f"landfall={person.token}"}
    async with aiohttp.ClientSession() as http:
        for minutes, status in ((4, 200), (6, 303)):
            await rig.raw("UPDATE sessions SET last_used_at = now() - make_interval(mins => $1)", minutes)
            async with http.get(server.make_url("/account"), headers=headers, allow_redirects=False) as response:
                assert response.status == status
    await server.close()


async def test_use_is_written_at_most_once_a_minute(rig: Rig) -> None:
    person = await logged_in(rig)

    async def writes() -> int:
        return int(await rig.connection.fetchval("SELECT xmin::text::bigint FROM sessions"))

    await rig.connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    before = await writes()
    for _ in range(5):
        assert await alive(rig, person)
    assert await writes() == before, "reading pages writes nothing"
    await rig.raw("UPDATE sessions SET last_used_at = now() - interval '61 seconds'")
    before = await writes()
    for _ in range(5):
        assert await alive(rig, person)
    once = await writes()
    assert once != before
    assert await alive(rig, person)
    assert await writes() == once


async def test_switching_tenants_does_not_move_the_end_of_a_session(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    person = await logged_in(rig, browser="Firefox on Linux")
    await rig.raw(
        "UPDATE sessions SET created_at = now() - interval '11 hours', expires_at = now() + interval '1 hour'"
    )
    token = await sessions.switch_tenant(rig.pool, person, other, None)
    assert token
    [row] = await rig.raw(
        "SELECT browser, expires_at < now() + interval '61 minutes' AS ends, created_at < now() - interval '10 hours'"
        " AS old FROM sessions"
    )
    assert tuple(row) == ("Firefox on Linux", True, True)
    await rig.raw("UPDATE sessions SET expires_at = now()")
    assert await sessions.authenticate(rig.pool, token) is None
    ended = await sessions.authenticate(rig.pool, await sessions.switch_tenant(rig.pool, person, other, None) or "")
    assert ended is None, "one that has ended begins no other"


async def test_list_says_where_somebody_is_logged_in_and_each_can_be_ended_there(rig: Rig) -> None:
    own, phone = await logged_in(rig, browser="Firefox on Linux"), await logged_in(rig)
    async with rig.http.post(
        f"{rig.url}/login",
        data={"email": EMAIL, "password": PASSWORD},
        headers={"User-Agent": PHONE},
        allow_redirects=False,
    ) as response:
        stolen = response.cookies["landfall"].value
    status, text = await asked(rig, own.token)
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", text, re.DOTALL)
    assert (status, len(rows)) == (200, 3)
    assert ("Firefox on Linux" in rows[0], "this one" in rows[0], "203.0.113.9" in rows[0]) == (True, True, True)
    assert "this one" not in rows[1] + rows[2]
    assert "Chrome on Android" in rows[1], "the last used first"
    assert "an unknown browser" in rows[2]
    assert own.token not in text
    [path] = re.findall(r'action="(/account/sessions/[\w-]+/end)"', rows[1])
    assert (await asked(rig, own.token, path, csrf=own.csrf))[0] == 303
    assert (await asked(rig, stolen))[0] == 303, "at once"
    assert (await alive(rig, own), await alive(rig, phone)) == (True, True)
    assert (await asked(rig, own.token, path, csrf=own.csrf))[0] == 404
    noted = await rig.raw("SELECT actor, subject FROM audit_log WHERE action = 'user.session_ended'")
    assert [tuple(row) for row in noted] == [(f"user:{EMAIL}", EMAIL)]


async def test_ending_the_own_session_leads_to_the_login(rig: Rig) -> None:
    own = await logged_in(rig)
    [row] = await sessions.list_sessions(rig.pool, own)
    assert (await asked(rig, own.token, f"/account/sessions/{row.id}/end", csrf=own.csrf))[0] == 303
    assert not await alive(rig, own)


async def test_session_of_somebody_else_can_neither_be_seen_nor_ended(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "owner", TESTS)
    own, hers = await logged_in(rig), await logged_in(rig, "eve@example.org")
    [row] = await sessions.list_sessions(rig.pool, hers)
    path = f"/account/sessions/{row.id}/end"
    assert row.id not in (await asked(rig, own.token))[1]
    for address in (path, "/account/sessions/junk/end", f"/account/sessions/{DEFAULT_TENANT}/end"):
        assert (await asked(rig, own.token, address, csrf=own.csrf))[0] == 404
    assert (await asked(rig, hers.token, path, csrf=own.csrf))[0] == 403, "nor by a form of another session"
    assert await alive(rig, hers)


async def test_all_others_are_ended_at_once_at_every_tenant_and_nobody_elses(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    own, hers = await logged_in(rig), await logged_in(rig, "eve@example.org")
    gone = [await logged_in(rig) for _ in range(3)]
    switched = await sessions.switch_tenant(rig.pool, gone[0], other, None)
    assert (await asked(rig, own.token, "/account/sessions/end-others", csrf=own.csrf))[0] == 303
    for token in (switched or "", gone[1].token, gone[2].token):
        assert await sessions.authenticate(rig.pool, token) is None
    assert (await alive(rig, own), await alive(rig, hers)) == (True, True)


async def test_new_password_ends_all_others_and_a_login_that_was_under_way(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = await logged_in(rig), await logged_in(rig)
    verify, changed = passwords.verify_password, asyncio.Event()

    async def slow(password: str, kept: str | None) -> str | None:
        found = await verify(password, kept)
        if not changed.is_set():
            changed.set()
            assert await sessions.change_password(rig.pool, own, PASSWORD, NEW, None) is not None
        return found

    monkeypatch.setattr(passwords, "verify_password", slow)
    late: Any = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert changed.is_set()
    assert late is None, "the password was the right one when it was looked at, and is none any more"
    assert (await alive(rig, own), await alive(rig, other)) == (False, False)
    assert len(await rig.raw("SELECT FROM sessions")) == 1, "the one that changed it"


async def test_session_lasts_the_12_hours_that_the_readme_states(rig: Rig) -> None:
    """NIST SP 800-63B (revision 3) 4.2.3 has people log in again after 12 hours, whether or not they are active."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.post(
            f"{rig.url}/login", data={"email": EMAIL, "password": PASSWORD}, headers=HTML, allow_redirects=False
        ) as response,
    ):
        cookie = response.cookies["landfall"]
    assert cookie["max-age"] == "43200", "the browser forgets it then too"
    [[life]] = await rig.raw("SELECT expires_at - created_at FROM sessions")
    assert life == timedelta(hours=12)
    assert "A session ends 12 hours after the login" in (await asked(rig, cookie.value))[1]


async def counted(rig: Rig, work: Callable[[Pool], Awaitable[None]]) -> list[str]:
    """The statements that PostgreSQL was sent meanwhile by a pool of one connection."""
    statements: list[str] = []
    async with await open_pool(rig.dsn, "publish", 1, role=WEB_ROLE, wait_seconds=10) as pool:
        async with pool.acquire() as connection:
            connection.add_query_logger(lambda record: statements.append(" ".join(record.query.split())))
        statements.clear()
        await work(pool)
    return statements


async def test_looking_a_session_up_takes_one_statement_for_its_tenant_and_one_for_the_rest(rig: Rig) -> None:
    person = await logged_in(rig)

    async def look_up(pool: Pool) -> None:
        found = await sessions.authenticate(pool, person.token)
        assert found is not None
        assert (found.tenant, found.email) == (DEFAULT_TENANT, EMAIL)

    statements = await counted(rig, look_up)
    sent = statements[: statements.index("COMMIT")]
    # The transaction begins without a tenant; then the session's tenant becomes the transaction's, in one statement.
    assert [re.findall(r"BEGIN|set_config|find_session|FROM sessions", each) for each in sent] == [
        ["BEGIN", "set_config"],
        ["set_config", "find_session"],
        ["FROM sessions"],
    ]


@pytest.mark.parametrize("path", ["/account", "/people", "/audit", "/login"])
async def test_request_looks_its_session_up_once_also_where_the_tenant_is_not_known_yet(rig: Rig, path: str) -> None:
    """The limit of a tenant's requests and the page both ask whose session it is."""
    person = await logged_in(rig)

    async def request(pool: Pool) -> None:
        app = web.Application()
        add_pages(app, pool, rig.built)
        server = TestServer(app)
        await server.start_server()
        headers = HTML | {"Cookie": f"landfall={person.token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.get(server.make_url(path), headers=headers, allow_redirects=False) as response,
        ):
            assert response.status == (303 if path == "/login" else 200)
        await server.close()

    statements = await counted(rig, request)
    assert len([statement for statement in statements if "find_session(" in statement]) == 1
