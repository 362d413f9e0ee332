"""Read the body of a request whole, within a size, a time and a budget of memory."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

BODY_SECONDS = 10.0
"""Longest that a body may take to arrive."""

SMALL_BYTES = 256 * 2**10
"""Nearly every webhook is smaller: bodies up to this size have memory that no other body can take."""

RESERVE_SECONDS = 1.0
"""How long a body may take to arrive that needs the memory set aside for small ones."""


class BodyError(Exception):
    """The body was not read; the text says why. What is left of it must not be read as another request."""


class BodyTooLargeError(BodyError):
    pass


class BodyTooSlowError(BodyError):
    pass


class BodyBrokenError(BodyError):
    """The body is not framed as HTTP defines it."""


class BudgetError(BodyError):
    """There is no memory for the body at the moment."""


class Budget:
    """Limits how many bytes of bodies are in memory, in total and for each client.

    Of ``limit`` bytes, six eighths are for all bodies. The seventh is only for bodies of at most :data:`SMALL_BYTES`,
    which have :data:`RESERVE_SECONDS` to arrive then, and the last only for such that have arrived. Of the bodies that
    are still arriving, one client may hold ``share`` bytes. A client without a name is held to no share.
    """

    def __init__(self, limit: int, share: int) -> None:
        self.limit = limit
        self.share = share
        self.held = 0
        self._arriving: Counter[str] = Counter()
        self._common, self._small = limit * 6 // 8, limit * 7 // 8

    def take(self, size: int) -> None:
        """Count a body that has arrived whole. Raises BudgetError."""
        if self.held + size > (self.limit if size <= SMALL_BYTES else self._common):
            raise BudgetError("too many bytes wait for the log")
        self.held += size

    def grow(self, client: str | None, more: int, announced: int | None) -> bool:
        """Count ``more`` bytes of a body that is arriving. Return whether it needs the reserve. Raises BudgetError."""
        small = announced is not None and announced <= SMALL_BYTES
        if self.held + more > (self._small if small else self._common):
            raise BudgetError("too many bytes wait for the log")
        if client is not None:
            if self._arriving[client] + more > self.share:
                raise BudgetError("too many bytes of unfinished bodies come from this address")
            self._arriving[client] += more
        self.held += more
        return self.held > self._common

    def arrived(self, client: str | None, size: int) -> None:
        """Release the client's share of a body that has arrived or was given up."""
        if client is not None:
            self._arriving[client] -= size
            if self._arriving[client] <= 0:
                del self._arriving[client]

    def release(self, size: int) -> None:
        self.held -= size


async def read(
    request: web.Request, limit: int, budget: Budget | None = None, client: Callable[[], str | None] = lambda: None
) -> bytes:
    """Return the whole body, at most ``limit`` bytes, within :data:`BODY_SECONDS`.

    What is read counts against ``budget``, and as of ``client()`` while it arrives; of a body that is returned the
    caller releases its length. Raises BodyError, ConnectionError.
    """
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    if request.content.is_eof() and request.content.exception() is None:
        body = request.content.read_nowait()  # a small body comes with its headers: no timer is needed to wait for it
        if len(body) > limit:
            raise _too_large(limit)
        if budget is not None:
            budget.take(len(body))
        return body
    return await _pieces(request, limit, _Count(budget, client(), announced))


@dataclass(slots=True)
class _Count:
    """The bytes of one body that count against a budget while it arrives."""

    budget: Budget | None
    client: str | None
    announced: int | None
    size: int = 0
    hurried: bool = False

    def grow(self, more: int) -> bool:
        """Count ``more`` bytes. Return whether the body has to arrive faster from now on. Raises BudgetError."""
        reserve = self.budget is not None and self.budget.grow(self.client, more, self.announced)
        self.size += more
        self.hurried, before = self.hurried or reserve, self.hurried
        return self.hurried and not before

    def end(self, *, kept: bool) -> None:
        if self.budget is not None:
            self.budget.arrived(self.client, self.size)
            if not kept:
                self.budget.release(self.size)


async def _pieces(request: web.Request, limit: int, count: _Count) -> bytes:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout_at(begun + BODY_SECONDS) as deadline:
            async for chunk in request.content.iter_any():
                if count.size + len(chunk) > limit:
                    raise _too_large(limit)
                if count.grow(len(chunk)):
                    deadline.reschedule(min(begun + BODY_SECONDS, loop.time() + RESERVE_SECONDS))
                chunks.append(chunk)
    except BaseException as error:
        count.end(kept=False)
        if isinstance(error, TimeoutError):
            raise BodyTooSlowError(f"the body took longer than {loop.time() - begun:.0f} s") from None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            raise BodyBrokenError("the body is not framed as HTTP has it") from None
        if isinstance(error, RuntimeError):  # aiohttp raises it where the connection closed before the reading began
            raise ConnectionResetError("the connection is closed") from None
        raise
    count.end(kept=True)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"bodies over {limit} bytes are refused")
