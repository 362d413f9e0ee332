"""Commit deliveries in groups: requests that arrive during a commit share the next one.

There is no timer. A lone request is committed at once; under load the batch grows by itself, up to a cap beyond
which larger batches only make both sides wait (``performance.md`` section 3).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from ingest import store
from ingest.errors import Overloaded, Unavailable
from ingest.store import Receipt
from ops.runtime import metrics
from ops.runtime.db import CONTENDED, REFUSED, Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy, repeat

BATCH_DELIVERIES = 64
BATCH_EVENTS = 2000
BATCH_BYTES = 8 * 2**20
COMMIT_SECONDS = 1.8
"""Longest that a request waits for its commit; shorter than any sender waits for the answer."""

WATCH_SECONDS = 0.1
"""How often deadlines are checked. One check of all of them is cheaper than a timer for each."""

ATTEMPTS = 3
RETRIES = RetryPolicy((0.02, 0.04), jitter=1.0)

log = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    receipt: Receipt
    size: int
    done: asyncio.Future[int]


class NotReplicatedError(Exception):
    """The commit is on this server only: the wait for its standby was cut short, so it is not acknowledged."""


class Committer:
    """Commits receipts; a call returns once its receipt is durable."""

    def __init__(self, pool: Pool, *, max_deliveries: int) -> None:
        self._pool = pool
        self._max = max_deliveries
        self._queue: deque[_Waiting] = deque()
        self._deadlines: deque[tuple[float, asyncio.Future[int]]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        metrics.ingest_waiting.set_function(lambda: len(self._queue))

    async def commit(self, receipt: Receipt) -> int:
        """Commit a receipt and return how many of its events were new. Raises Overloaded, Unavailable."""
        if self._closing or len(self._queue) >= self._max:
            raise Overloaded("too many deliveries wait for the log")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._queue.append(_Waiting(receipt, len(receipt.delivery.body), done))
        self._deadlines.append((loop.time() + COMMIT_SECONDS, done))
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Commit until closed and drained."""
        watch = asyncio.create_task(repeat(self._expire, WATCH_SECONDS, first=WATCH_SECONDS), name="commit deadlines")
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    batch = self._take()
                    if batch:
                        await self._settle(batch)
                if self._closing:
                    return
        finally:
            watch.cancel()
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
        """Accept no more receipts. ``run`` returns when those that wait are committed."""
        self._closing = True
        self._wake.set()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        events = size = 0
        while self._queue and len(batch) < BATCH_DELIVERIES:
            head = self._queue[0]
            events += len(head.receipt.accepted.events)
            size += head.size
            if batch and (events > BATCH_EVENTS or size > BATCH_BYTES):
                break
            self._queue.popleft()
            if not head.done.done():  # given up by now: it was answered 503 and will come again
                batch.append(head)
        return batch

    async def _settle(self, batch: list[_Waiting]) -> None:
        try:
            new = await self._write([waiting.receipt for waiting in batch])
        except REFUSED as error:
            await self._isolate(batch, error)
        except Exception as error:  # noqa: BLE001  whatever it is, it is not known to be the deliveries' fault
            metrics.commit_failures.labels(describe(error)[:40]).inc()
            log.warning("deliveries.not_committed", count=len(batch), error=describe(error))
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(Unavailable("the log cannot be written at the moment"))
        else:
            metrics.commit_batch.observe(len(batch))
            log.info("deliveries.committed", deliveries=list(new), new_events=sum(new.values()))
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_result(new[waiting.receipt.id])

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> None:
        """Commit each receipt of a batch by itself, of which the database refuses some; reduce the refused ones."""
        metrics.commit_failures.labels("refused").inc()
        if len(batch) > 1:
            for waiting in batch:
                await self._settle([waiting])
            return
        waiting = batch[0]
        if waiting.receipt.accepted.verdict == "unreadable":
            log.error("delivery.not_storable", delivery=waiting.receipt.id, error=describe(error))
            if not waiting.done.done():
                waiting.done.set_exception(Unavailable("the delivery could not be stored"))
            return
        log.error("delivery.reduced", delivery=waiting.receipt.id, error=describe(error))
        waiting.receipt = waiting.receipt.reduced(f"the database refused its events: {describe(error)}")
        await self._settle([waiting])

    async def _write(self, receipts: Sequence[Receipt]) -> dict[str, int]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(COMMIT_SECONDS), self._pool.acquire() as connection:
                    with metrics.commit_seconds.time(), _watched(connection) as warnings:
                        faultpoint("ingest.append")
                        new = await store.append(connection, receipts)
                        faultpoint("ingest.committed")
                    if warnings:
                        raise NotReplicatedError
                    return new
            except CONTENDED:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(RETRIES.delay(attempt))
        raise AssertionError("unreachable")


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
