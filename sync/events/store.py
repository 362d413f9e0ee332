"""The SQL of looking at events and releasing them. Functions take a connection and never open a transaction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from schema.event_states import State, Step, after, quoted, sources
from schema.events import BUCKETS

_IGNORED, _MAY_IGNORE = after(Step.IGNORE, State.PARKED), quoted(sources(Step.IGNORE))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are meant: those that fit every value that is given; ``ids`` stand alone."""

    ids: Sequence[int] = ()
    state: str | None = None
    platform: str | None = None
    event_type: str | None = None
    account: str | None = None
    delivery: UUID | None = None

    @property
    def any(self) -> bool:
        """Whether something is given besides ids."""
        return any(getattr(self, name) is not None for name in _CONDITIONS)


# Keys begin with the bucket, which the account alone does not tell: with all of them named, each is a probe by key.
_CONDITIONS = {
    "state": "state = $@",
    "platform": "provider = $@",
    "event_type": "event_type = $@",
    "account": f"account_id = $@ AND bucket = ANY(ARRAY(SELECT generate_series(0, {BUCKETS - 1})))",
    "delivery": "delivery_id = $@",
}


def _where(chosen: Filter, first: int = 1) -> tuple[str, list[object]]:
    """Return a condition whose parameters are numbered from ``first`` on, and their values."""
    given: list[tuple[str, object]] = [("id = any($@::bigint[])", list(chosen.ids))] if chosen.ids else []
    given += [
        (condition, value) for name, condition in _CONDITIONS.items() if (value := getattr(chosen, name)) is not None
    ]
    conditions = [condition.replace("@", str(n)) for n, (condition, _) in enumerate(given, start=first)]
    return " AND ".join(conditions) or "true", [value for _, value in given]


@dataclass(frozen=True, slots=True)
class Listed:
    """An event in a list: without its payload."""

    id: int
    created_at: datetime
    provider: str
    event_type: str
    state: str
    account_id: str
    external_id: str
    retry_count: int
    error_message: str | None
    delivery_id: UUID | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """The request that first brought an event; ``body_bytes`` is the size of its body."""

    id: UUID
    received_at: datetime
    verdict: str
    verdict_reason: str | None
    secret_used: str | None
    event_count: int
    new_event_count: int
    body_bytes: int
    body_sha256: str
    body_of: UUID | None


@dataclass(frozen=True, slots=True)
class Shown:
    """An event as the view ``webhook_events`` has it, with the delivery that first brought it.

    ``payload_json`` is what its JSON holds, None where the body could not be read. ``delivery`` is None for facts of
    our own.
    """

    id: int
    provider: str
    event_type: str
    external_id: str
    account_id: str
    payload_json: object
    state: str
    processed_at: datetime | None
    error_message: str | None
    retry_count: int
    due_at: datetime | None
    settled_at: datetime | None
    projection_version: int | None
    occurred_at: datetime | None
    created_at: datetime
    delivery_id: UUID | None
    rule_version: int
    defect: str | None
    sanitized: bool
    source: str
    """webhook, poll or own."""
    delivery: Delivery | None


class Changed(NamedTuple):
    """An event that was changed, and how often it had failed by then."""

    id: int
    retry_count: int


class Outcome(NamedTuple):
    """Where an event is now."""

    id: int
    state: str
    retry_count: int
    error_message: str | None


async def listed(connection: asyncpg.Connection, chosen: Filter, limit: int) -> list[Listed]:
    """Return the newest events that fit, at most ``limit``, newest first."""
    condition, values = _where(chosen)
    columns = ", ".join(field.name for field in fields(Listed))
    rows = await connection.fetch(
        f"SELECT {columns} FROM webhook_events WHERE {condition} ORDER BY id DESC LIMIT {int(limit)}", *values
    )
    return [Listed(*row) for row in rows]


async def shown(connection: asyncpg.Connection, event_id: int) -> Shown | None:
    """Return one event whole, None if there is no such event."""
    columns = ", ".join(field.name for field in fields(Shown) if field.name != "delivery")
    event = await connection.fetchrow(f"SELECT {columns} FROM webhook_events WHERE id = $1", event_id)
    if event is None:
        return None
    row = await connection.fetchrow(
        """
        SELECT d.id, d.received_at, o.verdict, o.verdict_reason, d.secret_used, o.event_count, o.new_event_count,
            octet_length(coalesce(d.body, h.body)) AS body_bytes, encode(o.body_sha256, 'hex') AS body_sha256, d.body_of
        FROM webhook_deliveries d JOIN webhook_delivery_outcomes o ON o.delivery_id = d.id
            LEFT JOIN webhook_deliveries h ON h.id = d.body_of
        WHERE d.id = $1
        """,
        event["delivery_id"],
    )
    payload = event["payload_json"]
    values = dict(event) | {"payload_json": None if payload is None else json.loads(payload)}
    return Shown(**values, delivery=None if row is None else Delivery(*row))


async def count(connection: asyncpg.Connection, chosen: Filter) -> int:
    """Return how many events fit."""
    condition, values = _where(chosen)
    found: int = await connection.fetchval(f"SELECT count(*) FROM webhook_events WHERE {condition}", *values)
    return found


async def release(connection: asyncpg.Connection, chosen: Filter) -> list[Changed]:
    """Put settled events that fit back on the queue; those that wait already are left as they are."""
    condition, values = _where(chosen)
    rows = await connection.fetch(
        f"""
        WITH chosen AS (SELECT bucket, account_id, id FROM webhook_events WHERE {condition}), released AS (
            DELETE FROM webhook_event_outcomes o USING chosen c
            WHERE o.bucket = c.bucket AND o.account_id = c.account_id AND o.event_id = c.id
            RETURNING o.bucket, o.account_id, o.event_id, o.retry_count, o.error_message
        )
        INSERT INTO webhook_event_queue (bucket, account_id, event_id, retry_count, error_message)
        SELECT bucket, account_id, event_id, retry_count, error_message FROM released
        RETURNING event_id, retry_count""",
        *values,
    )
    return [Changed(*row) for row in rows]


async def ignore(connection: asyncpg.Connection, chosen: Filter, reason: str) -> list[Changed]:
    """Settle parked and dead events that fit as ignored, with the reason; others are left as they are."""
    condition, values = _where(chosen, first=2)
    rows = await connection.fetch(
        f"""
        WITH chosen AS (SELECT bucket, account_id, id FROM webhook_events WHERE {condition})
        UPDATE webhook_event_outcomes o SET state = '{_IGNORED}', settled_at = now(), error_message = $1
        FROM chosen c WHERE o.bucket = c.bucket AND o.account_id = c.account_id AND o.event_id = c.id
            AND o.state IN ({_MAY_IGNORE})
        RETURNING o.event_id, o.retry_count""",
        reason,
        *values,
    )
    return [Changed(*row) for row in rows]


async def outcomes(connection: asyncpg.Connection, ids: Sequence[int]) -> list[Outcome]:
    """Return where these events are now, by their ids."""
    rows = await connection.fetch(
        "SELECT id, state, retry_count, error_message FROM webhook_events WHERE id = any($1::bigint[]) ORDER BY id",
        list(ids),
    )
    return [Outcome(*row) for row in rows]


async def worker_connected(connection: asyncpg.Connection) -> bool:
    """Return whether a worker is connected to this database."""
    found: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'landfall sync%')"""
    )
    return found
