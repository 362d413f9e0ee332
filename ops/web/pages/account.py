"""The page of a person's own account: password, second factors, sessions."""

from collections.abc import Sequence

import segno
from aiohttp import web
from markupsafe import Markup

from ops.access import factor_enrolment, passkeys, passwords, sessions
from ops.access.errors import ValidationError
from ops.access.factor_enrolment import AddedFactor
from ops.access.login_throttle import WINDOW_MINUTES, TooManyAttemptsError
from ops.access.passkeys import RelyingParty, relying_party
from ops.access.passwords import OverloadedError
from ops.access.second_factor_store import Factor
from ops.access.sessions import Person
from ops.runtime.text import visible
from ops.web import forms
from ops.web.forms import path_id
from ops.web.messages import Message
from ops.web.responses import (
    MAKE_VAULT_KEY,
    SCRIPTED,
    EarlyResponse,
    Refused,
    confirmation_page,
    redirect,
    render,
    sentence,
)
from ops.web.routing import Route
from ops.web.site import Site
from schema.sealing import Sealer

LONGEST_NAME = 100
"""Of a factor's name, in characters."""

TOO_MANY = f"Too many wrong passwords. Wait {WINDOW_MINUTES} minutes and try again."
BUSY = "Many people are logging in at this moment. Wait a few seconds and try again."
KINDS = {"totp": "authenticator app", "passkey": "passkey"}
USUAL_NAMES = {"totp": "Authenticator app", "passkey": "Passkey"}


class AccountPages:
    def __init__(self, site: Site, vault: Sealer | None) -> None:
        self._site = site
        self._vault = vault
        self._party = relying_party(site.public_url)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/account", self.show),
            Route("POST", "/account/password", self.change_password),
            Route("POST", "/account/sessions/{id}/end", self.end_session),
            Route("POST", "/account/sessions/end-others", self.end_others),
            Route("POST", "/account/totp", self.begin_totp),
            Route("POST", "/account/totp/{id}/confirm", self.confirm_totp),
            Route("POST", "/account/passkeys", self.begin_passkey),
            Route("POST", "/account/passkeys/finish", self.finish_passkey),
            Route("GET", "/account/factors/{id}/remove", self.confirm_remove_factor),
            Route("POST", "/account/factors/{id}/remove", self.remove_factor),
            Route("POST", "/account/recovery-codes", self.make_recovery_codes),
        )

    async def show(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request, enrolling=True)
        message = self._site.messages.take(request, person)
        return await self._page(person, message=message.text if message else "")

    async def _page(self, person: Person, status: int = 200, *, message: str = "", error: str = "") -> web.Response:
        return render(
            "account.html",
            status,
            person=person,
            message=message,
            error=error,
            shortest=passwords.MIN_LENGTH,
            factors=await factor_enrolment.list_factors(self._site.pool, person.user),
            kinds=KINDS,
            apps=self._vault is not None,
            make_vault_key=MAKE_VAULT_KEY,
            passkeys=self._party is not None,
            longest_name=LONGEST_NAME,
            sessions=await sessions.list_sessions(self._site.pool, person, self._site.authentication.idle_minutes),
            hours=sessions.HOURS,
            idle_minutes=self._site.authentication.idle_minutes,
        )

    async def change_password(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request)
        form = forms.form(request)
        old, new = form.get("old", ""), form.get("new", "")
        try:
            renewed = await sessions.change_password(
                self._site.pool, person, old, new, self._site.client.address(request)
            )
        except ValidationError as error:
            return await self._page(person, 400, error=sentence(error))
        except TooManyAttemptsError:
            self._site.refusals.throttled(request, "/account/password")
            return await self._page(person, 429, error=TOO_MANY)
        except OverloadedError:
            return await self._page(person, 503, error=BUSY)
        if renewed is None:
            self._site.refusals.refused(request, "password")
            return await self._page(person, 403, error="The current password is wrong.")
        message = "The password is changed. All other sessions are ended."
        return self._site.authentication.log_in(await self._page(renewed, message=message), renewed)

    # --- sessions

    async def end_session(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request)
        id_ = path_id(request, _no_session())
        if not await sessions.end_session(self._site.pool, person, id_, self._site.client.address(request)):
            raise _no_session()
        self._site.authentication.forget_lookups(request)
        if await self._site.authentication.person(request) is None:  # it was this session
            return self._site.authentication.end_session(request, redirect("/login"))
        return self._back(person, "That session is ended.")

    async def end_others(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request)
        await sessions.end_other_sessions(self._site.pool, person, self._site.client.address(request))
        return self._back(person, "All other sessions are ended.")

    def _back(self, person: Person, text: str) -> web.Response:
        return self._site.messages.add(redirect("/account"), person, Message(text))

    # --- an authenticator app

    async def begin_totp(self, request: web.Request) -> web.Response:
        person, name = await self._confirmed(request, "totp", enrolling=True)
        enrolment = await factor_enrolment.begin_totp(self._site.pool, self._sealer(), person, name)
        if enrolment is None:
            return await self._page(person, 409, error="There are too many apps; remove one first.")
        qr = segno.make(enrolment.uri, micro=False).svg_inline(border=4, light="white", omitsize=True)
        secret = " ".join(enrolment.secret[at : at + 4] for at in range(0, len(enrolment.secret), 4))
        return render(
            "totp.html",
            person=person,
            enrolment=True,
            id=enrolment.id,
            qr=Markup(qr),  # noqa: S704  drawn by segno, and holds no text
            secret=secret,
        )

    async def confirm_totp(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, enrolling=True)
        id_, code = path_id(request, _no_factor()), forms.form(request).get("code", "")
        vault, address = self._sealer(), self._site.client.address(request)
        try:
            added = await factor_enrolment.confirm_totp(self._site.pool, vault, person, id_, code, address)
        except KeyError:
            raise _no_factor() from None
        if added is None:
            # The secret is not shown again: whoever has only the session must not learn it.
            error = "This is not the current code. Wait for the next one, and check the clock of your phone."
            return render("totp.html", 400, person=person, error=error, enrolment=False, id=id_)
        return await self._added(request, added)

    def _sealer(self) -> Sealer:
        """Return what encrypts the secret of an app. Raises Refused where no vault key is configured."""
        if self._vault is None:
            message = "An authenticator app cannot be added: no vault key is configured to encrypt its secret."
            raise Refused(503, "not_configured", message, MAKE_VAULT_KEY)
        return self._vault

    # --- a passkey

    async def begin_passkey(self, request: web.Request) -> web.Response:
        person, name = await self._confirmed(request, "passkey", enrolling=True)
        options = await factor_enrolment.begin_passkey(self._site.pool, self._relying_party(), person)
        return render("passkey.html", 200, SCRIPTED, person=person, options=options, name=name)

    async def finish_passkey(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, enrolling=True)
        form, party = forms.form(request), self._relying_party()
        name, credential = _name(form.get("name", ""), "passkey"), form.get("credential", "")
        if name is None:
            return await self._page(person, 400, error=_BAD_NAME)
        try:
            address = self._site.client.address(request)
            added = await factor_enrolment.finish_passkey(self._site.pool, party, person, name, credential, address)
        except passkeys.PasskeyRejectedError as refused:
            return await self._page(person, 400, error=str(refused))
        return await self._added(request, added)

    def _relying_party(self) -> RelyingParty:
        """Raises Refused if browsers offer no passkeys at this address."""
        if self._party is None:
            message = "Browsers offer no passkeys at this address."
            raise Refused(409, "no_passkeys", message, "set LANDFALL_PUBLIC_URL to an https address with a name")
        return self._party

    # --- any factor

    async def confirm_remove_factor(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request)
        factor, last = await self._factor(person, path_id(request, _no_factor()))
        effects = [f"Logging in does not accept this {KINDS[factor.kind]} any more."]
        if last:
            effects.append(
                "It is your last factor: logging in asks for the password alone, and the recovery codes end."
            )
        button = "Remove the factor"
        title = f"Remove {factor.name}?"
        return confirmation_page(request, person, title, effects, button, "/account", password=True)

    async def _factor(self, person: Person, id_: str) -> tuple[Factor, bool]:
        """Return a factor of the person, and whether it is the only one. Raises Refused if there is none."""
        listed = (await factor_enrolment.list_factors(self._site.pool, person.user)).factors
        found = next((factor for factor in listed if factor.id == id_), None)
        if found is None:
            raise _no_factor()
        return found, len(listed) == 1

    async def remove_factor(self, request: web.Request) -> web.Response:
        person, _ = await self._confirmed(request)
        factor, _ = await self._factor(person, path_id(request, _no_factor()))
        if not await factor_enrolment.remove_factor(
            self._site.pool, person, factor.id, self._site.client.address(request)
        ):
            raise _no_factor()
        return self._back(person, f"{factor.name} is removed.")

    async def make_recovery_codes(self, request: web.Request) -> web.Response:
        person, _ = await self._confirmed(request)
        codes = await factor_enrolment.make_recovery_codes(self._site.pool, person, self._site.client.address(request))
        if not codes:
            return await self._page(person, 409, error="Recovery codes replace a second factor; add one first.")
        return render("recovery_codes.html", person=person, codes=codes)

    async def _added(self, request: web.Request, added: AddedFactor) -> web.Response:
        """Say that a factor was added, and show the recovery codes if they are new."""
        self._site.authentication.forget_lookups(request)  # the session has a second factor now
        person = await self._site.authentication.require_login(request)
        message = f"“{added.name}” is added; from now on logging in asks for it."
        if not added.codes:
            return await self._page(person, message=message)
        return render("recovery_codes.html", person=person, codes=added.codes, message=message)

    async def _confirmed(self, request: web.Request, kind: str = "", *, enrolling: bool = False) -> tuple[Person, str]:
        """Return who pressed the button and entered the password again, and the name of a factor of this kind.

        Raises Refused, or EarlyResponse with the page that says what is wrong.
        """
        person = await self._site.authentication.require_form(request, enrolling=enrolling)
        form = forms.form(request)
        name = _name(form.get("name", ""), kind) if kind else ""
        if name is None:
            raise EarlyResponse(await self._page(person, 400, error=_BAD_NAME))
        try:
            right = await sessions.confirm_password(
                self._site.pool, person, form.get("password", ""), self._site.client.address(request)
            )
        except ValidationError as error:
            raise EarlyResponse(await self._page(person, 400, error=sentence(error))) from None
        except TooManyAttemptsError:
            self._site.refusals.throttled(request, "/account")
            raise EarlyResponse(await self._page(person, 429, error=TOO_MANY)) from None
        except OverloadedError:
            raise EarlyResponse(await self._page(person, 503, error=BUSY)) from None
        if not right:
            self._site.refusals.refused(request, "password")
            raise EarlyResponse(await self._page(person, 403, error="The password is wrong."))
        return person, name


_BAD_NAME = f"A name has at most {LONGEST_NAME} characters, all of them visible."


def _name(given: str, kind: str) -> str | None:
    """Return the name of a factor; None if it cannot be one."""
    name = given.strip() or USUAL_NAMES[kind]
    return name if len(name) <= LONGEST_NAME and visible(name) == name else None


def _no_session() -> Refused:
    return Refused(404, "not_found", "There is no such session; it may have ended.", "open /account")


def _no_factor() -> Refused:
    return Refused(404, "not_found", "There is no such factor; it may have taken too long.", "begin again at /account")
