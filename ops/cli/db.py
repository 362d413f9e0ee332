"""`landfall db`: logins, the change feed, and wiping and filling a database while developing."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import click

from ingest import store
from ingest.contract import Incoming, Webhook, canonical
from ops.cli import wiring
from ops.cli.feed import feed_group
from ops.cli.logins import login_command
from ops.cli.migrate import migrate
from ops.cli.store import development
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.settings import Configuration
from ops.sandbox.clock import Clock
from ops.sandbox.simulation import Simulation
from schema.events import Event
from schema.revision import HEAD
from schema.rights import APP_ROLE
from sync.projection.contract import Projection, Want

OURS = {"landfall", "landfall_dev", "landfall_test"}
LOCAL = {"localhost", "127.0.0.1", "::1", ""}
EVENTS = 60


@click.group()
def db_group() -> None:
    """Make logins, publish changes, and wipe and fill a database of our own for development."""


db_group.add_command(login_command)
db_group.add_command(feed_group)


@db_group.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_command(*, yes: bool) -> None:
    """Drop everything and migrate again. Refused for a database that is not on this machine or not ours."""
    reset(wiring.load(), yes=yes)


@db_group.command("seed")
def seed_command() -> None:
    """Append a few sample events to the log, as if platforms had sent them."""
    wiring.run(seed(wiring.load()))


def reset(configuration: Configuration, *, yes: bool) -> None:
    """Drop every table and migrate again. Raises ClickException for a database that may be somebody's."""
    dsn = configuration.settings.database_url.get_secret_value()
    asyncio.run(_require_own_database(dsn))
    if not yes:
        click.confirm("Everything in this database is going to be deleted. Go on?", abort=True)
    migrate(dsn, "base")
    migrate(dsn)
    echo(f"empty again, schema is at {HEAD}")


async def _require_own_database(dsn: str) -> None:
    """Raise ClickException for a database that may be somebody's."""
    if reasons := await reasons_against(dsn):
        raise click.ClickException("this database is not ours to wipe: " + "; ".join(reasons))


async def reasons_against(dsn: str) -> list[str]:
    """Return why a database may be somebody's, and not one to develop with; nothing where there is no such reason.

    Ours is on this machine, has a name that we give, and no table that we did not make.
    """
    connection = await db.connect(dsn)
    try:
        name = await development.database_name(connection)
        tables = await development.tables(connection)
    finally:
        await connection.close()
    reasons = []
    if not on_this_machine(dsn, os.environ):
        reasons.append("its server is not on this machine")
    if name not in OURS and not name.startswith("landfall_test_"):
        reasons.append(f"it is called {name}, and only {', '.join(sorted(OURS))} are ours")
    if unknown := sorted(tables - set(_known_tables())):
        reasons.append(f"it holds tables that are not Landfall's: {', '.join(unknown[:5])}")
    return reasons


def on_this_machine(dsn: str, environ: Mapping[str, str]) -> bool:
    """Return whether every server that a DSN may lead to is on this machine.

    It is read as asyncpg reads it: ``environ`` fills its gaps.
    """
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    if query.get("service") or environ.get("PGSERVICE"):
        return False  # a file elsewhere says where it is
    _, at, places = parts.netloc.partition("@")
    hosts = [_host(place) for place in (places if at else parts.netloc).split(",")]
    hosts += [_host(place) for value in query.get("host", []) for place in value.split(",")]
    if not any(hosts):
        hosts = [_host(place) for place in environ.get("PGHOST", "").split(",")]
    return all(host in LOCAL or host.startswith("/") for host in hosts)  # a path is that of a Unix socket


def _host(place: str) -> str:
    """Return the host without its port."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return unquote(place.partition(":")[0])


def _known_tables() -> list[str]:
    from schema.tables import all_tables

    return [*all_tables().tables, "alembic_version"]


async def seed(configuration: Configuration) -> None:
    """Append events through the same statements as a webhook's; running it twice adds nothing twice."""
    settings = configuration.settings
    connection = await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))
    before = await development.count_events(connection)
    clock = Clock(1_767_225_600)
    clock.set_speed(0)
    simulation = Simulation(1, clock)
    webhooks, projections = wiring.webhooks(), wiring.projections()
    simulation.active = [name for name in webhooks if name in simulation.platforms and name in projections]
    samples = {}
    async with connection.transaction():
        for delivery in simulation.deliveries(EVENTS):
            webhook = webhooks[delivery.platform]
            for change in webhook.changes(json.loads(delivery.body)):
                identity = webhook.identify(change)
                event = Event(
                    delivery.platform,
                    change.account_id,
                    identity.external_id,
                    change.type,
                    change.value,
                    identity.occurred_at,
                )
                await _append(connection, webhook, event)
                for sample in _samples(projections[delivery.platform], event):
                    samples[sample.account_id, sample.external_id] = sample
        for _, sample in sorted(samples.items()):
            await _append(connection, webhooks[sample.provider], sample, "poll")
    after = await development.count_events(connection)
    await connection.close()
    echo(f"{after - before} events appended; `landfall work` projects them")


def _samples(projection: Projection, event: Event) -> Iterator[Event]:
    """Yield made-up answers to the look-ups that an event asks for."""
    handler = projection.handlers.get(event.type)
    for stated in handler(event) if handler else ():
        if isinstance(stated, Want) and (sample := projection.samples.get(stated.kind)):
            yield sample(event.account_id, stated.object_id)


async def _append(connection: asyncpg.Connection, webhook: Webhook, event: Event, source: str = "own") -> None:
    text = canonical(event.payload)
    incoming = Incoming(event.account_id, event.type, event.external_id, text, event.occurred_at)
    await store.append_own(connection, event.provider, webhook.rule_version, [incoming], source)
