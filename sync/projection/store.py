"""All of sync's SQL. Functions take a connection and never open a transaction; the caller does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from ops.runtime import metrics
from ops.runtime.db import required, rows_affected
from ops.runtime.row_store import Rows
from schema.event_states import FOR_A_PERSON, State
from schema.events import BUCKETS, Event, bucket_of
from sync.projection.contract import Upsert, Want

LEASE_SECONDS = 2
"""Between two transactions only: while one runs it holds the lease's row, and nobody takes a locked row however old
its lease. So this is how long the work of a worker that was killed stands still (``faults.md`` C7)."""

LEASE_BUCKETS = 32
"""Buckets that one lease takes at most, so that a batch is a large one while many accounts have a little work each.

All buckets by this number is how many batches can be under way at once, over all workers.
"""

BATCH_EVENTS = 1000

BY_KEY = {
    # Every statement here reaches its rows by key. After a burst the planner's statistics are old, and a hash join
    # over the whole log (performance.md section 4, "plan trap") costs more than it can ever save.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}

PLANNER = BY_KEY | {"plan_cache_mode": "force_generic_plan"}
"""Of the worker's connections. A generic plan names no bucket, so none can be made where tables are distributed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on some buckets; each fence is refused once somebody else has held its bucket."""

    buckets: Sequence[int]
    fences: Sequence[int]


class Claimed(NamedTuple):
    """An event to project; ``id`` and times are for the work on it, never for its facts.

    ``defect`` is why ingest parked it, where it did.
    """

    id: int
    event: Event
    delivery_id: UUID | None
    created_at: datetime
    retry_count: int
    defect: str | None = None

    @property
    def bucket(self) -> int:
        return bucket_of(self.event.provider, self.event.account_id)


class LeaseLostError(Exception):
    """Somebody else holds one of the buckets now: whatever was prepared must not be written."""


_NOT_FLUSHED = "set_config('synchronous_commit', 'off', true)"
"""Ends a transaction of the projection without waiting until its WAL is on disk, or on a standby.

A server that crashes takes back the last of them, each as a whole: rows, outcomes, progress and leases. Their events
are on the queue again, and the log that they are in was flushed before. A lease that is taken back, and its fence with
it, is of no use to whoever held it: leases are used on the connection that they were taken on, which ended with the
server. Flushes of their own made projections wait for each other and for the commits that senders wait for.
"""

_DUE = """
SELECT b.bucket FROM unnest($1::smallint[]) AS b (bucket)
WHERE EXISTS (SELECT FROM webhook_event_queue q WHERE q.bucket = b.bucket AND q.due_at <= now())
"""

_DUE_IN_SHARDS = """
SELECT DISTINCT bucket FROM webhook_event_queue WHERE bucket = ANY($1::smallint[]) AND due_at <= now()
"""
"""The same where Citus distributes the queue, which refuses a correlated subquery beside a function's rows."""

# Apart from the question of what is due, since leases and the queue may be on different servers.
_LEASE = f"""
UPDATE webhook_buckets SET holder = $1, fence = fence + 1, served_at = now(),
    leased_until = now() + make_interval(secs => $2)
WHERE bucket = ANY(ARRAY(
    SELECT bucket FROM webhook_buckets
    WHERE bucket = ANY($3::smallint[]) AND (leased_until IS NULL OR leased_until < now())
    ORDER BY served_at, bucket LIMIT $4 FOR UPDATE SKIP LOCKED
))
RETURNING bucket, fence, {_NOT_FLUSHED}
"""


async def lease(
    connection: asyncpg.Connection, holder: str, limit: int = LEASE_BUCKETS, *, distributed: bool = False
) -> Lease | None:
    """Take the buckets with due work that were served longest ago, ``limit`` at most; None if there is none to take."""
    due = [row["bucket"] for row in await connection.fetch(_DUE_IN_SHARDS if distributed else _DUE, range(BUCKETS))]
    if not due:
        return None
    rows = await connection.fetch(_LEASE, holder, LEASE_SECONDS, due, limit)
    taken = dict(sorted((row["bucket"], row["fence"]) for row in rows))
    return Lease([*taken], [*taken.values()]) if taken else None


_RELEASE = f"""
UPDATE webhook_buckets b SET holder = NULL, leased_until = NULL
FROM unnest($1::smallint[], $2::bigint[]) AS held (bucket, fence)
WHERE b.bucket = held.bucket AND b.fence = held.fence
RETURNING {_NOT_FLUSHED}
"""


async def release(connection: asyncpg.Connection, held: Lease) -> None:
    """Give the buckets back; nothing happens to those that are somebody else's by now."""
    await connection.execute(_RELEASE, held.buckets, held.fences)


# In the order of the buckets, as everybody takes these rows.
_RENEW = f"""
UPDATE webhook_buckets b SET leased_until = now() + make_interval(secs => $3)
FROM unnest($1::smallint[], $2::bigint[]) AS held (bucket, fence)
WHERE b.bucket = held.bucket AND b.fence = held.fence
RETURNING {_NOT_FLUSHED}
"""


async def renew(connection: asyncpg.Connection, held: Lease) -> None:
    """Prolong the lease and hold its rows until the transaction ends. Raises LeaseLostError."""
    if rows_affected(await connection.execute(_RENEW, held.buckets, held.fences, LEASE_SECONDS)) < len(held.buckets):
        raise LeaseLostError


# One bucket after the other until the batch is full, and in each account by account, from where the last batch stopped
# and round to there. Nothing is locked: the lease is the lock, and this transaction holds its rows.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT h.bucket, q.account_id, q.event_id, q.retry_count, row_number() OVER () AS number
    FROM unnest($1::smallint[], $2::text[]) AS h (bucket, account_id), LATERAL (
        (
            SELECT account_id, event_id, retry_count FROM webhook_event_queue
            WHERE bucket = h.bucket AND account_id > h.account_id AND due_at <= now()
            ORDER BY account_id, event_id LIMIT $3
        ) UNION ALL (
            SELECT account_id, event_id, retry_count FROM webhook_event_queue
            WHERE bucket = h.bucket AND account_id <= h.account_id AND due_at <= now()
            ORDER BY account_id, event_id LIMIT $3
        ) LIMIT $3
    ) q LIMIT $3
)
SELECT due.bucket, e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at,
    e.delivery_id, e.created_at, e.defect, due.retry_count
FROM due JOIN webhook_event_log e ON e.bucket = due.bucket AND e.account_id = due.account_id AND e.id = due.event_id
ORDER BY due.number
"""

# The same of one bucket, which is sent to the server that has it.
_CLAIM_IN_SHARD = """
WITH due AS MATERIALIZED (
    SELECT q.account_id, q.event_id, q.retry_count, row_number() OVER () AS number
    FROM (
        (
            SELECT account_id, event_id, retry_count FROM webhook_event_queue
            WHERE bucket = $1 AND account_id > $2 AND due_at <= now() ORDER BY account_id, event_id LIMIT $3
        ) UNION ALL (
            SELECT account_id, event_id, retry_count FROM webhook_event_queue
            WHERE bucket = $1 AND account_id <= $2 AND due_at <= now() ORDER BY account_id, event_id LIMIT $3
        ) LIMIT $3
    ) q
)
SELECT e.bucket, e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at,
    e.delivery_id, e.created_at, e.defect, due.retry_count
FROM due JOIN webhook_event_log e ON e.bucket = $1 AND e.account_id = due.account_id AND e.id = due.event_id
ORDER BY due.number
"""


@dataclass(slots=True)
class Cursor:
    """Where batches of this process stopped, so that buckets, and accounts in them, are served in turn."""

    accounts: dict[int, str] = field(default_factory=dict)
    """The last account of each bucket; the buckets served longest ago first."""

    def order(self, buckets: Sequence[int]) -> list[int]:
        """Return the buckets in the order of their turns."""
        wanted = set(buckets)
        return [*sorted(wanted - self.accounts.keys()), *(bucket for bucket in self.accounts if bucket in wanted)]

    def move(self, bucket: int, account: str) -> None:
        """Note where the bucket that was served just now stopped."""
        self.accounts.pop(bucket, None)
        self.accounts[bucket] = account


@dataclass(frozen=True, slots=True)
class Batch:
    """``more``: it is full, so that more may be due."""

    claimed: list[Claimed]
    more: bool = False


async def claim(
    connection: asyncpg.Connection, held: Lease, cursor: Cursor, size: int = BATCH_EVENTS, *, distributed: bool = False
) -> Batch:
    """Return due events of the buckets, ``size`` at most, within a transaction that holds the lease's rows.

    It goes on at the cursor, and moves it. Raises LeaseLostError.
    """
    await renew(connection, held)
    buckets = cursor.order(held.buckets)
    # (Not None for the beginning: events about no account at all are kept under '', and come last.)
    after = [cursor.accounts.get(bucket, "") for bucket in buckets]
    if distributed:
        rows: list[asyncpg.Record] = []
        for bucket, account in zip(buckets, after, strict=True):
            if len(rows) < size:
                rows += await connection.fetch(_CLAIM_IN_SHARD, bucket, account, size - len(rows))
    else:
        rows = await connection.fetch(_CLAIM, buckets, after, size)
    for bucket, account in {row["bucket"]: row["account_id"] for row in rows}.items():
        cursor.move(bucket, account)
    return Batch([claimed(row) for row in rows], len(rows) == size)


def claimed(row: asyncpg.Record) -> Claimed:
    payload = row["payload_json"]
    return Claimed(
        row["id"],
        Event(
            row["provider"],
            row["account_id"],
            row["external_id"],
            row["event_type"],
            None if payload is None else json.loads(payload),
            row["occurred_at"],
        ),
        row["delivery_id"],
        row["created_at"],
        row["retry_count"],
        row["defect"],
    )


class Fact(NamedTuple):
    """A fact with the account it belongs to, the version of the projection that stated it, and when its event came.

    ``logged_at`` is when the log received the event.
    """

    account_id: str
    projection_version: int
    upsert: Upsert
    logged_at: datetime


@dataclass(slots=True)
class _Facet:
    """What several facts of a batch say of one facet of one row: each column that is known, and of which version."""

    version: str
    values: dict[str, object]
    versions: dict[str, str]


@dataclass(slots=True)
class _Row:
    """What a batch says of one row; a facet that one fact speaks of is that fact."""

    projection_version: int
    created_at: datetime
    updated_at: datetime | None
    facets: dict[str, Upsert | _Facet]


async def apply(connection: asyncpg.Connection, facts: Iterable[Fact]) -> int:
    """Write facts; return how many rows were offered."""
    rows = 0
    for write in prepare(facts):
        await connection.execute(write.statement, *write.arrays)
        metrics.of(metrics.rows_written, write.table).inc(write.rows)
        rows += write.rows
    return rows


@dataclass(frozen=True, slots=True)
class Write:
    """A guarded upsert of some rows of one table, ready to be sent with its parameters ``arrays``.

    ``offered`` is SQL for the rows alone, as a table ``offered`` of these ``columns``.
    """

    table: str
    statement: str
    offered: str
    columns: tuple[str, ...]
    arrays: Sequence[Sequence[Sequence[object]]]
    rows: int


def prepare(facts: Iterable[Fact]) -> list[Write]:
    """The upserts that write these facts.

    Facts about one row are folded first, by the rule that PostgreSQL then applies against what is stored: of each
    column the highest version that knows it stays. Tables go parents first, rows in key order, so that no two writers
    can deadlock.
    """
    folded: dict[Table, tuple[dict[tuple[str, ...], _Row], tuple[str, ...], frozenset[str]]] = {}
    for account_id, projection_version, upsert, logged_at in facts:
        table, key, facet, _, values, mention = upsert
        try:
            rows, names, with_columns = folded[table]
        except KeyError:
            rows, names, with_columns = folded[table] = ({}, key_names(table), _with_columns(table))
        row_key = (account_id, *map(key.__getitem__, names)) if key else (account_id,)
        row = rows.get(row_key)
        if row is None:
            row = rows[row_key] = _Row(projection_version, logged_at, None, {})
        else:
            # This loop is hot, and a call of max or min costs as much as the rest of it.
            if projection_version > row.projection_version:  # noqa: PLR1730
                row.projection_version = projection_version
            if logged_at < row.created_at:  # noqa: PLR1730
                row.created_at = logged_at
        if not mention and (row.updated_at is None or logged_at > row.updated_at):
            row.updated_at = logged_at
        if facet is not None and (values or facet in with_columns):
            stated = row.facets.get(facet)
            row.facets[facet] = upsert if stated is None else _merged(stated, upsert)
    return [_write(table, folded[table][0]) for table in sorted(folded, key=_rank)]


def _merged(stated: Upsert | _Facet, fact: Upsert) -> _Facet:
    """A facet with one more fact: the greatest version, of itself and of each column."""
    if isinstance(stated, Upsert):
        stated = _Facet(stated.version, dict(stated.values), dict.fromkeys(stated.values, stated.version))
    stated.version = max(stated.version, fact.version)
    for name, value in fact.values.items():
        if fact.version > stated.versions.get(name, ""):
            stated.values[name], stated.versions[name] = value, fact.version
    return stated


def _carried(stated: Upsert | _Facet | None, *, keys: bool) -> str | None:
    """Return as JSON the versions of what is not of the facet's own, or, but for ``keys``, is NULL by what a fact said.

    ``keys``: the facet is one JSON object, which can tell null from nothing by itself.
    """
    if stated is None or (isinstance(stated, Upsert) and (keys or None not in stated.values.values())):
        return None
    found = {}
    for name, value in stated.values.items():
        at = stated.version if isinstance(stated, Upsert) else stated.versions[name]
        if (value is None and not keys) or at != stated.version:
            found[name] = at
    return json.dumps(found) if found else None


@cache
def _rank(table: Table) -> tuple[int, str]:
    """Parents before children, and the same order for everybody."""
    parents = {key.column.table for key in table.foreign_keys}
    return max((_rank(parent)[0] + 1 for parent in parents), default=0), table.name


def _write(table: Table, rows: Mapping[tuple[str, ...], _Row]) -> Write:
    ordered = sorted(rows.items())
    facets = frozenset(facet for row in rows.values() for facet in row.facets)
    statement, offered, sent, names, columns = _statement(table, facets)
    arrays: list[list[object]] = [_buckets(table, [key for key, _ in ordered])]
    arrays += [list(part) for part in zip(*(key for key, _ in ordered), strict=True)]
    arrays.append([row.projection_version for _, row in ordered])
    if "created_at" in table.columns:
        arrays.append([row.created_at for _, row in ordered])
        arrays.append([row.updated_at for _, row in ordered])
    for facet, of_facet in columns:
        stated = [row.facets.get(facet) for _, row in ordered]
        arrays.append(["" if fact is None else fact.version for fact in stated])
        if facet in _with_keys(table):
            arrays.append([_carried(fact, keys=True) for fact in stated])
            arrays.append([None if fact is None else json.dumps(dict(fact.values)) for fact in stated])
            continue
        if len(of_facet) > 1:
            arrays.append([_carried(fact, keys=False) for fact in stated])
        arrays += [[None if fact is None else fact.values.get(name) for fact in stated] for name in of_facet]
    return Write(table.name, statement, offered, names, sent.parameters(arrays), len(rows))


def _buckets(table: Table, keys: Iterable[tuple[str, ...]]) -> list[object]:
    """The buckets of rows, by their keys, which begin with the account."""
    if "provider" in table.info:
        provider = table.info["provider"]
        return [bucket_of(provider, key[0]) for key in keys]
    position = 1 + key_names(table).index("provider")
    return [bucket_of(key[position], key[0]) for key in keys]


@cache
def key_names(table: Table) -> tuple[str, ...]:
    """What identifies a row within its account."""
    return tuple(column.name for column in table.primary_key.columns if column.name not in ("bucket", "account_id"))


@cache
def facets_of(table: Table) -> Mapping[str, tuple[str, ...]]:
    """The columns of each facet, by its name."""
    names = [column.info["guards"] for column in table.columns if "guards" in column.info]
    return {name: tuple(c.name for c in table.columns if c.info.get("facet") == name) for name in names}


@cache
def _with_keys(table: Table) -> frozenset[str]:
    """The facets that are one JSON object, whose keys are treated as columns are."""
    return frozenset(column.info["facet"] for column in table.columns if column.info.get("keys"))


@cache
def _with_columns(table: Table) -> frozenset[str]:
    """The facets of several columns: a fact that knows none of them still counts for the facet's version."""
    return frozenset(facet for facet, names in facets_of(table).items() if len(names) > 1)


def values_of(table: Table, row: Mapping[str, Any], facet: str) -> dict[str, object]:
    """Return what a stored row has of a facet, by column, or by key where the facet is one JSON object."""
    if facet in _with_keys(table):
        [name] = facets_of(table)[facet]
        return dict(json.loads(row[name] or "{}"))
    return {name: row[name] for name in facets_of(table)[facet]}


def made_by(table: Table, row: Mapping[str, Any], facet: str) -> dict[str, list[str]]:
    """Return the columns (or keys) of a stored facet by the version they are of, the facet's own among them.

    Nothing for an empty facet.
    """
    own = row[f"{facet}_version"]
    keys = facet in _with_keys(table)
    carried = json.loads((row[f"{facet}_carried"] if keys or facet in _with_columns(table) else None) or "{}")
    found: dict[str, list[str]] = {own: []} if own else {}
    for name, value in values_of(table, row, facet).items():
        if version := carried.get(name, "" if value is None and not keys else own):
            found.setdefault(version, []).append(name)
    return found


@cache
def _statement(
    table: Table, facets: frozenset[str]
) -> tuple[str, str, Rows, tuple[str, ...], list[tuple[str, tuple[str, ...]]]]:
    """Return the guarded upsert of some facets of a table, its rows, how they are sent, and their columns and facets.

    It comes from the table's own description: key, facets, and what guards them. Only facets that a batch speaks of
    are sent: most events are about one of several.
    """
    written = [(facet, names) for facet, names in facets_of(table).items() if facet in facets]
    columns = [table.c[name] for name in ("bucket", "account_id", *key_names(table), "projection_version")]
    sets = ["projection_version = greatest(t.projection_version, excluded.projection_version)"]
    guards = []
    if "created_at" in table.columns:
        columns += [table.c.created_at, table.c.updated_at]
        sets.append("created_at = least(t.created_at, excluded.created_at)")
        sets.append("updated_at = greatest(t.updated_at, excluded.updated_at)")
        guards.append("excluded.created_at < t.created_at")
        guards.append("excluded.updated_at > coalesce(t.updated_at, '-infinity')")
    for facet, names in written:
        stored, offered = f"t.{facet}_version", f"excluded.{facet}_version"
        guards.append(f"{offered} > {stored}")
        columns.append(table.c[f"{facet}_version"])
        sets.append(f"{facet}_version = greatest({stored}, {offered})")
        if facet in _with_keys(table):
            [name] = names
            columns += [table.c[f"{facet}_carried"], table.c[name]]
            guards.append(_newer_key_in_sql(facet, name))
            sets.append(f"{facet}_carried = {_carried_keys_in_sql(facet, name)}")
            sets.append(f"{name} = {_merged_keys_in_sql(facet, name)}")
            continue
        if len(names) > 1:
            columns.append(table.c[f"{facet}_carried"])
            sets.append(f"{facet}_carried = {_carried_in_sql(facet, names)}")
        for name in names:
            columns.append(table.c[name])
            newer = f"{offered} > {stored}"
            if len(names) > 1:
                newer = _newer_in_sql(facet, name)
                guards.append(newer)
            sets.append(f"{name} = CASE WHEN {newer} THEN excluded.{name} ELSE t.{name} END")
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    sent = Rows([column.type.compile(dialect).split(" COLLATE")[0] for column in columns])
    conflict = f"DO UPDATE SET {', '.join(sets)} WHERE {' OR '.join(guards)}" if guards else "DO NOTHING"
    listed = ", ".join(c.name for c in columns)
    offered = f"{sent.sql} AS offered ({listed})"
    statement = (
        f"INSERT INTO {table.name} AS t ({listed}) SELECT * FROM {sent.sql} "
        f"ON CONFLICT ({', '.join(c.name for c in table.primary_key.columns)}) {conflict}"
    )
    return statement, offered, sent, tuple(c.name for c in columns), written


def _keys_in_sql(row: str, facet: str, name: str) -> str:
    """The keys of a JSON object with their values and versions."""
    version = f'coalesce({row}.{facet}_carried ->> key, {row}.{facet}_version) COLLATE "C"'
    return f"(SELECT key, value, {version} AS version FROM jsonb_each({row}.{name}))"


def _newer_key_in_sql(facet: str, name: str) -> str:
    """Whether any key is offered of a higher version than it is stored of."""
    return f"""EXISTS (
        SELECT FROM {_keys_in_sql("excluded", facet, name)} o LEFT JOIN {_keys_in_sql("t", facet, name)} s USING (key)
        WHERE s.version IS NULL OR o.version > s.version)"""


def _merged_keys_in_sql(facet: str, name: str) -> str:
    """Each key with the value of its highest version."""
    return f"""CASE WHEN excluded.{name} IS NULL THEN t.{name} WHEN t.{name} IS NULL THEN excluded.{name} ELSE (
        SELECT jsonb_object_agg(
            key, CASE WHEN s.version IS NULL OR o.version > s.version THEN o.value ELSE s.value END)
        FROM {_keys_in_sql("excluded", facet, name)} o FULL JOIN {_keys_in_sql("t", facet, name)} s USING (key)) END"""


def _carried_keys_in_sql(facet: str, name: str) -> str:
    """What ``_carried`` says of the keys that result."""
    return f"""(SELECT jsonb_object_agg(key, greatest(o.version, s.version))
        FROM {_keys_in_sql("excluded", facet, name)} o FULL JOIN {_keys_in_sql("t", facet, name)} s USING (key)
        WHERE greatest(o.version, s.version) <> greatest(t.{facet}_version, excluded.{facet}_version))"""


def _plain_in_sql(facet: str) -> str:
    """Whether every column that is not NULL is of its facet's version, on both sides: nearly always, so it is quick."""
    return f"t.{facet}_carried IS NULL AND excluded.{facet}_carried IS NULL"


def _version_in_sql(row: str, facet: str, name: str) -> str:
    """The version of one column, '' where it is unknown."""
    given = f"CASE WHEN {row}.{name} IS NOT NULL THEN {row}.{facet}_version ELSE '' END"
    return f"coalesce({row}.{facet}_carried ->> '{name}', {given}) COLLATE \"C\""


def _newer_in_sql(facet: str, name: str) -> str:
    """Whether a column is offered of a higher version than it is stored of."""
    return f"""CASE WHEN {_plain_in_sql(facet)}
        THEN excluded.{name} IS NOT NULL AND (t.{name} IS NULL OR excluded.{facet}_version > t.{facet}_version)
        ELSE {_version_in_sql("excluded", facet, name)} > {_version_in_sql("t", facet, name)} END"""


def _carried_in_sql(facet: str, names: Sequence[str]) -> str:
    """What ``_carried`` says of the facet that results."""
    stored, offered = f"t.{facet}_version", f"excluded.{facet}_version"
    replaced = " AND ".join(f"(excluded.{name} IS NOT NULL OR t.{name} IS NULL)" for name in names)
    columns = ", ".join(
        f"('{name}', {_version_in_sql('t', facet, name)}, t.{name} IS NULL, "
        f"{_version_in_sql('excluded', facet, name)}, excluded.{name} IS NULL)"
        for name in names
    )
    return f"""CASE WHEN NOT ({_plain_in_sql(facet)} AND {offered} > {stored} AND {replaced}) THEN (
        SELECT jsonb_object_agg(name, greatest(stored, offered))
        FROM (VALUES {columns}) AS c (name, stored, stored_null, offered, offered_null)
        WHERE greatest(stored, offered) <> '' AND (
            CASE WHEN offered > stored THEN offered_null ELSE stored_null END
            OR greatest(stored, offered) <> greatest({stored}, {offered})
        )
    ) END"""


WANT_SECONDS = 2
"""How long what an event asks for waits before it is read, so that several events about one object make one reading."""

_WANTED = Rows(["smallint", "text", "text", "text", "text", "text", "text"])

_ASK_FOR = f"""
INSERT INTO pull_tasks AS t (bucket, account_id, provider, kind, object_id, reason, wanted_version, priority, due_at)
SELECT bucket, account_id, provider, kind, object_id, reason, version, 0, now() + make_interval(secs => {WANT_SECONDS})
FROM {_WANTED.sql} AS w (bucket, account_id, provider, kind, object_id, reason, version)
ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET
    due_at = least(t.due_at, excluded.due_at), wanted_at = excluded.wanted_at, priority = 0, reason = excluded.reason,
    wanted_version = excluded.wanted_version, skip_code = NULL, skipped = NULL
WHERE excluded.wanted_version > t.wanted_version
"""


_NAMED = Rows(["smallint", "text", "text", "text", "text", "text"])

_NAME = f"""
INSERT INTO pull_objects (bucket, account_id, provider, kind, object_id, parent)
SELECT * FROM {_NAMED.sql} AS n (bucket, account_id, provider, kind, object_id, parent) ON CONFLICT DO NOTHING
"""


class Wanted(NamedTuple):
    """What an event asks for, with the account that it came to."""

    provider: str
    account_id: str
    want: Want


async def ask_for(connection: asyncpg.Connection, wanted: Iterable[Wanted]) -> None:
    """Put objects on the list of what is read from platforms; of several wants of one object the newest counts.

    Rows go in key order and objects before tasks, as the pull writes them, so that no two writers can deadlock.
    """
    newest: dict[tuple[str, str, str, str], Want] = {}
    for provider, account_id, want in wanted:
        key = (account_id, provider, want.kind, want.object_id)
        known = newest.get(key)
        if known is None or want.version > known.version:
            newest[key] = want
    named = sorted((bucket_of(key[1], key[0]), *key, want.parent) for key, want in newest.items() if want.parent)
    if named:
        await connection.execute(_NAME, *_NAMED.parameters([list(column) for column in zip(*named, strict=True)]))
    ordered = sorted((bucket_of(key[1], key[0]), *key, want.reason, want.version) for key, want in newest.items())
    await connection.execute(_ASK_FOR, *_WANTED.parameters([list(column) for column in zip(*ordered, strict=True)]))


_SETTLED = Rows(["smallint", "text", "bigint", "text", "smallint"])

_SETTLE = f"""
WITH settled AS (
    SELECT * FROM {_SETTLED.sql} AS s (bucket, account_id, event_id, state, projection_version)
), taken AS (
    DELETE FROM webhook_event_queue q USING settled s
    WHERE q.bucket = s.bucket AND q.account_id = s.account_id AND q.event_id = s.event_id
    RETURNING q.bucket, q.account_id, q.event_id, q.retry_count, s.state, s.projection_version
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, projection_version, retry_count)
SELECT bucket, account_id, event_id, state, projection_version, retry_count FROM taken
"""


class Settled(NamedTuple):
    """An event that needs no more work: ``state`` is done or ignored, by this version of its projection."""

    claimed: Claimed
    state: State
    projection_version: int


async def settle(connection: asyncpg.Connection, settled: Sequence[Settled]) -> None:
    """Take events off the queue. Raises LeaseLostError if one was not on it."""
    columns: list[list[Any]] = [
        [item.claimed.bucket for item in settled],
        [item.claimed.event.account_id for item in settled],
        [item.claimed.id for item in settled],
        [item.state for item in settled],
        [item.projection_version for item in settled],
    ]
    tag = await connection.execute(_SETTLE, *_SETTLED.parameters(columns))
    if tag != f"INSERT 0 {len(settled)}":
        raise LeaseLostError


_RETRY_LATER = """
UPDATE webhook_event_queue SET retry_count = $4, error_message = $5, due_at = now() + make_interval(secs => $6)
WHERE bucket = $1 AND account_id = $2 AND event_id = $3
"""


async def retry_later(connection: asyncpg.Connection, claimed: Claimed, error: str, delay_seconds: float) -> None:
    await connection.execute(
        _RETRY_LATER,
        claimed.bucket,
        claimed.event.account_id,
        claimed.id,
        claimed.retry_count + 1,
        error,
        delay_seconds,
    )


_PARK = """
WITH taken AS (
    DELETE FROM webhook_event_queue WHERE bucket = $1 AND account_id = $2 AND event_id = $3 RETURNING 1
)
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, projection_version, retry_count, error_message)
SELECT $1, $2, $3, $4, $5, $6, $7 FROM taken
"""


async def park(
    connection: asyncpg.Connection, claimed: Claimed, state: State, error: str, projection_version: int
) -> None:
    """Put an event aside as parked or dead, with the reason."""
    await connection.execute(
        _PARK,
        claimed.bucket,
        claimed.event.account_id,
        claimed.id,
        state,
        projection_version,
        claimed.retry_count + 1,
        error,
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and how long the oldest due event has waited (seconds, 0 if none is due)."""

    waiting: int
    oldest_due_seconds: float
    unsettled: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verification:
    """When every row was compared with the log for the last time, and how many were not what it says.

    Of rows that only changed ones were compared of since, it counts those that the newest such comparison found.
    """

    at: datetime
    drifted_rows: int


async def last_verification(connection: asyncpg.Connection) -> Verification | None:
    row = await connection.fetchrow(
        """
        SELECT verified_at, greatest(drifted_rows, (
            SELECT c.drifted_rows FROM crm_verifications c WHERE c.id > v.id ORDER BY c.id DESC LIMIT 1
        )) AS drifted_rows
        FROM crm_verifications v WHERE NOT changed_only ORDER BY id DESC LIMIT 1"""
    )
    return None if row is None else Verification(row["verified_at"], row["drifted_rows"])


async def backlog(connection: asyncpg.Connection) -> Backlog:
    row = required(
        await connection.fetchrow(
            """
        SELECT count(*) AS waiting,
            coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS oldest
        FROM webhook_event_queue
        """
        )
    )
    states = await connection.fetch(
        """
        SELECT state, count(*) AS events FROM webhook_event_outcomes WHERE state = any($1::text[]) GROUP BY state
        """,
        list(FOR_A_PERSON),
    )
    return Backlog(
        row["waiting"],
        row["oldest"],
        dict.fromkeys(map(str, FOR_A_PERSON), 0) | {state["state"]: state["events"] for state in states},
    )
