"""What a post is to show at each account, and the targets that are stored for it: without I/O."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import uuid_utils
from pydantic import BaseModel

from publish.posting import post_store
from publish.posting.acceptance import Checked, Item, Wanted, WantedPart
from publish.posting.errors import PostError
from publish.posting.links import Campaign, tagged
from publish.posting.post_store import Account, AttachedMedia, NewPost, NewTarget, StoredPost, StoredTarget
from publish.posting.request_times import stored_wall
from publish.posting.requests import MediaItem
from publish.posting.results import Result
from publish.preflight.contract import Finding, Severity
from publish.schedule import slots
from publish.schedule.wall_time import ScheduledTime
from schema.states import TargetState


@dataclass(frozen=True, slots=True)
class Plan:
    """What a post is to show at one account. ``own`` is the text that it has there alone.

    ``slot_at`` is when, where it took a slot of the account's queue, and ``slot`` how that was decided.
    """

    checked: Checked
    own: str | None
    existing: tuple[str, str] | None = None
    slot_at: datetime | None = None
    slot: ScheduledTime | None = None


def new_id() -> str:
    """Return a new id (UUIDv7), which sorts after those that were made before it."""
    return str(uuid_utils.uuid7())


_LATER: Mapping[str, Sequence[str]] = {
    "post": ("next_free_slot", "utm"),
    "occurrence": ("next_free_slot", "utm"),
    "share": ("campaign_id", "utm"),
}
"""By kind of request, what an earlier release did not know."""


def digest_of(what: str, body: BaseModel) -> bytes:
    """Return the digest of a request, its idempotency key apart.

    What an earlier release did not know counts only where it is asked for, so that a repeat is known across releases.
    """
    document = body.model_dump(mode="json", exclude={"idempotency_key"})
    for name in _LATER.get(what, ()):
        if not document[name]:
            del document[name]
    for shown in (document, document.get("post") or {}):
        if isinstance(link := shown.get("link"), dict) and not link["image_media"]:
            del link["image_media"]
    return hashlib.sha256(json.dumps([what, document], sort_keys=True).encode()).digest()


def target_text(content: str, hashtags: Sequence[str]) -> str:
    """Return the text of a post with its hashtags below it."""
    tags = " ".join(f"#{tag.removeprefix('#')}" for tag in hashtags)
    return "\n\n".join(part for part in (content, tags) if part)


def ids_and_texts(media: Sequence[MediaItem] | Sequence[AttachedMedia]) -> list[tuple[str, str]]:
    """Return ids and alternative texts."""
    return [(each.id, each.alt_text) for each in media]


def around(at: datetime, *, queued: bool) -> tuple[datetime, datetime]:
    """Return between which times the same content counts as the same post: anywhere in the queue for what is queued."""
    ahead = timedelta(days=slots.HORIZON_DAYS + 2) if queued else post_store.SAME_CONTENT
    return at - post_store.SAME_CONTENT, at + ahead


def slot_words(plans: Sequence[Plan]) -> str:
    """Return how the slots of accounts were decided; empty where none took one."""
    found = [(plan.checked.wanted.account, plan.slot) for plan in plans if plan.slot is not None]
    return "; ".join(f"{each.platform}, {each.username or each.account_id}: {slot.words}" for each, slot in found)


def moved_to_slot(first: ScheduledTime, found: ScheduledTime) -> Finding:
    message = f"The quota of the account leaves no post at {first.words}, so it takes the slot of {found.words}."
    return Finding(Severity.WARNING, "moved_to_later_slot", "post", message, "Choose a time if that is too late.")


def media_rows(items: Sequence[Item]) -> list[tuple[str, str, bytes]]:
    return [(item.file.media.id, item.alt_text, item.file.sha256) for item in items]


def _hashed(text: str, new: NewPost) -> str | None:
    """Return the text of a target where it is not that of its post: with the hashtags."""
    return text if new.hashtags else None


def campaign_of(account: Account, campaign_id: str | None) -> Campaign:
    return Campaign(account.platform, campaign=campaign_id or "")


def shown_text(written: str | None, text: str, wanted: Wanted) -> tuple[str | None, str | None]:
    """Return the text of a target as it is stored, and what it was before campaign parameters were added.

    ``written`` is None, as what is stored, where ``text`` is that of the post and nothing is added.
    """
    shown = tagged(text, wanted.campaign)
    return (written, None) if shown == text else (shown, text)


def root_text(plan: Plan, new: NewPost) -> tuple[str | None, str | None]:
    """Return the text of the target of an account as :func:`_shown` does."""
    wanted = plan.checked.wanted
    return shown_text(plan.own if plan.own is not None else _hashed(wanted.text, new), wanted.text, wanted)


def link_url_of(wanted: Wanted) -> str | None:
    return wanted.shown_link if wanted.shown_link != wanted.link.get("url", "") else None


def targets_of(plan: Plan, new: NewPost, state: TargetState, tzdata: str | None, *, repeats: bool) -> list[NewTarget]:
    """Return the target of an account, and below it those of a thread's further parts and of the first comment."""
    wanted = plan.checked.wanted
    scheduled = state == TargetState.SCHEDULED
    content, untagged = root_text(plan, new)
    root = NewTarget(
        id=new_id(),
        account=wanted.account,
        kind=wanted.kind,
        content=content,
        untagged=untagged,
        link_url=link_url_of(wanted),
        options=wanted.options,
        digest=wanted.digest,
        repeats=repeats,
        state=state,
        due=scheduled,
        slot_at=plan.slot_at,
        slot_local_time=stored_wall(plan.slot),
        slot_zone=plan.slot.zone if plan.slot is not None else None,
        tzdata=tzdata,
    )
    found = [root]
    for position, (part, kind) in enumerate(plan.checked.replies, 1):
        above = root.id if part is wanted.comment else found[-1].id
        found.append(_child(root, above, wanted, part, kind, position))
    return found


def _child(root: NewTarget, parent: str, wanted: Wanted, part: WantedPart, kind: str, position: int) -> NewTarget:
    content, untagged = shown_text(part.text, part.text, wanted)
    shown = part.text.encode() + b"".join(item.file.sha256 for item in part.items)
    return replace(
        root,
        id=new_id(),
        kind=kind,
        content=content,
        untagged=untagged,
        link_url=None,
        options={},
        digest=hashlib.sha256(root.digest + shown + bytes([position])).digest(),
        due=False,
        parent_id=parent,
        position=position,
        media=media_rows(part.items),
        slot_at=None,
        slot_local_time=None,
        slot_zone=None,
        tzdata=None,
    )


def targets_below(post: StoredPost, root: StoredTarget) -> list[StoredTarget]:
    """Return the targets below the one of an account, in the order of their positions."""
    ids, found = {root.id}, list[StoredTarget]()
    for target in sorted(post.targets, key=lambda each: each.position):
        if target.parent_id in ids:
            ids.add(target.id)
            found.append(target)
    return found


def result_of(plan: Plan, result: str, target: StoredTarget | None = None) -> Result:
    account, existing = plan.checked.wanted.account, plan.existing
    post, id_ = existing or ((target.post_id, target.id) if target is not None else (None, None))
    name = account.username or account.account_id
    slot_at = None if existing else plan.slot_at
    return Result(account.id, account.platform, name, "exists" if existing else result, post, id_, slot_at)


def duplicate(existing: tuple[str, str]) -> PostError:
    """Return the error for content that the account has already; ``existing`` is the post and its target."""
    message = "The same content is posted to this account already, or planned, less than a day away."
    remedy = "leave it at that, or say repeat to post it again on purpose"
    return PostError("conflict", message, remedy, status=409, details={"post": existing[0], "target": existing[1]})
