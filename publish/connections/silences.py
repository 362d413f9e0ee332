"""Notice accounts of which nothing is heard any more, by their own history, and tell their people.

The state of an account is stored, so that an alarm is raised once, and is over with the first event that comes.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import stopped
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import silence, silence_store
from publish.connections.silence_store import Watched

LOOK_SECONDS = 30.0
AT_ONCE = 50

log = structlog.get_logger()


class SilenceWatch:
    """``platforms`` are those whose webhooks tell what other people do."""

    def __init__(self, pool: Pool, platforms: Sequence[str]) -> None:
        self._pool = pool
        self._platforms = platforms

    async def sweep(self, stop: asyncio.Event) -> None:
        """Look at what is due until ``stop`` is set."""
        while not stop.is_set():
            await stopped(stop, 0 if await self.round() == AT_ONCE else LOOK_SECONDS)

    async def round(self) -> int:
        """Look at the accounts that were looked at longest ago; return how many they were."""
        try:
            async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
                await silence_store.enlist(connection, self._platforms)
                found = await silence_store.claim(connection, AT_ONCE)
                for watched in found:
                    await _look(connection, watched)
                counts = await silence_store.counts(connection)
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("silences.round_failed", error=describe(error))
            return 0
        metrics.accounts_heard.clear()
        for platform, judged, silent in counts:
            metrics.accounts_heard.labels(platform, "heard").set(judged - silent)
            metrics.accounts_heard.labels(platform, "silent").set(silent)
        return len(found)


async def _look(connection: asyncpg.Connection, watched: Watched) -> None:
    usual, alarm, after, heard_at = None, watched.alarm_hours, watched.scanned_to, watched.heard_at
    if watched.history_due:
        hours = await silence_store.hours(connection, watched)
        rhythm = silence.rhythm(hours)
        usual, alarm = (None, None) if rhythm is None else (rhythm.usual, rhythm.alarm)
        after = silence_store.first_of_hour(hours[-1] if hours else int(watched.now.timestamp()) // 3600)
    newest, after = await silence_store.heard(connection, watched, after)
    heard_at = newest or heard_at
    since = silence.silent_since(watched.now, heard_at, watched.listening_since, alarm)
    await silence_store.store(
        connection,
        watched,
        heard_at=heard_at,
        scanned_to=after,
        usual_hours=usual,
        alarm_hours=alarm,
        silent_since=since,
    )
    if since == watched.silent_since:
        return
    notice = await silence_store.tell(connection, watched)
    if notice is not None:
        log.warning("notice.raised", notice=notice.id, connection=watched.id, kind=notice.kind)
    log.warning("account.silent" if since else "account.heard", platform=watched.platform, connection=watched.id)
