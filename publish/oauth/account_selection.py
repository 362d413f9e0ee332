"""Which of the accounts that a person showed us are connected, and when to ask first: decisions without I/O."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ops.runtime.platform_protocol import Problem
from publish.connections.descriptions import told_apart
from publish.oauth.contract import Account, Channel

Key = tuple[str, str]
"""Platform and account id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The connection that was to be brought back."""

    key: Key
    username: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a person has to decide first; ``chosen`` are those that stand ticked."""

    says: str
    chosen: Collection[Key]


def key_of(channel: str, account: Account) -> Key:
    return (account.platform or channel, account.account_id)


def written(key: Key) -> str:
    """A key in a form's field."""
    return ":".join(key)


def why_not(channel: Channel, account: Account) -> str:
    """Why this account cannot be connected, and what to do; empty for one that can."""
    if account.unusable:
        return account.unusable
    if lacking := channel.lacking(account):
        return f"Not everything was allowed: connect again and leave {', '.join(lacking)} ticked."
    return ""


def decide(
    name: str, channel: Channel, accounts: Sequence[Account], wanted: Wanted | None, known: Collection[Key]
) -> list[Account] | Question:
    """Whom to connect, or what to ask. ``known`` are connected through this channel already. Raises Problem."""
    usable = {key_of(name, account): account for account in accounts if not why_not(channel, account)}
    if wanted is not None:
        for account in accounts:
            if key_of(name, account) == wanted.key and wanted.key not in usable:
                raise Problem("lacking", why_not(channel, account))
    if not usable:
        raise Problem("lacking", why_not(channel, accounts[0]))
    if wanted is not None and wanted.key in usable:
        # Their grant is the same one, and the new one takes the place of the old one for all of them.
        return [account for key, account in usable.items() if key == wanted.key or key in known]
    if wanted is not None:
        meant, found = told_apart((wanted.username, wanted.key[1]), [(a.username, a.account_id) for a in accounts])
        says = (
            f"You wanted to connect {meant} again, but this is {', '.join(found)}. Connect it as well,"
            " or go back, log in there as the other one and start again."
        )
        return Question(says, ())
    if len(accounts) == 1:
        return list(usable.values())
    return Question("Choose what to connect.", [key for key in usable if key in known] or list(usable))


def choices(name: str, channel: Channel, accounts: Sequence[Account], question: Question) -> list[dict[str, Any]]:
    """What there is to choose from, without secrets."""
    return [
        {
            "account": written(key_of(name, account)),
            "platform": account.platform or name,
            "account_id": account.account_id,
            "username": account.username,
            "why_not": why_not(channel, account),
            "chosen": key_of(name, account) in question.chosen,
        }
        for account in accounts
    ]


def packed(accounts: Sequence[Account]) -> str:
    """To be sealed: tokens are in it."""
    return json.dumps([asdict(account) for account in accounts])


def unpacked(text: str) -> list[Account]:
    return [Account(**fields) for fields in json.loads(text)]
