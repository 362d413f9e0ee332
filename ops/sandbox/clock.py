"""A clock that can be sped up or moved forward, so that sixty days pass in a test."""

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any


class Clock:
    """Starts at ``at`` (Unix seconds), else at the real time, and runs at real speed."""

    def __init__(self, at: float | None = None) -> None:
        self._base = time.time() if at is None else at
        self._since = time.monotonic()
        self._speed = 1.0
        self._moved = asyncio.Event()

    def __getstate__(self) -> dict[str, float]:
        return {"at": self.seconds(), "speed": self._speed}

    def __setstate__(self, state: dict[str, float]) -> None:
        # Time has passed since the state was saved, and the clock only goes forward.
        self._base, self._speed = max(state["at"], time.time()), state["speed"]
        self._since = time.monotonic()
        self._moved = asyncio.Event()

    def seconds(self) -> float:
        """Return the Unix seconds of this clock."""
        return self._base + (time.monotonic() - self._since) * self._speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)

    def in_(self, **ahead: float) -> datetime:
        """Return a time from now, in ``timedelta`` units."""
        return self.now() + timedelta(**ahead)

    def jump(self, seconds: float) -> None:
        """Move forward at once. Raises ValueError for negative seconds."""
        if seconds < 0:
            raise ValueError("the clock only goes forward")
        self._set(self.seconds() + seconds, self._speed)

    def set_speed(self, speed: float) -> None:
        """Run at ``speed`` sandbox seconds per real second. Raises ValueError below 0."""
        if speed < 0:
            raise ValueError("the clock only goes forward")
        self._set(self.seconds(), speed)

    def _set(self, base: float, speed: float) -> None:
        self._base, self._since, self._speed = base, time.monotonic(), speed
        self._moved.set()
        self._moved = asyncio.Event()

    def real_seconds_until(self, moment: float) -> float | None:
        """Return the real seconds until ``moment``, if the clock is not moved; None for never."""
        left = max(0.0, moment - self.seconds())
        return left / self._speed if self._speed else None if left else 0.0

    def moved(self) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that ends when the clock is moved after this call."""
        return self._moved.wait()

    async def until(self, moment: float) -> None:
        """Sleep until ``moment``, even if the clock is moved meanwhile."""
        while moment > self.seconds():
            try:
                await asyncio.wait_for(self.moved(), self.real_seconds_until(moment))
            except TimeoutError:
                continue
