"""`landfall erase`: erase a person, or a whole account, from everything that is kept."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import click

from ops.cli import wiring
from ops.cli.split import split_waiting
from ops.cli.tables import rebuild
from ops.cli.terminal import echo
from ops.erasure import matching, requests, store
from ops.erasure.erasing import Erased, Eraser, repeat_hours
from ops.runtime import db
from ops.runtime.settings import Configuration
from sync.rebuild.shadow import BusyError


@click.command()
@click.argument("platform", required=False)
@click.option(
    "--requested", is_flag=True, help="Carry out what was asked for, and take out again what came back; daily."
)
@click.option("--person", help="The platform's id of somebody who wrote, liked or was named.")
@click.option("--account", help="The platform's id of an account whose events were received.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase_command(platform: str | None, *, requested: bool, person: str | None, account: str | None, yes: bool) -> None:
    """Erase a person or an account from the log, the tables and the connections, for good."""
    id_ = person or account
    if requested and platform is None and id_ is None:
        wiring.run(erase_requested(wiring.load()))
        return
    if platform is None or requested or id_ is None or (person and account):
        raise click.UsageError("give a platform and either --person or --account; or --requested alone")
    if not yes:
        click.confirm(f"Everything about {id_} at {platform} goes, and cannot be had back. Go on?", abort=True)
    wiring.run(erase(wiring.load(), platform, id_, account=account is not None))


async def erase(configuration: Configuration, platform: str, id_: str, *, account: bool) -> None:
    """Erase, rebuild what that touched, and print how much it was. Raises ClickException."""
    known = sorted({*wiring.webhooks(), *wiring.oauth_providers()})
    if platform not in known:
        raise click.UsageError(f"no platform is called {platform}; known are {', '.join(known)}")
    if not matching.ID.fullmatch(id_):
        raise click.UsageError("the id is not one that a platform gives: letters, digits and _ . : ~ - only")
    async with _owner(configuration) as connection:
        hours = repeat_hours(wiring.webhooks())
        code = await requests.request_by_operator(connection, platform, id_, hours, account=account)
        await _eraser(configuration, connection).erase(code)
        until = await store.repeat_until(connection, code)
    echo(
        f"Platforms repeat unanswered deliveries for days: run `landfall erase --requested` daily, which takes out"
        f" what they bring back until {until:%Y-%m-%d %H:%M}Z"
    )


async def erase_requested(configuration: Configuration) -> None:
    """Carry out what was asked for, again where a platform may have brought it back. Raises ClickException."""
    async with _owner(configuration) as connection:
        done = await _eraser(configuration, connection).erase_requested()
    for code in done.unreadable:
        echo(f"request {code} names no id that a platform gives; nothing was done about it", err=True)
    if done.waiting:
        echo(f"{done.waiting} requests of tenants wait: another tenant has the account connected")
    echo(f"{done.fresh} requests carried out, {done.repeated} looked at again, {done.forgotten} of them for good")


@asynccontextmanager
async def _owner(configuration: Configuration) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the login itself: the service's own role cannot delete from the log. Raises ClickException."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value(), limited=False)
    try:
        await store.see_all_tenants(connection)
        # What is not split yet has no events that could be erased.
        await split_waiting(connection, configuration)
        yield connection
    except BusyError:
        raise click.ClickException("a rebuild is under way; run this again when it has ended") from None
    finally:
        await connection.close()


def _eraser(configuration: Configuration, connection: asyncpg.Connection) -> Eraser:
    async def run(platforms: Sequence[str]) -> None:
        await rebuild(configuration, platforms, outdated=False, lose_failed=True)

    return Eraser(connection, wiring.webhooks(), wiring.projections(), run, _say)


def _say(erased: Erased) -> None:
    echo(
        f"{erased.events} events, the bytes of {erased.deliveries} deliveries, {erased.refusals} samples of"
        f" refused requests and {erased.connections.total()} connections are gone"
    )
