"""The weighted length of a post on X: ``x.md`` 4.1."""

import re
import unicodedata
from pathlib import Path

LIMIT, URL_WEIGHT, EMOJI_WEIGHT = 280, 23, 2
URL_CHARACTERS = 4096
"""A longer address is no address, and counts as text."""

_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Code points that count once; all others count twice."""

_INVALID = ("\ufffe", "\ufeff", "\uffff")

_TLDS = frozenset((Path(__file__).parent / "data" / "tlds.txt").read_text().split())
"""The top-level domains of IANA's list; twitter-text has a copy of its own."""

_COUNTRY_EXCEPTIONS = ("co", "tv")
"""Country domains of which a bare address of two labels counts as one."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?:[a-z0-9](?:[a-z0-9_-]{{0,61}}[a-z0-9])?\.)*{_LABEL}\.{_LABEL}"
_IN_PATH = r"[a-z0-9!*';:=+,.$/%#\[\]\-\u2013_~@|&?\u00c0-\u024f\u0400-\u04ff]"
_REST = rf"(?![a-z0-9@+_-])(?P<port>:\d+)?(?P<path>[/?](?:{_IN_PATH}|\({_IN_PATH}*\))*)?"
_CANDIDATE = re.compile(rf"(?P<scheme>https?://)?(?P<host>{_HOST}){_REST}", re.IGNORECASE)
_INTERNATIONAL = re.compile(rf"(?P<scheme>https?://)(?P<host>[\w-]+(?:\.[\w-]+)+){_REST}", re.IGNORECASE)
"""With a protocol, names in any script count too."""
_BEFORE, _BEFORE_BARE = re.compile(r"[@#$a-zA-Z0-9]"), re.compile(r"[@#$\-_./a-zA-Z0-9]")
_OWN = re.compile(r"/[a-z0-9]{1,40}(?![a-z0-9])", re.IGNORECASE)
"""The path of X's own short addresses."""
_TRAILING = ".,!?;:'\")]}"

_PICTURE = (
    "(?:[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299]|[\u00a9\u00ae\u203c\u2049\u2122\u2139](?=\ufe0f))"
)
_MODIFIED = f"{_PICTURE}(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?[\U000e0020-\U000e007f]*"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_MODIFIED}(?:\u200d{_MODIFIED})*",
)
"""Flags, keycaps, and pictures with their modifiers, joined or alone."""


def weighted(text: str) -> int:
    """Return the length that X counts: of the text in NFC, addresses as 23, emoji sequences as 2."""
    text = unicodedata.normalize("NFC", text)
    length, at = 0, 0
    for start, end in urls(text):
        length += _plain(text[at:start]) + URL_WEIGHT
        at = end
    return length + _plain(text[at:])


def valid(text: str) -> bool:
    """Return whether the text has none of the code points that X refuses."""
    return not any(character in text for character in _INVALID)


def urls(text: str) -> list[tuple[int, int]]:
    """Return the ranges of the addresses in a text, bare domains among them (``x.md`` 4.1, rule 2)."""
    found: list[tuple[int, int]] = []
    at = 0
    while True:
        match, wide = _CANDIDATE.search(text, at), _INTERNATIONAL.search(text, at)
        if wide and not wide["host"].isascii() and (match is None or wide.start() <= match.start()):
            match = wide if match is None or _top(wide["host"]) in _TLDS else match
        if match is None:
            return found
        start, at = match.start(), match.end()
        path = (match["path"] or "").rstrip(_TRAILING if "(" not in (match["path"] or "") else _TRAILING[:-3])
        if match["scheme"] and match["host"].lower() == "t.co" and path:
            own = _OWN.match(path)
            path = own.group() if own else ""
            if not path:
                continue
        end = match.end("port" if match["port"] else "host") + len(path)
        if end - start > URL_CHARACTERS or not _is_address(match, text, start, path):
            continue
        found.append((start, end))


def _is_address(match: re.Match[str], text: str, start: int, path: str) -> bool:
    labels = match["host"].lower().split(".")
    if _top(match["host"]) not in _TLDS:
        return False
    if start and (_BEFORE if match["scheme"] else _BEFORE_BARE).match(text[start - 1]):
        return False
    if match["scheme"]:
        return True
    country = len(labels[-1]) == 2 and labels[-1] not in _COUNTRY_EXCEPTIONS
    return bool(path) or not (country and len(labels) == 2)


def _top(host: str) -> str:
    """Return the top-level domain of a name as name servers know it; empty for a name that cannot be."""
    try:
        known = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:  # a label of more than 63 characters
        return ""
    return known.lower().rpartition(".")[2]


def _plain(text: str) -> int:
    length, at = 0, 0
    for match in _EMOJI.finditer(text):
        length += _weights(text[at : match.start()]) + EMOJI_WEIGHT
        at = match.end()
    return length + _weights(text[at:])


def _weights(text: str) -> int:
    return sum(1 if any(low <= ord(c) <= high for low, high in _LIGHT) else 2 for c in text)
