"""Keep the videos of TikTok accounts, their profiles, and the numbers of both by day; and whether events come.

What the events of connections are subscribed to, which accounts are silent, and when nothing received webhooks.
"""

from migrations.script import run

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

ACCOUNTS = """
ALTER TABLE tiktok_accounts ADD COLUMN id BIGINT GENERATED ALWAYS AS (hashtextextended(account_id, 0) & 9223372036854775807) STORED, ADD COLUMN profile_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN profile_carried JSONB, ADD COLUMN username TEXT, ADD COLUMN display_name TEXT, ADD COLUMN bio_description TEXT, ADD COLUMN profile_deep_link TEXT, ADD COLUMN is_verified BOOLEAN, ADD COLUMN union_id TEXT, ADD COLUMN metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN metrics_carried JSONB, ADD COLUMN metrics_json JSONB;
COMMENT ON COLUMN tiktok_accounts.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN tiktok_accounts.profile_version IS 'of the newest event that speaks of profile; '''' for none';
COMMENT ON COLUMN tiktok_accounts.profile_carried IS 'versions of what is not of profile_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_accounts.username IS 'as last read; NULL without the scope user.info.profile';
COMMENT ON COLUMN tiktok_accounts.display_name IS 'as people see it, as last read';
COMMENT ON COLUMN tiktok_accounts.bio_description IS 'as last read';
COMMENT ON COLUMN tiktok_accounts.profile_deep_link IS 'its address for people';
COMMENT ON COLUMN tiktok_accounts.is_verified IS 'whether the platform has verified whose it is';
COMMENT ON COLUMN tiktok_accounts.union_id IS 'the same for all applications of one developer';
COMMENT ON COLUMN tiktok_accounts.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN tiktok_accounts.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_accounts.metrics_json IS 'followers, follows, likes and videos, as last read; absent without the scope user.info.stats';
COMMENT ON TABLE tiktok_accounts IS 'TikTok accounts that were read, or that ended the grant, with the latest time that they did';
"""

POST_IDS = """
ALTER TABLE tiktok_post_ids ADD COLUMN listing_version TEXT COLLATE "C" DEFAULT '' NOT NULL, ADD COLUMN listed_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN tiktok_post_ids.is_public IS 'whether everybody can see it, as a webhook last told; NULL for none';
COMMENT ON COLUMN tiktok_post_ids.listing_version IS 'of the newest event that speaks of listing; '''' for none';
COMMENT ON COLUMN tiktok_post_ids.listed_at IS 'when the status of the publish last named it as public; NULL: never';
"""

TABLES = """
CREATE TABLE tiktok_account_metrics (
    account_id TEXT NOT NULL,
    day TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    reading_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_account_metrics PRIMARY KEY (bucket, account_id, day)
);
COMMENT ON TABLE tiktok_account_metrics IS 'Numbers of TikTok accounts by day: a day on which nothing changed, or nothing was read, has no row';
COMMENT ON COLUMN tiktok_account_metrics.account_id IS 'open_id, which is per app';
COMMENT ON COLUMN tiktok_account_metrics.day IS 'on which they were read, of UTC, such as 2026-01-31';
COMMENT ON COLUMN tiktok_account_metrics.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_account_metrics.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_account_metrics.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_account_metrics.reading_version IS 'of the newest event that speaks of reading; '''' for none';
COMMENT ON COLUMN tiktok_account_metrics.read_at IS 'when the newest of its numbers were asked for';
COMMENT ON COLUMN tiktok_account_metrics.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN tiktok_account_metrics.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_account_metrics.metrics_json IS 'followers, follows, likes and videos: the last numbers of the day';
COMMENT ON COLUMN tiktok_account_metrics.bucket IS 'hash of the account; see schema.events.bucket_of';
CREATE TABLE tiktok_videos (
    account_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(post_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    tiktok_account_id BIGINT GENERATED ALWAYS AS (hashtextextended(account_id, 0) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    placeholder BOOLEAN GENERATED ALWAYS AS (content_version = '') STORED,
    content_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    content_carried JSONB,
    video_description TEXT,
    title TEXT,
    posted_at TIMESTAMP WITH TIME ZONE,
    share_url TEXT,
    embed_link TEXT,
    duration INTEGER,
    width INTEGER,
    height INTEGER,
    is_aigc BOOLEAN,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    visibility_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    visibility_carried JSONB,
    is_public BOOLEAN,
    visibility_at TIMESTAMP WITH TIME ZONE,
    presence_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    absent_at TIMESTAMP WITH TIME ZONE,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_videos PRIMARY KEY (bucket, account_id, post_id)
);
CREATE INDEX ix_tiktok_videos_id ON tiktok_videos (id);
CREATE INDEX ix_tiktok_videos_tiktok_account_id_posted_at ON tiktok_videos (tiktok_account_id, posted_at DESC);
COMMENT ON TABLE tiktok_videos IS 'Posts of TikTok accounts that are or were public, whoever published them';
COMMENT ON COLUMN tiktok_videos.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_videos.post_id IS 'the platform''s id, as in tiktok_post_ids';
COMMENT ON COLUMN tiktok_videos.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN tiktok_videos.tiktok_account_id IS 'tiktok_accounts.id of the account';
COMMENT ON COLUMN tiktok_videos.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_videos.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_videos.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_videos.placeholder IS 'known only by mention: nobody has read it yet';
COMMENT ON COLUMN tiktok_videos.content_version IS 'of the newest event that speaks of content; '''' for none';
COMMENT ON COLUMN tiktok_videos.content_carried IS 'versions of what is not of content_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_videos.video_description IS 'of the caption no more than 150 characters; the whole is tiktok_posts.title where we published it';
COMMENT ON COLUMN tiktok_videos.title IS 'of no more than 150 characters';
COMMENT ON COLUMN tiktok_videos.posted_at IS 'when it was posted, by the platform''s clock, to the second';
COMMENT ON COLUMN tiktok_videos.share_url IS 'its address for people';
COMMENT ON COLUMN tiktok_videos.embed_link IS 'the address of a player of it';
COMMENT ON COLUMN tiktok_videos.duration IS 'in seconds';
COMMENT ON COLUMN tiktok_videos.width IS 'in pixels';
COMMENT ON COLUMN tiktok_videos.height IS 'in pixels';
COMMENT ON COLUMN tiktok_videos.is_aigc IS 'whether it is marked as made by artificial intelligence';
COMMENT ON COLUMN tiktok_videos.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN tiktok_videos.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_videos.metrics_json IS 'views, likes, comments and shares, as last read';
COMMENT ON COLUMN tiktok_videos.visibility_version IS 'of the newest event that speaks of visibility; '''' for none';
COMMENT ON COLUMN tiktok_videos.visibility_carried IS 'versions of what is not of visibility_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_videos.is_public IS 'whether everybody can see it, as a webhook last told; NULL for none';
COMMENT ON COLUMN tiktok_videos.visibility_at IS 'when that changed, by the platform''s clock';
COMMENT ON COLUMN tiktok_videos.presence_version IS 'of the newest event that speaks of presence; '''' for none';
COMMENT ON COLUMN tiktok_videos.absent_at IS 'when reads found it to be public no longer, be it private or deleted; NULL while they find it';
COMMENT ON COLUMN tiktok_videos.bucket IS 'hash of the account; see schema.events.bucket_of';
CREATE TABLE tiktok_video_metrics (
    account_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    day TEXT NOT NULL,
    tiktok_video_id BIGINT GENERATED ALWAYS AS (hashtextextended(post_id, hashtextextended(account_id, 0)) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    reading_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    metrics_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    metrics_carried JSONB,
    metrics_json JSONB,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_tiktok_video_metrics PRIMARY KEY (bucket, account_id, post_id, day),
    CONSTRAINT fk_tiktok_video_metrics_bucket_account_id_post_id_tiktok_videos FOREIGN KEY(bucket, account_id, post_id) REFERENCES tiktok_videos (bucket, account_id, post_id)
);
CREATE INDEX ix_tiktok_video_metrics_tiktok_video_id ON tiktok_video_metrics (tiktok_video_id);
COMMENT ON TABLE tiktok_video_metrics IS 'Numbers of TikTok videos by day: a day on which nothing changed, or nothing was read, has no row';
COMMENT ON COLUMN tiktok_video_metrics.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_video_metrics.post_id IS 'of tiktok_videos';
COMMENT ON COLUMN tiktok_video_metrics.day IS 'on which they were read, of UTC, such as 2026-01-31';
COMMENT ON COLUMN tiktok_video_metrics.tiktok_video_id IS 'tiktok_videos.id of the video';
COMMENT ON COLUMN tiktok_video_metrics.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN tiktok_video_metrics.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN tiktok_video_metrics.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN tiktok_video_metrics.reading_version IS 'of the newest event that speaks of reading; '''' for none';
COMMENT ON COLUMN tiktok_video_metrics.read_at IS 'when the newest of its numbers were asked for';
COMMENT ON COLUMN tiktok_video_metrics.metrics_version IS 'of the newest event that speaks of metrics; '''' for none';
COMMENT ON COLUMN tiktok_video_metrics.metrics_carried IS 'versions of what is not of metrics_version, or NULL by what an event said';
COMMENT ON COLUMN tiktok_video_metrics.metrics_json IS 'views, likes, comments and shares: the last numbers of the day';
COMMENT ON COLUMN tiktok_video_metrics.bucket IS 'hash of the account; see schema.events.bucket_of';
"""

EVENTS = """
CREATE TABLE outages (
    began_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_outages PRIMARY KEY (began_at),
    CONSTRAINT ck_outages_times CHECK (ended_at > began_at)
);
COMMENT ON TABLE outages IS 'Times in which nothing received webhooks, and platforms repeated them';
COMMENT ON COLUMN outages.began_at IS 'when a process that receives webhooks last reported';
COMMENT ON COLUMN outages.ended_at IS 'when the next one began';
COMMENT ON COLUMN outages.settled_at IS 'when what it may have lost was looked for; NULL: not yet';
CREATE TABLE event_subscriptions (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    checked_at TIMESTAMP WITH TIME ZONE,
    incomplete_since TIMESTAMP WITH TIME ZONE,
    repaired_at TIMESTAMP WITH TIME ZONE,
    lease_until TIMESTAMP WITH TIME ZONE,
    fence INTEGER DEFAULT 0 NOT NULL,
    state TEXT DEFAULT 'unknown' NOT NULL,
    wanted TEXT[] DEFAULT '{}' NOT NULL,
    missing TEXT[] DEFAULT '{}' NOT NULL,
    advice TEXT,
    trouble TEXT,
    CONSTRAINT pk_event_subscriptions PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_event_subscriptions_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_event_subscriptions_state CHECK (state IN ('unknown', 'complete', 'incomplete')),
    CONSTRAINT ck_event_subscriptions_incomplete CHECK ((state = 'incomplete') = (incomplete_since IS NOT NULL)),
    CONSTRAINT fk_event_subscriptions_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_event_subscriptions_due_at ON event_subscriptions (due_at);
COMMENT ON TABLE event_subscriptions IS 'What the events of connections are subscribed to at their platforms';
COMMENT ON COLUMN event_subscriptions.tenant_id IS 'whose it is';
COMMENT ON COLUMN event_subscriptions.connection_id IS 'whose events are subscribed to';
COMMENT ON COLUMN event_subscriptions.due_at IS 'when it is looked at again';
COMMENT ON COLUMN event_subscriptions.checked_at IS 'when the platform last showed it; NULL: not yet';
COMMENT ON COLUMN event_subscriptions.incomplete_since IS 'when fields were first found to be missing; NULL while none is';
COMMENT ON COLUMN event_subscriptions.repaired_at IS 'when missing fields were last subscribed to again';
COMMENT ON COLUMN event_subscriptions.lease_until IS 'somebody is looking at it until then';
COMMENT ON COLUMN event_subscriptions.fence IS 'which look may write';
COMMENT ON COLUMN event_subscriptions.state IS 'unknown, complete or incomplete';
COMMENT ON COLUMN event_subscriptions.wanted IS 'fields by the platform''s words, each after whose half it is';
COMMENT ON COLUMN event_subscriptions.missing IS 'those of them that are not there';
COMMENT ON COLUMN event_subscriptions.advice IS 'what the operator does about the missing ones';
COMMENT ON COLUMN event_subscriptions.trouble IS 'why the platform could not be asked; NULL once it could';
CREATE TABLE event_silences (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    looked_at TIMESTAMP WITH TIME ZONE,
    rhythm_at TIMESTAMP WITH TIME ZONE,
    heard_at TIMESTAMP WITH TIME ZONE,
    silent_since TIMESTAMP WITH TIME ZONE,
    scanned_to BIGINT DEFAULT 0 NOT NULL,
    usual_hours INTEGER,
    alarm_hours INTEGER,
    CONSTRAINT pk_event_silences PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_event_silences_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_event_silences_silent CHECK (silent_since IS NULL OR alarm_hours IS NOT NULL),
    CONSTRAINT fk_event_silences_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_event_silences_looked_at ON event_silences (looked_at);
COMMENT ON TABLE event_silences IS 'How often events of connections come, and which have been silent for longer than that';
COMMENT ON COLUMN event_silences.tenant_id IS 'whose it is';
COMMENT ON COLUMN event_silences.connection_id IS 'whose events are waited for';
COMMENT ON COLUMN event_silences.looked_at IS 'when the log was last looked at; NULL: not yet';
COMMENT ON COLUMN event_silences.rhythm_at IS 'when its history was last looked at';
COMMENT ON COLUMN event_silences.heard_at IS 'when the last event came by webhook; NULL: none is known';
COMMENT ON COLUMN event_silences.silent_since IS 'the same, once that is longer ago than is usual; NULL while it is not';
COMMENT ON COLUMN event_silences.scanned_to IS 'the last event of the log that was looked at';
COMMENT ON COLUMN event_silences.usual_hours IS 'the longest usual pause between events; NULL: its history is too short';
COMMENT ON COLUMN event_silences.alarm_hours IS 'the pause that is reported; NULL: none is';
"""

NOTICES = """
ALTER TABLE notices DROP CONSTRAINT ck_notices_kind, ADD CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day', 'unsubscribed', 'silent', 'post_failed', 'post_missed', 'post_unconfirmed', 'post_waiting', 'post_late'));
"""

EARLIER_NOTICES = """
DELETE FROM notices WHERE kind IN ('unsubscribed', 'silent');
ALTER TABLE notices DROP CONSTRAINT ck_notices_kind, ADD CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day', 'post_failed', 'post_missed', 'post_unconfirmed', 'post_waiting', 'post_late'));
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON tiktok_account_metrics, tiktok_videos, tiktok_video_metrics TO landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON tiktok_account_metrics, tiktok_videos, tiktok_video_metrics TO landfall_app;
GRANT SELECT, INSERT (tenant_id, connection_id), UPDATE (due_at, checked_at, incomplete_since, repaired_at, lease_until,
    fence, state, wanted, missing, advice, trouble) ON event_subscriptions TO landfall_worker;
GRANT SELECT, INSERT (tenant_id, connection_id), UPDATE (looked_at, rhythm_at, heard_at, silent_since, scanned_to,
    usual_hours, alarm_hours), DELETE ON event_silences TO landfall_worker;
GRANT SELECT, UPDATE (settled_at) ON outages TO landfall_worker;
GRANT SELECT, INSERT (began_at) ON outages TO landfall_web;
GRANT SELECT ON event_subscriptions, event_silences TO landfall_web;
GRANT SELECT ON event_subscriptions, event_silences, outages TO landfall_app;
"""

TENANTED = ("event_subscriptions", "event_silences")

# As in 0004.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# A view may not lose a column, nor change its type: both forms have the same.
VIEW = """
CREATE OR REPLACE VIEW reporting.tiktok_posts AS
SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
            p.error_code, p.error_message,
            jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type,
                'status_at', p.status_at, 'post_ids', (
                    SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
                    WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id
                        AND CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END
                ), 'public_posts', (
                    SELECT jsonb_agg(jsonb_build_object('post_id', i.post_id, 'permalink', v.share_url,
                        'metrics', v.metrics_json) ORDER BY i.post_id)
                    FROM public.tiktok_post_ids i LEFT JOIN public.tiktok_videos v
                        ON v.bucket = i.bucket AND v.account_id = i.account_id AND v.post_id = i.post_id
                    WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id
                        AND CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END
                ))) AS metadata,
            p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
        FROM public.tiktok_posts p
        LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = p.account_id;
COMMENT ON COLUMN reporting.tiktok_posts.metadata IS 'open_id of the account, publish_type, status_at, and its public posts: their ids in post_ids, and in public_posts their addresses and numbers too';
"""

EARLIER_VIEW = """
CREATE OR REPLACE VIEW reporting.tiktok_posts AS
SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
            p.error_code, p.error_message,
            jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type,
                'status_at', p.status_at, 'post_ids', (
                    SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
                    WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id
                        AND i.is_public
                ))) AS metadata,
            p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
        FROM public.tiktok_posts p
        LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = p.account_id;
COMMENT ON COLUMN reporting.tiktok_posts.metadata IS 'open_id of the account, publish_type, status_at, and the ids of its public posts';
"""


def upgrade() -> None:
    for script in (ACCOUNTS, POST_IDS, TABLES, EVENTS, NOTICES, GRANTS, VIEW):
        run(script)
    for table in TENANTED:
        run(POLICIES.format(table=table))


def downgrade() -> None:
    run(EARLIER_VIEW)
    run(EARLIER_NOTICES)
    run(
        """
        DROP TABLE outages, event_silences, event_subscriptions;
        DROP TABLE tiktok_video_metrics, tiktok_videos, tiktok_account_metrics;
        ALTER TABLE tiktok_accounts DROP COLUMN id, DROP COLUMN profile_version, DROP COLUMN profile_carried, DROP COLUMN username, DROP COLUMN display_name, DROP COLUMN bio_description, DROP COLUMN profile_deep_link, DROP COLUMN is_verified, DROP COLUMN union_id, DROP COLUMN metrics_version, DROP COLUMN metrics_carried, DROP COLUMN metrics_json;
        ALTER TABLE tiktok_post_ids DROP COLUMN listing_version, DROP COLUMN listed_at;
        COMMENT ON COLUMN tiktok_post_ids.is_public IS 'whether everybody can see it, as last told';
        COMMENT ON TABLE tiktok_accounts IS 'TikTok accounts that ended the grant, with the latest time that they did';
        """
    )
