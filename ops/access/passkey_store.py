"""Passkeys and the challenges that browsers sign with them."""

from dataclasses import dataclass

import asyncpg
import uuid_utils


@dataclass(frozen=True, slots=True)
class Passkey:
    id: str
    public_key: bytes
    sign_count: int


async def credential_ids(connection: asyncpg.Connection, user: str) -> list[bytes]:
    """Return the WebAuthn ids of the passkeys of a user, the oldest first."""
    rows = await connection.fetch("SELECT credential_id FROM passkeys WHERE user_id = $1::uuid ORDER BY id", user)
    return [row["credential_id"] for row in rows]


async def count(connection: asyncpg.Connection, user: str) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM passkeys WHERE user_id = $1::uuid", user)
    return found


async def insert(
    connection: asyncpg.Connection, user: str, name: str, credential_id: bytes, public_key: bytes, sign_count: int
) -> bool:
    """Keep a passkey. Return False if somebody has registered it already."""
    inserted: bool | None = await connection.fetchval(
        """
        INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6) ON CONFLICT (credential_id) DO NOTHING RETURNING true""",
        str(uuid_utils.uuid7()),
        user,
        name,
        credential_id,
        public_key,
        sign_count,
    )
    return inserted is not None


async def lock(connection: asyncpg.Connection, user: str, credential_id: bytes) -> Passkey | None:
    """Return a passkey of a user, locked for the transaction; None if the user has none of this id."""
    row = await connection.fetchrow(
        """
        SELECT id::text, public_key, sign_count FROM passkeys WHERE credential_id = $1 AND user_id = $2::uuid
        FOR UPDATE""",
        credential_id,
        user,
    )
    return None if row is None else Passkey(*row)


async def mark_used(connection: asyncpg.Connection, id_: str, sign_count: int) -> None:
    await connection.execute(
        "UPDATE passkeys SET sign_count = $2, last_used_at = now() WHERE id = $1::uuid", id_, sign_count
    )


async def save_challenge(connection: asyncpg.Connection, bound: bytes, challenge: bytes, minutes: int) -> None:
    """Keep a challenge for what it is bound to, in place of the one before."""
    await connection.execute(
        """
        INSERT INTO webauthn_challenges (bound_sha256, challenge, expires_at)
        VALUES ($1, $2, now() + make_interval(mins => $3))
        ON CONFLICT (bound_sha256) DO UPDATE SET challenge = excluded.challenge, expires_at = excluded.expires_at""",
        bound,
        challenge,
        minutes,
    )


async def take_challenge(connection: asyncpg.Connection, bound: bytes) -> bytes | None:
    """Use a challenge up. None if there is none, or it expired."""
    row = await connection.fetchrow(
        "DELETE FROM webauthn_challenges WHERE bound_sha256 = $1 RETURNING challenge, expires_at > now() AS live", bound
    )
    if row is None or not row["live"]:
        return None
    challenge: bytes = row["challenge"]
    return challenge
