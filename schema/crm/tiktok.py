"""TikTok's posts and accounts."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Table, Text

from schema.crm.columns import Timestamp, account_id, carried, facet, projector
from schema.metadata import metadata

tiktok_accounts = Table(
    "tiktok_accounts",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    *facet(
        "removal",
        Column("authorization_removed_at", Timestamp, comment="compare with when the connection was authorised"),
        Column(
            "removal_reason",
            Integer,
            comment="the platform's number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer",
        ),
    ),
    projector(),
    *carried("removal"),
    PrimaryKeyConstraint("account_id"),
    comment="TikTok accounts that ended the grant, with the latest time that they did",
    info={"provider": "tiktok"},
)

tiktok_undated_removals = Table(
    "tiktok_undated_removals",
    metadata,
    Column("account_id", Text, nullable=False, comment="open_id, which is per app"),
    Column("external_id", Text, nullable=False, comment="of the event; when it was received stands in the log"),
    *facet("removal", Column("removal_reason", Integer, comment="the platform's number, as in tiktok_accounts")),
    projector(),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="Removals of an authorization that name no time",
    info={"provider": "tiktok"},
)

tiktok_posts = Table(
    "tiktok_posts",
    metadata,
    account_id(),
    Column("external_id", Text, nullable=False, comment="publish_id, or share_id for the legacy Video Kit"),
    *facet(
        "status",
        Column("status", Text, comment="inbox_delivered, failed or complete"),
        Column("fail_reason", Text, comment="the platform's own word; NULL unless it failed"),
        Column("publish_type", Text, comment="the platform's own word; only INBOX_SHARE is documented"),
        Column("status_at", Timestamp, comment="of the newest step, by the platform's clock"),
    ),
    projector(),
    *carried("status"),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="What was published to TikTok, one row for each publish",
    info={"provider": "tiktok"},
)

tiktok_post_ids = Table(
    "tiktok_post_ids",
    metadata,
    account_id(),
    Column("publish_id", Text, nullable=False, comment="of tiktok_posts"),
    Column("post_id", Text, nullable=False, comment="the platform's id of the public post"),
    *facet(
        "visibility",
        Column("is_public", Boolean, comment="whether everybody can see it, as last told"),
        Column("visibility_at", Timestamp, comment="when that changed, by the platform's clock"),
    ),
    projector(),
    *carried("visibility"),
    PrimaryKeyConstraint("account_id", "publish_id", "post_id"),
    ForeignKeyConstraint(["account_id", "publish_id"], ["tiktok_posts.account_id", "tiktok_posts.external_id"]),
    comment="Public posts that came of a publish: none, one or several",
    info={"provider": "tiktok"},
)
