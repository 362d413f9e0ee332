"""The CRM tables once more, made from the log alone: to compare the live ones with, and to put right what differs.

A *shadow* is an empty copy of every CRM table in a schema of its own, plus a note of each event that was folded into
it. Events are folded while traffic flows, in any order and in pieces: facts do not mind (``sync.projection``). Which
ones are still missing is then a plain question, "done, and not folded", which a transaction can ask about its own
snapshot, so nothing hangs on clocks, on the order of ids, or on what the workers know of us.

Differences are merged into the live tables by DELETE and INSERT … ON CONFLICT in one transaction. Swapping the tables
by name would be shorter, but a reader with an older snapshot would find the new table half empty, and views, grants
and replication follow a table, not its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import REFUSED, describe, rows_affected
from schema.crm import crm_tables
from schema.revision import HEAD
from sync.projection import store
from sync.projection.contract import Projection
from sync.projection.store import Batch, Claimed
from sync.projection.worker import project

TEMPORARY = "pg_temp"
"""Schema of a shadow that nobody else sees and that ends with its connection."""

KEPT = "landfall_shadow"
"""Schema of a shadow that outlives its connection, so that a rebuild can go on where it was interrupted."""

BATCH_EVENTS = 2000
SAMPLES = 5

_LOCK = 0x1A4DFA11
"""Key of the advisory lock that keeps two rebuilds from sharing a shadow."""


class BusyError(Exception):
    """Another rebuild is under way."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that was projected once and cannot be projected by this release."""

    event_id: int
    error: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How one live table departs from the log, in rows; ``samples`` are some of the keys."""

    table: str
    rows: int
    missing: int
    extra: int
    different: int
    samples: tuple[str, ...]

    @property
    def drift(self) -> int:
        return self.missing + self.extra + self.different


async def discard(connection: asyncpg.Connection) -> None:
    """Take away what an interrupted rebuild left; none begins before the transaction ends. Raises BusyError."""
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
        raise BusyError
    await connection.execute(f"DROP SCHEMA IF EXISTS {KEPT} CASCADE")


class Shadow:
    """A fold of the log under way, for ``platforms`` only."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        projections: Mapping[str, Projection],
        platforms: Sequence[str],
        schema: str = TEMPORARY,
    ) -> None:
        self._connection = connection
        self._projections = projections
        self._platforms = list(platforms)
        self._schema = schema

    @property
    def _release(self) -> str:
        """What the shadow was made by and for: one of another release is of no use."""
        versions = ",".join(f"{name}={self._projections[name].version}" for name in sorted(self._platforms))
        return f"{HEAD} {versions}"

    async def open(self) -> int:
        """Make the shadow, or find the one that was left; return how many events are in it. Raises BusyError."""
        if self._schema == KEPT:
            if not await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                raise BusyError
            if await self._left_over():
                await self._write_here()
                folded: int = await self._connection.fetchval(f"SELECT count(*) FROM {KEPT}.folded")
                return folded
        await self._connection.execute("SET temp_buffers = '256MB'")
        async with self._connection.transaction():
            await self._make()
        await self._write_here()
        return 0

    async def _left_over(self) -> bool:
        if not await self._connection.fetchval(f"SELECT to_regclass('{KEPT}.release')"):
            return False
        # Nothing of it is WAL-logged: after a crash of the server it is empty, this row included.
        return bool(await self._connection.fetchval(f"SELECT name = $1 FROM {KEPT}.release", self._release))

    async def _make(self) -> None:
        kind = ""
        if self._schema == KEPT:
            kind = "UNLOGGED"
            await self._connection.execute(f"DROP SCHEMA IF EXISTS {KEPT} CASCADE; CREATE SCHEMA {KEPT}")
        for table in crm_tables():
            await self._connection.execute(
                f"CREATE {kind} TABLE {self._schema}.{table.name} (LIKE public.{table.name} INCLUDING ALL)"
            )
        await self._connection.execute(
            f"""
            CREATE {kind} TABLE {self._schema}.folded
                (account_id text, event_id bigint, error text, PRIMARY KEY (account_id, event_id));
            CREATE {kind} TABLE {self._schema}.release (name text)
            """
        )
        await self._connection.execute(f"INSERT INTO {self._schema}.release VALUES ($1)", self._release)

    async def _write_here(self) -> None:
        """The names of CRM tables mean the shadow's on this connection, so what writes live tables writes these."""
        await self._connection.execute(f"SET search_path = {self._schema}, public")

    async def waiting(self) -> int:
        """How many events are done and not folded."""
        count: int = await self._connection.fetchval(
            f"SELECT count(*) FROM ({_WAITING}) w".format(schema=self._schema), self._platforms
        )
        return count

    async def fold(self, after: tuple[str, int] | None = None) -> tuple[int, tuple[str, int] | None]:
        """Fold one batch of what is missing, in key order from ``after``; return its size and where it ended."""
        async with self._connection.transaction():
            for name, value in store.PLANNER.items():
                await self._connection.execute("SELECT set_config($1, $2, true)", name, value)
            rows = await self._connection.fetch(
                _NEXT.format(schema=self._schema), self._platforms, *(after or ("", 0)), BATCH_EVENTS
            )
            if not rows:
                return 0, None
            errors = await self._write([store.claimed(row) for row in rows])
            await self._connection.execute(
                f"INSERT INTO {self._schema}.folded SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])",
                [row["account_id"] for row in rows],
                [row["id"] for row in rows],
                [errors.get(row["id"]) for row in rows],
            )
        return len(rows), (rows[-1]["account_id"], rows[-1]["id"])

    async def _write(self, claimed: list[Claimed]) -> dict[int, str]:
        """Write the facts of these events; return what went wrong, by event."""
        result = project(self._projections, Batch(claimed, None))
        errors = {item.id: f"{describe(error)}: {error}"[:200] for item, error in result.failed}
        try:
            async with self._connection.transaction():
                await store.apply(self._connection, result.facts)
        except REFUSED as error:
            if len(claimed) == 1:
                return {claimed[0].id: describe(error)}
            for item in claimed:  # one of them: find it
                errors |= await self._write([item])
        return errors

    async def failed(self) -> list[Failed]:
        """Events that were projected once and cannot be projected by this release."""
        rows = await self._connection.fetch(
            f"SELECT event_id, error FROM {self._schema}.folded WHERE error IS NOT NULL ORDER BY event_id"
        )
        return [Failed(row["event_id"], row["error"]) for row in rows]

    async def fold_rest(self) -> int:
        """Fold whatever the caller's transaction sees as missing."""
        total, after = 0, None
        while True:
            count, after = await self.fold(after)
            total += count
            if after is None:
                return total

    async def analyze(self) -> None:
        """Tell the planner how much there is, before the tables are compared whole."""
        for table in crm_tables():
            await self._connection.execute(f"ANALYZE {self._schema}.{table.name}")

    async def compare(self) -> list[Difference]:
        """Live tables against the shadow, as the caller's transaction sees both."""
        return [await self._compare(table) for table in crm_tables() if self._concerns(table)]

    async def _compare(self, table: Table) -> Difference:
        found = await self._connection.fetchrow(
            _COMPARE.format(schema=self._schema, **_words(table)), *self._scope(table)
        )
        return Difference(
            table.name,
            found["live_rows"],
            found["missing"],
            found["extra"],
            found["differing"],
            tuple(found["samples"] or ()),
        )

    async def merge(self) -> None:
        """Make the live tables equal to the shadow, within the caller's transaction, which holds every bucket."""
        concerned = [table for table in crm_tables() if self._concerns(table)]
        for table in concerned:  # parents first
            await self._connection.execute(_PUT.format(schema=self._schema, **_words(table)))
        for table in reversed(concerned):
            await self._connection.execute(_REMOVE.format(schema=self._schema, **_words(table)), *self._scope(table))

    async def hold_all_buckets(self) -> None:
        """Wait for the batches under way and let no other begin until the caller's transaction ends."""
        await self._connection.execute("SET LOCAL lock_timeout = '30s'")
        await self._connection.execute("SELECT FROM webhook_buckets ORDER BY bucket FOR UPDATE")

    async def settle_versions(self) -> int:
        """Note that the log was projected by this release; queue what an older one ignored and this one reads."""
        queued = 0
        for name in self._platforms:
            projection = self._projections[name]
            tag = await self._connection.execute(_REQUEUE, name, projection.version, list(projection.handlers))
            queued += rows_affected(tag)
            await self._connection.execute(_RESTATE, name, projection.version)
        return queued

    async def drop(self) -> None:
        """Take a kept shadow away; nobody reads it."""
        await self._connection.execute(f"RESET search_path; DROP SCHEMA IF EXISTS {KEPT} CASCADE")

    def _concerns(self, table: Table) -> bool:
        return table.info.get("provider") in (None, *self._platforms)

    def _scope(self, table: Table) -> list[list[str]]:
        return [] if "provider" in table.info else [self._platforms]


async def outdated(connection: asyncpg.Connection, projections: Mapping[str, Projection]) -> dict[str, int]:
    """How many settled events of each platform were projected by another version than this release's."""
    rows = await connection.fetch(
        _OUTDATED, list(projections), [projection.version for projection in projections.values()]
    )
    return {row["provider"]: row["events"] for row in rows}


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
        "label": " || ' ' || ".join(name for name in key),
        "scope": "true" if "provider" in table.info else "provider = any($1::text[])",
    }


_WAITING = """
SELECT o.account_id, o.event_id FROM webhook_event_outcomes o
JOIN webhook_event_log e ON e.account_id = o.account_id AND e.id = o.event_id
WHERE o.state = 'done' AND e.provider = any($1::text[]) AND NOT EXISTS (
    SELECT FROM {schema}.folded f WHERE f.account_id = o.account_id AND f.event_id = o.event_id
)
"""

_NEXT = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, o.retry_count
FROM webhook_event_outcomes o JOIN webhook_event_log e ON e.account_id = o.account_id AND e.id = o.event_id
WHERE o.state = 'done' AND e.provider = any($1::text[]) AND (o.account_id, o.event_id) > ($2, $3::bigint)
    AND NOT EXISTS (
        SELECT FROM {schema}.folded f WHERE f.account_id = o.account_id AND f.event_id = o.event_id
    )
ORDER BY o.account_id, o.event_id LIMIT $4
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
    FROM (SELECT * FROM public.{{table}} WHERE {{scope}}) live
    FULL JOIN {{schema}}.{{table}} shadow USING ({{key}})
) compared
"""

_PUT = """
INSERT INTO public.{table} ({columns}) SELECT {columns} FROM {schema}.{table} shadow
WHERE NOT EXISTS (
    SELECT FROM public.{table} live WHERE {same_key} AND ROW({live}) IS NOT DISTINCT FROM ROW({shadow})
)
ON CONFLICT ({key}) DO UPDATE SET {sets}
"""

_REMOVE = """
DELETE FROM public.{table} live
WHERE {scope} AND NOT EXISTS (SELECT FROM {schema}.{table} shadow WHERE {same_key})
"""

_OUTDATED = """
SELECT e.provider, count(*) AS events FROM webhook_event_outcomes o
JOIN webhook_event_log e ON e.account_id = o.account_id AND e.id = o.event_id
JOIN unnest($1::text[], $2::smallint[]) AS now (provider, version) ON now.provider = e.provider
WHERE o.state IN ('done', 'ignored') AND o.projector <> now.version
GROUP BY e.provider
"""

_RESTATE = """
UPDATE webhook_event_outcomes o SET projector = $2 FROM webhook_event_log e
WHERE e.account_id = o.account_id AND e.id = o.event_id AND e.provider = $1 AND o.state IN ('done', 'ignored')
    AND o.projector <> $2
"""

# Only what was ignored for want of a handler: what a person decided to ignore has a reason and stays ignored.
_REQUEUE = """
WITH unread AS (
    DELETE FROM webhook_event_outcomes o USING webhook_event_log e
    WHERE e.account_id = o.account_id AND e.id = o.event_id AND e.provider = $1 AND o.state = 'ignored'
        AND o.error_message IS NULL AND o.projector <> $2 AND e.event_type = any($3::text[])
    RETURNING o.bucket, o.account_id, o.event_id
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT bucket, account_id, event_id FROM unread
"""
