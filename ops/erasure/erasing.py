"""Carry out requests to be erased, on the login of the database's owner."""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from ingest.contract import Persons, Webhook
from ops.access.audit_log_store import COMMAND, audit
from ops.erasure import matching, requests, store
from ops.erasure.store import Request
from schema.tenancy import DEFAULT_TENANT
from sync.rebuild import shadow

MARGIN_HOURS = 24
"""A request is carried out again for this long after the last platform stopped repeating deliveries."""

Rebuild = Callable[[Sequence[str]], Awaitable[None]]
"""Makes the tables of these platforms anew from the log."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased for one request; ``connections`` by tenant.

    ``waits`` is whether the rest has to wait until no other tenant has the account connected.
    """

    events: int
    deliveries: int
    refusals: int
    connections: Counter[str]
    waits: bool = False

    @property
    def anything(self) -> bool:
        return bool(self.events or self.deliveries or self.refusals or self.connections)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did: requests carried out, looked at again, forgotten for good, and waiting for other tenants.

    ``unreadable`` are the codes of requests whose id no platform gives: nothing was done about them.
    """

    fresh: int
    repeated: int
    forgotten: int
    waiting: int
    unreadable: list[str]


def repeat_hours(webhooks: Mapping[str, Webhook]) -> int:
    """Return for how long a request is carried out again: longer than any platform repeats a delivery."""
    return max((webhook.retry_hours for webhook in webhooks.values()), default=0) + MARGIN_HOURS


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases on a connection of the database's owner that sees all tenants.

    ``webhooks`` say how payloads of each platform name people. ``projected`` are the platforms whose tables ``rebuild``
    can make anew. ``report`` is called with what was erased for each request, unless that is nothing new.
    """

    connection: asyncpg.Connection
    webhooks: Mapping[str, Webhook]
    projected: Collection[str]
    rebuild: Rebuild
    report: Callable[[Erased], None]

    async def erase(self, code: str) -> None:
        """Carry out one request of the operator, and rebuild what it touched. Raises BusyError while a rebuild runs."""
        await self._carry_out(await store.requests(self.connection, code), by_hand=True)

    async def erase_requested(self) -> Summary:
        """Carry out every request, again where a platform may have brought something back.

        Raises BusyError while a rebuild runs.
        """
        hours = repeat_hours(self.webhooks)
        for account in await store.linked_accounts(self.connection):
            # Whoever asks at one platform asks for the accounts that their login there connected at another one too.
            await requests.request_by_operator(
                self.connection, account.platform, account.account_id, hours, account=True
            )
        found = await store.requests(self.connection)
        readable = [request for request in found if matching.ID.fullmatch(request.user_id)]
        # Whoever connected again after it was done has agreed anew, and what comes now is of that.
        agreed = [request.code for request in readable if request.done and request.returned]
        waiting = await self._carry_out([request for request in readable if request.code not in agreed])
        forgotten = await store.forget(self.connection, agreed)
        return Summary(
            fresh=sum(not request.done and request.code not in waiting for request in readable),
            repeated=sum(request.done for request in readable),
            forgotten=forgotten,
            waiting=len(waiting),
            unreadable=[request.code for request in found if request not in readable],
        )

    async def _carry_out(self, found: Sequence[Request], *, by_hand: bool = False) -> set[str]:
        """Erase for each request, then rebuild once for each platform, and only then call them done.

        Return the codes of those that wait for other tenants, which stay open.
        """
        waiting: set[str] = set()
        for request in found:
            async with self.connection.transaction():
                erased = await self._erase(request)
                news = by_hand or erased.anything or not (request.done or erased.waits)
                if news:
                    await self._audit(request, erased)
            if erased.waits:
                waiting.add(request.code)
            if news:
                self.report(erased)
        due = await store.rebuilds_due(self.connection)  # also what an earlier run did not come to
        if affected := sorted({rebuild.platform for rebuild in due} & {*self.projected}):
            await self.rebuild(affected)
        codes = {*(request.code for request in found), *(rebuild.code for rebuild in due)}
        await store.finish(self.connection, codes - waiting, repeat_hours(self.webhooks))
        return waiting

    async def _erase(self, request: Request) -> Erased:
        connection = self.connection
        request = await self._with_names(request)
        if request.tenant is not None and await store.connected_elsewhere(connection, request):
            # Another tenant has the account: only what is the asking tenant's own may go.
            gone = await store.delete_own_connections(connection, request)
            await store.keep_names(connection, request, rebuild=False)
            return Erased(0, 0, 0, Counter(deleted.tenant for deleted in gone), waits=not request.withdrawn)
        search = matching.search(request.ids, request.names, self._persons(request).keys)
        spared = await store.accounts_of_others(connection, request)
        await store.delete_rows_of_dropped_events(connection, request, search, spared)
        events = await store.delete_events(connection, request, search, spared)
        if events:
            await shadow.discard(connection)  # a fold of what was just deleted
        await store.delete_pulled(connection, request, events, spared)
        deliveries = await store.empty_deliveries(connection, request, search, events, spared)
        refusals = await store.delete_refusals(connection, request, search)
        await store.delete_rate_limits(connection, request)
        if request.tenant is None:
            gone = await store.delete_connections(connection, request)
        else:
            gone = await store.delete_own_connections(connection, request)
            gone += await store.delete_ended_connections(connection, request)
        await store.keep_names(connection, request, rebuild=bool(events))
        return Erased(len(events), deliveries, refusals, Counter(deleted.tenant for deleted in gone))

    async def _with_names(self, request: Request) -> Request:
        """Return the request with all that leads to the person: what says so is about to go."""
        persons = self._persons(request)
        profiles = await store.profiles(self.connection, request)
        accounts = request.accounts
        if accounts is None:
            accounts = sorted({profile.account_id for profile in profiles})
        own = [profile.username for profile in profiles if profile.account_id in accounts]
        names = {*request.names, *map(matching.normalized, own)}
        ids = [*dict.fromkeys([request.user_id, *accounts])]
        for paths in (persons.usernames, persons.writings):
            search = matching.search(ids, names, persons.keys)
            variables = matching.path_variables(ids, names)
            found = await store.named_in_payloads(self.connection, request, paths, variables, search)
            names |= {*map(matching.normalized, found)}
        return replace(request, accounts=accounts, names=matching.usable(names, ids))

    def _persons(self, request: Request) -> Persons:
        webhook = self.webhooks.get(request.platform)
        return Persons() if webhook is None else webhook.persons

    async def _audit(self, request: Request, erased: Erased) -> None:
        """Note that it was done, and not about whom: the digest proves it to whoever asks with the id in hand.

        Every tenant that had a connection to the account is told, also of what is taken out again.
        """
        for id_ in request.ids:
            subject = hashlib.sha256(f"{request.platform}:{id_}".encode()).hexdigest()
            told = await store.tenants_told(self.connection, subject)
            asking = [] if request.tenant is None else [request.tenant]
            for tenant in sorted({*erased.connections, *told, *asking}) or [DEFAULT_TENANT]:
                detail = {
                    "events": erased.events,
                    "deliveries": erased.deliveries,
                    "connections": erased.connections[tenant],
                }
                await audit(self.connection, tenant, COMMAND, "person.erased", subject, **detail)
