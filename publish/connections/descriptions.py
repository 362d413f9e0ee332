"""What people are told of a connection: what it is called, what it may and may not do, and how soon its end is noticed.

Decisions without I/O.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from publish.oauth.contract import Channel


@dataclass(frozen=True, slots=True)
class Permissions:
    """Scopes as the platform calls them. ``missing`` comes with what does not work without each.

    ``unreported`` were asked for, and the platform does not say whether they were given.
    """

    granted: Sequence[str]
    missing: Mapping[str, str]
    unreported: Sequence[str]


def permissions(channel: Channel, granted: Sequence[str]) -> Permissions:
    """``granted`` are those that were kept when the account was connected; ``write`` holds ``write:statuses``."""
    absent = [s for s in channel.scopes if s not in granted and s.partition(":")[0] not in granted]
    missing = {scope: channel.scope_uses.get(scope, "") for scope in absent if scope not in channel.unreported_scopes}
    return Permissions(granted, missing, [scope for scope in absent if scope in channel.unreported_scopes])


def noticed(channel: Channel) -> str:
    """How soon we learn that a person took the permission back at the platform, as a sentence."""
    asks = f"Landfall asks {_every(seconds)}" if (seconds := _asked_every(channel)) else ""
    if channel.removals is not None:
        return f"{channel.title} tells Landfall at once by a webhook when somebody takes the permission back." + (
            f" {asks} as well." if asks else ""
        )
    if channel.signs_requests_with:
        says = f"{channel.title} tells Landfall at once when somebody removes the application, where its deauthorize"
        says = f"{says} address leads here."
        return f"{says} A changed password it does not tell: {asks}." if asks else says
    if asks:
        return f"{channel.title} does not tell when somebody takes the permission back: {asks}."
    return f"{channel.title} does not tell when somebody takes the permission back; it shows at the next use."


def _asked_every(channel: Channel) -> float | None:
    """Seconds between two questions to the platform, by check or by refresh; None for never."""
    refresh = channel.plan.due(channel.lives.access, 1.0) if channel.refresh else None
    return min((each for each in (channel.check_in, refresh) if each), default=None)


def _every(seconds: float) -> str:
    if seconds < 7200:
        return f"every {round(seconds / 60)} minutes"
    return f"every {round(seconds / 3600)} hours" if seconds < 86_400 else "once a day"


Named = Mapping[str, Any]
"""A connection as :func:`publish.connections.connection_store.listed` shows it."""


def _key(item: Named) -> tuple[str, str, str]:
    return item["platform"], item["instance"], item["username"] or item["account_id"]


def names(items: Iterable[Named]) -> dict[str, str]:
    """What each connection is called, by its id: where two of a platform have one name, the number stands too."""
    found = list(items)
    often = Counter(_key(item) for item in found)
    return {item["id"]: called(item["username"], item["account_id"], alone=often[_key(item)] == 1) for item in found}


def called(username: str, account_id: str, *, alone: bool) -> str:
    """An account's name, with its number unless it is ``alone`` with the name."""
    if not username:
        return account_id
    return username if alone else f"{username} ({account_id})"


def told_apart(wanted: tuple[str, str], others: Collection[tuple[str, str]]) -> tuple[str, list[str]]:
    """What an account and others are called in one sentence; each is a name and an account's number."""
    often = Counter(name for name, _ in {wanted, *others})
    return called(*wanted, alone=often[wanted[0]] == 1), [called(*o, alone=often[o[0]] == 1) for o in others]
