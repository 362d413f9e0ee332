"""SQL that records requests. Functions take a connection and never open a transaction; the caller does.

It stands apart from ``ops.erasure.store`` because the web process needs no more of it. All but ``request_account`` need
the owner of the database, and all tenants in view (``ops.erasure.store.see_all_tenants``).
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg


class RequestedAccount(NamedTuple):
    """A request as recorded: its code, and the platform of the account."""

    code: str
    platform: str


async def request_account(connection: asyncpg.Connection, connection_id: str, code: str) -> RequestedAccount | None:
    """Record that the tenant of this transaction asks for an account to be erased; None if it has no such connection.

    A request of the tenant for the same account that is still open begins its time anew and keeps its code.
    """
    row = await connection.fetchrow(
        "SELECT code, platform FROM request_account_deletion($1::uuid, $2)", connection_id, code
    )
    return None if row is None else RequestedAccount(row["code"], row["platform"])


async def repeat(
    connection: asyncpg.Connection, platform: str, id_: str, accounts: Sequence[str], hours: int
) -> str | None:
    """Begin the time of the same request of the operator anew. Return its code, None if there is none."""
    code: str | None = await connection.fetchval(
        """
        UPDATE deletion_requests SET requested_at = now(),
            repeat_until = CASE WHEN done_at IS NOT NULL THEN now() + make_interval(hours => $4) END
        WHERE platform = $1 AND user_id = $2 AND accounts = $3 AND requesting_tenant_id IS NULL RETURNING code""",
        platform,
        id_,
        list(accounts),
        hours,
    )
    return code


async def add(connection: asyncpg.Connection, code: str, platform: str, id_: str, accounts: Sequence[str]) -> None:
    """Record a request of the operator."""
    await connection.execute(
        "INSERT INTO deletion_requests (code, platform, user_id, accounts) VALUES ($1, $2, $3, $4)",
        *(code, platform, id_, list(accounts)),
    )
