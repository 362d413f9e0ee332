"""`landfall work`: the worker process. arq wakes it; PostgreSQL tells it what there is to do."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import click
import structlog

from ingest.splitter import Splitter, measure_waiting
from ops.access import maintenance
from ops.cli import wiring
from ops.retention import partitions
from ops.runtime import garbage, health, worker_listener
from ops.runtime.db import Pool, open_pool
from ops.runtime.health import Check, check_database
from ops.runtime.settings import Configuration, Settings
from ops.runtime.sweep import SWEEP_DRAINS, sweep, watch
from schema.jobs import PROJECT_EVENTS, PUBLISH_POSTS
from schema.revision import HEAD
from schema.rights import WORKER_ROLE
from sync.projection import store
from sync.projection.worker import DRAIN_SECONDS, Projector, measure_backlog

Sweep = Callable[[asyncio.Event], Coroutine[object, object, None]]

STATEMENT_SECONDS = 5
"""A thousand events take a small part of this. A peer that is gone without a word is found out by it."""

log = structlog.get_logger()


@click.command()
def work_command() -> None:
    """Split deliveries into events, project those, read connected accounts, keep them connected and publish posts."""
    sys.exit(wiring.run(work(wiring.load())))


@asynccontextmanager
async def connection_sweeps(configuration: Configuration, posts_due: asyncio.Event) -> AsyncIterator[dict[str, Sweep]]:
    """Yield the loops that refresh and check connections, read accounts, make posts that repeat, publish, and mail.

    ``posts_due`` is set when posts may be due before the next look for them.
    """
    from ops.cli.composition import (
        built,
        driver_of,
        notice_sender,
        occurrences_of,
        puller_of,
        storage_of,
        zone_changes_of,
    )
    from publish.connections import subscriptions
    from publish.connections.refresh import AT_ONCE
    from publish.connections.silences import SilenceWatch
    from publish.posting import driver
    from sync.pull.gaps import GapFiller

    settings = configuration.settings
    async with (
        await open_pool(
            settings.database_url.get_secret_value(),
            "publish",
            # And the mail, the search for targets, what repeats, zones, the search for accounts to read, subscriptions,
            # and who is silent.
            AT_ONCE + 1 + driver.AT_ONCE + 3 + settings.landfall_pull_accounts + 1 + subscriptions.AT_ONCE + 1,
            role=settings.role(WORKER_ROLE),
            pgbouncer=settings.landfall_pgbouncer,
            wait_seconds=5,
            statement_seconds=STATEMENT_SECONDS,
        ) as pool,
        built(configuration, pool) as found,
    ):
        sweeps: dict[str, Sweep] = {
            "refresh": found.refresher.sweep,
            "posting": partial(driver_of(pool, found, storage_of(configuration)).sweep, woken=posts_due),
            "subscriptions": found.subscriptions.sweep,
            "gaps": GapFiller(pool, wiring.pulling_platforms(), wiring.retry_hours()).sweep,
            "silences": SilenceWatch(pool, wiring.heard_platforms()).sweep,
            "pull": puller_of(pool, found, settings.landfall_pull_accounts).sweep,
            "recurrences": occurrences_of(pool, found, storage_of(configuration)).sweep,
            "zones": zone_changes_of(pool).sweep,
        }
        if (mailing := notice_sender(configuration, pool, found.flows)) is not None:
            sweeps["mail"] = mailing.sweep
        yield sweeps


async def split_and_project(
    pool: Pool, splitter: Splitter, projector: Projector, seconds: float = DRAIN_SECONDS
) -> None:
    """Split and project in turn until there is nothing to do, or the time of one wake-up is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        async with pool.acquire() as connection:
            split = await splitter.drain(connection)
        if not await projector.drain(seconds / 2) and not split:
            return


def _plan_cache_mode(settings: Settings) -> str:
    """Return the worker's; where tables are distributed there are no generic plans."""
    return "auto" if settings.landfall_distributed else settings.landfall_plan_cache_mode


async def _media_sweep(configuration: Configuration, pool: Pool, stop: asyncio.Event) -> None:
    from ops.cli.composition import pruner_of

    if (pruner := pruner_of(configuration, pool)) is not None:
        await pruner.sweep(stop)


async def work(configuration: Configuration) -> int:
    """Run until SIGTERM; the batch under way is finished, the rest stays in the queue. The exit code: 1 if it
    ended by itself.
    """
    from publish.posting.gauges import measurer
    from sync.pull import worker as pull

    garbage.collect_rarely()
    settings = configuration.settings
    dsn, role = settings.database_url.get_secret_value(), settings.role(WORKER_ROLE)
    bounced = settings.landfall_pgbouncer
    stop = wiring.stop_event()
    async with (
        await open_pool(
            dsn,
            "sync",
            settings.landfall_worker_jobs + SWEEP_DRAINS,
            role=role,
            pgbouncer=bounced,
            wait_seconds=5,
            statement_seconds=STATEMENT_SECONDS,
            settings=store.PLANNER | {"plan_cache_mode": _plan_cache_mode(settings)},
        ) as pool,
        await open_pool(dsn, "sync-health", 2, role=role, pgbouncer=bounced, statement_seconds=5) as health_pool,
        AsyncExitStack() as stack,
    ):
        projector = Projector(
            pool,
            wiring.projections(),
            tries=settings.landfall_event_tries,
            batch_events=settings.landfall_batch_events,
            lease_buckets=settings.landfall_lease_buckets,
            distributed=settings.landfall_distributed,
        )
        splitter = Splitter(wiring.webhooks(), configuration.variables)

        posts_due = asyncio.Event()

        async def drain() -> None:
            await split_and_project(pool, splitter, projector)

        async def wake() -> None:
            posts_due.set()  # no more: publishing takes long, and would hold a place that events need

        async def readiness() -> Mapping[str, Check]:
            return await check_database(health_pool, HEAD)

        internal = await wiring.listen(
            health.build(readiness, "worker"), "METRICS", settings.landfall_metrics_host, settings.landfall_metrics_port
        )
        log.info("work.started", addresses=[*internal.addresses], holder=projector.holder)
        stack.callback(wiring.reporting(health_pool, "work", configuration).cancel)
        tasks = [
            asyncio.create_task(sweep(drain, stop), name="sweep"),
            asyncio.create_task(watch(health_pool, measure_backlog, stop), name="backlog"),
            asyncio.create_task(watch(health_pool, measure_waiting, stop), name="waiting deliveries"),
            asyncio.create_task(maintenance.sweep(health_pool, stop), name="access"),
            asyncio.create_task(partitions.sweep(health_pool, stop), name="partitions"),
        ]
        if settings.landfall_media_url is not None:
            tasks.append(asyncio.create_task(_media_sweep(configuration, health_pool, stop), name="media"))
        measure_posts = measurer(wiring.publishers())
        measure_tasks = pull.measurer(list(wiring.pulling_platforms()))
        tasks.append(asyncio.create_task(watch(health_pool, measure_tasks, stop), name="pull tasks"))
        tasks.append(asyncio.create_task(watch(health_pool, measure_posts, stop), name="posts"))
        if not wiring.has_vault(configuration):
            log.warning("work.cannot_publish", missing="LANDFALL_VAULT_KEYS")
        else:
            sweeps = await stack.enter_async_context(connection_sweeps(configuration, posts_due))
            tasks += [asyncio.create_task(sweep(stop), name=name) for name, sweep in sweeps.items()]
        listeners = []
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            jobs = {PROJECT_EVENTS: drain, PUBLISH_POSTS: wake}
            listening = worker_listener.listen(url, jobs, settings.landfall_worker_jobs)
            listeners = [asyncio.create_task(listening, name="wakeup")]
        code = await wiring.until(stop, [*tasks, *listeners])
        stop.set()
        log.info("work.stopping")
        for listener in listeners:
            listener.cancel()
        tasks += listeners
        _, slow = await asyncio.wait(tasks, timeout=8)
        for task in slow:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        await internal.cleanup()
    return code
