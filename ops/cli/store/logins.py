"""Logins of the database: make them, and look at what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import asyncpg

from schema.rights import READER_ROLE, TENANT_READER_ROLE
from schema.views import EVERYTHING, ONE_TENANT

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "default_transaction_read_only": "on",
        "statement_timeout": "60s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "60s",
        "idle_session_timeout": "30min",
    }
)
"""Of the sessions of logins that read, so that none that was forgotten keeps a lock or old rows. A session may change
its own: they are no fence."""

READER_CONNECTIONS = 10
"""That a login which reads may have open at once, so that the service keeps its own."""

_SCHEMAS = {READER_ROLE: EVERYTHING.schema, TENANT_READER_ROLE: ONE_TENANT.schema}
"""Where logins that read find their views."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role that is there.

    ``privileged`` is whether it has rights over the whole server, ``own`` whether this connection is logged in as it,
    ``groups`` the roles it is a direct member of.
    """

    privileged: bool
    own: bool
    groups: list[str]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a role may do beyond what it was granted on tables.

    ``others`` are the roles it can act as besides itself and its group.
    """

    superuser: bool
    creates_roles: bool
    bypasses_row_policies: bool
    owns_tables: bool
    creates_in_public: bool
    others: list[str]


class Held(NamedTuple):
    """A login that a process of this database holds; ``process`` is serve or work."""

    process: str
    login: str


async def role_exists(connection: asyncpg.Connection, name: str) -> bool:
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
    return found


async def role(connection: asyncpg.Connection, name: str) -> Role | None:
    row = await connection.fetchrow(
        """
        SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, rolname = session_user,
            array(SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1)
        FROM pg_roles r WHERE rolname = $1""",
        name,
    )
    return None if row is None else Role(*row)


async def make(connection: asyncpg.Connection, name: str, group: str, verifier: str, tenant: str | None = None) -> None:
    """Make or renew a login that is a member of ``group``, in a transaction.

    ``name``, ``group`` and ``verifier`` become part of statements: the caller has checked what they are made of.
    ``tenant`` is the id of the one whose rows a member of ``TENANT_READER_ROLE`` sees.
    Raises InsufficientPrivilegeError.
    """
    async with connection.transaction():
        if not await role_exists(connection, name):
            await connection.execute(f"CREATE ROLE {name} NOLOGIN")
        await connection.execute(f"ALTER ROLE {name} LOGIN INHERIT PASSWORD '{verifier}'")
        if not await connection.fetchval("SELECT pg_has_role($1, $2, 'USAGE')", name, group):
            await connection.execute(f"GRANT {group} TO {name}")
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        if not await connection.fetchval("SELECT has_database_privilege($1, current_database(), 'CONNECT')", name):
            await connection.execute(f"GRANT CONNECT ON DATABASE {database} TO {name}")
        if group in _SCHEMAS:
            await connection.execute(f"ALTER ROLE {name} CONNECTION LIMIT {READER_CONNECTIONS}")
            for setting, value in {"search_path": _SCHEMAS[group], **SETTINGS}.items():
                await connection.execute(f"ALTER ROLE {name} IN DATABASE {database} SET {setting} = '{value}'")
        if tenant is not None:
            await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            await connection.execute("DELETE FROM reader_tenants WHERE login = $1", name)
            await connection.execute(
                "INSERT INTO reader_tenants (tenant_id, login) VALUES ($1::text::uuid, $2)", tenant, name
            )


def by_hand(name: str, group: str, tenant: str | None = None, *, new: bool) -> list[str]:
    """Return what somebody who may make logins has to run in psql."""
    first = f"CREATE ROLE {name} LOGIN;" if new else f"ALTER ROLE {name} LOGIN INHERIT;"
    reading = []
    if group in _SCHEMAS:
        reading = [
            f"ALTER ROLE {name} CONNECTION LIMIT {READER_CONNECTIONS};",
            *(f"ALTER ROLE {name} SET {key} = '{value}';" for key, value in SETTINGS.items()),
            f"ALTER ROLE {name} SET search_path = {_SCHEMAS[group]};",
        ]
    if tenant is not None:
        reading += [
            "SET landfall.tenant = '*';",
            f"INSERT INTO reader_tenants (tenant_id, login) VALUES ('{tenant}', '{name}') ON CONFLICT DO NOTHING;",
        ]
    return [first, f"GRANT {group} TO {name};", f"\\password {name}", *reading]


async def abilities(connection: asyncpg.Connection, name: str, group: str, shown_first: str) -> Abilities | None:
    """Return what a role may do; of the roles that it can act as, ``shown_first`` comes first. None: there is none."""
    row = await connection.fetchrow(
        """
        SELECT rolsuper, rolcreaterole, rolbypassrls,
            EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                AND pg_has_role(r.oid, c.relowner, 'MEMBER')),
            has_schema_privilege(r.oid, 'public', 'CREATE'),
            array(SELECT o.rolname::text FROM pg_roles o WHERE o.oid <> r.oid AND o.rolname <> $2
                AND pg_has_role(r.oid, o.oid, 'MEMBER') ORDER BY o.rolname <> $3, o.rolname)
        FROM pg_roles r WHERE rolname = $1""",
        name,
        group,
        shown_first,
    )
    return None if row is None else Abilities(*row)


async def own_login(connection: asyncpg.Connection) -> str:
    """Return the login of this connection."""
    found: str = await connection.fetchval("SELECT session_user::text")
    return found


async def held_by_processes(connection: asyncpg.Connection) -> list[Held]:
    """Return the logins that processes of this database hold now."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT CASE WHEN application_name LIKE 'landfall ingest%' THEN 'serve' ELSE 'work' END, usename::text
        FROM pg_stat_activity WHERE datname = current_database() AND usename IS NOT NULL
            AND (application_name LIKE 'landfall ingest%' OR application_name LIKE 'landfall sync%')"""
    )
    return [Held(*row) for row in rows]
