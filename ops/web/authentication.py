"""Authentication: who sends a request. A person has a session in a cookie, a program has an API key."""

from dataclasses import replace

from aiohttp import hdrs, web

from ops.access import api_keys, sessions
from ops.access.api_keys import Caller
from ops.access.device_store import DEVICE_DAYS
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.responses import wants_page
from ops.web import forms, paths
from ops.web.client import Client
from ops.web.concurrency_limit import ConcurrencyLimit, FindTenant
from ops.web.cookies import Cookies
from ops.web.csrf import OriginCheck, require_token
from ops.web.responses import EarlyResponse, NotLoggedInError, Refused, message_page, redirect, render

SESSION, DEVICE = "landfall", "landfall-device"
CSRF_HEADER = "X-CSRF-Token"

SESSION_ENDED = "You are not logged in any more, so nothing was done. Log in, and try again on the page that opens."
"""For a button on a page that is older than the end of the session."""

_PERSON: web.RequestKey[Person | None] = web.RequestKey("person", Person)
_CALLER: web.RequestKey[Caller | None] = web.RequestKey("caller", Caller)
"""What the database said of the credentials of this request, so that it is asked once."""


class Authentication:
    """A session ends after ``idle_minutes`` without a request.

    With ``owners_need_second_factor`` an owner without one can do nothing but add one.
    """

    def __init__(
        self,
        pool: Pool,
        cookies: Cookies,
        client: Client,
        origins: OriginCheck,
        limit: ConcurrencyLimit,
        *,
        idle_minutes: int,
        owners_need_second_factor: bool,
    ) -> None:
        self.idle_minutes = idle_minutes
        self._owners_need_second_factor = owners_need_second_factor
        self._pool = pool
        self._cookies = cookies
        self._client = client
        self._origins = origins
        self._limit = limit

    # --- people

    def session_token(self, request: web.Request) -> str:
        """Return the token that this browser holds, valid or not; empty for none."""
        return self._cookies.get(request, SESSION)

    def device(self, request: web.Request) -> str:
        """Return what an earlier login gave this browser; empty for nothing."""
        return self._cookies.get(request, DEVICE)

    def start_session(self, response: web.Response, token: str) -> web.Response:
        """Set the cookie of a session; return the response."""
        self._cookies.set(response, SESSION, token, sessions.HOURS * 3600)
        return response

    def log_in(self, response: web.Response, person: Person) -> web.Response:
        """Set the cookies of somebody who just logged in: the session, and the browser's own for the next login."""
        self._cookies.set(response, DEVICE, person.device, DEVICE_DAYS * 86_400)
        return self.start_session(response, person.token)

    def end_session(self, request: web.Request, response: web.Response) -> web.Response:
        """Delete the cookie of the session; return the response."""
        self._limit.forget(self.session_token(request))
        self._cookies.delete(response, SESSION)
        return response

    async def person(self, request: web.Request, *, enrolling: bool = False) -> Person | None:
        """Return who is logged in.

        None for an owner who has yet to add a second factor, except where one is added: with ``enrolling``.
        """
        found = await self._person(request)
        if found is None:
            self._limit.forget(self.session_token(request))
            return None
        self._limit.remember(found.token, found.tenant)
        if found.role != "owner" or found.second_factor or not self._owners_need_second_factor:
            return found
        return replace(found, must_add_factor=True) if enrolling else None

    async def _person(self, request: web.Request) -> Person | None:
        if _PERSON not in request:
            request[_PERSON] = await sessions.authenticate(self._pool, self.session_token(request), self.idle_minutes)
        return request[_PERSON]

    def forget_lookups(self, request: web.Request) -> None:
        """Ask the database again next time: after a wait, or where this request changed what it says."""
        request.pop(_PERSON, None)
        request.pop(_CALLER, None)

    async def require_login(self, request: web.Request, scope: str = "", *, enrolling: bool = False) -> Person:
        """Return who looks at a page.

        Raises EarlyResponse: to the login, to add a second factor, or with the page that says that the role does not
        allow this.
        """
        person = await self.person(request, enrolling=enrolling)
        if person is None:
            raise await self.login_redirect(request)
        if scope and not person.may(scope):
            raise role_refused(person)
        return person

    async def login_redirect(self, request: web.Request) -> EarlyResponse:
        """Lead to the login, and from there to the requested address; or to the account, to add a second factor."""
        if await self.person(request, enrolling=True):
            return EarlyResponse(redirect("/account"))
        return NotLoggedInError(redirect(paths.login(str(request.rel_url))))

    async def require_form(self, request: web.Request, scope: str = "", *, enrolling: bool = False) -> Person:
        """Return who pressed a button of ours. Raises Refused if another website made the browser send this."""
        person = await self._form_sender(request, enrolling=enrolling)
        require_token(forms.form(request).get("csrf"), person.csrf)
        _require_role(request, person, scope)
        return person

    async def require_form_sender(self, request: web.Request, scope: str) -> Person:
        """As :meth:`require_form`, before the body is read: whoever reads it checks the token that it begins with."""
        person = await self._form_sender(request, enrolling=False)
        _require_role(request, person, scope)
        return person

    async def _form_sender(self, request: web.Request, *, enrolling: bool) -> Person:
        self._origins.require_same_origin(request)
        person = await self.person(request, enrolling=enrolling)
        if person is None and await self.person(request, enrolling=True):
            if wants_page(request):
                raise EarlyResponse(redirect("/account"))
            message = "Owners need a second factor here, and you have none yet."
            raise Refused(403, "second_factor_required", message, "add one at /account")
        if person is None:
            if wants_page(request):
                wanted = self._origins.referring_page(request)
                raise NotLoggedInError(render("login.html", 401, error=SESSION_ENDED, wanted=wanted))
            raise Refused(401, "unauthorized", "Nobody is logged in.", "log in at /login")
        return person

    # --- programs

    async def require_caller(self, request: web.Request, scope: str) -> Caller:
        """Return who calls: a program with a key or, for GET, a person with a session.

        Raises Refused, or EarlyResponse for a browser.
        """
        kind, key = _authorization(request)
        found = await self._caller(request, key) if kind == "bearer" else None
        if found is not None:
            self._limit.remember(key, found.tenant)
        elif kind:
            self._limit.forget(key)
        elif request.method == hdrs.METH_GET and (person := await self.person(request)):
            if scope not in person.scopes and wants_page(request):
                raise role_refused(person)
            found = person.caller(self._client.address(request))
        remedy = "send Authorization: Bearer with a key of `landfall key create`"
        if found is None:
            if not kind and request.method == hdrs.METH_GET and wants_page(request):
                raise await self.login_redirect(request)
            raise Refused(401, "unauthorized", "The key is missing, unknown or revoked.", remedy)
        if scope not in found.scopes:
            raise Refused(403, "forbidden", f"The scope {scope} is missing.", remedy)
        return found

    async def require_writer(self, request: web.Request, scope: str) -> Caller:
        """Return who calls: a program with a key, or a script of a page of ours with the token of its forms.

        Raises Refused.
        """
        kind, _ = _authorization(request)
        person = None if kind else await self.person(request)
        if person is None:
            return await self.require_caller(request, scope)
        self._origins.require_same_origin(request)
        require_token(request.headers.get(CSRF_HEADER), person.csrf, f"send the page's token as {CSRF_HEADER}")
        if not person.may(scope):
            raise Refused(403, "forbidden", "Your role does not allow this.", "ask an owner to do it")
        return person.caller(self._client.address(request))

    async def _caller(self, request: web.Request, key: str) -> Caller | None:
        if _CALLER not in request:
            request[_CALLER] = await api_keys.authenticate(self._pool, key, self._client.address(request))
        return request[_CALLER]

    # --- for the concurrency limit

    def credentials(self, request: web.Request) -> dict[str, FindTenant]:
        """Return the credentials of a request, each with the function that finds its tenant."""
        found: dict[str, FindTenant] = {}

        async def tenant_of_session(_: str) -> str | None:
            person = await self._person(request)
            return person.tenant if person else None

        async def tenant_of_key(key: str) -> str | None:
            caller = await self._caller(request, key)
            return caller.tenant if caller else None

        if session := self.session_token(request):
            found[session] = tenant_of_session
        kind, key = _authorization(request)
        if kind == "bearer" and key:
            found[key] = tenant_of_key
        return found


def _require_role(request: web.Request, person: Person, scope: str) -> None:
    """Raises EarlyResponse or Refused where the role of a person does not allow what was asked for."""
    if scope and not person.may(scope):
        if wants_page(request):
            raise role_refused(person)
        raise Refused(403, "forbidden", "Your role does not allow this.", "ask an owner to do it")


def role_refused(person: Person) -> EarlyResponse:
    """Make the page for somebody whose role does not allow what was asked for."""
    text = f"Your role here, {person.role}, does not allow this. Ask an owner to do it, or to give you another role."
    return EarlyResponse(message_page("Not allowed for your role", text, 403, "/connections", person))


def _authorization(request: web.Request) -> tuple[str, str]:
    """Return the scheme and the key. A key that is not ASCII cannot be ours, and becomes one that is unknown."""
    kind, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return kind.lower(), key.strip() if key.isascii() else "?"
