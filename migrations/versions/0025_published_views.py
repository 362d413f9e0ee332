"""Publish views with everything of all platforms, for everybody and for one tenant, and let logins read one tenant's.

Three indexes of comments serve them: by account and time, by time, and own replies of a thread.
"""

from migrations.script import run

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# As in 0001.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_tenant_reader') THEN
        BEGIN
            CREATE ROLE landfall_tenant_reader NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
END $$;
"""

TABLES = """
CREATE TABLE reader_tenants (
    tenant_id UUID NOT NULL,
    login TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_reader_tenants PRIMARY KEY (tenant_id, login),
    CONSTRAINT fk_reader_tenants_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE reader_tenants IS 'Logins that read by SQL, with the tenant whose rows each sees';
COMMENT ON COLUMN reader_tenants.tenant_id IS 'whose it is';
COMMENT ON COLUMN reader_tenants.login IS 'of the database, a member of landfall_tenant_reader';
COMMENT ON COLUMN reader_tenants.created_at IS 'when it was made';
ALTER TABLE reader_tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE reader_tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reader_tenants USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON reader_tenants TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
CREATE INDEX ix_ig_comments_account_id_commented_at ON ig_comments (account_id, coalesce("timestamp", created_at));
CREATE INDEX ix_ig_comments_commented_at ON ig_comments (coalesce("timestamp", created_at));
CREATE INDEX ix_ig_comments_own_replies ON ig_comments (bucket, account_id, parent_ig_id, coalesce("timestamp", created_at)) WHERE is_own AND deleted_at IS NULL;
"""

# With the rights of its owner, as find_reported_connections. Whose rows are seen follows from the login, which a session
# cannot change, and not from a setting, which it can; the web process alone says for which tenant it acts. An account
# that several tenants connected is shown to those who are connected, and to the last one where nobody is any more.
FUNCTIONS = """
CREATE FUNCTION find_own_connections() RETURNS TABLE (id bigint, tenant_id uuid, platform text, instance text,
    account_id text, username text, scopes text[], profile jsonb, state text, reason text, via text,
    authorized_at timestamptz, expires_at timestamptz, created_at timestamptz, updated_at timestamptz, shown boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 100 AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
    own text[];
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    SELECT array_agg(r.tenant_id::text) INTO own FROM public.reader_tenants r WHERE r.login = session_user;
    IF own IS NULL AND pg_has_role(session_user, 'landfall_web', 'MEMBER') THEN
        own := ARRAY[acting];
    END IF;
    RETURN QUERY SELECT c.reporting_id, c.tenant_id, c.platform, c.instance, c.account_id, c.username, c.scopes,
        c.profile, c.state, c.reason, c.via, c.authorized_at, c.access_expires_at, c.created_at,
        greatest(c.created_at, c.authorized_at, c.checked_at, c.disconnected_at),
        c.state <> 'disconnected' OR NOT EXISTS (
            SELECT FROM public.connections o WHERE o.platform = c.platform AND o.instance = c.instance
                AND o.account_id = c.account_id AND (o.state <> 'disconnected', o.authorized_at, o.reporting_id)
                > (false, c.authorized_at, c.reporting_id))
        FROM public.connections c WHERE c.tenant_id::text = ANY(own);
    PERFORM set_config('landfall.tenant', acting, true);
END $$;
REVOKE ALL ON FUNCTION find_own_connections FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_own_connections TO landfall_tenant_reader, landfall_web;
GRANT EXECUTE ON FUNCTION find_reported_connections TO landfall_app;
"""

VIEWS = """
CREATE VIEW reporting.posts_v1 AS
SELECT (m.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.ig_id)::text AS post_id, (coalesce(m.permalink, t.platform_post_url))::text AS permalink, (m.username)::text AS author, (coalesce(m.caption, t.content))::text AS text, (CASE WHEN m.media_product_type IN ('REELS', 'STORY', 'AD') THEN
            CASE m.media_product_type WHEN 'REELS' THEN 'reel' ELSE lower(m.media_product_type) END
            ELSE coalesce(CASE m.media_type WHEN 'CAROUSEL_ALBUM' THEN 'carousel' ELSE lower(m.media_type) END, t.kind)
            END)::text AS kind, (coalesce(m.timestamp, t.published_at))::timestamp with time zone AS published_at, ('published')::text AS state, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (m.metrics_json)::jsonb AS metrics_json, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at FROM public.ig_media m LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id) provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'instagram' AND t.bucket = m.bucket
            AND t.account_id = m.account_id AND t.platform_post_id = m.ig_id
UNION ALL
SELECT (hashtextextended(i.post_id, hashtextextended(i.publish_id, hashtextextended(i.account_id, 0))) & 9223372036854775807)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (i.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (i.post_id)::text AS post_id, (t.platform_post_url)::text AS permalink, (NULL)::text AS author, (coalesce(p.title, t.content))::text AS text, (t.kind)::text AS kind, (coalesce(t.published_at, p.status_at, i.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN i.is_public IS FALSE THEN 'not_public' ELSE 'published' END)::text AS state, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (i.created_at)::timestamp with time zone AS created_at, (coalesce(i.updated_at, i.created_at))::timestamp with time zone AS updated_at FROM public.tiktok_post_ids i LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = i.account_id
        JOIN public.tiktok_posts p ON p.bucket = i.bucket AND p.account_id = i.account_id
            AND p.publish_id = i.publish_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id) provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = i.bucket
            AND t.account_id = i.account_id AND t.platform_post_id = i.post_id
UNION ALL
SELECT (p.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (NULL)::text AS post_id, (NULL)::text AS permalink, (NULL)::text AS author, (p.title)::text AS text, (NULL)::text AS kind, (p.status_at)::timestamp with time zone AS published_at, ('published_id_unknown')::text AS state, (NULL)::text AS target_id, (NULL)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.tiktok_posts p LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = p.account_id
        WHERE p.status = 'PUBLISH_COMPLETE' AND p.request_version = '' AND NOT EXISTS (
            SELECT 1 FROM public.tiktok_post_ids i WHERE i.bucket = p.bucket AND i.account_id = p.account_id
                AND i.publish_id = p.publish_id)
UNION ALL
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (NULL)::text AS author, (p.content)::text AS text, (p.kind)::text AS kind, (p.published_at)::timestamp with time zone AS published_at, (p.state)::text AS state, (p.target_id)::text AS target_id, (p.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.social_posts p LEFT JOIN public.find_reported_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807
        WHERE p.state IN ('published', 'published_id_unknown', 'awaiting_person') AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            AND NOT EXISTS (SELECT 1 FROM public.ig_media m WHERE p.provider = 'instagram' AND m.bucket = p.bucket
            AND m.account_id = p.account_id AND m.ig_id = p.platform_post_id)
            AND NOT EXISTS (SELECT 1 FROM public.tiktok_post_ids i WHERE p.provider = 'tiktok'
            AND i.bucket = p.bucket AND i.account_id = p.account_id AND i.post_id = p.platform_post_id);
COMMENT ON VIEW reporting.posts_v1 IS 'Posts of all platforms: one row for each post that was published, by Landfall or otherwise';
COMMENT ON COLUMN reporting.posts_v1.id IS 'for joins';
COMMENT ON COLUMN reporting.posts_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.posts_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.posts_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.posts_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.posts_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.posts_v1.post_id IS 'the platform''s id of the post; NULL while it is not known';
COMMENT ON COLUMN reporting.posts_v1.permalink IS 'its address for people; NULL while it is not known';
COMMENT ON COLUMN reporting.posts_v1.author IS 'username of whoever posted it: another one where somebody else''s post names the account';
COMMENT ON COLUMN reporting.posts_v1.text IS 'caption or text; NULL until it was read';
COMMENT ON COLUMN reporting.posts_v1.kind IS 'such as image, video, reel, story or carousel; NULL until it was read';
COMMENT ON COLUMN reporting.posts_v1.published_at IS 'when it was published; NULL until it was read';
COMMENT ON COLUMN reporting.posts_v1.state IS 'published, not_public (no longer, as the platform said), or of posts that the platform took and did not name yet, published_id_unknown or awaiting_person';
COMMENT ON COLUMN reporting.posts_v1.target_id IS 'publishing_v1.target_id; NULL where Landfall did not publish it';
COMMENT ON COLUMN reporting.posts_v1.campaign_id IS 'by which posts of Landfall are listed together';
COMMENT ON COLUMN reporting.posts_v1.views IS 'how often it was seen or played; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.comments_count IS 'as the platform counts them, replies among them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.shares_count IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.saves IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.reach IS 'accounts that saw it; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.posts_v1.metrics_json IS 'all numbers by the platform''s own names, as last read; null: there is one, not shown';
COMMENT ON COLUMN reporting.posts_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.posts_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.comments_v1 AS
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.timestamp IS NOT NULL)::boolean AS commented_at_is_platforms, (k.parent_ig_id)::text AS parent_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, ((k.parent_ig_id IS NOT NULL)::integer)::integer AS depth, (k.text)::text AS text, (k.from_user)::text AS author, (k.from_id)::text AS author_id, (k.is_own)::boolean AS is_own, (k.is_live)::boolean AS is_live, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at)::timestamp with time zone AS deleted_at, ((k.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, (CASE WHEN k.is_own IS NOT TRUE THEN (
            SELECT extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)) FROM (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a) END)::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at FROM public.ig_comments k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id;
COMMENT ON VIEW reporting.comments_v1 IS 'Comments and replies with their threads, those that are hidden or gone among them';
COMMENT ON COLUMN reporting.comments_v1.id IS 'for joins';
COMMENT ON COLUMN reporting.comments_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.comments_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.comments_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.comments_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.comments_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.comments_v1.commented_at IS 'when it was written; until it was read, when the log received the first event of it';
COMMENT ON COLUMN reporting.comments_v1.comment_id IS 'the platform''s id of the comment';
COMMENT ON COLUMN reporting.comments_v1.post_key IS 'posts_v1.id; NULL where nothing named the post';
COMMENT ON COLUMN reporting.comments_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting.comments_v1.commented_at_is_platforms IS 'whether commented_at is by the platform''s clock';
COMMENT ON COLUMN reporting.comments_v1.parent_id IS 'comment_id of the comment that it replies to; NULL for one on the post itself';
COMMENT ON COLUMN reporting.comments_v1.root_id IS 'comment_id of the first comment of its thread; its own for one on the post itself';
COMMENT ON COLUMN reporting.comments_v1.depth IS '0 for a comment on the post itself, 1 for a reply to one';
COMMENT ON COLUMN reporting.comments_v1.text IS 'of the comment; NULL until it was read';
COMMENT ON COLUMN reporting.comments_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting.comments_v1.author_id IS 'the platform''s id of whoever wrote it, scoped to the account';
COMMENT ON COLUMN reporting.comments_v1.is_own IS 'written by the account itself; NULL where nothing says whose it is';
COMMENT ON COLUMN reporting.comments_v1.is_live IS 'written during a live broadcast';
COMMENT ON COLUMN reporting.comments_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting.comments_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting.comments_v1.deleted_at IS 'when it was found to be gone; NULL while it is there';
COMMENT ON COLUMN reporting.comments_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting.comments_v1.answer_seconds IS 'until the account''s first comment in its thread after it that is still there; NULL: none, or own';
COMMENT ON COLUMN reporting.comments_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.comments_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.response_times_v1 AS
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, (k.from_user)::text AS author, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (a.ig_id IS NOT NULL)::boolean AS is_answered, (a.ig_id)::text AS answer_id, (a.answered_at)::timestamp with time zone AS answered_at, (extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)))::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at FROM public.ig_comments k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id
        LEFT JOIN LATERAL (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a ON true WHERE k.is_own IS NOT TRUE;
COMMENT ON VIEW reporting.response_times_v1 IS 'Comments of others, with the first answer of the account in the same thread';
COMMENT ON COLUMN reporting.response_times_v1.id IS 'for joins';
COMMENT ON COLUMN reporting.response_times_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.response_times_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.response_times_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.response_times_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.response_times_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.response_times_v1.commented_at IS 'when it was written; until it was read, when the log received the first event of it';
COMMENT ON COLUMN reporting.response_times_v1.comment_id IS 'the platform''s id of the comment';
COMMENT ON COLUMN reporting.response_times_v1.post_key IS 'posts_v1.id; NULL where nothing named the post';
COMMENT ON COLUMN reporting.response_times_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting.response_times_v1.root_id IS 'comment_id of the first comment of its thread; its own for one on the post itself';
COMMENT ON COLUMN reporting.response_times_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting.response_times_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting.response_times_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting.response_times_v1.is_answered IS 'whether the account wrote in its thread after it, and that is still there';
COMMENT ON COLUMN reporting.response_times_v1.answer_id IS 'comment_id of the first such answer';
COMMENT ON COLUMN reporting.response_times_v1.answered_at IS 'when that was written';
COMMENT ON COLUMN reporting.response_times_v1.answer_seconds IS 'from the comment to that answer';
COMMENT ON COLUMN reporting.response_times_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.response_times_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.engagement_v1 AS
SELECT e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day, sum(coalesce(e.new_comments, 0))::bigint AS new_comments, sum(coalesce(e.own_comments, 0))::bigint AS own_comments, max(e.views) AS views, max(e.likes) AS likes, max(e.comments_count) AS comments_count, max(e.shares_count) AS shares_count, max(e.saves) AS saves, max(e.reach) AS reach, max(e.measured_at) AS measured_at
FROM (SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.id)::bigint AS post_key, (m.ig_id)::text AS post_id, ((coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC')::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS measured_at FROM public.ig_media m LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id WHERE m.metrics_json IS NOT NULL
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, ((coalesce(k.timestamp, k.created_at) AT TIME ZONE 'UTC')::date)::date AS day, ((k.is_own IS NOT TRUE)::integer)::bigint AS new_comments, ((k.is_own IS TRUE)::integer)::bigint AS own_comments, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::timestamp with time zone AS measured_at FROM public.ig_comments k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id WHERE k.ig_media_id IS NOT NULL) e
GROUP BY e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day;
COMMENT ON VIEW reporting.engagement_v1 IS 'What happened at each post on each day, and its totals as they were last seen on that day';
COMMENT ON COLUMN reporting.engagement_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.engagement_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.engagement_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.engagement_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.engagement_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.engagement_v1.post_key IS 'posts_v1.id';
COMMENT ON COLUMN reporting.engagement_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting.engagement_v1.day IS 'in UTC';
COMMENT ON COLUMN reporting.engagement_v1.new_comments IS 'comments and replies of others that were written on that day';
COMMENT ON COLUMN reporting.engagement_v1.own_comments IS 'comments and replies of the account itself that were written on that day';
COMMENT ON COLUMN reporting.engagement_v1.views IS 'total when it was last looked at on that day: how often it was seen or played; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.likes IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.comments_count IS 'total when it was last looked at on that day: as the platform counts them, replies among them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.shares_count IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.saves IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.reach IS 'total when it was last looked at on that day: accounts that saw it; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.engagement_v1.measured_at IS 'when these totals were last looked at on that day; NULL: there are none of that day';
CREATE VIEW reporting.accounts_v1 AS
SELECT (c.tenant_id)::uuid AS tenant_id, (coalesce(c.platform, a.platform))::text AS platform, (coalesce(c.account_id, a.account_id))::text AS account_id, (coalesce(nullif(c.username, ''), a.account))::text AS account, (c.id)::bigint AS connection_id, (nullif(c.instance, ''))::text AS instance, (coalesce(a.name, nullif(c.profile ->> 'name', '')))::text AS name, (c.state)::text AS state, (c.reason)::text AS reason, (c.scopes)::text[] AS scopes, (c.created_at)::timestamp with time zone AS connected_at, (c.expires_at)::timestamp with time zone AS expires_at, (c.authorized_at)::timestamp with time zone AS authorized_at, (a.followers)::bigint AS followers, (a.following)::bigint AS following, (a.posts_count)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (least(a.created_at, c.created_at))::timestamp with time zone AS created_at, (greatest(a.updated_at, c.updated_at))::timestamp with time zone AS updated_at
FROM public.find_reported_connections() c FULL JOIN (SELECT (NULL)::uuid AS tenant_id, ('instagram')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at FROM public.instagram_accounts a) a
    ON a.platform = c.platform AND a.account_id = c.account_id;
COMMENT ON VIEW reporting.accounts_v1 IS 'Connections to accounts, and accounts with rows here that no tenant has connected';
COMMENT ON COLUMN reporting.accounts_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.accounts_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.accounts_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.accounts_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.accounts_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.accounts_v1.instance IS 'host, on platforms with many instances; NULL on others';
COMMENT ON COLUMN reporting.accounts_v1.name IS 'as people see it';
COMMENT ON COLUMN reporting.accounts_v1.state IS 'active, needs_reconnect or disconnected; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.accounts_v1.reason IS 'why somebody has to connect it again';
COMMENT ON COLUMN reporting.accounts_v1.scopes IS 'what was granted';
COMMENT ON COLUMN reporting.accounts_v1.connected_at IS 'when it was connected for the first time';
COMMENT ON COLUMN reporting.accounts_v1.expires_at IS 'when the access token ends; NULL for one without an end';
COMMENT ON COLUMN reporting.accounts_v1.authorized_at IS 'when the person last agreed at the platform';
COMMENT ON COLUMN reporting.accounts_v1.followers IS 'as last read; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.accounts_v1.following IS 'as last read; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.accounts_v1.posts_count IS 'as the platform counts them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.accounts_v1.metrics_json IS 'all numbers by the platform''s own names, as last read';
COMMENT ON COLUMN reporting.accounts_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.accounts_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting.publishing_v1 AS
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.target_id)::text AS target_id, (p.post_id::uuid)::uuid AS landfall_post_id, (p.parent_id)::text AS parent_target_id, (p.kind)::text AS kind, (coalesce(p.is_action, false))::boolean AS is_action, (p.campaign_id)::text AS campaign_id, (p.content)::text AS text, (p.link_url)::text AS link_url, (p.state)::text AS state, (CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
        WHEN p.state IN ('failed', 'missed') THEN 'failed'
        WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END)::text AS status, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (p.error_code)::text AS error_code, (p.error_message)::text AS error_message, (p.retryable)::boolean AS retryable, (p.retry_count)::integer AS failures, (p.scheduled_at)::timestamp with time zone AS scheduled_at, (p.published_at)::timestamp with time zone AS published_at, (extract(epoch FROM p.published_at - p.scheduled_at))::numeric AS late_seconds, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.social_posts p LEFT JOIN public.find_reported_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807;
COMMENT ON VIEW reporting.publishing_v1 IS 'What Landfall is to publish at each account, and what became of it';
COMMENT ON COLUMN reporting.publishing_v1.id IS 'for joins';
COMMENT ON COLUMN reporting.publishing_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.publishing_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.publishing_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.publishing_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.publishing_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.publishing_v1.target_id IS 'Landfall''s id of the post at this account';
COMMENT ON COLUMN reporting.publishing_v1.landfall_post_id IS 'Landfall''s id of the post: the same at all accounts';
COMMENT ON COLUMN reporting.publishing_v1.parent_target_id IS 'target_id of the part of a thread that it answers';
COMMENT ON COLUMN reporting.publishing_v1.kind IS 'what it is there, such as reel or carousel; of an act, such as hide_comment';
COMMENT ON COLUMN reporting.publishing_v1.is_action IS 'whether it acts on, or answers, what is no part of its own post';
COMMENT ON COLUMN reporting.publishing_v1.campaign_id IS 'by which posts are listed together';
COMMENT ON COLUMN reporting.publishing_v1.text IS 'its text';
COMMENT ON COLUMN reporting.publishing_v1.link_url IS 'of the page that it shares';
COMMENT ON COLUMN reporting.publishing_v1.state IS 'as in docs/states.md';
COMMENT ON COLUMN reporting.publishing_v1.status IS 'the state in one of four words: pending, posted, failed or cancelled';
COMMENT ON COLUMN reporting.publishing_v1.post_id IS 'the platform''s id: posts_v1.post_id; NULL while it is not known';
COMMENT ON COLUMN reporting.publishing_v1.permalink IS 'its address for people';
COMMENT ON COLUMN reporting.publishing_v1.error_code IS 'why it failed or is in doubt, in a word';
COMMENT ON COLUMN reporting.publishing_v1.error_message IS 'and in words';
COMMENT ON COLUMN reporting.publishing_v1.retryable IS 'whether trying again can help';
COMMENT ON COLUMN reporting.publishing_v1.failures IS 'failed tries at its last step';
COMMENT ON COLUMN reporting.publishing_v1.scheduled_at IS 'when it is, or was, to be published';
COMMENT ON COLUMN reporting.publishing_v1.published_at IS 'when it was seen to be published';
COMMENT ON COLUMN reporting.publishing_v1.late_seconds IS 'from the one to the other';
COMMENT ON COLUMN reporting.publishing_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.publishing_v1.updated_at IS 'when it was last heard of';
"""

# A row is judged before anybody's own function sees it: otherwise such a function, in a condition, would see rows of others.
TENANT_VIEWS = """
CREATE SCHEMA reporting_tenant;
COMMENT ON SCHEMA reporting_tenant IS 'The published views with the rows of one tenant: of the one whose login reads them';
CREATE VIEW reporting_tenant.posts_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (m.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.ig_id)::text AS post_id, (coalesce(m.permalink, t.platform_post_url))::text AS permalink, (m.username)::text AS author, (coalesce(m.caption, t.content))::text AS text, (CASE WHEN m.media_product_type IN ('REELS', 'STORY', 'AD') THEN
            CASE m.media_product_type WHEN 'REELS' THEN 'reel' ELSE lower(m.media_product_type) END
            ELSE coalesce(CASE m.media_type WHEN 'CAROUSEL_ALBUM' THEN 'carousel' ELSE lower(m.media_type) END, t.kind)
            END)::text AS kind, (coalesce(m.timestamp, t.published_at))::timestamp with time zone AS published_at, ('published')::text AS state, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (m.metrics_json)::jsonb AS metrics_json, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at FROM public.ig_media m JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id) provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'instagram' AND t.bucket = m.bucket
            AND t.account_id = m.account_id AND t.platform_post_id = m.ig_id AND t.user_id = owner.tenant_id::text
UNION ALL
SELECT (hashtextextended(i.post_id, hashtextextended(i.publish_id, hashtextextended(i.account_id, 0))) & 9223372036854775807)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (i.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (i.post_id)::text AS post_id, (t.platform_post_url)::text AS permalink, (NULL)::text AS author, (coalesce(p.title, t.content))::text AS text, (t.kind)::text AS kind, (coalesce(t.published_at, p.status_at, i.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN i.is_public IS FALSE THEN 'not_public' ELSE 'published' END)::text AS state, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (i.created_at)::timestamp with time zone AS created_at, (coalesce(i.updated_at, i.created_at))::timestamp with time zone AS updated_at FROM public.tiktok_post_ids i JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = i.account_id
        JOIN public.tiktok_posts p ON p.bucket = i.bucket AND p.account_id = i.account_id
            AND p.publish_id = i.publish_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id) provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = i.bucket
            AND t.account_id = i.account_id AND t.platform_post_id = i.post_id AND t.user_id = owner.tenant_id::text
UNION ALL
SELECT (p.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (NULL)::text AS post_id, (NULL)::text AS permalink, (NULL)::text AS author, (p.title)::text AS text, (NULL)::text AS kind, (p.status_at)::timestamp with time zone AS published_at, ('published_id_unknown')::text AS state, (NULL)::text AS target_id, (NULL)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.tiktok_posts p JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = p.account_id
        WHERE p.status = 'PUBLISH_COMPLETE' AND p.request_version = '' AND NOT EXISTS (
            SELECT 1 FROM public.tiktok_post_ids i WHERE i.bucket = p.bucket AND i.account_id = p.account_id
                AND i.publish_id = p.publish_id)
UNION ALL
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (NULL)::text AS author, (p.content)::text AS text, (p.kind)::text AS kind, (p.published_at)::timestamp with time zone AS published_at, (p.state)::text AS state, (p.target_id)::text AS target_id, (p.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.social_posts p JOIN public.find_own_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AND owner.tenant_id::text = p.user_id
        WHERE p.state IN ('published', 'published_id_unknown', 'awaiting_person') AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            AND NOT EXISTS (SELECT 1 FROM public.ig_media m WHERE p.provider = 'instagram' AND m.bucket = p.bucket
            AND m.account_id = p.account_id AND m.ig_id = p.platform_post_id)
            AND NOT EXISTS (SELECT 1 FROM public.tiktok_post_ids i WHERE p.provider = 'tiktok'
            AND i.bucket = p.bucket AND i.account_id = p.account_id AND i.post_id = p.platform_post_id)
) u;
COMMENT ON VIEW reporting_tenant.posts_v1 IS 'Posts of all platforms: one row for each post that was published, by Landfall or otherwise';
COMMENT ON COLUMN reporting_tenant.posts_v1.id IS 'for joins';
COMMENT ON COLUMN reporting_tenant.posts_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.posts_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.posts_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.posts_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.posts_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.posts_v1.post_id IS 'the platform''s id of the post; NULL while it is not known';
COMMENT ON COLUMN reporting_tenant.posts_v1.permalink IS 'its address for people; NULL while it is not known';
COMMENT ON COLUMN reporting_tenant.posts_v1.author IS 'username of whoever posted it: another one where somebody else''s post names the account';
COMMENT ON COLUMN reporting_tenant.posts_v1.text IS 'caption or text; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.posts_v1.kind IS 'such as image, video, reel, story or carousel; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.posts_v1.published_at IS 'when it was published; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.posts_v1.state IS 'published, not_public (no longer, as the platform said), or of posts that the platform took and did not name yet, published_id_unknown or awaiting_person';
COMMENT ON COLUMN reporting_tenant.posts_v1.target_id IS 'publishing_v1.target_id; NULL where Landfall did not publish it';
COMMENT ON COLUMN reporting_tenant.posts_v1.campaign_id IS 'by which posts of Landfall are listed together';
COMMENT ON COLUMN reporting_tenant.posts_v1.views IS 'how often it was seen or played; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.comments_count IS 'as the platform counts them, replies among them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.shares_count IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.saves IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.reach IS 'accounts that saw it; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.posts_v1.metrics_json IS 'all numbers by the platform''s own names, as last read; null: there is one, not shown';
COMMENT ON COLUMN reporting_tenant.posts_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.posts_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting_tenant.comments_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.timestamp IS NOT NULL)::boolean AS commented_at_is_platforms, (k.parent_ig_id)::text AS parent_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, ((k.parent_ig_id IS NOT NULL)::integer)::integer AS depth, (k.text)::text AS text, (k.from_user)::text AS author, (k.from_id)::text AS author_id, (k.is_own)::boolean AS is_own, (k.is_live)::boolean AS is_live, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at)::timestamp with time zone AS deleted_at, ((k.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, (CASE WHEN k.is_own IS NOT TRUE THEN (
            SELECT extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)) FROM (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a) END)::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at FROM public.ig_comments k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id
) u;
COMMENT ON VIEW reporting_tenant.comments_v1 IS 'Comments and replies with their threads, those that are hidden or gone among them';
COMMENT ON COLUMN reporting_tenant.comments_v1.id IS 'for joins';
COMMENT ON COLUMN reporting_tenant.comments_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.comments_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.comments_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.comments_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.comments_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.comments_v1.commented_at IS 'when it was written; until it was read, when the log received the first event of it';
COMMENT ON COLUMN reporting_tenant.comments_v1.comment_id IS 'the platform''s id of the comment';
COMMENT ON COLUMN reporting_tenant.comments_v1.post_key IS 'posts_v1.id; NULL where nothing named the post';
COMMENT ON COLUMN reporting_tenant.comments_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting_tenant.comments_v1.commented_at_is_platforms IS 'whether commented_at is by the platform''s clock';
COMMENT ON COLUMN reporting_tenant.comments_v1.parent_id IS 'comment_id of the comment that it replies to; NULL for one on the post itself';
COMMENT ON COLUMN reporting_tenant.comments_v1.root_id IS 'comment_id of the first comment of its thread; its own for one on the post itself';
COMMENT ON COLUMN reporting_tenant.comments_v1.depth IS '0 for a comment on the post itself, 1 for a reply to one';
COMMENT ON COLUMN reporting_tenant.comments_v1.text IS 'of the comment; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.comments_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting_tenant.comments_v1.author_id IS 'the platform''s id of whoever wrote it, scoped to the account';
COMMENT ON COLUMN reporting_tenant.comments_v1.is_own IS 'written by the account itself; NULL where nothing says whose it is';
COMMENT ON COLUMN reporting_tenant.comments_v1.is_live IS 'written during a live broadcast';
COMMENT ON COLUMN reporting_tenant.comments_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting_tenant.comments_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting_tenant.comments_v1.deleted_at IS 'when it was found to be gone; NULL while it is there';
COMMENT ON COLUMN reporting_tenant.comments_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.comments_v1.answer_seconds IS 'until the account''s first comment in its thread after it that is still there; NULL: none, or own';
COMMENT ON COLUMN reporting_tenant.comments_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.comments_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting_tenant.response_times_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, (k.from_user)::text AS author, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (a.ig_id IS NOT NULL)::boolean AS is_answered, (a.ig_id)::text AS answer_id, (a.answered_at)::timestamp with time zone AS answered_at, (extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)))::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at FROM public.ig_comments k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id
        LEFT JOIN LATERAL (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a ON true WHERE k.is_own IS NOT TRUE
) u;
COMMENT ON VIEW reporting_tenant.response_times_v1 IS 'Comments of others, with the first answer of the account in the same thread';
COMMENT ON COLUMN reporting_tenant.response_times_v1.id IS 'for joins';
COMMENT ON COLUMN reporting_tenant.response_times_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.response_times_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.response_times_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.response_times_v1.commented_at IS 'when it was written; until it was read, when the log received the first event of it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.comment_id IS 'the platform''s id of the comment';
COMMENT ON COLUMN reporting_tenant.response_times_v1.post_key IS 'posts_v1.id; NULL where nothing named the post';
COMMENT ON COLUMN reporting_tenant.response_times_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting_tenant.response_times_v1.root_id IS 'comment_id of the first comment of its thread; its own for one on the post itself';
COMMENT ON COLUMN reporting_tenant.response_times_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting_tenant.response_times_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting_tenant.response_times_v1.is_answered IS 'whether the account wrote in its thread after it, and that is still there';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answer_id IS 'comment_id of the first such answer';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answered_at IS 'when that was written';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answer_seconds IS 'from the comment to that answer';
COMMENT ON COLUMN reporting_tenant.response_times_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.response_times_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting_tenant.engagement_v1 WITH (security_barrier) AS
SELECT e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day, sum(coalesce(e.new_comments, 0))::bigint AS new_comments, sum(coalesce(e.own_comments, 0))::bigint AS own_comments, max(e.views) AS views, max(e.likes) AS likes, max(e.comments_count) AS comments_count, max(e.shares_count) AS shares_count, max(e.saves) AS saves, max(e.reach) AS reach, max(e.measured_at) AS measured_at
FROM (SELECT * FROM (
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.id)::bigint AS post_key, (m.ig_id)::text AS post_id, ((coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC')::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS measured_at FROM public.ig_media m JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id WHERE m.metrics_json IS NOT NULL
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, ((coalesce(k.timestamp, k.created_at) AT TIME ZONE 'UTC')::date)::date AS day, ((k.is_own IS NOT TRUE)::integer)::bigint AS new_comments, ((k.is_own IS TRUE)::integer)::bigint AS own_comments, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::timestamp with time zone AS measured_at FROM public.ig_comments k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id WHERE k.ig_media_id IS NOT NULL
) u) e
GROUP BY e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day;
COMMENT ON VIEW reporting_tenant.engagement_v1 IS 'What happened at each post on each day, and its totals as they were last seen on that day';
COMMENT ON COLUMN reporting_tenant.engagement_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.engagement_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.engagement_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.engagement_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.engagement_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.engagement_v1.post_key IS 'posts_v1.id';
COMMENT ON COLUMN reporting_tenant.engagement_v1.post_id IS 'the platform''s id of the post';
COMMENT ON COLUMN reporting_tenant.engagement_v1.day IS 'in UTC';
COMMENT ON COLUMN reporting_tenant.engagement_v1.new_comments IS 'comments and replies of others that were written on that day';
COMMENT ON COLUMN reporting_tenant.engagement_v1.own_comments IS 'comments and replies of the account itself that were written on that day';
COMMENT ON COLUMN reporting_tenant.engagement_v1.views IS 'total when it was last looked at on that day: how often it was seen or played; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.likes IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.comments_count IS 'total when it was last looked at on that day: as the platform counts them, replies among them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.shares_count IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.saves IS 'total when it was last looked at on that day: NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.reach IS 'total when it was last looked at on that day: accounts that saw it; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.engagement_v1.measured_at IS 'when these totals were last looked at on that day; NULL: there are none of that day';
CREATE VIEW reporting_tenant.accounts_v1 WITH (security_barrier) AS
SELECT (c.tenant_id)::uuid AS tenant_id, (coalesce(c.platform, a.platform))::text AS platform, (coalesce(c.account_id, a.account_id))::text AS account_id, (coalesce(nullif(c.username, ''), a.account))::text AS account, (c.id)::bigint AS connection_id, (nullif(c.instance, ''))::text AS instance, (coalesce(a.name, nullif(c.profile ->> 'name', '')))::text AS name, (c.state)::text AS state, (c.reason)::text AS reason, (c.scopes)::text[] AS scopes, (c.created_at)::timestamp with time zone AS connected_at, (c.expires_at)::timestamp with time zone AS expires_at, (c.authorized_at)::timestamp with time zone AS authorized_at, (a.followers)::bigint AS followers, (a.following)::bigint AS following, (a.posts_count)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (least(a.created_at, c.created_at))::timestamp with time zone AS created_at, (greatest(a.updated_at, c.updated_at))::timestamp with time zone AS updated_at
FROM public.find_own_connections() c LEFT JOIN (SELECT * FROM (
SELECT (NULL)::uuid AS tenant_id, ('instagram')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at FROM public.instagram_accounts a
) u) a
    ON a.platform = c.platform AND a.account_id = c.account_id AND c.shown;
COMMENT ON VIEW reporting_tenant.accounts_v1 IS 'Connections to accounts, and accounts with rows here that no tenant has connected';
COMMENT ON COLUMN reporting_tenant.accounts_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.accounts_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.accounts_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.accounts_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.accounts_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.accounts_v1.instance IS 'host, on platforms with many instances; NULL on others';
COMMENT ON COLUMN reporting_tenant.accounts_v1.name IS 'as people see it';
COMMENT ON COLUMN reporting_tenant.accounts_v1.state IS 'active, needs_reconnect or disconnected; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.accounts_v1.reason IS 'why somebody has to connect it again';
COMMENT ON COLUMN reporting_tenant.accounts_v1.scopes IS 'what was granted';
COMMENT ON COLUMN reporting_tenant.accounts_v1.connected_at IS 'when it was connected for the first time';
COMMENT ON COLUMN reporting_tenant.accounts_v1.expires_at IS 'when the access token ends; NULL for one without an end';
COMMENT ON COLUMN reporting_tenant.accounts_v1.authorized_at IS 'when the person last agreed at the platform';
COMMENT ON COLUMN reporting_tenant.accounts_v1.followers IS 'as last read; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.accounts_v1.following IS 'as last read; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.accounts_v1.posts_count IS 'as the platform counts them; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.accounts_v1.metrics_json IS 'all numbers by the platform''s own names, as last read';
COMMENT ON COLUMN reporting_tenant.accounts_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.accounts_v1.updated_at IS 'when it was last heard of';
CREATE VIEW reporting_tenant.publishing_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.target_id)::text AS target_id, (p.post_id::uuid)::uuid AS landfall_post_id, (p.parent_id)::text AS parent_target_id, (p.kind)::text AS kind, (coalesce(p.is_action, false))::boolean AS is_action, (p.campaign_id)::text AS campaign_id, (p.content)::text AS text, (p.link_url)::text AS link_url, (p.state)::text AS state, (CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
        WHEN p.state IN ('failed', 'missed') THEN 'failed'
        WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END)::text AS status, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (p.error_code)::text AS error_code, (p.error_message)::text AS error_message, (p.retryable)::boolean AS retryable, (p.retry_count)::integer AS failures, (p.scheduled_at)::timestamp with time zone AS scheduled_at, (p.published_at)::timestamp with time zone AS published_at, (extract(epoch FROM p.published_at - p.scheduled_at))::numeric AS late_seconds, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at FROM public.social_posts p JOIN public.find_own_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AND owner.tenant_id::text = p.user_id
) u;
COMMENT ON VIEW reporting_tenant.publishing_v1 IS 'What Landfall is to publish at each account, and what became of it';
COMMENT ON COLUMN reporting_tenant.publishing_v1.id IS 'for joins';
COMMENT ON COLUMN reporting_tenant.publishing_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.publishing_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.publishing_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.publishing_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.publishing_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.publishing_v1.target_id IS 'Landfall''s id of the post at this account';
COMMENT ON COLUMN reporting_tenant.publishing_v1.landfall_post_id IS 'Landfall''s id of the post: the same at all accounts';
COMMENT ON COLUMN reporting_tenant.publishing_v1.parent_target_id IS 'target_id of the part of a thread that it answers';
COMMENT ON COLUMN reporting_tenant.publishing_v1.kind IS 'what it is there, such as reel or carousel; of an act, such as hide_comment';
COMMENT ON COLUMN reporting_tenant.publishing_v1.is_action IS 'whether it acts on, or answers, what is no part of its own post';
COMMENT ON COLUMN reporting_tenant.publishing_v1.campaign_id IS 'by which posts are listed together';
COMMENT ON COLUMN reporting_tenant.publishing_v1.text IS 'its text';
COMMENT ON COLUMN reporting_tenant.publishing_v1.link_url IS 'of the page that it shares';
COMMENT ON COLUMN reporting_tenant.publishing_v1.state IS 'as in docs/states.md';
COMMENT ON COLUMN reporting_tenant.publishing_v1.status IS 'the state in one of four words: pending, posted, failed or cancelled';
COMMENT ON COLUMN reporting_tenant.publishing_v1.post_id IS 'the platform''s id: posts_v1.post_id; NULL while it is not known';
COMMENT ON COLUMN reporting_tenant.publishing_v1.permalink IS 'its address for people';
COMMENT ON COLUMN reporting_tenant.publishing_v1.error_code IS 'why it failed or is in doubt, in a word';
COMMENT ON COLUMN reporting_tenant.publishing_v1.error_message IS 'and in words';
COMMENT ON COLUMN reporting_tenant.publishing_v1.retryable IS 'whether trying again can help';
COMMENT ON COLUMN reporting_tenant.publishing_v1.failures IS 'failed tries at its last step';
COMMENT ON COLUMN reporting_tenant.publishing_v1.scheduled_at IS 'when it is, or was, to be published';
COMMENT ON COLUMN reporting_tenant.publishing_v1.published_at IS 'when it was seen to be published';
COMMENT ON COLUMN reporting_tenant.publishing_v1.late_seconds IS 'from the one to the other';
COMMENT ON COLUMN reporting_tenant.publishing_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.publishing_v1.updated_at IS 'when it was last heard of';
"""

GRANTS = """
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO landfall_reader, landfall_app;
GRANT USAGE ON SCHEMA reporting TO landfall_app;
GRANT USAGE ON SCHEMA reporting_tenant TO landfall_tenant_reader, landfall_web;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting_tenant TO landfall_tenant_reader, landfall_web;
"""


def upgrade() -> None:
    for script in (ROLE, TABLES, FUNCTIONS, VIEWS, TENANT_VIEWS, GRANTS):
        run(script)


def downgrade() -> None:
    run(
        """
        REVOKE ALL ON ALL TABLES IN SCHEMA reporting FROM landfall_app;
        REVOKE ALL ON SCHEMA reporting FROM landfall_app;
        REVOKE ALL ON FUNCTION find_reported_connections FROM landfall_app;
        DROP SCHEMA reporting_tenant CASCADE;
        DROP VIEW reporting.posts_v1, reporting.comments_v1, reporting.response_times_v1, reporting.engagement_v1, reporting.accounts_v1, reporting.publishing_v1;
        DROP FUNCTION find_own_connections;
        DROP INDEX ix_ig_comments_account_id_commented_at, ix_ig_comments_commented_at, ix_ig_comments_own_replies;
        DROP TABLE reader_tenants;
        """
    )
