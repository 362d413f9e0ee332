"""`landfall work`: the worker process. arq wakes it; PostgreSQL tells it what there is to do."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from arq.worker import Worker, func

from ops.cli import wiring
from ops.runtime import health, metrics
from ops.runtime.db import open_pool
from ops.runtime.health import Check, check_database
from ops.runtime.queue import QUEUE, deserialize, redis_settings, serialize
from ops.runtime.settings import Configuration
from schema.jobs import PROJECT_EVENTS
from sync import store
from sync.worker import SWEEP_LANES, Projector, project_events, watch_backlog

log = structlog.get_logger()

POLL_SECONDS = 0.01
"""arq asks Redis this often; its default of 0.5 s would be most of the time from commit to row."""

JOB_SECONDS = 20
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0


async def work(configuration: Configuration) -> None:
    """Run until SIGTERM; the batch under way is finished, the rest stays in the queue."""
    settings, head = configuration.settings, wiring.schema_head()
    dsn, role = settings.database_url.get_secret_value(), settings.landfall_database_role
    stop = wiring.stop_event()
    async with (
        await open_pool(
            dsn,
            "sync",
            settings.landfall_worker_jobs + SWEEP_LANES,
            role=role,
            wait_seconds=5,
            statement_seconds=30,
            settings=store.PLANNER,
        ) as pool,
        await open_pool(dsn, "sync-health", 2, role=role, statement_seconds=5) as health_pool,
    ):
        projector = Projector(pool, wiring.projections(), tries=settings.landfall_event_tries)

        async def readiness() -> Mapping[str, Check]:
            return await check_database(health_pool, head)

        internal = await wiring.listen(
            health.build(readiness), settings.landfall_metrics_host, settings.landfall_metrics_port
        )
        log.info("work.started", addresses=[*internal.addresses], holder=projector.holder)
        tasks = [
            asyncio.create_task(projector.sweep(stop), name="sweep"),
            asyncio.create_task(watch_backlog(health_pool, stop), name="backlog"),
        ]
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            tasks.append(asyncio.create_task(_answer_bell(url, projector, settings.landfall_worker_jobs), name="bell"))
        await stop.wait()
        log.info("work.stopping")
        for task in tasks[2:]:
            task.cancel()
        _, slow = await asyncio.wait(tasks, timeout=8)
        for task in slow:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        await internal.cleanup()


async def _answer_bell(url: str, projector: Projector, jobs: int) -> None:
    """Run arq's worker, and build it anew when it fails: it ends with its first lost connection (faults.md C2)."""
    logging.getLogger("arq.worker").setLevel(logging.ERROR)  # a Redis that is away is one line of ours, not many
    pause = FIRST_PAUSE_SECONDS
    while True:
        started = asyncio.get_running_loop().time()
        worker: Worker | None = None
        try:
            worker = Worker(
                functions=[func(project_events, name=PROJECT_EVENTS, keep_result=0, timeout=JOB_SECONDS)],
                queue_name=QUEUE,
                redis_settings=redis_settings(url),
                handle_signals=False,
                max_jobs=jobs,
                poll_delay=POLL_SECONDS,
                keep_result=0,
                job_timeout=JOB_SECONDS,
                job_serializer=serialize,
                job_deserializer=deserialize,
                health_check_interval=30,
                ctx={"projector": projector},
                log_results=False,
            )
            await worker.async_run()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the next one may do better
            metrics.bell_restarts.inc()
            log.warning("bell.worker_failed", error=error.__class__.__name__, pause_s=pause)
        finally:
            if worker is not None:
                await _close(worker)
        if asyncio.get_running_loop().time() - started > 30:
            pause = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _close(worker: Worker) -> None:
    jobs: list[asyncio.Task[Any]] = [*worker.tasks.values()]
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    if worker._pool is not None:  # noqa: SLF001  close() would first talk to a Redis that may be away
        with suppress(Exception):
            await worker._pool.connection_pool.disconnect(inuse_connections=True)  # noqa: SLF001
