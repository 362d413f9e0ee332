"""Whatever is signed is taken in some form: odd bytes, odd numbers, odd shapes, and never an exception."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.accept import accept
from ingest.contract import Change, Delivery, Incoming, bounded
from ingest.split import Split, _storable, split
from ops.cli import wiring
from ops.runtime.text import _UNFIT
from schema.reading import DEPTH_LIMIT, ODD_LIMIT, STRUCTURE_LIMIT, read
from tests.recordings import (
    NOW,
    Recording,
    bodies,
    drifted,
    dumped,
    every,
    recordings,
    secrets,
    sign,
    take,
)

READABLE = {"not_utf8", "not_json", "nested_too_deep", "number_out_of_range"}
PLATFORMS = list(wiring.webhooks())
INDEX_BYTES = 400
"""What an id may cost in an index: three of them, and the rest of the key, stay well under 2704 bytes."""


def sound(accepted: Split) -> list[Incoming]:
    """What PostgreSQL and the workers rely on, whatever came."""
    if accepted.verdict == "unreadable":
        assert accepted.reason in READABLE
        assert [(item.type, item.payload, item.defect) for item in accepted.events] == [
            ("unreadable", None, accepted.reason)
        ]
    else:
        assert (accepted.verdict, accepted.reason) == ("accepted", None)
    for item in accepted.events:
        for name in (item.account_id, item.type, item.external_id, item.defect or ""):
            assert "\x00" not in name
            name.encode()  # raises for half a surrogate pair
        assert max(len(name.encode()) for name in (item.account_id, item.type, item.external_id)) < INDEX_BYTES
        assert item.external_id
        if item.payload is not None:
            storable(json.loads(item.payload, parse_constant=pytest.fail))
    return accepted.events


def storable(value: Any) -> None:
    if isinstance(value, str):
        assert "\x00" not in value
        value.encode()
    elif isinstance(value, list):
        for item in value:
            storable(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            storable(key)
            storable(item)


@pytest.mark.parametrize("platform", PLATFORMS)
@given(body=bodies())
@settings(max_examples=300)
def test_any_signed_bytes_are_taken(platform: str, body: bytes) -> None:
    sound(take(platform, body))


UNREADABLE = [
    # body, reason, why
    (b"", "not_json", "nothing"),
    (b"   \n", "not_json", "white space"),
    (b"hello", "not_json", "text"),
    (b'{"a":1', "not_json", "cut off"),
    (b'{"a":1}}', "not_json", "something after the end"),
    (b"{'a':1}", "not_json", "apostrophes"),
    (b'{"a":1,}', "not_json", "a comma too many"),
    (b'{"a":01}', "not_json", "a leading zero"),
    (b'{"a":"\\x41"}', "not_json", "an escape JSON does not have"),
    ('{"a":1}'.encode("utf-16"), "not_utf8", "UTF-16 with its mark"),
    ('{"a":"é"}'.encode("utf-16-le"), "not_utf8", "UTF-16 without"),
    ('{"a":1}'.encode("utf-16-le"), "not_json", "UTF-16 that happens to be UTF-8 full of NULs"),
    (b"\x00\xff\xfe", "not_utf8", "meta.md 12, body G"),
    (b"\x1f\x8b\x08\x00", "not_utf8", "gzip"),
    (b"[" * 100_000, "nested_too_deep", "nesting that never ends"),
    (b'{"a":' * 100_000, "nested_too_deep", "the same of objects"),
    (b'{"a":1e400', "number_out_of_range", "a number out of range, and then the end"),
    (b'{"a":1e400' + b",1" * STRUCTURE_LIMIT + b"]", "number_out_of_range", "and more than is looked through"),
    (b"[1e400" + b",1" * STRUCTURE_LIMIT + b"]", "number_out_of_range", "good JSON of that size"),
    (b"[" + b"1e400," * ODD_LIMIT + b"1e400]", "number_out_of_range", "odd all over"),
]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("body", "reason"), [row[:2] for row in UNREADABLE], ids=[row[2] for row in UNREADABLE])
def test_unreadable_body_is_one_parked_event(platform: str, body: bytes, reason: str) -> None:
    """faults.md E6"""
    accepted = take(platform, body)
    sound(accepted)
    assert (accepted.verdict, accepted.reason) == ("unreadable", reason)


def test_two_unreadable_bodies_are_two_events() -> None:
    [first], [second], [again] = (take("instagram", body).events for body in (b"one", b"two", b"one"))
    assert first.external_id != second.external_id
    assert first == again


READ = [
    # body, value, why
    (b'{"a":1,"a":2}', {"a": 2}, "of a repeated key the last value counts"),
    (b'{"a":{"b":1},"a":{"c":2}}', {"a": {"c": 2}}, "and nothing is merged"),
    (b"18446744073709551616", 2**64, "over 64 bits"),
    (b"-9223372036854775809", -(2**63) - 1, "under 63 bits"),
    (b"9007199254740993", 2**53 + 1, "where doubles begin to skip"),
    (b"9" * 4300, int("9" * 4300), "as many digits as Python converts"),
    (b"1e-400", 0.0, "too small is nothing, not an error"),
    (b"1e308", 1e308, "the largest doubles"),
    (b'"\\ud83d\\ude00"', "😀", "a pair of surrogates is one character"),
    (b'"\\uD83D\\uDE00"', "😀", "whatever the case of its digits"),
    (b'"\\u0000"', "\x00", "NUL is legal JSON"),
    (b'"\\ud800"', "\ud800", "half a pair too"),
    (b'"\\/"', "/", "an escape JSON does not need"),
    (b" \r\n\t1 ", 1, "white space around"),
    (b"null", None, "nothing at all, in JSON"),
]


@pytest.mark.parametrize(("body", "value"), [row[:2] for row in READ], ids=[row[2] for row in READ])
def test_body_is_read(body: bytes, value: Any) -> None:
    found = read(body)
    assert found == value
    assert type(found) is type(value)


def comment(**more: Any) -> dict[str, Any]:
    return {"field": "comments", "value": {"id": "1", "text": "hello", **more}}


def meta(*changes: Any, account: Any = "17841400000000001") -> bytes:
    return dumped({"object": "instagram", "entry": [{"id": account, "time": 1, "changes": list(changes)}]})


def test_integer_of_any_size_stays_exact() -> None:
    """faults.md E6: other parsers make floats of them."""
    for number in (2**53 + 1, 2**64, 2**64 + 1, -(2**70), 10**100 + 7):
        [event] = take("instagram", meta(comment(number=number))).events
        assert event.payload is not None
        assert str(number) in event.payload
        assert json.loads(event.payload)["number"] == number
        assert (event.defect, event.sanitized) == (None, False)


CLEANED = [
    # as sent, as kept, whether that differs, why
    ("a\x00b", "a\ufffdb", True, "NUL"),
    ("\ud800", "\ufffd", True, "the first half of a pair"),
    ("x\udfffy", "x\ufffdy", True, "the second half"),
    ("\udc00\ud800", "\ufffd" * 2, True, "both, the wrong way round"),
    ("😀", "😀", False, "a whole pair"),
    ("\\u0000", "\\u0000", False, "a backslash and letters that only look like NUL"),
    ("\\ud800", "\\ud800", False, "or like half a pair"),
    ("\ufffd", "\ufffd", False, "the replacement itself"),
    ("\ufeff\u2028\x7f\x01", "\ufeff\u2028\x7f\x01", False, "odd, but text"),
]


@pytest.mark.parametrize(("sent", "kept", "differs"), [row[:3] for row in CLEANED], ids=[row[3] for row in CLEANED])
def test_text_that_jsonb_refuses_is_cleaned_and_flagged(sent: str, kept: str, *, differs: bool) -> None:
    """faults.md E5, E6"""
    [event] = sound(take("instagram", meta(comment(text=sent, deep=[{sent: sent}]))))
    assert event.payload is not None
    value = json.loads(event.payload)
    assert value["text"] == kept
    assert value["deep"] == [{kept: kept}]
    assert event.sanitized is differs
    assert event.defect is None, "it is projected all the same"


def test_cleaning_does_not_make_two_events_one() -> None:
    """The name is made of what was sent, not of what is kept."""
    texts = ("a\x00", "a\ufffd", "a\ud800", "a\ud801")
    events = sound(take("instagram", meta(*(comment(text=text) for text in texts))))
    assert len({event.external_id for event in events}) == len(texts)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("odd", ["\x00", "\ud800", "ü" * 300, "\x00" * 300], ids=["NUL", "half", "long", "many NULs"])
def test_odd_text_in_ids_is_taken(platform: str, odd: str) -> None:
    for recording in recordings(platform):
        text = json.dumps(recording.document)
        for id_text in ("17841400000000001", "17900000000000001", "-000abcDEF123", "awtestkey0001", "comments"):
            if f'"{id_text}"' in text:
                sound(take(platform, text.replace(f'"{id_text}"', json.dumps(odd)).encode()))


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return opening * depth + b"1" + closing * depth


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
@pytest.mark.parametrize("depth", [65, 1000, 100_000])
def test_document_nested_too_deep_is_one_parked_event(
    platform: str, depth: int, opening: bytes, closing: bytes
) -> None:
    """faults.md E7"""
    bodies = (
        nested(depth, opening, closing),
        b'{"s":"' + b"]}" * 100 + b'","v":' + nested(depth - 1, opening, closing) + b"}",  # hidden behind a string
        b'{"s":"\\"' + b"]" * 100 + b'\\\\","v":' + nested(depth - 1, opening, closing) + b"}",  # and behind escapes
    )
    for number, body in enumerate(bodies):
        [event] = sound(take(platform, body))
        assert (event.type, event.defect, event.sanitized) == ("unknown", "nested_too_deep", True), number
        assert event.payload is not None, "what is shown of it is what is not too deep, and the rest as text"
        assert json.dumps((opening * (depth - DEPTH_LIMIT)).decode())[1:-1] in event.payload or number


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nesting_up_to_the_limit_is_read(platform: str) -> None:
    for body in (nested(DEPTH_LIMIT, b"[", b"]"), nested(DEPTH_LIMIT, b'{"a":', b"}")):
        assert take(platform, body).verdict == "accepted"
        sound(take(platform, body))


BRACKETS = ["[" * 1000, "[{" * 50_000, "]" * 1000, '"[' * 1000, "\\[" * 1000, '\\"[' * 1000, "\\", '"', '\\\\"[']


@pytest.mark.parametrize("text", BRACKETS, ids=[text[:6] for text in BRACKETS])
def test_brackets_inside_strings_do_not_count(text: str) -> None:
    changes = [comment(text=text), *(comment(id=str(number)) for number in range(100))]
    events = sound(take("instagram", meta(*changes)))
    assert [event.defect for event in events] == [None] * 101


@pytest.mark.parametrize("platform", ["instagram", "tiktok"])
def test_huge_ids_are_bounded_and_stay_distinct(platform: str) -> None:
    """faults.md E8: an index row must stay under 2704 bytes."""
    megabyte = "9" * 2**20
    seen = set()
    for tail in ("1", "2", "ü", "\x00"):
        for recording in recordings(platform)[:6]:
            text = json.dumps(recording.document)
            for id_text in ("17841400000000001", "17900000000000001", "-000abcDEF123"):
                if f'"{id_text}"' in text:
                    body = text.replace(f'"{id_text}"', json.dumps(megabyte + tail)).encode()
                    seen.update(
                        (recording.name, event.account_id, event.external_id) for event in sound(take(platform, body))
                    )
    assert len({name[1:] for name in seen}) >= 4
    for tail in ("1", "2"):
        assert bounded(megabyte + tail) == bounded(megabyte + tail)
    assert bounded(megabyte + "1") != bounded(megabyte + "2")


BOUNDED = [
    # text, whether it is kept, why
    ("17841400000000001", True, "an id"),
    ("a" * 200, True, "the longest"),
    ("a" * 201, False, "one more"),
    ("ü" * 100, True, "two hundred bytes"),
    ("ü" * 101, False, "two more"),
    ("", True, "nothing"),
    ("a\x00", False, "NUL"),
    ("\ud800", False, "half a pair"),
]


@pytest.mark.parametrize(("text", "kept"), [row[:2] for row in BOUNDED], ids=[row[2] for row in BOUNDED])
def test_id_is_kept_where_an_index_can_hold_it(text: str, *, kept: bool) -> None:
    assert (bounded(text) == text) is kept
    assert len(bounded(text).encode()) <= 200
    assert "\x00" not in bounded(text)


BROKEN = [None, 7, "text", [], {}, {"field": 7}, {"field": "comments"}, {"field": "comments", "value": None}]
BROKEN += [{"field": "comments", "value": {"id": bad}} for bad in (None, "", [], {}, 1.5, True)]
BROKEN += [{"field": "mentions", "value": {}}, {"field": "messages", "value": {"message": None}}]


@pytest.mark.parametrize("broken", BROKEN, ids=json.dumps)
def test_one_broken_change_of_a_thousand_parks_alone(broken: Any) -> None:
    """faults.md F3"""
    good = [comment(id=str(number)) for number in range(999)]
    alone = [event.external_id for event in take("instagram", meta(*good)).events]
    events = sound(take("instagram", meta(*good[:500], broken, *good[500:])))
    assert len(events) == 1000
    assert [number for number, event in enumerate(events) if event.defect] == [500]
    assert [event.external_id for event in events if not event.defect] == alone


ODD = [
    # what stands in the place of a value, the reason, how it is shown, why
    (b"1e400", "number_out_of_range", "1e400", "more than a double holds; jsonb would take it, we could not read it"),
    (b"-1e400", "number_out_of_range", "-1e400", "less than a double holds"),
    (b"1" * 400 + b".5", "number_out_of_range", "1" * 400 + ".5", "the same without an exponent"),
    (b"9" * 5000, "number_out_of_range", "9" * 5000, "more digits than Python converts"),
    (b"-" + b"9" * 100_000, "number_out_of_range", "-" + "9" * 100_000, "many more"),
    (b"NaN", "not_a_number", "NaN", "NaN is not JSON, though Python writes it"),
    (b"Infinity", "number_out_of_range", "Infinity", "nor is Infinity"),
    (b"-Infinity", "number_out_of_range", "-Infinity", "nor -Infinity"),
    (nested(70, b"[", b"]"), "nested_too_deep", None, "70 levels"),
    (nested(70, b'{"a":', b"}"), "nested_too_deep", None, "70 levels of objects"),
    (nested(100_000, b"[", b"]"), "nested_too_deep", None, "100 000 levels"),
    (nested(100_000, b'{"NaN":', b"}"), "nested_too_deep", None, "100 000 levels of objects"),
    (b'"\xff\xfe"', "not_utf8", "\ufffd" * 2, "bytes that no UTF-8 has"),
    ("é".encode("latin-1").join([b'"', b'"']), "not_utf8", "\ufffd", "Latin-1"),
    (b'"\xed\xa0\x80"', "not_utf8", "\ufffd" * 3, "a surrogate written in UTF-8"),
    (b'"\xc0\x80"', "not_utf8", "\ufffd" * 2, "a NUL written in two bytes"),
    (b'"\xf4\x90\x80\x80"', "not_utf8", "\ufffd" * 4, "beyond the last code point"),
    (b'"\x01"', "control_character", "\ufffd", "a control character as it is"),
    (b'"\t\x00"', "control_character", "\ufffd\ufffd", "a tab and a NUL as they are"),
    (b'{"\xff":1}', "not_utf8", {"\ufffd": 1}, "a key that is not UTF-8"),
    (
        b"[" + nested(70, b"[", b"]").replace(b"1", b"NaN") + b",NaN]",
        "nested_too_deep, not_a_number",
        [json.loads("[" * 57 + json.dumps("[" * 13 + "NaN" + "]" * 13) + "]" * 57), "NaN"],
        "one in what is cut out, and one after it",
    ),
    (b"[1e400,NaN]", "not_a_number, number_out_of_range", ["1e400", "NaN"], "two of them"),
]
ids_of_odd = [row[3] for row in ODD]


def hole(filled: bytes, document: Any) -> bytes:
    """The document with these bytes in the place of its hole."""
    return dumped(document).replace(b'"HOLE"', filled)


@pytest.mark.parametrize(("odd", "reason", "shown"), [row[:3] for row in ODD], ids=ids_of_odd)
def test_one_odd_value_of_a_thousand_changes_parks_its_own(odd: bytes, reason: str, shown: Any) -> None:
    """faults.md E6, E7, F3: in every place of the change; the others keep their names, in any company."""
    good = [comment(id=str(number), text="\ud800 NaN 1e400") for number in range(999)]
    alone = [event.external_id for event in take("instagram", meta(*good)).events]
    changes = [comment(id="HOLE"), comment(text="HOLE"), comment(deep=[{"deeper": "HOLE"}]), {"field": "comments"}]
    changes[-1]["value"] = "HOLE"
    names = set()
    for change in changes:
        events = sound(take("instagram", hole(odd, json.loads(meta(*good[:500], change, *good[500:])))))
        assert [(number, event.defect) for number, event in enumerate(events) if event.defect] == [(500, reason)]
        assert [event.external_id for event in events if not event.defect] == alone
        assert (events[500].type, events[500].account_id) == ("comments", "17841400000000001")
        assert events[500].sanitized
        names.add(events[500].external_id)
        if shown is not None and change is changes[1]:
            assert json.loads(events[500].payload or "")["text"] == shown
        [again] = sound(take("instagram", hole(odd, json.loads(meta(change)))))
        assert again == events[500], "alone, it is the same event"
    assert len(names) == len(changes)


@pytest.mark.parametrize(("odd", "reason"), [row[:2] for row in ODD], ids=ids_of_odd)
def test_odd_envelope_parks_what_it_is_about_and_nothing_beside_it(odd: bytes, reason: str) -> None:
    good = {"id": "17841400000000001", "time": 1, "changes": [comment()]}
    [alone] = take("instagram", dumped({"object": "instagram", "entry": [good]})).events
    scalar = odd[:1] not in b"[{"
    for entry, parked in (
        (good | {"id": "HOLE"}, scalar),
        (good | {"changes": "HOLE"}, True),
        (good | {"changes": [7, "HOLE"]}, True),
        (good | {"changes": [{"field": "HOLE", "value": {}}]}, True),
        ("HOLE", True),
        (good | {"time": "HOLE"}, False),  # no part of what happened
    ):
        *events, last = sound(take("instagram", hole(odd, {"object": "instagram", "entry": [entry, good]})))
        assert last == alone
        found = {part for event in events for part in (event.defect or "").split(", ")}
        assert (set(reason.split(", ")) <= found) is parked, entry


@pytest.mark.parametrize(("odd", "reason"), [row[:2] for row in ODD], ids=ids_of_odd)
def test_odd_event_of_a_list_of_tiktoks_parks_alone(odd: bytes, reason: str) -> None:
    good = {"event": "post.publish.complete", "create_time": 1, "user_openid": "u", "content": '{"publish_id":"p"}'}
    [alone] = take("tiktok", dumped(good)).events
    events = sound(take("tiktok", hole(odd, [good, good | {"more": ["HOLE"]}, good])))
    assert [event.defect for event in events] == [None, reason, None]
    assert events[0] == events[2] == alone
    assert events[1].external_id != alone.external_id, "it must not keep the same event in good order out of the log"


def test_largest_body_that_is_odd_does_not_hold_up_the_others() -> None:
    """Whoever can sign can send it: nothing else is served while it is read."""
    size = 16 * 2**20  # the default of LANDFALL_BODY_LIMIT
    half = STRUCTURE_LIMIT // 2
    bodies = {
        "an endless number": b'{"a":' + b"9" * size + b"}",
        "an endless fraction": b'{"a":1e400,"b":0.' + b"9" * size + b"}",
        "endless nesting": b"[" * (size // 2) + b"]" * (size // 2),
        "as much nesting as is looked through": b"[" * (half - 9) + b"]" * (half - 9),
        "a string that does not end": b"[" * 70 + b'"' + b'\\"' * (size // 2),
        "as many odd numbers as are looked through": b'{"a":[' + b"NaN," * (STRUCTURE_LIMIT - 9) + b"1]}",
        "as many odd numbers as are taken": b'{"a":[' + b"NaN," * ODD_LIMIT + b"0," * (STRUCTURE_LIMIT // 2) + b"1]}",
        "as many odd strings": b'{"a":[' + b'"\xff",' * (STRUCTURE_LIMIT // 3 - 9) + b"1]}",
        "many deep pieces": b"[" * 63 + b"[[[]]]," * (STRUCTURE_LIMIT // 8) + b"1" + b"]" * 63,
        "bytes that are not UTF-8": b'["' + b"\xff" * size + b'"]',
    }
    for what, body in bodies.items():
        begun = time.process_time()
        sound(take("tiktok", body))
        assert time.process_time() - begun < 3, what  # less than a second of an idle processor; tests share theirs


SIBLINGS = {platform: [one for one in recordings(platform) if one.document is not None] for platform in PLATFORMS}


@pytest.mark.parametrize("recording", every())
def test_drift_of_one_document_leaves_its_siblings_alone(recording: Recording) -> None:
    """faults.md E10: drop each key, replace each value; nothing raises and what stands beside keeps its name."""
    if recording.document is None:
        return
    sibling = SIBLINGS[recording.platform][0].document
    names = [event.external_id for event in take(recording.platform, dumped(sibling)).events]
    assert names
    in_a_list = [event.external_id for event in take(recording.platform, dumped([sibling])).events] == names
    for path, document in drifted(recording.document):
        sound(take(recording.platform, dumped(document)))
        if in_a_list:  # where the platform's documents may share a request
            beside = document if isinstance(document, list) else [document]
            events = sound(take(recording.platform, dumped([*beside, sibling])))
            assert [event.external_id for event in events[-len(names) :]] == names, path


def test_drift_of_one_change_leaves_its_siblings_alone() -> None:
    """The same within one entry, where changes share a list."""
    sibling = comment(id="sibling")
    [name] = [event.external_id for event in take("instagram", meta(sibling)).events]
    entries = [
        entry
        for one in SIBLINGS["instagram"]
        for document in (one.document if isinstance(one.document, list) else [one.document])
        for entry in document.get("entry", ())
    ]
    changes = [change for entry in entries for change in entry.get("changes", ()) if isinstance(change, dict)]
    assert len(changes) > 20
    for change in changes:
        for path, drift in drifted(change):
            events = sound(take("instagram", meta(drift, sibling)))
            assert [event.external_id for event in events][-1] == name, path
            assert len(events) == 2, path


def test_platform_that_stumbles_while_cutting_loses_nothing() -> None:
    """A platform file promises not to raise. If it does, a retry would meet the same bug: keep what there is."""

    def changes(document: Any) -> Iterator[Change]:
        for item in document["items"]:
            yield Change("a", "item", item["id"])

    webhook = replace(wiring.webhooks()["instagram"], changes=changes)
    variables = secrets(webhook)
    for items, found in (([{"id": 1}, None, {"id": 3}], 1), (None, 0), ("text", 0)):
        body = dumped({"items": items})
        delivery = Delivery(sign(webhook.signature, body, variables["META_APP_SECRET"][0]), body)
        events = sound(split(webhook, accept("instagram", webhook, delivery, variables, NOW), variables))
        assert [event.type for event in events] == ["item"] * found + ["unknown"]
        assert (events[-1].defect or "").startswith("cannot be cut: TypeError")
        assert events[-1].payload == body.decode(), "whole, so that it can be cut once the code is mended"


def test_empty_batch_is_accepted_without_events() -> None:
    for body in (b"[]", b'{"object":"instagram","entry":[]}'):
        assert sound(take("instagram", body)) == []


def test_event_of_another_app_is_put_aside() -> None:
    """tiktok.md 2.3: client_key must be ours, where ours is known."""
    webhook = wiring.webhooks()["tiktok"]
    body = dumped({"client_key": "theirs", "event": "x", "create_time": 1, "content": "{}"})
    variables = secrets(webhook)
    [secret] = variables["TIKTOK_CLIENT_SECRET"]
    delivery = Delivery(sign(webhook.signature, body, secret), body)
    for ours, defect in (((), None), (("theirs",), None), (("ours", "theirs"), None), (("ours",), "client_key is not")):
        configured = variables | {"TIKTOK_CLIENT_KEY": ours}
        [event] = split(webhook, accept("tiktok", webhook, delivery, configured, NOW), configured).events
        assert (event.defect or "").startswith(defect or ""), ours
        assert (event.defect is None) is (defect is None), ours


def test_byte_order_mark_before_a_body_takes_nothing() -> None:
    alone = take("instagram", meta(comment(text="a\nb"))).events
    [event] = sound(take("instagram", b"\xef\xbb\xbf" + meta(comment(text="a\nb"))))
    assert (event.defect, event.external_id) == (None, alone[0].external_id)


@pytest.mark.parametrize("odd", ['"trace":1e400', '"note":"\udcff"', '"create_time":1e400', '"content":"\udcff{"'])
def test_removal_is_projected_whatever_is_odd_in_it(odd: str) -> None:
    body = f'{{"event":"authorization.removed","user_openid":"-000a",{odd}}}'.encode("utf-8", "surrogateescape")
    [event] = sound(take("tiktok", body))
    assert (event.defect, event.type, event.account_id) == (None, "authorization.removed", "-000a")
    [other] = sound(take("tiktok", body.replace(b"authorization.removed", b"post.publish.complete")))
    assert other.defect, "of any other event the odd part could be what it says"


@pytest.mark.parametrize("account", [b'"\xff"', b"1e400"])
def test_removal_that_is_odd_in_whose_it_is_is_parked(account: bytes) -> None:
    [event] = sound(take("tiktok", b'{"event":"authorization.removed","user_openid":%b}' % account))
    assert event.defect, "else it would end what somebody else granted"


def test_event_that_claims_to_be_later_than_its_signature_has_no_time() -> None:
    def occurred(at: float) -> object:
        document = {"event": "authorization.removed", "user_openid": "-000a", "create_time": at}
        return sound(take("tiktok", dumped(document)))[0].occurred_at

    stamp = NOW.timestamp()
    assert occurred(stamp + 200) is not None
    assert occurred(stamp + 400) is None
    assert occurred(4_102_444_800) is None
    message = {"sender": {"id": "1"}, "timestamp": int((stamp + 8 * 86_400) * 1000), "message": {"mid": "m"}}
    entry = {"id": "1784", "messaging": [message]}
    [event] = sound(take("instagram", dumped({"object": "instagram", "entry": [entry]})))
    assert event.occurred_at is None, "against our own clock where a signature has no time"


PIECES = ["\\", "u", "d83d", "de00", "0000", "\x00", "\ud83d", "\ude00", "😀", "é", '"', "n"]


def joined(pieces: list[str]) -> str:
    """The pieces as a parser reads them: two halves of a surrogate pair become one character."""
    return "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(joined))
@example("\\ud83d\ude00")
@example("😀\ud83d")
def test_text_is_cleaned_where_it_has_to_be_and_only_there(said: str) -> None:
    """Emoji are pairs of surrogates, and are left as they are; a half of one is not, whatever looks like an escape."""
    change = Change("a", "comments", {"text": said})
    payload, sanitized = _storable(change)
    clean = _UNFIT.sub("\ufffd", said)
    assert json.loads(payload) == {"text": clean}
    assert sanitized == (clean != said)
    assert sanitized or payload == change.text


def test_emoji_are_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.split._clean", None)
    change = Change("a", "comments", {"text": "so good 😍🔥 \\ud83d"})
    assert _storable(change) == (change.text, False)
