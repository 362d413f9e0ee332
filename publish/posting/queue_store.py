"""The slots of the queues of accounts, and which of them are taken."""

from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from publish.posting.post_store import COUNTED
from publish.schedule.slots import Queue, Slot
from schema.states import TARGET, TargetState

_FREE_AGAIN = TARGET.any_of(TargetState.CANCELLED)


async def lock(connection: asyncpg.Connection, connection_ids: Collection[str]) -> None:
    """Let nobody else take or set slots of these accounts until the transaction ends."""
    for id_ in sorted(set(connection_ids)):
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"post queue {id_}")


async def queue(connection: asyncpg.Connection, connection_id: str) -> Queue:
    """Return the queue of an account; without slots where none was set."""
    rows = await connection.fetch(
        "SELECT weekday, local_time, zone FROM queue_slots WHERE connection_id = $1::uuid", connection_id
    )
    zone = rows[0]["zone"] if rows else "UTC"
    return Queue(frozenset(Slot(row["weekday"], row["local_time"]) for row in rows), zone)


async def queues(connection: asyncpg.Connection) -> dict[str, Queue]:
    """Return the queues of all accounts that have slots, by connection."""
    found: dict[str, tuple[str, set[Slot]]] = {}
    for row in await connection.fetch("SELECT connection_id::text, weekday, local_time, zone FROM queue_slots"):
        found.setdefault(row[0], (row[3], set()))[1].add(Slot(row[1], row[2]))
    return {id_: Queue(frozenset(slots), zone) for id_, (zone, slots) in found.items()}


async def replace(connection: asyncpg.Connection, tenant: str, connection_id: str, queue: Queue) -> None:
    """Set the slots of an account in place of those that it had. What is planned already stays where it is."""
    await connection.execute("DELETE FROM queue_slots WHERE connection_id = $1::uuid", connection_id)
    await connection.executemany(
        """
        INSERT INTO queue_slots (tenant_id, connection_id, weekday, local_time, zone)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5)""",
        _rows(tenant, connection_id, queue),
    )


def _rows(tenant: str, connection_id: str, queue: Queue) -> Sequence[tuple[object, ...]]:
    return [(tenant, connection_id, slot.weekday, slot.wall, queue.zone) for slot in sorted(queue.slots)]


async def taken(connection: asyncpg.Connection, connection_id: str, after: datetime) -> list[datetime]:
    """Return when posts of an account are planned after an instant, and the slots that are taken for other reasons."""
    rows = await connection.fetch(
        f"""
        SELECT coalesce(t.slot_at, p.scheduled_at) FROM post_targets t JOIN posts p ON p.id = t.post_id
        WHERE t.connection_id = $1::uuid AND t.parent_id IS NULL AND coalesce(t.slot_at, p.scheduled_at) > $2
            AND ({COUNTED} OR (t.slot_at IS NOT NULL AND NOT {_FREE_AGAIN}))""",
        connection_id,
        after,
    )
    return [row[0] for row in rows]
