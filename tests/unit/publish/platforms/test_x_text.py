"""X's weighted length, against the public conformance data of twitter-text (``x.md`` 4.1)."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from publish.platforms.x_text import LIMIT, LONGEST_SEARCHED, length, urls, valid, weighted

DATA = Path(__file__).parents[3] / "vendor" / "twitter-text"
VALIDATE = yaml.safe_load((DATA / "validate.yml").read_text())["tests"]
EXTRACT = yaml.safe_load((DATA / "extract.yml").read_text())["tests"]

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


@given(st.text(max_size=200))
def test_no_text_is_shorter_than_its_addresses_and_a_joined_text_than_its_parts(text: str) -> None:
    assert weighted(text) >= 0
    assert length(text) >= max(weighted(text), weighted(text, doubtful=True))
    assert weighted(f"{text} a") >= weighted("a")
    if "." not in text:
        assert weighted(text) <= 2 * len(text) * 3  # NFC makes up to three characters of one


@given(
    st.text(
        alphabet=st.characters(max_codepoint=0x10FF, exclude_categories=["Cs"], exclude_characters="."), max_size=300
    )
)
def test_light_characters_count_once(text: str) -> None:
    assert weighted(text) <= 3 * len(text)
    assert weighted(text.replace("\u00a9", "").replace("\u00ae", "")) <= weighted(text)


@pytest.mark.parametrize(
    "hostile",
    ["字", "a-", "字.", "a.", ".", "twitter.com字", "http://a.b", "a_.", "(a.co/(", "\U0001f468\u200d", "#️"],
)
def test_hostile_text_is_counted_in_bounded_time(hostile: str) -> None:
    text = (hostile * LONGEST_SEARCHED)[:LONGEST_SEARCHED]
    begun = time.process_time()
    weighted(text)
    assert time.process_time() - begun < 5
