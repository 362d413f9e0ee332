"""Limit how many client connections are open at once, and choose which to close when there are too many.

aiohttp has no bound of its own: connections that send nothing use up the file descriptors, and then neither a webhook
nor the database gets one.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from ops.runtime import metrics, proxies
from ops.runtime.proxies import Network
from ops.runtime.sampling import Sampler

BACKLOG = 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections the limit of file descriptors leaves for clients.

    asyncio accepts up to ``backlog`` connections in one go, before the first of them can be counted.
    """

    connections: int
    backlog: int


def connection_limits(descriptors: int, wanted: int) -> ConnectionLimits:
    """Return the limits of a process that may open ``descriptors`` files; at most ``wanted`` connections.

    An eighth is left for connections to PostgreSQL, Redis and platforms, and for logs.
    """
    clients = descriptors - max(48, descriptors // 8)
    backlog = max(1, min(BACKLOG, clients // 4))
    return ConnectionLimits(max(1, min(wanted, clients - backlog)), backlog)


def raise_descriptors() -> int:
    """Raise the soft limit of file descriptors to the hard one and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 65536)  # some systems refuse to lift it altogether
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Connections:
    """The open connections of one server, oldest first.

    When there are more than ``limit``, or than ``each`` of one address that is no proxy of ours, one is closed: the
    oldest that has not sent a whole request, which honest clients do at once; else the oldest idle one; else the new
    one.
    """

    def __init__(self, limit: int, each: int, trusted: Sequence[Network] = ()) -> None:
        self._limit = limit
        self._each = each
        self._trusted = trusted
        self._open: dict[web.RequestHandler, tuple[asyncio.Transport, str | None]] = {}
        self._of: Counter[str] = Counter()
        self._told = Sampler()
        metrics.http_connections.set_function(lambda: len(self._open))
        metrics.http_connections_limit.set(limit)

    def watch(self, server: web.Server) -> None:
        """Count the connections of this server from now on."""
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._add(handler, transport)

        def connection_lost(handler: web.RequestHandler, exc: BaseException | None = None) -> None:
            self._remove(handler)
            lost(handler, exc)

        # aiohttp builds the server itself, and has its connections call these two.
        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _add(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername")
        peer = peer[0] if isinstance(peer, tuple) else None
        address = None if proxies.is_ours(peer, self._trusted) else proxies.client(peer, (), ())
        self._open[handler] = transport, address
        if address is not None:
            self._of[address] += 1
            if self._of[address] > self._each:
                self._close_one(handler, address)
                return
        if len(self._open) > self._limit:
            self._close_one(handler, None)

    def _remove(self, handler: web.RequestHandler) -> None:
        _, address = self._open.pop(handler, (None, None))
        if address is not None:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _close_one(self, newest: web.RequestHandler, address: str | None) -> None:
        """Close one connection, of ``address`` if that is given."""
        idle = None
        chosen, reason = newest, "all_busy"
        for handler, (_, theirs) in self._open.items():
            if handler is newest or address not in (None, theirs):
                continue
            if _is_unfinished(handler):
                chosen, reason = handler, "unfinished"
                break
            if idle is None and _is_idle(handler):
                idle = handler
        else:
            if idle is not None:
                chosen, reason = idle, "idle"
        transport, of = self._open[chosen]
        metrics.http_connections_closed.labels(reason).inc()
        if self._told.take():
            log.warning("connection.closed", reason=reason, client=of, open=len(self._open))
        self._remove(chosen)  # now, not when the transport says so: others may be accepted before
        transport.abort()


# aiohttp does not say in public how far a connection is. Asked only when one has to go.


def _is_unfinished(handler: web.RequestHandler) -> bool:
    """Return whether it never sent a whole head, or not yet the whole body of its current request."""
    request = handler._current_request  # noqa: SLF001
    if request is None:
        return handler._request_count == 0  # noqa: SLF001
    return not request.content.is_eof()


def _is_idle(handler: web.RequestHandler) -> bool:
    return handler._current_request is None and not handler._messages  # noqa: SLF001
