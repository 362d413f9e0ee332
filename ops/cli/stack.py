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
from itertools import chain, count
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import click

from ingest.contract import Webhook
from ops.cli import wiring
from ops.cli.db import strangeness
from ops.cli.migrate import migrate
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, Redis, Server, StartError, free_port, redis_server
from ops.runtime.files import append_private, private_folder, read_private, write_private
from ops.sandbox.client import Client
from publish import keys, people, store
from publish.contract import VAULT_KEYS, Channel
from publish.vault import new_key
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT

GRACE_SECONDS = 15.0
PERSON = "you@landfall.example"
KEY = "make up"
"""The name of its API key, or how that begins."""

LET_IN = "databases"

HEADER = "api-key.header"
"""A file with that key as curl takes it: in an argument everybody on the machine could read it."""


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
    environment = dict(environ)
    postgres = Postgres.at(directory / "postgres", port=5432)
    _take(directory, postgres.group)
    async with AsyncExitStack() as started:
        started.enter_context(_only_one(directory))
        if environment.get("DATABASE_URL"):
            await _insist_for_trying(environment["DATABASE_URL"], _kept(directory))
        else:
            await _start(started, postgres)
            environment["DATABASE_URL"] = postgres.dsn()
        if not environment.get("REDIS_URL") and redis_server() is None:
            echo("no Valkey or Redis server on this machine: going on without the bell, rows come within a second")
        elif not environment.get("REDIS_URL"):
            redis = Redis.at(directory / "redis", port=6379)
            await _start(started, redis)
            environment["REDIS_URL"] = redis.url
        channels = wiring.channels()
        simulated = [name for name, webhook in wiring.webhooks().items() if not _configured(webhook, environment)]
        connectable = [name for name, channel in channels.items() if not _configured(channel, environment)]
        made = _development_secrets(directory, environment)
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
        running.api_key, running.password = await _let_in(
            directory, environment["DATABASE_URL"], environ.get("DATABASE_URL") or "of its own"
        )
        if simulated or connectable:
            await _start_sandbox(started, running)
            await _point(running, connectable)
        for name, command, port in (("web", "serve", running.metrics_port), ("worker", "work", running.worker_port)):
            ports = {"LANDFALL_HTTP_PORT": str(running.http_port), "LANDFALL_METRICS_PORT": str(port)}
            _spawn(started, running, name, [command], environment | ports)
        await _ready(
            running, [f"http://127.0.0.1:{port}/readyz" for port in (running.metrics_port, running.worker_port)]
        )
        await _connect(running)
        yield running


async def _start_sandbox(started: AsyncExitStack, running: Stack) -> None:
    """Raises StartError. Another account may take the usual port while the sandbox starts: then it gets another one."""
    seed = str(int(time.time()))  # the same ids with other words would be two worlds in one log
    for port in (running.sandbox_port, 0):
        running.sandbox_port = free_port(port)
        command = ["sandbox", "--port", str(running.sandbox_port), "--seed", seed]
        _spawn(started, running, "sandbox", command, {"PATH": running.environment.get("PATH", "")})
        try:
            await _ready(running, [f"{running.sandbox}/_sandbox/mail"])
        except StartError:
            if port == 0 or running.died() is None:
                raise
        else:
            return


async def _insist_for_trying(dsn: str, kept: Mapping[str, Any]) -> None:
    """Raises Unusable for a database that may be somebody's: what is put into one here cannot be taken out again."""
    reasons = await strangeness(dsn) or await _usage(dsn, kept)
    if reasons:
        raise Unusable(
            "`make up` puts an owner, an API key and made-up events into its database, and the one of DATABASE_URL is "
            f"not one to try things in: {'; '.join(reasons)}. Unset DATABASE_URL (look into .env too) and it brings a "
            "database of its own; to run Landfall on this one, use `landfall migrate`, `serve` and `work`."
        )


async def _usage(dsn: str, kept: Mapping[str, Any]) -> list[str]:
    """What speaks against filling a database of ours with made-up things: it was used, and not from this folder."""
    connection = await db.connect(dsn)
    try:
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        tables = ("webhook_deliveries", "webhook_event_log", "users", "api_keys", "connections")
        used = [table for table in tables if await _holds(connection, table)]
        made = dsn in kept.get(LET_IN, {}) and await _holds(connection, "api_keys", f"WHERE name LIKE '{KEY}%'")
    finally:
        await connection.close()
    if not used or made:
        return []
    return [f"it is in use: {', '.join(used)} hold something, and `make up` did not put it there from this folder"]


async def _holds(connection: asyncpg.Connection, table: str, where: str = "") -> bool:
    if await connection.fetchval("SELECT to_regclass($1) IS NULL", table):
        return False
    return bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table} {where})"))


async def _let_in(directory: Path, dsn: str, database: str) -> tuple[str, str]:
    """An API key and a password for whoever tries things here, made the first time with a ``database``."""
    kept = _kept(directory)
    known = kept.setdefault(LET_IN, {})
    async with await open_pool(dsn, "keys", 1, role=APP_ROLE) as pool:
        names = {row["name"] for row in await keys.listed(pool, DEFAULT_TENANT)}
        if database not in known or not any(name.startswith(KEY) for name in names):
            # A name is never free again; this one may be taken where secrets.json was lost.
            name = next(name for name in chain([KEY], (f"{KEY} {number}" for number in count(2))) if name not in names)
            key = await keys.create(pool, DEFAULT_TENANT, name, keys.SCOPES, store.COMMAND)
            password = secrets.token_urlsafe(12)
            # Made here for whoever sits at this machine, and printed at each start: nobody else chose it, and it stays.
            await people.add(pool, DEFAULT_TENANT, PERSON, password, "owner", store.COMMAND)
            known[database] = {"key": key, "password": password}
            _keep(directory, kept)
    found = known[database]
    write_private(directory / HEADER, f"Authorization: Bearer {found['key']}\n".encode())
    return found["key"], found["password"]


def _kept(directory: Path) -> dict[str, Any]:
    """The secrets that were made up here, and under :data:`LET_IN` those of each database. Raises Unusable."""
    path = directory / "secrets.json"
    try:
        found = json.loads(read_private(path) or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unusable(f"{path} cannot be read: `make clean` removes it, with all that was tried here")
    return found


def _keep(directory: Path, made: Mapping[str, Any]) -> None:
    write_private(directory / "secrets.json", json.dumps(made, indent=2).encode())


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


def _take(directory: Path, group: int | None) -> None:
    """Make the folder that everything is in, for this account alone. Raises Unusable, UnsafePathError."""
    if directory.is_dir() and not (directory / "lock").exists() and any(directory.iterdir()):
        raise Unusable(
            f"{directory} holds other files: give a --directory (LANDFALL_DATA_DIR) that is for Landfall alone"
        )
    private_folder(directory, group)


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Two runs on one folder would start two servers on one set of files."""
    with append_private(directory / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(f"already running on {directory}; stop that one, or give --directory") from None
        yield


def _development_secrets(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Secrets made up once for whatever is not configured, so that nothing has to be switched off to try it."""
    made = _kept(directory)
    for webhook in wiring.webhooks().values():
        for variable in webhook.variables:
            made.setdefault(variable.name, secrets.token_hex(16))
    made.setdefault(VAULT_KEYS.name, new_key())
    _keep(directory, made)
    # An app has a client key that its events name, and the sandbox's is not one to make up.
    wanted = {name: str(made[name]) for name in made.keys() - {LET_IN} if not name.endswith("_KEY")}
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
