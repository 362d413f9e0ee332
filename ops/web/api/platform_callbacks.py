"""Callbacks that platforms send themselves, signed: a person removed the application, or wants their data deleted."""

from collections.abc import Sequence

from aiohttp import web

from ops.runtime.responses import Code
from ops.web import forms
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Connecting
from publish.connections.disconnect import SignedRequestRejectedError


class PlatformCallbacks:
    def __init__(self, connecting: Connecting) -> None:
        self._disconnector = connecting.disconnector

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/api/auth/{platform}/deauthorize", self.deauthorize, limited=False),
            Route("POST", "/api/auth/{platform}/deletion", self.request_deletion, limited=False),
        )

    async def deauthorize(self, request: web.Request) -> web.Response:
        """Serve the deauthorize callback (``meta.md`` 6): return how many connections ended."""
        try:
            ended = await self._disconnector.deauthorize(request.match_info["platform"], _signed_request(request))
        except SignedRequestRejectedError as rejected:
            raise _rejected(rejected) from None
        if ended is None:
            raise _not_signed()
        return web.json_response({"ended": ended})

    async def request_deletion(self, request: web.Request) -> web.Response:
        """Serve the data deletion callback (``meta.md`` 6): return the address of the status page, and its code."""
        try:
            code = await self._disconnector.request_deletion(request.match_info["platform"], _signed_request(request))
        except SignedRequestRejectedError as rejected:
            raise _rejected(rejected) from None
        if code is None:
            raise _not_signed()
        return web.json_response({"url": self._disconnector.deletion_address(code), "confirmation_code": code})


def _signed_request(request: web.Request) -> str:
    return forms.form(request).get("signed_request", "")


def _not_signed() -> Refused:
    remedy = "send signed_request as the platform signs it, with the configured secret"
    return Refused(401, "invalid_signature", "It is not signed with a secret of this application.", remedy)


def _rejected(rejected: SignedRequestRejectedError) -> Refused:
    code: Code = "duplicate_event" if rejected.reason == "reused" else "stale"
    return Refused(400, code, str(rejected), "send a signed_request that is issued anew, if it is still meant")
