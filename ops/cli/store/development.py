"""What commands for development ask of a database: whose it is, and what is in it."""

import asyncpg

from ops.erasure.store import see_all_tenants

_USED = ("webhook_deliveries", "webhook_event_log", "users", "api_keys", "connections")


async def database_name(connection: asyncpg.Connection) -> str:
    found: str = await connection.fetchval("SELECT current_database()")
    return found


async def tables(connection: asyncpg.Connection) -> set[str]:
    """Return the names of the tables of schema public, without those of their partitions."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition"
    )
    return {row["relname"] for row in rows}


async def count_events(connection: asyncpg.Connection) -> int:
    found: int = await connection.fetchval("SELECT count(*) FROM webhook_event_log")
    return found


async def used_tables(connection: asyncpg.Connection) -> list[str]:
    """Return which of the tables that using Landfall fills hold something, of any tenant."""
    await see_all_tenants(connection)
    return [table for table in _USED if await _holds(connection, table)]


async def has_key_named_like(connection: asyncpg.Connection, name: str) -> bool:
    """Return whether there is an API key whose name begins like this, of any tenant."""
    if not await _exists(connection, "api_keys"):
        return False
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM api_keys WHERE starts_with(name, $1))", name)
    return found


async def _holds(connection: asyncpg.Connection, table: str) -> bool:
    if not await _exists(connection, table):
        return False
    return bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"))


async def _exists(connection: asyncpg.Connection, table: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table))
