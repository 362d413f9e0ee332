"""Count what platforms count in a text: grapheme clusters, UTF-16 units, hashtags, mentions and links."""

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
_LINK = regex.compile(r"\bhttps?://[^\s<>\"]+", regex.IGNORECASE)

_AFTER_A_LINK = ".,!?;:'\")]}"


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
    """Return the addresses with http or https, in order, without the punctuation after them."""
    return [_trimmed(found) for found in _LINK.findall(text)]


def _trimmed(address: str) -> str:
    """Return an address without the punctuation at its end; a bracket that was opened in it stays."""
    while address and address[-1] in _AFTER_A_LINK:
        if address[-1] == ")" and address.count("(") >= address.count(")"):
            break
        address = address[:-1]
    return address
