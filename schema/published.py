"""The published views: everything of all platforms with the same names, for dashboards, exports and programs.

They stand in schema ``reporting`` beside those of the user's design, and in schema ``reporting_tenant`` with the rows
of one tenant: the one that a login was made for by ``landfall db login read --tenant``, or for which a process acts.

A published column keeps its name and its type for ever; what has to change is published as ``…_v2`` beside it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from schema.crm import known_posts, parts
from schema.crm.posts import unmatched_posts
from schema.states import ConnectionState
from schema.views import (
    BIGINT,
    BOOLEAN,
    EVERYTHING,
    FRESHNESS,
    JSON,
    METRICS,
    ONE_TENANT,
    OWNER,
    TIME,
    UUID,
    Scope,
    Shown,
    View,
    published,
    select,
)

_POSTS = {
    "id": Shown(BIGINT, "for joins"),
    **OWNER,
    "post_id": Shown("text", "the platform's id of the post; NULL while it is not known"),
    "permalink": Shown("text", "its address for people; NULL while it is not known"),
    "author": Shown("text", "username of whoever posted it: another one where somebody else's post names the account"),
    "text": Shown("text", "caption or text; NULL until it was read"),
    "kind": Shown("text", "such as image, video, reel, story or carousel; NULL until it was read"),
    "published_at": Shown(TIME, "when it was published; NULL until it was read"),
    "state": Shown(
        "text",
        "published, deleted, not_public (no longer, or deleted, where the platform does not tell), or of posts that the"
        " platform took and did not name yet, published_id_unknown or awaiting_person",
    ),
    "deleted": Shown(BOOLEAN, "found to be gone; never of platforms that do not tell deleted from private"),
    "gone_at": Shown(TIME, "when it was found to be gone, or not public any more; NULL while it is there"),
    "target_id": Shown("text", "publishing_v1.target_id; NULL where Landfall did not publish it"),
    "campaign_id": Shown("text", "by which posts of Landfall are listed together"),
    **METRICS,
    "metrics_json": Shown(JSON, "all numbers by the platform's own names, as last read; null: there is one, not shown"),
    **FRESHNESS,
}

_COMMENT = {
    "id": Shown(BIGINT, "for joins"),
    **OWNER,
    # First of the times: dashboards propose the first one as that of a row.
    "commented_at": Shown(TIME, "when it was written; until it was read, when the log received the first event of it"),
    "comment_id": Shown("text", "the platform's id of the comment"),
    "post_key": Shown(BIGINT, "posts_v1.id; NULL where nothing named the post"),
    "post_id": Shown("text", "the platform's id of the post"),
}

_COMMENTS = {
    **_COMMENT,
    "commented_at_is_platforms": Shown(BOOLEAN, "whether commented_at is by the platform's clock"),
    "parent_id": Shown("text", "comment_id of the comment that it replies to; NULL for one on the post itself"),
    "root_id": Shown("text", "comment_id of the first comment of its thread; its own for one on the post itself"),
    "depth": Shown("integer", "0 for a comment on the post itself, 1 for a reply to one"),
    "text": Shown("text", "of the comment; NULL until it was read"),
    "author": Shown("text", "username of whoever wrote it"),
    "author_id": Shown("text", "the platform's id of whoever wrote it, scoped to the account"),
    "is_own": Shown(BOOLEAN, "written by the account itself; NULL where nothing says whose it is"),
    "is_live": Shown(BOOLEAN, "written during a live broadcast"),
    "hidden": Shown(BOOLEAN, "false until it is known to be"),
    "deleted": Shown(BOOLEAN, "found to be gone"),
    "deleted_at": Shown(TIME, "when it was found to be gone; NULL while it is there"),
    "unreachable": Shown(BOOLEAN, "its post, or the comment that it replies to, is gone, and so nobody sees it"),
    "found_late": Shown(
        BOOLEAN, "known only an hour after it was written, or later: no webhook brought it; NULL until it was read"
    ),
    "reply_until": Shown(
        TIME,
        "until when the platform takes a private answer to it; NULL: not known, own, or as long as the broadcast lasts",
    ),
    "likes": Shown(BIGINT, "NULL is unknown, not 0"),
    "answer_seconds": Shown(
        "numeric", "until the account's first comment in its thread after it that is still there; NULL: none, or own"
    ),
    **FRESHNESS,
}

_RESPONSE_TIMES = {
    **_COMMENT,
    **{name: _COMMENTS[name] for name in ("root_id", "text", "author", "hidden", "deleted", "unreachable")},
    "is_answered": Shown(BOOLEAN, "whether the account wrote in its thread after it, and that is still there"),
    "answer_id": Shown("text", "comment_id of the first such answer"),
    "answered_at": Shown(TIME, "when that was written"),
    "answer_seconds": Shown("numeric", "from the comment to that answer"),
    **FRESHNESS,
}

_COUNTS = {
    "new_comments": Shown(BIGINT, "comments and replies of others that were written on that day"),
    "own_comments": Shown(BIGINT, "comments and replies of the account itself that were written on that day"),
}

_TOTALS = {
    **{
        name: Shown(column.type, f"total when it was last looked at on that day: {column.comment}")
        for name, column in METRICS.items()
    },
    **{
        f"{name}_gained": Shown(
            BIGINT,
            f"{name} of that day less the last earlier known value, which may be days ago; NULL: either is unknown",
        )
        for name in METRICS
    },
    "measured_at": Shown(TIME, "when these totals were last looked at on that day; NULL: there are none of that day"),
}

_ENGAGEMENT = {
    **OWNER,
    "post_key": Shown(BIGINT, "posts_v1.id"),
    "post_id": Shown("text", "the platform's id of the post"),
    "day": Shown("date", "in UTC"),
    **_COUNTS,
    **_TOTALS,
    **FRESHNESS,
}

_ACCOUNTS = {
    **OWNER,
    "instance": Shown("text", "host, on platforms with many instances; NULL on others"),
    "name": Shown("text", "as people see it"),
    "state": Shown("text", "active, needs_reconnect or disconnected; NULL where no tenant has connected it"),
    "reason": Shown("text", "why somebody has to connect it again"),
    "scopes": Shown("text[]", "what was granted"),
    "connected_at": Shown(TIME, "when it was connected for the first time"),
    "expires_at": Shown(TIME, "when the access token ends; NULL for one without an end"),
    "authorized_at": Shown(TIME, "when the person last agreed at the platform"),
    "followers": Shown(BIGINT, "as last read; NULL is unknown, not 0"),
    "following": Shown(BIGINT, "as last read; NULL is unknown, not 0"),
    "posts_count": Shown(BIGINT, "as the platform counts them; NULL is unknown, not 0"),
    "metrics_json": Shown(JSON, "all numbers by the platform's own names, as last read"),
    **FRESHNESS,
}

_ACCOUNT_METRICS = {
    **OWNER,
    "day": Shown("date", "in UTC"),
    "followers": Shown(BIGINT, "as last read on that day; NULL is unknown, not 0"),
    "following": Shown(BIGINT, "as last read on that day; NULL is unknown, not 0"),
    "posts_count": Shown(BIGINT, "as last read on that day; NULL is unknown, not 0"),
    "followers_gained": Shown(
        BIGINT,
        "followers of that day less the last earlier known value, which may be days ago; NULL: either is unknown",
    ),
    "views_of_day": Shown(BIGINT, "how often its posts were seen on that day; NULL is unknown, not 0"),
    "reach_of_day": Shown(BIGINT, "accounts that saw its posts on that day; NULL is unknown, not 0"),
    "metrics_json": Shown(JSON, "all numbers of that day by the platform's own names"),
    "measured_at": Shown(TIME, "when numbers of that day were last read"),
    **FRESHNESS,
}

_PUBLISHING = {
    "id": Shown(BIGINT, "for joins"),
    **OWNER,
    "target_id": Shown("text", "Landfall's id of the post at this account"),
    "landfall_post_id": Shown(UUID, "Landfall's id of the post: the same at all accounts"),
    "parent_target_id": Shown("text", "target_id of the part of a thread that it answers"),
    "kind": Shown("text", "what it is there, such as reel or carousel; of an act, such as hide_comment"),
    "is_action": Shown(BOOLEAN, "whether it acts on, or answers, what is no part of its own post"),
    "campaign_id": Shown("text", "by which posts are listed together"),
    "text": Shown("text", "its text"),
    "link_url": Shown("text", "of the page that it shares"),
    "state": Shown("text", "as in docs/states.md"),
    "status": Shown("text", "the state in one of four words: pending, posted, failed or cancelled"),
    "post_id": Shown("text", "the platform's id: posts_v1.post_id; NULL while it is not known"),
    "permalink": Shown("text", "its address for people"),
    "error_code": Shown("text", "why it failed or is in doubt, in a word"),
    "error_message": Shown("text", "and in words"),
    "retryable": Shown(BOOLEAN, "whether trying again can help"),
    "failures": Shown("integer", "failed tries at its last step"),
    "scheduled_at": Shown(TIME, "when it is, or was, to be published"),
    "published_at": Shown(TIME, "when it was seen to be published"),
    "late_seconds": Shown("numeric", "from the one to the other"),
    **FRESHNESS,
}


def _union(name: str, columns: Mapping[str, Shown], scope: Scope) -> str:
    """Return the rows of all platforms for a published view.

    PostgreSQL pushes conditions of whoever reads a view into the parts of a UNION ALL at its top, even of one that is a
    security barrier, so the view of a tenant selects from it.
    """
    found = parts(name, scope)
    if name == "posts_v1":
        found.append(unmatched_posts(scope, known_posts()))
    query = "\nUNION ALL\n".join(select(columns, part) for part in found)
    return f"SELECT * FROM (\n{query}\n) u" if scope.filtered else query


def _by_day(scope: Scope) -> str:
    """Return the query of ``engagement_v1``: one row for each post and day of which some platform has anything.

    A platform's rows are counts, which are added up, or the totals of a post as they were last seen on a day: at most
    one such row for each post and day.
    """
    together = {
        **{name: f"sum(coalesce(e.{name}, 0))" for name in _COUNTS},
        **{name: f"max(e.{name})" for name in (*_TOTALS, *FRESHNESS)},
        "created_at": "min(e.created_at)",
        "stale": "bool_or(e.stale)",
    }
    shown = [f"({together.get(name, f'e.{name}')})::{column.type} AS {name}" for name, column in _ENGAGEMENT.items()]
    by = ", ".join(f"e.{name}" for name in _ENGAGEMENT if name not in together)
    return f"SELECT {', '.join(shown)}\nFROM ({_union('engagement_v1', _ENGAGEMENT, scope)}) e\nGROUP BY {by}"


def _accounts(scope: Scope) -> str:
    """Return the query of ``accounts_v1``: a row for each connection, and for each account that nobody connected."""
    known = {
        "tenant_id": "c.tenant_id",
        "platform": "coalesce(c.platform, a.platform)",
        "account_id": "coalesce(c.account_id, a.account_id)",
        "account": "coalesce(nullif(c.username, ''), a.account)",
        "connection_id": "c.id",
        "instance": "nullif(c.instance, '')",
        "name": "coalesce(a.name, nullif(c.profile ->> 'name', ''))",
        "state": "c.state",
        "reason": "c.reason",
        "scopes": "c.scopes",
        "expires_at": "c.expires_at",
        "connected_at": "c.created_at",
        "authorized_at": "c.authorized_at",
        "created_at": "least(a.created_at, c.created_at)",
        "updated_at": "greatest(a.updated_at, c.updated_at)",
        "stale": f"c.state IS DISTINCT FROM '{ConnectionState.ACTIVE}' OR coalesce(a.stale, true)",
    }
    shown = ", ".join(
        f"({known.get(name, f'a.{name}')})::{column.type} AS {name}" for name, column in _ACCOUNTS.items()
    )
    join, seen = ("LEFT JOIN", " AND c.shown") if scope.filtered else ("FULL JOIN", "")
    return f"""SELECT {shown}
FROM {scope.connections} c {join} ({_union("accounts_v1", _ACCOUNTS, scope)}) a
    ON a.platform = c.platform AND a.account_id = c.account_id{seen}"""


def published_views(scope: Scope) -> Mapping[str, View]:
    """Return the published views with the rows of a scope, by name."""
    return MappingProxyType(
        {
            "posts_v1": published(
                "Posts of all platforms: one row for each post that was published, by Landfall or otherwise",
                _POSTS,
                _union("posts_v1", _POSTS, scope),
                time="published_at",
            ),
            "comments_v1": published(
                "Comments and replies with their threads, those that are hidden or gone among them",
                _COMMENTS,
                _union("comments_v1", _COMMENTS, scope),
                time="commented_at",
            ),
            "response_times_v1": published(
                "Comments of others, with the first answer of the account in the same thread",
                _RESPONSE_TIMES,
                _union("response_times_v1", _RESPONSE_TIMES, scope),
                time="commented_at",
            ),
            "engagement_v1": published(
                "What happened at each post on each day, and its totals; up to synced_at no row is no change",
                _ENGAGEMENT,
                _by_day(scope),
                time="day",
            ),
            "account_metrics_v1": published(
                "Numbers of each account on each day; up to synced_at no row is no change, and after it a gap",
                _ACCOUNT_METRICS,
                _union("account_metrics_v1", _ACCOUNT_METRICS, scope),
                time="day",
            ),
            "accounts_v1": published(
                "Connections to accounts, and accounts with rows here that no tenant has connected",
                _ACCOUNTS,
                _accounts(scope),
                time="created_at",
            ),
            "publishing_v1": published(
                "What Landfall is to publish at each account, and what became of it",
                _PUBLISHING,
                _union("publishing_v1", _PUBLISHING, scope),
                time="created_at",
            ),
        }
    )


PUBLISHED = published_views(EVERYTHING)
"""The published views of schema ``reporting``."""

PUBLISHED_FOR_TENANT = published_views(ONE_TENANT)
"""The same for one tenant, of schema ``reporting_tenant``."""
