"""Drift: compare the CRM tables with what a platform says now, without writing anything.

Every listing of an account is walked to its end, and what is read goes through the projection as an event would. Rows
that this would change, or make, differ from the platform. Rows that no listing shows are asked for singly, since a
listing may leave out what is there (``meta.md`` 10.10).
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import Table

from ops.runtime.db import Pool
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.ports import Pulling
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.events import Event
from sync.projection.contract import Projection, Unprojectable, Upsert
from sync.projection.store import Fact, key_names
from sync.pull import decisions, drift_store, store
from sync.pull.contract import Object, Page, PullingPlatform, PullTask, Reading, Task, Turn
from sync.pull.store import Key, Reader

Kind = Literal["missing", "different", "extra"]

PRESENCE = "presence"
"""The facet that says whether an object is there; its column is NULL while it is."""

METRICS = "metrics"

READING = "reading"
"""The facet of a series that says when it was looked at: of an answer that nobody stores, that is always later."""

NEVER_READ = "no answer about it was appended yet"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that is not what the platform says. ``columns`` are ours and the platform's, by name."""

    kind: Kind
    table: str
    key: Mapping[str, str]
    columns: Mapping[str, tuple[object, object]]
    cause: str


@dataclass(slots=True)
class Drift:
    """What the comparison of one account found.

    ``unread`` says, for each task that could not be carried out, why. ``complete`` is whether all was walked.
    """

    platform: str
    account_id: str
    compared: int = 0
    calls: int = 0
    findings: list[Finding] = field(default_factory=list)
    unread: dict[Task, str] = field(default_factory=dict)
    unlisted: int = 0
    """Objects that are there, and that no listing shows."""
    complete: bool = True

    def number(self, kind: Kind) -> int:
        return sum(1 for finding in self.findings if finding.kind == kind)


@dataclass(slots=True)
class _Walk:
    """What was seen of one account so far, and by which reader it is read."""

    key: Key
    platform: PullingPlatform
    readers: Sequence[Reader]
    refused: frozenset[str]
    secrets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    seen: dict[Object, Reading] = field(default_factory=dict)
    tables: dict[str, tuple[Table, str]] = field(default_factory=dict)
    """By kind of object, the table that has a row for each, and the column of its key."""


@dataclass(frozen=True, slots=True)
class DriftCheck:
    """Compares accounts. ``most_calls`` is how many pages are read for one account at most."""

    pool: Pool
    platforms: Mapping[str, PullingPlatform]
    projections: Mapping[str, Projection]
    needs: Pulling
    most_calls: int = 10_000

    async def accounts(self, platform: str | None = None, account: str | None = None) -> list[Key]:
        """Return the connected accounts that can be read, of this platform and id where they are given."""
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            found = await store.active_accounts(connection, list(self.platforms))
        return sorted(key for key in found if platform in (None, key.provider) and account in (None, key.account_id))

    async def compare(self, key: Key, *, metrics: bool = False) -> Drift:
        """Compare one account, and store how much differs.

        ``metrics`` compares numbers too, which change by the hour.
        """
        drift = Drift(*key)
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            walk = _Walk(
                key,
                self.platforms[key.provider],
                await store.readers(connection, key),
                await drift_store.refused(connection, key),
            )
        await self._walk(walk, drift, metrics=metrics)
        if drift.complete:
            await self._find_extra(walk, drift, metrics=metrics)
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            await drift_store.save(
                connection,
                key,
                drift.compared,
                *(drift.number(kind) for kind in ("missing", "different", "extra")),
                complete=drift.complete,
            )
        return drift

    async def _walk(self, walk: _Walk, drift: Drift, *, metrics: bool) -> None:
        """Carry out the tasks that every account has, and every listing that they lead to."""
        tasks = walk.platform.tasks
        waiting = deque(task for task in walk.platform.first if tasks[task.kind].backfill)
        known = set(waiting)
        while waiting:
            task, cursor = waiting.popleft(), ""
            while True:
                page = await self._page(walk, drift, task, cursor)
                if page is None:
                    break
                await self._compare(walk, drift, page.readings, metrics=metrics)
                for wanted in page.wanted:
                    if wanted.task not in known and tasks[wanted.task.kind].lists:
                        known.add(wanted.task)
                        waiting.append(wanted.task)
                if page.cursor is None:
                    break
                cursor = page.cursor

    async def _page(self, walk: _Walk, drift: Drift, task: Task, cursor: str = "") -> Page | None:
        """Return what a page of a task says now; None, with the reason noted, where it cannot be read."""
        how = walk.platform.tasks[task.kind]
        reader = next((each for each in walk.readers if not decisions.lacking_scopes(how, each.scopes)), None)
        if reader is None:
            drift.unread[task] = f"the account has not allowed {' or '.join(how.scopes)}"
            drift.complete = drift.complete and not how.lists
            return None
        if drift.calls >= self.most_calls:
            drift.unread[task] = f"{self.most_calls} calls were made already"
            drift.complete = False
            return None
        drift.calls += 1
        try:
            page = await self._ask(walk, how, task, cursor, reader)
        except PlatformError as problem:
            drift.unread[task] = problem.user_message
            drift.complete = False
            return None
        if page.skipped is not None:
            drift.unread[task] = page.skipped
        walk.refused |= {*page.refused}
        return page

    async def _ask(self, walk: _Walk, how: PullTask, task: Task, cursor: str, reader: Reader) -> Page:
        """Ask for a page. Raises PlatformError."""
        api = await self.needs.applications.app(reader.login_platform, reader.instance, reader.tenant)
        if reader.id not in walk.secrets:
            walk.secrets[reader.id] = await self.needs.tokens.access(reader.tenant, reader.id)
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            now = await drift_store.now(connection)
            known = await store.known_ids(connection, walk.key, how.needs, how.most_known) if how.needs else ()
        account = reader.account(walk.key, api, walk.secrets[reader.id], walk.refused)
        return await self.needs.platforms.run(
            how.read(account, Turn(task, now, cursor, known=known)),
            platform=reader.login_platform,
            instance=reader.instance,
            account=walk.key.account_id,
        )

    async def _compare(self, walk: _Walk, drift: Drift, readings: Collection[Reading], *, metrics: bool) -> None:
        """Project what was read in a transaction that is rolled back, and note the rows that it would change."""
        facts: list[Fact] = []
        async with self.pool.acquire() as connection:
            now = await drift_store.now(connection)
            for reading in readings:
                walk.seen[reading.about] = reading
                drift.compared += 1
                stated = self._facts(walk, reading, now, metrics=metrics)
                for fact in stated:
                    self._note_table(walk, reading.about, fact)
                facts += stated
            changes = await drift_store.would_change(connection, walk.key, facts)
            times = await drift_store.times(connection, walk.key, [reading.about for reading in readings])
        by_id = {reading.about.id: reading.about for reading in readings}
        for change in changes:
            about = next((by_id[value] for value in change.key.values() if value in by_id), None)
            if change.before is not None and not change.columns:
                continue
            kind: Kind = "missing" if change.before is None else "different"
            drift.findings.append(Finding(kind, change.table, change.key, change.columns, _cause(about, times)))

    def _facts(self, walk: _Walk, reading: Reading, now: datetime, *, metrics: bool) -> list[Fact]:
        projection = self.projections[walk.key.provider]
        handler = projection.handlers.get(reading.type)
        if handler is None:
            return []
        event = Event(walk.key.provider, walk.key.account_id, "drift", reading.type, dict(reading.payload), now)
        try:
            found = handler(event)
        except Unprojectable:
            return []  # it is parked where it is received, and seen there
        upserts = [each for each in found if isinstance(each, Upsert) and each.facet != READING]
        if not metrics:
            upserts = [each for each in upserts if each.facet != METRICS and not _is_series(each.table)]
        return [Fact(walk.key.account_id, projection.version, each, now) for each in upserts]

    def _note_table(self, walk: _Walk, about: Object, fact: Fact) -> None:
        names = key_names(fact.upsert.table)
        if len(names) == 1 and fact.upsert.key.get(names[0]) == about.id and not fact.upsert.mention:
            walk.tables.setdefault(about.kind, (fact.upsert.table, names[0]))

    async def _find_extra(self, walk: _Walk, drift: Drift, *, metrics: bool) -> None:
        """Ask singly for rows that no listing showed: those that the platform says do not exist are extra.

        What hangs on an object that is gone is out of reach, and left out as the views leave it out.
        """
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            lost = await drift_store.out_of_reach(connection, walk.key, [*walk.platform.confirms.values()])
        for kind, confirming in walk.platform.confirms.items():
            if kind not in walk.tables:
                continue
            table, column = walk.tables[kind]
            seen = [about.id for about in walk.seen if about.kind == kind]
            async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
                left = await drift_store.unseen(connection, walk.key, kind, table, column, PRESENCE, seen)
            for id_ in (each for each in left if each not in lost):
                page = await self._page(walk, drift, Task(confirming, id_))
                if page is None:
                    continue
                if any(about.id == id_ for about in page.missing):
                    drift.compared += 1
                    cause = "the platform says that it does not exist, or does not show it to this connection"
                    drift.findings.append(Finding("extra", table.name, {column: id_}, {}, cause))
                else:
                    drift.unlisted += 1
                    await self._compare(walk, drift, page.readings, metrics=metrics)


def _is_series(table: Table) -> bool:
    return "day" in key_names(table)


def _cause(about: Object | None, times: Mapping[Object, datetime | None]) -> str:
    """Return why a row differs, as far as the work list tells."""
    checked = times.get(about) if about is not None else None
    return NEVER_READ if checked is None else f"last read {checked:%Y-%m-%d %H:%M:%S}Z; it changed there since"
