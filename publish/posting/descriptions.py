"""Posts as programs are shown them: by the API, and by `landfall posts --json`."""

from collections.abc import Mapping
from datetime import datetime

from publish.posting.post_store import StoredPost, StoredTarget
from publish.posting.posts import Result


def target_document(target: StoredTarget) -> dict[str, object]:
    """Return a target as JSON: ``status`` is a word of ``users-design.md`` 1, times have their offset."""
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
        "options": dict(target.options),
        "media": [{"id": each.id, "alt_text": each.alt_text} for each in target.media],
        "status": target.status,
        "state": str(target.state),
        "step": target.step,
        "attempt": target.attempt,
        "failures": target.failures,
        "due_at": _time(target.due_at),
        "platform_post_id": target.platform_post_id,
        "platform_post_url": target.platform_post_url,
        "published_at": _time(target.published_at),
        "error": error,
        "evidence": list(target.evidence),
    }


def post_document(post: StoredPost) -> dict[str, object]:
    """Return a post with its files and targets as JSON; what it does not have is null."""
    return {
        "id": post.id,
        "status": post.status,
        "content": post.content,
        "link": dict(post.link) or None,
        "hashtags": list(post.hashtags),
        "campaign_id": post.campaign_id,
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
        "targets": [target_document(target) for target in post.targets],
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
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
