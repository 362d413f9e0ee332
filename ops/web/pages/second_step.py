"""The second step of a login: a code or a passkey, after the right password in the same browser."""

from collections.abc import Sequence
from functools import partial

from aiohttp import hdrs, web

from ops.access import passkeys, pending_logins, second_factor, sessions
from ops.access.login_throttle import WINDOW_MINUTES, TooManyAttemptsError
from ops.access.passkeys import relying_party
from ops.access.pending_logins import PendingLogin
from ops.access.sessions import VerifyFactor, csrf_token
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.web import forms, paths
from ops.web.csrf import require_token
from ops.web.pages.invitations import InvitationPages
from ops.web.responses import SCRIPTED, EarlyResponse, redirect, render
from ops.web.routing import Route
from ops.web.site import Site
from ops.web.user_agent import in_words
from schema.sealing import Sealer

PENDING = "landfall-pending"
TOO_LATE = "It took too long, or too many codes were wrong. Log in again."
NO_VAULT = (
    "Codes of an authenticator app cannot be checked: no vault key is configured to decrypt its secret. Use a passkey"
    " or a recovery code. Whoever runs this Landfall sets LANDFALL_VAULT_KEYS to the keys it had before."
)
TOO_MANY = f"Too many wrong codes or passwords. Wait {WINDOW_MINUTES} minutes and try again."


class SecondStepPages:
    def __init__(self, site: Site, vault: Sealer | None, invitations: InvitationPages) -> None:
        self._site = site
        self._vault = vault
        self._invitations = invitations
        self._party = relying_party(site.public_url)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/login/second", self.show),
            Route("POST", "/login/second", self.code),
            Route("POST", "/login/second/passkey", self.passkey),
        )

    def begin(self, pending: PendingLogin, wanted: str) -> web.Response:
        """Lead to the second step, and from there to ``wanted``. Only this browser can complete it."""
        response = redirect(paths.login(wanted, "/login/second"))
        self._site.cookies.set(response, PENDING, pending.token, pending_logins.LIFETIME_MINUTES * 60)
        return response

    async def show(self, request: web.Request) -> web.Response:
        return await self._page(request, self._token(request))

    async def code(self, request: web.Request) -> web.Response:
        code = forms.form(request).get("code", "")
        if self._vault is None and second_factor.is_totp_code(code):
            return await self._page(request, self._token(request), 503, error=NO_VAULT)
        return await self._step(request, partial(second_factor.verify_code, vault=self._vault, code=code))

    async def passkey(self, request: web.Request) -> web.Response:
        credential, token = forms.form(request).get("credential", ""), self._token(request)
        if self._party is None:
            return await self._page(request, token, 409, error="There are no passkeys at this address. Use a code.")
        prove = partial(passkeys.verify, party=self._party, pending=token, credential=credential)
        return await self._step(request, prove)

    async def _step(self, request: web.Request, prove: VerifyFactor) -> web.Response:
        self._site.origins.require_same_origin(request)
        token = self._token(request)
        if not token:
            return self._too_late(request)
        require_token(forms.form(request).get("csrf"), csrf_token(token))
        try:
            person = await sessions.login_with_factor(
                self._site.pool,
                token,
                prove,
                self._site.client.address(request),
                self._site.authentication.device(request),
                browser_of(request),
                self._site.authentication.session_token(request),
            )
        except pending_logins.PendingLoginEndedError:
            return self._too_late(request)
        except TooManyAttemptsError:
            self._site.refusals.throttled(request, "/login/second")
            return await self._page(request, token, 429, error=TOO_MANY)
        if person is None:
            self._site.refusals.refused(request, "second_factor")
            return await self._page(request, token, 401, error="This is wrong, or was used before.")
        response = redirect(self._invitations.after_login(request, _wanted(request)))
        self._site.authentication.log_in(response, person)
        self._site.cookies.delete(response, PENDING)
        return response

    async def _page(self, request: web.Request, token: str, status: int = 200, error: str = "") -> web.Response:
        """Render the form, with a new challenge for a passkey. Raises EarlyResponse if there was no first step."""
        async with tenant_transaction(self._site.pool, NO_TENANT) as connection:
            user = await pending_logins.find_user(connection, token) if token else None
            if user is None:
                raise EarlyResponse(
                    redirect(paths.login(_wanted(request))) if status == 200 else self._too_late(request)
                )
            options = self._party and await passkeys.authentication_options(connection, self._party, user, token)
        headers = SCRIPTED if options else None
        shown = {"error": error, "csrf": csrf_token(token), "options": options, "wanted": paths.local(_wanted(request))}
        return render("second_step.html", status, headers, **shown)

    def _too_late(self, request: web.Request) -> web.Response:
        response = render("login.html", 401, error=TOO_LATE, wanted=paths.local(_wanted(request)))
        self._site.cookies.delete(response, PENDING)
        return response

    def _token(self, request: web.Request) -> str:
        return self._site.cookies.get(request, PENDING)


def _wanted(request: web.Request) -> str:
    """Return the address that the person wanted before the login."""
    return request.query.get("next", "") or (
        forms.form(request).get("next", "") if request.method == hdrs.METH_POST else ""
    )


def browser_of(request: web.Request) -> str:
    """Describe the browser that the person logs in with."""
    return in_words(request.headers.get("User-Agent", ""))
