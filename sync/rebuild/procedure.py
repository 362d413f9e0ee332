"""Proving that the tables are what the log says, and making them so.

Both are safe at any moment and may be killed at any moment: what they prepare is seen by nobody else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from ops.runtime.faultpoint import faultpoint
from sync.projection.contract import Projection
from sync.rebuild.shadow import KEPT, Shadow
from sync.rebuild.store import Collision, Difference, Failed, Position

Progress = Callable[[int, int], None]
"""Called with how many events have been folded, of how many."""

FEW_EVENTS = 1000
"""So many may be left to fold while everything waits."""

ROUNDS = 20
"""Over what traffic adds meanwhile; more would mean that it comes faster than it can be folded."""


class WouldLoseError(Exception):
    """Rows would vanish, because this release cannot project events that an older one could."""

    def __init__(self, failed: list[Failed]) -> None:
        super().__init__(f"{len(failed)} events cannot be projected by this release")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``resumed`` and ``queued`` count events: folded by an interrupted run before, and queued anew.

    ``collisions`` are looked for by ``verify`` alone.
    """

    differences: list[Difference]
    failed: list[Failed]
    resumed: int = 0
    queued: int = 0
    collisions: Sequence[Collision] = ()

    @property
    def kept(self) -> int:
        """Rows of which retention dropped events: they were neither compared nor changed."""
        return sum(difference.kept for difference in self.differences)

    @property
    def drift(self) -> int:
        """Rows that are not what the log says."""
        return sum(difference.drift for difference in self.differences)


async def verify(connection: asyncpg.Connection, projections: Mapping[str, Projection], progress: Progress) -> Report:
    """Compare the live tables with a fold of the log, at one instant, and look for ids that collide; change nothing."""
    shadow = Shadow(connection, projections, list(projections))
    await shadow.open()
    await _catch_up(shadow, 0, progress)
    await shadow.analyze()
    # Effects and progress commit together, so one snapshot shows tables and the events that made them.
    async with connection.transaction(isolation="repeatable_read"):
        await shadow.fold_rest()
        return Report(await shadow.compare(), await shadow.failed(), collisions=await shadow.collisions())


async def rebuild(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    platforms: Sequence[str],
    progress: Progress,
    *,
    lose_failed: bool = False,
) -> Report:
    """Make the live tables of ``platforms`` what the log says, in one transaction; readers see old or new.

    The connection's role must own the tables. Raises BusyError, WouldLoseError. Interrupted, it goes on where it was.
    """
    shadow = Shadow(connection, projections, platforms, KEPT)
    resumed = await shadow.open()
    faultpoint("rebuild.opened")
    await _catch_up(shadow, resumed, progress)
    await shadow.analyze()
    async with connection.transaction():
        await shadow.hold_all_buckets()
        faultpoint("rebuild.held")
        await shadow.fold_rest()
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


async def _catch_up(shadow: Shadow, folded: int, progress: Progress) -> None:
    """Fold until few events are left, however many arrive meanwhile."""
    for _ in range(ROUNDS):
        waiting = await shadow.waiting()
        total = folded + waiting
        progress(folded, total)
        if waiting <= FEW_EVENTS:
            return
        after: Position | None = None
        while True:
            count, after = await shadow.fold(after)
            folded += count
            progress(folded, max(folded, total))
            if after is None:
                break
