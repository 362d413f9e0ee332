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
from ingest.store import SplitDelivery
from ops.runtime import metrics
from ops.runtime.batch_size import BatchSize
from ops.runtime.db import REFUSED, describe, transaction
from ops.runtime.faultpoint import faultpoint

BATCH_DELIVERIES = 250
BATCH_BYTES = 2**20
"""Bodies split in one transaction: some thousands of events, which take a small part of its time-outs."""

PORTION_EVENTS = 2000
"""Events of a body beyond that which are appended in one transaction."""

DRAIN_SECONDS = 0.5
"""Longest that deliveries are split before those that are split by then are projected."""

log = structlog.get_logger()


class Splitter:
    """Splits what waits. Any number may run at once, in any number of processes: each takes other deliveries."""

    def __init__(self, webhooks: Mapping[str, Webhook], variables: Variables) -> None:
        self._webhooks = webhooks
        self._variables = variables
        self._size = BatchSize(BATCH_DELIVERIES)
        self._portion = BatchSize(PORTION_EVENTS)
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
        batch: list[SplitDelivery] = []
        try:
            with self._size.attempt() as attempt:
                async with transaction(connection):
                    deliveries = await store.take(connection, attempt.size, BATCH_BYTES)
                    attempt.taken = len(deliveries)
                    if not deliveries:
                        return 0
                    faultpoint("split.taken")
                    if not _is_large(deliveries):
                        batch = [self._split(received) for received in deliveries]
                        new = await self._write(connection, batch)
            if not batch:
                return await self._in_portions(connection, deliveries[0])
        except REFUSED as error:
            if not deliveries:
                raise  # it is not about any delivery
            log.warning("split.refused", count=len(deliveries), error=describe(error))
            if _is_large(deliveries):
                return await self._park(connection, deliveries[0], error)
            return await self._one_by_one(connection, deliveries)
        faultpoint("split.committed")
        self._count(batch, new, started)
        return len(batch)

    async def _write(self, connection: asyncpg.Connection, batch: Sequence[SplitDelivery]) -> Mapping[str, int]:
        """Append the events and take the deliveries off the queue, in the caller's one transaction."""
        appended = await store.append(connection, batch)
        faultpoint("split.appended")
        new = await self._settle(connection, batch, appended)
        faultpoint("split.settled")
        return new

    async def _settle(
        self, connection: asyncpg.Connection, batch: Sequence[SplitDelivery], new: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Take deliveries off the queue; return how many of their events were new in all."""
        total = await store.settle(connection, batch, new)
        if copies := [item.received.id for item in batch if not total.get(item.received.id)]:
            await store.share_bodies(connection, copies)
        return total

    async def _in_portions(self, connection: asyncpg.Connection, received: Received) -> int:
        """Split a large delivery in several transactions, none of which runs into a time-out.

        Whoever dies between two of them leaves it on the queue with the number of events that were new so far; the
        next one begins anew, and finds those in the log. Its parts are made in a thread: other work goes on.
        """
        started = time.perf_counter()
        item = await asyncio.to_thread(self._split, received)
        events = item.split.events
        appended = 0
        while appended < len(events):
            with self._portion.attempt() as attempt:
                portion = item.split._replace(events=events[appended : appended + attempt.size])
                attempt.taken = len(portion.events)
                async with transaction(connection):
                    if not await store.lock(connection, received.id):
                        return 1  # somebody else took it meanwhile
                    added = await store.append(connection, [item._replace(split=portion)])
                    await store.note_new(connection, received.id, added.get(received.id, 0))
            appended += attempt.taken
        async with transaction(connection):
            if not await store.lock(connection, received.id):
                return 1
            new = await self._settle(connection, [item], {})
        self._count([item], new, started)
        return 1

    async def _one_by_one(self, connection: asyncpg.Connection, deliveries: Sequence[Received]) -> int:
        """Split each delivery of a batch by itself, of which PostgreSQL refuses some, and park those."""
        for received in deliveries:
            started = time.perf_counter()
            item = self._split(received)
            try:
                new = await self._alone(connection, item)
            except REFUSED as error:
                await self._park(connection, received, error)
            else:
                if new is not None:
                    self._count([item], new, started)
        return len(deliveries)

    async def _park(self, connection: asyncpg.Connection, received: Received, error: Exception) -> int:
        """Park a delivery as a whole, as PostgreSQL refuses its events."""
        started = time.perf_counter()
        log.warning("delivery.parked", delivery=received.id, error=describe(error))
        reason = f"the database refused its events: {describe(error)}"
        webhook = self._webhooks.get(received.provider)
        item = SplitDelivery(received, webhook.rule_version if webhook else 0, without_events(received.body, reason))
        if (new := await self._alone(connection, item)) is not None:
            self._count([item], new, started)
        return 1

    async def _alone(self, connection: asyncpg.Connection, item: SplitDelivery) -> Mapping[str, int] | None:
        """Write one delivery. Return None where somebody else took it meanwhile."""
        async with transaction(connection):
            if not await store.lock(connection, item.received.id):
                return None
            return await self._write(connection, [item])

    def _split(self, received: Received) -> SplitDelivery:
        webhook = self._webhooks.get(received.provider)
        if webhook is None:
            reason = f"this release knows no platform {received.provider}"
            return SplitDelivery(received, 0, without_events(received.body, reason))
        try:
            found = split(webhook, received, self._variables)
        except Exception as error:
            log.exception("delivery.not_split", delivery=received.id, error=describe(error))
            found = without_events(received.body, f"it could not be split: {describe(error)}")
        return SplitDelivery(received, webhook.rule_version, found)

    def _count(self, batch: Sequence[SplitDelivery], new: Mapping[str, int], started: float) -> None:
        metrics.split_batch.observe(len(batch))
        metrics.split_seconds.observe(time.perf_counter() - started)
        total, added = Counter[str](), Counter[str]()
        for item in batch:
            count = new.get(item.received.id, 0)
            # Of a large delivery that is parked in the end, more may have been appended before.
            total[item.received.provider] += max(len(item.split.events), count)
            added[item.received.provider] += count
            metrics.of(metrics.split_deliveries, item.received.provider, item.split.verdict).inc()
        for platform, count in total.items():
            metrics.of(metrics.events, platform, "new").inc(added[platform])
            metrics.of(metrics.events, platform, "duplicate").inc(count - added[platform])
        self.deliveries += len(batch)
        self.added += added.total()
        log.info(
            "deliveries.split",
            deliveries=[item.received.id for item in batch[:10]],
            count=len(batch),
            events=total.total(),
            new_events=added.total(),
        )


def _is_large(deliveries: Sequence[Received]) -> bool:
    """Whether this is one delivery whose body alone is more than a batch."""
    return len(deliveries[0].body) > BATCH_BYTES


async def measure_waiting(connection: asyncpg.Connection) -> None:
    """Set the gauges of what waits to be split."""
    found = await store.waiting(connection)
    metrics.split_backlog.set(found.deliveries)
    metrics.split_oldest_seconds.set(found.oldest_seconds)
