"""Comparing CRM rows with what the log says of them, a range of buckets at a time; nothing is written.

A range is read in one snapshot, which shows tables and the events that made them, since effects and progress commit
together. Its facts are folded here, by the rule of ``sync.projection``, and the rows that come of it are sent to
PostgreSQL, to be compared with those that are stored. What is held in memory is bounded: where there are many facts
they are divided among files by the row that they are about, and compared one file after another.
"""

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO, Any, Self

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import REFUSED, describe
from schema.crm import crm_tables
from sync.projection.contract import Projection, Upsert, event_of
from sync.projection.store import PLANNER, Batch, Claimed, Fact, facets_of, key_names, made_by, prepare
from sync.projection.worker import project
from sync.rebuild import store
from sync.rebuild.lineage import provider_of
from sync.rebuild.processes import Emit, Range
from sync.rebuild.store import Compared, Difference, Failed

BATCH_EVENTS = 1000

PART_EVENTS = 10_000
"""Of so many events the facts are in memory at once."""

CHANGED_PART_EVENTS = 1000
"""The same where the events that rows name come on top: several for each of these."""

MOST_PARTS = 256
"""Each is an open file."""

IDLE = "10min"
"""PostgreSQL waits longer for this than for a worker: here the time goes into folding."""


@dataclass(slots=True)
class Found:
    """What was found in one range: what became of its rows, by table, and the events that cannot be projected."""

    compared: dict[str, Compared] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    failed: list[Failed] = field(default_factory=list)


def concerned(platforms: Sequence[str]) -> list[Table]:
    """Return the tables that events of these platforms make rows of, parents before children."""
    return [table for table in crm_tables() if table.info.get("provider") in (None, *platforms)]


async def verify(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    buckets: Range,
    emit: Emit,
    *,
    distributed: bool = False,
) -> None:
    """Compare every row of these buckets; ``emit`` gets how many events were read, and then what was found.

    Where tables are ``distributed``, stored rows come without an index, and are joined by a hash.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        by_key = {} if distributed else PLANNER
        await store.plan_by_key(connection, by_key | {"idle_in_transaction_session_timeout": IDLE})
        emit(await _Verification(connection, projections, buckets, distributed=distributed).run(emit))


async def verify_changed(
    since: datetime,
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    buckets: Range,
    emit: Emit,
    *,
    distributed: bool = False,
) -> None:
    """Compare the rows of these buckets that events were about which were settled since then."""
    settings = {"idle_in_transaction_session_timeout": IDLE, "plan_cache_mode": "force_custom_plan"}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await store.plan_by_key(connection, ({} if distributed else PLANNER) | settings)
        emit(await _Changes(connection, projections, buckets, since, distributed=distributed).run(emit))


def total(found: Sequence[Found], platforms: Sequence[str]) -> tuple[list[Difference], list[Failed]]:
    """Add up what was found in all ranges."""
    differences = []
    for table in concerned(platforms):
        parts = [item.compared.get(table.name, Compared()) for item in found]
        extra = sum(item.extra.get(table.name, 0) for item in found)
        live = sum(part.live for part in parts) + extra
        samples = [sample for part in parts for sample in part.samples]
        differences.append(
            Difference(
                table.name,
                live,
                sum(item.kept.get(table.name, 0) for item in found),
                sum(part.missing for part in parts),
                extra,
                sum(part.different for part in parts),
                tuple(samples[: store.SAMPLES]),
            )
        )
    failed = sorted((failed for item in found for failed in item.failed), key=lambda failed: failed.event_id)
    return differences, failed


class _Verification:
    """One range under way, within a transaction of the caller's."""

    @property
    def part_events(self) -> int:
        return PART_EVENTS

    def __init__(
        self,
        connection: asyncpg.Connection,
        projections: Mapping[str, Projection],
        buckets: Range,
        *,
        distributed: bool,
    ) -> None:
        self._connection = connection
        self._projections = projections
        self._buckets = (buckets.first, buckets.last)
        self._shards = self._buckets if distributed else None
        self._tables = {table.name: table for table in concerned(list(projections))}
        self._parts = min(MOST_PARTS, math.ceil(buckets.events / self.part_events))

    async def run(self, emit: Emit) -> Found:
        refused: dict[int, str] = {}
        while True:
            with _Facts(self._tables, self._parts) as facts:
                found = await self._read(facts, refused, emit)
                try:
                    async with self._connection.transaction():
                        await self._compare_all(facts, found)
                except REFUSED:
                    if refused or not (refused := await self._refused()):
                        raise
                    emit = _discard
                else:
                    return found

    async def _open(self) -> store.Events:
        return await store.open_events(self._connection, list(self._projections), self._buckets)

    async def _read(self, facts: "_Facts", refused: Mapping[int, str], emit: Emit) -> Found:
        """Read the events and collect their facts, but for those of ``refused`` events."""
        found = Found(failed=[Failed(id_, error) for id_, error in refused.items()])
        events = await self._open()
        while batch := await events.fetch(BATCH_EVENTS):
            result = project(self._projections, Batch([item for item in batch if item.id not in refused]))
            found.failed += [Failed(item.id, f"{describe(error)}: {error}"[:200]) for item, error in result.failed]
            facts.add(result.facts)
            emit(len(batch))
        return found

    async def _compare_all(self, facts: "_Facts", found: Found) -> None:
        for part in facts.parts():
            for write in prepare(part):
                compared = await store.compare_offered(self._connection, self._tables[write.table], write, self._shards)
                found.compared[write.table] = found.compared.get(write.table, Compared()) + compared
        for name, table in self._tables.items():
            live, found.kept[name] = await store.count_rows(
                self._connection, table, list(self._projections), self._buckets
            )
            compared = found.compared.get(name, Compared())
            if extra := live - compared.live:
                found.extra[name] = extra
                samples = await self._samples_of_extra(table, facts)
                found.compared[name] = compared + Compared(samples=samples)

    async def _samples_of_extra(self, table: Table, facts: "_Facts") -> tuple[str, ...]:
        """Return the keys of some rows that no event says anything of."""
        known = {hash(_row(fact)) for part in facts.parts() for fact in part if fact.upsert.table is table}
        samples: list[str] = []
        keys = await store.open_keys(self._connection, table, list(self._projections), self._buckets)
        while len(samples) < store.SAMPLES and (batch := await keys.fetch(BATCH_EVENTS)):
            samples += [" ".join(key) for key in map(tuple, batch) if hash((table.name, *key)) not in known]
        return tuple(samples[: store.SAMPLES])

    async def _refused(self) -> dict[int, str]:
        """Return the events whose rows PostgreSQL does not take, with what it says."""
        refused: dict[int, str] = {}
        events = await self._open()
        while batch := await events.fetch(BATCH_EVENTS):
            refused |= await self._refused_of(batch)
        return refused

    async def _refused_of(self, events: Sequence[Claimed]) -> dict[int, str]:
        facts = project(self._projections, Batch(list(events))).facts
        try:
            async with self._connection.transaction():
                for write in prepare(facts):
                    await store.compare_offered(self._connection, self._tables[write.table], write, self._shards)
        except REFUSED as error:
            if len(events) == 1:
                return {events[0].id: describe(error)}
            half = len(events) // 2
            return await self._refused_of(events[:half]) | await self._refused_of(events[half:])
        return {}


class _Changes(_Verification):
    """Rows that events were about which were settled since a time.

    A row has each of its values from an event that it names, so it is right if it is what these and the new ones make
    together: no other event has to be read.
    """

    def __init__(
        self,
        connection: asyncpg.Connection,
        projections: Mapping[str, Projection],
        buckets: Range,
        since: datetime,
        *,
        distributed: bool,
    ) -> None:
        super().__init__(connection, projections, buckets, distributed=distributed)
        self._since = since

    @property
    def part_events(self) -> int:
        return CHANGED_PART_EVENTS

    async def _open(self) -> store.Events:
        return await store.open_events(self._connection, list(self._projections), self._buckets, self._since)

    async def _compare_all(self, facts: "_Facts", found: Found) -> None:
        for part in facts.parts():
            for write in prepare([*part, *await self._makers(part)]):
                compared = await store.compare_offered(
                    self._connection, self._tables[write.table], write, self._shards, every_event=False
                )
                found.compared[write.table] = found.compared.get(write.table, Compared()) + compared
                found.kept[write.table] = found.compared[write.table].kept

    async def _makers(self, facts: Sequence[Fact]) -> list[Fact]:
        """Return what the events that stored rows name said of them, for the rows that these facts are about."""
        names: set[tuple[str, str, str]] = set()
        for write in prepare(facts):
            table = self._tables[write.table]
            for row in await store.stored_rows(self._connection, table, write):
                versions = {version for facet in facets_of(table) for version in made_by(table, row, facet)}
                names |= {(provider_of(table, row), row["account_id"], event_of(version)) for version in versions}
        events = await store.events_named(self._connection, names)
        rows = {_row(fact) for fact in facts}
        return [fact for fact in project(self._projections, Batch(events)).facts if _row(fact) in rows]


def _discard(_: object) -> None:
    """Report nothing of events that are read a second time."""


def _row(fact: Fact) -> tuple[str, ...]:
    """The row that a fact is about."""
    table, key = fact.upsert.table, fact.upsert.key
    return (table.name, fact.account_id, *(key[name] for name in key_names(table)))


class _Facts:
    """Facts in parts, all of one row in the same; in files where there is more than one part."""

    def __init__(self, tables: Mapping[str, Table], parts: int) -> None:
        self._tables = tables
        self._held: list[Fact] = []
        self._files: list[IO[bytes]] = [TemporaryFile() for _ in range(parts)] if parts > 1 else []  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, facts: Sequence[Fact]) -> None:
        if not self._files:
            self._held += facts
            return
        divided: dict[int, list[object]] = {}
        for fact in facts:
            divided.setdefault(hash(_row(fact)) % len(self._files), []).append(_plain(fact))
        for part, items in divided.items():
            pickle.dump(items, self._files[part], pickle.HIGHEST_PROTOCOL)

    def parts(self) -> Iterator[list[Fact]]:
        if not self._files:
            yield self._held
        for file in self._files:
            file.seek(0)
            facts: list[Fact] = []
            while True:
                try:
                    facts += [self._fact(*plain) for plain in pickle.load(file)]  # noqa: S301  our own, and nobody else's
                except EOFError:
                    break
            yield facts

    def _fact(self, account_id: str, version: int, logged_at: datetime, name: str, *upsert: Any) -> Fact:
        return Fact(account_id, version, Upsert(self._tables[name], *upsert), logged_at)


def _plain(fact: Fact) -> tuple[object, ...]:
    """A fact as a tuple that can be pickled: the name in the place of the table."""
    table, key, facet, version, values, mention = fact.upsert
    return (
        fact.account_id, fact.projection_version, fact.logged_at, table.name, dict(key), facet, version, dict(values),
        mention,
    )  # fmt: skip
