"""Decide whether a post can be accepted at an account: its kind, what its platform says of it, and its quotas."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import asyncpg

from publish.posting import post_store
from publish.posting.action_kinds import actions_of
from publish.posting.contract import JsonValue, Media, PostingPlatform
from publish.posting.errors import PostError, Reason, not_connected
from publish.posting.links import Campaign, tag_link, tagged
from publish.posting.post_store import Account
from publish.preflight.check import check, check_quota, check_reply_permissions
from publish.preflight.contract import AccountFacts, Draft, Finding, MediaFacts, PostingRules, Quota, Severity
from publish.preflight.description import described
from schema.states import ConnectionState

FIRST_COMMENT = "first_comment"
"""The option with which a comment of the account's own is published after the post, as a target of its own."""


def first_comment(options: Mapping[str, JsonValue]) -> str:
    """Return the text of the first comment; empty for none."""
    found = options.get(FIRST_COMMENT)
    return found.strip() if isinstance(found, str) else ""


CODES: Mapping[str, Reason] = {
    "quota_used_up": "rate_limit_exceeded",
    "scope_not_authorized": "scope_not_authorized",
    "url_ownership_unverified": "url_ownership_unverified",
    "spam_risk_too_many_pending_share": "spam_risk_too_many_pending_share",
    "access_token_invalid": "access_token_invalid",
}
"""The code of the answer for a finding; any other is ``unprocessable``."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """A platform to which posts can be published: its machines, and what it says about posts."""

    machines: PostingPlatform
    rules: PostingRules

    @property
    def document(self) -> dict[str, object]:
        """The kinds of post that are published, with their limits and the JSON schemas of their options."""
        known = {name: kind for name, kind in self.rules.kinds.items() if name in self.machines.machines}
        return {
            **described(replace(self.rules, kinds=known)),
            "replies": bool(self.machines.reply_kind),
            "actions": actions_of(self.machines),
            "reply_files": self.machines.reply_with_files is not None,
            "quotas": [
                {"posts": quota.posts, "hours": quota.seconds / 3600, "kinds": list(quota.kinds)}
                for quota in self.rules.quotas
            ],
        }


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of the library: for the machines, for the rules, and the SHA-256 of its bytes."""

    media: Media
    facts: MediaFacts
    sha256: bytes


class Files(Protocol):
    """What accepting posts needs of the library of files."""

    async def known(self, connection: asyncpg.Connection, tenant: str, ids: Sequence[str]) -> Mapping[str, KnownFile]:
        """Return what is known of files by id, and keep them until the transaction ends; none of one that is gone."""

    async def revoke(self, connection: asyncpg.Connection, target_id: str) -> None:
        """End all addresses that were made for a target."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file of a post in its place."""

    file: KnownFile
    alt_text: str


@dataclass(frozen=True, slots=True)
class WantedPart:
    """A further part of a thread, or a first comment."""

    text: str
    items: Sequence[Item] = ()

    def shown(self, campaign: Campaign | None) -> "WantedPart":
        """Return it as it is shown: with the parameters of a campaign on its links."""
        return replace(self, text=tagged(self.text, campaign))

    @property
    def digest(self) -> JsonValue:
        """Of what is shown: the text alone where there are no files."""
        files: list[JsonValue] = [item.file.sha256.hex() for item in self.items]
        return [self.text, files] if files else self.text


@dataclass(frozen=True, slots=True)
class Wanted:
    """A post as it was written for one account: ``parts`` are the further parts of a thread, ``comment`` the first
    comment, None for none.

    What is shown there, counted, sent and looked for has the parameters of the ``campaign`` on its links, if there is
    one.
    """

    account: Account
    text: str
    kind: str = ""
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    items: Sequence[Item] = ()
    link: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[WantedPart] = ()
    comment: WantedPart | None = None
    campaign: Campaign | None = None

    @property
    def shown_text(self) -> str:
        """The text as it is shown there."""
        return tagged(self.text, self.campaign)

    @property
    def shown_link(self) -> str:
        """The address of the shared page as it is shown there; empty for none."""
        url = self.link.get("url", "")
        return tag_link(url, self.campaign) if url and self.campaign is not None else url

    @property
    def replies(self) -> Sequence[WantedPart]:
        """What is published below the post, in the order of positions."""
        return [*self.parts, *([self.comment] if self.comment is not None else [])]

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what people see: kind, text, link and files. Other options do not make it another post."""
        files = [item.file.sha256.hex() for item in self.items]
        parts = [part.shown(self.campaign).digest for part in self.parts]
        shown = [self.kind, self.shown_text.strip(), self.shown_link, files, parts]
        return hashlib.sha256(json.dumps(shown).encode()).digest()


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one account. ``wanted`` has its kind; ``reply_kinds`` are those of the parts below it.

    ``facts`` are what it was held against: of a quota they count only for a while.
    """

    wanted: Wanted
    findings: Sequence[Finding]
    reply_kinds: Sequence[str] = ()
    facts: AccountFacts = field(default_factory=AccountFacts)

    @property
    def replies(self) -> list[tuple[WantedPart, str]]:
        """What is published below the post, each with its kind; empty kinds where nothing publishes them."""
        kinds = self.reply_kinds or [""] * len(self.wanted.replies)
        return list(zip(self.wanted.replies, kinds, strict=True))

    @property
    def refusals(self) -> list[Finding]:
        """The findings for which the post is not accepted at this account."""
        return [finding for finding in self.findings if finding.severity is Severity.REFUSAL]

    @property
    def documents(self) -> list[dict[str, str]]:
        """The findings, each with the connection that it is about."""
        return [{"connection": self.wanted.account.id, **finding.document} for finding in self.findings]


def refused(code: str, message: str, remedy: str, part: str = "post") -> Finding:
    """Return a refusal of the post as a whole, or of an ``option``; ``remedy`` says what to do."""
    return Finding(Severity.REFUSAL, code, "option" if part == "option" else "post", message, remedy)


def noted(publishers: Mapping[str, Publisher], found: Checked, note: Finding | None) -> Checked:
    """Add what is to be said of the shared page where the post shows it apart from its text."""
    publisher = publishers.get(found.wanted.account.platform)
    kind = None if publisher is None else publisher.rules.kinds.get(found.wanted.kind)
    if note is None or kind is None or kind.link == "none":
        return found
    return replace(found, findings=[*found.findings, note])


def checked(publishers: Mapping[str, Publisher], wanted: Wanted, facts: AccountFacts) -> Checked:
    """Compare what is wanted at an account with what its platform says."""
    publisher = publishers.get(wanted.account.platform)
    if publisher is None:
        message = f"This release publishes no posts to {wanted.account.platform}."
        return Checked(wanted, [refused("unknown_platform", message, "Leave this account out.")])
    media = [item.file.media for item in wanted.items]
    kind = wanted.kind or publisher.machines.kind_of(media, wanted.options, wanted.link)
    wanted = replace(wanted, kind=kind)
    if kind not in publisher.machines.machines:
        known = ", ".join(sorted({*publisher.machines.machines} & {*publisher.rules.kinds}))
        message = f"{publisher.rules.title} has no kind of post that is called {kind[:40]!r}; it has {known}."
        return Checked(wanted, [refused("unknown_kind", message, "Choose one of these.")])
    findings = disconnected(wanted.account)
    title = wanted.link.get("title", "").strip()
    shown = _shown(wanted.items)
    draft = Draft(kind, wanted.shown_text, wanted.shown_link, shown, wanted.options, link_title=title)
    findings += check(publisher.rules, draft, facts).findings
    if wanted.parts:
        findings += check_reply_permissions(publisher.rules, facts)
    if wanted.replies and not publisher.machines.reply_kind:
        message = f"This release publishes neither threads nor first comments on {publisher.rules.title}."
        findings.append(refused("reply_not_possible", message, "Leave the further parts out.", "option"))
        return Checked(wanted, findings)
    for number, part in enumerate(wanted.replies, 2):
        below = "first comment" if part is wanted.comment else f"part {number}"
        findings += _of_reply(publisher, kind, part.shown(wanted.campaign), below, facts)
    return Checked(wanted, findings, [_reply_kind(publisher, part) for part in wanted.replies], facts)


def checked_parts(
    publishers: Mapping[str, Publisher],
    wanted: Wanted,
    parts: Sequence[tuple[WantedPart, str]],
    facts: AccountFacts,
) -> Checked:
    """Compare parts below a post that is there already with what its platform says. Each is named in words."""
    publisher = publishers.get(wanted.account.platform)
    if publisher is None:
        return checked(publishers, wanted, facts)
    findings = [*disconnected(wanted.account), *check_reply_permissions(publisher.rules, facts)]
    for part, below in parts:
        findings += _of_reply(publisher, wanted.kind, part, below, facts)
    return Checked(replace(wanted, parts=[part for part, _ in parts]), findings)


def _reply_kind(publisher: Publisher, part: WantedPart) -> str:
    """Return the kind of a further part; where it cannot have its files, that of one without."""
    choose = publisher.machines.reply_with_files
    if not part.items or choose is None:
        return publisher.machines.reply_kind
    return choose([item.file.media for item in part.items])


def disconnected(account: Account) -> list[Finding]:
    """Return a refusal of everything at an account that needs a person, and why; nothing while it is connected."""
    if account.state == ConnectionState.ACTIVE:
        return []
    message = not_connected(account.reason, f"The account {account.username or account.account_id}")
    return [refused("access_token_invalid", message, "Connect it again.")]


OF_FILES = ("scope_not_authorized", "media_not_reachable")
"""Codes of findings on a whole draft that are about its files: a part may need what the post does not."""


def _of_reply(publisher: Publisher, kind: str, part: WantedPart, below: str, facts: AccountFacts) -> list[Finding]:
    """Return what is wrong with a further part, which ``below`` names; ``kind`` is that of the post."""
    machines, rules = publisher.machines, publisher.rules
    name = f"{below[0].upper()}{below[1:]}"
    if not part.text.strip() and not part.items:
        remedy = "Write one, or leave the part out."
        return [replace(refused("text_missing", f"{name} has no text.", remedy), below=below)]
    if part.items and machines.reply_with_files is None:
        message = f"{name} has a file; {rules.title} takes text alone below a post."
        remedy = "Leave the file out, or put it into the post."
        return [Finding(Severity.REFUSAL, "media_not_possible", "media", message, remedy, "1", below=below)]
    media = [item.file.media for item in part.items]
    chosen = _reply_kind(publisher, part)
    known = chosen if chosen in rules.kinds else machines.kind_of(media, {}, {}) if media else kind
    shown = _shown(part.items)
    found = check(rules, Draft(known, part.text, media=shown, parent=True), facts).findings
    about = [each for each in found if each.part in ("text", "media") or (media and each.code in OF_FILES)]
    about = [each for each in about if media or each.part == "text"]
    return [replace(each, message=f"{name}: {each.message}", below=below) for each in about]


def _shown(items: Sequence[Item]) -> list[MediaFacts]:
    return [replace(item.file.facts, position=number, alt_text=item.alt_text) for number, item in enumerate(items, 1)]


async def quota_findings(
    connection: asyncpg.Connection, publisher: Publisher, seen: Checked, at: datetime, leaving_out: str
) -> list[Finding]:
    """Return what is wrong with another post at this time, by the posts that are planned and published around it.

    What the platform said of the quota counts as well where that is soon. ``leaving_out`` is a post whose own targets
    do not count; empty for none.
    """
    wanted, now = seen.wanted, await post_store.clock(connection)
    findings = list(check_quota(publisher.rules, wanted.kind, seen.facts, now, at))
    for quota in publisher.rules.quotas:
        if quota.kinds and wanted.kind not in quota.kinds:
            continue
        window = timedelta(seconds=quota.seconds)
        kinds = list(quota.kinds) or list(publisher.machines.machines)
        times = await post_store.times(connection, wanted.account.id, kinds, at - window, at + window, leaving_out)
        most = most_within([*times, at], at, window)
        if most > quota.posts:
            findings.append(_too_many(publisher, quota, most - 1))
    return findings


def _too_many(publisher: Publisher, quota: Quota, others: int) -> Finding:
    hours = quota.seconds / 3600
    message = (
        f"{publisher.rules.title} takes {quota.posts} posts of an account in {hours:g} hours, and {others} others are"
        " planned or published around this time."
    )
    return Finding(Severity.REFUSAL, quota.code, "post", message, "Choose another time.", source=quota.source)


def most_within(times: Sequence[datetime], at: datetime, window: timedelta) -> int:
    """Return the most of these times that are in one window which holds ``at``, itself one of them."""
    inside = sorted(time for time in times if abs(time - at) < window)
    return max(sum(1 for time in inside if first <= time < first + window) for first in inside if first <= at)


def refusal_of(found: Sequence[Checked]) -> PostError | None:
    """Return the error for all that is refused, each finding by its item; None where nothing is."""
    refusals = [(each, finding) for each in found for finding in each.refusals]
    if not refusals:
        return None
    _, first = refusals[0]
    more = f" There are {len(refusals) - 1} more refusals." if len(refusals) > 1 else ""
    details = {"findings": [document for each in found for document in each.documents]}
    code = CODES.get(first.code, "unprocessable")
    return PostError(code, f"{first.message}{more}", first.remedy, details=details)
