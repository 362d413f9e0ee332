"""The audit log of a tenant, for programs."""

from collections.abc import Sequence

from aiohttp import web

from ops.access import audit_log
from ops.runtime.serialization import json_object
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Site


class AuditApi:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/api/audit", self.list),)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "audit:read")
        redirect_browser(request, "/audit")
        before = entry_id(request, "before")
        part = await audit_log.read(self._site.pool, caller.tenant, before=before, limit=audit_log.PAGE_SIZE)
        return web.json_response({"entries": [json_object(entry) for entry in part.entries], "before": part.older})


def entry_id(request: web.Request, name: str) -> int | None:
    """Return the id of an entry from the query; None if it is not there. Raises Refused for what cannot be one."""
    given = request.query.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise Refused(400, "invalid_request", f"{name} must be the id of an entry.", "take it from the answer before")
    return int(given)
