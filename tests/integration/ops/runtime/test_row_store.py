"""Columns of many types go as few parameters, and come out as they went in, each in its place."""

from datetime import UTC, datetime
from typing import Any

import asyncpg

from ops.runtime.row_store import Rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TYPES = ["smallint", "text", "timestamptz", "text", "smallint", "bool", "jsonb", "text"]
ROWS: list[tuple[Any, ...]] = [
    (1, "a", NOON, None, 10, True, '{"n": [1, 2]}', "{not, an, array}"),
    (2, 'b "quoted" \\ \x1f', None, "x", 20, None, None, ""),
    (3, None, None, None, 30, False, "null", "NULL"),
]


async def test_rows_come_out_as_they_went_in(connection: asyncpg.Connection) -> None:
    rows = Rows(TYPES, first=2)
    sent = rows.parameters([list(column) for column in zip(*ROWS, strict=True)])
    assert len(sent) == len(set(TYPES))
    query = f"SELECT r.* FROM {rows.sql} AS r (a, b, c, d, e, f, g, h) WHERE a <> $1"
    for count in (1, 2, 3):
        sent = rows.parameters([list(column) for column in zip(*ROWS[:count], strict=True)])
        assert [tuple(row) for row in await connection.fetch(query, 0, *sent)] == ROWS[:count]
