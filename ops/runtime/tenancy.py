"""Whose rows a transaction may see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ops.runtime import transaction_store
from ops.runtime.db import Pool, transaction
from schema.rights import WORKER_ROLE

ALL_TENANTS = "*"
"""The rows of all tenants, for the worker and the commands; the web process's role sees none of them this way."""

NO_TENANT = ""
"""No tenant's rows: for what belongs to the whole install, and for finding out whose something is."""


@asynccontextmanager
async def tenant_transaction(pool: Pool, tenant: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction for one tenant, for ``ALL_TENANTS`` or for ``NO_TENANT``."""
    async with pool.acquire() as connection, transaction(connection, _statement(tenant)) as status:
        _check(status)
        yield connection


async def set_tenant(connection: asyncpg.Connection, tenant: str) -> None:
    """Go on for another tenant, until the transaction ends.

    Raises InsufficientPrivilegeError for ``ALL_TENANTS`` where the policies would show none of them instead.
    """
    _check(await transaction_store.run(connection, _statement(tenant)))


def _statement(tenant: str) -> str:
    return transaction_store.tenant_statement(tenant, WORKER_ROLE if tenant == ALL_TENANTS else "")


def _check(status: str) -> None:
    """Raise InsufficientPrivilegeError if the statement set no tenant."""
    if not transaction_store.tenant_is_set(status):
        raise asyncpg.InsufficientPrivilegeError("this role may not look at all tenants at once")


@asynccontextmanager
async def other_tenant(connection: asyncpg.Connection, tenant: str) -> AsyncIterator[None]:
    """Statements inside are for another tenant; the transaction goes on for the one that it had."""
    before = await transaction_store.tenant(connection)
    await set_tenant(connection, tenant)
    yield
    await set_tenant(connection, before or NO_TENANT)
