"""What `landfall doctor` asks the server: version, clock, replication, rights, and what waits for somebody."""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from ops.runtime.db import required
from schema.states import CONNECTION, ConnectionState


class Standbys(NamedTuple):
    """Standbys that are connected: those that are synchronous, and those whose state this login may not see."""

    synchronous: int
    unknown: int


class Waiting(NamedTuple):
    """How many accounts of a platform wait for somebody to connect them again."""

    platform: str
    accounts: int


_STANDBY = """NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')"""
"""Who follows the change feed is no standby."""


async def version(connection: asyncpg.Connection) -> int:
    """Return the server's version as PostgreSQL counts it: 180001 for 18.1."""
    return int(await connection.fetchval("SHOW server_version_num"))


async def data_checksums(connection: asyncpg.Connection) -> str:
    """Return on or off."""
    found: str = await connection.fetchval("SHOW data_checksums")
    return found


def durable_setting(name: str) -> str:
    """Return the statement that makes a setting durable."""
    return f"ALTER SYSTEM SET {name} = on"


async def clock(connection: asyncpg.Connection) -> datetime:
    """Return the server's time."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def is_standby(connection: asyncpg.Connection) -> bool:
    found: bool = await connection.fetchval("SELECT pg_is_in_recovery()")
    return found


async def synchronous_standby_names(connection: asyncpg.Connection) -> str:
    found: str = await connection.fetchval("SHOW synchronous_standby_names")
    return found


async def followers(connection: asyncpg.Connection) -> int:
    """Count the servers that follow this one."""
    found: int = await connection.fetchval(f"SELECT count(*) FROM pg_stat_replication r WHERE {_STANDBY}")
    return found


async def standbys(connection: asyncpg.Connection) -> Standbys:
    """Count them by their state, which is NULL for a login that may not see it: unknown is not none."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE sync_state <> 'async'), count(*) FILTER (WHERE sync_state IS NULL)
        FROM pg_stat_replication r WHERE {_STANDBY}"""
    )
    return Standbys(*required(row))


async def rights_to_change_the_log(connection: asyncpg.Connection) -> list[str]:
    """Return the privileges with which this login could change or delete events."""
    return [
        right
        for right in ("UPDATE", "DELETE", "TRUNCATE")
        if await connection.fetchval("SELECT has_table_privilege('webhook_event_log', $1)", right)
    ]


async def schema_exists(connection: asyncpg.Connection, name: str) -> bool:
    found: bool = await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", name)
    return found


async def accounts_waiting(connection: asyncpg.Connection) -> list[Waiting]:
    """Count the accounts that wait for somebody to connect them again, by platform."""
    waiting = CONNECTION.any_of(ConnectionState.NEEDS_RECONNECT)
    rows = await connection.fetch(f"SELECT platform, count(*) FROM connections WHERE {waiting} GROUP BY 1")
    return [Waiting(*row) for row in rows]
