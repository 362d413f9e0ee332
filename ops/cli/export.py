"""`landfall export`: the rows of a view as a file."""

import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import asyncpg
import click

from ops.access import tenant_store
from ops.cli import options, wiring
from ops.cli.terminal import echo
from ops.export.exporting import exported
from ops.export.request import FORMATS, Export, UnfitExport, export_of
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE


@click.command("export")
@click.argument("view")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="csv", show_default=True)
@click.option("--since", metavar="TIME", help="From this date or time on, by the view's own; UTC if it names no zone.")
@click.option("--until", metavar="TIME", help="Up to this date or time, without it.")
@click.option("--account", metavar="ID", help="Of one account: the platform's id.")
@options.tenant
@click.option("--output", metavar="FILE", help="Where to; standard output if not given.")
@click.option("--bom", is_flag=True, help="Begin CSV with a byte order mark, by which Excel knows that it is UTF-8.")
def export_command(
    view: str,
    form: str,
    since: str | None,
    until: str | None,
    account: str | None,
    tenant: str | None,
    output: str | None,
    *,
    bom: bool,
) -> None:
    """Write the rows of a view to a file: CSV, JSONL or Parquet.

    They are those of one instant, of all tenants or of one; docs/reporting.md lists the views and their columns. In
    CSV, text has an apostrophe wherever a spreadsheet might see a formula; JSONL has everything as it is. Parquet needs
    the extra landfall[parquet].
    """
    try:
        wanted = export_of(
            view, form, one_tenant=tenant is not None, since=since, until=until, account=account, bom=bom
        )
    except UnfitExport as unfit:
        raise click.ClickException(f"{unfit.message} What to do: {unfit.remedy}.") from None
    wiring.run(write(wiring.load(), wanted, tenant, output))


async def write(configuration: Configuration, wanted: Export, tenant: str | None, output: str | None) -> None:
    """Write an export to a file, or to standard output for None. Raises ClickException.

    A file has its name only once it is whole.
    """
    if output is None and wanted.format != "jsonl" and sys.stdout.isatty():
        # What people wrote stands there as it is, and a terminal would obey it.
        message = f"{wanted.format} is nothing for a terminal: name a file with --output, or print --format jsonl"
        raise click.ClickException(message)
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    connection = await db.connect(dsn, settings.role(APP_ROLE), "export", limited=False)
    try:
        id_ = await _tenant(connection, tenant)
        async with aclosing(exported(connection, wanted, id_)) as pieces:
            if output is None:
                await _written(pieces, sys.stdout.buffer)
                return
            path = Path(output)
            part = path.with_name(f"{path.name}.part")
            try:
                with part.open("wb") as file:
                    count = await _written(pieces, file)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            echo(f"{count} bytes of {wanted.view} in {path}", err=True)
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        raise click.ClickException(f"the export cannot be written ({error.strerror or type(error).__name__})") from None
    finally:
        await connection.close()


async def _tenant(connection: asyncpg.Connection, name: str | None) -> str | None:
    """Return the id of a tenant; None for none. Raises ClickException."""
    if name is None:
        return None
    found = await tenant_store.find_by_name(connection, name)
    if found is None:
        raise click.ClickException(f"there is no tenant {name}: look for it with `landfall tenant list`")
    return found


async def _written(pieces: AsyncIterator[bytes], file: BinaryIO) -> int:
    count = 0
    async for piece in pieces:
        file.write(piece)
        count += len(piece)
    file.flush()
    return count
