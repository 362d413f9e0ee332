"""Where a request comes from, behind the proxies that are ours."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from ops.runtime import proxies
from ops.runtime.proxies import Network


class Client:
    """``trusted`` are the proxies in front; only what they say is believed."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted

    def address(self, request: web.Request) -> str | None:
        """Return the IP address of the client."""
        return proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, []), self._trusted)

    def schemes(self, request: web.Request) -> tuple[str, ...]:
        """Return the schemes that the client may have used: one if known, both behind a proxy that does not say."""
        if not proxies.is_ours(request.remote, self._trusted):
            return (request.scheme,)
        scheme = ",".join(request.headers.getall(hdrs.X_FORWARDED_PROTO, [])).rpartition(",")[2].strip().lower()
        return (scheme,) if scheme else ("http", "https")
