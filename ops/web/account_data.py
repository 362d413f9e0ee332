"""Delete everything of a connected account: end the connection, and record the request."""

from dataclasses import dataclass

from ops.access.audit_log_store import Actor
from ops.runtime.db import Pool
from ops.web.site import Connecting

SCOPE = "connections:erase"
"""Of owners, and of keys that were made for it."""


@dataclass(frozen=True, slots=True)
class DeletionRequested:
    """``code`` leads to the page that says how far the request is.

    ``revoked`` says whether the platform took the permission back; False if it is to be told later, or was told before.
    """

    code: str
    revoked: bool


async def delete_account_data(
    pool: Pool, connecting: Connecting, tenant: str, id_: str, actor: Actor
) -> DeletionRequested | None:
    """Disconnect an account, and record that everything of it is to be deleted. None if the tenant has no such account.

    The connection ends first, so that nothing new is received. Where this fails in between, it can be sent again.
    """
    revoked = await connecting.disconnector.disconnect(tenant, id_, actor)
    code = await connecting.request_deletion(pool, tenant, id_, actor)
    return None if code is None else DeletionRequested(code, revoked or False)
