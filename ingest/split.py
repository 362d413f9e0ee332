"""Split the body of a delivery into events, without I/O. Whatever was accepted becomes events in some form."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from ingest.contract import Change, Identity, Incoming, Received, Variables, Webhook, bounded
from ops.runtime.text import storable
from schema.reading import Odd, Unreadable, oddities, oddity_of, read, read_leniently, without_oddities

SIGNED_FUTURE = timedelta(minutes=5)
"""How much later than its signature an event may claim to have happened: two clocks of the platform differ."""

UNSIGNED_FUTURE = timedelta(days=7)
"""The same where the signature has no time, against our own clock, which may be days behind (``faults.md`` D5)."""

_DRIFT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError)
"""What code raises on an unforeseen shape (``faults.md`` E10)."""


class Split(NamedTuple):
    """What a delivery came to: ``verdict`` and ``reason`` go into its outcome, ``events`` into the log."""

    verdict: str
    reason: str | None
    events: list[Incoming]


def split(webhook: Webhook, received: Received, variables: Variables) -> Split:
    """Return the events of a delivery."""
    quarantine = "signature older than the platform retries" if received.verdict == "quarantined" else None
    try:
        changes: Iterable[Change] = _cut(webhook, read(received.body))
    except Unreadable as error:
        try:
            changes = _cut_odd(webhook, received.body)
        except Unreadable:
            return without_events(received.body, error.reason)
    latest = received.signed_at + SIGNED_FUTURE if received.signed_at else received.received_at + UNSIGNED_FUTURE
    events = [_incoming(webhook, change, variables, quarantine, latest) for change in changes]
    return Split(received.verdict, quarantine, events)


def without_events(body: bytes, reason: str) -> Split:
    """Return one parked event in place of a body's own, of which none can be read or stored."""
    return Split("unreadable", reason, [unreadable(body, reason)])


def unreadable(body: bytes, reason: str) -> Incoming:
    """Return the one event that stands for a body from which nothing can be read. The delivery keeps the bytes."""
    return Incoming(
        account_id="",
        type="unreadable",
        external_id=f"unreadable:{hashlib.sha256(body).hexdigest()}",
        payload=None,
        defect=reason,
    )


def _cut(webhook: Webhook, document: object) -> Iterator[Change]:
    """Yield the platform's changes; if its code raises, those before that, and then the whole document."""
    try:
        yield from webhook.changes(document)
    except _DRIFT as error:
        yield Change("", "unknown", document, f"cannot be cut: {error.__class__.__name__}: {error}"[:500])


def _cut_odd(webhook: Webhook, body: bytes) -> list[Change]:
    """Return the changes of a document with odd places; a change that holds one gets its reason as its defect.

    Raises Unreadable where it is no document at all.
    """
    document, reasons = read_leniently(body)
    changes = list(_cut(webhook, document))
    for change in changes:
        # The envelope may be odd too, and with it whose the change is, or what it is called.
        names = {name: oddity_of(name) or reasons.get(name) for name in (change.account_id, change.type)}
        envelope = [("envelope", reason) for reason in names.values() if reason]
        change.odd = sorted([*oddities(change.value), *envelope])
        if change.odd and change.type in webhook.type_is_enough and not envelope:
            change.value = without_oddities(change.value)
        elif change.odd:
            change.defect = ", ".join(sorted({reason for _, reason in change.odd}))
    return changes


def _identity_of_odd(change: Change) -> Identity:
    """Name an odd change by its readable text and its odd places, so that it differs from the same change unbroken."""
    places = "\n".join(f"{path} {reason}" for path, reason in change.odd)
    shown = f"{change.text}\n{places}".encode("utf-8", "surrogatepass")
    return Identity(f"unreadable:{change.type}:{hashlib.sha256(shown).hexdigest()}")


def _incoming(
    webhook: Webhook, change: Change, variables: Variables, quarantine: str | None, latest: datetime
) -> Incoming:
    defect = change.defect or quarantine
    try:
        identity = _identity_of_odd(change) if change.odd and change.defect else webhook.identify(change)
        defect = defect or webhook.check(change, variables)
    except _DRIFT as error:
        # This change waits, no other does.
        identity = Identity(f"unidentified:{change.type}:{change.digest}")
        defect = defect or f"identity cannot be told: {error.__class__.__name__}: {error}"[:500]
    payload, sanitized = _storable(change)
    return Incoming(
        account_id=bounded(change.account_id),
        type=bounded(change.type),
        external_id=bounded(identity.external_id),
        payload=payload,
        # An event dated later than its delivery gets no time: as a removal it would end every future grant.
        occurred_at=None
        if identity.occurred_at is not None and identity.occurred_at > latest
        else identity.occurred_at,
        defect=None if defect is None else storable(defect),
        sanitized=sanitized,
    )


_WHOLE = re.compile(r"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|[^u])")
"""An escape that is whole by itself: a pair of surrogates, as of an emoji, or a character after a backslash."""


def _storable(change: Change) -> tuple[str, bool]:
    """Return the payload as jsonb accepts it, and whether it differs from what was sent (``faults.md`` E5, E6)."""
    text = change.text
    rest = _WHOLE.sub(" ", text) if "\\ud" in text else text
    if "\\u0000" not in rest and "\\ud" not in rest:
        return text, bool(change.odd)
    clean = json.dumps(_clean(change.value), sort_keys=True, separators=(",", ":"))
    return clean, clean != text


def _clean(value: object) -> object:
    """Replace what PostgreSQL's text cannot hold: NUL and surrogates without their partner."""
    if isinstance(value, str | Odd):
        return storable(str(value))
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value
