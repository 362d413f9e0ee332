"""Record requests to be erased. `landfall erase --requested`, run daily by the database's owner, carries them out."""

import secrets

import asyncpg

from ops.access.audit_log_store import Actor, audit
from ops.erasure import request_store
from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction


async def request_account(pool: Pool, tenant: str, connection_id: str, actor: Actor) -> str | None:
    """Ask, as a tenant, that everything of one connected account be forgotten. Return the request's code.

    None where the tenant has no such connection. The caller has made sure that ``actor`` may erase accounts of the
    tenant. The code leads to the page that says how far the request is, as the code of a request by way of a platform
    does. Asked again while it is open, the same request begins anew and keeps its code.

    While another tenant has the same account connected, only what is this tenant's own is deleted, its connection; the
    request stays open until no other tenant has the account. Nothing is revoked at the platform: disconnect first.
    """
    async with tenant_transaction(pool, tenant) as connection:
        recorded = await request_store.request_account(connection, connection_id, secrets.token_urlsafe(18))
        if recorded is None:
            return None
        await audit(
            connection, tenant, actor, "connection.deletion_requested", connection_id, platform=recorded.platform
        )
    return recorded.code


async def request_by_operator(
    connection: asyncpg.Connection, platform: str, id_: str, repeat_hours: int, *, account: bool
) -> str:
    """Record a request of whoever runs the install, before it is carried out. Return its code.

    ``id_`` is an account's, or a person's. The same request again begins its time anew: one that was carried out is
    carried out again for so many hours.
    """
    accounts = [id_] if account else []
    code = await request_store.repeat(connection, platform, id_, accounts, repeat_hours)
    if code is None:
        code = secrets.token_hex(12)
        await request_store.add(connection, code, platform, id_, accounts)
    return code
