"""How many items go into one transaction, so that one that runs into a time-out is not tried again as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

TIMED_OUT = (TimeoutError, asyncpg.QueryCanceledError)
"""What a statement raises that took too long: ours gave up first, or the server's ``statement_timeout``."""


@dataclass(slots=True)
class Attempt:
    """``taken`` is how many items it turned out to hold, where there were fewer than ``size``."""

    size: int
    taken: int


class BatchSize:
    """At most ``most``: half of what was taken after each time-out, down to one, and an eighth more after a success.

    Otherwise the same batch would be taken, and time out, again and again, and everything behind it would wait.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = most

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Give the size for one transaction, and learn from how it ends."""
        attempt = Attempt(self.now, self.now)
        try:
            yield attempt
        except TIMED_OUT:
            self.now = max(1, min(attempt.taken, self.now) // 2)
            raise
        self.now = min(self.most, self.now + max(1, self.now // 8))
