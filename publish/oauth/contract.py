"""What a platform says about connecting an account: values and pure functions, no network."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ops.runtime.platform_protocol import Response, Steps, Usage, asked_to_wait
from schema.configuration import Variable

ENDED = "The platform no longer accepts this connection; connect the account again."


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
    ``longest``: a token is refreshed after so many seconds at the latest, unless it is too young for that.
    """

    share: float = 0.7
    youngest: int = 0
    check: int | None = None
    longest: int | None = None

    def due(self, access_seconds: int | None, spread: float) -> float | None:
        """Seconds from now; None for never. ``spread``, up to 1, keeps apart what was connected together."""
        if access_seconds is None:
            return None
        seconds = access_seconds * self.share * spread
        return max(self.youngest, seconds if self.longest is None else min(seconds, self.longest))


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


LONGEST_SCOPE, MOST_SCOPES = 100, 100


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


MOST_LIVES = 15
"""A life that is longer than so many documented ones is a mistake, such as milliseconds. Of the lives that two pages of
one platform document, one is 12 times the other (``tiktok.md`` 1)."""


def _believed(given: int | None, otherwise: int | None, documented: int | None = None) -> int | None:
    """``given``, where it can be meant; ``documented`` is what it is held against, ``otherwise`` if it is left out."""
    documented = otherwise if documented is None else documented
    nonsense = given is not None and documented is not None and given > MOST_LIVES * documented
    return otherwise if given is None or nonsense else given
