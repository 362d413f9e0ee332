"""The publication of the CRM tables, and who follows it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from schema.feed import PUBLICATION


class Slot(NamedTuple):
    """Somebody who follows changes of this database: ``behind_bytes`` of the log are kept for them."""

    name: str
    plugin: str
    active: bool
    behind_bytes: int


async def wal_level(connection: asyncpg.Connection) -> str:
    found: str = await connection.fetchval("SHOW wal_level")
    return found


async def published(connection: asyncpg.Connection) -> Mapping[str, Sequence[str]] | None:
    """Return the columns of each table of the publication; None where there is no publication."""
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", PUBLICATION):
        return None
    rows = await connection.fetch(
        "SELECT tablename::text, attnames::text[] FROM pg_publication_tables WHERE pubname = $1", PUBLICATION
    )
    return {row[0]: row[1] for row in rows}


async def publish(connection: asyncpg.Connection, columns: Mapping[str, Sequence[str]], *, new: bool) -> None:
    """Make the publication, or make it publish these columns and nothing else. For the owner of the tables."""
    tables = ", ".join(f"public.{table} ({', '.join(names)})" for table, names in columns.items())
    statement = f"CREATE PUBLICATION {PUBLICATION} FOR TABLE" if new else f"ALTER PUBLICATION {PUBLICATION} SET TABLE"
    await connection.execute(f"{statement} {tables}")


async def let_copy(connection: asyncpg.Connection, login: str, columns: Mapping[str, Sequence[str]]) -> None:
    """Let a login read these columns, which a subscription copies first. ``login`` has been checked: it is a name."""
    await connection.execute(f"GRANT USAGE ON SCHEMA public TO {login}")
    for table, names in columns.items():
        await connection.execute(f"REVOKE ALL ON public.{table} FROM {login}")
        await connection.execute(f"GRANT SELECT ({', '.join(names)}) ON public.{table} TO {login}")


def login_by_hand(login: str) -> list[str]:
    """Return what a superuser has to run in psql for a login that subscribes."""
    return [f"CREATE ROLE {login} LOGIN REPLICATION;", f"\\password {login}"]


def logical_by_hand() -> str:
    """Return what a superuser has to run before the server is started again."""
    return "ALTER SYSTEM SET wal_level = logical;"


def drop_slot_by_hand(slot: str) -> str:
    return f"SELECT pg_drop_replication_slot('{slot}');"


async def drop(connection: asyncpg.Connection) -> bool:
    """Drop the publication; whether there was one."""
    if await published(connection) is None:
        return False
    await connection.execute(f"DROP PUBLICATION {PUBLICATION}")
    return True


async def slots(connection: asyncpg.Connection) -> list[Slot]:
    """Return the logical replication slots of this database, whoever made them."""
    rows = await connection.fetch(
        """
        SELECT slot_name::text, plugin::text, active,
            greatest(0, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_lsn() END, restart_lsn))::bigint
        FROM pg_replication_slots WHERE database = current_database() AND restart_lsn IS NOT NULL ORDER BY 1"""
    )
    return [Slot(*row) for row in rows]
