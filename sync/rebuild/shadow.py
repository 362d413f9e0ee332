"""The CRM tables once more, made from the log alone, to put right what differs in the live ones.

A *shadow* is an empty copy of every CRM table in a schema of its own, plus a note of each event that was folded into
it. Events are folded while traffic flows, in any order, in pieces, and by several processes, each on other buckets:
facts do not mind (``sync.projection``). Which ones are still missing is then a plain question, "done, and not folded",
which a transaction can ask about its own snapshot, so nothing hangs on clocks, on the order of ids, or on what the
workers know of us.

Differences are merged into the live tables by DELETE and INSERT … ON CONFLICT in one transaction. Swapping the tables
by name would be shorter, but a reader with an older snapshot would find the new table half empty, and views, grants
and replication follow a table, not its name.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import asyncpg
from sqlalchemy import Table

from ops.runtime.db import REFUSED, describe
from schema.crm import crm_tables
from schema.events import bucket_of
from schema.revision import HEAD
from sync.projection.contract import Projection
from sync.projection.store import BY_KEY, PLANNER, Batch, Claimed, apply
from sync.projection.worker import project
from sync.rebuild import store
from sync.rebuild.processes import Emit, Processes, Range, work
from sync.rebuild.store import Difference, Failed, Position

KEPT = "landfall_shadow"
"""Schema of the shadow. It outlives its connection, so that a rebuild can go on where it was interrupted."""

BATCH_EVENTS = 2000


class BusyError(Exception):
    """Another rebuild is under way."""


async def discard(connection: asyncpg.Connection) -> None:
    """Take away what an interrupted rebuild left; none begins before the transaction ends. Raises BusyError."""
    if not await store.lock_for_transaction(connection):
        raise BusyError
    await store.drop_shadow(connection, KEPT)


async def join(connection: asyncpg.Connection) -> None:
    """Prepare the connection of a further process that folds into the shadow."""
    await store.share_folding(connection)
    await store.write_to(connection, KEPT)


async def fold(
    platforms: Sequence[str],
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    buckets: Range,
    emit: Emit,
    *,
    distributed: bool = False,
) -> None:
    """Fold what is missing of these buckets into the shadow that is there."""
    await Shadow(connection, projections, platforms, distributed=distributed).fold(buckets, emit)


class Shadow:
    """A fold of the log under way, for ``platforms`` only."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        projections: Mapping[str, Projection],
        platforms: Sequence[str],
        *,
        distributed: bool = False,
    ) -> None:
        """``distributed``: Citus distributes the live tables by bucket."""
        self._connection = connection
        self._projections = projections
        self._platforms = list(platforms)
        self._distributed = distributed

    @property
    def _release(self) -> str:
        """What the shadow was made by and for: one of another release is of no use."""
        versions = ",".join(f"{name}={self._projections[name].version}" for name in sorted(self._platforms))
        return f"{HEAD} {versions}"

    async def open(self) -> int:
        """Make the shadow, or find the one that was left; return how many events are in it. Raises BusyError."""
        if not await store.lock_for_session(self._connection):
            raise BusyError
        if await store.left_over(self._connection, KEPT, self._release):
            await store.write_to(self._connection, KEPT)
            return await store.count_folded(self._connection, KEPT)
        async with self._connection.transaction():
            await store.make_shadow(self._connection, KEPT, self._release, distributed=self._distributed)
        await store.write_to(self._connection, KEPT)
        return 0

    async def waiting(self) -> dict[int, int]:
        """Return how many events of each bucket are done and not folded."""
        return await store.count_waiting(self._connection, KEPT, self._platforms)

    async def fold_all(self, events: Mapping[int, int], emit: Emit, processes: Processes | None) -> None:
        """Fold what is missing, ``events`` by bucket, where there is much of it in several processes.

        Raises ProcessEndedError.
        """
        job = partial(fold, self._platforms, distributed=self._distributed)
        await work(self._connection, self._projections, events, job, emit, processes, join)

    async def fold(self, buckets: Range, emit: Emit = lambda _: None) -> None:
        """Fold what is missing of these buckets, each batch in a transaction; ``emit`` gets its number of events.

        Within a transaction of the caller's it is whatever that one sees as missing.
        """
        after: Position = (buckets.first, "", 0)
        while True:
            async with self._connection.transaction():
                await store.plan_by_key(self._connection, BY_KEY if self._distributed else PLANNER)
                events = await store.next_events(
                    self._connection, KEPT, self._platforms, buckets.last, after, BATCH_EVENTS
                )
                if not events:
                    return
                errors = await self._write(events)
                await store.note_folded(self._connection, KEPT, events, errors)
            last = events[-1].event
            after = (bucket_of(last.provider, last.account_id), last.account_id, events[-1].id)
            emit(len(events))

    async def _write(self, events: list[Claimed]) -> dict[int, str]:
        """Write the facts of these events; return what went wrong, by event."""
        result = project(self._projections, Batch(events))
        errors = {item.id: f"{describe(error)}: {error}"[:200] for item, error in result.failed}
        try:
            async with self._connection.transaction():
                await apply(self._connection, result.facts)
        except REFUSED as error:
            if len(events) == 1:
                return {events[0].id: describe(error)}
            for item in events:  # one of them: find it
                errors |= await self._write([item])
        return errors

    async def failed(self) -> list[Failed]:
        """Return events that were projected once and cannot be projected by this release."""
        return await store.failed_events(self._connection, KEPT)

    async def analyze(self) -> None:
        """Tell the planner how much there is, before the tables are compared whole."""
        await store.analyze(self._connection, KEPT)

    async def compare(self) -> list[Difference]:
        """Compare live tables with the shadow, as the caller's transaction sees both."""
        return [await store.compare(self._connection, KEPT, table, self._platforms) for table in self._concerned()]

    async def merge(self) -> None:
        """Make the live tables equal to the shadow, within the caller's transaction, which holds every bucket."""
        concerned = self._concerned()
        for table in concerned:  # parents first
            await store.put(self._connection, KEPT, table)
        for table in reversed(concerned):
            await store.remove(self._connection, KEPT, table, self._platforms)

    async def hold_all_buckets(self) -> None:
        """Wait for the batches under way and let no other begin until the caller's transaction ends."""
        await store.hold_all_buckets(self._connection)

    async def settle_versions(self) -> int:
        """Note that the log was projected by this release; queue what an older one ignored and this one reads."""
        return sum(
            [await store.settle_version(self._connection, name, self._projections[name]) for name in self._platforms]
        )

    async def drop(self) -> None:
        """Take a kept shadow away; nobody reads it."""
        await store.write_live(self._connection)
        await store.drop_shadow(self._connection, KEPT)

    def _concerned(self) -> list[Table]:
        return [table for table in crm_tables() if table.info.get("provider") in (None, *self._platforms)]
