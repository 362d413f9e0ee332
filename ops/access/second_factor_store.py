"""Second factors of a user: authenticator apps, recovery codes, and what passkeys have in common with apps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class Factor:
    """``kind`` is ``totp`` or ``passkey``."""

    kind: str
    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnconfirmedApp:
    name: str
    sealed_secret: bytes


@dataclass(frozen=True, slots=True)
class App:
    """``last_step`` is the time step of the last code that was used; None before the first one."""

    id: str
    sealed_secret: bytes
    last_step: int | None


def has_factor_sql(user: str) -> str:
    """Return SQL for whether the user whose id ``user`` is, a column or a parameter, has a second factor."""
    return f"""(EXISTS (SELECT FROM totp_factors t WHERE t.user_id = {user} AND t.confirmed_at IS NOT NULL)
        OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = {user}))"""


async def has_factor(connection: asyncpg.Connection, user: str) -> bool:
    found: bool = await connection.fetchval(f"SELECT {has_factor_sql('$1::uuid')}", user)
    return found


async def list_factors(connection: asyncpg.Connection, user: str) -> list[Factor]:
    """Return the factors of a user, the oldest first; apps that are not confirmed are none."""
    rows = await connection.fetch(
        """
        SELECT 'totp' AS kind, id::text, name, created_at, last_used_at FROM totp_factors
        WHERE user_id = $1::uuid AND confirmed_at IS NOT NULL
        UNION ALL SELECT 'passkey', id::text, name, created_at, last_used_at FROM passkeys WHERE user_id = $1::uuid
        ORDER BY created_at, id""",
        user,
    )
    return [Factor(*row) for row in rows]


async def delete_unconfirmed_apps(connection: asyncpg.Connection, user: str) -> None:
    await connection.execute("DELETE FROM totp_factors WHERE user_id = $1::uuid AND confirmed_at IS NULL", user)


async def count_apps(connection: asyncpg.Connection, user: str) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM totp_factors WHERE user_id = $1::uuid", user)
    return count


async def insert_app(connection: asyncpg.Connection, id_: str, user: str, name: str, sealed_secret: bytes) -> None:
    """Keep an app that is not confirmed yet."""
    await connection.execute(
        "INSERT INTO totp_factors (id, user_id, name, sealed_secret) VALUES ($1::uuid, $2::uuid, $3, $4)",
        id_,
        user,
        name,
        sealed_secret,
    )


async def lock_unconfirmed_app(
    connection: asyncpg.Connection, user: str, id_: str, minutes: int
) -> UnconfirmedApp | None:
    """Return an app that was added in the last ``minutes`` and is not confirmed, locked; None if there is none."""
    row = await connection.fetchrow(
        """
        SELECT name, sealed_secret FROM totp_factors WHERE id = $1::uuid AND user_id = $2::uuid
            AND confirmed_at IS NULL AND created_at > now() - make_interval(mins => $3) FOR UPDATE""",
        id_,
        user,
        minutes,
    )
    return None if row is None else UnconfirmedApp(*row)


async def confirm_app(connection: asyncpg.Connection, id_: str, step: int) -> None:
    await connection.execute(
        "UPDATE totp_factors SET confirmed_at = now(), last_step = $2 WHERE id = $1::uuid", id_, step
    )


async def lock_apps(connection: asyncpg.Connection, user: str) -> list[App]:
    """Return the confirmed apps of a user, the oldest first, locked for the transaction."""
    rows = await connection.fetch(
        """
        SELECT id::text, sealed_secret, last_step FROM totp_factors
        WHERE user_id = $1::uuid AND confirmed_at IS NOT NULL ORDER BY id FOR UPDATE""",
        user,
    )
    return [App(*row) for row in rows]


async def mark_app_used(connection: asyncpg.Connection, id_: str, step: int) -> None:
    await connection.execute(
        "UPDATE totp_factors SET last_step = $2, last_used_at = now() WHERE id = $1::uuid", id_, step
    )


async def replace_recovery_codes(connection: asyncpg.Connection, user: str, digests: Sequence[bytes]) -> None:
    await delete_recovery_codes(connection, user)
    await connection.executemany(
        "INSERT INTO recovery_codes (user_id, code_sha256) VALUES ($1::uuid, $2)",
        [(user, digest) for digest in digests],
    )


async def use_recovery_code(connection: asyncpg.Connection, user: str, digest: bytes) -> bool:
    """Spend a recovery code. Return False if it is none of the user's, or was spent before."""
    used: bool | None = await connection.fetchval(
        """
        UPDATE recovery_codes SET used_at = now()
        WHERE user_id = $1::uuid AND code_sha256 = $2 AND used_at IS NULL RETURNING true""",
        user,
        digest,
    )
    return used is not None


async def count_recovery_codes(connection: asyncpg.Connection, user: str) -> int:
    """Count the codes that are not spent."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM recovery_codes WHERE user_id = $1::uuid AND used_at IS NULL", user
    )
    return count


async def delete_recovery_codes(connection: asyncpg.Connection, user: str) -> None:
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1::uuid", user)


async def delete(connection: asyncpg.Connection, user: str, id_: str) -> str | None:
    """Delete an app or a passkey. Return its kind, or None if the user has none of this id."""
    for kind, table in (("totp", "totp_factors"), ("passkey", "passkeys")):
        deleted = await connection.fetchval(
            f"DELETE FROM {table} WHERE id = $1::uuid AND user_id = $2::uuid RETURNING true", id_, user
        )
        if deleted:
            return kind
    return None


async def delete_all(connection: asyncpg.Connection, user: str) -> None:
    """Delete all apps, passkeys and recovery codes of a user."""
    for table in ("totp_factors", "passkeys", "recovery_codes"):
        await connection.execute(f"DELETE FROM {table} WHERE user_id = $1::uuid", user)
