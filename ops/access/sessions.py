"""Sessions: log in, switch tenants, change the password, and end each.

A session is kept as a digest, belongs to one tenant, and gets a new token whenever what it stands for changes. It ends
:data:`HOURS` after the login, earlier when nobody uses it, and, if it began with a password alone, with the first
second factor that its user adds.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import asyncpg

from ops.access import (
    device_store,
    login_throttle,
    membership_store,
    passwords,
    pending_login_store,
    pending_logins,
    second_factor_store,
    session_store,
    user_store,
    users,
)
from ops.access.api_keys import Caller
from ops.access.audit_log_store import Actor, audit
from ops.access.errors import ValidationError
from ops.access.login_throttle import CountedAttempt
from ops.access.pending_logins import PendingLogin, PendingLoginEndedError
from ops.access.session_store import ListedSession
from ops.access.tokens import digest, new_token
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, other_tenant, set_tenant, tenant_transaction

HOURS = 12
"""A session ends so long after the login, however much it is used."""

IDLE_MINUTES = 120
"""Without a request, where nothing else is configured (``LANDFALL_SESSION_IDLE_MINUTES``)."""

RECORDED_SECONDS = 60
"""The use of a session is written at most once in this time, so that reading pages is not writing."""


class PasswordChangeRequiredError(Exception):
    """Raised for a right password that somebody else chose: it only lets the user choose another one."""


def csrf_token(token: str) -> str:
    """Return what a form must hold: whoever only makes the browser send the cookie does not know it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a session at ``tenant``. ``tenants`` are all of theirs, each an id and a name, the first one first.

    ``device`` is what the browser has to keep, known only when they just logged in. ``second_factor`` says whether the
    session began with one, ``must_add_factor`` that it does nothing until the user has one.
    """

    tenant: str
    user: str
    email: str
    role: str
    tenants: Sequence[tuple[str, str]]
    token: str
    device: str = ""
    second_factor: bool = False
    browser: str = ""
    must_add_factor: bool = False

    @property
    def scopes(self) -> Sequence[str]:
        return () if self.must_add_factor else users.SCOPES[self.role]

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def actor(self, address: str | None) -> Actor:
        return Actor(f"user:{self.email}", address)

    def caller(self, address: str | None) -> Caller:
        return Caller(self.tenant, self.actor(address), self.scopes)

    @property
    def csrf(self) -> str:
        return csrf_token(self.token)


async def login(
    pool: Pool, email: str, password: str, address: str | None, device: str = "", browser: str = "", replaced: str = ""
) -> Person | PendingLogin | None:
    """Begin a session at the user's first tenant, or the second step for a user with a second factor.

    None for a wrong pair. Raises ValidationError, TooManyAttemptsError, OverloadedError, PasswordChangeRequiredError.

    ``device`` is what the browser was given by an earlier login: one of this user has a count of failures of its own,
    so that strangers cannot lock the user out of it. ``browser`` is its name, and ``replaced`` the token of the session
    that it had, which ends.
    """
    users.validate_password_length(password)
    email = email.strip().lower()
    with passwords.hashing_slot():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            found = await user_store.credentials(connection, email)
            tenants = await membership_store.tenants_of(connection, found.user) if found else []
            found = found if tenants else None
            known = found is not None and await device_store.is_known(connection, found.user, digest(device))
            limits = login_throttle.login_limits(email, address, device if known else "")
            attempt = await login_throttle.count_attempt(connection, limits)
        stored = found.password_hash if found else None
        renewed = await passwords.verify_password(password, stored)
    if found is None or stored is None or renewed is None:
        await _record_failure(pool, email, address, attempt)
        return None
    if found.chosen_by is not None:
        async with tenant_transaction(pool, NO_TENANT) as connection:
            await login_throttle.forgive(connection, attempt)
        raise PasswordChangeRequiredError
    async with tenant_transaction(pool, tenants[0]) as connection:
        # Hashing took a while: whoever set a new password meanwhile, or disabled the user, ended this login too.
        if not await user_store.lock_if_password_is(connection, found.user, [stored, renewed]):
            return None
        if renewed != stored:
            await user_store.upgrade_hash(connection, found.user, stored, renewed)
        if await second_factor_store.has_factor(connection, found.user):
            # Codes that were wrong before go on counting: the password alone buys no new guesses.
            await login_throttle.withdraw(connection, attempt)
            return await pending_logins.begin(connection, found.user)
        await login_throttle.forgive(connection, attempt)
        await _end_replaced(connection, replaced, address)
        device = await _remember_device(connection, found.user, device if known else "")
        token = await _begin(connection, tenants[0], found.user, address, browser)
        await audit(connection, tenants[0], Actor(f"user:{email}", address), "user.logged_in", email)
    person = await authenticate(pool, token)
    return person and replace(person, device=device)


VerifyFactor = Callable[[asyncpg.Connection, str], Awaitable[str | None]]
"""Checks what the user with this id gave as a second factor. Returns its kind if it was right, which spends it."""


async def login_with_factor(
    pool: Pool,
    pending: str,
    verify: VerifyFactor,
    address: str | None,
    device: str = "",
    browser: str = "",
    replaced: str = "",
) -> Person | None:
    """Take the second step: begin a session in place of a pending login. None for a wrong factor.

    A wrong one counts as a wrong password does. Raises PendingLoginEndedError, TooManyAttemptsError.
    """
    async with tenant_transaction(pool, NO_TENANT) as connection:
        tried = await pending_logins.count_attempt(connection, pending)
        known = await device_store.is_known(connection, tried.user, digest(device))
        limits = login_throttle.login_limits(tried.email, address, device if known else "")
        attempt = await login_throttle.count_attempt(connection, limits)
    actor = Actor(f"user:{tried.email}", address)
    async with tenant_transaction(pool, NO_TENANT) as connection:
        kind = await verify(connection, tried.user)
        if kind is not None:
            # Of parallel requests one finishes it; the others take back what they spent.
            await pending_logins.finish(connection, pending)
            tenant = await _first_tenant(connection, tried.user)
            await set_tenant(connection, tenant)
            await login_throttle.forgive(connection, attempt)
            await _end_replaced(connection, replaced, address)
            device = await _remember_device(connection, tried.user, device if known else "")
            token = await _begin(connection, tenant, tried.user, address, browser, second_factor=True)
            await audit(connection, tenant, actor, "user.logged_in", tried.email, second_factor=kind)
        elif tried.last:
            await pending_logins.end(connection, pending)
    if kind is None:
        await _record_failure(pool, tried.email, address, attempt)
        return None
    person = await authenticate(pool, token)
    return person and replace(person, device=device)


async def _first_tenant(connection: asyncpg.Connection, user: str) -> str:
    """Raises PendingLoginEndedError for a user who belongs nowhere any more."""
    tenants = await membership_store.tenants_of(connection, user)
    if not tenants:
        raise PendingLoginEndedError
    return tenants[0]


async def authenticate(pool: Pool, token: str, idle_minutes: int = IDLE_MINUTES) -> Person | None:
    """Return whose session it is and record that it is in use. None for one that ended."""
    if not token:
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        if await session_store.enter_tenant(connection, digest(token)) is None:
            return None
        found = await session_store.find_active(connection, digest(token), idle_minutes, RECORDED_SECONDS)
        if found is not None and found.use_unrecorded:
            await session_store.record_use(connection, digest(token), RECORDED_SECONDS)
    if found is None:
        return None
    return Person(
        found.tenant,
        found.user,
        found.email,
        found.role,
        found.tenants,
        token,
        second_factor=found.second_factor,
        browser=found.browser,
    )


async def list_sessions(pool: Pool, own: Person, idle_minutes: int = IDLE_MINUTES) -> list[ListedSession]:
    """Return the sessions of a user at every tenant: the one that asks first, then the last used."""
    found: list[ListedSession] = []
    async with tenant_transaction(pool, NO_TENANT) as connection:
        for tenant in await session_store.tenants_of(connection, own.user):
            await set_tenant(connection, tenant)
            found += await session_store.list_active(connection, own.user, digest(own.token), idle_minutes)
    return sorted(found, key=attrgetter("current", "last_used_at"), reverse=True)


async def end_session(pool: Pool, own: Person, id_: str, address: str | None) -> bool:
    """End one session of the same user. Return False if they have none of this id."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        for tenant in await session_store.tenants_of(connection, own.user):
            await set_tenant(connection, tenant)
            if await session_store.delete_by_id(connection, own.user, id_):
                await audit(connection, tenant, own.actor(address), "user.session_ended", own.email)
                return True
    return False


async def end_other_sessions(pool: Pool, own: Person, address: str | None) -> int:
    """End every session of the user but this one, and their pending logins. Return how many sessions."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await _end_others(connection, own, address)


async def _end_others(connection: asyncpg.Connection, own: Person, address: str | None) -> int:
    await pending_login_store.delete_all_of(connection, own.user)
    total = 0
    for tenant in await session_store.tenants_of(connection, own.user):
        async with other_tenant(connection, tenant):
            count = await session_store.delete_others(connection, own.user, digest(own.token))
            for _ in range(count):
                await audit(connection, tenant, own.actor(address), "user.session_ended", own.email)
            total += count
    return total


async def mark_second_factor(connection: asyncpg.Connection, own: Person, address: str | None) -> None:
    """Record that this session has proven a second factor, and end the others, which began with the password alone.

    The transaction is for the session's tenant.
    """
    await session_store.mark_second_factor(connection, digest(own.token))
    if not own.second_factor:
        await _end_others(connection, own, address)


async def switch_tenant(pool: Pool, old: Person, tenant: str, address: str | None) -> str | None:
    """Go on with a session at another of the user's tenants. Return its new token, or None if it is none of theirs."""
    if tenant not in [id_ for id_, _ in old.tenants]:
        return None
    token = new_token()
    async with tenant_transaction(pool, old.tenant) as connection:
        # It goes on being one session: it ends when it would have ended, and wrong passwords in it go on counting.
        moved = await session_store.take(connection, digest(old.token))
        await audit(connection, old.tenant, old.actor(address), "user.logged_out", old.email)
        await login_throttle.move_session(connection, old.token, token)
        await set_tenant(connection, tenant)
        if moved is not None:
            await session_store.insert_moved(connection, tenant, digest(token), address, moved)
        await audit(connection, tenant, old.actor(address), "user.logged_in", old.email)
    return token


async def change_password(pool: Pool, own: Person, current: str, new: str, address: str | None) -> Person | None:
    """Change the password and begin a session in place of all there were. None for a wrong current password.

    Wrong ones count for the session, which no stranger has. Only the audit log of the session's tenant records it.
    Raises ValidationError, TooManyAttemptsError, OverloadedError.
    """
    users.validate_password_length(current)
    new = users.validate_new_password(new, own.email)
    stored = await confirm_password(pool, own, current, address)
    if stored is None:
        return None
    with passwords.hashing_slot():
        new_hash = await passwords.hash_password(new)
    async with tenant_transaction(pool, own.tenant) as connection:
        if not await user_store.replace_password(connection, own.user, stored, new_hash):
            return None
        await users.end_sessions(connection, own.user)
        await audit(connection, own.tenant, own.actor(address), "user.password_changed", own.email)
        device = await _remember_device(connection, own.user, "")
        token = await _begin(connection, own.tenant, own.user, address, own.browser, second_factor=own.second_factor)
    person = await authenticate(pool, token)
    return person and replace(person, device=device)


async def choose_password(pool: Pool, email: str, given: str, new: str, address: str | None) -> bool:
    """Replace a password that somebody else chose, which works this once, by one that the user chooses.

    Return False for a wrong pair, or if no password was chosen for the user. Raises ValidationError,
    TooManyAttemptsError, OverloadedError.
    """
    users.validate_password_length(given)
    email = email.strip().lower()
    new = users.validate_new_password(new, email)
    if passwords.has_normal_form(given, new):
        raise ValidationError("choose another password than the one you were given")
    with passwords.hashing_slot():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            found = await user_store.credentials(connection, email)
            attempt = await login_throttle.count_attempt(connection, login_throttle.login_limits(email, address, ""))
        tenant = found.chosen_by if found else None
        stored = found.password_hash if found and tenant is not None else None
        right = await passwords.verify_password(given, stored) is not None
        new_hash = await passwords.hash_password(new) if right else ""
    if found is None or stored is None or tenant is None or not right:
        await _record_failure(pool, email, address, attempt, tenant)
        return False
    async with tenant_transaction(pool, tenant) as connection:
        if not await user_store.replace_password(connection, found.user, stored, new_hash):
            return False
        await login_throttle.forgive(connection, attempt)
        await audit(connection, tenant, Actor(f"user:{email}", address), "user.password_changed", email)
    return True


async def confirm_password(pool: Pool, own: Person, password: str, address: str | None) -> str | None:
    """Return the hash of the password if somebody with a session knows it too, else None.

    Wrong ones count for the session, which no stranger has. Raises ValidationError, TooManyAttemptsError,
    OverloadedError.
    """
    users.validate_password_length(password)
    with passwords.hashing_slot():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            attempt = await login_throttle.count_attempt(connection, login_throttle.session_limits(own.token))
            stored = await user_store.password_hash(connection, own.user)
        right = await passwords.verify_password(password, stored) is not None
    if not right:
        await _record_failure(pool, own.email, address, attempt, own.tenant)
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        await login_throttle.forgive(connection, attempt)
    return stored


async def logout(pool: Pool, old: Person, address: str | None) -> None:
    async with tenant_transaction(pool, old.tenant) as connection:
        await session_store.delete(connection, digest(old.token))
        await audit(connection, old.tenant, old.actor(address), "user.logged_out", old.email)


async def _begin(
    connection: asyncpg.Connection,
    tenant: str,
    user: str,
    address: str | None,
    browser: str = "",
    *,
    second_factor: bool = False,
) -> str:
    """Begin a session. Return its token."""
    token = new_token()
    await session_store.insert(
        connection, tenant, user, digest(token), address, hours=HOURS, browser=browser, second_factor=second_factor
    )
    return token


async def _end_replaced(connection: asyncpg.Connection, token: str, address: str | None) -> None:
    """End the session that was there in a browser that logs in again, whoever's it was; empty for none."""
    tenant = await session_store.find_tenant(connection, digest(token))
    if tenant is None:
        return
    async with other_tenant(connection, tenant):
        email = await session_store.delete(connection, digest(token))
        if email is not None:
            await audit(connection, tenant, Actor(f"user:{email}", address), "user.logged_out", email, replaced=True)


async def _remember_device(connection: asyncpg.Connection, user: str, device: str) -> str:
    """Return what the browser has to keep: ``device``, or a new token where that is empty."""
    device = device or new_token()
    await device_store.remember(connection, user, digest(device))
    return device


async def _record_failure(
    pool: Pool, email: str, address: str | None, attempt: CountedAttempt, tenant: str | None = None
) -> None:
    """Record that a password or code of a user was wrong, and that it was the last attempt allowed.

    In the audit log of ``tenant`` alone if it was tried there. Somebody who is not logged in is at no tenant, and every
    tenant that the password opens is told.
    """
    actor = Actor(f"user:{email}", address)
    actions = ["user.refused", "user.throttled"] if attempt.last else ["user.refused"]
    if tenant is not None:
        async with tenant_transaction(pool, tenant) as connection:
            for action in actions:
                await audit(connection, tenant, actor, action, email)
        return
    async with tenant_transaction(pool, NO_TENANT) as connection:
        user = await user_store.find(connection, email)
        if user is None:
            return
        for action in actions:
            await users.audit_at_all_tenants(connection, user, actor, action, email)
