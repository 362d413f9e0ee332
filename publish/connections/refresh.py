"""Refresh access tokens in time, store them before they are used, and check them in between.

The right to work on a connection is a lease in its row, so that one of any number of processes asks the platform. An
ended grant needs a person at once; every other failure is tried again later.
"""

import asyncio
from collections.abc import Mapping
from random import uniform

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy, stopped
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.rate_limits import HELD
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store, disconnect_store, maintenance_store, refresh_store
from publish.connections.connection_store import Connection
from publish.connections.disconnect import Disconnector
from publish.notifications import notice_store, post_notice_store
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.contract import HeldAccount, Secrets, TokenUpdate
from publish.oauth.providers import OAuthProviders
from publish.vault.envelope import Vault, VaultError
from schema.sealing import Place
from schema.states import ConnectionState

LOOK_SECONDS = 30.0
AT_ONCE = 8
RETRIES = RetryPolicy((60, 120, 300, 600, 1800), jitter=0.2)
"""Pauses between attempts: at most 30 minutes, unless the platform says how long to wait."""

SOON_SECONDS = 300.0
"""A token that ends within this is refreshed before it is used."""

CHECK_PAUSE_SECONDS, REFRESH_PAUSE_SECONDS = 10, 60
"""A person may ask for a check only so long after the platform was last asked, whatever came of that.

Where a refresh is the check, each makes a new token."""

WAIT_SECONDS = 20.0
"""How long a caller who wants a token waits for a refresh that is under way elsewhere."""

UNEXPECTED = "Something failed here, and no fault of the account; it is tried again by itself."
SEALED = "The keys of this service do not fit what it keeps of the account; whoever runs it has to see to that."

log = structlog.get_logger()


class Refresher:
    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        providers: OAuthProviders,
        clients: ClientRegistrations,
        disconnector: Disconnector,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._providers = providers
        self._clients = clients
        self._disconnector = disconnector

    async def sweep(self, stop: asyncio.Event) -> None:
        """Work on what is due until ``stop`` is set."""
        while not stop.is_set():
            await stopped(stop, 0 if await self._round() else LOOK_SECONDS)

    async def _round(self) -> int:
        """Do one round of maintenance and of what is due; return how many connections were worked on."""
        try:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                await self._give_ends(connection)
                await self._disconnector.end_lapsed(connection)
                raised = [*await notice_store.warn(connection), *await post_notice_store.warn(connection)]
                for id_, connection_id, kind in raised:
                    log.warning("notice.raised", notice=id_, connection=connection_id, kind=kind)
                found = await refresh_store.due(connection, AT_ONCE)
                await maintenance_store.show_metrics(connection)
                await maintenance_store.delete_expired(connection)
            outcomes = await asyncio.gather(*(self.refresh(id_, tenant=tenant) for tenant, id_ in found))
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("refresh.round_failed", error=describe(error))
            return 0
        return sum(outcome != "leased" for outcome in outcomes)

    async def _give_ends(self, connection: asyncpg.Connection) -> None:
        for platform, provider in self._providers.by_platform.items():
            count = await refresh_store.give_ends(
                connection,
                platform,
                refreshes_with=provider.refreshes_with if provider.refresh else None,
                access_seconds=provider.lifetimes.access,
                youngest=provider.refresh_policy.youngest,
            )
            if count:
                log.warning("connection.end_assumed", platform=platform, connections=count)

    async def access(self, tenant: str, id_: str) -> Secrets:
        """Return the secrets of a connection by name, refreshed first if they end soon. Raises PlatformError.

        Wait for a refresh that is under way elsewhere: some platforms end the old token at once.
        """
        await self.refresh(id_, SOON_SECONDS, tenant)
        end = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            async with tenant_transaction(self._pool, tenant) as connection:
                standing = await connection_store.standing(connection, id_)
                if standing is None:
                    raise PlatformError("wrong", "There is no such connection.")
                if standing.state != ConnectionState.ACTIVE:
                    raise PlatformError("grant", standing.reason or "The account was disconnected.", standing.state)
                if not standing.leased and not standing.over:
                    return await connection_store.secrets(connection, self._vault, tenant, id_)
            if not standing.leased or asyncio.get_running_loop().time() > end:
                raise PlatformError(
                    "transient", "The token of this account is over, and a new one could not be had yet."
                )
            await asyncio.sleep(0.1)

    async def check(self, tenant: str, id_: str) -> str:
        """Ask the platform now whether it still accepts the token. Raises PlatformError if not.

        Return the outcome as :meth:`refresh` does; ``pausing`` where it was asked too recently, whatever came of it.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            standing = await connection_store.standing(connection, id_)
            if standing is None:
                raise PlatformError("wrong", "There is no such connection.")
            refreshing = self._providers.by_platform[standing.login_platform].check is None
            pause = self.pause(standing.login_platform)
            asked = await refresh_store.ask_check(connection, id_, refreshing=refreshing, pause=pause)
        if not asked and standing.state == ConnectionState.ACTIVE:
            return "pausing"
        outcome = await self.refresh(id_, tenant=tenant)
        if outcome == "failed":
            raise PlatformError("transient", "The platform could not be asked; it is asked again by itself.")
        await self.access(tenant, id_)
        return outcome

    async def renew(self, tenant: str, id_: str, refused: Mapping[str, str]) -> bool:
        """Check a token that the platform did not take, by a refresh where that is the check.

        Return whether there is another token now than the ``refused`` one. Raises PlatformError where the grant is
        over. Nothing is asked where the platform took it within the last minute: another process has renewed it, or
        the platform meant something else than the token.
        """
        if await self._hurry(tenant, id_, REFRESH_PAUSE_SECONDS):
            await self.refresh(id_, tenant=tenant)
        return await self.access(tenant, id_) != refused

    async def recheck(self, tenant: str, id_: str) -> str:
        """Check a connection of which the platform may have taken something back, and store what comes of it.

        Return the outcome as :meth:`refresh` does, and ``pausing`` where it was asked just now. It reads no audit log,
        which the worker may not. Raises PlatformError where there is no such connection.
        """
        if not await self._hurry(tenant, id_, CHECK_PAUSE_SECONDS):
            return "pausing"
        return await self.refresh(id_, tenant=tenant)

    async def _hurry(self, tenant: str, id_: str, pause: float) -> bool:
        """Make a check due, or a refresh in its place, unless the platform accepted the token so recently.

        Raises PlatformError where there is no such connection.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            standing = await connection_store.standing(connection, id_)
            if standing is None:
                raise PlatformError("wrong", "There is no such connection.")
            refreshing = self._providers.by_platform[standing.login_platform].check is None
            return await refresh_store.hurry_one(connection, id_, refreshing=refreshing, pause=pause)

    def pause(self, platform: str) -> int:
        """Return the seconds between two checks that people ask for."""
        return REFRESH_PAUSE_SECONDS if self._providers.by_platform[platform].check is None else CHECK_PAUSE_SECONDS

    async def refresh(self, id_: str, within: float = 0.0, tenant: str = ALL_TENANTS) -> str:
        """Do what is due for one connection, or refresh it if its token ends ``within`` seconds.

        Return refreshed, checked, revoked, failed or needs_reconnect; held where a rate limit forbids asking; leased
        where nothing is due or another process does it; superseded where the connection changed meanwhile.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            held = await refresh_store.lease(connection, id_, within)
        if held is None:
            return "leased"
        faultpoint("publish.leased")
        if held.work == "revoke":
            return await self._disconnector.revoke(held)
        try:
            outcome = await (self._refresh(held) if held.work == "refresh" else self._check(held))
        except PlatformError as problem:
            outcome = await self._fail(held, problem)
        except VaultError:
            # The vault's fault, and not the grant's: a missing key must not end the connection.
            log.exception("refresh.vault_failed", platform=held.platform)
            outcome = await self._fail(held, PlatformError("transient", SEALED, "vault"))
        except Exception as error:  # noqa: BLE001  counted and put off like any trouble, or it would come every minute
            log.warning("refresh.unexpected", platform=held.platform, error=describe(error))
            outcome = await self._fail(held, PlatformError("transient", UNEXPECTED, "unexpected"))
        metrics.of(metrics.token_refreshes, held.platform, outcome).inc()
        return outcome

    async def _refresh(self, held: Connection) -> str:
        provider, secrets = self._providers.by_platform[held.login_platform], await self._secrets(held)
        if provider.refresh is None or provider.refreshes_with not in secrets:
            raise PlatformError("grant", "There is nothing to refresh it with; connect the account again.")
        app = await self._clients.app(held.login_platform, held.instance, held.tenant)
        # Try the vault before the platform rotates the token: without its keys the new token could not be stored.
        self._vault.seal("", Place(held.tenant, held.id, "trial"))
        update = await self._providers.client.run(provider.refresh(app, secrets), **held.counted_as)
        faultpoint("publish.asked")
        access_seconds = provider.access_life(update.access_seconds)
        refresh_in = provider.refresh_in(access_seconds, {**secrets, **update.secrets}, uniform(0.9, 1.0))  # noqa: S311
        async with tenant_transaction(self._pool, held.tenant) as connection:
            stored = await refresh_store.store_refresh(
                connection,
                self._vault,
                held,
                update,
                access_seconds=access_seconds,
                refresh_seconds=provider.refresh_life(update.refresh_seconds, update.secrets, first=False),
                refresh_in=refresh_in,
                check_in=provider.check_in,
                shared=provider.shares_tokens,
            )
        faultpoint("publish.kept")
        return "refreshed" if stored else "superseded"

    async def _check(self, held: Connection) -> str:
        provider = self._providers.by_platform[held.login_platform]
        found = TokenUpdate()
        if provider.check is not None:  # an earlier release may have had one
            app = await self._clients.app(held.login_platform, held.instance, held.tenant)
            account = HeldAccount(held.account_id, held.profile, await self._secrets(held))
            found = await self._providers.client.run(provider.check(app, account), **held.counted_as)
        async with tenant_transaction(self._pool, held.tenant) as connection:
            stored = await refresh_store.store_check(connection, held, found, provider.check_in)
        return "checked" if stored else "superseded"

    async def _secrets(self, held: Connection) -> Secrets:
        async with tenant_transaction(self._pool, held.tenant) as connection:
            return await connection_store.secrets(connection, self._vault, held.tenant, held.id)

    async def _fail(self, held: Connection, problem: PlatformError) -> str:
        async with tenant_transaction(self._pool, held.tenant) as connection:
            if problem.kind in ("grant", "lacking"):
                began = await disconnect_store.needs_reconnect(connection, held, problem.user_message)
                if began:
                    detail = {"platform": held.platform, "code": problem.code}
                    await audit(connection, held.tenant, WORKER, "connection.needs_reconnect", held.id, **detail)
                    log.warning("connection.needs_reconnect", platform=held.platform, connection=held.id)
                return "needs_reconnect" if began else "superseded"
            least = problem.after_seconds * uniform(1.0, 1.1)  # noqa: S311  not all in the same moment
            if problem.code == HELD:
                await refresh_store.defer(connection, held, least)
                return "held"
            failures = await refresh_store.postpone(
                connection, held, problem.user_message, pauses=RETRIES.delays, share=RETRIES.share(), least=least
            )
            if failures:  # 0: another process has done it meanwhile
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
