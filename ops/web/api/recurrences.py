"""Posts that repeat, for programs: make, list, show, change, pause, resume and end them."""

from collections.abc import Sequence

from aiohttp import web

from ops.web import forms
from ops.web.api.posts import APPROVE, READ, WRITE, page_size, with_key
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from publish.posting.descriptions import recurrence_document, saved_document, stored_recurrence_document
from publish.posting.recurrences import Recurrences, Saved, no_recurrence
from publish.posting.requests import RecurrenceBody, RecurrenceEdit, read


class RecurrencesApi:
    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._recurrences = Recurrences(publishing.posts)

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/api/recurrences", self.create),
            Route("GET", "/api/recurrences", self.list),
            Route("GET", "/api/recurrences/{id}", self.show),
            Route("PATCH", "/api/recurrences/{id}", self.edit),
            Route("DELETE", "/api/recurrences/{id}", self.end),
            Route("POST", "/api/recurrences/{id}/pause", self.pause),
            Route("POST", "/api/recurrences/{id}/resume", self.resume),
            Route("POST", "/api/recurrences/{id}/end", self.end),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Let a post repeat: 201, or 200 for a check, a repeat of the request, and what repeats like that already."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(RecurrenceBody, with_key(request))
        saved = await self._recurrences.create(caller.tenant, caller.actor, body)
        return _saved(saved, 201 if saved.changed else 200)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/posts")
        before = request.query.get("before")
        if before is not None:
            wrong = Refused(400, "invalid_request", "before must be an id.", "take it from the answer before")
            before = forms.parse_id(before, wrong)
        state = request.query.get("state") or None
        found, older = await self._recurrences.page(caller.tenant, state, before, page_size(request.query))
        return web.json_response({"recurrences": [stored_recurrence_document(each) for each in found], "before": older})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        found = await self._recurrences.one(caller.tenant, recurrence_id(request))
        redirect_browser(request, "/posts")
        return web.json_response(recurrence_document(found))

    async def edit(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        body, id_ = read(RecurrenceEdit, forms.document(request)), recurrence_id(request)
        may_approve = APPROVE in caller.scopes
        return _saved(await self._recurrences.edit(caller.tenant, caller.actor, id_, body, may_approve=may_approve))

    async def pause(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        return _saved(await self._recurrences.pause(caller.tenant, caller.actor, recurrence_id(request)))

    async def resume(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        return _saved(await self._recurrences.resume(caller.tenant, caller.actor, recurrence_id(request)))

    async def end(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        return _saved(await self._recurrences.end(caller.tenant, caller.actor, recurrence_id(request)))


def recurrence_id(request: web.Request) -> str:
    """Return the id in the address. Raises PostError for what can be none."""
    try:
        return forms.path_id(request, Refused(404, "not_found", "", ""))
    except Refused:
        raise no_recurrence() from None


def _saved(saved: Saved, status: int = 200) -> web.Response:
    return web.json_response(saved_document(saved), status=status)
