"""Circuit breakers: a server that only fails is not asked for a while, and does not affect the others."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ops.runtime.platform_protocol import PlatformError

FAILURES, OPEN_SECONDS = 5, 30.0
"""After so many failures in a row, of whatever accounts, the server is not asked for so long. Refusals and rate limits
are no failures."""

MOST = 1000
"""How many breakers are kept: people may name as many servers as they like."""


@dataclass(slots=True)
class Breaker:
    """Stops requests to a server that only fails; after a while one request probes it for all others."""

    failures: int = 0
    failed_at: float = 0.0
    probing: bool = False
    inside: int = 0
    in_use: bool = False

    def enter(self) -> bool:
        """Return whether the caller is the probe, which must leave. Raises PlatformError for the rest while open."""
        if self.failures < FAILURES:
            return False
        if self.probing or time.monotonic() - self.failed_at < OPEN_SECONDS:
            message = "The platform has been in trouble for some minutes and is given a rest; try again later."
            raise PlatformError("transient", message, "breaker")
        self.probing = True
        return True

    def note(self, *, failed: bool) -> None:
        self.failures = self.failures + 1 if failed else 0
        if failed:
            self.failed_at = time.monotonic()

    def leave(self) -> None:
        """End the probe, whatever its outcome; if it was cancelled before a response, the next request probes."""
        self.probing = False


class Breakers:
    """A breaker for each instance of a platform that lately failed or is being asked.

    At most ``most`` are kept, beside those of servers that are being asked or are open and have connected accounts.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], Breaker] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: tuple[str, str]) -> Breaker:
        """Return the breaker of a platform and an instance. Raises KeyError where nothing failed there."""
        return self._kept[key]

    def clear(self) -> None:
        """Forget every failure."""
        self._kept.clear()

    @contextmanager
    def asking(self, platform: str, instance: str, *, in_use: bool) -> Iterator[Breaker]:
        """Hold the breaker while a server is being asked. ``in_use`` is whether it is for a connected account."""
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
                del self._kept[key]  # a new one is equal to it

    def _evict(self) -> None:
        """Delete the breakers that were not used for longest, first those without connected accounts."""
        while len(self._kept) > self._most:
            idle = [(key, breaker) for key, breaker in self._kept.items() if not breaker.inside]
            spared = next((key for key, breaker in idle if not breaker.in_use), None)
            if spared is None:
                spared = next((key for key, breaker in idle if breaker.failures < FAILURES), None)
            if spared is None:
                return
            del self._kept[spared]
