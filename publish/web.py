"""HTTP of the connections. Programs call with an API key and get JSON; browsers are led and told in words."""

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape

import structlog
from aiohttp import hdrs, web

from ops.runtime.db import Pool, describe
from publish import keys, store
from publish.connecting import LIFE_SECONDS, Flows, Visit
from publish.contract import Problem
from publish.keys import Caller

STATUS = {"wrong": 400, "denied": 403, "lacking": 403, "grant": 409, "app": 503, "transient": 503}
REMEDY = {
    "wrong": "correct the request",
    "app": "set what is missing and start `landfall serve` again",
    "transient": "send it again later",
}
COOKIE = "landfall-flow"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem }}</style>
</head><body><h1>{title}</h1><p>{says}</p></body></html>
"""

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):  # noqa: N818  an answer
    def __init__(self, status: int, error: str, message: str, remedy: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.answer = web.Response(
            status=status,
            content_type="application/json",
            body=json.dumps({"error": error, "message": message, "retry": retry, "remedy": remedy}).encode(),
        )


@dataclass(frozen=True)
class Views:
    pool: Pool
    flows: Flows
    secure: bool
    """Whether the public address is https, and so the cookie."""

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/api/auth/{platform}", self.start),
            ("GET", "/api/auth/{platform}/open", self.open),
            ("GET", "/api/auth/{platform}/callback", self.callback),
            ("GET", "/api/auth/{platform}/{instance}/callback", self.callback),
            ("POST", "/api/auth/{platform}/deauthorize", self.removed),
            ("GET", "/api/connections", self.list),
            ("GET", "/api/connections/{id}", self.show),
            ("DELETE", "/api/connections/{id}", self.disconnect),
        ):
            app.router.add_route(method, path, _answered(handler))

    @property
    def cookie(self) -> str:
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    async def start(self, request: web.Request) -> web.Response:
        """Begin to connect: the address to open in the browser of whoever owns the account."""
        caller = await self._caller(request, "connections:write")
        platform = request.match_info["platform"]
        query = request.query
        ticket = await self.flows.start(
            platform, query.get("instance", ""), caller.tenant, caller.actor, query.get("return_to", "/")
        )
        address = self.flows.address(platform, ticket)
        return web.json_response({"open": address, "expires_in": LIFE_SECONDS}, status=201)

    async def open(self, request: web.Request) -> web.Response:
        """Bind the flow to this browser, and send it to the platform."""
        ticket = request.query.get("ticket", "")
        try:
            address = await self.flows.open(request.match_info["platform"], ticket)
        except Problem as problem:
            return _page("Not connected", problem.says, STATUS[problem.kind])
        response = web.Response(status=302, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})
        response.set_cookie(
            self.cookie, ticket, max_age=LIFE_SECONDS, httponly=True, secure=self.secure, samesite="Lax", path="/"
        )
        return response

    async def callback(self, request: web.Request) -> web.Response:
        """The browser is back from the platform."""
        query = request.query
        visit = Visit(
            request.match_info["platform"],
            request.match_info.get("instance", ""),
            query.get("state", ""),
            query.get("code", ""),
            query.get("error", ""),
            request.cookies.get(self.cookie, ""),
        )
        outcome = await self.flows.finish(visit)
        if "application/json" in request.headers.get(hdrs.ACCEPT, ""):
            return web.json_response(outcome, status=200 if outcome["ok"] else 400)
        return _page("Connected" if outcome["ok"] else "Not connected", outcome["says"], 200 if outcome["ok"] else 400)

    async def removed(self, request: web.Request) -> web.Response:
        """Meta's deauthorize callback (``meta.md`` 6)."""
        signed = (await request.post()).get("signed_request")
        ended = await self.flows.removed(request.match_info["platform"], signed if isinstance(signed, str) else "")
        if ended is None:
            remedy = "send signed_request as the platform signs it, with the configured secret"
            raise Refused(401, "signature", "It is not signed with a secret of this application.", remedy)
        return web.json_response({"ended": ended})

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
        if not await self.flows.disconnect(caller.tenant, _id(request), caller.actor):
            raise _missing()
        return web.json_response({"disconnected": True})

    async def _caller(self, request: web.Request, scope: str) -> Caller:
        kind, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        found = await keys.caller(self.pool, key.strip()) if kind.lower() == "bearer" else None
        remedy = "send Authorization: Bearer with a key of `landfall key create`"
        if found is None:
            raise Refused(401, "unauthorized", "The key is missing, unknown or revoked.", remedy)
        if scope not in found.scopes:
            raise Refused(403, "forbidden", f"The key lacks the scope {scope}.", remedy)
        return found


def _id(request: web.Request) -> str:
    try:
        return str(uuid.UUID(request.match_info["id"]))
    except ValueError:
        raise _missing() from None


def _missing() -> Refused:
    return Refused(404, "not_found", "There is no such connection.", "list them with GET /api/connections")


def _page(title: str, says: str, status: int) -> web.Response:
    # Neither the code in the address nor the page itself goes any further.
    headers = {hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"}
    text = PAGE.format(title=escape(title), says=escape(says))
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def _answered(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.answer
        except Problem as problem:
            remedy = REMEDY.get(problem.kind, problem.says)
            retry = problem.kind == "transient"
            return Refused(STATUS[problem.kind], problem.kind, problem.says, remedy, retry=retry).answer
        except Exception as error:  # a surprise says so, in the same shape
            log.exception("request.failed", path=request.path, error=describe(error))
            message = "Something failed here; what was asked may or may not have been done."
            return Refused(503, "unexpected", message, "look before you send it again", retry=True).answer

    return answer
