"""Logging in, what a role may do, and what another website cannot make a browser do (rows J4 of ``faults.md``)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import pytest

from publish import people
from publish.people import Throttled, Wrong
from schema.people import DEFAULT_TENANT
from tests.rig import TESTS, Rig, rigged

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
HTML = {"Accept": "text/html"}


@pytest.fixture
async def rig(database: str, connection: asyncpg.Connection) -> AsyncIterator[Rig]:
    async with rigged(database, connection) as found:
        await people.add(found.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
        yield found


async def post(rig: Rig, path: str, headers: dict[str, str] | None = None, **form: str) -> tuple[int, str, Any]:
    async with rig.http.post(rig.url + path, data=form, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", ""), await response.text()


async def page(rig: Rig, path: str = "/connections") -> tuple[int, str]:
    async with rig.http.get(rig.url + path, headers=HTML, allow_redirects=False) as response:
        return response.status, await response.text()


async def logged_in(rig: Rig, email: str = EMAIL) -> str:
    """The csrf token of the page that one then sees."""
    assert (await post(rig, "/login", email=email, password=PASSWORD))[:2] == (303, "/connections")
    status, text = await page(rig)
    assert status == 200
    return re.findall(r'name="csrf" value="(\w+)"', text)[0]


async def test_person_logs_in_connects_in_one_browser_and_disconnects(rig: Rig) -> None:
    assert (await page(rig))[0] == 303
    csrf = await logged_in(rig)
    async with rig.http.get(f"{rig.url}/api/auth/tiktok", headers=HTML, allow_redirects=False) as response:
        address = response.headers["Location"]
    async with rig.http.get(address, allow_redirects=False) as response:
        consent = response.headers["Location"]
    found = await rig.sandbox.consent(consent, account="shop")
    assert isinstance(found, dict)
    async with rig.http.get(f"{rig.url}/api/auth/tiktok/callback", params=found, headers=HTML) as response:
        assert "Connected: shop." in await response.text()
    _, text = await page(rig)
    [id_] = re.findall(r"/connections/([\w-]+)/disconnect", text)
    assert "connected" in text
    assert (await post(rig, f"/connections/{id_}/disconnect", csrf=csrf))[:2] == (303, "/connections")
    assert "disconnected" in (await page(rig))[1]
    actors = {row["actor"] for row in await rig.raw("SELECT actor FROM audit_log WHERE action LIKE 'connection.%'")}
    assert actors == {f"user:{EMAIL}"}


async def test_session_ends_on_the_server_and_a_new_login_has_a_new_one(rig: Rig) -> None:
    csrf = await logged_in(rig)
    [cookie] = [c for c in rig.http.cookie_jar if c.key == "landfall"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    stolen = {"Cookie": f"landfall={cookie.value}"} | HTML
    assert (await post(rig, "/logout", csrf=csrf))[:2] == (303, "/login")
    async with (
        aiohttp.ClientSession() as thief,
        thief.get(f"{rig.url}/connections", headers=stolen, allow_redirects=False) as response,
    ):
        assert response.status == 303
    planted = {"Cookie": "landfall=planted"}
    async with (
        aiohttp.ClientSession() as victim,
        victim.post(
            f"{rig.url}/login", data={"email": EMAIL, "password": PASSWORD}, headers=planted, allow_redirects=False
        ) as response,
    ):
        assert response.cookies["landfall"].value != "planted"


async def test_another_website_cannot_press_our_buttons(rig: Rig) -> None:
    csrf = await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    path = f"/connections/{id_}/disconnect"
    for form, headers, status in (
        ({}, {}, 403),
        ({"csrf": "0" * 64}, {}, 403),
        ({"csrf": csrf}, {"Origin": "https://evil.example"}, 403),
        ({"csrf": csrf}, {"Origin": "null"}, 403),
    ):
        assert (await post(rig, path, headers, **form))[0] == status
    assert (await post(rig, "/login", {"Origin": "https://evil.example"}, email=EMAIL, password=PASSWORD))[0] == 403
    assert (await rig.shown(id_))["state"] == "active"
    async with rig.http.delete(f"{rig.url}/api/connections/{id_}") as response:
        assert response.status == 401, "a cookie is no key"
    assert (await post(rig, path, {"Origin": rig.url}, csrf=csrf))[0] == 303


async def test_viewer_may_look_and_nothing_else(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await people.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    csrf = await logged_in(rig, "eve@example.org")
    assert "disconnect</button>" not in (await page(rig))[1]
    assert (await post(rig, f"/connections/{id_}/disconnect", csrf=csrf))[0] == 403
    assert (await page(rig, "/api/auth/tiktok"))[0] == 403
    async with rig.http.get(f"{rig.url}/api/connections") as response:
        assert len((await response.json())["connections"]) == 1


async def test_wrong_passwords_are_throttled_for_the_person_and_for_the_place(rig: Rig) -> None:
    for _ in range(people.TRIES_BY_EMAIL):
        assert (await post(rig, "/login", email=EMAIL, password="wrong"))[0] == 401
    status, _, text = await post(rig, "/login", email=EMAIL, password=PASSWORD)
    assert (status, "Wait 15 minutes" in text) == (429, True)
    await people.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    await logged_in(rig, "eve@example.org")
    await rig.connection.execute("UPDATE login_failures SET failed_at = failed_at - interval '16 minutes'")
    await logged_in(rig)
    for number in range(people.TRIES_BY_ADDRESS):
        await people.login(rig.pool, f"nobody{number}@example.org", "wrong", "203.0.113.9")
    with pytest.raises(Throttled):
        await people.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9")


async def test_new_password_and_disabling_end_every_session(rig: Rig) -> None:
    await logged_in(rig)
    await people.add(rig.pool, DEFAULT_TENANT, EMAIL, "another long password", "owner", TESTS)
    assert (await page(rig))[0] == 303
    assert await people.login(rig.pool, EMAIL, PASSWORD, None) is None
    person = await people.login(rig.pool, EMAIL.upper(), "another long password", None)
    assert person is not None
    assert await people.disable(rig.pool, DEFAULT_TENANT, EMAIL, TESTS)
    assert await people.person(rig.pool, person.token) is None
    assert await people.login(rig.pool, EMAIL, "another long password", None) is None
    assert not await people.disable(rig.pool, DEFAULT_TENANT, EMAIL, TESTS)


async def test_passwords_are_kept_as_argon2id_and_bad_wishes_are_refused(rig: Rig) -> None:
    [row] = await rig.connection.fetch("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$")
    for email, password, role in (("nobody", PASSWORD, "owner"), (EMAIL, "short", "owner"), (EMAIL, PASSWORD, "god")):
        with pytest.raises(Wrong):
            await people.add(rig.pool, DEFAULT_TENANT, email, password, role, TESTS)
    tokens = await asyncio.gather(*(people.login(rig.pool, EMAIL, PASSWORD, None) for _ in range(5)))
    assert len({person.token for person in tokens if person}) == 5
    everything = str(await rig.raw("SELECT * FROM sessions")) + str(await rig.raw("SELECT * FROM audit_log"))
    assert [person.token for person in tokens if person and person.token in everything] == []
    assert PASSWORD not in everything
