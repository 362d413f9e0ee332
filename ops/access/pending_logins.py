"""Pending logins: somebody gave the right password and has yet to give a second factor.

One is kept as a digest, opens nothing but the second step, and is held by the browser that gave the password alone.
"""

import hashlib
import secrets
from dataclasses import dataclass

import asyncpg

MINUTES, TRIES = 5, 5
"""How long one lives, and how many codes may be tried with it."""


class Ended(Exception):  # noqa: N818  an answer
    """There is no such pending login any more: the person logs in from the beginning."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The next step of a login, which is not done yet."""

    token: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a second factor; ``last`` says that no other is allowed with this pending login."""

    user: str
    email: str
    last: bool


async def begin(connection: asyncpg.Connection, user: str) -> Pending:
    token = secrets.token_urlsafe(32)
    await connection.execute(
        """
        INSERT INTO pending_logins (token_sha256, user_id, expires_at)
        VALUES ($1, $2::uuid, now() + make_interval(mins => $3))""",
        _digest(token),
        user,
        MINUTES,
    )
    return Pending(token)


async def user_of(connection: asyncpg.Connection, token: str) -> str | None:
    """Who is logging in; None for a pending login that ended."""
    user: str | None = await connection.fetchval(
        """
        SELECT p.user_id::text FROM pending_logins p JOIN users u ON u.id = p.user_id AND u.disabled_at IS NULL
        WHERE p.token_sha256 = $1 AND p.expires_at > now() AND p.tries < $2""",
        _digest(token),
        TRIES,
    )
    return user


async def attempt(connection: asyncpg.Connection, token: str) -> Attempt:
    """Count a try before it is looked at, so that of those that come at once no more are than allowed. Raises Ended."""
    row = await connection.fetchrow(
        """
        UPDATE pending_logins p SET tries = tries + 1 FROM users u
        WHERE p.token_sha256 = $1 AND p.expires_at > now() AND p.tries < $2 AND u.id = p.user_id
            AND u.disabled_at IS NULL
        RETURNING p.user_id::text, u.email, p.tries""",
        _digest(token),
        TRIES,
    )
    if row is None:
        raise Ended
    return Attempt(row["user_id"], row["email"], row["tries"] >= TRIES)


async def finish(connection: asyncpg.Connection, token: str) -> None:
    """End it for the one who proved the factor. Raises Ended where another request was first, or time is up."""
    done = await connection.fetchval(
        "DELETE FROM pending_logins WHERE token_sha256 = $1 AND expires_at > now() RETURNING true", _digest(token)
    )
    if not done:
        raise Ended


async def end(connection: asyncpg.Connection, token: str) -> None:
    await connection.execute("DELETE FROM pending_logins WHERE token_sha256 = $1", _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
