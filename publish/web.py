"""HTTP of the connections. Programs call with an API key and get JSON; browsers are led and told in words."""

import hmac
import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.runtime.db import Pool, describe
from publish import keys, people, store
from publish.connecting import LIFE_SECONDS, Flows, Visit
from publish.contract import Problem
from publish.ending import Endings
from publish.keys import Caller
from publish.people import Person, Throttled, csrf_of
from publish.refreshing import Refresher
from publish.store import EVERYBODY

STATUS = {"wrong": 400, "denied": 403, "lacking": 403, "grant": 409, "app": 503, "transient": 503}
REMEDY = {
    "wrong": "correct the request",
    "app": "set what is missing and start `landfall serve` again",
    "transient": "send it again later",
}
COOKIE = "landfall-flow"

SESSION = "landfall"

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined
)

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):  # noqa: N818  an answer
    def __init__(
        self, status: int, error: str, message: str, remedy: str, *, retry: bool = False, after_seconds: float = 0
    ) -> None:
        super().__init__(message)
        self.answer = web.Response(
            status=status,
            content_type="application/json",
            headers={hdrs.RETRY_AFTER: str(ceil(after_seconds))} if after_seconds else None,
            body=json.dumps({"error": error, "message": message, "retry": retry, "remedy": remedy}).encode(),
        )


@dataclass(frozen=True)
class Views:
    pool: Pool
    flows: Flows
    endings: Endings
    refresher: Refresher
    secure: bool
    """Whether the public address is https, and so the cookie."""

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/api/auth/{platform}", self.start),
            ("GET", "/api/auth/{platform}/open", self.open),
            ("GET", "/api/auth/{platform}/callback", self.callback),
            ("GET", "/api/auth/{platform}/{instance}/callback", self.callback),
            ("GET", "/api/auth/{platform}/choose", self.choices),
            ("POST", "/api/auth/{platform}/choose", self.choose),
            ("GET", "/api/flows/{id}", self.flow),
            ("POST", "/api/auth/{platform}/deauthorize", self.removed),
            ("POST", "/api/auth/{platform}/deletion", self.delete),
            ("GET", "/deletions/{code}", self.deletion_page),
            ("GET", "/api/connections", self.list),
            ("GET", "/api/connections/{id}", self.show),
            ("DELETE", "/api/connections/{id}", self.disconnect),
            ("POST", "/api/connections/{id}/check", self.check),
            ("GET", "/api/notices", self.notices),
            ("GET", "/login", self.login_page),
            ("POST", "/login", self.login),
            ("POST", "/logout", self.logout),
            ("GET", "/connections", self.connections_page),
            ("POST", "/connections/{id}/disconnect", self.disconnect_form),
            ("POST", "/connections/{id}/check", self.check_form),
        ):
            app.router.add_route(method, path, _answered(handler))

    def cookie(self, name: str) -> str:
        """Only this host, only encrypted, and only with a path of all; plain http is for one machine."""
        return f"__Host-{name}" if self.secure else name

    def set_cookie(self, response: web.Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            self.cookie(name), value, max_age=seconds, httponly=True, secure=self.secure, samesite="Lax", path="/"
        )

    async def start(self, request: web.Request) -> web.Response:
        """Begin to connect. A program gets the address to open in the owner's browser, a browser goes there at once."""
        person = await self._person(request)
        by_person = person is not None and _browser(request)
        if person is None and _browser(request):
            return _to("/login")
        if by_person and request.headers.get("Sec-Fetch-Site") == "cross-site":
            return _to("/connections")  # another website's link connects nothing by itself
        caller = await self._caller(request, "connections:write")
        platform, query = request.match_info["platform"], request.query
        begun = await self.flows.start(
            platform,
            query.get("instance", ""),
            caller.tenant,
            caller.actor,
            query.get("return_to", "/connections" if by_person else ""),
            _uuid(query["connection"]) if "connection" in query else None,
        )
        address = self.flows.address(platform, begun.ticket)
        if by_person:
            return _to(address)
        return web.json_response({"open": address, "flow": begun.id, "expires_in": LIFE_SECONDS}, status=201)

    async def flow(self, request: web.Request) -> web.Response:
        """What came of a flow, for the program that began it."""
        caller = await self._caller(request, "connections:read")
        found = await self.flows.result(caller.tenant, _id(request))
        if found is None:
            message = "There is no such flow, or it was more than a day ago."
            raise Refused(404, "not_found", message, "begin one with GET /api/auth/{platform}")
        return web.json_response(found)

    async def open(self, request: web.Request) -> web.Response:
        """Bind the flow to this browser, and send it to the platform."""
        ticket, platform = request.query.get("ticket", ""), request.match_info["platform"]
        try:
            address = await self.flows.open(platform, ticket)
        except Problem as problem:
            return _page("Not connected", problem.says, STATUS[problem.kind])
        response = web.Response(status=302, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})
        # Long enough to choose after having been at the platform; and two platforms can be connected side by side.
        self.set_cookie(response, f"{COOKIE}-{platform}", ticket, 2 * LIFE_SECONDS)
        return response

    async def callback(self, request: web.Request) -> web.Response:
        """The browser is back from the platform."""
        query = request.query
        visit = Visit(
            request.match_info["platform"],
            request.match_info.get("instance", ""),
            query.get("state", ""),
            query.get("code", ""),
            query.get("error") or query.get("error_code", ""),
            self._ticket(request),
            request.remote,
        )
        return await self._told(request, await self.flows.finish(visit))

    async def choices(self, request: web.Request) -> web.Response:
        """What there is to choose from, in the browser that showed it to us."""
        return await self._told(
            request, await self.flows.offered(request.match_info["platform"], self._ticket(request))
        )

    async def choose(self, request: web.Request) -> web.Response:
        """Connect what was chosen: a form of ours, or JSON, which no other website can make a browser send."""
        self._same_site(request)
        ticket, platform = self._ticket(request), request.match_info["platform"]
        if request.content_type == "application/json":
            wanted = await _listed(request)
        else:
            form = await request.post()
            _insist(form.get("csrf"), csrf_of(ticket))
            wanted = [str(value) for value in form.getall("account", [])]
        try:
            outcome = await self.flows.choose(platform, ticket, wanted, request.remote)
        except Problem as problem:
            if problem.kind == "wrong" or not _browser(request):
                raise
            outcome = await self.flows.offered(platform, ticket) | {"says": problem.says}
        return await self._told(request, outcome)

    def _ticket(self, request: web.Request) -> str:
        return request.cookies.get(self.cookie(f"{COOKIE}-{request.match_info['platform']}"), "")

    async def _told(self, request: web.Request, outcome: dict[str, Any]) -> web.Response:
        """What came of a flow: JSON for a program, a page for a browser, and back to where it began for a person."""
        choosing = outcome.get("kind") == "choose"
        status = 200 if outcome["ok"] or choosing else 400
        if "application/json" in request.headers.get(hdrs.ACCEPT, ""):
            return web.json_response(outcome, status=status)
        platform = request.match_info["platform"]
        if choosing:
            csrf, titles = csrf_of(self._ticket(request)), self.flows.titles
            return _rendered("choose.html", outcome=outcome, platform=platform, csrf=csrf, titles=titles)
        back = outcome["return_to"] if await self._person(request) else ""
        if outcome["ok"] and back:
            return _to(f"{back}?{urlencode({'connected': ','.join(outcome['connections'])})}")
        return _page("Connected" if outcome["ok"] else "Not connected", outcome["says"], status, back)

    async def removed(self, request: web.Request) -> web.Response:
        """Meta's deauthorize callback (``meta.md`` 6)."""
        ended = await self.endings.removed(request.match_info["platform"], await _signed(request))
        if ended is None:
            raise _unsigned()
        return web.json_response({"ended": ended})

    async def delete(self, request: web.Request) -> web.Response:
        """Meta's data-deletion callback (``meta.md`` 6): where the person can look, and the code in that address."""
        code = await self.endings.delete(request.match_info["platform"], await _signed(request))
        if code is None:
            raise _unsigned()
        return web.json_response({"url": self.endings.deletion_address(code), "confirmation_code": code})

    async def deletion_page(self, request: web.Request) -> web.Response:
        async with store.acting(self.pool, EVERYBODY) as connection:
            found = await store.deletion(connection, request.match_info["code"])
        if found is None:
            return _page("Not found", "There is no request with this code.", 404)
        asked, done = found
        said = f"It was asked for on {asked:%d %B %Y}. The connection to the account ended at once."
        if done is None:
            return _page("In hand", f"{said} What was stored will be deleted within 30 days.", 200)
        return _page("Done", f"{said} Everything stored about it was deleted on {done:%d %B %Y}.", 200)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "connections:read")
        async with store.acting(self.pool, caller.tenant) as connection:
            return web.json_response({"connections": await store.listed(connection)})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "connections:read")
        async with store.acting(self.pool, caller.tenant) as connection:
            found = await store.one(connection, _id(request))
        if found is None:
            raise _missing()
        return web.json_response(found)

    async def disconnect(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "connections:write")
        revoked = await self.endings.disconnect(caller.tenant, _id(request), caller.actor)
        if revoked is None:
            raise _missing()
        return web.json_response({"disconnected": True, "revoked": revoked})

    async def check(self, request: web.Request) -> web.Response:
        """Ask the platform now; the connection as it then is."""
        caller, id_ = await self._caller(request, "connections:write"), _id(request)
        async with store.acting(self.pool, caller.tenant) as connection:
            if await store.one(connection, id_) is None:
                raise _missing()
        with suppress(Problem):
            await self.refresher.check(caller.tenant, id_)
        return await self.show(request)

    async def notices(self, request: web.Request) -> web.Response:
        caller = await self._caller(request, "connections:read")
        async with store.acting(self.pool, caller.tenant) as connection:
            return web.json_response({"notices": await store.notices(connection)})

    # --- people in a browser

    async def login_page(self, request: web.Request) -> web.Response:
        return _to("/connections") if await self._person(request) else _rendered("login.html", says="", email="")

    async def login(self, request: web.Request) -> web.Response:
        """A new session, whatever cookie came along; nobody can hand somebody a session of his own making."""
        self._same_site(request)
        form = await request.post()
        email, password = str(form.get("email", "")), str(form.get("password", ""))
        try:
            person = await people.login(self.pool, email, password, request.remote)
        except Throttled:
            says = f"Too many wrong passwords. Wait {people.WINDOW_MINUTES} minutes and try again."
            return _rendered("login.html", 429, says=says, email=email)
        if person is None:
            return _rendered("login.html", 401, says="The address or the password is wrong.", email=email)
        response = _to("/connections")
        self.set_cookie(response, SESSION, person.token, people.SESSION_HOURS * 3600)
        return response

    async def logout(self, request: web.Request) -> web.Response:
        person = await self._posting(request)
        await people.logout(self.pool, person)
        response = _to("/login")
        response.del_cookie(self.cookie(SESSION), path="/", secure=self.secure, httponly=True, samesite="Lax")
        return response

    async def connections_page(self, request: web.Request) -> web.Response:
        person = await self._person(request)
        if person is None:
            return _to("/login")
        async with store.acting(self.pool, person.tenant) as connection:
            listed, notices = await store.listed(connection), await store.notices(connection)
        new = set(request.query.get("connected", "").split(","))
        return _rendered(
            "connections.html",
            person=person,
            connections=[item for item in listed if item["state"] != "disconnected"],
            ended=[item for item in listed if item["state"] == "disconnected"],
            notices=notices,
            connected=", ".join(item["username"] or item["account_id"] for item in listed if item["id"] in new),
            titles=self.flows.titles,
            with_instance=self.flows.with_instance,
            may_write="connections:write" in people.SCOPES[person.role],
        )

    async def disconnect_form(self, request: web.Request) -> web.Response:
        caller = await self._writing(request)
        await self.endings.disconnect(caller.tenant, _id(request), caller.actor)
        return _to("/connections")

    async def check_form(self, request: web.Request) -> web.Response:
        caller = await self._writing(request)
        with suppress(Problem):  # what is wrong then stands beside the account
            await self.refresher.check(caller.tenant, _id(request))
        return _to("/connections")

    async def _writing(self, request: web.Request) -> Caller:
        """The person who pressed a button that changes connections."""
        caller = (await self._posting(request)).caller(request.remote)
        if "connections:write" not in caller.scopes:
            raise Refused(403, "forbidden", "Your role may only look.", "ask an owner to do it")
        return caller

    async def _person(self, request: web.Request) -> Person | None:
        return await people.person(self.pool, request.cookies.get(self.cookie(SESSION), ""))

    async def _posting(self, request: web.Request) -> Person:
        """The person who pressed a button of ours. Raises Refused for what another website made the browser send."""
        self._same_site(request)
        person = await self._person(request)
        if person is None:
            raise Refused(401, "unauthorized", "Nobody is logged in.", "log in at /login")
        _insist((await request.post()).get("csrf"), person.csrf)
        return person

    def _same_site(self, request: web.Request) -> None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise Refused(403, "csrf", "This was sent by another website.", "open /connections and try again there")

    async def _caller(self, request: web.Request, scope: str) -> Caller:
        """Who calls: a program with a key, or, to look, a person with a session."""
        kind, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        found = await keys.caller(self.pool, key.strip(), request.remote) if kind.lower() == "bearer" else None
        if found is None and not kind and request.method == "GET":
            person = await self._person(request)
            found = person.caller(request.remote) if person else None
        remedy = "send Authorization: Bearer with a key of `landfall key create`"
        if found is None:
            raise Refused(401, "unauthorized", "The key is missing, unknown or revoked.", remedy)
        if scope not in found.scopes:
            raise Refused(403, "forbidden", f"The scope {scope} is missing.", remedy)
        return found


def _id(request: web.Request) -> str:
    return _uuid(request.match_info["id"])


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise _missing() from None


def _insist(given: Any, wanted: str) -> None:
    """Raises Refused for a form without the text that only our own page holds."""
    if not hmac.compare_digest(str(given or "").encode(), wanted.encode()):
        raise Refused(403, "csrf", "This was not sent by a page of ours.", "open /connections and try again there")


async def _listed(request: web.Request) -> list[str]:
    """The accounts that a program chose."""
    try:
        wanted = (await request.json())["accounts"]
    except (ValueError, KeyError, TypeError):
        wanted = None
    if not isinstance(wanted, list):
        message = 'The body must be JSON such as {"accounts": ["platform:id"]}.'
        raise Refused(400, "wrong", message, "take the accounts from `choose` of the answer before")
    return [str(name) for name in wanted]


async def _signed(request: web.Request) -> str:
    given = (await request.post()).get("signed_request")
    return given if isinstance(given, str) else ""


def _unsigned() -> Refused:
    remedy = "send signed_request as the platform signs it, with the configured secret"
    return Refused(401, "signature", "It is not signed with a secret of this application.", remedy)


def _missing() -> Refused:
    return Refused(404, "not_found", "There is no such connection.", "list them with GET /api/connections")


def _page(title: str, says: str, status: int, back: str = "") -> web.Response:
    return _rendered("said.html", status, title=title, says=says, back=back)


def _rendered(template: str, status: int = 200, **shown: Any) -> web.Response:
    # Neither the code in an address nor the page itself goes any further, and nobody frames it. "no-referrer" would
    # make browsers send a form of ours with "Origin: null", which is what a stranger sends.
    headers = {
        hdrs.CACHE_CONTROL: "no-store",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }
    text = PAGES.get_template(template).render(**shown)
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def _to(address: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})


def _browser(request: web.Request) -> bool:
    return "text/html" in request.headers.get(hdrs.ACCEPT, "")


def _answered(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.answer
        except Problem as problem:
            remedy = REMEDY.get(problem.kind, problem.says)
            retry = problem.kind == "transient"
            after = problem.after_seconds
            return Refused(
                STATUS[problem.kind], problem.kind, problem.says, remedy, retry=retry, after_seconds=after
            ).answer
        except Exception as error:  # a surprise says so, in the same shape
            log.exception("request.failed", path=request.path, error=describe(error))
            message = "Something failed here; what was asked may or may not have been done."
            return Refused(503, "unexpected", message, "look before you send it again", retry=True).answer

    return answer
