"""Second factors: the two steps of a login, what each code and passkey is worth, and what attackers do with them."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import (
    factor_enrolment,
    login_throttle,
    passkeys,
    pending_logins,
    second_factor,
    sessions,
    tenants,
    users,
)
from ops.access.passkeys import RelyingParty, relying_party
from ops.access.pending_logins import PendingLogin
from ops.access.sessions import Person, VerifyFactor
from ops.runtime.embedded import free_port
from ops.web import static_files
from publish.vault import key_rotation
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests import support
from tests.authenticator import Passkey, code_of
from tests.rig import KEYS, TESTS, Rig, add_pages, join

EMAIL, EVE, PASSWORD, NEW = "ada@example.org", "eve@example.org", "correct horse battery", "another long password"
HTML = {"Accept": "text/html"}
NOBODY = "00000000-0000-7000-8000-00000000dead"


@dataclass
class Clock:
    """The time step of codes, which stands still."""

    step: int = 60_000_000

    def __call__(self) -> int:
        return self.step


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(second_factor, "current_step", found)
    return found


@dataclass
class Browser:
    """One with a jar of cookies of its own."""

    url: str
    http: aiohttp.ClientSession = field(
        default_factory=lambda: aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    )

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self.http.get(self.url + path, headers=HTML, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", ""), await response.text()

    async def post(self, path: str, **form: str) -> tuple[int, str, str]:
        async with self.http.post(self.url + path, data=form, headers=HTML, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", ""), await response.text()

    async def csrf(self, path: str = "/account") -> str:
        return str(re.findall(r'name="csrf" value="(\w+)"', (await self.get(path))[2])[0])

    async def press(self, path: str, **form: str) -> tuple[int, str, str]:
        return await self.post(path, csrf=await self.csrf(), **form)

    def cookie(self, name: str) -> str:
        return next((cookie.value for cookie in self.http.cookie_jar if cookie.key == name), "")

    async def password(self, email: str = EMAIL) -> str:
        """Give the right password; where that leads."""
        status, where, _ = await self.post("/login", email=email, password=PASSWORD)
        assert status == 303
        return where

    async def second(self, **form: str) -> tuple[int, str, str]:
        """Take the second step, with a code or a passkey's answer."""
        path = "/login/second/passkey" if "credential" in form else "/login/second"
        return await self.post(path, csrf=sessions.csrf_token(self.cookie("landfall-pending")), **form)

    async def options(self) -> dict[str, Any]:
        """What the page of the second step wants of a passkey."""
        return options_in((await self.get("/login/second"))[2])

    async def inside(self) -> bool:
        return (await self.get("/connections"))[0] == 200


def options_in(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(html.unescape(re.findall(r'data-options="([^"]*)"', text)[0]))
    return found


@dataclass(repr=False)
class Site:
    """Landfall at http://localhost, for which browsers have passkeys."""

    rig: Rig
    url: str
    origin: str
    app: web.Application
    browsers: list[Browser] = field(default_factory=list)

    @property
    def party(self) -> RelyingParty:
        found = relying_party(self.origin)
        assert found is not None
        return found

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.url))
        return self.browsers[-1]

    async def logged_in(self, email: str = EMAIL) -> Browser:
        browser = self.browser()
        assert await browser.password(email) == "/connections"
        return browser

    async def with_app(self, clock: Clock, email: str = EMAIL) -> tuple[Browser, str, list[str]]:
        """A browser whose person added an app; the app's secret, and the recovery codes."""
        browser = await self.logged_in(email)
        _, _, text = await browser.press("/account/totp", password=PASSWORD)
        secret = re.findall(r"<code>([A-Z2-7 ]+)</code>", text)[0].replace(" ", "")
        [path] = re.findall(r'action="(/account/totp/[\w-]+/confirm)"', text)
        status, _, text = await browser.press(path, code=code_of(secret, clock.step))
        assert status == 200
        clock.step += 2  # the code that confirmed it is spent
        return browser, secret, re.findall(r"<code>([a-z2-7-]{19})</code>", text)

    async def with_passkey(self, email: str = EMAIL) -> tuple[Browser, Passkey]:
        """A browser whose person added a passkey."""
        browser, passkey = await self.logged_in(email), Passkey(self.origin)
        _, _, text = await browser.press("/account/passkeys", password=PASSWORD, name="Key")
        status, _, text = await browser.press(
            "/account/passkeys/finish", name="Key", credential=passkey.create(options_in(text))
        )
        assert status == 200, text
        return browser, passkey

    async def held(self, email: str = EMAIL) -> list[str]:
        rows = await self.rig.raw("SELECT id::text FROM users WHERE email = $1", email)
        return [factor.kind for factor in (await factor_enrolment.list_factors(self.rig.pool, rows[0]["id"])).factors]


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner", EVE: "viewer"})


async def serving(rig: Rig, **options: Any) -> AsyncIterator[Site]:
    port = free_port()
    origin = f"http://localhost:{port}"
    app = web.Application()
    add_pages(app, rig.pool, rig.built, public_url=origin, **options)
    server = TestServer(app, port=port)
    await server.start_server()
    found = Site(rig, f"http://127.0.0.1:{port}", origin, app)
    yield found
    for browser in found.browsers:
        await browser.http.close()
    await server.close()


@pytest.fixture
async def site(rig: Rig) -> AsyncIterator[Site]:
    async for found in serving(rig):
        yield found


@pytest.fixture
async def strict(rig: Rig) -> AsyncIterator[Site]:
    """Where owners need a second factor."""
    async for found in serving(rig, owners_need_second_factor=True):
        yield found


# --- an authenticator app


async def test_app_counts_from_its_first_code_on_and_then_logging_in_asks_for_it(site: Site, clock: Clock) -> None:
    own = await site.logged_in()
    _, _, text = await own.press("/account/totp", password=PASSWORD, name="Phone")
    secret = re.findall(r"<code>([A-Z2-7 ]+)</code>", text)[0].replace(" ", "")
    assert ("<svg" in text, "<script" in text) == (True, False)
    [path] = re.findall(r'action="(/account/totp/[\w-]+/confirm)"', text)
    assert await site.browser().password() == "/connections", "nothing is asked before it is confirmed"
    status, _, text = await own.press(path, code="000000" if code_of(secret, clock.step) != "000000" else "111111")
    assert (status, secret[:4] in text) == (400, False), "the secret is shown once"
    status, _, text = await own.press(path, code=code_of(secret, clock.step))
    assert (status, "“Phone” is added" in text) == (200, True)
    assert len(re.findall(r"<code>([a-z2-7-]{19})</code>", text)) == second_factor.RECOVERY_CODES
    other = site.browser()
    assert await other.password() == "/login/second"
    assert not await other.inside()
    assert (await other.second(code=code_of(secret, clock.step)))[0] == 401, "the code that confirmed it is spent"
    clock.step += 1
    shown = code_of(secret, clock.step)
    assert (await other.second(code=f" {shown[:3]} {shown[3:]} "))[:2] == (303, "/connections")
    assert await other.inside()
    assert other.cookie("landfall-pending") == ""
    assert await site.held() == ["totp"]
    stored = str(await site.rig.raw("SELECT * FROM totp_factors")) + str(await site.rig.raw("SELECT * FROM audit_log"))
    assert secret not in stored
    details = await site.rig.raw("SELECT detail->>'second_factor' FROM audit_log WHERE action = 'user.logged_in'")
    assert "totp" in [row[0] for row in details]


async def test_adding_a_factor_ends_the_sessions_of_whoever_knew_no_more_than_the_password(
    site: Site, clock: Clock
) -> None:
    thief, hers = await site.logged_in(), await site.logged_in(EVE)
    own, _, _ = await site.with_app(clock)
    assert (await thief.inside(), await own.inside(), await hers.inside()) == (False, True, True)
    # One that a process of the previous release began, which asks for no second factor.
    await site.rig.raw("UPDATE sessions SET second_factor = false")
    assert (await own.inside(), await hers.inside()) == (False, True)


async def test_adding_needs_the_password_and_wrong_ones_are_throttled(site: Site) -> None:
    own = await site.logged_in()
    for path in ("/account/totp", "/account/passkeys"):
        status, _, text = await own.press(path, password="wrong")
        assert (status, "The password is wrong" in text) == (403, True)
        assert (await own.press(path, password=PASSWORD, name="x" * 101))[0] == 400
        assert (await own.press(path, password=PASSWORD, name="\x1b[31m"))[0] == 400
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_SESSION - 2):
        assert (await own.press("/account/totp", password="wrong"))[0] == 403
    assert (await own.press("/account/totp", password=PASSWORD))[0] == 429
    assert await site.rig.raw("SELECT FROM totp_factors") == []


async def test_app_of_somebody_else_can_neither_be_confirmed_nor_removed(site: Site, clock: Clock) -> None:
    await site.with_app(clock)
    hers = await site.logged_in(EVE)
    _, _, text = await hers.press("/account/totp", password=PASSWORD)
    secret = re.findall(r"<code>([A-Z2-7 ]+)</code>", text)[0].replace(" ", "")
    [path] = re.findall(r'action="(/account/totp/[\w-]+/confirm)"', text)
    third = "bob@example.org"
    await users.add(site.rig.pool, DEFAULT_TENANT, third, PASSWORD, "owner", TESTS)
    his = await site.logged_in(third)
    assert (await his.press(path, code=code_of(secret, clock.step)))[0] == 404
    rows = await site.rig.raw("SELECT id::text FROM totp_factors")
    for row in rows:
        assert (await his.press(f"/account/factors/{row['id']}/remove", password=PASSWORD))[0] == 404
    assert len(await site.rig.raw("SELECT FROM totp_factors")) == len(rows) == 2
    await site.rig.raw("UPDATE totp_factors SET created_at = now() - interval '16 minutes'")
    assert (await hers.press(path, code=code_of(secret, clock.step)))[0] == 404, "and it waits for 15 minutes"


async def test_code_works_once_and_so_do_none_before_it(site: Site, clock: Clock) -> None:
    _, secret, _ = await site.with_app(clock)
    first, second = site.browser(), site.browser()
    for browser in (first, second):
        assert await browser.password() == "/login/second"
    code = code_of(secret, clock.step)
    assert (await first.second(code=code))[0] == 303
    assert (await second.second(code=code))[0] == 401, "a code that somebody watched"
    assert (await second.second(code=code_of(secret, clock.step - 1)))[0] == 401, "nor an older one"
    assert (await second.second(code=code_of(secret, clock.step + 2)))[0] == 401, "nor one of a minute from now"
    assert (await second.second(code=code_of(secret, clock.step + 1)))[0] == 303, "the phone's clock is ahead"


async def test_code_that_confirmed_an_app_is_spent_and_confirms_it_once(site: Site, clock: Clock) -> None:
    own, secret, _ = await site.with_app(clock)
    clock.step -= 2
    browser = site.browser()
    await browser.password()
    assert (await browser.second(code=code_of(secret, clock.step)))[0] == 401, "somebody watched it being confirmed"
    [[id_]] = await site.rig.raw("SELECT id::text FROM totp_factors")
    status, _, _ = await own.press(f"/account/totp/{id_}/confirm", code=code_of(secret, clock.step - 1))
    assert status == 404, "else older codes would work again"
    [[last]] = await site.rig.raw("SELECT last_step FROM totp_factors")
    assert last == clock.step


async def test_app_that_is_not_confirmed_yet_lets_nobody_in(site: Site, clock: Clock) -> None:
    own, _, _ = await site.with_app(clock)
    _, _, text = await own.press("/account/totp", password=PASSWORD)
    [new] = re.findall(r"<code>([A-Z2-7 ]+)</code>", text)
    browser = site.browser()
    await browser.password()
    assert (await browser.second(code=code_of(new.replace(" ", ""), clock.step)))[0] == 401


async def test_of_parallel_logins_with_one_code_one_gets_in(site: Site, clock: Clock) -> None:
    _, secret, codes = await site.with_app(clock)
    for code in (code_of(secret, clock.step), codes[0]):
        browsers = [site.browser() for _ in range(4)]
        for browser in browsers:
            assert await browser.password() == "/login/second"
        found = await asyncio.gather(*(browser.second(code=code) for browser in browsers))
        assert sorted(status for status, _, _ in found) == [303, 401, 401, 401]
        await site.rig.connection.execute("DELETE FROM login_failures")


async def test_one_pending_login_becomes_one_session_and_spends_one_code(site: Site, clock: Clock) -> None:
    _, secret, codes = await site.with_app(clock)
    before = len(await site.rig.raw("SELECT FROM sessions"))
    browser = site.browser()
    await browser.password()
    form = {"csrf": sessions.csrf_token(browser.cookie("landfall-pending"))}
    headers = {"Cookie": f"landfall-pending={browser.cookie('landfall-pending')}"}

    async def step(code: str) -> int:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.post(
                f"{site.url}/login/second", data=form | {"code": code}, headers=headers, allow_redirects=False
            ) as response,
        ):
            return response.status

    found = await asyncio.gather(step(code_of(secret, clock.step)), step(codes[0]), step(codes[1]))
    assert sorted(found) == [303, 401, 401]
    assert len(await site.rig.raw("SELECT FROM sessions")) == before + 1
    spent = len(await site.rig.raw("SELECT FROM recovery_codes WHERE used_at IS NOT NULL"))
    assert spent <= 1, "what was not needed is not spent"


# --- guessing


async def test_guesses_of_codes_are_few_for_a_pending_login_and_for_the_person(site: Site, clock: Clock) -> None:
    _, secret, _ = await site.with_app(clock)
    thief, other = site.browser(), site.browser()
    assert await thief.password() == "/login/second"
    for number in range(pending_logins.MAX_ATTEMPTS):
        status, _, text = await thief.second(code=f"{number:06d}")
        assert (status, "This is wrong" in text or "took too long" in text) == (401, True)
    await site.rig.connection.execute("DELETE FROM login_failures")
    status, _, text = await thief.second(code=code_of(secret, clock.step))
    assert (status, "Log in again" in text) == (401, True), "five wrong ones end it"
    assert not await thief.inside()
    for number in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert await thief.password() == "/login/second", "the right password does not forget wrong codes"
        assert (await thief.second(code=f"{number:06d}"))[0] == 401
    assert (await thief.post("/login", email=EMAIL, password=PASSWORD))[0] == 429
    assert (await other.post("/login", email=EMAIL, password=PASSWORD))[0] == 429, "nor does another browser help"
    rows = await site.rig.raw("SELECT action, count(*) AS n FROM audit_log WHERE action LIKE 'user.%' GROUP BY 1")
    noted = {row["action"]: row["n"] for row in rows}
    assert noted["user.refused"] == pending_logins.MAX_ATTEMPTS + login_throttle.MAX_ATTEMPTS_BY_EMAIL
    assert noted["user.throttled"] >= 1


async def test_device_that_a_browser_made_up_gives_no_guesses_of_its_own_and_is_not_kept(
    site: Site, clock: Clock
) -> None:
    await site.with_app(clock)
    pool = site.rig.pool

    async def tried(prove: VerifyFactor, device: str) -> Person | None:
        pending = await sessions.login(pool, EMAIL, PASSWORD, None, device)
        assert isinstance(pending, PendingLogin)
        return await sessions.login_with_factor(pool, pending.token, prove, None, device)

    person = await tried(_right, "made up")
    assert person is not None
    assert person.device not in ("", "made up"), "whoever made it up would know it"
    for number in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert await tried(_wrong, f"made up {number}") is None
    with pytest.raises(login_throttle.TooManyAttemptsError):
        await tried(_wrong, "made up again")


async def test_of_parallel_guesses_at_one_pending_login_no_more_are_looked_at_than_allowed(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.with_app(clock)
    looked_at = 0

    async def wrong(_: asyncpg.Connection, __: str) -> str | None:
        nonlocal looked_at
        looked_at += 1
        return None

    monkeypatch.setattr(login_throttle, "MAX_ATTEMPTS_BY_EMAIL", 100)
    pending = await sessions.login(site.rig.pool, EMAIL, PASSWORD, "203.0.113.9")
    assert isinstance(pending, PendingLogin)
    guesses = (
        sessions.login_with_factor(site.rig.pool, pending.token, wrong, f"203.0.113.{number}") for number in range(20)
    )
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert looked_at == pending_logins.MAX_ATTEMPTS
    assert (
        sum(isinstance(each, pending_logins.PendingLoginEndedError) for each in found)
        == 20 - pending_logins.MAX_ATTEMPTS
    )


async def test_strangers_do_not_lock_out_a_browser_that_was_logged_in_before(site: Site, clock: Clock) -> None:
    own, secret, _ = await site.with_app(clock)
    assert (await own.press("/logout"))[0] == 303
    for number in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert await sessions.login(site.rig.pool, EMAIL, "wrong", f"203.0.113.{number}") is None
    assert await own.password() == "/login/second"
    for _ in range(pending_logins.MAX_ATTEMPTS - 1):
        assert (await own.second(code="000000"))[0] == 401
    assert (await own.second(code=code_of(secret, clock.step)))[0] == 303
    assert (await site.browser().post("/login", email=EMAIL, password=PASSWORD))[0] == 429


# --- a pending login


async def test_pending_login_opens_nothing_but_the_second_step(site: Site, clock: Clock) -> None:
    await site.with_app(clock)
    await site.rig.connect("tiktok")
    browser = site.browser()
    await browser.password()
    pending = browser.cookie("landfall-pending")
    assert browser.cookie("landfall") == ""
    assert (pending != "", pending in str(await site.rig.raw("SELECT * FROM pending_logins"))) == (True, False)
    asked = 0
    for cookies in (f"landfall-pending={pending}", f"landfall={pending}"):
        headers = HTML | {"Cookie": cookies}
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            for route in site.app.router.routes():
                path = (route.resource.canonical if route.resource else "").replace("{platform}", "tiktok")
                path = re.sub(r"\{\w+\}", NOBODY, path)
                form = {"csrf": sessions.csrf_token(pending), "password": PASSWORD, "old": PASSWORD, "new": NEW}
                async with http.request(
                    route.method,
                    site.url + path,
                    headers=headers,
                    data=form if route.method == "POST" else None,
                    allow_redirects=False,
                ) as response:
                    text = await response.text()
                    assert EMAIL not in text, path
                    assert "Log out" not in text, path
                    if response.status == 200:
                        assert path in ("/login", "/login/second"), path
                asked += 1
    assert asked > 60
    assert [row["state"] for row in await site.rig.raw("SELECT state FROM connections")] == ["active"]


async def test_pending_login_is_of_the_browser_that_gave_the_password(site: Site, clock: Clock) -> None:
    _, secret, _ = await site.with_app(clock)
    own, other = site.browser(), site.browser()
    await own.password()
    code, csrf = code_of(secret, clock.step), sessions.csrf_token(own.cookie("landfall-pending"))
    assert (await other.post("/login/second", csrf=csrf, code=code))[0] == 401, "without the cookie"
    await other.password()
    assert (await other.post("/login/second", csrf=csrf, code=code))[0] == 403, "with the cookie of another one"
    headers = {"Origin": "https://evil.example"}
    async with own.http.post(
        f"{site.url}/login/second", data={"csrf": csrf, "code": code}, headers=headers
    ) as response:
        assert response.status == 403
    assert (await own.post("/login/second", csrf=csrf, code=code))[0] == 303


async def test_pending_login_ends_in_time_and_with_whatever_ends_the_sessions(site: Site, clock: Clock) -> None:
    own, secret, _ = await site.with_app(clock)

    async def begun() -> Browser:
        browser = site.browser()
        assert await browser.password() == "/login/second"
        return browser

    late = await begun()
    await site.rig.raw("UPDATE pending_logins SET expires_at = now() - interval '1 second'")
    status, _, text = await late.second(code=code_of(secret, clock.step))
    assert (status, "It took too long" in text) == (401, True)
    assert (await late.get("/login/second"))[:2] == (303, "/login")
    removed = await begun()
    assert (await own.press("/account/sessions/end-others"))[0] == 303
    assert (await removed.second(code=code_of(secret, clock.step)))[0] == 401
    before = await begun()
    assert (await own.press("/account/password", old=PASSWORD, new=NEW))[0] == 200
    assert (await before.second(code=code_of(secret, clock.step)))[0] == 401, "with the old password"
    assert await own.inside(), "and the one that changed it keeps what it has proven"
    pending = await sessions.login(site.rig.pool, EMAIL, NEW, None)
    assert isinstance(pending, PendingLogin)
    await users.disable(site.rig.pool, DEFAULT_TENANT, EMAIL, TESTS)
    with pytest.raises(pending_logins.PendingLoginEndedError):
        await sessions.login_with_factor(site.rig.pool, pending.token, _right, None)


async def _right(_: asyncpg.Connection, __: str) -> str:
    return "totp"


async def _wrong(_: asyncpg.Connection, __: str) -> None:
    return None


@pytest.mark.parametrize(
    "how",
    [
        "UPDATE pending_logins SET expires_at = now() - interval '1 second'",
        f"UPDATE pending_logins SET tries = {pending_logins.MAX_ATTEMPTS}",
        "UPDATE users SET disabled_at = now()",
    ],
    ids=["too old", "no try left", "disabled"],
)
async def test_pending_login_that_ended_shows_no_second_step_and_takes_no_code(
    site: Site, clock: Clock, how: str
) -> None:
    await site.with_app(clock)
    browser = site.browser()
    await browser.password()
    await site.rig.raw(how)
    assert (await browser.get("/login/second"))[:2] == (303, "/login")
    for prove in (_wrong, _right):
        with pytest.raises(pending_logins.PendingLoginEndedError):
            await sessions.login_with_factor(site.rig.pool, browser.cookie("landfall-pending"), prove, None)


async def test_pending_login_whose_time_ends_while_the_code_is_looked_at_becomes_no_session(
    site: Site, clock: Clock
) -> None:
    await site.with_app(clock)
    before = len(await site.rig.raw("SELECT FROM sessions"))
    pending = await sessions.login(site.rig.pool, EMAIL, PASSWORD, None)
    assert isinstance(pending, PendingLogin)

    async def slow(connection: asyncpg.Connection, _: str) -> str:
        await connection.execute("UPDATE pending_logins SET expires_at = now() - interval '1 second'")
        return "totp"

    with pytest.raises(pending_logins.PendingLoginEndedError):
        await sessions.login_with_factor(site.rig.pool, pending.token, slow, None)
    assert len(await site.rig.raw("SELECT FROM sessions")) == before


async def test_person_without_a_tenant_any_more_is_not_let_in(site: Site, clock: Clock) -> None:
    await site.with_app(clock, EVE)
    pending = await sessions.login(site.rig.pool, EVE, PASSWORD, None)
    assert isinstance(pending, PendingLogin)
    user = await users.find_member(site.rig.pool, DEFAULT_TENANT, EVE)
    await users.remove(site.rig.pool, DEFAULT_TENANT, user or "", TESTS)
    with pytest.raises(pending_logins.PendingLoginEndedError):
        await sessions.login_with_factor(site.rig.pool, pending.token, _right, None)


# --- recovery codes


async def test_recovery_code_works_once_and_new_ones_replace_the_old(site: Site, clock: Clock) -> None:
    own, _, codes = await site.with_app(clock)
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert codes[0] not in str(await site.rig.raw("SELECT * FROM recovery_codes")), "digests"
    browser = site.browser()
    await browser.password()
    assert (await browser.second(code=codes[0].upper().replace("-", " ")))[0] == 303
    other = site.browser()
    await other.password()
    assert (await other.second(code=codes[0]))[0] == 401
    assert "9 recovery codes left" in (await own.get("/account"))[2]
    assert (await own.press("/account/recovery-codes", password="wrong"))[0] == 403
    _, _, text = await own.press("/account/recovery-codes", password=PASSWORD)
    newer = re.findall(r"<code>([a-z2-7-]{19})</code>", text)
    assert (len(newer), set(newer) & set(codes)) == (second_factor.RECOVERY_CODES, set())
    assert (await other.second(code=codes[1]))[0] == 401
    assert (await other.second(code=newer[0]))[0] == 303


async def test_recovery_codes_stay_until_the_last_factor_is_gone(site: Site, clock: Clock) -> None:
    own, _, _ = await site.with_app(clock)
    _, _, text = await own.press("/account/passkeys", password=PASSWORD)
    new = Passkey(site.origin).create(options_in(text))
    assert (await own.press("/account/passkeys/finish", name="x", credential=new))[0] == 200
    for left in (second_factor.RECOVERY_CODES, 0):
        path = re.findall(r'href="(/account/factors/[\w-]+/remove)"', (await own.get("/account"))[2])[0]
        assert (await own.press(path, password=PASSWORD))[0] == 303
        assert len(await site.rig.raw("SELECT FROM recovery_codes")) == left


async def test_recovery_code_of_somebody_else_lets_nobody_in(site: Site, clock: Clock) -> None:
    _, _, hers = await site.with_app(clock, EVE)
    await site.with_app(clock)
    browser = site.browser()
    await browser.password()
    assert (await browser.second(code=hers[0]))[0] == 401


# --- passkeys


async def test_passkey_is_registered_listed_used_and_removed(site: Site) -> None:
    own, passkey = await site.with_passkey()
    assert await site.held() == ["passkey"]
    assert "Key" in (await own.get("/account"))[2]
    browser = site.browser()
    assert await browser.password() == "/login/second"
    async with browser.http.get(f"{site.url}/login/second", headers=HTML) as response:
        policy, text = response.headers["Content-Security-Policy"], await response.text()
    assert {part.strip() for part in policy.split(";")} >= {"default-src 'none'", "script-src 'self'"}
    assert "unsafe" not in policy
    assert re.findall(r"<script[^>]*>", text) == [f'<script src="{static_files.address("passkeys.js")}" defer>']
    assert (await browser.second(credential=passkey.get(await browser.options())))[:2] == (303, "/connections")
    assert await browser.inside()
    [path] = re.findall(r'href="(/account/factors/[\w-]+/remove)"', (await own.get("/account"))[2])
    assert (await own.press(path, password="wrong"))[0] == 403
    assert (await own.press(path, password=PASSWORD))[0] == 303
    assert await site.held() == []
    assert await site.rig.raw("SELECT FROM recovery_codes") == [], "they stand for a factor"
    assert await site.browser().password() == "/connections"
    rows = await site.rig.raw("SELECT action, detail FROM audit_log WHERE action LIKE 'user.factor%' ORDER BY id")
    assert [(row["action"], json.loads(row["detail"])) for row in rows] == [
        ("user.factor_added", {"kind": "passkey"}),
        ("user.factor_removed", {"kind": "passkey"}),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost"},
        {"origin": "https://localhost"},
        {"type": "webauthn.create"},
        {"challenge": "AAAA"},
    ],
)
async def test_passkey_of_another_place_time_or_purpose_lets_nobody_in(site: Site, changed: dict[str, str]) -> None:
    _, passkey = await site.with_passkey()
    browser = site.browser()
    await browser.password()
    assert (await browser.second(credential=passkey.get(await browser.options(), **changed)))[0] == 401
    assert not await browser.inside()
    registering = await site.logged_in(EVE)
    _, _, text = await registering.press("/account/passkeys", password=PASSWORD)
    changed = changed | ({"type": "webauthn.get"} if "type" in changed else {})
    new = Passkey(site.origin).create(options_in(text), **changed)
    assert (await registering.press("/account/passkeys/finish", name="x", credential=new))[0] == 400
    assert await site.held(EVE) == []


async def test_passkey_for_another_site_or_with_another_key_or_untouched_lets_nobody_in(site: Site) -> None:
    _, passkey = await site.with_passkey()
    browser = site.browser()
    await browser.password()
    other_site = Passkey(site.origin, "evil.example", passkey.id, passkey.key, passkey.count + 10)
    other_key = Passkey(site.origin, id=passkey.id, count=passkey.count + 10)
    assert (await browser.second(credential=other_site.get(await browser.options())))[0] == 401
    assert (await browser.second(credential=other_key.get(await browser.options())))[0] == 401
    assert (await browser.second(credential=passkey.get(await browser.options(), flags=0)))[0] == 401
    assert (await browser.second(credential=passkey.get(await browser.options())))[0] == 303


async def test_answer_of_a_passkey_works_once_and_for_one_pending_login(site: Site) -> None:
    _, passkey = await site.with_passkey()
    passkey.count = -1  # one that does not count: only the challenge protects it
    first, second = site.browser(), site.browser()
    for browser in (first, second):
        await browser.password()
    options = await first.options()
    answer = passkey.get(options)
    passkey.count = -1
    await second.options()
    assert (await second.second(credential=answer))[0] == 401, "asked of another pending login"
    assert (await first.second(credential=answer))[0] == 303
    again = site.browser()
    await again.password()
    assert (await again.second(credential=answer))[0] == 401, "replayed"
    failed, stale = await again.options(), await again.options()
    assert (await again.second(credential=passkey.get(failed)))[0] == 401, "the newest counts"
    passkey.count = -1
    assert (await again.second(credential=passkey.get(stale)))[0] == 401, "used up by the failure"
    passkey.count = -1
    late = await again.options()
    await site.rig.raw("UPDATE webauthn_challenges SET expires_at = now() - interval '1 second'")
    assert (await again.second(credential=passkey.get(late)))[0] == 401, "too late"


async def test_passkey_that_counts_lower_than_before_is_a_copy_and_lets_nobody_in(site: Site) -> None:
    _, passkey = await site.with_passkey()
    copy = Passkey(passkey.origin, id=passkey.id, key=passkey.key, count=passkey.count)
    browser = site.browser()
    await browser.password()
    assert (await browser.second(credential=passkey.get(await browser.options())))[0] == 303
    thief = site.browser()
    await thief.password()
    assert (await thief.second(credential=copy.get(await thief.options())))[0] == 401
    assert (await thief.second(credential=passkey.get(await thief.options())))[0] == 303, "the true one goes on"


async def test_passkey_of_somebody_else_lets_nobody_in_and_cannot_be_registered_twice(site: Site) -> None:
    _, hers = await site.with_passkey(EVE)
    await site.with_passkey()
    browser = site.browser()
    await browser.password()
    assert (await browser.second(credential=hers.get(await browser.options())))[0] == 401
    third = "bob@example.org"
    await users.add(site.rig.pool, DEFAULT_TENANT, third, PASSWORD, "viewer", TESTS)
    his = await site.logged_in(third)
    _, _, text = await his.press("/account/passkeys", password=PASSWORD)
    status, _, text = await his.press("/account/passkeys/finish", name="x", credential=hers.create(options_in(text)))
    assert (status, "in use here already" in text) == (400, True)


@pytest.mark.parametrize("bound", ["MAX_KEY_BYTES", "MAX_ID_BYTES"])
async def test_passkey_whose_key_or_id_is_too_long_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(passkeys, bound, 15)
    own = await site.logged_in()
    _, _, text = await own.press("/account/passkeys", password=PASSWORD)
    new = Passkey(site.origin).create(options_in(text))
    status, _, text = await own.press("/account/passkeys/finish", name="x", credential=new)
    assert (status, "is too long" in text) == (400, True)


async def test_registration_is_of_the_session_that_gave_the_password_and_works_once(site: Site) -> None:
    own, other = await site.logged_in(), await site.logged_in()
    passkey = Passkey(site.origin)
    _, _, text = await own.press("/account/passkeys", password=PASSWORD)
    answer = passkey.create(options_in(text))
    assert (await other.press("/account/passkeys/finish", name="x", credential=answer))[0] == 400
    assert (await own.press("/account/passkeys/finish", name="x", credential=answer))[0] == 200
    status, _, text = await own.press("/account/passkeys/finish", name="x", credential=answer)
    assert (status, "sent before" in text) == (400, True)


@pytest.mark.parametrize("credential", ["", "{}", "[]", "null", "x" * 50_000, '{"id": 7}', '{"id":' * 500])
async def test_nonsense_in_the_place_of_a_passkey_is_a_wrong_one(site: Site, credential: str) -> None:
    own, _ = await site.with_passkey()
    browser = site.browser()
    await browser.password()
    await browser.options()
    assert (await browser.second(credential=credential))[0] == 401
    await own.press("/account/passkeys", password=PASSWORD)
    assert (await own.press("/account/passkeys/finish", name="x", credential=credential))[0] == 400


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("https://crm.example.org", ("crm.example.org", "https://crm.example.org")),
        ("https://crm.example.org:443/", ("crm.example.org", "https://crm.example.org")),
        ("https://crm.example.org:8443", ("crm.example.org", "https://crm.example.org:8443")),
        ("https://crm.b\u00fccher.example", ("crm.xn--bcher-kva.example", "https://crm.xn--bcher-kva.example")),
        ("http://localhost:8080", ("localhost", "http://localhost:8080")),
        ("http://127.0.0.1:8080", None),
        ("https://[2001:db8::1]", None),
        ("http://crm.example.org", None),
        ("", None),
    ],
)
def test_passkeys_are_for_an_address_with_a_name_that_speaks_https(address: str, party: tuple[str, str] | None) -> None:
    assert relying_party(address) == (party and RelyingParty(*party))


async def test_where_browsers_offer_no_passkeys_the_page_says_so(rig: Rig) -> None:
    async for found in serving(rig):
        app = web.Application()
        add_pages(app, rig.pool, rig.built, public_url="http://127.0.0.1:8080")
        server = TestServer(app)
        await server.start_server()
        browser = Browser(str(server.make_url("")).rstrip("/"))
        found.browsers.append(browser)
        assert await browser.password() == "/connections"
        assert "passkeys only at an https address with a name" in (await browser.get("/account"))[2]
        assert (await browser.press("/account/passkeys", password=PASSWORD))[0] == 409
        await server.close()


# --- owners who need one


async def test_owner_without_a_factor_reaches_nothing_but_the_way_to_add_one(strict: Site, clock: Clock) -> None:
    [connection] = await strict.rig.connect("tiktok")
    own = strict.browser()
    assert await own.password() == "/connections"
    token, asked = own.cookie("landfall"), 0
    open_to_anybody = {"/login", "/login/second", "/login/second/passkey", "/static/{name}", "/deletions/{code}"}
    adding = {
        "/account",
        "/account/totp",
        "/account/totp/{id}/confirm",
        "/account/passkeys",
        "/account/passkeys/finish",
    }
    before = await strict.rig.raw("SELECT count(*) FROM audit_log")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        for route in strict.app.router.routes():
            pattern = route.resource.canonical if route.resource else ""
            if (
                pattern in open_to_anybody | adding | {"/logout"} or route.method == "OPTIONS"
            ):  # tells what anybody may know
                continue
            path = pattern.replace("{id}", connection).replace("{platform}", "tiktok")
            path = re.sub(r"\{\w+\}", NOBODY, path)
            form = {"csrf": sessions.csrf_token(token), "old": PASSWORD, "new": NEW, "password": PASSWORD}
            form |= {"email": "mallory@example.org", "role": "owner", "name": "key", "connections:read": "on"}
            for accept in ("text/html", "application/json"):
                async with http.request(
                    route.method,
                    strict.url + path,
                    headers={"Accept": accept, "Cookie": f"landfall={token}"},
                    data=form if route.method == "POST" else None,
                    allow_redirects=False,
                ) as response:
                    asked += 1
                    text = await response.text()
                    if response.status == 303:
                        assert response.headers["Location"] in ("/login", "/account", "/connections"), path
                    else:
                        assert response.status >= 400, (route.method, path, response.status)
                    assert not {"shop", "scopes"} & set(re.findall(r"\w+", text)), path
    assert asked > 50
    assert await strict.rig.raw("SELECT count(*) FROM audit_log") == before
    assert [row["state"] for row in await strict.rig.raw("SELECT state FROM connections")] == ["active"]
    status, _, text = await own.get("/account")
    assert (status, "Owners need a second factor here" in text) == (200, True)
    assert ("Change the password" in text, 'href="/people"' in text, "/account/sessions" in text) == (False,) * 3
    assert (await own.press("/logout"))[:2] == (303, "/login")


async def test_owner_who_added_a_factor_goes_on_and_others_and_keys_are_not_affected(
    strict: Site, clock: Clock
) -> None:
    before = strict.browser()
    await before.password()
    assert (await before.get("/connections"))[:2] == (303, "/account")
    own, _, _ = await strict.with_app(clock)
    assert (await own.inside(), await before.inside()) == (True, False)
    assert await (await strict.logged_in(EVE)).inside(), "a viewer needs none"
    headers = {"Authorization": f"Bearer {strict.rig.key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{strict.url}/api/connections", headers=headers) as response,
    ):
        assert response.status == 200
    [path] = re.findall(r'href="(/account/factors/[\w-]+/remove)"', (await own.get("/account"))[2])
    await own.press(path, password=PASSWORD)
    assert await own.inside(), "a session that was begun with one goes on"
    assert not await (await strict.logged_in()).inside()


async def test_viewer_of_one_tenant_who_owns_another_needs_a_factor_there(strict: Site) -> None:
    other = await tenants.add(strict.rig.connection, "other", TESTS)
    await join(strict.rig, other, EVE, "owner")
    hers = await strict.logged_in(EVE)
    assert await hers.inside()
    assert (await hers.press("/tenant", tenant=other))[0] == 303
    assert (await hers.get("/connections"))[:2] == (303, "/account")


async def test_session_proves_after_a_switch_or_a_new_password_what_it_proved_before(site: Site, clock: Clock) -> None:
    pool = site.rig.pool
    other = await tenants.add(site.rig.connection, "other", TESTS)
    await join(site.rig, other, EMAIL, "viewer")
    own, _, _ = await site.with_app(clock)
    assert (await own.press("/tenant", tenant=other))[0] == 303
    assert await own.inside()
    person = await sessions.login(pool, EVE, PASSWORD, None)
    assert isinstance(person, Person)
    changed = await sessions.change_password(pool, person, PASSWORD, NEW, None)
    assert changed is not None
    assert not changed.second_factor, "she has none"


# --- lost, and kept


async def test_whoever_runs_the_install_takes_the_factors_of_somebody_who_lost_them(
    site: Site, clock: Clock, database: str
) -> None:
    own, _, codes = await site.with_app(clock)
    await site.with_app(clock, EVE)
    code, said = await support.command(database, "user", "reset-factors", "nobody@example.org")
    assert (code, "nobody called nobody@example.org" in said) == (1, True)
    code, said = await support.command(database, "user", "reset-factors", EMAIL.upper())
    assert (code, "every session has ended" in said) == (0, True), said
    assert not await own.inside()
    assert (await site.held(), await site.held(EVE)) == ([], ["totp"])
    assert await site.browser().password() == "/connections", "the password alone"
    [row] = await site.rig.raw("SELECT actor, subject FROM audit_log WHERE action = 'user.factors_reset'")
    assert tuple(row) == ("command", EMAIL)
    assert len(await site.rig.raw("SELECT FROM recovery_codes")) == second_factor.RECOVERY_CODES, "hers"
    assert codes


async def test_secrets_of_apps_move_with_the_keys_of_the_vault(site: Site, clock: Clock) -> None:
    _, secret, _ = await site.with_app(clock)
    pool, newer = site.rig.pool, "newer:" + "A" * 43
    both = Vault(LocalRing([newer, *KEYS]))
    assert (await key_rotation.count(pool))[KEYS[0].partition(":")[0]] >= 1
    assert await key_rotation.rotate(pool, both, lambda _: None) == 1
    assert await key_rotation.count(pool) == {"newer": 1}
    [row] = await site.rig.raw("SELECT id::text, user_id::text, sealed_secret FROM totp_factors")
    place = second_factor.totp_place(row["user_id"], row["id"])
    assert Vault(LocalRing([newer])).open(row["sealed_secret"], place) == secret


async def test_no_more_factors_than_a_page_shows(site: Site, clock: Clock) -> None:
    own, _, _ = await site.with_app(clock)
    await site.rig.raw(
        """
        INSERT INTO totp_factors (id, user_id, name, sealed_secret, confirmed_at)
        SELECT gen_random_uuid(), user_id, 'more', sealed_secret, now() FROM totp_factors, generate_series(2, $1)""",
        second_factor.MAX_PER_KIND,
    )
    assert (await own.press("/account/totp", password=PASSWORD))[0] == 409
    user = (await site.rig.raw("SELECT user_id::text FROM totp_factors"))[0][0]
    await site.rig.raw(
        """
        INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count)
        SELECT gen_random_uuid(), $1::uuid, 'more', number::text::bytea, '', 0 FROM generate_series(1, $2) number""",
        user,
        second_factor.MAX_PER_KIND,
    )
    _, _, text = await own.press("/account/passkeys", password=PASSWORD)
    new = Passkey(site.origin).create(options_in(text))
    status, _, text = await own.press("/account/passkeys/finish", name="x", credential=new)
    assert (status, "Remove one first" in text) == (400, True)
