"""Pages for whoever was invited: what to, by whom, and one button; and for whoever was given a password."""

import re

from aiohttp import hdrs, web

from ops.access import invitations, passwords, sessions
from ops.access.errors import ValidationError
from ops.access.invitation_store import Invitation
from ops.access.invitations import AccountExistsError, InvitationEndedError
from ops.access.login_throttle import TooManyAttemptsError
from ops.access.passwords import OverloadedError
from ops.access.sessions import Person, csrf_token
from ops.runtime.db import Pool
from ops.web import forms, paths
from ops.web.authentication import Door, add_route, insist
from ops.web.pages.account import BUSY, TOO_MANY
from ops.web.refusals import Refusals
from ops.web.responses import Ended, rendered, sentence, to

COOKIE = "landfall-invitation"
COOKIE_SECONDS = 3600
"""Long enough to log in with whatever that takes."""

_LINK = re.compile(r"[A-Za-z0-9_-]{20,100}")

KNOWN = "This address has a password here. Log in with it, and confirm."
CHOSEN = "Your password is set. Log in with it."


def after_login(door: Door, request: web.Request, wanted: str = "") -> str:
    """Where a browser goes once somebody logged in: where it wanted to, or to the invitation that it was opened with.

    ``wanted`` is what came along, and is followed within this site only.
    """
    return paths.local(wanted) or ("/invitation" if _link(door, request) else "/connections")


class Inviting:
    def __init__(self, pool: Pool, door: Door, refusals: Refusals) -> None:
        self._pool = pool
        self._door = door
        self._refusals = refusals

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/invitation", self.show),
            ("POST", "/invitation", self.confirm),
            ("POST", "/invitation/password", self.join),
            ("POST", "/login/password", self.choose_password),
        ):
            add_route(app, method, path, self._door.answering(self._refusals.noting(handler)))

    async def show(self, request: web.Request) -> web.Response:
        """What somebody is invited to. The link goes into a cookie first, and out of addresses that browsers keep."""
        if link := request.query.get("link", ""):
            if not _LINK.fullmatch(link):
                raise self._gone(None)
            answer = to("/invitation")
            self._door.set_cookie(answer, COOKIE, link, COOKIE_SECONDS)
            return answer
        person = await self._door.person(request)
        return _shown(_link(self._door, request), await self._opened(request, person), person)

    async def confirm(self, request: web.Request) -> web.Response:
        """The person who is logged in says yes; and goes on at the new tenant."""
        person = await self._door.posting(request)
        await self._opened(request, person)
        address = self._door.address(request)
        try:
            tenant = await invitations.accept(self._pool, _link(self._door, request), person, address)
        except InvitationEndedError:
            raise self._gone(person) from None
        answer = to("/connections")
        renewed = await sessions.authenticate(self._pool, person.token)
        token = await sessions.switch_tenant(self._pool, renewed, tenant, address) if renewed else None
        self._door.delete_cookie(answer, COOKIE)
        return self._door.let_in(answer, token) if token else answer

    async def join(self, request: web.Request) -> web.Response:
        """A newcomer chooses a password, and logs in with it."""
        self._door.same_site(request)
        form, link = forms.form(request), _link(self._door, request)
        insist(form.get("csrf") if link else None, csrf_token(link))
        person = await self._door.person(request)
        invitation = await self._opened(request, person)
        try:
            email = await invitations.accept_with_password(
                self._pool, link, form.get("new", ""), self._door.address(request)
            )
        except InvitationEndedError:
            raise self._gone(person) from None
        except AccountExistsError:
            return _shown(link, invitation, person, 409, KNOWN)
        except ValidationError as error:
            return _shown(link, invitation, person, 400, sentence(error))
        except OverloadedError:
            return _shown(link, invitation, person, 503, BUSY)
        answer = rendered("login.html", says=CHOSEN, good=True, email=email)
        self._door.delete_cookie(answer, COOKIE)
        return answer

    async def choose_password(self, request: web.Request) -> web.Response:
        """A password of one's own in the place of one that somebody else chose. No session is needed, or begun."""
        self._door.same_site(request)
        form = forms.form(request)
        email, old, new, wanted = (form.get(name, "") for name in ("email", "old", "new", "next"))
        try:
            chosen = await sessions.choose_password(self._pool, email, old, new, self._door.address(request))
        except ValidationError as error:
            return first_password(email, 400, sentence(error), wanted)
        except TooManyAttemptsError:
            self._refusals.throttled(request, "/login/password")
            return first_password(email, 429, TOO_MANY, wanted)
        except OverloadedError:
            return first_password(email, 503, BUSY, wanted)
        if not chosen:
            self._refusals.refused(request, "password")
            return first_password(email, 401, "The address or the password is wrong, or was used before.", wanted)
        return rendered("login.html", says=CHOSEN, good=True, email=email, wanted=paths.local(wanted))

    async def _opened(self, request: web.Request, person: Person | None) -> Invitation:
        """Raises Ended where the link opens nothing, or nothing for whoever is logged in."""
        invitation = await invitations.open_link(self._pool, _link(self._door, request))
        if invitation is None:
            raise self._gone(person)
        if person is not None and invitation.email != person.email:
            says = f"You are logged in as {person.email}, and this invitation is for another address. Log out, then"
            raise Ended(_said(person, "For somebody else", f"{says} open the link again.", 403))
        return invitation

    def _gone(self, person: Person | None) -> Ended:
        says = "The link was used before, was withdrawn or is too old. Ask whoever invited you for another one."
        answer = _said(person, "Not valid any more", says, 410)
        self._door.delete_cookie(answer, COOKIE)
        return Ended(answer)


def first_password(email: str, status: int = 200, wrong: str = "", wanted: str = "") -> web.Response:
    """The form for whoever logged in with a password that somebody else chose."""
    headers: dict[str, str] = {hdrs.RETRY_AFTER: "3"} if status == 503 else {}
    shown = {"email": email, "wrong": wrong, "wanted": paths.local(wanted), "shortest": passwords.MIN_LENGTH}
    return rendered("first_password.html", status, headers, **shown)


def _link(door: Door, request: web.Request) -> str:
    return door.cookies(request).get(door.cookie(COOKIE), "")


def _shown(
    link: str, invitation: Invitation, person: Person | None, status: int = 200, wrong: str = ""
) -> web.Response:
    return rendered(
        "invitation.html",
        status,
        invitation=invitation,
        person=person,
        csrf=csrf_token(link),
        wrong=wrong,
        shortest=passwords.MIN_LENGTH,
    )


def _said(person: Person | None, title: str, says: str, status: int) -> web.Response:
    return rendered("said.html", status, title=title, says=says, back="/connections" if person else "", person=person)
