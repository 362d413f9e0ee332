"""Report each process and its configuration to PostgreSQL, where `landfall doctor` reads them."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog
import uuid_utils

from ops.runtime.db import Pool, describe
from ops.runtime.periodic import repeat

REPORT_SECONDS = 5.0
FIRST_SECONDS = 0.5
"""Before the first report: a process that cannot stay, because its port is taken, is none."""

LOST_SECONDS = 30.0
"""Age of the last report from which on a process counts as gone: six reports are missing."""

KEPT_DAYS = 7

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Process:
    """The last report of one process; ``silent`` is its age in seconds."""

    kind: str
    host: str
    pid: int
    configured: Sequence[str]
    silent: float

    @property
    def lives(self) -> bool:
        return self.silent < LOST_SECONDS


async def report(pool: Pool, kind: str, configured: Sequence[str]) -> None:
    """Report until cancelled. While the database is away nothing is reported."""
    id_ = UUID(str(uuid_utils.uuid7()))

    async def report_once() -> None:
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

    await repeat(report_once, REPORT_SECONDS, first=FIRST_SECONDS)


async def reported(connection: asyncpg.Connection) -> list[Process]:
    """Return the processes of the last days, the most recent report first."""
    rows = await connection.fetch(
        """
        SELECT kind, host, pid, configured, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent
        FROM processes ORDER BY seen_at DESC, id"""
    )
    return [Process(**row) for row in rows]
