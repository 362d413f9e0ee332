"""`landfall user`: people who log in."""

from typing import BinaryIO

import click

from ops.access import factor_enrolment, invitations, users
from ops.access.audit_log_store import COMMAND
from ops.access.errors import ValidationError
from ops.cli import options, wiring
from ops.cli.access import Scope, scope_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration

_role = click.Choice(["owner", "editor", "viewer"])


@click.group()
def user() -> None:
    """People who log in."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=_role, help="owner for a newcomer if not given; a member keeps the role.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="A file of one line, a password for the first login, of 12 characters at least; - is standard input.",
)
@options.tenant
def user_add(email: str, role: str | None, password_file: BinaryIO | None, tenant: str | None) -> None:
    """Invite somebody: the link that is printed works once. A newcomer chooses a password, others log in and confirm.

    With --password-file a newcomer, or a member, can log in with that password once, and chooses another one; all
    sessions of theirs end. There is no option for the password itself: everybody on a machine can
    read a command's arguments.
    """
    password = None if password_file is None else options.password_in(password_file)
    wiring.run(add(wiring.load(), tenant, email, role, password))


async def add(
    configuration: Configuration, tenant: str | None, email: str, role: str | None, given: str | None
) -> None:
    """Invite somebody, or let them in with a password. A member keeps the role if none is given.

    Raises ClickException.
    """
    async with scope_of(configuration, tenant) as scope:
        members = await users.list_members(scope.pool, scope.tenant)
        held = next((member.role for member in members if member.email == email.strip().lower()), "owner")
        role = role or held
        try:
            if given is not None:
                await users.add(scope.pool, scope.tenant, email, given, role, COMMAND, must_change=True)
                echo(f"{email} can log in as {role}, at /login, and chooses another password there first")
                return
            made = await invitations.invite(scope.pool, scope.tenant, email, role, COMMAND)
        except ValidationError as error:
            raise click.ClickException(str(error)) from None
    echo(invitations.invitation_url(configuration.settings.landfall_public_url, made.link))
    echo(
        f"{made.email} is invited as {made.role}: send them this link, which works once, until"
        f" {made.expires_at:%Y-%m-%d %H:%M} UTC, and is not shown again",
        err=True,
    )


@user.command("list")
@options.json_lines
@options.tenant
def user_list(tenant: str | None, *, as_json: bool) -> None:
    """List who may log in, and as what."""
    wiring.run(show(wiring.load(), tenant, as_json=as_json))


async def show(configuration: Configuration, tenant: str | None, *, as_json: bool) -> None:
    """Print the members of a tenant, then whoever is invited."""
    async with scope_of(configuration, tenant) as scope:
        members = await users.list_members(scope.pool, scope.tenant)
        invited = await invitations.list_invitations(scope.pool, scope.tenant)
    for member in members:
        state = "disabled" if member.disabled_at else "live"
        if as_json:
            echo_json(_shape(member.email, member.role, state, member.disabled_at, None))
        else:
            echo(f"{member.email}  {member.role}  {state}")
    for item in invited:
        if as_json:
            echo_json(_shape(item.email, item.role, "invited", None, item.expires_at))
        else:
            echo(f"{item.email}  {item.role}  invited until {item.expires_at:%Y-%m-%d %H:%M} UTC")


def _shape(email: str, role: str, state: str, disabled_at: object, invited_until: object) -> dict[str, object]:
    return {"email": email, "role": role, "state": state, "disabled_at": disabled_at, "invited_until": invited_until}


@user.command("role")
@click.argument("email")
@click.argument("role", type=_role)
@options.tenant
def user_role(email: str, role: str, tenant: str | None) -> None:
    """Change what somebody may do: an owner everything, an editor connect and disconnect, a viewer look."""
    wiring.run(change_role(wiring.load(), tenant, email, role))


async def change_role(configuration: Configuration, tenant: str | None, email: str, role: str) -> None:
    """Change a member's role. Raises ClickException."""
    async with scope_of(configuration, tenant) as scope:
        id_ = await _member(scope, email)
        try:
            await users.change_role(scope.pool, scope.tenant, id_, role, COMMAND)
        except ValidationError as error:
            raise click.ClickException(str(error)) from None
    echo(f"{email} is {role}")


@user.command("remove")
@click.argument("email")
@options.tenant
def user_remove(email: str, tenant: str | None) -> None:
    """Take somebody out of the list, at once, with the API keys they made; or withdraw an invitation."""
    wiring.run(remove(wiring.load(), tenant, email))


async def remove(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Remove a member, or withdraw the invitation of somebody who was only invited. Raises ClickException."""
    async with scope_of(configuration, tenant) as scope:
        if await invitations.withdraw(scope.pool, scope.tenant, COMMAND, email=email):
            echo(f"{email} is not invited any more")
            return
        id_ = await _member(scope, email)
        try:
            ended = await users.remove(scope.pool, scope.tenant, id_, COMMAND)
        except ValidationError as error:
            raise click.ClickException(str(error)) from None
    echo(f"{email} does not belong here any more{_ended_keys(ended)}")


@user.command("reset-factors")
@click.argument("email")
@options.tenant
def user_reset_factors(email: str, tenant: str | None) -> None:
    """Take the second factors of somebody who lost them all, and end their sessions.

    Make sure that it is the person who asks: the password alone lets in from then on, until a factor is added.
    """
    wiring.run(reset_factors(wiring.load(), tenant, email))


async def reset_factors(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Take a member's second factors. Raises ClickException."""
    async with scope_of(configuration, tenant) as scope:
        id_ = await _member(scope, email)
        await factor_enrolment.reset_factors(scope.pool, id_, email.strip().lower(), COMMAND)
    echo(f"{email} logs in with the password alone, and every session has ended")


@user.command("disable")
@click.argument("email")
@options.tenant
def user_disable(email: str, tenant: str | None) -> None:
    """Shut somebody out everywhere, at once."""
    wiring.run(disable(wiring.load(), tenant, email))


async def disable(configuration: Configuration, tenant: str | None, email: str) -> None:
    """Disable a person. Raises ClickException."""
    async with scope_of(configuration, tenant) as scope:
        ended = await users.disable(scope.pool, scope.tenant, email, COMMAND)
        if ended is None:
            raise click.ClickException(f"there is nobody called {email} who could log in")
    echo(f"{email} is shut out{_ended_keys(ended)}")


def _ended_keys(ended: users.RevokedAccess | None) -> str:
    """Return the API keys that ended with a person's access, as the end of a sentence."""
    return f"; of the API keys, these end: {', '.join(ended.keys)}" if ended and ended.keys else ""


async def _member(scope: Scope, email: str) -> str:
    id_ = await users.find_member(scope.pool, scope.tenant, email)
    if id_ is None:
        raise click.ClickException(f"there is nobody called {email}")
    return id_
