"""Sessions: logging in, switching tenants, a new password, and the end of each.

A session is kept as a digest, belongs to one tenant, and gets a new id whenever what it stands for changes.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ops.runtime.db import Pool
from publish import passwords, people, store
from publish.keys import Caller
from publish.store import EVERYBODY, Actor

HOURS = 12
WINDOW_MINUTES, TRIES_BY_EMAIL, TRIES_BY_ADDRESS = 15, 5, 30


class Throttled(Exception):  # noqa: N818  an answer
    """Too many wrong passwords; wait for :data:`WINDOW_MINUTES`."""


def csrf_of(token: str) -> str:
    """What a form must hold: whoever only makes the browser send the cookie does not know it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a session at ``tenant``; ``tenants`` are all of theirs, each an id and a name, the first first."""

    tenant: str
    user: str
    email: str
    role: str
    tenants: Sequence[tuple[str, str]]
    token: str

    def may(self, scope: str) -> bool:
        return scope in people.SCOPES[self.role]

    def actor(self, address: str | None) -> Actor:
        return Actor(f"user:{self.email}", address)

    def caller(self, address: str | None) -> Caller:
        return Caller(self.tenant, self.actor(address), people.SCOPES[self.role])

    @property
    def csrf(self) -> str:
        return csrf_of(self.token)


async def login(pool: Pool, email: str, password: str, address: str | None) -> Person | None:
    """A new session at the person's first tenant; None for a wrong pair. Raises Wrong, Throttled, Busy."""
    people.possible(password)
    email = email.strip().lower()
    with passwords.line():
        await _insist_calm(pool, email, address)
        async with store.acting(pool, EVERYBODY) as connection:
            row = await connection.fetchrow(
                """
                SELECT u.id::text, u.password_hash, m.tenant_id::text
                FROM users u JOIN memberships m ON m.user_id = u.id
                WHERE u.email = $1 AND u.disabled_at IS NULL ORDER BY m.created_at, m.tenant_id LIMIT 1""",
                email,
            )
        kept = row["password_hash"] if row else None
        renewed = await passwords.verified(password, kept)
    if row is None or renewed is None:
        await _failed(pool, email, address)
        return None
    async with store.acting(pool, row["tenant_id"]) as connection:
        if renewed != kept:  # and only in the place of that one: a new password may have been set meanwhile
            await connection.execute(
                "UPDATE users SET password_hash = $2 WHERE id = $1::uuid AND password_hash = $3",
                row["id"],
                renewed,
                kept,
            )
        await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1", _who(email, address)[0][0])
        token = await _begun(connection, row["tenant_id"], row["id"], address)
        await store.audit(connection, row["tenant_id"], Actor(f"user:{email}", address), "user.logged_in", email)
    return await person(pool, token)


async def person(pool: Pool, token: str) -> Person | None:
    """Whose session it is; None for one that ended."""
    if not token:
        return None
    async with store.acting(pool, EVERYBODY) as connection:
        row = await connection.fetchrow(
            """
            SELECT s.tenant_id::text, s.user_id::text, u.email, m.role, array(
                SELECT t.id::text || ' ' || t.name FROM memberships o JOIN tenants t ON t.id = o.tenant_id
                WHERE o.user_id = s.user_id ORDER BY o.created_at, t.id) AS tenants
            FROM sessions s
            JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
            JOIN memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
            WHERE s.session_sha256 = $1 AND s.expires_at > now()""",
            _digest(token),
        )
    if row is None:
        return None
    tenants = [(id_, name) for id_, _, name in (found.partition(" ") for found in row["tenants"])]
    return Person(row["tenant_id"], row["user_id"], row["email"], row["role"], tenants, token)


async def switch(pool: Pool, gone: Person, tenant: str, address: str | None) -> str | None:
    """A session at another of the person's tenants in place of this one; None where it is none of theirs."""
    if tenant not in [id_ for id_, _ in gone.tenants]:
        return None
    async with store.acting(pool, EVERYBODY) as connection:
        await _ended(connection, gone, address, switched=True)
        token = await _begun(connection, tenant, gone.user, address)
        await store.audit(connection, tenant, gone.actor(address), "user.logged_in", gone.email, switched=True)
    return token


async def change_password(pool: Pool, own: Person, old: str, new: str, address: str | None) -> str | None:
    """A new session in place of all there were; None for a wrong old password. Raises Wrong, Throttled, Busy."""
    people.possible(old)
    new = people.strong(new)
    with passwords.line():
        await _insist_calm(pool, own.email, address)
        async with store.acting(pool, EVERYBODY) as connection:
            kept = await connection.fetchval("SELECT password_hash FROM users WHERE id = $1::uuid", own.user)
        right = await passwords.verified(old, kept) is not None
        hashed = await passwords.hashed(new) if right else ""
    if not right:
        await _failed(pool, own.email, address)
        return None
    async with store.acting(pool, EVERYBODY) as connection:
        await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1::uuid", own.user, hashed)
        await connection.execute("DELETE FROM sessions WHERE user_id = $1::uuid", own.user)
        await people.note(connection, own.user, own.actor(address), "user.password_changed", own.email)
        return await _begun(connection, own.tenant, own.user, address)


async def logout(pool: Pool, gone: Person, address: str | None) -> None:
    async with store.acting(pool, gone.tenant) as connection:
        await _ended(connection, gone, address)


async def _begun(connection: asyncpg.Connection, tenant: str, user: str, address: str | None) -> str:
    """The token of a new session."""
    token = secrets.token_urlsafe(32)
    await connection.execute(
        """
        INSERT INTO sessions (tenant_id, session_sha256, user_id, address, expires_at)
        VALUES ($1::uuid, $2, $3::uuid, $4::inet, now() + make_interval(hours => $5))""",
        tenant,
        _digest(token),
        user,
        address,
        HOURS,
    )
    return token


async def _ended(connection: asyncpg.Connection, gone: Person, address: str | None, **detail: bool) -> None:
    await connection.execute("DELETE FROM sessions WHERE session_sha256 = $1", _digest(gone.token))
    await store.audit(connection, gone.tenant, gone.actor(address), "user.logged_out", gone.email, **detail)


# --- wrong passwords


def _who(email: str, address: str | None) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    """Whose failures are counted, and how many of each are too many."""
    return (_digest(f"email:{email}"), TRIES_BY_EMAIL), (_digest(f"address:{address}"), TRIES_BY_ADDRESS)


async def _insist_calm(pool: Pool, email: str, address: str | None) -> None:
    """Raises Throttled."""
    async with store.acting(pool, EVERYBODY) as connection:
        for who, limit in _who(email, address):
            if await _failures(connection, who) >= limit:
                raise Throttled


async def _failed(pool: Pool, email: str, address: str | None) -> None:
    """Count a wrong password, and say it, if it is anybody's; the one that was too many is said once."""
    actor, throttled = Actor(f"user:{email}", address), False
    async with store.acting(pool, EVERYBODY) as connection:
        for who, limit in _who(email, address):
            # One after the other, so that exactly one of those that come at once is the one too many.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(who[:8], "big", signed=True))
            await connection.execute("INSERT INTO login_failures (who_sha256) VALUES ($1)", who)
            throttled |= await _failures(connection, who) == limit
        user = await connection.fetchval("SELECT id::text FROM users WHERE email = $1", email)
        if user is not None:
            await people.note(connection, user, actor, "user.refused", email)
            if throttled:
                await people.note(connection, user, actor, "user.throttled", email)


async def _failures(connection: asyncpg.Connection, who: bytes) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM login_failures WHERE who_sha256 = $1 AND failed_at > now() - make_interval(mins => $2)",
        who,
        WINDOW_MINUTES,
    )
    return count


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
