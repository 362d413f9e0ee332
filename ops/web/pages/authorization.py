"""The pages of an authorization flow: confirm, come back from the platform, select accounts, outcome.

A platform and our own pages lead browsers here; a program that follows them gets JSON.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiohttp import hdrs, web

from ops.access.sessions import Person, csrf_token
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.responses import wants_page
from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.api.authorization import (
    PARAMETERS,
    AuthorizationApi,
    flow_parameters,
    outcome_response,
    selected_accounts,
)
from ops.web.authentication import role_refused
from ops.web.csrf import require_token
from ops.web.messages import Message
from ops.web.negotiation import accepts_json
from ops.web.pages.connections import display_names
from ops.web.responses import STATUS, message_page, problem_page, redirect, redirect_page, render
from ops.web.routing import Route
from ops.web.site import Connecting, Site
from publish.connections import connection_store
from publish.oauth.authorization import (
    CHOICE_SECONDS,
    LIFE_SECONDS,
    NEEDED,
    Callback,
    ConsentRequest,
    OpenedFlow,
    mark_of,
)
from publish.oauth.outcomes import Outcome

FLOW_COOKIE = "landfall-flow"
BROWSER_COOKIE = "landfall-browser"
"""Tells one browser that opens a link from another: its forms are valid in no other browser."""

MOST_FLOWS = 20
"""Of one browser, with a cookie of some 100 bytes each: servers accept headers of 8 KB."""

ALLOW_COOKIES = "allow cookies for this site, open the link again and press the button there"

_MARK = re.compile(r"[0-9a-f]{32}")


class AuthorizationPages:
    def __init__(self, site: Site, connecting: Connecting, api: AuthorizationApi) -> None:
        self._site = site
        self._flows = connecting.flows
        self._api = api

    def routes(self) -> Sequence[Route]:
        # Browsers that come from a platform send no key and wait for the platform: they hold no slot of a tenant.
        return (
            Route("GET", "/api/auth/{platform}", self.begin),
            Route("POST", "/api/auth/{platform}", self.begin_by_form),
            Route("GET", "/api/auth/{platform}/open", self.open, limited=False),
            Route("POST", "/api/auth/{platform}/open", self.open_by_form, limited=False),
            Route("GET", "/api/auth/{platform}/choose", self.selection, limited=False),
            Route("POST", "/api/auth/{platform}/choose", self.select, limited=False),
            Route("GET", "/api/auth/{platform}/callback", self.callback, limited=False, any_query=True),
            Route("GET", "/api/auth/{platform}/{instance}/callback", self.callback, limited=False, any_query=True),
        )

    # --- begin

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a flow for a program with a key. Show a person the page with the button, and begin nothing."""
        authentication = self._site.authentication
        if hdrs.AUTHORIZATION in request.headers:
            return await self._api.begin(request)
        person = await authentication.person(request)
        if person is None:
            if wants_page(request):
                raise await authentication.login_redirect(request)
            return await self._api.begin(request)
        if not wants_page(request):
            raise self._api.refuse_session(person)
        if not person.may(NEEDED):
            raise role_refused(person)
        return await self._confirm_own(request, person)

    async def _confirm_own(self, request: web.Request, person: Person) -> web.Response:
        platform, query = request.match_info["platform"], request.query
        parameters = flow_parameters(query, "/connections")
        actor = self._site.actor(request, person)
        try:
            asked = await self._flows.consent_request(platform, tenant=person.tenant, actor=actor, **parameters)
        except PlatformError as problem:
            return problem_page(problem, back="/connections", person=person)
        fields = {"csrf": person.csrf} | {name: query[name] for name in PARAMETERS if name in query}
        return self._confirmation(request, asked, person, fields, f"/api/auth/{platform}", own=True)

    async def begin_by_form(self, request: web.Request) -> web.Response:
        """Begin a flow for a person who is logged in and pressed a button of ours, and lead them to the platform."""
        person = await self._site.authentication.require_form(request, NEEDED)
        platform, actor = request.match_info["platform"], self._site.actor(request, person)
        parameters = flow_parameters(forms.form(request), "/connections")
        try:
            begun = await self._flows.start(platform, tenant=person.tenant, actor=actor, **parameters)
            taken = await self._flows.open(platform, begun.ticket, secrets.token_urlsafe(32))
        except PlatformError as problem:
            if not wants_page(request):
                raise
            return problem_page(problem, back="/connections", person=person)
        return await self._to_platform(request, taken)

    # --- the link that a program was given

    async def open(self, request: web.Request) -> web.Response:
        """Show what a link asks for, and a button. This changes nothing: link previews and browsers may only look."""
        ticket, platform = request.query.get("ticket", ""), request.match_info["platform"]
        browser = self._browser(request) or secrets.token_urlsafe(32)
        try:
            asked = await self._flows.preview(platform, ticket, browser)
        except PlatformError as problem:
            response = problem_page(problem)
        else:
            fields = {"csrf": _link_csrf(browser, ticket), "ticket": ticket}
            person = await self._site.authentication.person(request)
            response = self._confirmation(request, asked, person, fields, f"/api/auth/{platform}/open", own=False)
            self._site.cookies.set(response, BROWSER_COOKIE, browser, LIFE_SECONDS + CHOICE_SECONDS)
        response.headers["Referrer-Policy"] = "no-referrer"  # the ticket is in the address
        return response

    def _confirmation(
        self,
        request: web.Request,
        asked: ConsentRequest,
        person: Person | None,
        fields: Mapping[str, str],
        action: str,
        *,
        own: bool,
    ) -> web.Response:
        """Render the page with the button; ``own`` says whether the person who is logged in is the one who asks."""
        return render(
            "connect.html",
            asked=asked,
            visitor=person,
            person=person if own else None,
            title=self._flows.titles[request.match_info["platform"]],
            tenant=dict(person.tenants)[person.tenant] if person else "",
            other_tenant=person is not None and person.tenant != asked.tenant,
            fields=fields,
            action=action,
        )

    async def open_by_form(self, request: web.Request) -> web.Response:
        """Bind the flow to the first browser in which the button is pressed, and lead it to the platform."""
        self._site.origins.require_same_origin(request, no_referrer=True)
        form, browser, platform = forms.form(request), self._browser(request), request.match_info["platform"]
        ticket = form.get("ticket", "")
        require_token(form.get("csrf") if browser else "", _link_csrf(browser, ticket), ALLOW_COOKIES)
        try:
            taken = await self._flows.open(platform, ticket, browser)
        except PlatformError as problem:
            return problem_page(problem)
        return await self._to_platform(request, taken)

    async def _to_platform(self, request: web.Request, taken: OpenedFlow) -> web.Response:
        """Lead the browser to the platform; a cookie holds the secret of the flow."""
        response = redirect_page(taken.address)
        await self._delete_old_cookies(request, response)
        # It lasts until accounts are selected. Each flow has its own cookie, so that several do not disturb each other.
        seconds = LIFE_SECONDS + CHOICE_SECONDS
        self._site.cookies.set(response, f"{FLOW_COOKIE}-{taken.mark}", taken.secret, seconds)
        return response

    def _browser(self, request: web.Request) -> str:
        return self._site.cookies.get(request, BROWSER_COOKIE)

    def _secrets(self, request: web.Request) -> dict[str, str]:
        """Return the secrets of the flows that this browser has, by their marks, oldest first."""
        prefix = self._site.cookies.name(f"{FLOW_COOKIE}-")
        found = ((name.partition(prefix), secret) for name, secret in self._site.cookies.all(request).items())
        return {
            mark: secret for (before, named, mark), secret in found if named and not before and _MARK.fullmatch(mark)
        }

    async def _delete_old_cookies(self, request: web.Request, response: web.Response) -> None:
        """Delete the cookies of flows that ended, and the oldest ones where there are too many for a header."""
        held = self._secrets(request)
        kept = list(held)[-(MOST_FLOWS - 1) :]
        ended = await self._flows.finished([held[mark] for mark in kept])
        for mark, secret in held.items():
            if mark not in kept or secret in ended:
                self._site.cookies.delete(response, f"{FLOW_COOKIE}-{mark}")

    # --- back from the platform

    async def callback(self, request: web.Request) -> web.Response:
        """Finish the flow of a browser that is back from the platform."""
        query = request.query
        flow = mark_of(query.get("state", ""))
        callback = Callback(
            request.match_info["platform"],
            request.match_info.get("instance", ""),
            query.get("state", ""),
            query.get("code", ""),
            query.get("error") or query.get("error_code", ""),
            self._secrets(request).get(flow, ""),
            self._site.client.address(request),
        )
        return await self._outcome(request, flow, await self._flows.complete(callback))

    async def selection(self, request: web.Request) -> web.Response:
        """Show the accounts to select from, in the browser that has the flow."""
        try:
            flow, secret = await self._flow(request, request.query.get("flow", ""))
            outcome = await self._flows.outcome(request.match_info["platform"], secret)
        except PlatformError as problem:
            return _nothing_to_select(request, problem)
        return await self._outcome(request, flow, outcome)

    async def select(self, request: web.Request) -> web.Response:
        """Connect the selected accounts: a form of ours, or JSON, which no other website can make a browser send."""
        self._site.origins.require_same_origin(request)
        platform, by_program = request.match_info["platform"], request.content_type == "application/json"
        if by_program:
            named, accounts = selected_accounts(request)
        else:
            form = forms.form(request)
            named, accounts = form.get("flow", ""), form.getall("account", [])
        try:
            flow, secret = await self._flow(request, named or request.query.get("flow", ""))
        except PlatformError as problem:
            return _nothing_to_select(request, problem)
        if not by_program:
            require_token(form.get("csrf"), csrf_token(secret))
        try:
            outcome = await self._flows.select(platform, secret, accounts, self._site.client.address(request))
            return await self._outcome(request, flow, outcome)
        except PlatformError as problem:
            try:
                outcome = await self._flows.outcome(platform, secret)
            except PlatformError as gone:
                return _nothing_to_select(request, gone)
            if not wants_page(request):
                raise
            return await self._outcome(
                request, flow, replace(outcome, message=problem.user_message), STATUS[problem.kind]
            )

    async def _flow(self, request: web.Request, named: str) -> tuple[str, str]:
        """Return mark and secret of the flow that is named, or else of the only possible one. Raises PlatformError."""
        held = self._secrets(request)
        recent = list(held.values())[-MOST_FLOWS:]
        flow = named or await self._flows.waiting(request.match_info["platform"], recent)
        return flow, held.get(flow, "")

    async def _outcome(self, request: web.Request, flow: str, outcome: Outcome, status: int = 0) -> web.Response:
        """Respond with what came of a flow: JSON to a program, a page to a browser; lead a person back to the start."""
        selecting = outcome.kind == "choose"
        status = status or (200 if outcome.ok or selecting else 400)
        if accepts_json(request) or (status >= 400 and not wants_page(request)):
            return outcome_response(flow, outcome, status)
        if selecting:
            return render(
                "account_selection.html",
                status,
                outcome=outcome,
                platform=request.match_info["platform"],
                flow=flow,
                csrf=csrf_token(self._secrets(request).get(flow, "")),
                titles=self._flows.titles,
            )
        title = "Connected" if outcome.ok else "Not connected"
        person = await self._site.authentication.person(request)
        if person is None:
            return message_page(title, outcome.message, status)
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            listed = await connection_store.listed(connection)
        names = display_names(listed, self._flows.titles)
        if not set(outcome.connections) <= set(names) or not outcome.return_to:  # the person switched tenants
            return message_page(title, outcome.message, status)
        if outcome.ok:
            text = f"Connected: {', '.join(names[id_] for id_ in outcome.connections)}."
            # To the page itself: a redirect from "/" to it would use the message up.
            return self._site.messages.add(redirect("/connections"), person, Message(text))
        return message_page(title, outcome.message, status, outcome.return_to, person)


def _link_csrf(browser: str, ticket: str) -> str:
    """Return the token of a link's form: valid for no other link, and in no other browser."""
    return csrf_token(f"{browser} {ticket}")


def _nothing_to_select(request: web.Request, problem: PlatformError) -> web.Response:
    """Return the page that says so. Raises the problem for a program."""
    if not wants_page(request):
        raise problem
    return problem_page(problem, "Nothing to select")
