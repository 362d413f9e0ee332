"""Whatever was accepted can be stored, and comes back as it came (faults.md E5, E6)."""

import hashlib
import json
import uuid
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings

from ingest import store
from ingest.contract import Delivery
from ops.cli import wiring
from schema.metadata import APP_ROLE
from tests.recordings import bodies, recordings, take

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
            headers = {"x-odd": "ü\udcff", "content-type": "application/json"}
            receipt = store.Receipt(
                str(uuid.uuid4()), platform, webhook.rule_version, Delivery(headers, body), take(platform, body)
            )
            new = await store.append(connection, [receipt])
            names = {(event.account_id, event.external_id): event.payload for event in receipt.accepted.events}
            assert new == {receipt.id: len(names.keys() - expected.keys())}, body
            expected = names | expected  # the first delivery of an event is the one that is kept
            events += len(receipt.accepted.events)
            row = await connection.fetchrow("SELECT * FROM webhook_deliveries WHERE id = $1", receipt.id)
            assert row["body"] == body
            assert row["body_sha256"] == hashlib.sha256(body).digest()
            assert row["event_count"] == len(receipt.accepted.events)

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
