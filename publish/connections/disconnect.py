"""How a connection ends: here, at the platform, or because the platform says that a person wants it so."""

import hashlib
import secrets

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, Actor, audit
from ops.runtime.db import Pool
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import Problem
from ops.runtime.tenancy import NO_TENANT, set_tenant, tenant_transaction
from publish.connections import connection_store, disconnect_store, refresh_store
from publish.connections.connection_store import Connection
from publish.connections.disconnect_store import Taken
from publish.oauth.client_registration import Applications
from publish.oauth.providers import Outside
from publish.oauth.signed_request import Wish, opened
from publish.vault.envelope import Vault, VaultError

REMOVED = "You removed the application at the platform; connect the account again if that was not meant."
EXPIRED = "Its time at the platform is over, and nothing can renew it; connect the account again."
FAILING = "Its time at the platform is over, and renewing it failed; connect the account again. What went wrong: {}"

RETRIES = RetryPolicy((60, 300, 1800), jitter=0.2)
GIVE_UP_HOURS = 24
"""Whoever disconnects wants to be forgotten: a platform that cannot be told within this is not told."""

DEAUTHORIZE, DELETION = "deauthorize", "deletion"
MAX_AGE_DAYS = 7
"""Of a signed request. No replay window is documented (``meta.md`` 6), and deliveries are repeated for up to 36 hours
(``meta.md`` 1.3): this is generous. ``expires`` is an hour after the issue, less than that, and so is not the bound.
"""

log = structlog.get_logger()


class Rejected(Exception):  # noqa: N818  an answer
    """A signed request that is the platform's, and cannot be taken: ``reason`` is stale or reused."""

    def __init__(self, reason: str, says: str) -> None:
        super().__init__(says)
        self.reason = reason


class Endings:
    def __init__(self, pool: Pool, vault: Vault, outside: Outside, applications: Applications) -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside
        self._applications = applications

    async def removed(self, channel: str, signed: str) -> int | None:
        """A person removed us at the platform, it says; how many connections that ended. None: it is not the platform.

        It comes again until it is answered, and perhaps after the person came back: what is newer is left alone.
        Raises Rejected.
        """
        wish = self._signed(channel, signed)
        if wish is None:
            return None
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            taken = await self._taken(connection, channel, DEAUTHORIZE, wish)
            return await self._ended(connection, channel, wish, taken)

    async def delete(self, channel: str, signed: str) -> str | None:
        """A person asks that what we know be deleted: the address at which they can see how far it is.

        Grants that are older end at once; `landfall erase --requested` does the rest. None: it is not the platform.
        Raises Rejected.
        """
        wish = self._signed(channel, signed)
        if wish is None:
            return None
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            taken = await self._taken(connection, channel, DELETION, wish)
            await self._ended(connection, channel, wish, taken)
            await disconnect_store.ask_deletion(connection, taken.code, channel, wish.user_id, taken.cut_off)
        return taken.code

    async def _taken(self, connection: asyncpg.Connection, channel: str, purpose: str, wish: Wish) -> Taken:
        """Note a request for one address. Raises Rejected.

        Nothing in the payload says which address it is for: "same signed_request" (``meta.md`` 6). What was taken as a
        removal is therefore no request to delete; that takes one issued at another second.
        """
        digest = hashlib.sha256(f"{wish.user_id} {wish.issued_at}".encode()).digest()
        code = secrets.token_urlsafe(18)
        taken = await disconnect_store.take_signed_request(
            connection, channel, purpose, digest, wish.issued_at, code, MAX_AGE_DAYS
        )
        if taken is None:
            raise Rejected("stale", f"This signed request was issued more than {MAX_AGE_DAYS} days ago.")
        if (
            purpose == DELETION
            and taken.first
            and await disconnect_store.took_signed_request(connection, channel, DEAUTHORIZE, digest)
        ):
            raise Rejected("reused", "This signed request was used before, to remove the application.")
        return taken

    def deletion_address(self, code: str) -> str:
        return f"{self._outside.public_url.rstrip('/')}/deletions/{code}"

    def _signed(self, channel: str, signed: str) -> Wish | None:
        way = self._outside.channels.get(channel)
        keys = [s for v in (way.signs_requests_with if way else ()) for s in self._outside.all(v.name)]
        return opened(signed, keys)

    async def _ended(self, connection: asyncpg.Connection, channel: str, wish: Wish, taken: Taken) -> int:
        count = 0
        for tenant, ids in (await disconnect_store.removable(connection, channel, wish.user_id, taken.cut_off)).items():
            await set_tenant(connection, tenant)
            for id_ in await disconnect_store.removed(connection, ids, taken.cut_off, REMOVED):
                await audit(connection, tenant, Actor(channel), "connection.removed", id_, platform=channel)
                count += 1
        await set_tenant(connection, NO_TENANT)
        return count

    async def found(self, connection: asyncpg.Connection) -> None:
        """End what the log says was removed, however late it says so, and what ran out of time."""
        for platform, channel in self._outside.channels.items():
            if channel.removals is None:
                continue
            for tenant, id_ in await disconnect_store.removed_in_table(connection, platform, channel.removals, REMOVED):
                await audit(connection, tenant, Actor(platform), "connection.removed", id_, platform=platform)
                log.warning("connection.removed", platform=platform, connection=id_)
        themselves = [name for name, channel in self._outside.channels.items() if channel.refreshes_itself]
        for tenant, id_, platform in await disconnect_store.expired(connection, EXPIRED, FAILING, themselves):
            await audit(connection, tenant, WORKER, "connection.needs_reconnect", id_, platform=platform)
            log.warning("connection.needs_reconnect", platform=platform, connection=id_)

    async def disconnect(self, tenant: str, id_: str, actor: Actor) -> bool | None:
        """End a connection here, and at the platform: whether that is done, or left to the worker. None: there is none.

        It is ended here first, so that nothing uses it any more; what was held is forgotten when the platform knows.
        """
        async with tenant_transaction(self._pool, tenant) as connection:
            held = await disconnect_store.disconnect(connection, id_)
            if held is None:
                return None
            await audit(connection, tenant, actor, "connection.disconnected", id_, platform=held.platform)
        faultpoint("publish.disconnected")
        return await self.revoke(held) == "revoked"

    async def revoke(self, held: Connection) -> str:
        """revoked, or failed where it is to be tried again."""
        try:
            await self._revoked(held)
        except (Problem, VaultError) as error:
            async with tenant_transaction(self._pool, held.tenant) as connection:
                if not await disconnect_store.hopeless(connection, held, GIVE_UP_HOURS):
                    least = error.after_seconds if isinstance(error, Problem) else 0.0
                    await refresh_store.postpone(
                        connection, held, str(error), pauses=RETRIES.delays, share=RETRIES.share(), least=least
                    )
                    log.info("revocation.failed", platform=held.platform, connection=held.id, error=str(error))
                    return "failed"
            log.warning("revocation.given_up", platform=held.platform, connection=held.id, error=str(error))
        async with tenant_transaction(self._pool, held.tenant) as connection:
            await disconnect_store.revoked(connection, held)
        return "revoked"

    async def _revoked(self, held: Connection) -> None:
        """Raises Problem where the platform could not be told, VaultError where there is nothing to tell it with."""
        channel = self._outside.channels[held.channel]
        async with tenant_transaction(self._pool, held.tenant) as connection:
            if not await disconnect_store.still_ended(connection, held):
                return  # it came back meanwhile, and what is kept now is of the new grant
            held_secrets = await connection_store.secrets(connection, self._vault, held.tenant, held.id)
            # A page and the account behind it, or two tenants with one account: the last one out closes the door.
            same, related = await disconnect_store.sharing(connection, held)
        if channel.revoke is None or (same and channel.revokes_for_all) or "access_token" not in held_secrets:
            return
        app = await self._applications.known(held.channel, held.instance, held.tenant)
        await self._outside.run(channel.revoke(app, held_secrets, last=not related), **held.whose)
