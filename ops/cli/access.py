"""What commands on people, keys and tenants share: a pool, and the tenant that a command is about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click

from ops.access import tenants
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE


@dataclass(frozen=True)
class Scope:
    """The tenant that a command is about, and a pool to reach it with."""

    pool: Pool
    tenant: str


@asynccontextmanager
async def scope_of(configuration: Configuration, tenant: str | None) -> AsyncIterator[Scope]:
    """Open a pool for a command on one tenant, the install's own for None.

    Raises ClickException where there is no tenant of this name.
    """
    async with opened(configuration) as pool:
        id_ = await tenants.find_tenant(pool, tenant)
        if id_ is None:
            raise click.ClickException(f"there is no tenant {tenant}: look for it with `landfall tenant list`")
        yield Scope(pool, id_)


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Pool]:
    """Open a pool of one connection, in the role of commands."""
    settings = configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "keys", 1, role=settings.role(APP_ROLE)
    ) as pool:
        yield pool
