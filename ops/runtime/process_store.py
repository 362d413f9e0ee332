"""The reports of processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

LOST_SECONDS = 30.0
"""Age of the last report from which on a process counts as gone: six reports are missing."""

KEPT_DAYS = 7

RECEIVING = "serve"
"""The kind of process that receives webhooks."""

OUTAGE_SECONDS = 600.0
"""Shorter times without such a process are restarts, over which every platform repeats what it sends."""


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
    """Delete the processes that have not reported for ``KEPT_DAYS``, but for the last one of each kind."""
    await connection.execute(
        """
        DELETE FROM processes p WHERE seen_at < now() - make_interval(days => $1)
            AND EXISTS (SELECT FROM processes later WHERE later.kind = p.kind AND later.seen_at > p.seen_at)""",
        KEPT_DAYS,
    )


async def note_start(connection: asyncpg.Connection) -> None:
    """Note the outage that ends with this process, the first for a while that receives webhooks; before its report."""
    await connection.execute(
        """
        INSERT INTO outages (began_at) SELECT max(seen_at) FROM processes WHERE kind = $1
        HAVING max(seen_at) < now() - make_interval(secs => $2) ON CONFLICT DO NOTHING""",
        RECEIVING,
        OUTAGE_SECONDS,
    )


async def note_refused(connection: asyncpg.Connection, since: datetime) -> None:
    """Note that webhooks were refused since then, for want of a place to keep them, until now."""
    await connection.execute(
        """
        INSERT INTO outages (began_at) SELECT $1::timestamptz WHERE $1 < now() - make_interval(secs => $2)
        ON CONFLICT DO NOTHING""",
        since,
        OUTAGE_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing received webhooks."""

    began_at: datetime
    ended_at: datetime


async def unsettled_outages(connection: asyncpg.Connection) -> list[Outage]:
    """Return the outages of which nobody has looked yet what they lost, and lock them until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT began_at, ended_at FROM outages WHERE settled_at IS NULL
        ORDER BY began_at FOR UPDATE SKIP LOCKED"""
    )
    return [Outage(*row) for row in rows]


async def settle_outage(connection: asyncpg.Connection, outage: Outage) -> None:
    """Note that what an outage lost was looked for."""
    await connection.execute("UPDATE outages SET settled_at = now() WHERE began_at = $1", outage.began_at)


async def recent_outages(connection: asyncpg.Connection, days: int) -> list[Outage]:
    """Return the outages that ended within the last days."""
    rows = await connection.fetch(
        "SELECT began_at, ended_at FROM outages WHERE ended_at > now() - make_interval(days => $1) ORDER BY began_at",
        days,
    )
    return [Outage(*row) for row in rows]


async def reported(connection: asyncpg.Connection) -> list[Process]:
    """Return the processes of the last days, the most recent report first."""
    rows = await connection.fetch(
        """
        SELECT kind, host, pid, configured, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS silent
        FROM processes ORDER BY seen_at DESC, id"""
    )
    return [Process(*row) for row in rows]
