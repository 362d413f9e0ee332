"""What tests share: signing as the platforms document it, real processes, and waiting with an end."""

import asyncio
import hashlib
import hmac
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn, cast, get_args

import aiohttp
import asyncpg
import click
import pytest

from ops.cli.main import main
from ops.runtime.embedded import Postgres, Redis, Server, free_port
from ops.runtime.files import append_private
from ops.runtime.responses import Code
from tests import fork_server

INSTAGRAM_SECRET = "ig-secret-canary-7f3a"
META_SECRET = "meta-secret-canary-91bc"
TIKTOK_SECRET = "tt-secret-canary-55de"
VERIFY_TOKEN = "verify-canary-0c2e"
CANARIES = (INSTAGRAM_SECRET, META_SECRET, TIKTOK_SECRET, VERIFY_TOKEN)

ENVIRONMENT = {
    "INSTAGRAM_APP_SECRET": INSTAGRAM_SECRET,
    "META_APP_SECRET": META_SECRET,
    "META_VERIFY_TOKEN": VERIFY_TOKEN,
    "TIKTOK_CLIENT_SECRET": TIKTOK_SECRET,
}
VARIABLES = {
    "INSTAGRAM_APP_SECRET": (INSTAGRAM_SECRET,),
    "META_APP_SECRET": (META_SECRET,),
    "INSTAGRAM_VERIFY_TOKEN": (),
    "META_VERIFY_TOKEN": (VERIFY_TOKEN,),
    "TIKTOK_CLIENT_SECRET": (TIKTOK_SECRET,),
    "TIKTOK_CLIENT_KEY": (),
}


def is_error(content: Any) -> bool:
    """Whether this is exactly what every failed request is answered with: the user's design, section 3."""
    if not isinstance(content, dict) or set(content) != {"error"}:
        return False
    error = content["error"]
    return (
        set(error) == {"code", "message", "details", "retryable", "userMessage"}
        and error["code"] in get_args(Code)
        and all(isinstance(error[name], str) and error[name] for name in ("message", "userMessage"))
        and error["message"].rstrip(".").lower() in error["userMessage"].lower()
        and isinstance(error["details"], dict)
        and bool(error["details"]["remedy"])
        and isinstance(error["retryable"], bool)
    )


_BREAKER, _PASSWORD = "breaker", secrets.token_urlsafe(16)


def breakable_redis(directory: Path, **settings: str) -> Redis:
    """With a second login, which may do what Landfall's may not: fill it, flush it, take a snapshot."""
    return Redis.at(directory, settings={f"user {_BREAKER}": f"on >{_PASSWORD} ~* +@all", **settings})


def copy_of(stopped: Postgres, directory: Path, **settings: str) -> Postgres:
    """A stopped cluster once more, with its databases and passwords, in a folder that is not there yet."""
    subprocess.run(["cp", "-a", stopped.directory, directory], check=True)
    return Postgres.at(directory, settings=settings)


def breaking(server: Redis, database: int = 0) -> str:
    """The URL of that login."""
    return server.address(_BREAKER, _PASSWORD, database)


class NotRunError(Exception):
    """A test needs something that this machine does not have; the message says what."""


def program(name: str, packages: str) -> Path:
    """The path of a program. Raises NotRunError, with the Debian packages that have it."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))
    found = shutil.which(name, path=places)
    if found is None:
        raise NotRunError(f"{name} is not there: apt-get install {packages}")
    return Path(found)


def required_program(name: str, packages: str) -> Path:
    """The path of a program. Without it the test is skipped at a developer's, and fails in CI (where ``CI`` is set)."""
    try:
        return program(name, packages)
    except NotRunError as error:
        not_checked(str(error), fails_in_ci=True)


def not_checked(why: str, *, fails_in_ci: bool = False) -> NoReturn:
    """Leave a test out, and say why: it is about another account, or another system, than this one."""
    message = f"NOT CHECKED: {why}"
    if fails_in_ci and os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def sign_meta(body: bytes, secret: str = META_SECRET) -> dict[str, str]:
    """``X-Hub-Signature-256`` as ``meta.md`` 1.2 has it."""
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def sign_tiktok(body: bytes, at: float | None = None, secret: str = TIKTOK_SECRET) -> dict[str, str]:
    """``TikTok-Signature`` as ``tiktok.md`` 2.2 has it; ``at`` is unix seconds, now if not given."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"TikTok-Signature": f"t={stamp},s={digest}"}


SIGN: dict[str, Callable[[bytes], dict[str, str]]] = {"instagram": sign_meta, "tiktok": sign_tiktok}


def comment(number: int, *, account: str = "17841400000000001", text: str = "hello", **value: Any) -> dict[str, Any]:
    """One documented comment notification, as an entry."""
    media = {"id": f"1790{number % 7:04d}", "media_product_type": "FEED"}
    author = {"id": f"77{number % 11}", "username": f"user{number % 11}"}
    body = {"id": f"1785{number:08d}", "text": text, "from": author, "media": media} | value
    return {"id": account, "time": 1_760_000_000 + number, "changes": [{"field": "comments", "value": body}]}


def instagram(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"object": "instagram", "entry": list(entries)}).encode()


def tiktok(event: str, content: dict[str, Any], *, at: int = 1_760_000_000, account: str = "-000person") -> bytes:
    """One documented TikTok event; ``content`` is serialised into a string, as the platform does."""
    return json.dumps(
        {
            "client_key": "awkey",
            "event": event,
            "create_time": at,
            "user_openid": account,
            "content": json.dumps(content),
        }
    ).encode()


async def eventually(check: Callable[[], Awaitable[Any]], seconds: float = 30.0, every: float = 0.05) -> Any:
    """The first true answer of ``check``; fails with its last one when the time is up."""
    end = time.monotonic() + seconds
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        await asyncio.sleep(every)


async def command(database: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a `landfall` command from nowhere in particular; its exit code, and all that it says."""
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": database} | ENVIRONMENT | environment
    with TemporaryFile() as written:
        both = {"stdout": written.fileno(), "stderr": written.fileno()}
        child = fork_server.start(*arguments, environment=variables, **both)
        code = await child.wait()
        written.seek(0)
        output = written.read().decode()
    assert "Traceback" not in output, output
    return code, output


def commands() -> dict[str, click.Command]:
    """Every `landfall` command by its words, those of groups included."""

    def below(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None, name
            if isinstance(found, click.Group):
                yield from below(found, (*words, name))
            else:
                yield " ".join((*words, name)), found

    return dict(below(main, ()))


OF_A_PROGRAM = {"LD_PRELOAD", "PYTHONPROFILEIMPORTTIME"}
"""Variables for the system or the interpreter: a process that was forked would not read them."""


@dataclass
class Process:
    """A `landfall` command as a process of its own; its output goes to a file.

    `make up` is started as a person starts it, and so is what has a variable of ``OF_A_PROGRAM``.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    descriptors: tuple[int, int] | None = None
    """Its soft and its hard limit of open files, where they are not this process's."""
    child: asyncio.subprocess.Process | fork_server.Forked | None = None

    async def start(self) -> "Process":
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.log.parent), **self.environment}
        folder = self.log.parent  # no .env of ours, no .landfall of ours
        with self.log.open("ab") as output:
            if self.arguments[0] == "up" or environment.keys() & OF_A_PROGRAM:
                self.child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "ops.cli.main", *self.arguments),
                    env=environment,
                    cwd=folder,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            else:
                self.child = fork_server.start(
                    *self.arguments,
                    environment=environment,
                    directory=folder,
                    stdout=output.fileno(),
                    stderr=output.fileno(),
                    new_session=True,
                    descriptors=self.descriptors,
                )
        return self

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.returncode is None

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self.child is not None:
            await self.child.wait()

    async def terminate(self, seconds: float = 20.0) -> int:
        """SIGTERM, and its exit code."""
        assert self.child is not None
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(seconds):
            return await self.child.wait()

    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class ForkedChild:
    """A fork as ``subprocess.Popen`` has it, as far as a Server asks."""

    forked: fork_server.Forked

    @property
    def pid(self) -> int:
        return self.forked.pid

    @property
    def returncode(self) -> int | None:
        return self.forked.returncode

    def poll(self) -> int | None:
        return self.forked.returncode

    def wait(self, seconds: float) -> int:
        code = self.forked.returncode_within(seconds)
        if code is None:
            raise subprocess.TimeoutExpired("landfall", seconds)
        return code


class ForkedServer(Server):
    """A process of the stack of `make up` as a fork of the one that has imported the program."""

    def spawn(self, command: list[str], **options: Any) -> None:
        assert command[:3] == [sys.executable, "-m", "ops.cli.attended"]
        with append_private(self.log) as output:
            forked = fork_server.start(
                *command[3:],
                environment=options["env"],
                directory=Path.cwd(),
                stdout=output.fileno(),
                stderr=output.fileno(),
                new_session=True,
                umask=0o077,
            )
        self.process = cast("subprocess.Popen[bytes]", ForkedChild(forked))


@dataclass
class Service:
    """`landfall serve` and `landfall work` against one database, and a client that talks to them."""

    database: str
    redis_url: str | None
    directory: Path
    extra: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    web_metrics: int = field(default_factory=free_port)
    work_metrics: int = field(default_factory=free_port)
    web: Process = field(init=False)
    worker: Process = field(init=False)
    client: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        shared = {
            **ENVIRONMENT,
            "DATABASE_URL": self.database,
            "LANDFALL_HTTP_PORT": str(self.port),
            **self.extra,
        }
        if self.redis_url is not None:
            shared["REDIS_URL"] = self.redis_url
        self.web = self._process("serve", shared, self.web_metrics)
        self.worker = self._process("work", shared, self.work_metrics)

    def _process(self, command: str, shared: dict[str, str], metrics_port: int) -> Process:
        environment = {**shared, "LANDFALL_METRICS_PORT": str(metrics_port)}
        return Process((command,), environment, self.directory / f"{command}.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *, worker: bool = True) -> None:
        self.client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        await self.web.start()
        if worker:
            await self.worker.start()
            await eventually(self.at_work)
        await eventually(self.answering)

    async def at_work(self) -> bool:
        """The worker's internal port answers."""
        try:
            return bool(await self.metrics(self.work_metrics))
        except aiohttp.ClientError:
            return False

    async def answering(self, path: str = "/healthz") -> bool:
        assert self.web.running, self.web.output()[-3000:]
        try:
            async with self.client.get(self.url + path) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self) -> None:
        await self.client.close()
        await self.web.kill()
        await self.worker.kill()

    async def send(
        self, platform: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """POST a delivery, signed unless headers are given; the status and the JSON answer."""
        headers = SIGN[platform](body) if headers is None else headers
        url = f"{self.url}/api/webhooks/{platform}"
        async with self.client.post(url, data=io.BytesIO(body), headers=headers) as response:
            return response.status, await response.json()

    async def metrics(self, port: int | None = None) -> dict[str, float]:
        """Every sample of a process, by its full name with labels."""
        async with self.client.get(f"http://127.0.0.1:{port or self.web_metrics}/metrics") as response:
            lines = (await response.text()).splitlines()
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


async def drained(connection: asyncpg.Connection, seconds: float = 30.0) -> None:
    """Wait until nothing waits: no delivery to be split, no event to be projected."""

    async def empty() -> bool:
        return not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM webhook_delivery_queue) OR EXISTS (SELECT FROM webhook_event_queue)"
        )

    await eventually(empty, seconds)


async def split_into(connection: asyncpg.Connection, answer: dict[str, Any]) -> tuple[int, int]:
    """Wait until a delivery is split, by its answer; return how many events were in it, and how many were new."""
    query = "SELECT event_count, new_event_count FROM webhook_delivery_outcomes WHERE delivery_id = $1::uuid"

    async def split() -> bool:
        return await connection.fetchrow(query, answer["delivery"]) is not None

    await eventually(split, 20)
    events, new = await connection.fetchrow(query, answer["delivery"])
    return events, new


async def rows(connection: asyncpg.Connection, table: str) -> list[dict[str, Any]]:
    """A table whole, in a fixed order."""
    return [dict(row) for row in await connection.fetch(f'SELECT * FROM {table} ORDER BY {table}::text COLLATE "C"')]


async def crm(connection: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    """Every CRM table: what must be equal, byte for byte, whatever happened on the way."""
    from schema.crm import crm_tables

    return {table.name: await rows(connection, table.name) for table in crm_tables()}


async def crm_of_any_log(connection: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    """The same without the log's own times: what is equal where the same events were received at other times."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in ("created_at", "updated_at")} for row in found
        ]
        for table, found in (await crm(connection)).items()
    }


async def append_event(connection: asyncpg.Connection, account: str, external_id: str, **event: Any) -> int:
    """Append one event and queue it, without a delivery; its id."""
    from schema.events import bucket_of, identity_of

    provider = event.get("provider", "instagram")
    return await connection.fetchval(
        """
        WITH named AS (
            INSERT INTO webhook_event_identities (bucket, identity, event_id) VALUES ($7, $8, next_event_id(now()))
            RETURNING event_id
        ), added AS (
            INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
                payload_json, occurred_at, sanitized)
            SELECT event_id, $7, $1, $2, $3, $4, 1, $5::jsonb, $6, false FROM named
        ), queued AS (
            INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT $7, $1, event_id FROM named
        )
        SELECT event_id FROM named
        """,
        account,
        provider,
        event.get("type", "comments"),
        external_id,
        json.dumps(event.get("payload", {})),
        event.get("occurred_at"),
        bucket_of(provider, account),
        identity_of(provider, account, external_id),
    )
