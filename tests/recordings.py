"""Recorded deliveries, an independent signer, and a fold of facts into rows that shares no code with that of ``sync``.

A recording is ``tests/deliveries/<platform>/<form>.json``: ``why`` it is there, the ``body`` on the wire (or
``body_base64``), further ``headers`` if the form needs any, and what to ``expect``: every event in its order, and every
row, each as the fields that matter. ``_envelope.json`` beside them says which lists are a batch and may be cut anew
(``batches``) and which values tell when it was sent, not when it happened (``sending_times``).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from sqlalchemy import Table

from ingest.accept import accept
from ingest.contract import Delivery, Incoming, Received, Webhook
from ingest.signatures import Hmac, Scheme, TimestampedHmac
from ingest.split import Split, split
from ops.cli import wiring
from schema.events import Event
from schema.reading import Unreadable, read
from sync.projection.contract import Unprojectable, Upsert, Want

FOLDER = Path(__file__).parent / "deliveries"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())


@dataclass(frozen=True)
class Recording:
    platform: str
    name: str
    body: bytes
    headers: dict[str, str]
    events: list[dict[str, Any]]
    rows: dict[str, list[dict[str, Any]]]

    @property
    def webhook(self) -> Webhook:
        return wiring.webhooks()[self.platform]

    @property
    def document(self) -> Any:
        """The body parsed, or None where it cannot be."""
        try:
            return read(self.body)
        except Unreadable:
            return None


@cache
def recordings(platform: str) -> tuple[Recording, ...]:
    return tuple(_load(platform, path) for path in sorted((FOLDER / platform).glob("[!_]*.json")))


def every() -> list[Any]:
    """All recordings of all platforms there are, as parameters."""
    found = [recording for platform in wiring.webhooks() for recording in recordings(platform)]
    return [pytest.param(recording, id=f"{recording.platform}-{recording.name}") for recording in found]


def _load(platform: str, path: Path) -> Recording:
    content = json.loads(path.read_text())
    assert content["why"], f"{path.name} does not say why it is there"
    body = base64.b64decode(content["body_base64"]) if "body_base64" in content else content["body"].encode()
    expect = content["expect"]
    return Recording(platform, path.stem, body, content.get("headers", {}), expect["events"], expect.get("rows", {}))


def sign(scheme: Scheme, body: bytes, secret: str, at: int = STAMP) -> dict[str, str]:
    """The header a platform with this scheme would send."""
    if isinstance(scheme, Hmac):
        digest = hmac.new(secret.encode(), scheme.signed_prefix + body, hashlib.sha256).digest()
        return {scheme.header: scheme.prefix + (base64.b64encode(digest).decode() if scheme.base64 else digest.hex())}
    if isinstance(scheme, TimestampedHmac):
        digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).digest()
        return {scheme.header: f"t={at},s={digest.hex()}"}
    raise TypeError(f"teach the tests to sign by {type(scheme).__name__}")


def secrets(webhook: Webhook) -> dict[str, tuple[str, ...]]:
    """One secret of its own for every variable that may hold one, nothing in the others."""
    unset: dict[str, tuple[str, ...]] = {variable.name: () for variable in webhook.variables}
    return unset | {variable.name: (f"secret of {variable.name}",) for variable in webhook.signature.secrets}


def received(platform: str, body: bytes, headers: dict[str, str] | None = None, now: datetime = NOW) -> Received:
    """A body, well signed, as ingest accepts it."""
    webhook = wiring.webhooks()[platform]
    variables = secrets(webhook)
    secret = variables[webhook.signature.secrets[0].name][0]
    signature = sign(webhook.signature, body, secret, int(now.timestamp()))
    return accept(platform, webhook, Delivery((headers or {}) | signature, body), variables, now)


def take(platform: str, body: bytes, headers: dict[str, str] | None = None, now: datetime = NOW) -> Split:
    """A body, well signed, as ingest accepts and splits it."""
    webhook = wiring.webhooks()[platform]
    return split(webhook, received(platform, body, headers, now), secrets(webhook))


def dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def event(platform: str, incoming: Incoming) -> Event:
    """What a projection gets to see of it, by way of the log."""
    payload = None if incoming.payload is None else json.loads(incoming.payload)
    return Event(platform, incoming.account_id, incoming.external_id, incoming.type, payload, incoming.occurred_at)


def stated(of: Event) -> list[Upsert | Want]:
    """All that a handler states: facts, and what is to be read from the platform."""
    projection = wiring.projections().get(of.provider)
    handler = projection.handlers.get(of.type) if projection else None
    return [*handler(of)] if handler else []


def facts(of: Event) -> list[Upsert]:
    return [one for one in stated(of) if isinstance(one, Upsert)]


def wants(events: Iterable[Event]) -> list[dict[str, str]]:
    """What is to be read from platforms, once for each object."""
    found: dict[tuple[str, str, str, str], Want] = {}
    for one in events:
        with suppress(Unprojectable):
            for want in stated(one):
                if isinstance(want, Want):
                    key = (one.provider, one.account_id, want.kind, want.object_id)
                    found[key] = max(want, found.get(key, want), key=lambda each: each.version)
    names = ("provider", "account_id", "kind", "object_id")
    return [
        dict(zip(names, key, strict=True)) | {"reason": want.reason, "wanted_version": want.version}
        for key, want in found.items()
    ]


def key_names(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key.columns if column.name != "bucket")


Rows = dict[str, dict[tuple[str, ...], dict[str, Any]]]


def fold(events: Iterable[Event]) -> Rows:
    """Rows by table and key: of each column the value of the highest version that knows it, as ``schema/crm`` says.

    Events that cannot be projected wait.
    """
    by_row: dict[str, dict[tuple[str, ...], list[Upsert]]] = {}
    for one in events:
        try:
            found = facts(one)
        except Unprojectable:
            continue
        for fact in found:
            key = tuple({"account_id": one.account_id, **fact.key}[name] for name in key_names(fact.table))
            by_row.setdefault(fact.table.name, {}).setdefault(key, []).append(fact)
    return {name: {key: _row(said, key) for key, said in rows.items()} for name, rows in by_row.items()}


def _row(said: list[Upsert], key: tuple[str, ...]) -> dict[str, Any]:
    table = said[0].table
    row: dict[str, Any] = dict(zip(key_names(table), key, strict=True))
    for facet in [column.info["guards"] for column in table.columns if "guards" in column.info]:
        names = [column.name for column in table.columns if column.info.get("facet") == facet]
        ordered = sorted((fact for fact in said if fact.facet == facet), key=lambda fact: fact.version)
        if table.columns[names[0]].info.get("keys"):
            row |= _object(facet, names[0], [fact for fact in ordered if fact.values])
            continue
        if len(names) == 1:
            ordered = [fact for fact in ordered if fact.values]
        row[f"{facet}_version"] = own = ordered[-1].version if ordered else ""
        carried = {}
        for name in names:
            knowing = [(fact.version, fact.values[name]) for fact in ordered if name in fact.values]
            at, row[name] = knowing[-1] if knowing else ("", None)
            assert all(value == row[name] for version, value in knowing if version == at), "one version says two things"
            if at and (row[name] is None or at != own):
                carried[name] = at
        if len(names) > 1:
            row[f"{facet}_carried"] = carried or None
    return row


def _object(facet: str, name: str, ordered: list[Upsert]) -> dict[str, Any]:
    """A facet that is one JSON object: of each key the value of the highest version that knows it."""
    own = ordered[-1].version if ordered else ""
    found = {key: (fact.version, value) for fact in ordered for key, value in fact.values.items()}
    carried = {key: at for key, (at, _) in found.items() if at != own}
    values = {key: value for key, (_, value) in found.items()}
    return {f"{facet}_version": own, f"{facet}_carried": carried or None, name: values or None}


def plain(value: Any) -> Any:
    """As an expectation in JSON writes it."""
    return value.isoformat() if isinstance(value, datetime) else value


def batches(platform: str) -> tuple[set[str], set[str]]:
    """Paths of the platform's lists that are batches, and of its sending times."""
    path = FOLDER / platform / "_envelope.json"
    content = json.loads(path.read_text()) if path.exists() else {}
    return set(content.get("batches", ())), set(content.get("sending_times", ()))


def cut(document: Any, lists: set[str], path: str = "") -> Iterator[Any]:
    """The same content, one thing to a document."""
    if isinstance(document, list) and not path:
        for item in document:
            yield from cut(item, lists)
        return
    found = [k for k, v in document.items() if path + k in lists and isinstance(v, list)] if _is(document) else []
    if not any(document[key] for key in found):
        yield document
        return
    shell = {key: value for key, value in document.items() if key not in found}
    for key in found:
        for item in document[key]:
            for piece in cut(item, lists, f"{path}{key}."):
                yield shell | {key: [piece]}


def turned(document: Any, lists: set[str], path: str = "") -> Any:
    """The same content, every batch in reverse order."""
    if isinstance(document, list) and not path:
        return [turned(item, lists) for item in reversed(document)]
    if not _is(document):
        return document
    return {
        key: [turned(item, lists, f"{path}{key}.") for item in reversed(value)]
        if path + key in lists and isinstance(value, list)
        else value
        for key, value in document.items()
    }


def later(document: Any, times: set[str], path: str = "") -> Any:
    """The same content, sent an hour later."""
    if isinstance(document, list):
        return [later(item, times, path) for item in document]
    if not _is(document):
        return document
    return {
        key: value + 3600 if path + key in times and isinstance(value, int) else later(value, times, f"{path}{key}.")
        for key, value in document.items()
    }


def _is(document: Any) -> bool:
    return isinstance(document, dict)


DRIFT: tuple[Any, ...] = (None, 7, -1, 1.5, True, "drift", "", [], [1], {}, {"x": 1})
"""What may stand some day where something else stands now."""


def drifted(document: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The document with each key dropped and each value replaced in turn, and where."""
    items = document.items() if _is(document) else enumerate(document) if isinstance(document, list) else ()
    for key, value in list(items):
        if _is(document):
            yield (key,), {name: other for name, other in document.items() if name != key}
        for path, other in [*(((), value) for value in DRIFT), *drifted(value)]:
            changed: Any = {**document} if _is(document) else [*document]
            changed[key] = other
            yield (key, *path), changed


_text = st.text(st.characters(codec=None, categories=None), max_size=12)  # NUL and half surrogate pairs too
_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text
json_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4), max_leaves=12
)


def _replaced(document: Any, path: list[int], value: Any) -> Any:
    """The document with the value that ``path`` happens to lead to replaced."""
    if not path or not document or not isinstance(document, dict | list):
        return value
    copy: Any = {**document} if _is(document) else [*document]
    keys = list(document) if _is(document) else range(len(document))
    key = keys[path[0] % len(keys)]
    copy[key] = _replaced(copy[key], path[1:], value)
    return copy


def without(value: Any, path: list[int]) -> Any:
    """The value with one key less, the one that ``path`` happens to lead to; JSON inside a string is a level too."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.dumps(without(json.loads(value), path))
        except ValueError:
            return value
    if not path or not value or not isinstance(value, dict | list):
        return value
    copy: Any = {**value} if _is(value) else [*value]
    keys = list(value) if _is(value) else range(len(value))
    key = keys[path[0] % len(keys)]
    inner = without(value[key], path[1:])
    if _is(value) and inner == value[key]:
        del copy[key]
    else:
        copy[key] = inner
    return copy


def bodies() -> st.SearchStrategy[bytes]:
    """Whatever may come: noise, JSON, deliveries with something else in them, and deliveries with damaged bytes."""
    recorded = [one for platform in wiring.webhooks() for one in recordings(platform)]
    documents = st.sampled_from([one.document for one in recorded if one.document is not None])
    changed = st.builds(_replaced, documents, st.lists(st.integers(0, 9), min_size=1, max_size=7), json_values)
    damaged = st.builds(
        lambda body, at, noise: body[:at] + noise + body[at + len(noise) :],
        st.sampled_from([one.body for one in recorded]),
        st.integers(0, 300),
        st.binary(max_size=4),
    )
    return st.binary(max_size=60) | json_values.map(dumped) | changed.map(dumped) | damaged
