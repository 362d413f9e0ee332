"""People get pages: whoever opens whichever address in a browser is told what to do, or led to the login and back."""

import re
from collections.abc import AsyncIterator
from html import unescape

import aiohttp
import asyncpg
import pyotp
import pytest
from aiohttp import hdrs

from ops.access import sessions, users
from ops.web import paths
from schema.tenancy import DEFAULT_TENANT
from tests.acceptance.test_invalid_input import (
    EMAIL,
    FORM,
    HTML,
    ID,
    PASSWORD,
    Answer,
    Ask,
    Running,
    filled,
    own_methods,
    serving,
)
from tests.rig import TESTS

VIEWER = "eve@example.org"
MACHINES = ("/healthz", "/readyz", "/api/webhooks/", "/static/")
"""What only programs and browsers themselves ask for."""

PAGES = ("/login", "/connections", "/posts", "/people", "/account", "/audit", "/invitation")


@pytest.fixture
async def running(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Running]:
    async with serving(database, caplog) as found:
        yield found


async def session_of(running: Running, role: str) -> str:
    await users.add(running.pool, DEFAULT_TENANT, VIEWER, PASSWORD, role, TESTS)
    found = await sessions.login(running.pool, VIEWER, PASSWORD, None)
    assert isinstance(found, sessions.Person)
    return found.token


def page_for_a_person(answer: Answer) -> str:
    """Why this is none; empty for a page in words, and for the way to one."""
    if answer.status in (303, 308):
        where = answer.headers["location"].partition("?")[0]
        return "" if where in (*PAGES, "/") or where.startswith("/api/auth/") else f"it leads to {where}"
    if answer.kind != "text/html":
        return f"it is {answer.kind or 'nothing'}"
    text = answer.body.decode()
    if text.count("<h1>") != 1 or "<main" not in text:
        return "it has no heading, or no main part"
    if answer.status >= 400 and not re.search(r"What to do|href=|<form", text):
        return "it does not say what to do"
    return "it speaks of keys" if "Authorization" in text and answer.status != 401 else ""


async def test_every_route_answers_nobody_an_ended_session_and_a_viewer_with_a_page(running: Running) -> None:
    ended = await session_of(running, "viewer")
    await sessions.logout(running.pool, await _person(running, ended), None)
    wrong, asked = [], 0
    for port, method, path in running.routes():
        if port != running.port or path.startswith(MACHINES) or method == "HEAD" or path == "/{path}":
            continue
        for own in own_methods(method):
            if own in ("HEAD", "DELETE", "OPTIONS"):
                continue
            for who in ("nobody", "ended", "viewer"):
                token = {"nobody": "", "ended": ended}.get(who) or (
                    await session_of(running, "viewer") if who == "viewer" else ""
                )
                headers = [HTML, (b"Content-Type", FORM)]
                if token:
                    headers.append((b"Cookie", b"landfall=" + token.encode()))
                body = b"csrf=" + sessions.csrf_token(token).encode() if own == "POST" else None
                for place in (b"tiktok", ID.encode()):
                    asked += 1
                    answer = await running.ask(Ask(own, filled(path, place.decode()), headers, body))
                    if why := page_for_a_person(answer):
                        wrong.append(f"{who}: {own} {path} ({place.decode()}): {answer.status}, {why}")
    assert asked > 200
    assert wrong == [], "\n".join(wrong)


async def _person(running: Running, token: str) -> sessions.Person:
    found = await sessions.authenticate(running.pool, token)
    assert found is not None
    return found


# --- the login and back


class Browser:
    def __init__(self, running: Running, http: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{running.port}"
        self.http = http
        self.headers = {hdrs.ACCEPT: "text/html"}

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self.http.get(self.url + path, headers=self.headers) as response:
            return response.status, str(response.url.relative()), await response.text()

    async def post(self, path: str, came_from: str = "", **form: str) -> tuple[int, str, str]:
        headers = self.headers | ({"Referer": self.url + came_from} if came_from else {})
        async with self.http.post(self.url + path, data=form, headers=headers) as response:
            return response.status, str(response.url.relative()), await response.text()

    async def log_in(self, text: str, email: str = EMAIL) -> tuple[int, str, str]:
        """Fill in the login that the page shows."""
        return await self.post("/login", **hidden(text), email=email, password=PASSWORD)


def hidden(text: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text)
    return {name: unescape(value) for name, value in found}


@pytest.fixture
async def browser(running: Running) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        await users.add(running.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
        yield Browser(running, http)


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("/people", "/people"),
        ("/audit?before=7", "/audit?before=7"),
        ("/connections", "/connections"),
        (f"/connections/{ID}/disconnect", f"/connections/{ID}/disconnect"),
        ("/api/auth/mastodon?instance=social.example", "/api/auth/mastodon?instance=social.example"),
        ("/api/notices", "/connections"),
        ("/api/audit", "/audit"),
    ],
)
async def test_who_is_not_logged_in_comes_to_where_they_wanted_by_way_of_the_login(
    browser: Browser, wanted: str, shown: str
) -> None:
    status, at, text = await browser.get(wanted)
    assert (status, at.partition("?")[0]) == (200, "/login")
    status, _, text = await browser.post("/login", **hidden(text), email=EMAIL, password="wrong password")
    assert status == 401, "a wrong password forgets nothing"
    assert (await browser.log_in(text))[1] == shown


async def test_who_gives_a_second_factor_comes_to_where_they_wanted(browser: Browser, running: Running) -> None:
    await browser.log_in("")
    _, _, text = await browser.get("/account")
    _, _, text = await browser.post("/account/totp", csrf=hidden(text)["csrf"], password=PASSWORD)
    secret = re.sub(r"\s", "", re.findall(r"<code>(.*?)</code>", text)[0])
    [path] = re.findall(r'action="(/account/totp/[\w-]+/confirm)"', text)
    totp = pyotp.TOTP(secret)
    _, _, text = await browser.post(path, csrf=hidden(text)["csrf"], code=totp.now())
    codes = re.findall(r"<li><code>(.*?)</code>", text)
    browser.http.cookie_jar.clear()
    _, _, text = await browser.get("/people")
    status, at, text = await browser.log_in(text)
    assert (status, at) == (200, "/login/second?next=/people")
    _, _, text = await browser.post("/login/second", **hidden(text), code="000000x")
    assert (await browser.post("/login/second", **hidden(text), code=codes[0]))[1] == "/people"


async def test_form_of_a_session_that_ended_does_nothing_and_leads_back_to_its_page(browser: Browser) -> None:
    await browser.log_in("")
    _, _, people_page = await browser.get("/people")
    _, _, text = await browser.get("/account")
    await browser.post("/logout", csrf=hidden(text)["csrf"])
    form = {"csrf": hidden(people_page)["csrf"], "email": "new@example.org", "role": "viewer"}
    status, _, text = await browser.post("/people", came_from="/people", **form)
    assert (status, "so nothing was done" in text) == (401, True)
    assert hidden(text) == {"next": "/people"}
    status, at, text = await browser.log_in(text)
    assert (at, "new@example.org" in text) == ("/people", False)
    status, _, text = await browser.post("/people", came_from="/people", **form)
    assert (status, "This form is out of date" in text) == (403, True), "it is of the session before"


async def test_session_that_ended_is_told_so_at_the_login(browser: Browser, running: Running) -> None:
    await browser.log_in("")
    async with running.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        await connection.execute("DELETE FROM sessions")
    status, at, text = await browser.get("/audit")
    assert (status, at) == (200, "/login?next=/audit")
    assert "Your session has ended. Log in to open the page you asked for." in text


async def test_program_that_is_not_logged_in_gets_json(running: Running) -> None:
    for path, method in (("/people", "POST"), ("/api/connections", "GET")):
        answer = await running.ask(Ask(method, path.encode(), [(b"Accept", b"*/*")], None))
        assert (answer.status, answer.kind) == (401, "application/json"), path


ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "/\t/evil.example",
    "/\n/evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/login",
    "/login/second",
    "/logout",
    "/" + "a" * 3000,
    "/é",
    "",
)


@pytest.mark.parametrize("wanted", ELSEWHERE)
async def test_login_leads_nowhere_but_to_a_page_of_ours(browser: Browser, wanted: str) -> None:
    assert paths.local(wanted) == ""
    async with browser.http.get(browser.url + "/login", params={"next": wanted}) as response:
        assert 'name="next"' not in await response.text()
    status, at, _ = await browser.post("/login", next=wanted, email=EMAIL, password=PASSWORD)
    assert (status, at) == (200, "/connections")
    async with browser.http.get(browser.url + "/login", params={"next": wanted}, allow_redirects=False) as response:
        assert response.headers["Location"] == "/connections", "nor for who is logged in"


@pytest.mark.parametrize("referrer", ["http://evil.example/people", "http://[::1/people", "x", "/people", ""])
async def test_page_to_go_back_to_is_one_of_ours(browser: Browser, referrer: str) -> None:
    async with browser.http.post(
        browser.url + "/people", data={}, headers=browser.headers | {"Referer": referrer}
    ) as response:
        assert (response.status, hidden(await response.text())) == (401, {})


async def test_viewer_at_a_connect_link_and_handle_as_a_server_are_told_what_to_do(
    browser: Browser, running: Running
) -> None:
    await browser.log_in("")
    status, _, text = await browser.get("/api/auth/mastodon?instance=%40me%40social.example")
    assert (status, "on the server social.example" in text) == (200, True)
    status, _, text = await browser.get("/api/auth/mastodon?instance=me")
    assert (status, "such as @me@social.example" in text, 'href="/connections">Back' in text) == (400, True, True)
    status, _, text = await browser.post("/api/auth/mastodon", csrf=hidden(text)["csrf"], instance="me")
    assert (status, "such as @me@social.example" in text) == (400, True)
    await users.add(running.pool, DEFAULT_TENANT, VIEWER, PASSWORD, "viewer", TESTS)
    browser.http.cookie_jar.clear()
    _, _, text = await browser.get("/api/auth/tiktok")
    status, _, text = await browser.log_in(text, VIEWER)
    assert (status, "Your role here, viewer" in text, "Ask an owner" in text) == (403, True, True)
