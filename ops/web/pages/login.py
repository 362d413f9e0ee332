"""Login, logout, the tenant of a session, and the form to replace a password that somebody else chose."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from ops.access import passwords, sessions
from ops.access.errors import ValidationError
from ops.access.login_throttle import TooManyAttemptsError
from ops.access.passwords import OverloadedError
from ops.access.pending_logins import PendingLogin
from ops.access.sessions import PasswordChangeRequiredError, Person
from ops.web import forms, paths
from ops.web.pages.account import BUSY, TOO_MANY
from ops.web.pages.invitations import CHOSEN, InvitationPages
from ops.web.pages.second_step import SecondStepPages, browser_of
from ops.web.responses import Refused, redirect, render, sentence
from ops.web.routing import Route
from ops.web.site import Site


class LoginPages:
    def __init__(self, site: Site, second_step: SecondStepPages, invitations: InvitationPages) -> None:
        self._site = site
        self._second_step = second_step
        self._invitations = invitations

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/", self.home),
            Route("GET", "/login", self.show),
            Route("POST", "/login", self.login),
            Route("POST", "/login/password", self.choose_password),
            Route("POST", "/logout", self.logout),
            Route("POST", "/tenant", self.switch),
        )

    async def home(self, _: web.Request) -> web.Response:
        return redirect("/connections")

    async def show(self, request: web.Request) -> web.Response:
        authentication = self._site.authentication
        person = await authentication.person(request, enrolling=True)
        wanted = request.query.get("next", "")
        if person is not None:
            return redirect("/account" if person.must_add_factor else self._invitations.after_login(request, wanted))
        message = "Log in to open the page you asked for." if paths.local(wanted) else ""
        if authentication.session_token(request):
            message = f"Your session has ended. {message or 'Log in again.'}"
        return render("login.html", message=message, wanted=paths.local(wanted))

    async def login(self, request: web.Request) -> web.Response:
        """Begin a session, or lead to the second step.

        The session that this browser had ends, whatever cookie was sent: nobody can give a person a session of his own
        making.
        """
        self._site.origins.require_same_origin(request)
        form = forms.form(request)
        email, password, wanted = form.get("email", ""), form.get("password", ""), form.get("next", "")
        try:
            person = await sessions.login(
                self._site.pool,
                email,
                password,
                self._site.client.address(request),
                self._site.authentication.device(request),
                browser_of(request),
                self._site.authentication.session_token(request),
            )
        except ValidationError as error:
            return _again(400, sentence(error), email, wanted)
        except PasswordChangeRequiredError:
            return _first_password(email, wanted=wanted)
        except TooManyAttemptsError:
            self._site.refusals.throttled(request, "/login")
            return _again(429, TOO_MANY, email, wanted)
        except OverloadedError:
            return _again(503, BUSY, email, wanted)
        if person is None:
            self._site.refusals.refused(request, "password")
            return _again(401, "The address or the password is wrong.", email, wanted)
        return self._first_step(request, person, wanted)

    def _first_step(self, request: web.Request, found: Person | PendingLogin, wanted: str) -> web.Response:
        if isinstance(found, PendingLogin):
            return self._second_step.begin(found, wanted)
        response = redirect(self._invitations.after_login(request, wanted))
        return self._site.authentication.log_in(response, found)

    async def choose_password(self, request: web.Request) -> web.Response:
        """Replace a password that somebody else chose by one of the person's own. No session is needed, or begun."""
        self._site.origins.require_same_origin(request)
        form = forms.form(request)
        email, old, new, wanted = (form.get(name, "") for name in ("email", "old", "new", "next"))
        try:
            chosen = await sessions.choose_password(
                self._site.pool, email, old, new, self._site.client.address(request)
            )
        except ValidationError as error:
            return _first_password(email, 400, sentence(error), wanted)
        except TooManyAttemptsError:
            self._site.refusals.throttled(request, "/login/password")
            return _first_password(email, 429, TOO_MANY, wanted)
        except OverloadedError:
            return _first_password(email, 503, BUSY, wanted)
        if not chosen:
            self._site.refusals.refused(request, "password")
            return _first_password(email, 401, "The address or the password is wrong, or was used before.", wanted)
        return render("login.html", message=CHOSEN, email=email, wanted=paths.local(wanted))

    async def logout(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, enrolling=True)
        await sessions.logout(self._site.pool, person, self._site.client.address(request))
        return self._site.authentication.end_session(request, redirect("/login"))

    async def switch(self, request: web.Request) -> web.Response:
        """Go on at another tenant of the person."""
        person = await self._site.authentication.require_form(request)
        tenant = forms.form(request).get("tenant", "")
        token = await sessions.switch_tenant(self._site.pool, person, tenant, self._site.client.address(request))
        if token is None:
            raise Refused(404, "not_found", "You do not belong to this tenant.", "choose one in the page's header")
        return self._site.authentication.start_session(redirect("/connections"), token)


def _again(status: int, error: str, email: str, wanted: str) -> web.Response:
    """Render the form with what went wrong."""
    headers: dict[str, str] = {hdrs.RETRY_AFTER: "3"} if status == 503 else {}
    return render("login.html", status, headers, error=error, email=email, wanted=paths.local(wanted))


def _first_password(email: str, status: int = 200, error: str = "", wanted: str = "") -> web.Response:
    """Render the form for somebody who logged in with a password that somebody else chose."""
    headers: dict[str, str] = {hdrs.RETRY_AFTER: "3"} if status == 503 else {}
    shown = {"email": email, "error": error, "wanted": paths.local(wanted), "shortest": passwords.MIN_LENGTH}
    return render("first_password.html", status, headers, **shown)
