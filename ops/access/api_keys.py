"""API keys: shown once, kept as a digest, with scopes."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import uuid_utils

from ops.access import user_store
from ops.access.audit_log_store import Actor, audit
from ops.runtime.db import Pool, required
from ops.runtime.tenancy import NO_TENANT, set_tenant, tenant_transaction

PREFIX = "lf_"
SCOPES = ("connections:read", "connections:write", "audit:read")
USUAL = ("connections:read", "connections:write")
"""What a key may do where nobody says it."""

NOTED_HOURS = 1
"""The log says of a key, and of an address it is used from, once in this time that it is used."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for whom, and what it may do."""

    tenant: str
    actor: Actor
    scopes: Sequence[str]


async def create(
    pool: Pool, tenant: str, name: str, scopes: Sequence[str], actor: Actor, maker: tuple[str, str] | None = None
) -> str:
    """The key, for the only time. Raises UniqueViolationError for a name that is taken.

    ``maker`` is the id of the person with whose membership it ends, and the role by which they make it; None where
    whoever runs the install does. Raises RoleChangedError where the person has another role by now.
    """
    key = PREFIX + secrets.token_urlsafe(32)
    async with tenant_transaction(pool, tenant) as connection:
        if maker is not None:
            await user_store.insist_role(connection, tenant, *maker)
        await connection.execute(
            "INSERT INTO api_keys (tenant_id, id, name, key_sha256, scopes, user_id)"
            " VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid)",
            tenant,
            str(uuid_utils.uuid7()),
            name,
            _digest(key),
            list(scopes),
            maker and maker[0],
        )
        await audit(connection, tenant, actor, "key.created", name, scopes=list(scopes))
    return key


async def revoke(pool: Pool, tenant: str, name: str, actor: Actor) -> bool:
    """False where no living key has this name."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await connection.fetchrow(
            "UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING 1", name
        )
        if row is not None:
            await audit(connection, tenant, actor, "key.revoked", name)
    return row is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    async with tenant_transaction(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            """
            SELECT k.id::text, k.name, k.scopes, k.created_at, k.last_used_at,
                host(k.last_used_from) AS last_used_from, k.revoked_at, u.email AS maker
            FROM api_keys k LEFT JOIN users u ON u.id = k.user_id ORDER BY k.created_at"""
        )
    return found


async def caller(pool: Pool, key: str, address: str | None) -> Caller | None:
    """Whose key it is; None for one that is unknown or revoked. Notes the use, once a minute at most."""
    if not key.startswith(PREFIX):
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        found = await connection.fetchrow("SELECT tenant_id::text, id FROM find_api_key($1)", _digest(key))
        if found is None:
            return None
        await set_tenant(connection, found["tenant_id"])
        row = required(
            await connection.fetchrow(
                """
            SELECT tenant_id::text, name, scopes, revoked_at IS NOT NULL AS revoked, last_used_at,
                host(last_used_from) AS last_used_from, now() AS now
            FROM api_keys WHERE id = $1""",
                found["id"],
            )
        )
        actor = Actor(f"key:{row['name']}", address)
        if row["revoked"]:
            await _noted(connection, row, actor, "key.refused")
            return None
        idle = row["now"] - (row["last_used_at"] or datetime.min.replace(tzinfo=UTC))
        moved = row["last_used_from"] != address
        if moved or idle > timedelta(minutes=1):
            await connection.execute(
                "UPDATE api_keys SET last_used_at = now(), last_used_from = $2::inet WHERE id = $1",
                found["id"],
                address,
            )
        if moved or idle > timedelta(hours=NOTED_HOURS):
            await _noted(connection, row, actor, "key.used")
    return Caller(row["tenant_id"], actor, row["scopes"])


async def _noted(connection: asyncpg.Connection, row: asyncpg.Record, actor: Actor, action: str) -> None:
    """Say it, unless that was said lately: a program that is at two addresses must not fill a log that only grows."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{row['tenant_id']}{actor}")
    said = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM audit_log WHERE tenant_id = $1::uuid AND subject = $2 AND action = $3
            AND address IS NOT DISTINCT FROM $4::inet AND created_at > now() - make_interval(hours => $5))""",
        row["tenant_id"],
        row["name"],
        action,
        actor.address,
        NOTED_HOURS,
    )
    if not said:
        await audit(connection, row["tenant_id"], actor, action, row["name"])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
