"""`landfall serve`: the web process."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import click
import structlog
from aiohttp import web

from ingest.app import COMMIT_TASK, build
from ingest.committer import Committer
from ingest.endpoint import Receiver
from ingest.spooling import Spooling
from ops.cli import wiring
from ops.runtime import headers, health, responses
from ops.runtime.bodies import Budget
from ops.runtime.clock import now
from ops.runtime.connections import Connections, connection_limits, raise_descriptors
from ops.runtime.db import Pool, open_pool
from ops.runtime.health import Check, check_database
from ops.runtime.settings import Configuration
from ops.runtime.worker_notifier import WorkerNotifier, open_notifier
from schema.jobs import PUBLISH_POSTS
from schema.revision import HEAD
from schema.rights import WEB_ROLE

PUBLISH_CONNECTIONS = 4
"""For people who connect accounts: they are few, and no webhook waits behind them."""

EXPORT_CONNECTIONS = 2
"""An export holds one until its end: these are no one else's."""

log = structlog.get_logger()

COMMIT_CONNECTIONS = 2
"""One task commits; the second connection replaces its own while a broken one is being closed."""


@click.command()
def serve_command() -> None:
    """Receive webhooks over HTTP, and serve the pages."""
    sys.exit(wiring.run(serve(wiring.load())))


@asynccontextmanager
async def pages(configuration: Configuration, app: web.Application, notifier: WorkerNotifier) -> AsyncIterator[None]:
    """Add the pages and the API. Without a vault key everything works but connecting, which says what is missing."""
    from ops.cli.composition import built, mailer_of, posts_of, storage_of, uploads_of
    from ops.erasure.requests import request_account
    from ops.web.app import (
        add_access,
        add_connections,
        add_connections_not_configured,
        add_export,
        add_media,
        add_posts,
    )
    from ops.web.site import Connecting, Publishing, build_site

    settings = configuration.settings
    async with (
        await open_pool(
            settings.database_url.get_secret_value(),
            "publish",
            PUBLISH_CONNECTIONS,
            role=settings.role(WEB_ROLE),
            pgbouncer=settings.landfall_pgbouncer,
            statement_seconds=5,
        ) as pool,
        await open_pool(
            settings.database_url.get_secret_value(),
            "export",
            EXPORT_CONNECTIONS,
            role=settings.role(WEB_ROLE),
            pgbouncer=settings.landfall_pgbouncer,
        ) as exports,
        AsyncExitStack() as stack,
    ):
        site = build_site(
            pool,
            secure=settings.https,
            public_url=settings.landfall_public_url,
            trusted=settings.landfall_trusted_proxies,
            idle_minutes=settings.landfall_session_idle_minutes,
            owners_need_second_factor=settings.landfall_owners_need_second_factor,
        )
        vault, uploads = None, await stack.enter_async_context(uploads_of(configuration, pool))
        if wiring.has_vault(configuration):
            found = await stack.enter_async_context(built(configuration, pool))
            vault = found.vault
            pulling = wiring.pulling_platforms()
            connecting = Connecting(found.flows, found.disconnector, found.refresher, request_account, pulling)
            add_connections(app, site, connecting)
            posts = posts_of(pool, found, storage_of(configuration), settings.landfall_public_url, uploads)
            add_posts(app, site, Publishing(posts, uploads, partial(notifier.notify, PUBLISH_POSTS)))
        else:
            add_connections_not_configured(app, site)
        add_access(app, site, vault, mailer_of(configuration))
        add_media(app, site, uploads)
        add_export(app, site, exports)
        yield


@asynccontextmanager
async def application(configuration: Configuration) -> AsyncIterator[tuple[web.Application, web.Application]]:
    """The public application and the internal one, with everything open that their routes need."""
    settings, webhooks = configuration.settings, wiring.webhooks()
    dsn, role = settings.database_url.get_secret_value(), settings.role(WEB_ROLE)
    bounced = settings.landfall_pgbouncer
    async with (
        await open_pool(
            dsn, "ingest", COMMIT_CONNECTIONS, role=role, pgbouncer=bounced, statement_seconds=5
        ) as ingest_pool,
        await open_pool(
            dsn, "ingest-samples", 1, role=role, pgbouncer=bounced, wait_seconds=0.05, statement_seconds=1
        ) as samples,
        await open_pool(dsn, "ingest-health", 1, role=role, pgbouncer=bounced, statement_seconds=2) as health_pool,
        await open_pool(dsn, "ingest-spool", 1, role=role, pgbouncer=bounced) as spool_pool,
        AsyncExitStack() as stack,
    ):
        notifier = open_notifier(None if settings.redis_url is None else settings.redis_url.get_secret_value())
        stack.push_async_callback(notifier.close)
        spooling = await _spooling(configuration, spool_pool, notifier.notify, stack)
        committer = Committer(
            ingest_pool,
            max_deliveries=settings.landfall_queue_deliveries,
            notify=notifier.notify,
            spooling=spooling,
        )
        receiver = Receiver(
            webhooks=webhooks,
            variables=configuration.variables,
            committer=committer,
            samples=samples,
            clock=now,
            body_limit=settings.landfall_body_limit,
            # A quarter of the memory, but never so little that a body of the largest size could not arrive.
            budget=Budget(
                settings.landfall_queue_bytes,
                max(settings.landfall_queue_bytes // 4, settings.landfall_body_limit),
            ),
            trusted=settings.landfall_trusted_proxies,
        )

        async def readiness() -> Mapping[str, Check]:
            configured = [name for name, webhook in webhooks.items() if wiring.has_secret(configuration, webhook)]
            keys = Check(
                bool(configured),
                "" if configured else "no platform has a secret; every webhook is answered 503",
            )
            checks = await check_database(health_pool, HEAD) | {"keys": keys}
            if spooling is not None:
                # Webhooks are accepted all the same, and no other process could do more for them.
                checks["postgresql"] = replace(checks["postgresql"], required=not spooling.takes)
                checks["spool"] = spooling.check()
            return checks

        app = build(receiver)
        await stack.enter_async_context(pages(configuration, app, notifier))
        health.add_routes(app, readiness)
        responses.add_fallback(app)
        headers.add_to(app, https=settings.https)
        stack.callback(wiring.reporting(health_pool, "serve", configuration, committer.take_refused).cancel)
        yield app, health.build(readiness, "web")


async def _spooling(
    configuration: Configuration, pool: Pool, notify: Callable[[], None], stack: AsyncExitStack
) -> Spooling | None:
    """Open the spool, if there is to be one, and close it with ``stack``. Raises ConfigurationError."""
    settings = configuration.settings
    if settings.landfall_spool_dir is None:
        return None
    spool = await wiring.open_spool(settings.landfall_spool_dir, settings.landfall_spool_bytes)
    stack.push_async_callback(spool.close)
    return Spooling(spool, pool, notify)


async def serve(configuration: Configuration) -> int:
    """Run until SIGTERM; requests that were begun are finished. The exit code: 1 if it ended by itself."""
    settings = configuration.settings
    stop = wiring.stop_event()
    async with application(configuration) as (app, inside):
        limits = connection_limits(raise_descriptors(), settings.landfall_http_connections)
        connections = Connections(
            limits.connections, settings.landfall_client_connections, settings.landfall_trusted_proxies
        )
        public = await wiring.listen(
            app,
            "HTTP",
            settings.landfall_http_host,
            settings.landfall_http_port,
            connections=connections,
            backlog=limits.backlog,
            https=settings.https,
        )
        internal = await wiring.listen(
            inside, "METRICS", settings.landfall_metrics_host, settings.landfall_metrics_port
        )
        log.info("serve.started", addresses=[*public.addresses, *internal.addresses])
        code = await wiring.until(stop, [app[COMMIT_TASK]])
        log.info("serve.stopping")
        await public.cleanup()
        await internal.cleanup()
    return code
