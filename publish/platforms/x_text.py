"""The weighted length of a post on X: ``x.md`` 4.1, from configuration 3 of twitter-text."""

import unicodedata
from typing import NamedTuple

import regex

from publish.platforms.x_tlds import COUNTRY, GENERIC
from publish.preflight.text import EMOJI

LIMIT = 280
URL_WEIGHT = 23
EMOJI_WEIGHT = 2

LONGEST_URL = 4096
"""What is longer, counted with its protocol and its host in A-labels, is no address."""

LONGEST_SEARCHED = 25_000
"""A longer text is not searched for addresses, so its length counts as it is, far above the limit."""

NOT_ALLOWED = "\ufffe\ufeff\uffff"
"""A text with one of these characters is refused."""

LINKED_COUNTRIES = ("co", "tv")
"""Countries whose domains count as addresses even with two labels and no path."""

_LIGHT = r"[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]"
_UNIT = regex.compile(rf"(?P<emoji>{EMOJI})|(?P<light>{_LIGHT})|.", regex.DOTALL)

_DIRECTION = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SPACE = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LATIN = (
    r"\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0253\u0254\u0256\u0257\u0259\u025b\u0263\u0268\u026f\u0272\u0289\u028b"
    r"\u02bb\u0300-\u036f\u1e00-\u1eff"
)
_NO_LABEL = rf"{_DIRECTION}{_SPACE}{NOT_ALLOWED}\u0000-\u001f\u007f!-,./:-@\[-\^`{{-~"
"""What no label of a host holds. Letters of every script are allowed in one; ``-`` and ``_`` only inside."""

_TLD = r"(?:(?:(?P<country>\L<countries>)|\L<generic>)(?=[^0-9a-z@+\-]|$)|xn--[\-0-9a-z]+)"
_PATH = rf"a-z\p{{Cyrillic}}0-9!*';:=+,.$/%#\[\]\-\u2013_~@|&{_LATIN}"
_PARENTHESES = rf"\((?:[{_PATH}]+|[{_PATH}]*\([{_PATH}]+\)[{_PATH}]*)\)"

_QUERY = r"(?:\?[a-z0-9!?*'@();:&=+$/%#\[\]\-_.,~|]*[a-z0-9\-_&=#/])?"

_HOSTLIKE = regex.compile(rf"[^{_NO_LABEL}]*\.[^{_NO_LABEL}.][^{_NO_LABEL}]*(?:\.[^{_NO_LABEL}]*)*")
_PROTOCOL = regex.compile(r"https?://\Z", regex.IGNORECASE)
_AT_TLD = regex.compile(_TLD, regex.IGNORECASE, countries=COUNTRY, generic=GENERIC)
_NOT_BEFORE = regex.compile(rf"[A-Za-z0-9@\uff20$#\uff03{NOT_ALLOWED}]")
_REST = regex.compile(
    r"(?::[0-9]+)?"
    rf"(?P<path>/(?:[{_PATH}]*(?:{_PARENTHESES}[{_PATH}]*)*(?:[+\-a-z\p{{Cyrillic}}0-9=_#/{_LATIN}]|{_PARENTHESES})"
    rf"|@[{_PATH}]+/)*)?"
    rf"{_QUERY}",
    regex.IGNORECASE,
)
_ASCII_HOST = regex.compile(rf"(?:[\-a-z0-9{_LATIN}]+\.)+{_TLD}", regex.IGNORECASE, countries=COUNTRY, generic=GENERIC)
_SHORT = regex.compile(rf"https?://t\.co/(?P<code>[a-z0-9]+){_QUERY}", regex.IGNORECASE)
_SHORT_CODE = 40
"""The longest code of X's own short addresses."""


class Url(NamedTuple):
    """An address in a text. ``doubtful`` is whether X may also take it for text: a domain of a country, ``kiel.de``."""

    start: int
    end: int
    doubtful: bool


def length(text: str) -> int:
    """Return the weighted length by the worse of two readings: X may link a country's domain, or not."""
    return max(weighted(text), weighted(text, doubtful=True))


def weighted(text: str, *, doubtful: bool = False) -> int:
    """Return the weighted length of the text in NFC; ``doubtful`` is whether doubtful addresses count as such."""
    text = unicodedata.normalize("NFC", text)
    counted, at = 0, 0
    for url in urls(text):
        if doubtful or not url.doubtful:
            counted += _plain(text[at : url.start]) + URL_WEIGHT
            at = url.end
    return counted + _plain(text[at:])


def valid(text: str) -> bool:
    """Return whether the text has none of the characters that X refuses."""
    return not any(character in text for character in NOT_ALLOWED)


def urls(text: str) -> list[Url]:
    """Return the addresses in a text, with a protocol or as bare domains. It takes time in proportion to the text."""
    found: list[Url] = []
    at = 0
    while len(text) <= LONGEST_SEARCHED and (span := _HOSTLIKE.search(text, at)) is not None:
        host = _host(text, span, at)
        if host is None:
            at = span.end()
            continue
        start, end, protocol = host
        rest = _REST.match(text, end)
        stop = end if rest is None else rest.end()
        path = rest is not None and rest["path"] is not None
        at = stop
        labels = _a_labels(text[start:end])
        if labels is None or len(protocol or "https://") + len(labels) + stop - end > LONGEST_URL:
            continue
        if protocol:
            short = _SHORT.match(text, start - len(protocol), stop)
            if short is None or len(short["code"]) <= _SHORT_CODE:
                at = stop if short is None else short.end()
                found.append(Url(start - len(protocol), at, doubtful=False))
        elif start == 0 or text[start - 1] not in "-_./":
            found += _bare(text, start, end, stop if path else end)
    return found


def _host(text: str, span: regex.Match[str], floor: int) -> tuple[int, int, str] | None:
    """Return where the first host in a span of labels begins and ends, and the protocol before it.

    No character before ``floor`` may stand between this address and the one before it.
    """
    labels, starts = span[0].split("."), [span.start()]
    for label in labels[:-1]:
        starts.append(starts[-1] + len(label) + 1)
    ends = _reach(text, labels, starts)
    for number, label in enumerate(labels[:-1]):
        # The first of these ends is that of a host in which whole labels follow, the second of one in which this label
        # is the one before the top-level domain, so that it may hold no underscore.
        far, near = ends[number]
        if not label or label[-1] in "-_" or (far is None and near is None):
            continue
        low = 0 if far is not None else label.rfind("_") + 1
        for offset in range(low, len(label)):
            start = starts[number] + offset
            protocol = _protocol(text, start, floor) if number == 0 and offset == 0 else ""
            if label[offset] in "-_" or not (protocol or _may_begin(text, start, floor)):
                continue
            return start, far if far is not None else near or start, protocol
    return None


def _reach(text: str, labels: list[str], starts: list[int]) -> list[tuple[int | None, int | None]]:
    """Return how far a host that begins in each label reaches: by whole labels after it, and by the next one alone."""
    found: list[tuple[int | None, int | None]] = [(None, None)] * len(labels)
    following: int | None = None  # how far a host reaches that has the whole next label as a part
    for number in range(len(labels) - 2, -1, -1):
        tld = _AT_TLD.match(text, starts[number + 1])
        near = None if tld is None else tld.end()
        found[number] = following, near
        label = labels[number]
        whole = bool(label) and label[0] not in "-_" and label[-1] not in "-_"
        following = (following if following is not None or "_" in label else near) if whole else None
    return found


def _protocol(text: str, start: int, floor: int) -> str:
    """Return the protocol before a host; empty where there is none, or one that is the end of a longer word."""
    found = _PROTOCOL.search(text, max(floor, start - len("https://")), start)
    return found[0] if found is not None and _may_begin(text, found.start(), floor) else ""


def _may_begin(text: str, start: int, floor: int) -> bool:
    return start == 0 or (start > floor and _NOT_BEFORE.match(text[start - 1]) is None)


def _bare(text: str, start: int, end: int, stop: int) -> list[Url]:
    """Return the domains in a host without protocol: only its ASCII parts count, and the last of them has the path."""
    hosts = list(_ASCII_HOST.finditer(text[start:end]))
    found = []
    for host in hosts:
        path = host is hosts[-1] and stop > end
        country = host["country"]
        doubtful = country is not None and host[0].count(".") == 1 and not path
        doubtful = doubtful and country.lower() not in LINKED_COUNTRIES
        found.append(Url(start + host.start(), stop if path else start + host.end(), doubtful))
    return found


def _a_labels(host: str) -> str | None:
    """Return the host in A-labels; None where a label has no such form, or one of more than 63 characters."""
    labels = []
    for label in host.split("."):
        if label.lower().startswith("xn--") and not label.isascii():
            return None
        try:
            encoded = label if label.isascii() else f"xn--{label.lower().encode('punycode').decode()}"
        except UnicodeError:
            return None
        if len(encoded) > 63:
            return None
        labels.append(encoded)
    return ".".join(labels)


def _plain(text: str) -> int:
    counted = 0
    for unit in _UNIT.finditer(text):
        counted += EMOJI_WEIGHT if unit["emoji"] is not None else 1 if unit["light"] is not None else 2
    return counted
