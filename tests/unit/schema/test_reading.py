"""A platform's time in every form it may come in, and JSON inside JSON that is odd in places."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.reading import Odd, Unreadable, moment, read_text
from tests.recordings import json_values

NOON = datetime(2025, 10, 9, 8, 55, tzinfo=UTC)
NOON_AND_A_HALF = datetime(2025, 10, 9, 8, 55, 0, 500_000, tzinfo=UTC)
TIMES = [
    # as sent, what it is, why
    (1760000100, NOON, "seconds"),
    (1760000100000, NOON, "milliseconds"),
    (1760000100500, NOON_AND_A_HALF, "milliseconds of half a second"),
    (1760000100.0, NOON, "a float"),
    (1760000100.5, NOON_AND_A_HALF, "with a fraction"),
    (1760000100500.0, NOON_AND_A_HALF, "milliseconds as a float"),
    ("1760000100", NOON, "text"),
    (" 1760000100\n", NOON, "with white space around"),
    ("1760000100000", NOON, "milliseconds as text"),
    ("1760000100.5", NOON_AND_A_HALF, "a fraction as text"),
    ("1.7600001e9", NOON, "an exponent"),
    ("2025-10-09T08:55:00Z", NOON, "ISO 8601"),
    ("2025-10-09T08:55:00+0000", NOON, "as the Graph API writes it"),
    ("2025-10-09T10:55:00+02:00", NOON, "of another zone"),
    ("2025-10-09T08:55:00.500Z", NOON_AND_A_HALF, "with a fraction"),
    ("2025-10-09T08:55:00", NOON, "without a zone it is UTC"),
    ("2025-10-09 08:55:00", NOON, "with a space"),
    ("2025-10-09", datetime(2025, 10, 9, tzinfo=UTC), "a date"),
    (100, datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC), "long ago"),
    (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC), "the last of seconds"),
    (None, None, "nothing"),
    (0, None, "zero stands for none"),
    ("0", None, "as text too"),
    (-1, None, "before 1970"),
    ("-1760000100", None, "as text too"),
    ("1960-01-01T00:00:00Z", None, "as a date too"),
    (True, None, "not a number, though Python thinks so"),
    (float("nan"), None, "not a number"),
    (float("inf"), None, "nor infinity"),
    (10**18, None, "further than a date can be"),
    (10**400, None, "further than a float can be"),
    ("9" * 30, None, "as text too"),
    ("9" * 5000, None, "more digits than Python converts"),
    ("1e999", None, "infinity as text"),
    ("9999-12-31T23:59:59-14:00", None, "a date that is none in UTC"),
    ("", None, "no text"),
    ("yesterday", None, "a word"),
    ("1_760_000_100", None, "digits as Python writes them"),
    ("\u0661\u0667\u0666\u0660\u0660\u0660\u0660\u0661\u0660\u0660", None, "digits that are not ASCII"),
    ([1760000100], None, "a list"),
    ({"seconds": 1760000100}, None, "an object"),
    (Odd("1e400", "number_out_of_range"), None, "what could not be read"),
]


@pytest.mark.parametrize(("value", "expected"), [row[:2] for row in TIMES], ids=[row[2] for row in TIMES])
def test_time_of_a_platform(value: Any, expected: datetime | None) -> None:
    assert moment(value) == expected


@given(st.text(max_size=40) | json_values | st.floats() | st.integers())
def test_any_value_is_a_time_or_none(value: Any) -> None:
    found = moment(value)
    assert found is None or (found.tzinfo is UTC and found.timestamp() > 0)


@pytest.mark.parametrize(
    "odd", ["1e400", "9" * 5000, "NaN", "-Infinity", "[" * 70 + "]" * 70, "[" * 10**5 + "]" * 10**5]
)
def test_odd_part_of_json_in_a_string_takes_nothing_else(odd: str) -> None:
    found = read_text(f'{{"publish_id":"p","odd":{odd},"text":"\\ud800 NaN"}}')
    assert (found["publish_id"], found["text"]) == ("p", "\ud800 NaN")
    inner = found["odd"]
    while isinstance(inner, list):
        [inner] = inner
    assert isinstance(inner, Odd)
    assert inner.literal in odd


@given(json_values)
def test_json_in_a_string_that_is_in_order_is_read_as_it_is(value: Any) -> None:
    assert read_text(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "nonsense", '{"a":', '{"a":1e400', "[" * 10**5])
def test_what_is_no_json_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read_text(text)
