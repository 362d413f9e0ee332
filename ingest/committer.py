"""Commit deliveries in groups: requests that arrive during a commit share the next one.

There is no timer. A lone request is committed at once; under load the batch grows by itself, up to a cap beyond which
larger batches only make both sides wait (``performance.md`` section 3). While many wait, a second task commits beside
the first, so that this process reads requests while PostgreSQL writes.

With a spool, a batch that cannot be committed for want of a server, or of which nobody knows whether it was, is kept
there and acknowledged. Deliveries have their ids before, so what was committed after all is not stored again.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog

from ingest import store
from ingest.contract import Received
from ingest.errors import Overloaded, Unavailable
from ingest.replication import NotReplicatedError, replication_warnings
from ingest.spool import SpoolError
from ingest.spooling import Spooling
from ops.runtime import metrics
from ops.runtime.db import CONTENDED, REFUSED, Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy, repeat

BATCH_DELIVERIES = 64
BATCH_BYTES = 8 * 2**20
SECOND_TASK_FROM = 24
"""So many deliveries wait before the second task commits too; with fewer, one larger commit costs less."""

COMMIT_SECONDS = 1.8
"""Longest that a request waits for its commit; shorter than any sender waits for the answer."""

SPOOL_SECONDS = 0.8
"""Part of that which is left for the spool: PostgreSQL is given up so much earlier where there is one."""

LEAST_SECONDS = 0.2
"""Shortest time that PostgreSQL is given for a batch, however long it has waited for its turn."""

WATCH_SECONDS = 0.1
"""How often deadlines are checked. One check of all of them is cheaper than a timer for each."""

ATTEMPTS = 3
RETRIES = RetryPolicy((0.02, 0.04), jitter=1.0)

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    received: Received
    done: asyncio.Future[None]
    deadline: float = math.inf
    """By the clock of the event loop."""


class Committer:
    """Commits deliveries; a call returns once its delivery is durable. ``notify`` is called after each commit."""

    def __init__(
        self,
        pool: Pool,
        *,
        max_deliveries: int,
        notify: Callable[[], None] = lambda: None,
        spooling: Spooling | None = None,
    ) -> None:
        self._pool = pool
        self._max = max_deliveries
        self._notify = notify
        self._spooling = spooling
        self._seconds = COMMIT_SECONDS if spooling is None else COMMIT_SECONDS - SPOOL_SECONDS
        """Longest that PostgreSQL is waited for."""
        self._queue: deque[_Waiting] = deque()
        self._deadlines: deque[_Waiting] = deque()
        self._one_waits = asyncio.Event()
        self._many_wait = asyncio.Event()
        self._closing = False
        self._refused_since: datetime | None = None
        metrics.ingest_waiting.set_function(lambda: len(self._queue))

    async def commit(self, received: Received) -> None:
        """Commit a delivery. Raises Overloaded, Unavailable."""
        if self._closing or len(self._queue) >= self._max:
            raise Overloaded("too many deliveries wait for the log")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(received, loop.create_future(), loop.time() + COMMIT_SECONDS)
        self._queue.append(waiting)
        self._deadlines.append(waiting)
        self._one_waits.set()
        if len(self._queue) == SECOND_TASK_FROM:
            self._many_wait.set()
        await waiting.done

    def take_refused(self) -> datetime | None:
        """Return since when a delivery had to be refused for want of a place, and forget it; None if none was."""
        since, self._refused_since = self._refused_since, None
        return since

    async def run(self) -> None:
        """Commit until closed and drained."""
        watch = asyncio.create_task(repeat(self._expire, WATCH_SECONDS, first=WATCH_SECONDS), name="commit deadlines")
        tasks = [
            asyncio.create_task(self._commit_batches(wake), name=name)
            for name, wake in (("first commit task", self._one_waits), ("second commit task", self._many_wait))
        ]
        others = [watch]
        if self._spooling is not None:
            others.append(asyncio.create_task(self._spooling.run(), name="drain of the spool"))
        try:
            await asyncio.wait([*tasks, *others], return_when=asyncio.FIRST_COMPLETED)
            if self._closing:
                await asyncio.wait(tasks)
            for task in (*tasks, *others):
                if task.done():
                    task.result()  # none ends by itself: this raises why it did
        finally:
            for task in (*tasks, *others):
                task.cancel()
            self._closing = True
            for waiting in self._deadlines:  # nobody is going to commit these
                if not waiting.done.done():
                    waiting.done.set_exception(Unavailable("the process is ending"))

    async def _expire(self) -> None:
        """Refuse the requests that have waited too long. They are in order: the first with time left ends the loop."""
        loop = asyncio.get_running_loop()
        while self._deadlines and (self._deadlines[0].done.done() or self._deadlines[0].deadline < loop.time()):
            waiting = self._deadlines.popleft()
            self._refuse([waiting], "the log did not answer in time")

    def close(self) -> None:
        """Accept no more deliveries. ``run`` returns when those that wait are committed."""
        self._closing = True
        self._one_waits.set()
        self._many_wait.set()

    async def _commit_batches(self, wake: asyncio.Event) -> None:
        """Commit whenever woken."""
        while True:
            await wake.wait()
            wake.clear()
            while self._queue:
                if self._spooling is not None and self._spooling.away:
                    await self._keep(self._spooling, self._take())
                else:
                    await self._commit_queue()
            if self._closing:
                return

    async def _commit_queue(self) -> None:
        """Commit what waits. A connection is kept while deliveries keep coming: to reset it takes a round trip."""
        loop = asyncio.get_running_loop()
        batch: list[_Waiting] = []
        try:
            async with asyncio.timeout(self._seconds) as limit, self._pool.acquire() as connection:
                with replication_warnings(connection) as warnings:
                    while batch := self._take():
                        limit.reschedule(self._give_up_at(batch))
                        await self._commit(connection, batch)
                        if warnings:
                            raise NotReplicatedError
                        self._committed(batch)
                    limit.reschedule(loop.time() + self._seconds)
        except Exception as error:  # noqa: BLE001  whatever it is, it is not the deliveries' fault
            await self._failed(batch or self._take(), error)

    def _give_up_at(self, batch: Sequence[_Waiting]) -> float:
        """Return when PostgreSQL has had its time for a batch, by the clock of the event loop."""
        now = asyncio.get_running_loop().time()
        if self._spooling is None:
            return now + COMMIT_SECONDS
        return max(min(now + self._seconds, batch[0].deadline - SPOOL_SECONDS), now + LEAST_SECONDS)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < BATCH_DELIVERIES:
            head = self._queue[0]
            size += len(head.received.body)
            if batch and size > BATCH_BYTES:
                break
            self._queue.popleft()
            if not head.done.done():  # given up by now: it was answered 503 and will come again
                batch.append(head)
        return batch

    async def _commit(self, connection: asyncpg.Connection, batch: Sequence[_Waiting]) -> None:
        deliveries = [waiting.received for waiting in batch]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with metrics.commit_seconds.time():
                    faultpoint("ingest.append")
                    await store.receive(connection, deliveries)
                    faultpoint("ingest.committed")
            except CONTENDED:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(RETRIES.delay(attempt))
            else:
                return

    def _committed(self, batch: Sequence[_Waiting]) -> None:
        metrics.commit_batch.observe(len(batch))
        log.info("deliveries.committed", deliveries=[waiting.received.id for waiting in batch])
        _acknowledge(batch)
        self._notify()

    async def _failed(self, batch: Sequence[_Waiting], error: Exception) -> None:
        metrics.commit_failures.labels(describe(error)[:40]).inc()
        log.warning("deliveries.not_committed", count=len(batch), error=describe(error))
        if self._spooling is None or isinstance(error, REFUSED):
            self._refuse(batch, "the log cannot be written at the moment")
        else:
            self._spooling.lost(error)
            await self._keep(self._spooling, batch)

    async def _keep(self, spooling: Spooling, batch: Sequence[_Waiting]) -> None:
        """Put a batch into the spool, and acknowledge it."""
        if not batch:
            return
        try:
            faultpoint("ingest.spool")
            await spooling.keep([waiting.received for waiting in batch])
            faultpoint("ingest.spooled")
        except Exception as error:  # noqa: BLE001  of a bug, too, nothing is acknowledged
            message = str(error) if isinstance(error, SpoolError) else describe(error)
            log.warning("deliveries.not_spooled", count=len(batch), error=message)
            self._refuse(batch, "the log cannot be written at the moment, and neither can the spool")
        else:
            log.info("deliveries.spooled", deliveries=[waiting.received.id for waiting in batch])
            _acknowledge(batch)

    def _refuse(self, batch: Sequence[_Waiting], reason: str) -> None:
        for waiting in batch:
            if not waiting.done.done():
                self._refused_since = self._refused_since or datetime.now(UTC)
                waiting.done.set_exception(Unavailable(reason))


def _acknowledge(batch: Sequence[_Waiting]) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_result(None)
