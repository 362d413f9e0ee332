"""`landfall audit`: what was done, by whom, and from where."""

from dataclasses import asdict

import click

from ops.access import audit_log
from ops.cli import options, wiring
from ops.cli.access import scope_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration


@click.command()
@options.tenant
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@options.json_lines
def audit_command(tenant: str | None, limit: int, *, as_json: bool) -> None:
    """List who did what to connections, people and keys, newest first."""
    wiring.run(show(wiring.load(), tenant, limit, as_json=as_json))


async def show(configuration: Configuration, tenant: str | None, limit: int, *, as_json: bool) -> None:
    """Print the newest entries. Raises ClickException."""
    async with scope_of(configuration, tenant) as scope:
        part = await audit_log.read(scope.pool, scope.tenant, limit=limit)
    for entry in part.entries:
        if as_json:
            echo_json(asdict(entry))
            continue
        place = f"  from {entry.address}" if entry.address else ""
        more = f"  ({entry.detail_text})" if entry.detail_text else ""
        echo(f"{entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.actor}  {entry.action}  {entry.subject_name}{more}{place}")
