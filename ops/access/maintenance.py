"""Keep the tables of people small, whether or not accounts are connected."""

import asyncio
from contextlib import suppress

import structlog

from ops.access import maintenance_store
from ops.runtime.db import Pool, describe
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction

SWEEP_SECONDS = 10

log = structlog.get_logger()


async def sweep(pool: Pool, stop: asyncio.Event) -> None:
    """Delete what expired, every :data:`SWEEP_SECONDS`, until told to stop."""
    while not stop.is_set():
        try:
            async with tenant_transaction(pool, ALL_TENANTS) as connection:
                await maintenance_store.delete_expired(connection)
        except Exception as error:  # noqa: BLE001  the database may be unreachable for a while; the sweep goes on
            log.warning("access.sweep_failed", error=describe(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
