"""TikTok's posts and accounts."""

from dataclasses import replace

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

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

IS_PUBLIC = "CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END"
"""Whether a row ``i`` of ``tiktok_post_ids`` is public: by the status that was read, or by a webhook, the later one."""

IN_FLIGHT = ("PROCESSING_UPLOAD", "PROCESSING_DOWNLOAD", "SEND_TO_USER_INBOX")
"""Statuses of a publish that can still change (``tiktok.md`` 8.1)."""

tiktok_accounts = Table(
    "tiktok_accounts",
    metadata,
    account_id("open_id, which is per app"),
    *log_times(),
    projection_version(),
    *facet(
        "removal",
        Column("authorization_removed_at", Timestamp, comment="compare with when the connection was authorised"),
        Column(
            "removal_reason",
            Integer,
            comment="the platform's number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer",
        ),
    ),
    bucket(),
    row_id("account_id"),
    *facet(
        "profile",
        Column("username", Text, comment="as last read; NULL without the scope user.info.profile"),
        Column("display_name", Text, comment="as people see it, as last read"),
        Column("bio_description", Text, comment="as last read"),
        Column("profile_deep_link", Text, comment="its address for people"),
        Column("is_verified", Boolean, comment="whether the platform has verified whose it is"),
        Column("union_id", Text, comment="the same for all applications of one developer"),
    ),
    *metrics("followers, follows, likes and videos, as last read; absent without the scope user.info.stats"),
    PrimaryKeyConstraint("bucket", "account_id"),
    comment="TikTok accounts that were read, or that ended the grant, with the latest time that they did",
    info={"provider": "tiktok"},
)

tiktok_account_metrics = Table(
    "tiktok_account_metrics",
    metadata,
    account_id("open_id, which is per app"),
    Column("day", Text, nullable=False, comment="on which they were read, of UTC, such as 2026-01-31"),
    *log_times(),
    projection_version(),
    *facet("reading", Column("read_at", Timestamp, comment="when the newest of its numbers were asked for")),
    *metrics("followers, follows, likes and videos: the last numbers of the day"),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "day"),
    comment="Numbers of TikTok accounts by day: a day on which nothing changed, or nothing was read, has no row",
    info={"provider": "tiktok"},
)

tiktok_undated_removals = Table(
    "tiktok_undated_removals",
    metadata,
    account_id("open_id, which is per app"),
    Column("external_id", Text, nullable=False, comment="of the event"),
    *log_times(),
    projection_version(),
    *facet("removal", Column("removal_reason", Integer, comment="the platform's number, as in tiktok_accounts")),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "external_id"),
    comment="Removals of an authorization that name no time",
    info={"provider": "tiktok"},
)

tiktok_posts = Table(
    "tiktok_posts",
    metadata,
    account_id(),
    Column("publish_id", Text, nullable=False, comment="publish_id, or share_id for the legacy Video Kit"),
    row_id("account_id", "publish_id"),
    *log_times(),
    projection_version(),
    *facet(
        "status",
        Column(
            "status",
            Text,
            comment="PROCESSING_UPLOAD, PROCESSING_DOWNLOAD, SEND_TO_USER_INBOX, PUBLISH_COMPLETE or FAILED",
        ),
        Column("error_code", Text, comment="why it failed, in the platform's own word; NULL unless it failed"),
        Column("error_message", Text, comment="why it failed, in words; NULL where the platform gives none"),
        Column("publish_type", Text, comment="the platform's own word; only INBOX_SHARE is documented"),
        Column("status_at", Timestamp, comment="of the newest step, by the platform's clock"),
    ),
    *facet(
        "request",
        Column("source", Text, comment="FILE_UPLOAD or PULL_FROM_URL; NULL where another program published it"),
        Column("title", Text, comment="as sent to the platform; NULL where another program published it"),
    ),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "publish_id"),
    Index(
        "ix_tiktok_posts_in_flight",
        "status",
        "account_id",
        postgresql_where=text(f"status IN ({', '.join(map(repr, IN_FLIGHT))})"),
    ),
    comment="What was published to TikTok, one row for each publish",
    info={
        "provider": "tiktok",
        "preview": Preview(
            {
                "publish": "publish_id",
                "status": "status",
                "public posts": "(SELECT count(*) FROM tiktok_post_ids i WHERE i.bucket = tiktok_posts.bucket"
                " AND i.account_id = tiktok_posts.account_id AND i.publish_id = tiktok_posts.publish_id"
                f" AND {IS_PUBLIC})",
            }
        ),
    },
)

tiktok_post_ids = Table(
    "tiktok_post_ids",
    metadata,
    account_id(),
    Column("publish_id", Text, nullable=False, comment="of tiktok_posts"),
    Column("post_id", Text, nullable=False, comment="the platform's id of the public post"),
    *log_times(),
    projection_version(),
    *facet(
        "visibility",
        Column("is_public", Boolean, comment="whether everybody can see it, as a webhook last told; NULL for none"),
        Column("visibility_at", Timestamp, comment="when that changed, by the platform's clock"),
    ),
    bucket(),
    *facet(
        "listing",
        Column("listed_at", Timestamp, comment="when the status of the publish last named it as public; NULL: never"),
    ),
    PrimaryKeyConstraint("bucket", "account_id", "publish_id", "post_id"),
    ForeignKeyConstraint(
        ["bucket", "account_id", "publish_id"],
        ["tiktok_posts.bucket", "tiktok_posts.account_id", "tiktok_posts.publish_id"],
    ),
    comment="Public posts that came of a publish: none, one or several",
    info={"provider": "tiktok"},
)

tiktok_videos = Table(
    "tiktok_videos",
    metadata,
    account_id(),
    Column("post_id", Text, nullable=False, comment="the platform's id, as in tiktok_post_ids"),
    row_id("account_id", "post_id"),
    row_id("account_id", name="tiktok_account_id", comment="tiktok_accounts.id of the account"),
    *log_times(),
    projection_version(),
    Column(
        "placeholder",
        Boolean,
        Computed("content_version = ''", persisted=True),
        comment="known only by mention: nobody has read it yet",
    ),
    *facet(
        "content",
        Column(
            "video_description",
            Text,
            comment="of the caption no more than 150 characters; the whole is tiktok_posts.title where we published it",
        ),
        Column("title", Text, comment="of no more than 150 characters"),
        Column("posted_at", Timestamp, comment="when it was posted, by the platform's clock, to the second"),
        Column("share_url", Text, comment="its address for people"),
        Column("embed_link", Text, comment="the address of a player of it"),
        Column("duration", Integer, comment="in seconds"),
        Column("width", Integer, comment="in pixels"),
        Column("height", Integer, comment="in pixels"),
        Column("is_aigc", Boolean, comment="whether it is marked as made by artificial intelligence"),
    ),
    *metrics("views, likes, comments and shares, as last read"),
    *facet(
        "visibility",
        Column("is_public", Boolean, comment="whether everybody can see it, as a webhook last told; NULL for none"),
        Column("visibility_at", Timestamp, comment="when that changed, by the platform's clock"),
    ),
    *facet(
        "presence",
        Column(
            "absent_at",
            Timestamp,
            comment="when reads found it to be public no longer, be it private or deleted; NULL while they find it",
        ),
    ),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "post_id"),
    Index("ix_tiktok_videos_id", "id"),
    Index("ix_tiktok_videos_tiktok_account_id_posted_at", "tiktok_account_id", text("posted_at DESC")),
    comment="Posts of TikTok accounts that are or were public, whoever published them",
    info={"provider": "tiktok"},
)

tiktok_video_metrics = Table(
    "tiktok_video_metrics",
    metadata,
    account_id(),
    Column("post_id", Text, nullable=False, comment="of tiktok_videos"),
    Column("day", Text, nullable=False, comment="on which they were read, of UTC, such as 2026-01-31"),
    row_id("account_id", "post_id", name="tiktok_video_id", comment="tiktok_videos.id of the video"),
    *log_times(),
    projection_version(),
    *facet("reading", Column("read_at", Timestamp, comment="when the newest of its numbers were asked for")),
    *metrics("views, likes, comments and shares: the last numbers of the day"),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "post_id", "day"),
    ForeignKeyConstraint(
        ["bucket", "account_id", "post_id"],
        ["tiktok_videos.bucket", "tiktok_videos.account_id", "tiktok_videos.post_id"],
    ),
    Index("ix_tiktok_video_metrics_tiktok_video_id", "tiktok_video_id"),
    Index("ix_tiktok_video_metrics_account_id_day", "account_id", "day"),
    comment="Numbers of TikTok videos by day: a day on which nothing changed, or nothing was read, has no row",
    info={"provider": "tiktok"},
)

VIEWS = {
    "tiktok_posts": View(
        "What was published to TikTok, one row for each publish",
        {
            "id": "for joins",
            "user_id": "the tenant's id; NULL where no tenant has connected the account",
            "oauth_account_id": "oauth_accounts.id; NULL where no tenant has connected the account",
            "publish_id": "the platform's id of the publish",
            "status": "PROCESSING_UPLOAD, PROCESSING_DOWNLOAD, SEND_TO_USER_INBOX, PUBLISH_COMPLETE or FAILED",
            "source": "FILE_UPLOAD or PULL_FROM_URL; NULL where another program published it",
            "title": "as sent to the platform; NULL where another program published it",
            "error_code": "why it failed, in the platform's own word",
            "error_message": "why it failed, in words",
            "metadata": "open_id of the account, publish_type, status_at, and its public posts: their ids in post_ids,"
            " and in public_posts their addresses and numbers too",
            "created_at": CREATED,
            "updated_at": UPDATED,
        },
        f"""
            SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
                p.error_code, p.error_message,
                jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type,
                    'status_at', p.status_at, 'post_ids', (
                        SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
                        WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id
                            AND {IS_PUBLIC}
                    ), 'public_posts', (
                        SELECT jsonb_agg(jsonb_build_object('post_id', i.post_id, 'permalink', v.share_url,
                            'metrics', v.metrics_json) ORDER BY i.post_id)
                        FROM public.tiktok_post_ids i LEFT JOIN public.tiktok_videos v
                            ON v.bucket = i.bucket AND v.account_id = i.account_id AND v.post_id = i.post_id
                        WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id
                            AND {IS_PUBLIC}
                    ))) AS metadata,
                p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
            FROM public.tiktok_posts p
            LEFT JOIN ({latest_connection("tiktok")}) c ON c.account_id = p.account_id
        """,
    ),
}


# --- published views

_PLATFORM = "tiktok"


_WORDS = {"views": "views", "likes": "likes", "comments_count": "comments", "shares_count": "shares"}
"""What is counted of a video, by the names of ``tiktok_videos.metrics_json``."""


def _numbers(row: str) -> dict[str, str]:
    return {name: number(row, word) for name, word in _WORDS.items()}


_VIDEO = Looks(
    _PLATFORM, "v", ("tiktok_video",), "v.post_id", lookups=("tiktok_video",), walks=("videos", "videos_by_id")
)

_ACCOUNT = Looks(_PLATFORM, "a", ("tiktok_account",), "a.account_id", walks=("account",), connected=False)

_OWN = """SELECT DISTINCT ON (i.bucket, i.account_id, i.post_id) i.bucket, i.account_id, i.post_id, i.is_public,
            i.visibility_at, i.listed_at, i.created_at, i.updated_at, p.title, p.status_at
        FROM public.tiktok_post_ids i JOIN public.tiktok_posts p ON p.bucket = i.bucket
            AND p.account_id = i.account_id AND p.publish_id = i.publish_id
        ORDER BY i.bucket, i.account_id, i.post_id, p.request_version = '', i.publish_id"""
"""A query for the publish that made each post, the one that Landfall began before others."""

_READ_AT = """CASE WHEN v.presence_version <> ''
            THEN to_timestamp(left(v.presence_version, 16)::numeric / 1000000) END"""
"""When a reading last said whether a video is public: the time in its version (``sync.projection.contract``)."""

_VIDEO_IS_PUBLIC = f"""CASE WHEN {_READ_AT} >= greatest(v.visibility_at, i.listed_at, '-infinity')
            THEN v.absent_at IS NULL
            WHEN i.listed_at > coalesce(v.visibility_at, '-infinity') THEN true
            ELSE v.is_public IS NOT FALSE END"""
"""Whether everybody can see a video: by a reading, by a webhook, or by the status of its publish, the latest one."""


def _posts(scope: Scope) -> list[Part]:
    """Every post that is or was public, and publishes by other programs that have none (``tiktok.md`` 8.1).

    Posts that only a publish names are those that an earlier release projected. A publish of ours without an id is a
    row of ``social_posts`` already. TikTok does not tell deleted from private, so nothing is called deleted.
    """
    read = {
        "id": "v.id",
        **owned(_PLATFORM, "v"),
        "post_id": "v.post_id",
        "permalink": "coalesce(v.share_url, t.platform_post_url)",
        # Of the whole caption readings have the beginning only (tiktok.md 12).
        "text": "coalesce(i.title, t.content, nullif(v.video_description, ''), v.title)",
        "kind": "coalesce(t.kind, CASE WHEN v.duration > 0 THEN 'video' END)",
        "published_at": "coalesce(v.posted_at, t.published_at, i.status_at, v.visibility_at)",
        "state": f"CASE WHEN {_VIDEO_IS_PUBLIC} THEN 'published' ELSE 'not_public' END",
        "deleted": "false",
        "gone_at": f"CASE WHEN NOT {_VIDEO_IS_PUBLIC} THEN coalesce(v.absent_at, v.visibility_at) END",
        "target_id": "t.target_id",
        "campaign_id": "t.campaign_id",
        **_numbers("v"),
        "metrics_json": "v.metrics_json",
        **freshness("v", _VIDEO, made="v.posted_at"),
    }
    named = {
        "id": hash_of("i.account_id", "i.post_id"),
        **owned(_PLATFORM, "i"),
        "post_id": "i.post_id",
        "permalink": "t.platform_post_url",
        "text": "coalesce(i.title, t.content)",
        "kind": "t.kind",
        "published_at": "coalesce(t.published_at, i.status_at, i.visibility_at)",
        "state": f"CASE WHEN {IS_PUBLIC} IS FALSE THEN 'not_public' ELSE 'published' END",
        "deleted": "false",
        "gone_at": f"CASE WHEN {IS_PUBLIC} IS FALSE THEN i.visibility_at END",
        "target_id": "t.target_id",
        "campaign_id": "t.campaign_id",
        **freshness("i"),
    }
    unnamed = {
        "id": "p.id",
        **owned(_PLATFORM, "p"),
        "text": "p.title",
        "published_at": "p.status_at",
        "state": "'published_id_unknown'",
        "deleted": "false",
        **freshness("p"),
    }

    def target(row: str) -> str:
        return f"""LEFT JOIN ({TARGETS}) t ON t.provider = '{_PLATFORM}' AND t.bucket = {row}.bucket
            AND t.account_id = {row}.account_id AND t.platform_post_id = {row}.post_id{scope.own("t")}"""

    return [
        Part(
            read,
            f"""FROM public.tiktok_videos v {scope.owner(_PLATFORM, "v")}
        LEFT JOIN ({_OWN}) i ON i.bucket = v.bucket AND i.account_id = v.account_id AND i.post_id = v.post_id
        {target("v")}""",
        ),
        Part(
            named,
            f"""FROM ({_OWN}) i {scope.owner(_PLATFORM, "i")} {target("i")}
        WHERE NOT EXISTS (SELECT 1 FROM public.tiktok_videos v WHERE v.bucket = i.bucket
            AND v.account_id = i.account_id AND v.post_id = i.post_id)""",
        ),
        Part(
            unnamed,
            f"""FROM public.tiktok_posts p {scope.owner(_PLATFORM, "p")}
        WHERE p.status = 'PUBLISH_COMPLETE' AND p.request_version = '' AND NOT EXISTS (
            SELECT 1 FROM public.tiktok_post_ids i WHERE i.bucket = p.bucket AND i.account_id = p.account_id
                AND i.publish_id = p.publish_id)""",
        ),
    ]


def _engagement(scope: Scope) -> list[Part]:
    """Numbers of each video on each day on which they were read and had changed; TikTok shows no comments."""
    looks = replace(_VIDEO, row="s", object_id="s.post_id")
    by_day = ("public.tiktok_video_metrics", "s", "post_id")
    columns = {
        **owned(_PLATFORM, "s"),
        "post_key": "s.tiktok_video_id",
        "post_id": "s.post_id",
        "day": "s.day::date",
        **_numbers("s"),
        **{f"{name}_gained": gained(*by_day, word) for name, word in _WORDS.items()},
        "measured_at": "s.read_at",
        **freshness("s", looks, made=looks.source_time),
    }
    return [Part(columns, f"FROM public.tiktok_video_metrics s {scope.owner(_PLATFORM, 's')}")]


def _accounts(_: Scope) -> list[Part]:
    columns = {
        "platform": f"'{_PLATFORM}'",
        "account_id": "a.account_id",
        "account": "a.username",
        "name": "a.display_name",
        "followers": number("a", "followers"),
        "following": number("a", "follows"),
        "posts_count": number("a", "videos"),
        "metrics_json": "a.metrics_json",
        **freshness("a", _ACCOUNT),
    }
    return [Part(columns, "FROM public.tiktok_accounts a")]


def _account_metrics(scope: Scope) -> list[Part]:
    looks = replace(_ACCOUNT, row="s", object_id="s.account_id", connected=True)
    by_day = ("public.tiktok_account_metrics", "s", "")
    columns = {
        **owned(_PLATFORM, "s"),
        "day": "s.day::date",
        "followers": number("s", "followers"),
        "following": number("s", "follows"),
        "posts_count": number("s", "videos"),
        "followers_gained": gained(*by_day, "followers"),
        "metrics_json": "s.metrics_json",
        "measured_at": "s.read_at",
        **freshness("s", looks),
    }
    return [Part(columns, f"FROM public.tiktok_account_metrics s {scope.owner(_PLATFORM, 's')}")]


PARTS = {
    "posts_v1": _posts,
    "engagement_v1": _engagement,
    "accounts_v1": _accounts,
    "account_metrics_v1": _account_metrics,
}

KNOWN_POST = f"""(p.provider = '{_PLATFORM}' AND (EXISTS (SELECT 1 FROM public.tiktok_videos v
            WHERE v.bucket = p.bucket AND v.account_id = p.account_id AND v.post_id = p.platform_post_id)
            OR EXISTS (SELECT 1 FROM public.tiktok_post_ids i
            WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.post_id = p.platform_post_id)))"""
"""The condition on a target ``p`` of ours that a row of this platform shows the same post."""
