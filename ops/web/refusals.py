"""Count refused credentials and requests told to wait, and log a few of them."""

import structlog
from aiohttp import hdrs, web

from ops.runtime import metrics
from ops.runtime.sampling import Sampler
from ops.web.authentication import SESSION
from ops.web.client import Client
from ops.web.cookies import Cookies
from ops.web.responses import NotLoggedInError, Refused

REASONS = {
    "csrf": "csrf",
    "invalid_signature": "signature",
    "stale": "stale_request",
    "duplicate_event": "reused_request",
}
"""Error codes, and the reason that each is counted as."""

log = structlog.get_logger()


class Refusals:
    """Counts and logs by reason and address; never what was refused itself."""

    def __init__(self, cookies: Cookies, client: Client) -> None:
        self._cookies = cookies
        self._client = client
        self._samplers: dict[str, Sampler] = {}

    def refused(self, request: web.Request, reason: str) -> None:
        metrics.of(metrics.access_refusals, reason).inc()
        # One for each reason, so that many of one hide no other.
        if self._samplers.setdefault(reason, Sampler()).take():
            log.warning("access.refused", reason=reason, address=self._client.address(request))

    def throttled(self, request: web.Request, endpoint: str) -> None:
        """``endpoint`` is the route, not the address requested."""
        metrics.of(metrics.rate_limit_hits, endpoint).inc()
        if self._samplers.setdefault(endpoint, Sampler()).take():
            log.warning("access.throttled", endpoint=endpoint, address=self._client.address(request))

    def record(self, request: web.Request, error: Refused | NotLoggedInError) -> None:
        """Count and log what a handler refused, if that was a credential."""
        if isinstance(error, NotLoggedInError):
            reason = "session" if self._credential(request) == "session" else ""
        elif error.error == "unauthorized":
            reason = self._credential(request)
        else:
            reason = REASONS.get(error.error, "")
        if reason:
            self.refused(request, reason)

    def _credential(self, request: web.Request) -> str:
        """Return the kind of credential that was sent; empty for none."""
        if hdrs.AUTHORIZATION in request.headers:
            return "api_key"
        return "session" if self._cookies.get(request, SESSION) else ""
