"""Notify a worker through Redis that there is work. Losing any number of notifications loses nothing but time.

A notification is a job of arq (``ops.runtime.worker_listener``), written by two commands. hiredis packs them and parses
the answers: arq and redis-py, which do much more, would take 4 MB of every web process.

- A job with a fixed id is refused while it waits or runs (``faults.md`` C6): notifications alternate between a few ids.
- Redis may hang or be away (C1): notifying never waits; a background task tries, for at most 100 ms, and waits longer
  after each failure.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol, Self

import hiredis
import structlog

from ops.runtime import metrics
from ops.runtime.periodic import RetryPolicy
from ops.runtime.redis_address import RedisAddress
from schema.jobs import PROJECT_EVENTS, QUEUE

SLOTS = 10
"""Jobs that may wait at once; more would only find nothing to do."""

SEND_SECONDS = 0.1
OPEN_SECONDS = 1.0
"""How long one notification may take, and one that has to connect first."""

REST_SECONDS = 0.02
"""The least time between two notifications."""

EXPIRES_MILLISECONDS = 60_000
"""A notification that nobody took for so long is dropped: the sweep of whoever starts later finds the work."""

RETRIES = RetryPolicy.exponential(0.5, 10.0)

log = structlog.get_logger()


class RedisError(Exception):
    """Redis refused a command. It says nothing of what was sent, which may be a password."""


class _Redis:
    """A connection to Redis."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = hiredis.Reader()

    @classmethod
    async def open(cls, address: RedisAddress) -> Self:
        """Connect and log in. Raises OSError, RedisError."""
        if address.path is not None:
            redis = cls(*await asyncio.open_unix_connection(address.path))
        else:
            tls = ssl.create_default_context() if address.tls else None
            redis = cls(*await asyncio.open_connection(address.host, address.port, ssl=tls))
        try:
            if address.password is not None:
                login = [address.username] if address.username else []
                await redis.run(("AUTH", *login, address.password))
            if address.database:
                await redis.run(("SELECT", address.database))
        except BaseException:
            redis.close()
            raise
        return redis

    async def run(self, *commands: Sequence[str | int]) -> object:
        """Send commands at once and return the answer to the last one. Raises OSError, RedisError."""
        # Its stub says that a tuple holds one item; it may hold any number.
        self._writer.write(b"".join(hiredis.pack_command((*command,)) for command in commands))  # type: ignore[arg-type]
        await self._writer.drain()
        answer: object = None
        for _ in commands:
            answer = await self._answer()
            if isinstance(answer, hiredis.HiredisError):
                raise RedisError
        return answer

    async def _answer(self) -> object:
        while (answer := self._answers.gets()) is False:  # not there, or not all of it
            received = await self._reader.read(2**16)
            if not received:
                raise ConnectionResetError
            self._answers.feed(received)
        return answer

    def close(self) -> None:
        """Close it without a word to Redis, which may be away."""
        with suppress(Exception):
            self._writer.transport.abort()


class WorkerNotifier(Protocol):
    def notify(self, job: str = PROJECT_EVENTS) -> None:
        """Say that there is work of a kind, a name of ``schema.jobs``. Always returns at once."""

    async def close(self) -> None: ...


class NoNotifier:
    """Does nothing, for an installation without Redis: the worker's sweep finds the work."""

    def notify(self, job: str = PROJECT_EVENTS) -> None:
        pass

    async def close(self) -> None:
        pass


class RedisNotifier:
    """Enqueues a job of arq; notifications that come close together become one job."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._redis: _Redis | None = None
        self._wanted = asyncio.Event()
        self._jobs: set[str] = set()
        self._slot = 0
        self._task = asyncio.create_task(self._run(), name="worker notifier")

    def notify(self, job: str = PROJECT_EVENTS) -> None:
        self._jobs.add(job)
        self._wanted.set()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._drop()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            jobs, self._jobs = self._jobs, set()
            try:
                async with asyncio.timeout(SEND_SECONDS if self._redis else OPEN_SECONDS):
                    sent = [await self._enqueue(job) for job in sorted(jobs)]
            except Exception as error:  # noqa: BLE001  whatever ails Redis, ingest goes on
                failures += 1
                pause = RETRIES.delay(failures)
                metrics.notifications.labels("failed").inc()
                log.warning("wakeup.failed", error=error.__class__.__name__, pause_s=round(pause, 1))
                self._drop()
                await asyncio.sleep(pause)
            else:
                failures = 0
                for new in sent:
                    metrics.notifications.labels("sent" if new else "already_waiting").inc()
                await asyncio.sleep(REST_SECONDS)

    async def _enqueue(self, kind: str) -> bool:
        if self._redis is None:
            self._redis = await _Redis.open(self._address)
        for _ in range(2):  # the first may be running, past its last look; two in that state are enough to skip
            self._slot = (self._slot + 1) % SLOTS
            name, at = f"{kind}:{self._slot}", time.time_ns() // 1_000_000
            job = json.dumps({"t": None, "f": kind, "a": [], "k": {}, "et": at})
            answer = await self._redis.run(
                ("MULTI",),
                ("SET", f"arq:job:{name}", job, "NX", "PX", EXPIRES_MILLISECONDS),
                ("ZADD", QUEUE, "NX", at, name),
                ("EXEC",),
            )
            if not isinstance(answer, list) or any(isinstance(each, hiredis.HiredisError) for each in answer):
                raise RedisError
            if answer[0] is not None:  # else this job waits or runs
                return True
        return False

    def _drop(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            redis.close()


def open_notifier(url: str | None) -> WorkerNotifier:
    """Return a notifier that uses the Redis at ``url``, or one that does nothing without it."""
    return NoNotifier() if url is None else RedisNotifier(RedisAddress.of(url))
