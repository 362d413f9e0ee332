"""Sample what anybody can cause as often as they like: a few a second are logged or kept, the rest only counted."""

import time

PER_SECOND = 5


class Sampler:
    """Lets :data:`PER_SECOND` a second through and numbers them, so that a flood does not fill a disk."""

    def __init__(self) -> None:
        self.number = 0
        self._second = 0
        self._taken = 0

    def take(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        if self._taken > PER_SECOND:
            return False
        self.number += 1
        return True
