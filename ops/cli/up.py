"""`landfall up`: everything on this machine, and the main job to be watched.

Starts a PostgreSQL and a Redis of its own unless DATABASE_URL and REDIS_URL name others, migrates, starts the web
process and the worker exactly as `landfall serve` and `landfall work` would be, and sends them signed webhooks.
"""

import asyncio
import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import click
from dotenv import dotenv_values
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from ops.cli import wiring
from ops.cli.migrate import migrate
from ops.demo import World
from ops.runtime import db
from ops.runtime.embedded import Postgres, Redis, Server, StartError, free_port, redis_server

LINE_SECONDS = 3.0
"""Without a terminal, one line this often."""

GRACE_SECONDS = 15.0
IN_FLIGHT = 32


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
    children: dict[str, Server] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        return self.environment["DATABASE_URL"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

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
            print("no redis-server on this machine: going on without the bell, rows come within a second", flush=True)
        elif not environment.get("REDIS_URL"):
            redis = Redis.at(directory / "redis", port=6379)
            await _start(started, redis)
            environment["REDIS_URL"] = redis.url
        environment |= _development_secrets(directory / "secrets.json", environment)
        await asyncio.to_thread(migrate, environment["DATABASE_URL"])
        running = Stack(
            directory,
            environment,
            free_port(int(environment.get("LANDFALL_HTTP_PORT") or 8080)),
            free_port(int(environment.get("LANDFALL_METRICS_PORT") or 9464)),
            free_port(),
        )
        for name, command, port in (("web", "serve", running.metrics_port), ("worker", "work", running.worker_port)):
            child = Server(directory / f"{name}.log")
            child.spawn(
                [sys.executable, "-m", "ops.cli.main", command],
                env=environment | {"LANDFALL_HTTP_PORT": str(running.http_port), "LANDFALL_METRICS_PORT": str(port)},
            )
            started.push_async_callback(asyncio.to_thread, child.end, signal.SIGTERM, GRACE_SECONDS)
            running.children[name] = child
        await _ready(running)
        yield running


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
    for variable in wiring.variables():
        made.setdefault(variable.name, secrets.token_hex(16))
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=2))
    # An app has a client key that its events name, and the demonstration's is not the configured one.
    unset = {name: value for name, value in made.items() if not environment.get(name) and not name.endswith("_KEY")}
    return {name: value for name, value in unset.items() if not environment.get(f"{name}_FILE")}


async def _ready(running: Stack, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < end:
            if name := running.died():
                raise running.children[name].failed(f"the {name} process")
            ready = 0
            for port in (running.metrics_port, running.worker_port):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                        ready += response.status == 200
            if ready == 2:
                return
            await asyncio.sleep(0.1)
    raise running.children["web"].failed("the web process")


@dataclass
class Tally:
    """What the senders saw."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    unanswered: int = 0


async def send(running: Stack, world: World, pace: float, tally: Tally, stop: asyncio.Event) -> None:
    """Deliver what the world has to say, ``pace`` a second, a few at a time."""
    limit = asyncio.Semaphore(IN_FLIGHT)
    begun = time.monotonic()
    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as requests:
        while not stop.is_set():
            shipment = world.next()
            await limit.acquire()
            tally.sent += 1

            async def deliver(shipment: Any = shipment) -> None:
                try:
                    url = f"{running.url}/api/webhooks/{shipment.platform}"
                    async with client.post(url, data=shipment.body, headers=shipment.headers) as response:
                        tally.acknowledged += response.status == 200
                        tally.refused += response.status == 401
                        tally.unanswered += response.status not in (200, 401)
                except (aiohttp.ClientError, TimeoutError):
                    tally.unanswered += 1
                finally:
                    limit.release()

            requests.create_task(deliver())
            ahead = tally.sent / pace - (time.monotonic() - begun)
            if ahead > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), ahead)


_COUNTS = """
SELECT (SELECT count(*) FROM webhook_deliveries) AS deliveries,
    (SELECT coalesce(sum(event_count - new_event_count), 0) FROM webhook_deliveries)::bigint AS duplicates,
    (SELECT count(*) FROM webhook_event_log) AS events,
    (SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done') AS projected,
    (SELECT count(*) FROM webhook_event_queue) AS waiting,
    (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM webhook_event_queue
        WHERE due_at <= now()) AS lag,
    (SELECT count(*) FROM ig_comments) AS ig_comments, (SELECT count(*) FROM ig_media) AS ig_media,
    (SELECT count(*) FROM tiktok_posts) AS tiktok_posts
"""

# The newest events lead to their rows; the rows themselves hold no time of ours.
_NEWEST = {
    "ig_comments": """
        SELECT c.author_username AS "by", left(c.text, 42) AS "says", c.media_id AS "on"
        FROM (SELECT account_id, payload_json->>'id' AS id FROM webhook_event_log
            WHERE event_type = 'comments' ORDER BY webhook_event_log.id DESC LIMIT 4) e
        JOIN ig_comments c ON c.account_id = e.account_id AND c.external_id = e.id LIMIT 3""",
    "ig_media": """
        SELECT m.external_id AS "media", m.media_product_type AS "product", m.placeholder,
            (SELECT count(*) FROM ig_comments c WHERE c.account_id = m.account_id AND c.media_id = m.external_id)
                AS comments
        FROM (SELECT DISTINCT ON (id) account_id, id, n FROM (
                SELECT account_id, payload_json->'media'->>'id' AS id, webhook_event_log.id AS n FROM webhook_event_log
                WHERE event_type = 'comments' ORDER BY webhook_event_log.id DESC LIMIT 12) x ORDER BY id, n DESC) e
        JOIN ig_media m ON m.account_id = e.account_id AND m.external_id = e.id ORDER BY e.n DESC LIMIT 3""",
    "tiktok_posts": """
        SELECT p.external_id AS "publish", p.status,
            (SELECT count(*) FROM tiktok_post_ids i WHERE i.account_id = p.account_id
                AND i.publish_id = p.external_id AND i.is_public) AS "public posts"
        FROM (SELECT account_id, (payload_json->>'content')::jsonb->>'publish_id' AS id, max(webhook_event_log.id) AS n
            FROM webhook_event_log WHERE provider = 'tiktok' AND webhook_event_log.id > (
                SELECT coalesce(max(id), 0) - 200 FROM webhook_event_log) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 3) e
        JOIN tiktok_posts p ON p.account_id = e.account_id AND p.external_id = e.id ORDER BY e.n DESC""",
}


async def _look(connection: asyncpg.Connection) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    counts = dict(await connection.fetchrow(_COUNTS))
    newest = {name: [dict(row) for row in await connection.fetch(query)] for name, query in _NEWEST.items()}
    return counts, newest


def _picture(counts: dict[str, Any], newest: dict[str, list[dict[str, Any]]], tally: Tally, pace: float) -> Group:
    numbers = Table(title="the log", title_justify="left", expand=False)
    shown = {
        "deliveries": counts["deliveries"],
        "events": counts["events"],
        "duplicates": counts["duplicates"],
        "refused": tally.refused,
        "projected": counts["projected"],
        "waiting": counts["waiting"],
        "lag": f"{counts['lag']:.2f} s",
        "sent/s": f"{pace:.0f}",
    }
    for name in shown:
        numbers.add_column(name, justify="right")
    numbers.add_row(*(str(value) for value in shown.values()))
    tables = [numbers]
    for name, rows in newest.items():
        table = Table(title=f"{name} · {counts[name]} rows, newest", title_justify="left", expand=False)
        for column in rows[0] if rows else ("nothing yet",):
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(value) if value is not None else "" for value in row.values()))
        tables.append(table)
    return Group(*tables)


async def _show(running: Stack, tally: Tally, pace: float, stop: asyncio.Event) -> None:
    console = Console()
    connection = await db.connect(running.dsn)
    try:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=4, transient=False) as live:
                while not stop.is_set():
                    live.update(_picture(*await _look(connection), tally, pace))
                    await _pause(stop, 0.5)
        while not stop.is_set():
            counts, _ = await _look(connection)
            line = "  ".join(f"{name} {value}" for name, value in counts.items() if name != "lag")
            print(f"{line}  refused {tally.refused}  lag {counts['lag']:.2f} s", flush=True)
            await _pause(stop, LINE_SECONDS)
    finally:
        await connection.close()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _watch(running: Stack, stop: asyncio.Event) -> None:
    while not stop.is_set():
        if name := running.died():
            raise running.children[name].failed(f"the {name} process ended; it")
        await _pause(stop, 0.5)


def _announce(running: Stack) -> None:
    host = f"http://127.0.0.1:{running.metrics_port}"
    for name, value in (
        ("webhooks", f"{running.url}/api/webhooks/instagram  and  /tiktok"),
        ("health", f"{running.url}/readyz"),
        ("metrics", f"{host}/metrics  (web)   http://127.0.0.1:{running.worker_port}/metrics  (worker)"),
        ("database", f"psql '{running.dsn}'"),
        ("logs", f"{running.directory}/web.log  worker.log"),
    ):
        print(f"  {name:<10}{value}", flush=True)
    print("  Ctrl-C stops everything; the data stays.\n", flush=True)


async def up(directory: Path, pace: float, seconds: float | None) -> int:
    """Run until Ctrl-C, SIGTERM, or the time is up; the exit code."""
    stop = wiring.stop_event()
    print("starting PostgreSQL, Redis, the web process and the worker …", flush=True)
    begun, failed = time.monotonic(), False
    environ = {name: value for name, value in dotenv_values(".env").items() if value} | dict(os.environ)
    try:
        async with stack(directory, environ) as running:
            print(f"running after {time.monotonic() - begun:.1f} s\n", flush=True)
            _announce(running)
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            signing = {
                name: next(iter(running.environment[v.name].split(",")))
                for name, webhook in wiring.webhooks().items()
                for v in webhook.signature.secrets[:1]
            }
            world, tally = World(signing, seed=int(time.time())), Tally()
            async with asyncio.TaskGroup() as tasks:
                if pace > 0:
                    tasks.create_task(send(running, world, pace, tally, stop))
                tasks.create_task(_show(running, tally, pace, stop))
                tasks.create_task(_watch(running, stop))
            print("stopping …", flush=True)
    except* (StartError, Unusable) as group:
        print(f"\n{group.exceptions[0]}", file=sys.stderr, flush=True)
        failed = True
    if failed:
        return 1
    print(f"stopped; the data is kept in {directory}", flush=True)
    return 0
