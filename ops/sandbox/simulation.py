"""The whole state of a sandbox, in one object that can be reset, saved and restored."""

import contextlib
import heapq
import pickle
import random
from collections.abc import Iterator

import ops.sandbox.platforms
from ops.runtime.discovery import discover
from ops.sandbox.clock import Clock
from ops.sandbox.contract import CommandError, Platform, Sandbox
from ops.sandbox.dispatcher import Delivery, WebhookDispatcher
from ops.sandbox.faults import FaultSchedule
from ops.sandbox.ledger import Ledger
from ops.sandbox.state import seal_state, unseal_state

CATCH_UP = 1000
"""At most this many actions are simulated at once after the clock has jumped."""


class Simulation:
    """The same seed makes the same simulation.

    ``ring`` is how many calls and webhooks the ledger keeps, ``capacity`` how many objects each platform keeps.
    """

    def __init__(self, seed: int, clock: Clock, ring: int = 10_000, capacity: int = 10_000) -> None:
        self.seed = seed
        self.clock = clock
        self.ledger = Ledger(ring)
        self.faults = FaultSchedule()
        rng = random.Random(seed)  # noqa: S311  made-up data, not a secret
        self.sandbox = Sandbox(clock, self.ledger, rng, capacity)
        self.platforms: dict[str, Platform] = {
            name: kind(self.sandbox) for name, kind in discover(ops.sandbox.platforms, type).items()
        }
        self.dispatcher = WebhookDispatcher(self.sandbox, self.platforms, capacity)
        self.pace = 0.0
        """Simulated actions per second, over all active platforms."""
        self.active = list(self.platforms)
        """Names of the platforms on which actions are simulated."""
        self._lived = clock.seconds()

    def restarted(self, ring: int, capacity: int) -> "Simulation":
        """Return a new simulation with the settings of this one: portal settings, delivery policy and pace.

        Its seed is the next one, so that no id is used for two different objects.
        """
        simulation = Simulation(self.seed + 1, self.clock, ring, capacity)
        for name, platform in simulation.platforms.items():
            platform.copy_settings(self.platforms[name])
        simulation.dispatcher.delivery_policy, simulation.active = self.dispatcher.delivery_policy, list(self.active)
        simulation.set_pace(self.pace)
        return simulation

    def step(self) -> None:
        """Simulate one action on a random active platform."""
        self.platforms[self.sandbox.rng.choice(self.active)].simulate_activity()

    def vanish(self) -> None:
        """Remove the posts whose time has come, as a platform does that takes them down."""
        vanishing = self.sandbox.vanishing
        while vanishing and vanishing[0][0] <= self.clock.seconds():
            _, _, name, account, id_ = heapq.heappop(vanishing)
            platform = self.platforms[name]
            with contextlib.suppress(CommandError):  # it was deleted meanwhile
                platform.simulate_remove(account, id_)
                platform.record("change", action="vanish", account=account, id=id_, by="platform", endpoint=None)

    def catch_up(self) -> None:
        """Do what the platforms have to do by now."""
        self.vanish()
        for platform in self.platforms.values():
            platform.advance()

    def advance(self) -> None:
        """Do what is due by the clock and the pace."""
        self.catch_up()
        now = self.clock.seconds()
        due = int((now - self._lived) * self.pace)
        if due:
            self._lived = now if due > CATCH_UP else self._lived + due / self.pace
        for _ in range(min(due, CATCH_UP)):
            self.step()

    def set_pace(self, pace: float) -> None:
        """Simulate ``pace`` actions per second from now on."""
        self.pace, self._lived = pace, self.clock.seconds()

    def deliveries(self, steps: int) -> Iterator[Delivery]:
        """Simulate ``steps`` actions, a second apart, and yield all deliveries that follow, without a network."""
        for name in self.active:
            self.platforms[name].callbacks = dict.fromkeys(self.platforms[name].streams, "")
            self.platforms[name].subscribe_all()
        for _ in range(steps):
            self.step()
            self.clock.jump(1)
            self.advance()
            yield from self._answered()
        while (moment := self.next_due()) is not None:
            self.clock.jump(max(0.0, moment - self.clock.seconds()))
            self.advance()
            yield from self._answered()

    def _answered(self) -> Iterator[Delivery]:
        for delivery in self.dispatcher.due():
            self.dispatcher.answered(delivery, 200)
            yield delivery

    def next_due(self) -> float | None:
        """Return when something is due next, in seconds since 1970; None if nothing is."""
        moments = [self.dispatcher.next_due(), *(platform.next_due() for platform in self.platforms.values())]
        if self.sandbox.vanishing:
            moments.append(self.sandbox.vanishing[0][0])
        if self.pace:
            moments.append(self._lived + 1 / self.pace)
        return min((moment for moment in moments if moment is not None), default=None)

    def save(self) -> bytes:
        return seal_state(pickle.dumps(self))

    @classmethod
    def load(cls, content: bytes) -> "Simulation":
        """Load what :meth:`save` returned. Never give it bytes of anybody else: a pickle can run code.

        Raises UnreadableStateError.
        """
        simulation: Simulation = pickle.loads(unseal_state(content))  # noqa: S301
        return simulation
