"""Rows of the release before go over to the buckets of this one, and back."""

import asyncio
import zlib
from collections.abc import Callable, Iterator

import asyncpg
import pytest
from alembic import command

from ops.cli.migrate import alembic_config
from ops.runtime.embedded import Postgres
from schema.events import BUCKETS, bucket_of

BEFORE, AFTER = "0009", "0010"

ACCOUNTS = [("instagram", str(number)) for number in range(300)]
ACCOUNTS += [("tiktok", "7"), ("instagram", ""), ("tiktok", "\\x41"), ("tiktok", "ü\U0001f600")]


def bucket_before(provider: str, account: str) -> int:
    return zlib.crc32(f"{provider}\x1f{account}".encode()) % 64


def move(step: Callable[..., None], dsn: str, revision: str) -> None:
    config = alembic_config()
    config.attributes["dsn"] = dsn
    step(config, revision)


@pytest.fixture
def filled(postgres: Postgres) -> Iterator[str]:
    """A database of the release before."""
    postgres.sql("DROP DATABASE IF EXISTS buckets_before", "CREATE DATABASE buckets_before OWNER landfall")
    dsn = postgres.dsn("buckets_before")
    move(command.upgrade, dsn, BEFORE)
    yield dsn
    postgres.sql("DROP DATABASE buckets_before WITH (FORCE)")


FILL = """
WITH input AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[]) AS i (provider, account_id, bucket),
        unnest('{pending,done}'::text[]) AS state
), added AS (
    INSERT INTO webhook_event_log (provider, account_id, event_type, external_id, rule_version, payload_json, sanitized)
    SELECT provider, account_id, 'none', state, 1, '{}', false FROM input
    RETURNING provider, account_id, external_id AS state, id
), placed AS (
    SELECT bucket, account_id, id, state FROM added JOIN input USING (provider, account_id, state)
), queued AS (
    INSERT INTO webhook_event_queue (bucket, account_id, event_id)
    SELECT bucket, account_id, id FROM placed WHERE state = 'pending'
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state)
SELECT bucket, account_id, id, state FROM placed WHERE state = 'done'
"""


async def buckets(connection: asyncpg.Connection, table: str) -> list[tuple[str, str, int]]:
    rows = await connection.fetch(
        f"SELECT e.provider, e.account_id, w.bucket FROM {table} w"
        " JOIN webhook_event_log e ON e.account_id = w.account_id AND e.id = w.event_id ORDER BY w.event_id"
    )
    return [tuple(row) for row in rows]


async def test_work_goes_over_to_the_new_buckets_and_back(filled: str) -> None:
    connection = await asyncpg.connect(filled)
    old = [bucket_before(*account) for account in ACCOUNTS]
    await connection.execute(FILL, *map(list, zip(*ACCOUNTS, strict=True)), old)
    await connection.execute(
        "UPDATE webhook_buckets SET holder = 'w', leased_until = now() + interval '1 h' WHERE bucket = 3"
    )
    tables = ("webhook_event_queue", "webhook_event_outcomes")
    before = {table: await buckets(connection, table) for table in tables}
    assert all(len(rows) == len(ACCOUNTS) for rows in before.values())
    leases = "SELECT count(*), count(holder), min(fence) FROM webhook_buckets"

    await asyncio.to_thread(move, command.upgrade, filled, AFTER)
    for table in tables:
        assert await buckets(connection, table) == [(p, a, bucket_of(p, a)) for p, a, _ in before[table]]
    assert tuple(await connection.fetchrow(leases)) == (BUCKETS, 0, 1)

    await asyncio.to_thread(move, command.downgrade, filled, BEFORE)
    for table in tables:
        assert await buckets(connection, table) == before[table]
    assert tuple(await connection.fetchrow(leases)) == (64, 0, 2)
    await connection.close()
