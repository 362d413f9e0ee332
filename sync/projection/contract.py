"""What a platform's events mean for the CRM, as values."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Table

from ops.runtime.text import storable
from schema.events import Event

ID_LIMIT = 500
"""Longest id a row can be keyed by, in bytes: an index row of several must stay under 2704 (``faults.md`` E8)."""

TIME_LIMIT = 10**16 - 1
"""Latest time a version tells apart, in microseconds: the year 2286. Whatever claims to be later is a mistake."""

LATEST = 99
"""Rank of a fact that beats every other of its time, such as a deletion."""


class Unprojectable(ValueError):  # noqa: N818  a word about the event, not about us
    """This event cannot become facts as it is; trying again without a new version cannot help."""


class Upsert(NamedTuple):
    """A fact: columns of one facet of one row, as of a version. Never a difference.

    A column that is in ``values`` is known, with None too: the event says that there is nothing. One that is left out
    is unknown, and keeps what another fact says of it. In the facet ``metrics`` the names are those of metrics.
    ``key`` leaves out ``account_id``: it is always the event's own. Without a facet the row is only made to exist.
    ``mention``: the event is about another row and only names this one, which counts for ``created_at`` and not for
    ``updated_at``.
    """

    table: Table
    key: Mapping[str, str]
    facet: str | None = None
    version: str = ""
    values: Mapping[str, object] = MappingProxyType({})
    mention: bool = False


class Want(NamedTuple):
    """An object that is to be read from the platform, by the task ``kind`` of its pull: no fact, and part of no row.

    ``version`` is where the event stands among those that ask for it: an older one, or a repeat, asks for nothing more.
    ``parent`` is the object in whose listing an object of this ``kind`` stands, '' if that is not known: one that is
    deleted before it is read was in no answer, and only its listing can tell then that it is gone.
    """

    kind: str
    object_id: str
    reason: str
    version: str
    parent: str = ""


Handler = Callable[[Event], Sequence[Upsert | Want]]

Sample = Callable[[str, str], Event]
"""From an account and the id of one of its objects to the event that reading the object could append."""


@dataclass(frozen=True)
class Projection:
    """``handlers`` by event type; a type that is not listed changes nothing, and is counted as ignored.

    ``version`` goes up when a handler would make other facts of the same event. ``samples`` are made-up answers to
    look-ups, by their kind, with which `landfall db seed` fills a database for development.
    """

    handlers: Mapping[str, Handler]
    version: int
    samples: Mapping[str, Sample] = field(default_factory=dict)


def version(event: Event, at: datetime | None, rank: int = 0) -> str:
    """Where a fact stands among those about one facet: by source time, then rank, then the event's identity.

    Text that sorts by bytes. ``at`` is the platform's time of the fact, None where it gives none; then rank and
    identity decide, which is arbitrary but the same for every order of arrival.
    """
    if at is None:
        return _undated(rank) + event.external_id
    micros = min(max(0, int(at.timestamp() * 1_000_000)), TIME_LIMIT)
    return f"{micros:016d}.{rank:02d}.{event.external_id}"


def final(event: Event) -> str:
    """Return the version of a fact that no later one changes, such as the last count of something that has ended."""
    return f"{TIME_LIMIT:016d}.{LATEST:02d}.{event.external_id}"


def named(table: Table, **key: str) -> Upsert:
    """Return the fact that a row exists, of an event that only names it."""
    return Upsert(table, key, mention=True)


@cache
def _undated(rank: int) -> str:
    return f"{0:016d}.{rank:02d}."


def event_of(version: str) -> str:
    """The identity of the event that a version is of."""
    return version[1:] if version.startswith("!") else version[20:]


def known(**values: object) -> dict[str, object]:
    """Of these columns the ones that the payload told: None, for what is absent or cannot be read, is unknown."""
    return {name: value for name, value in values.items() if value is not None}


def look_up(event: Event, kind: str, object_id: str, reason: str, parent: str = "") -> Want:
    """Ask for the object to be read from the platform: the event says that it changed, not what it is now."""
    return Want(kind, object_id, reason, version(event, event.occurred_at), parent)


def text(value: object) -> str | None:
    """A text column's value: text as PostgreSQL takes it, numbers as text, anything else as absent."""
    if isinstance(value, str):
        return storable(value)  # NUL and half surrogate pairs can still come out of JSON inside a JSON string
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def required(value: object, name: str) -> str:
    """An id. Raises Unprojectable."""
    if found := optional(value):
        return found
    if text(value):
        raise Unprojectable(f"{name} is longer than {ID_LIMIT} bytes")
    raise Unprojectable(f"{name} is missing, or is not an id")


def optional(value: object) -> str | None:
    """An id that may be absent; one that no row can be keyed by counts as absent too."""
    found = text(value)
    return found if found and len(found.encode()) <= ID_LIMIT else None


def integer(value: object) -> int | None:
    """A whole number that PostgreSQL's integer holds, also if it came as text or float; anything else as absent."""
    return _whole(value, 31)


def big_integer(value: object) -> int | None:
    """A whole number that PostgreSQL's bigint holds, also if it came as text or float; anything else as absent."""
    return _whole(value, 63)


def _whole(value: object, bits: int) -> int | None:
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,19}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits:
        return value
    return None


def boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
