"""Which of the accounts that a login showed are connected, and when the person has to choose: decisions without I/O."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from ops.runtime.platform_protocol import PlatformError
from publish.connections.descriptions import distinct_names
from publish.oauth.contract import Account, OAuthProvider, owner_of
from publish.oauth.outcomes import Choice

Key = tuple[str, str]
"""Platform and account id."""


@dataclass(frozen=True, slots=True)
class ReconnectTarget:
    """The connection that the flow was begun to reconnect."""

    key: Key
    username: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person has to decide first; ``preselected`` are the accounts that are ticked."""

    message: str
    preselected: Collection[Key]


def key_of(platform: str, account: Account) -> Key:
    return (account.platform or platform, account.account_id)


def form_value(key: Key) -> str:
    """Return a key as the value of a form's field."""
    return ":".join(key)


def reason_unusable(provider: OAuthProvider, account: Account) -> str:
    """Return why this account cannot be connected, and what to do; empty for one that can."""
    if account.unusable:
        return account.unusable
    if missing := provider.missing_scopes(account):
        return f"Not everything was allowed: connect again and leave {', '.join(missing)} ticked."
    return ""


def decide(
    platform: str,
    provider: OAuthProvider,
    accounts: Sequence[Account],
    target: ReconnectTarget | None,
    known: Collection[Key],
) -> list[Account] | Selection:
    """Return the accounts to connect, or what to ask first. Raises PlatformError where none can be connected.

    ``known`` are connected by a login at this platform already.
    """
    usable = {key_of(platform, account): account for account in accounts if not reason_unusable(provider, account)}
    if target is not None:
        for account in accounts:
            if key_of(platform, account) == target.key and target.key not in usable:
                raise PlatformError("lacking", reason_unusable(provider, account))
    if not usable:
        raise PlatformError("lacking", reason_unusable(provider, accounts[0]))
    if target is not None and target.key in usable:
        # They share one grant, and the new grant replaces the old one for all of them.
        return [account for key, account in usable.items() if key == target.key or key in known]
    if target is not None:
        wanted, found = distinct_names(
            (target.username, target.key[1]), [(account.username, account.account_id) for account in accounts]
        )
        message = (
            f"You wanted to connect {wanted} again, but this is {', '.join(found)}. Connect it as well,"
            " or go back, log in there as the other one and start again."
        )
        return Selection(message, ())
    if len(accounts) == 1:
        return list(usable.values())
    return Selection("Choose what to connect.", [key for key in usable if key in known] or list(usable))


def choices(platform: str, provider: OAuthProvider, accounts: Sequence[Account], selection: Selection) -> list[Choice]:
    """Return what there is to choose from, without secrets."""
    return [
        Choice(
            account=form_value(key_of(platform, account)),
            platform=account.platform or platform,
            account_id=account.account_id,
            username=account.username,
            why_not=reason_unusable(provider, account),
            chosen=key_of(platform, account) in selection.preselected,
            owner=owner_of(account.profile),
        )
        for account in accounts
    ]


def serialized(accounts: Sequence[Account]) -> str:
    """Return the accounts as text, tokens included: it must be sealed."""
    return json.dumps([asdict(account) for account in accounts])


def deserialized(text: str) -> list[Account]:
    return [Account(**fields) for fields in json.loads(text)]
