"""Walk every interleaving of workers, crashes, lost and late answers through a machine and a model of its platform.

Steps and decisions are pure, so a target with its workers and its platform is one immutable value, and everything that
can happen next to it can be listed. The statements of the store are modelled here by what they promise: a lease, a
fence, one outcome for each request. That PostgreSQL keeps these promises is what the tests of the driver show.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from ops.runtime.platform_client import TRIPPED
from ops.runtime.platform_protocol import Request, Response
from publish.posting.contract import AFTERWARDS, Effect, Job, Machine, Unknown, Verdict
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


@runtime_checkable
class Fetches(Protocol[P]):
    """A platform that fetches files at addresses which are one attempt's."""

    def fetched(self, platform: P, attempt: int) -> Mapping[str, int]:
        """Return how many bytes of each file were fetched at the addresses of an attempt."""

    def without_links(self, platform: P, attempt: int) -> P:
        """Return the platform once the addresses of all attempts up to this one have ended."""


@runtime_checkable
class Remembers(Protocol[P]):
    """A platform that has times in it."""

    def ages(self, platform: P, now: float) -> Hashable:
        """Return the platform with each time as how long ago it was."""


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
    attempt: int = 1

    def mapping(self) -> dict[str, Any]:
        return {name: _thawed(value) for name, value in self.kept}


@dataclass(frozen=True, slots=True)
class Worker:
    """``at`` is what it does next, where it has the lease: look, send or store."""

    at: str = "look"
    fence: int = 0
    row: Row | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class World(Generic[P]):
    """Everything there is. ``crashes``, ``losses``, ``lates`` and ``expiries`` are how many of each may still happen.

    ``under_way`` has requests that were given up and may still arrive, each with when it was sent.
    """

    platform: P
    row: Row
    workers: tuple[Worker, ...]
    now: float = 0.0
    crashes: int = 1
    losses: int = 1
    lates: int = 1
    expiries: int = 1
    under_way: tuple[tuple[Request, float], ...] = ()


class ViolationError(AssertionError):
    """A path on which something is posted twice, or lost without a word: no shorter one leads there."""

    def __init__(self, what: str, path: Sequence[str] = ()) -> None:
        super().__init__("\n".join((what, *path)))
        self.what, self.path = what, path


@dataclass
class Explorer(Generic[P]):
    """``job`` is what does not change of a target; the explorer fills in how far it has come.

    ``latest`` is for how many seconds a request that was given up may be under way; as long as it likes by default.
    """

    machine: Machine
    model: Model[P]
    job: Job
    latest: float = inf
    most: int = 400_000

    def __post_init__(self) -> None:
        self.fetching = self.model if isinstance(self.model, Fetches) else None
        self.remembering = self.model if isinstance(self.model, Remembers) else None

    def explore(self, platform: P, *, workers: int = 2, **budget: int) -> Mapping[str, int]:
        """Walk through every path, and return how many values and ends there are, by state. Raises ViolationError.

        Short paths come first, so that the path of a violation is one of the shortest.
        """
        step = self.machine.beginning(files=bool(self.job.media))
        row = Row(self.machine.steps[step].state, step)
        begin = World(platform, row, (Worker(),) * workers, **budget)
        first = self._key(begin)
        came: dict[Any, tuple[Any, str]] = {first: (None, "")}
        left = deque([(first, begin)])
        ends: dict[str, int] = {}
        while left:
            (key, world), any_ = left.popleft(), False
            if problem := self._problem(world):
                raise ViolationError(problem, _path(came, key))
            for label, other in self.next(world):
                any_ = True
                if (reached := self._key(other)) not in came:
                    came[reached] = key, label
                    left.append((reached, other))
            if not any_:
                if problem := self._problem_at_end(world):
                    raise ViolationError(problem, _path(came, key))
                ends[world.row.state] = ends.get(world.row.state, 0) + 1
            if len(came) > self.most:
                raise ViolationError(f"more than {self.most} values: something goes round in a circle, at {world.row}")
        return {"values": len(came), **ends}

    # --- what can happen

    def next(self, world: World[P]) -> Iterator[tuple[str, World[P]]]:
        """Yield what can happen, each with its name.

        What the platform does by itself, and what arrives late, makes a difference only to the next request and to what
        is there in the end. So it is tried right before a request and once nothing is done any more.
        """
        row = world.row
        sends = row.leased and any(worker.at == "send" and worker.fence == row.fence for worker in world.workers)
        if sends or (not row.leased and row.due is None):
            for other in self.model.choices(world.platform):
                yield "the platform goes on by itself", replace(world, platform=other)
        if sends or not row.leased:
            yield from self._arrived(world)
        yield from self._by_workers(world)
        if row.leased and world.expiries:
            yield "the lease runs out", replace(world, row=replace(row, leased=False), expiries=world.expiries - 1)
        waits = not row.leased and row.due is not None and row.due > world.now
        if waits and row.due is not None and all(row.due - sent <= self.latest for _, sent in world.under_way):
            yield f"{row.due - world.now:g} s pass", replace(world, now=row.due)

    def _by_workers(self, world: World[P]) -> Iterator[tuple[str, World[P]]]:
        row = world.row
        for number, worker in enumerate(world.workers):
            rest = world.workers[:number] + world.workers[number + 1 :]
            holds = row.leased and worker.fence == row.fence
            for label, changed, after in self._worked(world, worker, holds=holds):
                yield label, replace(changed, workers=(after, *rest))
            if holds and world.crashes:
                crashed = replace(
                    world, row=replace(row, leased=False), workers=(Worker(), *rest), crashes=world.crashes - 1
                )
                yield f"the worker dies before it comes to {worker.at}", crashed

    def _arrived(self, world: World[P]) -> Iterator[tuple[str, World[P]]]:
        for number, (request, _) in enumerate(world.under_way):
            platform, _ = self.model.respond(world.platform, request, world.now)
            rest = world.under_way[:number] + world.under_way[number + 1 :]
            yield f"{_named(request)} arrives late", replace(world, platform=platform, under_way=rest)

    def _worked(self, world: World[P], worker: Worker, *, holds: bool) -> Iterator[tuple[str, World[P], Worker]]:
        """Yield what a worker may do next.

        Without the lease it does nothing but to claim it: neither does it send (publish.posting.driver.SEND_SECONDS),
        nor is what it stores taken.
        """
        row = world.row
        if not holds:
            if row.due is not None and row.due <= world.now and not row.leased:
                fence = row.fence + 1
                yield "it is claimed", replace(world, row=replace(row, leased=True, fence=fence)), Worker("look", fence)
        elif worker.at == "look":
            yield self._looked(world, worker)
        elif worker.at == "send":
            yield from self._sent(world, worker)
        else:
            yield self._stored(world, worker)

    def _looked(self, world: World[P], worker: Worker) -> tuple[str, World[P], Worker]:
        row = world.row
        step, label = self.machine.steps[row.step], f"it is at {row.step}"
        if (known := without_asking(_Progress(row), step)) is not None:
            return label, world, replace(worker, at="store", row=row, verdict=known)
        job = self._job(world)
        if step.deadline is not None and step.overdue is not None and job.seconds_here > step.deadline:
            return label, world, replace(worker, at="store", row=row, verdict=step.overdue(job))
        if step.effect is not Effect.READ:
            visible = step.effect in VISIBLE
            row = replace(
                row,
                asked=True,
                intent_at=row.intent_at or (_time(world.now) if visible else None),
                commits=row.commits + visible,
            )
        return label, replace(world, row=row), replace(worker, at="send", row=row)

    def _sent(self, world: World[P], worker: Worker) -> Iterator[tuple[str, World[P], Worker]]:
        step, job = self.machine.steps[world.row.step], self._job(world)
        request = step.ask(job)
        platform, response = self.model.respond(world.platform, request, world.now)
        verdict, asked = _read(step.read, job, response), f"{world.row.step} is asked"
        answered = replace(worker, at="store", verdict=verdict)
        yield f"{asked} and answered: {type(verdict).__name__}", replace(world, platform=platform), answered
        lost = replace(worker, at="store", verdict=Unknown("no answer came"))
        if world.losses:
            less = replace(world, losses=world.losses - 1)
            yield f"{asked}, and the answer is lost", replace(less, platform=platform), lost
            yield f"{asked}, and the request is lost", less, lost
        if world.lates and step.effect is not Effect.READ:
            later = (*world.under_way, (request, world.now))
            yield f"{asked}, and is under way", replace(world, lates=world.lates - 1, under_way=later), lost

    def _stored(self, world: World[P], worker: Worker) -> tuple[str, World[P], Worker]:
        assert worker.verdict is not None
        outcome = decide(_Progress(world.row), self.machine, worker.verdict)
        row = _after(world.row, outcome, worker.verdict, world.now)
        platform = world.platform
        if outcome.end_links and self.fetching is not None:
            platform = self.fetching.without_links(platform, world.row.attempt)
        at_once = outcome.seconds == 0
        stored = replace(world, platform=platform, row=replace(row, leased=at_once))
        label = f"{outcome.state}, {outcome.step or 'nothing'} next"
        return label, stored, replace(worker, at="look", verdict=None) if at_once else Worker()

    def _job(self, world: World[P]) -> Job:
        row, media = world.row, self.job.media
        if self.fetching is not None:
            bytes_ = self.fetching.fetched(world.platform, row.attempt)
            media = [
                replace(each, url=f"{each.url}?attempt={row.attempt}", fetched=bytes_.get(each.id, 0)) for each in media
            ]
        return replace(
            self.job,
            media=media,
            kept=row.mapping(),
            sealed=dict(row.sealed),
            now=_time(world.now),
            step_since=_time(row.step_since),
            intent_at=row.intent_at,
            post_id=row.post_id,
            attempt=row.attempt,
        )

    # --- what must hold

    def _problem(self, world: World[P]) -> str:
        count = self.model.visible(world.platform)
        return f"{count} posts are visible" if count > 1 else ""

    def _problem_at_end(self, world: World[P]) -> str:
        count, row = self.model.visible(world.platform), world.row
        if row.state == TargetState.FAILED and count:
            return f"it is called failed, and is there: {world}"
        if row.state in (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN) and not count:
            return f"it is called published, and is not there: {world}"
        if row.due is not None or row.leased:
            return f"it ends nowhere: {world}"
        if row.state in (TargetState.FAILED, TargetState.UNCONFIRMED) and not row.message:
            return f"it ends without a word: {world}"
        return ""

    def _key(self, world: World[P]) -> Any:
        """What tells two values apart: the one who has the lease by what it does, times by how far they are off.

        What a worker without the lease holds makes no difference, as nothing comes of it.
        """
        row, now = world.row, world.now
        timed = self.remembering is not None
        platform = world.platform if self.remembering is None else self.remembering.ages(world.platform, now)
        holder = next((worker for worker in world.workers if row.leased and worker.fence == row.fence), None)
        return (
            platform,
            (row.state, row.step, row.asked, row.commits, row.failures, row.kept, row.sealed, row.leased, row.post_id),
            (row.attempt, self._age(row, now), None if row.due is None else row.due - now),
            (_time(now) - row.intent_at).total_seconds()
            if timed and row.intent_at is not None
            else row.intent_at is None,
            None if holder is None else (holder.at, _text(holder.verdict)),
            tuple((repr(request), now - sent) for request, sent in world.under_way),
            (world.crashes, world.losses, world.lates, world.expiries),
        )

    def _age(self, row: Row, now: float) -> float:
        """Return how long the target has been at its step, where the step has a deadline or looks for something."""
        step = self.machine.steps.get(row.step)
        counts = step is not None and (
            step.deadline is not None or step.state in (*AFTERWARDS, TargetState.UNCONFIRMED)
        )
        return now - row.step_since if counts else 0.0


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
        commits=row.commits - (outcome.uncounted and row.asked),
        failures=outcome.failures,
        kept=_frozen(outcome.kept),
        sealed=tuple(sorted({**dict(row.sealed), **verdict.seal}.items())),
        due=None if outcome.seconds is None else now + outcome.seconds,
        post_id=outcome.post_id or row.post_id,
        message=outcome.message or "",
        attempt=row.attempt + outcome.new_attempt,
    )


def _path(came: Mapping[Any, tuple[Any, str]], key: Any) -> list[str]:
    """Return what happened on the way to a value."""
    found: list[str] = []
    while came[key][0] is not None:
        key, label = came[key]
        found.append(label)
    return found[::-1]


def _named(request: Request) -> str:
    return f"{request.method} {urlsplit(request.url).path}"


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


def _text(verdict: Verdict | None) -> str:
    return "" if verdict is None else repr(verdict)
