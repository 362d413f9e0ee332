"""Actions on what is there already, for programs: answer, hide, show, edit, delete, and decide what is unconfirmed."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from ops.web import forms
from ops.web.api.posts import READ, WRITE, page_size, with_key
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from publish.posting.action_store import ActionFilter
from publish.posting.actions import Actions, no_action
from publish.posting.descriptions import action_document, action_result_document, cancelled_action_document
from publish.posting.requests import ActionBody, ActionConfirmBody, read
from publish.posting.results import Changed


class ActionsApi:
    """The routes below ``/api/actions``."""

    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._actions = Actions(publishing.posts)

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/api/actions", self.create),
            Route("GET", "/api/actions", self.list),
            Route("GET", "/api/actions/{id}", self.show),
            Route("POST", "/api/actions/{id}/retry", self.retry),
            Route("POST", "/api/actions/{id}/confirm", self.confirm),
            Route("POST", "/api/actions/{id}/cancel", self.cancel),
            Route("DELETE", "/api/actions/{id}", self.cancel),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Act: 201, or 200 for a check, for what was asked for already, and for a repeat of the request."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(ActionBody, with_key(request))
        acted = await self._actions.create(caller.tenant, caller.actor, body)
        new = acted.result == "created" and not acted.replayed
        return web.json_response(action_result_document(acted), status=201 if new else 200)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/posts")
        page = await self._actions.page(caller.tenant, action_filter(request.query), page_size(request.query))
        return web.json_response({"actions": [action_document(each) for each in page.actions], "before": page.before})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        found = await self._actions.one(caller.tenant, action_id(request))
        redirect_browser(request, f"/posts/{found.id}")
        return web.json_response(action_document(found))

    async def retry(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        return _changed(await self._actions.retry(caller.tenant, caller.actor, action_id(request)))

    async def confirm(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(ActionConfirmBody, forms.document(request))
        return _changed(await self._actions.confirm(caller.tenant, caller.actor, action_id(request), body))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an action, or say why it is too late."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        found = await self._actions.cancel(caller.tenant, caller.actor, action_id(request))
        return web.json_response(cancelled_action_document(found))


def action_id(request: web.Request) -> str:
    """Return the id in the address. Raises PostError for what can be none."""
    try:
        return forms.path_id(request, Refused(404, "not_found", "", ""))
    except Refused:
        raise no_action() from None


def action_filter(given: Mapping[str, str]) -> ActionFilter:
    """Return which actions a query asks for. Raises Refused."""
    ids = {}
    for name in ("connection", "target", "before"):
        wrong = Refused(400, "invalid_request", f"{name} must be an id.", "take it from an answer")
        ids[name] = forms.parse_id(given[name], wrong) if given.get(name) else None
    return ActionFilter(state=given.get("state") or None, object=given.get("object") or None, **ids)


def _changed(changed: Changed) -> web.Response:
    return web.json_response({"changed": changed.changed, "action": action_document(changed.post)})
