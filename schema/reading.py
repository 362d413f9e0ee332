"""Reading what platforms send: JSON that may be odd in places, and times in every form. Standard library only."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import NoReturn

DEPTH_LIMIT = 64
"""Deepest nesting read. No platform documents more than a dozen levels (``faults.md`` E7)."""

DIGITS_LIMIT = 4300
"""Longest integer read, in digits: Python converts no more by default."""

STRUCTURE_LIMIT = 500_000
"""Most brackets, quotes, commas and undecodable bytes of a text that is read leniently: it is to take a fraction of a
second, and to be odd in places only."""

ODD_LIMIT = 10_000
"""Most parts of one document that are taken for odd; with more of them it is the document that is odd."""

UNLISTED = "unlisted"
"""What stands in no listing hangs on this: stories, ads, items of albums, live comments, and media of others."""


class Unreadable(Exception):  # noqa: N818
    """``reason`` is one of not_json, not_utf8, nested_too_deep and number_out_of_range."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Odd:
    """Stands for a part of a document that cannot be taken as it is: what is written there, and why not."""

    literal: str
    reason: str

    def __str__(self) -> str:
        return self.literal


def read(body: bytes) -> object:
    """Parse strict UTF-8 JSON. Of a repeated key the last value counts, as it does in jsonb.

    The standard library's parser, because it keeps integers of any size; others turn them into floats. Raises
    Unreadable.
    """
    if _too_deep(body):
        raise Unreadable("nested_too_deep")
    try:
        return _strict(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("not_utf8") from None
    except RecursionError:
        raise Unreadable("nested_too_deep") from None
    except ValueError as error:  # also integers of more digits than Python converts
        raise Unreadable("not_json" if isinstance(error, json.JSONDecodeError) else "number_out_of_range") from None


def read_leniently(body: bytes) -> tuple[object, Mapping[str, str]]:
    """Parse JSON that ``read`` refuses, with an ``Odd`` in the place of each part that cannot be taken.

    Bytes that are not UTF-8 become the surrogates U+DC80 to U+DCFF, as in file names (PEP 383), and control characters
    that stand in a string as they are U+DC00 to U+DC1F. A byte order mark before it all is left out. Also returns the
    reason of each ``Odd`` by its literal. Raises Unreadable for what is no JSON at all, or too large to be looked
    through.
    """
    if len(body) - len(body.decode("utf-8", "ignore").encode()) > STRUCTURE_LIMIT:
        raise Unreadable("not_utf8")
    return _lenient(body.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))


def read_text(text: str) -> object:
    """Parse JSON that came inside a JSON string, leniently where it has to be. Raises Unreadable."""
    try:
        return read(text.encode("utf-8", "surrogatepass"))
    except Unreadable:
        return _lenient(text)[0]


def oddities(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Each odd part of a value that was read leniently: its path and its reason."""
    if isinstance(value, Odd):
        yield path, value.reason
    elif isinstance(value, str):
        if reason := oddity_of(value):
            yield path, reason
    elif isinstance(value, dict):
        for key, item in value.items():
            if reason := oddity_of(key):
                yield f"{path}.{key}", reason
            yield from oddities(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from oddities(item, f"{path}.{number}")


# The same surrogate may also be written as an escape, which is legal alone. A document with both keeps the change with
# the escape aside too: it is parked and not lost.
_ODD_CHARACTER = re.compile("[\udc00-\udc1f\udc80-\udcff]")


def oddity_of(text: str) -> str | None:
    """Why a text that was read leniently cannot be taken as it is: not_utf8, or control_character; None if it can."""
    found = _ODD_CHARACTER.search(text)
    return None if found is None else "not_utf8" if found[0] >= "\udc80" else "control_character"


def without_oddities(value: object) -> object:
    """What is left of a value that was read leniently, without the parts that are odd."""
    if isinstance(value, dict):
        return {k: without_oddities(v) for k, v in value.items() if not oddity_of(k) and not _is_odd(v)}
    if isinstance(value, list):
        return [without_oddities(item) for item in value if not _is_odd(item)]
    return value


def _is_odd(value: object) -> bool:
    return isinstance(value, Odd) or (isinstance(value, str) and oddity_of(value) is not None)


_NOT_BRACKETS = bytes(range(256)).translate(None, b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_CHUNK = 10_000


def _too_deep(body: bytes) -> bool:
    if len(body.translate(None, _NOT_BRACKETS)) <= DEPTH_LIMIT:
        return False
    # Brackets inside strings do not nest, and closing ones there would hide real nesting.
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(None, _NOT_BRACKETS)
    depth = 0
    for start in range(0, len(brackets), _CHUNK):
        depths = list(accumulate(map(_STEP.__getitem__, brackets[start : start + _CHUNK]), initial=depth))
        if max(depths) > DEPTH_LIMIT:
            return True
        depth = depths[-1]
    return False


def _refuse_constant(_: str) -> NoReturn:
    raise Unreadable("not_json")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Unreadable("number_out_of_range")
    return number


_strict = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
"""Made once: ``json.loads`` with options makes a decoder for every call."""


def _lenient(text: str) -> tuple[object, Mapping[str, str]]:
    if sum(map(text.count, '[]{}",')) > STRUCTURE_LIMIT:
        raise Unreadable("not_json")
    if _CONTROL.search(text):
        text = _STRING.sub(lambda found: found[0].translate(_CONTROLS), text)
    text, replaced = _cut_out(text)
    reasons: dict[str, str] = {}
    count = 0

    def odd(literal: str, reason: str) -> Odd:
        nonlocal count
        count += 1
        if count > ODD_LIMIT:
            raise Unreadable(reason)
        reasons[literal] = reason
        return Odd(literal, reason)

    def integer(literal: str) -> int | Odd:
        return int(literal) if len(literal) <= DIGITS_LIMIT else odd(literal, "number_out_of_range")

    def number(literal: str) -> float | Odd:
        found = float(literal)
        return odd(literal, "number_out_of_range") if found in (float("inf"), float("-inf")) else found

    def constant(literal: str) -> Odd:
        if literal != "NaN":
            return odd(literal, "number_out_of_range")
        piece = next(replaced)  # the parser meets them in the order of the text
        return odd(literal, "not_a_number") if piece is None else odd(piece, "nested_too_deep")

    try:
        return json.loads(text, parse_int=integer, parse_float=number, parse_constant=constant), reasons
    except (ValueError, RecursionError):
        raise Unreadable("not_json") from None


_CONTROL = re.compile("[\x00-\x1f]")
_CONTROLS = {number: 0xDC00 + number for number in range(0x20)}
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TOKENS = re.compile(r'NaN|[\[{]|[\]}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string that does not end takes all the rest, so that every character is looked at once."""


def _cut_out(text: str) -> tuple[str, Iterator[str | None]]:
    """Put NaN in the place of what is nested too deep; for each NaN of the result what it replaces, None for itself."""
    kept: list[str] = []
    replaced: list[str | None] = []
    depth = start = end = 0
    for token in _TOKENS.finditer(text):
        sign = token[0][0]
        if sign in "[{":
            depth += 1
            if depth == DEPTH_LIMIT + 1:
                start = token.start()
        elif sign in "]}":
            if depth == DEPTH_LIMIT + 1:
                kept += (text[end:start], "NaN")
                end = token.end()
                replaced.append(text[start:end])
            depth -= 1
        elif sign == "N" and depth <= DEPTH_LIMIT:
            replaced.append(None)
    kept.append(text[end:])
    return "".join(kept), iter(replaced)


MILLISECONDS_FROM = 10**11
"""From here on a number counts milliseconds; as seconds it would be the year 5138 (``meta.md`` 2.5)."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_TIME_TEXT_LIMIT = 40


def moment(value: object) -> datetime | None:
    """A platform's time: unix seconds or milliseconds, as a number or as text, or ISO 8601, in UTC unless it says else.

    None for anything else, and for times up to 1970: a 0 says that there is none.
    """
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _TIME_TEXT_LIMIT or not value.isascii():
            return None
        if not _NUMBER.fullmatch(value):
            return _iso(value)
        value = int(value) if value.isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = datetime.fromtimestamp(value / 1000 if value >= MILLISECONDS_FROM else value, UTC)
    except (ValueError, OverflowError, OSError):  # not a number, or further away than a date can be
        return None
    return found if found.timestamp() > 0 else None


def _iso(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.timestamp() > 0 else None
