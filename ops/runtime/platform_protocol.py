"""Requests to platforms, their responses and errors, as values, and functions that read unexpected responses.

A step function is a generator: it yields a :class:`Request`, is sent the :class:`Response`, and returns what it found.
So a platform's file holds all requests in the order in which they are sent, and a test can send the responses.
"""

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

from ops.runtime.text import REPLACEMENT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FilePart:
    """``length`` bytes of a stored file, from ``offset``; whoever sends the request reads them while it is sent."""

    media_id: str
    offset: int
    length: int
    content_type: str = "application/octet-stream"
    file_name: str = "file"


@dataclass(frozen=True, slots=True)
class Request:
    """``form``, ``json`` or ``content`` is the body; with ``files`` the body is multipart, and ``form`` is in it too.

    A ``repeatable`` request may be sent again when its outcome is unknown.
    """

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: FilePart | None = None
    files: Mapping[str, FilePart] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Response:
    """``content`` is the parsed body, None if it is not JSON. Names of ``headers`` are in lower case."""

    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


JsonObject = dict[str, Any]
"""A parsed JSON object that nothing has validated yet."""

Steps = Generator[Request, Response, T]

Kind = Literal["denied", "grant", "app", "lacking", "transient", "wrong", "crowded"]

ENDED = "The platform no longer accepts this connection; connect the account again."
"""What a person is told of a grant that is over."""

LONGEST_CODE = 40

_CODE = re.compile(r"[a-z]+(_[a-z]+)*|[A-Z]+(_[A-Z]+)*|-?\d{1,10}(/(-?\d{1,10}|-))?")


def identifier(word: str) -> str:
    """Return a platform's error code if it looks like one: ``invalid_grant``, ``ACCESS_DENIED``, ``190/460``, ``401``.

    Return ``unknown`` for anything else: an error may repeat whatever was sent to the platform, secrets included, and
    the audit log and the log file keep the code of an error for good. Empty stays empty.
    """
    if not word:
        return ""
    return word if len(word) <= LONGEST_CODE and _CODE.fullmatch(word) else "unknown"


class PlatformError(Exception):
    """A request failed. ``user_message`` tells the person what to do; ``code`` is the platform's error code.

    ``user_message`` repeats nothing of the response; ``code`` is kept only if it is an ``identifier``.
    ``after_seconds`` is how long to wait before the next request; 0 if the platform does not say. The kinds are:

    - denied: the person refused.
    - grant: the platform no longer accepts our tokens.
    - app: our configuration is wrong.
    - lacking: scopes are missing.
    - transient: it may work later.
    - wrong: the request cannot work as it is.
    - crowded: too many flows are unfinished.
    """

    def __init__(self, kind: Kind, user_message: str, code: str = "", after_seconds: float = 0.0) -> None:
        super().__init__(f"{kind}: {user_message}")
        self.kind: Kind = kind
        self.user_message = user_message
        self.code = identifier(code)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """What a response says about one rate limit: the account's own, or the whole application's.

    ``percent`` of it is used; it is reset after ``seconds``, 0 if the response does not say.
    """

    percent: int
    seconds: float = 0.0
    whole_app: bool = False


def asked_to_wait(response: Response, now: datetime, otherwise: float = 0.0) -> list[RateLimitStatus]:
    """Read a 429, or a 503 with Retry-After. ``otherwise`` is how many seconds to wait if it names no time."""
    said = response.headers.get("retry-after", "").strip()
    if response.status != 429 and not (response.status == 503 and said):
        return []
    if said.isascii() and said.isdigit():
        return [RateLimitStatus(100, float(said))]
    at = _date(said)
    return [RateLimitStatus(100, until(at, response, now) if at is not None else otherwise)]


def until(at: datetime, response: Response, now: datetime) -> float:
    """Return the seconds from a response to a time that it names, by its own Date header if it has one."""
    return max(0.0, (at - (_date(response.headers.get("date", "")) or now)).total_seconds())


def clock_skew(response: Response, now: datetime) -> float | None:
    """Return how many seconds the platform's clock is ahead of ours, by its Date header; None without one."""
    at = _date(response.headers.get("date", ""))
    return None if at is None else (at - now).total_seconds()


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def expected(response: Response, doing: str) -> JsonObject:
    """Return the JSON object of a response. Raises PlatformError (transient) for 5xx, 429 and any other content."""
    if response.status >= 500 or response.status == 429 or not isinstance(response.content, dict):
        raise PlatformError(
            "transient", f"The platform is in trouble while {doing}; try again later.", str(response.status)
        )
    return response.content


def accept_revocation(response: Response) -> None:
    """Accept any response to a revocation. Raises PlatformError for 5xx and 429: it must be sent again."""
    if response.status >= 500 or response.status == 429:
        raise PlatformError(
            "transient", "The platform is in trouble; the revocation is sent again later.", str(response.status)
        )


def error_word(content: Mapping[str, object]) -> str | None:
    """Return the code in the ``error`` of a response of any status; None if there is none, or it is "ok".

    ``error`` is the code itself, or an object that has it as ``code`` (``tiktok.md`` 3.3, 4). Return ``unknown`` for an
    error of any other shape.
    """
    error = content.get("error")
    if not error:
        return None
    if isinstance(error, dict):
        error = error.get("code")
    word = str(error) if isinstance(error, str | int) and not isinstance(error, bool) and error != "" else "unknown"
    return None if word == "ok" else word


LONGEST_ID, LONGEST_NAME = 255, 200
"""In characters. No platform documents longer ids; longer names are cut."""


def text(value: object) -> str:
    """Return an id, sent as text or as a number, as text; empty if it cannot be one."""
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    fits = len(found) <= LONGEST_ID and REPLACEMENT not in found and found.isprintable()
    return found if fits and found.strip() else ""


def label(value: object, most: int = LONGEST_NAME) -> str:
    """Return a name, cut to ``most`` characters; empty if it is not text."""
    return value.strip()[:most] if isinstance(value, str) else ""


_SECRET = re.compile(r"[\x20-\x7e]+")


def secret(value: object) -> str:
    """Return a token if it has only characters that RFC 6749 A.12 allows, and not only blanks; else empty."""
    return value if isinstance(value, str) and _SECRET.fullmatch(value) and value.strip() else ""


def objects(value: object) -> list[JsonObject]:
    """Return the objects of a list; an empty list if ``value`` is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(content: Mapping[str, object], name: str) -> JsonObject:
    """Return the object of this name; an empty one if it is missing or not an object."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def number(value: object) -> float | None:
    """Return a number that is not negative, sent as a number or as text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,30}(\.[0-9]{1,30})?\s*", value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < 1e15 else None


LONGEST_LIFE = 10 * 365 * 86_400
"""In seconds. No platform documents a token lifetime of more than a year; a longer one is a mistake."""

FIRST_MOMENT, LAST_MOMENT = 10**9, 2**32
"""In seconds since 1970: the years 2001 and 2106. A time outside of them is a mistake."""


def seconds(value: object) -> int | None:
    """Return a lifetime in seconds, sent as an integer, a float or text; None if it is missing or out of range."""
    found = number(value)
    return int(found) if found is not None and 1 <= found <= LONGEST_LIFE else None


def moment(value: object) -> datetime | None:
    """Return a time given in seconds since 1970; None if it is missing or out of range."""
    found = number(value)
    return datetime.fromtimestamp(found, UTC) if found is not None and FIRST_MOMENT <= found < LAST_MOMENT else None
