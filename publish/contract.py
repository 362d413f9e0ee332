"""What a platform says about connecting an account: values and pure functions, no network.

A step function is a generator: it yields a :class:`Request`, is sent the :class:`Response`, and returns what it found.
So a platform's file holds the whole conversation in the order in which it happens, and a test can play the other side.
"""

import json
import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol, TypeVar

from ops.runtime.text import REPLACEMENT
from schema.configuration import Variable

T = TypeVar("T")

VAULT_KEYS = Variable(
    "LANDFALL_VAULT_KEYS",
    "Keys for tokens at rest, as name:key, the one to seal with first; `landfall vault key` makes one",
)


@dataclass(frozen=True, slots=True)
class Request:
    """``form`` or ``json`` is the body. ``repeatable`` ones may be sent again when it is unknown what came of them."""

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: Any = None
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


Steps = Generator[Request, Response, T]

Kind = Literal["denied", "grant", "app", "lacking", "transient", "wrong", "crowded"]

ENDED = "The platform no longer accepts this connection; connect the account again."

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
    """Why it did not work. ``says`` is for the person and holds what to do; ``code`` is the platform's own word.

    ``says`` is ours and repeats nothing that a platform says of an error; of ``code`` only an ``identifier`` is kept.

    ``after_seconds`` is how long the platform wants to be left alone; 0 where it does not say.
    denied: the person said no. grant: the platform takes what we hold no longer. app: our own settings are wrong.
    lacking: too little was granted. transient: it may work later. wrong: the request cannot work as it is.
    crowded: too much of the same was begun and not finished.
    """

    def __init__(self, kind: Kind, says: str, code: str = "", after_seconds: float = 0.0) -> None:
        super().__init__(f"{kind}: {says}")
        self.kind: Kind = kind
        self.says = says
        self.code = identifier(code)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class App:
    """The application at one platform. ``base`` replaces all of the platform's hosts, for a sandbox.

    ``scopes`` are those that the person was asked for, where an account is being connected.
    """

    client_id: str
    client_secret: str
    redirect_uri: str
    hosts: Mapping[str, str]
    base: str = ""
    scopes: Sequence[str] = ()

    def url(self, host: str, path: str) -> str:
        return f"{self.base or self.hosts[host]}{path}"


@dataclass(frozen=True, slots=True)
class Account:
    """One account that could be connected. Seconds are lives as the platform gave them; None where it gave none.

    ``platform`` and ``needs`` (scopes) stand where they are others than its channel's; ``grant_id`` where more accounts
    than this one end when its grant is revoked. ``unusable`` says, for a person, why it cannot be connected.
    """

    account_id: str
    username: str
    scopes: Sequence[str]
    secrets: Mapping[str, str]
    other_ids: Sequence[str] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    access_seconds: int | None = None
    refresh_seconds: int | None = None
    platform: str = ""
    needs: Sequence[str] = ()
    grant_id: str = ""
    unusable: str = ""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a refresh or a check gave. Secrets that it does not name stay as they are.

    ``ends_at`` is when the grant ends whatever is refreshed, where a platform names the moment and no life.
    """

    secrets: Mapping[str, str] = field(default_factory=dict)
    access_seconds: int | None = None
    refresh_seconds: int | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """When to refresh: after ``share`` of the life that was given, and not before ``youngest`` seconds.

    ``check``: so many seconds after the platform last took what we hold, it is asked whether it still does.
    """

    share: float = 0.7
    youngest: int = 0
    check: int | None = None

    def due(self, access_seconds: int | None, spread: float) -> float | None:
        """Seconds from now; None for never. ``spread``, up to 1, keeps apart what was connected together."""
        return None if access_seconds is None else max(self.youngest, access_seconds * self.share * spread)


@dataclass(frozen=True, slots=True)
class Lives:
    """Seconds that tokens live where an answer does not say, from the platform's page, the shorter where it has two.

    None: the page documents no end. ``restarts``: with each refresh the life of what refreshes begins anew.
    """

    access: int | None = None
    refresh: int | None = None
    restarts: bool = False


Secrets = Mapping[str, str]


class Revoke(Protocol):
    """``last``: no other connection hangs on what the same person allowed."""

    def __call__(self, app: App, secrets: Secrets, *, last: bool) -> Steps[None]: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer says of a budget: the account's own, or the whole application's.

    ``percent`` is used up; ``seconds`` until it is whole again, 0 where the answer does not say.
    """

    percent: int
    seconds: float = 0.0
    whole_app: bool = False


def asked_to_wait(response: Response, now: datetime, otherwise: float = 0.0) -> list[Usage]:
    """A 429, and a 503 that says when to come again. ``otherwise`` is how long where it does not say."""
    said = response.headers.get("retry-after", "").strip()
    if response.status != 429 and not (response.status == 503 and said):
        return []
    if said.isascii() and said.isdigit():
        return [Usage(100, float(said))]
    at = _date(said)
    return [Usage(100, until(at, response, now) if at is not None else otherwise)]


def until(at: datetime, response: Response, now: datetime) -> float:
    """Seconds from an answer to a moment that it names, by the platform's own clock where it shows it."""
    return max(0.0, (at - (_date(response.headers.get("date", "")) or now)).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Removals:
    """A table by account that the log makes: column ``at`` is when a person removed us, column ``why`` a number.

    ``words`` say for the person what such a number means; where there is none it was the person's own wish. Removals
    that name no time are in the table ``undated``, by account and ``external_id`` of their event, with the same
    ``why``: they count from when the log received them.
    """

    table: str
    at: str
    why: str
    words: Mapping[int, str]
    undated: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to connect accounts. ``refreshes_with`` is the secret without which there is nothing to refresh.

    ``ended_by`` are the words and codes that mean that a grant is over, from the platform's page: whatever else a
    platform says of what we hold is trouble, and is tried again. ``optional_scopes`` are asked for where the operator,
    by ``optional_variable``, or the person wants it.

    ``connect`` spends the code and finds what could be connected; ``take_up`` proves that one of them is in reach with
    what was granted, and subscribes to its events. ``check`` asks whether it still is.
    """

    title: str
    """What people call it."""
    client_id: Variable | None
    client_secret: Variable | None
    base_url: Variable
    hosts: Mapping[str, str]
    scopes: Sequence[str]
    needed: Sequence[str]
    authorize: Callable[[App, Sequence[str], str, str], str]
    connect: Callable[[App, str, str], Steps[list[Account]]]
    plan: Plan
    ended_by: Collection[str]
    lives: Lives = Lives()
    scope_uses: Mapping[str, str] = field(default_factory=dict)
    """What does not work without a scope, for the page of whoever gave only some: "publishing posts"."""
    unreported_scopes: Sequence[str] = ()
    """Scopes of which no answer says whether they were given."""
    optional_scopes: Sequence[str] = ()
    optional_variable: Variable | None = None
    take_up: Callable[[App, Account], Steps[None]] | None = None
    refresh: Callable[[App, Secrets], Steps[Renewed]] | None = None
    check: Callable[[App, Secrets], Steps[Renewed]] | None = None
    revoke: Revoke | None = None
    locate: Callable[[App], Steps[str]] | None = None
    """The host of the instance, where a person may have named another one that leads there."""
    register: Callable[[App, str, Sequence[str]], Steps[tuple[str, str]]] | None = None
    recognised: Callable[[App], Steps[bool]] | None = None
    """Whether an instance still knows the application that registered there."""
    revokes_for_all: bool = True
    """Whether revoking one token ends what the same account granted to others by this application."""
    refreshes_with: str = "access_token"
    removals: Removals | None = None
    """Where the log, projected, says that a person removed us; None where nothing does."""
    signs_requests_with: Sequence[Variable] = ()
    """Secrets that its deauthorize callback may be signed with; none where it has no such callback."""
    pkce: bool = False
    usage: Callable[[Response, datetime], Sequence[Usage]] = asked_to_wait
    """What an answer says of its budgets, read at this time."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        named = (self.client_id, self.client_secret, self.base_url, self.optional_variable)
        own = tuple(v for v in named if v is not None)
        return (*own, *(v for v in self.signs_requests_with if v not in own))

    def lacking(self, account: Account) -> list[str]:
        """Scopes that it cannot do without and was not given; ``write`` holds ``write:statuses``."""
        needed = account.needs or self.needed
        return [s for s in needed if s not in account.scopes and s.partition(":")[0] not in account.scopes]

    def ends(self, code: str) -> bool:
        """Whether this code of a problem means that a grant is over; of ``190/460`` the first number counts."""
        return code.partition("/")[0] in self.ended_by

    def access_life(self, given: int | None) -> int | None:
        """Seconds that an access token lives: as given, or as documented; None for no end."""
        return _believed(given, self.lives.access)

    def refresh_life(self, given: int | None, got: Secrets, *, first: bool) -> int | None:
        """Seconds that what refreshes lives from now on: as given, or as documented. None where nothing changes that.

        ``got`` are the secrets of the answer; ``first`` where they are of a new grant.
        """
        begins = (first or self.lives.restarts) and self.refreshes_with in got
        return _believed(given, self.lives.refresh if begins else None, self.lives.refresh)

    def refresh_in(self, access_seconds: int | None, held: Secrets, spread: float) -> float | None:
        """Seconds until a refresh is due; None where there is nothing to refresh, or to refresh it with."""
        return self.plan.due(access_seconds, spread) if self.refresh and held.get(self.refreshes_with) else None

    @property
    def refreshes_itself(self) -> bool:
        """Whether an access token is refreshed with itself, so that once it has ended nothing refreshes it."""
        return self.refresh is not None and self.refreshes_with == "access_token"

    @property
    def check_in(self) -> int | None:
        """Seconds until a check is due; None where refreshing shows soon enough whether it still holds."""
        return self.plan.check if self.check else None


def expected(response: Response, doing: str) -> dict[str, Any]:
    """The object in an answer that succeeded. Raises Problem: transient for 5xx, 429 and what is no JSON."""
    if response.status >= 500 or response.status == 429 or not isinstance(response.content, dict):
        raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", str(response.status))
    return response.content


def told(response: Response) -> None:
    """It knows now, or says that there was nothing to end. Raises Problem for 5xx and 429: it must be told again."""
    if response.status >= 500 or response.status == 429:
        raise Problem("transient", "The platform is in trouble; it is told later.", str(response.status))


def error_word(content: Mapping[str, Any]) -> str | None:
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

LONGEST_SCOPE, MOST_SCOPES = 100, 100


def text(value: Any) -> str:
    """An id as text, whichever way it was written; empty for what cannot be one."""
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    fits = len(found) <= LONGEST_ID and REPLACEMENT not in found and found.isprintable()
    return found if fits and found.strip() else ""


def label(value: Any, most: int = LONGEST_NAME) -> str:
    """What people call something, cut where it is too long; empty for what is no text."""
    return value.strip()[:most] if isinstance(value, str) else ""


_SECRET = re.compile(r"[\x20-\x7e]+")


def secret(value: Any) -> str:
    """A token, of the characters that RFC 6749 A.12 allows; empty for what cannot be one, such as blanks alone."""
    return value if isinstance(value, str) and _SECRET.fullmatch(value) and value.strip() else ""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of this name; empty where there is none, or something else."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def scope_list(value: Any) -> list[str]:
    """Scopes in any of the forms they come in: with commas, spaces or plus signs between, a list, or one as text."""
    if isinstance(value, str):
        parts: list[Any] = re.split(r"[\s,+]+", value)
        if value.lstrip().startswith("["):
            try:
                parts = json.loads(value)
            except (ValueError, RecursionError):
                parts = []
    else:
        parts = value if isinstance(value, list) else []
    found = [part.strip() for part in parts if isinstance(part, str)]
    return [part for part in dict.fromkeys(found) if 0 < len(part) <= LONGEST_SCOPE][:MOST_SCOPES]


def granted_scopes(app: App, value: Any) -> list[str]:
    """What a token answer says was granted; where it does not say, what was asked for (RFC 6749 5.1)."""
    return list(app.scopes) if value is None else scope_list(value)


def number(value: Any) -> float | None:
    """A number that is not negative, also where it stands as text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,30}(\.[0-9]{1,30})?\s*", value):
        value = float(value)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if fits else None


LONGEST_LIFE = 10 * 365 * 86_400
"""Seconds. No platform documents a life of more than a year; beyond this it is a mistake."""

MOST_LIVES = 15
"""A life that is longer than so many documented ones is a mistake, such as milliseconds. Of the lives that two pages of
one platform document, one is 12 times the other (``tiktok.md`` 1)."""

FIRST_MOMENT, LAST_MOMENT = 10**9, 2**32
"""Seconds since 1970, in 2001 and 2106: what a platform says happened or ends outside of them is a mistake."""


def seconds(value: Any) -> int | None:
    """A life in seconds, also where it is a float or stands as text; None where there is none, or nonsense."""
    found = number(value)
    return int(found) if found is not None and 1 <= found <= LONGEST_LIFE else None


def _believed(given: int | None, otherwise: int | None, documented: int | None = None) -> int | None:
    """``given``, where it can be meant; ``documented`` is what it is held against, ``otherwise`` if it is left out."""
    documented = otherwise if documented is None else documented
    nonsense = given is not None and documented is not None and given > MOST_LIVES * documented
    return otherwise if given is None or nonsense else given


def moment(value: Any) -> datetime | None:
    """A time given in seconds since 1970; None where there is none, or nonsense."""
    found = number(value)
    return datetime.fromtimestamp(found, UTC) if found is not None and FIRST_MOMENT <= found < LAST_MOMENT else None
