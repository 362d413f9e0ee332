"""What a platform says about connecting an account: values and pure functions, no network.

A step function is a generator: it yields a :class:`Request`, is sent the :class:`Response`, and returns what it found.
So a platform's file holds the whole conversation in the order in which it happens, and a test can play the other side.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

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
    """``content`` is the parsed body; None where it was no JSON."""

    status: int
    content: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


Steps = Generator[Request, Response, T]

Kind = Literal["denied", "grant", "app", "lacking", "transient", "wrong"]


class Problem(Exception):  # noqa: N818  an answer for a person
    """Why it did not work. ``says`` is for the person and holds what to do; ``code`` is the platform's own word.

    denied: the person said no. grant: the platform takes what we hold no longer. app: our own settings are wrong.
    lacking: too little was granted. transient: it may work later. wrong: the request cannot work as it is.
    """

    def __init__(self, kind: Kind, says: str, code: str = "") -> None:
        super().__init__(f"{kind}: {says}")
        self.kind: Kind = kind
        self.says = says
        self.code = code


@dataclass(frozen=True, slots=True)
class App:
    """The application at one platform. ``base`` replaces all of the platform's hosts, for a sandbox."""

    client_id: str
    client_secret: str
    redirect_uri: str
    hosts: Mapping[str, str]
    base: str = ""

    def url(self, host: str, path: str) -> str:
        return f"{self.base or self.hosts[host]}{path}"


@dataclass(frozen=True, slots=True)
class Account:
    """One account that was connected. Seconds are lives as the platform gave them; None for no end."""

    account_id: str
    username: str
    scopes: Sequence[str]
    secrets: Mapping[str, str]
    other_ids: Sequence[str] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    access_seconds: int | None = None
    refresh_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a refresh gave. Secrets that it does not name stay as they are."""

    secrets: Mapping[str, str] = field(default_factory=dict)
    access_seconds: int | None = None
    refresh_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """When to refresh: after ``share`` of the life that was given, and not before ``youngest`` seconds.

    Where there is no life, every ``check`` seconds, to see whether the token still holds.
    """

    share: float = 0.7
    youngest: int = 0
    check: int | None = None

    def due(self, access_seconds: int | None) -> float | None:
        """Seconds from now; None for never."""
        if access_seconds is None:
            return self.check
        return max(self.youngest, access_seconds * self.share)


@dataclass(frozen=True, slots=True)
class Channel:
    """A platform to connect to. ``refreshes_with`` is the secret without which there is nothing to refresh."""

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
    refresh: Callable[[App, Mapping[str, str]], Steps[Renewed]] | None = None
    revoke: Callable[[App, Mapping[str, str]], Steps[None]] | None = None
    register: Callable[[App, str, Sequence[str]], Steps[tuple[str, str]]] | None = None
    refreshes_with: str = "access_token"
    removed_by: str = ""
    """The event in the log that says that a person removed us; empty where there is none."""
    signs_requests_with: Sequence[Variable] = ()
    """Secrets that its deauthorize callback may be signed with; none where it has no such callback."""
    pkce: bool = False

    @property
    def variables(self) -> tuple[Variable, ...]:
        own = tuple(v for v in (self.client_id, self.client_secret, self.base_url) if v is not None)
        return (*own, *(v for v in self.signs_requests_with if v not in own))


def expected(response: Response, doing: str) -> dict[str, Any]:
    """The object in an answer that succeeded. Raises Problem: transient for 5xx, 429 and what is no JSON."""
    if response.status >= 500 or response.status == 429 or not isinstance(response.content, dict):
        raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", str(response.status))
    return response.content


def text(value: Any) -> str:
    """An id as text, whichever way it was written."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def seconds(value: Any) -> int | None:
    """A life as given; None where there is none, or nonsense."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
