"""Look for work, and measure what waits, again and again.

A notification may be lost; what waits in PostgreSQL is not.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import stopped

SWEEP_SECONDS = 1.0
SWEEP_DRAINS = 4
"""Drains that one sweep runs side by side; each holds a connection while it finds work."""

WATCH_SECONDS = 2.0

log = structlog.get_logger()


async def sweep(drain: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Look for due work every second, until told to stop."""
    while not stop.is_set():
        # Side by side and each for itself: one that meets a locked row must not cost the others their batches.
        results = await asyncio.gather(*(drain() for _ in range(SWEEP_DRAINS)), return_exceptions=True)
        for failure in {describe(error) for error in results if isinstance(error, Exception)}:
            metrics.sweep_failures.labels(failure[:40]).inc()
            log.warning("sweep.failed", error=failure)
        await stopped(stop, SWEEP_SECONDS)


async def watch(pool: Pool, measure: Callable[[asyncpg.Connection], Awaitable[None]], stop: asyncio.Event) -> None:
    """Keep gauges fresh: call ``measure`` every two seconds, until told to stop."""
    while not stop.is_set():
        try:
            async with pool.acquire() as connection:
                await measure(connection)
        except Exception as error:  # noqa: BLE001  the gauges' own age says that they are old
            log.warning("gauges.not_updated", of=measure.__name__, error=describe(error))
        await stopped(stop, WATCH_SECONDS)
