"""Devices: the browsers in which a user logged in before. What a browser holds is kept as a digest."""

import asyncpg

DEVICE_DAYS = 180
"""How long a browser is remembered after its last login."""

MAX_DEVICES = 20
"""Of one user, the ones used last. Each is five more guesses for whoever steals its cookie."""


async def is_known(connection: asyncpg.Connection, user: str, digest: bytes) -> bool:
    """Return whether this user logged in before in the browser that holds this."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM devices WHERE user_id = $1::uuid AND device_sha256 = $2)", user, digest
    )
    return found


async def remember(connection: asyncpg.Connection, user: str, digest: bytes) -> None:
    """Keep a browser as one used now, and forget all but the :data:`MAX_DEVICES` used last."""
    await connection.execute(
        """
        INSERT INTO devices (user_id, device_sha256) VALUES ($1::uuid, $2)
        ON CONFLICT (user_id, device_sha256) DO UPDATE SET seen_at = now()""",
        user,
        digest,
    )
    await connection.execute(
        """
        DELETE FROM devices WHERE user_id = $1::uuid AND device_sha256 IN (
            SELECT device_sha256 FROM devices WHERE user_id = $1::uuid ORDER BY seen_at DESC OFFSET $2)""",
        user,
        MAX_DEVICES,
    )


async def forget_all(connection: asyncpg.Connection, user: str) -> None:
    await connection.execute("DELETE FROM devices WHERE user_id = $1::uuid", user)
