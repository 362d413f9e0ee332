"""The page of one's own account: second factors, sessions, and how each is added and ended."""

from importlib.resources import files

import segno
from aiohttp import hdrs, web
from markupsafe import Markup

from ops.access import factor_enrolment, passkeys, passwords, sessions
from ops.access.errors import ValidationError
from ops.access.factor_enrolment import AddedFactor
from ops.access.login_throttle import WINDOW_MINUTES, TooManyAttemptsError
from ops.access.passkeys import RelyingParty, relying_party
from ops.access.passwords import OverloadedError
from ops.access.second_factor_store import Factor
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.text import visible
from ops.web import forms
from ops.web.authentication import Door, add_route, id_of
from ops.web.refusals import Refusals
from ops.web.responses import MAKE_VAULT_KEY, SCRIPTED, Ended, Refused, ask, rendered, sentence, to
from schema.sealing import Sealer

LONGEST_NAME = 100
"""Of a factor, in characters."""

TOO_MANY = f"Too many wrong passwords. Wait {WINDOW_MINUTES} minutes and try again."
BUSY = "Many people are logging in at this moment. Wait a few seconds and try again."
KINDS = {"totp": "authenticator app", "passkey": "passkey"}
USUAL_NAMES = {"totp": "Authenticator app", "passkey": "Passkey"}

_SCRIPT = files("ops.web").joinpath("static", "passkeys.js").read_bytes()


class Account:
    def __init__(self, pool: Pool, vault: Sealer | None, door: Door, refusals: Refusals) -> None:
        self._pool = pool
        self._vault = vault
        self._door = door
        self._refusals = refusals
        self._party = relying_party(door.site)

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/account", self.show),
            ("POST", "/account/sessions/{id}/end", self.end_session),
            ("POST", "/account/sessions/end-others", self.end_others),
            ("POST", "/account/totp", self.begin_totp),
            ("POST", "/account/totp/{id}/confirm", self.confirm_totp),
            ("POST", "/account/passkeys", self.begin_passkey),
            ("POST", "/account/passkeys/finish", self.finish_passkey),
            ("GET", "/account/factors/{id}/remove", self.remove_factor_page),
            ("POST", "/account/factors/{id}/remove", self.remove_factor),
            ("POST", "/account/recovery-codes", self.make_recovery_codes),
            ("GET", "/static/passkeys.js", self.script),
        ):
            add_route(app, method, path, self._door.answering(self._refusals.noting(handler)))

    async def script(self, _: web.Request) -> web.Response:
        headers = {hdrs.CACHE_CONTROL: "no-cache", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=_SCRIPT, content_type="text/javascript", charset="utf-8", headers=headers)

    async def show(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request, enrolling=True)
        message = self._door.message(request, person)
        return await self.page(person, says=message.says if message else "")

    async def page(self, person: Person, status: int = 200, *, says: str = "", wrong: str = "") -> web.Response:
        return rendered(
            "account.html",
            status,
            person=person,
            says=says,
            wrong=wrong,
            shortest=passwords.MIN_LENGTH,
            factors=await factor_enrolment.list_factors(self._pool, person.user),
            kinds=KINDS,
            apps=self._vault is not None,
            make_vault_key=MAKE_VAULT_KEY,
            passkeys=self._party is not None,
            longest_name=LONGEST_NAME,
            sessions=await sessions.list_sessions(self._pool, person, self._door.idle_minutes),
            hours=sessions.HOURS,
            idle_minutes=self._door.idle_minutes,
        )

    # --- sessions

    async def end_session(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request)
        id_ = id_of(request, _no_session())
        if not await sessions.end_session(self._pool, person, id_, self._door.address(request)):
            raise _no_session()
        if await self._door.person(request, anew=True) is None:
            return self._door.let_out(request, to("/login"))
        return self._door.leave(to("/account"), person, "That session is ended.")

    async def end_others(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request)
        await sessions.end_other_sessions(self._pool, person, self._door.address(request))
        return self._door.leave(to("/account"), person, "All other sessions are ended.")

    # --- an authenticator app

    async def begin_totp(self, request: web.Request) -> web.Response:
        person, name = await self._confirmed(request, "totp", enrolling=True)
        enrolment = await factor_enrolment.begin_totp(self._pool, self._sealer(), person, name)
        if enrolment is None:
            return await self.page(person, 409, wrong="There are too many apps; remove one first.")
        qr = segno.make(enrolment.uri, micro=False).svg_inline(border=4, light="white", omitsize=True)
        secret = " ".join(enrolment.secret[at : at + 4] for at in range(0, len(enrolment.secret), 4))
        return rendered(
            "totp.html",
            person=person,
            wrong="",
            enrolment=True,
            id=enrolment.id,
            qr=Markup(qr),  # noqa: S704  drawn here, and holds no text
            secret=secret,
        )

    async def confirm_totp(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, enrolling=True)
        id_, code = id_of(request, _no_factor()), forms.form(request).get("code", "")
        vault, address = self._sealer(), self._door.address(request)
        try:
            added = await factor_enrolment.confirm_totp(self._pool, vault, person, id_, code, address)
        except KeyError:
            raise _no_factor() from None
        if added is None:
            # Without the secret once more: whoever has only the session learns nothing here.
            wrong = "This is not the code of this moment. Wait for the next one, and look at the clock of your phone."
            return rendered("totp.html", 400, person=person, wrong=wrong, enrolment=False, id=id_)
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
        options = await factor_enrolment.begin_passkey(self._pool, self._site(), person)
        return rendered("passkey.html", 200, SCRIPTED, person=person, options=options, name=name)

    async def finish_passkey(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, enrolling=True)
        form, party = forms.form(request), self._site()
        name, credential = _name(form.get("name", ""), "passkey"), form.get("credential", "")
        if name is None:
            return await self.page(person, 400, wrong=_UNFIT)
        try:
            address = self._door.address(request)
            added = await factor_enrolment.finish_passkey(self._pool, party, person, name, credential, address)
        except passkeys.PasskeyRejectedError as refused:
            return await self.page(person, 400, wrong=str(refused))
        return await self._added(request, added)

    def _site(self) -> RelyingParty:
        """Raises Refused where browsers offer no passkeys."""
        if self._party is None:
            message = "Browsers offer no passkeys at this address."
            raise Refused(409, "no_passkeys", message, "set LANDFALL_PUBLIC_URL to an https address with a name")
        return self._party

    # --- any factor

    async def remove_factor_page(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request)
        factor, last = await self._factor(person, id_of(request, _no_factor()))
        ends = [f"Logging in does not take this {KINDS[factor.kind]} any more."]
        if last:
            ends.append("It is your last factor: logging in asks for the password alone, and the recovery codes end.")
        button = "Remove the factor"
        return ask(request, person, f"Remove {factor.name}?", ends, button, "/account", password=True)

    async def _factor(self, person: Person, id_: str) -> tuple[Factor, bool]:
        """One of the person's own, and whether it is the only one. Raises Refused where there is none of this id."""
        listed = (await factor_enrolment.list_factors(self._pool, person.user)).factors
        found = next((factor for factor in listed if factor.id == id_), None)
        if found is None:
            raise _no_factor()
        return found, len(listed) == 1

    async def remove_factor(self, request: web.Request) -> web.Response:
        person, _ = await self._confirmed(request)
        factor, _ = await self._factor(person, id_of(request, _no_factor()))
        if not await factor_enrolment.remove_factor(self._pool, person, factor.id, self._door.address(request)):
            raise _no_factor()
        return self._door.leave(to("/account"), person, f"{factor.name} is removed.")

    async def make_recovery_codes(self, request: web.Request) -> web.Response:
        person, _ = await self._confirmed(request)
        codes = await factor_enrolment.make_recovery_codes(self._pool, person, self._door.address(request))
        if not codes:
            return await self.page(person, 409, wrong="Recovery codes stand for a second factor; add one first.")
        return rendered("codes.html", person=person, codes=codes, says="")

    async def _added(self, request: web.Request, added: AddedFactor) -> web.Response:
        """Say so, with the recovery codes where they are new."""
        person = await self._door.person(request, anew=True)
        if person is None:
            raise await self._door.not_logged_in(request)
        says = f"“{added.name}” is added; from now on logging in asks for it."
        if not added.codes:
            return await self.page(person, says=says)
        return rendered("codes.html", person=person, codes=added.codes, says=says)

    async def _confirmed(self, request: web.Request, kind: str = "", *, enrolling: bool = False) -> tuple[Person, str]:
        """Who pressed the button and gave the password again, and the name of a factor of this kind.

        Raises Refused, or Ended with the page that says what is wrong.
        """
        person = await self._door.posting(request, enrolling=enrolling)
        form = forms.form(request)
        name = _name(form.get("name", ""), kind) if kind else ""
        if name is None:
            raise Ended(await self.page(person, 400, wrong=_UNFIT))
        try:
            right = await sessions.confirm_password(
                self._pool, person, form.get("password", ""), self._door.address(request)
            )
        except ValidationError as error:
            raise Ended(await self.page(person, 400, wrong=sentence(error))) from None
        except TooManyAttemptsError:
            self._refusals.throttled(request, "/account")
            raise Ended(await self.page(person, 429, wrong=TOO_MANY)) from None
        except OverloadedError:
            raise Ended(await self.page(person, 503, wrong=BUSY)) from None
        if not right:
            self._refusals.refused(request, "password")
            raise Ended(await self.page(person, 403, wrong="The password is wrong."))
        return person, name


_UNFIT = f"A name has at most {LONGEST_NAME} characters, all of them visible."


def _name(given: str, kind: str) -> str | None:
    """What a factor is to be called; None for what no name can be."""
    name = given.strip() or USUAL_NAMES[kind]
    return name if len(name) <= LONGEST_NAME and visible(name) == name else None


def _no_session() -> Refused:
    return Refused(404, "not_found", "There is no such session; it may have ended.", "look at /account")


def _no_factor() -> Refused:
    return Refused(404, "not_found", "There is no such factor; it may have taken too long.", "begin again at /account")
