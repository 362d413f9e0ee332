"""Keep what is read of Instagram's media and comments, that media are gone, and numbers by day."""

from migrations.script import run

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

MEDIA = """
ALTER TABLE ig_media ADD COLUMN details_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN details_carried JSONB, ADD COLUMN shortcode TEXT, ADD COLUMN alt_text TEXT, ADD COLUMN children JSONB, ADD COLUMN is_comment_enabled BOOLEAN, ADD COLUMN is_shared_to_feed BOOLEAN, ADD COLUMN is_ai_generated BOOLEAN, ADD COLUMN is_own BOOLEAN, ADD COLUMN files_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN files_carried JSONB, ADD COLUMN media_url TEXT, ADD COLUMN thumbnail_url TEXT, ADD COLUMN presence_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN deleted_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN ig_media.details_version IS 'of the newest event that speaks of details; '''' for none';
COMMENT ON COLUMN ig_media.details_carried IS 'versions of what is not of details_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.shortcode IS 'the part of its address for people that names it';
COMMENT ON COLUMN ig_media.alt_text IS 'what people hear who do not see it';
COMMENT ON COLUMN ig_media.children IS 'of a carousel: id and media_type of each of its items, in their order';
COMMENT ON COLUMN ig_media.is_comment_enabled IS 'whether it can be commented on';
COMMENT ON COLUMN ig_media.is_shared_to_feed IS 'of a reel: whether it is shown in the feed too';
COMMENT ON COLUMN ig_media.is_ai_generated IS 'whether it is marked as made by artificial intelligence';
COMMENT ON COLUMN ig_media.is_own IS 'false where somebody else posted it, who mentions the account';
COMMENT ON COLUMN ig_media.files_version IS 'of the newest event that speaks of files; '''' for none';
COMMENT ON COLUMN ig_media.files_carried IS 'versions of what is not of files_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.media_url IS 'address of the file; expires, and is read anew while the media is young';
COMMENT ON COLUMN ig_media.thumbnail_url IS 'address of the picture of a video; expires likewise';
COMMENT ON COLUMN ig_media.presence_version IS 'of the newest event that speaks of presence; '''' for none';
COMMENT ON COLUMN ig_media.deleted_at IS 'when it was found to be gone; NULL while it is there';
"""

# Of the columns that the release before writes with the facet ``author``, the versions are made by a rebuild.
COMMENTS = """
ALTER TABLE ig_comments ADD COLUMN place_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN place_carried JSONB;
COMMENT ON COLUMN ig_comments.media_ig_id IS 'the organic media where the platform names it, else the ad''s; NULL if only its parent is known';
COMMENT ON COLUMN ig_comments.place_version IS 'of the newest event that speaks of place; '''' for none';
COMMENT ON COLUMN ig_comments.place_carried IS 'versions of what is not of place_version, or NULL by what an event said';
"""

TABLES = """
CREATE TABLE ig_account_metrics (
    account_id TEXT NOT NULL,
    day TEXT NOT NULL,
    instagram_account_id BIGINT GENERATED ALWAYS AS (hashtextextended(account_id, 0) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    reading_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_ig_account_metrics PRIMARY KEY (bucket, account_id, day)
);
CREATE INDEX ix_ig_account_metrics_instagram_account_id ON ig_account_metrics (instagram_account_id);
COMMENT ON TABLE ig_account_metrics IS 'Numbers of Instagram accounts by day: a day without figures, on which nothing was read, has no row';
COMMENT ON COLUMN ig_account_metrics.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_account_metrics.day IS 'of UTC, such as 2026-01-31: that figures are of, and on which followers, follows and media were read';
COMMENT ON COLUMN ig_account_metrics.instagram_account_id IS 'instagram_accounts.id of the account';
COMMENT ON COLUMN ig_account_metrics.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN ig_account_metrics.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN ig_account_metrics.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN ig_account_metrics.reading_version IS 'of the newest event that speaks of reading; '''' for none';
COMMENT ON COLUMN ig_account_metrics.read_at IS 'when the newest of its numbers were asked for';
COMMENT ON COLUMN ig_account_metrics.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN ig_account_metrics.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN ig_account_metrics.metrics_json IS 'by name: followers, follows and media, as last read on the day, and figures of the day, such as reach, views and follower_count (new ones); parts of one as name.breakdown.PART';
COMMENT ON COLUMN ig_account_metrics.bucket IS 'hash of the account; see schema.events.bucket_of';
CREATE TABLE ig_media_metrics (
    account_id TEXT NOT NULL,
    ig_id TEXT NOT NULL,
    day TEXT NOT NULL,
    ig_media_id BIGINT GENERATED ALWAYS AS (hashtextextended(ig_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    reading_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_ig_media_metrics PRIMARY KEY (bucket, account_id, ig_id, day),
    CONSTRAINT fk_ig_media_metrics_bucket_account_id_ig_id_ig_media FOREIGN KEY(bucket, account_id, ig_id) REFERENCES ig_media (bucket, account_id, ig_id)
);
CREATE INDEX ix_ig_media_metrics_ig_media_id ON ig_media_metrics (ig_media_id);
COMMENT ON TABLE ig_media_metrics IS 'Numbers of Instagram media by day: a day on which nothing changed, or nothing was read, has no row';
COMMENT ON COLUMN ig_media_metrics.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_media_metrics.ig_id IS 'media id, of ig_media';
COMMENT ON COLUMN ig_media_metrics.day IS 'on which they were read, of UTC, such as 2026-01-31';
COMMENT ON COLUMN ig_media_metrics.ig_media_id IS 'ig_media.id of the media';
COMMENT ON COLUMN ig_media_metrics.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN ig_media_metrics.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN ig_media_metrics.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN ig_media_metrics.reading_version IS 'of the newest event that speaks of reading; '''' for none';
COMMENT ON COLUMN ig_media_metrics.read_at IS 'when the newest of its numbers were asked for';
COMMENT ON COLUMN ig_media_metrics.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN ig_media_metrics.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media_metrics.metrics_json IS 'the last numbers of the day, by name: likes, comments, views, reach, shares, saved …; parts of one as name.breakdown.PART; total_… with what ads brought';
COMMENT ON COLUMN ig_media_metrics.bucket IS 'hash of the account; see schema.events.bucket_of';
"""

VIEWS = """
CREATE OR REPLACE VIEW reporting.ig_media AS
SELECT m.id, m.instagram_account_id, m.ig_id,
    CASE WHEN m.media_product_type IN ('REELS', 'STORY') THEN m.media_product_type ELSE m.media_type END
        AS media_type,
    m.caption, m.permalink, m.timestamp, m.metrics_json,
    m.created_at, coalesce(m.updated_at, m.created_at) AS updated_at
FROM public.ig_media m WHERE m.deleted_at IS NULL;
COMMENT ON VIEW reporting.ig_media IS 'Instagram media that are there, by the account whose events named them: none that was found to be gone';
CREATE OR REPLACE VIEW reporting.ig_comments AS
SELECT c.id, coalesce(c.ig_media_id, p.ig_media_id) AS ig_media_id, c.ig_id, c.from_user, c.text,
    coalesce(c.hidden, false) AS hidden, c.timestamp,
    c.created_at, coalesce(c.updated_at, c.created_at) AS updated_at
FROM public.ig_comments c
LEFT JOIN public.ig_comments p
    ON p.bucket = c.bucket AND p.account_id = c.account_id AND p.ig_id = c.parent_ig_id
LEFT JOIN public.ig_media m ON m.bucket = c.bucket AND m.account_id = c.account_id
    AND m.ig_id = coalesce(c.media_ig_id, p.media_ig_id)
WHERE c.deleted_at IS NULL AND p.deleted_at IS NULL AND m.deleted_at IS NULL;
COMMENT ON VIEW reporting.ig_comments IS 'Instagram comments and replies that are there: none that was deleted, or whose media or comment was';
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON ig_account_metrics, ig_media_metrics TO landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ig_account_metrics, ig_media_metrics TO landfall_app;
"""

VIEWS_BACK = """
CREATE OR REPLACE VIEW reporting.ig_media AS
SELECT m.id, m.instagram_account_id, m.ig_id,
    CASE WHEN m.media_product_type IN ('REELS', 'STORY') THEN m.media_product_type ELSE m.media_type END
        AS media_type,
    m.caption, m.permalink, m.timestamp, m.metrics_json,
    m.created_at, coalesce(m.updated_at, m.created_at) AS updated_at
FROM public.ig_media m;
COMMENT ON VIEW reporting.ig_media IS 'Instagram media, by the account whose events named them';
CREATE OR REPLACE VIEW reporting.ig_comments AS
SELECT c.id, c.ig_media_id, c.ig_id, c.from_user, c.text, coalesce(c.hidden, false) AS hidden, c.timestamp,
    c.created_at, coalesce(c.updated_at, c.created_at) AS updated_at
FROM public.ig_comments c WHERE c.deleted_at IS NULL;
COMMENT ON VIEW reporting.ig_comments IS 'Instagram comments and replies that are there: none that was deleted';
"""


def upgrade() -> None:
    for script in (MEDIA, COMMENTS, TABLES, VIEWS, GRANTS):
        run(script)


def downgrade() -> None:
    run(VIEWS_BACK)
    run(
        """
        DROP TABLE ig_media_metrics, ig_account_metrics;
        ALTER TABLE ig_comments DROP COLUMN place_version, DROP COLUMN place_carried;
        COMMENT ON COLUMN ig_comments.media_ig_id IS 'the organic media where the platform names it, else the ad''s';
        ALTER TABLE ig_media DROP COLUMN details_version, DROP COLUMN details_carried, DROP COLUMN shortcode, DROP COLUMN alt_text, DROP COLUMN children, DROP COLUMN is_comment_enabled, DROP COLUMN is_shared_to_feed, DROP COLUMN is_ai_generated, DROP COLUMN is_own, DROP COLUMN files_version, DROP COLUMN files_carried, DROP COLUMN media_url, DROP COLUMN thumbnail_url, DROP COLUMN presence_version, DROP COLUMN deleted_at;
        """
    )
