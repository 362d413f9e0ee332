"""Look for work without being notified: notifications may be lost, what waits in PostgreSQL is not."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ops.runtime import metrics
from ops.runtime.db import describe
from ops.runtime.periodic import stopped

SWEEP_SECONDS = 1.0
SWEEP_LANES = 4
"""Drains that one sweep runs side by side; each holds a connection while it finds work."""

log = structlog.get_logger()


async def sweep(drain: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Look for due work every second, until told to stop."""
    while not stop.is_set():
        # Side by side and each for itself: one that meets a locked row must not cost the others their batches.
        lanes = await asyncio.gather(*(drain() for _ in range(SWEEP_LANES)), return_exceptions=True)
        for failure in {describe(error) for error in lanes if isinstance(error, Exception)}:
            metrics.sweep_failures.labels(failure[:40]).inc()
            log.warning("sweep.failed", error=failure)
        await stopped(stop, SWEEP_SECONDS)
