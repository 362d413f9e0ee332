"""The page of connections, and its buttons: check, disconnect, forget everything."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web

from ops.access.sessions import Person
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.tenancy import tenant_transaction
from ops.web.account_data import SCOPE, delete_account_data
from ops.web.api.connections import ask_to_read, no_connection
from ops.web.forms import path_id
from ops.web.messages import Message
from ops.web.responses import confirmation_page, redirect, render
from ops.web.routing import Route
from ops.web.site import Connecting, Site
from publish.connections import connection_store, descriptions, refresh_store, subscription_store
from publish.connections.connection_store import ConnectionDetails
from publish.notifications import notice_store
from schema.states import ConnectionState
from sync.pull import requests


class ConnectionPages:
    def __init__(self, site: Site, connecting: Connecting) -> None:
        self._site = site
        self._connecting = connecting
        self._flows = connecting.flows

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/connections", self.list),
            Route("POST", "/connections/{id}/check", self.check),
            Route("POST", "/connections/{id}/sync", self.sync),
            Route("GET", "/connections/{id}/disconnect", self.confirm_disconnect),
            Route("POST", "/connections/{id}/disconnect", self.disconnect),
            Route("GET", "/connections/{id}/forget", self.confirm_forget),
            Route("POST", "/connections/{id}/forget", self.forget),
        )

    async def list(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_login(request)
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            listed, notices = await connection_store.listed(connection), await notice_store.notices(connection)
            read = await requests.synced(connection, [item.id for item in listed])
            events = await subscription_store.shown(connection)
        providers = self._flows.providers
        return render(
            "connections.html",
            person=person,
            connections=[item for item in listed if item.state != ConnectionState.DISCONNECTED],
            ended=[item for item in listed if item.state == ConnectionState.DISCONNECTED],
            names=descriptions.names(listed),
            permissions={
                item.id: descriptions.permissions(providers[item.channel], item.scopes)
                for item in listed
                if item.channel in providers
            },
            noticed={name: descriptions.revocation_notice(provider) for name, provider in providers.items()},
            notices=notices,
            read=read,
            left=_left,
            is_read=self._connecting.pulling,
            events={item.id: item for item in events},
            subscribed={name for name, provider in providers.items() if provider.subscription is not None},
            unsubscribed={name: provider.unsubscribed for name, provider in providers.items()},
            lacking=descriptions.lacking,
            days_left=_days_left,
            flash=self._site.messages.take(request, person),
            titles=self._flows.titles,
            with_instance=self._flows.with_instance,
            may_write=person.may("connections:write"),
            may_erase=person.may(SCOPE),
        )

    async def check(self, request: web.Request) -> web.Response:
        """Ask the platform; what it answered is shown at the account's row."""
        person = await self._site.authentication.require_form(request, "connections:write")
        id_ = path_id(request, no_connection())
        before, _ = await self._connection(person, id_)
        outcome = problem_text = ""
        try:
            outcome = await self._connecting.refresher.check(person.tenant, id_)
        except PlatformError as problem:
            problem_text = problem.user_message
        after, _ = await self._connection(person, id_)
        if outcome == "leased" and after.checked_at != before.checked_at:
            outcome = "checked"  # by the worker, at the same moment
        pause = self._connecting.refresher.pause(before.channel)
        failed_at = None
        if outcome == "pausing" and after.trouble:
            async with tenant_transaction(self._site.pool, person.tenant) as connection:
                failed_at = await refresh_store.failed_at(connection, id_)
        text = _check_result(self._title(after.channel), after, outcome, problem_text, pause, failed_at)
        is_error = outcome not in ("checked", "refreshed", "pausing") or failed_at is not None
        message = Message(text, row=id_, is_error=is_error)
        return self._site.messages.add(redirect(f"/connections#at-{id_}"), person, message)

    async def sync(self, request: web.Request) -> web.Response:
        """Have the worker read the account anew; how far that is, is shown at the account's row."""
        person = await self._site.authentication.require_form(request, "connections:write")
        id_ = path_id(request, no_connection())
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            await ask_to_read(connection, self._connecting, id_)
        text = "The account is read anew from now on; load this page again to see how far that is."
        return self._site.messages.add(redirect(f"/connections#at-{id_}"), person, Message(text, row=id_))

    async def confirm_disconnect(self, request: web.Request) -> web.Response:
        """Show what a disconnect ends, and the button that does it."""
        person = await self._site.authentication.require_login(request, "connections:write")
        item, name = await self._connection(person, path_id(request, no_connection()))
        if item.state == ConnectionState.DISCONNECTED:
            return self._back(person, Message(f"{name} is disconnected already."))
        effects = [
            "Nothing more is received or published for this account, and its tokens are deleted.",
            self._at_platform(item),
            "What was synced before stays.",
        ]
        title = f"Disconnect {name}?"
        return confirmation_page(request, person, title, effects, "Disconnect", "/connections")

    def _at_platform(self, item: ConnectionDetails) -> str:
        """Return what happens at the platform when this connection ends, as a sentence."""
        title, provider = self._title(item.channel), self._flows.providers.get(item.channel)
        if provider is not None and provider.revoke is not None:
            return f"Landfall tells {title} to withdraw the permission."
        return f"{title} offers no way to withdraw the permission from here: remove Landfall in its settings."

    async def disconnect(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, "connections:write")
        id_ = path_id(request, no_connection())
        item, name = await self._connection(person, id_)
        actor = self._site.actor(request, person)
        revoked = await self._connecting.disconnector.disconnect(person.tenant, id_, actor)
        text = f"{name} is disconnected."
        if revoked is False:
            text = f"{text} {self._title(item.channel)} could not be told yet; Landfall tries again."
        return self._back(person, Message(text))

    async def confirm_forget(self, request: web.Request) -> web.Response:
        """Show what is deleted with an account, and the button that asks for it."""
        person = await self._site.authentication.require_login(request, SCOPE)
        item, name = await self._connection(person, path_id(request, no_connection()))
        effects = [f"This is deleted: {KINDS_OF_DATA}."]
        if item.state != ConnectionState.DISCONNECTED:
            effects += ["The account is disconnected at once.", self._at_platform(item)]
        effects += [
            f"{WHEN_DELETED} Until then a page shows that it is in progress.",
            "What another tenant has connected too stays until that tenant disconnects it.",
            "This cannot be undone.",
        ]
        title = f"Forget everything of {name}?"
        return confirmation_page(request, person, title, effects, "Forget everything", "/connections")

    async def forget(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, SCOPE)
        id_ = path_id(request, no_connection())
        _, name = await self._connection(person, id_)
        actor = self._site.actor(request, person)
        requested = await delete_account_data(self._site.pool, self._connecting, person.tenant, id_, actor)
        if requested is None:
            raise no_connection()
        text = f"{name} is disconnected. Everything of it will be forgotten. {WHEN_DELETED}"
        link = f"/deletions/{requested.code}"
        return self._back(person, Message(text, link=link, link_text="See how far it is"))

    def _back(self, person: Person, message: Message) -> web.Response:
        return self._site.messages.add(redirect("/connections"), person, message)

    def _title(self, platform: str) -> str:
        return self._flows.titles.get(platform, platform)

    async def _connection(self, person: Person, id_: str) -> tuple[ConnectionDetails, str]:
        """Return a connection of this person's tenant, and its display name. Raises Refused if there is none."""
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            listed = await connection_store.listed(connection)
        found = next((item for item in listed if item.id == id_), None)
        if found is None:
            raise no_connection()
        return found, display_names(listed, self._flows.titles)[id_]


KINDS_OF_DATA = (
    "the connection with its tokens and notices, the posts that were made for it alone, every event received for the"
    " account, the raw bytes of those deliveries, and every row made from them"
)
WHEN_DELETED = "The next daily run of landfall erase --requested deletes it."


def display_names(listed: Sequence[ConnectionDetails], titles: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each connection, by id, where its platform is not shown beside it: "alice on Threads"."""
    platforms = {item.id: titles.get(item.platform, item.platform) for item in listed}
    return {id_: f"{name} on {platforms[id_]}" for id_, name in descriptions.names(listed).items()}


def _days_left(until: datetime) -> str:
    """Return how long a connection lasts, in words."""
    days = (until - datetime.now(UTC)).days
    return "less than a day left" if days < 1 else "1 day left" if days == 1 else f"{days} days left"


def _left(seconds: float | None) -> str:
    """Return for how long a history is still read, in words; empty where nobody knows."""
    if not seconds:
        return ""
    if seconds < 90:
        return "about a minute left"
    return (
        f"about {round(seconds / 60)} minutes left" if seconds < 5400 else f"about {round(seconds / 3600)} hours left"
    )


def _check_result(
    title: str, item: ConnectionDetails, outcome: str, problem: str, pause: int, failed_at: datetime | None
) -> str:
    """Return what came of a check, for the person who asked for it. ``problem`` is what went wrong, if anything did.

    ``pause`` is in seconds. ``failed_at`` is when the last check failed, if that is why there was none now.
    """
    last = "" if item.checked_at is None else f"{item.checked_at.astimezone(UTC):%H:%M:%S}"
    if item.state == ConnectionState.NEEDS_RECONNECT:
        return f"{title} does not accept the connection any more. {item.reason}"
    if outcome in ("checked", "refreshed"):
        return f"Checked now: {title} accepts the connection ({last} UTC)."
    if outcome == "pausing":
        result = f"{title} accepted the connection at {last} UTC;"
        if failed_at is not None:
            asked = f"{title} was last asked at {failed_at.astimezone(UTC):%H:%M:%S} UTC"
            result = f"{asked}, and gave no answer: {item.trouble} Landfall tries again;"
        return f"{result} wait {pause} seconds before the next check."
    if outcome == "held":
        return f"Not checked: {title} wants Landfall to wait. Landfall checks after that; last check at {last} UTC."
    if outcome in ("leased", "superseded"):
        return f"{title} is being asked at this moment; load this page again in a few seconds."
    return f"{title} could not be asked now: {item.trouble or problem} Landfall tries again."
