"""The CRM tables of Instagram and TikTok, and the list of what must still be read from a platform."""

from migrations.script import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE ig_media (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    placeholder BOOLEAN GENERATED ALWAYS AS (details_version = '') STORED,
    details_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    username TEXT,
    caption TEXT,
    media_type TEXT,
    permalink TEXT,
    posted_at TIMESTAMP WITH TIME ZONE,
    comments_count INTEGER,
    like_count INTEGER,
    product_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    media_product_type TEXT,
    ad_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ad_id TEXT,
    ad_title TEXT,
    story_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    story_impressions INTEGER,
    story_reach INTEGER,
    story_taps_forward INTEGER,
    story_taps_back INTEGER,
    story_exits INTEGER,
    story_replies INTEGER,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_ig_media PRIMARY KEY (account_id, external_id)
);
COMMENT ON COLUMN ig_media.external_id IS 'media id';
COMMENT ON COLUMN ig_media.placeholder IS 'known only by mention: a comment or an insight named it, nobody has read it yet';
COMMENT ON COLUMN ig_media.projector IS 'newest projection version that wrote here';
CREATE TABLE ig_comments (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    comment_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    media_id TEXT,
    parent_id TEXT,
    author_id TEXT,
    author_username TEXT,
    text TEXT,
    is_own BOOLEAN,
    is_live BOOLEAN,
    details_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    commented_at TIMESTAMP WITH TIME ZONE,
    hidden BOOLEAN,
    like_count INTEGER,
    deletion_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_ig_comments PRIMARY KEY (account_id, external_id),
    CONSTRAINT fk_ig_comments_account_id_media_id_ig_media FOREIGN KEY(account_id, media_id) REFERENCES ig_media (account_id, external_id)
);
CREATE INDEX ix_ig_comments_account_id_media_id ON ig_comments (account_id, media_id);
COMMENT ON COLUMN ig_comments.external_id IS 'comment id';
COMMENT ON COLUMN ig_comments.media_id IS 'the organic media where the platform names it, else the ad''s';
COMMENT ON COLUMN ig_comments.parent_id IS 'the comment this one replies to';
COMMENT ON COLUMN ig_comments.is_own IS 'written by the account itself';
COMMENT ON COLUMN ig_comments.is_live IS 'written during a live broadcast';
COMMENT ON COLUMN ig_comments.projector IS 'newest projection version that wrote here';
CREATE TABLE tiktok_accounts (
    account_id TEXT NOT NULL,
    removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    authorization_removed_at TIMESTAMP WITH TIME ZONE,
    removal_reason INTEGER,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_accounts PRIMARY KEY (account_id)
);
COMMENT ON COLUMN tiktok_accounts.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_accounts.authorization_removed_at IS 'compare with when the connection was authorised';
COMMENT ON COLUMN tiktok_accounts.projector IS 'newest projection version that wrote here';
CREATE TABLE tiktok_posts (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    status_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT,
    fail_reason TEXT,
    publish_type TEXT,
    status_at TIMESTAMP WITH TIME ZONE,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_posts PRIMARY KEY (account_id, external_id)
);
COMMENT ON COLUMN tiktok_posts.external_id IS 'publish_id, or share_id for the legacy Video Kit';
COMMENT ON COLUMN tiktok_posts.status IS 'inbox_delivered, failed or complete';
COMMENT ON COLUMN tiktok_posts.publish_type IS 'the platform''s own word; only INBOX_SHARE is documented';
COMMENT ON COLUMN tiktok_posts.projector IS 'newest projection version that wrote here';
CREATE TABLE tiktok_post_ids (
    account_id TEXT NOT NULL,
    publish_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    visibility_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    is_public BOOLEAN,
    visibility_at TIMESTAMP WITH TIME ZONE,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_post_ids PRIMARY KEY (account_id, publish_id, post_id),
    CONSTRAINT fk_tiktok_post_ids_account_id_publish_id_tiktok_posts FOREIGN KEY(account_id, publish_id) REFERENCES tiktok_posts (account_id, external_id)
);
COMMENT ON COLUMN tiktok_post_ids.projector IS 'newest projection version that wrote here';
CREATE TABLE lookups (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    wanted_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    reason TEXT,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_lookups PRIMARY KEY (account_id, provider, kind, object_id)
);
COMMENT ON COLUMN lookups.kind IS 'what to read from the platform, such as ig_comment';
COMMENT ON COLUMN lookups.projector IS 'newest projection version that wrote here';
COMMENT ON TABLE lookups IS 'Objects whose truth an event does not carry, to be read from the platform';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE
    ON ig_media, ig_comments, tiktok_accounts, tiktok_posts, tiktok_post_ids, lookups TO landfall_app;
"""


def upgrade() -> None:
    for script in (TABLES, GRANTS):
        run(script)


def downgrade() -> None:
    run("DROP TABLE lookups, tiktok_post_ids, tiktok_posts, tiktok_accounts, ig_comments, ig_media")
