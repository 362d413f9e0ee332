"""Put events back to work or ignore them, and follow what becomes of them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from schema.event_states import ON_THE_QUEUE, PROCESSED, State
from sync.events import store
from sync.events.store import Filter, Outcome

FOLLOWED = 1000
"""Of more events than that, only the first are followed."""

POLL_SECONDS = 0.25


class ChoiceError(Exception):
    """It is not clear which events are meant, or why; the text says what to give."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of events that were put back.

    ``tried`` is how often each had failed by then. ``waiting`` are those that still wait: no worker is connected, or
    the time was up.
    """

    tried: Mapping[int, int]
    outcomes: Sequence[Outcome]
    waiting: Sequence[Outcome]
    worker_connected: bool

    def result(self, outcome: Outcome) -> str:
        """Return a word for what became of one: waiting, failed (and tried again), done, ignored, parked or dead."""
        if outcome.state not in ON_THE_QUEUE:
            return outcome.state
        return "failed" if outcome.retry_count > self.tried[outcome.id] else "waiting"

    @property
    def troubled(self) -> list[Outcome]:
        """Those that were worked on and did not come to an end."""
        return [o for o in self.outcomes if o not in self.waiting and o.state not in PROCESSED]


def required_choice(chosen: Filter) -> Filter:
    """Return which events to change: by id, or all that fit filters, parked ones unless a state is given.

    Raises ChoiceError where ids and filters are given, or neither: nobody changes every event by mistake.
    """
    if chosen.ids and chosen.any:
        raise ChoiceError("give event ids or filters, not both")
    if not chosen.ids and not chosen.any:
        raise ChoiceError("give event ids, or at least one filter, such as the state parked")
    return chosen if chosen.ids else replace(chosen, state=chosen.state or State.PARKED)


def required_reason(reason: str) -> str:
    """Return the reason. Raises ChoiceError for an empty one."""
    if not reason.strip():
        raise ChoiceError("a reason says why, for whoever looks at the event later; it is empty")
    return reason


async def retry(connection: asyncpg.Connection, chosen: Filter) -> dict[int, int]:
    """Put events back on the queue; those that wait already are left. Return how often each has failed, by its id."""
    return {changed.id: changed.retry_count for changed in await store.release(connection, required_choice(chosen))}


async def ignore(connection: asyncpg.Connection, chosen: Filter, reason: str) -> int:
    """Ignore parked and dead events, with a reason; the rest is left as it is. Return how many were ignored.

    Raises ChoiceError.
    """
    return len(await store.ignore(connection, required_choice(chosen), required_reason(reason)))


async def follow(connection: asyncpg.Connection, tried: Mapping[int, int], seconds: float) -> Followed:
    """Wait until each event has been worked on, for at most so many seconds and only while a worker runs.

    ``tried`` is what ``retry`` returned; the first ``FOLLOWED`` of them are followed.
    """
    tried = dict(sorted(tried.items())[:FOLLOWED])
    end = time.monotonic() + seconds
    while True:
        outcomes = await store.outcomes(connection, list(tried))
        waiting = [o for o in outcomes if o.state in ON_THE_QUEUE and o.retry_count == tried[o.id]]
        connected = not waiting or await store.worker_connected(connection)
        if not waiting or time.monotonic() >= end or not connected:
            return Followed(tried, outcomes, waiting, connected)
        await asyncio.sleep(POLL_SECONDS)
