"""Tenants: insert and look up."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
import uuid_utils

from schema.states import CONNECTION


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """``people`` counts members, ``connections`` those that are not disconnected."""

    name: str
    created_at: datetime
    people: int
    connections: int


async def insert(connection: asyncpg.Connection, name: str) -> str | None:
    """Return the id of a new tenant, or None if the name is taken."""
    id_: str | None = await connection.fetchval(
        "INSERT INTO tenants (id, name) VALUES ($1::uuid, $2) ON CONFLICT (name) DO NOTHING RETURNING id::text",
        str(uuid_utils.uuid7()),
        name,
    )
    return id_


async def list_all(connection: asyncpg.Connection) -> list[TenantSummary]:
    """Return every tenant, the oldest first. The transaction is for all tenants."""
    rows = await connection.fetch(
        f"""
        SELECT name, created_at,
            (SELECT count(*) FROM memberships m WHERE m.tenant_id = t.id) AS people,
            (SELECT count(*) FROM connections c WHERE c.tenant_id = t.id AND {CONNECTION.allows("disconnect")})
                AS connections
        FROM tenants t ORDER BY created_at, name"""
    )
    return [TenantSummary(*row) for row in rows]


async def find_by_name(connection: asyncpg.Connection, name: str) -> str | None:
    id_: str | None = await connection.fetchval("SELECT id::text FROM tenants WHERE name = $1", name)
    return id_
