"""`landfall up`: everything on this machine, and the main job to be watched."""

import asyncio
import os
import shlex
import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import asyncpg
from dotenv import dotenv_values
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.cli import wiring
from ops.cli.stack import HEADER, PERSON, Stack, Unusable, stack
from ops.cli.supervision import stopped, supervise
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.embedded import StartError
from ops.runtime.files import UnsafePathError
from ops.runtime.settings import ConfigurationError
from ops.runtime.text import visible
from ops.sandbox.client import Client
from schema.reading import Unreadable, read_text
from sync.projection.contract import text

LINE_SECONDS = 3.0
"""Without a terminal, one line this often."""

LOOK_SECONDS = 0.5
READ_SECONDS = 2.0
"""A database that takes longer to say what is in the tables is said not to answer."""

SAID = 3
"""The newest messages that are kept in view."""

MANNERS = {
    "gather_seconds": 0.2,
    "twice": 0.12,
    "late": 0.15,
    "late_seconds": 10.0,
    "recut": 0.5,
    "forged": 0.03,
}
"""As unkind as the real ones (``meta.md`` 1.3): duplicates, late and re-cut deliveries, and strangers."""


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

# The newest events lead to their rows.
_NEWEST = {
    "ig_comments": """
        SELECT c.from_user AS "by", left(c.text, 200) AS "says", c.media_ig_id AS "on"
        FROM (SELECT account_id, payload_json->>'id' AS id FROM webhook_event_log
            WHERE event_type = 'comments' ORDER BY webhook_event_log.id DESC LIMIT $1 + 1) e
        JOIN ig_comments c ON c.account_id = e.account_id AND c.ig_id = e.id LIMIT $1""",
    "ig_media": """
        SELECT m.ig_id AS "media", m.media_product_type AS "product", m.placeholder,
            (SELECT count(*) FROM ig_comments c WHERE c.account_id = m.account_id AND c.media_ig_id = m.ig_id)
                AS comments
        FROM (SELECT DISTINCT ON (id) account_id, id, n FROM (
                SELECT account_id, payload_json->'media'->>'id' AS id, webhook_event_log.id AS n FROM webhook_event_log
                WHERE event_type = 'comments' ORDER BY webhook_event_log.id DESC LIMIT 4 * $1) x ORDER BY id, n DESC) e
        JOIN ig_media m ON m.account_id = e.account_id AND m.ig_id = e.id ORDER BY e.n DESC LIMIT $1""",
}

# What an event says of its publish is JSON inside a string, and need not be JSON at all: PostgreSQL never parses it.
_TIKTOK_EVENTS = """
SELECT account_id, payload_json->>'content' AS content FROM webhook_event_log
WHERE provider = 'tiktok' AND webhook_event_log.id > (SELECT coalesce(max(id), 0) - 200 FROM webhook_event_log)
ORDER BY webhook_event_log.id DESC
"""
_TIKTOK_POSTS = """
SELECT p.publish_id AS "publish", p.status,
    (SELECT count(*) FROM tiktok_post_ids i WHERE i.account_id = p.account_id
        AND i.publish_id = p.publish_id AND i.is_public) AS "public posts"
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS e (account_id, id, n)
JOIN tiktok_posts p ON p.account_id = e.account_id AND p.publish_id = e.id ORDER BY e.n LIMIT $3
"""


@dataclass
class Seen:
    """What the tables held when they were last read, and what the sandbox had sent by then."""

    counts: dict[str, Any]
    newest: dict[str, list[dict[str, Any]]]
    refused: int
    at: datetime


async def _look(connection: asyncpg.Connection, rows: int, refused: int) -> Seen:
    """Read the newest ``rows`` of each table."""
    counts = dict(await connection.fetchrow(_COUNTS))
    newest = {name: [dict(row) for row in await connection.fetch(query, rows)] for name, query in _NEWEST.items()}
    named = [(row["account_id"], _publish_id(row["content"])) for row in await connection.fetch(_TIKTOK_EVENTS)]
    publishes = list(dict.fromkeys((account, id_) for account, id_ in named if id_ is not None))
    columns = ([account for account, _ in publishes], [id_ for _, id_ in publishes])
    newest["tiktok_posts"] = [dict(row) for row in await connection.fetch(_TIKTOK_POSTS, *columns, rows)]
    return Seen(counts, newest, refused, datetime.now().astimezone())


def _publish_id(content: str | None) -> str | None:
    try:
        found = read_text(content or "")
    except Unreadable:
        return None
    return text(found.get("publish_id")) if isinstance(found, dict) else None


def _picture(
    seen: Seen | None,
    trouble: str,
    addresses: Mapping[str, str],
    said: Iterable[str],
    pace: float,
    size: tuple[int, int],
) -> Group:
    """What fits a terminal of ``size``, columns and lines."""
    width, height = size
    parts: list[RenderableType] = [_lines(addresses, width), Text()]
    if trouble:
        parts.append(Text(trouble, style="bold red", no_wrap=True, overflow="ellipsis"))
    if seen is not None:
        parts += _tables(seen, pace, width, _rows(height))
    parts += [Text(line, style="yellow", no_wrap=True, overflow="ellipsis") for line in said]
    return Group(*parts)


def _rows(height: int) -> int:
    """How many rows of each of the three tables fit below the addresses, beside the newest messages."""
    return max(1, min(20, (height - 9 - SAID) // 3 - 2))


def _lines(lines: Mapping[str, str], width: int) -> Text:
    shown = Text(no_wrap=True, overflow="ellipsis")
    for name, value in lines.items():
        line = Text(f"{name:<10}", style="bold") + Text(value)
        line.truncate(width, overflow="ellipsis")
        shown.append(line).append("\n")
    shown.rstrip()
    return shown


def _tables(seen: Seen, pace: float, width: int, rows: int) -> list[RenderableType]:
    counts = seen.counts
    shown = {
        "deliveries": counts["deliveries"],
        "events": counts["events"],
        "duplicates": counts["duplicates"],
        "refused": seen.refused,
        "projected": counts["projected"],
        "waiting": counts["waiting"],
        "lag": f"{counts['lag']:.2f} s",
        "things/s": f"{pace:.0f}",
    }
    numbers = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in shown:
        numbers.add_column(name, justify="right", no_wrap=True)
    numbers.add_row(*(str(value) for value in shown.values()))
    parts: list[RenderableType] = [numbers]
    for name, newest in seen.newest.items():
        table = Table(
            title=f"{name} · {counts[name]} rows, newest first",
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, 2, 0, 0),
            header_style="dim",
            width=width if name == "ig_comments" else None,
        )
        nothing = "the newest events are not in it yet" if counts[name] else "nothing yet"
        for column in newest[0] if newest else (nothing,):
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if column == "says" else None)
        for row in newest[:rows]:
            table.add_row(*map(_cell, row.values()))
        parts.append(table)
    return parts


def _cell(value: Any) -> Text:
    """A cell that shows its value as it is: nothing in it is markup."""
    return Text("" if value is None else visible(str(value)))


def _line(seen: Seen) -> str:
    shown = "  ".join(f"{name} {value}" for name, value in seen.counts.items() if name != "lag")
    return f"{shown}  refused {seen.refused}  lag {seen.counts['lag']:.2f} s"


class Screen:
    """What is shown while everything runs: a picture in a terminal, lines elsewhere."""

    def __init__(self, running: Stack, client: Client, pace: float) -> None:
        self._running = running
        self._client = client
        self._pace = pace
        self._console = Console(markup=False, emoji=False, highlight=False)
        self._said: deque[str] = deque(maxlen=SAID)
        self._connection: asyncpg.Connection | None = None
        self._seen: Seen | None = None
        self._failed_at: datetime | None = None

    def say(self, message: str) -> None:
        """Show what happened to a process, with the time."""
        line = f"{datetime.now().astimezone():%H:%M:%S}  {message}"
        self._said.append(visible(line))
        if not self._console.is_terminal:
            echo(line)

    async def show(self, stop: asyncio.Event) -> None:
        """Show what the tables hold until told to stop. What cannot be read is said, and read again."""
        if not self._console.is_terminal:
            while not stop.is_set():
                trouble = await self._read(3)
                echo(trouble or ("" if self._seen is None else _line(self._seen)))
                await stopped(stop, LINE_SECONDS)
        else:
            # The alternate screen is drawn whole: a window that is made smaller or larger leaves nothing behind.
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                while not stop.is_set():
                    size = self._console.size
                    trouble = await self._read(_rows(size.height))
                    addresses = _addresses(self._running)
                    picture = _picture(self._seen, trouble, addresses, self._said, self._pace, self._console.size)
                    live.update(picture, refresh=True)
                    await stopped(stop, LOOK_SECONDS)
            for line in self._said:
                echo(line)
        if self._connection is not None:
            self._connection.terminate()

    async def _read(self, rows: int) -> str:
        """Read the tables; what is the trouble where they cannot be read, "" where they were."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                if self._connection is None:
                    self._connection = await db.connect(self._running.dsn)
                refused = 0
                with suppress(aiohttp.ClientError, OSError):
                    refused = (await self._client.mail())["answers"].get("401", 0) if self._running.simulated else 0
                self._seen = await _look(self._connection, rows, refused)
        except Exception as error:  # noqa: BLE001  what is shown must not end what runs
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            self._failed_at = self._failed_at or datetime.now().astimezone()
            since = (datetime.now().astimezone() - self._failed_at).total_seconds()
            reason = "it does not answer" if isinstance(error, TimeoutError) else db.describe(error)
            shown = "" if self._seen is None else f"; below is what was in them at {self._seen.at:%H:%M:%S}"
            return f"PostgreSQL cannot be read for {since:.0f} s ({reason}){shown}"
        self._failed_at = None
        return ""


def _addresses(running: Stack) -> dict[str, str]:
    """What is kept in view."""
    processes = "  ".join(f"{name} {part.server.pid}" for name, part in running.parts.items())
    comment = f"comment as a fan at {running.sandbox}/, " if running.stood_in else ""
    tried = f"{comment}`kill -9` a process"
    lines = {
        "pages": f"{running.url}/connections",
        "login": f"{PERSON}  {_password(running)}",
        "sandbox": f"{running.sandbox}/  stands in for {len(running.stood_in)} platforms" if running.stood_in else "",
        "database": _psql(running.dsn),
        "processes": processes,
        "try": f"{tried}; Ctrl-C ends all",
    }
    return {name: value for name, value in lines.items() if value}


def _password(running: Stack) -> str:
    return f"password {running.password}" if running.password else "with the password that you chose"


def _announce(running: Stack) -> None:
    host = f"http://127.0.0.1:{running.metrics_port}"
    others = [name for name in running.stood_in if name not in running.simulated]
    stood = f"stands in for {', '.join(running.simulated)}" + (
        f"; for connecting accounts also for {', '.join(others)}" if others else ""
    )
    for name, value in (
        ("webhooks", f"{running.url}/api/webhooks/PLATFORM  for {', '.join(wiring.webhooks())}"),
        ("sandbox", f"{running.sandbox}/  {stood}" if running.stood_in else ""),
        ("people", f"{running.url}/connections  as {PERSON}, {_password(running)}"),
        ("connect", f"curl -H @{shlex.quote(str(running.directory / HEADER))} {running.url}/api/auth/tiktok"),
        ("health", f"{running.url}/readyz"),
        ("metrics", f"{host}/metrics  (web)   http://127.0.0.1:{running.worker_port}/metrics  (worker)"),
        ("database", _psql(running.dsn)),
        ("read only", _psql(running.reader) if running.reader else ""),
        ("logs", f"{running.directory}/web.log  worker.log  sandbox.log"),
    ):
        if value:
            echo(f"  {name:<10}{value}")
    echo("  Ctrl-C stops everything; the data stays.")
    echo()


def _psql(dsn: str) -> str:
    """A line for the shell, with the password where others on the machine cannot read it: not in an argument."""
    parts = urlsplit(dsn)
    login, at, place = parts.netloc.partition("@")
    user, _, password = login.partition(":") if at else ("", "", "")
    bare = urlunsplit(parts._replace(netloc=f"{user}{at}{place}")) if at else dsn
    before = f"PGPASSWORD={shlex.quote(unquote(password))} " if password else ""
    return f"{before}psql {shlex.quote(bare)}"


async def up(directory: Path, pace: float, seconds: float | None) -> int:
    """Run until Ctrl-C, SIGTERM, or the time is up; the exit code."""
    stop = wiring.stop_event()
    # A terminal that is closed sends this one: what was started must not stay behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.set)
    echo("starting PostgreSQL, Redis, the web process, the worker and the sandbox …")
    begun, failed = time.monotonic(), False
    environ = {name: value for name, value in dotenv_values(".env").items() if value} | dict(os.environ)
    try:
        async with stack(directory, environ) as running:
            echo(f"running after {time.monotonic() - begun:.1f} s")
            echo()
            _announce(running)
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            timeout = aiohttp.ClientTimeout(total=READ_SECONDS)
            async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as tasks:
                client = Client(http, running.sandbox)
                screen = Screen(running, client, pace)
                if running.simulated:
                    await client.wish("manners", **MANNERS)
                    await client.wish("pace", pace=pace, platforms=running.simulated)
                tasks.create_task(screen.show(stop))
                for part in running.parts.values():
                    tasks.create_task(supervise(part, screen.say, stop))
            echo("stopping …")
    except* (ConfigurationError, StartError, UnsafePathError, Unusable) as group:
        for line in ("", *str(group.exceptions[0]).split("\n")):
            echo(line, err=True)
        failed = True
    if failed:
        return 1
    echo(f"stopped; the data is kept in {directory}")
    return 0
