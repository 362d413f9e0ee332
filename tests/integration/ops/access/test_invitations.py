"""Invitations and passwords that somebody else chose: the ways in which one person could come in as another."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys, invitations, login_throttle, maintenance_store, passwords, sessions, tenants, users
from ops.access.errors import RoleChangedError, ValidationError
from ops.access.invitations import AccountExistsError, InvitationEndedError
from ops.access.sessions import PasswordChangeRequiredError, Person
from ops.runtime.mail import Mailer
from ops.runtime.mailserver import MailServer
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, add_pages, join, led_to
from tests.secret_scan import shown, tables
from tests.smtp_server import SmtpServer

PASSWORD, OWN, GIVEN = "correct horse battery", "a password of her own", "given by somebody"
MALLORY, BOB, EVE = (f"{name}@example.org" for name in ("mallory", "bob", "eve"))
HTML = {"Accept": "text/html"}


@dataclass
class Browser:
    """Somebody's browser, with cookies of its own."""

    http: aiohttp.ClientSession
    url: str

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.url + path, headers=HTML) as response:
            return response.status, await response.text()

    async def post(self, path: str, **form: str) -> tuple[int, str]:
        """The form that the page before would send, with its token."""
        async with self.http.post(self.url + path, data=form, headers=HTML) as response:
            return response.status, await response.text()

    async def csrf(self, path: str) -> str:
        return re.findall(r'name="csrf" value="(\w+)"', (await self.get(path))[1])[-1]

    async def log_in(self, email: str, password: str = PASSWORD) -> int:
        return (await self.post("/login", email=email, password=password))[0]

    async def open(self, link: str) -> tuple[int, str]:
        return await self.get(f"/invitation?link={link}")

    async def chosen(self, link: str, password: str = OWN) -> tuple[int, str]:
        """What a newcomer is answered who opens the link and chooses a password."""
        await self.open(link)
        return await self.choose(link, password)

    async def choose(self, link: str, password: str = OWN) -> tuple[int, str]:
        """What a newcomer is answered who chooses a password on the page that the link opened before."""
        return await self.post("/invitation/password", csrf=sessions.csrf_token(link), new=password)

    async def confirmed(self, link: str) -> tuple[int, str]:
        """What somebody is answered who is logged in, opens the link and presses the button."""
        await self.open(link)
        return await self.post("/invitation", csrf=await self.csrf("/account"))

    @property
    def logged_in(self) -> bool:
        return any(cookie.key == "landfall" for cookie in self.http.cookie_jar)


@asynccontextmanager
async def browser(rig: Rig, url: str = "") -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Browser(http, url or rig.url)


@dataclass(repr=False)
class Three:
    """Tenants A (Mallory's), B (Bob's) and C."""

    rig: Rig
    a: str
    b: str
    c: str

    async def invited(self, tenant: str, email: str = EVE, role: str = "owner") -> str:
        return (await invitations.invite(self.rig.pool, tenant, email, role, TESTS)).link

    async def members(self, tenant: str) -> dict[str, str]:
        return {member.email: member.role for member in await users.list_members(self.rig.pool, tenant)}

    async def noted(self, tenant: str) -> list[tuple[str, str]]:
        rows = await self.rig.raw(
            "SELECT action, subject FROM audit_log WHERE tenant_id = $1::uuid ORDER BY id", tenant
        )
        return [tuple(row) for row in rows]


@pytest.fixture
async def three(rig: Rig, connection: asyncpg.Connection) -> Three:
    a, b, c = [await tenants.add(connection, name, TESTS) for name in ("A & sons", "Bees", "Sea")]
    await users.add(rig.pool, a, MALLORY, PASSWORD, "owner", TESTS)
    await users.add(rig.pool, b, BOB, PASSWORD, "owner", TESTS)
    return Three(rig, a, b, c)


# --- a password that one tenant's owner knows opens no other


async def test_password_that_an_owner_of_another_tenant_chose_opens_nothing(three: Three) -> None:
    async with browser(three.rig) as mallory:
        await mallory.log_in(MALLORY)
        csrf = await mallory.csrf("/people")
        _, text = await mallory.post("/people", csrf=csrf, email=EVE, role="viewer", password=GIVEN)
        assert await sessions.login(three.rig.pool, EVE, GIVEN, None) is None, "it is not hers to choose"
        [link] = re.findall(r"invitation\?link=([\w-]{43})", text)
        async with browser(three.rig) as herself:  # Mallory opens the link of her own invitation
            assert (await herself.chosen(link, GIVEN))[0] == 200
            assert await herself.log_in(EVE, GIVEN) == 200
        eve = await users.find_member(three.rig.pool, three.a, EVE)
        link = await three.invited(three.b)
        async with browser(three.rig) as stranger:
            assert (await stranger.chosen(link))[0] == 409, "while somebody has that address"
        await mallory.post(f"/people/{eve}/remove", csrf=csrf)
    assert await three.rig.raw("SELECT FROM users WHERE email = $1", EVE) == [], "forgotten with the last membership"
    assert await sessions.login(three.rig.pool, EVE, GIVEN, None) is None
    async with browser(three.rig) as eves:
        status, text = await eves.chosen(link)
        assert (status, "Log in with it" in text) == (200, True), "the invitation of B still works, as for a newcomer"
        assert await eves.log_in(EVE, GIVEN) == 401
        assert await eves.log_in(EVE, OWN) == 200
    assert (await three.members(three.b))[EVE] == "owner"
    assert EVE not in await three.members(three.a)


async def test_person_who_is_known_belongs_nowhere_else_before_confirming_as_herself(three: Three) -> None:
    await users.add(three.rig.pool, three.b, EVE, PASSWORD, "viewer", TESTS)
    link = await three.invited(three.c)
    assert await three.members(three.c) == {}
    async with browser(three.rig) as anybody:
        status, text = await anybody.open(link)
        assert (status, "Log in and confirm" in text) == (200, True)
        for path, form in (("/invitation", {"csrf": "0" * 64}), ("/invitation/password", {"csrf": "0" * 64})):
            assert (await anybody.post(path, **form))[0] in (401, 403)
        status, text = await anybody.chosen(link, "mallory chose this")
        assert (status, "has a password here" in text) == (409, True)
        assert await sessions.login(three.rig.pool, EVE, "mallory chose this", None) is None
    assert await three.members(three.c) == {}
    async with browser(three.rig) as eves:
        await eves.open(link)
        status, text = await eves.post("/login", email=EVE, password=PASSWORD)
        assert re.findall(r"<h1>(.*?)</h1>", text) == ["Join Sea"], "the login leads on to it"
        assert ("owner: may do everything" in text, "whoever runs this Landfall" in text) == (True, True)
        assert text.count("<button") == 2, "one button, and to log out"
        assert await three.members(three.c) == {}
        status, text = await eves.confirmed(link)
        assert (status, "selected>Sea</option>" in text) == (200, True), "and goes on there"
    assert await three.members(three.c) == {EVE: "owner"}
    assert [entry for entry in await three.noted(three.c) if entry[1] == EVE] == [
        ("invitation.made", EVE),
        ("user.added", EVE),
        ("user.logged_in", EVE),
    ]


async def test_link_is_worth_nothing_to_another_person_who_is_logged_in(three: Three) -> None:
    link = await three.invited(three.b)
    async with browser(three.rig) as mallory:
        await mallory.log_in(MALLORY)
        status, text = await mallory.open(link)
        assert (status, "for another address" in text, "Bees" in text, EVE in text) == (403, True, False, False)
        assert (await mallory.confirmed(link))[0] == 403
        assert (await mallory.chosen(link))[0] == 403
    person = await sessions.login(three.rig.pool, MALLORY, PASSWORD, None)
    assert person is not None
    with pytest.raises(InvitationEndedError):
        await invitations.accept(three.rig.pool, link, person, None)
    assert await three.members(three.b) == {BOB: "owner"}


async def test_link_works_once_and_of_two_browsers_at_once_one_comes_in(three: Three) -> None:
    link = await three.invited(three.b)
    async with browser(three.rig) as one, browser(three.rig) as other:
        await one.open(link)
        await other.open(link)
        both = await asyncio.gather(one.choose(link, "the first of two words"), other.choose(link, "the second of two"))
        assert sorted(status for status, _ in both) == [200, 410]
        assert len(await three.rig.raw("SELECT FROM users WHERE email = $1", EVE)) == 1
        for again in (one, other):
            status, text = await again.open(link)
            assert (status, "was used before" in text) == (410, True)
            assert (await again.get("/invitation"))[0] == 410
    eve = await sessions.login(three.rig.pool, EVE, "the first of two words", None) or await sessions.login(
        three.rig.pool, EVE, "the second of two", None
    )
    assert eve is not None
    link = await three.invited(three.c)
    outcomes = await asyncio.gather(
        *(invitations.accept(three.rig.pool, link, eve, None) for _ in range(5)), return_exceptions=True
    )
    assert [type(found) for found in outcomes if found != three.c] == [InvitationEndedError] * 4
    assert [action for action, about in await three.noted(three.c) if about == EVE].count("user.added") == 1


async def test_two_tenants_invitations_of_one_newcomer_at_once_make_one_person_of_one_tenant(three: Three) -> None:
    links = [await three.invited(tenant) for tenant in (three.b, three.c)]
    outcomes = await asyncio.gather(
        *(invitations.accept_with_password(three.rig.pool, link, f"{OWN} {n}", None) for n, link in enumerate(links)),
        return_exceptions=True,
    )
    assert sorted(str(type(found)) for found in outcomes) == sorted(map(str, (str, AccountExistsError)))
    [rest] = [link for link, found in zip(links, outcomes, strict=True) if isinstance(found, AccountExistsError)]
    assert await invitations.open_link(three.rig.pool, rest) is not None, "it waits to be confirmed"
    assert [EVE in await three.members(tenant) for tenant in (three.b, three.c)].count(True) == 1


async def test_link_that_is_too_old_withdrawn_or_renewed_or_whose_inviter_is_gone_opens_nothing(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "owner", TESTS)

    async def dead(link: str) -> None:
        assert await invitations.open_link(pool, link) is None
        with pytest.raises(InvitationEndedError):
            await invitations.accept_with_password(pool, link, OWN, None)
        async with browser(three.rig) as anybody:
            assert (await anybody.open(link))[0] == 410
        assert "new@example.org" not in await three.members(three.b)

    old = await three.invited(three.b, "new@example.org")
    await three.rig.raw("UPDATE invitations SET expires_at = now() - interval '1 second'")
    await dead(old)
    async with browser(three.rig) as bobs:
        await bobs.log_in(BOB)
        csrf = await bobs.csrf("/people")
        _, text = await bobs.get("/people")
        [id_] = re.findall(r"/people/invitations/([\w-]+)/renew", text)
        assert ("was valid until" in text, old in text) == (True, False)
        _, text = await bobs.post(f"/people/invitations/{id_}/renew", csrf=csrf)
        [renewed] = re.findall(r"link=([\w-]{43})", text)
        await dead(old)
        assert await invitations.open_link(pool, renewed) is not None
        _, text = await bobs.post("/people", csrf=csrf, email="new@example.org", role="viewer")
        [again] = re.findall(r"link=([\w-]{43})", text)
        await dead(renewed)
        [id_] = re.findall(r"/people/invitations/([\w-]+)/withdraw", text)
        assert (await bobs.post(f"/people/invitations/{id_}/withdraw", csrf=csrf))[0] == 200
        await dead(again)
        assert (await bobs.post(f"/people/invitations/{id_}/withdraw", csrf=csrf))[0] == 404
        assert (await bobs.post(f"/people/invitations/{id_}/renew", csrf=csrf))[0] == 404
        _, text = await bobs.post("/people", csrf=csrf, email="new@example.org", role="owner")
        [last] = re.findall(r"link=([\w-]{43})", text)
    bob = await users.find_member(pool, three.b, BOB)
    assert bob is not None
    await users.change_role(pool, three.b, bob, "editor", TESTS)
    await dead(last)
    actions = [action for action, about in await three.noted(three.b) if about == "new@example.org"]
    assert actions == [f"invitation.{what}" for what in ("made", "renewed", "made", "withdrawn", "made", "withdrawn")]


async def test_link_works_for_the_week_that_the_page_states_and_a_renewed_one_for_another(three: Three) -> None:
    """Long enough for somebody on holiday to come back, short enough for a link in an old mail to be worth nothing."""
    await three.invited(three.b, "new@example.org")
    async with browser(three.rig) as bobs:
        await bobs.log_in(BOB)
        assert "It works once, for a week." in (await bobs.get("/people"))[1]
        [[life]] = await three.rig.raw("SELECT expires_at - created_at FROM invitations")
        assert life == timedelta(days=7)
        await three.rig.raw(
            "UPDATE invitations SET expires_at = now() + interval '1 day', created_at = now() - interval '6 days'"
        )
        [[id_]] = await three.rig.raw("SELECT id::text FROM invitations")
        csrf = await bobs.csrf("/people")
        assert (await bobs.post(f"/people/invitations/{id_}/renew", csrf=csrf))[0] == 200
        [[life]] = await three.rig.raw("SELECT expires_at - now() FROM invitations")
        assert life == pytest.approx(timedelta(days=7), abs=timedelta(minutes=1))


async def test_whoever_is_invited_again_comes_in_with_the_role_named_last(three: Three) -> None:
    await three.invited(three.b, role="owner")
    link = await three.invited(three.b, role="viewer")
    await invitations.accept_with_password(three.rig.pool, link, OWN, None)
    assert (await three.members(three.b))[EVE] == "viewer"


async def test_link_that_ends_while_the_password_is_hashed_lets_nobody_in(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await three.invited(three.b)
    real = passwords.hash_password

    async def slow(password: str) -> str:
        found = await real(password)
        await three.rig.raw("UPDATE invitations SET expires_at = now() - interval '1 second'")
        return found

    monkeypatch.setattr(passwords, "hash_password", slow)
    with pytest.raises(InvitationEndedError):
        await invitations.accept_with_password(three.rig.pool, link, OWN, None)
    assert await three.rig.raw("SELECT FROM users WHERE email = $1", EVE) == []


async def test_invitation_ends_with_whoever_renewed_it_and_not_with_whoever_made_it(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "owner", TESTS)
    bob, eve = [await sessions.login(pool, email, PASSWORD, None) for email in (BOB, EVE)]
    assert isinstance(bob, Person)
    assert isinstance(eve, Person)
    await invitations.invite(pool, three.b, "new@example.org", "viewer", TESTS, bob)
    [[id_]] = await three.rig.raw("SELECT id::text FROM invitations")
    renewed = await invitations.renew(pool, three.b, id_, TESTS, eve)
    assert renewed is not None
    await users.change_role(pool, three.b, bob.user, "viewer", TESTS)
    found = await invitations.open_link(pool, renewed.link)
    assert found is not None
    assert found.inviter == EVE
    await users.change_role(pool, three.b, bob.user, "owner", TESTS)
    await users.remove(pool, three.b, eve.user, TESTS)
    assert await invitations.open_link(pool, renewed.link) is None


async def test_owner_of_another_tenant_can_neither_see_nor_touch_an_invitation(three: Three) -> None:
    await three.invited(three.b)
    [[id_]] = await three.rig.raw("SELECT id::text FROM invitations")
    async with browser(three.rig) as mallory:
        await mallory.log_in(MALLORY)
        csrf = await mallory.csrf("/people")
        assert EVE not in (await mallory.get("/people"))[1]
        for what in ("renew", "withdraw"):
            assert (await mallory.post(f"/people/invitations/{id_}/{what}", csrf=csrf))[0] == 404
    assert len(await three.rig.raw("SELECT FROM invitations")) == 1


async def test_disabled_person_cannot_come_in_by_an_invitation(three: Three) -> None:
    await users.add(three.rig.pool, three.b, EVE, PASSWORD, "viewer", TESTS)
    person = await sessions.login(three.rig.pool, EVE, PASSWORD, None)
    assert person is not None
    link = await three.invited(three.c)
    assert await users.disable(three.rig.pool, three.b, EVE, TESTS)
    with pytest.raises(InvitationEndedError):
        await invitations.accept(three.rig.pool, link, person, None)
    with pytest.raises(AccountExistsError):
        await invitations.accept_with_password(three.rig.pool, link, OWN, None)
    async with browser(three.rig) as eves:
        await eves.open(link)
        assert await eves.log_in(EVE) == 401
    assert await three.members(three.c) == {}


async def test_disabling_reaches_nobody_but_members_and_ends_their_keys_at_every_tenant(three: Three) -> None:
    pool = three.rig.pool
    assert await users.disable(pool, three.a, BOB, TESTS) is None
    bob = await sessions.login(pool, BOB, PASSWORD, None)
    assert isinstance(bob, Person)
    await join(three.rig, three.c, BOB, "owner")
    key = await api_keys.create(pool, three.c, "bobs", api_keys.DEFAULT_SCOPES, TESTS, (bob.user, "owner"))
    assert await api_keys.authenticate(pool, key, None) is not None
    assert await users.disable(pool, three.b, BOB, TESTS) is not None
    assert await api_keys.authenticate(pool, key, None) is None


async def test_confirming_while_the_last_other_membership_ends_leaves_a_person_who_is_whole(three: Three) -> None:
    for number in range(5):
        email = f"eve{number}@example.org"
        await users.add(three.rig.pool, three.b, email, PASSWORD, "viewer", TESTS)
        person = await sessions.login(three.rig.pool, email, PASSWORD, None)
        assert person is not None
        link = await three.invited(three.c, email)
        outcomes = await asyncio.gather(
            invitations.accept(three.rig.pool, link, person, None),
            users.remove(three.rig.pool, three.b, person.user, TESTS),
            return_exceptions=True,
        )
        assert not [
            found for found in outcomes if isinstance(found, Exception) and not isinstance(found, InvitationEndedError)
        ]
        kept = await three.rig.raw("SELECT FROM users WHERE email = $1", email)
        assert (len(kept) == 1) == (email in await three.members(three.c)) == (outcomes[0] == three.c)


async def test_last_owner_stays_and_is_not_forgotten(three: Three) -> None:
    bob = await users.find_member(three.rig.pool, three.b, BOB)
    assert bob is not None
    await three.invited(three.b)
    with pytest.raises(ValidationError, match="last owner"):
        await users.remove(three.rig.pool, three.b, bob, TESTS)
    assert await sessions.login(three.rig.pool, BOB, PASSWORD, None) is not None, "whoever is only invited is no owner"


async def test_tenant_has_no_more_invitations_waiting_than_it_may(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_WAITING", 2)
    for number in range(2):
        await three.invited(three.b, f"eve{number}@example.org")
    with pytest.raises(ValidationError, match="2 invitations that nobody"):
        await three.invited(three.b)
    await three.invited(three.b, "eve0@example.org", "viewer")
    await three.invited(three.c)
    assert await invitations.withdraw(three.rig.pool, three.b, TESTS, email="Eve1@example.org ")
    await three.invited(three.b)


async def test_link_is_kept_as_a_digest_and_stands_in_no_log_or_page(
    three: Three, capsys: pytest.CaptureFixture[str]
) -> None:
    async with browser(three.rig) as eves:
        link = await three.invited(three.b)
        await eves.open(link)
        _, page = await eves.get("/invitation")
        assert link not in page
        assert (await eves.post("/invitation/password", csrf=sessions.csrf_token(link), new="short"))[0] == 400
        await eves.chosen(link)
    assert shown([link, OWN], await tables(three.rig.connection)) == []
    assert link not in "".join(capsys.readouterr())


# --- everything of somebody who belongs nowhere is forgotten


async def test_whoever_belongs_nowhere_is_forgotten_with_everything_that_is_theirs(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "viewer", TESTS)
    await join(three.rig, three.c, EVE, "viewer")
    person = await sessions.login(pool, EVE, PASSWORD, None)
    assert person is not None
    refers = await three.rig.connection.fetch(
        "SELECT conrelid::regclass::text, confdeltype::text FROM pg_constraint WHERE confrelid = 'users'::regclass"
    )
    kept = {table for table, action in refers if action == "a"} - {"memberships"}
    source = await three.rig.connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = 'forget_person'")
    forgotten = set(re.findall(r"DELETE FROM public\.(\w+)", source)) - {"users"}
    assert kept == forgotten, "another table that refers to people: ON DELETE CASCADE, or a DELETE in forget_person"
    await users.remove(pool, three.b, person.user, TESTS)
    assert await sessions.login(pool, EVE, PASSWORD, None) is not None, "still of C"
    await users.remove(pool, three.c, person.user, TESTS)
    for table in forgotten:
        assert await three.rig.raw(f"SELECT FROM {table} WHERE user_id = $1::uuid", person.user) == []
    assert await three.rig.raw("SELECT FROM users WHERE email = $1", EVE) == []


async def test_whom_the_previous_release_removed_is_a_newcomer_and_forgotten_by_the_worker(three: Three) -> None:
    pool = three.rig.pool
    for email in (EVE, "ann@example.org"):
        await users.add(pool, three.b, email, GIVEN, "viewer", TESTS)
        await three.rig.raw("DELETE FROM memberships USING users WHERE user_id = id AND email = $1", email)
    await invitations.accept_with_password(pool, await three.invited(three.c), OWN, None)
    assert await sessions.login(pool, EVE, GIVEN, None) is None
    assert await sessions.login(pool, EVE, OWN, None) is not None
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        await maintenance_store.delete_expired(connection)
    assert sorted(row[0] for row in await three.rig.raw("SELECT email FROM users")) == sorted((MALLORY, BOB, EVE))


# --- a password that whoever runs the install chose


async def test_given_password_opens_only_the_form_for_another_and_once(three: Three) -> None:
    await users.add(three.rig.pool, three.b, EVE, GIVEN, "owner", TESTS, must_change=True)
    async with browser(three.rig) as eves, browser(three.rig) as other:
        for each in (eves, other):
            status, text = await each.post("/login", email=EVE, password=GIVEN)
            assert (status, "Choose a password of your own" in text, each.logged_in) == (200, True, False)
            assert "Log in" in (await each.get("/connections"))[1]
        for old, new, status, said in (
            ("wrong", OWN, 401, "is wrong"),
            (GIVEN, "short", 400, "12 to 256 characters"),
            (GIVEN, GIVEN, 400, "Choose another password"),
        ):
            found, text = await eves.post("/login/password", email=EVE, old=old, new=new)
            assert (found, said in text) == (status, True)
        both = await asyncio.gather(
            eves.post("/login/password", email=EVE, old=GIVEN, new=OWN),
            other.post("/login/password", email=EVE, old=GIVEN, new="a password of his own"),
        )
        assert sorted(status for status, _ in both) == [200, 401]
        assert await eves.log_in(EVE, GIVEN) == 401
        assert (await eves.post("/login/password", email=EVE, old=GIVEN, new=OWN))[0] == 401
    assert [action for action, about in await three.noted(three.b) if about == EVE].count("user.password_changed") == 1


async def test_given_password_opens_nothing_for_a_disabled_person(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, GIVEN, "viewer", TESTS, must_change=True)
    assert await users.disable(pool, three.b, EVE, TESTS)
    assert await sessions.login(pool, EVE, GIVEN, None) is None, "nor is she told that it was the right one"
    assert not await sessions.choose_password(pool, EVE, GIVEN, OWN, None)
    assert await sessions.login(pool, EVE, OWN, None) is None


async def test_own_password_is_not_replaced_where_one_that_was_given_is(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "viewer", TESTS)
    assert not await sessions.choose_password(pool, EVE, PASSWORD, OWN, None)
    assert await sessions.login(pool, EVE, PASSWORD, None) is not None


async def test_given_password_counts_as_a_login_where_it_is_guessed(three: Three) -> None:
    await users.add(three.rig.pool, three.b, EVE, GIVEN, "owner", TESTS, must_change=True)
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert not await sessions.choose_password(three.rig.pool, EVE, "wrong", OWN, "203.0.113.9")
    with pytest.raises(login_throttle.TooManyAttemptsError):
        await sessions.choose_password(three.rig.pool, EVE, GIVEN, OWN, "203.0.113.9")
    with pytest.raises(login_throttle.TooManyAttemptsError):
        await sessions.login(three.rig.pool, EVE, GIVEN, "203.0.113.9")


async def test_given_password_ends_with_the_membership_it_was_for_and_takes_nobody_into_another_tenant(
    three: Three,
) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "viewer", TESTS)
    await join(three.rig, three.c, EVE, "viewer")
    await users.add(pool, three.b, EVE, GIVEN, "viewer", TESTS, must_change=True)
    with pytest.raises(PasswordChangeRequiredError):
        await sessions.login(pool, EVE, GIVEN, None)
    eve = await users.find_member(pool, three.b, EVE)
    assert eve is not None
    await users.remove(pool, three.b, eve, TESTS)
    assert await sessions.login(pool, EVE, GIVEN, None) is None
    assert not await sessions.choose_password(pool, EVE, GIVEN, OWN, None)
    for guess in ("", "a password that nobody has"):
        assert await sessions.login(pool, EVE, guess, None) is None
    with pytest.raises(ValidationError, match="for another tenant"):
        await users.add(pool, three.a, EVE, GIVEN, "owner", TESTS, must_change=True)


# --- what a tenant's log says of somebody who belongs to others


async def test_log_of_one_tenant_says_nothing_of_what_a_person_does_at_another(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.a, EVE, PASSWORD, "viewer", TESTS)
    await join(three.rig, three.b, EVE, "owner")
    person = await sessions.login(pool, EVE, PASSWORD, "203.0.113.1")
    assert person is not None
    token = await sessions.switch_tenant(pool, person, three.b, "203.0.113.1")
    there = await sessions.authenticate(pool, token or "")
    assert there is not None
    before = await three.rig.raw("SELECT * FROM audit_log WHERE tenant_id = $1::uuid", three.a)
    assert await sessions.change_password(pool, there, "wrong", OWN, "203.0.113.1") is None
    renewed = await sessions.change_password(pool, there, PASSWORD, OWN, "203.0.113.1")
    assert renewed is not None
    await invitations.invite(pool, three.b, "new@example.org", "viewer", renewed.actor(None), renewed)
    await api_keys.create(
        pool, three.b, "hers", api_keys.DEFAULT_SCOPES, renewed.actor(None), (renewed.user, renewed.role)
    )
    await sessions.logout(pool, renewed, "203.0.113.1")
    await users.remove(pool, three.b, renewed.user, TESTS)
    assert await three.rig.raw("SELECT * FROM audit_log WHERE tenant_id = $1::uuid", three.a) == before
    assert not any("switched" in row["detail"] for row in before), "nor that there is another"
    assert {"user.password_changed", "user.refused", "user.removed"} <= {a for a, _ in await three.noted(three.b)}


# --- what ends with a membership


async def made_key(rig: Rig, person: sessions.Person, name: str, *scopes: str) -> dict[str, str]:
    maker = (person.user, person.role)
    key = await api_keys.create(rig.pool, person.tenant, name, scopes, person.actor(None), maker)
    return {"Authorization": f"Bearer {key}"}


async def answered(rig: Rig, key: dict[str, str], path: str = "/api/connections") -> int:
    return (await rig.api("GET", path, headers=key))[0]


@pytest.mark.parametrize("how", ["remove", "disable", "viewer", "editor"])
async def test_keys_flows_and_invitations_end_with_the_membership_or_the_role_that_made_them(
    three: Three, how: str
) -> None:
    rig, pool = three.rig, three.rig.pool
    await users.add(pool, DEFAULT_TENANT, EVE, PASSWORD, "owner", TESTS)
    await users.add(pool, DEFAULT_TENANT, BOB + ".example", PASSWORD, "owner", TESTS)
    person = await sessions.login(pool, EVE, PASSWORD, None)
    assert person is not None
    reads, writes, audits = [
        await made_key(rig, person, name, *scopes)
        for name, scopes in (
            ("reads", ("connections:read",)),
            ("writes", api_keys.DEFAULT_SCOPES),
            ("audits", ("connections:read", "audit:read")),
        )
    ]
    await invitations.invite(pool, DEFAULT_TENANT, "friend@example.org", "owner", TESTS, person)
    cookie = {"Cookie": f"landfall={person.token}"} | HTML
    form = {"csrf": person.csrf}
    async with rig.http.post(f"{rig.url}/api/auth/tiktok", data=form, headers=cookie) as response:
        own_flow = await rig.sandbox.consent(led_to(await response.text()), account="shop")
    assert isinstance(own_flow, dict)
    consent = await rig.consented("tiktok", key=writes["Authorization"].removeprefix("Bearer "))
    waiting = await rig.consented("facebook", key=writes["Authorization"].removeprefix("Bearer "))
    assert (await rig.back("facebook", waiting))["kind"] == "choose"
    assert any(member.api_keys == 3 for member in await users.list_members(pool, DEFAULT_TENANT))
    if how == "remove":
        ended = await users.remove(pool, DEFAULT_TENANT, person.user, TESTS)
        assert ended is not None
        assert ended.keys == ("audits", "reads", "writes")
    elif how == "disable":
        assert await users.disable(pool, DEFAULT_TENANT, EVE, TESTS)
    else:
        await users.change_role(pool, DEFAULT_TENANT, person.user, how, TESTS)
    expected = {
        "remove": (401, 401, 401),
        "disable": (401, 401, 401),
        "viewer": (200, 401, 401),
        "editor": (200, 200, 401),
    }
    assert (await answered(rig, reads), await answered(rig, writes), await answered(rig, audits)) == expected[how]
    assert await answered(rig, {}) == 200, "a key of whoever runs the install"
    assert await rig.raw("SELECT FROM invitations") == []
    outcome = await rig.back("tiktok", consent)
    assert outcome["ok"] == (how == "editor"), outcome
    assert (await rig.back("tiktok", own_flow))["ok"] == (how == "editor")
    async with rig.http.get(f"{rig.url}/api/auth/facebook/choose", headers={"Accept": "application/json"}) as response:
        assert ((await response.json()).get("kind") == "choose") == (how == "editor")
    assert len(await rig.raw("SELECT FROM connections")) == (how == "editor")
    revoked = await rig.raw("SELECT subject, detail FROM audit_log WHERE action = 'key.revoked' ORDER BY subject")
    assert len(revoked) == {"remove": 3, "disable": 3, "viewer": 2, "editor": 1}[how]
    if how in ("viewer", "editor"):
        await users.change_role(pool, DEFAULT_TENANT, person.user, "owner", TESTS)
        assert await answered(rig, audits) == 401, "and no role brings it back"


async def test_flow_whose_code_is_at_the_platform_while_its_beginner_is_removed_connects_nothing(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = three.rig
    await users.add(rig.pool, DEFAULT_TENANT, EVE, PASSWORD, "owner", TESTS)
    await users.add(rig.pool, DEFAULT_TENANT, "ann@example.org", PASSWORD, "owner", TESTS)
    person = await sessions.login(rig.pool, EVE, PASSWORD, None)
    assert person is not None
    key = await made_key(rig, person, "writes", *api_keys.DEFAULT_SCOPES)
    consent = await rig.consented("tiktok", key=key["Authorization"].removeprefix("Bearer "))
    accounts = rig.built.flows._accounts

    async def removed_meanwhile(*arguments: Any) -> Any:
        found = await accounts(*arguments)
        await users.remove(rig.pool, DEFAULT_TENANT, person.user, TESTS)
        return found

    monkeypatch.setattr(rig.built.flows, "_accounts", removed_meanwhile)
    assert not (await rig.back("tiktok", consent))["ok"]
    assert await rig.raw("SELECT FROM connections") == []


async def test_key_or_invitation_of_whoever_is_removed_at_that_moment_is_not_made(three: Three) -> None:
    pool = three.rig.pool
    await users.add(pool, three.b, EVE, PASSWORD, "owner", TESTS)
    person = await sessions.login(pool, EVE, PASSWORD, None)
    assert person is not None
    await users.change_role(pool, three.b, person.user, "viewer", TESTS)
    with pytest.raises(RoleChangedError):
        await made_key(three.rig, person, "late", *api_keys.DEFAULT_SCOPES)
    await users.remove(pool, three.b, person.user, TESTS)
    with pytest.raises(RoleChangedError):
        await made_key(three.rig, person, "later", *api_keys.DEFAULT_SCOPES)
    with pytest.raises(RoleChangedError):
        await invitations.invite(pool, three.b, "friend@example.org", "owner", TESTS, person)


async def test_page_says_how_many_keys_end_with_a_member(three: Three) -> None:
    await users.add(three.rig.pool, three.b, EVE, PASSWORD, "owner", TESTS)
    person = await sessions.login(three.rig.pool, EVE, PASSWORD, None)
    assert person is not None
    for name in ("one", "two"):
        await made_key(three.rig, person, name, *api_keys.DEFAULT_SCOPES)
    async with browser(three.rig) as bobs:
        await bobs.log_in(BOB)
        _, text = await bobs.get("/people")
        assert ("ends 2 API keys" in text, f"<td>{EVE}</td>" in text) == (True, True)


# --- which passwords are taken


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("password1234", "one of the common ones"),
        ("PASSWORD1234", "one of the common ones"),
        ("qwertyuiop123", "one of the common ones"),
        ("correcthorsebatterystaple", "one of the common ones"),
        ("ada.lovelace@example.org", "cannot contain 'ada.lovelace@example.org'"),
        ("many LOVELACE horses", "cannot contain 'lovelace'"),
        ("an example of a horse", "cannot contain 'example'"),
        ("my LandFall password", "cannot contain the name Landfall"),
        ("x" * 257, "12 to 256 characters"),
        ("elevenchars", "12 to 256 characters"),
    ],
)
async def test_password_that_others_guess_first_is_refused_by_the_name_of_the_rule(
    three: Three, password: str, said: str
) -> None:
    email = "ada.lovelace@example.org"
    with pytest.raises(ValidationError, match=re.escape(said)):
        await users.add(three.rig.pool, three.b, email, password, "owner", TESTS)
    link = await three.invited(three.b, email)
    with pytest.raises(ValidationError, match=re.escape(said)):
        await invitations.accept_with_password(three.rig.pool, link, password, None)
    await users.add(three.rig.pool, three.b, email, PASSWORD, "owner", TESTS)
    person = await sessions.login(three.rig.pool, email, PASSWORD, None)
    assert person is not None
    with pytest.raises(ValidationError, match=re.escape(said)):
        await sessions.change_password(three.rig.pool, person, PASSWORD, password, None)


async def test_password_is_compared_to_its_last_byte(three: Three) -> None:
    longest = "\N{SNOWMAN}" * 255
    await users.add(three.rig.pool, three.b, EVE, longest + "a", "owner", TESTS)
    assert await sessions.login(three.rig.pool, EVE, longest + "b", None) is None
    assert await sessions.login(three.rig.pool, EVE, longest + "a", None) is not None


# --- by mail


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    found = SmtpServer()
    async with found.open():
        yield found


async def test_link_that_is_mailed_is_seen_by_nobody_else_and_a_mail_that_fails_is_told(
    three: Three, smtp: SmtpServer
) -> None:
    app = web.Application()
    mailer = Mailer(MailServer.of(f"smtp://127.0.0.1:{smtp.port}"), "landfall@example.org")
    add_pages(app, three.rig.pool, three.rig.built, mailer=mailer)
    server = TestServer(app)
    await server.start_server()
    async with browser(three.rig, str(server.make_url("")).rstrip("/")) as bobs:
        await bobs.log_in(BOB)
        csrf = await bobs.csrf("/people")
        status, text = await bobs.post("/people", csrf=csrf, email=EVE, role="editor")
        assert (status, "was sent the link" in text, "link=" in text) == (200, True, False)
        [mail] = smtp.received
        assert mail.to == EVE
        assert f"{BOB} invites you to Bees, as editor" in mail.text
        [link] = re.findall(r"/invitation\?link=([\w-]{43})", mail.text)
        smtp.refuses.add(EVE)
        [id_] = re.findall(r"/people/invitations/([\w-]+)/renew", text)
        status, text = await bobs.post(f"/people/invitations/{id_}/renew", csrf=csrf)
        assert (status, "could not be sent" in text, "link=" in text) == (502, True, False)
        assert "canary-of-the-server" not in text
        assert await invitations.open_link(three.rig.pool, link) is None
        smtp.refuses.clear()
        assert (await bobs.post(f"/people/invitations/{id_}/renew", csrf=csrf))[0] == 200
        [link] = re.findall(r"/invitation\?link=([\w-]{43})", smtp.received[-1].text)
        await invitations.accept_with_password(three.rig.pool, link, OWN, None)
    await server.close()
    assert (await three.members(three.b))[EVE] == "editor"
