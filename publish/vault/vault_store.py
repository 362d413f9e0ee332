"""The sealed secrets of every table, by the key that they are under."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from ops.access.second_factor import totp_place
from publish.oauth.client_registration import client_place
from publish.vault.envelope import key_name
from schema.sealing import Place, target_place

Rewrap = Callable[[bytes, Place], bytes]
"""Returns a sealed secret under the primary key."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A token of a connection, and where it is sealed."""

    place: Place
    sealed: bytes


async def canaries(connection: asyncpg.Connection) -> Mapping[str, bytes]:
    """Return the known text under each key, sealed."""
    rows = await connection.fetch("SELECT key_name, sealed FROM vault_canaries")
    return {row["key_name"]: row["sealed"] for row in rows}


async def add_canary(connection: asyncpg.Connection, name: str, sealed: bytes) -> None:
    """Store the known text under a key, unless another process has."""
    await connection.execute(
        "INSERT INTO vault_canaries (key_name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, sealed
    )


async def used_keys(connection: asyncpg.Connection) -> set[str]:
    """Return the names of the keys that secrets of any tenant are under."""
    rows = await connection.fetch("SELECT key_name, sealed_head FROM find_vault_keys()")
    return {row["key_name"] or key_name(row["sealed_head"]) for row in rows}


async def count(connection: asyncpg.Connection) -> Counter[str]:
    """Count the secrets under each key."""
    found: Counter[str] = Counter()
    for row in await connection.fetch("SELECT key_name, count(*) AS n FROM connection_secrets GROUP BY 1"):
        found[row["key_name"]] += row["n"]
    sealed = await connection.fetch(
        "SELECT sealed_secret AS sealed FROM oauth_clients"
        " UNION ALL SELECT sealed_verifier FROM oauth_states WHERE expires_at > now()"
        " UNION ALL SELECT sealed_accounts FROM oauth_states WHERE sealed_accounts IS NOT NULL"
        " UNION ALL SELECT sealed_secret FROM totp_factors"
        " UNION ALL SELECT sealed FROM post_targets WHERE sealed IS NOT NULL"
    )
    found.update(key_name(row["sealed"]) for row in sealed)
    return found


async def lock_secrets_under_other_keys(
    connection: asyncpg.Connection, primary: str, limit: int
) -> Sequence[SealedSecret]:
    """Lock and return tokens that are not under the primary key, those that nobody else has locked."""
    rows = await connection.fetch(
        """
        SELECT tenant_id::text, connection_id::text, field, sealed FROM connection_secrets
        WHERE key_name <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED""",
        primary,
        limit,
    )
    return [SealedSecret(Place(*row[:3]), row["sealed"]) for row in rows]


async def save_secret(connection: asyncpg.Connection, place: Place, sealed: bytes, name: str) -> None:
    """Store a token that was moved under the key of this name."""
    await connection.execute(
        """
        UPDATE connection_secrets SET sealed = $4, key_name = $5
        WHERE tenant_id = $1::uuid AND connection_id = $2::uuid AND field = $3""",
        *(place.tenant, place.owner, place.field),
        sealed,
        name,
    )


async def move_clients(connection: asyncpg.Connection, primary: str, rewrap: Rewrap) -> int:
    """Move the secrets of registered applications under the primary key and return their number."""
    moved = 0
    for row in await connection.fetch(
        "SELECT tenant_id::text, platform, instance, sealed_secret FROM oauth_clients FOR UPDATE"
    ):
        if key_name(row["sealed_secret"]) == primary:
            continue
        await connection.execute(
            "UPDATE oauth_clients SET sealed_secret = $4"
            " WHERE tenant_id = $1::uuid AND platform = $2 AND instance = $3",
            *(row["tenant_id"], row["platform"], row["instance"]),
            rewrap(row["sealed_secret"], client_place(row["platform"], row["instance"], row["tenant_id"])),
        )
        moved += 1
    return moved


async def move_totp_secrets(connection: asyncpg.Connection, primary: str, rewrap: Rewrap) -> int:
    """Move the secrets of authenticator apps under the primary key and return their number."""
    moved = 0
    for row in await connection.fetch("SELECT id::text, user_id::text, sealed_secret FROM totp_factors FOR UPDATE"):
        if key_name(row["sealed_secret"]) == primary:
            continue
        await connection.execute(
            "UPDATE totp_factors SET sealed_secret = $2 WHERE id = $1::uuid",
            row["id"],
            rewrap(row["sealed_secret"], totp_place(row["user_id"], row["id"])),
        )
        moved += 1
    return moved


async def move_target_secrets(connection: asyncpg.Connection, primary: str, rewrap: Rewrap) -> int:
    """Move what targets of posts keep sealed under the primary key and return their number."""
    moved = 0
    for row in await connection.fetch(
        "SELECT tenant_id::text, id::text, sealed FROM post_targets WHERE sealed IS NOT NULL FOR UPDATE"
    ):
        if key_name(row["sealed"]) == primary:
            continue
        await connection.execute(
            "UPDATE post_targets SET sealed = $3 WHERE tenant_id = $1::uuid AND id = $2::uuid",
            *(row["tenant_id"], row["id"]),
            rewrap(row["sealed"], target_place(row["tenant_id"], row["id"])),
        )
        moved += 1
    return moved
