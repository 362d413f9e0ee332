"""Decide saved wall times again where the worker has a newer release of the time zone database than decided them.

What a person asked for is the time on the wall: when a country changes its clocks, what is still to be published
follows, and what somebody began to publish stays. Each post, or each account's queue, is one transaction, under the
locks that a person's edit takes; what was decided names its release, so nothing is decided twice. An older release
never decides again what a newer one did: while a release is rolled out, both run.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import repeat
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.posting import post_store, queue_store, recurrence_store, restore_store, zone_change_store
from publish.posting.recurrences import recurrence_of
from publish.posting.zone_change_store import Behind, NewTime, SavedTime
from publish.schedule import slots
from publish.schedule.errors import ScheduleError
from publish.schedule.recurrence import AHEAD
from publish.schedule.slots import Queue
from publish.schedule.wall_time import ScheduledTime, local_time, resolve
from publish.schedule.zones import TimeZones
from schema.states import RecurrenceState

LOOK_SECONDS = 60.0
BATCH = 100
"""Posts, queues or recurrences that are looked up at once."""

APART = timedelta(minutes=1)
"""Between two posts of an account whose slots became one, where its queue has no other."""

log = structlog.get_logger()


def moved_post(times: Sequence[SavedTime], zones: TimeZones) -> ScheduledTime | None:
    """Return when a post without slots is due by these zones; None where it stays. Raises ScheduleError."""
    if not times or times[0].begun or times[0].at is None:
        return None
    found = _resolved(times[0], zones)
    return None if found is None or found.instant == times[0].at else found


def moved_slots(
    times: Sequence[SavedTime], held: Collection[datetime], queue: Queue, zones: TimeZones
) -> dict[str, ScheduledTime]:
    """Return when targets that hold slots of one account are due by these zones, by their ids; of those that move.

    ``held`` are the slots of others. Where the clocks now skip an hour, two slots may become one: the later target
    takes the next free slot then.
    """
    found: dict[str, ScheduledTime] = {}
    wanted: list[tuple[SavedTime, ScheduledTime]] = []
    occupied = set(held)
    for each in times:
        try:
            new = _resolved(each, zones) if each.planned else None
        except ScheduleError as error:
            log.warning("zones.unknown", target=each.target_id, zone=each.zone, error=error.message)
            new = None
        if new is not None:
            wanted.append((each, new))
        elif each.at is not None:
            occupied.add(each.at)
    for each, first in sorted(wanted, key=lambda pair: (pair[1].instant, pair[0].at, pair[0].target_id)):
        new = first if first.instant not in occupied else _beside(first, occupied, queue, zones)
        occupied.add(new.instant)
        if new.instant != each.at:
            found[each.target_id] = new
    return found


def _resolved(saved: SavedTime, zones: TimeZones) -> ScheduledTime | None:
    """Return when a wall time is by these zones; None where none is known. Raises ScheduleError for an unknown zone."""
    if saved.local_time is None or saved.zone is None:
        return None
    return resolve(datetime.fromisoformat(saved.local_time), saved.zone, zones)


def _beside(taken: ScheduledTime, occupied: Collection[datetime], queue: Queue, zones: TimeZones) -> ScheduledTime:
    try:
        return slots.next_free(queue, occupied, taken.instant, zones)
    except ScheduleError:
        wall = taken.wall + APART
        while (found := resolve(wall, taken.zone, zones)).instant in occupied:
            wall += APART
        return found


@dataclass(frozen=True, slots=True)
class ZoneChanges:
    """``pool`` is a worker's: it looks at all tenants."""

    pool: Pool
    zones: TimeZones

    async def sweep(self, stop: asyncio.Event) -> None:
        """Decide again what an earlier release decided, every minute, until told to stop."""
        await repeat(self._round, LOOK_SECONDS, stop=stop)

    async def _round(self) -> None:
        try:
            await self.drain()
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("zones.round_failed", error=describe(error))

    async def drain(self) -> int:
        """Decide again all that an earlier release decided, and return how many times moved.

        Nothing is moved in a database that was just restored, before whoever publishes has held back what was due
        there.
        """
        moved = 0
        while True:
            async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
                if not await restore_store.is_known(connection):
                    return moved
                units = await zone_change_store.behind(connection, self.zones.release, BATCH)
                repeating = await zone_change_store.recurrences_behind(connection, self.zones.release, BATCH)
            done = 0
            for unit in units:
                try:
                    moved += await self._decide(unit)
                    done += 1
                except Exception as error:  # noqa: BLE001  one tenant's trouble is not the others'
                    log.warning("zones.failed", post=unit.post_id, of=unit.connection_id, error=describe(error))
            for tenant, id_ in repeating:
                try:
                    moved += await self._decide_recurrence(tenant, id_)
                    done += 1
                except Exception as error:  # noqa: BLE001  as above
                    log.warning("zones.failed", recurrence=id_, error=describe(error))
            if not done or max(len(units), len(repeating)) < BATCH:
                return moved

    async def _decide(self, unit: Behind) -> int:
        """Decide the times of one post, or of the slots of one account, and return how many moved."""
        async with tenant_transaction(self.pool, unit.tenant) as connection:
            if unit.connection_id is not None:
                await queue_store.lock(connection, [unit.connection_id])
            times = await zone_change_store.lock(connection, unit, self.zones.release)
            if unit.connection_id is None:
                found = self._new_times(times)
            else:
                found = await self._new_slots(connection, unit.connection_id, times)
            moving = {new.target_id for new in found}
            staying = [each.target_id for each in times if each.target_id not in moving]
            await zone_change_store.decided(connection, staying, self.zones.release)
            await self._store(connection, unit.tenant, found)
            faultpoint("zones.stored")
        return len(found)

    def _new_times(self, times: Sequence[SavedTime]) -> list[NewTime]:
        try:
            new = moved_post(times, self.zones)
        except ScheduleError as error:
            log.warning("zones.unknown", post=times[0].post_id, zone=times[0].zone, error=error.message)
            return []
        return [] if new is None else [_new(each, new, slot=False) for each in times if each.planned]

    async def _new_slots(
        self, connection: asyncpg.Connection, connection_id: str, times: Sequence[SavedTime]
    ) -> list[NewTime]:
        held = await zone_change_store.other_slots(connection, connection_id, [each.target_id for each in times])
        queue = await queue_store.queue(connection, connection_id)
        found = moved_slots(times, held, queue, self.zones)
        return [_new(each, found[each.target_id], slot=True) for each in times if each.target_id in found]

    async def _store(self, connection: asyncpg.Connection, tenant: str, found: Sequence[NewTime]) -> None:
        """Move targets, and say so in the audit log and in the log of this process."""
        await zone_change_store.give_back(connection, [new.target_id for new in found if new.slot])
        posts: dict[str, NewTime] = {}
        for new in found:
            if not new.slot and new.post_id not in posts:
                await zone_change_store.move_post(connection, new.post_id, new.at)
            posts.setdefault(new.post_id, new)
            await zone_change_store.move(connection, new, self.zones.release)
        for post_id, new in posts.items():
            if new.slot:
                await zone_change_store.move_to_first_slot(connection, post_id)
            detail = {"zone": new.zone, "tzdata": self.zones.release, "before": _text(new.before), "at": _text(new.at)}
            await audit(connection, tenant, WORKER, "post.time_moved", post_id, **detail)
            log.info("zones.moved", post=post_id, **detail)

    async def _decide_recurrence(self, tenant: str, id_: str) -> int:
        """Decide when the next post of what repeats is due; return 1 where that moved."""
        async with tenant_transaction(self.pool, tenant) as connection:
            stored = await recurrence_store.lock(connection, id_)
            if stored is None or stored.state != RecurrenceState.ACTIVE:
                return 0
            now, next_at, due_at = await post_store.clock(connection), None, None
            try:
                occurrences = recurrence_of(stored, self.zones).occurrences
            except ScheduleError as error:  # the sweep that makes its posts says so beside it
                log.warning("zones.unknown", recurrence=id_, zone=stored.zone, error=error.message)
                occurrences = ()
            made = [(each.number, each.time.instant) for each in occurrences if each.number <= stored.handled]
            await zone_change_store.move_occurrences(connection, id_, stored.revision, made)
            left = [each for each in occurrences if each.number > stored.handled]
            following = next((each.time.instant for each in left if each.time.instant > stored.armed_at), None)
            moved = following is not None and following != stored.next_at
            if moved and following is not None:
                next_at = following
                due_at = None if stored.trouble else max(following - AHEAD, now)
                detail = {"tzdata": self.zones.release, "before": _text(stored.next_at), "at": _text(following)}
                await audit(connection, tenant, WORKER, "recurrence.time_moved", id_, zone=stored.zone, **detail)
                log.info("zones.moved", recurrence=id_, zone=stored.zone, **detail)
            await zone_change_store.recurrence_decided(connection, id_, next_at, due_at, self.zones.release)
        return int(moved)


def _new(saved: SavedTime, time: ScheduledTime, *, slot: bool) -> NewTime:
    wall = local_time(time.wall)
    return NewTime(saved.target_id, saved.post_id, saved.at, time.instant, wall, time.zone, slot)


def _text(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()
