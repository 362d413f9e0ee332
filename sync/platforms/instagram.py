"""What Instagram's webhooks and readings mean: contract ``meta.md`` sections 2, 5 and 10.

Comments carry no time of their own and there is no notification of an edit, a deletion or a hide, so each comment is
also looked up. What is read (``sync.platforms.instagram_pull``) comes back through the log as the events below, in the
Graph API's own fields. ``occurred_at`` of such an event is when it was asked for: of what is read at one time, the
newest reading counts (``meta.md`` 10.10). What a webhook says of a comment has no time, and so counts less than any
reading, however late it comes. Where a comment stands never changes: there it counts who says so.
"""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

from sqlalchemy import Table

from schema.crm.instagram import ig_account_metrics, ig_comments, ig_media, ig_media_metrics, instagram_accounts
from schema.events import Event, bucket_of
from schema.reading import moment
from schema.states import TargetState
from sync.platforms._targets import TARGET_HANDLERS, on_target
from sync.projection.contract import (
    LATEST,
    Projection,
    Unprojectable,
    Upsert,
    Want,
    big_integer,
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

MEDIA, COMMENT, UNLISTED_COMMENT = "ig_media", "ig_comment", "ig_unlisted_comment"
"""Kinds of look-ups: of media of the account itself, and of comments that listings show, and that they do not."""

ONCE = "!"
"""The version of a look-up that no later event asks for again: of what is known by name only, until it was read."""

BY_NOTIFICATION, BY_READING, BY_ORGANIC_NOTIFICATION = range(3)
"""Whose word counts more of where a comment stands. A notification may name the ad that shows a post, or an item of an
album in its place (``meta.md`` 2.2); one with the organic media knows what a reading may not."""

COUNTS = {
    "like_count": "likes",
    "comments_count": "comments",
    "view_count": "views",
    "saved_count": "saved",
    "shares_count": "shares",
    "reposts_count": "reposts",
    "total_like_count": "total_likes",
    "total_comments_count": "total_comments",
    "total_views_count": "total_views",
}
"""What fields of media count, by the names that insights have for it (``meta.md`` 10.1, 10.5)."""

WRITTEN = {
    **dict.fromkeys(("image", "reel", "carousel", "story"), (MEDIA, "platform_post_id")),
    **dict.fromkeys(("comment", "comment_reply"), (COMMENT, "platform_post_id")),
    **dict.fromkeys(("hide_comment", "show_comment", "delete_comment"), (COMMENT, "parent_id")),
    "delete_post": (MEDIA, "parent_id"),
}
"""What a post or an act of ours writes, by its kind: the kind of look-up, and the key that names what is looked up."""

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
    by_ad = bool(organic or media.get("ad_id") or text(media.get("media_product_type")) == "AD")
    facts: list[Upsert | Want] = [ACCOUNT]
    if media_id:
        media_key = {"ig_id": media_id}
        facts.append(Upsert(ig_media, media_key, mention=True))
        if kind := text(media.get("media_product_type")):
            # What an ad's notification says of the product is about the ad, so the organic one's word counts more.
            rank = version(event, None, rank=0 if organic or media.get("ad_id") else 1)
            product = {"media_product_type": kind}
            facts.append(Upsert(ig_media, media_key, "product", rank, product, mention=True))
        if ad := known(ad_id=text(media.get("ad_id")) or None, ad_title=text(media.get("ad_title")) or None):
            facts.append(Upsert(ig_media, media_key, "ad", as_of, ad, mention=True))
        facts.append(Want(MEDIA, media_id, "known only by a comment", ONCE))
    key = {"ig_id": comment_id}
    from_id = text(author.get("id")) or None
    own = bool(author.get("self_ig_scoped_id")) or from_id == event.account_id
    place = known(media_ig_id=media_id, parent_ig_id=optional(value.get("parent_id")))
    if place:
        said_by = BY_ORGANIC_NOTIFICATION if organic else BY_NOTIFICATION
        facts.append(Upsert(ig_comments, key, "place", version(event, None, said_by), place))
    who = known(
        from_user=text(author.get("username")) or None,
        from_id=from_id,
        # Without an id nobody says whose it is (meta.md 2.2).
        is_own=own if own or from_id else None,
        is_live=event.type == "live_comments",
    )
    facts.append(Upsert(ig_comments, key, "author", as_of, who))
    if content := known(text=text(value.get("text"))):
        facts.append(Upsert(ig_comments, key, "content", as_of, content))
    kind = UNLISTED_COMMENT if by_ad or event.type == "live_comments" else COMMENT
    listing = place.get("parent_ig_id") or media_id or ""
    listing = str(listing) if kind == COMMENT else ""
    facts.append(look_up(event, kind, comment_id, "its time is not in the notification", listing))
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
            Upsert(ig_comments, key, "place", lowest, {"media_ig_id": media_id})
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
        followers=big_integer(value.get("followers_count")),
        follows=big_integer(value.get("follows_count")),
        media=big_integer(value.get("media_count")),
    )
    return [
        Upsert(instagram_accounts, {}),
        *_facts(instagram_accounts, {}, as_of, profile=profile, metrics=counts),
        *_of_day(event, ig_account_metrics, {}, counts),
    ]


def on_account_insights(event: Event) -> list[Upsert]:
    """We read figures of the account for one day, which ``day`` names: a key of ours (``meta.md`` 10.8)."""
    value = _object(event.payload)
    day = text(value.get("day"))
    try:
        about = date.fromisoformat(day or "")
    except ValueError:
        raise Unprojectable("day is missing, or is not a date") from None
    return [ACCOUNT, *_of_day(event, ig_account_metrics, {}, _figures(value.get("data")), about)]


def on_media_read(event: Event) -> list[Upsert]:
    """We read a media object: the placeholder becomes the real thing, and one that was gone is there."""
    return _media_facts(event, is_own=None)


def on_mentioned_media_read(event: Event) -> list[Upsert]:
    """We read somebody else's media, which mentions the account (``meta.md`` 10.4)."""
    return _media_facts(event, is_own=False)


def _media_facts(event: Event, *, is_own: bool | None) -> list[Upsert]:
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "media id")}
    content = known(
        username=text(value.get("username")),
        caption=text(value.get("caption")),
        media_type=text(value.get("media_type")),
        permalink=text(value.get("permalink")),
        timestamp=moment(value.get("timestamp")),
    )
    owner = text(_part(value, "owner").get("id"))
    details = known(
        shortcode=text(value.get("shortcode")),
        alt_text=text(value.get("alt_text")),
        children=_children(value),
        is_comment_enabled=boolean(value.get("is_comment_enabled")),
        is_shared_to_feed=boolean(value.get("is_shared_to_feed")),
        is_ai_generated=boolean(value.get("is_ai_generated")),
        # An account has ids by application too, so that another id does not make it somebody else's (meta.md 0).
        is_own=True if is_own is None and owner == event.account_id else is_own,
    )
    product = known(media_product_type=text(value.get("media_product_type")) or None)
    counts = known(**{name: big_integer(value.get(field)) for field, name in COUNTS.items()})
    as_of = version(event, event.occurred_at)
    return [
        ACCOUNT,
        # Also one that shows nothing else was read, and is no placeholder any more.
        Upsert(ig_media, key, "content", as_of, content),
        # A later reading lifts an absence that an earlier one found (meta.md 10.10).
        Upsert(ig_media, key, "presence", as_of, {"deleted_at": None}),
        *_facts(ig_media, key, as_of, product=product, details=details, metrics=counts),
        *_of_day(event, ig_media_metrics, key, counts),
    ]


def _children(value: dict[str, object]) -> str | None:
    """Return the items of a carousel as JSON, as jsonb writes it; None where the answer does not have them."""
    data = _part(value, "children").get("data")
    if not isinstance(data, list):
        return None
    found = [
        known(id=optional(item.get("id")), media_type=text(item.get("media_type")))
        for item in data
        if isinstance(item, dict) and optional(item.get("id"))
    ]
    return json.dumps(found, ensure_ascii=False)


def on_media_files(event: Event) -> list[Upsert]:
    """We read the addresses of the files of a media, which end after days."""
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "media id")}
    files = known(media_url=text(value.get("media_url")), thumbnail_url=text(value.get("thumbnail_url")))
    return [ACCOUNT, Upsert(ig_media, key), *_facts(ig_media, key, version(event, event.occurred_at), files=files)]


def on_media_insights(event: Event) -> list[Upsert]:
    """We read numbers of a media object (``meta.md`` 10.5)."""
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "media id")}
    counts = _figures(value.get("data"))
    as_of = version(event, event.occurred_at)
    return [
        ACCOUNT,
        Upsert(ig_media, key),
        *_facts(ig_media, key, as_of, metrics=counts),
        *_of_day(event, ig_media_metrics, key, counts),
    ]


def on_media_gone(event: Event) -> list[Upsert]:
    """We found that a media is no more; what hangs on it is out of reach then, and not deleted."""
    return _gone(event, ig_media, "media id")


def on_comment_read(event: Event) -> list[Upsert]:
    """We read a comment: its time and whether it is hidden, which no notification says; and that it is there.

    ``listed_media_id`` and ``listed_parent_id`` are keys of ours: where it was found, if the answer does not say it.
    """
    value = _object(event.payload)
    key = {"ig_id": required(value.get("id"), "comment id")}
    author = _part(value, "from")
    from_id = text(author.get("id")) or None
    # user is there for the account's own comments alone (meta.md 10.2).
    own = from_id == event.account_id or bool(_part(value, "user"))
    media_id = optional(_part(value, "media").get("id")) or optional(value.get("listed_media_id"))
    parent_id = optional(value.get("parent_id")) or optional(value.get("listed_parent_id"))
    as_of = version(event, event.occurred_at)
    facts = [
        ACCOUNT,
        # A later reading lifts an absence that an earlier one found (meta.md 10.10).
        Upsert(ig_comments, key, "presence", as_of, {"deleted_at": None}),
        *_facts(
            ig_comments,
            key,
            as_of,
            content=known(text=text(value.get("text")), timestamp=moment(value.get("timestamp"))),
            author=known(
                from_user=text(author.get("username") or value.get("username")) or None,
                from_id=from_id,
                is_own=own if own or from_id else None,
            ),
            moderation=known(hidden=boolean(value.get("hidden"))),
            metrics=known(likes=big_integer(value.get("like_count"))),
        ),
        *_facts(
            ig_comments,
            key,
            version(event, None, BY_READING),
            place=known(media_ig_id=media_id, parent_ig_id=parent_id),
        ),
    ]
    if media_id:
        facts.append(named(ig_media, ig_id=media_id))
    return facts


def on_comment_gone(event: Event) -> list[Upsert]:
    """We found that a comment is no more. News of it that a notification brings late do not lift that."""
    return _gone(event, ig_comments, "comment id")


def _gone(event: Event, table: Table, name: str) -> list[Upsert]:
    key = {"ig_id": required(_object(event.payload).get("id"), name)}
    # At one time, gone is the stronger word (meta.md 10.10).
    as_of = version(event, event.occurred_at, rank=LATEST)
    return [ACCOUNT, Upsert(table, key, "presence", as_of, {"deleted_at": event.occurred_at})]


def on_published(event: Event) -> list[Upsert | Want]:
    """Our own post, answer or act is done: what it is about is read again, as no webhook tells of most of it."""
    facts: list[Upsert | Want] = [*on_target(event)]
    said = _object(event.payload)
    look_up_kind, names_it = WRITTEN.get(text(said.get("kind")) or "", ("", ""))
    if object_id := optional(said.get(names_it)):
        facts.append(look_up(event, look_up_kind, object_id, "Landfall wrote it, or acted on it"))
    return facts


def on_message_edit(event: Event) -> list[Want]:
    """Observed: a new message may arrive as an edit numbered 0, without its text (``meta.md`` 2.5)."""
    edit = _object(_object(event.payload).get("message_edit"))
    return [look_up(event, "ig_message", required(edit.get("mid"), "mid"), "the notification has no text")]


def _facts(table: Table, key: Mapping[str, str], as_of: str, **facets: Mapping[str, object]) -> list[Upsert]:
    """Return a fact for each facet of which anything is known."""
    return [Upsert(table, key, facet, as_of, values) for facet, values in facets.items() if values]


def _of_day(
    event: Event, table: Table, key: Mapping[str, str], counts: Mapping[str, object], day: date | None = None
) -> list[Upsert]:
    """Return the facts of numbers by day: of the day that they are about, or else on which they were read, in UTC."""
    if not counts or event.occurred_at is None:
        return []
    of_day = {**key, "day": (day or event.occurred_at.astimezone(UTC).date()).isoformat()}
    as_of = version(event, event.occurred_at)
    return [
        Upsert(table, of_day, "reading", as_of, {"read_at": event.occurred_at}),
        Upsert(table, of_day, "metrics", as_of, counts),
    ]


def _figures(data: object) -> dict[str, object]:
    """Return figures by their names, and parts of one by the names of it, of the breakdown and of the part.

    Both forms of an answer are documented; what it leaves out is unknown, and not 0 (``meta.md`` 10.5).
    """
    found: dict[str, object] = {}
    for item in data if isinstance(data, list) else ():
        name = optional(item.get("name")) if isinstance(item, dict) else None
        if name is None:
            continue
        values, total = item.get("values"), item.get("total_value")
        last = values[-1] if isinstance(values, list) and values else total
        if isinstance(last, dict) and (figure := _figure(last.get("value"))) is not None:
            found[name] = figure
        found |= {f"{name}.{part}": figure for part, figure in _parts(total)}
    return found


def _parts(total: object) -> Iterator[tuple[str, int | float]]:
    """Yield the parts of a number; their names are sent in upper and in lower case (``meta.md`` 10.5)."""
    breakdowns = total.get("breakdowns") if isinstance(total, dict) else None
    for breakdown in breakdowns if isinstance(breakdowns, list) else ():
        if not isinstance(breakdown, dict) or not isinstance(breakdown.get("results"), list):
            continue
        keys = _name(breakdown.get("dimension_keys"))
        for result in breakdown["results"]:
            figure = _figure(result.get("value")) if isinstance(result, dict) else None
            if figure is not None and keys and (part := _name(result.get("dimension_values"))):
                yield f"{keys}.{part.upper()}", figure


def _name(words: object) -> str:
    return "+".join(filter(None, map(text, words))) if isinstance(words, list) else ""


def _figure(value: object) -> int | float | None:
    """Return a number, which may be a share or an average; None for anything else."""
    whole = big_integer(value)
    if whole is not None or not isinstance(value, float):
        return whole
    return value if math.isfinite(value) and abs(value) < 2**63 else None


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
    version=5,
    samples={MEDIA: sample_media},
    handlers={
        **TARGET_HANDLERS,
        f"target.{TargetState.PUBLISHED}": on_published,
        "comments": on_comment,
        "live_comments": on_comment,
        "mentions": on_mention,
        "story_insights": on_story_insights,
        "message_edit": on_message_edit,
        "account.read": on_account_read,
        "media.read": on_media_read,
        "account.insights": on_account_insights,
        "media.files": on_media_files,
        "media.insights": on_media_insights,
        "media.gone": on_media_gone,
        "mentioned_media.read": on_mentioned_media_read,
        "mentioned_comment.read": on_comment_read,
        "comment.read": on_comment_read,
        "comment.gone": on_comment_gone,
    },
)
