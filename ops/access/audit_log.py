"""Read the audit log: who did what, when, from where, to which connection."""

from ops.access import audit_log_store
from ops.access.audit_log_store import AuditLogPage
from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction

PAGE_SIZE = 200


async def read(
    pool: Pool, tenant: str, *, before: int | None = None, after: int | None = None, limit: int
) -> AuditLogPage:
    """Return the newest entries, those before the id ``before``, or the first ones after the id ``after``."""
    async with tenant_transaction(pool, tenant) as connection:
        return await audit_log_store.read_page(connection, before=before, after=after, limit=limit)
