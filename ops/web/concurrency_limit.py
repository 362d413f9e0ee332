"""Limit how many requests of one tenant run at once: a few run, some more wait, and the rest are refused.

The connection pool is small and shared by all tenants. A credential counts for its tenant: the database is asked once
which one that is, and the answer is remembered for a short time. A credential that belongs to nobody counts for none:
one that is made up, revoked, expired or logged out.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

RUNNING = 2
"""Requests of a tenant at once: half of the web process's connections. The other half is for all other tenants."""

WAITING = 8
REMEMBERED = 10_000
REMEMBERED_SECONDS = 10.0
"""A credential may end in another process, by expiry, or with its owner. Then the database is asked again."""


class TooManyRequests(Exception):  # noqa: N818  an answer
    """Too many requests of one tenant are running or waiting."""


@dataclass(slots=True)
class _Queue:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RUNNING))
    length: int = 0


FindTenant = Callable[[str], Awaitable[str | None]]
"""Asks the database for the tenant of a credential; None if it belongs to nobody."""


class ConcurrencyLimit:
    def __init__(self) -> None:
        self._tenants: dict[bytes, tuple[str, float]] = {}
        self._queues: dict[str, _Queue] = {}
        self._lookups = asyncio.Semaphore(RUNNING)

    @asynccontextmanager
    async def slot(self, credentials: Mapping[str, FindTenant]) -> AsyncIterator[bool]:
        """Hold a slot of every tenant whose credentials were sent. Yield whether that took a wait.

        A made-up credential beside a real one does not bypass the limit. ``credentials`` maps each to the function that
        finds its tenant. Raises TooManyRequests.
        """
        tenants = {await self._tenant(credential, find) for credential, find in credentials.items()}
        waited = False
        async with AsyncExitStack() as slots:
            # In one order, so that no two requests wait for each other.
            for tenant in sorted(tenant for tenant in tenants if tenant is not None):
                waited |= await slots.enter_async_context(self._slot(tenant))
            yield waited

    async def _tenant(self, credential: str, find: FindTenant) -> str | None:
        tenant = self._known(credential)
        if tenant is None:
            async with self._lookups:
                tenant = self._known(credential)  # another request may have asked meanwhile
                if tenant is None:
                    tenant = await find(credential)
                    if tenant is None:
                        self.forget(credential)
                    else:
                        self.remember(credential, tenant)
        return tenant

    def _known(self, credential: str) -> str | None:
        tenant, until = self._tenants.get(_digest(credential), ("", 0.0))
        return tenant if until > time.monotonic() else None

    @asynccontextmanager
    async def _slot(self, tenant: str) -> AsyncIterator[bool]:
        queue = self._queues.setdefault(tenant, _Queue())
        if queue.length >= RUNNING + WAITING:
            raise TooManyRequests
        queue.length += 1
        waited = queue.slots.locked()
        try:
            async with queue.slots:
                yield waited
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[tenant]

    def remember(self, credential: str, tenant: str) -> None:
        """Count the credential for this tenant, for :data:`REMEMBERED_SECONDS`."""
        if len(self._tenants) >= REMEMBERED:
            self._tenants.clear()  # whoever still sends requests is remembered again with the next one
        self._tenants[_digest(credential)] = tenant, time.monotonic() + REMEMBERED_SECONDS

    def forget(self, credential: str) -> None:
        """Count the credential for no tenant any more."""
        self._tenants.pop(_digest(credential), None)


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
