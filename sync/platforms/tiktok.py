"""What TikTok's webhooks mean: contract ``tiktok.md`` sections 2.4, 2.5 and 8.

One publish may end in no public post, one, or several (a draft can be posted more than once), so a publish is a row of
``tiktok_posts`` and its public posts are rows of ``tiktok_post_ids``: a key that changed from one id to the other on
the way would depend on the order of arrival.
"""

from schema.crm.tiktok import tiktok_accounts, tiktok_post_ids, tiktok_posts, tiktok_undated_removals
from schema.events import Event
from schema.reading import Unreadable, read_text
from sync.platforms._targets import TARGET_HANDLERS
from sync.projection.contract import (
    Handler,
    Projection,
    Unprojectable,
    Upsert,
    Want,
    integer,
    known,
    look_up,
    named,
    optional,
    required,
    text,
    version,
)

# Seconds are all the resolution there is; within one, the later step of a publish is the newer one (tiktok.md 2.5).
RANKS = {
    "PROCESSING_DOWNLOAD": 0,
    "PROCESSING_UPLOAD": 0,
    "SEND_TO_USER_INBOX": 1,
    "FAILED": 2,
    "PUBLISH_COMPLETE": 3,
}
PUBLIC, NO_LONGER_PUBLIC = 4, 5


def status(word: str, id_field: str = "publish_id") -> Handler:
    """A step of a publish, as the status words of ``tiktok.md`` 8.1 call it.

    Video Kit, closed in 2023 but still documented, knows a ``share_id`` instead of a ``publish_id``.
    """

    def on_status(event: Event) -> list[Upsert]:
        content = _content(event)
        return [_status(event, required(content.get(id_field), id_field), word, content.get("reason"), content)]

    return on_status


def on_post_read(event: Event) -> list[Upsert]:
    """We asked how far a publish is (``tiktok.md`` 8): ``occurred_at`` is when we asked."""
    value = _object(event.payload)
    publish_id, word = required(value.get("publish_id"), "publish_id"), required(value.get("status"), "status")
    facts = [_status(event, publish_id, word, value.get("fail_reason"), value)]
    found = value.get("publicaly_available_post_id")  # so spelled on the page
    for post_id in filter(None, map(optional, found if isinstance(found, list) else ())):
        key = {"publish_id": publish_id, "post_id": post_id}
        values = {"is_public": True, **known(visibility_at=event.occurred_at)}
        facts.append(Upsert(tiktok_post_ids, key, "visibility", version(event, event.occurred_at, PUBLIC), values))
    return facts


def on_post_begun(event: Event) -> list[Upsert]:
    """We asked the platform to publish something: where it takes the file from, and under which title."""
    value = _object(event.payload)
    key = {"publish_id": required(value.get("publish_id"), "publish_id")}
    values = known(source=text(value.get("source")), title=text(value.get("title")))
    return [Upsert(tiktok_posts, key, "request", version(event, event.occurred_at), values)]


def _status(event: Event, publish_id: str, word: str, reason: object, content: dict[str, object]) -> Upsert:
    values = known(
        error_code=(text(reason) or None) if word == "FAILED" else None,
        publish_type=text(content.get("publish_type")) or None,
        status_at=event.occurred_at,
    )
    # A step that is no failure says that there is no reason for one.
    nothing = {} if word == "FAILED" else {"error_code": None, "error_message": None}
    return Upsert(
        tiktok_posts,
        {"publish_id": publish_id},
        "status",
        version(event, event.occurred_at, RANKS.get(word, 0)),
        {"status": word, **values, **nothing},
    )


def visibility(*, public: bool) -> Handler:
    """A post became publicly viewable, or stopped being so; it may arrive before the publish itself."""
    rank = PUBLIC if public else NO_LONGER_PUBLIC

    def on_visibility(event: Event) -> list[Upsert | Want]:
        content = _content(event)
        publish_id, post_id = optional(content.get("publish_id")), optional(content.get("post_id"))
        facts: list[Upsert | Want] = []
        if publish_id:
            facts.append(named(tiktok_posts, publish_id=publish_id))
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


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unprojectable("the payload is not an object")
    return value


def _content(event: Event) -> dict[str, object]:
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
    version=3,
    handlers={
        **TARGET_HANDLERS,
        "post.publish.inbox_delivered": status("SEND_TO_USER_INBOX"),
        "post.publish.failed": status("FAILED"),
        "post.publish.complete": status("PUBLISH_COMPLETE"),
        # The pages spell these both ways (tiktok.md 2.4).
        "post.publish.publicly_available": visibility(public=True),
        "post.publish.publicaly_available": visibility(public=True),
        "post.publish.no_longer_publicly_available": visibility(public=False),
        "post.publish.no_longer_publicaly_available": visibility(public=False),
        "video.upload.failed": status("FAILED", "share_id"),
        "video.publish.completed": status("PUBLISH_COMPLETE", "share_id"),
        "authorization.removed": on_authorization_removed,
        "post.begun": on_post_begun,
        "post.read": on_post_read,
    },
)
