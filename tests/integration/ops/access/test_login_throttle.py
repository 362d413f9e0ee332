"""Guessing: how many are looked at, whom strangers can lock out, and what is left in the log of it."""

import asyncio
import hashlib

import aiohttp
import pytest
from aiohttp import hdrs
from structlog.testing import CapturingLogger

from ops.access import device_store, login_throttle, passwords, sessions, tenants, users
from ops.access.login_throttle import TooManyAttemptsError
from ops.runtime import metrics
from ops.web import refusals
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, join

EMAIL, PASSWORD, NEW = "ada@example.org", "correct horse battery", "another long password"

pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is said of refusals."""
    found = CapturingLogger()
    monkeypatch.setattr(refusals, "log", found)
    return found


async def log_in(rig: Rig, http: aiohttp.ClientSession, password: str = PASSWORD, email: str = EMAIL) -> int:
    form = {"email": email, "password": password}
    async with http.post(f"{rig.url}/login", data=form, allow_redirects=False) as response:
        return response.status


async def locked_by_strangers(rig: Rig) -> None:
    for number in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert await sessions.login(rig.pool, EMAIL, "wrong", f"203.0.113.{number}") is None
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.99")


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest.mark.hash_cost
async def test_of_parallel_guesses_exactly_as_many_are_looked_at_as_are_allowed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0
    verified = passwords.verify_password

    async def counting(password: str, kept: str | None) -> str | None:
        nonlocal looked_at
        looked_at += 1
        return await verified(password, kept)

    monkeypatch.setattr(passwords, "verify_password", counting)
    monkeypatch.setattr(passwords, "MAX_QUEUED", 40)
    guesses = (sessions.login(rig.pool, EMAIL, f"guess {number}", f"203.0.113.{number}") for number in range(40))
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert looked_at == login_throttle.MAX_ATTEMPTS_BY_EMAIL
    assert sum(isinstance(each, TooManyAttemptsError) for each in found) == 40 - login_throttle.MAX_ATTEMPTS_BY_EMAIL


async def test_strangers_do_not_lock_out_a_browser_that_was_logged_in_before(rig: Rig) -> None:
    async with browser() as own, browser() as other:
        assert await log_in(rig, own) == 303
        await locked_by_strangers(rig)
        assert await log_in(rig, other) == 429
        assert await log_in(rig, own) == 303
        assert await log_in(rig, other) == 429, "the owner's login gives strangers no more guesses"
        for _ in range(login_throttle.MAX_ATTEMPTS_BY_DEVICE):
            assert await log_in(rig, own, "wrong") == 401
        assert await log_in(rig, own) == 429, "it has a count of its own"


async def test_known_browser_is_known_for_one_account_and_until_the_password_changes(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    async with browser() as own, browser() as hers:
        assert await log_in(rig, hers, email="eve@example.org") == 303
        assert await log_in(rig, own) == 303
        await locked_by_strangers(rig)
        assert await log_in(rig, hers) == 429, "a browser of somebody else"
        [cookie] = [cookie for cookie in own.cookie_jar if cookie.key == "landfall-device"]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
        assert int(cookie["max-age"]) > 90 * 86_400
        kept = await rig.raw("SELECT * FROM devices")
        assert cookie.value not in str(kept), "a digest"
        await users.add(rig.pool, DEFAULT_TENANT, EMAIL, NEW, "owner", TESTS)
        assert await log_in(rig, own, NEW) == 429, "whoever had that browser is a stranger now"


async def test_device_that_a_browser_made_up_is_not_kept(rig: Rig) -> None:
    """Whoever put it there would know it, and have guesses of their own with it."""
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, None, "made up")
    assert isinstance(person, sessions.Person)
    assert person.device not in ("", "made up")
    await locked_by_strangers(rig)
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, None, "made up")
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, None, person.device) is not None


async def test_only_the_browsers_used_last_are_known(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_store, "MAX_DEVICES", 2)

    async def device(known: str = "") -> str:
        person = await sessions.login(rig.pool, EMAIL, PASSWORD, None, known)
        assert isinstance(person, sessions.Person)
        return person.device

    first, second = await device(), await device()
    assert await device(first) == first
    third = await device()
    await locked_by_strangers(rig)
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.99", second)
    for known in (first, third):
        assert await device(known) == known


async def test_twenty_browsers_of_a_person_are_known_and_the_21st_takes_the_place_of_the_oldest(rig: Rig) -> None:
    """Each is five more guesses in a quarter of an hour for whoever has its cookie: 100 in all, and no more."""
    devices = []
    for _ in range(21):
        person = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
        assert isinstance(person, sessions.Person)
        devices.append(person.device)
    kept = {bytes(row[0]) for row in await rig.raw("SELECT device_sha256 FROM devices")}
    assert kept == {hashlib.sha256(device.encode()).digest() for device in devices[1:]}
    assert len(kept) * login_throttle.MAX_ATTEMPTS_BY_DEVICE == 100


async def test_right_password_forgives_no_wrong_ones_of_others_at_its_place(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever has an account could guess those of others without end."""
    monkeypatch.setattr(login_throttle, "MAX_ATTEMPTS_BY_NETWORK", 3)
    for number in range(2):
        assert await sessions.login(rig.pool, f"nobody{number}@example.org", "wrong", "203.0.113.9") is None
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9") is not None, "it does not count itself"
    assert await sessions.login(rig.pool, "nobody2@example.org", "wrong", "203.0.113.9") is None
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9")


async def test_strangers_do_not_keep_anybody_from_changing_the_password(rig: Rig) -> None:
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9")
    assert person is not None
    await locked_by_strangers(rig)
    changed = await sessions.change_password(rig.pool, person, PASSWORD, NEW, "203.0.113.9")
    assert changed is not None
    again = await sessions.login(rig.pool, EMAIL, NEW, "203.0.113.9", changed.device)
    assert again is not None, "the browser that changed it is known"


async def test_guesses_of_one_session_are_counted_on_when_it_switches_tenants(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert person is not None
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_SESSION):
        assert await sessions.change_password(rig.pool, person, "wrong", NEW, None) is None
    token = await sessions.switch_tenant(rig.pool, person, other, None)
    switched = await sessions.authenticate(rig.pool, token or "")
    assert switched is not None
    with pytest.raises(TooManyAttemptsError):
        await sessions.change_password(rig.pool, switched, PASSWORD, NEW, None)


async def test_addresses_of_one_ipv6_network_are_one_place_and_mapped_ones_are_ipv4(rig: Rig) -> None:
    for number in range(login_throttle.MAX_ATTEMPTS_BY_NETWORK):
        address = f"2001:db8:1:2::{number:x}" if number % 2 else f"2001:db8:1:2:{number:x}::1"
        assert await sessions.login(rig.pool, f"nobody{number}@example.org", "wrong", address) is None
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, "2001:db8:1:2:ffff::1")
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, "2001:db8:1:3::1") is not None, "the next network"
    assert login_throttle.network_of("::ffff:203.0.113.9") == login_throttle.network_of("203.0.113.9") == "203.0.113.9"
    assert login_throttle.network_of("203.0.113.8") != "203.0.113.9"


def count(reason: str) -> float:
    return float(metrics.access_refusals.labels(reason)._value.get())


async def test_refused_credentials_are_counted_and_some_of_them_logged_without_the_credential(
    rig: Rig, logged: CapturingLogger
) -> None:
    reasons = ("api_key", "session", "csrf", "signature", "password")
    before = {reason: count(reason) for reason in reasons}
    async with browser() as http:
        for number in range(50):
            headers = {hdrs.AUTHORIZATION: f"Bearer lf_canary{number}"}
            async with http.get(f"{rig.url}/api/connections", headers=headers) as response:
                assert response.status == 401
        planted = {"Cookie": "landfall=canary"}
        for path, status in (("/connections", 303), ("/api/connections", 401)):
            async with http.get(rig.url + path, headers=planted, allow_redirects=False) as response:
                assert response.status == status
        async with http.post(f"{rig.url}/login", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403
        form = {"signed_request": "canary.x"}
        async with http.post(f"{rig.url}/api/auth/facebook/deletion", data=form) as response:
            assert response.status == 401
        assert await log_in(rig, http, "canary password") == 401
        async with http.get(f"{rig.url}/connections", allow_redirects=False) as response:
            assert response.status == 303, "nobody tried anything: nothing to say"
    assert {reason: count(reason) - before[reason] for reason in reasons} == {
        "api_key": 50, "session": 2, "csrf": 1, "signature": 1, "password": 1,
    }  # fmt: skip
    said = [call.kwargs for call in logged.calls if call.args == ("access.refused",)]
    assert {line["reason"] for line in said} == set(reasons)
    assert {line["address"] for line in said} == {"127.0.0.1"}
    assert 5 <= sum(line["reason"] == "api_key" for line in said) < 50, "sampled"
    assert "canary" not in str(logged.calls)


async def test_throttled_logins_are_counted_by_endpoint_and_logged(rig: Rig, logged: CapturingLogger) -> None:
    hits = metrics.rate_limit_hits.labels("/login")
    before = hits._value.get()
    await locked_by_strangers(rig)
    async with browser() as http:
        assert await log_in(rig, http) == 429
    assert hits._value.get() == before + 1
    [line] = [call.kwargs for call in logged.calls if call.args == ("access.throttled",)]
    assert (line["endpoint"], line["address"]) == ("/login", "127.0.0.1")
