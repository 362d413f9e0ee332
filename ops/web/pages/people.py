"""The page of people: members, invitations, and API keys of programs."""

from collections.abc import Sequence

from aiohttp import web

from ops.access import api_keys, invitation_mail, invitations, users
from ops.access.api_key_store import ApiKey
from ops.access.errors import RoleChangedError, ValidationError
from ops.access.invitation_mail import MailNotSentError
from ops.access.invitation_store import ListedInvitation
from ops.access.invitations import NewInvitation
from ops.access.sessions import Person
from ops.runtime.mail import Mailer
from ops.runtime.text import visible
from ops.web import forms
from ops.web.forms import path_id
from ops.web.messages import Message
from ops.web.responses import Refused, confirmation_page, redirect, render, sentence
from ops.web.routing import Route
from ops.web.site import Site

LONGEST_NAME = 100


class PeoplePages:
    def __init__(self, site: Site, mailer: Mailer | None = None) -> None:
        """``mailer`` sends links to people who are invited; without one they are shown to whoever invites."""
        self._site = site
        self._mailer = mailer

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/people", self.show),
            Route("POST", "/people", self.invite),
            Route("POST", "/people/invitations/{id}/renew", self.renew),
            Route("GET", "/people/invitations/{id}/withdraw", self.confirm_withdraw),
            Route("POST", "/people/invitations/{id}/withdraw", self.withdraw),
            Route("POST", "/people/{id}/role", self.change_role),
            Route("GET", "/people/{id}/remove", self.confirm_remove),
            Route("POST", "/people/{id}/remove", self.remove),
            Route("POST", "/keys", self.create_key),
            Route("GET", "/keys/{id}/revoke", self.confirm_revoke_key),
            Route("POST", "/keys/{id}/revoke", self.revoke_key),
        )

    async def show(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request, "people:write")
        message = self._site.messages.take(request, person)
        return await self._page(person, message=message.text if message else "")

    async def _page(
        self,
        person: Person,
        status: int = 200,
        *,
        message: str = "",
        error: str = "",
        secret: str = "",
        email: str = "",
    ) -> web.Response:
        return render(
            "people.html",
            status,
            person=person,
            members=await users.list_members(self._site.pool, person.tenant),
            roles=tuple(users.SCOPES),
            keys=await api_keys.list_keys(self._site.pool, person.tenant),
            scopes=api_keys.SCOPES,
            usual=api_keys.DEFAULT_SCOPES,
            invitations=await invitations.list_invitations(self._site.pool, person.tenant),
            by_mail=self._mailer is not None,
            message=message,
            error=error,
            secret=secret,
            email=email,
        )

    async def invite(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "people:write")
        form = forms.form(request)
        email, role = form.get("email", ""), form.get("role", "")
        actor = self._site.actor(request, person)
        try:
            made = await invitations.invite(self._site.pool, person.tenant, email, role, actor, person)
        except ValidationError as error:
            return await self._page(person, 400, error=sentence(error), email=email)
        except RoleChangedError:
            raise _role_changed() from None
        return await self._invited(person, made)

    async def _invited(self, person: Person, made: NewInvitation) -> web.Response:
        """Send the link to the person, or show it. Nobody is told whether the person has an account."""
        address = invitations.invitation_url(self._site.public_url, made.link)
        if self._mailer is None:
            message = f"{made.email} is invited as {made.role}. Send them this link, which is not shown again:"
            return await self._page(person, message=message, secret=address)
        tenant = dict(person.tenants)[person.tenant]
        try:
            await invitation_mail.send(self._mailer, made, tenant, person.email, address)
        except MailNotSentError as cause:
            error = f"{made.email} is invited, but the mail could not be sent ({cause}): press Renew to try again."
            return await self._page(person, 502, error=error)
        return await self._page(person, message=f"{made.email} is invited as {made.role}, and was sent the link.")

    async def renew(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "people:write")
        id_, actor = path_id(request, _no_invitation()), self._site.actor(request, person)
        try:
            made = await invitations.renew(self._site.pool, person.tenant, id_, actor, person)
        except RoleChangedError:
            raise _role_changed() from None
        if made is None:
            raise _no_invitation()
        return await self._invited(person, made)

    async def confirm_withdraw(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request, "people:write")
        item = await self._invitation(person, path_id(request, _no_invitation()))
        effects = [f"The link that was sent to {item.email}, to join as {item.role}, stops working."]
        title = f"Withdraw the invitation of {item.email}?"
        return confirmation_page(request, person, title, effects, "Withdraw the invitation", "/people")

    async def _invitation(self, person: Person, id_: str) -> ListedInvitation:
        """Raises Refused if the tenant has none with this id."""
        listed = await invitations.list_invitations(self._site.pool, person.tenant)
        found = next((item for item in listed if item.id == id_), None)
        if found is None:
            raise _no_invitation()
        return found

    async def withdraw(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "people:write")
        id_, actor = path_id(request, _no_invitation()), self._site.actor(request, person)
        item = await self._invitation(person, id_)
        if not await invitations.withdraw(self._site.pool, person.tenant, actor, id_=id_):
            raise _no_invitation()
        return self._back(person, f"The invitation of {item.email} is withdrawn.")

    async def change_role(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "people:write")
        role = forms.form(request).get("role", "")
        user = path_id(request, _no_person())
        try:
            if not await users.change_role(
                self._site.pool, person.tenant, user, role, self._site.actor(request, person)
            ):
                raise _no_person()
        except ValidationError as error:
            return await self._page(person, 409, error=sentence(error))
        if user == person.user:
            return redirect("/")
        return self._back(person, f"The role is {role} now.")

    async def confirm_remove(self, request: web.Request) -> web.Response:
        """Show what ends with a membership, by name, and the button that ends it."""
        person = await self._site.authentication.require_login(request, "people:write")
        user = path_id(request, _no_person())
        members = await users.list_members(self._site.pool, person.tenant)
        email = next((member.email for member in members if member.id == user), None)
        if email is None:
            raise _no_person()
        made = [
            key.name
            for key in await api_keys.list_keys(self._site.pool, person.tenant)
            if key.maker == email and key.revoked_at is None
        ]
        invited = [
            item.email
            for item in await invitations.list_invitations(self._site.pool, person.tenant)
            if item.inviter == email and not item.expired
        ]
        effects = [f"{email} is logged out of this tenant, and cannot come back without an invitation."]
        if made:
            effects.append(f"{_counted(len(made), 'API key')} made by {email}: {', '.join(made)}.")
        if invited:
            effects.append(f"{_counted(len(invited), 'invitation')} sent by {email}: {', '.join(invited)}.")
        effects.append("Connected accounts stay connected.")
        title, button = f"Remove {email}?", f"Remove {email}"
        if user == person.user:
            title, button = "Leave this tenant?", "Leave"
        return confirmation_page(request, person, title, effects, button, "/people")

    async def remove(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "people:write")
        try:
            user = path_id(request, _no_person())
            members = {member.id: member.email for member in await users.list_members(self._site.pool, person.tenant)}
            ended = await users.remove(self._site.pool, person.tenant, user, self._site.actor(request, person))
            if ended is None:
                raise _no_person()
        except ValidationError as error:
            return await self._page(person, 409, error=sentence(error))
        if user == person.user:
            return redirect("/")
        text = f"{members.get(user, 'The person')} is removed."
        if ended.keys:
            text = f"{text} {_counted(len(ended.keys), 'API key')} with that: {', '.join(ended.keys)}."
        return self._back(person, text)

    async def create_key(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "keys:write")
        form = forms.form(request)
        name, scopes = form.get("name", "").strip(), [scope for scope in api_keys.SCOPES if scope in form]
        if not 1 <= len(name) <= LONGEST_NAME or visible(name) != name:
            error = f"The name of a key has 1 to {LONGEST_NAME} characters, all of them visible."
            return await self._page(person, 400, error=error)
        if not scopes:
            return await self._page(person, 400, error="Tick what the key may do.")
        maker = (person.user, person.role)
        try:
            made = await api_keys.create(
                self._site.pool, person.tenant, name, scopes, self._site.actor(request, person), maker
            )
        except RoleChangedError:
            raise _role_changed() from None
        except api_keys.NameTakenError:
            return await self._page(person, 409, error=f"There is, or was, a key {name}; choose another name.")
        return await self._page(person, message=f"The key {name}, which is not shown again:", secret=made)

    async def confirm_revoke_key(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request, "keys:write")
        key = await self._key(person, path_id(request, _no_key()))
        effects = [f"Programs that use the key {key.name} are refused at once."]
        if key.last_used_at is None:
            effects.append("It was never used.")
        else:
            where = f" from {key.last_used_from}" if key.last_used_from else ""
            effects.append(f"It was last used at {key.last_used_at:%Y-%m-%d %H:%M} UTC{where}.")
        effects.append("Links to connect accounts that it made and nobody finished end with it.")
        title = f"Revoke the key {key.name}?"
        return confirmation_page(request, person, title, effects, "Revoke the key", "/people")

    async def _key(self, person: Person, id_: str) -> ApiKey:
        """Return a key that is not revoked. Raises Refused if the tenant has none with this id."""
        listed = await api_keys.list_keys(self._site.pool, person.tenant)
        found = next((key for key in listed if key.id == id_ and key.revoked_at is None), None)
        if found is None:
            raise _no_key()
        return found

    async def revoke_key(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "keys:write")
        name = (await self._key(person, path_id(request, _no_key()))).name
        if not await api_keys.revoke(self._site.pool, person.tenant, name, self._site.actor(request, person)):
            raise _no_key()
        return self._back(person, f"The key {name} is revoked.")

    def _back(self, person: Person, text: str) -> web.Response:
        return self._site.messages.add(redirect("/people"), person, Message(text))


def _counted(number: int, what: str) -> str:
    """Say how many of something end."""
    return f"{number} {what} ends" if number == 1 else f"{number} {what}s end"


def _no_person() -> Refused:
    return Refused(404, "not_found", "There is no such person.", "open /people")


def _no_invitation() -> Refused:
    return Refused(404, "not_found", "There is no such invitation.", "open /people")


def _role_changed() -> Refused:
    return Refused(403, "forbidden", "Your role was changed meanwhile.", "ask an owner to do it")


def _no_key() -> Refused:
    return Refused(404, "not_found", "There is no such key, or it is revoked.", "open /people")
