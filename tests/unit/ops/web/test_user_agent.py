"""Browsers in words."""

import pytest

from ops.web.user_agent import LONGEST, in_words

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5)"
SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (f"{WINDOWS} {CHROME}", "Chrome on Windows"),
        (f"{WINDOWS} {CHROME} Edg/126.0.0.0", "Edge on Windows"),
        (f"{WINDOWS} {CHROME} OPR/112.0.0.0", "Opera on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME}", "Chrome on Android"),
        (f"{IPHONE} {SAFARI} Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{MAC} {SAFARI} Safari/605.1.15", "Safari on macOS"),
        ("curl/8.7.1", "curl"),
        ("Python/3.11 aiohttp/3.14", "Python"),
        ("", ""),
        ("/", ""),
    ],
)
def test_header_says_which_browser_it_is_and_on_what(header: str, words: str) -> None:
    assert in_words(header) == words


@pytest.mark.parametrize("header", ["x" * 100_000, "\x1b[31mred\u202e", "a b\tc\x00\ud800" * 40])
def test_hostile_header_is_cut_and_cleaned(header: str) -> None:
    words = in_words(header)
    assert len(words) <= LONGEST
    assert words.encode().decode().isprintable()
