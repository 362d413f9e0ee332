"""The CRM tables, which the log can rebuild, and what verifications of them found."""

from migrations.script import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE ig_media (
    account_id TEXT NOT NULL,
    ig_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(ig_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    instagram_account_id BIGINT GENERATED ALWAYS AS (hashtextextended(account_id, 0) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    placeholder BOOLEAN GENERATED ALWAYS AS (content_version = '') STORED,
    content_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    content_carried JSONB,
    username TEXT,
    caption TEXT,
    media_type TEXT,
    permalink TEXT,
    timestamp TIMESTAMP WITH TIME ZONE,
    product_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    media_product_type TEXT,
    ad_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ad_carried JSONB,
    ad_id TEXT,
    ad_title TEXT,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    CONSTRAINT pk_ig_media PRIMARY KEY (account_id, ig_id)
);
CREATE INDEX ix_ig_media_id ON ig_media (id);
CREATE INDEX ix_ig_media_instagram_account_id_timestamp ON ig_media (instagram_account_id, timestamp DESC);
COMMENT ON TABLE ig_media IS 'Instagram media, by the account whose events named them';
COMMENT ON COLUMN ig_media.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_media.ig_id IS 'media id';
COMMENT ON COLUMN ig_media.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN ig_media.instagram_account_id IS 'instagram_accounts.id of the account';
COMMENT ON COLUMN ig_media.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN ig_media.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN ig_media.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN ig_media.placeholder IS 'known only by mention: a comment or an insight named it, nobody has read it yet';
COMMENT ON COLUMN ig_media.content_version IS 'of the newest event that speaks of content; '''' for none';
COMMENT ON COLUMN ig_media.content_carried IS 'versions of what is not of content_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.username IS 'of whoever posted it';
COMMENT ON COLUMN ig_media.caption IS 'of the post';
COMMENT ON COLUMN ig_media.media_type IS 'the platform''s own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM';
COMMENT ON COLUMN ig_media.permalink IS 'its address for people';
COMMENT ON COLUMN ig_media.timestamp IS 'when it was posted, by the platform''s clock';
COMMENT ON COLUMN ig_media.product_version IS 'of the newest event that speaks of product; '''' for none';
COMMENT ON COLUMN ig_media.media_product_type IS 'the platform''s own word, such as FEED, REELS, STORY or AD';
COMMENT ON COLUMN ig_media.ad_version IS 'of the newest event that speaks of ad; '''' for none';
COMMENT ON COLUMN ig_media.ad_carried IS 'versions of what is not of ad_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.ad_id IS 'of the ad that shows it, where it is boosted';
COMMENT ON COLUMN ig_media.ad_title IS 'of that ad';
COMMENT ON COLUMN ig_media.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN ig_media.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.metrics_json IS 'likes, comments and insights, as last read; null where the platform has a number and does not show it';
CREATE TABLE instagram_accounts (
    account_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(account_id, 0) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    profile_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    profile_carried JSONB,
    username TEXT,
    name TEXT,
    account_type TEXT,
    biography TEXT,
    website TEXT,
    profile_picture_url TEXT,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    CONSTRAINT pk_instagram_accounts PRIMARY KEY (account_id)
);
CREATE INDEX ix_instagram_accounts_id ON instagram_accounts (id);
COMMENT ON TABLE instagram_accounts IS 'Instagram accounts that events came to';
COMMENT ON COLUMN instagram_accounts.account_id IS 'the id that webhooks name: of the professional account';
COMMENT ON COLUMN instagram_accounts.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN instagram_accounts.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN instagram_accounts.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN instagram_accounts.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN instagram_accounts.profile_version IS 'of the newest event that speaks of profile; '''' for none';
COMMENT ON COLUMN instagram_accounts.profile_carried IS 'versions of what is not of profile_version, or NULL by what an event said';
COMMENT ON COLUMN instagram_accounts.username IS 'as last read';
COMMENT ON COLUMN instagram_accounts.name IS 'as people see it';
COMMENT ON COLUMN instagram_accounts.account_type IS 'the platform''s own word, such as BUSINESS or MEDIA_CREATOR';
COMMENT ON COLUMN instagram_accounts.biography IS 'as last read';
COMMENT ON COLUMN instagram_accounts.website IS 'as last read';
COMMENT ON COLUMN instagram_accounts.profile_picture_url IS 'expires';
COMMENT ON COLUMN instagram_accounts.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN instagram_accounts.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN instagram_accounts.metrics_json IS 'followers, follows, media and insights, as last read';
CREATE TABLE lookups (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    projection_version SMALLINT NOT NULL,
    wanted_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT,
    CONSTRAINT pk_lookups PRIMARY KEY (account_id, provider, kind, object_id)
);
COMMENT ON TABLE lookups IS 'Objects whose truth an event does not carry, to be read from the platform';
COMMENT ON COLUMN lookups.account_id IS 'the account whose events asked for it';
COMMENT ON COLUMN lookups.provider IS 'the platform to read it from';
COMMENT ON COLUMN lookups.kind IS 'what to read from the platform, by the projection''s own word';
COMMENT ON COLUMN lookups.object_id IS 'the platform''s id of what is to be read';
COMMENT ON COLUMN lookups.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN lookups.wanted_version IS 'of the newest event that speaks of wanted; '''' for none';
COMMENT ON COLUMN lookups.reason IS 'why, in words';
CREATE TABLE tiktok_accounts (
    account_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    removal_carried JSONB,
    authorization_removed_at TIMESTAMP WITH TIME ZONE,
    removal_reason INTEGER,
    CONSTRAINT pk_tiktok_accounts PRIMARY KEY (account_id)
);
COMMENT ON TABLE tiktok_accounts IS 'TikTok accounts that ended the grant, with the latest time that they did';
COMMENT ON COLUMN tiktok_accounts.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_accounts.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_accounts.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_accounts.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_accounts.removal_version IS 'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_accounts.removal_carried IS 'versions of what is not of removal_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_accounts.authorization_removed_at IS 'compare with when the connection was authorised';
COMMENT ON COLUMN tiktok_accounts.removal_reason IS 'the platform''s number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer';
CREATE TABLE tiktok_posts (
    account_id TEXT NOT NULL,
    publish_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(publish_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    status_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status_carried JSONB,
    status TEXT,
    error_code TEXT,
    error_message TEXT,
    publish_type TEXT,
    status_at TIMESTAMP WITH TIME ZONE,
    request_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    request_carried JSONB,
    source TEXT,
    title TEXT,
    CONSTRAINT pk_tiktok_posts PRIMARY KEY (account_id, publish_id)
);
CREATE INDEX ix_tiktok_posts_in_flight ON tiktok_posts (status, account_id) WHERE status IN ('PROCESSING_UPLOAD', 'PROCESSING_DOWNLOAD', 'SEND_TO_USER_INBOX');
COMMENT ON TABLE tiktok_posts IS 'What was published to TikTok, one row for each publish';
COMMENT ON COLUMN tiktok_posts.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_posts.publish_id IS 'publish_id, or share_id for the legacy Video Kit';
COMMENT ON COLUMN tiktok_posts.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN tiktok_posts.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_posts.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_posts.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_posts.status_version IS 'of the newest event that speaks of status; '''' for none';
COMMENT ON COLUMN tiktok_posts.status_carried IS 'versions of what is not of status_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_posts.status IS 'PROCESSING_UPLOAD, PROCESSING_DOWNLOAD, SEND_TO_USER_INBOX, PUBLISH_COMPLETE or FAILED';
COMMENT ON COLUMN tiktok_posts.error_code IS 'why it failed, in the platform''s own word; NULL unless it failed';
COMMENT ON COLUMN tiktok_posts.error_message IS 'why it failed, in words; NULL where the platform gives none';
COMMENT ON COLUMN tiktok_posts.publish_type IS 'the platform''s own word; only INBOX_SHARE is documented';
COMMENT ON COLUMN tiktok_posts.status_at IS 'of the newest step, by the platform''s clock';
COMMENT ON COLUMN tiktok_posts.request_version IS 'of the newest event that speaks of request; '''' for none';
COMMENT ON COLUMN tiktok_posts.request_carried IS 'versions of what is not of request_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_posts.source IS 'FILE_UPLOAD or PULL_FROM_URL; NULL where another program published it';
COMMENT ON COLUMN tiktok_posts.title IS 'as sent to the platform; NULL where another program published it';
CREATE TABLE tiktok_undated_removals (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    removal_reason INTEGER,
    CONSTRAINT pk_tiktok_undated_removals PRIMARY KEY (account_id, external_id)
);
COMMENT ON TABLE tiktok_undated_removals IS 'Removals of an authorization that name no time';
COMMENT ON COLUMN tiktok_undated_removals.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_undated_removals.external_id IS 'of the event';
COMMENT ON COLUMN tiktok_undated_removals.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_undated_removals.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_undated_removals.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_undated_removals.removal_version IS 'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_undated_removals.removal_reason IS 'the platform''s number, as in tiktok_accounts';
CREATE TABLE ig_comments (
    account_id TEXT NOT NULL,
    ig_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(ig_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    content_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    content_carried JSONB,
    text TEXT,
    timestamp TIMESTAMP WITH TIME ZONE,
    author_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    author_carried JSONB,
    media_ig_id TEXT,
    parent_ig_id TEXT,
    from_user TEXT,
    from_id TEXT,
    is_own BOOLEAN,
    is_live BOOLEAN,
    ig_media_id BIGINT GENERATED ALWAYS AS (hashtextextended(media_ig_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    moderation_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    hidden BOOLEAN,
    presence_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    CONSTRAINT pk_ig_comments PRIMARY KEY (account_id, ig_id),
    CONSTRAINT fk_ig_comments_account_id_media_ig_id_ig_media FOREIGN KEY(account_id, media_ig_id) REFERENCES ig_media (account_id, ig_id)
);
CREATE INDEX ix_ig_comments_account_id_media_ig_id ON ig_comments (account_id, media_ig_id);
CREATE INDEX ix_ig_comments_created_at ON ig_comments (created_at);
CREATE INDEX ix_ig_comments_ig_media_id ON ig_comments (ig_media_id);
COMMENT ON TABLE ig_comments IS 'Instagram comments and replies, by the account whose events named them';
COMMENT ON COLUMN ig_comments.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_comments.ig_id IS 'comment id';
COMMENT ON COLUMN ig_comments.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN ig_comments.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN ig_comments.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN ig_comments.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN ig_comments.content_version IS 'of the newest event that speaks of content; '''' for none';
COMMENT ON COLUMN ig_comments.content_carried IS 'versions of what is not of content_version, or NULL by what an event said';
COMMENT ON COLUMN ig_comments.text IS 'of the comment';
COMMENT ON COLUMN ig_comments.timestamp IS 'by the platform''s clock; NULL until the comment was read';
COMMENT ON COLUMN ig_comments.author_version IS 'of the newest event that speaks of author; '''' for none';
COMMENT ON COLUMN ig_comments.author_carried IS 'versions of what is not of author_version, or NULL by what an event said';
COMMENT ON COLUMN ig_comments.media_ig_id IS 'the organic media where the platform names it, else the ad''s';
COMMENT ON COLUMN ig_comments.parent_ig_id IS 'the comment that this one replies to';
COMMENT ON COLUMN ig_comments.from_user IS 'username of whoever wrote it';
COMMENT ON COLUMN ig_comments.from_id IS 'the platform''s id of whoever wrote it, scoped to the account';
COMMENT ON COLUMN ig_comments.is_own IS 'written by the account itself';
COMMENT ON COLUMN ig_comments.is_live IS 'written during a live broadcast';
COMMENT ON COLUMN ig_comments.ig_media_id IS 'ig_media.id of the media';
COMMENT ON COLUMN ig_comments.moderation_version IS 'of the newest event that speaks of moderation; '''' for none';
COMMENT ON COLUMN ig_comments.hidden IS 'as last read';
COMMENT ON COLUMN ig_comments.presence_version IS 'of the newest event that speaks of presence; '''' for none';
COMMENT ON COLUMN ig_comments.deleted_at IS 'when it was found to be gone; NULL while it is there';
COMMENT ON COLUMN ig_comments.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN ig_comments.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN ig_comments.metrics_json IS 'likes, as last read';
CREATE TABLE tiktok_post_ids (
    account_id TEXT NOT NULL,
    publish_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    visibility_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    visibility_carried JSONB,
    is_public BOOLEAN,
    visibility_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_tiktok_post_ids PRIMARY KEY (account_id, publish_id, post_id),
    CONSTRAINT fk_tiktok_post_ids_account_id_publish_id_tiktok_posts FOREIGN KEY(account_id, publish_id) REFERENCES tiktok_posts (account_id, publish_id)
);
COMMENT ON TABLE tiktok_post_ids IS 'Public posts that came of a publish: none, one or several';
COMMENT ON COLUMN tiktok_post_ids.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_post_ids.publish_id IS 'of tiktok_posts';
COMMENT ON COLUMN tiktok_post_ids.post_id IS 'the platform''s id of the public post';
COMMENT ON COLUMN tiktok_post_ids.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_post_ids.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_post_ids.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_post_ids.visibility_version IS 'of the newest event that speaks of visibility; '''' for none';
COMMENT ON COLUMN tiktok_post_ids.visibility_carried IS 'versions of what is not of visibility_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_post_ids.is_public IS 'whether everybody can see it, as last told';
COMMENT ON COLUMN tiktok_post_ids.visibility_at IS 'when that changed, by the platform''s clock';
CREATE TABLE crm_verifications (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    verified_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    compared_rows BIGINT NOT NULL,
    drifted_rows BIGINT NOT NULL,
    colliding_ids BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_crm_verifications PRIMARY KEY (id)
);
COMMENT ON TABLE crm_verifications IS 'What each `landfall verify` found; the newest is what the gauges show';
COMMENT ON COLUMN crm_verifications.id IS 'in the order of verifications';
COMMENT ON COLUMN crm_verifications.verified_at IS 'when it ended';
COMMENT ON COLUMN crm_verifications.compared_rows IS 'rows of the tables that were compared';
COMMENT ON COLUMN crm_verifications.drifted_rows IS 'rows that were not what the log says';
COMMENT ON COLUMN crm_verifications.colliding_ids IS 'numbers that two rows of a table share as their id';
"""

GRANTS = """
GRANT SELECT ON crm_verifications TO landfall_worker;
GRANT SELECT, INSERT, UPDATE ON ig_media, instagram_accounts, lookups, tiktok_accounts, tiktok_posts,
    tiktok_undated_removals, ig_comments, tiktok_post_ids TO landfall_worker;
GRANT SELECT, INSERT ON crm_verifications TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ig_media, instagram_accounts, lookups, tiktok_accounts, tiktok_posts,
    tiktok_undated_removals, ig_comments, tiktok_post_ids TO landfall_app;
"""


def upgrade() -> None:
    run(TABLES)
    run(GRANTS)


def downgrade() -> None:
    run(
        "DROP TABLE crm_verifications, tiktok_post_ids, ig_comments, tiktok_undated_removals, tiktok_posts, tiktok_accounts, "
        "lookups, instagram_accounts, ig_media"
    )
