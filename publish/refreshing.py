"""Refreshing tokens: once, in time, and kept before they are used.

The right to refresh an account is a lease in its row, so that of any number of processes one asks the platform. A
refusal means that the account needs a person, at once; trouble only means later.
"""

import asyncio
from contextlib import suppress
from random import uniform

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from publish import store
from publish.connecting import REMOVED, due_at
from publish.contract import Problem, Renewed
from publish.driver import Outside
from publish.store import EVERYBODY, Actor, Connection
from publish.vault import Place, Vault, VaultError

LOOK_SECONDS = 30.0
AT_ONCE = 8
BACKOFF_SECONDS = (60, 120, 300, 600, 1800)
"""At least every 30 minutes, however often it failed."""

SOON_SECONDS = 300.0
"""A token that ends within this is refreshed before it is used."""

log = structlog.get_logger()


class Refresher:
    def __init__(self, pool: Pool, vault: Vault, outside: Outside) -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside

    async def sweep(self, stop: asyncio.Event) -> None:
        """Refresh whatever is due, until told to stop."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0 if await self._round() else LOOK_SECONDS)

    async def _round(self) -> int:
        """How many were refreshed, or tried."""
        try:
            async with store.acting(self._pool, EVERYBODY) as connection:
                await self._removed(connection)
                found = await store.due(connection, AT_ONCE)
                await store.gauge(connection)
                await store.tidy(connection)
            outcomes = await asyncio.gather(*(self.refresh(id_) for _, id_ in found))
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("refresh.round_failed", error=describe(error))
            return 0
        return sum(outcome != "leased" for outcome in outcomes)

    async def _removed(self, connection: asyncpg.Connection) -> None:
        """End what the log says that a person removed: such an event may come before, or long after, anybody looks."""
        for platform, channel in self._outside.channels.items():
            if not channel.removed_by:
                continue
            for tenant, id_ in await store.removed_in_log(connection, platform, channel.removed_by, REMOVED):
                await store.audit(connection, tenant, Actor(platform), "connection.removed", id_, platform=platform)
                log.warning("connection.removed", platform=platform, connection=id_)

    async def refresh(self, id_: str, within: float = 0.0) -> str:
        """Refresh one connection if it is due, or its token ends ``within`` seconds.

        refreshed, failed, needs_reconnect; leased where there is nothing to do, or another does it.
        """
        async with store.acting(self._pool, EVERYBODY) as connection:
            held = await store.lease(connection, id_, within)
        if held is None:
            return "leased"
        faultpoint("publish.leased")
        try:
            renewed, secrets = await self._asked(held)
            faultpoint("publish.asked")
        except Problem as problem:
            outcome = await self._failed(held, problem)
        except VaultError as error:
            # Our own trouble, and no fault of the grant: the account must not be lost to a missing key.
            log.exception("refresh.sealed", platform=held.platform)
            outcome = await self._failed(held, Problem("transient", str(error), "vault"))
        else:
            due = due_at(self._outside.channels[held.platform], renewed.access_seconds, secrets | dict(renewed.secrets))
            async with store.acting(self._pool, held.tenant) as connection:
                kept = await store.renew(connection, self._vault, held, renewed, due)
            faultpoint("publish.kept")
            outcome = "refreshed" if kept else "superseded"
        metrics.of(metrics.token_refreshes, held.platform, outcome).inc()
        return outcome

    async def _asked(self, held: Connection) -> tuple[Renewed, dict[str, str]]:
        channel = self._outside.channels[held.platform]
        async with store.acting(self._pool, held.tenant) as connection:
            secrets = await store.secrets(connection, self._vault, held.tenant, held.id)
            client = await self._client(connection, held)
        app = self._outside.app(held.platform, held.instance, client)
        if channel.refresh is None or channel.refreshes_with not in secrets:
            raise Problem("grant", "There is nothing to refresh it with; connect the account again.")
        renewed = await self._outside.run(channel.refresh(app, secrets), platform=held.platform)
        return renewed, secrets

    async def _client(self, connection: asyncpg.Connection, held: Connection) -> tuple[str, str]:
        """Our id and secret at an instance."""
        if self._outside.channels[held.platform].register is None:
            return ("", "")
        uri = self._outside.redirect_uri(held.platform, held.instance)
        known = await store.client(connection, held.platform, held.instance, uri)
        if known is None:
            return ("", "")
        place = Place(held.tenant, f"{held.platform}:{held.instance}", "client_secret")
        return known[0], self._vault.open(known[1], place)

    async def _failed(self, held: Connection, problem: Problem) -> str:
        async with store.acting(self._pool, held.tenant) as connection:
            if problem.kind in ("grant", "lacking"):
                began = await store.needs_reconnect(connection, held, problem.says)
                if began:
                    detail = {"platform": held.platform, "code": problem.code}
                    await store.audit(
                        connection, held.tenant, store.WORKER, "connection.needs_reconnect", held.id, **detail
                    )
                    log.warning("connection.needs_reconnect", platform=held.platform, connection=held.id)
                return "needs_reconnect" if began else "superseded"
            failures = await store.postpone(connection, held, BACKOFF_SECONDS, uniform(0.8, 1.0))  # noqa: S311
        log.info("refresh.failed", platform=held.platform, kind=problem.kind, code=problem.code, failures=failures)
        return "failed"
