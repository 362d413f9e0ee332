"""Rows of the release before go over to the buckets of this one, and back."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest
from alembic import command

from ops.cli import wiring
from ops.cli.migrate import alembic_config
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres
from schema.crm import crm_tables
from schema.events import BUCKETS, bucket_of
from schema.rights import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild.procedure import rebuild, verify
from tests.integration.sync.projection.test_worker import story
from tests.support import append_event, rows

PROJECTIONS = wiring.projections()

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


Rows = dict[str, list[dict[str, Any]]]


async def there_before(connection: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    """The CRM tables that this database has."""
    there = {name for [name] in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    return {table.name: await rows(connection, table.name) for table in crm_tables() if table.name in there}


def of_release(tables: Rows, release: Rows) -> Rows:
    """Of these rows, the tables and columns that the rows of a release have."""
    columns = {table: {*rows[0]} if rows else set() for table, rows in release.items()}
    return {
        table: [{name: value for name, value in row.items() if name in columns[table]} for row in tables[table]]
        for table in release
    }


async def test_crm_rows_get_their_bucket_and_are_what_the_log_says(database: str) -> None:
    connection = await asyncpg.connect(database)
    for account, event in {event["external_id"]: (account, event) for account, event in story(3)}.values():
        await append_event(connection, account, **event)
    async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, PROJECTIONS, tries=3).drain(30)
    projected = await there_before(connection)
    platform = {table.name: table.info.get("provider") for table in crm_tables()}

    await asyncio.to_thread(move, command.downgrade, database, BEFORE)
    before = await there_before(connection)
    assert sorted_by_text(before) == sorted_by_text(of_release(projected, before))
    assert not any("bucket" in row for found in before.values() for row in found)
    assert sum(len(rows) for rows in before.values()) > 100

    await asyncio.to_thread(move, command.upgrade, database, "head")
    after = await there_before(connection)
    assert sorted_by_text(of_release(after, before)) == sorted_by_text(before)
    for table in before:
        for row in after[table]:
            assert row["bucket"] == bucket_of(platform[table] or row["provider"], row["account_id"])
    await connection.close()
    owner = await asyncpg.connect(database)
    await rebuild(owner, PROJECTIONS, list(PROJECTIONS), lambda *_: None)  # what later releases keep besides
    report = await verify(owner, PROJECTIONS, lambda *_: None)
    assert (report.drift, report.failed) == (0, [])
    assert sorted_by_text(await there_before(owner)) == sorted_by_text(projected)
    await owner.close()


def sorted_by_text(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {table: sorted(rows, key=repr) for table, rows in tables.items()}
