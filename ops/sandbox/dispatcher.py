"""How webhooks are sent: batched, delayed, duplicated, reordered, and retried until they are answered.

Nothing here touches the network. :meth:`WebhookDispatcher.due` returns what to send now, and
:meth:`WebhookDispatcher.answered` takes the result, so that a test can deliver as well as the server does.
"""

import heapq
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ops.sandbox.contract import Platform, PlatformEvent, Sandbox


class DeliveryPolicy(BaseModel):
    """How unreliable delivery is. Shares are of deliveries, from 0 to 1; seconds are by the sandbox's clock."""

    model_config = ConfigDict(extra="forbid")

    batch_seconds: float = Field(default=0.0, ge=0)
    """How long events wait for others to share a request."""
    duplicated: float = Field(default=0.0, ge=0, le=1)
    delayed: float = Field(default=0.0, ge=0, le=1)
    delay_seconds: float = Field(default=60.0, ge=0)
    """The longest delay; later deliveries overtake a delayed one."""
    regrouped: float = Field(default=0.0, ge=0, le=1)
    """Share of failed deliveries whose events are regrouped into other requests before the retry."""
    lost: float = Field(default=0.0, ge=0, le=1)
    """Share of deliveries that are never sent."""
    forged: float = Field(default=0.0, ge=0, le=1)
    """Share of deliveries that are accompanied by one with a wrong signature and invented content."""


@dataclass
class Delivery:
    """One request. ``forged`` ones are not the platform's, and are not retried."""

    platform: str
    url: str
    stream: str
    body: bytes
    headers: Mapping[str, str]
    events: tuple[PlatformEvent, ...]
    attempt: int = 1
    first: float = 0.0
    forged: bool = False


@dataclass(order=True)
class PendingDelivery:
    due: float
    number: int
    platform: str = field(compare=False)
    events: tuple[PlatformEvent, ...] = field(compare=False)
    attempt: int = field(compare=False, default=1)
    first: float = field(compare=False, default=0.0)
    copy: bool = field(compare=False, default=False)


class WebhookDispatcher:
    """Takes the platforms' events and returns requests. At most ``capacity`` wait; beyond it the oldest are dropped."""

    def __init__(self, sandbox: Sandbox, platforms: Mapping[str, Platform], capacity: int) -> None:
        self._sandbox = sandbox
        self._platforms = platforms
        self._capacity = capacity
        self._number = 0
        self._gathered: dict[str, list[PlatformEvent]] = {}
        self._since: dict[str, float] = {}
        self._waiting: list[PendingDelivery] = []
        self._unanswered: list[Delivery] = []
        self.delivery_policy = DeliveryPolicy()
        self.dropped = 0
        """Deliveries that were given up, or had no callback address."""
        self.answers: Counter[int | None] = Counter()
        """Number of deliveries by the status of their answer; None: no answer."""
        self.outages: dict[str, float] = {}
        """Until when each platform sends nothing, in seconds since 1970."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        # Nobody will answer what was sent before the simulation was saved: send it again.
        for delivery in list(self._unanswered):
            self.answered(delivery, None)

    def __len__(self) -> int:
        """Return the number of events and requests that are queued, or sent and not answered."""
        return (
            len(self._unanswered)
            + len(self._waiting)
            + sum(map(len, self._gathered.values()))
            + len(self._sandbox.outbox)
        )

    def next_due(self) -> float | None:
        """Return when something is due next, in seconds since 1970; None if nothing is queued."""
        self._take()
        moments = [since + self.delivery_policy.batch_seconds for since in self._since.values()]
        if self._waiting:
            moments.append(self._waiting[0].due)
        return min(moments, default=None)

    def due(self) -> list[Delivery]:
        """Return the deliveries to send now."""
        now = self._sandbox.clock.seconds()
        self._take()
        for name, since in list(self._since.items()):
            if since + self.delivery_policy.batch_seconds <= now:
                del self._since[name]
                self._cut(name, self._gathered.pop(name))
        ready: list[Delivery] = []
        while self._waiting and self._waiting[0].due <= now:
            waiting = heapq.heappop(self._waiting)
            silent = self.outages.get(waiting.platform, 0)
            if silent > now:
                self._wait(replace(waiting, due=silent))
                continue
            ready += self._written(waiting)
        self._unanswered += ready
        return ready

    def answered(self, delivery: Delivery, status: int | None) -> None:
        """Record the answer to a delivery (None: no answer), and schedule its retry if it needs one."""
        self._unanswered.remove(delivery)
        self.answers[status] += 1
        platform = self._platforms[delivery.platform]
        if delivery.forged or platform.ends_delivery(status):
            return
        if delivery.attempt > len(platform.retry_seconds):
            self.dropped += 1
            return
        due = self._sandbox.clock.seconds() + platform.retry_seconds[delivery.attempt - 1]
        cuts = [delivery.events]
        if len(delivery.events) > 1 and self._happens(self.delivery_policy.regrouped):
            at = self._sandbox.rng.randrange(1, len(delivery.events))
            cuts = [delivery.events[:at], delivery.events[at:]]
        for events in cuts:
            self._wait(PendingDelivery(due, 0, delivery.platform, events, delivery.attempt + 1, delivery.first))

    def send(self, event: PlatformEvent) -> None:
        """Deliver an event now, ahead of everything that is queued."""
        self._take()
        self._wait(PendingDelivery(self._sandbox.clock.seconds(), 0, event.platform, (self._numbered(event),)))

    def _take(self) -> None:
        now = self._sandbox.clock.seconds()
        for event in self._sandbox.outbox:
            self._gathered.setdefault(event.platform, []).append(self._numbered(event))
            self._since.setdefault(event.platform, now)
        self._sandbox.outbox.clear()

    def _numbered(self, event: PlatformEvent) -> PlatformEvent:
        self._number += 1
        return replace(event, number=self._number)

    def _cut(self, name: str, events: list[PlatformEvent]) -> None:
        """Group events into requests of the platform's batch size, each sent now or delayed."""
        platform, now = self._platforms[name], self._sandbox.clock.seconds()
        groups: dict[Any, list[PlatformEvent]] = {}
        for event in events:
            groups.setdefault(platform.batch_key(event), []).append(event)
        for group in groups.values():
            for start in range(0, len(group), platform.batch):
                part = tuple(group[start : start + platform.batch])
                if self._happens(self.delivery_policy.lost):
                    self.dropped += 1
                    continue
                late = self._happens(self.delivery_policy.delayed)
                delay = self._sandbox.rng.uniform(0, self.delivery_policy.delay_seconds) if late else 0.0
                self._wait(PendingDelivery(now + delay, 0, name, part))
                if self._happens(self.delivery_policy.duplicated):
                    again = self._sandbox.rng.uniform(0, self.delivery_policy.delay_seconds)
                    self._wait(PendingDelivery(now + again, 0, name, part, copy=True))

    def _wait(self, waiting: PendingDelivery) -> None:
        self._number += 1
        heapq.heappush(self._waiting, replace(waiting, number=self._number))
        if len(self._waiting) > self._capacity:
            heapq.heappop(self._waiting)
            self.dropped += 1

    def _written(self, waiting: PendingDelivery) -> list[Delivery]:
        platform = self._platforms[waiting.platform]
        stream = platform.stream(waiting.events[0])
        url = platform.callbacks.get(stream)
        if url is None or platform.is_paused(stream):
            self.dropped += 1
            return []
        now = time.time()  # receivers compare a signature's time with the real one
        first = waiting.first or now
        body = platform.body(waiting.events)
        headers = platform.signature(body, platform.signing_secret, first, now)
        genuine = Delivery(
            waiting.platform, url, stream, body, headers, waiting.events, waiting.attempt, first, forged=False
        )
        if waiting.copy or not self._happens(self.delivery_policy.forged):
            return [genuine]
        return [genuine, self._forgery(genuine, now)]

    def _forgery(self, model: Delivery, now: float) -> Delivery:
        platform = self._platforms[model.platform]
        body = model.body.replace(b"1", b"7")  # ids that do not exist
        headers = platform.signature(body, "not the secret", now, now)
        return replace(model, body=body, headers=headers, forged=True)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._sandbox.rng.random() < share
