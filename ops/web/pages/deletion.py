"""The page that says how far a request to delete data is. Whoever has its code may look."""

from collections.abc import Sequence

from aiohttp import web

from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.web.responses import message_page
from ops.web.routing import Route
from ops.web.site import Site
from publish.connections import disconnect_store


class DeletionPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/deletions/{code}", self.status, limited=False),)

    async def status(self, request: web.Request) -> web.Response:
        async with tenant_transaction(self._site.pool, NO_TENANT) as connection:
            found = await disconnect_store.deletion(connection, request.match_info["code"])
        if found is None:
            return message_page("Not found", "There is no request with this code.", 404)
        requested, done = found
        text = f"It was requested on {requested:%d %B %Y}. The connection to the account ended at once."
        if done is None:
            return message_page("In progress", f"{text} What was stored will be deleted within 30 days.", 200)
        return message_page("Done", f"{text} Everything stored about it was deleted on {done:%d %B %Y}.", 200)
