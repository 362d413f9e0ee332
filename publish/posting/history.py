"""What became of a post so far, at each of its targets, and what happens next: when, and who is waited for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from publish.posting.post_store import StoredPost, StoredTarget, TargetEvent
from schema.states import IN_FLIGHT, TargetState

WaitsFor = Literal["nothing", "time", "worker", "platform", "target", "approval", "editor", "owner"]
"""``target``: the one that it answers; ``editor``: a person who decides here; ``owner``: of the account, there."""


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next. ``at`` is when; None for at once, or where no time is known."""

    words: str
    waits_for: WaitsFor
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TargetHistory:
    """A target, the events of it in the log, the first one first, and what happens next."""

    target: StoredTarget
    events: Sequence[TargetEvent]
    next: Next


@dataclass(frozen=True, slots=True)
class History:
    """A post with its targets, as they were at the time ``now``."""

    post: StoredPost
    targets: Sequence[TargetHistory]
    now: datetime


def history_of(post: StoredPost, events: Sequence[TargetEvent], now: datetime) -> History:
    """Return what became of a post, by the events of its targets."""
    of_target: dict[str, list[TargetEvent]] = {target.id: [] for target in post.targets}
    for event in events:
        of_target[event.target].append(event)
    targets = [TargetHistory(each, of_target[each.id], next_of(each, post, now)) for each in post.targets]
    return History(post, targets, now)


_FIXED: Mapping[TargetState, Next] = {
    TargetState.DRAFT: Next("Nothing before somebody schedules or publishes it.", "editor"),
    TargetState.PUBLISHED: Next("Nothing more: it is published.", "nothing"),
    TargetState.CANCELLED: Next("Nothing more: it is cancelled.", "nothing"),
    TargetState.AWAITING_PERSON: Next("The owner of the account has to go on in the platform's app.", "owner"),
    TargetState.MISSED: Next("Nothing more by itself: its time is past. Publish it now, or cancel it.", "editor"),
}

_IDLE: Mapping[TargetState, Next] = {
    TargetState.SCHEDULED: Next("It follows once what it answers is published.", "target"),
    TargetState.UNCONFIRMED: Next("You have to say whether it is there. Nothing is sent before.", "editor"),
}
"""Where no worker goes on by itself."""


def next_of(target: StoredTarget, post: StoredPost, now: datetime) -> Next:
    """Return what happens next with a target."""
    if (fixed := _FIXED.get(target.state)) is not None:
        return fixed
    if target.state == TargetState.FAILED:
        may = target.retryable is not False
        words = "try it again, it may work" if may else "correct what it says, then try it again"
        return Next(f"Nothing more by itself: {words}.", "editor")
    if target.state == TargetState.AWAITING_APPROVAL:
        words = f"Somebody other than {post.author} has to approve version {post.version} first."
        return Next(words, "approval", target.slot_at or post.scheduled_at)
    if target.due_at is None:
        return _IDLE.get(target.state, Next("Nothing more by itself, unless the platform tells of it.", "platform"))
    return _worked_on(target, target.due_at, now)


def _worked_on(target: StoredTarget, due_at: datetime, now: datetime) -> Next:
    """Return what happens next with a target that a worker goes on with at its time."""
    if target.leased:
        return Next("A worker is on it at this moment.", "worker")
    if due_at <= now:
        return Next("A worker takes it up as soon as one is free.", "worker")
    if target.failures:
        times = "once" if target.failures == 1 else f"{target.failures} times"
        return Next(f"It is tried again; so far it did not work {times}.", "time", due_at)
    if target.state == TargetState.SCHEDULED:
        return Next("Publishing begins.", "time", due_at)
    asked = "The platform is asked how far it is." if target.state in IN_FLIGHT else "It is looked for at the platform."
    return Next(asked, "platform", due_at)
