"""Keeping accounts connected: refreshed once, in time, kept before they are used, and checked in between.

The right to work on an account is a lease in its row, so that of any number of processes one asks the platform. A
refusal means that the account needs a person, at once; trouble only means later.
"""

import asyncio
from random import uniform

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy, stopped
from ops.runtime.platform_protocol import Problem
from ops.runtime.rate_limits import HELD
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store, disconnect_store, maintenance_store, refresh_store
from publish.connections.connection_store import Connection
from publish.connections.disconnect import Endings
from publish.notifications import notice_store
from publish.oauth.client_registration import Applications
from publish.oauth.contract import Renewed, Secrets
from publish.oauth.providers import Outside
from publish.vault.envelope import Vault, VaultError
from schema.sealing import Place

LOOK_SECONDS = 30.0
AT_ONCE = 8
RETRIES = RetryPolicy((60, 120, 300, 600, 1800), jitter=0.2)
"""At least every 30 minutes, however often it failed; later only where the platform says when."""

SOON_SECONDS = 300.0
"""A token that ends within this is refreshed before it is used."""

CHECK_PAUSE_SECONDS, REFRESH_PAUSE_SECONDS = 10, 60
"""After the platform was asked, in vain too, so long it is not asked again because somebody presses a button.

Where the check is a refresh, each makes a new token."""

WAIT_SECONDS = 20.0
"""How long whoever wants to use an account waits for somebody else's refresh of it."""

SURPRISE = "Something failed here, and no fault of the account; it is tried again by itself."
SEALED = "The keys of this service do not fit what it keeps of the account; whoever runs it has to see to that."

log = structlog.get_logger()


class Refresher:
    def __init__(
        self, pool: Pool, vault: Vault, outside: Outside, applications: Applications, endings: Endings
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside
        self._applications = applications
        self._endings = endings

    async def sweep(self, stop: asyncio.Event) -> None:
        """Work on whatever is due, until told to stop."""
        while not stop.is_set():
            await stopped(stop, 0 if await self._round() else LOOK_SECONDS)

    async def _round(self) -> int:
        """How many were worked on."""
        try:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                await self._give_ends(connection)
                await self._endings.found(connection)
                for id_, connection_id, kind in await notice_store.warn(connection):
                    log.warning("notice.raised", notice=id_, connection=connection_id, kind=kind)
                found = await refresh_store.due(connection, AT_ONCE)
                await maintenance_store.gauge(connection)
                await maintenance_store.tidy(connection)
            outcomes = await asyncio.gather(*(self.refresh(id_, tenant=tenant) for tenant, id_ in found))
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("refresh.round_failed", error=describe(error))
            return 0
        return sum(outcome != "leased" for outcome in outcomes)

    async def _give_ends(self, connection: asyncpg.Connection) -> None:
        for name, channel in self._outside.channels.items():
            count = await refresh_store.give_ends(
                connection,
                name,
                refreshes_with=channel.refreshes_with if channel.refresh else None,
                access_seconds=channel.lives.access,
                youngest=channel.plan.youngest,
            )
            if count:
                log.warning("connection.end_assumed", platform=name, connections=count)

    async def access(self, tenant: str, id_: str) -> Secrets:
        """The secrets to act for an account with, refreshed first where they end soon. Raises Problem.

        Whoever else refreshes it is waited for: some platforms end the old token at once.
        """
        await self.refresh(id_, SOON_SECONDS, tenant)
        end = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            async with tenant_transaction(self._pool, tenant) as connection:
                row = await connection_store.standing(connection, id_)
                if row is None:
                    raise Problem("wrong", "There is no such connection.")
                if row["state"] != "active":
                    raise Problem("grant", row["reason"] or "The account was disconnected.", row["state"])
                if not row["leased"] and not row["over"]:
                    return await connection_store.secrets(connection, self._vault, tenant, id_)
            if not row["leased"] or asyncio.get_running_loop().time() > end:
                raise Problem("transient", "The token of this account is over, and a new one could not be had yet.")
            await asyncio.sleep(0.1)

    async def check(self, tenant: str, id_: str) -> str:
        """Ask the platform now whether it still takes what we hold. Raises Problem if not.

        What came of it, as :meth:`refresh` says it; ``pausing`` where it was asked too lately to be asked again,
        whatever came of that.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            row = await connection_store.standing(connection, id_)
            if row is None:
                raise Problem("wrong", "There is no such connection.")
            refreshing = self._outside.channels[row["channel"]].check is None
            pause = self.pause(row["channel"])
            asked = await refresh_store.ask_check(connection, id_, refreshing=refreshing, pause=pause)
        if not asked and row["state"] == "active":
            return "pausing"
        outcome = await self.refresh(id_, tenant=tenant)
        if outcome == "failed":
            raise Problem("transient", "The platform could not be asked; it is asked again by itself.")
        await self.access(tenant, id_)
        return outcome

    def pause(self, channel: str) -> int:
        """Seconds that pass between two checks which people ask for."""
        return REFRESH_PAUSE_SECONDS if self._outside.channels[channel].check is None else CHECK_PAUSE_SECONDS

    async def refresh(self, id_: str, within: float = 0.0, tenant: str = ALL_TENANTS) -> str:
        """Do what is due for one connection, or refresh it if its token ends ``within`` seconds.

        refreshed, checked, revoked, failed, needs_reconnect; held where the platform is not to be asked yet; leased
        where there is nothing to do, or another does it; superseded where what was asked was of no use any more.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            held = await refresh_store.lease(connection, id_, within)
        if held is None:
            return "leased"
        faultpoint("publish.leased")
        if held.work == "revoke":
            return await self._endings.revoke(held)
        try:
            outcome = await (self._renewed(held) if held.work == "refresh" else self._checked(held))
        except Problem as problem:
            outcome = await self._failed(held, problem)
        except VaultError:
            # Our own trouble, and no fault of the grant: the account must not be lost to a missing key.
            log.exception("refresh.sealed", platform=held.platform)
            outcome = await self._failed(held, Problem("transient", SEALED, "vault"))
        except Exception as error:  # noqa: BLE001  counted and put off like any trouble, or it would come every minute
            log.warning("refresh.surprised", platform=held.platform, error=describe(error))
            outcome = await self._failed(held, Problem("transient", SURPRISE, "unexpected"))
        metrics.of(metrics.token_refreshes, held.platform, outcome).inc()
        return outcome

    async def _renewed(self, held: Connection) -> str:
        channel, secrets = self._outside.channels[held.channel], await self._secrets(held)
        if channel.refresh is None or channel.refreshes_with not in secrets:
            raise Problem("grant", "There is nothing to refresh it with; connect the account again.")
        app = await self._applications.known(held.channel, held.instance, held.tenant)
        # Found out now, before the platform rotates what we hold: a key service that is away cannot keep what comes.
        self._vault.seal("", Place(held.tenant, held.id, "trial"))
        renewed = await self._outside.run(channel.refresh(app, secrets), **held.whose)
        faultpoint("publish.asked")
        access_seconds = channel.access_life(renewed.access_seconds)
        refresh_in = channel.refresh_in(access_seconds, {**secrets, **renewed.secrets}, uniform(0.9, 1.0))  # noqa: S311
        async with tenant_transaction(self._pool, held.tenant) as connection:
            kept = await refresh_store.renew(
                connection,
                self._vault,
                held,
                renewed,
                access_seconds=access_seconds,
                refresh_seconds=channel.refresh_life(renewed.refresh_seconds, renewed.secrets, first=False),
                refresh_in=refresh_in,
                check_in=channel.check_in,
            )
        faultpoint("publish.kept")
        return "refreshed" if kept else "superseded"

    async def _checked(self, held: Connection) -> str:
        channel = self._outside.channels[held.channel]
        found = Renewed()
        if channel.check is not None:  # an earlier release may have had one
            app = await self._applications.known(held.channel, held.instance, held.tenant)
            found = await self._outside.run(channel.check(app, await self._secrets(held)), **held.whose)
        async with tenant_transaction(self._pool, held.tenant) as connection:
            kept = await refresh_store.checked(connection, held, found, channel.check_in)
        return "checked" if kept else "superseded"

    async def _secrets(self, held: Connection) -> Secrets:
        async with tenant_transaction(self._pool, held.tenant) as connection:
            return await connection_store.secrets(connection, self._vault, held.tenant, held.id)

    async def _failed(self, held: Connection, problem: Problem) -> str:
        async with tenant_transaction(self._pool, held.tenant) as connection:
            if problem.kind in ("grant", "lacking"):
                began = await disconnect_store.needs_reconnect(connection, held, problem.says)
                if began:
                    detail = {"platform": held.platform, "code": problem.code}
                    await audit(connection, held.tenant, WORKER, "connection.needs_reconnect", held.id, **detail)
                    log.warning("connection.needs_reconnect", platform=held.platform, connection=held.id)
                return "needs_reconnect" if began else "superseded"
            least = problem.after_seconds * uniform(1.0, 1.1)  # noqa: S311  not everybody in the same moment
            if problem.code == HELD:
                await refresh_store.wait(connection, held, least)
                return "held"
            failures = await refresh_store.postpone(
                connection, held, problem.says, pauses=RETRIES.delays, share=RETRIES.share(), least=least
            )
            if failures:  # 0: somebody else has done it meanwhile
                await audit(
                    connection,
                    held.tenant,
                    WORKER,
                    refresh_store.FAILED,
                    held.id,
                    platform=held.platform,
                    kind=problem.kind,
                    code=problem.code,
                    in_a_row=failures,
                )
        log.info("refresh.failed", platform=held.platform, kind=problem.kind, code=problem.code, failures=failures)
        return "failed"
