"""What a server needs for Landfall, and what Landfall asks it before it relies on it: schema, settings, rights."""

from collections.abc import Iterable

import asyncpg


def owner_statements(name: str, password: str) -> tuple[str, str]:
    """Return the statements that make the owner of the data, and a database of the same name.

    The owner is no superuser: what works here works on a managed server too.
    """
    return (
        f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'",
        f"CREATE DATABASE {name} OWNER {name}",
    )


async def schema_revision(connection: asyncpg.Connection) -> str | None:
    """Return the migration that the schema is at; None where there is no schema."""
    if not await connection.fetchval("SELECT to_regclass('alembic_version')"):
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


async def settings(connection: asyncpg.Connection, names: Iterable[str]) -> dict[str, str]:
    """Return the values of these settings in this session."""
    rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = any($1)", list(names))
    return {row["name"]: row["setting"] for row in rows}


async def may_act_as(connection: asyncpg.Connection, role: str) -> bool:
    """Return whether this login has the rights of a role. Raises UndefinedObjectError where there is no such role."""
    found: bool = await connection.fetchval("SELECT pg_has_role($1::name, 'USAGE')", role)
    return found
