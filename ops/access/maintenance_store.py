"""Delete what people left behind and nothing reads any more."""

import asyncpg

from ops.access import user_store
from ops.access.device_store import DEVICE_DAYS


async def delete_expired(connection: asyncpg.Connection) -> None:
    """Delete sessions, logins, invitations, devices and challenges that are over, and persons without a tenant.

    The transaction is for all tenants.
    """
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    await connection.execute("DELETE FROM invitations WHERE expires_at < now() - interval '30 days'")
    await connection.execute("DELETE FROM login_failures WHERE failed_at < now() - interval '1 day'")
    await connection.execute("DELETE FROM devices WHERE seen_at < now() - make_interval(days => $1)", DEVICE_DAYS)
    await connection.execute("DELETE FROM pending_logins WHERE expires_at < now()")
    await connection.execute("DELETE FROM webauthn_challenges WHERE expires_at < now()")
    await connection.execute(
        "DELETE FROM totp_factors WHERE confirmed_at IS NULL AND created_at < now() - interval '1 day'"
    )
    await user_store.delete_all_without_tenant(connection)
