"""Walk every interleaving of workers, crashes, lost and late answers through a machine and a model of its platform.

Steps and decisions are pure, so a target with its workers and its platform is one immutable value, and everything that
can happen next to it can be listed. The statements of the store are modelled here by what they promise: a lease, a
fence, one outcome for each request. That PostgreSQL keeps these promises is what the tests of the driver show.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from ops.runtime.platform_client import TRIPPED
from ops.runtime.platform_protocol import Request, Response
from publish.posting.contract import Effect, Job, Machine, Unknown, Verdict
from publish.posting.decision import VISIBLE, Outcome, decide, without_asking
from schema.states import TargetState

EPOCH = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)

P = TypeVar("P")


class Model(Protocol[P]):
    """A platform as one immutable, hashable value."""

    def respond(self, platform: P, request: Request, now: float) -> tuple[P, Response]:
        """Return the platform after a request, and its answer."""

    def visible(self, platform: P) -> int:
        """Return how many posts people see."""

    def choices(self, platform: P) -> Iterator[P]:
        """Yield what the platform may do by itself, such as finishing what it processes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A target as PostgreSQL has it. Times are in seconds since the beginning; ``due`` is None when nothing is due."""

    state: TargetState
    step: str
    step_since: float = 0.0
    asked: bool = False
    intent_at: datetime | None = None
    commits: int = 0
    failures: int = 0
    kept: tuple[tuple[str, Any], ...] = ()
    sealed: tuple[tuple[str, str], ...] = ()
    due: float | None = 0.0
    fence: int = 0
    leased: bool = False
    post_id: str = ""
    message: str = ""

    def mapping(self) -> dict[str, Any]:
        return {name: _thawed(value) for name, value in self.kept}


@dataclass(frozen=True, slots=True)
class Worker:
    """``at`` is what it does next: claim, look, send, store. ``late`` is whether its request may arrive after all."""

    at: str = "claim"
    fence: int = 0
    row: Row | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class World(Generic[P]):
    """Everything there is. ``crashes``, ``losses`` and ``lates`` are how many of each may still happen."""

    platform: P
    row: Row
    workers: tuple[Worker, ...]
    now: float = 0.0
    crashes: int = 1
    losses: int = 1
    lates: int = 1
    expiries: int = 1
    under_way: tuple[Request, ...] = ()


class ViolationError(AssertionError):
    """A path on which something is posted twice, or lost without a word."""


@dataclass
class Explorer(Generic[P]):
    """``job`` is what does not change of a target; the explorer fills in how far it has come."""

    machine: Machine
    model: Model[P]
    job: Job
    most: int = 400_000

    def explore(self, platform: P, *, workers: int = 2, **budget: int) -> Mapping[str, int]:
        """Walk through every path, and return how many values and ends there are, by state. Raises ViolationError."""
        first = self.machine.beginning(files=bool(self.job.media))
        row = Row(self.machine.steps[first].state, first)
        begin = World(platform, row, (Worker(),) * workers, **budget)
        seen, left = {_key(begin)}, [begin]
        ends: dict[str, int] = {}
        while left:
            world = left.pop()
            self._check(world)
            following = list(self.next(world))
            if not following:
                self._check_end(world)
                ends[world.row.state] = ends.get(world.row.state, 0) + 1
            for other in following:
                if (key := _key(other)) not in seen:
                    seen.add(key)
                    left.append(other)
            if len(seen) > self.most:
                raise ViolationError(f"more than {self.most} values: something goes round in a circle, at {world.row}")
        return {"values": len(seen), **ends}

    # --- what can happen

    def next(self, world: World[P]) -> Iterator[World[P]]:
        for other in self.model.choices(world.platform):
            yield replace(world, platform=other)
        for number, request in enumerate(world.under_way):
            platform, _ = self.model.respond(world.platform, request, world.now)
            rest = world.under_way[:number] + world.under_way[number + 1 :]
            yield replace(world, platform=platform, under_way=rest)
        for number, worker in enumerate(world.workers):
            for changed, after in self._worked(world, worker):
                workers = list(changed.workers)
                workers[number] = after
                yield replace(changed, workers=_sorted(workers))
            if worker.at != "claim" and world.crashes:
                workers = list(world.workers)
                workers[number] = Worker()
                released = replace(world.row, leased=False) if worker.fence == world.row.fence else world.row
                yield replace(world, row=released, workers=_sorted(workers), crashes=world.crashes - 1)
        if world.row.leased and world.expiries:
            yield replace(world, row=replace(world.row, leased=False), expiries=world.expiries - 1)
        busy = world.row.leased or any(worker.at != "claim" for worker in world.workers)
        if not busy and world.row.due is not None and world.row.due > world.now:
            yield replace(world, now=world.row.due)

    def _worked(self, world: World[P], worker: Worker) -> Iterator[tuple[World[P], Worker]]:
        row = world.row
        if worker.at == "claim":
            if row.due is not None and row.due <= world.now and not row.leased:
                fence = row.fence + 1
                yield replace(world, row=replace(row, leased=True, fence=fence)), Worker("look", fence)
            return
        holds = row.leased and row.fence == worker.fence
        if worker.at == "look":
            yield from self._looked(world, worker, holds=holds)
        elif worker.at == "send":
            # Its lease was over before it sent: it does not (publish.posting.driver.SEND_SECONDS).
            yield from self._sent(world, worker) if holds else [(world, Worker())]
        elif worker.at == "store":
            yield self._stored(world, worker) if holds else (world, Worker())

    def _looked(self, world: World[P], worker: Worker, *, holds: bool) -> Iterator[tuple[World[P], Worker]]:
        if not holds:
            yield world, Worker()
            return
        row = world.row
        step = self.machine.steps[row.step]
        if (known := without_asking(_Progress(row), step)) is not None:
            yield world, replace(worker, at="store", row=row, verdict=known)
            return
        job = self._job(world)
        if step.deadline is not None and step.overdue is not None and job.seconds_here > step.deadline:
            yield world, replace(worker, at="store", row=row, verdict=step.overdue(job))
            return
        if step.effect is not Effect.READ:
            visible = step.effect in VISIBLE
            row = replace(
                row,
                asked=True,
                intent_at=row.intent_at or (_time(world.now) if visible else None),
                commits=row.commits + visible,
            )
        yield replace(world, row=row), replace(worker, at="send", row=row)

    def _sent(self, world: World[P], worker: Worker) -> Iterator[tuple[World[P], Worker]]:
        step, job = self.machine.steps[world.row.step], self._job(world)
        request = step.ask(job)
        platform, response = self.model.respond(world.platform, request, world.now)
        yield replace(world, platform=platform), replace(worker, at="store", verdict=_read(step.read, job, response))
        lost = replace(worker, at="store", verdict=Unknown("no answer came"))
        if world.losses:
            less = replace(world, losses=world.losses - 1)
            yield replace(less, platform=platform), lost
            yield less, lost
        if world.lates and step.effect is not Effect.READ:
            yield replace(world, lates=world.lates - 1, under_way=(*world.under_way, request)), lost

    def _stored(self, world: World[P], worker: Worker) -> tuple[World[P], Worker]:
        assert worker.verdict is not None
        row = world.row
        outcome = decide(_Progress(row), self.machine, worker.verdict)
        row = _after(row, outcome, worker.verdict, world.now)
        at_once = outcome.seconds == 0
        return replace(world, row=replace(row, leased=at_once)), replace(worker, at="look") if at_once else Worker()

    def _job(self, world: World[P]) -> Job:
        row = world.row
        return replace(
            self.job,
            kept=row.mapping(),
            sealed=dict(row.sealed),
            now=_time(world.now),
            step_since=_time(row.step_since),
            intent_at=row.intent_at,
            post_id=row.post_id,
        )

    # --- what must hold

    def _check(self, world: World[P]) -> None:
        if (count := self.model.visible(world.platform)) > 1:
            raise ViolationError(f"{count} posts are visible: {world}")

    def _check_end(self, world: World[P]) -> None:
        count, row = self.model.visible(world.platform), world.row
        if row.state == TargetState.FAILED and count:
            raise ViolationError(f"it is called failed, and is there: {world}")
        if row.state in (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN) and not count:
            raise ViolationError(f"it is called published, and is not there: {world}")
        if row.due is not None or row.leased:
            raise ViolationError(f"it ends nowhere: {world}")
        if row.state in (TargetState.FAILED, TargetState.UNCONFIRMED) and not row.message:
            raise ViolationError(f"it ends without a word: {world}")


@dataclass(frozen=True, slots=True)
class _Progress:
    row: Row

    @property
    def state(self) -> TargetState:
        return self.row.state

    @property
    def step(self) -> str:
        return self.row.step

    @property
    def failures(self) -> int:
        return self.row.failures

    @property
    def intent_at(self) -> datetime | None:
        return self.row.intent_at

    @property
    def kept(self) -> dict[str, Any]:
        return self.row.mapping()

    @property
    def asked(self) -> bool:
        return self.row.asked

    @property
    def commits(self) -> int:
        return self.row.commits


def _after(row: Row, outcome: Outcome, verdict: Verdict, now: float) -> Row:
    return replace(
        row,
        state=outcome.state,
        step=outcome.step,
        step_since=row.step_since if outcome.same_step else now,
        asked=False,
        failures=outcome.failures,
        kept=_frozen(outcome.kept),
        sealed=tuple(sorted({**dict(row.sealed), **verdict.seal}.items())),
        due=None if outcome.seconds is None else now + outcome.seconds,
        post_id=outcome.post_id or row.post_id,
        message=outcome.message or "",
    )


def _read(read: Callable[[Job, Response], Verdict], job: Job, response: Response) -> Verdict:
    try:
        return read(job, response)
    except TRIPPED:
        return Unknown("undocumented")


def _time(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def _frozen(value: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, tuple(item) if isinstance(item, list) else item) for name, item in value.items()))


def _thawed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _key(world: World[Any]) -> Any:
    """What tells two values apart: workers by what they do, verdicts by their text, times by how far they are off."""
    row = world.row
    ages = (
        world.now - row.step_since,
        None if row.due is None else row.due - world.now,
        None if row.intent_at is None else (_time(world.now) - row.intent_at).total_seconds(),
    )
    workers = tuple((worker.at, worker.fence - row.fence, _text(worker.verdict)) for worker in world.workers)
    rest = (row.state, row.step, row.asked, row.commits, row.failures, row.kept, row.sealed, row.leased, row.post_id)
    under_way = tuple(map(repr, world.under_way))
    budget = world.crashes, world.losses, world.lates, world.expiries
    return world.platform, rest, ages, workers, under_way, budget


def _sorted(workers: list[Worker]) -> tuple[Worker, ...]:
    """Which worker is which makes no difference."""
    return tuple(sorted(workers, key=lambda worker: (worker.at, worker.fence, _text(worker.verdict))))


def _text(verdict: Verdict | None) -> str:
    return "" if verdict is None else repr(verdict)
