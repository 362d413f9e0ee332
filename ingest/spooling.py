"""Keep deliveries in the spool while PostgreSQL takes none, and store them when it does again.

While it is away, what comes goes to the spool without being tried. A probe looks for it: a transaction like one that
stores deliveries, with none in it. From then on new deliveries are committed directly, beside those of the spool,
which are stored in the order in which they came. Their order towards the new ones does not matter: the splitter and
the projection take any.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from ingest import spool_store
from ingest.contract import Received
from ingest.replication import NotReplicatedError, replication_warnings
from ingest.spool import Spool, SpoolError
from ops.runtime.db import REFUSED, Pool, describe, transaction
from ops.runtime.faultpoint import faultpoint
from ops.runtime.health import Check
from ops.runtime.periodic import RetryPolicy

BATCH_DELIVERIES = 500
"""Stored in one transaction; nobody waits for it, so it is larger than a batch of new ones."""

PROBE_SECONDS = 1.0
"""Longest that a probe takes: a server that needs longer would not commit a delivery in time."""

PROBES = RetryPolicy.exponential(0.1, 1.0)

log = structlog.get_logger()


class Spooling:
    """The spool, and the task that empties it. ``notify`` is called after deliveries of it are stored."""

    def __init__(self, spool: Spool, pool: Pool, notify: Callable[[], None] = lambda: None) -> None:
        self._spool = spool
        self._pool = pool
        self._notify = notify
        self.away = False
        """Whether PostgreSQL took nothing when it was tried last."""
        self._refusal = ""
        """Why the spool takes nothing; empty while it does."""
        self._needed = asyncio.Event()
        if spool.backlog.records:
            self._needed.set()

    @property
    def takes(self) -> bool:
        """Whether a delivery can be acknowledged without PostgreSQL, as far as is known."""
        return not self._refusal

    async def keep(self, deliveries: Sequence[Received]) -> None:
        """Return once deliveries are on the disk. Raises SpoolError; then none of them counts."""
        try:
            await self._spool.append(deliveries)
        except SpoolError as error:
            if not self._refusal:
                log.error("spool.refused_deliveries", error=str(error))  # noqa: TRY400  the message says it all
            self._refusal = str(error)
            raise
        self._refusal = ""
        self._needed.set()

    def lost(self, error: Exception) -> None:
        """Note that PostgreSQL takes nothing, and begin to look for it."""
        if not self.away:
            log.warning("spool.begun", error=describe(error))
        self.away = True
        self._needed.set()

    def check(self) -> Check:
        """Return what `/readyz` says of it."""
        waiting = self._spool.backlog.records
        if self.away and self._refusal:
            return Check(ok=False, detail=f"PostgreSQL takes nothing, and the spool neither: {self._refusal}")
        if self.away or waiting:
            what = "PostgreSQL takes nothing" if self.away else "PostgreSQL is back"
            detail = f"{what}: {waiting} acknowledged deliveries wait in the spool until they are stored"
            return Check(ok=False, detail=detail, required=False)
        return Check(ok=True)

    async def run(self) -> None:
        """Look for PostgreSQL while it is away, and empty the spool whenever it is not."""
        failures = 0
        while True:
            await self._needed.wait()
            try:
                await self.drain()
            except SpoolError as error:
                log.error("spool.not_read", error=str(error))  # noqa: TRY400  as above
            except Exception as error:  # noqa: BLE001  whatever it is, the deliveries are kept
                log.info("spool.not_drained", error=describe(error))
            else:
                failures = 0
                continue
            failures += 1
            await asyncio.sleep(PROBES.delay(failures))

    async def drain(self) -> int:
        """Store everything that waits. Return how many deliveries that was.

        Raises SpoolError, and whatever tells that PostgreSQL does not take them.
        """
        count = 0
        async with self._pool.acquire() as connection:
            with replication_warnings(connection) as warnings:

                async def store(deliveries: Sequence[Received]) -> None:
                    async with transaction(connection):
                        await spool_store.receive(connection, deliveries)
                    if warnings:
                        raise NotReplicatedError

                if self.away:
                    async with asyncio.timeout(PROBE_SECONDS):
                        await store([])
                    self.away = False
                    log.warning("spool.postgresql_back", deliveries=self._spool.backlog.records)
                while batch := await self._spool.next_batch(BATCH_DELIVERIES):
                    faultpoint("spool.drain")
                    refused = await _store_all(store, batch.records)
                    faultpoint("spool.drained")
                    await self._spool.done(batch, refused)
                    count += len(batch.records) - len(refused)
                    self._notify()
        if count:
            log.warning("spool.drained", deliveries=count)
        if not self.away and not self._spool.backlog.records:
            self._refusal = ""
            self._needed.clear()
        return count


async def _store_all(
    store: Callable[[Sequence[Received]], Awaitable[None]], deliveries: Sequence[Received]
) -> list[str]:
    """Store deliveries, in halves where they cannot be stored together. Return the ids of those that are refused."""
    try:
        await store(deliveries)
    except (*REFUSED, spool_store.PartlyStoredError) as error:
        if len(deliveries) == 1:
            log.critical("spool.delivery_refused", delivery=deliveries[0].id, error=describe(error))
            return [deliveries[0].id]
        half = len(deliveries) // 2
        return [*await _store_all(store, deliveries[:half]), *await _store_all(store, deliveries[half:])]
    return []
