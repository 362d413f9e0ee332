"""What TikTok's webhooks mean: contract ``tiktok.md`` sections 2.4, 2.5 and 8; and what reading an account found: 12.

One publish may end in no public post, one, or several (a draft can be posted more than once), so a publish is a row of
``tiktok_posts`` and its public posts are rows of ``tiktok_post_ids``: a key that changed from one id to the other on
the way would depend on the order of arrival. A public post, whoever published it, is a row of ``tiktok_videos``.

``occurred_at`` of what was read is when it was asked for. A webhook's time is the platform's own: the two are kept in
facets apart (``tiktok.md`` 17).
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Table

from schema.crm.tiktok import (
    tiktok_account_metrics,
    tiktok_accounts,
    tiktok_post_ids,
    tiktok_posts,
    tiktok_undated_removals,
    tiktok_video_metrics,
    tiktok_videos,
)
from schema.events import Event
from schema.reading import Unreadable, moment, read_text
from sync.platforms._targets import TARGET_HANDLERS
from sync.projection.contract import (
    LATEST,
    Handler,
    Projection,
    Unprojectable,
    Upsert,
    Want,
    big_integer,
    boolean,
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

VIDEO = "tiktok_video"
"""The kind of look-up that reads one video of the account."""

VIDEO_COUNTS = {"views": "view_count", "likes": "like_count", "comments": "comment_count", "shares": "share_count"}
ACCOUNT_COUNTS = {
    "followers": "follower_count",
    "follows": "following_count",
    "likes": "likes_count",
    "videos": "video_count",
}
"""The platform's names of numbers, by ours (``tiktok.md`` 3.4, 12)."""


def status(word: str, id_field: str = "publish_id") -> Handler:
    """A step of a publish, as the status words of ``tiktok.md`` 8.1 call it.

    Video Kit, closed in 2023 but still documented, knows a ``share_id`` instead of a ``publish_id``.
    """

    def on_status(event: Event) -> list[Upsert]:
        content = _content(event)
        return [_status(event, required(content.get(id_field), id_field), word, content.get("reason"), content)]

    return on_status


def on_post_read(event: Event) -> list[Upsert | Want]:
    """We asked how far a publish is (``tiktok.md`` 8): ``occurred_at`` is when we asked."""
    value = _object(event.payload)
    publish_id, word = required(value.get("publish_id"), "publish_id"), required(value.get("status"), "status")
    facts: list[Upsert | Want] = [_status(event, publish_id, word, value.get("fail_reason"), value)]
    found = value.get("publicaly_available_post_id")  # so spelled on the page
    for post_id in filter(None, map(optional, found if isinstance(found, list) else ())):
        key = {"publish_id": publish_id, "post_id": post_id}
        as_of = version(event, event.occurred_at)
        facts.append(Upsert(tiktok_post_ids, key, "listing", as_of, known(listed_at=event.occurred_at)))
        facts.append(named(tiktok_accounts))
        facts.append(named(tiktok_videos, post_id=post_id))
        facts.append(look_up(event, VIDEO, post_id, "it was published"))
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
            values = {"is_public": public, **known(visibility_at=event.occurred_at)}
            as_of = version(event, event.occurred_at, rank)
            facts.append(named(tiktok_accounts))
            facts.append(Upsert(tiktok_videos, {"post_id": post_id}, "visibility", as_of, values))
            facts.append(look_up(event, VIDEO, post_id, "its visibility changed"))
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


def on_account_read(event: Event) -> list[Upsert]:
    """We read the account: its profile and what is counted of it, as far as its scopes reach (``tiktok.md`` 3.4)."""
    value = _object(event.payload)
    as_of = version(event, event.occurred_at)
    texts = ("username", "display_name", "bio_description", "profile_deep_link", "union_id")
    profile = known(
        **{name: text(value.get(name)) for name in texts},
        is_verified=boolean(value.get("is_verified")),
    )
    facts = [Upsert(tiktok_accounts, {})]
    if profile:
        facts.append(Upsert(tiktok_accounts, {}, "profile", as_of, profile))
    return facts + _counted(event, tiktok_accounts, tiktok_account_metrics, {}, _counts(value, ACCOUNT_COUNTS))


def on_video_read(event: Event) -> list[Upsert]:
    """We read a video: it is public, and this is what it is. Its caption is cut (``tiktok.md`` 12)."""
    value = _object(event.payload)
    key = {"post_id": required(value.get("id"), "video id")}
    texts = ("video_description", "title", "share_url", "embed_link")
    content = known(
        **{name: text(value.get(name)) for name in texts},
        **{name: integer(value.get(name)) for name in ("duration", "width", "height")},
        posted_at=moment(value.get("create_time")),
        is_aigc=boolean(value.get("is_aigc")),
    )
    as_of = version(event, event.occurred_at)
    return [
        named(tiktok_accounts),
        # Also one that shows nothing else was read, and is no placeholder any more.
        Upsert(tiktok_videos, key, "content", as_of, content),
        # A later reading lifts an absence that an earlier one found (tiktok.md 17).
        Upsert(tiktok_videos, key, "presence", as_of, {"absent_at": None}),
        *_counted(event, tiktok_videos, tiktok_video_metrics, key, _counts(value, VIDEO_COUNTS)),
    ]


def on_video_absent(event: Event) -> list[Upsert]:
    """We found that a video is public no longer; whether it was deleted cannot be known (``tiktok.md`` 17)."""
    key = {"post_id": required(_object(event.payload).get("id"), "video id")}
    # At one time, absent is the stronger word.
    as_of = version(event, event.occurred_at, rank=LATEST)
    return [named(tiktok_accounts), Upsert(tiktok_videos, key, "presence", as_of, {"absent_at": event.occurred_at})]


def _counts(value: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    return known(**{ours: big_integer(value.get(theirs)) for ours, theirs in names.items()})


def _counted(
    event: Event, table: Table, by_day: Table, key: Mapping[str, str], counts: Mapping[str, object]
) -> list[Upsert]:
    """Return the facts of numbers as they are, and as they were on that day: the platform keeps no history of them."""
    if not counts:
        return []
    as_of = version(event, event.occurred_at)
    facts = [Upsert(table, key, "metrics", as_of, counts)]
    if event.occurred_at is not None:
        of_day = {**key, "day": f"{event.occurred_at.astimezone(UTC):%Y-%m-%d}"}
        facts.append(Upsert(by_day, of_day, "reading", as_of, {"read_at": event.occurred_at}))
        facts.append(Upsert(by_day, of_day, "metrics", as_of, counts))
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


def sample_video(account: str, video: str) -> Event:
    """Return the event of reading a video, which fills the placeholder."""
    payload = {
        "id": video,
        "create_time": 1_767_268_800,
        "video_description": "A sample post",
        "share_url": f"https://www.tiktok.com/@demo/video/{video}",
        "view_count": 100,
        "like_count": 5,
    }
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Event("tiktok", account, f"tiktok:{account}:video.read:{video}", "video.read", payload, at)


PLATFORM = Projection(
    version=4,
    samples={VIDEO: sample_video},
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
        "account.read": on_account_read,
        "video.read": on_video_read,
        "video.absent": on_video_absent,
    },
)
