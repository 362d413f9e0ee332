"""HTTP of the connections. Programs call with an API key and get JSON; browsers are led and told in words."""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import hdrs, web

from ops.access.sessions import Person, csrf_token
from ops.runtime import responses
from ops.runtime.db import Pool
from ops.runtime.platform_protocol import Problem
from ops.runtime.responses import NO_STORE, Code, wants_page
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.web import forms
from ops.web.authentication import Door, add_route, id_of, insist, not_for, uuid_of
from ops.web.refusals import Refusals
from ops.web.responses import STATUS, Refused, ask, failed, onward, page, rendered, to
from publish.connections import connection_store, descriptions, disconnect_store, refresh_store
from publish.connections.disconnect import Endings, Rejected
from publish.connections.refresh import Refresher
from publish.notifications import notice_store
from publish.oauth.authorization import CHOICE_SECONDS, LIFE_SECONDS, NEEDED, Asked, Flows, Taken, Visit, mark_of

COOKIE = "landfall-flow"
BROWSER = "landfall-browser"
"""What a browser is told from others by that opens a link: it makes our forms fit in no other."""

MOST_FLOWS = 20
"""Of one browser, with a cookie of some 100 bytes each: servers take headers of 8 KB."""

WISHES = ("instance", "connection", "return_to", "optional_scopes")
"""What may be said of a flow that is to begin."""

AGAIN = "allow cookies for this site, open the link again and press the button there"

_MARK = re.compile(r"[0-9a-f]{32}")


class Views:
    def __init__(
        self,
        pool: Pool,
        flows: Flows,
        endings: Endings,
        refresher: Refresher,
        door: Door,
        refusals: Refusals,
    ) -> None:
        self.pool = pool
        self.flows = flows
        self.endings = endings
        self.refresher = refresher
        self.door = door
        self.refusals = refusals

    def add_to(self, app: web.Application) -> None:
        # Whoever comes by way of a platform comes without a key, waits for the platform, and stands in nobody's way.
        for method, path, handler in (
            ("GET", "/api/auth/{platform}/open", self.open),
            ("POST", "/api/auth/{platform}/open", self.take),
            ("GET", "/api/auth/{platform}/choose", self.choices),
            ("POST", "/api/auth/{platform}/choose", self.choose),
            ("POST", "/api/auth/{platform}/deauthorize", self.removed),
            ("POST", "/api/auth/{platform}/deletion", self.delete),
            ("GET", "/deletions/{code}", self.deletion_page),
        ):
            add_route(app, method, path, self.door.answering(self.refusals.noting(handler), in_turn=False))
        callback = self.door.answering(self.refusals.noting(self.callback), in_turn=False, any_query=True)
        for path in ("/api/auth/{platform}/callback", "/api/auth/{platform}/{instance}/callback"):
            add_route(app, "GET", path, callback)
        for method, path, handler in (
            ("GET", "/api/auth/{platform}", self.start),
            ("POST", "/api/auth/{platform}", self.begin),
            ("GET", "/api/flows/{id}", self.flow),
            ("GET", "/api/connections", self.list),
            ("GET", "/api/connections/{id}", self.show),
            ("DELETE", "/api/connections/{id}", self.disconnect),
            ("POST", "/api/connections/{id}/check", self.check),
            ("GET", "/api/notices", self.notices),
            ("GET", "/connections", self.connections_page),
            ("GET", "/connections/{id}/disconnect", self.disconnect_page),
            ("POST", "/connections/{id}/disconnect", self.disconnect_form),
            ("POST", "/connections/{id}/check", self.check_form),
        ):
            add_route(app, method, path, self.door.answering(self.refusals.noting(handler)))

    # --- flows

    async def start(self, request: web.Request) -> web.Response:
        """Begin to connect, for a program: it gets the link to open in the owner's browser. A person gets a button."""
        platform, by_program = request.match_info["platform"], hdrs.AUTHORIZATION in request.headers
        person = None if by_program else await self.door.person(request)
        if person is not None:
            return await self._button(request, person)
        if not by_program and wants_page(request):
            raise await self.door.not_logged_in(request)
        caller = await self.door.caller(request, NEEDED)
        wish = _wish(request.query)
        if request.method == hdrs.METH_HEAD:  # begins nothing
            await self.flows.asked(platform, tenant=caller.tenant, actor=caller.actor, **wish)
            return web.Response(headers=NO_STORE)
        begun = await self.flows.start(platform, tenant=caller.tenant, actor=caller.actor, **wish)
        answer = {"open": self.flows.address(platform, begun.ticket), "flow": begun.id, "expires_in": LIFE_SECONDS}
        return web.json_response(answer, status=201)

    async def _button(self, request: web.Request, person: Person) -> web.Response:
        """The page of somebody who follows this address, by a link of whoever's: nothing is begun before the button."""
        if not person.may(NEEDED):
            if wants_page(request):
                raise not_for(person)
            raise Refused(403, "forbidden", "Your role does not reach so far.", "ask an owner to do it")
        if not wants_page(request):
            message = "In a browser this is done by a button, not by its address alone."
            raise Refused(403, "forbidden", message, "open /connections and connect there, or send an API key")
        platform, query = request.match_info["platform"], request.query
        actor = person.actor(self.door.address(request))
        wish = _wish(query, "/connections")
        try:
            asked = await self.flows.asked(platform, tenant=person.tenant, actor=actor, **wish)
        except Problem as problem:
            return page("Not connected", problem.says, STATUS[problem.kind], "/connections", person, problem.kind)
        fields = {"csrf": person.csrf} | {name: query[name] for name in WISHES if name in query}
        return self._confirm(request, asked, person, fields, f"/api/auth/{platform}", own=True)

    async def begin(self, request: web.Request) -> web.Response:
        """Lead somebody who is logged in, and pressed a button of ours, to the platform."""
        person = await self.door.posting(request, NEEDED)
        platform, actor = request.match_info["platform"], person.actor(self.door.address(request))
        wish = _wish(forms.form(request), "/connections")
        try:
            begun = await self.flows.start(platform, tenant=person.tenant, actor=actor, **wish)
            taken = await self.flows.take(platform, begun.ticket, secrets.token_urlsafe(32))
        except Problem as problem:
            if not wants_page(request):
                raise
            return page("Not connected", problem.says, STATUS[problem.kind], "/connections", person, problem.kind)
        return await self._led(request, taken)

    async def flow(self, request: web.Request) -> web.Response:
        """What came of a flow, for the program that began it."""
        message = "There is no such flow, or it was more than a day ago."
        missing = Refused(404, "not_found", message, "begin one with GET /api/auth/{platform}")
        caller = await self.door.caller(request, "connections:read")
        found = await self.flows.result(caller.tenant, id_of(request, missing))
        if found is None:
            raise missing
        if hdrs.AUTHORIZATION not in request.headers and wants_page(request):
            title = {"waiting": "Waiting", "connected": "Connected", "failed": "Not connected"}[found["state"]]
            return page(title, found["says"], 200, "/connections")
        return web.json_response(found)

    async def open(self, request: web.Request) -> web.Response:
        """What a link asks for, and a button. Whoever only looks, a preview of links or a browser, changes nothing."""
        ticket, platform = request.query.get("ticket", ""), request.match_info["platform"]
        browser = self._browser(request) or secrets.token_urlsafe(32)
        try:
            asked = await self.flows.look(platform, ticket, browser)
        except Problem as problem:
            response = page("Not connected", problem.says, STATUS[problem.kind], kind=problem.kind)
        else:
            fields = {"csrf": _csrf(browser, ticket), "ticket": ticket}
            person = await self.door.person(request)
            response = self._confirm(request, asked, person, fields, f"/api/auth/{platform}/open", own=False)
            self.door.set_cookie(response, BROWSER, browser, LIFE_SECONDS + CHOICE_SECONDS)
        response.headers["Referrer-Policy"] = "no-referrer"  # the ticket is in the address
        return response

    def _confirm(
        self,
        request: web.Request,
        asked: Asked,
        person: Person | None,
        fields: Mapping[str, str],
        action: str,
        *,
        own: bool,
    ) -> web.Response:
        """The page with the button; ``own`` where the person who is logged in is the one who asks."""
        return rendered(
            "confirm.html",
            asked=asked,
            visitor=person,
            person=person if own else None,
            title=self.flows.titles[request.match_info["platform"]],
            tenant=dict(person.tenants)[person.tenant] if person else "",
            elsewhere=person is not None and person.tenant != asked.tenant,
            fields=fields,
            action=action,
        )

    async def take(self, request: web.Request) -> web.Response:
        """Give the flow to the browser in which the button was pressed first, and send it to the platform."""
        self.door.same_site(request, hidden=True)
        form, browser, platform = forms.form(request), self._browser(request), request.match_info["platform"]
        ticket = form.get("ticket", "")
        insist(form.get("csrf") if browser else "", _csrf(browser, ticket), AGAIN)
        try:
            taken = await self.flows.take(platform, ticket, browser)
        except Problem as problem:
            return page("Not connected", problem.says, STATUS[problem.kind], kind=problem.kind)
        return await self._led(request, taken)

    async def _led(self, request: web.Request, taken: Taken) -> web.Response:
        """To the platform, with the secret of the flow."""
        response = onward(taken.address)
        await self._tidy(request, response)
        # Long enough to choose after having been at the platform; each flow has its own, so that none is in another's
        # way, be it of the same platform.
        self.door.set_cookie(response, f"{COOKIE}-{taken.mark}", taken.secret, LIFE_SECONDS + CHOICE_SECONDS)
        return response

    def _browser(self, request: web.Request) -> str:
        return self.door.cookies(request).get(self.door.cookie(BROWSER), "")

    def _secrets(self, request: web.Request) -> dict[str, str]:
        """Of the flows that this browser has, by their marks, the oldest first."""
        prefix = self.door.cookie(f"{COOKIE}-")
        found = ((name.partition(prefix), secret) for name, secret in self.door.cookies(request).items())
        return {
            mark: secret for (before, named, mark), secret in found if named and not before and _MARK.fullmatch(mark)
        }

    async def _tidy(self, request: web.Request, response: web.Response) -> None:
        """Take back the cookies of flows that ended, and the oldest ones where there are too many for a header."""
        held = self._secrets(request)
        kept = list(held)[-(MOST_FLOWS - 1) :]
        ended = await self.flows.ended([held[mark] for mark in kept])
        for mark, secret in held.items():
            if mark not in kept or secret in ended:
                self.door.delete_cookie(response, f"{COOKIE}-{mark}")

    async def callback(self, request: web.Request) -> web.Response:
        """The browser is back from the platform."""
        query = request.query
        flow = mark_of(query.get("state", ""))
        visit = Visit(
            request.match_info["platform"],
            request.match_info.get("instance", ""),
            query.get("state", ""),
            query.get("code", ""),
            query.get("error") or query.get("error_code", ""),
            self._secrets(request).get(flow, ""),
            self.door.address(request),
        )
        return await self._told(request, flow, await self.flows.finish(visit))

    async def choices(self, request: web.Request) -> web.Response:
        """What there is to choose from, in the browser that showed it to us."""
        try:
            flow, secret = await self._chosen(request, request.query.get("flow", ""))
            outcome = await self.flows.offered(request.match_info["platform"], secret)
        except Problem as problem:
            return _unchosen(request, problem)
        return await self._told(request, flow, outcome)

    async def choose(self, request: web.Request) -> web.Response:
        """Connect what was chosen: a form of ours, or JSON, which no other website can make a browser send."""
        self.door.same_site(request)
        platform, by_program = request.match_info["platform"], request.content_type == "application/json"
        if by_program:
            named, wanted = _listed(request)
        else:
            form = forms.form(request)
            named, wanted = form.get("flow", ""), form.getall("account", [])
        try:
            flow, secret = await self._chosen(request, named or request.query.get("flow", ""))
        except Problem as problem:
            return _unchosen(request, problem)
        if not by_program:
            insist(form.get("csrf"), csrf_token(secret))
        try:
            outcome = await self.flows.choose(platform, secret, wanted, self.door.address(request))
            return await self._told(request, flow, outcome)
        except Problem as problem:
            try:
                outcome = await self.flows.offered(platform, secret)
            except Problem as gone:
                return _unchosen(request, gone)
            if not wants_page(request):
                raise
            return await self._told(request, flow, outcome | {"says": problem.says}, STATUS[problem.kind])

    async def _chosen(self, request: web.Request, named: str) -> tuple[str, str]:
        """Mark and secret of the flow that is named, or else of the only one that it can be. Raises Problem."""
        held = self._secrets(request)
        recent = list(held.values())[-MOST_FLOWS:]
        flow = named or await self.flows.asking(request.match_info["platform"], recent)
        return flow, held.get(flow, "")

    async def _told(self, request: web.Request, flow: str, outcome: dict[str, Any], status: int = 0) -> web.Response:
        """What came of a flow: JSON for a program, a page for a browser, and back to where it began for a person."""
        choosing = outcome.get("kind") == "choose"
        status = status or (200 if outcome["ok"] or choosing else 400)
        if "application/json" in request.headers.get(hdrs.ACCEPT, "") or (status >= 400 and not wants_page(request)):
            return _plain(outcome | ({"flow": flow} if choosing else {}), status)
        if choosing:
            return rendered(
                "choose.html",
                status,
                outcome=outcome,
                platform=request.match_info["platform"],
                flow=flow,
                csrf=csrf_token(self._secrets(request).get(flow, "")),
                titles=self.flows.titles,
            )
        title = "Connected" if outcome["ok"] else "Not connected"
        person = await self.door.person(request)
        if person is None:
            return page(title, outcome["says"], status)
        async with tenant_transaction(self.pool, person.tenant) as connection:
            listed = await connection_store.listed(connection)
        called = self._called(listed)
        if not set(outcome["connections"]) <= set(called) or not outcome["return_to"]:  # of another tenant by now
            return page(title, outcome["says"], status)
        if outcome["ok"]:
            says = f"Connected: {', '.join(called[id_] for id_ in outcome['connections'])}."
            # The page itself, and not a redirect to it from "/": that one would take the message.
            return self.door.leave(to("/connections"), person, says)
        return page(title, outcome["says"], status, outcome["return_to"], person)

    def _called(self, listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """What each connection is called where its platform does not stand beside it: "alice on Threads"."""
        titles = {item["id"]: self.flows.titles.get(item["platform"], item["platform"]) for item in listed}
        return {id_: f"{name} on {titles[id_]}" for id_, name in descriptions.names(listed).items()}

    # --- what a platform tells us of its people

    async def removed(self, request: web.Request) -> web.Response:
        """Meta's deauthorize callback (``meta.md`` 6)."""
        try:
            ended = await self.endings.removed(request.match_info["platform"], _signed(request))
        except Rejected as rejected:
            raise _rejected(rejected) from None
        if ended is None:
            raise _unsigned()
        return web.json_response({"ended": ended})

    async def delete(self, request: web.Request) -> web.Response:
        """Meta's data-deletion callback (``meta.md`` 6): where the person can look, and the code in that address."""
        try:
            code = await self.endings.delete(request.match_info["platform"], _signed(request))
        except Rejected as rejected:
            raise _rejected(rejected) from None
        if code is None:
            raise _unsigned()
        return web.json_response({"url": self.endings.deletion_address(code), "confirmation_code": code})

    async def deletion_page(self, request: web.Request) -> web.Response:
        async with tenant_transaction(self.pool, NO_TENANT) as connection:
            found = await disconnect_store.deletion(connection, request.match_info["code"])
        if found is None:
            return page("Not found", "There is no request with this code.", 404)
        asked, done = found
        said = f"It was asked for on {asked:%d %B %Y}. The connection to the account ended at once."
        if done is None:
            return page("In hand", f"{said} What was stored will be deleted within 30 days.", 200)
        return page("Done", f"{said} Everything stored about it was deleted on {done:%d %B %Y}.", 200)

    # --- programs

    async def list(self, request: web.Request) -> web.Response:
        caller = await self.door.caller(request, "connections:read")
        self.door.for_programs(request, "/connections")
        async with tenant_transaction(self.pool, caller.tenant) as connection:
            return web.json_response({"connections": await connection_store.listed(connection)})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self.door.caller(request, "connections:read")
        return await self._shown(request, caller.tenant, id_of(request, _missing()))

    async def _shown(self, request: web.Request, tenant: str, id_: str) -> web.Response:
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await connection_store.one(connection, id_)
        if found is None:
            raise _missing()
        self.door.for_programs(request, "/connections")
        return web.json_response(found)

    async def disconnect(self, request: web.Request) -> web.Response:
        caller = await self.door.caller(request, "connections:write")
        revoked = await self.endings.disconnect(caller.tenant, id_of(request, _missing()), caller.actor)
        if revoked is None:
            raise _missing()
        return web.json_response({"disconnected": True, "revoked": revoked})

    async def check(self, request: web.Request) -> web.Response:
        """Ask the platform now; the connection as it then is says what came of it."""
        caller = await self.door.caller(request, "connections:write")
        id_ = id_of(request, _missing())
        with suppress(Problem):
            await self.refresher.check(caller.tenant, id_)
        return await self._shown(request, caller.tenant, id_)

    async def notices(self, request: web.Request) -> web.Response:
        caller = await self.door.caller(request, "connections:read")
        self.door.for_programs(request, "/connections")
        async with tenant_transaction(self.pool, caller.tenant) as connection:
            return web.json_response({"notices": await notice_store.notices(connection)})

    # --- people in a browser

    async def connections_page(self, request: web.Request) -> web.Response:
        person = await self.door.visitor(request)
        async with tenant_transaction(self.pool, person.tenant) as connection:
            listed, notices = await connection_store.listed(connection), await notice_store.notices(connection)
        channels = self.flows.channels
        return rendered(
            "connections.html",
            person=person,
            connections=[item for item in listed if item["state"] != "disconnected"],
            ended=[item for item in listed if item["state"] == "disconnected"],
            names=descriptions.names(listed),
            permissions={
                item["id"]: descriptions.permissions(channels[item["channel"]], item["scopes"])
                for item in listed
                if item["channel"] in channels
            },
            noticed={name: descriptions.noticed(channel) for name, channel in channels.items()},
            notices=notices,
            message=self.door.message(request, person),
            titles=self.flows.titles,
            with_instance=self.flows.with_instance,
            may_write=person.may("connections:write"),
        )

    async def disconnect_page(self, request: web.Request) -> web.Response:
        """What a disconnect ends, and the button that does it."""
        person = await self.door.visitor(request, "connections:write")
        item, called = await self._item(person, id_of(request, _missing()))
        if item["state"] == "disconnected":
            return self.door.leave(to("/connections"), person, f"{called} is disconnected already.")
        title = self.flows.titles.get(item["channel"], item["channel"])
        channel = self.flows.channels.get(item["channel"])
        if channel is not None and channel.revoke is not None:
            there = f"Landfall tells {title} that the permission is given back."
        else:
            there = f"{title} has no way to give the permission back from here: remove Landfall there, in the settings."
        ends = [
            "Nothing more is received or published for this account, and its tokens are forgotten.",
            there,
            "What was synced before stays.",
        ]
        return ask(request, person, f"Disconnect {called}?", ends, "Disconnect", "/connections")

    async def disconnect_form(self, request: web.Request) -> web.Response:
        person = await self.door.posting(request, "connections:write")
        actor, id_ = person.actor(self.door.address(request)), id_of(request, _missing())
        item, called = await self._item(person, id_)
        revoked = await self.endings.disconnect(person.tenant, id_, actor)
        title = self.flows.titles.get(item["channel"], item["channel"])
        says = f"{called} is disconnected."
        if revoked is False:
            says = f"{says} {title} could not be told yet; that is tried again by itself."
        return self.door.leave(to("/connections"), person, says)

    async def check_form(self, request: web.Request) -> web.Response:
        """Ask the platform; what it said stands at the account."""
        person = await self.door.posting(request, "connections:write")
        id_ = id_of(request, _missing())
        before, _ = await self._item(person, id_)
        outcome = says = ""
        try:
            outcome = await self.refresher.check(person.tenant, id_)
        except Problem as problem:
            says = problem.says
        after, _ = await self._item(person, id_)
        if outcome == "leased" and after["checked_at"] != before["checked_at"]:
            outcome = "checked"  # by the worker, in the same moment
        title = self.flows.titles.get(after["channel"], after["channel"])
        pause = self.refresher.pause(before["channel"])
        failed_at = None
        if outcome == "pausing" and after["trouble"]:
            async with tenant_transaction(self.pool, person.tenant) as connection:
                failed_at = await refresh_store.failed_at(connection, id_)
        says = _checked(title, after, outcome, says, pause, failed_at)
        bad = outcome not in ("checked", "refreshed", "pausing") or failed_at is not None
        return self.door.leave(to(f"/connections#at-{id_}"), person, says, about=id_, bad=bad)

    async def _item(self, person: Person, id_: str) -> tuple[dict[str, Any], str]:
        """A connection of this person's tenant, and what it is called. Raises Refused where there is none."""
        async with tenant_transaction(self.pool, person.tenant) as connection:
            listed = await connection_store.listed(connection)
        found = next((item for item in listed if item["id"] == id_), None)
        if found is None:
            raise _missing()
        return found, self._called(listed)[id_]


def _checked(
    title: str, item: Mapping[str, Any], outcome: str, trouble: str, pause: int, failed_at: datetime | None
) -> str:
    """Return the result of a check as a sentence. ``trouble`` is the problem that was met, if one was.

    ``failed_at`` is when the last one failed, where that is why there was none now.
    """
    last = (item["checked_at"] or "")[11:19]
    if item["state"] == "needs_reconnect":
        return f"{title} does not take it any more. {item['reason']}"
    if outcome in ("checked", "refreshed"):
        return f"Asked now: {title} takes it ({last} UTC)."
    if outcome == "pausing":
        took = f"{last} UTC, and took it"
        if failed_at is not None:
            took = f"{failed_at.astimezone(UTC):%H:%M:%S} UTC, in vain: {item['trouble']} It is tried again by itself"
        return f"{title} was last asked at {took}; wait {pause} seconds before you ask again."
    if outcome == "held":
        return f"Not asked: {title} wants Landfall to wait. It is asked by itself after that; last at {last} UTC."
    if outcome in ("leased", "superseded"):
        return f"{title} is being asked at this moment; load this page again in a few seconds."
    return f"{title} could not be asked now: {item['trouble'] or trouble} It is tried again by itself."


def _wish(given: Mapping[str, str], return_to: str = "") -> dict[str, Any]:
    """What a query or a form says of a flow that is to begin."""
    return {
        "instance": given.get("instance", ""),
        "return_to": given.get("return_to", return_to),
        "reconnecting": uuid_of(given["connection"], _missing()) if "connection" in given else None,
        "optional_scopes": given.get("optional_scopes", ""),
    }


def _csrf(browser: str, ticket: str) -> str:
    """What the form of a link holds: it fits for no other link, and in no other browser."""
    return csrf_token(f"{browser} {ticket}")


def _unchosen(request: web.Request, problem: Problem) -> web.Response:
    """There is nothing to choose. Raises it for a program."""
    if not wants_page(request):
        raise problem
    return page("Nothing to choose", problem.says, STATUS[problem.kind], kind=problem.kind)


def _plain(outcome: dict[str, Any], status: int) -> web.Response:
    """Tell a program what came of a flow."""
    if status >= 400:
        return responses.program_error(failed(status, outcome.get("kind"), outcome["says"]))
    return web.json_response(outcome, status=status, headers=NO_STORE)


def _signed(request: web.Request) -> str:
    return forms.form(request).get("signed_request", "")


def _listed(request: web.Request) -> tuple[str, list[str]]:
    """The flow, if it is named, and the accounts that a program chose."""
    given = forms.document(request)
    flow, wanted = (given.get("flow", ""), given.get("accounts")) if isinstance(given, dict) else ("", None)
    if not isinstance(wanted, list) or not isinstance(flow, str):
        message = 'The body must be JSON such as {"accounts": ["platform:id"]}.'
        raise Refused(400, "invalid_request", message, "take the accounts from `choose` of the answer before")
    return flow, [str(name) for name in wanted]


def _unsigned() -> Refused:
    remedy = "send signed_request as the platform signs it, with the configured secret"
    return Refused(401, "invalid_signature", "It is not signed with a secret of this application.", remedy)


def _rejected(rejected: Rejected) -> Refused:
    code: Code = "duplicate_event" if rejected.reason == "reused" else "stale"
    return Refused(400, code, str(rejected), "send a signed_request that is issued anew, if it is still meant")


def _missing() -> Refused:
    return Refused(
        404,
        "not_found",
        "There is no such connection.",
        "look at those that there are: /connections, or GET /api/connections",
    )
