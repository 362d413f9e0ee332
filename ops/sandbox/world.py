"""All that a sandbox knows, in one piece that can be thrown away, kept, and put back."""

import pickle
import random

import ops.sandbox.platforms
from ops.runtime.discovery import discover
from ops.sandbox.clock import Clock
from ops.sandbox.contract import Platform, Sandbox
from ops.sandbox.faults import Script
from ops.sandbox.ledger import Ledger
from ops.sandbox.office import Office

CATCH_UP = 1000
"""Things that happen at once at most, when the clock has jumped; the rest of the time nobody did anything."""


class World:
    """Same seed, same world. ``ring`` is how many calls and webhooks the ledger remembers, ``room`` how many things."""

    def __init__(self, seed: int, clock: Clock, ring: int = 10_000, room: int = 10_000) -> None:
        self.seed = seed
        self.clock = clock
        self.ledger = Ledger(ring)
        self.script = Script()
        chance = random.Random(seed)  # noqa: S311  a world, not a secret
        self.sandbox = Sandbox(clock, self.ledger, chance, room)
        self.platforms: dict[str, Platform] = {
            name: kind(self.sandbox) for name, kind in discover(ops.sandbox.platforms, type).items()
        }
        self.office = Office(self.sandbox, self.platforms, room)
        self.pace = 0.0
        """Things that happen in a second, on all platforms together."""
        self.lively = list(self.platforms)
        """The platforms where they happen."""
        self._lived = clock.seconds()

    def step(self) -> None:
        """Let one thing happen somewhere."""
        self.platforms[self.sandbox.chance.choice(self.lively)].live()

    def live(self) -> None:
        """Let happen what is due by the clock and the pace."""
        now = self.clock.seconds()
        due = int((now - self._lived) * self.pace)
        if due:
            self._lived = now if due > CATCH_UP else self._lived + due / self.pace
        for _ in range(min(due, CATCH_UP)):
            self.step()

    def hurry(self, pace: float) -> None:
        """Live at this pace from now on."""
        self.pace, self._lived = pace, self.clock.seconds()

    def moment(self) -> float | None:
        """When there is something to do next, in seconds since 1970; None while there is nothing."""
        moments = [self.office.moment(), self._lived + 1 / self.pace if self.pace else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def save(self) -> bytes:
        return pickle.dumps(self)

    @classmethod
    def load(cls, state: bytes) -> "World":
        """A world that :meth:`save` wrote. Never give it bytes of anybody else: a pickle can run code."""
        world = pickle.loads(state)  # noqa: S301
        if not isinstance(world, cls):
            raise TypeError("this is no world")
        return world
