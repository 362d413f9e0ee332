"""The reports of processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

LOST_SECONDS = 30.0
"""Age of the last report from which on a process counts as gone: six reports are missing."""

KEPT_DAYS = 7


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


async def save(
    connection: asyncpg.Connection, id_: UUID, kind: str, host: str, pid: int, configured: Sequence[str]
) -> None:
    """Store that a process runs."""
    await connection.execute(
        """
        INSERT INTO processes (id, kind, host, pid, configured) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO UPDATE SET seen_at = now()""",
        id_,
        kind,
        host,
        pid,
        list(configured),
    )


async def delete_old(connection: asyncpg.Connection) -> None:
    """Delete the processes that have not reported for ``KEPT_DAYS``."""
    await connection.execute("DELETE FROM processes WHERE seen_at < now() - make_interval(days => $1)", KEPT_DAYS)


async def reported(connection: asyncpg.Connection) -> list[Process]:
    """Return the processes of the last days, the most recent report first."""
    rows = await connection.fetch(
        """
        SELECT kind, host, pid, configured, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent
        FROM processes ORDER BY seen_at DESC, id"""
    )
    return [Process(*row) for row in rows]
