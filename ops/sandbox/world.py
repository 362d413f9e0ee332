"""All that a sandbox knows, in one piece that can be thrown away, kept, and put back."""

import pickle
import random
from collections.abc import Iterator

import ops.sandbox.platforms
from ops.runtime.discovery import discover
from ops.sandbox.clock import Clock
from ops.sandbox.contract import Platform, Sandbox
from ops.sandbox.dispatcher import Office, Shipment
from ops.sandbox.faults import Script
from ops.sandbox.ledger import Ledger
from ops.sandbox.state import opened, sealed

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

    def renewed(self, ring: int, room: int) -> "World":
        """A new world with the settings of this one: what was entered in portals, manners and pace.

        Its seed is another one: the same ids with other words would be two things of one name to whoever listens.
        """
        world = World(self.seed + 1, self.clock, ring, room)
        for name, platform in world.platforms.items():
            platform.take_settings(self.platforms[name])
        world.office.manners, world.lively = self.office.manners, list(self.lively)
        world.hurry(self.pace)
        return world

    def step(self) -> None:
        """Let one thing happen somewhere."""
        self.platforms[self.sandbox.chance.choice(self.lively)].live()

    def live(self) -> None:
        """Let happen what is due by the clock and the pace."""
        for platform in self.platforms.values():
            platform.advance()
        now = self.clock.seconds()
        due = int((now - self._lived) * self.pace)
        if due:
            self._lived = now if due > CATCH_UP else self._lived + due / self.pace
        for _ in range(min(due, CATCH_UP)):
            self.step()

    def hurry(self, pace: float) -> None:
        """Live at this pace from now on."""
        self.pace, self._lived = pace, self.clock.seconds()

    def mail(self, steps: int) -> Iterator[Shipment]:
        """All that is sent while ``steps`` things happen, a second apart, and after them, with no network about it."""
        for name in self.lively:
            self.platforms[name].callbacks = dict.fromkeys(self.platforms[name].streams, "")
            self.platforms[name].subscribe_all()
        for _ in range(steps):
            self.step()
            self.clock.jump(1)
            self.live()
            yield from self._answered()
        while (moment := self.moment()) is not None:
            self.clock.jump(max(0.0, moment - self.clock.seconds()))
            self.live()
            yield from self._answered()

    def _answered(self) -> Iterator[Shipment]:
        for shipment in self.office.due():
            self.office.answered(shipment, 200)
            yield shipment

    def moment(self) -> float | None:
        """When there is something to do next, in seconds since 1970; None while there is nothing."""
        moments = [self.office.moment(), *(platform.moment() for platform in self.platforms.values())]
        if self.pace:
            moments.append(self._lived + 1 / self.pace)
        return min((moment for moment in moments if moment is not None), default=None)

    def save(self) -> bytes:
        return sealed(pickle.dumps(self))

    @classmethod
    def load(cls, content: bytes) -> "World":
        """A world that :meth:`save` wrote. Never give it bytes of anybody else: a pickle can run code.

        Raises UnreadableStateError.
        """
        world: World = pickle.loads(opened(content))  # noqa: S301
        return world
