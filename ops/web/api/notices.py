"""Notices about connections that need somebody, for programs."""

from collections.abc import Sequence

from aiohttp import web

from ops.runtime.serialization import json_object
from ops.runtime.tenancy import tenant_transaction
from ops.web.negotiation import redirect_browser
from ops.web.routing import Route
from ops.web.site import Site
from publish.notifications import notice_store


class NoticesApi:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/api/notices", self.list),)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "connections:read")
        redirect_browser(request, "/connections")
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            notices = await notice_store.notices(connection)
        return web.json_response({"notices": [json_object(notice) for notice in notices]})
