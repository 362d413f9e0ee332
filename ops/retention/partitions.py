"""Make the partitions of the months to come, while a worker runs."""

import asyncio

import asyncpg
import structlog

from ops.retention import store
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import stopped

SWEEP_SECONDS = 600

log = structlog.get_logger()


async def sweep(pool: Pool, stop: asyncio.Event) -> None:
    """Make what is missing, every :data:`SWEEP_SECONDS`, and set the gauges, until told to stop."""
    while not stop.is_set():
        try:
            async with pool.acquire() as connection:
                await make(connection)
        except Exception as error:  # noqa: BLE001  there are months of time to try it again
            log.warning("partitions.not_made", error=describe(error))
        await stopped(stop, SWEEP_SECONDS)


async def make(connection: asyncpg.Connection) -> int:
    """Make what is missing, and set the gauges. Return how many partitions were made."""
    try:
        async with connection.transaction():
            made = await store.make_partitions(connection)
    finally:
        found = await store.gaps(connection)
        metrics.partition_months_ahead.set(found.months_ahead)
        metrics.misplaced_rows.set(found.misplaced)
    if made:
        log.info("partitions.made", count=made)
    return made
