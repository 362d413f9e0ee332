"""The queues of accounts, for programs: the times of the week at which they publish what takes the next free slot."""

from collections.abc import Sequence

from aiohttp import web

from ops.web import forms
from ops.web.api.connections import no_connection
from ops.web.api.posts import READ, WRITE
from ops.web.negotiation import redirect_browser
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from publish.posting.descriptions import queue_document
from publish.posting.queues import Queues
from publish.posting.requests import QueueBody, read


class QueuesApi:
    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._queues = Queues(publishing.posts)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/api/connections/{id}/slots", self.show),
            Route("PUT", "/api/connections/{id}/slots", self.set),
        )

    async def show(self, request: web.Request) -> web.Response:
        """Return the slots of an account, and the next of them that are free."""
        caller = await self._site.authentication.require_caller(request, READ)
        found = await self._queues.show(caller.tenant, forms.path_id(request, no_connection()))
        redirect_browser(request, "/posts")
        return web.json_response(queue_document(found))

    async def set(self, request: web.Request) -> web.Response:
        """Set the slots of an account in place of those that it has."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        id_, body = forms.path_id(request, no_connection()), read(QueueBody, forms.document(request))
        return web.json_response(queue_document(await self._queues.set(caller.tenant, caller.actor, id_, body)))
