"""Keep the events of accounts subscribed to: platforms end a subscription without a word (``meta.md`` 1.4).

Each is looked at after the account was connected, and several times a day from then on. What is missing is subscribed
to again, read back, and noted in the audit log; what cannot be is an alert for the operator, and a notice for the
account's people where connecting again helps.
"""

import asyncio
from random import uniform

import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import stopped
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store, subscription_store
from publish.connections.subscription_store import Held
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.contract import HeldAccount, Subscription
from publish.oauth.providers import OAuthProviders
from publish.vault.envelope import Vault, VaultError

LOOK_SECONDS = 30.0
AT_ONCE = 4

AGAIN_SECONDS = 6 * 3600.0
"""Between two looks at a subscription."""

INCOMPLETE_SECONDS = 1800.0
"""Between two looks at one that lacks something: somebody is mending it."""

TROUBLE_SECONDS = 900.0
"""Before the next look where the platform could not be asked."""

ACCOUNTS_HALF = "account"
"""The half of a subscription that connecting the account again makes anew."""

OUTCOMES = ("complete", "repaired", "incomplete", "failed")

log = structlog.get_logger()


class SubscriptionKeeper:
    def __init__(self, pool: Pool, vault: Vault, providers: OAuthProviders, clients: ClientRegistrations) -> None:
        self._pool = pool
        self._vault = vault
        self._providers = providers
        self._clients = clients
        self._platforms = [name for name, provider in providers.by_platform.items() if provider.subscription]
        for name in self._platforms:
            for outcome in OUTCOMES:  # a first failure is an increase only from a zero that was seen
                metrics.of(metrics.subscription_checks, name, outcome)

    async def sweep(self, stop: asyncio.Event) -> None:
        """Look at what is due until ``stop`` is set."""
        while not stop.is_set():
            await stopped(stop, 0 if await self.round() else LOOK_SECONDS)

    async def round(self) -> int:
        """Look at some of what is due; return how many subscriptions that were."""
        try:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                await subscription_store.enlist(connection, self._platforms)
                found = await subscription_store.lease(connection, self._platforms, AT_ONCE)
                await _show(await subscription_store.counts(connection))
            await asyncio.gather(*map(self.look, found))
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("subscriptions.round_failed", error=describe(error))
            return 0
        return len(found)

    async def look(self, held: Held) -> str:
        """Look at one subscription, and mend it. Return complete, repaired, incomplete, failed or superseded."""
        try:
            found = await self._asked(held)
        except PlatformError as problem:
            outcome = await self._postponed(held, problem.user_message, problem.after_seconds)
        except VaultError:
            log.exception("subscriptions.vault_failed", platform=held.platform)
            outcome = await self._postponed(held, "The keys of this service do not open the account's token.", 0.0)
        except Exception as error:  # noqa: BLE001  put off like any trouble, or it would come every minute
            log.warning("subscriptions.unexpected", platform=held.platform, error=describe(error))
            outcome = await self._postponed(held, "Something failed here, and no fault of the account.", 0.0)
        else:
            outcome = await self._stored(held, found)
        metrics.of(metrics.subscription_checks, held.login_platform, outcome).inc()
        return outcome

    async def _asked(self, held: Held) -> Subscription:
        provider = self._providers.by_platform[held.login_platform]
        assert provider.subscription is not None  # noqa: S101  only those that have one are leased
        app = await self._clients.app(held.login_platform, held.instance, held.tenant)
        async with tenant_transaction(self._pool, held.tenant) as connection:
            secrets = await connection_store.secrets(connection, self._vault, held.tenant, held.id)
        account = HeldAccount(held.account_id, {}, secrets, held.platform, held.scopes, held.grant_id)
        found = await self._providers.client.run(provider.subscription(app, account), **held.counted_as)
        faultpoint("publish.subscribed")
        return found

    async def _stored(self, held: Held, found: Subscription) -> str:
        again = INCOMPLETE_SECONDS if found.missing else AGAIN_SECONDS
        async with tenant_transaction(self._pool, held.tenant) as connection:
            begun = await subscription_store.store(connection, held, found, again * uniform(0.9, 1.0))  # noqa: S311
            if begun is None:
                return "superseded"
            if found.repaired:
                fields = ", ".join(found.repaired)
                await audit(
                    connection,
                    held.tenant,
                    WORKER,
                    "connection.subscribed",
                    held.id,
                    platform=held.platform,
                    fields=fields,
                )
            if begun:
                fields = ", ".join(found.missing)
                await audit(
                    connection,
                    held.tenant,
                    WORKER,
                    "connection.unsubscribed",
                    held.id,
                    platform=held.platform,
                    fields=fields,
                )
            notice = await subscription_store.tell(connection, held, ACCOUNTS_HALF)
        if found.repaired:
            log.warning("subscription.repaired", platform=held.platform, connection=held.id, fields=found.repaired)
        if begun:
            log.warning(
                "subscription.incomplete",
                platform=held.platform,
                connection=held.id,
                fields=found.missing,
                notice=notice,
            )
        return "incomplete" if found.missing else "repaired" if found.repaired else "complete"

    async def _postponed(self, held: Held, trouble: str, least: float) -> str:
        seconds = max(least, TROUBLE_SECONDS) * uniform(1.0, 1.1)  # noqa: S311
        async with tenant_transaction(self._pool, held.tenant) as connection:
            await subscription_store.postpone(connection, held, trouble, seconds)
        return "failed"


async def _show(counts: list[tuple[str, str, int]]) -> None:
    metrics.subscriptions.clear()
    for platform, state, count in counts:
        metrics.subscriptions.labels(platform, state).set(count)
