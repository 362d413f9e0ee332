"""Wait between rounds of a loop and between tries: the one place for intervals, back-offs and jitter.

``stamina`` was looked at. It retries one call; most of what waits here is a loop without an end, whose waits a stop
event cuts short and a success resets, or a retry whose time is kept in PostgreSQL. By default it also logs the text of
every exception, which may hold a secret.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

Chance = Callable[[], float]
"""Returns a random number from 0 to 1."""


async def stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait ``seconds``, or until ``stop`` is set. Return whether it is."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


async def stopped_or_woken(stop: asyncio.Event, woken: asyncio.Event, seconds: float) -> bool:
    """Wait ``seconds``, or until one of the events is set; ``woken`` is cleared. Return whether ``stop`` is set."""
    waiting = [asyncio.create_task(event.wait()) for event in (stop, woken)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    woken.clear()
    return stop.is_set()


async def repeat(
    work: Callable[[], Awaitable[object]],
    seconds: float,
    *,
    first: float = 0.0,
    stop: asyncio.Event | None = None,
) -> None:
    """Run ``work`` with a wait of ``seconds`` after each run, until ``stop`` is set or the task is cancelled.

    ``first`` is the wait before the first run. What ``work`` raises ends the loop.
    """
    stop = stop or asyncio.Event()
    if first and await stopped(stop, first):
        return
    while not stop.is_set():
        await work()
        await stopped(stop, seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait after each failure in a row, in seconds; the last delay counts for all later failures.

    Each delay is shortened by up to ``jitter``, a share of it from 0 to 1, so that what failed together is not tried
    together again.
    """

    delays: tuple[float, ...]
    jitter: float = 0.25

    @classmethod
    def exponential(cls, first: float, longest: float, *, factor: float = 2.0, jitter: float = 0.25) -> Self:
        """Multiply the delay by ``factor`` with each failure, up to ``longest``."""
        delays = [first]
        while delays[-1] < longest:
            delays.append(min(delays[-1] * factor, longest))
        return cls(tuple(delays), jitter)

    def delay(self, failures: int, *, least: float = 0.0, chance: Chance = random.random) -> float:
        """Return the seconds to wait after ``failures`` failures in a row, 1 or more.

        It is never below ``least``, which is what the other side asks for.
        """
        return max(least, self.delays[min(failures, len(self.delays)) - 1] * self.share(chance))

    def share(self, chance: Chance = random.random) -> float:
        """Return the share of a delay to wait, for SQL that counts the failures itself and chooses from ``delays``."""
        return 1.0 - self.jitter * chance()
