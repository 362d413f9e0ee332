"""Circuit breakers: a server that only fails is left alone for a while, and the others do not share its trouble."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ops.runtime.platform_protocol import Problem

FAILURES, OPEN_SECONDS = 5, 30.0
"""So many in a row, whoever's account it was about, and nobody asks for so long. What a platform refuses, or wants
less often, is no trouble of its own."""

MOST = 1000
"""Breakers that are kept: people may name as many servers as they like."""


@dataclass(slots=True)
class Breaker:
    """Stops asking a server that only fails, for a while; then one may try, for all."""

    failures: int = 0
    failed_at: float = 0.0
    tried: bool = False
    inside: int = 0
    in_use: bool = False

    def enter(self) -> bool:
        """Whether the caller is the one who tries; it must leave. Raises Problem for all others while it is open."""
        if self.failures < FAILURES:
            return False
        if self.tried or time.monotonic() - self.failed_at < OPEN_SECONDS:
            says = "The platform has been in trouble for some minutes and is given a rest; try again later."
            raise Problem("transient", says, "breaker")
        self.tried = True
        return True

    def note(self, *, failed: bool) -> None:
        self.failures = self.failures + 1 if failed else 0
        if failed:
            self.failed_at = time.monotonic()

    def leave(self) -> None:
        """Whatever came of it; who was stopped before there was an answer leaves the try to the next."""
        self.tried = False


class Breakers:
    """One for each instance of a platform that lately failed or is being asked; at most ``most`` beside those that
    cannot be spared: what is being asked, and what is open and has connected accounts.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Breaker] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: tuple[str, str]) -> Breaker:
        """That of a platform and an instance. Raises KeyError where nothing failed there."""
        return self._kept[key]

    def clear(self) -> None:
        """Forget every failure."""
        self._kept.clear()

    @contextmanager
    def asking(self, platform: str, instance: str, *, in_use: bool) -> Iterator[Breaker]:
        """The breaker, for as long as a server is being asked. ``in_use`` is whether it is for a connected account."""
        key = platform, instance
        breaker = self._kept.setdefault(key, Breaker())
        self._kept.move_to_end(key)
        breaker.inside += 1
        breaker.in_use |= in_use
        self._evict()
        try:
            yield breaker
        finally:
            breaker.inside -= 1
            if not breaker.inside and not breaker.failures and self._kept.get(key) is breaker:
                del self._kept[key]  # a new one says the same

    def _evict(self) -> None:
        """Forget the ones not asked for longest, first of servers that only were named."""
        while len(self._kept) > self._most:
            idle = [(key, breaker) for key, breaker in self._kept.items() if not breaker.inside]
            spared = next((key for key, breaker in idle if not breaker.in_use), None)
            if spared is None:
                spared = next((key for key, breaker in idle if breaker.failures < FAILURES), None)
            if spared is None:
                return
            del self._kept[spared]
