"""Time that can be sped up or jumped, so that sixty days pass in a test."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any


class Clock:
    """Starts at ``at``, else at the real time, and runs as fast as it."""

    def __init__(self, at: float | None = None) -> None:
        self._base = time.time() if at is None else at
        self._since = time.monotonic()
        self._speed = 1.0
        self._moved = asyncio.Event()

    def __getstate__(self) -> dict[str, float]:
        return {"at": self.seconds(), "speed": self._speed}

    def __setstate__(self, state: dict[str, float]) -> None:
        # Time has passed while it lay in a file, and it only goes forward.
        self._base, self._speed = max(state["at"], time.time()), state["speed"]
        self._since = time.monotonic()
        self._moved = asyncio.Event()

    def seconds(self) -> float:
        """Seconds since 1970 here."""
        return self._base + (time.monotonic() - self._since) * self._speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def in_(self, **ahead: float) -> datetime:
        """A moment from now, as ``timedelta`` counts it."""
        return self.now() + timedelta(**ahead)

    def jump(self, seconds: float) -> None:
        """Forward, at once. Raises ValueError for the past: platforms do not go back."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        self._set(self.seconds() + seconds, self._speed)

    def run(self, speed: float) -> None:
        """So many seconds here for each real one. Raises ValueError below 0."""
        if speed < 0:
            raise ValueError("the clock only goes forward")
        self._set(self.seconds(), speed)

    def _set(self, base: float, speed: float) -> None:
        self._base, self._since, self._speed = base, time.monotonic(), speed
        self._moved.set()
        self._moved = asyncio.Event()

    def real(self, moment: float) -> float | None:
        """Real seconds until it is ``moment`` here, as long as nobody moves the clock; None for never."""
        left = max(0.0, moment - self.seconds())
        return left / self._speed if self._speed else None if left else 0.0

    def moved(self) -> Coroutine[Any, Any, Any]:
        """Wait until somebody moves the clock after this was called."""
        return self._moved.wait()

    async def until(self, moment: float) -> None:
        """Sleep until it is ``moment`` here, however the clock is moved meanwhile."""
        while moment > self.seconds():
            try:
                await asyncio.wait_for(self.moved(), self.real(moment))
            except TimeoutError:
                continue
