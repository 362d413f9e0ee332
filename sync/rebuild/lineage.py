"""Why a row is what it is: the events behind it, and the ones that said something about it in vain."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import Table

from sync.projection.contract import Projection, event_of
from sync.projection.store import Batch, Claimed, facets_of, key_names, made_by, values_of
from sync.projection.worker import project
from sync.rebuild import store

BATCH_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Statement:
    """One event's word on one facet of the row. ``facet`` is None where it only made the row exist.

    It ``stands`` where the row has anything of it: its version, or a column. ``event`` is None where the log has
    dropped it: what is left is what the row has of it.
    """

    facet: str | None
    version: str
    values: Mapping[str, object]
    event: Claimed | None
    stands: bool


async def makers(connection: asyncpg.Connection, table: Table, row: Mapping[str, Any]) -> list[Statement]:
    """For each facet that is filled, return the events that the row itself names as its makers, the newest first.

    ``values`` of each are the columns that it made: one event may have carried what another one lacked.
    """
    made = [
        (facet, version, columns)
        for facet in facets_of(table)
        for version, columns in sorted(made_by(table, row, facet).items(), reverse=True)
    ]
    provider, account = provider_of(table, row), row["account_id"]
    found = await store.events_named(connection, {(provider, account, event_of(version)) for _, version, _ in made})
    events = {claimed.event.external_id: claimed for claimed in found}
    return [
        Statement(
            facet,
            version,
            {name: values_of(table, row, facet)[name] for name in columns},
            events.get(event_of(version)),
            stands=True,
        )
        for facet, version, columns in made
    ]


async def dropped_until(connection: asyncpg.Connection, table: Table, row: Mapping[str, Any]) -> datetime | None:
    """Return when the newest event was received that the log has dropped of the row's account, None if there is none.

    Of a row that is older, events may be gone that it does not name.
    """
    newest = await store.newest_dropped(connection, provider_of(table, row), row["account_id"])
    return newest if newest is not None and row.get("created_at", newest) <= newest else None


async def history(
    connection: asyncpg.Connection, projections: Mapping[str, Projection], table: Table, row: Mapping[str, Any]
) -> AsyncIterator[Statement]:
    """Yield everything that any event of the account ever said of the row, in order of arrival."""
    key = {name: row[name] for name in key_names(table)}
    standing = {facet: made_by(table, row, facet) for facet in facets_of(table)}
    after = 0
    while events := await store.events_after(
        connection, provider_of(table, row), row["account_id"], after, BATCH_EVENTS
    ):
        after = events[-1].id
        for claimed in events:
            for fact in project(projections, Batch([claimed])).facts:
                said = fact.upsert
                if said.table is table and dict(said.key) == key:
                    stands = said.facet is not None and said.version in standing[said.facet]
                    yield Statement(said.facet, said.version, said.values, claimed, stands=stands)


def provider_of(table: Table, row: Mapping[str, Any]) -> str:
    """Return the platform whose events make a row."""
    return str(table.info.get("provider") or row["provider"])
