"""`landfall retention`: how long the log is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import click

from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.retention import procedure, store
from ops.retention.procedure import DELIVERIES, EVENTS, Plan
from ops.retention.store import Policy
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE

FOREVER = "forever"


@click.group()
def retention() -> None:
    """How long the log is kept. Without a policy everything is kept for ever.

    The names of events are kept in any case, so that what is sent again years later is still known. Rows of the CRM
    tables stay when the events behind them go; what a rebuild could not make anew it keeps as it is.
    """


@retention.command("set")
@click.argument("platform")
@click.argument("kind")
@click.argument("days")
def set_command(platform: str, kind: str, days: str) -> None:
    """Keep a KIND of what PLATFORM sends for so many DAYS, or forever.

    KIND is a type of events such as comments; "events" for all types without a policy of their own; or "deliveries" for
    raw requests, which hold what their events hold. Nothing is dropped before `landfall retention run`.
    """
    wiring.run(put(wiring.load(), platform, kind, days))


async def put(configuration: Configuration, platform: str, kind: str, days: str) -> None:
    """Set a policy. Raises UsageError."""
    if platform not in wiring.webhooks():
        raise click.UsageError(f"no platform is called {platform}; known are {', '.join(wiring.webhooks())}")
    if days != FOREVER and not (days.isascii() and days.isdecimal() and 1 <= int(days) <= 100_000):
        raise click.UsageError(f"give a number of days, from 1 on, or {FOREVER}")
    async with _connected(configuration) as connection:
        if kind not in (EVENTS, DELIVERIES):
            known = await store.known_types(connection, platform)
            if kind not in known:
                kinds = ", ".join([EVENTS, DELIVERIES, *known])
                raise click.UsageError(f"{platform} has sent no events of that type lately; known are {kinds}")
        await procedure.put(connection, Policy(platform, kind, None if days == FOREVER else int(days)))
    echo("set; `landfall retention plan` says what is due, `landfall retention run` drops it")


@retention.command("unset")
@click.argument("platform")
@click.argument("kind")
def unset_command(platform: str, kind: str) -> None:
    """Remove a policy: what it was about is kept as the others say."""
    wiring.run(remove(wiring.load(), platform, kind))


async def remove(configuration: Configuration, platform: str, kind: str) -> None:
    """Remove a policy. Raises ClickException."""
    async with _connected(configuration) as connection:
        if not await procedure.remove(connection, platform, kind):
            raise click.ClickException("there is no such policy; see `landfall retention list`")
    echo("removed")


@retention.command("list")
@options.json_lines
def list_command(*, as_json: bool) -> None:
    """List the policies."""
    wiring.run(show(wiring.load(), as_json=as_json))


async def show(configuration: Configuration, *, as_json: bool) -> None:
    async with _connected(configuration) as connection:
        found = await store.policies(connection)
    for policy in found:
        if as_json:
            echo_json(policy._asdict())
        else:
            kept = FOREVER if policy.days is None else f"{policy.days} days"
            echo(f"{policy.platform}  {policy.kind}  {kept}")
    if not found and not as_json:
        echo("no policies: everything is kept for ever")


@retention.command("plan")
@options.json_document
def plan_command(*, as_json: bool) -> None:
    """Say what is due now, and what no rebuild could make anew once it is dropped. Changes nothing."""
    wiring.run(plan(wiring.load(), as_json=as_json))


async def plan(configuration: Configuration, *, as_json: bool) -> None:
    async with _connected(configuration) as connection:
        found = await procedure.plan(connection)
        raw_kept = {policy.platform for policy in await store.policies(connection) if policy.kind == DELIVERIES}
    if as_json:
        document = {
            "events": [due._asdict() for due in found.events],
            "deliveries": [due._asdict() for due in found.deliveries],
            "kept_rows": [kept._asdict() for kept in found.kept_rows],
        }
        echo_json(document, indent=2)
        return
    _print(found, raw_kept)


def _print(found: Plan, raw: set[str]) -> None:
    for due in found.events:
        between = f"received from {due.oldest_at:%Y-%m-%d} to {due.newest_at:%Y-%m-%d}"
        echo(f"{due.platform} {due.event_type}: {due.events} events of {due.accounts} accounts, {between}")
        if due.waiting:
            echo(f"  {due.waiting} more wait for a worker or for a person, and are kept until they are settled")
    for item in found.deliveries:
        echo(f"{item.platform} deliveries: {item.deliveries} raw requests")
    for platform in sorted({due.platform for due in found.events} - raw):
        echo(f"the raw requests of {platform} are kept, and hold what these events hold: set a policy for deliveries")
    for kept in found.kept_rows:
        echo(f"{kept.table}: {kept.rows} rows that no rebuild can make anew; they are kept as they are")
    if not found.events and not found.deliveries:
        echo("nothing is due")


@retention.command("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def run_command(*, yes: bool) -> None:
    """Drop what is due, for good; daily, with --yes."""
    if not yes:
        click.confirm("What `landfall retention plan` shows is dropped, and cannot be had back. Go on?", abort=True)
    wiring.run(run(wiring.load()))


async def run(configuration: Configuration) -> None:
    """Drop what is due, and print how much it was."""
    async with _connected(configuration) as connection:
        done = await procedure.run(connection)
    for name in done.partitions:
        echo(f"{name} was dropped whole")
    if done.busy:
        echo("a month that is due as a whole was held by somebody; its rows were deleted one by one")
    echo(f"{done.events} events and {done.deliveries} deliveries were dropped from other months")


@asynccontextmanager
async def _connected(configuration: Configuration) -> AsyncIterator[asyncpg.Connection]:
    settings = configuration.settings
    connection = await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))
    try:
        yield connection
    finally:
        await connection.close()
