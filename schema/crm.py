"""CRM tables: what the log adds up to, one row per thing, keyed by the account the events came to.

A row is made of *facets*: groups of columns that come from one kind of fact. Each facet has a ``<facet>_version``: the
highest of the facts it was offered (see ``sync.contract.version``), which ends in the ``external_id`` of its event; ''
means no fact yet. Each column of it has the value of the highest fact that knew it, so a notification that lacks a
detail takes nothing away. Where that is not the facet's own version, it stands in ``<facet>_carried``, by column: for a
value that another fact gave, and for a NULL that a fact stated (other NULLs are unknown). A facet of one column has no
such list: a fact that does not know the column does not count. So a row is the same whatever order its events came in,
and says itself which events made it. No column holds anything that depends on when or how often an event was delivered.

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
    return Column("account_id", Text, nullable=False)


def _projector() -> Column[Any]:
    return Column("projector", SmallInteger, nullable=False, comment="newest projection version that wrote here")


def _facet(name: str, *columns: Column[Any]) -> Iterator[Column[Any]]:
    yield Column(
        f"{name}_version",
        Text(collation="C"),
        nullable=False,
        server_default=text("''"),
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
        Column("username", Text),
        Column("caption", Text),
        Column("media_type", Text),
        Column("permalink", Text),
        Column("posted_at", Timestamp),
        Column("comments_count", Integer),
        Column("like_count", Integer),
    ),
    *_facet("product", Column("media_product_type", Text)),
    *_facet("ad", Column("ad_id", Text), Column("ad_title", Text)),
    *_facet(
        "story",
        Column("story_impressions", Integer),
        Column("story_reach", Integer),
        Column("story_taps_forward", Integer),
        Column("story_taps_back", Integer),
        Column("story_exits", Integer),
        Column("story_replies", Integer),
    ),
    _projector(),
    *_carried("details", "ad", "story"),
    PrimaryKeyConstraint("account_id", "external_id"),
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
        Column("author_id", Text),
        Column("author_username", Text),
        Column("text", Text),
        Column("is_own", Boolean, comment="written by the account itself"),
        Column("is_live", Boolean, comment="written during a live broadcast"),
    ),
    *_facet("details", Column("commented_at", Timestamp), Column("hidden", Boolean), Column("like_count", Integer)),
    *_facet("deletion", Column("deleted_at", Timestamp)),
    _projector(),
    *_carried("comment", "details"),
    PrimaryKeyConstraint("account_id", "external_id"),
    ForeignKeyConstraint(["account_id", "media_id"], ["ig_media.account_id", "ig_media.external_id"]),
    Index("ix_ig_comments_account_id_media_id", "account_id", "media_id"),
    info={"provider": "instagram"},
)

tiktok_accounts = Table(
    "tiktok_accounts",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    *_facet(
        "removal",
        Column("authorization_removed_at", Timestamp, comment="compare with when the connection was authorised"),
        Column("removal_reason", Integer),
    ),
    _projector(),
    *_carried("removal"),
    PrimaryKeyConstraint("account_id"),
    info={"provider": "tiktok"},
)

tiktok_undated_removals = Table(
    "tiktok_undated_removals",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    Column("external_id", Text, nullable=False, comment="of the event; when it was received stands in the log"),
    *_facet("removal", Column("removal_reason", Integer)),
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
        Column("fail_reason", Text),
        Column("publish_type", Text, comment="the platform's own word; only INBOX_SHARE is documented"),
        Column("status_at", Timestamp),
    ),
    _projector(),
    *_carried("status"),
    PrimaryKeyConstraint("account_id", "external_id"),
    info={"provider": "tiktok"},
)

tiktok_post_ids = Table(
    "tiktok_post_ids",
    metadata,
    _account_id(),
    Column("publish_id", Text, nullable=False),
    Column("post_id", Text, nullable=False),
    *_facet("visibility", Column("is_public", Boolean), Column("visibility_at", Timestamp)),
    _projector(),
    *_carried("visibility"),
    PrimaryKeyConstraint("account_id", "publish_id", "post_id"),
    ForeignKeyConstraint(["account_id", "publish_id"], ["tiktok_posts.account_id", "tiktok_posts.external_id"]),
    info={"provider": "tiktok"},
)

lookups = Table(
    "lookups",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="what to read from the platform, such as ig_comment"),
    Column("object_id", Text, nullable=False),
    *_facet("wanted", Column("reason", Text)),
    _projector(),
    PrimaryKeyConstraint("account_id", "provider", "kind", "object_id"),
    comment="Objects whose truth an event does not carry, to be read from the platform",
)

crm_verifications = Table(
    "crm_verifications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("verified_at", Timestamp, nullable=False, server_default=func.now()),
    Column("compared_rows", BigInteger, nullable=False),
    Column("drifted_rows", BigInteger, nullable=False),
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
