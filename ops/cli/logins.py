"""`landfall db login`: make a login for each process, and find what a login could do beyond what its process needs."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import click

from ops.access import tenant_store
from ops.cli import options, wiring
from ops.cli.store import logins as store
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE, READER_ROLE, TENANT_READER_ROLE, WEB_ROLE, WORKER_ROLE

PROCESSES: Mapping[str, str] = MappingProxyType({"serve": WEB_ROLE, "work": WORKER_ROLE})
"""The role that each process's login is a member of."""

LOGINS: Mapping[str, str] = MappingProxyType({**PROCESSES, "read": READER_ROLE})
"""The role that each login is a member of, by what it is for."""

SHORTEST, LONGEST = 12, 256
"""Of a login's password, in characters."""

ITERATIONS, SALT_BYTES = 4096, 16
"""As PostgreSQL's own (``scram_iterations``)."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PASSWORD = re.compile(f"[!-~]{{{SHORTEST},{LONGEST}}}")


class UnfitLogin(click.ClickException):
    """No login can be made of this; the message says why."""


class NotAllowed(click.ClickException):
    """This login may not make logins; the message says what somebody who may has to run."""


def verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803).

    It is made here, so that no statement and no log holds the password.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    parts = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)


@click.command("login")
@click.argument("process", type=click.Choice(["serve", "work", "read"]))
@click.option("--name", help="Of the login; landfall_serve, landfall_work or landfall_read if not given.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="A file of one line, the password, of 12 visible ASCII characters at least; - is standard input. Asked for"
    " if not given.",
)
@click.option(
    "--tenant",
    metavar="NAME",
    help="Of a login that reads: the tenant whose rows it sees, in the published views alone. All rows if not given.",
)
def login_command(process: str, name: str | None, password_file: BinaryIO | None, tenant: str | None) -> None:
    """Make the database login that `landfall serve` or `landfall work` needs, or one that only reads the tables.

    One that is there gets a new password.

    Needs the owner of the database, as `landfall migrate` does, and the right to create roles.
    """
    if tenant is not None and process != "read":
        raise click.UsageError("--tenant is for logins that read: a process works for all tenants")
    if password_file is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = options.password_in(password_file)
    wiring.run(login(wiring.load(), process, name or f"landfall_{process}", password, tenant))


async def login(configuration: Configuration, process: str, name: str, password: str, tenant: str | None) -> None:
    """Make or renew a login. Raises UnfitLogin, NotAllowed."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await make(connection, process, name, password, tenant)
    finally:
        await connection.close()
    can = "read the tables and change nothing"
    if tenant is not None:
        can = f"read the published views with the rows of {tenant}, and change nothing"
    if process in PROCESSES:
        can = f"do what `landfall {process}` needs: put it into that process's DATABASE_URL"
    echo(f"{name} can log in, and {can}")


async def make(
    connection: asyncpg.Connection, process: str, name: str, password: str, tenant: str | None = None
) -> None:
    """Make a login that is a member of its process's role and of nothing else; made again, it gets the new password.

    One that reads finds its views by their plain names, within the limits of ``store.SETTINGS``; with the name of a
    tenant it sees that one's rows, and made again those of the tenant that is named then.

    ``connection`` is of somebody who may create roles. Raises UnfitLogin, NotAllowed.
    """
    if not _NAME.fullmatch(name):
        raise UnfitLogin("the name of a login has 1 to 63 characters: small letters, digits and _, no digit first")
    if not _PASSWORD.fullmatch(password):
        raise UnfitLogin(
            f"the password of a login has {SHORTEST} to {LONGEST} characters: ASCII, visible, and no blanks"
        )
    group = LOGINS[process] if tenant is None else TENANT_READER_ROLE
    if not await store.role_exists(connection, group):
        raise UnfitLogin(f"there is no role {group} yet: run `landfall migrate` first")
    seen = None if tenant is None else await tenant_store.find_by_name(connection, tenant)
    if seen is None and tenant is not None:
        raise UnfitLogin(f"there is no tenant {tenant}: look for it with `landfall tenant list`")
    known = await store.role(connection, name)
    if known is not None:
        _require_plain(known, name, group)
    try:
        await store.make(connection, name, group, verifier(password, secrets.token_bytes(SALT_BYTES)), seen)
    except asyncpg.InsufficientPrivilegeError:
        raise NotAllowed(_for_an_administrator(name, group, seen, new=known is None)) from None


def _require_plain(known: store.Role, name: str, group: str) -> None:
    """Raise UnfitLogin for a role that is more than a login of this kind: it is somebody's, and its password too."""
    if known.own:
        raise UnfitLogin(f"{name} is the login of DATABASE_URL itself; choose another --name")
    if known.privileged:
        raise UnfitLogin(f"there is a role {name}, which has rights over the whole server; choose another --name")
    if others := set(known.groups) - {group}:
        raise UnfitLogin(
            f"there is a role {name}, which is a member of {', '.join(sorted(others))}; choose another --name"
        )


def _for_an_administrator(name: str, group: str, tenant: str | None, *, new: bool) -> str:
    lines = "\n".join(f"    {line}" for line in store.by_hand(name, group, tenant, new=new))
    return f"this login may not make others. Somebody who may has to run in psql:\n{lines}"


def address(dsn: str, name: str, password: str) -> str:
    """Return the address of the same database for another login."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))


async def excess(connection: asyncpg.Connection, name: str, group: str) -> list[str]:
    """Return what a login could do, or become, beyond what a member of ``group`` needs, in words after its name."""
    found = await store.abilities(connection, name, group, APP_ROLE)
    if found is None:
        return []
    if found.superuser:
        return ["is a superuser"]
    more = {
        "owns the tables": found.owns_tables,
        "may create roles": found.creates_roles,
        "passes over row policies": found.bypasses_row_policies,
        "may create objects in schema public": found.creates_in_public and not found.owns_tables,
        f"can act as {', '.join(found.others)}": bool(found.others),
    }
    return [ability for ability, true in more.items() if true]


async def running(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """Return the logins that processes of this database hold now, by process."""
    found: dict[str, set[str]] = {}
    for process, name in await store.held_by_processes(connection):
        found.setdefault(process, set()).add(name)
    return found
