"""What every platform promises, over every recorded delivery. Adding a platform adds recordings, not tests."""

import json
from typing import Any

import pytest

from ingest.accept import accept
from ingest.contract import Delivery
from ingest.errors import Forged
from ingest.signatures import TimestampedHmac, verify
from ingest.split import split
from ops.cli import wiring
from schema.metadata import metadata
from schema.reading import Unreadable, read
from sync.projection.contract import Unprojectable
from tests.recordings import (
    FOLDER,
    NOW,
    STAMP,
    Recording,
    batches,
    cut,
    dumped,
    event,
    every,
    facts,
    fold,
    key_names,
    later,
    plain,
    recordings,
    secrets,
    sign,
    stated,
    take,
    turned,
    wants,
)

each = pytest.mark.parametrize("recording", every())


@pytest.mark.parametrize("platform", wiring.webhooks())
def test_platform_has_recordings(platform: str) -> None:
    assert recordings(platform), f"put its documented deliveries into tests/deliveries/{platform}"


def test_recordings_belong_to_platforms_there_are() -> None:
    assert {folder.name for folder in FOLDER.iterdir()} <= set(wiring.webhooks())


@pytest.mark.parametrize("platform", [name for name in wiring.projections() if name in wiring.webhooks()])
def test_projection_gets_events_from_recordings(platform: str) -> None:
    assert any(recording.rows for recording in recordings(platform)), "no recording says which rows it makes"


def verdict(recording: Recording, header: dict[str, str], body: bytes, variables: dict[str, tuple[str, ...]]) -> str:
    """Which secret fits, or why the delivery is refused."""
    try:
        return verify(recording.webhook.signature, recording.headers | header, body, variables, NOW).secret_used
    except Forged as error:
        return f"refused: {error.reason}"


@each
def test_every_candidate_secret_passes_and_is_named(recording: Recording) -> None:
    scheme = recording.webhook.signature
    variables = secrets(recording.webhook)
    for variable in scheme.secrets:
        [secret] = variables[variable.name]
        header = sign(scheme, recording.body, secret)
        assert verdict(recording, header, recording.body, variables) == f"{variable.name}#1"
        rotating = variables | {variable.name: ("the next one", secret)}
        assert verdict(recording, header, recording.body, rotating) == f"{variable.name}#2"
        without = variables | {variable.name: ("the next one",)}
        assert verdict(recording, header, recording.body, without) == "refused: mismatch"


@each
def test_one_flipped_bit_of_the_body_fails(recording: Recording) -> None:
    scheme, body = recording.webhook.signature, recording.body
    variables = secrets(recording.webhook)
    header = sign(scheme, body, variables[scheme.secrets[0].name][0])
    size = len(body)
    positions = {0, 1, size - 2, size - 1, *range(0, size, max(1, size // 24))}
    for position in sorted(positions & set(range(size))):
        for bit in (0, position % 7 + 1):
            flipped = body[:position] + bytes([body[position] ^ 1 << bit]) + body[position + 1 :]
            assert verdict(recording, header, flipped, variables) == "refused: mismatch", (position, bit)
    for other in (body + b"\n", body + b"\0", b" " + body, body[:-1] if body else b"x"):
        assert verdict(recording, header, other, variables) == "refused: mismatch", "a byte more or less"


@each
def test_one_flipped_bit_of_the_header_fails(recording: Recording) -> None:
    scheme, body = recording.webhook.signature, recording.body
    variables = secrets(recording.webhook)
    [(name, value)] = sign(scheme, body, variables[scheme.secrets[0].name][0]).items()
    for position in range(len(value)):
        # Bits 0 and 4: bit 5 is the case of a letter, which some schemes forgive.
        for bit in (0, 4):
            flipped = value[:position] + chr(ord(value[position]) ^ 1 << bit) + value[position + 1 :]
            assert verdict(recording, {name: flipped}, body, variables).startswith("refused"), (position, bit)
        cut_off = verdict(recording, {name: value[:position]}, body, variables)
        assert cut_off.startswith("refused"), f"{position} characters are enough"


@each
def test_one_flipped_bit_of_the_secret_fails(recording: Recording) -> None:
    scheme, body = recording.webhook.signature, recording.body
    variables = secrets(recording.webhook)
    secret = variables[scheme.secrets[0].name][0]
    for position in range(len(secret)):
        flipped = secret[:position] + chr(ord(secret[position]) ^ 1) + secret[position + 1 :]
        assert verdict(recording, sign(scheme, body, flipped), body, variables) == "refused: mismatch", position


@each
def test_another_timestamp_fails(recording: Recording) -> None:
    scheme, body = recording.webhook.signature, recording.body
    if not isinstance(scheme, TimestampedHmac):
        return
    variables = secrets(recording.webhook)
    [(name, value)] = sign(scheme, body, variables[scheme.secrets[0].name][0]).items()
    for other in (STAMP + 1, STAMP - 1, STAMP - 86400, 0):
        changed = value.replace(f"t={STAMP}", f"t={other}")
        assert changed != value
        assert verdict(recording, {name: changed}, body, variables) == "refused: mismatch", other


@each
def test_missing_header_fails(recording: Recording) -> None:
    assert verdict(recording, {}, recording.body, secrets(recording.webhook)) == "refused: missing"


@each
def test_reserialised_body_fails_where_its_bytes_differ(recording: Recording) -> None:
    scheme = recording.webhook.signature
    variables = secrets(recording.webhook)
    header = sign(scheme, recording.body, variables[scheme.secrets[0].name][0])
    if recording.document is None:
        return
    others = {
        json.dumps(recording.document, ensure_ascii=ascii_only, separators=separators, sort_keys=in_order).encode(
            "utf-8", "surrogatepass"
        )
        for ascii_only in (True, False)
        for separators in ((",", ":"), (", ", ": "))
        for in_order in (True, False)
    } - {recording.body}
    assert others
    for other in others:
        assert verdict(recording, header, other, variables) == "refused: mismatch"


@each
def test_events_are_as_expected(recording: Recording) -> None:
    got = take(recording.platform, recording.body, recording.headers).events
    assert [item.type for item in got] == [item["type"] for item in recording.events]
    for item, expected in zip(got, recording.events, strict=True):
        for name in ("account_id", "external_id"):
            assert getattr(item, name) == expected[name]
        if "occurred_at" in expected:
            assert plain(item.occurred_at) == expected["occurred_at"]
        if expected.get("defect") is None:
            assert item.defect is None
        else:
            assert expected["defect"] in (item.defect or "")
        assert item.sanitized == expected.get("sanitized", False)


@each
def test_splitting_twice_gives_equal_events(recording: Recording) -> None:
    first, second = (take(recording.platform, recording.body).events for _ in range(2))
    assert first == second
    assert len({(item.account_id, item.external_id) for item in first}) == len(first), "two events share a name"


@each
def test_cutting_the_batch_anew_gives_the_same_ids(recording: Recording) -> None:
    """A retry may be cut differently and is sent at another time (meta.md 5): no id may depend on either."""
    document = recording.document
    if document is None:
        return
    lists, times = batches(recording.platform)

    def ids(*documents: Any) -> set[tuple[str, str]]:
        taken = (take(recording.platform, dumped(one)) for one in documents)
        return {(item.account_id, item.external_id) for accepted in taken for item in accepted.events}

    original = ids(document)
    assert original == {(item["account_id"], item["external_id"]) for item in recording.events}
    assert ids(*cut(document, lists)) == original, "each alone"
    assert ids(turned(document, lists)) == original, "in reverse order"
    assert ids(later(document, times)) == original, "sent later"
    assert ids(*reversed([later(piece, times) for piece in cut(document, lists)])) == original, "all of it"


@pytest.mark.parametrize("platform", wiring.webhooks())
def test_paths_of_the_envelope_occur_in_recordings(platform: str) -> None:
    """Or the test above would promise what it never tries."""
    lists, times = batches(platform)
    documents = [recording.document for recording in recordings(platform)]
    for path in sorted(lists):
        assert any(len(list(cut(document, {path, *_parents(path)}))) > 1 for document in documents if document), path
    for path in sorted(times):
        assert any(later(document, {path}) != document for document in documents if document), path


def _parents(path: str) -> set[str]:
    parts = path.split(".")
    return {".".join(parts[:n]) for n in range(1, len(parts))}


@each
def test_payload_keeps_its_value_and_suits_jsonb(recording: Recording) -> None:
    got = take(recording.platform, recording.body).events
    try:
        changes = list(recording.webhook.changes(read(recording.body)))
    except Unreadable:
        for item in got:  # what is odd is shown as text, in a change that is put aside
            assert item.sanitized == (item.defect is not None and item.payload is not None)
        return
    for item, change in zip(got, changes, strict=True):
        assert item.payload is not None
        value = json.loads(item.payload)
        assert (value == change.value) == (not item.sanitized)
        text = json.dumps(value, ensure_ascii=False)
        assert "\\u0000" not in text.replace("\\\\", "")
        text.encode()  # raises for half a surrogate pair


@each
def test_projecting_twice_gives_equal_facts(recording: Recording) -> None:
    for item, expected in zip(take(recording.platform, recording.body).events, recording.events, strict=True):
        if item.defect:
            continue  # parked, and never projected as it is
        one = event(recording.platform, item)
        if refusal := expected.get("unprojectable"):
            for _ in range(2):
                with pytest.raises(Unprojectable, match=refusal):
                    stated(one)
        else:
            assert stated(one) == stated(one)


@each
def test_facts_name_real_tables_facets_and_columns(recording: Recording) -> None:
    for item, expected in zip(take(recording.platform, recording.body).events, recording.events, strict=True):
        if item.defect or "unprojectable" in expected:
            continue
        for fact in facts(event(recording.platform, item)):
            table = fact.table
            assert metadata.tables[table.name] is table
            assert set(fact.key) == set(key_names(table)) - {"account_id"}
            assert all(isinstance(part, str) and part for part in fact.key.values())
            if fact.facet is None:
                assert not fact.values
                continue
            assert table.columns[f"{fact.facet}_version"].info == {"guards": fact.facet}
            assert fact.version, "the empty version means that there is no fact"
            assert fact.values
            if fact.facet == "metrics":  # whose values are keys of one column
                assert table.columns["metrics_json"].info == {"facet": "metrics", "keys": True}
                continue
            for name in fact.values:
                assert table.columns[name].info.get("facet") == fact.facet, name


@each
def test_versions_sort_alike_here_and_in_the_database(recording: Recording) -> None:
    """Here by code point, there by bytes (collation C); half a surrogate pair would not even be stored."""
    got = [item for item in take(recording.platform, recording.body).events if not item.defect]
    versions = [row[name] for rows in folded(recording, got).values() for row in rows for name in row if _guards(name)]
    assert sorted(versions) == sorted(versions, key=str.encode)


def _guards(name: str) -> bool:
    return name.endswith("_version")


def folded(recording: Recording, items: list[Any]) -> dict[str, list[dict[str, Any]]]:
    tables = fold(event(recording.platform, item) for item in items)
    return {name: [{k: plain(v) for k, v in row.items()} for row in rows.values()] for name, rows in tables.items()}


@each
def test_rows_are_as_expected(recording: Recording) -> None:
    items = [item for item in take(recording.platform, recording.body).events if item.defect is None]
    got = folded(recording, items)
    if asked := wants(event(recording.platform, item) for item in items):
        got["wants"] = asked
    assert set(got) == set(recording.rows)
    for table, expected in recording.rows.items():
        rows = list(got[table])
        for subset in expected:
            fitting = [row for row in rows if subset.items() <= row.items()]
            assert len(fitting) == 1, f"{table} has {fitting} for {subset} among {rows}"
            rows.remove(fitting[0])
        assert not rows, f"{table} has rows nobody expects: {rows}"


@each
def test_each_event_states_the_parents_of_its_rows(recording: Recording) -> None:
    """Events are projected alone and in any order, so no row may rest on a parent that another event states."""
    for item in take(recording.platform, recording.body).events:
        if item.defect:
            continue
        tables = fold([event(recording.platform, item)])
        for name, rows in tables.items():
            for constraint in metadata.tables[name].foreign_key_constraints:
                parent = constraint.referred_table
                for row in rows.values():
                    key = tuple(
                        row[element.parent.name] for element in constraint.elements if element.parent.name != "bucket"
                    )
                    assert None in key or key in tables[parent.name], f"{name} needs {key} in {parent.name}"


@each
def test_stale_signature_parks_every_event_and_keeps_its_name(recording: Recording) -> None:
    scheme = recording.webhook.signature
    if not isinstance(scheme, TimestampedHmac):
        return
    variables = secrets(recording.webhook)
    at = STAMP - scheme.horizon - 60
    header = sign(scheme, recording.body, variables[scheme.secrets[0].name][0], at)
    delivery = Delivery(recording.headers | header, recording.body)
    received = accept(recording.platform, recording.webhook, delivery, variables, NOW)
    stale = split(recording.webhook, received, variables)
    fresh = take(recording.platform, recording.body)
    assert [item.external_id for item in stale.events] == [item.external_id for item in fresh.events]
    assert all(item.defect for item in stale.events)
    assert stale.verdict in {"quarantined", "unreadable"}
