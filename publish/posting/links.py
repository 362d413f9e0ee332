"""Add campaign parameters to the links of a text, without changing anything else of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from publish.preflight.text import link_spans

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


def tagged(text: str, campaign: Campaign | None) -> str:
    """Return a text with the parameters on its links; as it is without a campaign."""
    return text if campaign is None else tag_text(text, campaign)


def first_link(text: str) -> str | None:
    """Return the link of which platforms show a preview."""
    return next((text[start:end] for start, end in link_spans(text)), None)


def tag_text(text: str, campaign: Campaign) -> str:
    """Add the parameters to each link of a text, as :func:`tag_link` does, if it is clear where the link ends."""
    parts, done = [], 0
    for start, end in link_spans(text):
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
