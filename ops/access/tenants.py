"""Tenants: whom everything belongs to. An installation has one of its own, and most have no other."""

import asyncpg

from ops.access import tenant_store
from ops.access.audit_log_store import Actor, audit
from ops.access.errors import ValidationError
from ops.access.tenant_store import TenantSummary
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, set_tenant, tenant_transaction
from schema.tenancy import DEFAULT_TENANT

MAX_NAME_LENGTH = 80
"""In characters."""


async def add(connection: asyncpg.Connection, name: str, actor: Actor) -> str:
    """Make a tenant. Return its id. Raises ValidationError.

    Needs the login of the database's owner: the service's own role makes no tenants.
    """
    if not 1 <= len(name) <= MAX_NAME_LENGTH or name != name.strip() or not name.isprintable():
        raise ValidationError(
            f"the name of a tenant has 1 to {MAX_NAME_LENGTH} characters, none of them at its ends a space"
        )
    async with connection.transaction():
        id_ = await tenant_store.insert(connection, name)
        if id_ is None:
            raise ValidationError(f"there is a tenant {name} already")
        await set_tenant(connection, id_)
        await audit(connection, id_, actor, "tenant.added", name)
    return id_


async def list_tenants(pool: Pool) -> list[TenantSummary]:
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        return await tenant_store.list_all(connection)


async def find_tenant(pool: Pool, name: str | None) -> str | None:
    """Return the id of the tenant of this name, or None. The name None means the installation's own tenant."""
    if name is None:
        return DEFAULT_TENANT
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        return await tenant_store.find_by_name(connection, name)
