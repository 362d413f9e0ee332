"""Show and set the queue of an account: the times of the week at which it publishes what takes its next free slot."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time

from ops.access.audit_log_store import Actor, audit
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store, queue_store
from publish.posting.errors import PostError
from publish.posting.posts import Posts
from publish.posting.requests import QueueBody
from publish.schedule.errors import ScheduleError
from publish.schedule.slots import Queue, Slot, free_times
from publish.schedule.wall_time import ScheduledTime

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""As RFC 5545 names them, in the order in which slots count them."""
FREE_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AccountQueue:
    """The queue of an account, and its next free times."""

    connection: str
    queue: Queue
    free: Sequence[ScheduledTime]


@dataclass(frozen=True, slots=True)
class Queues:
    posts: Posts

    async def show(self, tenant: str, connection_id: str) -> AccountQueue:
        """Raises PostError where there is no such connection."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if not await post_store.accounts(connection, [connection_id]):
                raise _no_connection()
            queue = await queue_store.queue(connection, connection_id)
            now = await post_store.clock(connection)
            taken = await queue_store.taken(connection, connection_id, now)
        try:
            free = list(itertools.islice(free_times(queue, taken, now, self.posts.zones), FREE_SHOWN))
        except ScheduleError:  # a zone that this edition of the database has no more
            free = []
        return AccountQueue(connection_id, queue, free)

    async def all(self, tenant: str) -> Mapping[str, Queue]:
        """Return the queues of all accounts that have slots, by connection."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await queue_store.queues(connection)

    async def set(self, tenant: str, actor: Actor, connection_id: str, body: QueueBody) -> AccountQueue:
        """Set the slots in place of those that there are; what took one stays where it is. Raises PostError."""
        try:
            self.posts.zones.zone(body.timezone)
            slots = [Slot(WEEKDAYS.index(each.weekday), time.fromisoformat(each.time)) for each in body.slots]
            queue = Queue(frozenset(slots), body.timezone)
        except ScheduleError as error:
            raise PostError("unprocessable", f"{error.message[:1].upper()}{error.message[1:]}.", error.remedy) from None
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if not await post_store.accounts(connection, [connection_id]):
                raise _no_connection()
            await queue_store.lock(connection, [connection_id])
            before = await queue_store.queue(connection, connection_id)
            if before != queue:
                await queue_store.replace(connection, tenant, connection_id, queue)
                count, zone = len(queue.slots), queue.zone
                await audit(connection, tenant, actor, "connection.queue_set", connection_id, slots=count, zone=zone)
        return await self.show(tenant, connection_id)


def slot_of(text: str) -> dict[str, str]:
    """Read a slot that is written as MO/09:00. Raises PostError."""
    weekday, _, wall = text.partition("/")
    if weekday.upper() not in WEEKDAYS or not wall:
        message = f"{text[:40]!r} is no slot."
        remedy = f"write each as MO/09:00, with one of {', '.join(WEEKDAYS)}"
        raise PostError("invalid_request", message, remedy, status=400)
    return {"weekday": weekday.upper(), "time": wall}


def written(queue: Queue) -> str:
    """Write the slots of a queue as :func:`slot_of` reads them."""
    return " ".join(f"{WEEKDAYS[slot.weekday]}/{slot.wall:%H:%M}" for slot in sorted(queue.slots))


def _no_connection() -> PostError:
    message = "There is no such connection."
    return PostError("not_found", message, "take its id from GET /api/connections", status=404)
