"""`landfall connections`: which accounts there are, what is wrong with them, and trying again at once."""

from dataclasses import asdict
from datetime import datetime

import click

from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store, descriptions, refresh_store, subscription_store
from schema.rights import APP_ROLE
from schema.states import ConnectionState


@click.group()
def connections() -> None:
    """Connected accounts, of all tenants."""


@connections.command("list")
@click.option("--state", type=click.Choice([state.value for state in ConnectionState]))
@click.option("--platform")
@options.json_lines
def connections_list(*, state: str | None, platform: str | None, as_json: bool) -> None:
    """List what is connected, until when, and what is wrong with it; what needs somebody comes first."""
    wiring.run(show(wiring.load(), state, platform, as_json=as_json))


async def show(configuration: Configuration, state: str | None, platform: str | None, *, as_json: bool) -> None:
    """Print the connections of all tenants, the ones that need somebody first."""
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    async with (
        await open_pool(dsn, "connections", 1, role=settings.role(APP_ROLE)) as pool,
        tenant_transaction(pool, ALL_TENANTS) as connection,
    ):
        found = await connection_store.overview(connection, state, platform)
    if as_json:
        for item in found:
            echo_json(asdict(item))
        return
    several = len({item.tenant for item in found}) > 1
    for item in found:
        account = item.username or item.account_id
        why = item.reason or _tried(item.trouble, item.trouble_since, item.refresh_failures)
        until = f"until {item.ends_at.date()}" if item.ends_at and item.state == ConnectionState.ACTIVE else ""
        columns = (
            item.id,
            f"{item.state:<15}",
            *([item.tenant] if several else []),
            f"{item.platform:<9}",
            f"{account}@{item.instance}" if item.instance else account,
            *filter(None, (until, why)),
        )
        echo("  ".join(columns))
    echo(f"{len(found)} connections")


def _tried(trouble: str | None, since: datetime | None, failures: int) -> str:
    began = f" since {since.date()}" if since else ""
    return f"failed {failures} times{began}, tried again by itself: {trouble}" if trouble else ""


@connections.command("events")
@options.json_lines
def connections_events(*, as_json: bool) -> None:
    """List what the events of accounts are subscribed to, and when one last came; what lacks some comes first."""
    wiring.run(show_events(wiring.load(), as_json=as_json))


async def show_events(configuration: Configuration, *, as_json: bool) -> None:
    """Print how the events of each active connection come, of all tenants."""
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    async with (
        await open_pool(dsn, "connections", 1, role=settings.role(APP_ROLE)) as pool,
        tenant_transaction(pool, ALL_TENANTS) as connection,
    ):
        found = await subscription_store.shown(connection)
    providers = wiring.oauth_providers()
    for item in found:
        provider = providers.get(item.login_platform)
        if provider is None or provider.subscription is None:
            state, said = "none", provider.unsubscribed if provider else ""
        else:
            state, said = item.state or "unknown", descriptions.lacking(item)
        if as_json:
            echo_json(
                {
                    "id": item.id,
                    "tenant": item.tenant,
                    "platform": item.platform,
                    "username": item.username,
                    "subscription": state,
                    "missing": item.missing,
                    "advice": item.advice,
                    "trouble": item.trouble,
                    "checked_at": item.checked_at,
                    "incomplete_since": item.incomplete_since,
                    "repaired_at": item.repaired_at,
                    "heard_at": item.heard_at,
                    "silent_since": item.silent_since,
                    "usual_hours": item.usual_hours,
                }
            )
            continue
        heard = f"last event {item.heard_at:%Y-%m-%d %H:%M} UTC" if item.heard_at else ""
        silent = f"silent for too long: usually at most {item.usual_hours} h" if item.silent_since else ""
        columns = (item.id, f"{state:<10}", f"{item.platform:<9}", item.username, *filter(None, (silent, heard, said)))
        echo("  ".join(columns))
    if not as_json:
        echo(f"{len(found)} connections")


@connections.command("retry")
@click.option("--platform", help="Only this one's; all if it is not given.")
def connections_retry(platform: str | None) -> None:
    """Try again at once whatever failed, instead of when its pause is over: after something was mended."""
    wiring.run(retry(wiring.load(), platform))


async def retry(configuration: Configuration, platform: str | None) -> None:
    """Make everything due that failed; the worker tries it within half a minute."""
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    async with (
        await open_pool(dsn, "connections", 1, role=settings.role(APP_ROLE)) as pool,
        tenant_transaction(pool, ALL_TENANTS) as connection,
    ):
        count = await refresh_store.hurry(connection, platform)
    echo(f"{count} connections that failed are tried again within 30 seconds, if `landfall work` runs")
