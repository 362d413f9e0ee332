"""Whose rows a transaction may see, and the note of who did what."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from ops.runtime.db import Pool, transaction
from schema.rights import WORKER_ROLE

EVERYBODY = "*"
"""The rows of all tenants, for the worker and the commands; the web process's role sees none of them this way."""

NOBODY = ""
"""No tenant's rows: for what belongs to the whole install, and for finding out whose something is."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and from where; ``address`` is None where nobody came over the network."""

    name: str
    address: str | None = None


COMMAND, WORKER = Actor("command"), Actor("worker")


@asynccontextmanager
async def acting(pool: Pool, tenant: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction for one tenant, for ``EVERYBODY`` or for ``NOBODY``."""
    async with pool.acquire() as connection, transaction(connection):
        await act_for(connection, tenant)
        yield connection


async def act_for(connection: asyncpg.Connection, tenant: str) -> None:
    """Go on for another tenant, until the transaction ends.

    Raises InsufficientPrivilegeError for ``EVERYBODY`` where the policies would show none of them instead.
    """
    if tenant == EVERYBODY and not await connection.fetchval("SELECT pg_has_role($1::name, 'USAGE')", WORKER_ROLE):
        raise asyncpg.InsufficientPrivilegeError("this role may not look at all tenants at once")
    await connection.execute("SELECT set_config('landfall.tenant', $1, true)", tenant)


@asynccontextmanager
async def elsewhere(connection: asyncpg.Connection, tenant: str) -> AsyncIterator[None]:
    """Statements inside are for another tenant; the transaction goes on for the one that it had."""
    before = await connection.fetchval("SELECT current_setting('landfall.tenant', true)")
    await act_for(connection, tenant)
    yield
    await act_for(connection, before or NOBODY)


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
