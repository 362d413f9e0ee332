"""Instagram's accounts, media and comments, and the numbers of accounts and media by day.

Webhooks about comments carry no time, so what they say is of no version in time, below all that was read; what the last
webhook of a story counts is above it. So no facet compares times of the platform's clock with times of ours.
"""

from dataclasses import replace

from sqlalchemy import Boolean, Column, Computed, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from schema.crm.columns import (
    Timestamp,
    account_id,
    bucket,
    facet,
    hash_of,
    log_times,
    metrics,
    projection_version,
    row_id,
)
from schema.crm.posts import TARGETS
from schema.metadata import metadata
from schema.preview import Preview
from schema.reading import UNLISTED
from schema.views import (
    CREATED,
    UPDATED,
    Looks,
    Part,
    Scope,
    View,
    freshness,
    gained,
    latest_connection,
    number,
    owned,
)

instagram_accounts = Table(
    "instagram_accounts",
    metadata,
    account_id("the id that webhooks name: of the professional account"),
    row_id("account_id"),
    *log_times(),
    projection_version(),
    *facet(
        "profile",
        Column("username", Text, comment="as last read"),
        Column("name", Text, comment="as people see it"),
        Column("account_type", Text, comment="the platform's own word, such as BUSINESS or MEDIA_CREATOR"),
        Column("biography", Text, comment="as last read"),
        Column("website", Text, comment="as last read"),
        Column("profile_picture_url", Text, comment="expires"),
    ),
    *metrics("followers, follows, media and insights, as last read"),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id"),
    Index("ix_instagram_accounts_id", "id"),
    comment="Instagram accounts that events came to",
    info={"provider": "instagram"},
)

ig_media = Table(
    "ig_media",
    metadata,
    account_id(),
    Column("ig_id", Text, nullable=False, comment="media id"),
    row_id("account_id", "ig_id"),
    row_id("account_id", name="instagram_account_id", comment="instagram_accounts.id of the account"),
    *log_times(),
    projection_version(),
    Column(
        "placeholder",
        Boolean,
        Computed("content_version = ''", persisted=True),
        comment="known only by mention: a comment or an insight named it, nobody has read it yet",
    ),
    *facet(
        "content",
        Column("username", Text, comment="of whoever posted it"),
        Column("caption", Text, comment="of the post"),
        Column("media_type", Text, comment="the platform's own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM"),
        Column("permalink", Text, comment="its address for people"),
        Column("timestamp", Timestamp, comment="when it was posted, by the platform's clock"),
    ),
    *facet(
        "product",
        Column("media_product_type", Text, comment="the platform's own word, such as FEED, REELS, STORY or AD"),
    ),
    *facet(
        "ad",
        Column("ad_id", Text, comment="of the ad that shows it, where it is boosted"),
        Column("ad_title", Text, comment="of that ad"),
    ),
    *metrics("likes, comments and insights, as last read; null where the platform has a number and does not show it"),
    bucket(),
    *facet(
        "details",
        Column("shortcode", Text, comment="the part of its address for people that names it"),
        Column("alt_text", Text, comment="what people hear who do not see it"),
        Column("children", JSONB, comment="of a carousel: id and media_type of each of its items, in their order"),
        Column("is_comment_enabled", Boolean, comment="whether it can be commented on"),
        Column("is_shared_to_feed", Boolean, comment="of a reel: whether it is shown in the feed too"),
        Column("is_ai_generated", Boolean, comment="whether it is marked as made by artificial intelligence"),
        Column("is_own", Boolean, comment="false where somebody else posted it, who mentions the account"),
    ),
    *facet(
        "files",
        Column("media_url", Text, comment="address of the file; expires, and is read anew while the media is young"),
        Column("thumbnail_url", Text, comment="address of the picture of a video; expires likewise"),
    ),
    *facet("presence", Column("deleted_at", Timestamp, comment="when it was found to be gone; NULL while it is there")),
    PrimaryKeyConstraint("bucket", "account_id", "ig_id"),
    Index("ix_ig_media_id", "id"),
    Index("ix_ig_media_instagram_account_id_timestamp", "instagram_account_id", text("timestamp DESC")),
    comment="Instagram media, by the account whose events named them",
    info={
        "provider": "instagram",
        "preview": Preview(
            {
                "media": "ig_id",
                "product": "media_product_type",
                "placeholder": "placeholder",
                "comments": "(SELECT count(*) FROM ig_comments c"
                " WHERE c.bucket = ig_media.bucket AND c.account_id = ig_media.account_id"
                " AND c.media_ig_id = ig_media.ig_id)",
            }
        ),
    },
)

_COMMENTED_AT = 'coalesce("timestamp", created_at)'
"""When a comment was written, or where no reading told that, when the log received the first event of it."""

_AUTHOR = [
    *facet(
        "author",
        Column("from_user", Text, comment="username of whoever wrote it"),
        Column("from_id", Text, comment="the platform's id of whoever wrote it, scoped to the account"),
        Column("is_own", Boolean, comment="written by the account itself"),
        Column("is_live", Boolean, comment="written during a live broadcast"),
    )
]
_PLACE = [
    *facet(
        "place",
        Column(
            "media_ig_id",
            Text,
            comment="the organic media where the platform names it, else the ad's; NULL if only its parent is known",
        ),
        Column("parent_ig_id", Text, comment="the comment that this one replies to"),
    )
]
"""Where it stands never changes. Its versions came later than its columns, and so stand last in the table."""

ig_comments = Table(
    "ig_comments",
    metadata,
    account_id(),
    Column("ig_id", Text, nullable=False, comment="comment id"),
    row_id("account_id", "ig_id"),
    *log_times(),
    projection_version(),
    *facet(
        "content",
        Column("text", Text, comment="of the comment"),
        Column("timestamp", Timestamp, comment="by the platform's clock; NULL until the comment was read"),
    ),
    *_AUTHOR[:2],
    *_PLACE[2:],
    *_AUTHOR[2:],
    row_id("account_id", "media_ig_id", name="ig_media_id", comment="ig_media.id of the media"),
    *facet("moderation", Column("hidden", Boolean, comment="as last read")),
    *facet("presence", Column("deleted_at", Timestamp, comment="when it was found to be gone; NULL while it is there")),
    *metrics("likes, as last read"),
    bucket(),
    *_PLACE[:2],
    PrimaryKeyConstraint("bucket", "account_id", "ig_id"),
    ForeignKeyConstraint(
        ["bucket", "account_id", "media_ig_id"], ["ig_media.bucket", "ig_media.account_id", "ig_media.ig_id"]
    ),
    Index("ix_ig_comments_bucket_account_id_media_ig_id", "bucket", "account_id", "media_ig_id"),
    Index("ix_ig_comments_ig_media_id", "ig_media_id"),
    Index("ix_ig_comments_created_at", "created_at"),
    # For the published views: by account and time, by time, and the first answer of our own in a thread.
    Index("ix_ig_comments_account_id_commented_at", "account_id", text(_COMMENTED_AT)),
    Index("ix_ig_comments_commented_at", text(_COMMENTED_AT)),
    Index(
        "ix_ig_comments_own_replies",
        *("bucket", "account_id", "parent_ig_id", text(_COMMENTED_AT)),
        postgresql_where=text("is_own AND deleted_at IS NULL"),
    ),
    comment="Instagram comments and replies, by the account whose events named them",
    info={
        "provider": "instagram",
        "preview": Preview({"by": "from_user", "says": "left(text, 200)", "on": "media_ig_id"}, widest="says"),
    },
)

ig_media_metrics = Table(
    "ig_media_metrics",
    metadata,
    account_id(),
    Column("ig_id", Text, nullable=False, comment="media id, of ig_media"),
    Column("day", Text, nullable=False, comment="on which they were read, of UTC, such as 2026-01-31"),
    row_id("account_id", "ig_id", name="ig_media_id", comment="ig_media.id of the media"),
    *log_times(),
    projection_version(),
    *facet("reading", Column("read_at", Timestamp, comment="when the newest of its numbers were asked for")),
    *metrics(
        "the last numbers of the day, by name: likes, comments, views, reach, shares, saved …; parts of one as"
        " name.breakdown.PART; total_… with what ads brought"
    ),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "ig_id", "day"),
    ForeignKeyConstraint(
        ["bucket", "account_id", "ig_id"], ["ig_media.bucket", "ig_media.account_id", "ig_media.ig_id"]
    ),
    Index("ix_ig_media_metrics_ig_media_id", "ig_media_id"),
    Index("ix_ig_media_metrics_account_id_day", "account_id", "day"),
    comment="Numbers of Instagram media by day: a day on which nothing changed, or nothing was read, has no row",
    info={"provider": "instagram"},
)

ig_account_metrics = Table(
    "ig_account_metrics",
    metadata,
    account_id(),
    Column(
        "day",
        Text,
        nullable=False,
        comment="of UTC, such as 2026-01-31: that figures are of, and on which followers, follows and media were read",
    ),
    row_id("account_id", name="instagram_account_id", comment="instagram_accounts.id of the account"),
    *log_times(),
    projection_version(),
    *facet("reading", Column("read_at", Timestamp, comment="when the newest of its numbers were asked for")),
    *metrics(
        "by name: followers, follows and media, as last read on the day, and figures of the day, such as reach, views"
        " and follower_count (new ones); parts of one as name.breakdown.PART"
    ),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "day"),
    Index("ix_ig_account_metrics_instagram_account_id", "instagram_account_id"),
    comment="Numbers of Instagram accounts by day: a day without figures, on which nothing was read, has no row",
    info={"provider": "instagram"},
)

VIEWS = {
    "instagram_accounts": View(
        "Instagram accounts that are connected or that events came to",
        {
            "id": "for joins",
            "user_id": "the tenant's id; NULL where no tenant has connected it",
            "oauth_account_id": "oauth_accounts.id; NULL where no tenant has connected it",
            "ig_business_id": "the platform's id of the professional account",
            "page_id": "of the Facebook page behind which it stands; NULL with Instagram Login",
            "username": "as last read",
            "access_level": "the most that the scopes allow: BASIC, CONTENT_PUBLISH or MANAGE_INSIGHTS;"
            " NULL if unknown",
            "metadata": "what else is known of the account, its metrics among it",
            "created_at": CREATED,
            "updated_at": UPDATED,
        },
        f"""
            SELECT coalesce(a.id, {hash_of("c.account_id")}) AS id, c.tenant_id AS user_id, c.id AS oauth_account_id,
                coalesce(a.account_id, c.account_id) AS ig_business_id,
                c.profile ->> 'page' AS page_id,
                coalesce(a.username, nullif(c.username, '')) AS username,
                CASE WHEN c.scopes IS NULL THEN NULL
                    WHEN array_to_string(c.scopes, ' ') LIKE '%manage_insights%' THEN 'MANAGE_INSIGHTS'
                    WHEN array_to_string(c.scopes, ' ') LIKE '%content_publish%' THEN 'CONTENT_PUBLISH'
                    ELSE 'BASIC' END AS access_level,
                coalesce(c.profile, '{{}}') || jsonb_strip_nulls(jsonb_build_object('name', a.name, 'account_type',
                    a.account_type, 'biography', a.biography, 'website', a.website, 'profile_picture_url',
                    a.profile_picture_url, 'metrics', a.metrics_json)) AS metadata,
                coalesce(a.created_at, c.created_at) AS created_at,
                coalesce(a.updated_at, a.created_at, c.updated_at) AS updated_at
            FROM public.instagram_accounts a
            FULL JOIN ({latest_connection("instagram")}) c ON c.account_id = a.account_id
        """,
    ),
    "ig_media": View(
        "Instagram media that are there, by the account whose events named them: none that was found to be gone",
        {
            "id": "for joins",
            "instagram_account_id": "instagram_accounts.id",
            "ig_id": "the platform's id; two accounts may see one media",
            "media_type": "IMAGE, VIDEO, CAROUSEL_ALBUM, REELS or STORY; NULL until it was read",
            "caption": "of the post; NULL until it was read",
            "permalink": "its address for people; NULL until it was read",
            "timestamp": "when it was posted, by the platform's clock; NULL until it was read",
            "metrics_json": "numbers by name, such as likes, comments and shares, as last read",
            "created_at": CREATED,
            "updated_at": UPDATED,
        },
        """
            SELECT m.id, m.instagram_account_id, m.ig_id,
                CASE WHEN m.media_product_type IN ('REELS', 'STORY') THEN m.media_product_type ELSE m.media_type END
                    AS media_type,
                m.caption, m.permalink, m.timestamp, m.metrics_json,
                m.created_at, coalesce(m.updated_at, m.created_at) AS updated_at
            FROM public.ig_media m WHERE m.deleted_at IS NULL
        """,
    ),
    "ig_comments": View(
        "Instagram comments and replies that are there: none that was deleted, or whose media or comment was",
        {
            "id": "for joins",
            "ig_media_id": "ig_media.id; NULL where no event named the media",
            "ig_id": "the platform's id",
            "from_user": "username of whoever wrote it",
            "text": "of the comment",
            "hidden": "false until it is known to be",
            "timestamp": "by the platform's clock; NULL until it was read",
            "created_at": CREATED,
            "updated_at": UPDATED,
        },
        """
            SELECT c.id, coalesce(c.ig_media_id, p.ig_media_id) AS ig_media_id, c.ig_id, c.from_user, c.text,
                coalesce(c.hidden, false) AS hidden, c.timestamp,
                c.created_at, coalesce(c.updated_at, c.created_at) AS updated_at
            FROM public.ig_comments c
            LEFT JOIN public.ig_comments p
                ON p.bucket = c.bucket AND p.account_id = c.account_id AND p.ig_id = c.parent_ig_id
            LEFT JOIN public.ig_media m ON m.bucket = c.bucket AND m.account_id = c.account_id
                AND m.ig_id = coalesce(c.media_ig_id, p.media_ig_id)
            WHERE c.deleted_at IS NULL AND p.deleted_at IS NULL AND m.deleted_at IS NULL
        """,
    ),
}


# --- published views

_PLATFORM = "instagram"

_WORDS = {
    "views": "views",
    "likes": "likes",
    "comments_count": "comments",
    "shares_count": "shares",
    "saves": "saved",
    "reach": "reach",
}
"""The platform's words for what it counts of a media (``meta.md`` 10.5)."""


def _numbers(row: str) -> dict[str, str]:
    return {name: number(row, word) for name, word in _WORDS.items()}


_FIGURES = ("feed_insights", "reel_insights", "story_insights")


def _media_looks(row: str, media: str, counted: str = "") -> Looks:
    """How a media is looked at, of a row that names it: in listings, and its figures by themselves."""
    return Looks(
        _PLATFORM,
        row,
        ("ig_media", "ig_mentioned_media"),
        media,
        lookups=("ig_media", "ig_mentioned_media"),
        walks=("media", "recent_media"),
        figures=_FIGURES,
        counted=counted,
        unlisted=UNLISTED,
    )


_COMMENT_LOOKS = Looks(
    _PLATFORM,
    "k",
    ("ig_comment", "ig_mentioned_comment"),
    "k.ig_id",
    lookups=("ig_comment", "ig_unlisted_comment", "ig_mentioned_comment"),
    walks=("comments",),
    listing="k.media_ig_id",
    unlisted=UNLISTED,
)

_ACCOUNT = Looks(_PLATFORM, "a", ("ig_account",), "a.account_id", walks=("account",), connected=False)

_WRITTEN_AT = "coalesce(k.timestamp, k.created_at)"
_ROOT = "coalesce(k.parent_ig_id, k.ig_id)"
"""Threads have two levels (``meta.md`` 10.2)."""

_ANSWER = f"""SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = {_ROOT}
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= {_WRITTEN_AT}
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1"""


def _posts(scope: Scope) -> list[Part]:
    """Every media, with the target of ours that made it, if one did."""
    columns = {
        "id": "m.id",
        **owned(_PLATFORM, "m"),
        "post_id": "m.ig_id",
        "permalink": "coalesce(m.permalink, t.platform_post_url)",
        "author": "m.username",
        "text": "coalesce(m.caption, t.content)",
        "kind": """CASE WHEN m.media_product_type IN ('REELS', 'STORY', 'AD') THEN
            CASE m.media_product_type WHEN 'REELS' THEN 'reel' ELSE lower(m.media_product_type) END
            ELSE coalesce(CASE m.media_type WHEN 'CAROUSEL_ALBUM' THEN 'carousel' ELSE lower(m.media_type) END, t.kind)
            END""",
        "published_at": "coalesce(m.timestamp, t.published_at)",
        "state": "CASE WHEN m.deleted_at IS NULL THEN 'published' ELSE 'deleted' END",
        "deleted": "m.deleted_at IS NOT NULL",
        "gone_at": "m.deleted_at",
        "target_id": "t.target_id",
        "campaign_id": "t.campaign_id",
        **_numbers("m"),
        "metrics_json": "m.metrics_json",
        **freshness("m", _media_looks("m", "m.ig_id"), made="m.timestamp"),
    }
    source = f"""FROM public.ig_media m {scope.owner(_PLATFORM, "m")}
        LEFT JOIN ({TARGETS}) t ON t.provider = '{_PLATFORM}' AND t.bucket = m.bucket
            AND t.account_id = m.account_id AND t.platform_post_id = m.ig_id{scope.own("t")}"""
    return [Part(columns, source)]


_COMMENT = {
    "id": "k.id",
    **owned(_PLATFORM, "k"),
    "comment_id": "k.ig_id",
    "post_key": "k.ig_media_id",
    "post_id": "k.media_ig_id",
    "root_id": _ROOT,
    "text": "k.text",
    "author": "k.from_user",
    "hidden": "coalesce(k.hidden, false)",
    "deleted": "k.deleted_at IS NOT NULL",
    # In the place of a column, as the others. Threads have two levels (meta.md 10.2).
    "unreachable": """k.deleted_at IS NULL AND ((SELECT m.deleted_at FROM public.ig_media m WHERE m.bucket = k.bucket
            AND m.account_id = k.account_id AND m.ig_id = k.media_ig_id) IS NOT NULL
        OR k.parent_ig_id IS NOT NULL AND (SELECT coalesce(p.deleted_at, m.deleted_at) FROM public.ig_comments p
            LEFT JOIN public.ig_media m ON m.bucket = p.bucket AND m.account_id = p.account_id
                AND m.ig_id = p.media_ig_id
            WHERE p.bucket = k.bucket AND p.account_id = k.account_id AND p.ig_id = k.parent_ig_id) IS NOT NULL)""",
    "commented_at": _WRITTEN_AT,
}

PRIVATE_REPLY = "interval '7 days'"
"""How long after a comment it can be answered by a message; in a live broadcast as long as that lasts (``meta.md``
10.3)."""

LATE = "interval '1 hour'"
"""A comment that no webhook brought within this time was found by a reading."""


def _comments(scope: Scope) -> list[Part]:
    """Every comment and reply, those too that are gone."""
    columns = {
        **_COMMENT,
        "parent_id": "k.parent_ig_id",
        "depth": "(k.parent_ig_id IS NOT NULL)::integer",
        "author_id": "k.from_id",
        "is_own": "k.is_own",
        "is_live": "k.is_live",
        "deleted_at": "k.deleted_at",
        "likes": number("k", "likes"),
        "commented_at_is_platforms": "k.timestamp IS NOT NULL",
        # A subquery in the place of a column is evaluated only where somebody asks for that column.
        "answer_seconds": f"""CASE WHEN k.is_own IS NOT TRUE THEN (
            SELECT extract(epoch FROM a.answered_at - {_WRITTEN_AT}) FROM ({_ANSWER}) a) END""",
        "found_late": f"k.created_at > k.timestamp + {LATE}",
        "reply_until": f"""CASE WHEN k.is_own IS NOT TRUE AND k.is_live IS NOT TRUE
            THEN k.timestamp + {PRIVATE_REPLY} END""",
        **freshness("k", _COMMENT_LOOKS, made="k.timestamp"),
    }
    return [Part(columns, f"FROM public.ig_comments k {scope.owner(_PLATFORM, 'k')}")]


def _response_times(scope: Scope) -> list[Part]:
    """Every comment of somebody else, with our first answer in its thread after it."""
    columns = {
        **_COMMENT,
        "is_answered": "a.ig_id IS NOT NULL",
        "answer_id": "a.ig_id",
        "answered_at": "a.answered_at",
        "answer_seconds": f"extract(epoch FROM a.answered_at - {_WRITTEN_AT})",
        **freshness("k", _COMMENT_LOOKS, made="k.timestamp"),
    }
    source = f"""FROM public.ig_comments k {scope.owner(_PLATFORM, "k")}
        LEFT JOIN LATERAL ({_ANSWER}) a ON true WHERE k.is_own IS NOT TRUE"""
    return [Part(columns, source)]


def _engagement(scope: Scope) -> list[Part]:
    """Comments of each day, and the numbers of each day on which they were read.

    Of media whose numbers no reading brought, such as stories of which a webhook told them at their end, it is the day
    on which something was last heard of them.
    """
    figures = "ig_media_insights"
    of_day = _media_looks("s", "s.ig_id", figures)
    by_day = ("public.ig_media_metrics", "s", "ig_id")
    series = {
        **owned(_PLATFORM, "s"),
        "post_key": "s.ig_media_id",
        "post_id": "s.ig_id",
        "day": "s.day::date",
        **_numbers("s"),
        **{f"{name}_gained": gained(*by_day, word) for name, word in _WORDS.items()},
        "measured_at": "s.read_at",
        **freshness("s", of_day, made=of_day.source_time),
    }
    of_media = _media_looks("m", "m.ig_id", figures)
    heard = "coalesce(m.updated_at, m.created_at)"
    last = {
        **owned(_PLATFORM, "m"),
        "post_key": "m.id",
        "post_id": "m.ig_id",
        "day": f"({heard} AT TIME ZONE 'UTC')::date",
        **_numbers("m"),
        "measured_at": heard,
        **freshness("m", of_media, made="m.timestamp"),
    }
    on_media = _media_looks("k", "k.media_ig_id", figures)
    commented = {
        **owned(_PLATFORM, "k"),
        "post_key": "k.ig_media_id",
        "post_id": "k.media_ig_id",
        "day": "k.day",
        "new_comments": "k.new_comments",
        "own_comments": "k.own_comments",
        **freshness("k", on_media, made=on_media.source_time),
    }
    counted = f"""(SELECT k.bucket, k.account_id, k.media_ig_id, k.ig_media_id,
            ({_WRITTEN_AT} AT TIME ZONE 'UTC')::date AS day, count(*) FILTER (WHERE k.is_own IS NOT TRUE)
                AS new_comments, count(*) FILTER (WHERE k.is_own) AS own_comments,
            min(k.created_at) AS created_at, max(k.updated_at) AS updated_at
        FROM public.ig_comments k WHERE k.ig_media_id IS NOT NULL
        GROUP BY k.bucket, k.account_id, k.media_ig_id, k.ig_media_id, day) k"""
    return [
        Part(series, f"FROM public.ig_media_metrics s {scope.owner(_PLATFORM, 's')}"),
        Part(
            last,
            f"""FROM public.ig_media m {scope.owner(_PLATFORM, "m")}
        WHERE m.metrics_json IS NOT NULL AND NOT EXISTS (SELECT 1 FROM public.ig_media_metrics s
            WHERE s.bucket = m.bucket AND s.account_id = m.account_id AND s.ig_id = m.ig_id)""",
        ),
        Part(commented, f"FROM {counted} {scope.owner(_PLATFORM, 'k')}"),
    ]


def _accounts(_: Scope) -> list[Part]:
    columns = {
        "platform": f"'{_PLATFORM}'",
        "account_id": "a.account_id",
        "account": "a.username",
        "name": "a.name",
        "followers": number("a", "followers"),
        "following": number("a", "follows"),
        "posts_count": number("a", "media"),
        "metrics_json": "a.metrics_json",
        **freshness("a", _ACCOUNT),
    }
    return [Part(columns, "FROM public.instagram_accounts a")]


def _account_metrics(scope: Scope) -> list[Part]:
    looks = replace(_ACCOUNT, row="s", object_id="s.account_id", connected=True)
    by_day = ("public.ig_account_metrics", "s", "")
    columns = {
        **owned(_PLATFORM, "s"),
        "day": "s.day::date",
        "followers": number("s", "followers"),
        "following": number("s", "follows"),
        "posts_count": number("s", "media"),
        "followers_gained": gained(*by_day, "followers"),
        "views_of_day": number("s", "views"),
        "reach_of_day": number("s", "reach"),
        "metrics_json": "s.metrics_json",
        "measured_at": "s.read_at",
        **freshness("s", looks),
    }
    return [Part(columns, f"FROM public.ig_account_metrics s {scope.owner(_PLATFORM, 's')}")]


PARTS = {
    "posts_v1": _posts,
    "comments_v1": _comments,
    "response_times_v1": _response_times,
    "engagement_v1": _engagement,
    "accounts_v1": _accounts,
    "account_metrics_v1": _account_metrics,
}

KNOWN_POST = f"""EXISTS (SELECT 1 FROM public.ig_media m WHERE p.provider = '{_PLATFORM}' AND m.bucket = p.bucket
            AND m.account_id = p.account_id AND m.ig_id = p.platform_post_id)"""
"""The condition on a target ``p`` of ours that a row of this platform shows the same post."""
