"""People: passwords, sessions, and what each role may do."""

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import asyncpg
import uuid_utils
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ops.runtime.db import Pool
from publish import keys, store
from publish.keys import Caller
from publish.store import EVERYBODY, Actor

SESSION_HOURS = 12
WINDOW_MINUTES, TRIES_BY_EMAIL, TRIES_BY_ADDRESS = 15, 5, 30
SHORTEST, LONGEST = 12, 256
"""Of a password, in characters."""

SCOPES = {"owner": keys.SCOPES, "editor": keys.SCOPES, "viewer": ("connections:read",)}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("a password that nobody has")
"""Verified where there is no such person, so that the time it takes tells nothing."""


class Throttled(Exception):  # noqa: N818  an answer
    """Too many wrong passwords; wait for :data:`WINDOW_MINUTES`."""


class Wrong(Exception):  # noqa: N818  an answer
    """What was given cannot be taken; the text says why."""


def csrf_of(token: str) -> str:
    """What a form must hold: whoever only makes the browser send the cookie does not know it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Person:
    tenant: str
    user: str
    email: str
    role: str
    token: str

    def caller(self, address: str | None) -> Caller:
        return Caller(self.tenant, Actor(f"user:{self.email}", address), SCOPES[self.role])

    @property
    def csrf(self) -> str:
        return csrf_of(self.token)


async def add(pool: Pool, tenant: str, email: str, password: str, role: str, actor: Actor) -> None:
    """Make a person, or give one a new password and role; that ends their sessions. Raises Wrong."""
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise Wrong(f"{email!r} is no email address")
    if not SHORTEST <= len(password) <= LONGEST:
        raise Wrong(f"a password has {SHORTEST} to {LONGEST} characters")
    if role not in SCOPES:
        raise Wrong(f"a role is one of {', '.join(SCOPES)}")
    hashed = await asyncio.to_thread(_hasher.hash, password)
    async with store.acting(pool, tenant) as connection:
        user = await connection.fetchval(
            """
            INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $2, $3)
            ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, disabled_at = NULL
            RETURNING id::text""",
            str(uuid_utils.uuid7()),
            email,
            hashed,
        )
        await connection.execute(
            """
            INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1::uuid, $2::uuid, $3)
            ON CONFLICT (tenant_id, user_id) DO UPDATE SET role = excluded.role""",
            tenant,
            user,
            role,
        )
        await connection.execute("DELETE FROM sessions WHERE user_id = $1::uuid", user)
        await store.audit(connection, tenant, actor, "user.set", email, role=role)


async def disable(pool: Pool, tenant: str, email: str, actor: Actor) -> bool:
    """Shut a person out, at once. False where there is none."""
    async with store.acting(pool, tenant) as connection:
        user = await connection.fetchval(
            """
            UPDATE users SET disabled_at = now() WHERE email = $1 AND disabled_at IS NULL
                AND id IN (SELECT user_id FROM memberships) RETURNING id::text""",
            email.strip().lower(),
        )
        if user is not None:
            await connection.execute("DELETE FROM sessions WHERE user_id = $1::uuid", user)
            await store.audit(connection, tenant, actor, "user.disabled", email.strip().lower())
    return user is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    async with store.acting(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT email, role, disabled_at FROM users JOIN memberships ON user_id = id ORDER BY email"
        )
    return found


async def login(pool: Pool, email: str, password: str, address: str | None) -> Person | None:
    """A new session; None for a wrong pair. Raises Throttled."""
    email = email.strip().lower()
    who = [_digest(f"email:{email}"), _digest(f"address:{address}")]
    async with store.acting(pool, EVERYBODY) as connection:
        limits = zip(who, (TRIES_BY_EMAIL, TRIES_BY_ADDRESS), strict=True)
        for key, limit in limits:
            if await _failures(connection, key) >= limit:
                raise Throttled
        row = await connection.fetchrow(
            """
            SELECT u.id::text, u.password_hash, m.tenant_id::text, m.role FROM users u
            JOIN memberships m ON m.user_id = u.id
            WHERE u.email = $1 AND u.disabled_at IS NULL ORDER BY m.created_at LIMIT 1""",
            email,
        )
    right = await asyncio.to_thread(_matches, row["password_hash"] if row else _NOBODY, password[:LONGEST])
    if row is None or not right:
        async with store.acting(pool, EVERYBODY) as connection:
            await connection.executemany("INSERT INTO login_failures (who_sha256) VALUES ($1)", [(key,) for key in who])
            if row is not None:
                await store.audit(connection, row["tenant_id"], Actor(f"user:{email}", address), "user.refused", email)
        return None
    token = secrets.token_urlsafe(32)
    async with store.acting(pool, row["tenant_id"]) as connection:
        await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1", who[0])
        await connection.execute(
            """
            INSERT INTO sessions (tenant_id, session_sha256, user_id, address, expires_at)
            VALUES ($1::uuid, $2, $3::uuid, $4::inet, now() + make_interval(hours => $5))""",
            row["tenant_id"],
            _digest(token),
            row["id"],
            address,
            SESSION_HOURS,
        )
        await store.audit(connection, row["tenant_id"], Actor(f"user:{email}", address), "user.logged_in", email)
    return Person(row["tenant_id"], row["id"], email, row["role"], token)


async def _failures(connection: asyncpg.Connection, who: bytes) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM login_failures WHERE who_sha256 = $1 AND failed_at > now() - make_interval(mins => $2)",
        who,
        WINDOW_MINUTES,
    )
    return count


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


async def person(pool: Pool, token: str) -> Person | None:
    """Whose session it is; None for one that ended."""
    if not token:
        return None
    async with store.acting(pool, EVERYBODY) as connection:
        row = await connection.fetchrow(
            """
            SELECT s.tenant_id::text, s.user_id::text, u.email, m.role FROM sessions s
            JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
            JOIN memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
            WHERE s.session_sha256 = $1 AND s.expires_at > now()""",
            _digest(token),
        )
    return None if row is None else Person(row[0], row[1], row[2], row[3], token)


async def logout(pool: Pool, gone: Person) -> None:
    async with store.acting(pool, gone.tenant) as connection:
        await connection.execute("DELETE FROM sessions WHERE session_sha256 = $1", _digest(gone.token))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
