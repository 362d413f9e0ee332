"""Commit deliveries in groups: requests that arrive during a commit share the next one.

There is no timer. A lone request is committed at once; under load the batch grows by itself, up to a cap beyond which
larger batches only make both sides wait (``performance.md`` section 3). While many wait, a second task commits beside
the first, so that this process reads requests while PostgreSQL writes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from ingest import store
from ingest.contract import Received
from ingest.errors import Overloaded, Unavailable
from ops.runtime import metrics
from ops.runtime.db import CONTENDED, Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy, repeat

BATCH_DELIVERIES = 64
BATCH_BYTES = 8 * 2**20
SECOND_TASK_FROM = 24
"""So many deliveries wait before the second task commits too; with fewer, one larger commit costs less."""

COMMIT_SECONDS = 1.8
"""Longest that a request waits for its commit; shorter than any sender waits for the answer."""

WATCH_SECONDS = 0.1
"""How often deadlines are checked. One check of all of them is cheaper than a timer for each."""

ATTEMPTS = 3
RETRIES = RetryPolicy((0.02, 0.04), jitter=1.0)

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    received: Received
    done: asyncio.Future[None]


class NotReplicatedError(Exception):
    """The commit is on this server only: the wait for its standby was cut short, so it is not acknowledged."""


class Committer:
    """Commits deliveries; a call returns once its delivery is durable. ``notify`` is called after each commit."""

    def __init__(self, pool: Pool, *, max_deliveries: int, notify: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._max = max_deliveries
        self._notify = notify
        self._queue: deque[_Waiting] = deque()
        self._deadlines: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._one_waits = asyncio.Event()
        self._many_wait = asyncio.Event()
        self._closing = False
        metrics.ingest_waiting.set_function(lambda: len(self._queue))

    async def commit(self, received: Received) -> None:
        """Commit a delivery. Raises Overloaded, Unavailable."""
        if self._closing or len(self._queue) >= self._max:
            raise Overloaded("too many deliveries wait for the log")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.append(_Waiting(received, done))
        self._deadlines.append((loop.time() + COMMIT_SECONDS, done))
        self._one_waits.set()
        if len(self._queue) == SECOND_TASK_FROM:
            self._many_wait.set()
        await done

    async def run(self) -> None:
        """Commit until closed and drained."""
        watch = asyncio.create_task(repeat(self._expire, WATCH_SECONDS, first=WATCH_SECONDS), name="commit deadlines")
        tasks = [
            asyncio.create_task(self._commit_batches(wake), name=name)
            for name, wake in (("first commit task", self._one_waits), ("second commit task", self._many_wait))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._closing:
                await asyncio.wait(tasks)
            for task in tasks:
                if task.done():
                    task.result()  # neither ends by itself: this raises why it did
        finally:
            for task in (watch, *tasks):
                task.cancel()
            self._closing = True
            for _, done in self._deadlines:  # nobody is going to commit these
                if not done.done():
                    done.set_exception(Unavailable("the process is ending"))

    async def _expire(self) -> None:
        """Refuse the requests that have waited too long. They are in order: the first with time left ends the loop."""
        loop = asyncio.get_running_loop()
        while self._deadlines and (self._deadlines[0][1].done() or self._deadlines[0][0] < loop.time()):
            _, done = self._deadlines.popleft()
            if not done.done():
                done.set_exception(Unavailable("the log did not answer in time"))

    def close(self) -> None:
        """Accept no more deliveries. ``run`` returns when those that wait are committed."""
        self._closing = True
        self._one_waits.set()
        self._many_wait.set()

    async def _commit_batches(self, wake: asyncio.Event) -> None:
        """Commit whenever woken. A connection is kept while deliveries keep coming: to reset it takes a round trip."""
        while True:
            await wake.wait()
            wake.clear()
            while self._queue:
                batch: list[_Waiting] = []
                try:
                    async with self._pool.acquire() as connection:
                        with _watched(connection) as warnings:
                            while batch := self._take():
                                await self._commit(connection, batch)
                                if warnings:
                                    raise NotReplicatedError
                                self._committed(batch)
                except Exception as error:  # noqa: BLE001  whatever it is, it is not the deliveries' fault
                    self._failed(batch or self._take(), error)
            if self._closing:
                return

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
                async with asyncio.timeout(COMMIT_SECONDS):
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
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_result(None)
        self._notify()

    def _failed(self, batch: Sequence[_Waiting], error: Exception) -> None:
        metrics.commit_failures.labels(describe(error)[:40]).inc()
        log.warning("deliveries.not_committed", count=len(batch), error=describe(error))
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(Unavailable("the log cannot be written at the moment"))


class _watched:  # noqa: N801  reads as a phrase
    """Collect the server's warnings that a commit was not replicated as configured.

    When the wait for a synchronous standby is cancelled, PostgreSQL reports success and only warns, with no code of
    its own (faults.md B3). Appending gives no other warning, so any is taken for that one.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._warnings: list[str] = []

    def __enter__(self) -> list[str]:
        self._connection.add_log_listener(self._hear)
        return self._warnings

    def __exit__(self, *_: object) -> None:
        if not self._connection.is_closed():
            self._connection.remove_log_listener(self._hear)

    def _hear(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.sqlstate[:2] in ("01", "57"):
            self._warnings.append(message.sqlstate)
