"""The connections of a tenant, for programs: list, show, check, disconnect, and delete everything of one."""

from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web

from ops.runtime.platform_protocol import PlatformError
from ops.runtime.serialization import json_object
from ops.runtime.tenancy import tenant_transaction
from ops.web.account_data import SCOPE, delete_account_data
from ops.web.forms import path_id
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Connecting, Site
from publish.connections import connection_store


class ConnectionsApi:
    def __init__(self, site: Site, connecting: Connecting) -> None:
        self._site = site
        self._connecting = connecting

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/api/connections", self.list),
            Route("GET", "/api/connections/{id}", self.show),
            Route("POST", "/api/connections/{id}/check", self.check),
            Route("DELETE", "/api/connections/{id}", self.disconnect),
            Route("DELETE", "/api/connections/{id}/data", self.delete_data),
        )

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "connections:read")
        redirect_browser(request, "/connections")
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            found = await connection_store.listed(connection)
        return web.json_response({"connections": [json_object(each) for each in found]})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "connections:read")
        return await self._shown(request, caller.tenant, path_id(request, no_connection()))

    async def check(self, request: web.Request) -> web.Response:
        """Ask the platform now; the connection in the response says what it answered."""
        caller = await self._site.authentication.require_caller(request, "connections:write")
        id_ = path_id(request, no_connection())
        with suppress(PlatformError):
            await self._connecting.refresher.check(caller.tenant, id_)
        return await self._shown(request, caller.tenant, id_)

    async def _shown(self, request: web.Request, tenant: str, id_: str) -> web.Response:
        async with tenant_transaction(self._site.pool, tenant) as connection:
            found = await connection_store.one(connection, id_)
        if found is None:
            raise no_connection()
        redirect_browser(request, "/connections")
        return web.json_response(json_object(found))

    async def disconnect(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "connections:write")
        id_ = path_id(request, no_connection())
        revoked = await self._connecting.disconnector.disconnect(caller.tenant, id_, caller.actor)
        if revoked is None:
            raise no_connection()
        return web.json_response({"disconnected": True, "revoked": revoked})

    async def delete_data(self, request: web.Request) -> web.Response:
        """Disconnect, and record that everything of the account is to be deleted. 202: that is done later."""
        caller = await self._site.authentication.require_caller(request, SCOPE)
        id_ = path_id(request, no_connection())
        requested = await delete_account_data(self._site.pool, self._connecting, caller.tenant, id_, caller.actor)
        if requested is None:
            raise no_connection()
        url = self._connecting.disconnector.deletion_address(requested.code)
        answer = {"url": url, "confirmation_code": requested.code, "disconnected": True, "revoked": requested.revoked}
        return web.json_response(answer, status=202)


def no_connection() -> Refused:
    remedy = "look at those that there are: /connections, or GET /api/connections"
    return Refused(404, "not_found", "There is no such connection.", remedy)
