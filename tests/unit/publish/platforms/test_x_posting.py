"""X: prices, lengths, polls, segments and errors (``x.md`` 4 to 8)."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.platform_protocol import Response
from publish.platforms.x_posting import MOST_SEGMENTS, PLATFORM, SEGMENT, dollars, segments
from publish.preflight.contract import Draft
from publish.preflight.error_catalogue import ErrorClass, classify
from tests.unit.publish.platforms.drafts import codes, findings, image, video

COST = ("warning", "cost")


@pytest.mark.parametrize(
    ("draft", "price"),
    [
        (Draft("text", "hello"), 0.015),
        (Draft("text", "see https://a.example.com"), 0.200),
        (Draft("text", "see example.com"), 0.200),
        (Draft("text", "see kiel.de"), 0.200),
        (Draft("images", "hello", media=[image(alt_text="a dog"), image(2)]), 0.020),
    ],
)
def test_price(draft: Draft, price: float) -> None:
    assert dollars(draft) == pytest.approx(price)


def test_price_is_said_before_the_post_is_accepted() -> None:
    [found] = findings(PLATFORM, "text", "see example.com")
    assert (found.severity.value, found.code) == COST
    assert found.message == "X charges 0.200 US dollars for this post, as it has an address: example.com."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 280, []),
        ("a" * 281, ["text_length"]),
        ("字" * 141, ["text_length"]),
        ("x" * 257 + " example.com", ["text_length"]),
        ("x" * 257 + " kiel.de", ["text_length"]),
        ("bad \ufffe", ["text_characters"]),
        ("$AAA and $BBB", ["cashtags"]),
        ("$AAA for $5", []),
        ("", ["text_missing"]),
    ],
)
def test_text(text: str, expected: list[str]) -> None:
    assert [code for severity, code in codes(PLATFORM, "text", text) if severity == "refusal"] == expected


@pytest.mark.parametrize(
    ("kind", "media", "options", "expected"),
    [
        ("images", [image(number) for number in range(1, 5)], {}, []),
        ("images", [image(number) for number in range(1, 6)], {}, ["media_count"]),
        ("images", [image(bytes=6_000_000)], {}, ["media_bytes"]),
        ("images", [image(alt_text="x" * 1001)], {}, ["alt_text_length"]),
        ("gif", [image(content_type="image/gif", frames=351)], {}, ["media_frames"]),
        ("video", [video()], {}, []),
        ("video", [video(seconds=140.5)], {}, ["media_seconds"]),
        ("video", [video(width=1080, height=1920)], {}, ["media_longer_side", "media_shorter_side"]),
        ("video", [video(), video(2)], {}, ["media_count"]),
        ("poll", [], {"poll": {"options": ["a", "b"], "minutes": 5}}, []),
        ("poll", [], {"poll": {"options": ["a", "b"], "minutes": 4}}, ["option_not_valid"]),
        ("poll", [], {"poll": {"options": ["a"], "minutes": 60}}, ["option_not_valid"]),
        ("poll", [], {}, ["option_missing"]),
        ("images", [image()], {"tagged_user_ids": [str(n) for n in range(11)]}, ["option_not_valid"]),
        ("text", [], {"reply_control": "everyone"}, ["option_not_valid"]),
        ("text", [], {"poll": {"options": ["a", "b"], "minutes": 5}}, ["unknown_option"]),
    ],
)
def test_kinds(kind: str, media: list[Any], options: dict[str, Any], expected: list[str]) -> None:
    found = codes(PLATFORM, kind, "hello", *media, **options)
    assert [code for severity, code in found if severity == "refusal"] == expected


def test_quotes_and_replies_may_be_refused() -> None:
    assert ("warning", "option_not_allowed") in codes(PLATFORM, "text", "hi", quote_of="1")
    assert ("warning", "replies_uncertain") in codes(PLATFORM, "text", "hi", first_comment="more")


@given(st.integers(1, 512 * SEGMENT))
def test_segments_cover_a_file_once(size: int) -> None:
    found = segments(size)
    assert found[0][0] == 0
    assert found[-1][1] == size - 1
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(found))
    assert all(last - first + 1 == SEGMENT for first, last in found[:-1])
    assert 1 <= found[-1][1] - found[-1][0] + 1 <= SEGMENT


@pytest.mark.parametrize("size", [0, -1, SEGMENT * MOST_SEGMENTS + 1])
def test_file_that_has_too_many_segments_or_none(size: int) -> None:
    with pytest.raises(ValueError, match="segments"):
        segments(size)


def problem(status: int, slug: str = "", detail: str = "") -> Response:
    kind = f"https://api.x.com/2/problems/{slug}" if slug else "about:blank"
    return Response(status, {"type": kind, "title": "Forbidden", "detail": detail, "status": status})


@pytest.mark.parametrize(
    ("response", "error_class", "code"),
    [
        (
            problem(403, detail="You are not allowed to create a Tweet with duplicate content."),
            ErrorClass.UNKNOWN_OUTCOME,
            "403",
        ),
        (
            Response(403, {"errors": [{"code": 187, "message": "Status is a duplicate."}]}),
            ErrorClass.UNKNOWN_OUTCOME,
            "187",
        ),
        (problem(403, detail="You are not permitted to perform this action."), ErrorClass.PERMISSION, "403"),
        (problem(403, "client-forbidden"), ErrorClass.APPLICATION, "client_forbidden"),
        (problem(429, "usage-capped"), ErrorClass.QUOTA, "usage_capped"),
        (problem(429, "rate-limit-exceeded"), ErrorClass.WAIT, "rate_limit_exceeded"),
        (Response(429, None), ErrorClass.UNKNOWN_OUTCOME, "429"),
        (Response(402, {"title": "Payment Required"}), ErrorClass.APPLICATION, "402"),
        (Response(503, None), ErrorClass.UNKNOWN_OUTCOME, "503"),
        (problem(401), ErrorClass.TOKEN, "401"),
        (problem(400, "invalid-request"), ErrorClass.CONTENT, "invalid_request"),
        (Response(201, {"errors": [{"title": "x", "type": "about:blank"}]}), ErrorClass.UNKNOWN_OUTCOME, "201"),
    ],
)
def test_errors_of_a_commit(response: Response, error_class: ErrorClass, code: str) -> None:
    found = classify(PLATFORM.errors, response, commit=True)
    assert found is not None
    assert (found.error_class, found.code) == (error_class, code)


def test_created_with_warnings_is_no_error() -> None:
    content = {"data": {"id": "1", "text": "hi"}, "errors": [{"title": "x"}]}
    assert classify(PLATFORM.errors, Response(201, content), commit=True) is None
