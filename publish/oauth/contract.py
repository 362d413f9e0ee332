"""What a platform must say about connecting an account: values and step functions, without input or output."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode

from ops.runtime.platform_protocol import RateLimitStatus, Response, Steps, asked_to_wait
from schema.configuration import Variable


@dataclass(frozen=True, slots=True)
class App:
    """The application at one platform. ``base`` replaces all of the platform's hosts, for a sandbox.

    ``scopes`` are those that the person was asked for, where an account is being connected.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    hosts: Mapping[str, str]
    base: str = ""
    scopes: Sequence[str] = ()
    verify_token: str = field(default="", repr=False)
    """What the platform sends back when the address of its webhooks is entered; empty where none is set."""

    def url(self, host: str, path: str) -> str:
        return f"{self.base or self.hosts[host]}{path}"


Endpoint = tuple[str, str]
"""One of a platform's ``hosts``, and a path there."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """How a platform's OAuth 2 differs from RFC 6749; the defaults are the RFC's."""

    authorize: Endpoint
    token: Endpoint
    revoke: Endpoint | None = None
    client_id: str = "client_id"
    """The name of that parameter."""
    scope_separator: str = " "
    pkce: bool = False
    secret_in_header: bool = False
    """Whether the client authenticates by HTTP Basic and not in the form."""
    code_suffix: str = ""
    """What the platform appends to a code and does not accept with it."""
    refresh_seconds: str = ""
    """The name of the refresh token's life in a token response; empty where there is none."""
    refresh_token_required: bool = False
    """Whether a grant without a refresh token is of no use."""
    revoked_tokens: Sequence[str] = ("access_token",)
    """The tokens that are revoked, in this order."""

    def authorize_url(self, app: App, scopes: Sequence[str], state: str, challenge: str) -> str:
        """Return the address of the consent page. ``challenge`` is PKCE's, sent where the platform supports it."""
        query = {
            "response_type": "code",
            self.client_id: app.client_id,
            "redirect_uri": app.redirect_uri,
            "scope": self.scope_separator.join(scopes),
            "state": state,
        }
        if self.pkce:
            query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        return f"{app.url(*self.authorize)}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Profile:
    """How to read whose account a new token is for.

    ``inside`` are the names of the objects around the profile; ``kept`` are further texts that are stored, with the
    longest length of each in characters.
    """

    endpoint: Endpoint
    inside: Sequence[str] = ()
    account_id: str = "id"
    username: str = "username"
    kept: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """An account that could be connected. Lives are in seconds, as the platform gave them; None if it gave none.

    ``platform`` and ``needs`` (scopes) are set where they differ from those of the login's platform; ``grant_id`` where
    revoking the grant ends more accounts than this one. ``unusable`` tells a person why it cannot be connected.
    ``owner`` in ``profile`` is person or organization, on platforms where that makes a difference.
    """

    account_id: str
    username: str
    scopes: Sequence[str]
    secrets: Mapping[str, str] = field(repr=False)
    other_ids: Sequence[str] = ()
    profile: Mapping[str, object] = field(default_factory=dict)
    access_seconds: int | None = None
    refresh_seconds: int | None = None
    platform: str = ""
    needs: Sequence[str] = ()
    grant_id: str = ""
    unusable: str = ""


def owner_of(profile: Mapping[str, object]) -> str:
    """Return whether an account is of a person or an organization; empty where the platform makes no difference."""
    owner = profile.get("owner")
    return owner if isinstance(owner, str) else ""


@dataclass(frozen=True, slots=True)
class TokenUpdate:
    """What a refresh or a check returned. Secrets that it does not name stay as they are.

    ``ends_at`` is when the grant ends however often it is refreshed, where the platform gives a time and no life.
    """

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    access_seconds: int | None = None
    refresh_seconds: int | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """When to refresh: after ``share`` of a token's life, and not before ``youngest`` seconds.

    ``check``: check the token so many seconds after the platform last accepted it; None for no checks.
    ``longest``: refresh a token after so many seconds at the latest, unless it is too young for that.
    """

    share: float = 0.7
    youngest: int = 0
    check: int | None = None
    longest: int | None = None

    def due(self, access_seconds: int | None, spread: float) -> float | None:
        """Return seconds from now; None for never. ``spread``, up to 1, separates accounts connected together."""
        if access_seconds is None:
            return None
        seconds = access_seconds * self.share * spread
        return max(self.youngest, seconds if self.longest is None else min(seconds, self.longest))


@dataclass(frozen=True, slots=True)
class TokenLifetimes:
    """Documented lives of tokens in seconds, the shorter where the platform documents two.

    They count where a response does not say. None: no end is documented. ``restarts``: each refresh restarts the life
    of the refresh token.
    """

    access: int | None = None
    refresh: int | None = None
    restarts: bool = False


Secrets = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """A connected account: what is held of it, and what ``connect`` said of it.

    ``platform`` is that of the account, where it differs from the login's; ``grant_id`` is as in :class:`Account`.
    """

    account_id: str
    profile: Mapping[str, object]
    secrets: Secrets = field(repr=False)
    platform: str = ""
    scopes: Sequence[str] = ()
    grant_id: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account's events are subscribed to, as the platform shows it.

    Each field is in the platform's words, after whose half it is: ``account feed``, ``application feed``. ``missing``
    are not subscribed to, and could not be; ``repaired`` were missing, and are subscribed to again. ``advice`` says
    what the operator does about the missing ones.
    """

    wanted: Sequence[str]
    missing: Sequence[str] = ()
    repaired: Sequence[str] = ()
    advice: str = ""


class Revoke(Protocol):
    """``last``: no other connection depends on the grant of the same person."""

    def __call__(self, app: App, secrets: Secrets, *, last: bool) -> Steps[None]: ...


@dataclass(frozen=True, slots=True)
class Removals:
    """Where the projected log says that a person removed the application.

    ``table`` has a row for each account: column ``at`` is when, column ``why`` a number. ``messages`` tell the person
    what such a number means; a number without one is the person's own wish. Removals that name no time are in the table
    ``undated``, by account and ``external_id`` of their event, with the same ``why``: they count from their receipt.
    """

    table: str
    at: str
    why: str
    messages: Mapping[int, str]
    undated: str


@dataclass(frozen=True, slots=True)
class OAuthProvider:
    """A platform whose accounts can be connected. ``refreshes_with`` is the secret that a refresh needs.

    ``ended_by`` are the words and codes that mean that a grant is over, from the platform's page; every other error is
    temporary, and the request is repeated. ``optional_scopes`` are asked for where the operator, by
    ``optional_variable``, or the person wants it. ``products`` are scopes that are asked for in place of ``scopes``
    where the operator names one of them in ``product_variable``: the platform gives them to applications with that
    product only. No person can ask for them, since another set than before may end what they granted.

    ``connect`` exchanges the code and returns the accounts that could be connected. ``verify_and_subscribe`` proves
    that one of them can be reached with what was granted, and subscribes to its events. ``check`` proves it again.
    ``subscription`` reads what a connected account's events are subscribed to, and subscribes to what is missing; None
    where nothing is subscribed to for an account, and ``unsubscribed`` says then how its events come.
    ``shares_tokens``: all accounts of one grant have the same tokens, so that new ones are given to all of them.
    """

    title: str
    """What people call it."""
    client_id: Variable | None
    client_secret: Variable | None
    base_url: Variable
    hosts: Mapping[str, str]
    scopes: Sequence[str]
    needed: Sequence[str]
    oauth: OAuth
    connect: Callable[[App, str, str], Steps[list[Account]]]
    refresh_policy: RefreshPolicy
    ended_by: Collection[str]
    lifetimes: TokenLifetimes = TokenLifetimes()
    scope_uses: Mapping[str, str] = field(default_factory=dict)
    """What does not work without a scope, for the page of a connection: "publishing posts"."""
    unreported_scopes: Sequence[str] = ()
    """Scopes of which no response says whether they were granted."""
    optional_scopes: Sequence[str] = ()
    optional_variable: Variable | None = None
    products: Mapping[str, Sequence[str]] = field(default_factory=dict)
    product_variable: Variable | None = None
    shares_tokens: bool = False
    verified_variable: Variable | None = None
    """Has the hosts and address prefixes that the platform has verified as ours: it fetches files from nowhere else."""
    verify_and_subscribe: Callable[[App, Account], Steps[None]] | None = None
    refresh: Callable[[App, Secrets], Steps[TokenUpdate]] | None = None
    check: Callable[[App, HeldAccount], Steps[TokenUpdate]] | None = None
    subscription: Callable[[App, HeldAccount], Steps[Subscription]] | None = None
    unsubscribed: str = "No events are received from this platform."
    tells_of_others: bool = False
    """Whether its webhooks tell what other people do at an account, and not only what became of what we did there: only
    then does it mean something that none comes."""
    verify_tokens: Sequence[Variable] = ()
    """Have what the platform is to send when the address of its webhooks is entered; the first that is set counts."""
    revoke: Revoke | None = None
    locate: Callable[[App], Steps[str]] | None = None
    """Return the host of the instance, which the host that a person named may redirect to."""
    register: Callable[[App, str, Sequence[str]], Steps[tuple[str, str]]] | None = None
    recognised: Callable[[App], Steps[bool]] | None = None
    """Return whether an instance still knows the application that is registered there."""
    revokes_for_all: bool = True
    """Whether revoking one token of an account ends every token that the account granted to this application."""
    refreshes_with: str = "access_token"
    removals: Removals | None = None
    """Where the log says that a person removed the application; None where nothing does."""
    signs_requests_with: Sequence[Variable] = ()
    """Secrets that the deauthorize callback may be signed with; empty where there is no such callback."""
    rate_limit_status: Callable[[Response, datetime], Sequence[RateLimitStatus]] = asked_to_wait
    """Read what a response says of rate limits, at this time."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        own = (self.client_id, self.client_secret, self.base_url)
        added = (self.optional_variable, self.product_variable, self.verified_variable, *self.verify_tokens)
        named = tuple(v for v in (*own, *added) if v is not None)
        return (*named, *(v for v in self.signs_requests_with if v not in named))

    def asked_scopes(self, granted: Collection[str]) -> Sequence[str]:
        """Return the scopes that were asked for where these were granted: the usual ones, or those of a product."""
        return max((self.scopes, *self.products.values()), key=lambda scopes: len({*scopes} & {*granted}))

    def missing_scopes(self, account: Account) -> list[str]:
        """Return the needed scopes that were not granted; ``write`` includes ``write:statuses``."""
        needed = account.needs or self.needed
        return [s for s in needed if s not in account.scopes and s.partition(":")[0] not in account.scopes]

    def ends_grant(self, code: str) -> bool:
        """Return whether this code of a problem ends a grant; of ``190/460`` the first number counts."""
        return code.partition("/")[0] in self.ended_by

    def access_life(self, given: int | None) -> int | None:
        """Return the life of an access token in seconds, as given or as documented; None for no end."""
        return _plausible(given, self.lifetimes.access)

    def refresh_life(self, given: int | None, got: Secrets, *, first: bool) -> int | None:
        """Return the life of the refresh token in seconds from now, as given or as documented; None if unchanged.

        ``got`` are the secrets of the response; ``first`` is whether they are of a new grant.
        """
        restarts = (first or self.lifetimes.restarts) and self.refreshes_with in got
        return _plausible(given, self.lifetimes.refresh if restarts else None, self.lifetimes.refresh)

    def refresh_in(self, access_seconds: int | None, held: Secrets, spread: float) -> float | None:
        """Return the seconds until a refresh is due; None where nothing can be refreshed."""
        return (
            self.refresh_policy.due(access_seconds, spread) if self.refresh and held.get(self.refreshes_with) else None
        )

    @property
    def refreshes_itself(self) -> bool:
        """Whether an access token is refreshed with itself, so that nothing can refresh it once it has ended."""
        return self.refresh is not None and self.refreshes_with == "access_token"

    @property
    def check_in(self) -> int | None:
        """Seconds until a check is due; None where refreshing notices a revocation soon enough."""
        return self.refresh_policy.check if self.check else None


LONGEST_SCOPE, MOST_SCOPES = 100, 100


def scope_list(value: object) -> list[str]:
    """Read scopes from a list, from JSON text, or from text with commas, spaces or plus signs between them."""
    if isinstance(value, str):
        parts: list[object] = re.split(r"[\s,+]+", value)
        if value.lstrip().startswith("["):
            try:
                parts = json.loads(value)
            except (ValueError, RecursionError):
                parts = []
    else:
        parts = value if isinstance(value, list) else []
    found = [part.strip() for part in parts if isinstance(part, str)]
    return [part for part in dict.fromkeys(found) if 0 < len(part) <= LONGEST_SCOPE][:MOST_SCOPES]


def granted_scopes(app: App, value: object) -> list[str]:
    """Return what a token response says was granted; if it does not say, what was asked for (RFC 6749 5.1)."""
    return list(app.scopes) if value is None else scope_list(value)


MOST_LIVES = 15
"""A life of more than so many documented ones is an error, such as milliseconds. Two pages of one platform differ by a
factor of 12 (``tiktok.md`` 1)."""


def _plausible(given: int | None, default: int | None, documented: int | None = None) -> int | None:
    """Return ``given`` unless it is missing or too long, and ``default`` then.

    It is compared with ``documented``, or with ``default`` where that is None.
    """
    documented = default if documented is None else documented
    too_long = given is not None and documented is not None and given > MOST_LIVES * documented
    return default if given is None or too_long else given
