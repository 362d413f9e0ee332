"""What Instagram's webhooks mean: contract ``meta.md`` sections 2 and 5.

Comments carry no time of their own and there is no notification of an edit, a deletion or a hide, so each comment is
also looked up. What a look-up finds comes back through the log as the ``*.read`` and ``comment.gone`` events below,
in the Graph API's own fields (``meta.md`` section 10).
"""

from typing import Any

from schema.crm.instagram import ig_comments, ig_media
from schema.events import Event
from schema.reading import moment
from sync.projection.contract import (
    LATEST,
    Projection,
    Unprojectable,
    Upsert,
    boolean,
    first_receipt,
    integer,
    known,
    look_up,
    optional,
    required,
    text,
    version,
)

NOT_SHOWN = -1


def on_comment(event: Event) -> list[Upsert]:
    """A comment or reply, on our own media or, when the account is mentioned, on somebody else's."""
    value = _object(event.payload)
    comment_id = required(value.get("id") or value.get("comment_id"), "comment id")
    media, author = _part(value, "media"), _part(value, "from")
    organic = optional(media.get("original_media_id"))
    media_id = organic or optional(media.get("id"))
    # A comment on a boosted post is notified twice; the notification that names the organic media is the better one.
    as_of = version(event, None, rank=1 if organic else 0)
    facts = []
    if media_id:
        facts.append(Upsert(ig_media, {"external_id": media_id}))
        if kind := text(media.get("media_product_type")):
            # What an ad's notification says of the product is about the ad, so the organic one's word counts more.
            is_ad = bool(organic or media.get("ad_id"))
            rank = version(event, None, rank=0 if is_ad else 1)
            facts.append(Upsert(ig_media, {"external_id": media_id}, "product", rank, {"media_product_type": kind}))
        if ad := known(ad_id=text(media.get("ad_id")) or None, ad_title=text(media.get("ad_title")) or None):
            facts.append(Upsert(ig_media, {"external_id": media_id}, "ad", as_of, ad))
        facts.append(look_up(event, "ig_media", media_id, "known only by a comment"))
    author_id = text(author.get("id")) or None
    own = bool(author.get("self_ig_scoped_id")) or author_id == event.account_id
    facts.append(
        Upsert(
            ig_comments,
            {"external_id": comment_id},
            "comment",
            as_of,
            known(
                media_id=media_id,
                parent_id=text(value.get("parent_id")) or None,
                author_id=author_id,
                author_username=text(author.get("username")) or None,
                text=text(value.get("text")),
                # Without an id nobody says whose it is (meta.md 2.2).
                is_own=own if own or author_id else None,
                is_live=event.type == "live_comments",
            ),
        )
    )
    facts += first_receipt(ig_comments, {"external_id": comment_id}, event)
    facts.append(look_up(event, "ig_comment", comment_id, "its time is not in the notification"))
    return facts


def on_mention(event: Event) -> list[Upsert]:
    """Someone named the account in a caption or a comment; the ids are all there is, and one of them is enough."""
    value = _object(event.payload)
    media_id, comment_id = optional(value.get("media_id")), optional(value.get("comment_id"))
    facts = []
    if media_id:
        facts.append(Upsert(ig_media, {"external_id": media_id}))
        facts.append(look_up(event, "ig_mentioned_media", media_id, "the account was mentioned"))
    if comment_id:
        key = {"external_id": comment_id}
        # The lowest version there is: whatever else is known of this comment says more.
        lowest = f"!{event.external_id}"
        facts.append(
            Upsert(ig_comments, key, "comment", lowest, {"media_id": media_id})
            if media_id
            else Upsert(ig_comments, key)
        )
        facts += first_receipt(ig_comments, key, event)
        facts.append(look_up(event, "ig_mentioned_comment", comment_id, "the account was mentioned"))
    if not facts:
        required(value.get("media_id"), "media_id")
    return facts


def on_story_insights(event: Event) -> list[Upsert]:
    """The final numbers of a story; -1 is a count under 5 that is not shown (``meta.md`` 2.4)."""
    value = _object(event.payload)
    names = ("impressions", "reach", "taps_forward", "taps_back", "exits", "replies")
    counts = known(**{f"story_{name}": integer(value.get(name)) for name in names})
    return [
        Upsert(
            ig_media,
            {"external_id": required(value.get("media_id"), "media_id")},
            "story",
            version(event, None),
            # NULL that the event states: the platform has the number and does not tell it.
            {name: None if count == NOT_SHOWN else count for name, count in counts.items()},
        )
    ]


def on_media_read(event: Event) -> list[Upsert]:
    """We read a media object: the placeholder becomes the real thing."""
    value = _object(event.payload)
    return [
        Upsert(
            ig_media,
            {"external_id": required(value.get("id"), "media id")},
            "details",
            version(event, event.occurred_at),
            known(
                username=text(value.get("username")),
                caption=text(value.get("caption")),
                media_type=text(value.get("media_type")),
                permalink=text(value.get("permalink")),
                posted_at=moment(value.get("timestamp")),
                comments_count=integer(value.get("comments_count")),
                like_count=integer(value.get("like_count")),
            ),
        )
    ]


def on_comment_read(event: Event) -> list[Upsert]:
    """We read a comment: its time, and whether it is hidden, which no notification says."""
    value = _object(event.payload)
    key = {"external_id": required(value.get("id"), "comment id")}
    return [
        *first_receipt(ig_comments, key, event),
        Upsert(
            ig_comments,
            key,
            "details",
            version(event, event.occurred_at),
            known(
                commented_at=moment(value.get("timestamp")),
                hidden=boolean(value.get("hidden")),
                like_count=integer(value.get("like_count")),
            ),
        ),
    ]


def on_comment_gone(event: Event) -> list[Upsert]:
    """We read that a comment is no more: a tombstone, which late news of the comment does not lift."""
    key = {"external_id": required(_object(event.payload).get("id"), "comment id")}
    return [
        *first_receipt(ig_comments, key, event),
        Upsert(
            ig_comments,
            key,
            "deletion",
            version(event, event.occurred_at, rank=LATEST),
            {"deleted_at": event.occurred_at},
        ),
    ]


def on_message_edit(event: Event) -> list[Upsert]:
    """Observed: a new message may arrive as an edit numbered 0, without its text (``meta.md`` 2.5)."""
    edit = _object(_object(event.payload).get("message_edit"))
    return [look_up(event, "ig_message", required(edit.get("mid"), "mid"), "the notification has no text")]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unprojectable("the payload is not an object")
    return value


def _part(value: dict[str, Any], name: str) -> dict[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


PLATFORM = Projection(
    version=3,
    handlers={
        "comments": on_comment,
        "live_comments": on_comment,
        "mentions": on_mention,
        "story_insights": on_story_insights,
        "message_edit": on_message_edit,
        "media.read": on_media_read,
        "comment.read": on_comment_read,
        "comment.gone": on_comment_gone,
    },
)
