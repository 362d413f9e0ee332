"""Pending logins: insert, look up, count attempts, and delete. A token is kept as a digest."""

from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """``attempts`` is how many there were, with this one."""

    user: str
    email: str
    attempts: int


async def insert(connection: asyncpg.Connection, digest: bytes, user: str, minutes: int) -> None:
    await connection.execute(
        """
        INSERT INTO pending_logins (token_sha256, user_id, expires_at)
        VALUES ($1, $2::uuid, now() + make_interval(mins => $3))""",
        digest,
        user,
        minutes,
    )


async def find_user(connection: asyncpg.Connection, digest: bytes, max_attempts: int) -> str | None:
    """Return the id of the user who is logging in, or None if the pending login ended."""
    user: str | None = await connection.fetchval(
        """
        SELECT p.user_id::text FROM pending_logins p JOIN users u ON u.id = p.user_id AND u.disabled_at IS NULL
        WHERE p.token_sha256 = $1 AND p.expires_at > now() AND p.tries < $2""",
        digest,
        max_attempts,
    )
    return user


async def count_attempt(connection: asyncpg.Connection, digest: bytes, max_attempts: int) -> CountedAttempt | None:
    """Count an attempt, or return None if the pending login ended."""
    row = await connection.fetchrow(
        """
        UPDATE pending_logins p SET tries = tries + 1 FROM users u
        WHERE p.token_sha256 = $1 AND p.expires_at > now() AND p.tries < $2 AND u.id = p.user_id
            AND u.disabled_at IS NULL
        RETURNING p.user_id::text, u.email, p.tries""",
        digest,
        max_attempts,
    )
    return None if row is None else CountedAttempt(*row)


async def take(connection: asyncpg.Connection, digest: bytes) -> bool:
    """Delete a pending login. Return whether it was there and had not expired."""
    taken: bool | None = await connection.fetchval(
        "DELETE FROM pending_logins WHERE token_sha256 = $1 AND expires_at > now() RETURNING true", digest
    )
    return taken is not None


async def delete(connection: asyncpg.Connection, digest: bytes) -> None:
    await connection.execute("DELETE FROM pending_logins WHERE token_sha256 = $1", digest)


async def delete_all_of(connection: asyncpg.Connection, user: str) -> None:
    await connection.execute("DELETE FROM pending_logins WHERE user_id = $1::uuid", user)
