"""Login and logout."""

from typing import Any

from aiohttp import hdrs, web

from ops.access import sessions
from ops.access.errors import ValidationError
from ops.access.login_throttle import TooManyAttemptsError
from ops.access.passwords import OverloadedError
from ops.access.pending_logins import PendingLogin
from ops.access.sessions import PasswordChangeRequiredError, Person
from ops.runtime.db import Pool
from ops.web import forms, paths
from ops.web.authentication import Door, add_route
from ops.web.pages.account import BUSY, TOO_MANY
from ops.web.pages.invitations import after_login, first_password
from ops.web.pages.second_step import SecondStep, browser_of, let_in
from ops.web.refusals import Refusals
from ops.web.responses import rendered, sentence, to


class Login:
    def __init__(self, pool: Pool, door: Door, refusals: Refusals, second_step: SecondStep) -> None:
        self._pool = pool
        self._door = door
        self._refusals = refusals
        self._second_step = second_step

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/login", self.show),
            ("POST", "/login", self.login),
            ("POST", "/logout", self.logout),
        ):
            add_route(app, method, path, self._door.answering(self._refusals.noting(handler)))

    async def show(self, request: web.Request) -> web.Response:
        there = await self._door.person(request, enrolling=True)
        wanted = request.query.get("next", "")
        if there is None:
            says = "Log in, and you go on to where you wanted." if paths.local(wanted) else ""
            if self._door.session(request):
                says = f"Your session has ended. {says or 'Log in again.'}"
            return rendered("login.html", says=says, good=True, email="", wanted=paths.local(wanted))
        return to("/account" if there.must_add_factor else after_login(self._door, request, wanted))

    async def login(self, request: web.Request) -> web.Response:
        """A new session, or the second step to one; the session that this browser had ends.

        Whatever cookie came along, nobody can hand somebody a session of his own making.
        """
        self._door.same_site(request)
        form = forms.form(request)
        email, password, wanted = form.get("email", ""), form.get("password", ""), form.get("next", "")
        again: dict[str, Any] = {"email": email, "wanted": paths.local(wanted)}
        try:
            person = await sessions.login(
                self._pool,
                email,
                password,
                self._door.address(request),
                self._door.device(request),
                browser_of(request),
                self._door.session(request),
            )
        except ValidationError as error:
            return rendered("login.html", 400, says=sentence(error), **again)
        except PasswordChangeRequiredError:
            return first_password(email, wanted=wanted)
        except TooManyAttemptsError:
            self._refusals.throttled(request, "/login")
            return rendered("login.html", 429, says=TOO_MANY, **again)
        except OverloadedError:
            return rendered("login.html", 503, {hdrs.RETRY_AFTER: "3"}, says=BUSY, **again)
        if person is None:
            self._refusals.refused(request, "password")
            return rendered("login.html", 401, says="The address or the password is wrong.", **again)
        return self._first_step(request, person, wanted)

    def _first_step(self, request: web.Request, found: Person | PendingLogin, wanted: str) -> web.Response:
        if isinstance(found, PendingLogin):
            return self._second_step.begin(found, wanted)
        return let_in(self._door, to(after_login(self._door, request, wanted)), found)

    async def logout(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, enrolling=True)
        await sessions.logout(self._pool, person, self._door.address(request))
        return self._door.let_out(request, to("/login"))
