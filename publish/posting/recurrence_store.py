"""Posts that repeat, and what became of their occurrences. All times are of PostgreSQL's clock."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from schema.states import NOT_BEGUN, RECURRENCE, TARGET, OccurrenceState, RecurrenceState


@dataclass(frozen=True, slots=True)
class StoredRecurrence:
    """A post that repeats. ``template`` is what its posts have in common; ``start_time`` is read again with ``zone``.

    ``handled`` is the number of the last occurrence of this ``revision`` that was made or missed, 0 for none, and
    ``next_at`` when the one after it is due; None where there is none. What was due until ``held_until`` is not made:
    it may have been posted before the database was restored.
    """

    id: str
    template: Mapping[str, Any]
    rule: str
    start_time: str
    zone: str
    author: str
    state: RecurrenceState
    revision: int
    armed_at: datetime
    handled: int
    next_at: datetime | None
    trouble: str | None
    held_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecurrence:
    """What is stored of a post that repeats. ``due_at`` is when to look for what is to be made."""

    template: Mapping[str, Any]
    media_ids: Sequence[str]
    rule: str
    start_time: str
    zone: str
    next_at: datetime
    due_at: datetime
    tzdata: str
    """The release of the time zone database that gave ``next_at``."""


@dataclass(frozen=True, slots=True)
class StoredOccurrence:
    """What became of an occurrence. ``post_id`` is None for one that was missed, and ``reason`` says why it was."""

    revision: int
    number: int
    at: datetime
    state: OccurrenceState
    post_id: str | None
    reason: str | None


_COLUMNS = """id::text, template, rule, start_time, zone, author, state, revision, armed_at, handled, next_at, trouble,
    held_until, created_at, updated_at"""


def _stored(row: asyncpg.Record) -> StoredRecurrence:
    values = list(row)
    values[1], values[6] = json.loads(values[1]), RecurrenceState(values[6])
    return StoredRecurrence(*values)


# --- making and changing


async def lock_key(connection: asyncpg.Connection, tenant: str, key: str) -> None:
    """Let nobody else use an idempotency key until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"recurrence key {tenant} {key}")


async def by_key(connection: asyncpg.Connection, key: str) -> tuple[str, bytes] | None:
    """Return what was made with a key, and the digest of that request."""
    query = "SELECT id::text, request_sha256 FROM post_recurrences WHERE idempotency_key = $1"
    row = await connection.fetchrow(query, key)
    return None if row is None else (row[0], row[1])


async def same(
    connection: asyncpg.Connection, tenant: str, new: NewRecurrence, link: Mapping[str, str] | None
) -> str | None:
    """Return what repeats the same at the same times and has not ended; nobody else makes it until this one is over.

    ``link`` is what the request says of the shared page: what the page says of itself may differ the next time.
    """
    template = {name: value for name, value in new.template.items() if name != "link"}
    shown = [json.dumps(each, sort_keys=True) for each in (template, link)]
    content = [*shown, new.rule, new.start_time, new.zone]
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"recurrence {tenant} {' '.join(content)}"
    )
    found: str | None = await connection.fetchval(
        f"""
        SELECT id::text FROM post_recurrences
        WHERE template - 'link' = $1::jsonb AND template->'link' @> $2::jsonb AND rule = $3 AND start_time = $4
            AND zone = $5
            AND NOT {RECURRENCE.any_of(RecurrenceState.ENDED)} LIMIT 1""",
        *content,
    )
    return found


async def insert(
    connection: asyncpg.Connection,
    tenant: str,
    id_: str,
    new: NewRecurrence,
    author: str,
    *,
    key: str | None,
    request_sha256: bytes,
) -> None:
    await connection.execute(
        """
        INSERT INTO post_recurrences (tenant_id, id, template, media_ids, rule, start_time, zone, author, next_at,
            due_at, idempotency_key, request_sha256, tzdata)
        VALUES ($1::uuid, $2::uuid, $3::jsonb, $4::uuid[], $5, $6, $7, $8, $9, $10, $11, $12, $13)""",
        tenant,
        id_,
        json.dumps(dict(new.template)),
        list(new.media_ids),
        new.rule,
        new.start_time,
        new.zone,
        author,
        new.next_at,
        new.due_at,
        key,
        request_sha256,
        new.tzdata,
    )


async def lock(connection: asyncpg.Connection, id_: str) -> StoredRecurrence | None:
    """Return a post that repeats; nobody else changes it, or makes a post of it, until the transaction ends."""
    query = f"SELECT {_COLUMNS} FROM post_recurrences WHERE id = $1::uuid FOR UPDATE"
    row = await connection.fetchrow(query, id_)
    return None if row is None else _stored(row)


async def update(connection: asyncpg.Connection, id_: str, new: NewRecurrence, armed_at: datetime) -> None:
    """Store a change, which arms it anew; what is paused stays so."""
    await connection.execute(
        f"""
        UPDATE post_recurrences SET template = $2::jsonb, media_ids = $3::uuid[], rule = $4, start_time = $5, zone = $6,
            next_at = $7, due_at = CASE WHEN {RECURRENCE.any_of(RecurrenceState.ACTIVE)} THEN $8::timestamptz END,
            armed_at = $9, revision = revision + 1, handled = 0, trouble = NULL, updated_at = now(), tzdata = $10
        WHERE id = $1::uuid""",
        id_,
        json.dumps(dict(new.template)),
        list(new.media_ids),
        new.rule,
        new.start_time,
        new.zone,
        new.next_at,
        new.due_at,
        armed_at,
        new.tzdata,
    )


async def pause(connection: asyncpg.Connection, id_: str) -> bool:
    """Make nothing any more until it is resumed. False where that is not possible."""
    return await _changed(
        connection,
        f"""
        UPDATE post_recurrences SET state = '{RECURRENCE.target("pause")}', due_at = NULL, trouble = NULL,
            updated_at = now() WHERE id = $1::uuid AND {RECURRENCE.allows("pause")} RETURNING 1""",
        id_,
    )


async def resume(connection: asyncpg.Connection, id_: str, armed_at: datetime, new: NewRecurrence) -> bool:
    """Arm it anew from now on. False where that is not possible."""
    return await _changed(
        connection,
        f"""
        UPDATE post_recurrences SET state = '{RECURRENCE.target("resume")}', revision = revision + 1, handled = 0,
            armed_at = $2, next_at = $3, due_at = $4, tzdata = $5, updated_at = now()
        WHERE id = $1::uuid AND {RECURRENCE.allows("resume")} RETURNING 1""",
        id_,
        armed_at,
        new.next_at,
        new.due_at,
        new.tzdata,
    )


async def end(connection: asyncpg.Connection, id_: str) -> bool:
    """End it for good. False where it has ended."""
    return await _changed(
        connection,
        f"""
        UPDATE post_recurrences SET state = '{RECURRENCE.target("end")}', next_at = NULL, due_at = NULL, trouble = NULL,
            updated_at = now() WHERE id = $1::uuid AND {RECURRENCE.allows("end")} RETURNING 1""",
        id_,
    )


async def _changed(connection: asyncpg.Connection, query: str, *values: object) -> bool:
    return await connection.fetchval(query, *values) is not None


# --- making posts of it


async def due(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str]]:
    """Return tenant and id of what has something to be made, the longest due first; of all tenants."""
    rows = await connection.fetch(
        "SELECT tenant_id::text, id::text FROM post_recurrences WHERE due_at <= now() ORDER BY due_at LIMIT $1", limit
    )
    return [(row[0], row[1]) for row in rows]


async def advance(
    connection: asyncpg.Connection, id_: str, handled: int, next_at: datetime, due_at: datetime, trouble: str | None
) -> None:
    """Store which occurrence was handled last, when the next one is due, and when to look again."""
    await connection.execute(
        """
        UPDATE post_recurrences SET handled = $2, next_at = $3, due_at = $4, trouble = $5 WHERE id = $1::uuid""",
        id_,
        handled,
        next_at,
        due_at,
        trouble,
    )


async def insert_occurrence(
    connection: asyncpg.Connection, tenant: str, recurrence_id: str, occurrence: StoredOccurrence
) -> None:
    """Store what became of an occurrence. Raises UniqueViolationError where somebody else did."""
    await connection.execute(
        """
        INSERT INTO post_occurrences (tenant_id, recurrence_id, revision, number, at, state, post_id, reason)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7::uuid, $8)""",
        tenant,
        recurrence_id,
        occurrence.revision,
        occurrence.number,
        occurrence.at,
        occurrence.state,
        occurrence.post_id,
        occurrence.reason,
    )


async def standing(connection: asyncpg.Connection, recurrence_id: str, at: datetime) -> str | None:
    """Return the post of an earlier revision for the same instant that no change has replaced."""
    found: str | None = await connection.fetchval(
        f"""
        SELECT post_id::text FROM post_occurrences
        WHERE recurrence_id = $1::uuid AND at = $2 AND state = '{OccurrenceState.MADE}' LIMIT 1""",
        recurrence_id,
        at,
    )
    return found


async def waiting_posts(connection: asyncpg.Connection, recurrence_id: str) -> list[str]:
    """Return the posts of it that may still be replaced: those of which something waits to be published."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT o.post_id::text FROM post_occurrences o
        JOIN post_targets t ON t.tenant_id = o.tenant_id AND t.post_id = o.post_id
        WHERE o.recurrence_id = $1::uuid AND o.state = '{OccurrenceState.MADE}'
            AND {TARGET.any_of(*NOT_BEGUN, row="t")} ORDER BY 1""",
        recurrence_id,
    )
    return [row[0] for row in rows]


async def replaced(connection: asyncpg.Connection, recurrence_id: str, post_id: str) -> None:
    """Store that a change cancelled the post of an occurrence."""
    await connection.execute(
        f"""
        UPDATE post_occurrences SET state = '{OccurrenceState.REPLACED}'
        WHERE recurrence_id = $1::uuid AND post_id = $2::uuid""",
        recurrence_id,
        post_id,
    )


# --- showing


async def is_there(connection: asyncpg.Connection, id_: str) -> bool:
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM post_recurrences WHERE id = $1::uuid)", id_)
    return found


async def one(connection: asyncpg.Connection, id_: str) -> StoredRecurrence | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM post_recurrences WHERE id = $1::uuid", id_)
    return None if row is None else _stored(row)


async def listed(
    connection: asyncpg.Connection, state: RecurrenceState | None, before: str | None, limit: int
) -> list[StoredRecurrence]:
    """Return the newest, those older than ``before`` if it is given."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM post_recurrences
        WHERE ($1::text IS NULL OR state = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3""",
        state,
        before,
        limit,
    )
    return [_stored(row) for row in rows]


async def occurrences(connection: asyncpg.Connection, recurrence_id: str, limit: int) -> list[StoredOccurrence]:
    """Return what became of the latest occurrences, the newest first."""
    rows = await connection.fetch(
        """
        SELECT revision, number, at, state, post_id::text, reason FROM post_occurrences
        WHERE recurrence_id = $1::uuid ORDER BY at DESC, revision DESC, number DESC LIMIT $2""",
        recurrence_id,
        limit,
    )
    return [StoredOccurrence(row[0], row[1], row[2], OccurrenceState(row[3]), row[4], row[5]) for row in rows]


# --- after a restore


async def hold(connection: asyncpg.Connection) -> None:
    """Let nothing be made that was due before a restore: it may have been posted, and no row says so."""
    await connection.execute(
        f"UPDATE post_recurrences SET held_until = now() WHERE {RECURRENCE.any_of(RecurrenceState.ACTIVE)}"
    )
