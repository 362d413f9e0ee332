"""`landfall split`: split deliveries into events, those that wait, or some once more by a mended rule."""

from datetime import UTC, datetime

import asyncpg
import click

from ingest import store
from ingest.splitter import Splitter
from ops.cli import wiring
from ops.cli.terminal import echo
from ops.runtime import db, logs
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE


@click.command()
@click.option("--again", is_flag=True, help="Split deliveries once more that are split already.")
@click.option("--platform", help="With --again: the platform that sent them.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    help="With --again: those received from then on, in UTC.",
)
def split_command(*, again: bool, platform: str | None, since: datetime | None) -> None:
    """Split deliveries that wait into events, as a worker does.

    With --again, deliveries that were split before are split by the rule of this release, and what it finds besides is
    added; events that are in the log stay as they are.
    """
    if again and (platform is None or since is None):
        raise click.UsageError("say which ones: --again needs --platform and --since")
    if not again and (platform is not None or since is not None):
        raise click.UsageError("--platform and --since say which ones to split --again")
    if platform is not None and platform not in wiring.webhooks():
        raise click.UsageError(f"no platform is called {platform}; known are {', '.join(wiring.webhooks())}")
    wiring.run(split(wiring.load(), platform, None if since is None else since.replace(tzinfo=UTC)))


async def split(configuration: Configuration, platform: str | None, since: datetime | None) -> None:
    """Split what waits; with a platform and a time, its deliveries from then on too. Print how much it was."""
    settings = configuration.settings
    connection = await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))
    try:
        if platform is not None and since is not None:
            count = await store.queue_again(connection, platform, since)
            echo(f"{count} deliveries of {platform} since {since:%Y-%m-%d %H:%M}Z are split again")
        splitter = await split_waiting(connection, configuration)
    finally:
        await connection.close()
    echo(f"{splitter.deliveries} deliveries were split; {splitter.added} events are new")


async def split_waiting(connection: asyncpg.Connection, configuration: Configuration) -> Splitter:
    """Split everything that waits. Return the splitter, which counts."""
    logs.configure("warning")  # lines about batches are for the log of a worker
    splitter = Splitter(wiring.webhooks(), configuration.variables)
    while await splitter.drain(connection):
        pass
    return splitter
