"""Runs migrations over one connection, one migrator at a time, never waiting long for anybody's lock."""

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ops.runtime.db import COMMAND_CONNECT_SECONDS, reach
from schema.tables import all_tables

ADVISORY_LOCK = 0x4C414E44  # "LAND"; two migrators take turns instead of failing halfway


def run(connection: Connection) -> None:
    # Session level, because each migration commits by itself; released when the connection closes. Asked for again and
    # again: an index made CONCURRENTLY waits for every statement that began before it, so also for one that waits here.
    while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}).scalar():
        connection.commit()
        time.sleep(0.1)
    # A migration that waits for a lock makes everybody behind it wait too: give up early and be run again.
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.execute(text("SET statement_timeout = '10min'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=all_tables(), transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    # Opened as the service does, so every form that it takes (sockets, several hosts) works here too.
    dsn = context.config.attributes["dsn"]
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: reach(dsn, COMMAND_CONNECT_SECONDS), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(main())
