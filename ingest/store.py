"""All of ingest's SQL."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from ingest.accept import Accepted, unreadable
from ingest.contract import Delivery, Incoming
from schema.events import bucket_of

REFUSAL_SLOTS = 200
"""Forged requests kept per platform; the newest takes the place of the oldest."""

REFUSAL_BYTES = 2048

_UNWANTED_HEADERS = {"authorization", "proxy-authorization", "cookie"}


class Receipt(NamedTuple):
    """A delivery ready to be written: everything decided, nothing stored."""

    id: str
    provider: str
    rule_version: int
    delivery: Delivery
    accepted: Accepted

    def reduced(self, reason: str) -> "Receipt":
        """Return the delivery with one parked event in place of its own, for a body that the database refuses."""
        verified = self.accepted.verified
        events = [unreadable(self.delivery.body, reason)]
        return Receipt(
            self.id,
            self.provider,
            self.rule_version,
            self.delivery,
            Accepted(verified, "unreadable", reason, events),
        )


# One statement, hence one transaction and one flush of the WAL, whatever the number of deliveries. The delivery row
# makes it write WAL even when every event is a duplicate: without it the answer would promise what another session
# may not have made durable yet (faults.md B3). Rows go in in key order, so that two processes cannot deadlock.
# A body that is in the log, or earlier in this batch, is not stored again: else one captured request, sent again and
# again, fills the disk. Two processes that get it at once may both store it, since neither sees the other's row. A
# function finds it, because the web process's role reads no body.
_APPEND = """
WITH input AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::timestamptz[],
        $9::text[], $10::bool[], $11::smallint[]
    ) AS i (delivery_id, provider, account_id, event_type, external_id, rule_version, payload, occurred_at, defect,
            sanitized, bucket)
    ORDER BY provider, account_id, external_id
), added AS (
    INSERT INTO webhook_event_log (
        delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json, occurred_at, defect,
        sanitized
    )
    SELECT delivery_id, provider, account_id, event_type, external_id, rule_version, payload::jsonb, occurred_at,
        defect, sanitized
    FROM input
    ON CONFLICT DO NOTHING
    RETURNING id, delivery_id, provider, account_id, external_id, defect
), placed AS (
    SELECT a.id, a.account_id, a.delivery_id, a.defect, i.bucket
    FROM added a JOIN (SELECT DISTINCT provider, account_id, bucket FROM input) i USING (provider, account_id)
), queued AS (
    INSERT INTO webhook_event_queue (bucket, account_id, event_id)
    SELECT bucket, account_id, id FROM placed WHERE defect IS NULL
), parked AS (
    INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message)
    SELECT bucket, account_id, id, 'parked', defect FROM placed WHERE defect IS NOT NULL
)
INSERT INTO webhook_deliveries (
    id, provider, body, body_of, body_sha256, headers, verdict, verdict_reason, secret_used, signed_at, event_count,
    new_event_count
)
SELECT d.id, d.provider, CASE WHEN k.id IS NULL THEN d.body END, coalesce(k.id, d.body_of), d.digest,
    d.headers::jsonb, d.verdict, d.reason, d.secret, d.signed_at, d.events, coalesce(n.new, 0)
FROM unnest(
    $12::uuid[], $13::text[], $14::bytea[], $15::uuid[], $16::bytea[], $17::text[], $18::text[], $19::text[],
    $20::text[], $21::timestamptz[], $22::int[]
) WITH ORDINALITY
    AS d (id, provider, body, body_of, digest, headers, verdict, reason, secret, signed_at, events, number)
LEFT JOIN (SELECT delivery_id, count(*) AS new FROM added GROUP BY delivery_id) n ON n.delivery_id = d.id
LEFT JOIN find_bodies($13, $16) k ON k.number = d.number
RETURNING id, new_event_count
"""


async def append(connection: asyncpg.Connection, receipts: Sequence[Receipt]) -> dict[str, int]:
    """Write deliveries and those of their events that are new; return how many were new, by delivery."""
    rows = await connection.fetch(_APPEND, *_event_columns(receipts), *_delivery_columns(receipts))
    return {str(row["id"]): row["new_event_count"] for row in rows}


def _event_columns(receipts: Sequence[Receipt]) -> list[Sequence[object]]:
    rows = [
        (
            receipt.id,
            receipt.provider,
            event.account_id,
            event.type,
            event.external_id,
            receipt.rule_version,
            event.payload,
            event.occurred_at,
            event.defect,
            event.sanitized,
            bucket_of(receipt.provider, event.account_id),
        )
        for receipt in receipts
        for event in receipt.accepted.events
    ]
    return list(zip(*rows, strict=True)) if rows else [()] * 11


def _delivery_columns(receipts: Sequence[Receipt]) -> list[Sequence[object]]:
    first: dict[tuple[str, bytes], str] = {}
    rows = []
    for receipt in receipts:
        digest = hashlib.sha256(receipt.delivery.body).digest()
        holder = first.setdefault((receipt.provider, digest), receipt.id)
        copied = holder != receipt.id
        rows.append(
            (
                receipt.id,
                receipt.provider,
                None if copied else receipt.delivery.body,
                holder if copied else None,
                digest,
                headers_json(receipt.delivery.headers),
                receipt.accepted.verdict,
                receipt.accepted.reason,
                receipt.accepted.verified.secret_used,
                receipt.accepted.verified.signed_at,
                len(receipt.accepted.events),
            )
        )
    return list(zip(*rows, strict=True))


def headers_json(headers: Mapping[str, str]) -> str:
    """Return the headers without credentials, as JSON. The signature is kept: it proves the delivery."""
    kept = {name: value for name, value in headers.items() if name not in _UNWANTED_HEADERS}
    text = json.dumps(kept)
    if "\\u" in text:  # bytes that are no UTF-8 come as halves of surrogate pairs, which jsonb refuses
        text = json.dumps({name: value.encode("utf-8", "replace").decode() for name, value in kept.items()})
    return text


_APPEND_OWN = """
WITH added AS (
    INSERT INTO webhook_event_log (provider, account_id, event_type, external_id, rule_version, payload_json,
        occurred_at, defect, sanitized, source)
    VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, NULL, $8, $10)
    ON CONFLICT DO NOTHING
    RETURNING id
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT $9, $2, id FROM added
"""


async def append_own(
    connection: asyncpg.Connection, provider: str, rule_version: int, event: Incoming, source: str = "own"
) -> None:
    """Append a fact that has no delivery: ``source`` is own, or poll for an answer that was read from a platform."""
    await connection.execute(
        _APPEND_OWN,
        provider,
        event.account_id,
        event.type,
        event.external_id,
        rule_version,
        event.payload,
        event.occurred_at,
        event.sanitized,
        bucket_of(provider, event.account_id),
        source,
    )


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
