"""Turns: of one tenant a few requests at a time, some more in line, and the rest told to come later.

The pool of connections is small and everybody's. Whoever calls is known by the credential before the database is asked:
from its first use on, a credential counts for its tenant, and before that for itself.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 2
"""Half of the web process's connections: the other half is for all the others."""

IN_LINE = 8
REMEMBERED = 10_000


class Crowded(Exception):  # noqa: N818  an answer
    """Too many requests of one tenant are under way."""


@dataclass(slots=True)
class _Line:
    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    length: int = 0


class Turns:
    def __init__(self) -> None:
        self._tenants: dict[bytes, str] = {}
        self._lines: dict[bytes | str, _Line] = {}

    @asynccontextmanager
    async def taken(self, *credentials: str) -> AsyncIterator[None]:
        """A turn of everybody whose credentials came along: one made up beside a real one gets nobody past the line.

        Raises Crowded.
        """
        digests = map(_digest, credentials)
        async with AsyncExitStack() as turns:
            # In one order, so that no two wait for each other.
            for who in sorted({self._tenants.get(digest, digest) for digest in digests}, key=str):
                await turns.enter_async_context(self._turn(who))
            yield

    @asynccontextmanager
    async def _turn(self, who: bytes | str) -> AsyncIterator[None]:
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
        """Count it for its tenant from now on."""
        if len(self._tenants) >= REMEMBERED:
            self._tenants.clear()  # sessions come and go; whoever is here still is known again by the next request
        self._tenants[_digest(credential)] = tenant


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
