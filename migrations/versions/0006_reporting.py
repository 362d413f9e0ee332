"""Schema reporting: the tables of the user's design, as views, for whoever reads by SQL."""

from migrations.script import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# With the rights of its owner, as the functions of 0004: the reader has no tenant, and sees no secret.
REPORTING = """
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
COMMENT ON COLUMN reporting.oauth_accounts.provider IS 'the platform';
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


def upgrade() -> None:
    run(REPORTING)


def downgrade() -> None:
    run("DROP SCHEMA reporting CASCADE; DROP FUNCTION find_reported_connections")
