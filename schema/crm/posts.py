"""What Landfall published, or tried to: one row for each target of a post, of all platforms."""

from collections.abc import Iterable

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from schema.crm.columns import Timestamp, account_id, bucket, facet, log_times, projection_version, row_id
from schema.metadata import metadata
from schema.preview import Preview
from schema.states import NOT_POSTED, POSTED, TargetState
from schema.views import CREATED, UUID, Part, Scope, View, freshness

social_posts = Table(
    "social_posts",
    metadata,
    account_id("the account that it is published with"),
    Column("provider", Text, nullable=False, comment="the platform"),
    Column("target_id", Text, nullable=False, comment="post_targets.id"),
    row_id("account_id", "provider", "target_id"),
    *log_times(),
    projection_version(),
    *facet(
        "content",
        Column("user_id", Text, comment="the tenant's id"),
        Column("post_id", Text, comment="posts.id: the same for all targets of one post"),
        Column("connection_id", Text, comment="connections.id"),
        Column("parent_id", Text, comment="post_targets.id of the part that it answers"),
        Column("kind", Text, comment="what it is there, such as reel or carousel"),
        Column("content", Text, comment="its text"),
        Column("hashtags", Text, comment="separated by blanks, without #"),
        Column("media_ids", Text, comment="of its files, in order, separated by blanks"),
        Column("campaign_id", Text, comment="by which posts are listed together"),
        Column("link_url", Text, comment="of the page that it shares"),
        Column("link_title", Text, comment="of that page"),
        Column("scheduled_at", Timestamp, comment="when it is, or was, to be published"),
    ),
    *facet(
        "state",
        Column("state", Text, comment="as in docs/states.md"),
        Column("platform_post_id", Text, comment="the platform's id; NULL while it is not known"),
        Column("platform_post_url", Text, comment="its address for people"),
        Column("error_code", Text, comment="why it failed or is in doubt, in a word"),
        Column("error_message", Text, comment="and in words"),
        Column("retryable", Boolean, comment="whether trying again can help"),
        Column("retry_count", Integer, comment="failed tries at its last step"),
        Column("published_at", Timestamp, comment="when it was seen to be published"),
    ),
    bucket(),
    Column(
        "is_action",
        Boolean,
        comment="whether it acts on, or answers, what is no part of its own post; NULL: it does not",
        info={"facet": "content"},
    ),
    Column(
        "object_id",
        Text,
        comment="the platform's id of what an action acts on, or answers; NULL for a post",
        info={"facet": "content"},
    ),
    Column(
        "object_kind",
        Text,
        comment="whether that is a post or a comment; NULL if it is not known",
        info={"facet": "content"},
    ),
    PrimaryKeyConstraint("bucket", "account_id", "provider", "target_id"),
    Index("ix_social_posts_id", "id"),
    comment="Posts of ours at each account, as the log has them",
    info={"preview": Preview({"platform": "provider", "kind": "kind", "state": "state", "text": "content"}, "text")},
)


def _quoted(states: tuple[TargetState, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


STATUS = f"""CASE WHEN p.state IN ({_quoted(POSTED)}) THEN 'posted'
        WHEN p.state IN ({_quoted(NOT_POSTED)}) THEN 'failed'
        WHEN p.state = '{TargetState.CANCELLED}' THEN 'cancelled' ELSE 'pending' END"""
"""The user's word for a state."""

NO_POSTS = ("comment", "comment_reply")
"""Kinds of targets that are no posts, whatever they stand below."""

_IS_POST = f"is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ({', '.join(map(repr, NO_POSTS))})"

TARGETS = f"""SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND {_IS_POST}
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id"""
"""A query for the target of ours that made each post, for views of a platform's posts."""

_CONNECTION = "uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807"

VIEWS = {
    "scheduled_posts": View(
        "Posts at each account: what is to be published, and what became of it",
        {
            "id": "for joins",
            "campaign_id": "by which posts are listed together",
            "user_id": "the tenant's id",
            "social_connection_id": "social_connections.id",
            "platform": "where",
            "post_content": "its text",
            "media_urls": "of its files, in order, at this service",
            "hashtags": "without #",
            "scheduled_time": "when it is, or was, to be published",
            "status": "pending, posted, failed or cancelled",
            "platform_post_id": "the platform's id; NULL while it is not known",
            "posting_error": "why it failed, in words",
            "retry_count": "failed tries at its last step",
            "created_at": CREATED,
        },
        f"""
            SELECT p.id, p.campaign_id, p.user_id::uuid AS user_id, {_CONNECTION} AS social_connection_id,
                p.provider AS platform, p.content AS post_content,
                ARRAY(SELECT '/api/media/' || m.id FROM regexp_split_to_table(p.media_ids, ' ')
                    WITH ORDINALITY AS m(id, position) WHERE m.id <> '' ORDER BY m.position) AS media_urls,
                array_remove(string_to_array(p.hashtags, ' '), '') AS hashtags,
                p.scheduled_at AS scheduled_time, {STATUS} AS status, p.platform_post_id,
                p.error_message AS posting_error, p.retry_count, p.created_at
            FROM public.social_posts p WHERE p.is_action IS NOT TRUE
        """,
    ),
    "social_shares": View(
        "Pages that were shared: where, and what became of it",
        {
            "connection": "social_connections.id",
            "shared_url": "of the page",
            "shared_title": "of the page",
            "platform_post_id": "the platform's id; NULL while it is not known",
            "platform_post_url": "its address for people",
            "status": "pending, posted, failed or cancelled",
            "error_message": "why it failed, in words",
            "created_at": CREATED,
        },
        f"""
            SELECT {_CONNECTION} AS connection, p.link_url AS shared_url, p.link_title AS shared_title,
                p.platform_post_id, p.platform_post_url, {STATUS} AS status, p.error_message, p.created_at
            FROM public.social_posts p WHERE p.link_url IS NOT NULL AND p.is_action IS NOT TRUE
        """,
    ),
}


# --- published views

_OWNED = {
    "tenant_id": "p.user_id::uuid",
    "platform": "p.provider",
    "account_id": "p.account_id",
    "account": "nullif(owner.username, '')",
    "connection_id": _CONNECTION,
}


def unmatched_posts(scope: Scope, known: Iterable[str]) -> Part:
    """Return the posts of ours that no row of their platform shows: none was read yet, or the platform has none here.

    ``known`` are the conditions on a target ``p`` that such a row is there.
    """
    columns = {
        "id": "p.id",
        **_OWNED,
        "post_id": "p.platform_post_id",
        "permalink": "p.platform_post_url",
        "text": "p.content",
        "kind": "p.kind",
        "published_at": "p.published_at",
        "state": "p.state",
        "deleted": "false",
        "target_id": "p.target_id",
        "campaign_id": "p.campaign_id",
        **freshness("p", made="p.published_at"),
    }
    unknown = "".join(f"\n            AND NOT {condition}" for condition in known)
    source = f"""FROM public.social_posts p {scope.maker("p")}
        WHERE p.state IN ({_quoted(POSTED)}) AND {_IS_POST}{unknown}"""
    return Part(columns, source)


def _publishing(scope: Scope) -> list[Part]:
    """Every target, the acts on posts and comments among them."""
    columns = {
        "id": "p.id",
        **_OWNED,
        "target_id": "p.target_id",
        "landfall_post_id": f"p.post_id::{UUID}",
        "parent_target_id": "p.parent_id",
        "kind": "p.kind",
        "is_action": "coalesce(p.is_action, false)",
        "campaign_id": "p.campaign_id",
        "text": "p.content",
        "link_url": "p.link_url",
        "state": "p.state",
        "status": STATUS,
        "post_id": "p.platform_post_id",
        "permalink": "p.platform_post_url",
        "error_code": "p.error_code",
        "error_message": "p.error_message",
        "retryable": "p.retryable",
        "failures": "p.retry_count",
        "scheduled_at": "p.scheduled_at",
        "published_at": "p.published_at",
        "late_seconds": "extract(epoch FROM p.published_at - p.scheduled_at)",
        **freshness("p", made="p.published_at"),
        # What Landfall does itself is in its own log: nobody has to look.
        "synced_at": "coalesce(p.updated_at, p.created_at)",
        "stale": "false",
    }
    return [Part(columns, f"FROM public.social_posts p {scope.maker('p')}")]


PARTS = {"publishing_v1": _publishing}
