"""`landfall up`: everything on this machine, and the main job to be watched."""

import asyncio
import os
import shlex
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import asyncpg
from dotenv import dotenv_values
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ops.cli import wiring
from ops.cli.stack import HEADER, PERSON, Stack, Unusable, stack
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.embedded import StartError
from ops.runtime.files import UnsafePathError
from ops.runtime.text import visible
from ops.sandbox.client import Client
from schema.reading import Unreadable, read_text
from sync.contract import text

LINE_SECONDS = 3.0
"""Without a terminal, one line this often."""

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
}

# What an event says of its publish is JSON inside a string, and need not be JSON at all: PostgreSQL never parses it.
_TIKTOK_EVENTS = """
SELECT account_id, payload_json->>'content' AS content FROM webhook_event_log
WHERE provider = 'tiktok' AND webhook_event_log.id > (SELECT coalesce(max(id), 0) - 200 FROM webhook_event_log)
ORDER BY webhook_event_log.id DESC
"""
_TIKTOK_POSTS = """
SELECT p.external_id AS "publish", p.status,
    (SELECT count(*) FROM tiktok_post_ids i WHERE i.account_id = p.account_id
        AND i.publish_id = p.external_id AND i.is_public) AS "public posts"
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS e (account_id, id, n)
JOIN tiktok_posts p ON p.account_id = e.account_id AND p.external_id = e.id ORDER BY e.n LIMIT 3
"""


async def _look(connection: asyncpg.Connection) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    counts = dict(await connection.fetchrow(_COUNTS))
    newest = {name: [dict(row) for row in await connection.fetch(query)] for name, query in _NEWEST.items()}
    named = [(row["account_id"], _publish_id(row["content"])) for row in await connection.fetch(_TIKTOK_EVENTS)]
    publishes = list(dict.fromkeys((account, id_) for account, id_ in named if id_ is not None))
    columns = ([account for account, _ in publishes], [id_ for _, id_ in publishes])
    newest["tiktok_posts"] = [dict(row) for row in await connection.fetch(_TIKTOK_POSTS, *columns)]
    return counts, newest


def _publish_id(content: str | None) -> str | None:
    try:
        found = read_text(content or "")
    except Unreadable:
        return None
    return text(found.get("publish_id")) if isinstance(found, dict) else None


def _picture(
    counts: dict[str, Any], newest: dict[str, list[dict[str, Any]]], mail: dict[str, Any], pace: float
) -> Group:
    numbers = Table(title="the log", title_justify="left", expand=False)
    shown = {
        "deliveries": counts["deliveries"],
        "events": counts["events"],
        "duplicates": counts["duplicates"],
        "refused": mail["answers"].get("401", 0),
        "projected": counts["projected"],
        "waiting": counts["waiting"],
        "lag": f"{counts['lag']:.2f} s",
        "things/s": f"{pace:.0f}",
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
            table.add_row(*map(_cell, row.values()))
        tables.append(table)
    return Group(*tables)


def _cell(value: Any) -> Text:
    """A cell that shows its value as it is: nothing in it is markup."""
    return Text("" if value is None else visible(str(value)))


def _line(counts: Mapping[str, Any], mail: Mapping[str, Any]) -> str:
    shown = "  ".join(f"{name} {value}" for name, value in counts.items() if name != "lag")
    return f"{shown}  refused {mail['answers'].get('401', 0)}  lag {counts['lag']:.2f} s"


async def _show(running: Stack, client: Client, pace: float, stop: asyncio.Event) -> None:
    """Show what the tables hold until told to stop. What cannot be read is said, and read again."""
    console = Console(markup=False, emoji=False, highlight=False)
    connection: asyncpg.Connection | None = None
    mail: dict[str, Any] = {"answers": {}}
    terminal = Live(console=console, refresh_per_second=4) if console.is_terminal else None
    with terminal or nullcontext():
        while not stop.is_set():
            shown: Group | Text
            try:
                connection = connection or await db.connect(running.dsn)
                counts, newest = await _look(connection)
                mail = await client.mail() if running.simulated else mail
                shown = _picture(counts, newest, mail, pace) if terminal else Text(_line(counts, mail))
            except Exception as error:  # noqa: BLE001  what is shown must not end what runs
                shown = Text(f"the tables cannot be read ({db.describe(error)}); they are read again")
                if connection is not None:
                    connection.terminate()
                    connection = None
            if terminal:
                terminal.update(shown)
            else:
                echo(str(shown))
            await _pause(stop, 0.5 if terminal else LINE_SECONDS)
    if connection is not None:
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
        (
            "sandbox",
            f"{running.sandbox}/  stands in for {' and '.join(running.simulated)}" if running.simulated else "",
        ),
        ("people", f"{running.url}/connections  as {PERSON}, password {running.password}"),
        ("connect", f"curl -H @{shlex.quote(str(running.directory / HEADER))} {running.url}/api/auth/tiktok"),
        ("health", f"{running.url}/readyz"),
        ("metrics", f"{host}/metrics  (web)   http://127.0.0.1:{running.worker_port}/metrics  (worker)"),
        ("database", _psql(running.dsn)),
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
            async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
                client = Client(http, running.sandbox)
                if running.simulated:
                    await client.wish("manners", **MANNERS)
                    await client.wish("pace", pace=pace, platforms=running.simulated)
                tasks.create_task(_show(running, client, pace, stop))
                tasks.create_task(_watch(running, stop))
            echo("stopping …")
    except* (StartError, UnsafePathError, Unusable) as group:
        for line in ("", *str(group.exceptions[0]).split("\n")):
            echo(line, err=True)
        failed = True
    if failed:
        return 1
    echo(f"stopped; the data is kept in {directory}")
    return 0
