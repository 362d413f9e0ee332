"""What a platform lets an account read, as values: tasks, the steps that carry them out, and how often.

A pull is made of *tasks* of one account: an object to read, or a listing to walk. Steps
(``ops.runtime.platform_protocol.Steps``) read one *page* of a task: they yield requests, are sent the responses, and
return what they found. The worker appends that to the log and stores the cursor in one transaction, so a walk that is
killed goes on at its last page. Steps do no input or output and decide nothing about the database.

What is read becomes an event of the log (``source`` poll) of the type that the projection handles; an answer that says
what the one before it said appends nothing. ``occurred_at`` of the event is when the request of the page began, by the
database's clock: of readings of one object the newest counts (``meta.md`` 10.10).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from ops.runtime.platform_protocol import Steps
from ops.runtime.ports import Api


class Priority(IntEnum):
    """The order in which tasks of one account are taken: the lower first."""

    LIVE = 0
    """A webhook or our own write said that something changed: within seconds."""
    ASKED = 1
    """A person asked for it."""
    RECENT = 2
    """What is likely to have changed: new media, their comments and numbers."""
    BACKFILL = 3
    """History of an account that was connected, or that was not read for a while."""
    SELDOM = 4
    """Old objects, read again so that a change is found at all."""


class Task(NamedTuple):
    """What is to be read: ``object_id`` is the platform's id of the object, '' for the account itself."""

    kind: str
    object_id: str = ""


class Object(NamedTuple):
    """An object of the platform that readings are about, such as a comment; ``kind`` is the platform file's word."""

    kind: str
    id: str


class Reading(NamedTuple):
    """What an answer says of one object, in the platform's own fields.

    ``payload`` has only the keys that came: an absent key says nothing (``meta.md`` 10.10). ``parent`` is the object in
    whose listing this one stands, '' for the account's own. ``source_time`` is when it was made, where the answer says
    so; it decides how often the object is read again, and whether it lies in the range of a listing.
    """

    type: str
    about: Object
    payload: Mapping[str, object]
    parent: str = ""
    source_time: datetime | None = None


class Wanted(NamedTuple):
    """A task that a page asks for. One that waits already is taken sooner where this one is as urgent, or more so.

    History (``BACKFILL`` and ``SELDOM``) asks for nothing that was carried out before, unless by another ``mark``.
    ``mark`` is what was seen that makes the task worth doing, such as a count: one that was wanted with the same mark
    the last time is not wanted again. Without a mark it always is.
    """

    task: Task
    reason: str
    priority: Priority = Priority.BACKFILL
    delay: timedelta = timedelta(0)
    source_time: datetime | None = None
    mark: str = ""


@dataclass(frozen=True)
class Page:
    """What the steps of one page found.

    ``cursor`` is where the next page begins, None where the walk is complete. ``missing`` are objects that were asked
    for singly and that the platform says do not exist. ``skipped`` is why an object cannot be read, in words for a
    person; the task ends with it, and nothing else of the account is touched. ``refused`` are names of fields or
    numbers that the platform refuses to this connection; they are stored, and given to the steps of later pages.
    ``control``: of a listing that showed nothing, the object that it is of was read in this page by the same token, so
    that what stood in it is missing, as it is from a listing that shows others.
    """

    readings: Sequence[Reading] = ()
    cursor: str | None = None
    wanted: Sequence[Wanted] = ()
    missing: Sequence[Object] = ()
    skipped: str | None = None
    refused: Sequence[str] = ()
    control: bool = False


@dataclass(frozen=True)
class Account:
    """The account that a page is read for, by one of its connections.

    ``login`` is the platform by whose login it was connected, which decides between hosts and vocabularies.
    """

    platform: str
    account_id: str
    api: Api
    secrets: Mapping[str, str] = field(repr=False)
    login: str = ""
    instance: str = ""
    username: str = ""
    scopes: Sequence[str] = ()
    profile: Mapping[str, object] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Turn:
    """One page of a task: ``cursor`` is '' for the first. ``now`` is the database's time at which the page begins.

    ``first`` is whether the task was never completed before; ``since`` is when the last complete walk began.
    ``source_time`` is of the object, where it is known. ``known`` are ids of objects of the account that the task may
    need, as :attr:`PullTask.needs` asks for them: those that were checked longest ago first.
    """

    task: Task
    now: datetime
    cursor: str = ""
    first: bool = True
    since: datetime | None = None
    source_time: datetime | None = None
    known: Sequence[str] = ()


Read = Callable[[Account, Turn], Steps[Page]]

Again = Callable[[datetime, datetime | None], timedelta | None]
"""From now, and the source time of the object (None if unknown), to when the task is due again; None: never."""


@dataclass(frozen=True)
class Range:
    """What a completed listing shows for certain: the newest ``most`` of what is younger than ``life``; None: all."""

    most: int | None = None
    life: timedelta | None = None


@dataclass(frozen=True)
class PullTask:
    """How one kind of task is carried out.

    ``lists`` is the kind of object of which a completed walk shows all within ``range``: what was known under this
    parent and is not in it is asked for singly, by the task of kind ``confirms[kind]`` of the platform. ``needs`` is
    the kind of objects of which ``Turn.known`` gives up to ``most_known`` ids. ``scopes``: one of them is needed, none
    named: no scope is; without it the task is skipped with a reason. ``backfill``: part of the history that is read
    when an account is connected, and counted as its progress.
    """

    read: Read
    again: Again
    priority: Priority = Priority.BACKFILL
    lists: str = ""
    range: Range = Range()
    needs: str = ""
    most_known: int = 0
    scopes: Sequence[str] = ()
    backfill: bool = True


def never(now: datetime, source_time: datetime | None) -> timedelta | None:  # noqa: ARG001
    """Return that a task is done once."""
    return None


@dataclass(frozen=True)
class PullingPlatform:
    """What a platform's accounts can be read for.

    ``tasks`` are by their kind. ``first`` are those that every connected account has. ``confirms`` is, by kind of
    object, the kind of task that reads one object of it singly, to tell one that is gone from one that a listing left
    out. ``gone`` is the type of the event that an object of this kind is no more: its payload is ``{"id": …}``.
    ``siblings_prove`` are kinds of objects of which one query asks for several: one that its answer leaves out, though
    it shows another, is missing without a listing. ``not_offered`` is what people look for and the platform does not
    offer, in words for them.
    """

    tasks: Mapping[str, PullTask]
    first: Sequence[Task]
    confirms: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    siblings_prove: Sequence[str] = ()
    not_offered: Sequence[str] = ()
