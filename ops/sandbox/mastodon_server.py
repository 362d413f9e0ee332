"""The admin webhooks of a Mastodon server and its simulated activity: ``mastodon.md`` 7."""

import hashlib
import hmac
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ops.sandbox import sample_text
from ops.sandbox.contract import CommandError, Platform, PlatformEvent, Sandbox, forget_oldest

RETRIES = 16
ADDRESS = "https://mastodon.sandbox"
"""Base address of the objects in webhooks."""


@dataclass
class Status:
    id: str
    account: str
    text: str
    created: datetime
    visibility: str
    media: list[str] = field(default_factory=list)
    reply_to: str | None = None
    spoiler: str = ""
    language: str | None = None
    edited: datetime | None = None
    poll: dict[str, Any] | None = None
    sensitive: bool = False
    quoted: str | None = None
    quote_policy: str = "public"
    versions: list[dict[str, Any]] = field(default_factory=list)
    """Versions before each edit, oldest first."""


@dataclass
class Notification:
    """A notification that an account was mentioned."""

    id: str
    account: str
    by: str
    status: str
    created: datetime


class MastodonServer(Platform):
    """The webhook part of Mastodon. The other part has the accounts, the statuses and their JSON."""

    accounts: dict[str, str]
    statuses: dict[str, Status]
    # Sidekiq's: the fourth power of the count, and 15 s.
    retry_seconds = tuple(count**4 + 15 for count in range(RETRIES))

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.fans: dict[str, str] = {}
        self.notifications: dict[str, Notification] = {}

    def new_id(self) -> str:
        raise NotImplementedError

    def shape(self, status: Status, base: str) -> dict[str, Any]:
        raise NotImplementedError

    def shape_account(self, name: str, base: str) -> dict[str, Any]:
        raise NotImplementedError

    # --- admin webhooks (mastodon.md 7.1)

    def ends_delivery(self, status: int | None) -> bool:
        """Return whether no retry follows: after success, and after refusals that are final."""
        if status is None:
            return False
        return status < 300 or (400 <= status < 500 and status not in (401, 408, 429)) or status == 501

    def batch_key(self, event: PlatformEvent) -> Hashable:
        return event.number

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        """Return the body, which is the same for every attempt."""
        [event] = events
        return json.dumps(event.value, separators=(",", ":"), ensure_ascii=False).encode()

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        # The secret looks like hexadecimal, and is used as text.
        return {"X-Hub-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    def announce(self, event: str, account: str, thing: dict[str, Any]) -> None:
        self.notify(event, account, {"event": event, "created_at": self.sandbox.at, "object": thing})

    def shape_user(self, name: str) -> dict[str, Any]:
        """Return the account as administrators see it, for ``account.*`` events."""
        shown = self.shape_account(name, ADDRESS)
        return {
            "id": shown["id"],
            "username": name,
            "domain": None,
            "email": f"{name}@example.org",
            "confirmed": True,
            "approved": True,
            "disabled": False,
            "silenced": False,
            "suspended": False,
            "account": shown,
        }

    def shape_report(self, status: Status) -> dict[str, Any]:
        """Return a report of an owner about somebody's status."""
        above = self.statuses.get(status.reply_to or "")
        return {
            "id": self.new_id(),
            "action_taken": False,
            "action_taken_at": None,
            "category": "spam",
            "comment": "",
            "forwarded": False,
            "created_at": self.sandbox.at,
            "updated_at": self.sandbox.at,
            "account": self.shape_user(above.account if above else next(iter(self.accounts))),
            "target_account": self.shape_user(status.account),
            "assigned_account": None,
            "action_taken_by_account": None,
            "statuses": [self.shape(status, ADDRESS)],
            "rules": [],
        }

    # --- life

    def tell_of(self, status: Status) -> None:
        """Send the event of a new status, and notify the accounts that it mentions."""
        self.announce("status.created", status.account, self.shape(status, ADDRESS))
        above = self.statuses.get(status.reply_to or "")
        if above is not None and above.account in self.accounts and above.account != status.account:
            made = Notification(self.new_id(), above.account, status.account, status.id, self.sandbox.clock.now())
            self.notifications[made.id] = made
            forget_oldest(self.notifications, self.sandbox.capacity)

    def say(self, by: str, text: str, above: Status | None = None) -> Status:
        if by not in self.accounts and by not in self.fans:
            self.fans[by] = self.new_id()
            self.announce("account.created", by, self.shape_user(by))
            self.announce("account.approved", by, self.shape_user(by))  # nobody waits where everybody may register
        mention = f"@{above.account} " if above else ""
        now = self.sandbox.clock.now()
        status = Status(self.new_id(), by, mention + text, now, "public", reply_to=above.id if above else None)
        self.statuses[status.id] = status
        forget_oldest(self.statuses, self.sandbox.capacity)
        self.tell_of(status)
        return status

    def people(self) -> Sequence[str]:
        return list(self.accounts)

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        below: dict[str, list[dict[str, Any]]] = {}
        for status in self.statuses.values():
            if status.reply_to:
                said = {"id": status.id, "by": status.account, "text": status.text, "parent": status.reply_to}
                below.setdefault(status.reply_to, []).append(said)
        return [
            {"id": status.id, "text": status.text, "comments": below.get(status.id, [])}
            for status in reversed(self.statuses.values())
            if status.account == account and status.reply_to is None
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        name, dice = rng.choice(list(self.accounts)), rng.random()
        recent = list(self.statuses.values())[-200:]
        mine = [status for status in recent if status.account == name and status.reply_to is None]
        others = [status for status in recent if status.account in self.fans]
        if not mine or dice < 0.1:
            self.simulate_publish(name, sample_text.caption(self.sandbox))
        elif others and dice < 0.15:
            del self.statuses[rng.choice(others).id]  # nobody is told (mastodon.md 7.1)
        elif others and dice < 0.25:
            status = rng.choice(others)
            status.text, status.edited = sample_text.comment_text(self.sandbox), self.sandbox.clock.now()
            self.announce("status.updated", status.account, self.shape(status, ADDRESS))
        elif others and dice < 0.28:
            status = rng.choice(others)
            self.announce("report.created", status.account, self.shape_report(status))
        elif others and dice < 0.31:
            who = rng.choice(others).account
            self.announce("account.updated", who, self.shape_user(who))
        else:
            self.say(sample_text.commenter(self.sandbox), sample_text.comment_text(self.sandbox), rng.choice(mine))

    def simulate_publish(self, account: str, text: str) -> str:
        status = self.say(account, text)
        self.record("post", account=account, id=status.id, text=text, by="owner")
        return status.id

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        if post not in self.statuses:
            raise CommandError(f"{account} has no status {post}")
        return self.say(by, text, self.statuses[post]).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if self.statuses.pop(id_, None) is None:
            raise CommandError(f"there is no {id_}")
