"""Describe connections to people: names, permissions, and how soon a revocation is noticed.

Decisions without I/O.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from publish.connections.connection_store import ConnectionDetails
from publish.connections.subscription_store import Shown
from publish.oauth.contract import OAuthProvider


@dataclass(frozen=True, slots=True)
class Permissions:
    """Scopes by the platform's names. ``missing`` maps each missing scope to what does not work without it.

    ``unreported`` were asked for, and the platform does not say whether they were granted.
    """

    granted: Sequence[str]
    missing: Mapping[str, str]
    unreported: Sequence[str]


def permissions(provider: OAuthProvider, granted: Sequence[str]) -> Permissions:
    """Compare the scopes that were stored as granted with those asked for; ``write`` includes ``write:statuses``."""
    asked = provider.asked_scopes(granted)
    absent = [s for s in asked if s not in granted and s.partition(":")[0] not in granted]
    missing = {scope: provider.scope_uses.get(scope, "") for scope in absent if scope not in provider.unreported_scopes}
    return Permissions(granted, missing, [scope for scope in absent if scope in provider.unreported_scopes])


def revocation_notice(provider: OAuthProvider) -> str:
    """Return in a sentence how soon it is noticed that a person revoked the permission at the platform."""
    asks = f"Landfall asks {_every(seconds)}" if (seconds := _seconds_between_questions(provider)) else ""
    if provider.removals is not None:
        return f"{provider.title} tells Landfall at once by a webhook when somebody takes the permission back." + (
            f" {asks} as well." if asks else ""
        )
    if provider.signs_requests_with:
        message = (
            f"{provider.title} tells Landfall at once when somebody removes the application, where its deauthorize"
        )
        message = f"{message} address leads here."
        return f"{message} A changed password it does not tell: {asks}." if asks else message
    if asks:
        return f"{provider.title} does not tell when somebody takes the permission back: {asks}."
    return f"{provider.title} does not tell when somebody takes the permission back; it shows at the next use."


def lacking(item: Shown) -> str:
    """Return in words what is missing of a subscription, or why nothing is known; empty where nothing is wrong."""
    if item.missing:
        return f"missing: {', '.join(item.missing)}. {item.advice or ''}".rstrip()
    return f"not seen: {item.trouble}" if item.trouble else ""


def _seconds_between_questions(provider: OAuthProvider) -> float | None:
    """Return the seconds between two checks or refreshes; None for never."""
    refresh = provider.refresh_policy.due(provider.lifetimes.access, 1.0) if provider.refresh else None
    return min((each for each in (provider.check_in, refresh) if each), default=None)


def _every(seconds: float) -> str:
    if seconds < 7200:
        return f"every {round(seconds / 60)} minutes"
    return f"every {round(seconds / 3600)} hours" if seconds < 86_400 else "once a day"


def _key(item: ConnectionDetails) -> tuple[str, str, str]:
    return item.platform, item.instance, item.username or item.account_id


def names(items: Iterable[ConnectionDetails]) -> dict[str, str]:
    """Return a name for each connection by its id, with the account's number where two of a platform share a name."""
    found = list(items)
    often = Counter(_key(item) for item in found)
    return {item.id: called(item.username, item.account_id, alone=often[_key(item)] == 1) for item in found}


def called(username: str, account_id: str, *, alone: bool) -> str:
    """Return an account's name, with its number unless no other account has the name."""
    if not username:
        return account_id
    return username if alone else f"{username} ({account_id})"


def distinct_names(wanted: tuple[str, str], others: Collection[tuple[str, str]]) -> tuple[str, list[str]]:
    """Return names for an account and others in one sentence; each is given as a name and an account's number."""
    often = Counter(name for name, _ in {wanted, *others})
    return called(*wanted, alone=often[wanted[0]] == 1), [called(*o, alone=often[o[0]] == 1) for o in others]
