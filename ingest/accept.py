"""The whole decision about one request, without I/O: forged or genuine, and which events it carries."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

from ingest.contract import Change, Delivery, Identity, Incoming, Variables, Webhook, bounded
from ingest.errors import Unreadable
from ingest.signatures import Verified, verify

DEPTH_LIMIT = 64
"""Deepest nesting read. No platform documents more than a dozen levels (``faults.md`` E7)."""

_NESTING = bytes(range(256)).translate(None, b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_DRIFT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError)
"""What code raises that meets a shape nobody foresaw (``faults.md`` E10)."""

_REPLACEMENT = "\ufffd"


class Accepted(NamedTuple):
    """A genuine delivery: ``verdict`` and ``reason`` go into its row, ``events`` into the log."""

    verified: Verified
    verdict: str
    reason: str | None
    events: list[Incoming]


def accept(webhook: Webhook, delivery: Delivery, variables: Variables, now: datetime) -> Accepted:
    """Raises Forged or NotConfigured; whatever is signed is accepted in some form."""
    verified = verify(webhook.signature, delivery.headers, delivery.body, variables, now)
    quarantine = "signature older than the platform retries" if verified.stale else None
    try:
        document = read(delivery.body)
    except Unreadable as error:
        return Accepted(verified, "unreadable", error.reason, [unreadable(delivery.body, error.reason)])
    events = [_incoming(webhook, change, variables, quarantine) for change in _cut(webhook, document)]
    return Accepted(verified, "quarantined" if quarantine else "accepted", quarantine, events)


def unreadable(body: bytes, reason: str) -> Incoming:
    """The one event that stands for a body nothing can be read from; the delivery keeps the bytes."""
    return Incoming(
        account_id="",
        type="unreadable",
        external_id=f"unreadable:{hashlib.sha256(body).hexdigest()}",
        payload=None,
        defect=reason,
    )


def read(body: bytes) -> Any:
    """Parse strict UTF-8 JSON. Of a repeated key the last value counts, as it does in jsonb.

    The standard library's parser, because it keeps integers of any size; others turn them into floats. Raises
    Unreadable.
    """
    if _depth(body) > DEPTH_LIMIT:
        raise Unreadable("nested_too_deep")
    try:
        return _parse(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("not_utf8") from None
    except RecursionError:
        raise Unreadable("nested_too_deep") from None
    except ValueError as error:  # also integers of more digits than Python converts
        raise Unreadable("not_json" if isinstance(error, json.JSONDecodeError) else "number_out_of_range") from None


def _depth(body: bytes) -> int:
    """Deepest nesting, or 0 where there are too few brackets to matter."""
    if len(body.translate(None, _NESTING)) <= DEPTH_LIMIT:
        return 0
    # Brackets inside strings do not nest, and closing ones there would hide real nesting.
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return max(accumulate(map(_STEP.__getitem__, outside.translate(None, _NESTING))), default=0)


def _refuse_constant(_: str) -> Any:
    raise Unreadable("not_json")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Unreadable("number_out_of_range")
    return number


_parse = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
"""Made once: ``json.loads`` with options makes a decoder for every call."""


def _cut(webhook: Webhook, document: Any) -> Iterator[Change]:
    """The platform's changes; should it stumble in spite of its promise, those before that and the whole document."""
    try:
        yield from webhook.changes(document)
    except _DRIFT as error:
        yield Change("", "unknown", document, f"cannot be cut: {error.__class__.__name__}: {error}"[:500])


def _incoming(webhook: Webhook, change: Change, variables: Variables, quarantine: str | None) -> Incoming:
    defect = change.defect or quarantine
    try:
        identity = webhook.identify(change)
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
        occurred_at=identity.occurred_at,
        defect=None if defect is None else _clean(defect),
        sanitized=sanitized,
    )


def _storable(change: Change) -> tuple[str, bool]:
    """The payload as jsonb takes it, and whether that differs from what was sent (``faults.md`` E5, E6)."""
    text = change.text
    if "\\u0000" not in text and "\\ud" not in text:
        return text, False
    clean = json.dumps(_clean(change.value), sort_keys=True, separators=(",", ":"))
    return clean, clean != text


def _clean(value: Any) -> Any:
    """Replace what PostgreSQL's text cannot hold: NUL and surrogates without their partner."""
    if isinstance(value, str):
        return value.replace("\x00", _REPLACEMENT).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value
