"""How webhooks leave: gathered into requests, late, twice, in another order, and again until they are answered.

Nothing here touches the network. :meth:`Office.due` says what to send now, :meth:`Office.answered` is told what came of
it, so that a test can play the courier as well as the server does.
"""

import heapq
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ops.sandbox.contract import Notice, Platform, Sandbox


class Manners(BaseModel):
    """How unkind the mail is. Shares are of deliveries, from 0 to 1; seconds are the sandbox's."""

    model_config = ConfigDict(extra="forbid")

    gather_seconds: float = Field(default=0.0, ge=0)
    """How long facts wait for others to share a request with."""
    twice: float = Field(default=0.0, ge=0, le=1)
    late: float = Field(default=0.0, ge=0, le=1)
    late_seconds: float = Field(default=60.0, ge=0)
    """The longest a late one is held back; later ones overtake it."""
    recut: float = Field(default=0.0, ge=0, le=1)
    """Failed deliveries whose facts are dealt out to other requests before they are tried again."""
    forged: float = Field(default=0.0, ge=0, le=1)
    """Besides each delivery: one that a stranger signed, about things that never happened."""


@dataclass
class Shipment:
    """One request. ``forged`` ones are not the platform's, and nobody tries them again."""

    platform: str
    url: str
    stream: str
    body: bytes
    headers: Mapping[str, str]
    notices: tuple[Notice, ...]
    attempt: int = 1
    first: float = 0.0
    forged: bool = False


@dataclass(order=True)
class Waiting:
    due: float
    number: int
    platform: str = field(compare=False)
    notices: tuple[Notice, ...] = field(compare=False)
    attempt: int = field(compare=False, default=1)
    first: float = field(compare=False, default=0.0)
    copy: bool = field(compare=False, default=False)


class Office:
    """Takes what the platforms noticed and hands out requests. At most ``room`` wait; beyond it the oldest go."""

    def __init__(self, sandbox: Sandbox, platforms: Mapping[str, Platform], room: int) -> None:
        self._sandbox = sandbox
        self._platforms = platforms
        self._room = room
        self._number = 0
        self._gathered: dict[str, list[Notice]] = {}
        self._since: dict[str, float] = {}
        self._waiting: list[Waiting] = []
        self._unanswered: list[Shipment] = []
        self.manners = Manners()
        self.dropped = 0
        """Deliveries given up or never addressed to anybody."""
        self.answers: Counter[int | None] = Counter()
        """How many deliveries were answered how; None: not at all."""
        self.outages: dict[str, float] = {}
        """Platforms that send nothing now, and until when."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        # Whoever was sent something will not answer a world that comes from a file: it is sent again.
        for shipment in list(self._unanswered):
            self.answered(shipment, None)

    def __len__(self) -> int:
        """Facts and requests on their way, those that are not answered yet among them."""
        return (
            len(self._unanswered)
            + len(self._waiting)
            + sum(map(len, self._gathered.values()))
            + len(self._sandbox.outbox)
        )

    def moment(self) -> float | None:
        """When something is due next, in seconds since 1970; None while nothing waits."""
        self._take()
        moments = [since + self.manners.gather_seconds for since in self._since.values()]
        if self._waiting:
            moments.append(self._waiting[0].due)
        return min(moments, default=None)

    def due(self) -> list[Shipment]:
        """What is to be sent now."""
        now = self._sandbox.clock.seconds()
        self._take()
        for name, since in list(self._since.items()):
            if since + self.manners.gather_seconds <= now:
                del self._since[name]
                self._cut(name, self._gathered.pop(name))
        ready: list[Shipment] = []
        while self._waiting and self._waiting[0].due <= now:
            waiting = heapq.heappop(self._waiting)
            silent = self.outages.get(waiting.platform, 0)
            if silent > now:
                self._wait(replace(waiting, due=silent))
                continue
            ready += self._written(waiting)
        self._unanswered += ready
        return ready

    def answered(self, shipment: Shipment, status: int | None) -> None:
        """What came of a request; None where there was no answer."""
        self._unanswered.remove(shipment)
        self.answers[status] += 1
        platform = self._platforms[shipment.platform]
        if shipment.forged or platform.final(status):
            return
        if shipment.attempt > len(platform.retry_seconds):
            self.dropped += 1
            return
        due = self._sandbox.clock.seconds() + platform.retry_seconds[shipment.attempt - 1]
        cuts = [shipment.notices]
        if len(shipment.notices) > 1 and self._chance(self.manners.recut):
            at = self._sandbox.chance.randrange(1, len(shipment.notices))
            cuts = [shipment.notices[:at], shipment.notices[at:]]
        for notices in cuts:
            self._wait(Waiting(due, 0, shipment.platform, notices, shipment.attempt + 1, shipment.first))

    def send(self, notice: Notice) -> None:
        """Deliver it as if it had happened now, whatever else is going on."""
        self._take()
        self._wait(Waiting(self._sandbox.clock.seconds(), 0, notice.platform, (self._numbered(notice),)))

    def _take(self) -> None:
        now = self._sandbox.clock.seconds()
        for notice in self._sandbox.outbox:
            self._gathered.setdefault(notice.platform, []).append(self._numbered(notice))
            self._since.setdefault(notice.platform, now)
        self._sandbox.outbox.clear()

    def _numbered(self, notice: Notice) -> Notice:
        self._number += 1
        return replace(notice, number=self._number)

    def _cut(self, name: str, notices: list[Notice]) -> None:
        """Into requests of the platform's size, each on its way or held back."""
        platform, now = self._platforms[name], self._sandbox.clock.seconds()
        groups: dict[Any, list[Notice]] = {}
        for notice in notices:
            groups.setdefault(platform.together(notice), []).append(notice)
        for group in groups.values():
            for start in range(0, len(group), platform.batch):
                part = tuple(group[start : start + platform.batch])
                late = self._chance(self.manners.late)
                delay = self._sandbox.chance.uniform(0, self.manners.late_seconds) if late else 0.0
                self._wait(Waiting(now + delay, 0, name, part))
                if self._chance(self.manners.twice):
                    again = self._sandbox.chance.uniform(0, self.manners.late_seconds)
                    self._wait(Waiting(now + again, 0, name, part, copy=True))

    def _wait(self, waiting: Waiting) -> None:
        self._number += 1
        heapq.heappush(self._waiting, replace(waiting, number=self._number))
        if len(self._waiting) > self._room:
            heapq.heappop(self._waiting)
            self.dropped += 1

    def _written(self, waiting: Waiting) -> list[Shipment]:
        platform = self._platforms[waiting.platform]
        stream = platform.stream(waiting.notices[0])
        url = platform.callbacks.get(stream)
        if url is None or platform.stopped(stream):
            self.dropped += 1
            return []
        now = time.time()  # a receiver holds a signature's time against its own clock, which is the real one
        first = waiting.first or now
        body = platform.body(waiting.notices)
        headers = platform.signature(body, platform.signing_secret, first, now)
        genuine = Shipment(
            waiting.platform, url, stream, body, headers, waiting.notices, waiting.attempt, first, forged=False
        )
        if waiting.copy or not self._chance(self.manners.forged):
            return [genuine]
        return [genuine, self._forgery(genuine, now)]

    def _forgery(self, model: Shipment, now: float) -> Shipment:
        platform = self._platforms[model.platform]
        body = model.body.replace(b"1", b"7")  # other ids, which nobody has
        headers = platform.signature(body, "not the secret", now, now)
        return replace(model, body=body, headers=headers, forged=True)

    def _chance(self, share: float) -> bool:
        return share > 0 and self._sandbox.chance.random() < share
