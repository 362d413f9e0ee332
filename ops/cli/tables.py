"""`landfall rebuild`, `verify` and `explain`: compare the tables with the log, make them anew, and explain a row."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Table

from ops.cli import options, wiring
from ops.cli.store import tables
from ops.cli.store.tables import Verification
from ops.cli.terminal import echo, echo_json
from ops.runtime import db, garbage
from ops.runtime.settings import Configuration
from schema.crm import crm_tables
from schema.rights import APP_ROLE
from sync.projection.contract import Projection, event_of
from sync.projection.store import Claimed
from sync.rebuild import lineage, procedure, store
from sync.rebuild.lineage import Statement
from sync.rebuild.procedure import Report, WouldLoseError
from sync.rebuild.processes import ProcessEndedError, Processes
from sync.rebuild.shadow import BusyError
from sync.rebuild.store import Failed

LINE_SECONDS = 3.0
"""Without a terminal, one line this often."""


_processes = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many processes share the work. By default one for each processor, 4 at most, and one for a small log.",
)


@click.command()
@click.option(
    "--changed",
    is_flag=True,
    help="Only rows that events were about since the last verification without drift. It does not see a row that was"
    " changed, made or deleted by hand and that no event was about since, nor ids that two rows share: run"
    " `landfall verify` too, less often.",
)
@_processes
@options.json_document
def verify_command(*, changed: bool, processes: int | None, as_json: bool) -> None:
    """Compare the CRM tables with the log, row by row; exits 1 if they differ. Changes nothing."""
    sys.exit(not wiring.run(verify(wiring.load(), changed=changed, processes=processes, as_json=as_json)))


async def verify(
    configuration: Configuration, *, changed: bool = False, processes: int | None = None, as_json: bool
) -> bool:
    """Compare, note what was found, and print it. Return whether all is as the log says and no two rows share an id.

    ``changed``: only rows that events were about since the last time that all was; every row where there was none.
    Raises ClickException.
    """
    settings = configuration.settings
    shared = Processes(settings.database_url.get_secret_value(), settings.role(APP_ROLE), processes)
    connection = await db.connect(shared.dsn, shared.role, limited=False)
    try:
        garbage.collect_rarely()
        began_at = await tables.now(connection)
        since = await tables.last_without_drift(connection) if changed else None
        if changed and since is None:
            echo("no verification without drift is noted yet: comparing every row", err=True)
        with _progress("comparing the tables with the log") as progress:
            projections = wiring.projections()
            compare = procedure.verify if since is None else partial(procedure.verify_changed, since=since)
            report = await compare(
                connection,
                projections,
                progress=progress,
                processes=shared,
                distributed=settings.landfall_distributed,
            )
        rows = sum(difference.rows for difference in report.differences)
        colliding = sum(found.numbers for found in report.collisions)
        await tables.note_verification(
            connection, Verification(began_at, since is not None, rows, report.drift, colliding)
        )
    except ProcessEndedError as error:
        raise click.ClickException(f"{error}; nothing was changed") from None
    finally:
        await connection.close()
    if as_json:
        echo_json({"rows": rows, "drift": report.drift, "kept": report.kept} | asdict(report), indent=2)
    else:
        _show(report)
        _show_failed(report.failed)
        if report.kept:
            echo(f"{report.kept} rows could not be compared: retention dropped events that made them")
        about = "" if report.since is None else f" that events were about since {report.since:%Y-%m-%d %H:%M}Z"
        echo(
            f"{report.drift} of {rows} rows{about} are not what the log says: `landfall rebuild` puts them right"
            if report.drift
            else f"{rows} rows{about}, all of them what the log says"
        )
        for found in report.collisions:
            echo(
                f"{found.table}: {found.numbers} ids are shared by two rows, so joins by id mix them up; join by"
                " account_id and the platform's id in schema public instead"
            )
    return not report.drift and not report.collisions


@click.command()
@click.option("--platform", "platforms", multiple=True, help="Only this platform's tables; may be repeated.")
@click.option("--outdated", is_flag=True, help="Only platforms with events that an older version projected.")
@click.option("--lose-failed", is_flag=True, help="Go on although this release cannot read some events any more.")
@_processes
def rebuild_command(platforms: tuple[str, ...], *, outdated: bool, lose_failed: bool, processes: int | None) -> None:
    """Make the CRM tables anew from the log, while traffic flows; readers see the old ones or the new ones.

    Needs the owner of the database, as `landfall migrate` does. Interrupted, it goes on where it was.
    """
    wiring.run(rebuild(wiring.load(), platforms, outdated=outdated, lose_failed=lose_failed, processes=processes))


async def rebuild(
    configuration: Configuration,
    platforms: Sequence[str],
    *,
    outdated: bool,
    lose_failed: bool,
    processes: int | None = None,
) -> None:
    """Rebuild, and print what was put right. Raises ClickException."""
    projections = wiring.projections()
    if unknown := set(platforms) - set(projections):
        raise click.UsageError(f"no platform is called {', '.join(unknown)}; known are {', '.join(projections)}")
    # As the login itself: making tables is the owner's right, not the service's.
    shared = Processes(configuration.settings.database_url.get_secret_value(), "", processes)
    connection = await db.connect(shared.dsn, limited=False)
    try:
        chosen = list(platforms or projections)
        if outdated:
            old = await store.outdated(connection, projections)
            chosen = [name for name in chosen if name in old]
        if not chosen:
            echo("nothing to do: every event was projected by this release's versions")
            return
        distributed = configuration.settings.landfall_distributed
        report = await _rebuild(
            connection, projections, chosen, shared, lose_failed=lose_failed, distributed=distributed
        )
    finally:
        await connection.close()
    _show(report)
    _show_failed(report.failed)
    if report.queued:
        echo(f"{report.queued} events that an older release ignored wait to be projected now")
    if report.kept:
        echo(f"{report.kept} rows were kept as they are: retention dropped events that made them")
    echo(f"{', '.join(chosen)}: {report.drift} rows put right" if report.drift else "nothing had to be put right")


async def _rebuild(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    chosen: list[str],
    shared: Processes,
    *,
    lose_failed: bool,
    distributed: bool,
) -> Report:
    try:
        garbage.collect_rarely()
        with _progress(f"folding the log of {', '.join(chosen)}") as progress:
            return await procedure.rebuild(
                connection,
                projections,
                chosen,
                progress,
                lose_failed=lose_failed,
                processes=shared,
                distributed=distributed,
            )
    except BusyError:
        raise click.ClickException("another rebuild is under way; wait until it ends") from None
    except ProcessEndedError as error:
        raise click.ClickException(f"{error}; nothing was changed, and `landfall rebuild` goes on from here") from None
    except WouldLoseError as error:
        _show_failed(error.failed)
        raise click.ClickException(
            f"{error}, so what they hold would vanish from the tables; nothing was changed. Bring a release that reads "
            "them, or accept the loss with --lose-failed."
        ) from None


def _show(report: Report) -> None:
    for found in report.differences:
        if found.drift:
            parts = {"missing": found.missing, "too many": found.extra, "different": found.different}
            counts = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
            echo(f"{found.table}: {counts}, such as {'; '.join(found.samples)}")


def _show_failed(failed: Sequence[Failed]) -> None:
    for item in failed[: store.SAMPLES]:
        echo(f"event {item.event_id} cannot be projected: {item.error}")
    if len(failed) > store.SAMPLES:
        echo(f"… and {len(failed) - store.SAMPLES} more")


@contextmanager
def _progress(what: str) -> Iterator[procedure.Progress]:
    """Show a bar on a terminal, a line now and then elsewhere; both on standard error."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    shown = time.monotonic()

    def line(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > LINE_SECONDS:
            shown = time.monotonic()
            echo(f"{what}: {done} of {total} events", err=True)

    yield line


@click.command()
@click.argument("table")
@click.argument("object_id", metavar="ID")
@click.option("--account", help="Only the row of this account.")
@click.option("--history", "full", is_flag=True, help="Also events that were superseded.")
@options.json_lines
def explain_command(table: str, object_id: str, *, account: str | None, full: bool, as_json: bool) -> None:
    """Show which events made a row of TABLE what it is."""
    wiring.run(explain(wiring.load(), table, object_id, account, full=full, as_json=as_json))


async def explain(
    configuration: Configuration, table_name: str, object_id: str, account: str | None, *, full: bool, as_json: bool
) -> None:
    """Print which events made a row. Raises ClickException if there is no such row."""
    table = next((table for table in crm_tables() if table.name == table_name), None)
    if table is None:
        raise click.UsageError(f"no such table; there are {', '.join(table.name for table in crm_tables())}")
    settings, projections = configuration.settings, wiring.projections()
    connection = await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))
    try:
        rows = await store.find_rows(connection, table, object_id, account)
        if not rows:
            raise click.ClickException(
                f"{table_name} has no row of that id. `landfall events list` shows whether its event came."
            )
        for row in rows:
            statements = await lineage.makers(connection, table, row)
            if full or not statements:  # a row without a filled facet names no maker: whoever mentioned it made it
                dropped = [statement for statement in statements if statement.event is None]
                history = lineage.history(connection, projections, table, row)
                statements = dropped + [statement async for statement in history]
            until = await lineage.dropped_until(connection, table, row)
            (_print_json if as_json else _print)(table, row, statements, until)
    finally:
        await connection.close()


def _print(
    table: Table, row: Mapping[str, Any], statements: Sequence[Statement], dropped_until: datetime | None
) -> None:
    echo(f"{table.name} {_key(table, row)}", bold=True)
    echo(f"  written by projection version {row['projection_version']}")
    if dropped_until is not None:
        echo(f"  older than {_moment(dropped_until)}: retention dropped events of its account up to then")
    for statement in statements:
        event = statement.event
        mark = "✓" if statement.stands else " "
        what = statement.facet or "made the row exist"
        if event is None:
            echo(f"{mark} {what}: event {event_of(statement.version)}, which retention dropped from the log")
        else:
            echo(f"{mark} {what}: event {event.id} {event.event.type} {event.event.external_id}")
            echo(
                f"    happened {_moment(event.event.occurred_at)}, logged {_moment(event.created_at)}, "
                f"delivery {event.delivery_id or 'none: a fact of our own'}"
            )
        for name, value in statement.values.items():
            if value is not None:
                echo(f"    {name} = {value}")


def _print_json(
    table: Table, row: Mapping[str, Any], statements: Sequence[Statement], dropped_until: datetime | None
) -> None:
    document = {
        "table": table.name,
        "row": dict(row),
        "events": [
            {
                "facet": statement.facet,
                "stands": statement.stands,
                "version": statement.version,
                "values": dict(statement.values),
                "external_id": event_of(statement.version),
                **_json_of(statement.event),
            }
            for statement in statements
        ],
        "dropped_until": dropped_until,
    }
    echo_json(document)


def _json_of(event: Claimed | None) -> dict[str, object]:
    """What is known of an event; nothing but its name where the log has dropped it."""
    if event is None:
        return {"id": None, "dropped": True}
    return {
        "id": event.id,
        "dropped": False,
        "type": event.event.type,
        "external_id": event.event.external_id,
        "occurred_at": event.event.occurred_at,
        "created_at": event.created_at,
        "delivery_id": event.delivery_id,
    }


def _key(table: Table, row: Mapping[str, Any]) -> str:
    return " ".join(str(row[column.name]) for column in table.primary_key.columns if column.name != "bucket")


def _moment(value: Any) -> str:
    return "at an unknown time" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"
