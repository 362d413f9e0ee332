"""What every command needs: the platforms, the configuration, logging, and the loop that runs it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog
import uvloop
from aiohttp import web

import ingest.platforms
from ingest.contract import Webhook
from ingest.spool import Spool, SpoolError
from ops.runtime import logs, processes, unparsed
from ops.runtime.connections import BACKLOG, Connections
from ops.runtime.db import Pool, describe
from ops.runtime.discovery import discover
from ops.runtime.settings import Configuration, ConfigurationError
from schema.configuration import Variable

if TYPE_CHECKING:
    from publish.oauth.contract import OAuthProvider
    from publish.posting.acceptance import Publisher
    from sync.projection.contract import Projection
    from sync.pull.contract import PullingPlatform


log = structlog.get_logger()

T = TypeVar("T")


def run(program: Coroutine[object, object, T]) -> T:
    """Run a command's coroutine to its end."""
    return uvloop.run(program)


def load() -> Configuration:
    """Read the configuration from the environment, and set up logging by it. Raises ConfigurationError."""
    found = configuration()
    logs.configure(found.settings.landfall_log_level)
    return found


def webhooks() -> Mapping[str, Webhook]:
    return discover(ingest.platforms, Webhook)


def retry_hours() -> Mapping[str, float]:
    """Return for how many hours each platform repeats a webhook."""
    return {name: webhook.retry_hours for name, webhook in webhooks().items()}


def projections() -> "Mapping[str, Projection]":
    # The web process projects nothing: it need not hold SQLAlchemy and the tables in memory.
    import sync.platforms
    from sync.projection.contract import Projection

    return discover(sync.platforms, Projection)


def pulling_platforms() -> "Mapping[str, PullingPlatform]":
    """Return the platforms whose accounts this release reads."""
    import sync.platforms
    from sync.pull.contract import PullingPlatform

    return discover(sync.platforms, PullingPlatform, "pull")


def oauth_providers() -> "Mapping[str, OAuthProvider]":
    import publish.platforms
    from publish.oauth.contract import OAuthProvider

    return discover(publish.platforms, OAuthProvider)


def heard_platforms() -> list[str]:
    """Return the platforms whose webhooks tell what other people do at an account."""
    providers = oauth_providers()
    return [name for name in webhooks() if name in providers and providers[name].tells_of_others]


def publishers() -> "Mapping[str, Publisher]":
    """Return the platforms to which this release publishes posts: those with machines and with rules."""
    import publish.platforms
    from publish.posting.acceptance import Publisher
    from publish.posting.contract import PostingPlatform
    from publish.preflight.contract import PostingRules

    machines = discover(publish.platforms, PostingPlatform, "machines")
    rules = discover(publish.platforms, PostingRules, "posting")
    return {name: Publisher(machines[name], rules[name]) for name in machines if name in rules}


def variables() -> list[Variable]:
    """Return every variable that some platform reads, once each, in the platforms' order; then the vault's and those
    of the storage of files.
    """
    from publish.media.storage import CREDENTIALS
    from publish.vault.envelope import VAULT_KEYS

    found = {variable.name: variable for webhook in webhooks().values() for variable in webhook.variables}
    for provider in oauth_providers().values():
        found = {variable.name: variable for variable in provider.variables} | found
    return [*found.values(), VAULT_KEYS, *CREDENTIALS]


def has_vault(configuration: Configuration) -> bool:
    """Return whether there is a key to seal tokens with, and so whether accounts can be connected."""
    from publish.vault.envelope import VAULT_KEYS

    return bool(configuration.variables[VAULT_KEYS.name] or configuration.settings.landfall_vault_ring)


def configured(configuration: Configuration) -> list[str]:
    """Return what this process has settings for, in words for `landfall doctor`."""
    settings = configuration.settings
    webhooks_ = [name for name, webhook in webhooks().items() if has_secret(configuration, webhook)]
    others = {
        "vault": has_vault(configuration),
        "redis": settings.redis_url is not None,
        "mail": settings.landfall_smtp_url is not None,
        "spool": settings.landfall_spool_dir is not None,
        "media": settings.landfall_media_url is not None,
    }
    return [*(f"webhooks:{name}" for name in webhooks_), *(name for name, there in others.items() if there)]


def has_secret(configuration: Configuration, webhook: Webhook) -> bool:
    """Return whether a platform's webhooks can be verified at all."""
    return any(configuration.variables.get(secret.name) for secret in webhook.signature.secrets)


async def open_spool(directory: Path, limit: int) -> Spool:
    """Take a spool for this process. Raises ConfigurationError."""
    try:
        return await Spool.open(directory, limit)
    except SpoolError as error:
        raise ConfigurationError([f"LANDFALL_SPOOL_DIR cannot be used: {error}"]) from None


def reporting(
    pool: Pool,
    kind: str,
    configuration: Configuration,
    take_refused: Callable[[], datetime | None] = lambda: None,
) -> "asyncio.Task[None]":
    """Start the task that reports this process to the database; cancel it at the end."""
    return asyncio.create_task(processes.report(pool, kind, configured(configuration), take_refused), name="report")


def configuration() -> Configuration:
    return Configuration.load(variables())


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def until(stop: asyncio.Event, tasks: "Iterable[asyncio.Task[None]]") -> int:
    """Wait for SIGTERM and return 0. A task that ends before has failed: return 1, for whoever starts processes."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in tasks:
        if task.done() and not stop.is_set():
            error = None if task.cancelled() else task.exception()
            log.critical("task.ended", task=task.get_name(), error=describe(error or asyncio.CancelledError()))
            return 1
    return 0


async def listen(
    app: web.Application,
    name: str,
    host: str,
    port: int,
    *,
    connections: Connections | None = None,
    backlog: int = BACKLOG,
    https: bool = False,
) -> web.AppRunner:
    """Serve ``app`` until its runner is cleaned up; ``name`` is HTTP or METRICS. ``https`` is whether people
    reach it by that, through a proxy. Raises ConfigurationError.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        auto_decompress=False,  # a signature is over the bytes as sent, and a small bomb must stay small
        lingering_time=0.5,  # long enough for a sender to see why it is refused, not to send all of it
        keepalive_timeout=30,  # also the deadline for a request's headers: aiohttp has no other
        shutdown_timeout=10,
    )
    await runner.setup()
    if runner.server is not None:
        unparsed.answer_unparsed(runner.server, https=https)
        if connections is not None:
            connections.watch(runner.server)
    # Two releases can share the public port while one replaces the other. The internal one answers for one process
    # alone: shared, it would show Prometheus now this one's numbers and now the other's.
    try:
        await web.TCPSite(runner, host, port, reuse_port=name == "HTTP", backlog=backlog).start()
    except OSError as error:
        await runner.cleanup()
        reason = f"{host}:{port} cannot be listened on ({error.strerror})"
        problem = f"{reason}: set LANDFALL_{name}_PORT or LANDFALL_{name}_HOST to a free address of this machine"
        raise ConfigurationError([problem]) from None
    return runner
