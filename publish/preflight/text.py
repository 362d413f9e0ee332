"""Count what platforms count in a text: grapheme clusters, UTF-16 units, hashtags, mentions and links."""

import re
from collections.abc import Iterator

import regex

EMOJI = (
    r"(?:\p{RI}\p{RI}"  # flags
    r"|[0-9#*]\uFE0F?\u20E3"  # keycaps
    r"|(?:(?![\u00A9\u00AE])\p{Extended_Pictographic}|[\u00A9\u00AE](?=\uFE0F))"
    r"(?!\uFE0E)(?:\uFE0F|\p{Emoji_Modifier})?[\U000E0020-\U000E007F]*"
    r"(?:\u200D\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?)*)"
)
"""An emoji sequence: a flag, a keycap, or pictographs with their modifiers, alone or joined. What the text presentation
selector follows is text, as are the signs of copyright and trade mark without the emoji presentation selector."""

_EMOJI = regex.compile(EMOJI)
_GRAPHEME = regex.compile(r"\X")
_HASHTAG = regex.compile(r"(?<![\w&/])[#\uFF03](?=\w*[^\W\d_])\w+")
_MENTION = regex.compile(r"(?<![\w@/])@[A-Za-z0-9_](?:[A-Za-z0-9_.]*[A-Za-z0-9_])?")
_LINK = re.compile(
    r"(?<![A-Za-z0-9])https?://[^\s<>\"`"
    "\u00ab\u00bb"  # French quotation marks
    "\u2000-\u206f"  # quotation marks, dashes and the ellipsis of typography, and characters without width
    "\u2600-\u27bf\U0001f000-\U0001faff"  # emoji
    "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"  # punctuation of Chinese and Japanese
    "]+",
    re.IGNORECASE,
)
"""A link ends at white space, and at what stands behind addresses without a space and in none of them."""

_TRAILING = ".,;:!?'"
"""What belongs to the sentence where it stands at the end of an address."""

_CLOSING = {")": "(", "]": "[", "}": "{"}
"""A closing bracket belongs to the sentence unless the address has the one that opens it."""

_HOST = re.compile(r"https?://[^/?#]", re.IGNORECASE)


def graphemes(text: str) -> int:
    """Return the number of extended grapheme clusters: what a person sees as one character."""
    return len(_GRAPHEME.findall(text))


def utf16_units(text: str) -> int:
    """Return the number of UTF-16 code units: 2 for what lies beyond the Basic Multilingual Plane."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def emoji_in_bytes(text: str) -> int:
    """Return the number of characters, with each emoji counted as the bytes of it in UTF-8."""
    return len(_EMOJI.sub("", text)) + sum(len(found.encode()) for found in _EMOJI.findall(text))


def hashtags(text: str) -> list[str]:
    """Return the hashtags, without the sign; one of digits alone is none."""
    return [found[1:] for found in _HASHTAG.findall(text)]


def mentions(text: str) -> list[str]:
    """Return the names that are mentioned, without the sign. An address of mail mentions nobody."""
    return [found[1:] for found in _MENTION.findall(text)]


def links(text: str) -> list[str]:
    """Return the links with http or https, in order, as they are written and without the punctuation after them."""
    return [text[start:end] for start, end in link_spans(text)]


def link_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each link with http or https begins and ends, without the punctuation after it."""
    for found in _LINK.finditer(text):
        url = found[0]
        end = _end(url)
        if _HOST.match(url[:end]):
            yield found.start(), found.start() + end


def _end(url: str) -> int:
    """Return where an address ends that may have the end of a sentence behind it."""
    end = len(url)
    surplus = {closing: url.count(closing) - url.count(opening) for closing, opening in _CLOSING.items()}
    while end:
        last = url[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return end
