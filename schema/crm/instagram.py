"""Instagram's media and comments."""

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
)

from schema.crm.columns import Timestamp, account_id, carried, facet, projector
from schema.metadata import metadata

ig_media = Table(
    "ig_media",
    metadata,
    account_id(),
    Column("external_id", Text, nullable=False, comment="media id"),
    Column(
        "placeholder",
        Boolean,
        Computed("details_version = ''", persisted=True),
        comment="known only by mention: a comment or an insight named it, nobody has read it yet",
    ),
    *facet(
        "details",
        Column("username", Text, comment="of whoever posted it"),
        Column("caption", Text, comment="of the post"),
        Column("media_type", Text, comment="the platform's own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM"),
        Column("permalink", Text, comment="its address for people"),
        Column("posted_at", Timestamp, comment="by the platform's clock"),
        Column("comments_count", Integer, comment="when it was last read"),
        Column("like_count", Integer, comment="when it was last read"),
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
    *facet(
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
    projector(),
    *carried("details", "ad", "story"),
    PrimaryKeyConstraint("account_id", "external_id"),
    comment="Instagram media, by the account whose events named them",
    info={"provider": "instagram"},
)

ig_comments = Table(
    "ig_comments",
    metadata,
    account_id(),
    Column("external_id", Text, nullable=False, comment="comment id"),
    *facet(
        "comment",
        Column("media_id", Text, comment="the organic media where the platform names it, else the ad's"),
        Column("parent_id", Text, comment="the comment this one replies to"),
        Column("author_id", Text, comment="the platform's id of whoever wrote it, scoped to the account"),
        Column("author_username", Text, comment="of whoever wrote it"),
        Column("text", Text, comment="of the comment, as last notified"),
        Column("is_own", Boolean, comment="written by the account itself"),
        Column("is_live", Boolean, comment="written during a live broadcast"),
    ),
    *facet(
        "details",
        Column("commented_at", Timestamp, comment="by the platform's clock; NULL until the comment was read"),
        Column("hidden", Boolean, comment="as last read"),
        Column("like_count", Integer, comment="when it was last read"),
    ),
    *facet("deletion", Column("deleted_at", Timestamp, comment="when a look-up found it gone")),
    projector(),
    *carried("comment", "details"),
    *facet("receipt", Column("received_at", Timestamp, comment="when the log first spoke of it; newest first by this")),
    PrimaryKeyConstraint("account_id", "external_id"),
    ForeignKeyConstraint(["account_id", "media_id"], ["ig_media.account_id", "ig_media.external_id"]),
    Index("ix_ig_comments_account_id_media_id", "account_id", "media_id"),
    Index("ix_ig_comments_received_at", "received_at"),
    comment="Instagram comments and replies, by the account whose events named them",
    info={"provider": "instagram"},
)
