"""Events about one comment and one media of Instagram: webhooks, and readings at several times."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schema.events import Event
from tests.recordings import dumped, event, take

SHOP = "17841400000000001"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def own(kind: str, at: datetime, **payload: Any) -> Event:
    """An answer that was read at a time."""
    return Event("instagram", SHOP, f"poll:{kind}:{payload['id']}:{at.isoformat()}:{len(payload)}", kind, payload, at)


def webhook(field: str, value: dict[str, Any], account: str = SHOP) -> Event:
    change = {"field": field, "value": value}
    body = dumped({"object": "instagram", "entry": [{"id": account, "time": 1, "changes": [change]}]})
    [item] = take("instagram", body).events
    return event("instagram", item)


def comment(id_: str = "c1", media: str = "m1", original: str = "", kind: str = "comments", **more: Any) -> Event:
    """A notification of a comment; with ``original`` one that came by an ad that shows this media."""
    by_ad = {"ad_id": "a1", "ad_title": "Sale", "original_media_id": original} if original else {}
    about = {"id": media, "media_product_type": "AD" if original else "FEED"} | by_ad
    value = {"id": id_, "text": "hello", "from": {"id": "7", "username": "alice"}, "media": about}
    return webhook(kind, value | more)


def story_insights(**counts: int) -> Event:
    return webhook("story_insights", {"media_id": "m1", "impressions": 50} | counts)


def _at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


ABOUT_ONE_COMMENT = [
    comment(),
    comment(media="ad", original="m1"),
    comment(kind="live_comments"),
    comment(parent_id="c0", text="again"),
    webhook("mentions", {"media_id": "m2", "comment_id": "c1"}),
    webhook("mentions", {"comment_id": "c1"}),
    own("comment.read", _at(-1), id="c1", text="hello", timestamp="2026-01-01T10:00:00+0000", hidden=False),
    own("comment.read", _at(0), id="c1", hidden=True, like_count=2, listed_media_id="m1"),
    own("comment.read", _at(1), id="c1", text="hello there", username="alicia", media={"id": "m1"}, parent_id="c0"),
    own("comment.gone", _at(0), id="c1"),
    own("comment.gone", _at(2), id="c1"),
    own("comment.read", _at(2), id="c1", hidden=False),
    own("comment.read", _at(3), id="c1", **{"from": {"id": "7"}}, listed_parent_id="c0"),
    own("mentioned_comment.read", _at(1), id="c1", text="@shop", media={"id": "m2"}),
]
"""All that can be said of one comment."""

ABOUT_ONE_MEDIA = [
    comment(),
    comment(media="ad", original="m1"),
    webhook("mentions", {"media_id": "m1"}),
    story_insights(reach=9, exits=-1),
    own("media.read", _at(-1), id="m1", caption="Tea", comments_count=1, like_count=1, media_product_type="FEED"),
    own("media.read", _at(0), id="m1", caption="Tea and cake", owner={"id": SHOP}, children={"data": [{"id": "k1"}]}),
    own("media.read", _at(1), id="m1", comments_count=2, shortcode="x", media_product_type="STORY"),
    own("media.read", _at(30), id="m1", like_count=7, children={"data": []}),
    own("mentioned_media.read", _at(1), id="m1", caption="with @shop", username="else"),
    own("media.files", _at(0), id="m1", media_url="https://cdn.example/1", thumbnail_url="https://cdn.example/2"),
    own("media.files", _at(1), id="m1", media_url="https://cdn.example/3"),
    own("media.insights", _at(0), id="m1", data=[{"name": "reach", "values": [{"value": 5}]}]),
    own("media.insights", _at(30), id="m1", data=[{"name": "likes", "total_value": {"value": 6}}]),
    own("media.gone", _at(0), id="m1"),
    own("media.gone", _at(29), id="m1"),
]
"""All that can be said of one media."""
