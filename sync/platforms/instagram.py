"""What Instagram's webhooks mean: contract ``meta.md`` sections 2 and 5.

Comments carry no time of their own and there is no notification of an edit, a deletion or a hide, so each comment is
also looked up. What a look-up finds comes back through the log as the ``*.read``, ``media.insights`` and
``comment.gone`` events below, in the Graph API's own fields (``meta.md`` section 10). ``occurred_at`` of such an event
is when it was asked for: of what is read at one time, the newest reading counts (``meta.md`` 10.10).
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Table

from schema.crm.instagram import ig_comments, ig_media, instagram_accounts
from schema.events import Event, bucket_of
from schema.reading import moment
from sync.platforms._targets import TARGET_HANDLERS
from sync.projection.contract import (
    LATEST,
    Projection,
    Unprojectable,
    Upsert,
    Want,
    boolean,
    final,
    integer,
    known,
    look_up,
    named,
    optional,
    required,
    text,
    version,
)

NOT_SHOWN = -1

MEDIA = "ig_media"
"""The kind of look-up that reads a media object of the account itself."""

ACCOUNT = named(instagram_accounts)
"""The account has a row, which rows of its media refer to."""


def on_comment(event: Event) -> list[Upsert | Want]:
    """A comment or reply, on our own media or, when the account is mentioned, on somebody else's."""
    value = _object(event.payload)
    comment_id = required(value.get("id") or value.get("comment_id"), "comment id")
    media, author = _part(value, "media"), _part(value, "from")
    organic = optional(media.get("original_media_id"))
    media_id = organic or optional(media.get("id"))
    # A comment on a boosted post is notified twice; the notification that names the organic media is the better one.
    as_of = version(event, None, rank=1 if organic else 0)
    facts: list[Upsert | Want] = [ACCOUNT]
    if media_id:
        media_key = {"ig_id": media_id}
        facts.append(Upsert(ig_media, media_key, mention=True))
        if kind := text(media.get("media_product_type")):
            # What an ad's notification says of the product is about the ad, so the organic one's word counts more.
            is_ad = bool(organic or media.get("ad_id"))
            rank = version(event, None, rank=0 if is_ad else 1)
            product = {"media_product_type": kind}
            facts.append(Upsert(ig_media, media_key, "product", rank, product, mention=True))
        if ad := known(ad_id=text(media.get("ad_id")) or None, ad_title=text(media.get("ad_title")) or None):
            facts.append(Upsert(ig_media, media_key, "ad", as_of, ad, mention=True))
        facts.append(look_up(event, MEDIA, media_id, "known only by a comment"))
    key = {"ig_id": comment_id}
    from_id = text(author.get("id")) or None
    own = bool(author.get("self_ig_scoped_id")) or from_id == event.account_id
    who = known(
        media_ig_id=media_id,
        parent_ig_id=text(value.get("parent_id")) or None,
        from_user=text(author.get("username")) or None,
        from_id=from_id,
        # Without an id nobody says whose it is (meta.md 2.2).
        is_own=own if own or from_id else None,
        is_live=event.type == "live_comments",
    )
    facts.append(Upsert(ig_comments, key, "author", as_of, who))
    if content := known(text=text(value.get("text"))):
        facts.append(Upsert(ig_comments, key, "content", as_of, content))
    facts.append(look_up(event, "ig_comment", comment_id, "its time is not in the notification"))
    return facts


def on_mention(event: Event) -> list[Upsert | Want]:
    """Someone named the account in a caption or a comment; the ids are all there is, and one of them is enough."""
    value = _object(event.payload)
    media_id, comment_id = optional(value.get("media_id")), optional(value.get("comment_id"))
    if not media_id and not comment_id:
        required(value.get("media_id"), "media_id")
    facts: list[Upsert | Want] = [ACCOUNT]
    if media_id:
        facts.append(named(ig_media, ig_id=media_id))
        facts.append(look_up(event, "ig_mentioned_media", media_id, "the account was mentioned"))
    if comment_id:
        key = {"ig_id": comment_id}
        # The lowest version there is: whatever else is known of this comment says more.
        lowest = f"!{event.external_id}"
        facts.append(
            Upsert(ig_comments, key, "author", lowest, {"media_ig_id": media_id})
            if media_id
            else Upsert(ig_comments, key)
        )
        facts.append(look_up(event, "ig_mentioned_comment", comment_id, "the account was mentioned"))
    return facts


def on_story_insights(event: Event) -> list[Upsert]:
    """The final numbers of a story; -1 is a count under 5 that is not shown (``meta.md`` 2.4)."""
    value = _object(event.payload)
    key = {"ig_id": required(value.get("media_id"), "media_id")}
    names = ("impressions", "reach", "taps_forward", "taps_back", "exits", "replies")
    counts = known(**{name: integer(value.get(name)) for name in names})
    # null that the event states: the platform has the number and does not tell it.
    told = {name: None if count == NOT_SHOWN else count for name, count in counts.items()}
    return [
        ACCOUNT,
        named(ig_media, **key),
        Upsert(ig_media, key, "metrics", final(event), told),
    ]


def on_account_read(event: Event) -> list[Upsert]:
    """We read the account: its profile and what is counted of it (``meta.md`` 10.1)."""
    value = _object(event.payload)
    as_of = version(event, event.occurred_at)
    texts = ("username", "name", "account_type", "biography", "website", "profile_picture_url")
    profile = known(**{name: text(value.get(name)) for name in texts})
    counts = known(
        followers=integer(value.get("followers_count")),
        follows=integer(value.get("follows_count")),
        media=integer(value.get("media_count")),
    )
    return [
        Upsert(instagram_accounts, {}),
        *_facts(instagram_accounts, {}, as_of, profile=profile, metrics=counts),
    ]


def on_media_read(event: Event) -> list[Upsert]:
    """We read a media object: the placeholder becomes the real thing."""
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "media id")}
    content = known(
        username=text(value.get("username")),
        caption=text(value.get("caption")),
        media_type=text(value.get("media_type")),
        permalink=text(value.get("permalink")),
        timestamp=moment(value.get("timestamp")),
    )
    product = known(media_product_type=text(value.get("media_product_type")) or None)
    counts = known(likes=integer(value.get("like_count")), comments=integer(value.get("comments_count")))
    as_of = version(event, event.occurred_at)
    return [
        ACCOUNT,
        # Also one that shows nothing else was read, and is no placeholder any more.
        Upsert(ig_media, key, "content", as_of, content),
        *_facts(ig_media, key, as_of, product=product, metrics=counts),
    ]


def on_media_insights(event: Event) -> list[Upsert]:
    """We read numbers of a media object; both forms of the answer are documented (``meta.md`` 10.5)."""
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "media id")}
    data = value.get("data")
    counts = {}
    for item in data if isinstance(data, list) else ():
        name = optional(item.get("name")) if isinstance(item, dict) else None
        if name is not None and (count := _count(item)) is not None:
            counts[name] = count
    as_of = version(event, event.occurred_at)
    return [
        ACCOUNT,
        Upsert(ig_media, key),
        *_facts(ig_media, key, as_of, metrics=counts),
    ]


def on_comment_read(event: Event) -> list[Upsert]:
    """We read a comment: its time and whether it is hidden, which no notification says; and that it is there.

    Its media stays what a notification named: which one a reading names for a boosted post is not documented.
    """
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "comment id")}
    author = _part(value, "from")
    as_of = version(event, event.occurred_at)
    return [
        ACCOUNT,
        # A later reading lifts an absence that an earlier one found (meta.md 10.10).
        Upsert(ig_comments, key, "presence", as_of, {"deleted_at": None}),
        *_facts(
            ig_comments,
            key,
            as_of,
            content=known(text=text(value.get("text")), timestamp=moment(value.get("timestamp"))),
            author=known(
                parent_ig_id=text(value.get("parent_id")) or None,
                from_user=text(author.get("username") or value.get("username")) or None,
                from_id=text(author.get("id")) or None,
            ),
            moderation=known(hidden=boolean(value.get("hidden"))),
            metrics=known(likes=integer(value.get("like_count"))),
        ),
    ]


def on_comment_gone(event: Event) -> list[Upsert]:
    """We found that a comment is no more. News of it that a notification brings late do not lift that."""
    key = {"ig_id": required(_object(event.payload).get("id"), "comment id")}
    # At one time, gone is the stronger word (meta.md 10.10).
    as_of = version(event, event.occurred_at, rank=LATEST)
    return [
        ACCOUNT,
        Upsert(ig_comments, key, "presence", as_of, {"deleted_at": event.occurred_at}),
    ]


def on_message_edit(event: Event) -> list[Want]:
    """Observed: a new message may arrive as an edit numbered 0, without its text (``meta.md`` 2.5)."""
    edit = _object(_object(event.payload).get("message_edit"))
    return [look_up(event, "ig_message", required(edit.get("mid"), "mid"), "the notification has no text")]


def _facts(table: Table, key: Mapping[str, str], as_of: str, **facets: Mapping[str, object]) -> list[Upsert]:
    """Return a fact for each facet of which anything is known."""
    return [Upsert(table, key, facet, as_of, values) for facet, values in facets.items() if values]


def _count(item: Mapping[str, object]) -> int | None:
    values = item.get("values")
    first = values[0] if isinstance(values, list) and values else item.get("total_value")
    return integer(first.get("value")) if isinstance(first, dict) else None


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unprojectable("the payload is not an object")
    return value


def _part(value: dict[str, object], name: str) -> dict[str, object]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def sample_media(account: str, media: str) -> Event:
    """Return the event of reading a media object with a caption, which fills the placeholder."""
    payload = {
        "id": media,
        "username": f"demo_{bucket_of('instagram', account)}",
        "caption": "A sample post",
        "media_type": "IMAGE",
        "permalink": f"https://www.instagram.com/p/{media}/",
        "timestamp": "2026-01-01T12:00:00+0000",
    }
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Event("instagram", account, f"ig:{account}:media.read:{media}", "media.read", payload, at)


PLATFORM = Projection(
    version=4,
    samples={MEDIA: sample_media},
    handlers={
        **TARGET_HANDLERS,
        "comments": on_comment,
        "live_comments": on_comment,
        "mentions": on_mention,
        "story_insights": on_story_insights,
        "message_edit": on_message_edit,
        "account.read": on_account_read,
        "media.read": on_media_read,
        "media.insights": on_media_insights,
        "comment.read": on_comment_read,
        "comment.gone": on_comment_gone,
    },
)
