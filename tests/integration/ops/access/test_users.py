"""Logging in, what a role may do, and what another website cannot make a browser do (rows J4 of ``faults.md``)."""

import asyncio
import json
import re
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import invitations, login_throttle, passwords, sessions, tenants, users
from ops.access.errors import ValidationError
from ops.access.login_throttle import TooManyAttemptsError
from ops.access.sessions import Person
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, add_pages, join, led_to

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
HTML = {"Accept": "text/html"}


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


WITH_FILES = ("/posts/files", "/posts/00000000-0000-7000-8000-00000000dead/files")
"""Where forms are sent that hold files."""


async def post(rig: Rig, path: str, headers: dict[str, str] | None = None, **form: str) -> tuple[int, str, Any]:
    data = aiohttp.FormData(form, default_to_multipart=path in WITH_FILES)
    async with rig.http.post(rig.url + path, data=data, headers=headers, allow_redirects=False) as response:
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
    status, _, onward = await post(rig, "/api/auth/tiktok", csrf=csrf)
    assert status == 200
    consent = led_to(onward)
    found = await rig.sandbox.consent(consent, account="shop")
    assert isinstance(found, dict)
    async with rig.http.get(f"{rig.url}/api/auth/tiktok/callback", params=found, headers=HTML) as response:
        assert "Connected: shop on TikTok." in await response.text()
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


async def test_session_ends_by_itself_when_its_time_is_over_and_not_before(rig: Rig) -> None:
    await logged_in(rig)
    [row] = await rig.raw("SELECT extract(epoch FROM expires_at - now())::float8 AS s FROM sessions")
    assert row["s"] == pytest.approx(sessions.HOURS * 3600, abs=60)
    await rig.raw("UPDATE sessions SET expires_at = now() + interval '5 seconds'")
    assert (await page(rig))[0] == 200
    await rig.raw("UPDATE sessions SET expires_at = now()")
    assert (await page(rig))[0] == 303
    async with rig.http.get(f"{rig.url}/api/connections") as response:
        assert response.status == 401


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


async def test_session_lets_a_browser_look_at_what_programs_read_and_is_no_key(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    [token] = [cookie.value for cookie in rig.http.cookie_jar if cookie.key == "landfall"]

    async def asked(method: str, **headers: str) -> int:
        path = f"/api/connections/{id_}"
        async with rig.http.request(method, rig.url + path, headers=headers) as response:
            return response.status

    assert await asked("GET") == 200
    assert await asked("DELETE") == 401, "any website can make a browser send that"
    for wrong in ("Bearer lf_unknown", f"Bearer {token}", f"Basic {token}", "Bearer"):
        assert await asked("GET", Authorization=wrong) == 401, "a wrong key is not made good by a session"
    assert (await rig.shown(id_))["state"] == "active"


async def test_viewer_may_look_and_nothing_else(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    csrf = await logged_in(rig, "eve@example.org")
    assert "disconnect</button>" not in (await page(rig))[1]
    assert (await post(rig, f"/connections/{id_}/disconnect", csrf=csrf))[0] == 403
    assert (await page(rig, "/api/auth/tiktok"))[0] == 403
    async with rig.http.get(f"{rig.url}/api/connections") as response:
        assert len((await response.json())["connections"]) == 1


async def test_wrong_passwords_are_throttled_for_the_person_and_for_the_place(rig: Rig) -> None:
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert (await post(rig, "/login", email=EMAIL, password="wrong"))[0] == 401
    status, _, text = await post(rig, "/login", email=EMAIL, password=PASSWORD)
    assert (status, "Wait 15 minutes" in text) == (429, True)
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    await logged_in(rig, "eve@example.org")
    await rig.connection.execute("UPDATE login_failures SET failed_at = failed_at - interval '16 minutes'")
    await logged_in(rig)
    for number in range(login_throttle.MAX_ATTEMPTS_BY_NETWORK):
        await sessions.login(rig.pool, f"nobody{number}@example.org", "wrong", "203.0.113.9")
    with pytest.raises(TooManyAttemptsError):
        await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9")


async def test_new_password_and_disabling_end_every_session(rig: Rig) -> None:
    await logged_in(rig)
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, "another long password", "owner", TESTS)
    assert (await page(rig))[0] == 303
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, None) is None
    person = await sessions.login(rig.pool, EMAIL.upper(), "another long password", None)
    assert person is not None
    assert await users.disable(rig.pool, DEFAULT_TENANT, EMAIL, TESTS)
    assert await sessions.authenticate(rig.pool, person.token) is None
    assert await sessions.login(rig.pool, EMAIL, "another long password", None) is None
    assert not await users.disable(rig.pool, DEFAULT_TENANT, EMAIL, TESTS)


async def test_session_opens_nothing_for_a_disabled_person_although_it_is_there(rig: Rig) -> None:
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert isinstance(person, Person)
    await rig.raw("UPDATE users SET disabled_at = now()")
    assert await sessions.authenticate(rig.pool, person.token) is None
    await rig.raw("UPDATE users SET disabled_at = NULL")
    assert await sessions.authenticate(rig.pool, person.token) is not None


async def test_whoever_is_disabled_while_the_password_is_looked_at_is_not_logged_in(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = passwords.verify_password

    async def slow(password: str, kept: str | None) -> str | None:
        found = await verify(password, kept)
        assert await users.disable(rig.pool, DEFAULT_TENANT, EMAIL, TESTS)
        return found

    monkeypatch.setattr(passwords, "verify_password", slow)
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, None) is None
    assert await rig.raw("SELECT FROM sessions") == []


@pytest.mark.hash_cost
async def test_passwords_are_hashed_at_the_cost_that_rfc_9106_recommends_where_memory_is_scarce(rig: Rig) -> None:
    [row] = await rig.connection.fetch("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_passwords_are_kept_as_argon2id_and_invalid_ones_are_refused(rig: Rig) -> None:
    [row] = await rig.connection.fetch("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$")
    for email, password, role in (("nobody", PASSWORD, "owner"), (EMAIL, "short", "owner"), (EMAIL, PASSWORD, "god")):
        with pytest.raises(ValidationError):
            await users.add(rig.pool, DEFAULT_TENANT, email, password, role, TESTS)
    tokens = await asyncio.gather(*(sessions.login(rig.pool, EMAIL, PASSWORD, None) for _ in range(5)))
    assert len({person.token for person in tokens if person}) == 5
    everything = str(await rig.raw("SELECT * FROM sessions")) + str(await rig.raw("SELECT * FROM audit_log"))
    assert [person.token for person in tokens if person and person.token in everything] == []
    assert PASSWORD not in everything


KEYED = ("/api/actions", "/api/connections", "/api/posts", "/api/recurrences", "/api/share")
"""Where a cookie is no key."""


async def test_every_button_of_ours_asks_for_a_token_that_no_other_website_knows(rig: Rig) -> None:
    app = web.Application()
    add_pages(app, rig.pool, rig.built)
    posts = {route.resource.canonical for route in app.router.routes() if route.method == "POST" and route.resource}
    signed = {"/api/auth/{platform}/deauthorize", "/api/auth/{platform}/deletion"}  # by the platform itself
    anonymous = {"/api/auth/{platform}/choose", "/api/auth/{platform}/open", "/invitation/password"}
    csrf = await logged_in(rig)
    before = await rig.raw("SELECT count(*) FROM audit_log")
    # By whoever has no session yet: there the password, or the second factor, is the proof.
    logging_in = {"/login", "/login/password", "/login/second", "/login/second/passkey"}
    for path in sorted(posts - signed - logging_in):
        address = path.replace("{id}", "00000000-0000-7000-8000-00000000dead").replace("{platform}", "facebook")
        keyed = path.startswith(KEYED)
        refused = 401 if keyed else 403
        for form, headers in (
            ({}, {}),
            ({"csrf": ""}, {}),
            ({"csrf": "0" * 64}, {}),
            ({"csrf": csrf}, {"Origin": "https://evil.example"}),
            ({"csrf": csrf}, {"Origin": rig.url + ".evil.example"}),
            ({"csrf": csrf}, {"Origin": "null"}),
        ):
            assert (await post(rig, address, headers, **form))[0] == refused, (path, form, headers)
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.post(rig.url + address, data={"csrf": csrf}) as response,
        ):
            assert response.status == (403 if path in anonymous else 401), path
    assert len(posts) >= 11
    assert await rig.raw("SELECT count(*) FROM audit_log") == before
    assert (await page(rig))[0] == 200, "still logged in"


async def test_over_https_cookies_are_of_this_host_alone_and_another_name_is_none(rig: Rig) -> None:
    app = web.Application()
    add_pages(app, rig.pool, rig.built, secure=True, public_url="https://crm.example.org")
    server = TestServer(app)
    await server.start_server()
    form = {"email": EMAIL, "password": PASSWORD}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        origin = {"Origin": "https://crm.example.org"}  # a proxy put another Host in its place
        async with http.post(server.make_url("/login"), data=form, headers=origin, allow_redirects=False) as response:
            assert response.status == 303
            cookies = response.headers.getall("Set-Cookie")
            token = response.cookies["__Host-landfall"].value
        parts = {cookie.partition("=")[0]: {part.strip() for part in cookie.split(";")[1:]} for cookie in cookies}
        everywhere = {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"}
        assert parts == {
            "__Host-landfall": everywhere | {"Max-Age=43200"},
            "__Host-landfall-device": everywhere | {"Max-Age=15552000"},
        }
        for name, status in (("landfall", 303), ("__Host-landfall", 200)):
            headers = {"Cookie": f"{name}={token}"} | HTML
            async with http.get(server.make_url("/connections"), headers=headers, allow_redirects=False) as response:
                assert response.status == status
                text = await response.text()
        csrf = re.findall(r'name="csrf" value="(\w+)"', text)[0]
        headers = {"Cookie": f"__Host-landfall={token}"} | origin
        async with http.post(
            server.make_url("/logout"), data={"csrf": csrf}, headers=headers, allow_redirects=False
        ) as response:
            assert {"Secure", "Path=/", "Max-Age=0"} <= {p.strip() for p in response.headers["Set-Cookie"].split(";")}
    await server.close()


async def test_whatever_a_session_stands_for_changes_and_it_has_a_new_id(rig: Rig) -> None:
    """What somebody planted, saw or stole before is worth nothing after."""
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    seen = []

    async def stale() -> list[bool]:
        return [await sessions.authenticate(rig.pool, token) is None for token in seen]

    def token() -> str:
        return next(cookie.value for cookie in rig.http.cookie_jar if cookie.key == "landfall")

    await logged_in(rig)
    seen.append(token())
    csrf = await logged_in(rig)
    assert token() not in seen, "logging in again"
    seen.append(token())
    assert (await post(rig, "/tenant", csrf=csrf, tenant=other))[:2] == (303, "/connections")
    assert token() not in seen
    assert await stale() == [True, True], "the one that was there in that browser, and the one that switched"
    seen.append(token())
    csrf = re.findall(r'name="csrf" value="(\w+)"', (await page(rig))[1])[0]
    status, _, text = await post(rig, "/account/password", csrf=csrf, old=PASSWORD, new="a longer password than that")
    assert (status, "The password is changed" in text) == (200, True)
    assert token() not in seen
    assert await stale() == [True, True, True], "every session of the person, at every tenant"
    assert (await page(rig))[0] == 200


# --- forms of the same password

COMPOSED, DECOMPOSED = "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e", "cafe\u0301 cre\u0300me bru\u0302le\u0301e"
WIDE = COMPOSED.replace(" ", "\u3000")


@pytest.mark.parametrize("first", [COMPOSED, DECOMPOSED, WIDE])
async def test_password_is_the_same_however_a_keyboard_composes_it(rig: Rig, first: str) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, first, "owner", TESTS)
    [row] = await rig.connection.fetch("SELECT password_hash FROM users")
    for typed in (COMPOSED, DECOMPOSED, WIDE):
        person = await sessions.login(rig.pool, EMAIL, typed, None)
        assert person is not None
    assert await sessions.login(rig.pool, EMAIL, COMPOSED.upper(), None) is None
    assert await rig.connection.fetchval("SELECT password_hash FROM users") == row["password_hash"]
    assert await sessions.change_password(rig.pool, person, WIDE, DECOMPOSED + "!", None)
    assert await sessions.login(rig.pool, EMAIL, COMPOSED + "!", None)


async def test_password_that_an_older_release_kept_as_it_was_typed_still_fits_and_is_kept_anew(rig: Rig) -> None:
    for kept in (DECOMPOSED, "a tab\tin the middle of it", "a joiner\u200din the middle of it"):
        old = passwords._hasher.hash(kept)
        await rig.connection.execute("UPDATE users SET password_hash = $1", old)
        assert await sessions.login(rig.pool, EMAIL, kept, None), kept
        found = await rig.connection.fetchval("SELECT password_hash FROM users")
        assert (found == old) == (kept != DECOMPOSED), "only what has another form is kept anew"
        assert await sessions.login(rig.pool, EMAIL, kept, None), "and it fits again"
    await rig.connection.execute("UPDATE users SET password_hash = $1", passwords._hasher.hash(DECOMPOSED))
    assert await sessions.login(rig.pool, EMAIL, COMPOSED, None) is None, "nobody can know the old form before"
    assert await sessions.login(rig.pool, EMAIL, DECOMPOSED, None)
    assert await sessions.login(rig.pool, EMAIL, COMPOSED, None)


async def test_new_password_that_is_set_meanwhile_is_not_replaced_by_the_old_one_kept_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.connection.execute("UPDATE users SET password_hash = $1", passwords._hasher.hash(DECOMPOSED))
    newer = passwords._hasher.hash("another long password")
    verify = passwords.verify_password

    async def slow(password: str, kept: str | None) -> str | None:
        found = await verify(password, kept)
        await rig.connection.execute("UPDATE users SET password_hash = $1", newer)
        return found

    monkeypatch.setattr(passwords, "verify_password", slow)
    await sessions.login(rig.pool, EMAIL, DECOMPOSED, None)
    assert await rig.connection.fetchval("SELECT password_hash FROM users") == newer


@pytest.mark.parametrize(
    ("email", "taken"),
    [
        ("x" * (users.MAX_EMAIL_LENGTH - len(EMAIL)) + EMAIL, True),
        ("x" * (users.MAX_EMAIL_LENGTH - len(EMAIL) + 1) + EMAIL, False),
        ("ad\u200ba@example.org", False),
        ("ada@example", False),
        ("ada @example.org", False),
    ],
    ids=["longest", "longer", "invisible character", "no domain", "space"],
)
def test_address_is_bounded_and_shows_all_that_it_holds(email: str, *, taken: bool) -> None:
    if taken:
        assert users.validate_email(f" {email.upper()}") == email
    else:
        with pytest.raises(ValidationError, match="not an email address"):
            users.validate_email(email)


async def test_password_is_never_cut_and_one_that_is_too_long_or_impossible_is_told_so(rig: Rig) -> None:
    longest = "x" * passwords.MAX_LENGTH
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, longest, "owner", TESTS)
    status, _, text = await post(rig, "/login", email=EMAIL, password=longest + "y")
    assert (status, "at most 256 characters" in text) == (400, True)
    decomposed = "e\u0301" * passwords.MAX_LENGTH
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, decomposed, "owner", TESTS)
    assert await sessions.login(rig.pool, EMAIL, decomposed, None), "256 characters in its normal form"
    person = await sessions.login(rig.pool, EMAIL, "\u00e9" * passwords.MAX_LENGTH, None)
    assert person is not None
    with pytest.raises(ValidationError, match="at most 256"):
        await sessions.change_password(rig.pool, person, longest + "y", "a longer password", None)
    for bad in (longest + "y", "short", "a tab\tin the middle of it", "\x00" * 20, "\ud800" * 20, "\u200d" * 20):
        with pytest.raises(ValidationError, match="a password"):
            await users.add(rig.pool, DEFAULT_TENANT, EMAIL, bad, "owner", TESTS)
    [count] = await rig.connection.fetch("SELECT count(*) FROM login_failures")
    assert count[0] == 0, "none of these was a try"


# --- forms of the same address


@pytest.mark.parametrize(
    ("origin", "headers", "status"),
    [
        ("https://crm.b\u00fccher.example", {}, 303),
        ("https://crm.xn--bcher-kva.example", {}, 303),
        ("https://CRM.xn--bcher-KVA.example:443", {}, 303),
        ("http://crm.xn--bcher-kva.example", {}, 403),
        ("http://crm.xn--bcher-kva.example", {"Host": "crm.xn--bcher-kva.example"}, 403),
        ("https://crm.xn--bcher-kva.example:444", {}, 403),
        ("https://crm.xn--bcher-kva.example.evil.example", {}, 403),
        ("https://other.example", {"Host": "OTHER.example:443"}, 303),
        ("https://other.example", {"Host": "other.example"}, 303),
        ("https://other.example", {"Host": "other.example", "X-Forwarded-Proto": "https"}, 303),
        ("https://other.example", {"Host": "other.example", "X-Forwarded-Proto": "https, http"}, 403),
        ("http://other.example", {"Host": "other.example", "X-Forwarded-Proto": "https"}, 403),
        ("https://other.example", {"Host": "other.example:8080"}, 403),
        ("https://other.example", {"Host": "third.example"}, 403),
        ("http://[::1", {}, 403),
        ("null", {}, 403),
    ],
)
async def test_own_origin_is_known_in_every_spelling_and_no_other_is(
    rig: Rig, origin: str, headers: dict[str, str], status: int
) -> None:
    app = web.Application()
    site, trusted = "https://crm.B\u00fccher.example", [ip_network("127.0.0.0/8")]
    add_pages(app, rig.pool, rig.built, secure=True, public_url=site, trusted=trusted)
    server = TestServer(app)
    await server.start_server()
    form = {"email": EMAIL, "password": PASSWORD}
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            server.make_url("/login"), data=form, headers={"Origin": origin} | headers, allow_redirects=False
        ) as response,
    ):
        assert response.status == status
    await server.close()


async def test_host_that_nobody_vouches_for_counts_with_the_scheme_it_came_by(rig: Rig) -> None:
    for origin, status in (("http://alias.example", 303), ("https://alias.example", 403)):
        headers = {"Origin": origin, "Host": "alias.example", "X-Forwarded-Proto": "https"}
        assert (await post(rig, "/login", headers, email=EMAIL, password=PASSWORD))[0] == status


# --- pages for owners


async def test_owner_invites_somebody_by_a_link_that_is_shown_once(rig: Rig) -> None:
    csrf = await logged_in(rig)
    assert (await page(rig, "/"))[0] == 303
    status, _, text = await post(rig, "/people", csrf=csrf, email="New@Example.org", role="editor")
    [link] = re.findall(r"<code>\S+/invitation\?link=([\w-]{43})</code>", text)
    assert (status, "new@example.org is invited as editor" in text) == (200, True)
    assert link not in (await page(rig, "/people"))[1]
    password = "a password of her own"
    await invitations.accept_with_password(rig.pool, link, password, None)
    person = await sessions.login(rig.pool, "new@example.org", password, None)
    assert person is not None
    assert person.role == "editor"
    for form, status, said in (
        ({"email": "new@example.org", "role": "viewer"}, 400, "is a member already"),
        ({"email": "nobody", "role": "viewer"}, 400, "is not an email address"),
        ({"email": "x@example.org", "role": "god"}, 400, "A role is one of"),
    ):
        found, _, text = await post(rig, "/people", csrf=csrf, **form)
        assert (found, said in text) == (status, True), text
    assert (await post(rig, f"/people/{person.user}/role", csrf=csrf, role="viewer"))[:2] == (303, "/people")
    seen = await sessions.authenticate(rig.pool, person.token)
    assert seen is not None
    assert seen.role == "viewer", "at once"
    assert (await post(rig, f"/people/{person.user}/remove", csrf=csrf))[:2] == (303, "/people")
    assert await sessions.authenticate(rig.pool, person.token) is None
    assert await sessions.login(rig.pool, "new@example.org", password, None) is None, "belongs nowhere now"
    assert (await post(rig, f"/people/{person.user}/remove", csrf=csrf))[0] == 404
    actions = await rig.raw(
        "SELECT action, detail FROM audit_log"
        " WHERE subject = 'new@example.org' AND action <> 'user.logged_in' ORDER BY id"
    )
    assert [(row["action"], json.loads(row["detail"])) for row in actions] == [
        ("invitation.made", {"role": "editor"}),
        ("user.added", {"role": "editor", "invited_by": EMAIL}),
        ("user.role_changed", {"from": "editor", "to": "viewer"}),
        ("user.removed", {}),
    ]


async def test_last_owner_can_neither_be_demoted_nor_removed(rig: Rig) -> None:
    csrf = await logged_in(rig)
    own = await users.find_member(rig.pool, DEFAULT_TENANT, EMAIL)
    for path, form in ((f"/people/{own}/role", {"role": "editor"}), (f"/people/{own}/remove", {})):
        status, _, text = await post(rig, path, csrf=csrf, **form)
        assert (status, "is the last owner; make somebody else an owner first" in text) == (409, True)
    with pytest.raises(ValidationError, match="last owner"):
        await users.add(rig.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "viewer", TESTS)
    await users.add(rig.pool, DEFAULT_TENANT, "bob@example.org", PASSWORD, "owner", TESTS)
    await users.disable(rig.pool, DEFAULT_TENANT, "bob@example.org", TESTS)
    assert (await post(rig, f"/people/{own}/remove", csrf=csrf))[0] == 409, "who cannot log in is no owner to count on"
    await users.add(rig.pool, DEFAULT_TENANT, "bob@example.org", PASSWORD, "owner", TESTS)
    bob = await users.find_member(rig.pool, DEFAULT_TENANT, "bob@example.org")
    assert own
    assert bob
    for _ in range(5):
        both = (users.change_role(rig.pool, DEFAULT_TENANT, user, "viewer", TESTS) for user in (own, bob))
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert sorted(type(outcome) for outcome in outcomes if outcome is not True) == [ValidationError], (
            "one of two at once"
        )
        for user in (own, bob):
            await users.change_role(rig.pool, DEFAULT_TENANT, user, "owner", TESTS)


@pytest.mark.parametrize("role", ["editor", "viewer"])
async def test_others_see_no_page_of_owners(rig: Rig, role: str) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, role, TESTS)
    assert '<a href="/people">' not in (await page(rig, "/login"))[1]
    csrf = await logged_in(rig, "eve@example.org")
    _, text = await page(rig)
    assert ('<a href="/people">' in text, '<a href="/audit">' in text, "/account" in text) == (False, False, True)
    for path in ("/people", "/audit"):
        assert (await page(rig, path))[0] == 403
    async with rig.http.get(f"{rig.url}/api/audit") as response:
        assert response.status == 403
    eve = await users.find_member(rig.pool, DEFAULT_TENANT, "eve@example.org")
    for path, form in (
        ("/people", {"email": "x@example.org", "role": "owner"}),
        (f"/people/{eve}/role", {"role": "owner"}),
        (f"/people/{eve}/remove", {}),
        ("/keys", {"name": "mine", "connections:read": "on"}),
        ("/keys/00000000-0000-7000-8000-00000000dead/revoke", {}),
    ):
        assert (await post(rig, path, csrf=csrf, **form))[0] == 403, path
    await logged_in(rig)
    _, text = await page(rig)
    assert ('<a href="/people">' in text, '<a href="/audit">' in text) == (True, True)


async def test_owner_makes_a_key_that_is_shown_once_and_revokes_it(rig: Rig) -> None:
    csrf = await logged_in(rig)
    status, address, text = await post(rig, "/keys", csrf=csrf, name="crm", **{"audit:read": "on"})
    [key] = re.findall(r"<code>(lf_[\w-]{43})</code>", text)
    assert (status, address) == (200, "")
    _, text = await page(rig, "/people")
    assert key not in text
    headers = {"Authorization": f"Bearer {key}"}
    assert (await rig.api("GET", "/api/audit", headers=headers))[0] == 200
    assert (await rig.api("GET", "/api/connections", headers=headers))[0] == 403
    _, text = await page(rig, "/people")
    assert "from 127.0.0.1" in text
    for form, said in (
        ({"name": "crm", "audit:read": "on"}, "There is, or was, a key crm"),
        ({"name": " ", "audit:read": "on"}, "The name of a key has"),
        ({"name": "other"}, "Tick what the key may do"),
        ({"name": "other", "people:write": "on"}, "Tick what the key may do"),
    ):
        status, _, text = await post(rig, "/keys", csrf=csrf, **form)
        assert (status, said in text) == (409 if "There is" in said else 400, True)
    [[id_]] = await rig.raw("SELECT id::text FROM api_keys WHERE name = 'crm'")
    assert (await post(rig, f"/keys/{id_}/revoke", csrf=csrf))[0] == 303
    assert (await rig.api("GET", "/api/audit", headers=headers))[0] == 401
    assert (await post(rig, f"/keys/{id_}/revoke", csrf=csrf))[0] == 404


async def test_own_password_is_changed_with_the_old_one_and_guessing_it_is_throttled(rig: Rig) -> None:
    csrf = await logged_in(rig)
    new = "another long password"
    for form, status, said in (
        ({"old": "wrong", "new": new}, 403, "The current password is wrong"),
        ({"old": PASSWORD, "new": "short"}, 400, "A password has 12 to 256 characters"),
    ):
        found, _, text = await post(rig, "/account/password", csrf=csrf, **form)
        assert (found, said in text) == (status, True), text
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL - 1):
        assert (await post(rig, "/account/password", csrf=csrf, old="wrong", new=new))[0] == 403
    assert (await post(rig, "/account/password", csrf=csrf, old=PASSWORD, new=new))[0] == 429
    await rig.connection.execute("DELETE FROM login_failures")
    assert (await post(rig, "/account/password", csrf=csrf, old=PASSWORD, new=new))[0] == 200
    assert await sessions.login(rig.pool, EMAIL, PASSWORD, None) is None
    assert await sessions.login(rig.pool, EMAIL, new, None) is not None
    everything = str(await rig.raw("SELECT * FROM audit_log"))
    assert new not in everything


# --- several tenants


async def test_member_of_two_tenants_switches_and_somebody_of_one_is_not_bothered(rig: Rig) -> None:
    csrf = await logged_in(rig)
    assert "/tenant" not in (await page(rig))[1]
    [id_] = await rig.connect("tiktok")
    other = await tenants.add(rig.connection, "other & co", TESTS)
    await join(rig, other, EMAIL, "viewer")
    _, text = await page(rig)
    assert f'<option value="{DEFAULT_TENANT}" selected>default</option>' in text
    assert ("other &amp; co" in text, f"/connections/{id_}" in text) == (True, True)
    for wrong in ("", "junk", "00000000-0000-7000-8000-00000000dead"):
        assert (await post(rig, "/tenant", csrf=csrf, tenant=wrong))[0] == 404
    assert (await post(rig, "/tenant", csrf=csrf, tenant=other))[0] == 303
    _, text = await page(rig)
    assert (f"/connections/{id_}" in text, f'<option value="{other}" selected>' in text) == (False, True)
    assert (await page(rig, "/people"))[0] == 403, "a viewer there"
    await logged_in(rig)
    assert f"/connections/{id_}" in (await page(rig))[1], "the first tenant"
    actions = await rig.raw(
        "SELECT tenant_id::text, action, detail FROM audit_log WHERE action LIKE 'user.logged%' ORDER BY id"
    )
    assert [tuple(row) for row in actions] == [
        (DEFAULT_TENANT, "user.logged_in", "{}"),
        (DEFAULT_TENANT, "user.logged_out", "{}"),
        (other, "user.logged_in", "{}"),
        (other, "user.logged_out", '{"replaced": true}'),
        (DEFAULT_TENANT, "user.logged_in", "{}"),
    ]


async def test_owner_of_another_tenant_cannot_take_over_an_account(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await users.add(rig.pool, other, "mallory@example.org", PASSWORD, "owner", TESTS)
    csrf = await logged_in(rig, "mallory@example.org")
    kept = await rig.connection.fetchval("SELECT password_hash FROM users WHERE email = $1", EMAIL)
    session = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert session is not None
    known = await post(rig, "/people", csrf=csrf, email=EMAIL, role="owner", password="mallory chose this")
    unknown = await post(
        rig, "/people", csrf=csrf, email="bob@example.org", role="owner", password="mallory chose this"
    )
    assert known[0] == unknown[0] == 200
    words = [
        re.sub(r"link=[\w-]{43}", "", re.findall(r'role="status">(.*?)</p>', text)[0])
        for _, _, text in (known, unknown)
    ]
    assert words[0].replace(EMAIL, "") == words[1].replace("bob@example.org", ""), "nor learn who has an account"
    assert await rig.connection.fetchval("SELECT password_hash FROM users WHERE email = $1", EMAIL) == kept
    assert await sessions.login(rig.pool, EMAIL, "mallory chose this", None) is None
    person = await sessions.authenticate(rig.pool, session.token)
    assert person is not None
    assert (person.tenant, person.role) == (DEFAULT_TENANT, "owner"), "nor end a session"
    assert (await post(rig, f"/people/{person.user}/remove", csrf=csrf))[0] == 404, "not a member before they say so"
    assert await sessions.authenticate(rig.pool, session.token) is not None, "nor end what is another tenant's"
    with pytest.raises(ValidationError, match="for another tenant"):
        await users.add(rig.pool, other, EMAIL, "another long password", "viewer", TESTS)


async def test_whoever_runs_it_sets_a_password_or_shuts_somebody_out_for_every_tenant(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    here = await sessions.login(rig.pool, EMAIL, PASSWORD, None)
    assert here is not None
    await users.add(rig.pool, other, EMAIL, "another long password", "editor", TESTS)
    assert await sessions.authenticate(rig.pool, here.token) is None, "begun with the old password"
    again = await sessions.login(rig.pool, EMAIL, "another long password", None)
    assert again is not None
    assert (again.tenant, again.role) == (DEFAULT_TENANT, "owner")
    assert await users.disable(rig.pool, other, EMAIL, TESTS)
    assert await sessions.authenticate(rig.pool, again.token) is None
    noted = await rig.raw(
        "SELECT tenant_id::text, action FROM audit_log WHERE subject = $1 AND action <> 'user.logged_in' ORDER BY id",
        EMAIL,
    )
    assert sorted((row["tenant_id"] == other, row["action"]) for row in noted) == [
        (False, "user.added"),
        (False, "user.disabled"),
        (False, "user.password_set"),
        (True, "invitation.made"),
        (True, "user.added"),
        (True, "user.disabled"),
        (True, "user.password_set"),
        (True, "user.role_changed"),
    ]


# --- from where


async def test_behind_a_proxy_it_is_the_visitor_who_is_throttled_and_noted(rig: Rig) -> None:
    app = web.Application()
    add_pages(app, rig.pool, rig.built, trusted=(ip_network("127.0.0.1"),))
    server = TestServer(app)
    await server.start_server()
    async with aiohttp.ClientSession() as http:

        async def tried(password: str, email: str, forwarded: str) -> int:
            form, headers = {"email": email, "password": password}, {"X-Forwarded-For": forwarded}
            async with http.post(
                server.make_url("/login"), data=form, headers=headers, allow_redirects=False
            ) as response:
                return response.status

        for number in range(login_throttle.MAX_ATTEMPTS_BY_NETWORK):
            spoofed = f"198.51.100.{number}, 203.0.113.9"
            assert await tried("wrong", f"nobody{number}@example.org", spoofed) == 401
        assert await tried(PASSWORD, EMAIL, "203.0.113.9") == 429
        assert await tried(PASSWORD, EMAIL, "203.0.113.10") == 303
    await server.close()
    [row] = await rig.raw("SELECT host(address) AS address FROM audit_log WHERE action = 'user.logged_in'")
    assert row["address"] == "203.0.113.10"
    [row] = await rig.raw("SELECT host(address) AS address FROM sessions")
    assert row["address"] == "203.0.113.10"
