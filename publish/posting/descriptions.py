"""Posts as programs are shown them: by the API, and by `landfall posts --json`."""

from collections.abc import Mapping
from datetime import datetime

from publish.posting.action_kinds import action_of
from publish.posting.actions import ActionResult
from publish.posting.contract import PARENT_OPTION
from publish.posting.history import History
from publish.posting.link_preview import Preview
from publish.posting.many import LineOutcome
from publish.posting.post_store import StoredPost, StoredTarget
from publish.posting.queues import WEEKDAYS, AccountQueue
from publish.posting.recurrence_store import StoredRecurrence
from publish.posting.recurrences import Saved, Shown
from publish.posting.results import Cancelled, Created, Result
from publish.schedule.recurrence import Occurrence
from schema.states import RecurrenceState


def target_document(target: StoredTarget, post: StoredPost) -> dict[str, object]:
    """Return a target of a post as JSON: ``status`` is a word of ``users-design.md`` 1, times have their offset.

    ``text`` and ``link_url`` are what is shown there, campaign parameters included.
    """
    error = None
    if target.error_code is not None:
        error = {"code": target.error_code, "message": target.error_message, "retryable": bool(target.retryable)}
    return {
        "id": target.id,
        "connection": target.connection_id,
        "platform": target.platform,
        "account": target.account,
        "parent": target.parent_id,
        "position": target.position,
        "kind": target.kind,
        "content": target.content,
        "text": post.content if target.content is None else target.content,
        "link_url": None if target.parent_id else target.link_url or post.link.get("url"),
        "options": dict(target.options),
        "media": [{"id": each.id, "alt_text": each.alt_text} for each in target.media],
        "status": target.status,
        "state": str(target.state),
        "step": target.step,
        "attempt": target.attempt,
        "failures": target.failures,
        "due_at": _time(target.due_at),
        "slot_at": _time(target.slot_at),
        "tzdata": target.tzdata,
        "moved_from": _time(target.moved_from),
        "platform_post_id": target.platform_post_id,
        "platform_post_url": target.platform_post_url,
        "published_at": _time(target.published_at),
        "edited_at": _time(target.edited_at),
        "deleted_at": _time(target.deleted_at),
        "error": error,
        "evidence": list(target.evidence),
    }


def moved_words(target: StoredTarget, post: StoredPost) -> str:
    """Return how a newer release of the time zone database moved the time of a target; empty if none did."""
    if target.moved_from is None:
        return ""
    zone = target.slot_zone or post.zone
    return (
        f"Release {target.tzdata} of the time zone database changed the clocks of {zone}: it was due at"
        f" {target.moved_from:%Y-%m-%d %H:%M} UTC before, and keeps its local time."
    )


def post_document(post: StoredPost) -> dict[str, object]:
    """Return a post with its files and targets as JSON; what it does not have is null."""
    return {
        "id": post.id,
        "status": post.status,
        "content": post.content,
        "link": dict(post.link) or None,
        "hashtags": list(post.hashtags),
        "campaign_id": post.campaign_id,
        "utm": post.utm,
        "author": post.author,
        "version": post.version,
        "needs_approval": post.needs_approval,
        "approved_version": post.approved_version,
        "approved_by": post.approved_by,
        "scheduled_time": _time(post.scheduled_at),
        "local_time": post.local_time,
        "timezone": post.zone,
        "late_policy": post.late_policy,
        "late_minutes": round(post.late_seconds / 60),
        "schedule_id": post.schedule_id,
        "created_at": _time(post.created_at),
        "updated_at": _time(post.updated_at),
        "media": [{"id": each.id, "alt_text": each.alt_text} for each in post.media],
        "targets": [target_document(target, post) for target in post.targets],
    }


def history_document(history: History) -> dict[str, object]:
    """Return what became of a post as JSON: of each target when it came to its states, and what happens next."""
    return {
        "post": history.post.id,
        "targets": [
            {
                "target": each.target.id,
                "platform": each.target.platform,
                "account": each.target.account,
                "status": each.target.status,
                "state": str(each.target.state),
                "next": {"words": each.next.words, "at": _time(each.next.at), "waits_for": each.next.waits_for},
                "events": [
                    {
                        "at": _time(event.at),
                        "state": str(event.state),
                        "step": event.step,
                        "failures": event.failures,
                        "error_code": event.error_code,
                        "error_message": event.error_message,
                        "platform_post_url": event.platform_post_url,
                    }
                    for event in each.events
                ],
            }
            for each in history.targets
        ],
    }


def action_document(action: StoredPost) -> dict[str, object]:
    """Return an action on what is there as JSON; ``object`` is the platform's id of that, ``target`` ours if it is."""
    [target] = action.targets
    shown = target_document(target, action)
    options = {name: value for name, value in target.options.items() if name != PARENT_OPTION}
    same = ("status", "state", "step", "attempt", "failures", "due_at", "platform_post_id", "platform_post_url")
    return {
        "id": action.id,
        "kind": action_of(target.kind),
        "connection": target.connection_id,
        "platform": target.platform,
        "account": target.account,
        "object": target.options.get(PARENT_OPTION),
        "target": target.parent_id,
        "content": action.content,
        "options": options,
        "media": shown["media"],
        **{name: shown[name] for name in same},
        "done_at": _time(target.published_at),
        "error": shown["error"],
        "evidence": shown["evidence"],
        "author": action.author,
        "created_at": _time(action.created_at),
    }


def action_result_document(acted: ActionResult) -> dict[str, object]:
    """Return what came of a request to act as JSON."""
    return {
        "action": None if acted.action is None else action_document(acted.action),
        "result": acted.result,
        "findings": list(acted.findings),
        "replayed": acted.replayed,
    }


def result_document(result: Result) -> Mapping[str, object]:
    """Return what became of one account of a request as JSON."""
    return {
        "connection": result.connection,
        "platform": result.platform,
        "account": result.account,
        "result": result.result,
        "post": result.post,
        "target": result.target,
        "slot_at": _time(result.slot_at),
    }


def created_document(created: Created) -> dict[str, object]:
    return {
        "post": None if created.post is None else post_document(created.post),
        "accounts": [result_document(result) for result in created.results],
        "findings": list(created.findings),
        "time": created.words or None,
        "replayed": created.replayed,
    }


def line_document(outcome: LineOutcome) -> dict[str, object]:
    """What became of one post of a file."""
    made = created_document(outcome.created or Created(None))
    accepted = outcome.created is not None
    return {"number": outcome.number, "accepted": accepted, **made, "problems": [*outcome.problems]}


def occurrence_document(occurrence: Occurrence) -> dict[str, object]:
    """A time to come, and how it was decided."""
    return {
        "number": occurrence.number,
        "time": _time(occurrence.time.instant),
        "local_time": occurrence.time.wall.isoformat(timespec="minutes"),
        "words": occurrence.time.words,
    }


def stored_recurrence_document(stored: StoredRecurrence) -> dict[str, object]:
    active = stored.state == RecurrenceState.ACTIVE
    return {
        "id": stored.id,
        "state": str(stored.state),
        "rule": stored.rule,
        "start_time": stored.start_time,
        "timezone": stored.zone,
        "next_time": _time(stored.next_at) if active else None,
        "trouble": stored.trouble,
        "author": stored.author,
        "version": stored.revision,
        "post": dict(stored.template),
        "created_at": _time(stored.created_at),
        "updated_at": _time(stored.updated_at),
    }


def recurrence_document(shown: Shown) -> dict[str, object]:
    return {
        **stored_recurrence_document(shown.stored),
        "note": shown.note or None,
        "upcoming": [occurrence_document(each) for each in shown.upcoming],
        "occurrences": [
            {
                "version": each.revision,
                "number": each.number,
                "time": _time(each.at),
                "state": str(each.state),
                "post": each.post_id,
                "reason": each.reason,
            }
            for each in shown.latest
        ],
    }


def saved_document(saved: Saved) -> dict[str, object]:
    """What came of a request to let a post repeat, or to change that."""
    return {
        "changed": saved.changed,
        "recurrence": None if saved.recurrence is None else recurrence_document(saved.recurrence),
        "upcoming": [occurrence_document(each) for each in saved.upcoming],
        "findings": list(saved.findings),
        "note": saved.note or None,
        "replayed": saved.replayed,
    }


def queue_document(shown: AccountQueue) -> dict[str, object]:
    return {
        "connection": shown.connection,
        "timezone": shown.queue.zone if shown.queue.slots else None,
        "slots": [
            {"weekday": WEEKDAYS[slot.weekday], "time": slot.wall.isoformat("minutes")}
            for slot in sorted(shown.queue.slots)
        ],
        "free": [{"time": _time(each.instant), "words": each.words} for each in shown.free],
    }


def preview_document(preview: Preview) -> dict[str, object]:
    """Return what a page says of itself as JSON; "" for what it does not say."""
    return {name: getattr(preview, name) for name in ("url", "title", "description", "image")}


def cancelled_document(found: Cancelled) -> dict[str, object]:
    """Return what became of a cancellation as JSON: of each target whether it is cancelled, or why it is too late."""
    targets = {
        target.id: {
            "state": str(target.state),
            "cancelled": str(target.state) == "cancelled",
            "reason": found.reasons[target.id],
        }
        for target in found.post.targets
    }
    cancelled = all(each["cancelled"] for each in targets.values())
    return {"cancelled": cancelled, "targets": targets, "post": post_document(found.post)}


def cancelled_action_document(found: Cancelled) -> dict[str, object]:
    """Return what became of the cancellation of an action as JSON; ``reason`` is why it is too late, empty if not."""
    reason = "".join(found.reasons.values())
    return {"cancelled": not reason, "reason": reason, "action": action_document(found.post)}


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
