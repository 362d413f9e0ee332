import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publish.preflight.text import emoji_in_bytes, graphemes, hashtags, links, mentions, utf16_units

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@pytest.mark.parametrize(
    ("text", "seen", "units", "with_bytes"),
    [
        ("", 0, 0, 0),
        ("abc", 3, 3, 3),
        ("e\u0301", 1, 2, 2),
        ("字", 1, 1, 1),
        ("\U0001f600", 1, 2, 4),
        (FAMILY, 1, 11, 25),
        ("\U0001f1e9\U0001f1ea", 1, 4, 8),
        ("1\ufe0f\u20e3", 1, 3, 7),
        ("\U0001f44d\U0001f3fd", 1, 4, 8),
        ("\r\n", 1, 2, 2),
        ("\u00a9", 1, 1, 1),
    ],
)
def test_lengths(text: str, seen: int, units: int, with_bytes: int) -> None:
    assert graphemes(text) == seen
    assert utf16_units(text) == units
    assert emoji_in_bytes(text) == with_bytes


@given(st.text())
def test_lengths_are_in_order(text: str) -> None:
    assert graphemes(text) <= len(text) <= utf16_units(text) <= 2 * len(text)
    assert len(text) <= emoji_in_bytes(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_lone_surrogate_is_counted_and_breaks_nothing() -> None:
    assert utf16_units("a\ud800") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#one #two_3, #四 #1st", ["one", "two_3", "四", "1st"]),
        ("#123 a#b &#39; https://example.org/#top", []),
        ("(#in) #ünïcode!", ["in", "ünïcode"]),
    ],
)
def test_hashtags(text: str, expected: list[str]) -> None:
    assert hashtags(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@one, @two.three. (@four)", ["one", "two.three", "four"]),
        ("me@example.org @@no https://example.org/@user", []),
    ],
)
def test_mentions(text: str, expected: list[str]) -> None:
    assert mentions(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "see https://example.org/a?b=c#d, and (http://x.example/y).",
            ["https://example.org/a?b=c#d", "http://x.example/y"],
        ),
        ("https://en.example.org/wiki/Primer_(film)", ["https://en.example.org/wiki/Primer_(film)"]),
        ("HTTPS://EXAMPLE.ORG <https://a.example>", ["HTTPS://EXAMPLE.ORG", "https://a.example"]),
        ("example.org ftp://a.example mailto:x@y.example", []),
    ],
)
def test_links(text: str, expected: list[str]) -> None:
    assert links(text) == expected


@given(st.text())
def test_what_is_found_stands_in_the_text(text: str) -> None:
    assert all(f"#{tag}" in unicodedata.normalize("NFC", text) or tag in text for tag in hashtags(text))
    assert all(f"@{name}" in text for name in mentions(text))
    assert all(link in text for link in links(text))
