"""Decide whether an action on what is there already can be accepted: what it acts on, its text, its permissions."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from publish.posting.acceptance import OF_FILES, Checked, Item, Publisher, Wanted, disconnected, refused
from publish.posting.action_kinds import (
    CHANGES,
    COMMENT_REPLY,
    COMMENTS,
    FINAL,
    ON_COMMENTS,
    ON_POSTS,
    OPPOSITES,
    REPLY,
    actions_of,
    actions_on_own,
    is_comment,
)
from publish.posting.contract import PARENT_OPTION, JsonValue
from publish.posting.post_store import Account, StoredTarget
from publish.preflight.check import check, permission_findings
from publish.preflight.contract import AccountFacts, Draft, Finding, PostingRules, Severity


@dataclass(frozen=True, slots=True)
class WantedAction:
    """An action as it was asked for. ``object`` is the platform's id of what it acts on; ``own`` is the target of ours
    that made that, None where nothing here did.

    ``object_is`` is post or comment, as whoever asks says; empty for nothing. ``sure``: what cannot be taken back is to
    be done to something of which nothing but its id is known here.
    """

    account: Account
    act: str
    object: str
    own: StoredTarget | None
    text: str = ""
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    items: Sequence[Item] = ()
    object_is: str = ""
    sure: bool = False

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what an answer says to what, or of what is changed, whatever the new text."""
        return self.digest_of(self.act)

    def digest_of(self, act: str) -> bytes:
        files: list[JsonValue] = [item.file.sha256.hex() for item in self.items]
        said: list[JsonValue] = [self.text.strip(), files] if act == REPLY else []
        return hashlib.sha256(json.dumps(["action", act, self.object, *said]).encode()).digest()

    @property
    def rivals(self) -> list[bytes]:
        """The digests of actions after which this one is no repeat of an earlier one, its own among them."""
        return [self.digest_of(act) for act in OPPOSITES.get(self.act, (self.act,))]

    @property
    def stored_options(self) -> Mapping[str, JsonValue]:
        return {**self.options, PARENT_OPTION: self.object}


def checked_action(publishers: Mapping[str, Publisher], wanted: WantedAction, facts: AccountFacts) -> Checked:
    """Return the kind of machine that carries an action out, and all that is wrong with it."""
    publisher = publishers.get(wanted.account.platform)
    if publisher is None:
        message = f"This release acts on nothing at {wanted.account.platform}."
        return Checked(_as_post(wanted, ""), [refused("unknown_platform", message, "Name another account.")])
    possible = actions_of(publisher.machines)
    if wanted.act not in possible:
        has = f"it has {', '.join(possible)}" if possible else "nothing is done there to what is published"
        message = f"{publisher.rules.title} has no action that is called {wanted.act[:40]!r}; {has}."
        remedy = "Choose one of these." if possible else "Do it there by hand."
        return Checked(_as_post(wanted, ""), [refused("unknown_kind", message, remedy)])
    findings = [*disconnected(wanted.account), *_of_object(publisher, wanted)]
    kind, found = _of_reply(publisher, wanted, facts) if wanted.act == REPLY else _of_change(publisher, wanted, facts)
    machines = publisher.machines
    findings += found
    if (needed := machines.permissions.get(kind)) is not None:
        title = machines.machines[kind].title
        findings += permission_findings(needed.groups, facts, f"“{title}”", needed.remedy)
    return Checked(_as_post(wanted, kind), findings)


def _as_post(wanted: WantedAction, kind: str) -> Wanted:
    return Wanted(wanted.account, wanted.text, kind, wanted.options, wanted.items)


def _of_object(publisher: Publisher, wanted: WantedAction) -> list[Finding]:
    """Return what is wrong with what is acted on.

    Its id becomes a part of an address at the platform, so it must look like one. The web process reads nothing of the
    log, by its rights in the database, so all that it knows are posts and comments that were made here. Anything else
    is taken for what whoever asks says it is: with a warning, or, where that cannot be taken back, on their word only.
    """
    machines, title, own = publisher.machines, publisher.rules.title, wanted.own
    patterns, what = [machines.post_id, machines.comment_id], "post or comment"
    if wanted.act in ON_COMMENTS:
        patterns, what = [machines.comment_id], "comment"
    elif wanted.act in ON_POSTS:
        patterns, what = [machines.post_id], "post"
    fits = any(re.fullmatch(pattern, wanted.object) for pattern in patterns)
    if not fits or wanted.object == wanted.account.account_id:
        message = f"{wanted.object[:100]!r} is no id of a {what} of {title}."
        return [refused("object_not_valid", message, "Take the id from the platform, or name one of your targets.")]
    if own is None:
        return _of_unknown(wanted)
    if own.deleted_at is not None:
        message = f"It was deleted at {own.deleted_at:%Y-%m-%d %H:%M} UTC, by an action that was asked for here."
        return [refused("object_deleted", message, "There is nothing left to act on.")]
    if actions_on_own(own, [wanted.act]):
        return []
    found, needed = ("a comment", "a post") if is_comment(own) else ("a post", "a comment")
    message = f"What is named is {found} that was made here, and {wanted.act} acts on {needed}."
    return [refused("object_not_valid", message, "Name another action, or another object.")]


def _of_unknown(wanted: WantedAction) -> list[Finding]:
    if wanted.act in FINAL and not wanted.sure:
        message = f"It was not made here, so nothing but its id is known, and {wanted.act} cannot be taken back."
        return [refused("object_unknown", message, "Look there what it is, and say sure.")]
    if wanted.sure:
        return []
    message = "It was not made here, so nothing but its id is known."
    return [Finding(Severity.WARNING, "object_unknown", "post", message, "Look there whether it is what you mean.")]


def _of_change(publisher: Publisher, wanted: WantedAction, facts: AccountFacts) -> tuple[str, list[Finding]]:
    """Return the kind of a change, and what is wrong with what it is to show."""
    findings = []
    if wanted.items:
        message = f"{wanted.act} takes no files."
        findings.append(Finding(Severity.REFUSAL, "media_not_possible", "media", message, "Leave them out.", "1"))
    if wanted.options:
        message = f"{wanted.act} has no options."
        findings.append(refused("unknown_option", message, "Leave them out.", "option"))
    if wanted.act != "edit_post":
        if wanted.text:
            message = f"{wanted.act} has no text."
            findings.append(Finding(Severity.REFUSAL, "text_not_possible", "text", message, "Leave it out."))
        return wanted.act, findings
    known = wanted.own.kind if wanted.own is not None else ""
    return wanted.act, [*findings, *_of_text(publisher, wanted, known, facts)]


def _of_text(publisher: Publisher, wanted: WantedAction, kind: str, facts: AccountFacts) -> list[Finding]:
    """Return what is wrong with a text, by the rules of this kind of post; of a text alone where there is none."""
    if not wanted.text.strip() and not wanted.items:
        return [Finding(Severity.REFUSAL, "text_missing", "text", "There is no text.", "Write one.")]
    rules = publisher.rules
    draft = Draft(_known(publisher, kind, wanted), wanted.text, parent=True)
    return [each for each in check(rules, draft, facts).findings if each.part == "text"]


def _known(publisher: Publisher, kind: str, wanted: WantedAction) -> str:
    media = [item.file.media for item in wanted.items]
    return kind if kind in publisher.rules.kinds else publisher.machines.kind_of(media, {}, {})


def _of_reply(publisher: Publisher, wanted: WantedAction, facts: AccountFacts) -> tuple[str, list[Finding]]:
    """Return the kind of an answer, and what is wrong with it. Pages name no limit of comments: posts' count."""
    machines, rules, items = publisher.machines, publisher.rules, wanted.items
    kind = COMMENT_REPLY if COMMENT_REPLY in machines.machines and _on_comment(publisher, wanted) else ""
    kind = kind or machines.reply_kind
    if items and machines.reply_with_files is None:
        message = f"{rules.title} takes text alone in an answer."
        return kind, [Finding(Severity.REFUSAL, "media_not_possible", "media", message, "Leave the file out.", "1")]
    if items and machines.reply_with_files is not None:
        kind = machines.reply_with_files([item.file.media for item in items])
    findings = _of_text(publisher, wanted, kind, facts)
    findings += _of_reply_permissions(rules, facts)
    posted = kind in rules.kinds
    if wanted.options and not posted:
        findings.append(refused("unknown_option", f"An answer of {rules.title} has no options.", "Leave them out."))
    if not posted and not items:
        return kind, findings
    shown = [replace(item.file.facts, position=number, alt_text=item.alt_text) for number, item in enumerate(items, 1)]
    options = wanted.options if posted else {}
    draft = Draft(_known(publisher, kind, wanted), wanted.text, media=shown, options=options, parent=True)
    more = check(rules, draft, facts).findings
    return kind, findings + [each for each in more if each.part in ("media", "option") or each.code in OF_FILES]


def _of_reply_permissions(rules: PostingRules, facts: AccountFacts) -> list[Finding]:
    owner = rules.owner(facts)
    return [] if owner is None else permission_findings(owner.reply_scopes, facts, "an answer", source=owner.source)


def _on_comment(publisher: Publisher, wanted: WantedAction) -> bool:
    """Whether a comment is answered: what was made here is known, anything else is taken for a comment if not said."""
    if wanted.own is not None:
        return wanted.own.kind in COMMENTS
    if wanted.object_is:
        return wanted.object_is == "comment"
    return re.fullmatch(publisher.machines.comment_id, wanted.object) is not None


def object_kind(publisher: Publisher, wanted: WantedAction, kind: str) -> str | None:
    """Return whether what is acted on is a post or a comment, for an action of this kind; None if nothing tells."""
    if wanted.act in ON_COMMENTS or kind == COMMENT_REPLY:
        return "comment"
    if wanted.act in ON_POSTS:
        return "post"
    if wanted.own is not None:
        return "comment" if is_comment(wanted.own) else "post"
    patterns = {"post": publisher.machines.post_id, "comment": publisher.machines.comment_id}
    fits = [name for name, pattern in patterns.items() if re.fullmatch(pattern, wanted.object)]
    return wanted.object_is or (fits[0] if len(fits) == 1 else None)


def same_text(wanted: WantedAction, text: str) -> bool:
    """Whether an earlier action of the same digest said the same: only edits have a text that the digest leaves out."""
    return wanted.act not in CHANGES or wanted.text.strip() == text.strip()
