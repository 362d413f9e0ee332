"""Proving that the tables are what the log says, and making them so.

Both are safe at any moment and may be killed at any moment: what they prepare is seen by nobody else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import asyncpg

from ops.runtime.faultpoint import faultpoint
from sync.projection.contract import Projection
from sync.rebuild import store, verification
from sync.rebuild.processes import EVERYTHING, Job, Processes, work
from sync.rebuild.shadow import Shadow
from sync.rebuild.store import Collision, Difference, Failed
from sync.rebuild.verification import Found

Progress = Callable[[int, int], None]
"""Called with how many events have been folded, of how many."""

FEW_EVENTS = 1000
"""So many may be left to fold while everything waits."""

ROUNDS = 20
"""Over what traffic adds meanwhile; more would mean that it comes faster than it can be folded."""


LONGEST_TRANSACTION = timedelta(minutes=10)
"""No projection takes as long: PostgreSQL ends each of its statements after 30 seconds, and there are some ten."""


class WouldLoseError(Exception):
    """Rows would vanish, because this release cannot project events that an older one could."""

    def __init__(self, failed: list[Failed]) -> None:
        super().__init__(f"{len(failed)} events cannot be projected by this release")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``resumed`` and ``queued`` count events: folded by an interrupted run before, and queued anew.

    ``collisions`` are looked for by ``verify`` alone. ``since`` is set where only rows were compared that events were
    about which were settled since then.
    """

    differences: list[Difference]
    failed: list[Failed]
    resumed: int = 0
    queued: int = 0
    collisions: Sequence[Collision] = ()
    since: datetime | None = None

    @property
    def kept(self) -> int:
        """Rows of which retention dropped events: they were neither compared nor changed."""
        return sum(difference.kept for difference in self.differences)

    @property
    def drift(self) -> int:
        """Rows that are not what the log says."""
        return sum(difference.drift for difference in self.differences)


async def verify(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    progress: Progress,
    *,
    processes: Processes | None = None,
    distributed: bool = False,
) -> Report:
    """Compare the live tables with a fold of the log, each account at one instant, and look for ids that collide.

    Changes nothing. ``distributed``: Citus distributes the tables. Raises ProcessEndedError.
    """
    job = partial(verification.verify, distributed=distributed)
    found = await _compare(connection, projections, progress, job, None, processes)
    differences, failed = verification.total(found, list(projections))
    async with connection.transaction(readonly=True):
        return Report(differences, failed, collisions=await store.collisions(connection))


async def verify_changed(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    since: datetime,
    progress: Progress,
    *,
    processes: Processes | None = None,
    distributed: bool = False,
) -> Report:
    """Compare the rows that events were about which were settled since then; that takes as long as these are many.

    ``since`` is when a verification began that found all as the log says. A row that was changed or made without an
    event is not looked at, nor are ids. Changes nothing. Raises ProcessEndedError.
    """
    # An event is settled as of when its transaction began, which may have committed after that verification looked.
    since -= LONGEST_TRANSACTION
    job = partial(verification.verify_changed, since, distributed=distributed)
    found = await _compare(connection, projections, progress, job, since, processes)
    differences, failed = verification.total(found, list(projections))
    return Report(differences, failed, since=since)


async def _compare(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    progress: Progress,
    job: Job,
    since: datetime | None,
    processes: Processes | None,
) -> list[Found]:
    events = await store.count_done(connection, since)
    counted = _Counted(progress, 0, sum(events.values()))
    found: list[Found] = []

    def emit(said: object) -> None:
        if isinstance(said, Found):
            found.append(said)
        else:
            counted.add(said)

    await work(connection, projections, events, job, emit, processes)
    return found


async def rebuild(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    platforms: Sequence[str],
    progress: Progress,
    *,
    lose_failed: bool = False,
    processes: Processes | None = None,
    distributed: bool = False,
) -> Report:
    """Make the live tables of ``platforms`` what the log says, in one transaction; readers see old or new.

    The connection's role must own the tables, which Citus distributes where ``distributed``. Interrupted, it goes on
    where it was. Raises BusyError, WouldLoseError, ProcessEndedError.
    """
    shadow = Shadow(connection, projections, platforms, distributed=distributed)
    resumed = await shadow.open()
    faultpoint("rebuild.opened")
    await _catch_up(shadow, resumed, progress, processes)
    await shadow.analyze()
    async with connection.transaction():
        await shadow.hold_all_buckets()
        faultpoint("rebuild.held")
        await shadow.fold(EVERYTHING)
        faultpoint("rebuild.folded")
        failed = await shadow.failed()
        if failed and not lose_failed:
            raise WouldLoseError(failed)
        differences = await shadow.compare()
        await shadow.merge()
        queued = await shadow.settle_versions()
        faultpoint("rebuild.merged")
    faultpoint("rebuild.committed")
    await shadow.drop()
    return Report(differences, failed, resumed, queued)


async def _catch_up(shadow: Shadow, folded: int, progress: Progress, processes: Processes | None) -> None:
    """Fold until few events are left, however many arrive meanwhile."""
    counted = _Counted(progress, folded, folded)
    for _ in range(ROUNDS):
        waiting = await shadow.waiting()
        if counted.expect(sum(waiting.values())) <= FEW_EVENTS:
            return
        await shadow.fold_all(waiting, counted.add, processes)


class _Counted:
    """How many events have been read, of how many."""

    def __init__(self, progress: Progress, read: int, total: int) -> None:
        self._progress = progress
        self._read = read
        self._total = total

    def expect(self, events: int) -> int:
        """Say that so many more are to be read, and return them."""
        self._total = self._read + events
        self._progress(self._read, self._total)
        return events

    def add(self, events: object) -> None:
        self._read += cast("int", events)
        self._progress(self._read, max(self._read, self._total))
