"""Whatever was accepted can be stored, and comes back as it came (faults.md E5, E6)."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings

from ingest import store
from ingest.splitter import Splitter
from ops.cli import wiring
from ops.runtime import db
from schema.metadata import APP_ROLE
from tests.recordings import bodies, received, recordings, take
from tests.support import VARIABLES, comment, instagram

ODD = [
    # body, why
    (b'{"object":"instagram","entry":[{"id":"\\u0000","changes":[{"field":"\\ud800","value":"\\u0000"}]}]}', "NUL"),
    (b'{"a":1e308,"b":5e-324,"c":-0.0,"d":' + b"9" * 4300 + b"}", "numbers as far as they go"),
    (b"[" * 64 + b"]" * 64, "as deep as is read"),
    (b"[" * 100_000, "deeper"),
    (b"\x00\xff\xfe", "not text"),
    (b"", "nothing"),
    (b'{"object":"instagram","entry":[{"id":"' + b"9" * 2**20 + b'"}]}', "an id of a megabyte"),
    (b"\xef\xbb\xbf{}", "a byte order mark"),
]


def exactly(text: str) -> Any:
    """Numbers by value: jsonb writes 1e2 as 100."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def sample(count: int) -> list[bytes]:
    found: list[bytes] = []

    @settings(max_examples=count, database=None)
    @given(bodies())
    def collect(body: bytes) -> None:
        found.append(body)

    collect()
    return found


@pytest.mark.parametrize("platform", wiring.webhooks())
async def test_any_accepted_delivery_is_stored_and_read_back_bytewise(
    connection: asyncpg.Connection, platform: str
) -> None:
    webhook = wiring.webhooks()[platform]
    recorded = [recording.body for recording in recordings(platform)]
    everything = dict.fromkeys([*recorded, *(body for body, _ in ODD), *sample(250)])
    await connection.execute(f"SET ROLE {APP_ROLE}")
    expected: dict[tuple[str, str], str | None] = {}
    events = 0
    async with connection.transaction():
        for body in everything:
            delivery = received(platform, body, {"user-agent": "ü\udcff", "content-type": "application/json"})
            await store.receive(connection, [delivery])
            [taken] = await store.take(connection, 10, 1)
            assert taken == delivery._replace(received_at=taken.received_at)
            assert "user-agent: ü".encode() + b"\xff\r\n" in taken.headers
            cut = store.SplitDelivery(taken, webhook.rule_version, take(platform, body))
            new = await store.append(connection, [cut])
            await store.settle(connection, [cut], new)
            names = {(event.account_id, event.external_id): event.payload for event in cut.split.events}
            assert new.get(delivery.id, 0) == len(names.keys() - expected.keys()), body
            expected = names | expected  # the first delivery of an event is the one that is kept
            events += len(cut.split.events)
            row = await connection.fetchrow(
                "SELECT * FROM webhook_delivery_outcomes WHERE delivery_id = $1", delivery.id
            )
            assert row["body_sha256"] == hashlib.sha256(body).digest()
            assert (row["event_count"], row["new_event_count"]) == (len(cut.split.events), new.get(delivery.id, 0))
    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_queue") == 0

    assert events >= len(everything)
    rows = await connection.fetch("SELECT account_id, external_id, payload_json, sanitized FROM webhook_event_log")
    assert {(row["account_id"], row["external_id"]) for row in rows} == expected.keys()
    for row in rows:
        payload = expected[row["account_id"], row["external_id"]]
        stored = row["payload_json"]
        assert (stored is None) is (payload is None)
        if payload is not None:
            assert exactly(stored) == exactly(payload)
    # Nothing the log took may break a later read of it.
    assert await connection.fetchval("SELECT count(payload_json #>> '{}') FROM webhook_event_log") == sum(
        payload is not None for payload in expected.values()
    ) - await connection.fetchval("SELECT count(*) FROM webhook_event_log WHERE payload_json = 'null'")
    waiting = await connection.fetchval("SELECT count(*) FROM webhook_event_queue")
    parked = await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'parked'")
    assert waiting + parked == len(expected)


@dataclass
class Split:
    """Splits what waits, on a connection of its own."""

    connection: asyncpg.Connection

    async def drain(self) -> int:
        return await Splitter(wiring.webhooks(), VARIABLES).drain(self.connection)


@pytest.fixture
async def splitter(database: str) -> AsyncIterator[Split]:
    own = await db.connect(database, APP_ROLE)
    yield Split(own)
    await own.close()


async def test_body_that_was_received_before_is_stored_once_and_every_delivery_leads_to_it(
    connection: asyncpg.Connection, splitter: Split
) -> None:
    sent = [instagram(comment(number, text="x" * 1000)) for number in range(3)]
    deliveries = [received("instagram", body) for body in sent * 50]
    # One batch with copies in it, batches of one, and batches that hold both what is known and what is not.
    for batch in (deliveries[:5], deliveries[5:6], deliveries[6:7], deliveries[7:70], deliveries[70:]):
        await store.receive(connection, batch)
        assert await splitter.drain() == len(batch)
    rows = await connection.fetch(
        """
        SELECT d.id::text, coalesce(d.body, o.body) AS body, d.body IS NULL AS copied, o.body IS NULL AS original
        FROM webhook_deliveries d LEFT JOIN webhook_deliveries o ON o.id = d.body_of"""
    )
    assert {row["id"]: bytes(row["body"]) for row in rows} == {d.id: d.body for d in deliveries}
    assert sum(not row["copied"] for row in rows) == len(sent)
    assert all(row["copied"] is not row["original"] for row in rows)


async def test_same_bytes_from_two_platforms_are_stored_for_each(
    connection: asyncpg.Connection, splitter: Split
) -> None:
    for platform in ("instagram", "tiktok", "tiktok"):
        await store.receive(connection, [received(platform, b"no JSON")])
        await splitter.drain()
    rows = await connection.fetch("SELECT provider, body FROM webhook_deliveries WHERE body IS NOT NULL ORDER BY 1")
    assert [tuple(row) for row in rows] == [("instagram", b"no JSON"), ("tiktok", b"no JSON")]


async def test_body_that_two_processes_get_at_once_is_never_lost(
    connection: asyncpg.Connection, splitter: Split
) -> None:
    """Each takes another copy, and none sees what the other writes."""
    body = b'{"object":"instagram","entry":[]}'
    deliveries = [received("instagram", body) for _ in range(3)]
    await store.receive(connection, deliveries[:2])
    async with connection.transaction():
        [first] = await store.take(connection, 1, 1)
        cut = store.SplitDelivery(first, 1, take("instagram", body))
        await store.settle(connection, [cut], {})
        await store.share_bodies(connection, [first.id])
        assert await splitter.drain() == 1
    await store.receive(connection, deliveries[2:])
    await splitter.drain()
    kept = await connection.fetch("SELECT body FROM webhook_deliveries ORDER BY id")
    assert [row["body"] for row in kept] == [body, body, None]


async def test_delivery_that_others_point_to_keeps_its_body_however_often_it_is_split(
    connection: asyncpg.Connection, splitter: Split
) -> None:
    """An older delivery with the same body, which another process split meanwhile, comes to light later."""
    body = b'{"object":"instagram","entry":[]}'
    deliveries = [received("instagram", body) for _ in range(3)]
    await store.receive(connection, deliveries)
    async with connection.transaction():
        [first] = await store.take(connection, 1, 1)
        cut = store.SplitDelivery(first, 1, take("instagram", body))
        await store.settle(connection, [cut], {})
        await store.share_bodies(connection, [first.id])
        assert await splitter.drain() == 2
    assert await store.queue_again(connection, "instagram", datetime(2026, 1, 1, tzinfo=UTC)) == 2
    assert await splitter.drain() == 2
    await connection.execute("SELECT share_bodies($1::uuid[])", [delivery.id for delivery in deliveries])
    rows = await connection.fetch(
        """
        SELECT coalesce(d.body, o.body) FROM webhook_deliveries d LEFT JOIN webhook_deliveries o ON o.id = d.body_of"""
    )
    assert [row[0] for row in rows] == [body] * 3


@pytest.mark.parametrize("body", [instagram(comment(1)), b'{"object":"instagram","entry":[]}'], ids=["events", "none"])
async def test_splitting_a_copy_costs_the_same_however_many_there_are(
    connection: asyncpg.Connection, splitter: Split, body: bytes
) -> None:
    """Else one captured request, sent again and again, would hold up all others."""
    read = """
        SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::int FROM pg_stat_xact_user_tables
        WHERE relname IN ('webhook_deliveries', 'webhook_delivery_outcomes')"""
    await store.receive(connection, [received("instagram", body) for _ in range(500)])
    assert await splitter.drain() == 500
    await connection.execute("ANALYZE webhook_deliveries, webhook_delivery_outcomes")
    copy = received("instagram", body)
    await store.receive(connection, [copy])
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")  # tables of this size are read whole otherwise
        [taken] = await store.take(connection, 1, 1)
        await store.settle(connection, [store.SplitDelivery(taken, 1, take("instagram", body))], {})
        before = await connection.fetchval(read)
        await store.share_bodies(connection, [copy.id])
        assert await connection.fetchval(read) - before < 20
    assert await connection.fetchval("SELECT count(body) FROM webhook_deliveries") == 1


async def test_no_copy_points_at_a_body_that_was_erased(connection: asyncpg.Connection, splitter: Split) -> None:
    body = instagram(comment(1))
    for _ in range(2):
        await store.receive(connection, [received("instagram", body)])
        await splitter.drain()
        await connection.execute(
            "UPDATE webhook_deliveries SET body = '' WHERE body_of IS NULL AND id = $1::uuid",
            (await connection.fetchval("SELECT min(id::text)::uuid FROM webhook_deliveries")),
        )
    [row] = await connection.fetch("SELECT body FROM webhook_deliveries WHERE body IS DISTINCT FROM ''")
    assert row["body"] == body
