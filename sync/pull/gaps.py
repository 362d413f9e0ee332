"""Read again, on purpose, what platforms sent while nothing here received it, and then dropped.

A platform repeats a delivery for hours or days (``retry_hours`` of its webhooks). An outage that was longer than that
has lost what was sent in its first part for good, as events: what became of it is read from the platform.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog

from ops.runtime import metrics, process_store
from ops.runtime.db import Pool, describe, transaction
from ops.runtime.periodic import stopped
from ops.runtime.process_store import Outage
from sync.pull import store
from sync.pull.contract import Priority, PullingPlatform, Wanted

LOOK_SECONDS = 60.0

SHOWN_DAYS = 7
"""For how long an outage that lost something is shown."""

log = structlog.get_logger()


def lost_until(outage: Outage, retry: timedelta) -> datetime | None:
    """Return until when what was sent in an outage is lost, as its last repetition fell into it; None: nothing is."""
    until = outage.ended_at - retry
    return until if until > outage.began_at else None


def reason(outage: Outage, until: datetime) -> str:
    """Return in words why an account is read."""
    began, end = (f"{at:%Y-%m-%d %H:%M}" for at in (outage.began_at, until))
    return f"webhooks sent from {began} to {end} UTC were not received"


@dataclass(frozen=True, slots=True)
class GapFiller:
    """``retry_hours`` are those of the platforms that send webhooks."""

    pool: Pool
    platforms: Mapping[str, PullingPlatform]
    retry_hours: Mapping[str, float]

    async def sweep(self, stop: asyncio.Event) -> None:
        """Look at outages that ended until ``stop`` is set."""
        while not stop.is_set():
            await self.round()
            await stopped(stop, LOOK_SECONDS)

    async def round(self) -> int:
        """Ask for what the outages that ended have lost; return how many accounts are to be read for it."""
        try:
            async with self.pool.acquire() as connection, transaction(connection):
                asked = 0
                for outage in await process_store.unsettled_outages(connection):
                    asked += await self._fill(connection, outage)
                    await process_store.settle_outage(connection, outage)
                await self._show(connection)
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("gaps.round_failed", error=describe(error))
            return 0
        return asked

    async def _fill(self, connection: asyncpg.Connection, outage: Outage) -> int:
        accounts = [*await store.known_accounts(connection)]
        asked = 0
        for name, hours in self.retry_hours.items():
            until = lost_until(outage, timedelta(hours=hours))
            if until is None:
                continue
            first = self.platforms[name].first if name in self.platforms else ()
            of_platform = [key for key in accounts if key.provider == name]
            log.warning("gap.found", platform=name, began=outage.began_at, until=until, accounts=len(of_platform))
            for key in of_platform:
                wanted = [Wanted(task, reason(outage, until), Priority.RECENT) for task in first]
                await store.want(connection, key, wanted)
            asked += len(of_platform)
        return asked

    async def _show(self, connection: asyncpg.Connection) -> None:
        recent = await process_store.recent_outages(connection, SHOWN_DAYS)
        for name, hours in self.retry_hours.items():
            found = [(outage, lost_until(outage, timedelta(hours=hours))) for outage in recent]
            lost = sum((until - outage.began_at).total_seconds() for outage, until in found if until is not None)
            metrics.of(metrics.webhooks_lost_seconds, name).set(lost)
