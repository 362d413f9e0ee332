"""What a platform must say of its webhooks, and the values that pass between the steps of ingest.

The values are made for every request, so they are tuples: a frozen dataclass takes four times as long to make.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from ingest.errors import Unidentifiable
from ingest.signatures import Scheme
from schema.configuration import Variable
from schema.reading import Odd

Variables = Mapping[str, tuple[str, ...]]
"""Values of the platforms' environment variables, by name; an unset one is an empty tuple."""

TEXT_LIMIT = 200
"""Longest id or type kept as it is. An index row must stay under 2704 bytes (``faults.md`` E8)."""


canonical: Callable[[object], str] = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode
"""A parsed value as text: sorted keys, no spaces, ASCII only (``meta.md`` section 5). An ``Odd`` is its literal."""


class Delivery(NamedTuple):
    """One HTTP request. ``headers`` have lower-case names; repeated ones are joined by a comma and a space."""

    headers: Mapping[str, str]
    body: bytes


class Received(NamedTuple):
    """One row of ``webhook_deliveries``: a genuine request, as it came.

    ``verdict`` is accepted, or quarantined for a signature older than the platform retries. ``headers`` are the lines
    of those that prove it (``Webhook.proof``). ``received_at`` is by the clock of the web process until it
    is stored, then by the database's; of one that was in the spool it stays what it was.
    """

    id: str
    provider: str
    received_at: datetime
    verdict: str
    secret_used: str
    signed_at: datetime | None
    headers: bytes
    body: bytes


@dataclass(slots=True)
class Change:
    """One thing that happened: the smallest part of a document that makes sense by itself.

    ``odd`` names the parts of it that could not be read, each by its path and the reason.
    """

    account_id: str
    type: str
    value: Any
    defect: str | None = None
    odd: Sequence[tuple[str, str]] = ()
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The value in canonical form."""
        if self._text is None:
            self._text = canonical(self.value)
        return self._text

    @property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical form: H(v) in ``meta.md`` section 5."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


class Identity(NamedTuple):
    """``external_id`` is the same for every delivery of one event, and for no other event of the account."""

    external_id: str
    occurred_at: datetime | None = None


class Incoming(NamedTuple):
    """One future row of the log. ``payload`` is JSON text that jsonb takes, or None where nothing could be read."""

    account_id: str
    type: str
    external_id: str
    payload: str | None
    occurred_at: datetime | None = None
    defect: str | None = None
    sanitized: bool = False


def no_check(_change: Change, _variables: Variables) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Persons:
    """How payloads name people, for whoever has to erase one.

    ``keys`` are those whose value may be the name or the id of a person, or of something a person wrote. ``usernames``
    and ``writings`` are SQL/JSON paths to the usernames, and to the ids of what was written, of the person whose ids
    are ``$ids`` and whose names are ``$names``.
    """

    keys: tuple[str, ...] = ("id", "username")
    usernames: tuple[str, ...] = ()
    writings: tuple[str, ...] = ()


class Portal(NamedTuple):
    """A platform's developer portal, and for which kind of its webhooks an address is entered there."""

    platform: str
    stream: str = ""


@dataclass(frozen=True)
class Webhook:
    """A platform's webhooks.

    ``changes`` splits a parsed document and never raises for a part it does not understand: it yields it with a
    defect. ``identify`` may raise for a change whose identity cannot be told; that change alone is parked.
    ``check`` names a defect that depends on the configuration. ``rule_version`` goes up when ``identify`` would
    name the same event differently; old events keep their names. ``retry_hours`` is for how many hours the platform
    repeats a delivery that was not accepted: after it, nothing older arrives any more. ``handshake`` takes a query and
    returns the text to answer it with; it raises a Refusal of ``ingest.errors``.
    """

    signature: Scheme
    changes: Callable[[object], Iterable[Change]]
    identify: Callable[[Change], Identity]
    rule_version: int
    retry_hours: int
    handshake: Callable[[Mapping[str, str], Variables], str] | None = None
    check: Callable[[Change, Variables], str | None] = no_check
    type_is_enough: Collection[str] = ()
    """Types of events whose type is all that matters: an odd part of one is left out, and does not park it."""
    others: tuple[Variable, ...] = field(default=())
    other_portals: tuple[Portal, ...] = ()
    """Portals of other platforms in which the address is entered too, each with the next secret of ``signature``."""
    persons: Persons = field(default=Persons())

    @cached_property
    def proof(self) -> tuple[str, ...]:
        """Names of the headers that are kept: the signature, how to read the body, and who sent it."""
        return (self.signature.header, "content-type", "user-agent")

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every environment variable this platform reads."""
        return (*self.signature.secrets, *self.others)


def text_of(value: object) -> str:
    """Return an id as text: platforms send strings and numbers. Raises Unidentifiable for anything else."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Unidentifiable("an id is missing or is neither text nor a number")


def account_of(value: object) -> str:
    """Return the account id of an envelope as text; empty where it has none."""
    return str(value) if isinstance(value, str | int | float | Odd) and not isinstance(value, bool) else ""


def bounded(value: str) -> str:
    """Return ``value`` if an index can hold it, else its readable beginning and its SHA-256."""
    if len(value) <= TEXT_LIMIT and value.isascii() and "\x00" not in value:
        return value
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) <= TEXT_LIMIT and b"\x00" not in raw and not any("\ud800" <= c <= "\udfff" for c in value):
        return value
    head = "".join(c if c.isascii() and c.isprintable() else "?" for c in value[:40])
    return f"{head}~sha256:{hashlib.sha256(raw).hexdigest()}"
