"""All SQL about shadows and about the events behind a row. The caller opens the transactions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import required, rows_affected
from schema.crm import crm_tables
from schema.event_states import PROCESSED, State, quoted
from schema.events import bucket_of, identity_of
from schema.tables import key_numbers
from sync.projection.contract import Projection
from sync.projection.store import Claimed, Write, claimed, key_names

if TYPE_CHECKING:
    from asyncpg.cursor import Cursor

SAMPLES = 5

SAMPLED_BLOCKS = 500
"""Of the outcomes, for an estimate: some 30,000 events, of which what is a hundredth of all is hardly ever missed."""

_LOCK = 0x1A4DFA11
"""Key of the advisory lock that keeps two rebuilds from sharing a shadow."""

_FOLDING_LOCK = 0x1A4DFA12
"""Key of the advisory lock that all processes of a rebuild share: one may outlive the process that started it."""


Position = tuple[int, str, int]
"""The bucket, the account and the id of an event: its key in the log."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that was projected once and cannot be projected by this release."""

    event_id: int
    error: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How one live table departs from the log, in rows; ``samples`` are some of the keys.

    ``rows`` are those that were compared. Of the ``kept`` ones, retention dropped events that may have made them: they
    are neither compared nor changed.
    """

    table: str
    rows: int
    kept: int
    missing: int
    extra: int
    different: int
    samples: tuple[str, ...]

    @property
    def drift(self) -> int:
        return self.missing + self.extra + self.different


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of rows that the log says there are: how many are stored, and how many are not or otherwise.

    The ``kept`` ones, as of a ``Difference``, are in no other number.
    """

    kept: int = 0
    live: int = 0
    missing: int = 0
    different: int = 0
    samples: tuple[str, ...] = ()

    def __add__(self, other: "Compared") -> "Compared":
        return Compared(
            self.kept + other.kept,
            self.live + other.live,
            self.missing + other.missing,
            self.different + other.different,
            (self.samples + other.samples)[:SAMPLES],
        )


@dataclass(frozen=True, slots=True)
class Collision:
    """How many numbers, each made of a row's key, two or more rows of a table share."""

    table: str
    numbers: int


async def lock_for_session(connection: asyncpg.Connection) -> bool:
    """Take the right to rebuild until the connection ends; whether it was free."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        return False
    async with connection.transaction():
        return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _FOLDING_LOCK))


async def lock_for_transaction(connection: asyncpg.Connection) -> bool:
    """Take the right to rebuild until the transaction ends; whether it was free."""
    query = "SELECT pg_try_advisory_xact_lock($1) AND pg_try_advisory_xact_lock($2)"
    return bool(await connection.fetchval(query, _LOCK, _FOLDING_LOCK))


async def share_folding(connection: asyncpg.Connection) -> None:
    """Let no other rebuild begin before the connection ends. For the further processes of one that has the right."""
    await connection.execute("SELECT pg_advisory_lock_shared($1)", _FOLDING_LOCK)


async def left_over(connection: asyncpg.Connection, schema: str, release: str) -> bool:
    """Whether a shadow of this release is there. After a crash of the server it is not: nothing of it is WAL-logged."""
    if not await connection.fetchval(f"SELECT to_regclass('{schema}.release')"):
        return False
    return bool(await connection.fetchval(f"SELECT name = $1 FROM {schema}.release", release))


async def make_shadow(connection: asyncpg.Connection, schema: str, release: str, *, distributed: bool = False) -> None:
    """Make an empty copy of every CRM table, and a note of what was folded into it.

    Where Citus distributes the tables of accounts, these too, so that the copies of a bucket are on one server.
    """
    await drop_shadow(connection, schema)
    await connection.execute(f"CREATE SCHEMA {schema}")
    for table in crm_tables():
        name = table.name
        await connection.execute(f"CREATE UNLOGGED TABLE {schema}.{name} (LIKE public.{name} INCLUDING ALL)")
    await connection.execute(
        f"""
        CREATE UNLOGGED TABLE {schema}.folded
            (bucket smallint, account_id text, event_id bigint, error text, PRIMARY KEY (bucket, account_id, event_id));
        CREATE UNLOGGED TABLE {schema}.release (name text)
        """
    )
    if distributed:
        for name in (*(table.name for table in crm_tables()), "folded"):
            await connection.execute(_DISTRIBUTE, f"{schema}.{name}")
    await connection.execute(f"INSERT INTO {schema}.release VALUES ($1)", release)


async def drop_shadow(connection: asyncpg.Connection, schema: str) -> None:
    await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def write_to(connection: asyncpg.Connection, schema: str) -> None:
    """Let the names of CRM tables mean those of ``schema``, so that what writes live tables writes these."""
    await connection.execute(f"SET search_path = {schema}, public")


async def write_live(connection: asyncpg.Connection) -> None:
    await connection.execute("RESET search_path")


async def plan_by_key(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """Set these for the rest of the transaction."""
    for name, value in settings.items():
        await connection.execute("SELECT set_config($1, $2, true)", name, value)


async def count_folded(connection: asyncpg.Connection, schema: str) -> int:
    count: int = await connection.fetchval(f"SELECT count(*) FROM {schema}.folded")
    return count


async def count_waiting(connection: asyncpg.Connection, schema: str, platforms: Sequence[str]) -> dict[int, int]:
    """Return how many events of each bucket are done and not folded."""
    rows = await connection.fetch(_WAITING.format(schema=schema), platforms)
    return {row["bucket"]: row["events"] for row in rows}


async def next_events(
    connection: asyncpg.Connection,
    schema: str,
    platforms: Sequence[str],
    last_bucket: int,
    after: Position,
    limit: int,
) -> list[Claimed]:
    """Return events that are done and not folded, in key order from ``after``, up to a bucket."""
    rows = await connection.fetch(_NEXT.format(schema=schema), platforms, last_bucket, *after, limit)
    return [claimed(row) for row in rows]


async def note_folded(
    connection: asyncpg.Connection, schema: str, events: Sequence[Claimed], errors: Mapping[int, str]
) -> None:
    """``errors`` are what went wrong, by the event's id."""
    await connection.execute(
        f"INSERT INTO {schema}.folded SELECT * FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[])",
        [item.bucket for item in events],
        [item.event.account_id for item in events],
        [item.id for item in events],
        [errors.get(item.id) for item in events],
    )


async def failed_events(connection: asyncpg.Connection, schema: str) -> list[Failed]:
    rows = await connection.fetch(
        f"SELECT event_id, error FROM {schema}.folded WHERE error IS NOT NULL ORDER BY event_id"
    )
    return [Failed(row["event_id"], row["error"]) for row in rows]


async def analyze(connection: asyncpg.Connection, schema: str) -> None:
    """Tell the planner how much there is."""
    for table in crm_tables():
        await connection.execute(f"ANALYZE {schema}.{table.name}")


def _scope(table: Table, platforms: Sequence[str]) -> list[Sequence[str]]:
    return [] if "provider" in table.info else [platforms]


async def compare(connection: asyncpg.Connection, schema: str, table: Table, platforms: Sequence[str]) -> Difference:
    """Compare a live table with the shadow's, as the transaction sees both."""
    query = _COMPARE.format(schema=schema, **_words(table))
    found = required(await connection.fetchrow(query, *_scope(table, platforms)))
    kept: int = await connection.fetchval(_COUNT_KEPT.format(**_words(table)), *_scope(table, platforms))
    return Difference(
        table.name,
        found["live_rows"],
        kept,
        found["missing"],
        found["extra"],
        found["differing"],
        tuple(found["samples"] or ()),
    )


class Events:
    """Events that a query found, in portions. Within the transaction that opened it."""

    def __init__(self, cursor: "Cursor[asyncpg.Record]") -> None:
        self._cursor = cursor

    async def fetch(self, limit: int) -> list[Claimed]:
        return [claimed(row) for row in await self._cursor.fetch(limit)]


async def count_done(connection: asyncpg.Connection, since: datetime | None = None) -> dict[int, int]:
    """Return how many events of each bucket are done, of those that were settled since a time."""
    return {row["bucket"]: row["events"] for row in await connection.fetch(_DONE_BY_BUCKET, since)}


async def open_events(
    connection: asyncpg.Connection, platforms: Sequence[str], buckets: tuple[int, int], since: datetime | None = None
) -> Events:
    """Open the events that are done, from the first to the last of ``buckets``, of those settled since a time."""
    if since is None:
        return Events(await connection.cursor(_DONE, platforms, *buckets))
    return Events(await connection.cursor(f"{_DONE} AND o.settled_at >= $4", platforms, *buckets, since))


async def stored_rows(connection: asyncpg.Connection, table: Table, write: Write) -> list[dict[str, Any]]:
    """Return the rows that are stored under the keys of these."""
    query = _STORED.format(offered=write.offered, **_words(table))
    return [dict(row) for row in await connection.fetch(query, *write.arrays)]


async def compare_offered(
    connection: asyncpg.Connection,
    table: Table,
    write: Write,
    shards: tuple[int, int] | None = None,
    *,
    every_event: bool = True,
) -> Compared:
    """Compare rows with those that are stored, as the transaction sees them.

    ``shards`` are the first and the last of their buckets, where Citus distributes the tables.

    Unless they were made of every event, their times may be within those that are stored.
    """
    comparison = _comparison(table, write.columns, every_event=every_event)
    words = _words(table) | {"offered": write.offered, "comparison": comparison}
    if shards is None:
        query = _COMPARE_OFFERED.format(**words)
    else:
        sent = len(write.arrays)
        query = _COMPARE_IN_SHARDS.format(first_bucket=f"${sent + 1}", last_bucket=f"${sent + 2}", **words)
    found = required(await connection.fetchrow(query, *write.arrays, *(shards or ())))
    return Compared(found["kept"], found["live"], found["missing"], found["different"], tuple(found["samples"] or ()))


async def count_rows(
    connection: asyncpg.Connection, table: Table, platforms: Sequence[str], buckets: tuple[int, int]
) -> tuple[int, int]:
    """Return how many rows of these platforms are stored in these buckets: those to be compared, and those kept."""
    query = _COUNT_ROWS.format(**_words(table))
    found = required(await connection.fetchrow(query, *buckets, *_scope(table, platforms)))
    return found["compared"], found["kept"]


async def open_keys(
    connection: asyncpg.Connection, table: Table, platforms: Sequence[str], buckets: tuple[int, int]
) -> "Cursor[asyncpg.Record]":
    """Open account and key of every such row that is to be compared."""
    return await connection.cursor(_KEYS.format(**_words(table)), *buckets, *_scope(table, platforms))


async def put(connection: asyncpg.Connection, schema: str, table: Table) -> None:
    """Write into a live table what the shadow's has and it has not."""
    await connection.execute(_PUT.format(schema=schema, **_words(table)))


async def remove(connection: asyncpg.Connection, schema: str, table: Table, platforms: Sequence[str]) -> None:
    """Delete from a live table what the shadow's has not."""
    await connection.execute(_REMOVE.format(schema=schema, **_words(table)), *_scope(table, platforms))


async def hold_all_buckets(connection: asyncpg.Connection) -> None:
    """Wait for the batches under way and let no other begin until the transaction ends; 30 seconds at most."""
    await connection.execute("SET LOCAL lock_timeout = '30s'")
    await connection.execute("SELECT FROM webhook_buckets ORDER BY bucket FOR UPDATE")


async def settle_version(connection: asyncpg.Connection, platform: str, projection: Projection) -> int:
    """Note that the log was projected by this version; return how many events that an older one ignored are queued."""
    tag = await connection.execute(_REQUEUE, platform, projection.version, list(projection.handlers))
    await connection.execute(_RESTATE, platform, projection.version)
    return rows_affected(tag)


async def outdated(connection: asyncpg.Connection, projections: Mapping[str, Projection]) -> dict[str, int]:
    """Return how many settled events of each platform were projected by another version than this release's."""
    versions = [projection.version for projection in projections.values()]
    rows = await connection.fetch(_OUTDATED.format(sample=""), list(projections), versions)
    return {row["provider"]: row["events"] for row in rows}


async def estimate_outdated(connection: asyncpg.Connection, projections: Mapping[str, Projection]) -> dict[str, int]:
    """Return about how many they are, by a sample that takes as long at any size; exactly of a small log."""
    versions = [projection.version for projection in projections.values()]
    percent = min(100.0, 100 * SAMPLED_BLOCKS / max(1, await connection.fetchval(_OUTCOME_BLOCKS)))
    query = _OUTDATED.format(sample="TABLESAMPLE SYSTEM ($3::float4)")
    rows = await connection.fetch(query, list(projections), versions, percent)
    return {row["provider"]: round(row["events"] * 100 / percent) for row in rows}


async def collisions(connection: asyncpg.Connection) -> list[Collision]:
    """Return the tables in which rows share the number that is made of their key. Within a transaction."""
    await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
    found = []
    for table, column in key_numbers():
        numbers = await connection.fetchval(_COLLISIONS.format(table=table, column=column))
        if numbers:
            found.append(Collision(table, numbers))
    return found


async def find_rows(
    connection: asyncpg.Connection, table: Table, object_id: str, account: str | None
) -> list[dict[str, Any]]:
    """Return rows that have ``object_id`` anywhere in their key, of one account or of any; 20 at most."""
    condition = " OR ".join(f"{name} = $1" for name in key_names(table) or ["account_id"])
    columns = ", ".join(("account_id", *key_names(table)))
    query = f"""
        SELECT * FROM {table.name} WHERE ({condition}) AND ($2::text IS NULL OR account_id = $2)
        ORDER BY {columns} LIMIT 20"""
    return [dict(row) for row in await connection.fetch(query, object_id, account)]


async def events_named(connection: asyncpg.Connection, names: Collection[tuple[str, str, str]]) -> list[Claimed]:
    """Return the events of these names: platform, account and the platform's id of the event."""
    buckets = [bucket_of(provider, account) for provider, account, _ in names]
    identities = [identity_of(*name) for name in names]
    rows = await connection.fetch(_NAMED, buckets, [account for _, account, _ in names], identities)
    return [claimed(row) for row in rows]


async def newest_dropped(connection: asyncpg.Connection, provider: str, account: str) -> datetime | None:
    """Return when the newest of the account's events was received that the log has dropped; None if there is none."""
    found: datetime | None = await connection.fetchval(
        "SELECT newest_at FROM webhook_dropped_events WHERE bucket = $1 AND provider = $2 AND account_id = $3",
        bucket_of(provider, account),
        provider,
        account,
    )
    return found


async def events_after(
    connection: asyncpg.Connection, provider: str, account: str, after: int, limit: int
) -> list[Claimed]:
    """Return events of an account that are done, in order of arrival, from the event ``after`` on."""
    bucket = bucket_of(provider, account)
    return [claimed(row) for row in await connection.fetch(_HISTORY, bucket, account, provider, after, limit)]


def _provider(table: Table) -> str:
    """The platform of a row of ``table``, in SQL."""
    return f"'{table.info['provider']}'" if "provider" in table.info else "live.provider"


@cache
def _words(table: Table) -> dict[str, str]:
    """The parts of a statement about ``table``, from its own description."""
    key = [column.name for column in table.primary_key.columns]
    columns = [column.name for column in table.columns if column.computed is None]
    return {
        "table": table.name,
        "key": ", ".join(key),
        "columns": ", ".join(columns),
        "same_key": " AND ".join(f"live.{name} = shadow.{name}" for name in key),
        "live": ", ".join(f"live.{name}" for name in columns),
        "shadow": ", ".join(f"shadow.{name}" for name in columns),
        "sets": ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key),
        "first": key[0],
        "label": " || ' ' || ".join(("account_id", *key_names(table))),
        "kept": f"""EXISTS (SELECT FROM public.webhook_dropped_events k WHERE k.bucket = live.bucket
            AND k.provider = {_provider(table)} AND k.account_id = live.account_id
            AND {"live.created_at <= k.newest_at" if "created_at" in table.columns else "true"})""",
        "names": ", ".join(("account_id", *key_names(table))),
        "scope": "true" if "provider" in table.info else "provider = any($1::text[])",
        "ranged": "bucket BETWEEN $1::smallint AND $2::smallint"
        + ("" if "provider" in table.info else " AND provider = any($3::text[])"),
    }


@cache
def _comparison(table: Table, offered: tuple[str, ...], *, every_event: bool) -> str:
    """Whether a stored row is the one that is offered; what no fact speaks of is not offered, and is to be empty."""
    live, wanted = [], []
    for column in table.columns:
        if column.computed is not None or (not every_event and column.name in ("created_at", "updated_at")):
            continue
        live.append(f"live.{column.name}")
        if column.name not in offered:
            wanted.append("''" if "guards" in column.info else "NULL")
        else:
            # An array's elements have no collation of their own, and a column's is not guessed.
            collation = ' COLLATE "C"' if getattr(column.type, "collation", None) else ""
            wanted.append(f"offered.{column.name}{collation}")
    same = f"ROW({', '.join(live)}) IS NOT DISTINCT FROM ROW({', '.join(wanted)})"
    if every_event or "created_at" not in table.columns:
        return same
    return f"""{same} AND live.created_at <= offered.created_at
        AND coalesce(live.updated_at, '-infinity') >= coalesce(offered.updated_at, '-infinity')"""


_DISTRIBUTE = """
SELECT create_distributed_table($1::text::regclass, 'bucket', colocate_with => 'public.webhook_event_queue')
"""

_WAITING = f"""
SELECT o.bucket, count(*) AS events FROM webhook_event_outcomes o
JOIN webhook_event_log e ON e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id
WHERE o.state = '{State.DONE}' AND e.provider = any($1::text[]) AND NOT EXISTS (
    SELECT FROM {{schema}}.folded f
        WHERE f.bucket = o.bucket AND f.account_id = o.account_id AND f.event_id = o.event_id
)
GROUP BY o.bucket
"""

_NEXT = f"""
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, o.retry_count
FROM webhook_event_outcomes o
JOIN webhook_event_log e ON e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id
WHERE o.state = '{State.DONE}' AND e.provider = any($1::text[]) AND o.bucket <= $2::smallint
    AND (o.bucket, o.account_id, o.event_id) > ($3::smallint, $4, $5::bigint)
    AND NOT EXISTS (
        SELECT FROM {{schema}}.folded f
        WHERE f.bucket = o.bucket AND f.account_id = o.account_id AND f.event_id = o.event_id
    )
ORDER BY o.bucket, o.account_id, o.event_id LIMIT $6
"""

_COMPARE = f"""
SELECT count(*) FILTER (WHERE in_live) AS live_rows,
    count(*) FILTER (WHERE NOT in_live) AS missing,
    count(*) FILTER (WHERE NOT in_shadow) AS extra,
    count(*) FILTER (WHERE in_live AND in_shadow AND NOT same) AS differing,
    (array_agg(label) FILTER (WHERE NOT same))[1:{SAMPLES}] AS samples
FROM (
    SELECT live.{{first}} IS NOT NULL AS in_live, shadow.{{first}} IS NOT NULL AS in_shadow, {{label}} AS label,
        ROW({{live}}) IS NOT DISTINCT FROM ROW({{shadow}}) AS same
    FROM (SELECT * FROM public.{{table}} live WHERE {{scope}} AND NOT {{kept}}) live
    FULL JOIN (
        SELECT * FROM {{schema}}.{{table}} shadow
        WHERE NOT EXISTS (SELECT FROM public.{{table}} live WHERE {{same_key}} AND {{kept}})
    ) shadow USING ({{key}})
) compared
"""

_COUNT_KEPT = "SELECT count(*) FROM public.{table} live WHERE {scope} AND {kept}"

_DONE_BY_BUCKET = f"""
SELECT bucket, count(*) AS events FROM webhook_event_outcomes
WHERE state = '{State.DONE}' AND ($1::timestamptz IS NULL OR settled_at >= $1) GROUP BY bucket
"""

_DONE = f"""
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, o.retry_count
FROM webhook_event_outcomes o
JOIN webhook_event_log e ON e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id
WHERE o.state = '{State.DONE}' AND e.provider = any($1::text[]) AND o.bucket BETWEEN $2::smallint AND $3::smallint
"""

_COMPARED = f"""
SELECT count(*) FILTER (WHERE kept) AS kept,
    count(*) FILTER (WHERE stored AND NOT kept) AS live,
    count(*) FILTER (WHERE NOT stored) AS missing,
    count(*) FILTER (WHERE stored AND NOT kept AND NOT same) AS different,
    (array_agg(label) FILTER (WHERE NOT kept AND NOT same))[1:{SAMPLES}] AS samples
"""

_COMPARE_OFFERED = f"""
{_COMPARED} FROM (
    SELECT live.{{first}} IS NOT NULL AS stored, {{label}} AS label, {{kept}} AS kept, {{comparison}} AS same
    FROM {{offered}} LEFT JOIN public.{{table}} live USING ({{key}})
) compared
"""

# Citus takes no subquery beside a function's rows, and brings together what is stored before it joins the two.
_COMPARE_IN_SHARDS = f"""
{_COMPARED} FROM (
    SELECT live.{{first}} IS NOT NULL AS stored, {{label}} AS label, coalesce(live.kept, false) AS kept,
        {{comparison}} AS same
    FROM {{offered}} LEFT JOIN (
        SELECT live.*, {{kept}} AS kept FROM public.{{table}} live
        WHERE bucket BETWEEN {{first_bucket}}::smallint AND {{last_bucket}}::smallint
    ) live USING ({{key}})
) compared
"""

_STORED = "SELECT live.* FROM {offered} JOIN public.{table} live USING ({key})"

_COUNT_ROWS = """
SELECT count(*) FILTER (WHERE NOT kept) AS compared, count(*) FILTER (WHERE kept) AS kept
FROM (SELECT {kept} AS kept FROM public.{table} live WHERE {ranged}) counted
"""

_KEYS = "SELECT {names} FROM public.{table} live WHERE {ranged} AND NOT {kept}"

_PUT = """
INSERT INTO public.{table} ({columns}) SELECT {columns} FROM {schema}.{table} shadow
WHERE NOT EXISTS (
    SELECT FROM public.{table} live
    WHERE {same_key} AND (ROW({live}) IS NOT DISTINCT FROM ROW({shadow}) OR {kept})
)
ON CONFLICT ({key}) DO UPDATE SET {sets}
"""

_REMOVE = """
DELETE FROM public.{table} live
WHERE {scope} AND NOT {kept} AND NOT EXISTS (SELECT FROM {schema}.{table} shadow WHERE {same_key})
"""

_OUTDATED = f"""
SELECT e.provider, count(*) AS events FROM webhook_event_outcomes o {{sample}}
JOIN webhook_event_log e ON e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id
JOIN unnest($1::text[], $2::smallint[]) AS now (provider, version) ON now.provider = e.provider
WHERE o.state IN ({quoted(PROCESSED)}) AND o.projection_version <> now.version
GROUP BY e.provider
"""

_OUTCOME_BLOCKS = """
SELECT coalesce(sum(pg_relation_size(relid)), 0)::bigint / current_setting('block_size')::int
FROM pg_partition_tree('webhook_event_outcomes') WHERE isleaf
"""

_RESTATE = f"""
UPDATE webhook_event_outcomes o SET projection_version = $2 FROM webhook_event_log e
WHERE e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id AND e.provider = $1
    AND o.state IN ({quoted(PROCESSED)}) AND o.projection_version <> $2
"""

# Only what was ignored for want of a handler: what a person decided to ignore has a reason and stays ignored.
_REQUEUE = f"""
WITH unread AS (
    DELETE FROM webhook_event_outcomes o USING webhook_event_log e
    WHERE e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id AND e.provider = $1
        AND o.state = '{State.IGNORED}' AND o.error_message IS NULL AND o.projection_version <> $2
        AND e.event_type = any($3::text[])
    RETURNING o.bucket, o.account_id, o.event_id
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT bucket, account_id, event_id FROM unread
"""

_COLLISIONS = """
SELECT count(*) FROM (SELECT {column} FROM public.{table} GROUP BY {column} HAVING count(*) > 1) shared
"""

_NAMED = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM unnest($1::smallint[], $2::text[], $3::uuid[]) AS named (bucket, account_id, identity)
JOIN webhook_event_identities i ON i.bucket = named.bucket AND i.identity = named.identity
JOIN webhook_event_log e ON e.bucket = i.bucket AND e.account_id = named.account_id AND e.id = i.event_id
"""

_HISTORY = f"""
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM webhook_event_log e
JOIN webhook_event_outcomes o ON o.bucket = e.bucket AND o.account_id = e.account_id AND o.event_id = e.id
WHERE e.bucket = $1 AND e.account_id = $2 AND e.provider = $3 AND e.id > $4 AND o.state = '{State.DONE}'
ORDER BY e.id LIMIT $5
"""
