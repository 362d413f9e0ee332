"""`landfall key` and `landfall user`: who may come in, at the one tenant that an install has."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import click

from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from publish import keys, people, store
from schema.people import DEFAULT_TENANT


@asynccontextmanager
async def _pool(configuration: Configuration) -> AsyncIterator[Pool]:
    settings = configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "keys", 1, role=settings.landfall_database_role
    ) as pool:
        yield pool


async def create(configuration: Configuration, name: str, scopes: Sequence[str]) -> None:
    """Raises ClickException."""
    if unknown := set(scopes) - set(keys.SCOPES):
        raise click.ClickException(f"unknown scope {min(unknown)}; there are {', '.join(keys.SCOPES)}")
    async with _pool(configuration) as pool:
        try:
            made = await keys.create(pool, DEFAULT_TENANT, name, scopes or keys.SCOPES, store.COMMAND)
        except asyncpg.UniqueViolationError:
            raise click.ClickException(f"there is a key {name} already; choose another name") from None
    click.echo(made)
    click.echo("it is not shown again", err=True)


async def show(configuration: Configuration) -> None:
    async with _pool(configuration) as pool:
        for row in await keys.listed(pool, DEFAULT_TENANT):
            state = f"revoked {row['revoked_at']:%Y-%m-%d}" if row["revoked_at"] else "live"
            used = f"last used {row['last_used_at']:%Y-%m-%d %H:%M}" if row["last_used_at"] else "never used"
            click.echo(f"{row['name']}  {state}  {used}  {' '.join(row['scopes'])}")


async def revoke(configuration: Configuration, name: str) -> None:
    """Raises ClickException."""
    async with _pool(configuration) as pool:
        if not await keys.revoke(pool, DEFAULT_TENANT, name, store.COMMAND):
            raise click.ClickException(f"there is no living key {name}")
    click.echo(f"{name} is revoked")


async def add_user(configuration: Configuration, email: str, role: str, password: str) -> None:
    """Raises ClickException."""
    async with _pool(configuration) as pool:
        try:
            await people.add(pool, DEFAULT_TENANT, email, password, role, store.COMMAND)
        except people.Wrong as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"{email} can log in as {role}, at /login")


async def show_users(configuration: Configuration) -> None:
    async with _pool(configuration) as pool:
        for row in await people.listed(pool, DEFAULT_TENANT):
            click.echo(f"{row['email']}  {row['role']}  {'disabled' if row['disabled_at'] else 'live'}")


async def disable_user(configuration: Configuration, email: str) -> None:
    """Raises ClickException."""
    async with _pool(configuration) as pool:
        if not await people.disable(pool, DEFAULT_TENANT, email, store.COMMAND):
            raise click.ClickException(f"there is nobody called {email} who could log in")
    click.echo(f"{email} is shut out")
