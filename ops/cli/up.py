"""`landfall up`: everything on this machine, and the main job to be watched."""

import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from dotenv import dotenv_values
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from ops.cli import wiring
from ops.cli.stack import PERSON, Stack, Unusable, stack
from ops.runtime import db
from ops.runtime.embedded import StartError
from ops.sandbox.client import Client

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
            table.add_row(*(str(value) if value is not None else "" for value in row.values()))
        tables.append(table)
    return Group(*tables)


async def _show(running: Stack, client: Client, pace: float, stop: asyncio.Event) -> None:
    console = Console()
    connection = await db.connect(running.dsn)
    mail: dict[str, Any] = {"answers": {}}
    try:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=4, transient=False) as live:
                while not stop.is_set():
                    mail = await client.mail() if running.simulated else mail
                    live.update(_picture(*await _look(connection), mail, pace))
                    await _pause(stop, 0.5)
        while not stop.is_set():
            counts, _ = await _look(connection)
            mail = await client.mail() if running.simulated else mail
            line = "  ".join(f"{name} {value}" for name, value in counts.items() if name != "lag")
            print(f"{line}  refused {mail['answers'].get('401', 0)}  lag {counts['lag']:.2f} s", flush=True)
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
        (
            "sandbox",
            f"{running.sandbox}/  stands in for {' and '.join(running.simulated)}" if running.simulated else "",
        ),
        ("people", f"{running.url}/connections  as {PERSON}, password {running.password}"),
        ("connect", f"curl -H 'Authorization: Bearer {running.api_key}' {running.url}/api/auth/tiktok"),
        ("health", f"{running.url}/readyz"),
        ("metrics", f"{host}/metrics  (web)   http://127.0.0.1:{running.worker_port}/metrics  (worker)"),
        ("database", f"psql '{running.dsn}'"),
        ("logs", f"{running.directory}/web.log  worker.log  sandbox.log"),
    ):
        if value:
            print(f"  {name:<10}{value}", flush=True)
    print("  Ctrl-C stops everything; the data stays.\n", flush=True)


async def up(directory: Path, pace: float, seconds: float | None) -> int:
    """Run until Ctrl-C, SIGTERM, or the time is up; the exit code."""
    stop = wiring.stop_event()
    print("starting PostgreSQL, Redis, the web process, the worker and the sandbox …", flush=True)
    begun, failed = time.monotonic(), False
    environ = {name: value for name, value in dotenv_values(".env").items() if value} | dict(os.environ)
    try:
        async with stack(directory, environ) as running:
            print(f"running after {time.monotonic() - begun:.1f} s\n", flush=True)
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
            print("stopping …", flush=True)
    except* (StartError, Unusable) as group:
        print(f"\n{group.exceptions[0]}", file=sys.stderr, flush=True)
        failed = True
    if failed:
        return 1
    print(f"stopped; the data is kept in {directory}", flush=True)
    return 0
