"""`landfall tenant`: several customers on one install."""

import shlex
from dataclasses import asdict

import click

from ops.access import tenants
from ops.access.audit_log_store import COMMAND
from ops.access.errors import ValidationError
from ops.cli import options, wiring
from ops.cli.access import opened
from ops.cli.terminal import echo, echo_json
from ops.runtime import db
from ops.runtime.settings import Configuration


@click.group()
def tenant() -> None:
    """Several customers on one install, who see nothing of each other."""


@tenant.command("add")
@click.argument("name")
def tenant_add(name: str) -> None:
    """Make a tenant. Needs the owner of the database, as `landfall migrate` does."""
    wiring.run(add(wiring.load(), name))


async def add(configuration: Configuration, name: str) -> None:
    """Make a tenant. Raises ClickException."""
    # As the login itself: the service's own role makes no tenants.
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await tenants.add(connection, name, COMMAND)
    except ValidationError as error:
        raise click.ClickException(str(error)) from None
    finally:
        await connection.close()
    echo(f"made; let its first owner in with `landfall user add --tenant {shlex.quote(name)} EMAIL`")


@tenant.command("list")
@options.json_lines
def tenant_list(*, as_json: bool) -> None:
    """List the tenants, the install's own first."""
    wiring.run(show(wiring.load(), as_json=as_json))


async def show(configuration: Configuration, *, as_json: bool) -> None:
    """Print the tenants, the oldest first."""
    async with opened(configuration) as pool:
        found = await tenants.list_tenants(pool)
    for tenant in found:
        if as_json:
            echo_json(asdict(tenant))
        else:
            echo(f"{tenant.name}  {tenant.people} people  {tenant.connections} connections")
