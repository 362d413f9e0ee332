"""Carry out requests to be erased, on the login of the database's owner."""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

import asyncpg

from ops.access.audit_log_store import COMMAND, audit
from ops.erasure import matching, store
from ops.erasure.store import Request
from schema.tenancy import DEFAULT_TENANT
from sync.rebuild import shadow

REPEAT_HOURS = 96
"""Longer than any platform repeats a delivery: TikTok 72 hours (``tiktok.md`` 2.1), Meta 36 (``meta.md`` 1.3)."""

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


async def erase(
    connection: asyncpg.Connection,
    code: str,
    platforms: Collection[str],
    rebuild: Rebuild,
    report: Callable[[Erased], None],
) -> None:
    """Carry out one request of the operator, and rebuild what it touched. Raises BusyError while a rebuild runs."""
    await _carry_out(connection, await store.requests(connection, code), platforms, rebuild, report, by_hand=True)


async def erase_requested(
    connection: asyncpg.Connection,
    platforms: Collection[str],
    rebuild: Rebuild,
    report: Callable[[Erased], None],
    add_linked: Callable[[store.LinkedAccount], Awaitable[None]],
) -> Summary:
    """Carry out every request, again where a platform may have brought something back.

    ``platforms`` are those whose tables can be rebuilt; ``add_linked`` records a request for an account that the login
    of somebody who asked connected. Raises BusyError while a rebuild runs.
    """
    for account in await store.linked_accounts(connection):
        await add_linked(account)
    found = await store.requests(connection)
    requests = [request for request in found if matching.ID.fullmatch(request.user_id)]
    # Whoever connected again after it was done has agreed anew, and what comes now is of that.
    agreed = [request.code for request in requests if request.done and request.returned]
    waiting = await _carry_out(
        connection, [request for request in requests if request.code not in agreed], platforms, rebuild, report
    )
    forgotten = await store.forget(connection, agreed)
    fresh = sum(not request.done and request.code not in waiting for request in requests)
    repeated = sum(request.done for request in requests)
    unreadable = [request.code for request in found if request not in requests]
    return Summary(fresh, repeated, forgotten, len(waiting), unreadable)


async def _carry_out(
    connection: asyncpg.Connection,
    requests: Sequence[Request],
    platforms: Collection[str],
    rebuild: Rebuild,
    report: Callable[[Erased], None],
    *,
    by_hand: bool = False,
) -> set[str]:
    """Erase for each request, then rebuild once for each platform, and only then call them done.

    Return the codes of those that wait for other tenants, which stay open.
    """
    waiting: set[str] = set()
    for request in requests:
        async with connection.transaction():
            erased = await _erase(connection, request)
            news = by_hand or erased.anything or not (request.done or erased.waits)
            if news:
                await _audit(connection, request, erased)
        if erased.waits:
            waiting.add(request.code)
        if news:
            report(erased)
    due = await store.rebuilds_due(connection)  # also what an earlier run did not come to
    if affected := sorted({found.platform for found in due} & {*platforms}):
        await rebuild(affected)
    codes = {*(request.code for request in requests), *(found.code for found in due)}
    await store.finish(connection, codes - waiting, REPEAT_HOURS)
    return waiting


async def _erase(connection: asyncpg.Connection, request: Request) -> Erased:
    request = await _with_names(connection, request)
    if request.tenant is not None and await store.connected_elsewhere(connection, request):
        # Another tenant has the account: only what is the asking tenant's own may go.
        gone = await store.delete_own_connections(connection, request)
        await store.keep_names(connection, request, rebuild=False)
        return Erased(0, 0, 0, Counter(found.tenant for found in gone), waits=not request.withdrawn)
    spared = await store.accounts_of_others(connection, request)
    events = await store.delete_events(connection, request, spared)
    if events:
        await shadow.discard(connection)  # a fold of what was just deleted
    deliveries = await store.empty_deliveries(connection, request, events, spared)
    refusals = await store.delete_refusals(connection, request)
    await store.delete_budgets(connection, request)
    if request.tenant is None:
        gone = await store.delete_connections(connection, request)
    else:
        gone = await store.delete_own_connections(connection, request)
        gone += await store.delete_ended_connections(connection, request)
    await store.keep_names(connection, request, rebuild=bool(events))
    return Erased(len(events), deliveries, refusals, Counter(found.tenant for found in gone))


async def _with_names(connection: asyncpg.Connection, request: Request) -> Request:
    """Return the request with all that leads to the person: what says so is about to go."""
    profiles = await store.profiles(connection, request)
    accounts = request.accounts
    if accounts is None:
        accounts = sorted({profile.account_id for profile in profiles})
    own = [profile.username for profile in profiles if profile.account_id in accounts]
    names = {*request.names, *map(matching.normalized, own)}
    ids = [*dict.fromkeys([request.user_id, *accounts])]
    for paths in (matching.USERNAME_PATHS, matching.COMMENT_PATHS):
        found = await store.named_in_payloads(connection, request, paths, ids, names)
        names |= {*map(matching.normalized, found)}
    return replace(request, accounts=accounts, names=matching.usable(names, ids))


async def _audit(connection: asyncpg.Connection, request: Request, erased: Erased) -> None:
    """Note that it was done, and not about whom: the digest proves it to whoever asks with the id in hand.

    Every tenant that had a connection to the account is told, also of what is taken out again.
    """
    for id_ in request.ids:
        subject = hashlib.sha256(f"{request.platform}:{id_}".encode()).hexdigest()
        told = await store.tenants_told(connection, subject)
        asking = [] if request.tenant is None else [request.tenant]
        for tenant in sorted({*erased.connections, *told, *asking}) or [DEFAULT_TENANT]:
            detail = {
                "events": erased.events,
                "deliveries": erased.deliveries,
                "connections": erased.connections[tenant],
            }
            await audit(connection, tenant, COMMAND, "person.erased", subject, **detail)
