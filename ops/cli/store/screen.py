"""What `landfall up` shows of the tables while it runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from ops.runtime.db import required

_COUNTS = """
SELECT (SELECT count(*) FROM webhook_deliveries) AS deliveries,
    (SELECT coalesce(sum(event_count - new_event_count), 0) FROM webhook_deliveries)::bigint AS duplicates,
    (SELECT count(*) FROM webhook_event_log) AS events,
    (SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done') AS projected,
    (SELECT count(*) FROM webhook_event_queue) AS waiting,
    (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM webhook_event_queue
        WHERE due_at <= now()) AS lag,
    (SELECT count(*) FROM ig_comments) AS ig_comments, (SELECT count(*) FROM ig_media) AS ig_media,
    (SELECT count(*) FROM tiktok_posts) AS tiktok_posts
"""

_NEWEST = {
    "ig_comments": """
        SELECT from_user AS "by", left(text, 200) AS "says", media_ig_id AS "on" FROM ig_comments
        ORDER BY created_at DESC LIMIT $1""",
    "ig_media": """
        SELECT m.ig_id AS "media", m.media_product_type AS "product", m.placeholder,
            (SELECT count(*) FROM ig_comments c WHERE c.account_id = m.account_id AND c.media_ig_id = m.ig_id)
                AS comments
        FROM (SELECT account_id, media_ig_id, max(created_at) AS at FROM (
                SELECT account_id, media_ig_id, created_at FROM ig_comments
                ORDER BY created_at DESC LIMIT 20 * $1) newest GROUP BY 1, 2) e
        JOIN ig_media m ON m.account_id = e.account_id AND m.ig_id = e.media_ig_id ORDER BY e.at DESC LIMIT $1""",
}

# What an event says of its publish is JSON inside a string, and need not be JSON at all: PostgreSQL never parses it.
_TIKTOK_EVENTS = """
SELECT account_id, payload_json->>'content' AS content FROM webhook_event_log
WHERE provider = 'tiktok' AND webhook_event_log.id > (SELECT coalesce(max(id), 0) - 200 FROM webhook_event_log)
ORDER BY webhook_event_log.id DESC
"""
_TIKTOK_POSTS = """
SELECT p.publish_id AS "publish", p.status,
    (SELECT count(*) FROM tiktok_post_ids i WHERE i.account_id = p.account_id
        AND i.publish_id = p.publish_id AND i.is_public) AS "public posts"
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS e (account_id, id, n)
JOIN tiktok_posts p ON p.account_id = e.account_id AND p.publish_id = e.id ORDER BY e.n LIMIT $3
"""

Row = dict[str, Any]
"""A row as it is shown: values by heading."""


class TikTokEvent(NamedTuple):
    """The account of an event, and what the event holds, unread."""

    account_id: str
    content: str | None


async def counts(connection: asyncpg.Connection) -> Row:
    """Return how much there is of everything; ``lag`` is in seconds."""
    return dict(required(await connection.fetchrow(_COUNTS)))


async def newest(connection: asyncpg.Connection, rows: int) -> dict[str, list[Row]]:
    """Return the newest comments, and the media that the newest are on, ``rows`` of each."""
    return {name: [dict(row) for row in await connection.fetch(query, rows)] for name, query in _NEWEST.items()}


async def tiktok_events(connection: asyncpg.Connection) -> list[TikTokEvent]:
    """Return the newest events of TikTok, newest first."""
    return [TikTokEvent(*row) for row in await connection.fetch(_TIKTOK_EVENTS)]


async def tiktok_posts(connection: asyncpg.Connection, publishes: Sequence[tuple[str, str]], rows: int) -> list[Row]:
    """Return the first ``rows`` posts of these pairs of account and publish id, in their order."""
    columns = ([account for account, _ in publishes], [id_ for _, id_ in publishes])
    return [dict(row) for row in await connection.fetch(_TIKTOK_POSTS, *columns, rows)]
