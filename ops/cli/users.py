"""`landfall key`, `user` and `tenant`: who may come in, and where to."""

import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

import asyncpg
import click

from ops.access import api_keys, invitations, tenants, users
from ops.access.audit_log_store import COMMAND
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE

PASSWORD_FILE_BYTES = 4096


@dataclass(frozen=True)
class Where:
    """The tenant that a command is about."""

    pool: Pool
    tenant: str


@asynccontextmanager
async def at(configuration: Configuration, tenant: str | None) -> AsyncIterator[Where]:
    """Raises ClickException where there is no tenant of this name."""
    async with opened(configuration) as pool:
        id_ = await tenants.named(pool, tenant)
        if id_ is None:
            raise click.ClickException(f"there is no tenant {tenant}: look for it with `landfall tenant list`")
        yield Where(pool, id_)


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Pool]:
    settings = configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "keys", 1, role=settings.role(APP_ROLE)
    ) as pool:
        yield pool


async def create(configuration: Configuration, tenant: str | None, name: str, scopes: Sequence[str]) -> None:
    """Raises ClickException."""
    if unknown := set(scopes) - set(api_keys.SCOPES):
        raise click.ClickException(f"unknown scope {min(unknown)}; there are {', '.join(api_keys.SCOPES)}")
    async with at(configuration, tenant) as where:
        try:
            made = await api_keys.create(where.pool, where.tenant, name, scopes or api_keys.USUAL, COMMAND)
        except asyncpg.UniqueViolationError:
            raise click.ClickException(f"there is a key {name} already; choose another name") from None
    echo(made)
    echo("it is not shown again", err=True)


async def show(configuration: Configuration, tenant: str | None) -> None:
    async with at(configuration, tenant) as where:
        for row in await api_keys.listed(where.pool, where.tenant):
            state = f"revoked {row['revoked_at']:%Y-%m-%d}" if row["revoked_at"] else "live"
            used = f"last used {row['last_used_at']:%Y-%m-%d %H:%M}" if row["last_used_at"] else "never used"
            place = f" from {row['last_used_from']}" if row["last_used_from"] else ""
            echo(f"{row['name']}  {state}  {used}{place}  {' '.join(row['scopes'])}")


async def revoke(configuration: Configuration, tenant: str | None, name: str) -> None:
    """Raises ClickException."""
    async with at(configuration, tenant) as where:
        if not await api_keys.revoke(where.pool, where.tenant, name, COMMAND):
            raise click.ClickException(f"there is no living key {name}")
    echo(f"{name} is revoked")


def password_in(file: BinaryIO) -> str:
    """The password in a file of one line. Raises ClickException."""
    content = file.read(PASSWORD_FILE_BYTES + 1)
    try:
        line = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.ClickException("the password file is not UTF-8") from None
    if "\n" in line or len(content) > PASSWORD_FILE_BYTES:
        raise click.ClickException("the password file must hold one line, the password, and nothing else")
    return line


async def add_user(
    configuration: Configuration, tenant: str | None, email: str, role: str | None, given: str | None
) -> None:
    """Prints a link where no password is given; a member keeps the role if none is. Raises ClickException."""
    async with at(configuration, tenant) as where:
        members = await users.listed(where.pool, where.tenant)
        held = next((row["role"] for row in members if row["email"] == email.strip().lower()), "owner")
        role = role or held
        try:
            if given is not None:
                await users.add(where.pool, where.tenant, email, given, role, COMMAND, must_change=True)
                echo(f"{email} can log in as {role}, at /login, and chooses another password there first")
                return
            made = await invitations.invite(where.pool, where.tenant, email, role, COMMAND)
        except users.Wrong as error:
            raise click.ClickException(str(error)) from None
    echo(invitations.address_of(configuration.settings.landfall_public_url, made.link))
    echo(
        f"{made.email} is invited as {made.role}: send them this link, which works once, until"
        f" {made.until:%Y-%m-%d %H:%M} UTC, and is not shown again",
        err=True,
    )


async def show_users(configuration: Configuration, tenant: str | None) -> None:
    async with at(configuration, tenant) as where:
        for row in await users.listed(where.pool, where.tenant):
            echo(f"{row['email']}  {row['role']}  {'disabled' if row['disabled_at'] else 'live'}")
        for row in await invitations.listed(where.pool, where.tenant):
            echo(f"{row['email']}  {row['role']}  invited until {row['expires_at']:%Y-%m-%d %H:%M} UTC")


async def change_role(configuration: Configuration, tenant: str | None, email: str, role: str) -> None:
    """Raises ClickException."""
    async with at(configuration, tenant) as where:
        user = await _member(where, email)
        try:
            await users.change_role(where.pool, where.tenant, user, role, COMMAND)
        except users.Wrong as error:
            raise click.ClickException(str(error)) from None
    echo(f"{email} is {role}")


async def remove_user(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Withdraws the invitation of somebody who was only invited. Raises ClickException."""
    async with at(configuration, tenant) as where:
        if await invitations.withdraw(where.pool, where.tenant, COMMAND, email=email):
            echo(f"{email} is not invited any more")
            return
        user = await _member(where, email)
        try:
            ended = await users.remove(where.pool, where.tenant, user, COMMAND)
        except users.Wrong as error:
            raise click.ClickException(str(error)) from None
    echo(f"{email} does not belong here any more{_with(ended)}")


async def disable_user(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Raises ClickException."""
    async with at(configuration, tenant) as where:
        ended = await users.disable(where.pool, where.tenant, email, COMMAND)
        if ended is None:
            raise click.ClickException(f"there is nobody called {email} who could log in")
    echo(f"{email} is shut out{_with(ended)}")


def _with(ended: users.Ended | None) -> str:
    """The API keys that ended with a person's access, as the end of a sentence."""
    return f"; of the API keys, these end: {', '.join(ended.keys)}" if ended and ended.keys else ""


async def reset_factors(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Raises ClickException."""
    from ops.access import factor_enrolment

    async with at(configuration, tenant) as where:
        user = await _member(where, email)
        await factor_enrolment.reset_factors(where.pool, user, email.strip().lower(), COMMAND)
    echo(f"{email} logs in with the password alone, and every session has ended")


async def _member(where: Where, email: str) -> str:
    user = await users.member(where.pool, where.tenant, email)
    if user is None:
        raise click.ClickException(f"there is nobody called {email}")
    return user


async def add_tenant(configuration: Configuration, name: str) -> None:
    """Raises ClickException."""
    # As the login itself: the service's own role makes no tenants.
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await tenants.add(connection, name, COMMAND)
    except tenants.Wrong as error:
        raise click.ClickException(str(error)) from None
    finally:
        await connection.close()
    echo(f"made; let its first owner in with `landfall user add --tenant {shlex.quote(name)} EMAIL`")


async def show_tenants(configuration: Configuration) -> None:
    async with opened(configuration) as pool:
        for row in await tenants.listed(pool):
            echo(f"{row['name']}  {row['people']} people  {row['connections']} connections")
