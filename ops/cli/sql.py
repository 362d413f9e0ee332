"""`landfall sql`: open psql on the tables, with a login that can only read."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import click

from ops.cli import wiring
from ops.runtime.embedded import POSTGRES_BIN
from ops.runtime.settings import Configuration


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL'S OPTIONS]...")
def sql_command(arguments: tuple[str, ...]) -> None:
    """Open psql on the tables, with a login that can only read."""
    sql(wiring.load(), arguments)


def sql(configuration: Configuration, arguments: Sequence[str]) -> NoReturn:
    """Become psql, with ``arguments`` for it. Raises ClickException where a login to read with, or psql, is missing."""
    reader = configuration.settings.landfall_reader_url
    if reader is None:
        raise click.ClickException(
            "there is no login that only reads: make one with `landfall db login read`, and set LANDFALL_READER_URL to "
            "its address"
        )
    carried = POSTGRES_BIN / "psql"
    found = str(carried) if carried.exists() else shutil.which("psql")
    if found is None:
        raise click.ClickException("psql is not on this machine: install the client of PostgreSQL")
    address, password = apart(reader.get_secret_value())
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    os.execve(found, [Path(found).name, *arguments, address], environment)  # noqa: S606  no shell reads it


def apart(dsn: str) -> tuple[str, str]:
    """Return an address without its password, and the password: everybody here can read a program's arguments.

    One in the query goes before one beside the user, as libpq reads them.
    """
    address, _, query = dsn.partition("?")
    options = query.split("&") if query else []
    passwords = [option.partition("=")[2] for option in options if option.startswith("password=")]
    scheme, _, rest = address.partition("://")
    place, slash, database = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    user, _, password = login.partition(":")
    kept = "&".join(option for option in options if not option.startswith("password="))
    bare = f"{scheme}://{user}{at}{hosts}{slash}{database}" + (f"?{kept}" if kept else "")
    return bare, unquote([password, *passwords][-1])
