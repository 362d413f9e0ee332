"""The connections of a tenant, for programs: list, show, check, disconnect, and delete everything of one."""

from collections.abc import Sequence
from contextlib import suppress

import asyncpg
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
from publish.connections.connection_store import ConnectionDetails
from sync.pull import requests
from sync.pull.requests import Sync


class ConnectionsApi:
    def __init__(self, site: Site, connecting: Connecting) -> None:
        self._site = site
        self._connecting = connecting

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/api/connections", self.list),
            Route("GET", "/api/connections/{id}", self.show),
            Route("POST", "/api/connections/{id}/check", self.check),
            Route("POST", "/api/connections/{id}/sync", self.sync),
            Route("DELETE", "/api/connections/{id}", self.disconnect),
            Route("DELETE", "/api/connections/{id}/data", self.delete_data),
        )

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, "connections:read")
        redirect_browser(request, "/connections")
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            found = await connection_store.listed(connection)
            read = await requests.synced(connection, [each.id for each in found])
        return web.json_response({"connections": [_document(each, read.get(each.id)) for each in found]})

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
            read = await requests.synced(connection, [id_])
        if found is None:
            raise no_connection()
        redirect_browser(request, "/connections")
        return web.json_response(_document(found, read.get(id_)))

    async def sync(self, request: web.Request) -> web.Response:
        """Have the worker read the account anew. 202: that goes on from now on, as ``sync`` of the connection shows."""
        caller = await self._site.authentication.require_caller(request, "connections:write")
        id_ = path_id(request, no_connection())
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            await ask_to_read(connection, self._connecting, id_)
            read = await requests.synced(connection, [id_])
        sync = read.get(id_)
        return web.json_response({"asked": True, "sync": None if sync is None else json_object(sync)}, status=202)

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


def _document(item: ConnectionDetails, sync: Sync | None) -> dict[str, object]:
    """Return a connection as programs see it; ``sync`` is how far its account is read, None where it is not."""
    return {**json_object(item), "sync": None if sync is None else json_object(sync)}


async def ask_to_read(connection: asyncpg.Connection, connecting: Connecting, id_: str) -> ConnectionDetails:
    """Have the account of a connection read anew, and return the connection.

    Raises Refused where the tenant has none of this id, where it is not active, or where its platform is not read.
    """
    found = await connection_store.one(connection, id_)
    if found is None:
        raise no_connection()
    platform = connecting.pulling.get(found.platform)
    if platform is None:
        titles = connecting.flows.titles
        named = ", ".join(titles.get(name, name) for name in connecting.pulling) or "none"
        message = f"Accounts of {titles.get(found.platform, found.platform)} are not read."
        raise Refused(409, "conflict", message, f"ask for an account of a platform that is read: {named}")
    if not await requests.ask(connection, platform, id_):
        message = "The account is not connected at the moment, so it cannot be read."
        raise Refused(409, "conflict", message, "connect the account again, and ask for it then")
    return found


def no_connection() -> Refused:
    remedy = "look at those that there are: /connections, or GET /api/connections"
    return Refused(404, "not_found", "There is no such connection.", remedy)
