"""What a pull decides, without input or output: which events a page makes, what is gone, and when a task is due again.

Rules of truth (``meta.md`` 10.10): a reading is ordered by when its request began, by the database's clock; an answer
that says what the one before it said makes no event; an object is taken for gone only where nothing else is left.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.rate_limits import HELD
from sync.pull.contract import Object, Page, Priority, PullingPlatform, PullTask, Reading

RETRIES = RetryPolicy.exponential(10.0, 3600.0, factor=3.0)
"""Delays before a task that failed is tried again, unless the platform says how long to wait."""

TROUBLE_AFTER = 3
"""Failures in a row after which people are shown that a task has trouble; it is tried again all the same."""

PAUSE_PERCENT, RESERVE_PERCENT = 50, 75
"""Used share of a rate limit from which history waits, and from which everything waits but what a webhook asked for:
what is left is for publishing."""

CONFIRM_SECONDS = 600
"""Least time between two answers that an object does not exist, before it is taken for gone."""

CONTROL_SECONDS = 3600
"""How long a complete walk of a listing is the positive control of a miss: the same connection saw its siblings."""

AGAIN_AFTER_REFUSAL = timedelta(days=1)
"""When an object is asked for again of which the platform said that the request cannot work."""


def allowed_priorities(percent: int) -> list[int]:
    """Return the priorities of tasks that may be carried out while so much of a rate limit is used."""
    if percent >= RESERVE_PERCENT:
        return [Priority.LIVE]
    if percent >= PAUSE_PERCENT:
        return [Priority.LIVE, Priority.ASKED, Priority.RECENT]
    return [*Priority]


def canonical(payload: Mapping[str, object]) -> str:
    """Return a payload as JSON text that is the same for the same content. Raises ValueError for NaN and infinities."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def name_of(type_: str, object_id: str, previous: str, digest: str) -> str:
    """Return the identity of an event that a reading makes.

    It depends on the event before it, so that A, B and A again are three facts, and a repeat of one of them is none.
    """
    return f"{type_}:{object_id}:{hashlib.sha256((previous + digest).encode()).hexdigest()[:24]}"


@dataclass(frozen=True, slots=True)
class Known:
    """An object as it was read last. ``digests`` are of the payloads that were appended last, by type of event."""

    about: Object
    parent: str = ""
    source_time: datetime | None = None
    external_id: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    read_at: datetime | None = None
    checked_at: datetime | None = None
    missed_at: datetime | None = None
    unlisted_at: datetime | None = None
    unlisted_by: str | None = None
    gone_at: datetime | None = None


class New(NamedTuple):
    """An event to append."""

    type: str
    external_id: str
    payload: str


@dataclass(slots=True)
class Judged:
    """What a page came to: events to append, in order, and the objects as they are known from now on.

    ``lifted`` were gone and are there again; ``gone`` are no more; ``missed`` are missing for the first time;
    ``unsure`` are missing too, and nothing is known yet that would prove it.
    """

    events: list[New] = field(default_factory=list)
    objects: dict[Object, Known] = field(default_factory=dict)
    unchanged: int = 0
    lifted: list[Object] = field(default_factory=list)
    gone: list[Object] = field(default_factory=list)
    missed: list[Object] = field(default_factory=list)
    unsure: list[Object] = field(default_factory=list)


def judge(known: Mapping[Object, Known], readings: Iterable[Reading], now: datetime, *, lists: str = "") -> Judged:
    """Decide what readings make, whose request began ``now``; ``lists`` is the kind of object that the page lists.

    A listing says in which one an object stands; any other reading says so of an object that was not read before, where
    its answer tells. A reading that began before the one that is stored makes no event, whether that one
    made an event or showed that nothing had changed.
    """
    judged = Judged()
    # Of two in one page the last counts: events of one time would be put in order by their names.
    last = {(reading.about, reading.type): reading for reading in readings}
    for reading in last.values():
        about = reading.about
        before = judged.objects.get(about) or known.get(about) or Known(about)
        if before.checked_at is not None and now < max(before.checked_at, before.read_at or before.checked_at):
            continue
        payload = canonical(reading.payload)
        digest = digest_of(payload)
        after = replace(
            before,
            parent=_parent(before, reading, listed=about.kind == lists),
            source_time=reading.source_time or before.source_time,
            checked_at=now if before.checked_at is None else max(now, before.checked_at),
            missed_at=None,
            unlisted_at=None,
            unlisted_by=None,
            gone_at=None,
        )
        if before.gone_at is None and before.digests.get(reading.type) == digest:
            judged.unchanged += 1
        else:
            name = name_of(reading.type, about.id, before.external_id, digest)
            judged.events.append(New(reading.type, name, payload))
            after = replace(after, external_id=name, read_at=now, digests={**before.digests, reading.type: digest})
        if before.gone_at is not None:
            judged.lifted.append(about)
        judged.objects[about] = after
    return judged


def _parent(before: Known, reading: Reading, *, listed: bool) -> str:
    if listed:
        return reading.parent
    return before.parent if before.checked_at is not None else reading.parent or before.parent


def judge_missing(
    judged: Judged,
    known: Mapping[Object, Known],
    page: Page,
    platform: PullingPlatform,
    *,
    reader: str,
    now: datetime,
    confirm: float = CONFIRM_SECONDS,
    gone_parents: Collection[str] = (),
) -> None:
    """Add to ``judged`` what it means that the platform says of objects that they do not exist.

    A miss counts where the last complete walk of the listing in which the object stands did not show it, though it
    showed others to the same connection (``reader``) within ``CONTROL_SECONDS``; of kinds that ``siblings_prove``,
    where the same answer shows another object of the kind. An object is gone at the second miss that counts,
    ``confirm`` seconds after the first at least, with a walk of its own. Anything else proves nothing. What hangs on an
    object that is gone (``gone_parents``) is out of reach, and no more is known of it.
    """
    shown = {reading.about for reading in page.readings}
    siblings = {about.kind for about in shown} & {*platform.siblings_prove}
    for about in page.missing:
        before = judged.objects.get(about) or known.get(about)
        if before is None or before.gone_at is not None or about.kind not in platform.gone or about in shown:
            continue
        if before.parent in gone_parents:
            continue
        proven = about.kind in siblings
        if not proven and not _is_unlisted(before, reader, now):
            judged.unsure.append(about)
        elif before.missed_at is None:
            judged.objects[about] = replace(before, missed_at=now)
            judged.missed.append(about)
        elif now - before.missed_at >= timedelta(seconds=confirm) and (
            proven or _after(before.unlisted_at, before.missed_at)
        ):
            payload = canonical({"id": about.id})
            name = name_of(platform.gone[about.kind], about.id, before.external_id, digest_of(payload))
            judged.events.append(New(platform.gone[about.kind], name, payload))
            judged.objects[about] = replace(before, external_id=name, read_at=now, gone_at=now)
            judged.gone.append(about)
        else:
            judged.unsure.append(about)


def _is_unlisted(known: Known, reader: str, now: datetime) -> bool:
    at = known.unlisted_at
    return (
        at is not None
        and known.unlisted_by == reader
        and _after(at, known.checked_at)
        and now - at <= timedelta(seconds=CONTROL_SECONDS)
    )


def _after(at: datetime | None, other: datetime | None) -> bool:
    return at is not None and (other is None or at > other)


class Due(NamedTuple):
    """When a task is due again, from now, None for not until somebody asks; and how urgent it is then."""

    after: timedelta | None
    priority: Priority


def due_again(task: PullTask, now: datetime, source_time: datetime | None) -> Due:
    """Return when a task that was carried out is due again: what is read less than daily waits for everything else."""
    after = task.again(now, source_time)
    often = after is not None and after < timedelta(days=1)
    return Due(after, Priority.RECENT if often else Priority.SELDOM)


class Setback(NamedTuple):
    """What a failed page means.

    ``task_seconds``: the task is tried again after so long. ``account_seconds``: nothing is asked for the account until
    then, 0 where the failure is of the task alone. ``skip_code``: the task is skipped in place of that. ``renews``: the
    token is to be renewed. ``restarts``: the walk begins anew, as its cursor is of no use any more. ``counts``: it is a
    failure of the task.
    """

    task_seconds: float = 0.0
    account_seconds: float = 0.0
    skip_code: str = ""
    renews: bool = False
    restarts: bool = False
    counts: bool = True


TOKEN_REFUSED = "access_token_invalid"  # noqa: S105  a code
"""The code of a problem where the platform did not take the token, and did not say that the grant is over."""

APP_SECONDS = 300.0
"""How long nothing is asked for an account where our own configuration is wrong."""

REST_SECONDS = 5.0
"""How long an account rests after its platform was in trouble, so that its tasks do not all fail one after another."""


def setback(problem: PlatformError, failures: int, *, walking: bool) -> Setback:
    """Return what a problem means for a task that failed ``failures`` times in a row, this time included.

    ``walking``: the page was not the first of its walk.
    """
    delay = RETRIES.delay(failures, least=problem.after_seconds)
    if problem.code in (HELD, "breaker"):
        return Setback(0.0, max(problem.after_seconds, REST_SECONDS), counts=False)
    if problem.kind == "lacking":
        return Setback(skip_code="scopes")
    if problem.kind in ("wrong", "denied"):
        return Setback(delay, restarts=True) if walking else Setback(skip_code="platform")
    refused = problem.kind == "grant" or problem.code == TOKEN_REFUSED
    if refused or problem.code == "undocumented":
        return Setback(delay, renews=refused)
    rest = APP_SECONDS if problem.kind == "app" else max(problem.after_seconds, REST_SECONDS)
    return Setback(delay, rest)


def lacking_scopes(task: PullTask, scopes: Collection[str]) -> bool:
    """Return whether a connection with these scopes cannot carry out a task: one of those that it names is needed."""
    return bool(task.scopes) and not set(task.scopes) & set(scopes)


@dataclass(frozen=True, slots=True)
class Count:
    """Tasks of one kind of one account. ``done`` were carried out at least once, ``skipped`` are not carried out."""

    kind: str
    tasks: int
    done: int
    due: int
    skipped: int
    troubled: int
    objects: int
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the history of an account is read. ``seconds`` are left by the pace so far; None: nobody knows yet."""

    tasks: int
    done: int
    objects: int
    waiting: int
    skipped: int
    troubled: int
    seconds: float | None

    @property
    def percent(self) -> int:
        """Of the tasks that are known: new ones are found on the way. 100 only where nothing is left."""
        return 100 if self.tasks <= self.done else 100 * self.done // self.tasks


def progress(counts: Iterable[Count], backfill: Collection[str], took: timedelta) -> Progress:
    """Return the progress of an account by its tasks, of which those of the kinds ``backfill`` are its history.

    ``took`` is how long it has been read.
    """
    every = list(counts)
    history = [count for count in every if count.kind in backfill]
    tasks = sum(count.tasks for count in history)
    done = sum(count.done + count.skipped for count in history)
    seconds = None
    if tasks <= done:
        seconds = 0.0
    elif done:
        seconds = took.total_seconds() * (tasks - done) / done
    return Progress(
        tasks,
        done,
        sum(count.objects for count in every),
        sum(count.due for count in every),
        sum(count.skipped for count in every),
        sum(count.troubled for count in every),
        seconds,
    )


def walks_of(tasks: Mapping[str, PullTask], kind: str) -> Sequence[str]:
    """Return the kinds of tasks whose complete walk shows all objects of a kind."""
    return [name for name, task in tasks.items() if task.lists == kind]
