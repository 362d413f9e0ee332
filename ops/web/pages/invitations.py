"""The pages of an invitation."""

import re
from collections.abc import Sequence

from aiohttp import web

from ops.access import invitations, passwords, sessions
from ops.access.errors import ValidationError
from ops.access.invitation_store import Invitation
from ops.access.invitations import AccountExistsError, InvitationEndedError
from ops.access.passwords import OverloadedError
from ops.access.sessions import Person, csrf_token
from ops.web import forms, paths
from ops.web.csrf import require_token
from ops.web.pages.account import BUSY
from ops.web.responses import EarlyResponse, message_page, redirect, render, sentence
from ops.web.routing import Route
from ops.web.site import Site

COOKIE = "landfall-invitation"
COOKIE_SECONDS = 3600
"""Long enough to log in, whatever that takes."""

_LINK = re.compile(r"[A-Za-z0-9_-]{20,100}")

KNOWN = "This address has a password here. Log in with it, and confirm."
CHOSEN = "Your password is set. Log in with it."


class InvitationPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/invitation", self.show),
            Route("POST", "/invitation", self.confirm),
            Route("POST", "/invitation/password", self.join),
        )

    async def show(self, request: web.Request) -> web.Response:
        """Show an invitation. The link moves into a cookie first, out of the addresses that browsers keep."""
        if link := request.query.get("link", ""):
            if not _LINK.fullmatch(link):
                raise self._gone(None)
            response = redirect("/invitation")
            self._site.cookies.set(response, COOKIE, link, COOKIE_SECONDS)
            return response
        person = await self._site.authentication.person(request)
        return _invitation_page(self._link(request), await self._opened(request, person), person)

    async def confirm(self, request: web.Request) -> web.Response:
        """Confirm an invitation as the person who is logged in, who goes on at the new tenant."""
        person = await self._site.authentication.require_form(request)
        await self._opened(request, person)
        address = self._site.client.address(request)
        try:
            tenant = await invitations.accept(self._site.pool, self._link(request), person, address)
        except InvitationEndedError:
            raise self._gone(person) from None
        response = redirect("/connections")
        self._site.authentication.forget_lookups(request)  # the person belongs to one more tenant now
        renewed = await self._site.authentication.person(request)
        token = await sessions.switch_tenant(self._site.pool, renewed, tenant, address) if renewed else None
        self._site.cookies.delete(response, COOKIE)
        return self._site.authentication.start_session(response, token) if token else response

    async def join(self, request: web.Request) -> web.Response:
        """Set the password of a new person, who then logs in with it."""
        self._site.origins.require_same_origin(request)
        form, link = forms.form(request), self._link(request)
        require_token(form.get("csrf") if link else None, csrf_token(link))
        person = await self._site.authentication.person(request)
        invitation = await self._opened(request, person)
        try:
            email = await invitations.accept_with_password(
                self._site.pool, link, form.get("new", ""), self._site.client.address(request)
            )
        except InvitationEndedError:
            raise self._gone(person) from None
        except AccountExistsError:
            return _invitation_page(link, invitation, person, 409, KNOWN)
        except ValidationError as error:
            return _invitation_page(link, invitation, person, 400, sentence(error))
        except OverloadedError:
            return _invitation_page(link, invitation, person, 503, BUSY)
        response = render("login.html", message=CHOSEN, email=email)
        self._site.cookies.delete(response, COOKIE)
        return response

    async def _opened(self, request: web.Request, person: Person | None) -> Invitation:
        """Raises EarlyResponse if the link is not valid, or not for the person who is logged in."""
        invitation = await invitations.open_link(self._site.pool, self._link(request))
        if invitation is None:
            raise self._gone(person)
        if person is not None and invitation.email != person.email:
            text = f"You are logged in as {person.email}, and this invitation is for another address. Log out, then"
            text = f"{text} open the link again."
            raise EarlyResponse(message_page("For somebody else", text, 403, "/connections", person))
        return invitation

    def _gone(self, person: Person | None) -> EarlyResponse:
        text = "The link was used before, was withdrawn or is too old. Ask whoever invited you for another one."
        response = message_page("Not valid any more", text, 410, "/connections" if person else "", person)
        self._site.cookies.delete(response, COOKIE)
        return EarlyResponse(response)

    def after_login(self, request: web.Request, wanted: str = "") -> str:
        """Return where a browser goes after a login: where it wanted to, or to the invitation that it opened.

        ``wanted`` was sent with the request, and is followed within this site only.
        """
        return paths.local(wanted) or ("/invitation" if self._link(request) else "/connections")

    def _link(self, request: web.Request) -> str:
        return self._site.cookies.get(request, COOKIE)


def _invitation_page(
    link: str, invitation: Invitation, person: Person | None, status: int = 200, error: str = ""
) -> web.Response:
    return render(
        "invitation.html",
        status,
        invitation=invitation,
        person=person,
        csrf=csrf_token(link),
        error=error,
        shortest=passwords.MIN_LENGTH,
    )
