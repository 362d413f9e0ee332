"""Begin and end transactions, and say whose rows they may see."""

from collections.abc import Mapping

import asyncpg

SECONDS = 10
"""The longest that a transaction may take."""

BEGIN = f"""
BEGIN;
SELECT set_config(name, '{SECONDS}s', true) FROM (VALUES ('transaction_timeout')) AS setting (name)
WHERE current_setting(name, true) IS NOT NULL
"""
"""A session whose client is gone between two messages of one statement counts neither as idle nor as running: from
PostgreSQL 17 on, this limit alone ends it. Before, it keeps its locks until TCP gives up."""


def begin_with(settings: Mapping[str, str]) -> str:
    """Return the statements that begin a transaction with settings of its own."""
    return "; ".join([BEGIN, *(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())])


async def commit(connection: asyncpg.Connection) -> None:
    await connection.execute("COMMIT")


async def roll_back(connection: asyncpg.Connection) -> None:
    await connection.execute("ROLLBACK")


async def tenant(connection: asyncpg.Connection) -> str | None:
    """Return the tenant of the transaction; None or empty if it has none."""
    found: str | None = await connection.fetchval("SELECT current_setting('landfall.tenant', true)")
    return found


async def set_tenant(connection: asyncpg.Connection, tenant: str) -> None:
    """Set the tenant until the transaction ends."""
    await connection.execute("SELECT set_config('landfall.tenant', $1, true)", tenant)
