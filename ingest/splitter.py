"""Split deliveries that wait into events of the log: a stage of the worker."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import asyncpg
import structlog

from ingest import store
from ingest.contract import Received, Variables, Webhook
from ingest.split import split, without_events
from ingest.store import Cut
from ops.runtime import metrics
from ops.runtime.db import REFUSED, Pool, describe, transaction
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import stopped

BATCH_DELIVERIES = 250
BATCH_BYTES = 2**20
"""Bodies split in one transaction: some thousands of events, which take a small part of its time-outs."""

PORTION_EVENTS = 2000
"""Events of a body beyond that which are appended in one transaction."""

DRAIN_SECONDS = 0.5
"""Longest that deliveries are split before those that are split by then are projected."""

WATCH_SECONDS = 2.0

log = structlog.get_logger()


class Splitter:
    """Splits what waits. Any number may run at once, in any number of processes: each takes other deliveries."""

    def __init__(self, webhooks: Mapping[str, Webhook], variables: Variables) -> None:
        self._webhooks = webhooks
        self._variables = variables
        self.deliveries = 0
        self.added = 0
        """How many deliveries were split, and how many of their events were new."""

    async def drain(self, connection: asyncpg.Connection, seconds: float = DRAIN_SECONDS) -> int:
        """Split until nothing waits or the time is up; return how many deliveries were taken off the queue."""
        end = time.monotonic() + seconds
        total = 0
        while time.monotonic() < end and (count := await self._batch(connection)):
            total += count
        return total

    async def _batch(self, connection: asyncpg.Connection) -> int:
        started = time.perf_counter()
        deliveries: list[Received] = []
        cuts: list[Cut] = []
        try:
            async with transaction(connection):
                deliveries = await store.take(connection, BATCH_DELIVERIES, BATCH_BYTES)
                if not deliveries:
                    return 0
                faultpoint("split.taken")
                if not _is_large(deliveries):
                    cuts = [self._cut(received) for received in deliveries]
                    new = await self._write(connection, cuts)
            if not cuts:
                return await self._in_portions(connection, deliveries[0])
        except REFUSED as error:
            if not deliveries:
                raise  # it is not about any delivery
            log.warning("split.refused", count=len(deliveries), error=describe(error))
            if _is_large(deliveries):
                return await self._park(connection, deliveries[0], error)
            return await self._one_by_one(connection, deliveries)
        faultpoint("split.committed")
        self._count(cuts, new, started)
        return len(cuts)

    async def _write(self, connection: asyncpg.Connection, cuts: Sequence[Cut]) -> Mapping[str, int]:
        """Append the events and take the deliveries off the queue, in the caller's one transaction."""
        new = await store.append(connection, cuts)
        faultpoint("split.appended")
        new = await store.settle(connection, cuts, new)
        if copies := [cut.received.id for cut in cuts if not new.get(cut.received.id)]:
            await store.share_bodies(connection, copies)
        faultpoint("split.settled")
        return new

    async def _in_portions(self, connection: asyncpg.Connection, received: Received) -> int:
        """Split a large delivery in several transactions, none of which runs into a time-out.

        Whoever dies between two of them leaves it on the queue with the number of events that were new so far; the
        next one begins anew, and finds those in the log. Its parts are made in a thread: other work goes on.
        """
        started = time.perf_counter()
        cut = await asyncio.to_thread(self._cut, received)
        events = cut.split.events
        for start in range(0, len(events), PORTION_EVENTS):
            portion = cut.split._replace(events=events[start : start + PORTION_EVENTS])
            async with transaction(connection):
                if not await store.lock(connection, received.id):
                    return 1  # somebody else took it meanwhile
                added = await store.append(connection, [cut._replace(split=portion)])
                await store.note_new(connection, received.id, added.get(received.id, 0))
        async with transaction(connection):
            if await store.lock(connection, received.id):
                [new] = (await store.settle(connection, [cut], {})).values()
                if new == 0:
                    await store.share_bodies(connection, [received.id])
                self._count([cut], {received.id: new}, started)
        return 1

    async def _one_by_one(self, connection: asyncpg.Connection, deliveries: Sequence[Received]) -> int:
        """Split each delivery of a batch by itself, of which PostgreSQL refuses some, and park those."""
        for received in deliveries:
            started = time.perf_counter()
            cut = self._cut(received)
            try:
                new = await self._alone(connection, cut)
            except REFUSED as error:
                await self._park(connection, received, error)
            else:
                if new is not None:
                    self._count([cut], new, started)
        return len(deliveries)

    async def _park(self, connection: asyncpg.Connection, received: Received, error: Exception) -> int:
        """Park a delivery as a whole, as PostgreSQL refuses its events."""
        started = time.perf_counter()
        log.warning("delivery.reduced", delivery=received.id, error=describe(error))
        reason = f"the database refused its events: {describe(error)}"
        webhook = self._webhooks.get(received.provider)
        cut = Cut(received, webhook.rule_version if webhook else 0, without_events(received.body, reason))
        if (new := await self._alone(connection, cut)) is not None:
            self._count([cut], new, started)
        return 1

    async def _alone(self, connection: asyncpg.Connection, cut: Cut) -> Mapping[str, int] | None:
        """Write one delivery. Return None where somebody else took it meanwhile."""
        async with transaction(connection):
            if not await store.lock(connection, cut.received.id):
                return None
            return await self._write(connection, [cut])

    def _cut(self, received: Received) -> Cut:
        webhook = self._webhooks.get(received.provider)
        if webhook is None:
            reason = f"this release knows no platform {received.provider}"
            return Cut(received, 0, without_events(received.body, reason))
        try:
            found = split(webhook, received, self._variables)
        except Exception as error:
            log.exception("delivery.not_split", delivery=received.id, error=describe(error))
            found = without_events(received.body, f"it could not be split: {describe(error)}")
        return Cut(received, webhook.rule_version, found)

    def _count(self, cuts: Sequence[Cut], new: Mapping[str, int], started: float) -> None:
        metrics.split_batch.observe(len(cuts))
        metrics.split_seconds.observe(time.perf_counter() - started)
        total, added = Counter[str](), Counter[str]()
        for cut in cuts:
            count = new.get(cut.received.id, 0)
            # Of a large delivery that is parked in the end, more may have been appended before.
            total[cut.received.provider] += max(len(cut.split.events), count)
            added[cut.received.provider] += count
            metrics.of(metrics.split_deliveries, cut.received.provider, cut.split.verdict).inc()
        for platform, count in total.items():
            metrics.of(metrics.events, platform, "new").inc(added[platform])
            metrics.of(metrics.events, platform, "duplicate").inc(count - added[platform])
        self.deliveries += len(cuts)
        self.added += added.total()
        log.info(
            "deliveries.split",
            deliveries=[cut.received.id for cut in cuts[:10]],
            count=len(cuts),
            events=total.total(),
            new_events=added.total(),
        )


def _is_large(deliveries: Sequence[Received]) -> bool:
    """Whether this is one delivery whose body alone is more than a batch."""
    return len(deliveries[0].body) > BATCH_BYTES


async def watch_waiting(pool: Pool, stop: asyncio.Event) -> None:
    """Keep the gauges of what waits to be split fresh."""
    while not stop.is_set():
        try:
            async with pool.acquire() as connection:
                found = await store.waiting(connection)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the backlog's own age says that it is old
            log.warning("waiting.not_counted", error=describe(error))
        else:
            metrics.split_backlog.set(found.deliveries)
            metrics.split_oldest_seconds.set(found.oldest_seconds)
        await stopped(stop, WATCH_SECONDS)
