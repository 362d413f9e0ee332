"""The page of the audit log."""

from collections.abc import Sequence

from aiohttp import web

from ops.access import audit_log
from ops.web.api.audit import entry_id
from ops.web.responses import render
from ops.web.routing import Route
from ops.web.site import Site


class AuditPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/audit", self.show),)

    async def show(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request, "audit:read")
        before, after = entry_id(request, "before"), entry_id(request, "after")
        part = await audit_log.read(
            self._site.pool, person.tenant, before=before, after=after, limit=audit_log.PAGE_SIZE
        )
        return render("audit.html", person=person, part=part)
