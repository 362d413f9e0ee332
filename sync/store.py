"""All of sync's SQL. Functions take a connection and never open a transaction; the caller does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from schema.events import Event
from sync.contract import Upsert

LEASE_SECONDS = 2
"""Between two transactions only: while one runs it holds the lease's row, and nobody takes a locked row however old
its lease. So this is how long the work of a worker that was killed stands still (``faults.md`` C7)."""

BATCH_EVENTS = 1000
BATCH_ACCOUNTS = 250
"""Accounts served by one batch. The batch is shared out evenly among them, so that a busy one starves nobody."""

PLANNER = {
    # Every statement here reaches its rows by key. After a burst the planner's statistics are old, and a hash join
    # over the whole log (performance.md section 4, "plan trap") costs more than it can ever save.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one bucket. ``fence`` is refused once somebody else has held it."""

    bucket: int
    fence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event to project; ``id`` and times are for the work on it, never for its facts."""

    id: int
    event: Event
    delivery_id: Any
    created_at: datetime
    retry_count: int


class LeaseLostError(Exception):
    """Somebody else holds the bucket now: whatever was prepared must not be written."""


_LEASE = """
UPDATE webhook_buckets SET holder = $1, fence = fence + 1, served_at = now(),
    leased_until = now() + make_interval(secs => $2)
WHERE bucket = (
    SELECT b.bucket FROM webhook_buckets b
    WHERE (b.leased_until IS NULL OR b.leased_until < now()) AND EXISTS (
        SELECT FROM webhook_event_queue q WHERE q.bucket = b.bucket AND q.due_at <= now()
    )
    ORDER BY b.served_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING bucket, fence
"""


async def lease(connection: asyncpg.Connection, holder: str) -> Lease | None:
    """Take the bucket with due work that was served longest ago, or None if there is none to take."""
    row = await connection.fetchrow(_LEASE, holder, LEASE_SECONDS)
    return None if row is None else Lease(row["bucket"], row["fence"])


async def release(connection: asyncpg.Connection, held: Lease) -> None:
    """Give the bucket back; nothing happens if it is somebody else's by now."""
    await connection.execute(
        "UPDATE webhook_buckets SET holder = NULL, leased_until = NULL WHERE bucket = $1 AND fence = $2",
        held.bucket,
        held.fence,
    )


_RENEW = """
UPDATE webhook_buckets SET leased_until = now() + make_interval(secs => $3) WHERE bucket = $1 AND fence = $2
"""


async def renew(connection: asyncpg.Connection, held: Lease) -> None:
    """Prolong the lease and hold its row until the transaction ends. Raises LeaseLostError."""
    if await connection.execute(_RENEW, held.bucket, held.fence, LEASE_SECONDS) != "UPDATE 1":
        raise LeaseLostError


# Accounts first, by a skip scan over the key; then each account's share, oldest first. Nothing is locked: the lease
# is the lock, and this transaction holds its row.
_CLAIM = """
WITH RECURSIVE account (account_id) AS (
    (SELECT account_id FROM webhook_event_queue WHERE bucket = $1 {after} ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT q.account_id FROM webhook_event_queue q
        WHERE q.bucket = $1 AND q.account_id > a.account_id ORDER BY q.account_id LIMIT 1
    )
    FROM account a WHERE a.account_id IS NOT NULL
), served AS MATERIALIZED (
    SELECT account_id FROM account WHERE account_id IS NOT NULL LIMIT $2
), due AS MATERIALIZED (
    SELECT s.account_id, q.event_id, q.retry_count
    FROM served s, LATERAL (
        SELECT event_id, retry_count FROM webhook_event_queue q
        WHERE q.bucket = $1 AND q.account_id = s.account_id AND q.due_at <= now()
        ORDER BY q.event_id LIMIT greatest(4, $3 / (SELECT count(*) FROM served))
    ) q
)
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, due.retry_count, (SELECT max(account_id) FROM served) AS last_account,
    (SELECT count(*) FROM served) AS accounts
FROM due JOIN webhook_event_log e ON e.account_id = due.account_id AND e.id = due.event_id
"""


_CLAIM_FIRST = _CLAIM.format(after="")
_CLAIM_NEXT = _CLAIM.format(after="AND account_id > $4")


@dataclass(frozen=True, slots=True)
class Batch:
    """``last_account`` is where the next round over the bucket's accounts goes on, None for the beginning.

    (Not '': events about no account at all are kept under that name.)
    """

    claimed: list[Claimed]
    last_account: str | None


async def claim(connection: asyncpg.Connection, held: Lease, after_account: str | None = None) -> Batch:
    """Due events of the bucket, within a transaction that holds the lease's row. Raises LeaseLostError."""
    await renew(connection, held)
    limits = (held.bucket, BATCH_ACCOUNTS, BATCH_EVENTS)
    if after_account is None:
        rows = await connection.fetch(_CLAIM_FIRST, *limits)
    else:
        rows = await connection.fetch(_CLAIM_NEXT, *limits, after_account)
    more = bool(rows) and rows[0]["accounts"] >= BATCH_ACCOUNTS
    return Batch([claimed(row) for row in rows], rows[0]["last_account"] if more else None)


def claimed(row: asyncpg.Record) -> Claimed:
    payload = row["payload_json"]
    return Claimed(
        row["id"],
        Event(
            row["provider"],
            row["account_id"],
            row["external_id"],
            row["event_type"],
            None if payload is None else json.loads(payload),
            row["occurred_at"],
        ),
        row["delivery_id"],
        row["created_at"],
        row["retry_count"],
    )


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact with the account it belongs to and the version of the projection that stated it."""

    account_id: str
    projector: int
    upsert: Upsert


@dataclass(slots=True)
class _Row:
    projector: int
    facets: dict[str, tuple[str, Mapping[str, Any]]]


async def apply(connection: asyncpg.Connection, facts: Iterable[Fact]) -> int:
    """Write facts; return how many rows were offered."""
    rows = 0
    for write in prepare(facts):
        await connection.execute(write.statement, *write.arrays)
        rows += write.rows
    return rows


@dataclass(frozen=True, slots=True)
class Write:
    """A guarded upsert of some rows of one table, ready to be sent."""

    statement: str
    arrays: Sequence[Sequence[Any]]
    rows: int


def prepare(facts: Iterable[Fact]) -> list[Write]:
    """The upserts that write these facts.

    Facts about one row are folded first, by the rule that PostgreSQL then applies against what is stored: of each
    facet the highest version stays. Tables go parents first, rows in key order, so that no two writers can deadlock.
    """
    folded: dict[Table, dict[tuple[str, ...], _Row]] = {}
    for fact in facts:
        upsert = fact.upsert
        key = tuple(fact.account_id if name == "account_id" else upsert.key[name] for name in _key_names(upsert.table))
        row = folded.setdefault(upsert.table, {}).setdefault(key, _Row(fact.projector, {}))
        row.projector = max(row.projector, fact.projector)
        if upsert.facet is not None and upsert.version > row.facets.get(upsert.facet, ("", {}))[0]:
            row.facets[upsert.facet] = (upsert.version, upsert.values)
    return [_write(table, folded[table]) for table in sorted(folded, key=_rank)]


@cache
def _rank(table: Table) -> tuple[int, str]:
    """Parents before children, and the same order for everybody."""
    parents = {key.column.table for key in table.foreign_keys}
    return max((_rank(parent)[0] + 1 for parent in parents), default=0), table.name


def _write(table: Table, rows: Mapping[tuple[str, ...], _Row]) -> Write:
    statement, columns = _statement(table)
    arrays: list[list[Any]] = [[] for _ in columns]
    for key in sorted(rows):
        row = rows[key]
        values: dict[str, Any] = dict(zip(_key_names(table), key, strict=True), projector=row.projector)
        for facet, (at, fields) in row.facets.items():
            values[f"{facet}_version"] = at
            values.update(fields)
        for column, array in zip(columns, arrays, strict=True):
            array.append(values.get(column.name, "" if "guards" in column.info else None))
    return Write(statement, arrays, len(rows))


@cache
def _key_names(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key.columns)


@cache
def _statement(table: Table) -> tuple[str, tuple[Column[Any], ...]]:
    """The guarded upsert of one table, from its own description: keys, facets, and what guards them."""
    columns = tuple(c for c in table.columns if c.computed is None)
    names = ", ".join(c.name for c in columns)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays = ", ".join(f"${n}::{c.type.compile(dialect).split(' COLLATE')[0]}[]" for n, c in enumerate(columns, 1))
    guards = {c.info["guards"]: f"excluded.{c.name} > t.{c.name}" for c in columns if "guards" in c.info}
    sets = []
    for column in columns:
        facet = column.info.get("guards") or column.info.get("facet")
        if facet:
            new, old = f"excluded.{column.name}", f"t.{column.name}"
            sets.append(f"{column.name} = CASE WHEN {guards[facet]} THEN {new} ELSE {old} END")
    sets.append("projector = greatest(t.projector, excluded.projector)")
    return (
        f"INSERT INTO {table.name} AS t ({names}) SELECT * FROM unnest({arrays}) "
        f"ON CONFLICT ({', '.join(_key_names(table))}) DO UPDATE SET {', '.join(sets)} "
        f"WHERE {' OR '.join(guards.values())}"
    ), columns


_SETTLE = """
WITH settled AS (
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::smallint[])
        AS s (account_id, event_id, state, projector)
), taken AS (
    DELETE FROM webhook_event_queue q USING settled s
    WHERE q.bucket = $1 AND q.account_id = s.account_id AND q.event_id = s.event_id
    RETURNING q.account_id, q.event_id, q.retry_count, s.state, s.projector
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, projector, retry_count)
SELECT $1, account_id, event_id, state, projector, retry_count FROM taken
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """An event that needs no more work: ``state`` is done or ignored, by this version of its projection."""

    claimed: Claimed
    state: str
    projector: int


async def settle(connection: asyncpg.Connection, held: Lease, settled: Sequence[Settled]) -> None:
    """Take events off the queue. Raises LeaseLostError if one was not on it."""
    tag = await connection.execute(
        _SETTLE,
        held.bucket,
        [item.claimed.event.account_id for item in settled],
        [item.claimed.id for item in settled],
        [item.state for item in settled],
        [item.projector for item in settled],
    )
    if tag != f"INSERT 0 {len(settled)}":
        raise LeaseLostError


_RETRY_LATER = """
UPDATE webhook_event_queue SET retry_count = $4, error_message = $5, due_at = now() + make_interval(secs => $6)
WHERE bucket = $1 AND account_id = $2 AND event_id = $3
"""


async def retry_later(
    connection: asyncpg.Connection, held: Lease, claimed: Claimed, error: str, delay_seconds: float
) -> None:
    await connection.execute(
        _RETRY_LATER,
        held.bucket,
        claimed.event.account_id,
        claimed.id,
        claimed.retry_count + 1,
        error,
        delay_seconds,
    )


_PARK = """
WITH taken AS (
    DELETE FROM webhook_event_queue WHERE bucket = $1 AND account_id = $2 AND event_id = $3 RETURNING 1
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, projector, retry_count, error_message)
SELECT $1, $2, $3, $4, $5, $6, $7 FROM taken
"""


async def park(
    connection: asyncpg.Connection, held: Lease, claimed: Claimed, state: str, error: str, projector: int
) -> None:
    """Put an event aside as parked or dead, with the reason."""
    await connection.execute(
        _PARK,
        held.bucket,
        claimed.event.account_id,
        claimed.id,
        state,
        projector,
        claimed.retry_count + 1,
        error,
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and how long the oldest due event has waited (seconds, 0 if none is due)."""

    waiting: int
    oldest_due_seconds: float
    unsettled: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verification:
    """What the newest `landfall verify` found."""

    at: datetime
    drifted_rows: int


async def last_verification(connection: asyncpg.Connection) -> Verification | None:
    row = await connection.fetchrow("SELECT verified_at, drifted_rows FROM crm_verifications ORDER BY id DESC LIMIT 1")
    return None if row is None else Verification(row["verified_at"], row["drifted_rows"])


async def backlog(connection: asyncpg.Connection) -> Backlog:
    row = await connection.fetchrow(
        """
        SELECT count(*) AS waiting,
            coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS oldest
        FROM webhook_event_queue
        """
    )
    states = await connection.fetch(
        """
        SELECT state, count(*) AS events FROM webhook_event_outcomes WHERE state IN ('parked', 'dead') GROUP BY state
        """
    )
    return Backlog(
        row["waiting"],
        row["oldest"],
        {"parked": 0, "dead": 0} | {state["state"]: state["events"] for state in states},
    )
