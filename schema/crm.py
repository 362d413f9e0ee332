"""CRM tables: what the log adds up to, one row per thing, keyed by the account the events came to.

A row is made of *facets*: groups of columns that come from one kind of fact. Each facet has a ``<facet>_version``: the
highest of the facts it was offered (see ``sync.contract.version``), which ends in the ``external_id`` of its event; ''
means no fact yet. Each column of it has the value of the highest fact that knew it, so a notification that lacks a
detail takes nothing away. Where that is not the facet's own version, it stands in ``<facet>_carried``, by column: for a
value that another fact gave, and for a NULL that a fact stated (other NULLs are unknown). A facet of one column has no
such list: a fact that does not know the column does not count. So a row is the same whatever order its events came in,
and says itself which events made it. No column holds anything that depends on how often an event was
delivered or when it was worked on. ``received_at`` is the log's own time, of the first event about the row; the version
of its facet is the higher the earlier that was (``sync.contract.first_receipt``).

A table of one platform's things says so in ``info``; one of many platforms' has a column ``provider`` in its key.

``account_id`` is part of every key: one event's effects stay within one account. A comment on another account's
media therefore has its media row under the account that was told of it.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from schema.metadata import metadata

Timestamp = DateTime(timezone=True)


def _account_id() -> Column[Any]:
    return Column("account_id", Text, nullable=False, comment="the platform's id of the account whose events made it")


def _projector() -> Column[Any]:
    return Column("projector", SmallInteger, nullable=False, comment="newest projection version that wrote here")


def _facet(name: str, *columns: Column[Any]) -> Iterator[Column[Any]]:
    yield Column(
        f"{name}_version",
        Text(collation="C"),
        nullable=False,
        server_default=text("''"),
        comment=f"of the newest event that speaks of {name}; '' for none",
        info={"guards": name},
    )
    for column in columns:
        column.info["facet"] = name
        yield column


def _carried(*facets: str) -> Iterator[Column[Any]]:
    """For each facet of several columns; last in their tables, where the migration that added them put them."""
    for name in facets:
        yield Column(
            f"{name}_carried",
            JSONB,
            comment=f"versions of columns that are not of {name}_version, or NULL by what an event said",
            info={"carries": name},
        )


ig_media = Table(
    "ig_media",
    metadata,
    _account_id(),
    Column("external_id", Text, nullable=False, comment="media id"),
    Column(
        "placeholder",
        Boolean,
        Computed("details_version = ''", persisted=True),
        comment="known only by mention: a comment or an insight named it, nobody has read it yet",
    ),
    *_facet(
        "details",
        Column("username", Text, comment="of whoever posted it"),
        Column("caption", Text, comment="of the post"),
        Column("media_type", Text, comment="the platform's own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM"),
        Column("permalink", Text, comment="its address for people"),
        Column("posted_at", Timestamp, comment="by the platform's clock"),
        Column("comments_count", Integer, comment="when it was last read"),
        Column("like_count", Integer, comment="when it was last read"),
    ),
    *_facet(
        "product",
        Column("media_product_type", Text, comment="the platform's own word, such as FEED, REELS, STORY or AD"),
    ),
    *_facet(
        "ad",
        Column("ad_id", Text, comment="of the ad that shows it, where it is boosted"),
        Column("ad_title", Text, comment="of that ad"),
    ),
    *_facet(
        "story",
        Column(
            "story_impressions", Integer, comment="final count of a story; NULL where the platform does not show it"
        ),
        Column("story_reach", Integer, comment="as story_impressions"),
        Column("story_taps_forward", Integer, comment="as story_impressions"),
        Column("story_taps_back", Integer, comment="as story_impressions"),
        Column("story_exits", Integer, comment="as story_impressions"),
        Column("story_replies", Integer, comment="as story_impressions"),
    ),
    _projector(),
    *_carried("details", "ad", "story"),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="Instagram media, by the account whose events named them",
    info={"provider": "instagram"},
)

ig_comments = Table(
    "ig_comments",
    metadata,
    _account_id(),
    Column("external_id", Text, nullable=False, comment="comment id"),
    *_facet(
        "comment",
        Column("media_id", Text, comment="the organic media where the platform names it, else the ad's"),
        Column("parent_id", Text, comment="the comment this one replies to"),
        Column("author_id", Text, comment="the platform's id of whoever wrote it, scoped to the account"),
        Column("author_username", Text, comment="of whoever wrote it"),
        Column("text", Text, comment="of the comment, as last notified"),
        Column("is_own", Boolean, comment="written by the account itself"),
        Column("is_live", Boolean, comment="written during a live broadcast"),
    ),
    *_facet(
        "details",
        Column("commented_at", Timestamp, comment="by the platform's clock; NULL until the comment was read"),
        Column("hidden", Boolean, comment="as last read"),
        Column("like_count", Integer, comment="when it was last read"),
    ),
    *_facet("deletion", Column("deleted_at", Timestamp, comment="when a look-up found it gone")),
    _projector(),
    *_carried("comment", "details"),
    *_facet(
        "receipt", Column("received_at", Timestamp, comment="when the log first spoke of it; newest first by this")
    ),
    PrimaryKeyConstraint("account_id", "external_id"),
    ForeignKeyConstraint(["account_id", "media_id"], ["ig_media.account_id", "ig_media.external_id"]),
    Index("ix_ig_comments_account_id_media_id", "account_id", "media_id"),
    Index("ix_ig_comments_received_at", "received_at"),
    comment="Instagram comments and replies, by the account whose events named them",
    info={"provider": "instagram"},
)

tiktok_accounts = Table(
    "tiktok_accounts",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    *_facet(
        "removal",
        Column("authorization_removed_at", Timestamp, comment="compare with when the connection was authorised"),
        Column(
            "removal_reason",
            Integer,
            comment="the platform's number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer",
        ),
    ),
    _projector(),
    *_carried("removal"),
    PrimaryKeyConstraint("account_id"),
    comment="TikTok accounts that ended the grant, with the latest time that they did",
    info={"provider": "tiktok"},
)

tiktok_undated_removals = Table(
    "tiktok_undated_removals",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    Column("external_id", Text, nullable=False, comment="of the event; when it was received stands in the log"),
    *_facet("removal", Column("removal_reason", Integer, comment="the platform's number, as in tiktok_accounts")),
    _projector(),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="Removals of an authorization that name no time",
    info={"provider": "tiktok"},
)

tiktok_posts = Table(
    "tiktok_posts",
    metadata,
    _account_id(),
    Column("external_id", Text, nullable=False, comment="publish_id, or share_id for the legacy Video Kit"),
    *_facet(
        "status",
        Column("status", Text, comment="inbox_delivered, failed or complete"),
        Column("fail_reason", Text, comment="the platform's own word; NULL unless it failed"),
        Column("publish_type", Text, comment="the platform's own word; only INBOX_SHARE is documented"),
        Column("status_at", Timestamp, comment="of the newest step, by the platform's clock"),
    ),
    _projector(),
    *_carried("status"),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="What was published to TikTok, one row for each publish",
    info={"provider": "tiktok"},
)

tiktok_post_ids = Table(
    "tiktok_post_ids",
    metadata,
    _account_id(),
    Column("publish_id", Text, nullable=False, comment="of tiktok_posts"),
    Column("post_id", Text, nullable=False, comment="the platform's id of the public post"),
    *_facet(
        "visibility",
        Column("is_public", Boolean, comment="whether everybody can see it, as last told"),
        Column("visibility_at", Timestamp, comment="when that changed, by the platform's clock"),
    ),
    _projector(),
    *_carried("visibility"),
    PrimaryKeyConstraint("account_id", "publish_id", "post_id"),
    ForeignKeyConstraint(["account_id", "publish_id"], ["tiktok_posts.account_id", "tiktok_posts.external_id"]),
    comment="Public posts that came of a publish: none, one or several",
    info={"provider": "tiktok"},
)

lookups = Table(
    "lookups",
    metadata,
    Column("account_id", Text, nullable=False, comment="the account whose events asked for it"),
    Column("provider", Text, nullable=False, comment="the platform to read it from"),
    Column("kind", Text, nullable=False, comment="what to read from the platform, such as ig_comment"),
    Column("object_id", Text, nullable=False, comment="the platform's id of what is to be read"),
    *_facet("wanted", Column("reason", Text, comment="why, in words")),
    _projector(),
    PrimaryKeyConstraint("account_id", "provider", "kind", "object_id"),
    comment="Objects whose truth an event does not carry, to be read from the platform",
)

crm_verifications = Table(
    "crm_verifications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order of verifications"),
    Column("verified_at", Timestamp, nullable=False, server_default=func.now(), comment="when it ended"),
    Column("compared_rows", BigInteger, nullable=False, comment="rows of the tables that were compared"),
    Column("drifted_rows", BigInteger, nullable=False, comment="rows that were not what the log says"),
    comment="What each `landfall verify` found; the newest is what the gauges show",
)

CRM_TABLES = (
    ig_media,
    ig_comments,
    tiktok_accounts,
    tiktok_undated_removals,
    tiktok_posts,
    tiktok_post_ids,
    lookups,
)
"""Every table that the log can rebuild, parents before children."""
