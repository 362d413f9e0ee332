"""The names of the user's design in the CRM tables, and schema ``reporting`` with views of exactly that shape.

The CRM tables are made anew, empty: they are a function of the log, and `landfall rebuild` fills them. The previous
release does not know the new names, so it is stopped first.
"""

from migrations.script import run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

DROP_NEW = "DROP TABLE ig_media, ig_comments, instagram_accounts, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals;"
DROP_OLD = "DROP TABLE ig_media, ig_comments, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals;"

NEW = """
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
COMMENT ON COLUMN lookups.kind IS 'what to read from the platform, such as ig_comment';
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

"""

NEW_GRANTS = """
GRANT SELECT, INSERT, UPDATE ON ig_media, ig_comments, instagram_accounts, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals TO landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ig_media, ig_comments, instagram_accounts, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals TO landfall_app;
"""

LOG = """
ALTER TABLE webhook_event_log ADD COLUMN source TEXT DEFAULT 'webhook' NOT NULL,
    ADD CONSTRAINT ck_webhook_event_log_source CHECK (source IN ('webhook', 'poll', 'own'));
UPDATE webhook_event_log SET source = 'own' WHERE delivery_id IS NULL;
CREATE INDEX ix_webhook_event_log_created_at ON webhook_event_log USING brin (created_at);
COMMENT ON COLUMN webhook_event_log.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
GRANT INSERT (source) ON webhook_event_log TO landfall_app;
ALTER TABLE webhook_event_outcomes RENAME COLUMN projector TO projection_version;
ALTER VIEW webhook_events RENAME COLUMN projector TO projection_version;
CREATE OR REPLACE VIEW webhook_events AS
SELECT
    e.id, e.provider, e.event_type, e.external_id, e.account_id, e.payload_json,
    CASE
        WHEN o.state IS NOT NULL THEN o.state
        WHEN b.leased_until > now() AND q.due_at <= now() THEN 'leased'
        ELSE 'pending'
    END AS state,
    CASE WHEN o.state IN ('done', 'ignored') THEN o.settled_at END AS processed_at,
    coalesce(o.error_message, q.error_message) AS error_message,
    coalesce(o.retry_count, q.retry_count, 0) AS retry_count,
    q.due_at, o.settled_at, o.projection_version,
    e.occurred_at, e.created_at, e.delivery_id, e.rule_version, e.defect, e.sanitized, e.source
FROM webhook_event_log e
LEFT JOIN webhook_event_outcomes o ON o.account_id = e.account_id AND o.event_id = e.id
-- crc32 of the account gives the bucket, but PostgreSQL need not know how: all 64 are probed.
LEFT JOIN webhook_event_queue q ON q.account_id = e.account_id AND q.event_id = e.id
LEFT JOIN webhook_buckets b ON b.bucket = q.bucket;
COMMENT ON COLUMN webhook_events.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
ALTER TABLE crm_verifications ADD COLUMN colliding_ids BIGINT DEFAULT 0 NOT NULL;
COMMENT ON COLUMN crm_verifications.colliding_ids IS 'numbers that two rows of a table share as their id';
ALTER TABLE connections ADD COLUMN reporting_id BIGINT
    GENERATED ALWAYS AS (uuid_hash_extended(id, 0) & 9223372036854775807) STORED;
COMMENT ON COLUMN connections.reporting_id IS 'oauth_accounts.id in schema reporting';
"""

# With the rights of its owner, as the functions of 0017: the reader has no tenant, and sees no secret.
REPORTING = """
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM landfall_reader;
CREATE FUNCTION find_reported_connections() RETURNS TABLE (id bigint, tenant_id uuid, platform text, instance text,
    account_id text, username text, scopes text[], profile jsonb, state text, reason text, via text,
    authorized_at timestamptz, expires_at timestamptz, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT c.reporting_id, c.tenant_id, c.platform, c.instance, c.account_id, c.username, c.scopes,
        c.profile, c.state, c.reason, c.via, c.authorized_at, c.access_expires_at, c.created_at,
        greatest(c.created_at, c.authorized_at, c.checked_at, c.disconnected_at)
        FROM public.connections c;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;
REVOKE ALL ON FUNCTION find_reported_connections FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_reported_connections TO landfall_reader;

CREATE SCHEMA reporting;
COMMENT ON SCHEMA reporting IS 'The tables of the user''s design, as views, for whoever reads by SQL';
CREATE VIEW reporting.oauth_accounts AS
SELECT c.id, c.tenant_id AS user_id, c.platform AS provider,
    c.account_id || CASE WHEN c.instance = '' THEN '' ELSE '@' || c.instance END AS open_id,
    array_to_string(c.scopes, ' ') AS scope,
    NULL::text AS access_token_encrypted, NULL::text AS refresh_token_encrypted,
    c.expires_at,
    c.profile || jsonb_strip_nulls(jsonb_build_object('username', c.username, 'status', c.state, 'reason', c.reason,
        'instance', nullif(c.instance, ''), 'via', c.via)) AS metadata,
    c.created_at, c.updated_at
FROM public.find_reported_connections() c;
COMMENT ON VIEW reporting.oauth_accounts IS 'Accounts that are, or were, connected';
COMMENT ON COLUMN reporting.oauth_accounts.id IS 'for joins';
COMMENT ON COLUMN reporting.oauth_accounts.user_id IS 'the tenant''s id';
COMMENT ON COLUMN reporting.oauth_accounts.provider IS 'the platform, such as instagram';
COMMENT ON COLUMN reporting.oauth_accounts.open_id IS 'the platform''s id of the account; with @ and the host, on platforms with many instances';
COMMENT ON COLUMN reporting.oauth_accounts.scope IS 'what was granted, separated by blanks';
COMMENT ON COLUMN reporting.oauth_accounts.access_token_encrypted IS 'always NULL: tokens are shown nowhere';
COMMENT ON COLUMN reporting.oauth_accounts.refresh_token_encrypted IS 'always NULL: tokens are shown nowhere';
COMMENT ON COLUMN reporting.oauth_accounts.expires_at IS 'when the access token ends; NULL for one without an end';
COMMENT ON COLUMN reporting.oauth_accounts.metadata IS 'username, status, reason, what else the platform says of the account';
COMMENT ON COLUMN reporting.oauth_accounts.created_at IS 'when it was connected for the first time';
COMMENT ON COLUMN reporting.oauth_accounts.updated_at IS 'when it was last connected, checked or disconnected';
CREATE VIEW reporting.instagram_accounts AS
SELECT coalesce(a.id, hashtextextended(c.account_id, 0) & 9223372036854775807) AS id, c.tenant_id AS user_id, c.id AS oauth_account_id,
    coalesce(a.account_id, c.account_id) AS ig_business_id,
    c.profile ->> 'page' AS page_id,
    coalesce(a.username, nullif(c.username, '')) AS username,
    CASE WHEN c.scopes IS NULL THEN NULL
        WHEN array_to_string(c.scopes, ' ') LIKE '%manage_insights%' THEN 'MANAGE_INSIGHTS'
        WHEN array_to_string(c.scopes, ' ') LIKE '%content_publish%' THEN 'CONTENT_PUBLISH'
        ELSE 'BASIC' END AS access_level,
    coalesce(c.profile, '{}') || jsonb_strip_nulls(jsonb_build_object('name', a.name, 'account_type',
        a.account_type, 'biography', a.biography, 'website', a.website, 'profile_picture_url',
        a.profile_picture_url, 'metrics', a.metrics_json)) AS metadata,
    coalesce(a.created_at, c.created_at) AS created_at,
    coalesce(a.updated_at, a.created_at, c.updated_at) AS updated_at
FROM public.instagram_accounts a
FULL JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = a.account_id;
COMMENT ON VIEW reporting.instagram_accounts IS 'Instagram accounts that are connected or that events came to';
COMMENT ON COLUMN reporting.instagram_accounts.id IS 'for joins';
COMMENT ON COLUMN reporting.instagram_accounts.user_id IS 'the tenant''s id; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.instagram_accounts.oauth_account_id IS 'oauth_accounts.id; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.instagram_accounts.ig_business_id IS 'the platform''s id of the professional account';
COMMENT ON COLUMN reporting.instagram_accounts.page_id IS 'of the Facebook page behind which it stands; NULL with Instagram Login';
COMMENT ON COLUMN reporting.instagram_accounts.username IS 'as last read';
COMMENT ON COLUMN reporting.instagram_accounts.access_level IS 'the most that the scopes allow: BASIC, CONTENT_PUBLISH or MANAGE_INSIGHTS; NULL if unknown';
COMMENT ON COLUMN reporting.instagram_accounts.metadata IS 'what else is known of the account, its metrics among it';
COMMENT ON COLUMN reporting.instagram_accounts.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.instagram_accounts.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.ig_media AS
SELECT m.id, m.instagram_account_id, m.ig_id,
    CASE WHEN m.media_product_type IN ('REELS', 'STORY') THEN m.media_product_type ELSE m.media_type END
        AS media_type,
    m.caption, m.permalink, m.timestamp, m.metrics_json,
    m.created_at, coalesce(m.updated_at, m.created_at) AS updated_at
FROM public.ig_media m;
COMMENT ON VIEW reporting.ig_media IS 'Instagram media, by the account whose events named them';
COMMENT ON COLUMN reporting.ig_media.id IS 'for joins';
COMMENT ON COLUMN reporting.ig_media.instagram_account_id IS 'instagram_accounts.id';
COMMENT ON COLUMN reporting.ig_media.ig_id IS 'the platform''s id; two accounts may see one media';
COMMENT ON COLUMN reporting.ig_media.media_type IS 'IMAGE, VIDEO, CAROUSEL_ALBUM, REELS or STORY; NULL until it was read';
COMMENT ON COLUMN reporting.ig_media.caption IS 'of the post; NULL until it was read';
COMMENT ON COLUMN reporting.ig_media.permalink IS 'its address for people; NULL until it was read';
COMMENT ON COLUMN reporting.ig_media.timestamp IS 'when it was posted, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.ig_media.metrics_json IS 'numbers by name, such as likes, comments and shares, as last read';
COMMENT ON COLUMN reporting.ig_media.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.ig_media.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.ig_comments AS
SELECT c.id, c.ig_media_id, c.ig_id, c.from_user, c.text, coalesce(c.hidden, false) AS hidden, c.timestamp,
    c.created_at, coalesce(c.updated_at, c.created_at) AS updated_at
FROM public.ig_comments c WHERE c.deleted_at IS NULL;
COMMENT ON VIEW reporting.ig_comments IS 'Instagram comments and replies that are there: none that was deleted';
COMMENT ON COLUMN reporting.ig_comments.id IS 'for joins';
COMMENT ON COLUMN reporting.ig_comments.ig_media_id IS 'ig_media.id; NULL where no event named the media';
COMMENT ON COLUMN reporting.ig_comments.ig_id IS 'the platform''s id';
COMMENT ON COLUMN reporting.ig_comments.from_user IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting.ig_comments.text IS 'of the comment';
COMMENT ON COLUMN reporting.ig_comments.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting.ig_comments.timestamp IS 'by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.ig_comments.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.ig_comments.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.tiktok_posts AS
SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
    p.error_code, p.error_message,
    jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type, 'status_at',
        p.status_at, 'post_ids', (SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
            WHERE i.account_id = p.account_id AND i.publish_id = p.publish_id AND i.is_public))) AS metadata,
    p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
FROM public.tiktok_posts p
LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = p.account_id;
COMMENT ON VIEW reporting.tiktok_posts IS 'What was published to TikTok, one row for each publish';
COMMENT ON COLUMN reporting.tiktok_posts.id IS 'for joins';
COMMENT ON COLUMN reporting.tiktok_posts.user_id IS 'the tenant''s id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.tiktok_posts.oauth_account_id IS 'oauth_accounts.id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.tiktok_posts.publish_id IS 'the platform''s id of the publish';
COMMENT ON COLUMN reporting.tiktok_posts.status IS 'PROCESSING_UPLOAD, PROCESSING_DOWNLOAD, SEND_TO_USER_INBOX, PUBLISH_COMPLETE or FAILED';
COMMENT ON COLUMN reporting.tiktok_posts.source IS 'FILE_UPLOAD or PULL_FROM_URL; NULL where another program published it';
COMMENT ON COLUMN reporting.tiktok_posts.title IS 'as sent to the platform; NULL where another program published it';
COMMENT ON COLUMN reporting.tiktok_posts.error_code IS 'why it failed, in the platform''s own word';
COMMENT ON COLUMN reporting.tiktok_posts.error_message IS 'why it failed, in words';
COMMENT ON COLUMN reporting.tiktok_posts.metadata IS 'open_id of the account, publish_type, status_at, and the ids of its public posts';
COMMENT ON COLUMN reporting.tiktok_posts.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.tiktok_posts.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.webhook_events AS
SELECT e.id, e.provider, e.event_type, e.external_id, e.payload_json, e.processed_at, e.error_message,
    e.retry_count, e.created_at, e.source
FROM public.webhook_events e;
COMMENT ON VIEW reporting.webhook_events IS 'Events, and how far the work on each has come';
COMMENT ON COLUMN reporting.webhook_events.id IS 'in the order of the log';
COMMENT ON COLUMN reporting.webhook_events.provider IS 'the platform that it is of';
COMMENT ON COLUMN reporting.webhook_events.event_type IS 'the platform''s own word';
COMMENT ON COLUMN reporting.webhook_events.external_id IS 'the same for every delivery of one event';
COMMENT ON COLUMN reporting.webhook_events.payload_json IS 'NULL where the body could not be read';
COMMENT ON COLUMN reporting.webhook_events.processed_at IS 'when its rows were written, or it was ignored; NULL until then';
COMMENT ON COLUMN reporting.webhook_events.error_message IS 'of the last failure, or why somebody ignored it';
COMMENT ON COLUMN reporting.webhook_events.retry_count IS 'failures so far';
COMMENT ON COLUMN reporting.webhook_events.created_at IS 'when it was received';
COMMENT ON COLUMN reporting.webhook_events.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
GRANT USAGE ON SCHEMA reporting TO landfall_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO landfall_reader;
"""

OLD = """
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
    details_carried JSONB,
    ad_carried JSONB,
    story_carried JSONB,
    CONSTRAINT pk_ig_media PRIMARY KEY (account_id, external_id)
);
COMMENT ON TABLE ig_media IS 'Instagram media, by the account whose events named them';
COMMENT ON COLUMN ig_media.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_media.external_id IS 'media id';
COMMENT ON COLUMN ig_media.placeholder IS 'known only by mention: a comment or an insight named it, nobody has read it yet';
COMMENT ON COLUMN ig_media.details_version IS 'of the newest event that speaks of details; '''' for none';
COMMENT ON COLUMN ig_media.username IS 'of whoever posted it';
COMMENT ON COLUMN ig_media.caption IS 'of the post';
COMMENT ON COLUMN ig_media.media_type IS 'the platform''s own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM';
COMMENT ON COLUMN ig_media.permalink IS 'its address for people';
COMMENT ON COLUMN ig_media.posted_at IS 'by the platform''s clock';
COMMENT ON COLUMN ig_media.comments_count IS 'when it was last read';
COMMENT ON COLUMN ig_media.like_count IS 'when it was last read';
COMMENT ON COLUMN ig_media.product_version IS 'of the newest event that speaks of product; '''' for none';
COMMENT ON COLUMN ig_media.media_product_type IS 'the platform''s own word, such as FEED, REELS, STORY or AD';
COMMENT ON COLUMN ig_media.ad_version IS 'of the newest event that speaks of ad; '''' for none';
COMMENT ON COLUMN ig_media.ad_id IS 'of the ad that shows it, where it is boosted';
COMMENT ON COLUMN ig_media.ad_title IS 'of that ad';
COMMENT ON COLUMN ig_media.story_version IS 'of the newest event that speaks of story; '''' for none';
COMMENT ON COLUMN ig_media.story_impressions IS 'final count of a story; NULL where the platform does not show it';
COMMENT ON COLUMN ig_media.story_reach IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_taps_forward IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_taps_back IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_exits IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_replies IS 'as story_impressions';
COMMENT ON COLUMN ig_media.projector IS 'newest projection version that wrote here';
COMMENT ON COLUMN ig_media.details_carried IS 'versions of columns that are not of details_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.ad_carried IS 'versions of columns that are not of ad_version, or NULL by what an event said';
COMMENT ON COLUMN ig_media.story_carried IS 'versions of columns that are not of story_version, or NULL by what an event said';
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
COMMENT ON TABLE lookups IS 'Objects whose truth an event does not carry, to be read from the platform';
COMMENT ON COLUMN lookups.account_id IS 'the account whose events asked for it';
COMMENT ON COLUMN lookups.provider IS 'the platform to read it from';
COMMENT ON COLUMN lookups.kind IS 'what to read from the platform, such as ig_comment';
COMMENT ON COLUMN lookups.object_id IS 'the platform''s id of what is to be read';
COMMENT ON COLUMN lookups.wanted_version IS 'of the newest event that speaks of wanted; '''' for none';
COMMENT ON COLUMN lookups.reason IS 'why, in words';
COMMENT ON COLUMN lookups.projector IS 'newest projection version that wrote here';
CREATE TABLE tiktok_accounts (
    account_id TEXT NOT NULL,
    removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    authorization_removed_at TIMESTAMP WITH TIME ZONE,
    removal_reason INTEGER,
    projector SMALLINT NOT NULL,
    removal_carried JSONB,
    CONSTRAINT pk_tiktok_accounts PRIMARY KEY (account_id)
);
COMMENT ON TABLE tiktok_accounts IS 'TikTok accounts that ended the grant, with the latest time that they did';
COMMENT ON COLUMN tiktok_accounts.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_accounts.removal_version IS 'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_accounts.authorization_removed_at IS 'compare with when the connection was authorised';
COMMENT ON COLUMN tiktok_accounts.removal_reason IS 'the platform''s number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer';
COMMENT ON COLUMN tiktok_accounts.projector IS 'newest projection version that wrote here';
COMMENT ON COLUMN tiktok_accounts.removal_carried IS 'versions of columns that are not of removal_version, or NULL by what an event said';
CREATE TABLE tiktok_posts (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    status_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT,
    fail_reason TEXT,
    publish_type TEXT,
    status_at TIMESTAMP WITH TIME ZONE,
    projector SMALLINT NOT NULL,
    status_carried JSONB,
    CONSTRAINT pk_tiktok_posts PRIMARY KEY (account_id, external_id)
);
COMMENT ON TABLE tiktok_posts IS 'What was published to TikTok, one row for each publish';
COMMENT ON COLUMN tiktok_posts.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_posts.external_id IS 'publish_id, or share_id for the legacy Video Kit';
COMMENT ON COLUMN tiktok_posts.status_version IS 'of the newest event that speaks of status; '''' for none';
COMMENT ON COLUMN tiktok_posts.status IS 'inbox_delivered, failed or complete';
COMMENT ON COLUMN tiktok_posts.fail_reason IS 'the platform''s own word; NULL unless it failed';
COMMENT ON COLUMN tiktok_posts.publish_type IS 'the platform''s own word; only INBOX_SHARE is documented';
COMMENT ON COLUMN tiktok_posts.status_at IS 'of the newest step, by the platform''s clock';
COMMENT ON COLUMN tiktok_posts.projector IS 'newest projection version that wrote here';
COMMENT ON COLUMN tiktok_posts.status_carried IS 'versions of columns that are not of status_version, or NULL by what an event said';
CREATE TABLE tiktok_undated_removals (
    account_id TEXT NOT NULL,
    external_id TEXT NOT NULL,
    removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    removal_reason INTEGER,
    projector SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_undated_removals PRIMARY KEY (account_id, external_id)
);
COMMENT ON TABLE tiktok_undated_removals IS 'Removals of an authorization that name no time';
COMMENT ON COLUMN tiktok_undated_removals.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_undated_removals.external_id IS 'of the event; when it was received stands in the log';
COMMENT ON COLUMN tiktok_undated_removals.removal_version IS 'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_undated_removals.removal_reason IS 'the platform''s number, as in tiktok_accounts';
COMMENT ON COLUMN tiktok_undated_removals.projector IS 'newest projection version that wrote here';
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
    comment_carried JSONB,
    details_carried JSONB,
    receipt_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_ig_comments PRIMARY KEY (account_id, external_id),
    CONSTRAINT fk_ig_comments_account_id_media_id_ig_media FOREIGN KEY(account_id, media_id) REFERENCES ig_media (account_id, external_id)
);
CREATE INDEX ix_ig_comments_account_id_media_id ON ig_comments (account_id, media_id);
CREATE INDEX ix_ig_comments_received_at ON ig_comments (received_at);
COMMENT ON TABLE ig_comments IS 'Instagram comments and replies, by the account whose events named them';
COMMENT ON COLUMN ig_comments.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_comments.external_id IS 'comment id';
COMMENT ON COLUMN ig_comments.comment_version IS 'of the newest event that speaks of comment; '''' for none';
COMMENT ON COLUMN ig_comments.media_id IS 'the organic media where the platform names it, else the ad''s';
COMMENT ON COLUMN ig_comments.parent_id IS 'the comment this one replies to';
COMMENT ON COLUMN ig_comments.author_id IS 'the platform''s id of whoever wrote it, scoped to the account';
COMMENT ON COLUMN ig_comments.author_username IS 'of whoever wrote it';
COMMENT ON COLUMN ig_comments.text IS 'of the comment, as last notified';
COMMENT ON COLUMN ig_comments.is_own IS 'written by the account itself';
COMMENT ON COLUMN ig_comments.is_live IS 'written during a live broadcast';
COMMENT ON COLUMN ig_comments.details_version IS 'of the newest event that speaks of details; '''' for none';
COMMENT ON COLUMN ig_comments.commented_at IS 'by the platform''s clock; NULL until the comment was read';
COMMENT ON COLUMN ig_comments.hidden IS 'as last read';
COMMENT ON COLUMN ig_comments.like_count IS 'when it was last read';
COMMENT ON COLUMN ig_comments.deletion_version IS 'of the newest event that speaks of deletion; '''' for none';
COMMENT ON COLUMN ig_comments.deleted_at IS 'when a look-up found it gone';
COMMENT ON COLUMN ig_comments.projector IS 'newest projection version that wrote here';
COMMENT ON COLUMN ig_comments.comment_carried IS 'versions of columns that are not of comment_version, or NULL by what an event said';
COMMENT ON COLUMN ig_comments.details_carried IS 'versions of columns that are not of details_version, or NULL by what an event said';
COMMENT ON COLUMN ig_comments.receipt_version IS 'of the newest event that speaks of receipt; '''' for none';
COMMENT ON COLUMN ig_comments.received_at IS 'when the log first spoke of it; newest first by this';
CREATE TABLE tiktok_post_ids (
    account_id TEXT NOT NULL,
    publish_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    visibility_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    is_public BOOLEAN,
    visibility_at TIMESTAMP WITH TIME ZONE,
    projector SMALLINT NOT NULL,
    visibility_carried JSONB,
    CONSTRAINT pk_tiktok_post_ids PRIMARY KEY (account_id, publish_id, post_id),
    CONSTRAINT fk_tiktok_post_ids_account_id_publish_id_tiktok_posts FOREIGN KEY(account_id, publish_id) REFERENCES tiktok_posts (account_id, external_id)
);
COMMENT ON TABLE tiktok_post_ids IS 'Public posts that came of a publish: none, one or several';
COMMENT ON COLUMN tiktok_post_ids.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_post_ids.publish_id IS 'of tiktok_posts';
COMMENT ON COLUMN tiktok_post_ids.post_id IS 'the platform''s id of the public post';
COMMENT ON COLUMN tiktok_post_ids.visibility_version IS 'of the newest event that speaks of visibility; '''' for none';
COMMENT ON COLUMN tiktok_post_ids.is_public IS 'whether everybody can see it, as last told';
COMMENT ON COLUMN tiktok_post_ids.visibility_at IS 'when that changed, by the platform''s clock';
COMMENT ON COLUMN tiktok_post_ids.projector IS 'newest projection version that wrote here';
COMMENT ON COLUMN tiktok_post_ids.visibility_carried IS 'versions of columns that are not of visibility_version, or NULL by what an event said';

"""

OLD_GRANTS = """
GRANT SELECT, INSERT, UPDATE ON ig_media, ig_comments, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals TO landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ig_media, ig_comments, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals TO landfall_app;
GRANT SELECT ON ig_media, ig_comments, lookups, tiktok_accounts, tiktok_posts, tiktok_post_ids, tiktok_undated_removals, crm_verifications, webhook_events TO landfall_reader;
"""

OLD_LOG = """
DROP VIEW webhook_events;
DROP INDEX ix_webhook_event_log_created_at;
ALTER TABLE webhook_event_log DROP COLUMN source;
ALTER TABLE webhook_event_outcomes RENAME COLUMN projection_version TO projector;
ALTER TABLE crm_verifications DROP COLUMN colliding_ids;
ALTER TABLE connections DROP COLUMN reporting_id;
CREATE VIEW webhook_events AS
SELECT
    e.id, e.provider, e.event_type, e.external_id, e.account_id, e.payload_json,
    CASE
        WHEN o.state IS NOT NULL THEN o.state
        WHEN b.leased_until > now() AND q.due_at <= now() THEN 'leased'
        ELSE 'pending'
    END AS state,
    CASE WHEN o.state IN ('done', 'ignored') THEN o.settled_at END AS processed_at,
    coalesce(o.error_message, q.error_message) AS error_message,
    coalesce(o.retry_count, q.retry_count, 0) AS retry_count,
    q.due_at, o.settled_at, o.projector,
    e.occurred_at, e.created_at, e.delivery_id, e.rule_version, e.defect, e.sanitized
FROM webhook_event_log e
LEFT JOIN webhook_event_outcomes o ON o.account_id = e.account_id AND o.event_id = e.id
LEFT JOIN webhook_event_queue q ON q.account_id = e.account_id AND q.event_id = e.id
LEFT JOIN webhook_buckets b ON b.bucket = q.bucket;
GRANT SELECT ON webhook_events TO landfall_app;
"""


def upgrade() -> None:
    for script in (DROP_OLD, NEW, NEW_GRANTS, LOG, REPORTING):
        run(script)


def downgrade() -> None:
    drop = "DROP SCHEMA reporting CASCADE; DROP FUNCTION find_reported_connections;"
    for script in (drop, DROP_NEW, OLD_LOG, OLD, OLD_GRANTS):
        run(script)
