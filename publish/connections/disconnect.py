"""Disconnect accounts: on request, when the platform reports it, or when a grant has run out."""

import hashlib
import secrets

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, Actor, audit
from ops.runtime.db import Pool
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.tenancy import NO_TENANT, set_tenant, tenant_transaction
from publish.connections import connection_store, disconnect_store, refresh_store
from publish.connections.connection_store import Connection
from publish.connections.disconnect_store import Accepted
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.providers import OAuthProviders
from publish.oauth.signed_request import SignedRequest, verified
from publish.vault.envelope import Vault, VaultError

REMOVED = "You removed the application at the platform; connect the account again if that was not meant."
EXPIRED = "Its time at the platform is over, and nothing can renew it; connect the account again."
FAILING = "Its time at the platform is over, and renewing it failed; connect the account again. What went wrong: {}"

RETRIES = RetryPolicy((60, 300, 1800), jitter=0.2)
GIVE_UP_HOURS = 24
"""A revocation that failed for so long is given up and the tokens are deleted, as the person asked for."""

DEAUTHORIZE, DELETION = "deauthorize", "deletion"
MAX_AGE_DAYS = 7
"""How old a signed request may be. No replay window is documented (``meta.md`` 6), and deliveries are repeated for up
to 36 hours (``meta.md`` 1.3). ``expires`` is an hour after the issue, less than that, and so is not the bound.
"""

log = structlog.get_logger()


class SignedRequestRejectedError(Exception):
    """A genuine signed request that cannot be accepted: ``reason`` is stale or reused."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Disconnector:
    def __init__(self, pool: Pool, vault: Vault, providers: OAuthProviders, clients: ClientRegistrations) -> None:
        self._pool = pool
        self._vault = vault
        self._providers = providers
        self._clients = clients

    async def deauthorize(self, platform: str, signed: str) -> int | None:
        """End the connections of a person who removed the application; return their number, None for a bad signature.

        A platform repeats the request until it is answered; connections made after it are left alone.
        Raises SignedRequestRejectedError.
        """
        request = self._verified(platform, signed)
        if request is None:
            return None
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            accepted = await self._accept(connection, platform, DEAUTHORIZE, request)
            return await self._end(connection, platform, request, accepted)

    async def request_deletion(self, platform: str, signed: str) -> str | None:
        """Accept a person's deletion request and return its code; None for a bad signature.

        Older grants end at once; `landfall erase --requested` does the rest.
        Raises SignedRequestRejectedError.
        """
        request = self._verified(platform, signed)
        if request is None:
            return None
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            accepted = await self._accept(connection, platform, DELETION, request)
            await self._end(connection, platform, request, accepted)
            await disconnect_store.request_deletion(
                connection, accepted.code, platform, request.user_id, accepted.cut_off
            )
        return accepted.code

    async def _accept(
        self, connection: asyncpg.Connection, platform: str, purpose: str, request: SignedRequest
    ) -> Accepted:
        """Store a request to one address. Raises SignedRequestRejectedError.

        Nothing in the payload says which address it is for: "same signed_request" (``meta.md`` 6). What was accepted
        as a removal is therefore no request to delete; that takes one issued at another second.
        """
        digest = hashlib.sha256(f"{request.user_id} {request.issued_at}".encode()).digest()
        code = secrets.token_urlsafe(18)
        accepted = await disconnect_store.accept_signed_request(
            connection, platform, purpose, digest, request.issued_at, code, MAX_AGE_DAYS
        )
        if accepted is None:
            raise SignedRequestRejectedError(
                "stale", f"This signed request was issued more than {MAX_AGE_DAYS} days ago."
            )
        if (
            purpose == DELETION
            and accepted.first
            and await disconnect_store.is_accepted(connection, platform, DEAUTHORIZE, digest)
        ):
            raise SignedRequestRejectedError(
                "reused", "This signed request was used before, to remove the application."
            )
        return accepted

    def deletion_address(self, code: str) -> str:
        return f"{self._providers.public_url.rstrip('/')}/deletions/{code}"

    def _verified(self, platform: str, signed: str) -> SignedRequest | None:
        provider = self._providers.by_platform.get(platform)
        keys = [s for v in (provider.signs_requests_with if provider else ()) for s in self._providers.all(v.name)]
        return verified(signed, keys)

    async def _end(
        self, connection: asyncpg.Connection, platform: str, request: SignedRequest, accepted: Accepted
    ) -> int:
        count = 0
        for tenant, ids in (
            await disconnect_store.removable(connection, platform, request.user_id, accepted.cut_off)
        ).items():
            await set_tenant(connection, tenant)
            for id_ in await disconnect_store.removed(connection, ids, accepted.cut_off, REMOVED):
                await audit(connection, tenant, Actor(platform), "connection.removed", id_, platform=platform)
                count += 1
        await set_tenant(connection, NO_TENANT)
        return count

    async def end_lapsed(self, connection: asyncpg.Connection) -> None:
        """End connections that the log says were removed, however late it says so, and those whose tokens ran out."""
        for platform, provider in self._providers.by_platform.items():
            if provider.removals is None:
                continue
            for tenant, id_ in await disconnect_store.removed_in_table(
                connection, platform, provider.removals, REMOVED
            ):
                await audit(connection, tenant, Actor(platform), "connection.removed", id_, platform=platform)
                log.warning("connection.removed", platform=platform, connection=id_)
        themselves = [name for name, provider in self._providers.by_platform.items() if provider.refreshes_itself]
        for tenant, id_, platform in await disconnect_store.expired(connection, EXPIRED, FAILING, themselves):
            await audit(connection, tenant, WORKER, "connection.needs_reconnect", id_, platform=platform)
            log.warning("connection.needs_reconnect", platform=platform, connection=id_)

    async def disconnect(self, tenant: str, id_: str, actor: Actor) -> bool | None:
        """Disconnect an account, first here and then at the platform. None: there is no such connection.

        Return whether the platform knows; if not, the worker repeats the revocation. The tokens are deleted after it.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            held = await disconnect_store.disconnect(connection, id_)
            if held is None:
                return None
            await audit(connection, tenant, actor, "connection.disconnected", id_, platform=held.platform)
        faultpoint("publish.disconnected")
        return await self.revoke(held) == "revoked"

    async def revoke(self, held: Connection) -> str:
        """Revoke at the platform. Return revoked, or failed where it is tried again later."""
        try:
            await self._revoke(held)
        except (PlatformError, VaultError) as error:
            async with tenant_transaction(self._pool, held.tenant) as connection:
                if not await disconnect_store.revocation_expired(connection, held, GIVE_UP_HOURS):
                    least = error.after_seconds if isinstance(error, PlatformError) else 0.0
                    await refresh_store.postpone(
                        connection, held, str(error), pauses=RETRIES.delays, share=RETRIES.share(), least=least
                    )
                    log.info("revocation.failed", platform=held.platform, connection=held.id, error=str(error))
                    return "failed"
            log.warning("revocation.given_up", platform=held.platform, connection=held.id, error=str(error))
        async with tenant_transaction(self._pool, held.tenant) as connection:
            await disconnect_store.revoked(connection, held)
        return "revoked"

    async def _revoke(self, held: Connection) -> None:
        """Raises PlatformError where the platform could not be told, VaultError where the tokens cannot be opened."""
        provider = self._providers.by_platform[held.login_platform]
        async with tenant_transaction(self._pool, held.tenant) as connection:
            if not await disconnect_store.still_ended(connection, held):
                return  # it was connected again meanwhile, and the stored tokens are of the new grant
            held_secrets = await connection_store.secrets(connection, self._vault, held.tenant, held.id)
            # A page and the account behind it, or two tenants with one account: only the last connection is revoked.
            same, related = await disconnect_store.sharing(connection, held)
        if provider.revoke is None or (same and provider.revokes_for_all) or "access_token" not in held_secrets:
            return
        app = await self._clients.app(held.login_platform, held.instance, held.tenant)
        await self._providers.client.run(provider.revoke(app, held_secrets, last=not related), **held.counted_as)
