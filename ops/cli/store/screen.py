"""What `landfall up` shows of the tables while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import required
from schema.event_states import State
from schema.preview import Preview
from sync.projection.store import Claimed, claimed, key_names

_COUNTS = f"""
SELECT (SELECT count(*) FROM webhook_deliveries) AS deliveries,
    (SELECT coalesce(sum(event_count - new_event_count), 0) FROM webhook_delivery_outcomes)::bigint AS duplicates,
    (SELECT count(*) FROM webhook_event_log) AS events,
    (SELECT count(*) FROM webhook_event_outcomes WHERE state = '{State.DONE}') AS projected,
    (SELECT count(*) FROM webhook_event_queue) + (SELECT count(*) FROM webhook_delivery_queue) AS waiting,
    (SELECT coalesce(extract(epoch FROM now() - least(
            (SELECT min(due_at) FROM webhook_event_queue WHERE due_at <= now()),
            (SELECT min(d.received_at) FROM webhook_delivery_queue q JOIN webhook_deliveries d ON d.id = q.delivery_id)
        )), 0)::float8) AS lag
"""

_EVENTS = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM webhook_event_log e ORDER BY e.id DESC LIMIT $1
"""

Row = Mapping[str, object]
"""A row as it is shown: values by heading."""

Key = tuple[str, ...]
"""The account of a row, and what identifies the row within it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many deliveries and events there are, and how many of what became of them; ``lag`` is in seconds."""

    deliveries: int
    duplicates: int
    events: int
    projected: int
    waiting: int
    lag: float


async def counts(connection: asyncpg.Connection) -> Counts:
    return Counts(*required(await connection.fetchrow(_COUNTS)))


async def count_rows(connection: asyncpg.Connection, table: Table) -> int:
    found: int = await connection.fetchval(f"SELECT count(*) FROM {table.name}")
    return found


async def newest_events(connection: asyncpg.Connection, limit: int) -> list[Claimed]:
    """Return the newest events of the log, newest first."""
    return [claimed(row) for row in await connection.fetch(_EVENTS, limit)]


async def rows_of(
    connection: asyncpg.Connection, table: Table, preview: Preview, keys: Sequence[Key], limit: int
) -> list[Row]:
    """Return the first ``limit`` rows that have these keys, in the order of the keys."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    if not columns:
        return []
    return [
        dict(row) for row in await connection.fetch(_select(table, tuple(preview.columns.items())), *columns, limit)
    ]


@cache
def _select(table: Table, shown: tuple[tuple[str, str], ...]) -> str:
    key = ("account_id", *key_names(table))
    provider = f"'{table.info['provider']}'" if "provider" in table.info else "provider"
    given = ", ".join(f"${number}::text[]" for number in range(1, len(key) + 1))
    return f"""
        SELECT {", ".join(f'{expression} AS "{heading}"' for heading, expression in shown)}
        FROM unnest({given}) WITH ORDINALITY AS named ({", ".join(key)}, position)
        JOIN {table.name} USING ({", ".join(key)}) WHERE bucket = bucket_of({provider}, account_id)
        ORDER BY named.position LIMIT ${len(key) + 1}"""
