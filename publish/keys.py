"""API keys: shown once, kept as a digest, with scopes."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import uuid_utils

from ops.runtime.db import Pool
from publish import store
from publish.store import EVERYBODY, Actor

PREFIX = "lf_"
SCOPES = ("connections:read", "connections:write")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for whom, and what it may do."""

    tenant: str
    actor: Actor
    scopes: Sequence[str]


async def create(pool: Pool, tenant: str, name: str, scopes: Sequence[str], actor: Actor) -> str:
    """The key, for the only time. Raises UniqueViolationError for a name that is taken."""
    key = PREFIX + secrets.token_urlsafe(32)
    async with store.acting(pool, tenant) as connection:
        await connection.execute(
            "INSERT INTO api_keys (tenant_id, id, name, key_sha256, scopes) VALUES ($1::uuid, $2::uuid, $3, $4, $5)",
            tenant,
            str(uuid_utils.uuid7()),
            name,
            _digest(key),
            list(scopes),
        )
        await store.audit(connection, tenant, actor, "key.created", name, scopes=list(scopes))
    return key


async def revoke(pool: Pool, tenant: str, name: str, actor: Actor) -> bool:
    """False where no living key has this name."""
    async with store.acting(pool, tenant) as connection:
        row = await connection.fetchrow(
            "UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING 1", name
        )
        if row is not None:
            await store.audit(connection, tenant, actor, "key.revoked", name)
    return row is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    async with store.acting(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT name, scopes, created_at, last_used_at, revoked_at FROM api_keys ORDER BY created_at"
        )
    return found


async def caller(pool: Pool, key: str, address: str | None) -> Caller | None:
    """Whose key it is; None for one that is unknown or revoked. Notes the use, once a minute at most."""
    if not key.startswith(PREFIX):
        return None
    async with store.acting(pool, EVERYBODY) as connection:
        row = await connection.fetchrow(
            "SELECT tenant_id::text, name, scopes FROM api_keys WHERE key_sha256 = $1 AND revoked_at IS NULL",
            _digest(key),
        )
        if row is not None:
            await connection.execute(
                "UPDATE api_keys SET last_used_at = now() WHERE key_sha256 = $1"
                " AND coalesce(last_used_at, '-infinity') < now() - interval '1 minute'",
                _digest(key),
            )
    return None if row is None else Caller(row["tenant_id"], Actor(f"key:{row['name']}", address), row["scopes"])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
