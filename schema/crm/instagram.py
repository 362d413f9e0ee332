"""Instagram's accounts, media and comments."""

from sqlalchemy import Boolean, Column, Computed, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, Text, text

from schema.crm.columns import Timestamp, account_id, facet, log_times, metrics, projection_version, row_id
from schema.metadata import metadata

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
    PrimaryKeyConstraint("account_id"),
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
    PrimaryKeyConstraint("account_id", "ig_id"),
    Index("ix_ig_media_id", "id"),
    Index("ix_ig_media_instagram_account_id_timestamp", "instagram_account_id", text("timestamp DESC")),
    comment="Instagram media, by the account whose events named them",
    info={"provider": "instagram"},
)

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
    *facet(
        "author",
        Column("media_ig_id", Text, comment="the organic media where the platform names it, else the ad's"),
        Column("parent_ig_id", Text, comment="the comment that this one replies to"),
        Column("from_user", Text, comment="username of whoever wrote it"),
        Column("from_id", Text, comment="the platform's id of whoever wrote it, scoped to the account"),
        Column("is_own", Boolean, comment="written by the account itself"),
        Column("is_live", Boolean, comment="written during a live broadcast"),
    ),
    row_id("account_id", "media_ig_id", name="ig_media_id", comment="ig_media.id of the media"),
    *facet("moderation", Column("hidden", Boolean, comment="as last read")),
    *facet("presence", Column("deleted_at", Timestamp, comment="when it was found to be gone; NULL while it is there")),
    *metrics("likes, as last read"),
    PrimaryKeyConstraint("account_id", "ig_id"),
    ForeignKeyConstraint(["account_id", "media_ig_id"], ["ig_media.account_id", "ig_media.ig_id"]),
    Index("ix_ig_comments_account_id_media_ig_id", "account_id", "media_ig_id"),
    Index("ix_ig_comments_ig_media_id", "ig_media_id"),
    Index("ix_ig_comments_created_at", "created_at"),
    comment="Instagram comments and replies, by the account whose events named them",
    info={"provider": "instagram"},
)
