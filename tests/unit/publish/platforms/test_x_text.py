"""X's weighted length, against the public conformance data of twitter-text (``x.md`` 4.1)."""

import itertools
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from publish.platforms.x_text import LIMIT, LONGEST_SEARCHED, length, urls, valid, weighted

DATA = Path(__file__).parents[3] / "vendor" / "twitter-text"
VALIDATE = yaml.load((DATA / "validate.yml").read_text(), yaml.CSafeLoader)["tests"]
EXTRACT = yaml.load((DATA / "extract.yml").read_text(), yaml.CSafeLoader)["tests"]

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


def cases(tests: Any, *names: str) -> list[Any]:
    return [
        pytest.param(case["text"], case["expected"], id=case["description"]) for name in names for case in tests[name]
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    cases(VALIDATE, "WeightedTweetsWithDiscountedEmojiCounterTest", "UnicodeDirectionalMarkerCounterTest"),
)
def test_weighted_length_is_that_of_twitter_text(text: str, expected: dict[str, Any]) -> None:
    counted = weighted(text, doubtful=True)
    assert counted == expected["weightedLength"]
    assert (valid(text) and 0 < counted <= LIMIT) is expected["valid"]


@pytest.mark.parametrize(
    ("text", "expected"),
    cases(EXTRACT, "urls", "urls_with_indices", "urls_with_directional_markers", "tco_urls_with_params"),
)
def test_addresses_are_those_of_twitter_text(text: str, expected: list[Any]) -> None:
    found = [text[url.start : url.end] for url in urls(text)]
    assert found == [one["url"] if isinstance(one, dict) else one for one in expected]


@pytest.mark.parametrize("address", [case["text"] for case in VALIDATE["urls_without_protocol"]])
def test_bare_domain_counts_as_an_address(address: str) -> None:
    assert weighted(address, doubtful=True) == 23


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 280, 280),
        ("字" * 141, 282),
        (FAMILY * 140, 280),
        ("x" * 257 + " example.com", 281),
        ("x" * 257 + " kiel.de", 265),
        ("kiel.de/hafen", 23),
        ("t.co", 23),
        ("twitch.tv", 23),
        ("@example.com", 12),
        ("\u00a9 and \u00a9\ufe0f", 8),
        ("\u263a\ufe0e", 4),
        ("e\u0301", 1),
        ("http://\nexample.com", 7 + 1 + 23),
        ("https://example.com/a_(b)", 23),
        ("mail me@example.com", 19),
    ],
)
def test_examples_of_the_page(text: str, expected: int) -> None:
    assert weighted(text) == expected


def test_limit_counts_the_worse_of_two_readings_of_a_country_domain() -> None:
    assert length("kiel.de") == 23
    long = "ein-sehr-langer-name-fuer-eine-kleine-stadt.de"
    assert length(long) == len(long) > 23


WORDS = st.lists(
    st.one_of(
        st.text(max_size=10),
        st.sampled_from(
            ["example.com", "kiel.de/x", "https://a.example.com/b?c=d", "@a.com", "t.co", "-", "http://", FAMILY]
        ),
    ),
    max_size=6,
).map("".join)


@given(WORDS, WORDS)
def test_texts_with_a_space_between_them_count_as_each_alone(one: str, other: str) -> None:
    assert weighted(f"{one} {other}") == weighted(one) + 1 + weighted(other)
    assert urls(f"{one} {other}")[: len(urls(one))] == urls(one)


@given(WORDS)
def test_addresses_are_in_order_and_apart(text: str) -> None:
    found = urls(text)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    assert all(0 <= url.start < url.end <= len(text) for url in found)
    assert length(text) >= max(weighted(text), weighted(text, doubtful=True))


@given(st.text(alphabet=st.characters(categories=["L"], max_codepoint=0x10FF)))
def test_light_letters_count_once(text: str) -> None:
    assert weighted(text) == len(unicodedata.normalize("NFC", text))


@given(st.text(alphabet=st.characters(min_codepoint=0x3400, max_codepoint=0x4DBF)))
def test_heavy_letters_count_twice(text: str) -> None:
    assert weighted(text) == 2 * len(text)


@pytest.mark.parametrize(
    "hostile",
    ["字", "a-", "字.", "a.", ".", "twitter.com字", "http://a.b", "a_.", "(a.co/(", "\U0001f468\u200d", "#️"],
)
def test_hostile_text_is_counted_in_bounded_time(hostile: str) -> None:
    text = (hostile * LONGEST_SEARCHED)[:LONGEST_SEARCHED]
    begun = time.process_time()
    weighted(text)
    assert time.process_time() - begun < 5
