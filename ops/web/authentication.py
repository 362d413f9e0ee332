"""The door: who asks, from where, whether it was our own page that sent them, and when it is their turn."""

import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import structlog
from aiohttp import hdrs, web

from ops.access import api_keys, sessions
from ops.access.api_keys import Caller
from ops.access.sessions import Person
from ops.runtime import metrics, proxies, responses
from ops.runtime.db import Pool, describe
from ops.runtime.origins import Origin, origin_of
from ops.runtime.platform_protocol import Problem
from ops.runtime.proxies import Network
from ops.runtime.sampling import Sampler
from ops.web import forms, messages, paths
from ops.web.concurrency_limit import AT_ONCE, IN_LINE, Crowded, Find, Turns
from ops.web.messages import Message
from ops.web.responses import REMEDY, STATUS, Ended, NotLoggedInError, Refused, failed, page, rendered, to

SESSION, DEVICE, MESSAGE = "landfall", "landfall-device", "landfall-message"

LOGGED_OUT = "Nobody is logged in here any more, so nothing was done. Log in, and do it again on the page you come to."
"""For whoever presses a button of a page that is older than the end of their session."""

log = structlog.get_logger()

_SHOWN: web.RequestKey[bool] = web.RequestKey("shown", bool)
"""Whether the answer to this request shows the message that waited."""

_FOUND: web.RequestKey[tuple[float, Person | None]] = web.RequestKey("found", tuple)
"""When the session of this request was looked up, and whose it is."""

LOOKED_UP_SECONDS = 0.5
"""A look-up counts for the rest of a request, but not for one that waited in line: its session may have ended."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    def __init__(
        self,
        pool: Pool,
        *,
        secure: bool,
        site: str = "",
        trusted: Sequence[Network] = (),
        idle_minutes: int = sessions.IDLE_MINUTES,
        owners_need_second_factor: bool = False,
    ) -> None:
        """``site`` is the public address, ``secure`` whether it is https, ``trusted`` the proxies in front.

        A session ends after ``idle_minutes`` without a request.
        """
        self.site = site
        self.idle_minutes = idle_minutes
        self._owners_need_second_factor = owners_need_second_factor
        self._pool = pool
        self._secure = secure
        self._site = origin_of(site)
        self._trusted = trusted
        self._turns = Turns()
        self._surprises = Sampler()

    # --- cookies

    def cookie(self, name: str) -> str:
        """Only this host, only encrypted, and only with a path of all; plain http is for one machine."""
        return f"__Host-{name}" if self._secure else name

    def set_cookie(self, response: web.Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            self.cookie(name), value, max_age=seconds, httponly=True, secure=self._secure, samesite="Lax", path="/"
        )

    def delete_cookie(self, response: web.Response, name: str) -> None:
        response.del_cookie(self.cookie(name), path="/", secure=self._secure, httponly=True, samesite="Lax")

    def let_in(self, response: web.Response, token: str) -> web.Response:
        self.set_cookie(response, SESSION, token, sessions.HOURS * 3600)
        return response

    def let_out(self, request: web.Request, response: web.Response) -> web.Response:
        self._turns.forget(self.session(request))
        self.delete_cookie(response, SESSION)
        return response

    def leave(
        self, response: web.Response, person: Person, says: str, *, about: str = "", bad: bool = False
    ) -> web.Response:
        """Have the page that the person comes to next say something, once; ``about`` is the row that it stands at."""
        kept = messages.packed(Message(says, about, bad), person.token)
        self.set_cookie(response, MESSAGE, kept, messages.SECONDS)
        return response

    def message(self, request: web.Request, person: Person) -> Message | None:
        """What was left for this page to say; it is taken back with the answer."""
        cookie = self.cookies(request).get(self.cookie(MESSAGE), "")
        if not cookie or request.method == hdrs.METH_HEAD:
            return None
        request[_SHOWN] = True
        return messages.unpacked(cookie, person.token)

    def _taking_back(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """The answer, with the message taken back that it shows."""
        if request.get(_SHOWN) and isinstance(response, web.Response):
            self.delete_cookie(response, MESSAGE)
        return response

    def cookies(self, request: web.Request) -> dict[str, str]:
        """Those that can be ours, in the order in which they come: browsers send the oldest first (RFC 6265 5.4)."""
        return {name: value for name, value in request.cookies.items() if value.isascii()}

    # --- who, and from where

    def address(self, request: web.Request) -> str | None:
        return proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, []), self._trusted)

    async def person(self, request: web.Request, *, enrolling: bool = False, anew: bool = False) -> Person | None:
        """Who is logged in. An owner who has yet to add a second factor is nobody, but where one is ``enrolling``.

        ``anew`` is for a request that changed its own session.
        """
        found = await self._authenticated(request, anew=anew)
        if found is None:
            self._turns.forget(self.session(request))
            return None
        self._turns.belongs(found.token, found.tenant)
        if found.role != "owner" or found.second_factor or not self._owners_need_second_factor:
            return found
        return replace(found, must_add_factor=True) if enrolling else None

    async def _authenticated(self, request: web.Request, *, anew: bool = False) -> Person | None:
        """Return whose session came along. Look it up once in a request."""
        now = time.monotonic()
        if not anew and _FOUND in request:
            looked_up, person = request[_FOUND]
            if now - looked_up < LOOKED_UP_SECONDS:
                return person
        person = await sessions.authenticate(self._pool, self.session(request), self.idle_minutes)
        request[_FOUND] = now, person
        return person

    async def visitor(self, request: web.Request, scope: str = "", *, enrolling: bool = False) -> Person:
        """Who looks at a page. Raises Ended: to the login, to add a factor, or told that the role does not reach."""
        person = await self.person(request, enrolling=enrolling)
        if person is None:
            raise await self.not_logged_in(request)
        if scope and not person.may(scope):
            raise not_for(person)
        return person

    async def not_logged_in(self, request: web.Request) -> Ended:
        """To the login, and back to the address that was asked for; or to add a factor, for who must do that first."""
        if await self.person(request, enrolling=True):
            return Ended(to("/account"))
        return NotLoggedInError(to(paths.login(str(request.rel_url))))

    def for_programs(self, request: web.Request, instead: str) -> None:
        """Raises Ended for a browser at an address that answers in JSON: to the page that shows the same."""
        if hdrs.AUTHORIZATION not in request.headers and responses.wants_page(request):
            raise Ended(to(instead))

    async def posting(self, request: web.Request, scope: str = "", *, enrolling: bool = False) -> Person:
        """The person who pressed a button of ours. Raises Refused for what another website made the browser send."""
        self.same_site(request)
        person = await self.person(request, enrolling=enrolling)
        if person is None and await self.person(request, enrolling=True):
            if responses.wants_page(request):
                raise Ended(to("/account"))
            message = "Owners need a second factor here, and you have none yet."
            raise Refused(403, "second_factor_required", message, "add one at /account")
        if person is None:
            if responses.wants_page(request):
                shown: dict[str, Any] = {"says": LOGGED_OUT, "email": "", "wanted": self.came_from(request)}
                raise NotLoggedInError(rendered("login.html", 401, **shown))
            raise Refused(401, "unauthorized", "Nobody is logged in.", "log in at /login")
        insist(forms.form(request).get("csrf"), person.csrf)
        if scope and not person.may(scope):
            if responses.wants_page(request):
                raise not_for(person)
            raise Refused(403, "forbidden", "Your role does not reach so far.", "ask an owner to do it")
        return person

    def came_from(self, request: web.Request) -> str:
        """The page of ours that a form was on; empty where it was on none."""
        return paths.page_of(request.headers.get(hdrs.REFERER, ""), self._origins(request))

    def same_site(self, request: web.Request, *, hidden: bool = False) -> None:
        """Raises Refused for what a page of another origin than ours sent: the public address, or the one asked for.

        ``hidden`` is for the form of a page with ``Referrer-Policy: no-referrer``, which browsers send with the origin
        ``null`` (Fetch, "append a request Origin header"), as they send a stranger's: there it is left to
        ``Sec-Fetch-Site``, which old browsers do not send, and to the token of the form.
        """
        if hidden and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _of_another_site()
        given = request.headers.get(hdrs.ORIGIN)
        if given is None or (hidden and given == "null"):
            return
        found = origin_of(given)
        if found is None or found not in self._origins(request):
            raise _of_another_site()

    def _origins(self, request: web.Request) -> set[Origin | None]:
        """Ours: the public address, and the one asked for."""
        asked = {origin_of(f"{scheme}://{request.host}") for scheme in self._schemes(request)}
        if self._secure and self._site is not None:
            asked.discard(self._site._replace(scheme="http", port=80))  # under the public name it may be anybody's
        return {self._site, *asked}

    def _schemes(self, request: web.Request) -> tuple[str, ...]:
        """How the browser came here: as it came to us, or to a proxy of ours, which may say it."""
        if not proxies.is_ours(request.remote, self._trusted):
            return (request.scheme,)
        said = ",".join(request.headers.getall(hdrs.X_FORWARDED_PROTO, [])).rpartition(",")[2].strip().lower()
        return (said,) if said else ("http", "https")

    async def caller(self, request: web.Request, scope: str) -> Caller:
        """Who calls: a program with a key, or, to look, a person with a session."""
        kind, key = _authorization(request)
        found = await api_keys.authenticate(self._pool, key, self.address(request)) if kind == "bearer" else None
        if found is not None:
            self._turns.belongs(key, found.tenant)
        elif kind:
            self._turns.forget(key)
        elif request.method == "GET" and (person := await self.person(request)):
            if scope not in person.scopes and responses.wants_page(request):
                raise not_for(person)
            found = person.caller(self.address(request))
        remedy = "send Authorization: Bearer with a key of `landfall key create`"
        if found is None:
            if not kind and request.method == "GET" and responses.wants_page(request):
                raise await self.not_logged_in(request)
            raise Refused(401, "unauthorized", "The key is missing, unknown or revoked.", remedy)
        if scope not in found.scopes:
            raise Refused(403, "forbidden", f"The scope {scope} is missing.", remedy)
        return found

    def session(self, request: web.Request) -> str:
        """The token that this browser holds, living or not; empty for none."""
        return self.cookies(request).get(self.cookie(SESSION), "")

    def device(self, request: web.Request) -> str:
        """What this browser was given by an earlier login; empty for nothing."""
        return self.cookies(request).get(self.cookie(DEVICE), "")

    def _credentials(self, request: web.Request) -> dict[str, Find]:
        """What came along, each with how to find out whose it is."""
        found: dict[str, Find] = {}
        if session := self.session(request):
            found[session] = lambda _: self._tenant_of_session(request)
        kind, key = _authorization(request)
        if kind == "bearer" and key:
            found[key] = lambda key: self._tenant_of_key(key, self.address(request))
        return found

    async def _tenant_of_session(self, request: web.Request) -> str | None:
        person = await self._authenticated(request)
        return person.tenant if person else None

    async def _tenant_of_key(self, key: str, address: str | None) -> str | None:
        caller = await api_keys.authenticate(self._pool, key, address)
        return caller.tenant if caller else None

    # --- when, and what becomes of errors

    def answering(self, handler: Handler, *, in_turn: bool = True, any_query: bool = False) -> Handler:
        """The handler with every way out of it an answer; ``in_turn`` where a key or session counts for its tenant.

        ``any_query`` is for addresses that a platform sends browsers to: whatever it says there, the flow must end.
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                forms.require_storable(request, query=not any_query)
                await forms.read(request)  # before there is a turn: nobody holds one while a body is on its way
                async with self._turns.taken(self._credentials(request) if in_turn else {}):
                    response = self._taking_back(request, await handler(request))
                    return responses.suited(request, response)
            except (Ended, Refused) as ended:
                return responses.suited(request, ended.answer(request))
            except Crowded:
                _count_wait(request)
                message = f"More than {AT_ONCE + IN_LINE} requests of yours are under way."
                refused = Refused(429, "rate_limit_exceeded", message, "send fewer at once", retry=True, after=1)
                return refused.answer(request)
            except Problem as problem:
                if problem.kind == "crowded":
                    _count_wait(request)
                after = ceil(problem.after_seconds) or (60 if problem.kind == "crowded" else None)
                headers = {} if after is None else {hdrs.RETRY_AFTER: str(after)}
                remedy = REMEDY.get(problem.kind, "")
                failure = failed(STATUS[problem.kind], problem.kind, problem.says, remedy)
                return responses.error(request, failure, headers=headers)
            except Exception as error:  # a surprise says so, in the same shape
                if self._surprises.take():
                    log.exception("request.failed", path=request.path, error=describe(error))
                message = "Something failed here; what was asked may or may not have been done."
                remedy = "look before you send it again"
                return Refused(503, "server_error", message, remedy, retry=True).answer(request)

        return answer


def add_route(app: web.Application, method: str, path: str, handler: Handler) -> None:
    """Add a route; whatever answers GET answers HEAD."""
    for each in (hdrs.METH_GET, hdrs.METH_HEAD) if method == hdrs.METH_GET else (method,):
        app.router.add_route(each, path, handler, expect_handler=responses.expect)


def _count_wait(request: web.Request) -> None:
    """Count a request that is told to wait, by the route and not by the address asked for."""
    resource = request.match_info.route.resource
    metrics.of(metrics.rate_limit_hits, resource.canonical if resource is not None else "unknown").inc()


def insist(given: object, wanted: str, remedy: str = "open /connections and try again there") -> None:
    """Raises Refused for a form without the text that only our own page holds."""
    if not hmac.compare_digest(str(given or "").encode(), wanted.encode()):
        message = "This form is out of date, or was not on a page of ours; nothing was done."
        raise Refused(403, "csrf", message, remedy)


def not_for(person: Person) -> Ended:
    """The page for somebody whose role does not reach to what was asked for."""
    says = f"Your role here, {person.role}, does not reach so far. Ask an owner to do it, or to give you another role."
    return Ended(page("Not for your role", says, 403, "/connections", person))


def _of_another_site() -> Refused:
    return Refused(
        403, "csrf", "This was sent by another website.", "open /connections, or the link again, and try again there"
    )


def id_of(request: web.Request, missing: Refused) -> str:
    """The id in the address. Raises ``missing`` for what cannot be one."""
    return uuid_of(request.match_info["id"], missing)


def uuid_of(text: str, missing: Refused) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise missing from None


def _authorization(request: web.Request) -> tuple[str, str]:
    """How and with what; what no key of ours looks like is an unknown one."""
    kind, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return kind.lower(), key.strip() if key.isascii() else "?"
