"""`landfall spool`: look at deliveries that wait in the spool, and store them where no web process does."""

from datetime import UTC, datetime
from pathlib import Path

import click

from ingest import spool
from ingest.spooling import Spooling
from ops.cli import options, wiring
from ops.cli.groups import Lazy, LazyGroup
from ops.cli.shapes import SHAPES
from ops.cli.terminal import echo, echo_json
from ops.runtime import logs
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration, ConfigurationError
from schema.rights import WEB_ROLE

COMMANDS = {
    "drain": Lazy("ops.cli.spool:drain_command", "Store what waits in it, where no web process is to do that."),
    "status": Lazy("ops.cli.spool:status_command", "Show what waits in it, and what was set aside."),
}


@click.group("spool", cls=LazyGroup, lazy=COMMANDS)
def spool_group() -> None:
    """Deliveries that were accepted while PostgreSQL was away."""


@click.command()
@options.json_lines
def status_command(*, as_json: bool) -> None:
    """Show what waits in the spool of LANDFALL_SPOOL_DIR, and what was set aside."""
    configuration = wiring.load()
    found = look(directory(configuration))
    limit = configuration.settings.landfall_spool_bytes
    oldest = found.backlog.oldest
    if as_json:
        values = (found.backlog.records, oldest, found.used, limit, *found.aside.values(), found.holder or None)
        echo_json(dict(zip(SHAPES["spool status"], values, strict=True)))
        return
    age = "" if oldest is None else f", the oldest for {(datetime.now(UTC) - oldest).total_seconds():.0f} s"
    echo(f"{found.backlog.records} deliveries wait{age}; {found.used} of {limit} bytes are in use")
    for reason, count in found.aside.items():
        if count:
            echo(f'{count} files were set aside: {reason} (ops/RUNBOOK.md, "LandfallSpoolFilesAside")')
    echo(f"process {found.holder} has it" if found.holder else "no process has it")


@click.command()
def drain_command() -> None:
    """Store what waits in the spool of LANDFALL_SPOOL_DIR, each delivery once.

    A web process does it by itself. This is for the spool of one that is not to be started again.
    """
    wiring.run(drain(wiring.load()))


async def drain(configuration: Configuration) -> None:
    settings = configuration.settings
    logs.configure("error")  # lines about batches are for the log of a web process
    found = await wiring.open_spool(directory(configuration), settings.landfall_spool_bytes)
    dsn, role = settings.database_url.get_secret_value(), settings.role(WEB_ROLE)
    try:
        async with await open_pool(dsn, "spool", 1, role=role, pgbouncer=settings.landfall_pgbouncer) as pool:
            count = await Spooling(found, pool).drain()
    finally:
        await found.close()
    echo(f"{count} deliveries are stored")
    if any(look(found.directory).aside.values()):
        echo("files were set aside: see `landfall spool status`")


def directory(configuration: Configuration) -> Path:
    """Return the folder of the spool. Raises ConfigurationError."""
    found = configuration.settings.landfall_spool_dir
    if found is None:
        raise ConfigurationError(["LANDFALL_SPOOL_DIR is not set: there is no spool"])
    return found


def look(place: Path) -> spool.State:
    """Return what is in a spool. Raises ConfigurationError."""
    try:
        return spool.look(place)
    except spool.SpoolError as error:
        raise ConfigurationError([f"LANDFALL_SPOOL_DIR cannot be used: {error}"]) from None
