"""All SQL of partitions and retention. Functions take a connection and never open a transaction; the caller does."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import required, rows_affected

MAKE_SECONDS = 300
"""Longest that making partitions may take: rows may have to be moved into one."""


class Gaps(NamedTuple):
    """For how many months to come there are partitions, and whether rows stand outside of the partition of their month.

    ``misplaced`` rows are in no danger: they are read and written like all others.
    """

    months_ahead: int
    misplaced: bool


async def make_partitions(connection: asyncpg.Connection) -> int:
    """Make the partitions of this month and the next three that are not there yet. Return how many were made."""
    await connection.execute("SELECT set_config('statement_timeout', $1, true)", f"{MAKE_SECONDS}s")
    made: int = await connection.fetchval("SELECT make_partitions()", timeout=MAKE_SECONDS)
    return made


async def gaps(connection: asyncpg.Connection) -> Gaps:
    return Gaps(*required(await connection.fetchrow("SELECT * FROM find_partition_gaps()")))


class Policy(NamedTuple):
    """For how many days events of a kind are kept; None for ever.

    ``kind`` is a type of events, ``events`` for those without a policy of their own, or ``deliveries`` for raw
    requests.
    """

    platform: str
    kind: str
    days: int | None


async def policies(connection: asyncpg.Connection) -> list[Policy]:
    rows = await connection.fetch("SELECT platform, kind, days FROM retention_policies ORDER BY 1, 2")
    return [Policy(*row) for row in rows]


async def put_policy(connection: asyncpg.Connection, policy: Policy) -> None:
    await connection.execute(
        """
        INSERT INTO retention_policies (platform, kind, days) VALUES ($1, $2, $3)
        ON CONFLICT (platform, kind) DO UPDATE SET days = excluded.days""",
        *policy,
    )


async def remove_policy(connection: asyncpg.Connection, platform: str, kind: str) -> bool:
    """Return whether there was one."""
    status = await connection.execute(
        "DELETE FROM retention_policies WHERE platform = $1 AND kind = $2", platform, kind
    )
    return rows_affected(status) > 0


async def known_types(connection: asyncpg.Connection, platform: str) -> list[str]:
    """Return the types of the newest events of a platform."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT event_type FROM (
            SELECT event_type FROM webhook_event_log WHERE provider = $1 ORDER BY id DESC LIMIT 10000) e ORDER BY 1""",
        platform,
    )
    return [row["event_type"] for row in rows]


_DUE = """
FROM webhook_event_log e
LEFT JOIN retention_policies own ON own.platform = e.provider AND own.kind = e.event_type
    AND own.kind NOT IN ('events', 'deliveries')
LEFT JOIN retention_policies any_type ON any_type.platform = e.provider AND any_type.kind = 'events'
LEFT JOIN webhook_event_outcomes o ON o.bucket = e.bucket AND o.account_id = e.account_id AND o.event_id = e.id
WHERE e.id < event_id_from(
        now() - make_interval(days => (SELECT min(days) FROM retention_policies WHERE kind <> 'deliveries')))
    AND e.created_at < now() - make_interval(days => CASE WHEN own.kind IS NULL THEN any_type.days ELSE own.days END)
"""


class DueEvents(NamedTuple):
    """What is due of one type of events; ``waiting`` are those that are kept as they wait for a worker or a person."""

    platform: str
    event_type: str
    events: int
    waiting: int
    accounts: int
    oldest_at: datetime
    newest_at: datetime


async def due_events(connection: asyncpg.Connection) -> list[DueEvents]:
    rows = await connection.fetch(
        f"""
        SELECT e.provider, e.event_type, count(*) FILTER (WHERE o.state IN ('done', 'ignored')),
            count(*) FILTER (WHERE (o.state IN ('done', 'ignored')) IS NOT TRUE), count(DISTINCT e.account_id),
            min(e.created_at), max(e.created_at)
        {_DUE} GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    return [DueEvents(*row) for row in rows]


class DueDeliveries(NamedTuple):
    platform: str
    deliveries: int


async def due_deliveries(connection: asyncpg.Connection) -> list[DueDeliveries]:
    rows = await connection.fetch(
        """
        SELECT d.provider, count(*) FROM webhook_deliveries d
        JOIN retention_policies p ON p.platform = d.provider AND p.kind = 'deliveries'
        JOIN webhook_delivery_outcomes o ON o.delivery_id = d.id
        WHERE d.received_at < now() - make_interval(days => p.days) GROUP BY 1 ORDER BY 1"""
    )
    return [DueDeliveries(*row) for row in rows]


class KeptRows(NamedTuple):
    """How many rows of a table no rebuild can make anew."""

    table: str
    rows: int


async def rows_without_a_log(connection: asyncpg.Connection, tables: Sequence[Table]) -> list[KeptRows]:
    """Count the rows that events may have made which are due, or dropped already: a rebuild keeps them as they are."""
    found = []
    for table in tables:
        provider = f"'{table.info['provider']}'" if "provider" in table.info else "t.provider"
        until = "AND t.created_at <= k.newest_at" if "created_at" in table.columns else ""
        count = await connection.fetchval(
            f"""
            WITH dropped AS MATERIALIZED (
                SELECT bucket, provider, account_id, max(newest_at) AS newest_at FROM (
                    SELECT bucket, provider, account_id, newest_at FROM webhook_dropped_events
                    UNION ALL SELECT e.bucket, e.provider, e.account_id, e.created_at {_DUE}
                        AND o.state IN ('done', 'ignored')
                ) k GROUP BY 1, 2, 3
            )
            SELECT count(*) FROM {table.name} t JOIN dropped k ON k.bucket = t.bucket AND k.provider = {provider}
                AND k.account_id = t.account_id {until}"""
        )
        if count:
            found.append(KeptRows(table.name, count))
    return found


async def drop_partition(connection: asyncpg.Connection) -> str | None:
    """Drop a partition of a past month in which everything is due. Return its name, None where there is none."""
    name: str | None = await connection.fetchval("SELECT drop_due_partition()")
    return name


BATCH = 5000


async def drop_events(connection: asyncpg.Connection, after: int) -> tuple[int, int | None]:
    """Drop what is due of the next events. Return how many, and where to go on; None at the end."""
    row = required(await connection.fetchrow("SELECT dropped, last FROM drop_due_events($1, $2)", after, BATCH))
    return row["dropped"], row["last"]


async def drop_deliveries(connection: asyncpg.Connection, after: UUID) -> tuple[int, UUID | None]:
    """Drop what is due of the next deliveries. Return how many, and where to go on; None at the end."""
    row = required(await connection.fetchrow("SELECT dropped, last FROM drop_due_deliveries($1, $2)", after, BATCH))
    return row["dropped"], row["last"]
