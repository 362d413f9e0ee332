"""Views of schema ``reporting``: the tables of the user's design, with its names, for whoever reads by SQL.

``SET search_path = reporting`` makes queries run that were written against that design. Each ``id`` is the number that
the row's table computes from its key, so that it stays after a rebuild; an id of one view in another joins them. The
role ``landfall_reader`` sees these views and nothing else, and its logins have that search path.

A row of ``ig_comments`` is a comment that is there; one that was deleted stays in the table of the same name in schema
``public``. Tokens are shown as NULL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from schema.crm.columns import hash_of

SCHEMA = "reporting"


@dataclass(frozen=True, slots=True)
class View:
    """``columns`` are the names in their order with their comments; ``query`` selects them."""

    comment: str
    columns: Mapping[str, str]
    query: str


LATEST_CONNECTION = """
    SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
    WHERE platform = '{platform}' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id
"""
"""Of each account the connection that counts: several tenants may have connected it, one after another."""

_CREATED = "when it was first known"
_UPDATED = "when it was last heard of"

OAUTH_ACCOUNTS = View(
    "Accounts that are, or were, connected",
    {
        "id": "for joins",
        "user_id": "the tenant's id",
        "provider": "the platform, such as instagram",
        "open_id": "the platform's id of the account; with @ and the host, on platforms with many instances",
        "scope": "what was granted, separated by blanks",
        "access_token_encrypted": "always NULL: tokens are shown nowhere",
        "refresh_token_encrypted": "always NULL: tokens are shown nowhere",
        "expires_at": "when the access token ends; NULL for one without an end",
        "metadata": "username, status, reason, what else the platform says of the account",
        "created_at": "when it was connected for the first time",
        "updated_at": "when it was last connected, checked or disconnected",
    },
    """
    SELECT c.id, c.tenant_id AS user_id, c.platform AS provider,
        c.account_id || CASE WHEN c.instance = '' THEN '' ELSE '@' || c.instance END AS open_id,
        array_to_string(c.scopes, ' ') AS scope,
        NULL::text AS access_token_encrypted, NULL::text AS refresh_token_encrypted,
        c.expires_at,
        c.profile || jsonb_strip_nulls(jsonb_build_object('username', c.username, 'status', c.state, 'reason', c.reason,
            'instance', nullif(c.instance, ''), 'via', c.via)) AS metadata,
        c.created_at, c.updated_at
    FROM public.find_reported_connections() c
    """,
)

INSTAGRAM_ACCOUNTS = View(
    "Instagram accounts that are connected or that events came to",
    {
        "id": "for joins",
        "user_id": "the tenant's id; NULL where no tenant has connected it",
        "oauth_account_id": "oauth_accounts.id; NULL where no tenant has connected it",
        "ig_business_id": "the platform's id of the professional account",
        "page_id": "of the Facebook page behind which it stands; NULL with Instagram Login",
        "username": "as last read",
        "access_level": "the most that the scopes allow: BASIC, CONTENT_PUBLISH or MANAGE_INSIGHTS; NULL if unknown",
        "metadata": "what else is known of the account, its metrics among it",
        "created_at": _CREATED,
        "updated_at": _UPDATED,
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
    FULL JOIN ({LATEST_CONNECTION.format(platform="instagram").strip()}) c ON c.account_id = a.account_id
    """,
)

IG_MEDIA = View(
    "Instagram media, by the account whose events named them",
    {
        "id": "for joins",
        "instagram_account_id": "instagram_accounts.id",
        "ig_id": "the platform's id; two accounts may see one media",
        "media_type": "IMAGE, VIDEO, CAROUSEL_ALBUM, REELS or STORY; NULL until it was read",
        "caption": "of the post; NULL until it was read",
        "permalink": "its address for people; NULL until it was read",
        "timestamp": "when it was posted, by the platform's clock; NULL until it was read",
        "metrics_json": "numbers by name, such as likes, comments and shares, as last read",
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    """
    SELECT m.id, m.instagram_account_id, m.ig_id,
        CASE WHEN m.media_product_type IN ('REELS', 'STORY') THEN m.media_product_type ELSE m.media_type END
            AS media_type,
        m.caption, m.permalink, m.timestamp, m.metrics_json,
        m.created_at, coalesce(m.updated_at, m.created_at) AS updated_at
    FROM public.ig_media m
    """,
)

IG_COMMENTS = View(
    "Instagram comments and replies that are there: none that was deleted",
    {
        "id": "for joins",
        "ig_media_id": "ig_media.id; NULL where no event named the media",
        "ig_id": "the platform's id",
        "from_user": "username of whoever wrote it",
        "text": "of the comment",
        "hidden": "false until it is known to be",
        "timestamp": "by the platform's clock; NULL until it was read",
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    """
    SELECT c.id, c.ig_media_id, c.ig_id, c.from_user, c.text, coalesce(c.hidden, false) AS hidden, c.timestamp,
        c.created_at, coalesce(c.updated_at, c.created_at) AS updated_at
    FROM public.ig_comments c WHERE c.deleted_at IS NULL
    """,
)

TIKTOK_POSTS = View(
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
        "metadata": "open_id of the account, publish_type, status_at, and the ids of its public posts",
        "created_at": _CREATED,
        "updated_at": _UPDATED,
    },
    f"""
    SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
        p.error_code, p.error_message,
        jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type, 'status_at',
            p.status_at, 'post_ids', (SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
                WHERE i.account_id = p.account_id AND i.publish_id = p.publish_id AND i.is_public))) AS metadata,
        p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
    FROM public.tiktok_posts p
    LEFT JOIN ({LATEST_CONNECTION.format(platform="tiktok").strip()}) c ON c.account_id = p.account_id
    """,
)

WEBHOOK_EVENTS = View(
    "Events, and how far the work on each has come",
    {
        "id": "in the order of the log",
        "provider": "the platform that it is of",
        "event_type": "the platform's own word",
        "external_id": "the same for every delivery of one event",
        "payload_json": "NULL where the body could not be read",
        "processed_at": "when its rows were written, or it was ignored; NULL until then",
        "error_message": "of the last failure, or why somebody ignored it",
        "retry_count": "failures so far",
        "created_at": "when it was received",
        "source": "webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall's",
    },
    """
    SELECT e.id, e.provider, e.event_type, e.external_id, e.payload_json, e.processed_at, e.error_message,
        e.retry_count, e.created_at, e.source
    FROM public.webhook_events e
    """,
)

VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "oauth_accounts": OAUTH_ACCOUNTS,
        "instagram_accounts": INSTAGRAM_ACCOUNTS,
        "ig_media": IG_MEDIA,
        "ig_comments": IG_COMMENTS,
        "tiktok_posts": TIKTOK_POSTS,
        "webhook_events": WEBHOOK_EVENTS,
    }
)
