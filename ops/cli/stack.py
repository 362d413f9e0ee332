"""Everything on this machine, as `landfall up` and the acceptance tests want it.

Starts a PostgreSQL and a Redis of its own unless DATABASE_URL and REDIS_URL name others, migrates, starts the web
process and the worker exactly as `landfall serve` and `landfall work` would be, and the sandbox in the place of every
platform that has no credentials.
"""

import asyncio
import fcntl
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import click

from ingest.contract import Webhook
from ops.cli import wiring
from ops.cli.migrate import migrate
from ops.cli.terminal import echo
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, Redis, Server, free_port, redis_server
from ops.sandbox.client import Client
from publish import keys, people, store
from publish.contract import VAULT_KEYS, Channel
from publish.vault import new_key
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT

GRACE_SECONDS = 15.0
PERSON = "you@landfall.example"


class Unusable(click.ClickException):
    """Something a person must mend before anything can run."""


@dataclass
class Stack:
    """The running whole: addresses for people, child processes for us."""

    directory: Path
    environment: dict[str, str]
    http_port: int
    metrics_port: int
    worker_port: int
    sandbox_port: int
    simulated: list[str]
    """The platforms whose webhooks nobody configured."""
    api_key: str = ""
    password: str = ""
    children: dict[str, Server] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        return self.environment["DATABASE_URL"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def died(self) -> str | None:
        """The name of a process that is no longer there."""
        return next((name for name, child in self.children.items() if not child.running), None)


@asynccontextmanager
async def stack(directory: Path, environ: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Start everything, and stop what was started, in the opposite order. Raises Unusable, StartError."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  nothing else runs yet
    environment = dict(environ)
    async with AsyncExitStack() as started:
        started.enter_context(_only_one(directory))
        if not environment.get("DATABASE_URL"):
            postgres = Postgres.at(directory / "postgres", port=5432)
            await _start(started, postgres)
            environment["DATABASE_URL"] = postgres.dsn()
        if not environment.get("REDIS_URL") and redis_server() is None:
            echo("no redis-server on this machine: going on without the bell, rows come within a second")
        elif not environment.get("REDIS_URL"):
            redis = Redis.at(directory / "redis", port=6379)
            await _start(started, redis)
            environment["REDIS_URL"] = redis.url
        channels = wiring.channels()
        simulated = [name for name, webhook in wiring.webhooks().items() if not _configured(webhook, environment)]
        connectable = [name for name, channel in channels.items() if not _configured(channel, environment)]
        made = _development_secrets(directory / "secrets.json", environment)
        environment |= made
        await asyncio.to_thread(migrate, environment["DATABASE_URL"])
        running = Stack(
            directory,
            environment,
            free_port(int(environment.get("LANDFALL_HTTP_PORT") or 8080)),
            free_port(int(environment.get("LANDFALL_METRICS_PORT") or 9464)),
            free_port(),
            free_port(8090),
            simulated,
        )
        environment.setdefault("LANDFALL_PUBLIC_URL", running.url)
        running.api_key, running.password = await _let_in(directory / "secrets.json", environment["DATABASE_URL"])
        if simulated or connectable:
            seed = str(int(time.time()))  # the same ids with other words would be two worlds in one log
            command_ = ["sandbox", "--port", str(running.sandbox_port), "--seed", seed]
            _spawn(started, running, "sandbox", command_, {"PATH": environment.get("PATH", "")})
            await _ready(running, [f"{running.sandbox}/_sandbox/mail"])
            await _point(running, connectable)
        for name, command, port in (("web", "serve", running.metrics_port), ("worker", "work", running.worker_port)):
            ports = {"LANDFALL_HTTP_PORT": str(running.http_port), "LANDFALL_METRICS_PORT": str(port)}
            _spawn(started, running, name, [command], environment | ports)
        await _ready(
            running, [f"http://127.0.0.1:{port}/readyz" for port in (running.metrics_port, running.worker_port)]
        )
        await _connect(running)
        yield running


async def _let_in(made: Path, dsn: str) -> tuple[str, str]:
    """An API key and a password for whoever tries things here, made the first time."""
    kept = json.loads(made.read_text())  # noqa: ASYNC240  nothing else runs yet
    if "api key" not in kept:
        async with await open_pool(dsn, "keys", 1, role=APP_ROLE) as pool:
            kept["api key"] = await keys.create(pool, DEFAULT_TENANT, "make up", keys.SCOPES, store.COMMAND)
            kept["password key"] = secrets.token_urlsafe(12)
            await people.add(pool, DEFAULT_TENANT, PERSON, kept["password key"], "owner", store.COMMAND)
        made.write_text(json.dumps(kept, indent=2))  # noqa: ASYNC240
    return str(kept["api key"]), str(kept["password key"])


async def _point(running: Stack, connectable: list[str]) -> None:
    """Let accounts be connected in the sandbox, wherever nobody configured the real platform."""
    async with aiohttp.ClientSession() as http:
        client = Client(http, running.sandbox)
        platforms = (await client.world())["platforms"]
        for name in connectable:
            channel = wiring.channels()[name]
            running.environment[channel.base_url.name] = f"{running.sandbox}/{name}"
            known = (channel.client_id, channel.client_secret)
            for variable, value in zip(known, platforms[name]["application"], strict=True):
                if variable is not None:
                    running.environment.setdefault(variable.name, value)
            await client.wish("redirects", platform=name, redirect_uri=f"{running.url}/api/auth/{name}/callback")


def _spawn(
    started: AsyncExitStack, running: Stack, name: str, command: list[str], environment: Mapping[str, str]
) -> None:
    child = Server(running.directory / f"{name}.log")
    child.spawn([sys.executable, "-m", "ops.cli.main", *command], env=dict(environment))
    started.push_async_callback(asyncio.to_thread, child.end, signal.SIGTERM, GRACE_SECONDS)
    running.children[name] = child


def _configured(platform: Webhook | Channel, environment: Mapping[str, str]) -> bool:
    """Whether somebody gave one of a platform's variables; what is merely asked for beside them does not count."""
    beside = platform.optional_variable if isinstance(platform, Channel) else None
    named = [variable.name for variable in platform.variables if variable is not beside]
    return any(environment.get(name) or environment.get(f"{name}_FILE") for name in named)


async def _connect(running: Stack) -> None:
    """Enter our addresses and secrets in the simulated platforms' portals; their handshakes go first."""
    async with aiohttp.ClientSession() as http:
        client = Client(http, running.sandbox)
        for name in running.simulated:
            webhook = wiring.webhooks()[name]
            tokens = [running.environment[v.name] for v in webhook.others if v.name.endswith("VERIFY_TOKEN")]
            portals = [(name, ""), ("facebook", "instagram")] if name == "instagram" else [(name, "")]
            for (platform, stream), secret in zip(portals, webhook.signature.secrets, strict=False):
                await client.wish(
                    "webhooks",
                    platform=platform,
                    stream=stream,
                    url=f"{running.url}/api/webhooks/{name}",
                    secret=running.environment[secret.name],
                    verify_token=tokens[0] if tokens else None,
                    everybody=True,
                )


async def _start(started: AsyncExitStack, server: Postgres | Redis) -> None:
    try:
        await asyncio.to_thread(server.start)
    finally:
        started.push_async_callback(asyncio.to_thread, server.stop)


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Two runs on one folder would start two servers on one set of files."""
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(f"already running on {directory}; stop that one, or give --directory") from None
        yield


def _development_secrets(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Secrets made up once for whatever is not configured, so that nothing has to be switched off to try it."""
    made: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for webhook in wiring.webhooks().values():
        for variable in webhook.variables:
            made.setdefault(variable.name, secrets.token_hex(16))
    made.setdefault(VAULT_KEYS.name, new_key())
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=2))
    # An app has a client key that its events name, and the sandbox's is not one to make up.
    wanted = {name: value for name, value in made.items() if not name.endswith(("_KEY", " key"))}
    unset = {name: value for name, value in wanted.items() if not environment.get(name)}
    return {name: value for name, value in unset.items() if not environment.get(f"{name}_FILE")}


async def _ready(running: Stack, wanted: list[str], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < end:
            if name := running.died():
                raise running.children[name].failed(f"the {name} process")
            ready = 0
            for url in wanted:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(url) as response:
                        ready += response.status == 200
            if ready == len(wanted):
                return
            await asyncio.sleep(0.1)
    name = next(reversed(running.children))
    raise running.children[name].failed(f"the {name} process")
