"""Listen to notifications through Redis that there is work. Losing any number of them loses nothing but time.

This module is the only one that uses arq. Its known traps, and what is done about each:

- Results are not kept, and the worker's sweep looks at PostgreSQL every second whatever happens here.
- Jobs are pickled by default (C10): ours are JSON and carry nothing.
- A Redis that is gone without a word is waited for without end (D2): the worker's loop is our own, and each turn of
  it has a limit. (redis-py's ``socket_timeout`` is no way: it waits by ``asyncio.wait_for``, which loses cancellations
  before Python 3.12.)
- A worker that was killed leaves a key that blocks its job for the time-out and more (C7): nothing waits for it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from ops.runtime import metrics
from ops.runtime.db import describe
from ops.runtime.periodic import RetryPolicy
from ops.runtime.redis_address import RedisAddress
from schema.jobs import QUEUE

ANSWER_SECONDS = 2.0
"""A Redis that says nothing for so long is gone."""

CANCEL_SECONDS = 0.1
"""How long to wait between two attempts to cancel."""

RETRIES = RetryPolicy.exponential(0.5, 10.0)
STEADY_SECONDS = 30.0
"""A listener that ran for so long has not failed in a row."""

POLL_SECONDS = 0.01
"""arq asks Redis this often; its default of 0.5 s would be most of the time from commit to row."""

JOB_SECONDS = 20

T = TypeVar("T")

log = structlog.get_logger()


def serialize(job: Mapping[str, object]) -> bytes:
    """Serialize a job. Exceptions in results, which JSON cannot hold, become their names."""
    return json.dumps(job, default=lambda value: value.__class__.__name__).encode()


def deserialize(raw: bytes) -> dict[str, object]:
    job = json.loads(raw)
    if not isinstance(job, dict):
        raise TypeError("a job must be an object")
    return job


def redis_settings(url: str) -> RedisSettings:
    """Return arq's settings for a URL, with short time-outs: all users of Redis here work without it for a while.

    Raises ValueError.
    """
    given = RedisAddress.of(url)  # not arq's own reading, which leaves a password encoded
    return RedisSettings(
        host=given.host,
        port=given.port,
        unix_socket_path=given.path,
        database=given.database,
        username=given.username,
        password=given.password,
        ssl=given.tls,
        ssl_check_hostname=given.tls,
        conn_timeout=1,
        conn_retries=0,
        conn_retry_delay=0,
    )


async def open_redis(url: str) -> ArqRedis:
    """Connect and wait for a first answer. Raises TimeoutError where none comes."""
    opening = create_pool(
        redis_settings(url), job_serializer=serialize, job_deserializer=deserialize, default_queue_name=QUEUE
    )
    return await _within(ANSWER_SECONDS, opening)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """Await ``work`` within a time and cancel until it ends: redis-py waits for an answer to UNWATCH when cancelled.

    Raises TimeoutError.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)


async def _disconnect(redis: ArqRedis) -> None:
    """Close its connections without talking to Redis, which may be away."""
    with suppress(Exception):
        await redis.connection_pool.disconnect(inuse_connections=True)


async def listen(url: str, jobs: Mapping[str, Callable[[], Awaitable[object]]], concurrency: int) -> None:
    """Run ``jobs`` by name when notified, until cancelled.

    arq's worker ends with its first lost connection (``faults.md`` C2), so it is built anew as often as it takes.
    """
    logging.getLogger("arq.worker").setLevel(logging.ERROR)  # a Redis that is away is one line of ours, not many
    failures = 0
    while True:
        started = time.monotonic()
        worker: Worker | None = None
        try:
            worker = _worker(await open_redis(url), jobs, concurrency)
            await worker.main()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the next one may do better
            failures = 1 if time.monotonic() - started > STEADY_SECONDS else failures + 1
            metrics.notifier_restarts.inc()
            log.warning("wakeup.listener_failed", error=error.__class__.__name__, failures=failures)
        finally:
            if worker is not None:
                await _close(worker)
        await asyncio.sleep(RETRIES.delay(max(failures, 1)))


class _Worker(Worker):
    """arq's worker, with a time-out for every poll of Redis."""

    async def main(self) -> None:
        while True:
            await _within(ANSWER_SECONDS, self._poll_iteration())
            await asyncio.sleep(self.poll_delay_s)


def _worker(redis: ArqRedis, jobs: Mapping[str, Callable[[], Awaitable[object]]], concurrency: int) -> Worker:
    def job(run: Callable[[], Awaitable[object]]) -> WorkerCoroutine:
        async def wrapped(ctx: dict[object, object], *args: object, **kwargs: object) -> None:  # noqa: ARG001  arq's shape
            try:
                await run()
            except Exception as error:  # noqa: BLE001  arq would print all of it; the sweep meets it again if it lasts
                log.warning("wakeup.job_failed", job=run.__qualname__, error=describe(error))

        return wrapped

    return _Worker(
        functions=[func(job(run), name=name, keep_result=0, timeout=JOB_SECONDS) for name, run in jobs.items()],
        queue_name=QUEUE,
        redis_pool=redis,
        handle_signals=False,
        max_jobs=concurrency,
        poll_delay=POLL_SECONDS,
        keep_result=0,
        job_timeout=JOB_SECONDS,
        job_serializer=serialize,
        job_deserializer=deserialize,
        health_check_interval=30,
        log_results=False,
    )


async def _close(worker: Worker) -> None:
    running = list(worker.tasks.values())
    for task in running:
        task.cancel()
    with suppress(TimeoutError):  # each closes its connection first, and a Redis that is gone lets it wait
        await _within(ANSWER_SECONDS, asyncio.gather(*running, return_exceptions=True))
    await _disconnect(worker.pool)  # its own close() would first talk to Redis
