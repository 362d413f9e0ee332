"""The second step of a login: a code, or a passkey, of somebody who gave the right password in this browser."""

from functools import partial

from aiohttp import hdrs, web

from ops.access import passkeys, pending_logins, second_factor, sessions
from ops.access.device_store import DEVICE_DAYS
from ops.access.login_throttle import WINDOW_MINUTES, TooManyAttemptsError
from ops.access.passkeys import relying_party
from ops.access.pending_logins import PendingLogin
from ops.access.sessions import Person, VerifyFactor, csrf_token
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.web import forms, paths
from ops.web.authentication import DEVICE, Door, add_route, insist
from ops.web.pages.invitations import after_login
from ops.web.refusals import Refusals
from ops.web.responses import SCRIPTED, Ended, rendered, to
from ops.web.user_agent import in_words
from schema.sealing import Sealer

PENDING = "landfall-pending"
LATE = "It took too long, or too many codes were wrong. Log in again."
NO_VAULT = (
    "Codes of an authenticator app cannot be checked: no vault key is configured to decrypt its secret. Use a passkey"
    " or a recovery code. Whoever runs this Landfall sets LANDFALL_VAULT_KEYS to the keys it had before."
)
TOO_MANY = f"Too many wrong codes or passwords. Wait {WINDOW_MINUTES} minutes and try again."


class SecondStep:
    def __init__(self, pool: Pool, vault: Sealer | None, door: Door, refusals: Refusals) -> None:
        self._pool = pool
        self._vault = vault
        self._door = door
        self._refusals = refusals
        self._party = relying_party(door.site)

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/login/second", self.show),
            ("POST", "/login/second", self.code),
            ("POST", "/login/second/passkey", self.passkey),
        ):
            add_route(app, method, path, self._door.answering(self._refusals.noting(handler)))

    def begin(self, pending: PendingLogin, wanted: str) -> web.Response:
        """Lead to the second step, and from there to ``wanted``; only this browser can take it."""
        response = to(paths.login(wanted, "/login/second"))
        self._door.set_cookie(response, PENDING, pending.token, pending_logins.LIFETIME_MINUTES * 60)
        return response

    async def show(self, request: web.Request) -> web.Response:
        return await self._page(request, self._token(request))

    async def code(self, request: web.Request) -> web.Response:
        code = forms.form(request).get("code", "")
        if self._vault is None and second_factor.is_totp_code(code):
            return await self._page(request, self._token(request), 503, says=NO_VAULT)
        return await self._step(request, partial(second_factor.verify_code, vault=self._vault, code=code))

    async def passkey(self, request: web.Request) -> web.Response:
        credential, token = forms.form(request).get("credential", ""), self._token(request)
        if self._party is None:
            return await self._page(request, token, 409, says="There are no passkeys at this address. Use a code.")
        prove = partial(passkeys.verify, party=self._party, pending=token, credential=credential)
        return await self._step(request, prove)

    async def _step(self, request: web.Request, prove: VerifyFactor) -> web.Response:
        self._door.same_site(request)
        token = self._token(request)
        if not token:
            return self._late(request)
        insist(forms.form(request).get("csrf"), csrf_token(token))
        try:
            person = await sessions.login_with_factor(
                self._pool,
                token,
                prove,
                self._door.address(request),
                self._door.device(request),
                browser_of(request),
                self._door.session(request),
            )
        except pending_logins.PendingLoginEndedError:
            return self._late(request)
        except TooManyAttemptsError:
            self._refusals.throttled(request, "/login/second")
            return await self._page(request, token, 429, says=TOO_MANY)
        if person is None:
            self._refusals.refused(request, "second_factor")
            return await self._page(request, token, 401, says="This is not right, or was used before.")
        response = let_in(self._door, to(after_login(self._door, request, _wanted(request))), person)
        self._door.delete_cookie(response, PENDING)
        return response

    async def _page(self, request: web.Request, token: str, status: int = 200, says: str = "") -> web.Response:
        """The form, with a new challenge for a passkey. Raises Ended: to the login where nobody is on the way in."""
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            user = await pending_logins.find_user(connection, token) if token else None
            if user is None:
                raise Ended(to(paths.login(_wanted(request))) if status == 200 else self._late(request))
            options = self._party and await passkeys.authentication_options(connection, self._party, user, token)
        headers = SCRIPTED if options else None
        shown = {"says": says, "csrf": csrf_token(token), "options": options, "wanted": paths.local(_wanted(request))}
        return rendered("second_step.html", status, headers, **shown)

    def _late(self, request: web.Request) -> web.Response:
        response = rendered("login.html", 401, says=LATE, email="", wanted=paths.local(_wanted(request)))
        self._door.delete_cookie(response, PENDING)
        return response

    def _token(self, request: web.Request) -> str:
        return self._door.cookies(request).get(self._door.cookie(PENDING), "")


def _wanted(request: web.Request) -> str:
    """Where the person wanted to go before the login."""
    return request.query.get("next", "") or (
        forms.form(request).get("next", "") if request.method == hdrs.METH_POST else ""
    )


def browser_of(request: web.Request) -> str:
    """What the person logs in with, in words."""
    return in_words(request.headers.get("User-Agent", ""))


def let_in(door: Door, response: web.Response, person: Person) -> web.Response:
    """The answer to a login: a session, and what the browser is known by when it logs in again."""
    door.set_cookie(response, DEVICE, person.device, DEVICE_DAYS * 86_400)
    return door.let_in(response, person.token)
