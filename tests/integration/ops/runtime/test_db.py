"""Statements of commands end: after a time, or with the command that waits for them."""

import asyncio

import asyncpg

from ops.runtime import db
from tests.support import eventually


async def test_statement_without_a_limit_ends_with_its_command(connection: asyncpg.Connection, database: str) -> None:
    limited, other = await db.connect(database), await db.connect(database, limited=False)
    assert await limited.fetchval("SHOW statement_timeout") == "10min"
    await limited.close()
    assert await other.fetchval("SHOW statement_timeout") == "0"
    assert await other.fetchval("SHOW client_connection_check_interval") == "10s"
    await other.execute("SET client_connection_check_interval = '100ms'")
    pid = other.get_server_pid()
    waiting = asyncio.create_task(other.execute("SELECT pg_sleep(600)"))

    async def runs() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
        return bool(await connection.fetchval(query, pid))

    async def ended() -> bool:
        return not await runs()

    await eventually(runs, 10)
    other.terminate()  # as a process that is killed
    await asyncio.wait([waiting])
    waiting.exception()
    await eventually(ended, 10)
