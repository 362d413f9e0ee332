"""Why a row is what it is: the events behind it, and the ones that said something about it in vain."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import Table

from sync.projection import store
from sync.projection.contract import Projection, event_of
from sync.projection.store import Batch, Claimed
from sync.projection.worker import project

BATCH_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Statement:
    """One event's word on one facet of the row. ``facet`` is None where it only made the row exist.

    It ``stands`` where the row has anything of it: its version, or a column.
    """

    facet: str | None
    version: str
    values: Mapping[str, Any]
    event: Claimed
    stands: bool


async def find(
    connection: asyncpg.Connection, table: Table, object_id: str, account: str | None
) -> list[asyncpg.Record]:
    """Rows that have ``object_id`` anywhere in their key, of one account or of any."""
    names = store.key_names(table)
    condition = " OR ".join(f"{name} = $1" for name in names or ["account_id"])
    columns = ", ".join(column.name for column in table.primary_key.columns)
    return list(
        await connection.fetch(
            f"SELECT * FROM {table.name} WHERE ({condition}) AND ($2::text IS NULL OR account_id = $2) "
            f"ORDER BY {columns} LIMIT 20",
            object_id,
            account,
        )
    )


_MAKERS = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM webhook_event_log e WHERE e.provider = $1 AND e.account_id = $2 AND e.external_id = any($3::text[])
"""


async def makers(connection: asyncpg.Connection, table: Table, row: Mapping[str, Any]) -> list[Statement]:
    """For each facet that is filled, the events that the row itself names as its makers, the newest first.

    ``values`` of each are the columns that it made: one event may have carried what another one lacked.
    """
    made = [
        (facet, version, columns)
        for facet in store.facets_of(table)
        for version, columns in sorted(store.made(table, row, facet).items(), reverse=True)
    ]
    provider = table.info.get("provider") or row["provider"]
    names = list({event_of(version) for _, version, _ in made})
    rows = await connection.fetch(_MAKERS, provider, row["account_id"], names)
    events = {claimed.event.external_id: claimed for claimed in map(store.claimed, rows)}
    return [
        Statement(facet, version, {name: row[name] for name in columns}, event, stands=True)
        for facet, version, columns in made
        if (event := events.get(event_of(version)))
    ]


_HISTORY = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM webhook_event_log e JOIN webhook_event_outcomes o ON o.account_id = e.account_id AND o.event_id = e.id
WHERE e.account_id = $1 AND e.provider = $2 AND e.id > $3 AND o.state = 'done' ORDER BY e.id LIMIT $4
"""


async def history(
    connection: asyncpg.Connection, projections: Mapping[str, Projection], table: Table, row: Mapping[str, Any]
) -> AsyncIterator[Statement]:
    """Everything any event of the account ever said of the row, in order of arrival."""
    provider = table.info.get("provider") or row["provider"]
    key = {name: row[name] for name in store.key_names(table)}
    standing = {facet: store.made(table, row, facet) for facet in store.facets_of(table)}
    after = 0
    while events := await connection.fetch(_HISTORY, row["account_id"], provider, after, BATCH_EVENTS):
        after = events[-1]["id"]
        for claimed in map(store.claimed, events):
            for fact in project(projections, Batch([claimed], None)).facts:
                said = fact.upsert
                if said.table is table and dict(said.key) == key:
                    stands = said.facet is not None and said.version in standing[said.facet]
                    yield Statement(said.facet, said.version, said.values, claimed, stands=stands)
