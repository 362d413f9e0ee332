"""Turns: of one tenant a few requests at a time, some more in line, and the rest told to come later.

The pool of connections is small and everybody's. A credential counts for its tenant: the database is asked once whose
it is, and the answer is remembered. One that is nobody's, because it is made up, revoked, expired or logged out, counts
as none at all.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 2
"""Half of the web process's connections: the other half is for all the others."""

IN_LINE = 8
REMEMBERED = 10_000
REMEMBERED_SECONDS = 10.0
"""A credential may end elsewhere: in another process, by expiry, with its owner. Then the database is asked again."""


class Crowded(Exception):  # noqa: N818  an answer
    """Too many requests of one tenant are under way."""


@dataclass(slots=True)
class _Line:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    length: int = 0


Find = Callable[[str], Awaitable[str | None]]
"""Asks the database for the tenant of a credential; None where it is nobody's."""


class Turns:
    def __init__(self) -> None:
        self._tenants: dict[bytes, tuple[str, float]] = {}
        self._lines: dict[str, _Line] = {}
        self._looking = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def taken(self, credentials: Mapping[str, Find]) -> AsyncIterator[None]:
        """A turn of everybody whose credentials came along: one made up beside a real one gets nobody past the line.

        ``credentials`` are each with what finds its tenant. Raises Crowded.
        """
        tenants = {await self._tenant(credential, find) for credential, find in credentials.items()}
        async with AsyncExitStack() as turns:
            # In one order, so that no two wait for each other.
            for who in sorted(tenant for tenant in tenants if tenant is not None):
                await turns.enter_async_context(self._turn(who))
            yield

    async def _tenant(self, credential: str, find: Find) -> str | None:
        tenant = self._known(credential)
        if tenant is None:
            async with self._looking:
                tenant = self._known(credential)  # the same one may have been looked for meanwhile
                if tenant is None:
                    tenant = await find(credential)
                    if tenant is None:
                        self.forget(credential)
                    else:
                        self.belongs(credential, tenant)
        return tenant

    def _known(self, credential: str) -> str | None:
        tenant, until = self._tenants.get(_digest(credential), ("", 0.0))
        return tenant if until > time.monotonic() else None

    @asynccontextmanager
    async def _turn(self, who: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(who, _Line())
        if line.length >= AT_ONCE + IN_LINE:
            raise Crowded
        line.length += 1
        try:
            async with line.free:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[who]

    def belongs(self, credential: str, tenant: str) -> None:
        """Count it for its tenant, for :data:`REMEMBERED_SECONDS`."""
        if len(self._tenants) >= REMEMBERED:
            self._tenants.clear()  # sessions come and go; whoever is here still is known again by the next request
        self._tenants[_digest(credential)] = tenant, time.monotonic() + REMEMBERED_SECONDS

    def forget(self, credential: str) -> None:
        """It is nobody's any more."""
        self._tenants.pop(_digest(credential), None)


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
