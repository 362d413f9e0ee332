"""Authorization flows, for programs: begin one, and read what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from ops.access.sessions import Person
from ops.runtime import responses
from ops.runtime.responses import NO_STORE
from ops.web import forms
from ops.web.api.connections import no_connection
from ops.web.negotiation import is_browser
from ops.web.responses import Refused, failure_of, message_page
from ops.web.routing import Route
from ops.web.site import Connecting, Site
from publish.oauth.authorization import LIFE_SECONDS, NEEDED
from publish.oauth.outcomes import Outcome

PARAMETERS = ("instance", "connection", "return_to", "optional_scopes")
"""What a request may say of the flow that it begins."""

_TITLES = {"waiting": "Waiting", "connected": "Connected", "failed": "Not connected"}


class AuthorizationApi:
    def __init__(self, site: Site, connecting: Connecting) -> None:
        self._site = site
        self._flows = connecting.flows

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/api/flows/{id}", self.result),)

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a flow. Return the link to open in the browser of the account's owner."""
        platform = request.match_info["platform"]
        caller = await self._site.authentication.require_caller(request, NEEDED)
        parameters = flow_parameters(request.query)
        if request.method == hdrs.METH_HEAD:  # begins nothing
            await self._flows.consent_request(platform, tenant=caller.tenant, actor=caller.actor, **parameters)
            return web.Response(headers=NO_STORE)
        begun = await self._flows.start(platform, tenant=caller.tenant, actor=caller.actor, **parameters)
        answer = {"open": self._flows.address(platform, begun.ticket), "flow": begun.id, "expires_in": LIFE_SECONDS}
        return web.json_response(answer, status=201)

    def refuse_session(self, person: Person) -> Refused:
        """Refuse a request for JSON by a person who is logged in: a link on any website could have sent it."""
        if not person.may(NEEDED):
            return Refused(403, "forbidden", "Your role does not allow this.", "ask an owner to do it")
        message = "In a browser this is done by a button, not by its address alone."
        return Refused(403, "forbidden", message, "open /connections and connect there, or send an API key")

    async def result(self, request: web.Request) -> web.Response:
        """Return what came of a flow, for the program that began it; a browser gets a page that says the same."""
        message = "There is no such flow, or it was more than a day ago."
        missing = Refused(404, "not_found", message, "begin one with GET /api/auth/{platform}")
        caller = await self._site.authentication.require_caller(request, "connections:read")
        found = await self._flows.progress(caller.tenant, forms.path_id(request, missing))
        if found is None:
            raise missing
        if is_browser(request):
            return message_page(_TITLES[found.state], found.message, 200, "/connections")
        return web.json_response(found.document)


def flow_parameters(given: Mapping[str, str], return_to: str = "") -> dict[str, Any]:
    """Return what a query or a form says of the flow to begin. Raises Refused."""
    return {
        "instance": given.get("instance", ""),
        "return_to": given.get("return_to", return_to),
        "reconnecting": forms.parse_id(given["connection"], no_connection()) if "connection" in given else None,
        "optional_scopes": given.get("optional_scopes", ""),
    }


def selected_accounts(request: web.Request) -> tuple[str, list[str]]:
    """Return the flow, if a program named it, and the accounts that it selected, from a JSON body. Raises Refused."""
    given = forms.document(request)
    flow, accounts = (given.get("flow", ""), given.get("accounts")) if isinstance(given, dict) else ("", None)
    if not isinstance(accounts, list) or not isinstance(flow, str):
        message = 'The body must be JSON such as {"accounts": ["platform:id"]}.'
        raise Refused(400, "invalid_request", message, "take the accounts from `choose` of the answer before")
    return flow, [str(name) for name in accounts]


def outcome_response(flow: str, outcome: Outcome, status: int) -> web.Response:
    """Return what came of a flow as JSON; with the flow's name where accounts are still to be selected."""
    if status >= 400:
        return responses.program_error(failure_of(status, outcome.kind or None, outcome.message))
    named = {"flow": flow} if outcome.kind == "choose" else {}
    return web.json_response(outcome.document | named, status=status, headers=NO_STORE)
