"""Everything on this machine, as `landfall up` and the acceptance tests want it.

Starts a PostgreSQL and a Redis of its own unless DATABASE_URL and REDIS_URL name others, migrates, starts the web
process and the worker exactly as `landfall serve` and `landfall work` would be, and the sandbox in the place of every
platform that has no credentials.
"""

import asyncio
import fcntl
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import click

from ingest.contract import Portal, Webhook
from ingest.spool import SpoolError, look
from ops.access import api_keys, users
from ops.access.audit_log_store import COMMAND
from ops.cli import logins, wiring
from ops.cli.db import reasons_against
from ops.cli.migrate import migrate
from ops.cli.store import development
from ops.cli.supervision import Part
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, Redis, Server, StartError, free_port, redis_server
from ops.runtime.files import append_private, private_folder, read_private, write_private
from ops.runtime.settings import Configuration, Settings
from ops.sandbox.client import Client, CommandRejected
from ops.sandbox.state import UnreadableStateError, unseal_state
from publish.connections.disconnect import DEAUTHORIZE, DELETION
from publish.oauth.contract import OAuthProvider
from publish.vault.envelope import VAULT_KEYS, new_key
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT

GRACE_SECONDS = 15.0
PERSON = "you@landfall.example"
KEY = "make up"
"""The name of its API key, or how that begins."""

CREDENTIALS = "databases"
LOGINS = "logins"

HEADER = "api-key.header"
"""A file with that key as curl takes it: in an argument everybody on the machine could read it."""


class Unusable(click.ClickException):
    """Nothing can run before a person mends something; the message says what."""


@dataclass
class Stack:
    """What runs: addresses for people, child processes, and the settings of both."""

    directory: Path
    environment: dict[str, str]
    http_port: int
    metrics_port: int
    worker_port: int
    sandbox_port: int
    simulated: list[str]
    """The platforms whose webhooks nobody configured."""
    stood_in: list[str]
    """The platforms that the sandbox stands in for: for their webhooks, for connecting accounts, or both."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """What `serve` and `work` have in place of DATABASE_URL, which is the owner's; nothing where they share that."""
    reader: str = ""
    """The address of the database for whoever looks into the tables by SQL; empty where no login could be made."""
    attended: int = subprocess.DEVNULL
    """The standard input of our own processes; see ``ops.cli.attended``."""
    api_key: str = ""
    password: str = ""
    parts: dict[str, Part] = field(default_factory=dict)
    """The processes, by name, and how each is started again."""

    @property
    def dsn(self) -> str:
        return self.environment["DATABASE_URL"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def add(self, part: Part) -> None:
        self.parts[part.name] = part

    def died(self) -> Part | None:
        """Return a process that has ended, None while all run."""
        return next((part for part in self.parts.values() if not part.server.running), None)


@asynccontextmanager
async def stack(directory: Path, environ: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Start everything, and stop what was started, in the opposite order.

    Raises Unusable, StartError, ConfigurationError.
    """
    environment = dict(environ)
    # Said now, in a sentence, and not by processes that do not start.
    Configuration.load(wiring.variables(), {"DATABASE_URL": "postgresql://"} | environment)
    postgres = Postgres.at(directory / "postgres")
    _prepare_folder(directory, postgres.group)
    servers: dict[str, Postgres | Redis] = {}
    async with AsyncExitStack() as started:
        started.enter_context(_lock(directory))
        ports = Ports(directory, environment)
        if environment.get("DATABASE_URL"):
            await _require_trial_database(environment["DATABASE_URL"], _read_secrets(directory))
        else:
            await _start_postgres(started, postgres, ports)
            servers["PostgreSQL"] = postgres
            environment["DATABASE_URL"] = postgres.dsn()
        if not environment.get("REDIS_URL") and redis_server() is None:
            echo(
                "no Valkey or Redis server on this machine: nothing is lost without it, but a row comes up to a second "
                "after its event, not within milliseconds"
            )
        elif not environment.get("REDIS_URL"):
            redis = Redis.at(directory / "redis", port=6379)
            await _start(started, redis)
            servers["Redis"] = redis
            environment["REDIS_URL"] = redis.url
        providers = wiring.oauth_providers()
        simulated = [name for name, webhook in wiring.webhooks().items() if not _configured(webhook, environment)]
        connectable = [name for name, provider in providers.items() if not _configured(provider, environment)]
        made = _development_secrets(directory, environment)
        environment |= made
        await asyncio.to_thread(migrate, environment["DATABASE_URL"])
        own_logins = await _logins(directory, environment["DATABASE_URL"])
        running = Stack(
            directory,
            environment,
            ports.choose("http", 8080, "LANDFALL_HTTP_PORT"),
            ports.choose("metrics", 9464, "LANDFALL_METRICS_PORT"),
            ports.choose("worker"),
            ports.choose("sandbox", 8090),
            simulated,
            [*dict.fromkeys([*simulated, *connectable])],
            own_logins,
            own_logins.get("read", ""),
            started.enter_context(_pipe()),
        )
        for name, server in servers.items():
            running.add(Part(name, server, _start_again(server)))
        environment.setdefault("LANDFALL_PUBLIC_URL", running.url)
        environment |= await asyncio.to_thread(_folders_of_ours, directory) | environment
        running.api_key, running.password = await _credentials(
            directory, environment["DATABASE_URL"], environ.get("DATABASE_URL") or "of its own"
        )
        if simulated or connectable:
            await _start_sandbox(started, running)
            await _use_sandbox(running, connectable)
            if len(connectable) == len(providers):
                # Nobody real is asked too often, and whoever tries things sees within minutes what came of it.
                environment.setdefault("LANDFALL_CHECK_MINUTES", "2")
        for name, command, port in (("web", "serve", running.metrics_port), ("worker", "work", running.worker_port)):
            own = {"LANDFALL_HTTP_PORT": str(running.http_port), "LANDFALL_METRICS_PORT": str(port)}
            if dsn := running.logins.get(command):
                own |= {"DATABASE_URL": dsn, "LANDFALL_DATABASE_ROLE": ""}  # also where .env names one
            _spawn(started, running, name, [command], environment | own, f"http://127.0.0.1:{port}/readyz")
        await _ready(running)
        await _register(running, connectable)
        ports.keep(
            postgresql=postgres.port,
            http=running.http_port,
            metrics=running.metrics_port,
            worker=running.worker_port,
            sandbox=running.sandbox_port,
        )
        own = {
            "LANDFALL_HTTP_PORT": str(running.http_port),
            "LANDFALL_METRICS_PORT": str(running.metrics_port),
        } | ({"LANDFALL_READER_URL": running.reader} if running.reader else {})
        started.enter_context(_settings_for_commands(directory, environment | own))
        yield running


class Ports:
    """Chooses the ports of this folder's last run again, so that addresses stay the same where they can."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._path = directory / "ports.json"
        self._environment = environment
        with suppress(ValueError, TypeError):
            self._last = {str(name): int(port) for name, port in json.loads(read_private(self._path) or b"{}").items()}
            return
        self._last = {}

    def choose(self, name: str, usual: int = 0, variable: str = "") -> int:
        """Return a free port: the one that ``variable`` names, the last run's, the usual one, or else another.

        Says so where the port that was asked for is taken.
        """
        wanted = int(self._environment.get(variable) or 0)
        port = free_port(wanted or self._last.get(name, usual))
        if wanted and port != wanted:
            echo(f"port {wanted} of {variable} is taken by another program: {port} is used instead")
        return port

    def keep(self, **ports: int) -> None:
        write_private(
            self._path, json.dumps(self._last | {name: port for name, port in ports.items() if port}).encode()
        )


@contextmanager
def _settings_for_commands(directory: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Keep the settings of the processes in a file for a shell while they run: ``./landfall`` reads it."""
    path = directory / "environment"
    named = [*(name.upper() for name in Settings.model_fields), *(variable.name for variable in wiring.variables())]
    known = sorted(name for given in named for name in (given, f"{given}_FILE") if environment.get(name))
    lines = [f"{name}={shlex.quote(environment[name])}\n" for name in known]
    write_private(path, "".join(lines).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


async def _start_sandbox(started: AsyncExitStack, running: Stack) -> None:
    """Start the sandbox, on another port where another account takes the usual one meanwhile. Raises StartError."""
    state = running.directory / "sandbox.state"
    try:
        unseal_state(read_private(state) or b"")
    except UnreadableStateError:
        if state.exists():
            echo("the sandbox's accounts are of another release and begin anew: connect them again")
            state.unlink()
    seed = str(int(time.time()))  # the same ids with other words would be two simulations in one log
    for port in (running.sandbox_port, 0):
        running.sandbox_port = free_port(port)
        command = ["sandbox", "--port", str(running.sandbox_port), "--seed", seed, "--state", str(state)]
        environment = {"PATH": running.environment.get("PATH", "")}
        _spawn(started, running, "sandbox", command, environment, f"{running.sandbox}/_sandbox/deliveries")
        try:
            await _ready(running)
        except StartError:
            if port == 0 or running.parts["sandbox"].server.running:
                raise
        else:
            return


async def _require_trial_database(dsn: str, kept: Mapping[str, Any]) -> None:
    """Raise Unusable for a database that may be somebody's: what is put into one here cannot be taken out again."""
    reasons = await reasons_against(dsn) or await _reasons_in_use(dsn, kept)
    if reasons:
        raise Unusable(
            "`make up` puts an owner, an API key and made-up events into its database, and the one of DATABASE_URL is "
            f"not one to try things in: {'; '.join(reasons)}. Unset DATABASE_URL (look into .env too) and it brings a "
            "database of its own; to run Landfall on this one, use `landfall migrate`, `serve` and `work`."
        )


async def _reasons_in_use(dsn: str, kept: Mapping[str, Any]) -> list[str]:
    """Return what speaks against filling a database of ours with made-up events: it is in use, not from this folder."""
    connection = await db.connect(dsn)
    try:
        used = await development.used_tables(connection)
        made = dsn in kept.get(CREDENTIALS, {}) and await development.has_key_named_like(connection, KEY)
    finally:
        await connection.close()
    if not used or made:
        return []
    return [f"it is in use: {', '.join(used)} hold something, and `make up` did not put it there from this folder"]


async def _credentials(directory: Path, dsn: str, database: str) -> tuple[str, str]:
    """Return an API key and a password for whoever tries things here; make each where there is none that works.

    The password is empty where the person chose another one.
    """
    kept = _read_secrets(directory)
    known = kept.setdefault(CREDENTIALS, {}).setdefault(database, {})
    async with await open_pool(dsn, "keys", 1, role=APP_ROLE) as pool:
        made = await api_keys.list_keys(pool, DEFAULT_TENANT)
        # One of an earlier release may lack a scope.
        whole = {key.name for key in made if key.revoked_at is None and {*key.scopes} >= {*api_keys.SCOPES}}
        if "key" not in known or known.setdefault("name", KEY) not in whole:
            # A name is never free again; this one may be taken where secrets.json was lost.
            names, taken = chain([KEY], (f"{KEY} {number}" for number in count(2))), {key.name for key in made}
            known["name"] = next(name for name in names if name not in taken)
            known["key"] = await api_keys.create(pool, DEFAULT_TENANT, known["name"], api_keys.SCOPES, COMMAND)
            _write_secrets(directory, kept)
        works = await users.check_password(pool, PERSON, known.get("password", ""))
        if works is None or (works is False and "password" not in known):
            # Made here for whoever sits at this machine, and printed at each start: nobody else chose it, and it stays.
            known["password"], works = secrets.token_urlsafe(12), True
            await users.add(pool, DEFAULT_TENANT, PERSON, known["password"], "owner", COMMAND)
            _write_secrets(directory, kept)
    write_private(directory / HEADER, f"Authorization: Bearer {known['key']}\n".encode())
    return known["key"], known["password"] if works else ""


async def _logins(directory: Path, dsn: str) -> dict[str, str]:
    """Return the addresses at which `serve`, `work` and readers log in, each as itself; none where none can be made."""
    kept = _read_secrets(directory)
    known = kept.setdefault(LOGINS, {})
    found = {}
    connection = await db.connect(dsn)
    try:
        # Logins are the whole server's: another database there, of another `make up`, has others.
        database = await development.database_name(connection)
        for process in logins.LOGINS:
            name = f"{database}_{process}"
            password = known.setdefault(name, secrets.token_urlsafe(24))
            _write_secrets(directory, kept)
            await logins.make(connection, process, name, password)
            found[process] = logins.address(dsn, name, password)
            await (await db.connect(found[process])).close()
    except (click.ClickException, OSError, asyncpg.PostgresError) as error:
        why = error.message if isinstance(error, click.ClickException) else db.describe(error)
        echo(
            "the web process and the worker share the login of DATABASE_URL, and act as roles of less; there is no "
            f"read-only login: {why}"
        )
        return {}
    finally:
        await connection.close()
    return found


def _read_secrets(directory: Path) -> dict[str, Any]:
    """Return the secrets that were made up here, under :data:`CREDENTIALS` by database, and passwords of logins under
    :data:`LOGINS`. Raises Unusable.
    """
    path = directory / "secrets.json"
    try:
        found = json.loads(read_private(path) or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unusable(f"{path} cannot be read: `make clean` removes it, with all that was tried here")
    return found


def _write_secrets(directory: Path, made: Mapping[str, Any]) -> None:
    write_private(directory / "secrets.json", json.dumps(made, indent=2).encode())


async def _use_sandbox(running: Stack, connectable: list[str]) -> None:
    """Point each platform that nobody configured at the sandbox, so that accounts can be connected there."""
    async with aiohttp.ClientSession() as http:
        client = Client(http, running.sandbox)
        platforms = (await client.state())["platforms"]
        for name in connectable:
            provider = wiring.oauth_providers()[name]
            running.environment[provider.base_url.name] = f"{running.sandbox}/{name}"
            known = (provider.client_id, provider.client_secret)
            for variable, value in zip(known, platforms[name]["application"], strict=True):
                if variable is not None:
                    running.environment.setdefault(variable.name, value)
            await _use_product(running, client, name, provider)
            await client.command("redirects", platform=name, redirect_uri=f"{running.url}/api/auth/{name}/callback")


async def _use_product(running: Stack, client: Client, name: str, provider: OAuthProvider) -> None:
    """Let the application at a platform with products have one, so that all that can be connected is."""
    if provider.product_variable is None:
        return
    product = running.environment.get(provider.product_variable.name) or next(iter(provider.products))
    running.environment[provider.product_variable.name] = product
    if product in provider.products:  # what is none is told when somebody connects
        await client.command("variants", platform=name, name="product", variant=product)


def _spawn(
    started: AsyncExitStack, running: Stack, name: str, command: list[str], environment: Mapping[str, str], url: str
) -> None:
    child, own = Server(running.directory / f"{name}.log"), dict(environment)

    def start() -> None:
        child.spawn([sys.executable, "-m", "ops.cli.attended", *command], env=own, stdin=running.attended)

    start()
    started.push_async_callback(asyncio.to_thread, child.end, signal.SIGTERM, GRACE_SECONDS)
    running.add(Part(name, child, start, url))


def _configured(platform: Webhook | OAuthProvider, environment: Mapping[str, str]) -> bool:
    """Return whether somebody set one of a platform's variables; what only adds to others does not count."""
    oauth = platform if isinstance(platform, OAuthProvider) else None
    beside = () if oauth is None else (oauth.optional_variable, oauth.product_variable, oauth.verified_variable)
    named = [variable.name for variable in platform.variables if variable not in beside]
    return any(environment.get(name) or environment.get(f"{name}_FILE") for name in named)


REGISTER_AGAIN_SECONDS = 2.0


async def _register(running: Stack, connectable: list[str]) -> None:
    """Register our addresses and secrets in the simulated platforms' portals; their handshakes go first."""
    async with aiohttp.ClientSession() as http:
        client = Client(http, running.sandbox)
        for name in running.simulated:
            webhook = wiring.webhooks()[name]
            tokens = [running.environment[v.name] for v in webhook.others if v.name.endswith("VERIFY_TOKEN")]
            portals = (Portal(name), *webhook.other_portals)
            for (platform, stream), secret in zip(portals, webhook.signature.secrets, strict=False):
                register = partial(
                    client.command,
                    "webhooks",
                    platform=platform,
                    stream=stream,
                    url=f"{running.url}/api/webhooks/{name}",
                    secret=running.environment[secret.name],
                    verify_token=tokens[0] if tokens else None,
                    all_accounts=True,
                )
                try:
                    await register()
                except CommandRejected:  # on a busy machine the handshake may come too late
                    await asyncio.sleep(REGISTER_AGAIN_SECONDS)
                    await register()
        for name in connectable:
            if wiring.oauth_providers()[name].signs_requests_with:
                for stream in (DEAUTHORIZE, DELETION):
                    url = f"{running.url}/api/auth/{name}/{stream}"
                    await client.command("webhooks", platform=name, stream=stream, url=url)


async def _start_postgres(started: AsyncExitStack, postgres: Postgres, ports: Ports) -> None:
    await asyncio.to_thread(postgres.end_leftover)  # it has the port that is to be chosen again
    postgres.port = ports.choose("postgresql", 5432)
    await _start(started, postgres)


async def _start(started: AsyncExitStack, server: Postgres | Redis) -> None:
    try:
        await asyncio.to_thread(server.start)
    finally:
        started.push_async_callback(asyncio.to_thread, server.stop)


def _start_again(server: Postgres | Redis) -> Callable[[], None]:
    """Start a server where it was: the other processes know its address."""
    port = server.port

    def start() -> None:
        server.port = port
        server.start()
        if server.port != port:
            server.stop()
            raise StartError(f"port {port} is taken by another program now")

    return start


def _prepare_folder(directory: Path, group: int | None) -> None:
    """Make the folder that holds everything, for this account alone. Raises Unusable, UnsafePathError."""
    if directory.is_dir() and not (directory / "lock").exists() and any(directory.iterdir()):
        raise Unusable(
            f"{directory} holds other files: give a --directory (LANDFALL_DATA_DIR) that is for Landfall alone"
        )
    private_folder(directory, group)


@contextmanager
def _pipe() -> Iterator[int]:
    """Yield a file descriptor that can be read, to its end, once this process has ended or the context is left."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(write)
        os.close(read)


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold the lock of a folder: two runs on one would start two servers on one set of files. Raises Unusable."""
    with append_private(directory / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(f"already running on {directory}; stop that one, or give --directory") from None
        yield


def _development_secrets(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return secrets for whatever is not configured, made up once, so that nothing has to be switched off to try it."""
    made = _read_secrets(directory)
    for webhook in wiring.webhooks().values():
        for variable in webhook.variables:
            made.setdefault(variable.name, secrets.token_hex(16))
    made.setdefault(VAULT_KEYS.name, new_key())
    _write_secrets(directory, made)
    # An app has a client key that its events name, and the sandbox's is not one to make up.
    wanted = {name: str(made[name]) for name in made.keys() - {CREDENTIALS, LOGINS} if not name.endswith("_KEY")}
    unset = {name: value for name, value in wanted.items() if not environment.get(name)}
    return {name: value for name, value in unset.items() if not environment.get(f"{name}_FILE")}


def _folders_of_ours(directory: Path) -> dict[str, str]:
    """Return where deliveries and files are kept, unless somebody says otherwise."""
    return {
        "LANDFALL_SPOOL_DIR": _spool_of_ours(directory / "spool"),
        "LANDFALL_MEDIA_URL": (directory / "media").absolute().as_uri(),
    }


def _spool_of_ours(directory: Path, seconds: float = 20.0) -> str:
    """Return the folder of the spool. The web process of a run that was killed holds it until it has ended, too."""
    end = time.monotonic() + seconds
    with suppress(SpoolError):
        while look(directory).holder and time.monotonic() < end:
            time.sleep(0.05)
    return str(directory)


async def _ready(running: Stack, seconds: float = 30.0) -> None:
    """Wait until every process is ready. Raises StartError."""
    end = time.monotonic() + seconds
    waiting = list(running.parts.values())
    while time.monotonic() < end:
        if part := running.died():
            raise part.server.failed(f"the {part.name} process")
        waiting = [part for part in waiting if not await part.ready()]
        if not waiting:
            return
        await asyncio.sleep(0.1)
    raise waiting[0].server.failed(f"the {waiting[0].name} process")
