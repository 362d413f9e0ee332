"""Draining the log into the CRM tables: whoever wakes it, all work is found in PostgreSQL."""

import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.batch_size import BatchSize
from ops.runtime.db import REFUSED, Pool, describe, transaction
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy
from schema.event_states import Step, after
from sync.projection import store
from sync.projection.contract import Projection, Unprojectable, Want
from sync.projection.store import Batch, Claimed, Cursor, Fact, Lease, LeaseLostError, Settled, Wanted

DRAIN_SECONDS = 5.0
"""Longest that one wake-up works before it makes room for the next."""

LEASE_BATCHES = 8
"""Other buckets wait too: busy ones are left after this many batches and come round again."""

DEAD_AFTER_PARKED = 3
"""An event that was released from parking and failed its whole budget again this often is dead."""

RETRIES = RetryPolicy.exponential(1.0, 900.0, factor=4.0)
"""Delays before an event that failed is tried again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Projected:
    """A batch after the pure part: facts to write, what each event came to, and what is to be read from platforms."""

    facts: list[Fact]
    settled: list[Settled]
    failed: list[tuple[Claimed, Exception]]
    wants: list[Wanted] = field(default_factory=list)


def project(projections: Mapping[str, Projection], batch: Batch) -> Projected:
    """Turn events into facts. An event that raises is set aside; no other notices."""
    result = Projected([], [], [])
    for claimed in batch.claimed:
        event = claimed.event
        projection = projections.get(event.provider)
        version = projection.version if projection else 0
        handler = projection.handlers.get(event.type) if projection else None
        if handler is None and claimed.defect is not None:
            # Somebody retried what ingest could not read: to ignore it would hide it without anybody's decision.
            result.failed.append((claimed, Unprojectable(claimed.defect)))
            continue
        if handler is None:
            result.settled.append(Settled(claimed, after(Step.SKIP), version))
            continue
        try:
            facts = handler(event)
        except Exception as error:  # noqa: BLE001  whatever a handler stumbles over is about this event alone
            result.failed.append((claimed, error))
        else:
            account, logged_at = event.account_id, claimed.created_at
            for fact in facts:
                if isinstance(fact, Want):
                    result.wants.append(Wanted(event.provider, account, fact))
                else:
                    result.facts.append(Fact(account, version, fact, logged_at))
            result.settled.append(Settled(claimed, after(Step.PROJECT), version))
    return result


class Projector:
    """One per process; any number of drains may run at once, each on buckets of its own.

    ``distributed``: Citus distributes the tables by bucket.
    """

    def __init__(
        self,
        pool: Pool,
        projections: Mapping[str, Projection],
        *,
        tries: int,
        batch_events: int = store.BATCH_EVENTS,
        lease_buckets: int = store.LEASE_BUCKETS,
        distributed: bool = False,
        holder: str | None = None,
    ) -> None:
        self._pool = pool
        self._projections = projections
        self._tries = tries
        self._size = BatchSize(batch_events)
        self._most_buckets = lease_buckets
        self._buckets = lease_buckets
        """How many the next lease takes."""
        self._distributed = distributed
        self._cursor = Cursor()
        self.holder = holder or f"{socket.gethostname()}:{os.getpid()}"

    async def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Work until nothing is due or the time is up; return how many events were taken off the queue."""
        end = time.monotonic() + seconds
        total = 0
        while time.monotonic() < end:
            async with self._pool.acquire() as connection:
                held = await store.lease(connection, self.holder, self._buckets, distributed=self._distributed)
                if held is None:
                    return total
                faultpoint("sync.leased")
                try:
                    total += await self._drain_buckets(connection, held, end)
                except LeaseLostError:
                    log.warning("lease.lost", buckets=held.buckets)
                    continue
                await store.release(connection, held)
        return total

    async def _drain_buckets(self, connection: asyncpg.Connection, held: Lease, end: float) -> int:
        """Work on the buckets of a lease; return how many events were taken off the queue.

        While a lease gets to some of its buckets only, the next one takes no more than that: what is held and not
        worked on is kept from other workers, until one works alone on all that is left and the others find nothing.
        """
        total, reached = 0, set[int]()
        for _ in range(LEASE_BATCHES):
            batch = await self._batch(connection, held)
            total += len(batch.claimed)
            reached.update(claimed.bucket for claimed in batch.claimed)
            if not batch.more:
                self._buckets = min(self._most_buckets, 2 * self._buckets)
                break
            if time.monotonic() >= end:
                break
        else:
            if len(reached) < len(held.buckets):
                self._buckets = len(reached)
        return total

    async def _batch(self, connection: asyncpg.Connection, held: Lease) -> Batch:
        """Project one batch, take its events off the queue and return it."""
        started = time.perf_counter()
        batch: Batch | None = None
        try:
            with self._size.attempt() as attempt:
                async with transaction(connection):
                    batch = await store.claim(
                        connection, held, self._cursor, attempt.size, distributed=self._distributed
                    )
                    attempt.taken = len(batch.claimed)
                    if not batch.claimed:
                        return batch
                    faultpoint("sync.claimed")
                    begun = datetime.now(UTC)
                    result = project(self._projections, batch)
                    rows = await self._write(connection, result)
        except REFUSED as error:
            if batch is None:
                raise  # it is not about any event
            # A row that PostgreSQL does not take: find the event that it comes from.
            log.warning("batch.refused", buckets=held.buckets, error=describe(error))
            await self._one_by_one(connection, held, batch)
            return batch
        faultpoint("sync.committed")
        self._count(batch, result, rows, begun, started)
        return batch

    async def _write(self, connection: asyncpg.Connection, result: Projected) -> int:
        """Effects and progress, in the caller's one transaction."""
        rows = await store.apply(connection, result.facts) if result.facts else 0
        if result.wants:
            await store.ask_for(connection, result.wants)
        faultpoint("sync.applied")
        if result.settled:
            await store.settle(connection, result.settled)
        faultpoint("sync.settled")
        for claimed, error in result.failed:
            await self._fail(connection, claimed, error)
        return rows

    async def _one_by_one(self, connection: asyncpg.Connection, held: Lease, batch: Batch) -> None:
        for claimed in batch.claimed:
            result = project(self._projections, Batch([claimed]))
            try:
                async with transaction(connection):
                    await store.renew(connection, held)
                    await self._write(connection, result)
            except REFUSED as error:
                async with transaction(connection):
                    await store.renew(connection, held)
                    await self._fail(connection, claimed, error)

    async def _fail(self, connection: asyncpg.Connection, claimed: Claimed, error: Exception) -> None:
        failures = claimed.retry_count + 1
        # What the event itself says cannot be done does not get better by waiting.
        step = Step.FAIL
        if isinstance(error, Unprojectable) or failures % self._tries == 0:
            step = Step.GIVE_UP if failures >= self._tries * DEAD_AFTER_PARKED else Step.PARK
        state = after(step)
        word = "retried" if step is Step.FAIL else str(state)
        message = f"{describe(error)}: {error}"[:500] if isinstance(error, Unprojectable) else describe(error)
        log.warning(
            "event.failed",
            state=word,
            event_id=claimed.id,
            platform=claimed.event.provider,
            delivery=str(claimed.delivery_id),
            error=message,
            retry_count=failures,
        )
        metrics.projected.labels(claimed.event.provider, word).inc()
        if step is not Step.FAIL:
            projection = self._projections.get(claimed.event.provider)
            version = projection.version if projection else 0
            await store.park(connection, claimed, state, message, version)
        else:
            await store.retry_later(connection, claimed, message, RETRIES.delay(claimed.retry_count + 1))

    def _count(self, batch: Batch, result: Projected, rows: int, begun: datetime, started: float) -> None:
        seconds = time.perf_counter() - started
        done = datetime.now(UTC)
        metrics.project_batch.observe(len(batch.claimed))
        metrics.project_seconds.observe(seconds)
        for (provider, state), count in Counter(
            (item.claimed.event.provider, item.state) for item in result.settled
        ).items():
            metrics.of(metrics.projected, provider, state).inc(count)
        # What one commit received has one time, and is observed once: the events of a burst differ in nothing.
        for provider, received in {(item.claimed.event.provider, item.claimed.created_at) for item in result.settled}:
            waited, took = (begun - received).total_seconds(), (done - received).total_seconds()
            metrics.of(metrics.wait_seconds, provider).observe(max(0.0, waited))
            metrics.of(metrics.end_to_end_seconds, provider).observe(max(0.0, took))
        log.info(
            "events.projected",
            count=len(result.settled),
            failed=len(result.failed),
            rows=rows,
            ms=round(seconds * 1000, 1),
            deliveries=[str(delivery) for delivery in islice(dict.fromkeys(c.delivery_id for c in batch.claimed), 10)],
        )


async def measure_backlog(connection: asyncpg.Connection) -> None:
    """Set the gauges of the events that wait and of the last verification."""
    found = await store.backlog(connection)
    verified = await store.last_verification(connection)
    metrics.backlog.set(found.waiting)
    metrics.oldest_due_seconds.set(found.oldest_due_seconds)
    for state, count in found.unsettled.items():
        metrics.unsettled.labels(state).set(count)
    metrics.backlog_updated.set_to_current_time()
    if verified is not None:
        metrics.drifted_rows.set(verified.drifted_rows)
        metrics.verified_at.set(verified.at.timestamp())
