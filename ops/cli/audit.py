"""`landfall audit`: what was done, by whom, and from where."""

from ops.access import audit_log
from ops.cli.keys import at
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration


async def show(configuration: Configuration, tenant: str | None, limit: int, *, as_json: bool) -> None:
    """Newest first. Raises ClickException."""
    async with at(configuration, tenant) as where:
        part = await audit_log.read(where.pool, where.tenant, limit=limit)
    for entry in part.entries:
        if as_json:
            echo_json(entry.plain())
            continue
        place = f"  from {entry.address}" if entry.address else ""
        more = f"  ({entry.more})" if entry.more else ""
        echo(f"{entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.actor}  {entry.action}  {entry.about}{more}{place}")
