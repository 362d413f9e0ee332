"""`landfall db login`: a login of its own for each process, and what a login could do beyond what its process needs."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import click

from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.reporting import SCHEMA
from schema.rights import APP_ROLE, READER_ROLE, WEB_ROLE, WORKER_ROLE

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


class Unfit(click.ClickException):
    """No login can be made of this; the text says why."""


class NotAllowed(click.ClickException):
    """Whoever asks may not make logins; the text says what somebody who may has to run."""


def verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (RFC 5803): made here, so that no statement and no log holds the password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client, server = (hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))
    parts = (base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)


async def login(configuration: Configuration, process: str, name: str, password: str) -> None:
    """Make or renew a login. Raises Unfit, NotAllowed."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await make(connection, process, name, password)
    finally:
        await connection.close()
    can = "read the tables and change nothing"
    if process in PROCESSES:
        can = f"do what `landfall {process}` needs: put it into that process's DATABASE_URL"
    echo(f"{name} can log in, and {can}")


async def make(connection: asyncpg.Connection, process: str, name: str, password: str) -> None:
    """A login that is a member of its process's role and of nothing else; made again, it gets the new password.

    One that reads finds the views of schema ``reporting`` by their plain names.

    ``connection`` is of somebody who may create roles. Raises Unfit, NotAllowed.
    """
    if not _NAME.fullmatch(name):
        raise Unfit("the name of a login has 1 to 63 characters: small letters, digits and _, no digit first")
    if not _PASSWORD.fullmatch(password):
        raise Unfit(f"the password of a login has {SHORTEST} to {LONGEST} characters: ASCII, visible, and no blanks")
    group = LOGINS[process]
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", group):
        raise Unfit(f"there is no role {group} yet: run `landfall migrate` first")
    await _insist_plain(connection, name, group)
    new = not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
    kept = verifier(password, secrets.token_bytes(SALT_BYTES))
    try:
        async with connection.transaction():
            if new:
                await connection.execute(f"CREATE ROLE {name} NOLOGIN")
            await connection.execute(f"ALTER ROLE {name} LOGIN INHERIT PASSWORD '{kept}'")
            if not await connection.fetchval("SELECT pg_has_role($1, $2, 'USAGE')", name, group):
                await connection.execute(f"GRANT {group} TO {name}")
            database = await connection.fetchval("SELECT quote_ident(current_database())")
            if not await connection.fetchval("SELECT has_database_privilege($1, current_database(), 'CONNECT')", name):
                await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {name}")
            if group == READER_ROLE:
                await connection.execute(f"ALTER ROLE {name} IN DATABASE {database} SET search_path = {SCHEMA}")
    except asyncpg.InsufficientPrivilegeError:
        raise NotAllowed(_for_an_administrator(name, group, new=new)) from None


async def _insist_plain(connection: asyncpg.Connection, name: str, group: str) -> None:
    """Raises Unfit for a role that is more than a login of this kind: it is somebody's, and its password too."""
    row = await connection.fetchrow(
        """
        SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS mighty,
            rolname = session_user AS own,
            array(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1) AS roles
        FROM pg_roles r WHERE rolname = $1""",
        name,
    )
    if row is None:
        return
    if row["own"]:
        raise Unfit(f"{name} is the login of DATABASE_URL itself; choose another --name")
    if row["mighty"]:
        raise Unfit(f"there is a role {name}, which has rights over the whole server; choose another --name")
    if others := set(row["roles"]) - {group}:
        raise Unfit(f"there is a role {name}, which is a member of {', '.join(sorted(others))}; choose another --name")


def _for_an_administrator(name: str, group: str, *, new: bool) -> str:
    lines = [f"CREATE ROLE {name} LOGIN;"] if new else [f"ALTER ROLE {name} LOGIN INHERIT;"]
    lines += [f"GRANT {group} TO {name};", f"\\password {name}"]
    if group == READER_ROLE:
        lines.append(f"ALTER ROLE {name} SET search_path = {SCHEMA};")
    said = "\n".join(f"    {line}" for line in lines)
    return f"this login may not make others. Somebody who may has to run in psql:\n{said}"


def address(dsn: str, name: str, password: str) -> str:
    """The same database for another login."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))


async def excess(connection: asyncpg.Connection, name: str, group: str) -> list[str]:
    """What a login could do, or become, beyond what a member of ``group`` needs, in words that follow its name."""
    row = await connection.fetchrow(
        """
        SELECT rolsuper, rolcreaterole, rolbypassrls,
            EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                AND pg_has_role(r.oid, c.relowner, 'MEMBER')) AS owner,
            has_schema_privilege(r.oid, 'public', 'CREATE') AS creator,
            array(SELECT o.rolname::text FROM pg_roles o WHERE o.oid <> r.oid AND o.rolname <> $2
                AND pg_has_role(r.oid, o.oid, 'MEMBER') ORDER BY o.rolname <> $3, o.rolname) AS others
        FROM pg_roles r WHERE rolname = $1""",
        name,
        group,
        APP_ROLE,
    )
    if row is None:
        return []
    if row["rolsuper"]:
        return ["is a superuser"]
    found = {
        "owns the tables": row["owner"],
        "may create roles": row["rolcreaterole"],
        "passes over row policies": row["rolbypassrls"],
        "may create objects in schema public": row["creator"] and not row["owner"],
        f"can act as {', '.join(row['others'])}": row["others"],
    }
    return [said for said, true in found.items() if true]


async def running(connection: asyncpg.Connection) -> dict[str, set[str]]:
    """The logins that processes of this database hold now, by process."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT CASE WHEN application_name LIKE 'landfall ingest%' THEN 'serve' ELSE 'work' END, usename::text
        FROM pg_stat_activity WHERE datname = current_database() AND usename IS NOT NULL
            AND (application_name LIKE 'landfall ingest%' OR application_name LIKE 'landfall sync%')"""
    )
    found: dict[str, set[str]] = {}
    for process, name in rows:
        found.setdefault(process, set()).add(name)
    return found
