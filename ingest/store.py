"""All of ingest's SQL. Functions take a connection and never open a transaction; the caller does."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from ingest.contract import Delivery, Incoming, Received
from ingest.split import Split
from ops.runtime.db import required, rows_affected
from ops.runtime.row_store import Rows
from schema.events import bucket_of, identity_of

REFUSAL_SLOTS = 200
"""Forged requests kept per platform; the newest takes the place of the oldest."""

REFUSAL_BYTES = 2048

_UNWANTED_HEADERS = {"authorization", "proxy-authorization", "cookie"}

# One statement, hence one transaction and one flush of the WAL, whatever the number of deliveries. It writes WAL even
# when every event in it is a duplicate: the answer promises nothing that another session has yet to make durable
# (faults.md B3).
_RECEIVE = """
WITH stored AS (
    INSERT INTO webhook_deliveries (id, provider, verdict, secret_used, signed_at, headers, body)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[], $7::bytea[])
)
INSERT INTO webhook_delivery_queue (delivery_id) SELECT unnest($1::uuid[])
"""


async def receive(connection: asyncpg.Connection, deliveries: Sequence[Received]) -> None:
    """Store deliveries, and queue them to be split."""
    await connection.execute(
        _RECEIVE,
        [d.id for d in deliveries],
        [d.provider for d in deliveries],
        [d.verdict for d in deliveries],
        [d.secret_used for d in deliveries],
        [d.signed_at for d in deliveries],
        [d.headers for d in deliveries],
        [d.body for d in deliveries],
    )


# The locks are the lease: whoever dies gives its deliveries back, and two splitters take different ones. Of bodies, as
# many as fit into the memory given, but at least one.
_TAKE = """
WITH waiting AS MATERIALIZED (
    SELECT delivery_id FROM webhook_delivery_queue ORDER BY delivery_id LIMIT $1 FOR UPDATE SKIP LOCKED
), sized AS MATERIALIZED (
    SELECT d.id, row_number() OVER (ORDER BY d.id) AS number, sum(octet_length(d.body)) OVER (ORDER BY d.id) AS size
    FROM waiting w JOIN webhook_deliveries d ON d.id = w.delivery_id
)
SELECT d.id::text, d.provider, d.received_at, d.verdict, d.secret_used, d.signed_at, d.headers, d.body
FROM sized s JOIN webhook_deliveries d ON d.id = s.id WHERE s.number = 1 OR s.size <= $2 ORDER BY d.id
"""


async def take(connection: asyncpg.Connection, limit: int, size: int) -> list[Received]:
    """Lock deliveries that wait to be split, the oldest first, and return them.

    At most ``limit``, with at most ``size`` bytes of bodies; one in any case.
    """
    return [Received(*row) for row in await connection.fetch(_TAKE, limit, size)]


async def queue_again(connection: asyncpg.Connection, platform: str, since: datetime) -> int:
    """Queue deliveries that are split already, received since a time. Return how many.

    Of those with the same body, the one that holds it is taken, whenever it was received. Erased ones are not.
    """
    status = await connection.execute(
        """
        INSERT INTO webhook_delivery_queue (delivery_id)
        SELECT DISTINCT h.id FROM webhook_deliveries d JOIN webhook_deliveries h ON h.id = coalesce(d.body_of, d.id)
            JOIN webhook_delivery_outcomes o ON o.delivery_id = h.id
        WHERE d.provider = $1 AND d.received_at >= $2 AND o.verdict_reason IS DISTINCT FROM 'erased'
        ON CONFLICT DO NOTHING""",
        platform,
        since,
    )
    return rows_affected(status)


class Waiting(NamedTuple):
    """How many deliveries wait to be split, and for how long the oldest has waited (seconds, 0 if none does)."""

    deliveries: int
    oldest_seconds: float


async def waiting(connection: asyncpg.Connection) -> Waiting:
    row = await connection.fetchrow(
        """
        SELECT count(*), coalesce(extract(epoch FROM now() - min(d.received_at)), 0)::float8
        FROM webhook_delivery_queue q JOIN webhook_deliveries d ON d.id = q.delivery_id"""
    )
    return Waiting(*required(row))


async def lock(connection: asyncpg.Connection, delivery: str) -> bool:
    """Lock one delivery that waits to be split. Return whether it still waits, and nobody else splits it."""
    return bool(
        await connection.fetchval(
            "SELECT true FROM webhook_delivery_queue WHERE delivery_id = $1 FOR UPDATE SKIP LOCKED", delivery
        )
    )


class SplitDelivery(NamedTuple):
    """A delivery and what it was split into, by the version of its platform's rule."""

    received: Received
    rule_version: int
    split: Split


# Rows go in in key order, so that two processes cannot deadlock. Ids are given in the order of the events, which the
# inner SELECT keeps.
_NAME = """
INSERT INTO webhook_event_identities (bucket, identity, event_id)
SELECT bucket, identity, id FROM (
    SELECT bucket, identity, next_event_id(coalesce(received_at, now())) AS id
    FROM unnest($1::smallint[], $2::uuid[], $3::timestamptz[]) AS i (bucket, identity, received_at)
) named ORDER BY bucket, identity
ON CONFLICT DO NOTHING
RETURNING identity, event_id
"""

_APPENDED = Rows(
    [
        *("bigint", "smallint", "uuid", *["text"] * 4, "smallint", "text", "timestamptz", "text", "bool"),
        *("timestamptz", "text"),
    ]
)

_APPEND = f"""
WITH input AS (
    SELECT * FROM {_APPENDED.sql}
        AS i (id, bucket, delivery_id, provider, account_id, event_type, external_id, rule_version, payload,
            occurred_at, defect, sanitized, created_at, source)
), added AS (
    INSERT INTO webhook_event_log (
        id, bucket, delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json,
        occurred_at, defect, sanitized, created_at, source
    )
    SELECT id, bucket, delivery_id, provider, account_id, event_type, external_id, rule_version, payload::jsonb,
        occurred_at, defect, sanitized, coalesce(created_at, now()), source
    FROM input
), queued AS (
    INSERT INTO webhook_event_queue (bucket, account_id, event_id)
    SELECT bucket, account_id, id FROM input WHERE defect IS NULL
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message)
SELECT bucket, account_id, id, 'parked', defect FROM input WHERE defect IS NOT NULL
"""


async def append(connection: asyncpg.Connection, batch: Sequence[SplitDelivery]) -> dict[str, int]:
    """Append those events that the log does not have, and queue or park them. Return how many, by delivery."""
    events: dict[UUID, tuple[SplitDelivery, Incoming]] = {}
    for item in batch:
        for event in item.split.events:
            events.setdefault(identity_of(item.received.provider, event.account_id, event.external_id), (item, event))
    if not events:
        return {}
    appended = await _append(
        connection,
        {
            identity: (
                bucket_of(item.received.provider, event.account_id),
                item.received.id,
                item.received.provider,
                event,
                item.rule_version,
                item.received.received_at,
                "webhook",
            )
            for identity, (item, event) in events.items()
        },
    )
    return Counter(events[identity][0].received.id for identity in appended)


_Named = tuple[int, str | None, str, Incoming, int, datetime | None, str]
"""Bucket, delivery, platform, the event, the version of the rule, when it was received (None: now), and the source."""


async def _append(connection: asyncpg.Connection, events: Mapping[UUID, _Named]) -> list[UUID]:
    """Append those events that the log does not have, and queue or park them. Return their identities."""
    buckets, times = [named[0] for named in events.values()], [named[5] for named in events.values()]
    ids = {row["identity"]: row["event_id"] for row in await connection.fetch(_NAME, buckets, list(events), times)}
    rows = [
        (
            ids[identity],
            bucket,
            delivery,
            provider,
            event.account_id,
            event.type,
            event.external_id,
            rule_version,
            event.payload,
            event.occurred_at,
            event.defect,
            event.sanitized,
            received_at,
            source,
        )
        for identity, (bucket, delivery, provider, event, rule_version, received_at, source) in events.items()
        if identity in ids
    ]
    if rows:
        await connection.execute(_APPEND, *_APPENDED.parameters([list(column) for column in zip(*rows, strict=True)]))
    return [*ids]


_SETTLE = """
WITH split AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::int[], $6::bytea[], $7::smallint[])
        AS s (delivery_id, verdict, reason, events, new, digest, rule_version)
), taken AS (
    DELETE FROM webhook_delivery_queue q USING split s WHERE q.delivery_id = s.delivery_id
    RETURNING q.delivery_id, s.new + q.new_events AS new
)
INSERT INTO webhook_delivery_outcomes AS o (
    delivery_id, verdict, verdict_reason, event_count, new_event_count, body_sha256, rule_version, holds_body
)
SELECT s.delivery_id, s.verdict, s.reason, greatest(s.events, t.new), t.new, s.digest, s.rule_version, t.new > 0
FROM split s JOIN taken t ON t.delivery_id = s.delivery_id
ON CONFLICT (delivery_id) DO UPDATE SET split_at = now(), rule_version = excluded.rule_version,
    verdict = excluded.verdict, verdict_reason = excluded.verdict_reason,
    event_count = greatest(excluded.event_count, o.new_event_count + excluded.new_event_count),
    new_event_count = o.new_event_count + excluded.new_event_count
RETURNING delivery_id::text, (SELECT t.new FROM taken t WHERE t.delivery_id = o.delivery_id) AS new
"""


async def settle(
    connection: asyncpg.Connection, batch: Sequence[SplitDelivery], new: Mapping[str, int]
) -> dict[str, int]:
    """Take deliveries off the queue and note what they came to; of one that is split again, what it came to in all.

    ``new`` are the events that were new in this transaction. Return how many were new since it was queued.
    """
    rows = await connection.fetch(
        _SETTLE,
        [item.received.id for item in batch],
        [item.split.verdict for item in batch],
        [item.split.reason for item in batch],
        [len(item.split.events) for item in batch],
        [new.get(item.received.id, 0) for item in batch],
        [hashlib.sha256(item.received.body).digest() for item in batch],
        [item.rule_version for item in batch],
    )
    return {row["delivery_id"]: row["new"] for row in rows}


async def note_new(connection: asyncpg.Connection, delivery: str, new: int) -> None:
    """Note that so many more events of a delivery were new, which stays on the queue."""
    await connection.execute(
        "UPDATE webhook_delivery_queue SET new_events = new_events + $2 WHERE delivery_id = $1", delivery, new
    )


async def share_bodies(connection: asyncpg.Connection, copies: Iterable[str]) -> None:
    """Let deliveries that brought nothing new point to the first one with the same body, if there is one.

    Else one captured request, sent again and again, would fill the disk. Two splitters that get it at once may both
    keep it, since neither sees the other's row. A function of the database does it: no role of ours may change a body.
    """
    await connection.execute("SELECT share_bodies($1::uuid[])", list(copies))


def headers_json(headers: Mapping[str, str]) -> str:
    """Return the headers without credentials, as JSON. The signature is kept: it proves the delivery."""
    kept = {name: value for name, value in headers.items() if name not in _UNWANTED_HEADERS}
    text = json.dumps(kept)
    if "\\u" in text:  # bytes that are no UTF-8 come as halves of surrogate pairs, which jsonb refuses
        text = json.dumps({name: value.encode("utf-8", "replace").decode() for name, value in kept.items()})
    return text


async def append_own(
    connection: asyncpg.Connection,
    provider: str,
    rule_version: int,
    events: Sequence[Incoming],
    source: str = "own",
) -> None:
    """Append facts that have no delivery: ``source`` is own, or poll for answers that were read from a platform."""
    named: dict[UUID, _Named] = {}
    for event in events:
        identity = identity_of(provider, event.account_id, event.external_id)
        named.setdefault(
            identity,
            (bucket_of(provider, event.account_id), None, provider, event, rule_version, None, source),
        )
    if named:
        await _append(connection, named)


_KEEP_REFUSAL = """
INSERT INTO webhook_refusals AS r (provider, slot, reason, headers, body_head, body_size)
VALUES ($1, $2, $3, $4::jsonb, $5, $6)
ON CONFLICT (provider, slot) DO UPDATE SET reason = excluded.reason, headers = excluded.headers,
    body_head = excluded.body_head, body_size = excluded.body_size, refused_at = now()
"""


async def keep_refusal(
    connection: asyncpg.Connection, provider: str, number: int, reason: str, delivery: Delivery
) -> None:
    """Keep the beginning of a refused request, as the ``number``-th sample."""
    await connection.execute(
        _KEEP_REFUSAL,
        provider,
        number % REFUSAL_SLOTS,
        reason,
        headers_json(delivery.headers),
        delivery.body[:REFUSAL_BYTES],
        len(delivery.body),
    )
