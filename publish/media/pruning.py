"""Remove files that nothing refers to and whose time is over, and delete what is left of uploads and removed files."""

import asyncio

import structlog

from ops.access.audit_log_store import WORKER, Actor, audit
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import repeat
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.media import link_store, media_store, upload_store
from publish.media.storage import Storage, folder_of

SWEEP_SECONDS = 60.0
BATCH = 100

log = structlog.get_logger()


class Pruner:
    """``days`` is how old a file is before it is removed."""

    def __init__(self, pool: Pool, storage: Storage, days: int) -> None:
        self._pool = pool
        self._storage = storage
        self._days = days

    async def sweep(self, stop: asyncio.Event) -> None:
        """Do all of it every minute, until told to stop."""
        await repeat(self.round, SWEEP_SECONDS, stop=stop)

    async def round(self) -> None:
        """Do all of it once. What fails is logged."""
        try:
            await self.remove_due(WORKER)
            await self.purge()
            await self.clear_uploads()
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                await link_store.delete_old(connection)
        except Exception as error:  # noqa: BLE001  database or storage may be away for a while; the sweep goes on
            log.warning("media.sweep_failed", error=describe(error))

    async def remove_due(self, actor: Actor) -> int:
        """Remove the files whose time is over. Return how many."""
        removed = 0
        while True:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                due = await media_store.due(connection, self._days, BATCH)
            done = 0
            for tenant, id_ in due:
                async with tenant_transaction(self._pool, tenant) as connection:
                    if await media_store.lock(connection, tenant, id_) and await media_store.remove(
                        connection, tenant, id_, actor.name
                    ):
                        await audit(connection, tenant, actor, "media.removed", id_)
                        done += 1
            removed += done
            if not done:
                return removed

    async def purge(self) -> int:
        """Delete the bytes of removed files. Return how many files that were. Raises StorageError."""
        count = 0
        while True:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                found = await media_store.to_purge(connection, BATCH)
            for tenant, id_, name in found:
                await self._storage.delete(name)
                async with tenant_transaction(self._pool, tenant) as connection:
                    await media_store.purged(connection, tenant, id_)
            count += len(found)
            if len(found) < BATCH:
                return count

    async def clear_uploads(self) -> int:
        """Delete what uploads left that have ended. Return how many those were. Raises StorageError."""
        count = 0
        while True:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                found = await upload_store.expired(connection, BATCH)
            for each in found:
                await self._storage.clear(folder_of(each.tenant, each.id), each.kept)
                async with tenant_transaction(self._pool, each.tenant) as connection:
                    await upload_store.delete(connection, each.tenant, each.id)
            count += len(found)
            if len(found) < BATCH:
                return count
