"""What our own publishing means for the CRM: the event that the database appends for each transition of a target.

Every such event says all that is known of the target, so the latest is the truth. They are ordered by their number
within the target and not by a clock, which may be set back.
"""

from collections.abc import Mapping
from datetime import datetime

from schema.crm.posts import social_posts
from schema.events import Event
from schema.states import TargetState
from sync.projection.contract import Handler, Unprojectable, Upsert, boolean, integer, required, text

_CONTENT = (
    *("user_id", "post_id", "connection_id", "parent_id", "kind", "content", "hashtags", "media_ids"),
    *("campaign_id", "link_url", "link_title", "object_id", "object_kind"),
)
_STATE = ("state", "platform_post_id", "platform_post_url", "error_code", "error_message")


def on_target(event: Event) -> list[Upsert]:
    """A target of a post came to another state, or somebody edited it."""
    said = event.payload
    if not isinstance(said, dict):
        raise Unprojectable("the payload is not an object")
    sequence = integer(said.get("sequence"))
    if sequence is None or sequence < 0:
        raise Unprojectable("sequence is missing, or is not a number")
    key = {"provider": event.provider, "target_id": required(said.get("target_id"), "target_id")}
    version = f"{sequence:016d}.00.{event.external_id}"
    content: dict[str, object] = {name: text(said.get(name)) for name in _CONTENT}
    content["scheduled_at"] = _time(said.get("scheduled_at"))
    content["is_action"] = boolean(said.get("is_action"))
    state: dict[str, object] = {name: text(said.get(name)) for name in _STATE}
    state["retryable"] = boolean(said.get("retryable"))
    state["retry_count"] = integer(said.get("retry_count"))
    state["published_at"] = _time(said.get("published_at"))
    return [
        Upsert(social_posts, key, "content", version, content),
        Upsert(social_posts, key, "state", version, state),
    ]


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


TARGET_HANDLERS: Mapping[str, Handler] = {f"target.{state}": on_target for state in TargetState}
