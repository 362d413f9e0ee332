"""Make text from outside storable in PostgreSQL and UTF-8, and safe to show."""

import json
import math
import re

REPLACEMENT = "\ufffd"
"""What stands for a character that cannot be stored; a word that holds one is not the word it was."""

LONGEST_NUMBER = 40
"""Digits of an integer in JSON; ids of platforms have up to 20."""

_UNFIT = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Replace NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 refuses, by U+FFFD."""
    if "\x00" not in text:
        if text.isascii():
            return text
        try:  # most of the rest: a search costs several times as much as to encode them
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    return _UNFIT.sub(REPLACEMENT, text)


def parsed_json(content: bytes) -> object:
    """Parse JSON, with all text storable and all numbers finite: NaN, infinities and what overflows to one become None.

    A byte that is no UTF-8 becomes U+FFFD, so that one bad character costs no token that stands beside it. None for
    what is no JSON, or nested too deeply; ``{}`` for nothing at all.
    """
    if not content:
        return {}
    try:
        text = content.decode(json.detect_encoding(content), "replace")
        return _storable(json.loads(text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer))
    except (ValueError, RecursionError):
        return None


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): _storable(item) for name, item in value.items()}
    return value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= LONGEST_NUMBER else None


_CONTROLS = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escape sequences of terminals begin with them
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the direction in which the rest is shown
    "\ufeff\ufff9-\ufffb"  # byte order mark and interlinear annotation
    "\ud800-\udfff"  # surrogates, which no encoding takes
    "]"
)
"""What is not shown as it is. Joiners stay: Persian and many emoji are made with them."""


def visible(text: str, keep: str = "") -> str:
    r"""Return ``text`` with every control character written as an escape, such as ``\x1b``; those in ``keep`` stay."""
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def visible_json(text: str) -> str:
    r"""Return JSON that says the same with every control character in it written as ``\u….``, line breaks included."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def finalize(value: object) -> object:
    """Make what a template shows visible, for ``jinja2.Environment``; escaping markup is left to its autoescape."""
    return visible(value, keep="\n\t") if type(value) is str else value


def excerpt(text: str, limit: int) -> str:
    """Return ``text`` on one line of at most ``limit`` characters, cut where it is longer."""
    shown = visible(" ".join(text[: 4 * limit].split()))
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"
