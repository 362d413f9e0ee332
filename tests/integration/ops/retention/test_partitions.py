"""Partitions of the months to come are made by the worker, and rows that came too early for one are moved into it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ops.cli.doctor import _partitions
from ops.retention import partitions, store
from ops.runtime import db, metrics
from schema.rights import WORKER_ROLE

TABLES = ("webhook_deliveries", "webhook_delivery_outcomes", "webhook_event_log", "webhook_event_outcomes")


@pytest.fixture
async def worker(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await db.connect(database, WORKER_ROLE)
    yield connection
    await connection.close()


async def without_months_to_come(connection: asyncpg.Connection) -> list[str]:
    """Drop the partitions of the months to come; return their names."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^webhook_.*_[0-9]{4}_[0-9]{2}$'"
        " AND right(relname, 7) > to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM') ORDER BY 1"
    )
    names = [row["relname"] for row in rows]
    assert len(names) == 3 * len(TABLES)
    await connection.execute(f"DROP TABLE {', '.join(names)}")
    return names


APPEND = """
INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version, sanitized,
    created_at)
SELECT next_event_id(at), 1, 'a', 'instagram', 't', at::text, 1, false, at
FROM (SELECT now() + $1::text::interval AS at) t RETURNING id
"""


async def test_missing_months_are_made_and_what_came_meanwhile_is_moved_into_them(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    names = await without_months_to_come(connection)
    for months in (0, 1, 2, 3):
        await connection.fetchval(APPEND, f"{months} months")
    before = await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id")
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_log_default") == 3
    assert await store.gaps(worker) == (0, True)
    assert (await _partitions(worker)).level == "warning"
    assert await partitions.make(worker) == len(names)
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_log_default") == 0
    assert await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id") == before
    assert await store.gaps(worker) == (3, False)
    assert (await _partitions(worker)).level == "ok"
    assert await partitions.make(worker) == 0, "there is nothing more to do"
    kinds = await connection.fetch(
        "SELECT count(*) FROM pg_index WHERE indrelid = ANY($1::text[]::regclass[]) GROUP BY indrelid", names
    )
    assert {row["count"] for row in kinds} == {2, 3, 4}, "with the keys and indexes of their tables"
    assert metrics.partition_months_ahead.collect()[0].samples[0].value == 3


async def test_row_of_a_clock_that_is_wrong_is_kept_and_told_of(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    late = await connection.fetchval(APPEND, "60 years")
    assert await partitions.make(worker) == 0
    assert await store.gaps(worker) == (3, True)
    assert await connection.fetchval("SELECT external_id FROM webhook_event_log WHERE id = $1", late)
    found = await _partitions(worker)
    assert (found.level, "clock" in found.remedy) == ("warning", True)


async def test_table_that_somebody_holds_is_left_for_the_next_time(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await without_months_to_come(connection)
    async with connection.transaction():
        await connection.execute("LOCK webhook_event_log IN SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await partitions.make(worker)
        assert metrics.partition_months_ahead.collect()[0].samples[0].value == 0
    assert await partitions.make(worker) == 3 * len(TABLES)


async def test_two_workers_make_each_partition_once(
    database: str, connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await without_months_to_come(connection)
    other = await db.connect(database, WORKER_ROLE)
    assert sorted(await asyncio.gather(partitions.make(worker), partitions.make(other))) == [0, 3 * len(TABLES)]
    await other.close()
