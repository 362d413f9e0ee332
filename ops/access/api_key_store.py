"""API keys: insert, look up and revoke. A key is kept as a digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import uuid_utils

from ops.runtime.db import required
from ops.runtime.tenancy import set_tenant


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``maker`` is the address of the person who made it; None for whoever runs the installation."""

    id: str
    name: str
    scopes: Sequence[str]
    created_at: datetime
    last_used_at: datetime | None
    last_used_from: str | None
    revoked_at: datetime | None
    maker: str | None


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key that somebody uses. ``idle`` is the time since its last use, centuries for a key never used."""

    id: str
    tenant: str
    name: str
    scopes: Sequence[str]
    revoked: bool
    last_used_from: str | None
    idle: timedelta


async def insert(
    connection: asyncpg.Connection, tenant: str, name: str, digest: bytes, scopes: Sequence[str], user: str | None
) -> bool:
    """Keep a key. Return False if the tenant has, or had, one of this name."""
    inserted: bool | None = await connection.fetchval(
        """
        INSERT INTO api_keys (tenant_id, id, name, key_sha256, scopes, user_id)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid) ON CONFLICT (tenant_id, name) DO NOTHING RETURNING true""",
        tenant,
        str(uuid_utils.uuid7()),
        name,
        digest,
        list(scopes),
        user,
    )
    return inserted is not None


async def revoke(connection: asyncpg.Connection, name: str) -> bool:
    """Revoke a key of the transaction's tenant. Return False if no live key has this name."""
    revoked: bool | None = await connection.fetchval(
        "UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING true", name
    )
    return revoked is not None


async def revoke_made_by(
    connection: asyncpg.Connection, tenant: str, user: str, allowed_scopes: Sequence[str]
) -> list[str]:
    """Revoke the live keys that a person made and that have other scopes than these. Return their names."""
    rows = await connection.fetch(
        """
        UPDATE api_keys SET revoked_at = now()
        WHERE tenant_id = $1::uuid AND user_id = $2::uuid AND revoked_at IS NULL AND NOT scopes <@ $3::text[]
        RETURNING name""",
        tenant,
        user,
        list(allowed_scopes),
    )
    return sorted(row["name"] for row in rows)


async def list_all(connection: asyncpg.Connection) -> list[ApiKey]:
    """Return the keys of the transaction's tenant, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT k.id::text, k.name, k.scopes, k.created_at, k.last_used_at, host(k.last_used_from), k.revoked_at, u.email
        FROM api_keys k LEFT JOIN users u ON u.id = k.user_id ORDER BY k.created_at"""
    )
    return [ApiKey(*row) for row in rows]


async def find(connection: asyncpg.Connection, digest: bytes) -> FoundKey | None:
    """Return a key, revoked or not. The transaction goes on for its tenant."""
    found = await connection.fetchrow("SELECT tenant_id::text, id FROM find_api_key($1)", digest)
    if found is None:
        return None
    await set_tenant(connection, found["tenant_id"])
    query = """
        SELECT id::text, tenant_id::text, name, scopes, revoked_at IS NOT NULL AS revoked,
            host(last_used_from) AS last_used_from, last_used_at, now() AS now
        FROM api_keys WHERE id = $1"""
    row = required(await connection.fetchrow(query, found["id"]))
    key, tenant, name, scopes, revoked, last_used_from, last_used_at, now = row
    idle = now - (last_used_at or datetime.min.replace(tzinfo=UTC))
    return FoundKey(key, tenant, name, scopes, revoked, last_used_from, idle)


async def mark_used(connection: asyncpg.Connection, id_: str, address: str | None) -> None:
    await connection.execute(
        "UPDATE api_keys SET last_used_at = now(), last_used_from = $2::inet WHERE id = $1::uuid", id_, address
    )
