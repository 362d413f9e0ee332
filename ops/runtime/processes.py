"""Each process says in PostgreSQL that it runs and what it is configured for; `landfall doctor` reads that."""

import asyncio
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog
import uuid_utils

from ops.runtime.db import Pool, describe

REPORT_SECONDS = 5.0
FIRST_SECONDS = 0.5
"""Before the first report: a process that cannot stay, because its port is taken, is none."""

LOST_SECONDS = 30.0
"""A process that was silent for so long is taken for gone: six reports, and a database that is slow now and then."""

KEPT_DAYS = 7

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Process:
    """What one process said last; ``silent`` is for how many seconds it has said nothing."""

    kind: str
    host: str
    pid: int
    configured: Sequence[str]
    silent: float

    @property
    def lives(self) -> bool:
        return self.silent < LOST_SECONDS


async def report(pool: Pool, kind: str, configured: Sequence[str]) -> None:
    """Report until cancelled. Where the database is away it says nothing, which says enough."""
    id_ = UUID(str(uuid_utils.uuid7()))
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            async with pool.acquire() as connection:
                await connection.execute(
                    """
                    INSERT INTO processes (id, kind, host, pid, configured) VALUES ($1, $2, $3, $4, $5)
                    ON CONFLICT (id) DO UPDATE SET seen_at = now()""",
                    id_,
                    kind,
                    platform.node(),
                    os.getpid(),
                    list(configured),
                )
                await connection.execute(
                    "DELETE FROM processes WHERE seen_at < now() - make_interval(days => $1)", KEPT_DAYS
                )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.debug("process.not_reported", error=describe(error))
        await asyncio.sleep(REPORT_SECONDS)


async def reported(connection: asyncpg.Connection) -> list[Process]:
    """Those of the last days, the last heard of first."""
    rows = await connection.fetch(
        """
        SELECT kind, host, pid, configured, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent
        FROM processes ORDER BY seen_at DESC, id"""
    )
    return [Process(**row) for row in rows]
