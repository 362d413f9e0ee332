"""Links of a text: where they end, and campaign parameters that change nothing else."""

import re
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publish.posting.links import Campaign, first_link, tag_link, tag_text
from publish.preflight.text import links

SPRING = Campaign("mastodon", "social", "spring 2027")
ADDED = "utm_source=mastodon&utm_medium=social&utm_campaign=spring%202027"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no link, example.com is none", []),
        ("https://example.com", ["https://example.com"]),
        (
            "See https://example.com/a?b=c#d, and http://example.org.",
            ["https://example.com/a?b=c#d", "http://example.org"],
        ),
        ("HTTPS://EXAMPLE.com/X!", ["HTTPS://EXAMPLE.com/X"]),
        ("(https://example.com/a)", ["https://example.com/a"]),
        ("(see https://example.com/a_(b))", ["https://example.com/a_(b)"]),
        ("[text](https://example.com/a).", ["https://example.com/a"]),
        ("<https://example.com/a> “https://example.com/b”", ["https://example.com/a", "https://example.com/b"]),
        ("'https://example.com/a'", ["https://example.com/a"]),
        ("https://example.com/a… https://example.com/b—and", ["https://example.com/a", "https://example.com/b"]),
        ("見https://example.com/a。そして", ["https://example.com/a"]),
        ("https://example.com/a\uff0c然后", ["https://example.com/a"]),
        ("new\U0001f389https://example.com/a\U0001f389", ["https://example.com/a"]),
        ("https://example.com/a\u200b", ["https://example.com/a"]),
        ("https://müller.example/ä?q=ö", ["https://müller.example/ä?q=ö"]),
        ("https://example.com/?q={a}|b^c", ["https://example.com/?q={a}|b^c"]),
        ("https://example.com/a_ https://example.com/b~", ["https://example.com/a_", "https://example.com/b~"]),
        ("https:// http://? http://# https://.", []),
        ("https://example.com/?u=https://example.org/", ["https://example.com/?u=https://example.org/"]),
        ("ftp://example.com mailto:a@example.com", []),
    ],
)
def test_link_ends_where_the_sentence_goes_on(text: str, expected: list[str]) -> None:
    assert links(text) == expected
    assert first_link(text) == (expected[0] if expected else None)


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://example.com", f"https://example.com?{ADDED}"),
        ("https://example.com/", f"https://example.com/?{ADDED}"),
        ("https://example.com/a?b=c", f"https://example.com/a?b=c&{ADDED}"),
        ("https://example.com/a?b=%2F+%zz&c", f"https://example.com/a?b=%2F+%zz&c&{ADDED}"),
        ("https://example.com/a?", f"https://example.com/a?{ADDED}"),
        ("https://example.com/a?b&", f"https://example.com/a?b&{ADDED}"),
        ("https://example.com/a#top", f"https://example.com/a?{ADDED}#top"),
        ("https://example.com/?a=b#/route?x=y", f"https://example.com/?a=b&{ADDED}#/route?x=y"),
        ("https://example.com/a??", f"https://example.com/a??&{ADDED}"),
        ("https://example.com/a?b=c?d=e", f"https://example.com/a?b=c?d=e&{ADDED}"),
        ("https://example.com/#utm_source=x", f"https://example.com/?{ADDED}#utm_source=x"),
        ("https://example.com/#/a?utm_source=x", f"https://example.com/?{ADDED}#/a?utm_source=x"),
        ("https://example.com/utm_source=x", f"https://example.com/utm_source=x?{ADDED}"),
        ("https://example.com/?utm_source=newsletter", "https://example.com/?utm_source=newsletter"),
        ("https://example.com/?a=b&UTM_ID=5#c", "https://example.com/?a=b&UTM_ID=5#c"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("/relative", "/relative"),
        ("https://", "https://"),
        ("", ""),
    ],
)
def test_parameters_are_added_before_the_fragment_and_once(url: str, tagged: str) -> None:
    assert tag_link(url, SPRING) == tagged
    assert tag_link(tagged, SPRING) == tagged


def test_text_keeps_everything_but_its_links() -> None:
    text = "New (https://example.com/a)! More: https://example.org/b?c=d#e, bye\n"
    assert tag_text(text, SPRING) == (
        f"New (https://example.com/a?{ADDED})! More: https://example.org/b?c=d&{ADDED}#e, bye\n"
    )


def test_link_of_which_nobody_can_say_where_it_ends_is_left_alone() -> None:
    for text in ("https://example.com/aを見て", "https://example.com/日本"):
        assert tag_text(text, SPRING) == text
    assert tag_link("https://example.com/日本", SPRING) == f"https://example.com/日本?{ADDED}", "a field holds one link"


def test_parameter_without_a_value_is_not_added_and_a_value_breaks_out_of_none() -> None:
    assert tag_link("https://example.com/", Campaign("x")) == "https://example.com/?utm_source=x&utm_medium=social"
    assert tag_link("https://example.com/", Campaign("", "", "")) == "https://example.com/"
    odd = tag_link("https://example.com/", Campaign("a&b=c#d e/?ü", "", ""))
    assert parse_qsl(urlsplit(odd).query) == [("utm_source", "a&b=c#d e/?ü")]


URL = st.builds(
    "https://example.com{}{}{}".format,
    st.text("ab/%()._~-!", max_size=10).map("/{}".format),
    st.one_of(st.just(""), st.text("ab=&?;%/[]", max_size=10).map("?{}".format)),
    st.one_of(st.just(""), st.text("ab/?=&#!", max_size=10).map("#{}".format)),
)


@settings(deadline=None)
@given(URL)
def test_whatever_the_link_what_it_had_stays_and_the_parameters_can_be_read(url: str) -> None:
    tagged = tag_link(url, SPRING)
    before, after = urlsplit(url), urlsplit(tagged)
    assert (after.path, after.fragment) == (before.path, before.fragment)
    assert after.query.startswith(before.query)
    assert parse_qsl(after.query)[-3:] == [
        ("utm_source", "mastodon"),
        ("utm_medium", "social"),
        ("utm_campaign", "spring 2027"),
    ]
    assert tag_link(tagged, SPRING) == tagged


@settings(deadline=None)
@given(st.lists(URL | st.text(max_size=10) | st.sampled_from([" ", "(", ").", "\n"]), max_size=6).map("".join))
def test_whatever_the_text_it_is_tagged_once_and_keeps_its_characters(text: str) -> None:
    tagged = tag_text(text, SPRING)
    assert tag_text(tagged, SPRING) == tagged
    before = tagged.split(ADDED)
    last = before.pop()
    assert re.fullmatch("".join(re.escape(part[:-1]) + f"[{part[-1:]}]?" for part in before) + re.escape(last), text)


@pytest.mark.parametrize(
    "text", ["https://" * 10_000, "https://a/" + "(" * 80_000, "https://a/" + ")" * 80_000, "https://a/" + "." * 80_000]
)
def test_hostile_text_is_read_at_once(text: str) -> None:
    began = time.monotonic()
    tag_text(text, SPRING)
    assert time.monotonic() - began < 1
