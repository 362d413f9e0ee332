"""What each command prints with --json: the keys of every object, in their order.

Programs rely on them: keys are added, and none is renamed or taken away. The README lists them, and a test compares.
Times are in ISO 8601 form with their offset, and a key whose value is not known is there and null.
"""

from collections.abc import Mapping
from types import MappingProxyType

_POST = (
    *("id", "status", "content", "link", "hashtags", "campaign_id", "utm", "author", "version", "needs_approval"),
    *("approved_version", "approved_by", "scheduled_time", "local_time", "timezone", "late_policy", "late_minutes"),
    *("schedule_id", "created_at", "updated_at", "media", "targets"),
)

_ACTION = (
    *("id", "kind", "connection", "platform", "account", "object", "target", "content", "options", "media"),
    *("status", "state", "step", "attempt", "failures", "due_at", "platform_post_id", "platform_post_url"),
    *("done_at", "error", "evidence", "author", "created_at"),
)

_RECURRENCE = (
    *("id", "state", "rule", "start_time", "timezone", "next_time", "trouble", "author", "version", "post"),
    *("created_at", "updated_at"),
)

_SAVED = ("changed", "recurrence", "upcoming", "findings", "note", "replayed")
_QUEUE = ("connection", "timezone", "slots", "free")

_TASK = ("platform", "account_id", "task", "object_id", "state", "reason")

SHAPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "actions create": ("action", "result", "findings", "replayed"),
        "actions cancel": ("cancelled", "reason", "action"),
        "actions confirm": _ACTION,
        "actions list": _ACTION,
        "actions retry": _ACTION,
        "actions show": _ACTION,
        "audit": ("id", "at", "actor", "action", "subject", "address", "detail", "platform", "username"),
        "connections events": (
            *("id", "tenant", "platform", "username", "subscription", "missing", "advice", "trouble", "checked_at"),
            *("incomplete_since", "repaired_at", "heard_at", "silent_since", "usual_hours"),
        ),
        "connections list": (
            *("id", "tenant", "platform", "instance", "account_id", "username", "state", "reason", "trouble"),
            *("trouble_since", "refresh_failures", "checked_at", "ends_at"),
        ),
        "db feed status": ("publication", "wal_level", "tables", "lacking", "slots"),
        "doctor": ("level", "about", "message", "remedy"),
        "drift": (
            *(
                "platform",
                "account_id",
                "compared",
                "missing",
                "different",
                "extra",
                "unlisted",
                "complete",
                "findings",
            ),
            "unread",
        ),
        "events list": (
            *("id", "created_at", "provider", "event_type", "state", "account_id", "external_id", "retry_count"),
            *("error_message", "delivery_id"),
        ),
        "events show": (
            *("id", "provider", "event_type", "external_id", "account_id", "payload_json", "state", "processed_at"),
            *("error_message", "retry_count", "due_at", "settled_at", "projection_version", "occurred_at"),
            *("created_at", "delivery_id", "rule_version", "defect", "sanitized", "source", "delivery"),
        ),
        "explain": ("table", "row", "events", "dropped_until"),
        "key list": (*("id", "name", "scopes", "created_at", "last_used_at", "last_used_from", "revoked_at", "maker"),),
        "media fetches": (
            *("at", "media", "target", "attempt", "link", "method", "status", "first_byte", "last_byte", "bytes"),
            *("user_agent", "address", "whole"),
        ),
        "media list": (
            *("tenant", "id", "kind", "content_type", "bytes", "width", "height", "duration_ms", "file_name"),
            *("created_by", "created_at", "removed_at", "removed_by", "stored", "stored_bytes"),
        ),
        "media upload": (
            *("id", "kind", "content_type", "bytes", "sha256", "width", "height", "duration_ms", "details"),
            *("file_name", "source_url", "converted_from", "created_by", "created_at", "removed_at", "removed_by"),
        ),
        "posts approve": _POST,
        "posts cancel": ("cancelled", "targets", "post"),
        "posts confirm": _POST,
        "posts create": ("post", "accounts", "findings", "time", "replayed"),
        "posts history": ("post", "targets"),
        "posts import": ("number", "accepted", "post", "accounts", "findings", "time", "replayed", "problems"),
        "posts list": _POST,
        "posts preview-link": ("url", "title", "description", "image"),
        "posts repeat create": _SAVED,
        "posts repeat end": _SAVED,
        "posts repeat list": _RECURRENCE,
        "posts repeat pause": _SAVED,
        "posts repeat resume": _SAVED,
        "posts repeat show": (*_RECURRENCE, "note", "upcoming", "occurrences"),
        "posts retry": _POST,
        "posts show": _POST,
        "posts slots set": _QUEUE,
        "posts slots show": _QUEUE,
        "posts summary": ("total", "pending", "posted", "failed", "cancelled", "states", "platforms", "campaigns"),
        "retention list": ("platform", "kind", "days"),
        "retention plan": ("events", "deliveries", "kept_rows"),
        "spool status": ("deliveries", "oldest_at", "bytes", "limit_bytes", "damaged", "refused", "process"),
        "sync account": _TASK,
        "sync media": _TASK,
        "sync post": _TASK,
        "sync status": (
            *("platform", "account_id", "username", "connected", "percent", "tasks", "done", "waiting", "skipped"),
            *("troubled", "objects", "calls", "seconds_left", "began_at", "served_at", "held_until", "trouble"),
            *("kinds", "reasons"),
        ),
        "tenant list": ("name", "created_at", "people", "connections"),
        "user list": ("email", "role", "state", "disabled_at", "invited_until"),
        "vault status": ("key", "use", "secrets"),
        "verify": ("rows", "drift", "kept", "differences", "failed", "resumed", "queued", "collisions", "since"),
    }
)
"""By command. A line holds one object; `doctor` prints an array of them; `verify`, `db feed status`,
`events show`, `retention plan` and those of `actions` and `posts` but `import` and the lists print one document."""
