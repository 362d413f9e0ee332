"""What TikTok's webhooks mean: contract ``tiktok.md`` sections 2.4, 2.5 and 8.

One publish may end in no public post, one, or several (a draft can be posted more than once), so a publish is a row of
``tiktok_posts`` and its public posts are rows of ``tiktok_post_ids``: a key that changed from one id to the other on
the way would depend on the order of arrival.
"""

from typing import Any

from schema.crm.tiktok import tiktok_accounts, tiktok_post_ids, tiktok_posts, tiktok_undated_removals
from schema.events import Event
from schema.reading import Unreadable, read_text
from sync.projection.contract import (
    Handler,
    Projection,
    Unprojectable,
    Upsert,
    integer,
    known,
    look_up,
    optional,
    required,
    text,
    version,
)

# Seconds are all the resolution there is; within one, the later step of a publish is the newer one (tiktok.md 2.5).
RANKS = {
    "inbox_delivered": 1,
    "failed": 2,
    "complete": 3,
    "publicly_available": 4,
    "no_longer_publicly_available": 5,
}


def status(name: str) -> Handler:
    """A step of a publish."""

    def on_status(event: Event) -> list[Upsert]:
        content = _content(event)
        return [_status(event, required(content.get("publish_id"), "publish_id"), name, content)]

    return on_status


def legacy_status(name: str) -> Handler:
    """The same for Video Kit, closed in 2023 but still documented: it knows a share_id instead."""

    def on_legacy_status(event: Event) -> list[Upsert]:
        content = _content(event)
        return [_status(event, required(content.get("share_id"), "share_id"), name, content)]

    return on_legacy_status


def _status(event: Event, external_id: str, name: str, content: dict[str, Any]) -> Upsert:
    values = known(
        fail_reason=(text(content.get("reason")) or None) if name == "failed" else None,
        publish_type=text(content.get("publish_type")) or None,
        status_at=event.occurred_at,
    )
    # A step that is no failure says that there is no reason for one.
    nothing = {} if name == "failed" else {"fail_reason": None}
    return Upsert(
        tiktok_posts,
        {"external_id": external_id},
        "status",
        version(event, event.occurred_at, RANKS[name]),
        {"status": name, **values, **nothing},
    )


def visibility(*, public: bool) -> Handler:
    """A post became publicly viewable, or stopped being so; it may arrive before the publish itself."""
    rank = RANKS["publicly_available" if public else "no_longer_publicly_available"]

    def on_visibility(event: Event) -> list[Upsert]:
        content = _content(event)
        publish_id, post_id = optional(content.get("publish_id")), optional(content.get("post_id"))
        facts = []
        if publish_id:
            facts.append(Upsert(tiktok_posts, {"external_id": publish_id}))
        if publish_id and post_id:
            key = {"publish_id": publish_id, "post_id": post_id}
            values = {"is_public": public, **known(visibility_at=event.occurred_at)}
            as_of = version(event, event.occurred_at, rank)
            facts.append(Upsert(tiktok_post_ids, key, "visibility", as_of, values))
        if post_id:
            facts.append(look_up(event, "tiktok_video", post_id, "its visibility changed"))
        if not facts:
            required(content.get("publish_id"), "publish_id")
        return facts

    return on_visibility


def on_authorization_removed(event: Event) -> list[Upsert]:
    """The grant ended, whatever else the event says or lacks; whether a newer grant exists is compared when read.

    Only the latest removal counts. So one that arrives days late, after the person connected again, changes nothing
    that matters: it is older than the connection's ``authorized_at``. One that names no time can be compared with that
    only by when it was received, which is no part of a fact, so it is kept by itself: the log has the rest.
    """
    required(event.account_id, "user_openid")
    try:
        reason = known(removal_reason=integer(_content(event).get("reason")))
    except Unprojectable:
        reason = {}
    values = {**known(authorization_removed_at=event.occurred_at), **reason}
    facts = [Upsert(tiktok_accounts, {}, "removal", version(event, event.occurred_at), values)]
    if event.occurred_at is None:
        key = {"external_id": event.external_id}
        facts.append(Upsert(tiktok_undated_removals, key, "removal", version(event, None), reason))
    return facts


def _content(event: Event) -> dict[str, Any]:
    content = event.payload.get("content") if isinstance(event.payload, dict) else None
    if isinstance(content, str):
        try:
            content = read_text(content)
        except Unreadable:
            raise Unprojectable("content is not JSON") from None
    if not isinstance(content, dict):
        raise Unprojectable("content is not an object")
    return content


PLATFORM = Projection(
    version=2,
    handlers={
        "post.publish.inbox_delivered": status("inbox_delivered"),
        "post.publish.failed": status("failed"),
        "post.publish.complete": status("complete"),
        # The pages spell these both ways (tiktok.md 2.4).
        "post.publish.publicly_available": visibility(public=True),
        "post.publish.publicaly_available": visibility(public=True),
        "post.publish.no_longer_publicly_available": visibility(public=False),
        "post.publish.no_longer_publicaly_available": visibility(public=False),
        "video.upload.failed": legacy_status("failed"),
        "video.publish.completed": legacy_status("complete"),
        "authorization.removed": on_authorization_removed,
    },
)
