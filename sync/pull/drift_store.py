"""The SQL of comparing tables with a platform. ``would_change`` writes, and rolls that back."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import transaction
from sync.projection.store import Fact, apply, facets_of, key_names
from sync.pull.contract import Object
from sync.pull.store import Key, descendants


@dataclass(frozen=True, slots=True)
class Change:
    """A row that facts would change. ``before`` is None for one that they would make."""

    table: str
    key: Mapping[str, str]
    before: Mapping[str, Any] | None
    columns: Mapping[str, tuple[object, object]]


class _Undo(Exception):  # noqa: N818  ends a transaction that must leave nothing
    pass


async def now(connection: asyncpg.Connection) -> datetime:
    found: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return found


async def refused(connection: asyncpg.Connection, key: Key) -> frozenset[str]:
    """Return the fields and numbers that the platform is known to refuse to an account."""
    found = await connection.fetchval(
        "SELECT refused FROM pull_accounts WHERE bucket = $1 AND account_id = $2 AND provider = $3", *key.place
    )
    return frozenset(found or ())


async def would_change(connection: asyncpg.Connection, key: Key, facts: Collection[Fact]) -> list[Change]:
    """Return the rows that facts would change or make, by writing them and rolling that back."""
    keys: dict[Table, set[tuple[str, ...]]] = defaultdict(set)
    for fact in facts:
        table = fact.upsert.table
        keys[table].add(tuple(fact.upsert.key[name] for name in key_names(table)))
    if not keys:
        return []
    before: dict[tuple[Table, tuple[str, ...]], asyncpg.Record] = {}
    after: dict[tuple[Table, tuple[str, ...]], asyncpg.Record] = {}
    try:
        async with transaction(connection):
            for table, wanted in keys.items():
                before |= await _rows(connection, key, table, wanted)
            await apply(connection, facts)
            for table, wanted in keys.items():
                after |= await _rows(connection, key, table, wanted)
            raise _Undo
    except _Undo:
        pass
    return [_change(table, row, before.get((table, row)), found) for (table, row), found in after.items()]


async def _rows(
    connection: asyncpg.Connection, key: Key, table: Table, wanted: Iterable[tuple[str, ...]]
) -> dict[tuple[Table, tuple[str, ...]], asyncpg.Record]:
    names = key_names(table)
    arrays = [list(column) for column in zip(*sorted(wanted), strict=True)] if names else []
    conditions = ["t.bucket = $1", "t.account_id = $2"]
    if names:
        columns = ", ".join(f"${number}::text[]" for number in range(3, 3 + len(names)))
        given = ", ".join(f"t.{name}::text" for name in names)
        conditions.append(f"({given}) IN (SELECT * FROM unnest({columns}))")
    bucket, account, _ = key.place
    rows = await connection.fetch(
        f"SELECT t.* FROM {table.name} t WHERE {' AND '.join(conditions)}", bucket, account, *arrays
    )
    return {(table, tuple(str(row[name]) for name in names)): row for row in rows}


def _change(table: Table, row: tuple[str, ...], before: asyncpg.Record | None, after: asyncpg.Record) -> Change:
    columns = {
        name: (None if before is None else before[name], after[name])
        for names in facets_of(table).values()
        for name in names
        if (None if before is None else before[name]) != after[name]
    }
    key = dict(zip(key_names(table), row, strict=True))
    return Change(table.name, key, None if before is None else dict(before), columns)


async def times(connection: asyncpg.Connection, key: Key, abouts: Collection[Object]) -> dict[Object, datetime | None]:
    """Return when objects were last shown by an answer that was stored; none for those never read."""
    rows = await connection.fetch(
        """
        SELECT o.kind, o.object_id, o.checked_at
        FROM unnest($4::text[], $5::text[]) AS w (kind, object_id) JOIN pull_objects o
            ON o.bucket = $1 AND o.account_id = $2 AND o.provider = $3 AND o.kind = w.kind
            AND o.object_id = w.object_id""",
        *key.place,
        [about.kind for about in abouts],
        [about.id for about in abouts],
    )
    return {Object(row["kind"], row["object_id"]): row["checked_at"] for row in rows}


async def unseen(
    connection: asyncpg.Connection,
    key: Key,
    kind: str,
    table: Table,
    column: str,
    presence: str,
    seen: Collection[str],
) -> list[str]:
    """Return the ids of an account's rows that are not among ``seen``, and of which nothing says that they are gone.

    Rows that are known by mention only, or were read as something else than ``kind``, are other people's.
    """
    conditions = [f"t.{name} IS NULL" for name in facets_of(table).get(presence, ())]
    if "placeholder" in table.columns:
        conditions.append("NOT t.placeholder")
    bucket, account, provider = key.place
    rows = await connection.fetch(
        f"""
        SELECT t.{column} AS id FROM {table.name} t
        WHERE t.bucket = $1 AND t.account_id = $2 AND NOT t.{column} = ANY($3::text[])
            {"".join(f" AND {condition}" for condition in conditions)}
            AND (NOT EXISTS (SELECT 1 FROM pull_objects o WHERE o.bucket = $1 AND o.account_id = $2
                    AND o.provider = $4 AND o.object_id = t.{column} AND o.checked_at IS NOT NULL)
                OR EXISTS (SELECT 1 FROM pull_objects o WHERE o.bucket = $1 AND o.account_id = $2
                    AND o.provider = $4 AND o.kind = $5 AND o.object_id = t.{column}))
        ORDER BY 1""",
        bucket,
        account,
        [*seen],
        provider,
        kind,
    )
    return [row["id"] for row in rows]


_LOST = """
SELECT object_id FROM pull_objects WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND gone_at IS NOT NULL
UNION
SELECT t.object_id FROM pull_tasks t
WHERE t.bucket = $1 AND t.account_id = $2 AND t.provider = $3 AND t.kind = ANY($4) AND t.skip_code = 'platform'
    AND NOT EXISTS (SELECT 1 FROM pull_objects o WHERE o.bucket = $1 AND o.account_id = $2 AND o.provider = $3
        AND o.object_id = t.object_id)
"""


async def out_of_reach(connection: asyncpg.Connection, key: Key, confirming: Collection[str]) -> set[str]:
    """Return the ids of objects that hang on one that is gone, or that a look-up of these kinds never found.

    The platform says of those that they do not exist, whether they were deleted or not.
    """
    lost = [row["object_id"] for row in await connection.fetch(_LOST, *key.place, [*confirming])]
    return {*await descendants(connection, key, lost)} - {*lost}


async def save(
    connection: asyncpg.Connection, key: Key, compared: int, missing: int, different: int, extra: int, *, complete: bool
) -> None:
    """Store what the comparison of an account found, in place of the one before."""
    await connection.execute(
        """
        INSERT INTO pull_drifts (bucket, account_id, provider, compared, missing, different, extra, complete)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (bucket, account_id, provider) DO UPDATE SET checked_at = now(), compared = excluded.compared,
            missing = excluded.missing, different = excluded.different, extra = excluded.extra,
            complete = excluded.complete""",
        *key.place,
        compared,
        missing,
        different,
        extra,
        complete,
    )
