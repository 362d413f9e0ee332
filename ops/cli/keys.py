"""`landfall key`: API keys for programs."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from ops.access import api_keys
from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.access import scope_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration


@click.group()
def key() -> None:
    """API keys for programs."""


@key.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="connections:read, connections:write, connections:erase, posts:read, posts:write, posts:approve,"
    " reports:read, audit:read; the first two if none is named.",
)
@options.tenant
def key_create(name: str, scopes: tuple[str, ...], tenant: str | None) -> None:
    """Make a key and show it, for the only time."""
    wiring.run(create(wiring.load(), tenant, name, scopes))


async def create(configuration: Configuration, tenant: str | None, name: str, scopes: Sequence[str]) -> None:
    """Make a key and print it. Raises ClickException."""
    if unknown := set(scopes) - set(api_keys.SCOPES):
        raise click.ClickException(f"unknown scope {min(unknown)}; there are {', '.join(api_keys.SCOPES)}")
    async with scope_of(configuration, tenant) as scope:
        try:
            made = await api_keys.create(scope.pool, scope.tenant, name, scopes or api_keys.DEFAULT_SCOPES, COMMAND)
        except api_keys.NameTakenError:
            raise click.ClickException(f"there is a key {name} already; choose another name") from None
    echo(made)
    echo("it is not shown again", err=True)


@key.command("list")
@options.json_lines
@options.tenant
def key_list(tenant: str | None, *, as_json: bool) -> None:
    """List the keys, and when each was last used."""
    wiring.run(show(wiring.load(), tenant, as_json=as_json))


async def show(configuration: Configuration, tenant: str | None, *, as_json: bool) -> None:
    """Print the keys of a tenant, the oldest first."""
    async with scope_of(configuration, tenant) as scope:
        found = await api_keys.list_keys(scope.pool, scope.tenant)
    for key in found:
        if as_json:
            echo_json(asdict(key))
            continue
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "live"
        used = f"last used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        place = f" from {key.last_used_from}" if key.last_used_from else ""
        echo(f"{key.name}  {state}  {used}{place}  {' '.join(key.scopes)}")


@key.command("revoke")
@click.argument("name")
@options.tenant
def key_revoke(name: str, tenant: str | None) -> None:
    """End a key, at once."""
    wiring.run(revoke(wiring.load(), tenant, name))


async def revoke(configuration: Configuration, tenant: str | None, name: str) -> None:
    """End a key. Raises ClickException where there is none of this name."""
    async with scope_of(configuration, tenant) as scope:
        if not await api_keys.revoke(scope.pool, scope.tenant, name, COMMAND):
            raise click.ClickException(f"there is no living key {name}")
    echo(f"{name} is revoked")
