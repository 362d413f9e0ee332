"""What is left of refused credentials and of requests told to wait: a count of each, and a few lines of the log."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import hdrs, web

from ops.runtime import metrics
from ops.runtime.sampling import Sampler
from ops.web.authentication import SESSION, Door
from ops.web.responses import NotLoggedInError, Refused

REASONS = {
    "csrf": "csrf",
    "invalid_signature": "signature",
    "stale": "stale_request",
    "duplicate_event": "reused_request",
}
"""Errors that programs and pages are told, and what they are counted as."""

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusals:
    """Counts and logs by reason and address; never what was refused itself."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._samplers: dict[str, Sampler] = {}

    def refused(self, request: web.Request, reason: str) -> None:
        metrics.of(metrics.access_refusals, reason).inc()
        # One for each reason, so that a flood of one hides no other.
        if self._samplers.setdefault(reason, Sampler()).take():
            log.warning("access.refused", reason=reason, address=self._door.address(request))

    def throttled(self, request: web.Request, endpoint: str) -> None:
        """``endpoint`` is the route, not the address asked for."""
        metrics.of(metrics.rate_limit_hits, endpoint).inc()
        if self._samplers.setdefault(endpoint, Sampler()).take():
            log.warning("access.throttled", endpoint=endpoint, address=self._door.address(request))

    def noting(self, handler: Handler) -> Handler:
        """The handler, with what it refuses counted and logged."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as refused:
                reason = self._credential(request) if refused.error == "unauthorized" else REASONS.get(refused.error)
                if reason:
                    self.refused(request, reason)
                raise
            except NotLoggedInError:
                if self._credential(request) == "session":
                    self.refused(request, "session")
                raise

        return answer

    def _credential(self, request: web.Request) -> str:
        """Which one came along; empty for none."""
        if hdrs.AUTHORIZATION in request.headers:
            return "api_key"
        return "session" if self._door.cookies(request).get(self._door.cookie(SESSION)) else ""
