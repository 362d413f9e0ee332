"""Find the links of a text, and add campaign parameters to them without changing anything else of the text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

_LINK = re.compile(
    r"https?://[^\s<>\"`"
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

_UNCLEAR = re.compile("[\u0e00-\uffff]")
"""Letters of scripts that put no space between words: nobody can say whether they are part of an address."""

_TAGGED = re.compile(r"[?&;]utm_[a-z_]+=", re.IGNORECASE)
_HOST = re.compile(r"https?://[^/?#]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Campaign:
    """The parameters by which analytics tell where visitors come from; those that are empty are not added."""

    source: str
    medium: str = "social"
    campaign: str = ""

    @property
    def query(self) -> str:
        """The parameters as a part of a query."""
        values: Sequence[tuple[str, str]] = (
            ("utm_source", self.source),
            ("utm_medium", self.medium),
            ("utm_campaign", self.campaign),
        )
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in values if value)


def links(text: str) -> list[str]:
    """List the links of a text that name http or https, as they are written."""
    return [text[start:end] for start, end in _spans(text)]


def first_link(text: str) -> str | None:
    """Return the link of which platforms show a preview."""
    return next((text[start:end] for start, end in _spans(text)), None)


def tag_text(text: str, campaign: Campaign) -> str:
    """Add the parameters to each link of a text, as :func:`tag_link` does, if it is clear where the link ends."""
    parts, done = [], 0
    for start, end in _spans(text):
        url = text[start:end]
        parts += [text[done:start], url if _UNCLEAR.search(url) else tag_link(url, campaign)]
        done = end
    return "".join([*parts, text[done:]])


def tag_link(url: str, campaign: Campaign) -> str:
    """Add the parameters to a link, before its fragment; every other character of it stays.

    A link that has any such parameter was tagged by somebody, perhaps by us, and is left as it is.
    """
    address, hash_, fragment = url.partition("#")
    added = campaign.query
    if not added or not _HOST.match(address) or _TAGGED.search(address):
        return url
    _, question, query = address.partition("?")
    joint = ("" if not query or query.endswith("&") else "&") if question else "?"
    return f"{address}{joint}{added}{hash_}{fragment}"


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each link."""
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
