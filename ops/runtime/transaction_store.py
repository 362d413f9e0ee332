"""Begin and end transactions, and say whose rows they may see."""

from collections.abc import Mapping

import asyncpg

SECONDS = 10
"""The longest that a transaction may take."""

_LIMITED_FROM = 17
"""The release of PostgreSQL that knows ``transaction_timeout``. A session whose client is gone between two messages of
one statement counts neither as idle nor as running: this limit alone ends it. An older release keeps the locks until
TCP gives up."""


async def begin(connection: asyncpg.Connection, *first: str) -> str:
    """Begin a transaction and run its first statements, all in one message. Return the status of the last statement."""
    limited = connection.get_server_version().major >= _LIMITED_FROM
    limit = (f"SET LOCAL transaction_timeout = '{SECONDS}s'",) if limited else ()
    return await connection.execute("; ".join(("BEGIN", *limit, *filter(None, first))))


def local_settings(settings: Mapping[str, str]) -> str:
    """Return the statements that make these settings until the transaction ends."""
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


async def commit(connection: asyncpg.Connection) -> None:
    await connection.execute("COMMIT")


async def roll_back(connection: asyncpg.Connection) -> None:
    await connection.execute("ROLLBACK")


async def tenant(connection: asyncpg.Connection) -> str | None:
    """Return the tenant of the transaction; None or empty if it has none."""
    found: str | None = await connection.fetchval("SELECT current_setting('landfall.tenant', true)")
    return found


def tenant_statement(tenant: str, role: str = "") -> str:
    """Return the statement that sets the tenant until the transaction ends, without parameters.

    With a role, it sets none where this login does not have the rights of that role.
    """
    quoted = tenant.replace("'", "''")
    condition = f" WHERE pg_has_role('{role}', 'USAGE')" if role else ""
    return f"SELECT set_config('landfall.tenant', '{quoted}', true){condition}"


def tenant_is_set(status: str) -> bool:
    """Return whether a tenant's statement that ended with this status set it."""
    return status == "SELECT 1"


async def run(connection: asyncpg.Connection, statement: str) -> str:
    """Run a statement without parameters; return its status."""
    return await connection.execute(statement)
