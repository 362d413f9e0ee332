"""What TikTok's webhooks mean: contract ``tiktok.md`` sections 2.4, 2.5 and 8.

One publish may end in no public post, one, or several (a draft can be posted more than once), so a publish is a row of
``tiktok_posts`` and its public posts are rows of ``tiktok_post_ids``: a key that changed from one id to the other on
the way would depend on the order of arrival.
"""

import json
from typing import Any

from schema.crm import tiktok_accounts, tiktok_post_ids, tiktok_posts
from schema.events import Event
from sync.contract import (
    Handler,
    Projection,
    Unprojectable,
    Upsert,
    integer,
    look_up,
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
    return Upsert(
        tiktok_posts,
        {"external_id": external_id},
        "status",
        version(event, event.occurred_at, RANKS[name]),
        {
            "status": name,
            "fail_reason": text(content.get("reason")) if name == "failed" else None,
            "publish_type": text(content.get("publish_type")),
            "status_at": event.occurred_at,
        },
    )


def visibility(*, public: bool) -> Handler:
    """A post became publicly viewable, or stopped being so; it may arrive before the publish itself."""
    rank = RANKS["publicly_available" if public else "no_longer_publicly_available"]

    def on_visibility(event: Event) -> list[Upsert]:
        content = _content(event)
        publish_id = required(content.get("publish_id"), "publish_id")
        post_id = required(content.get("post_id"), "post_id")
        return [
            Upsert(tiktok_posts, {"external_id": publish_id}),
            Upsert(
                tiktok_post_ids,
                {"publish_id": publish_id, "post_id": post_id},
                "visibility",
                version(event, event.occurred_at, rank),
                {"is_public": public, "visibility_at": event.occurred_at},
            ),
            look_up(event, "tiktok_video", post_id, "its visibility changed"),
        ]

    return on_visibility


def on_authorization_removed(event: Event) -> list[Upsert]:
    """The grant ended. Only the latest removal counts; whether a newer grant exists is compared when read.

    So a removal that arrives days late, after the person connected again, changes nothing that matters: it is older
    than the connection's ``authorized_at``.
    """
    required(event.account_id, "user_openid")
    return [
        Upsert(
            tiktok_accounts,
            {},
            "removal",
            version(event, event.occurred_at),
            {
                "authorization_removed_at": event.occurred_at,
                "removal_reason": integer(_content(event).get("reason")),
            },
        )
    ]


def _content(event: Event) -> dict[str, Any]:
    content = event.payload.get("content") if isinstance(event.payload, dict) else None
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            raise Unprojectable("content is not JSON") from None
    if not isinstance(content, dict):
        raise Unprojectable("content is not an object")
    return content


PLATFORM = Projection(
    version=1,
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
