"""What answers for connecting accounts and for posts where no vault key is configured."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from ops.runtime.responses import wants_page
from ops.web.responses import MAKE_VAULT_KEY, Refused, message_page, sentence
from ops.web.routing import Route
from ops.web.site import Site

NOT_CONFIGURED = (
    "Accounts cannot be connected, and nothing can be posted: no vault key is configured to encrypt their tokens."
)

_PATHS = (
    "/api/auth/{rest:.*}",
    "/api/connections{rest:(?:/.*)?}",
    "/api/flows/{rest:.*}",
    "/api/notices",
    "/deletions/{rest:.*}",
    "/api/posts{rest:(?:/.*)?}",
    "/api/recurrences{rest:(?:/.*)?}",
    "/api/posting/{rest:.*}",
    "/api/share",
    "/api/link-preview",
    "/api/{platform}/upload",
)
_PAGES = ("/connections{rest:(?:/.*)?}", "/posts{rest:(?:/.*)?}", "/recurrences/{rest:.*}", "/share")


class ConnectionsNotConfigured:
    """Responds with 503 at the addresses that connect accounts and make posts, and says what to set."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        handlers = (*((path, self.refuse) for path in _PATHS), *((path, self.show) for path in _PAGES))
        return [Route(hdrs.METH_ANY, path, handler, limited=False, any_query=True) for path, handler in handlers]

    async def show(self, request: web.Request) -> web.Response:
        """Show a person who is logged in what is missing, on a page that leads to the other pages."""
        person = await self._site.authentication.require_login(request)
        if not wants_page(request):
            return await self.refuse(request)
        text = f"{NOT_CONFIGURED} {sentence(MAKE_VAULT_KEY)}"
        return message_page("Accounts cannot be connected yet", text, 503, person=person)

    async def refuse(self, _: web.Request) -> web.Response:
        raise Refused(503, "not_configured", NOT_CONFIGURED, MAKE_VAULT_KEY)
