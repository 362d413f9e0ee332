"""Whose rows a transaction may see, and the note of who did what."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from ops.runtime.db import Pool, transaction

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and from where; ``address`` is None where nobody came over the network."""

    name: str
    address: str | None = None


COMMAND, WORKER = Actor("command"), Actor("worker")


@asynccontextmanager
async def acting(pool: Pool, tenant: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction for one tenant, or for ``EVERYBODY``."""
    async with pool.acquire() as connection, transaction(connection):
        await connection.execute("SELECT set_config('landfall.tenant', $1, true)", tenant)
        yield connection


async def audit(
    connection: asyncpg.Connection, tenant: str, actor: Actor, action: str, subject: str, **detail: Any
) -> None:
    """Note what was done; ``detail`` names nobody that a platform knows, so that nothing here has to be taken back."""
    await connection.execute(
        """
        INSERT INTO audit_log (tenant_id, actor, address, action, subject, detail)
        VALUES ($1::uuid, $2, $3::inet, $4, $5, $6::jsonb)""",
        tenant,
        actor.name,
        actor.address,
        action,
        subject,
        json.dumps(detail),
    )
