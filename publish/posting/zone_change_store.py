"""Saved times that an earlier release of the time zone database turned into UTC."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from schema.states import NOT_BEGUN, RECURRENCE, TARGET, OccurrenceState, RecurrenceState, TargetState

_WAITING = TARGET.any_of(*NOT_BEGUN, row="t")
_BEGUN = f"NOT {TARGET.any_of(*NOT_BEGUN, TargetState.CANCELLED, row='o')}"
_TIME = "coalesce(t.slot_at, p.scheduled_at)"


@dataclass(frozen=True, slots=True)
class Behind:
    """What is to be decided again: a post, or all slots that are taken of an account; one of the ids is None."""

    tenant: str
    post_id: str | None
    connection_id: str | None


@dataclass(frozen=True, slots=True)
class SavedTime:
    """When a target is due that nobody began to publish, by the wall time that was asked for.

    ``planned``: it is due at ``at`` and not for another reason, such as a person who tries it again. ``begun``: another
    target of its post was published, or somebody began to.
    """

    target_id: str
    post_id: str
    connection_id: str
    at: datetime | None
    local_time: str | None
    zone: str | None
    planned: bool
    begun: bool


async def behind(connection: asyncpg.Connection, release: str, limit: int) -> list[Behind]:
    """Return what an earlier release than this one decided and nobody began to publish; of all tenants."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT t.tenant_id::text, CASE WHEN t.slot_at IS NULL THEN t.post_id::text END,
            CASE WHEN t.slot_at IS NOT NULL THEN t.connection_id::text END
        FROM post_targets t WHERE t.tzdata IS NOT NULL AND t.tzdata < $1 AND {_WAITING} LIMIT $2""",
        release,
        limit,
    )
    return [Behind(*row) for row in rows]


async def lock(connection: asyncpg.Connection, unit: Behind, release: str) -> list[SavedTime]:
    """Return the times of a post, or of the slots of an account, in the order of posts.

    Nobody changes or begins any of them until the transaction ends.
    """
    rows = await connection.fetch(
        f"""
        SELECT t.id::text, t.post_id::text, t.connection_id::text, {_TIME},
            CASE WHEN t.slot_at IS NULL THEN p.local_time ELSE t.slot_local_time END,
            CASE WHEN t.slot_at IS NULL THEN p.zone ELSE t.slot_zone END,
            t.attempt = 1 AND (t.due_at IS NULL OR t.due_at = {_TIME}),
            EXISTS (SELECT FROM post_targets o WHERE o.tenant_id = t.tenant_id AND o.post_id = t.post_id AND {_BEGUN})
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.tzdata IS NOT NULL AND t.tzdata < $1 AND {_WAITING}
            AND (t.slot_at IS NULL AND t.post_id = $2::uuid OR t.slot_at IS NOT NULL AND t.connection_id = $3::uuid)
        ORDER BY p.id, t.id FOR UPDATE OF p, t""",
        release,
        unit.post_id,
        unit.connection_id,
    )
    return [SavedTime(*row) for row in rows]


async def other_slots(
    connection: asyncpg.Connection, connection_id: str, leaving_out: Collection[str]
) -> list[datetime]:
    """Return the slots of an account that other targets than these hold."""
    rows = await connection.fetch(
        f"""
        SELECT t.slot_at FROM post_targets t WHERE t.connection_id = $1::uuid AND t.slot_at IS NOT NULL
            AND NOT {TARGET.any_of(TargetState.CANCELLED, row="t")} AND t.id <> ALL($2::uuid[])""",
        connection_id,
        list(leaving_out),
    )
    return [row[0] for row in rows]


async def decided(connection: asyncpg.Connection, ids: Sequence[str], release: str) -> None:
    """Store that this release decided the times of targets, which it left as they are."""
    await connection.execute("UPDATE post_targets SET tzdata = $2 WHERE id = ANY($1::uuid[])", list(ids), release)


async def give_back(connection: asyncpg.Connection, ids: Sequence[str]) -> None:
    """Let targets hold no slot until they are moved, so that each may take the one that another leaves."""
    await connection.execute("UPDATE post_targets SET slot_at = NULL WHERE id = ANY($1::uuid[])", list(ids))


@dataclass(frozen=True, slots=True)
class NewTime:
    """When a target is due from now on. ``slot``: it holds a slot of its account, and not the time of its post."""

    target_id: str
    post_id: str
    before: datetime | None
    at: datetime
    local_time: str
    zone: str
    slot: bool


async def move(connection: asyncpg.Connection, new: NewTime, release: str) -> None:
    """Let a target be due at another time. Whoever had leased it begins nothing."""
    await connection.execute(
        f"""
        UPDATE post_targets t SET
            due_at = CASE WHEN {TARGET.any_of(TargetState.SCHEDULED, row="t")} THEN $2::timestamptz END,
            slot_at = CASE WHEN $6 THEN $2::timestamptz END, slot_local_time = CASE WHEN $6 THEN $3::text END,
            slot_zone = CASE WHEN $6 THEN $4::text END, moved_from = $5, tzdata = $7, sequence = sequence + 1,
            fence = fence + 1, lease_until = NULL
        WHERE t.id = $1::uuid AND {_WAITING}""",
        new.target_id,
        new.at,
        new.local_time,
        new.zone,
        new.before,
        new.slot,
        release,
    )


async def move_post(connection: asyncpg.Connection, post_id: str, at: datetime) -> None:
    """Let a post without slots be due at another time; its wall time stays."""
    query = "UPDATE posts SET scheduled_at = $2, updated_at = now() WHERE id = $1::uuid"
    await connection.execute(query, post_id, at)
    await _tell_parts(connection, post_id)


async def move_to_first_slot(connection: asyncpg.Connection, post_id: str) -> None:
    """Let a post have the time of the first of its targets that holds a slot."""
    await connection.execute(
        f"""
        UPDATE posts p SET scheduled_at = f.slot_at, local_time = coalesce(f.slot_local_time, p.local_time),
            zone = coalesce(f.slot_zone, p.zone), updated_at = now()
        FROM (SELECT t.slot_at, t.slot_local_time, t.slot_zone FROM post_targets t
            WHERE t.post_id = $1::uuid AND t.slot_at IS NOT NULL
                AND NOT {TARGET.any_of(TargetState.CANCELLED, row="t")} ORDER BY t.slot_at LIMIT 1) f
        WHERE p.id = $1::uuid""",
        post_id,
    )
    await _tell_parts(connection, post_id)


async def _tell_parts(connection: asyncpg.Connection, post_id: str) -> None:
    """Append an event for the further parts of a post, whose time is that of the post."""
    await connection.execute(
        f"""
        UPDATE post_targets t SET sequence = sequence + 1
        WHERE t.post_id = $1::uuid AND t.parent_id IS NOT NULL AND {_WAITING}""",
        post_id,
    )


# --- what repeats


async def recurrences_behind(connection: asyncpg.Connection, release: str, limit: int) -> list[tuple[str, str]]:
    """Return tenant and id of what repeats and has times of an earlier release; of all tenants."""
    rows = await connection.fetch(
        f"""
        SELECT r.tenant_id::text, r.id::text FROM post_recurrences r
        WHERE {RECURRENCE.any_of(RecurrenceState.ACTIVE, row="r")} AND r.due_at IS NOT NULL
            AND coalesce(r.tzdata, '') < $1 LIMIT $2""",
        release,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


async def recurrence_decided(
    connection: asyncpg.Connection, id_: str, next_at: datetime | None, due_at: datetime | None, release: str
) -> None:
    """Store when the next post of what repeats is due by this release, and when to look; None leaves both."""
    await connection.execute(
        """
        UPDATE post_recurrences SET tzdata = $4, next_at = coalesce($2, next_at), due_at = coalesce($3, due_at)
        WHERE id = $1::uuid""",
        id_,
        next_at,
        due_at,
        release,
    )


async def move_occurrences(
    connection: asyncpg.Connection, id_: str, revision: int, times: Sequence[tuple[int, datetime]]
) -> None:
    """Let occurrences to come of a revision, that are posts already, have the times that it gives now.

    By its time a change of the rule finds the post of an occurrence that stands.
    """
    await connection.executemany(
        f"""
        UPDATE post_occurrences SET at = $4 WHERE recurrence_id = $1::uuid AND revision = $2 AND number = $3
            AND state = '{OccurrenceState.MADE}' AND at > now() AND at <> $4""",
        [(id_, revision, number, at) for number, at in times],
    )
