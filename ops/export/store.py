"""Read the rows of a view in portions, within one transaction, at one instant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ops.export.request import Export
from ops.runtime.db import transaction

PORTION = 500
"""Rows that are in memory at once."""

LONGEST_SECONDS = 3600
"""Of an export. What it does not see stays in the tables meanwhile, dead rows too."""

IDLE_SECONDS = 60
"""How long whoever takes it may take for one portion."""

_TRANSACTION_LIMITED_FROM = 17
"""The release of PostgreSQL that knows ``transaction_timeout``. The limit that is set must be off to be set anew."""


@asynccontextmanager
async def snapshot(connection: asyncpg.Connection, tenant: str | None) -> AsyncIterator[None]:
    """A transaction that reads one instant, of the rows of a tenant where one is named, for up to an hour."""
    limited = connection.get_server_version().major >= _TRANSACTION_LIMITED_FROM
    limit = (
        f"SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = '{LONGEST_SECONDS}s'; " if limited else ""
    )
    first = (
        f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; {limit}SET LOCAL timezone = 'UTC'; "
        f"SET LOCAL statement_timeout = '{LONGEST_SECONDS}s'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
    )
    async with transaction(connection, first):
        if tenant is not None:
            await connection.execute("SELECT set_config('landfall.tenant', $1, true)", tenant)
        yield


async def rows(connection: asyncpg.Connection, export: Export) -> AsyncIterator[list[tuple[Any, ...]]]:
    """Yield the rows in portions. Within :func:`snapshot`.

    Values are as PostgreSQL writes them, and of Parquet as Python has them. Of JSONL each row has one column, the line.
    """
    conditions, given = [], []
    for column, comparison, value in (
        (export.time, ">=", export.since),
        (export.time, "<", export.until),
        ("account_id", "=", export.account),
    ):
        if value is not None:
            given.append(value)
            kind = export.columns[column]
            place = f"${len(given)}"
            # A day is compared with the day in UTC on which the moment is.
            moment = f"({place}::timestamptz AT TIME ZONE 'UTC')::date" if kind == "date" else f"{place}::{kind}"
            conditions.append(f"v.{column} {comparison} {moment}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT {_columns(export)} FROM {export.schema}.{export.view} v{where}"
    cursor = await connection.cursor(query, *given, timeout=LONGEST_SECONDS)
    while portion := await cursor.fetch(PORTION, timeout=LONGEST_SECONDS):
        yield [tuple(row) for row in portion]


def _columns(export: Export) -> str:
    if export.format == "jsonl":
        return "row_to_json(v)::text"
    if export.format == "parquet":
        return ", ".join(f"v.{name}" for name in export.columns)
    return ", ".join(f"{_as_text(name, kind)} AS {name}" for name, kind in export.columns.items())


def _as_text(name: str, kind: str) -> str:
    if kind == "timestamp with time zone":
        return f"to_json(v.{name}) #>> '{{}}'"  # as ISO 8601 has it
    return f"to_json(v.{name})::text" if kind.endswith("[]") else f"v.{name}::text"
