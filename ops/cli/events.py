"""`landfall events`: look at the log, and release events that are parked."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import asyncpg
import click

from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.event_states import ON_THE_QUEUE, SETTLED, State
from schema.rights import APP_ROLE
from sync.events import release, store
from sync.events.release import ChoiceError, Followed
from sync.events.store import Filter

SHOWN_TROUBLES = 20
"""Of more events than that which failed again, only the first are named."""

_EVENT_ID = click.IntRange(1, 2**63 - 1)

_RESULTS = {
    "waiting": "still waiting",
    "failed": "failed again, and will be tried again",
    State.DONE: "done: its rows are written",
    State.IGNORED: "ignored: nothing reads its type",
}
"""What became of an event that was put back; any other state has it ``again``."""

F = TypeVar("F", bound=Callable[..., object])

_FILTERS = [
    click.option("--state", type=click.Choice([*ON_THE_QUEUE, *(state.value for state in SETTLED)])),
    click.option("--platform"),
    click.option("--type", "event_type"),
    click.option("--account"),
    click.option("--delivery", type=click.UUID, help="Only events first carried by this delivery."),
]


def filters(command: F) -> F:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def events() -> None:
    """Look at the log, and release events that are parked."""


@asynccontextmanager
async def _connected(configuration: Configuration) -> AsyncIterator[asyncpg.Connection]:
    settings = configuration.settings
    connection = await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))
    try:
        yield connection
    finally:
        await connection.close()


@events.command("list")
@filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@options.json_lines
def events_list(*, limit: int, as_json: bool, **chosen: Any) -> None:
    """List the newest events first."""
    wiring.run(show_list(wiring.load(), Filter(**chosen), limit, as_json=as_json))


async def show_list(configuration: Configuration, chosen: Filter, limit: int, *, as_json: bool) -> None:
    """Print the newest events that fit."""
    async with _connected(configuration) as connection:
        found = await store.listed(connection, chosen, limit)
    if as_json:
        for event in found:
            echo_json(asdict(event))
        return
    for event in found:
        line = f"{event.id:>8}  {event.created_at:%m-%d %H:%M:%S}  {event.state:<8} {event.provider:<10} "
        echo(f"{line}{event.event_type:<40} {event.account_id:<20} {event.error_message or ''}".rstrip())
    if not found:
        echo("no events fit", err=True)


@events.command("show")
@click.argument("event_id", type=_EVENT_ID)
@options.json_document
def events_show(event_id: int, *, as_json: bool) -> None:
    """Show one event, its payload, and the delivery that brought it."""
    wiring.run(show_one(wiring.load(), event_id, as_json=as_json))


async def show_one(configuration: Configuration, event_id: int, *, as_json: bool) -> None:
    """Print one event whole. Raises ClickException where there is none."""
    async with _connected(configuration) as connection:
        event = await store.shown(connection, event_id)
    if event is None:
        raise click.ClickException(f"there is no event {event_id}; `landfall events list` shows the newest")
    shown = asdict(event)
    if as_json:
        echo_json(shown)
        return
    for name, value in shown.items():
        if isinstance(value, dict | list):
            first, *rest = json.dumps(value, indent=2, default=str).split("\n")
        else:
            first, rest = str(value), []
        echo(f"{name:>15}: {first}")
        for line in rest:
            echo(" " * 17 + line)


@events.command("retry")
@click.argument("event_ids", type=_EVENT_ID, nargs=-1)
@filters
@click.option("--yes", is_flag=True, help="Do not ask before changing more than one event.")
@click.option(
    "--wait",
    "seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    help="Seconds to wait for the worker; 0 to put them back only.",
)
def events_retry(event_ids: tuple[int, ...], *, yes: bool, seconds: float, **chosen: Any) -> None:
    """Put events back on the queue, and say what became of them.

    By id, or all that fit the filters (parked ones unless --state says other).
    """
    wiring.run(retry(wiring.load(), Filter(event_ids, **chosen), yes=yes, seconds=seconds))


async def retry(configuration: Configuration, chosen: Filter, *, yes: bool, seconds: float = 0.0) -> None:
    """Put events back, and print what a worker made of them within so many seconds. Raises UsageError."""
    chosen = _checked(chosen)
    async with _connected(configuration) as connection:
        count = await _confirmed(connection, chosen, yes=yes)
        released = await release.retry(connection, chosen)
        _say_changed(len(released), count, "put back on the queue")
        if released and seconds:
            _say_followed(await release.follow(connection, released, seconds), len(released), seconds)


@events.command("ignore")
@click.argument("event_ids", type=_EVENT_ID, nargs=-1)
@filters
@click.option("--reason", required=True, help="Why; it stands beside the event from then on.")
@click.option("--yes", is_flag=True, help="Do not ask before changing more than one event.")
def events_ignore(event_ids: tuple[int, ...], *, reason: str, yes: bool, **chosen: Any) -> None:
    """Decide that parked or dead events need no more work. They stay in the log."""
    wiring.run(ignore(wiring.load(), Filter(event_ids, **chosen), reason, yes=yes))


async def ignore(configuration: Configuration, chosen: Filter, reason: str, *, yes: bool) -> None:
    """Ignore parked and dead events, and print how many. Raises UsageError, also for an empty reason."""
    try:
        release.required_reason(reason)
    except ChoiceError as error:
        raise click.UsageError(str(error)) from None
    chosen = _checked(chosen)
    async with _connected(configuration) as connection:
        count = await _confirmed(connection, chosen, yes=yes)
        _say_changed(await release.ignore(connection, chosen, reason), count, "ignored")


def _checked(chosen: Filter) -> Filter:
    try:
        return release.required_choice(chosen)
    except ChoiceError as error:
        raise click.UsageError(str(error)) from None


async def _confirmed(connection: asyncpg.Connection, chosen: Filter, *, yes: bool) -> int:
    """Count the events that fit, and ask before more than one is changed."""
    count = await store.count(connection, chosen)
    if count > 1 and not yes:
        click.confirm(f"{count} events fit. Go on?", abort=True)
    return count


def _say_changed(changed: int, fitting: int, done: str) -> None:
    left = f"; {fitting - changed} were left as they are" if fitting != changed else ""
    echo(f"{changed} {_events(changed)} {done}{left}")


def _say_followed(followed: Followed, total: int, seconds: float) -> None:
    results: Mapping[str, int] = Counter(followed.result(outcome) for outcome in followed.outcomes)
    for result, count in results.items():
        echo(f"{count} {_events(count)} {_RESULTS.get(result, f'{result} again')}")
    for outcome in followed.troubled[:SHOWN_TROUBLES]:
        echo(f"  {outcome.id}: {outcome.error_message}")
    if len(followed.troubled) > SHOWN_TROUBLES:
        more = len(followed.troubled) - SHOWN_TROUBLES
        echo(f"  … and {more} more; `landfall events list --state parked` has them")
    if total > len(followed.tried):
        echo(f"{total - len(followed.tried)} more were put back; `landfall events list` tells what becomes of them")
    if followed.waiting and not followed.worker_connected:
        echo("no worker is connected to this database: start `landfall work`, and they are projected", err=True)
    elif followed.waiting:
        echo(f"after {seconds:g} s; they are worked on when their turn comes", err=True)


def _events(count: int) -> str:
    return "event" if count == 1 else "events"
