"""The log of the release before gets names, partitions and buckets, keeps its ids and its order, and goes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from alembic import command

from ingest.contract import Incoming
from ingest.split import Split
from ingest.store import SplitDelivery, append
from ops.cli.migrate import alembic_config
from ops.runtime.embedded import Postgres
from schema.events import bucket_of, identity_of
from tests.recordings import received
from tests.support import append_event

BEFORE, AFTER = "0011", "0012"
TABLES = ("webhook_deliveries", "webhook_delivery_outcomes", "webhook_event_log", "webhook_event_outcomes")

FILL = """
INSERT INTO webhook_deliveries (id, provider, received_at, verdict, secret_used, headers, body)
SELECT ('0' || to_hex(extract(epoch FROM at)::bigint * 1000) || '7' || lpad(n::text, 19, '0'))::uuid, 'tiktok', at,
    'accepted', 'S#1', 'a: b', convert_to(n::text, 'UTF8')
FROM generate_series(1, 400) n, LATERAL (SELECT now() - n * interval '1 day' AS at) t;
INSERT INTO webhook_deliveries (id, provider, verdict, secret_used, headers, body_of)
SELECT (left(id::text, 24) || repeat('f', 12))::uuid, provider, 'accepted', 'S#1', '', id
FROM webhook_deliveries LIMIT 9;
INSERT INTO webhook_delivery_outcomes (delivery_id, rule_version, verdict, event_count, new_event_count, body_sha256)
SELECT id, 1, 'accepted', 1, 1, sha256(coalesce(body, 'x')) FROM webhook_deliveries;
INSERT INTO webhook_event_log (account_id, provider, event_type, external_id, rule_version, payload_json, occurred_at,
    delivery_id, defect, sanitized, created_at, source)
SELECT 'a' || n % 7 || repeat('ü', (n % 3)::int), 'tiktok', 'none', 'e\\' || n, 1, jsonb_build_object('n', n),
    received_at, id, CASE WHEN n % 5 = 0 THEN 'why' END, n % 2 = 0, received_at, 'webhook'
FROM (SELECT *, row_number() OVER (ORDER BY received_at) AS n FROM webhook_deliveries) d ORDER BY n;
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message)
SELECT bucket_of(provider, account_id), account_id, id, CASE WHEN defect IS NULL THEN 'done' ELSE 'parked' END, defect
FROM webhook_event_log WHERE id % 3 <> 0;
INSERT INTO webhook_event_queue (bucket, account_id, event_id)
SELECT bucket_of(provider, account_id), account_id, id FROM webhook_event_log WHERE id % 3 = 0;
"""


def move(step: Callable[..., None], dsn: str, revision: str) -> None:
    config = alembic_config()
    config.attributes["dsn"] = dsn
    step(config, revision)


@pytest.fixture
async def filled(postgres: Postgres) -> AsyncIterator[str]:
    """A database of the release before, with rows of more than a year."""
    postgres.sql("DROP DATABASE IF EXISTS shape_before", "CREATE DATABASE shape_before OWNER landfall")
    dsn = postgres.dsn("shape_before")
    await asyncio.to_thread(move, command.upgrade, dsn, BEFORE)
    connection = await asyncpg.connect(dsn)
    await connection.execute(FILL)
    await connection.close()
    yield dsn
    postgres.sql("DROP DATABASE shape_before WITH (FORCE)")


async def contents(connection: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    return {
        table: sorted((dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")), key=repr)
        for table in TABLES
    }


def without_bucket(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        table: sorted(({name: row[name] for name in sorted(row) if name != "bucket"} for row in rows), key=repr)
        for table, rows in found.items()
    }


async def test_log_goes_over_whole_with_its_ids_and_back(filled: str) -> None:
    connection = await asyncpg.connect(filled)
    before = await contents(connection)
    view = "SELECT id, state, external_id, payload_json FROM webhook_events ORDER BY id"
    seen = await connection.fetch(view)
    assert len(seen) == 409

    await asyncio.to_thread(move, command.upgrade, filled, AFTER)
    await connection.reload_schema_state()
    assert without_bucket(await contents(connection)) == without_bucket(before)
    assert await connection.fetch(view) == seen
    names = """
        SELECT e.*, i.identity FROM webhook_event_log e
        LEFT JOIN webhook_event_identities i ON i.bucket = e.bucket AND i.event_id = e.id"""
    for row in await connection.fetch(names):
        assert row["bucket"] == bucket_of(row["provider"], row["account_id"])
        assert row["identity"] == identity_of(row["provider"], row["account_id"], row["external_id"])
    again = [Incoming(row["account_id"], "none", row["external_id"], "{}") for row in before["webhook_event_log"]]
    delivery = received("tiktok", b"{}")
    assert await append(connection, [SplitDelivery(delivery, 1, Split("accepted", None, again))]) == {}
    assert await append_event(connection, "a", "new") > seen[-1]["id"], "what comes is after all that came"
    assert not await connection.fetchval("SELECT misplaced FROM find_partition_gaps()")

    await asyncio.to_thread(move, command.downgrade, filled, BEFORE)
    await connection.reload_schema_state()
    back = await connection.fetch(view)
    assert [row["external_id"] for row in back] == [*(row["external_id"] for row in seen), "new"]
    newest = await connection.fetchval(
        "INSERT INTO webhook_event_log (account_id, provider, event_type, external_id, rule_version, sanitized)"
        " VALUES ('a', 'tiktok', 'none', 'newest', 1, false) RETURNING id"
    )
    assert newest > back[-1]["id"]
    await connection.close()


async def test_release_before_is_not_given_a_log_whose_names_it_would_forget(filled: str) -> None:
    connection = await asyncpg.connect(filled)
    await asyncio.to_thread(move, command.upgrade, filled, AFTER)
    await connection.execute("DELETE FROM webhook_event_log WHERE id = 1")
    with pytest.raises(asyncpg.RaiseError, match="whose names the release before would forget"):
        await asyncio.to_thread(move, command.downgrade, filled, BEFORE)
    await connection.close()
