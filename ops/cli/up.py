"""`landfall up`: start everything on this machine, and show webhooks becoming rows."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
import asyncpg
import click
from dotenv import dotenv_values
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text
from sqlalchemy import Table

from ops.cli import wiring
from ops.cli.demonstration import Demonstration
from ops.cli.sql import apart
from ops.cli.stack import HEADER, PERSON, Stack, Unusable, stack
from ops.cli.store import screen
from ops.cli.supervision import supervise
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.embedded import StartError
from ops.runtime.files import UnsafePathError
from ops.runtime.periodic import stopped
from ops.runtime.settings import ConfigurationError
from ops.runtime.text import visible
from ops.sandbox.client import Client
from schema.crm import crm_tables
from schema.preview import Preview, preview_of
from sync.projection.contract import Projection
from sync.projection.store import Batch, Claimed, key_names
from sync.projection.worker import project

LINE_SECONDS = 3.0
"""Without a terminal, one line this often."""

REFRESH_SECONDS = 0.5
NEWEST_EVENTS = 200
"""The rows that are shown are those that so many of the newest events name."""

READ_SECONDS = 2.0
"""A database that takes longer to read is shown as not answering."""

MESSAGES = 3
"""Lines for the newest messages, and for what is wrong with the database."""

INDENT = 10
"""Columns for the names of addresses."""

ROOMY = (120, 40)
"""Columns and lines from which on all addresses are kept in view, and not only those that are needed at once."""

DELIVERY_POLICY = {
    "batch_seconds": 0.2,
    "duplicated": 0.12,
    "delayed": 0.15,
    "delay_seconds": 10.0,
    "regrouped": 0.5,
    "forged": 0.03,
}
"""As unreliable as the real ones (``meta.md`` 1.3): duplicates, late and re-cut deliveries, and forgeries."""


@dataclass
class Seen:
    """What the tables held when they were last read, and what the sandbox had sent by then.

    ``rows`` are the numbers of rows by table.
    """

    counts: screen.Counts
    rows: dict[str, int]
    newest: dict[str, list[screen.Row]]
    refused: int
    at: datetime


async def _read_tables(connection: asyncpg.Connection, rows: int, refused: int) -> Seen:
    """Read the newest ``rows`` of each table."""
    counts = await screen.counts(connection)
    keys = named_rows(wiring.projections(), await screen.newest_events(connection, NEWEST_EVENTS))
    counted, newest = {}, {}
    for table, preview in previews():
        counted[table.name] = await screen.count_rows(connection, table)
        newest[table.name] = await screen.rows_of(connection, table, preview, keys.get(table, []), rows)
    return Seen(counts, counted, newest, refused, datetime.now().astimezone())


def previews() -> list[tuple[Table, Preview]]:
    """Return the tables that are shown, by name."""
    found = [(table, preview) for table in crm_tables() if (preview := preview_of(table)) is not None]
    return sorted(found, key=lambda shown: shown[0].name)


def named_rows(projections: Mapping[str, Projection], events: list[Claimed]) -> dict[Table, list[screen.Key]]:
    """Return the keys of the rows that these events name, by table, in the order of the events."""
    found: dict[Table, dict[screen.Key, None]] = {}
    for fact in project(projections, Batch(events)).facts:
        table, key = fact.upsert.table, fact.upsert.key
        found.setdefault(table, {})[fact.account_id, *(key[name] for name in key_names(table))] = None
    return {table: [*keys] for table, keys in found.items()}


def picture(
    seen: Seen | None,
    trouble: str,
    addresses: Mapping[str, Sequence[str]],
    hint: str,
    messages: Sequence[str],
    pace: float,
    size: tuple[int, int],
) -> Group:
    """Return what fits a terminal of ``size``, columns and lines. ``hint`` is the last line of the window."""
    width, height = size
    top = [line for name, pieces in addresses.items() for line in _folded(name, pieces, width)]
    said = [*([Text(trouble, style="bold red")] if trouble else ()), *(Text(line, style="yellow") for line in messages)]
    said = said[:MESSAGES]
    tables = [] if seen is None else _tables(seen, pace, width, table_rows(len(top), height))
    used = len(top) + sum(lines for _, lines in tables) + len(said)
    gap = [Text()] * max(0, height - used - 1)
    parts = [*top, *(table for table, _ in tables), *gap, *said, Text(hint, style="bold")]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


def table_rows(above: int, height: int) -> int:
    """Return how many rows of each table fit below ``above`` lines, beside counts, messages and hint."""
    return max(1, min(20, (height - above - 2 - MESSAGES - 1) // max(1, len(previews())) - 2))


def _folded(name: str, pieces: Sequence[str], width: int) -> list[Text]:
    """Return a name and its pieces on as many lines as they need; no piece is broken."""
    lines = [Text(f"{name:<{INDENT}}", style="bold")]
    for piece in pieces:
        if len(lines[-1]) > INDENT and len(lines[-1]) + 1 + len(piece) > width:
            lines.append(Text(" " * INDENT))
        lines[-1].append(f"{' ' if len(lines[-1]) > INDENT else ''}{piece}", style="not bold")
    return lines


def _tables(seen: Seen, pace: float, width: int, rows: int) -> list[tuple[Grid, int]]:
    """Return the counts and the tables, each with the number of its lines."""
    counts = seen.counts
    shown = {
        "deliveries": counts.deliveries,
        "events": counts.events,
        "duplicates": counts.duplicates,
        "refused": seen.refused,
        "projected": counts.projected,
        "waiting": counts.waiting,
        "lag": f"{counts.lag:.2f} s",
        "things/s": f"{pace:.0f}",
    }
    numbers = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in shown:
        numbers.add_column(name, justify="right", no_wrap=True)
    numbers.add_row(*(str(value) for value in shown.values()))
    parts = [(numbers, 2)]
    widest = {shown.name: preview.widest for shown, preview in previews()}
    for name, newest in seen.newest.items():
        table = Grid(
            title=f"{name} · {seen.rows[name]} rows, newest first",
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, 2, 0, 0),
            header_style="dim",
            width=width if widest[name] else None,
        )
        nothing = "the newest events are not in it yet" if seen.rows[name] else "nothing yet"
        for column in newest[0] if newest else (nothing,):
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if column == widest[name] else None)
        for row in newest[:rows]:
            table.add_row(*map(_cell, row.values()))
        parts.append((table, 2 + len(newest[:rows])))
    return parts


def _cell(value: object) -> Text:
    """Return a cell that shows its value as it is: nothing in it is markup."""
    return Text("" if value is None else visible(str(value)))


def _line(seen: Seen) -> str:
    counts = asdict(seen.counts) | seen.rows
    lag = counts.pop("lag")
    shown = "  ".join(f"{name} {value}" for name, value in counts.items())
    return f"{shown}  refused {seen.refused}  lag {lag:.2f} s"


class Screen:
    """Shows what happens while everything runs: a picture in a terminal, lines elsewhere."""

    def __init__(self, running: Stack, client: Client, pace: float) -> None:
        self._running = running
        self._client = client
        self._pace = pace
        self._console = Console(markup=False, emoji=False, highlight=False)
        self._messages: deque[str] = deque(maxlen=MESSAGES)
        self._connection: asyncpg.Connection | None = None
        self._seen: Seen | None = None
        self._failed_at: datetime | None = None

    def say(self, message: str) -> None:
        """Show what happened to a process, with the time."""
        line = f"{datetime.now().astimezone():%H:%M:%S}  {message}"
        self._messages.append(visible(line))
        if not self._console.is_terminal:
            echo(line)

    async def show(self, stop: asyncio.Event) -> None:
        """Show what the tables hold until told to stop. An error is shown, and the tables are read again."""
        if not self._console.is_terminal:
            while not stop.is_set():
                trouble = await self._read(3)
                echo(trouble or ("" if self._seen is None else _line(self._seen)))
                await stopped(stop, LINE_SECONDS)
        else:
            # The alternate screen is drawn whole: a window that is made smaller or larger leaves nothing behind.
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                while not stop.is_set():
                    trouble = await self._read(table_rows(0, self._console.size.height))
                    size = self._console.size
                    shown = picture(
                        self._seen,
                        trouble,
                        addresses(self._running, size),
                        hint(self._running),
                        self._newest(limit=MESSAGES - bool(trouble)),
                        self._pace,
                        size,
                    )
                    live.update(shown, refresh=True)
                    await stopped(stop, REFRESH_SECONDS)
            for line in self._messages:
                echo(line)
        if self._connection is not None:
            self._connection.terminate()

    def _newest(self, *, limit: int) -> list[str]:
        return list(self._messages)[-limit:]

    async def _read(self, rows: int) -> str:
        """Read the tables. Return why they cannot be read, "" where they were."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                if self._connection is None:
                    self._connection = await db.connect(self._running.dsn)
                refused = 0
                with suppress(aiohttp.ClientError, OSError):
                    refused = 0
                    if self._running.simulated:
                        refused = (await self._client.deliveries())["answers"].get("401", 0)
                self._seen = await _read_tables(self._connection, rows, refused)
        except Exception as error:  # noqa: BLE001  what is shown must not end what runs
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            self._failed_at = self._failed_at or datetime.now().astimezone()
            since = (datetime.now().astimezone() - self._failed_at).total_seconds()
            shown = "" if self._seen is None else f"; the tables are as of {self._seen.at:%H:%M:%S}"
            return f"PostgreSQL {_failing(error)} for {since:.0f} s{shown}"
        self._failed_at = None
        return ""


def _failing(error: Exception) -> str:
    """Return what PostgreSQL has done since it could last be read."""
    if isinstance(error, TimeoutError):
        return "has not answered"
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError):
        return "could not be reached"
    return f"could not be read ({db.describe(error)})"


def addresses(running: Stack, size: tuple[int, int]) -> dict[str, list[str]]:
    """Return what stays in view, in unbreakable pieces: all addresses where there is room, else those needed first."""
    processes = [f"{name} {part.server.pid}" for name, part in running.parts.items()]
    last = {"processes": [*(f"{each}," for each in processes[:-1]), *processes[-1:]]}
    if size[0] >= ROOMY[0] and size[1] >= ROOMY[1]:
        return {name: value.split("  ") for name, value in _announcement(running).items()} | last
    lines = {
        "pages": [f"{running.url}/connections"],
        "login": [PERSON, _password(running)],
        "sandbox": [f"{running.sandbox}/", "stands in for", ", ".join(running.stood_in)] if running.stood_in else [],
        "database": ["./landfall sql", "opens psql with a login that can only read"]
        if running.reader
        else ["that of DATABASE_URL"],  # it is not ours, and let no such login be made
    }
    return {name: pieces for name, pieces in lines.items() if pieces} | last


def hint(running: Stack) -> str:
    """Return what to try next."""
    comment = f"comment as a fan at {running.sandbox}/, " if running.stood_in else ""
    return f"Try: {comment}kill -9 a process; Ctrl-C ends"


def _password(running: Stack) -> str:
    return f"password {running.password}" if running.password else "with the password that you chose"


def _announce(running: Stack) -> None:
    for name, value in _announcement(running).items():
        echo(f"  {name:<{INDENT}}{value}")
    echo("  Ctrl-C stops everything; the data stays.")
    echo()


def _announcement(running: Stack) -> dict[str, str]:
    """Return all addresses, by name."""
    host = f"http://127.0.0.1:{running.metrics_port}"
    others = [name for name in running.stood_in if name not in running.simulated]
    stood = f"stands in for {', '.join(running.simulated)}" + (
        f"; for connecting accounts also for {', '.join(others)}" if others else ""
    )
    lines = {
        "webhooks": f"{running.url}/api/webhooks/PLATFORM  for {', '.join(wiring.webhooks())}",
        "sandbox": f"{running.sandbox}/  {stood}" if running.stood_in else "",
        "people": f"{running.url}/connections  as {PERSON}, {_password(running)}",
        "connect": f"curl -H @{shlex.quote(str(running.directory / HEADER))} {_connect_address(running)}",
        "health": f"{running.url}/readyz",
        "metrics": f"{host}/metrics  (web)   http://127.0.0.1:{running.worker_port}/metrics  (worker)",
        "database": _psql(running.dsn),
        "read only": f"{_psql(running.reader)}  or ./landfall sql" if running.reader else "",
        "logs": f"{running.directory}/web.log  worker.log  sandbox.log",
    }
    return {name: value for name, value in lines.items() if value}


def _connect_address(running: Stack) -> str:
    """Return an address at which an account can be connected, of the last simulated platform if there is any."""
    names = [name for name in (*wiring.webhooks(), *running.simulated) if name in wiring.oauth_providers()]
    return f"{running.url}/api/auth/{names[-1]}"


def _psql(dsn: str) -> str:
    """Return a line for the shell, with the password where others on the machine cannot read it: not in an argument."""
    address, password = apart(dsn)
    before = f"PGPASSWORD={shlex.quote(password)} " if password else ""
    return f"{before}psql {shlex.quote(address)}"


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    envvar="LANDFALL_DATA_DIR",
    show_envvar=True,
    default=".landfall",
    show_default=True,
    help="Where the servers keep their data.",
)
@click.option("--pace", default=20.0, show_default=True, type=click.FloatRange(0, 2000), help="Deliveries a second.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="Stop after so many seconds.")
def up_command(directory: Path, pace: float, seconds: float | None) -> None:
    """Start everything on this machine and watch signed webhooks become rows."""
    sys.exit(asyncio.run(up(directory.absolute(), pace, seconds)))


async def up(directory: Path, pace: float, seconds: float | None) -> int:
    """Run until Ctrl-C, SIGTERM, or the time is up. Return the exit code."""
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
                display = Screen(running, client, pace)
                if running.simulated:
                    await client.command("delivery-policy", **DELIVERY_POLICY)
                    await client.command("pace", pace=pace, platforms=running.simulated)
                tasks.create_task(display.show(stop))
                shown = Demonstration(running.url, running.api_key, running.sandbox, running.stood_in, display.say)
                tasks.create_task(shown.run(stop))
                for part in running.parts.values():
                    tasks.create_task(supervise(part, display.say, stop))
            echo("stopping …")
    except* (ConfigurationError, StartError, UnsafePathError, Unusable) as group:
        for line in ("", *str(group.exceptions[0]).split("\n")):
            echo(line, err=True)
        failed = True
    if failed:
        return 1
    echo(f"stopped; the data is kept in {directory}")
    return 0
