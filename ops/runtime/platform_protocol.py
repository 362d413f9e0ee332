"""Requests to platforms, their responses and problems, as values, and how to read unexpected responses.

A step function is a generator: it yields a :class:`Request`, is sent the :class:`Response`, and returns what it found.
So a platform's file holds the whole conversation in the order in which it happens, and a test can play the other side.
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
class Request:
    """``form`` or ``json`` is the body. ``repeatable`` ones may be sent again when it is unknown what came of them."""

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Response:
    """``content`` is the parsed body; None where it was no JSON. ``headers`` are named in lower case."""

    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


JsonObject = dict[str, Any]
"""A parsed JSON object, of which nothing is known yet."""

Steps = Generator[Request, Response, T]

Kind = Literal["denied", "grant", "app", "lacking", "transient", "wrong", "crowded"]

LONGEST_CODE = 40

_CODE = re.compile(r"[a-z]+(_[a-z]+)*|[A-Z]+(_[A-Z]+)*|-?\d{1,10}(/(-?\d{1,10}|-))?")


def identifier(word: str) -> str:
    """A platform's own word for an error, where it is one: ``invalid_grant``, ``ACCESS_DENIED``, ``190/460``, ``401``.

    Anything else is ``unknown``: an error may repeat whatever was sent to the platform, secrets included, and the code
    of a problem is kept in the audit log and in the log file for good. Empty stays empty.
    """
    if not word:
        return ""
    return word if len(word) <= LONGEST_CODE and _CODE.fullmatch(word) else "unknown"


class Problem(Exception):  # noqa: N818  an answer for a person
    """Why a request failed. ``user_message`` tells the person what to do; ``code`` is the platform's word for it.

    ``user_message`` is ours and repeats nothing that the platform said; of ``code`` only an ``identifier`` is kept.
    ``after_seconds`` is how long not to ask again; 0 if the platform does not say. The kinds are:

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
    """What an answer says of one rate limit: the account's own, or the whole application's.

    ``percent`` of it is used; it is reset after ``seconds``, 0 if the answer does not say.
    """

    percent: int
    seconds: float = 0.0
    whole_app: bool = False


def asked_to_wait(response: Response, now: datetime, otherwise: float = 0.0) -> list[RateLimitStatus]:
    """Read a 429, or a 503 with Retry-After. ``otherwise`` is how many seconds to wait where it does not say."""
    said = response.headers.get("retry-after", "").strip()
    if response.status != 429 and not (response.status == 503 and said):
        return []
    if said.isascii() and said.isdigit():
        return [RateLimitStatus(100, float(said))]
    at = _date(said)
    return [RateLimitStatus(100, until(at, response, now) if at is not None else otherwise)]


def until(at: datetime, response: Response, now: datetime) -> float:
    """Seconds from an answer to a moment that it names, by the platform's own clock where it shows it."""
    return max(0.0, (at - (_date(response.headers.get("date", "")) or now)).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def expected(response: Response, doing: str) -> JsonObject:
    """The object in an answer that succeeded. Raises Problem: transient for 5xx, 429 and what is no JSON."""
    if response.status >= 500 or response.status == 429 or not isinstance(response.content, dict):
        raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", str(response.status))
    return response.content


def accept_revocation(response: Response) -> None:
    """Accept any answer to a revocation. Raises Problem for 5xx and 429: it must be sent again."""
    if response.status >= 500 or response.status == 429:
        raise Problem(
            "transient", "The platform is in trouble; the revocation is sent again later.", str(response.status)
        )


def error_word(content: Mapping[str, object]) -> str | None:
    """What an answer's ``error`` says, whatever the status; None where there is none, or it says "ok".

    A word, or the ``code`` of an object (``tiktok.md`` 3.3, 4); ``unknown`` for an error of any other shape.
    """
    error = content.get("error")
    if not error:
        return None
    if isinstance(error, dict):
        error = error.get("code")
    word = str(error) if isinstance(error, str | int) and not isinstance(error, bool) and error != "" else "unknown"
    return None if word == "ok" else word


LONGEST_ID, LONGEST_NAME = 255, 200
"""Characters. An id that is longer is none that a platform documents; a name is cut."""


def text(value: object) -> str:
    """Return an id as text, however it was written; empty for what cannot be one."""
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    fits = len(found) <= LONGEST_ID and REPLACEMENT not in found and found.isprintable()
    return found if fits and found.strip() else ""


def label(value: object, most: int = LONGEST_NAME) -> str:
    """What people call something, cut where it is too long; empty for what is no text."""
    return value.strip()[:most] if isinstance(value, str) else ""


_SECRET = re.compile(r"[\x20-\x7e]+")


def secret(value: object) -> str:
    """A token, of the characters that RFC 6749 A.12 allows; empty for what cannot be one, such as blanks alone."""
    return value if isinstance(value, str) and _SECRET.fullmatch(value) and value.strip() else ""


def objects(value: object) -> list[JsonObject]:
    """The objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(content: Mapping[str, object], name: str) -> JsonObject:
    """The object of this name; empty where there is none, or something else."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def number(value: object) -> float | None:
    """A number that is not negative, also where it stands as text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,30}(\.[0-9]{1,30})?\s*", value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < 1e15 else None


LONGEST_LIFE = 10 * 365 * 86_400
"""Seconds. No platform documents a life of more than a year; beyond this it is a mistake."""

FIRST_MOMENT, LAST_MOMENT = 10**9, 2**32
"""Seconds since 1970, in 2001 and 2106: what a platform says happened or ends outside of them is a mistake."""


def seconds(value: object) -> int | None:
    """A life in seconds, also where it is a float or stands as text; None where there is none, or nonsense."""
    found = number(value)
    return int(found) if found is not None and 1 <= found <= LONGEST_LIFE else None


def moment(value: object) -> datetime | None:
    """A time given in seconds since 1970; None where there is none, or nonsense."""
    found = number(value)
    return datetime.fromtimestamp(found, UTC) if found is not None and FIRST_MOMENT <= found < LAST_MOMENT else None
