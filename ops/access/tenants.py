"""Tenants: whose everything is. An install has one of its own, and most have no other."""

import asyncpg
import uuid_utils

from ops.access.audit_log_store import Actor, audit
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.tenancy import DEFAULT_TENANT

LONGEST = 80
"""Of a name, in characters."""


class Wrong(Exception):  # noqa: N818  an answer
    """There cannot be a tenant of this name; the text says why."""


async def add(connection: asyncpg.Connection, name: str, actor: Actor) -> str:
    """Make a tenant; its id. Needs the owner's login: the service makes none. Raises Wrong."""
    if not 1 <= len(name) <= LONGEST or name != name.strip() or not name.isprintable():
        raise Wrong(f"the name of a tenant has 1 to {LONGEST} characters, none of them at its ends a space")
    async with connection.transaction():
        id_: str | None = await connection.fetchval(
            "INSERT INTO tenants (id, name) VALUES ($1::uuid, $2) ON CONFLICT (name) DO NOTHING RETURNING id::text",
            str(uuid_utils.uuid7()),
            name,
        )
        if id_ is None:
            raise Wrong(f"there is a tenant {name} already")
        await connection.execute("SELECT set_config('landfall.tenant', $1, true)", id_)
        await audit(connection, id_, actor, "tenant.added", name)
    return id_


async def listed(pool: Pool) -> list[asyncpg.Record]:
    """Every tenant, and how much there is of it."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            """
            SELECT name, created_at,
                (SELECT count(*) FROM memberships m WHERE m.tenant_id = t.id) AS people,
                (SELECT count(*) FROM connections c WHERE c.tenant_id = t.id AND c.state <> 'disconnected')
                    AS connections
            FROM tenants t ORDER BY created_at, name"""
        )
    return found


async def named(pool: Pool, name: str | None) -> str | None:
    """The id of the tenant of this name, of the install's own for None; None where there is no such tenant."""
    if name is None:
        return DEFAULT_TENANT
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        id_: str | None = await connection.fetchval("SELECT id::text FROM tenants WHERE name = $1", name)
    return id_
