"""Pages of people about themselves: who belongs here, what programs may come in, and what was done."""

from aiohttp import web

from ops.access import api_keys, audit_log, invitation_mail, invitations, sessions, users
from ops.access.api_key_store import ApiKey
from ops.access.audit_log_store import Actor
from ops.access.errors import RoleChangedError, ValidationError
from ops.access.invitation_mail import MailNotSentError
from ops.access.invitation_store import ListedInvitation
from ops.access.invitations import NewInvitation
from ops.access.login_throttle import TooManyAttemptsError
from ops.access.passwords import OverloadedError
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.mail import Mailer
from ops.runtime.text import visible
from ops.web import forms
from ops.web.authentication import Door, add_route, id_of
from ops.web.pages.account import BUSY, TOO_MANY, Account
from ops.web.pages.second_step import let_in
from ops.web.refusals import Refusals
from ops.web.responses import Refused, ask, rendered, sentence, to

LONGEST_NAME = 100


class Rooms:
    def __init__(
        self,
        pool: Pool,
        door: Door,
        refusals: Refusals,
        account: Account,
        public_url: str,
        mailer: Mailer | None = None,
    ) -> None:
        """``mailer`` brings links to whoever is invited; without one they are shown to whoever invites."""
        self._pool = pool
        self._account = account
        self._door = door
        self._refusals = refusals
        self._public_url = public_url
        self._mailer = mailer

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("GET", "/", self.home),
            ("GET", "/people", self.people_page),
            ("POST", "/people", self.invite),
            ("POST", "/people/invitations/{id}/renew", self.renew),
            ("GET", "/people/invitations/{id}/withdraw", self.withdraw_page),
            ("POST", "/people/invitations/{id}/withdraw", self.withdraw),
            ("POST", "/people/{id}/role", self.change_role),
            ("GET", "/people/{id}/remove", self.remove_page),
            ("POST", "/people/{id}/remove", self.remove),
            ("POST", "/keys", self.create_key),
            ("GET", "/keys/{id}/revoke", self.revoke_key_page),
            ("POST", "/keys/{id}/revoke", self.revoke_key),
            ("POST", "/account/password", self.change_password),
            ("POST", "/tenant", self.switch),
            ("GET", "/audit", self.audit_page),
            ("GET", "/api/audit", self.audit),
        ):
            add_route(app, method, path, self._door.answering(self._refusals.noting(handler)))

    async def home(self, _: web.Request) -> web.Response:
        return to("/connections")

    # --- people and keys

    async def people_page(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request, "people:write")
        message = self._door.message(request, person)
        return await self._people(person, says=message.says if message else "")

    async def _people(self, person: Person, status: int = 200, **said: str) -> web.Response:
        return rendered(
            "people.html",
            status,
            person=person,
            members=await users.list_members(self._pool, person.tenant),
            roles=tuple(users.SCOPES),
            keys=await api_keys.list_keys(self._pool, person.tenant),
            scopes=api_keys.SCOPES,
            usual=api_keys.DEFAULT_SCOPES,
            invitations=await invitations.list_invitations(self._pool, person.tenant),
            by_mail=self._mailer is not None,
            said={"wrong": "", "says": "", "secret": "", "email": ""} | said,
        )

    async def invite(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "people:write")
        form = forms.form(request)
        email, role = form.get("email", ""), form.get("role", "")
        actor = self._actor(request, person)
        try:
            made = await invitations.invite(self._pool, person.tenant, email, role, actor, person)
        except ValidationError as error:
            return await self._people(person, 400, wrong=sentence(error), email=email)
        except RoleChangedError:
            raise _not_any_more() from None
        return await self._invited(person, made)

    async def _invited(self, person: Person, made: NewInvitation) -> web.Response:
        """Bring the link to whoever is invited, or show it for that. Whether they have an account is told nobody."""
        address = invitations.invitation_url(self._public_url, made.link)
        if self._mailer is None:
            says = f"{made.email} is invited as {made.role}. Send them this link, which is not shown again:"
            return await self._people(person, says=says, secret=address)
        tenant = dict(person.tenants)[person.tenant]
        try:
            await invitation_mail.send(self._mailer, made, tenant, person.email, address)
        except MailNotSentError as error:
            wrong = f"{made.email} is invited, but the mail could not be sent ({error}): press renew to try again."
            return await self._people(person, 502, wrong=wrong)
        return await self._people(person, says=f"{made.email} is invited as {made.role}, and was sent the link.")

    async def renew(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "people:write")
        id_, actor = id_of(request, _no_invitation()), self._actor(request, person)
        try:
            made = await invitations.renew(self._pool, person.tenant, id_, actor, person)
        except RoleChangedError:
            raise _not_any_more() from None
        if made is None:
            raise _no_invitation()
        return await self._invited(person, made)

    async def withdraw_page(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request, "people:write")
        item = await self._invitation(person, id_of(request, _no_invitation()))
        ends = [f"The link that was sent to {item.email}, to join as {item.role}, opens nothing any more."]
        title = f"Withdraw the invitation of {item.email}?"
        return ask(request, person, title, ends, "Withdraw the invitation", "/people")

    async def _invitation(self, person: Person, id_: str) -> ListedInvitation:
        """Raises Refused where the tenant has none of this id."""
        listed = await invitations.list_invitations(self._pool, person.tenant)
        found = next((item for item in listed if item.id == id_), None)
        if found is None:
            raise _no_invitation()
        return found

    async def withdraw(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "people:write")
        id_, actor = id_of(request, _no_invitation()), self._actor(request, person)
        item = await self._invitation(person, id_)
        if not await invitations.withdraw(self._pool, person.tenant, actor, id_=id_):
            raise _no_invitation()
        return self._door.leave(to("/people"), person, f"The invitation of {item.email} is withdrawn.")

    async def change_role(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "people:write")
        role = forms.form(request).get("role", "")
        user = id_of(request, _nobody())
        try:
            if not await users.change_role(self._pool, person.tenant, user, role, self._actor(request, person)):
                raise _nobody()
        except ValidationError as error:
            return await self._people(person, 409, wrong=sentence(error))
        if user == person.user:
            return to("/")
        return self._door.leave(to("/people"), person, f"The role is {role} now.")

    async def remove_page(self, request: web.Request) -> web.Response:
        """What ends with a membership, by name, and the button that ends it."""
        person = await self._door.visitor(request, "people:write")
        user = id_of(request, _nobody())
        members = await users.list_members(self._pool, person.tenant)
        email = next((member.email for member in members if member.id == user), None)
        if email is None:
            raise _nobody()
        made = [
            key.name
            for key in await api_keys.list_keys(self._pool, person.tenant)
            if key.maker == email and key.revoked_at is None
        ]
        invited = [
            item.email
            for item in await invitations.list_invitations(self._pool, person.tenant)
            if item.inviter == email and not item.expired
        ]
        ends = [f"{email} is logged out of this tenant, and cannot come back without an invitation."]
        if made:
            ends.append(f"{_counted(len(made), 'API key')} made by {email}: {', '.join(made)}.")
        if invited:
            ends.append(f"{_counted(len(invited), 'invitation')} sent by {email}: {', '.join(invited)}.")
        ends.append("Connected accounts stay connected.")
        title = "Leave this tenant?" if user == person.user else f"Remove {email}?"
        return ask(request, person, title, ends, "Leave" if user == person.user else f"Remove {email}", "/people")

    async def remove(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "people:write")
        try:
            user = id_of(request, _nobody())
            members = {member.id: member.email for member in await users.list_members(self._pool, person.tenant)}
            ended = await users.remove(self._pool, person.tenant, user, self._actor(request, person))
            if ended is None:
                raise _nobody()
        except ValidationError as error:
            return await self._people(person, 409, wrong=sentence(error))
        if user == person.user:
            return to("/")
        says = f"{members.get(user, 'The person')} is removed."
        if ended.keys:
            says = f"{says} {_counted(len(ended.keys), 'API key')} with that: {', '.join(ended.keys)}."
        return self._door.leave(to("/people"), person, says)

    async def create_key(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "keys:write")
        form = forms.form(request)
        name, scopes = form.get("name", "").strip(), [scope for scope in api_keys.SCOPES if scope in form]
        if not 1 <= len(name) <= LONGEST_NAME or visible(name) != name:
            wrong = f"The name of a key has 1 to {LONGEST_NAME} characters, all of them visible."
            return await self._people(person, 400, wrong=wrong)
        if not scopes:
            return await self._people(person, 400, wrong="Tick what the key may do.")
        maker = (person.user, person.role)
        try:
            made = await api_keys.create(self._pool, person.tenant, name, scopes, self._actor(request, person), maker)
        except RoleChangedError:
            raise _not_any_more() from None
        except api_keys.NameTakenError:
            return await self._people(person, 409, wrong=f"There is, or was, a key {name}; choose another name.")
        return await self._people(person, says=f"The key {name}, which is not shown again:", secret=made)

    async def revoke_key_page(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request, "keys:write")
        key = await self._key(person, id_of(request, _no_key()))
        ends = [f"Programs that use the key {key.name} are refused at once."]
        if key.last_used_at is None:
            ends.append("It was never used.")
        else:
            where = f" from {key.last_used_from}" if key.last_used_from else ""
            ends.append(f"It was last used at {key.last_used_at:%Y-%m-%d %H:%M} UTC{where}.")
        ends.append("Links to connect accounts that it made and nobody finished end with it.")
        return ask(request, person, f"Revoke the key {key.name}?", ends, "Revoke the key", "/people")

    async def _key(self, person: Person, id_: str) -> ApiKey:
        """A living key. Raises Refused where the tenant has none of this id."""
        listed = await api_keys.list_keys(self._pool, person.tenant)
        found = next((key for key in listed if key.id == id_ and key.revoked_at is None), None)
        if found is None:
            raise _no_key()
        return found

    async def revoke_key(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request, "keys:write")
        name = (await self._key(person, id_of(request, _no_key()))).name
        if not await api_keys.revoke(self._pool, person.tenant, name, self._actor(request, person)):
            raise _no_key()
        return self._door.leave(to("/people"), person, f"The key {name} is revoked.")

    # --- one's own account

    async def change_password(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request)
        form = forms.form(request)
        old, new = form.get("old", ""), form.get("new", "")
        try:
            renewed = await sessions.change_password(self._pool, person, old, new, self._door.address(request))
        except ValidationError as error:
            return await self._account.page(person, 400, wrong=sentence(error))
        except TooManyAttemptsError:
            self._refusals.throttled(request, "/account/password")
            return await self._account.page(person, 429, wrong=TOO_MANY)
        except OverloadedError:
            return await self._account.page(person, 503, wrong=BUSY)
        if renewed is None:
            self._refusals.refused(request, "password")
            return await self._account.page(person, 403, wrong="The current password is wrong.")
        answer = await self._account.page(renewed, says="It is changed; whoever was logged in elsewhere is not.")
        return let_in(self._door, answer, renewed)

    async def switch(self, request: web.Request) -> web.Response:
        person = await self._door.posting(request)
        tenant = forms.form(request).get("tenant", "")
        token = await sessions.switch_tenant(self._pool, person, tenant, self._door.address(request))
        if token is None:
            raise Refused(404, "not_found", "You do not belong to such a tenant.", "choose one in the page's header")
        return self._door.let_in(to("/connections"), token)

    # --- what was done

    async def audit_page(self, request: web.Request) -> web.Response:
        person = await self._door.visitor(request, "audit:read")
        before, after = _number(request, "before"), _number(request, "after")
        part = await audit_log.read(self._pool, person.tenant, before=before, after=after, limit=audit_log.PAGE_SIZE)
        return rendered("audit.html", person=person, part=part)

    async def audit(self, request: web.Request) -> web.Response:
        caller = await self._door.caller(request, "audit:read")
        self._door.for_programs(request, "/audit")
        before = _number(request, "before")
        part = await audit_log.read(self._pool, caller.tenant, before=before, limit=audit_log.PAGE_SIZE)
        return web.json_response({"entries": [entry.to_json() for entry in part.entries], "before": part.older})

    def _actor(self, request: web.Request, person: Person) -> Actor:
        return person.actor(self._door.address(request))


def _counted(number: int, what: str) -> str:
    """How many of something end."""
    return f"{number} {what} ends" if number == 1 else f"{number} {what}s end"


def _number(request: web.Request, name: str) -> int | None:
    given = request.query.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise Refused(400, "invalid_request", f"{name} must be the id of an entry.", "take it from the answer before")
    return int(given)


def _nobody() -> Refused:
    return Refused(404, "not_found", "There is no such person.", "look at /people")


def _no_invitation() -> Refused:
    return Refused(404, "not_found", "There is no such invitation.", "look at /people")


def _not_any_more() -> Refused:
    return Refused(403, "forbidden", "Your role was changed meanwhile.", "ask an owner to do it")


def _no_key() -> Refused:
    return Refused(404, "not_found", "There is no such living key.", "look at /people")
