"""Publish what readings bring: what is gone, TikTok's videos, numbers by day, and how fresh each row is."""

import importlib

from migrations.script import run

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# Dashboards name accounts, and the keys begin with the bucket.
INDEXES = """
CREATE INDEX ix_ig_media_metrics_account_id_day ON ig_media_metrics (account_id, day);
CREATE INDEX ix_tiktok_video_metrics_account_id_day ON tiktok_video_metrics (account_id, day);
"""

DROPPED = """
DROP VIEW reporting.posts_v1, reporting.comments_v1, reporting.response_times_v1, reporting.engagement_v1, reporting.accounts_v1, reporting.publishing_v1;
DROP VIEW reporting_tenant.posts_v1, reporting_tenant.comments_v1, reporting_tenant.response_times_v1, reporting_tenant.engagement_v1, reporting_tenant.accounts_v1, reporting_tenant.publishing_v1;
"""

VIEWS = """
CREATE VIEW reporting.posts_v1 AS
SELECT (m.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.ig_id)::text AS post_id, (coalesce(m.permalink, t.platform_post_url))::text AS permalink, (m.username)::text AS author, (coalesce(m.caption, t.content))::text AS text, (CASE WHEN m.media_product_type IN ('REELS', 'STORY', 'AD') THEN
            CASE m.media_product_type WHEN 'REELS' THEN 'reel' ELSE lower(m.media_product_type) END
            ELSE coalesce(CASE m.media_type WHEN 'CAROUSEL_ALBUM' THEN 'carousel' ELSE lower(m.media_type) END, t.kind)
            END)::text AS kind, (coalesce(m.timestamp, t.published_at))::timestamp with time zone AS published_at, (CASE WHEN m.deleted_at IS NULL THEN 'published' ELSE 'deleted' END)::text AS state, (m.deleted_at IS NOT NULL)::boolean AS deleted, (m.deleted_at)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (m.metrics_json)::jsonb AS metrics_json, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (m.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = m.bucket AND r.account_id = m.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = m.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = m.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media m LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'instagram' AND t.bucket = m.bucket
            AND t.account_id = m.account_id AND t.platform_post_id = m.ig_id
UNION ALL
SELECT (v.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (v.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (v.post_id)::text AS post_id, (coalesce(v.share_url, t.platform_post_url))::text AS permalink, (NULL)::text AS author, (coalesce(i.title, t.content, nullif(v.video_description, ''), v.title))::text AS text, (coalesce(t.kind, CASE WHEN v.duration > 0 THEN 'video' END))::text AS kind, (coalesce(v.posted_at, t.published_at, i.status_at, v.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN CASE WHEN CASE WHEN v.presence_version <> ''
            THEN to_timestamp(left(v.presence_version, 16)::numeric / 1000000) END >= greatest(v.visibility_at, i.listed_at, '-infinity')
            THEN v.absent_at IS NULL
            WHEN i.listed_at > coalesce(v.visibility_at, '-infinity') THEN true
            ELSE v.is_public IS NOT FALSE END THEN 'published' ELSE 'not_public' END)::text AS state, (false)::boolean AS deleted, (CASE WHEN NOT CASE WHEN CASE WHEN v.presence_version <> ''
            THEN to_timestamp(left(v.presence_version, 16)::numeric / 1000000) END >= greatest(v.visibility_at, i.listed_at, '-infinity')
            THEN v.absent_at IS NULL
            WHEN i.listed_at > coalesce(v.visibility_at, '-infinity') THEN true
            ELSE v.is_public IS NOT FALSE END THEN coalesce(v.absent_at, v.visibility_at) END)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((v.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((v.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((v.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((v.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (v.metrics_json)::jsonb AS metrics_json, (v.created_at)::timestamp with time zone AS created_at, (coalesce(v.updated_at, v.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = v.bucket AND seen.account_id = v.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = v.post_id))::timestamp with time zone AS synced_at, (v.posted_at)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = v.bucket AND r.account_id = v.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = v.bucket AND t.account_id = v.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('videos', 'videos_by_id') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = v.bucket AND seen.account_id = v.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = v.post_id), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = v.bucket AND t.account_id = v.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('tiktok_video') AND t.object_id = v.post_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.tiktok_videos v LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = v.account_id
        LEFT JOIN (SELECT DISTINCT ON (i.bucket, i.account_id, i.post_id) i.bucket, i.account_id, i.post_id, i.is_public,
            i.visibility_at, i.listed_at, i.created_at, i.updated_at, p.title, p.status_at
        FROM public.tiktok_post_ids i JOIN public.tiktok_posts p ON p.bucket = i.bucket
            AND p.account_id = i.account_id AND p.publish_id = i.publish_id
        ORDER BY i.bucket, i.account_id, i.post_id, p.request_version = '', i.publish_id) i ON i.bucket = v.bucket AND i.account_id = v.account_id AND i.post_id = v.post_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = v.bucket
            AND t.account_id = v.account_id AND t.platform_post_id = v.post_id
UNION ALL
SELECT (hashtextextended(i.post_id, hashtextextended(i.account_id, 0)) & 9223372036854775807)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (i.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (i.post_id)::text AS post_id, (t.platform_post_url)::text AS permalink, (NULL)::text AS author, (coalesce(i.title, t.content))::text AS text, (t.kind)::text AS kind, (coalesce(t.published_at, i.status_at, i.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END IS FALSE THEN 'not_public' ELSE 'published' END)::text AS state, (false)::boolean AS deleted, (CASE WHEN CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END IS FALSE THEN i.visibility_at END)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (i.created_at)::timestamp with time zone AS created_at, (coalesce(i.updated_at, i.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM (SELECT DISTINCT ON (i.bucket, i.account_id, i.post_id) i.bucket, i.account_id, i.post_id, i.is_public,
            i.visibility_at, i.listed_at, i.created_at, i.updated_at, p.title, p.status_at
        FROM public.tiktok_post_ids i JOIN public.tiktok_posts p ON p.bucket = i.bucket
            AND p.account_id = i.account_id AND p.publish_id = i.publish_id
        ORDER BY i.bucket, i.account_id, i.post_id, p.request_version = '', i.publish_id) i LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = i.account_id LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = i.bucket
            AND t.account_id = i.account_id AND t.platform_post_id = i.post_id
        WHERE NOT EXISTS (SELECT 1 FROM public.tiktok_videos v WHERE v.bucket = i.bucket
            AND v.account_id = i.account_id AND v.post_id = i.post_id)
UNION ALL
SELECT (p.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (NULL)::text AS post_id, (NULL)::text AS permalink, (NULL)::text AS author, (p.title)::text AS text, (NULL)::text AS kind, (p.status_at)::timestamp with time zone AS published_at, ('published_id_unknown')::text AS state, (false)::boolean AS deleted, (NULL)::timestamp with time zone AS gone_at, (NULL)::text AS target_id, (NULL)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM public.tiktok_posts p LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = p.account_id
        WHERE p.status = 'PUBLISH_COMPLETE' AND p.request_version = '' AND NOT EXISTS (
            SELECT 1 FROM public.tiktok_post_ids i WHERE i.bucket = p.bucket AND i.account_id = p.account_id
                AND i.publish_id = p.publish_id)
UNION ALL
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (NULL)::text AS author, (p.content)::text AS text, (p.kind)::text AS kind, (p.published_at)::timestamp with time zone AS published_at, (p.state)::text AS state, (false)::boolean AS deleted, (NULL)::timestamp with time zone AS gone_at, (p.target_id)::text AS target_id, (p.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (p.published_at)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM public.social_posts p LEFT JOIN public.find_reported_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807
        WHERE p.state IN ('published', 'published_id_unknown', 'awaiting_person') AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            AND NOT EXISTS (SELECT 1 FROM public.ig_media m WHERE p.provider = 'instagram' AND m.bucket = p.bucket
            AND m.account_id = p.account_id AND m.ig_id = p.platform_post_id)
            AND NOT (p.provider = 'tiktok' AND (EXISTS (SELECT 1 FROM public.tiktok_videos v
            WHERE v.bucket = p.bucket AND v.account_id = p.account_id AND v.post_id = p.platform_post_id)
            OR EXISTS (SELECT 1 FROM public.tiktok_post_ids i
            WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.post_id = p.platform_post_id)));
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
COMMENT ON COLUMN reporting.posts_v1.state IS 'published, deleted, not_public (no longer, or deleted, where the platform does not tell), or of posts that the platform took and did not name yet, published_id_unknown or awaiting_person';
COMMENT ON COLUMN reporting.posts_v1.deleted IS 'found to be gone; never of platforms that do not tell deleted from private';
COMMENT ON COLUMN reporting.posts_v1.gone_at IS 'when it was found to be gone, or not public any more; NULL while it is there';
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
COMMENT ON COLUMN reporting.posts_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.posts_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.posts_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.comments_v1 AS
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.timestamp IS NOT NULL)::boolean AS commented_at_is_platforms, (k.parent_ig_id)::text AS parent_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, ((k.parent_ig_id IS NOT NULL)::integer)::integer AS depth, (k.text)::text AS text, (k.from_user)::text AS author, (k.from_id)::text AS author_id, (k.is_own)::boolean AS is_own, (k.is_live)::boolean AS is_live, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at)::timestamp with time zone AS deleted_at, (k.deleted_at IS NULL AND ((SELECT m.deleted_at FROM public.ig_media m WHERE m.bucket = k.bucket
            AND m.account_id = k.account_id AND m.ig_id = k.media_ig_id) IS NOT NULL
        OR k.parent_ig_id IS NOT NULL AND (SELECT coalesce(p.deleted_at, m.deleted_at) FROM public.ig_comments p
            LEFT JOIN public.ig_media m ON m.bucket = p.bucket AND m.account_id = p.account_id
                AND m.ig_id = p.media_ig_id
            WHERE p.bucket = k.bucket AND p.account_id = k.account_id AND p.ig_id = k.parent_ig_id) IS NOT NULL))::boolean AS unreachable, (k.created_at > k.timestamp + interval '1 hour')::boolean AS found_late, (CASE WHEN k.is_own IS NOT TRUE AND k.is_live IS NOT TRUE
            THEN k.timestamp + interval '7 days' END)::timestamp with time zone AS reply_until, ((k.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, (CASE WHEN k.is_own IS NOT TRUE THEN (
            SELECT extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)) FROM (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a) END)::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (k.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('comments') AND t.object_id = k.media_ig_id AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_comment', 'ig_unlisted_comment', 'ig_mentioned_comment') AND t.object_id = k.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_comments k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
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
COMMENT ON COLUMN reporting.comments_v1.unreachable IS 'its post, or the comment that it replies to, is gone, and so nobody sees it';
COMMENT ON COLUMN reporting.comments_v1.found_late IS 'known only an hour after it was written, or later: no webhook brought it; NULL until it was read';
COMMENT ON COLUMN reporting.comments_v1.reply_until IS 'until when the platform takes a private answer to it; NULL: not known, own, or as long as the broadcast lasts';
COMMENT ON COLUMN reporting.comments_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting.comments_v1.answer_seconds IS 'until the account''s first comment in its thread after it that is still there; NULL: none, or own';
COMMENT ON COLUMN reporting.comments_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.comments_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting.comments_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.comments_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.comments_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.response_times_v1 AS
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, (k.text)::text AS text, (k.from_user)::text AS author, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at IS NULL AND ((SELECT m.deleted_at FROM public.ig_media m WHERE m.bucket = k.bucket
            AND m.account_id = k.account_id AND m.ig_id = k.media_ig_id) IS NOT NULL
        OR k.parent_ig_id IS NOT NULL AND (SELECT coalesce(p.deleted_at, m.deleted_at) FROM public.ig_comments p
            LEFT JOIN public.ig_media m ON m.bucket = p.bucket AND m.account_id = p.account_id
                AND m.ig_id = p.media_ig_id
            WHERE p.bucket = k.bucket AND p.account_id = k.account_id AND p.ig_id = k.parent_ig_id) IS NOT NULL))::boolean AS unreachable, (a.ig_id IS NOT NULL)::boolean AS is_answered, (a.ig_id)::text AS answer_id, (a.answered_at)::timestamp with time zone AS answered_at, (extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)))::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (k.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('comments') AND t.object_id = k.media_ig_id AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_comment', 'ig_unlisted_comment', 'ig_mentioned_comment') AND t.object_id = k.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_comments k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
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
COMMENT ON COLUMN reporting.response_times_v1.text IS 'of the comment; NULL until it was read';
COMMENT ON COLUMN reporting.response_times_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting.response_times_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting.response_times_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting.response_times_v1.unreachable IS 'its post, or the comment that it replies to, is gone, and so nobody sees it';
COMMENT ON COLUMN reporting.response_times_v1.is_answered IS 'whether the account wrote in its thread after it, and that is still there';
COMMENT ON COLUMN reporting.response_times_v1.answer_id IS 'comment_id of the first such answer';
COMMENT ON COLUMN reporting.response_times_v1.answered_at IS 'when that was written';
COMMENT ON COLUMN reporting.response_times_v1.answer_seconds IS 'from the comment to that answer';
COMMENT ON COLUMN reporting.response_times_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.response_times_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting.response_times_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.response_times_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.response_times_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.engagement_v1 AS
SELECT (e.tenant_id)::uuid AS tenant_id, (e.platform)::text AS platform, (e.account_id)::text AS account_id, (e.account)::text AS account, (e.connection_id)::bigint AS connection_id, (e.post_key)::bigint AS post_key, (e.post_id)::text AS post_id, (e.day)::date AS day, (sum(coalesce(e.new_comments, 0)))::bigint AS new_comments, (sum(coalesce(e.own_comments, 0)))::bigint AS own_comments, (max(e.views))::bigint AS views, (max(e.likes))::bigint AS likes, (max(e.comments_count))::bigint AS comments_count, (max(e.shares_count))::bigint AS shares_count, (max(e.saves))::bigint AS saves, (max(e.reach))::bigint AS reach, (max(e.views_gained))::bigint AS views_gained, (max(e.likes_gained))::bigint AS likes_gained, (max(e.comments_count_gained))::bigint AS comments_count_gained, (max(e.shares_count_gained))::bigint AS shares_count_gained, (max(e.saves_gained))::bigint AS saves_gained, (max(e.reach_gained))::bigint AS reach_gained, (max(e.measured_at))::timestamp with time zone AS measured_at, (min(e.created_at))::timestamp with time zone AS created_at, (max(e.updated_at))::timestamp with time zone AS updated_at, (max(e.synced_at))::timestamp with time zone AS synced_at, (max(e.source_time))::timestamp with time zone AS source_time, (bool_or(e.stale))::boolean AS stale
FROM (SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.ig_media_id)::bigint AS post_key, (s.ig_id)::text AS post_id, (s.day::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((s.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((s.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((s.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((s.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((s.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, ((s.metrics_json ->> 'views')::numeric::bigint - (SELECT (b.metrics_json ->> 'views')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'views' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS views_gained, ((s.metrics_json ->> 'likes')::numeric::bigint - (SELECT (b.metrics_json ->> 'likes')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'likes' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS likes_gained, ((s.metrics_json ->> 'comments')::numeric::bigint - (SELECT (b.metrics_json ->> 'comments')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'comments' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS comments_count_gained, ((s.metrics_json ->> 'shares')::numeric::bigint - (SELECT (b.metrics_json ->> 'shares')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'shares' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS shares_count_gained, ((s.metrics_json ->> 'saved')::numeric::bigint - (SELECT (b.metrics_json ->> 'saved')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'saved' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS saves_gained, ((s.metrics_json ->> 'reach')::numeric::bigint - (SELECT (b.metrics_json ->> 'reach')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'reach' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS reach_gained, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = s.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = s.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media_metrics s LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.id)::bigint AS post_key, (m.ig_id)::text AS post_id, ((coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC')::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (NULL)::bigint AS views_gained, (NULL)::bigint AS likes_gained, (NULL)::bigint AS comments_count_gained, (NULL)::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS measured_at, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (m.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = m.bucket AND r.account_id = m.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = m.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = m.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media m LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        WHERE m.metrics_json IS NOT NULL AND NOT EXISTS (SELECT 1 FROM public.ig_media_metrics s
            WHERE s.bucket = m.bucket AND s.account_id = m.account_id AND s.ig_id = m.ig_id)
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.day)::date AS day, (k.new_comments)::bigint AS new_comments, (k.own_comments)::bigint AS own_comments, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::bigint AS views_gained, (NULL)::bigint AS likes_gained, (NULL)::bigint AS comments_count_gained, (NULL)::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (NULL)::timestamp with time zone AS measured_at, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = k.media_ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = k.media_ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM (SELECT k.bucket, k.account_id, k.media_ig_id, k.ig_media_id,
            (coalesce(k.timestamp, k.created_at) AT TIME ZONE 'UTC')::date AS day, count(*) FILTER (WHERE k.is_own IS NOT TRUE)
                AS new_comments, count(*) FILTER (WHERE k.is_own) AS own_comments,
            min(k.created_at) AS created_at, max(k.updated_at) AS updated_at
        FROM public.ig_comments k WHERE k.ig_media_id IS NOT NULL
        GROUP BY k.bucket, k.account_id, k.media_ig_id, k.ig_media_id, day) k LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.tiktok_video_id)::bigint AS post_key, (s.post_id)::text AS post_id, (s.day::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((s.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((s.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((s.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, ((s.metrics_json ->> 'views')::numeric::bigint - (SELECT (b.metrics_json ->> 'views')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'views' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS views_gained, ((s.metrics_json ->> 'likes')::numeric::bigint - (SELECT (b.metrics_json ->> 'likes')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'likes' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS likes_gained, ((s.metrics_json ->> 'comments')::numeric::bigint - (SELECT (b.metrics_json ->> 'comments')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'comments' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS comments_count_gained, ((s.metrics_json ->> 'shares')::numeric::bigint - (SELECT (b.metrics_json ->> 'shares')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'shares' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('videos', 'videos_by_id') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('tiktok_video') AND t.object_id = s.post_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.tiktok_video_metrics s LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id) e
GROUP BY e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day;
COMMENT ON VIEW reporting.engagement_v1 IS 'What happened at each post on each day, and its totals; up to synced_at no row is no change';
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
COMMENT ON COLUMN reporting.engagement_v1.views_gained IS 'views of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.likes_gained IS 'likes of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.comments_count_gained IS 'comments_count of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.shares_count_gained IS 'shares_count of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.saves_gained IS 'saves of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.reach_gained IS 'reach of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.engagement_v1.measured_at IS 'when these totals were last looked at on that day; NULL: there are none of that day';
COMMENT ON COLUMN reporting.engagement_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.engagement_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting.engagement_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.engagement_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.engagement_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.account_metrics_v1 AS
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.day::date)::date AS day, ((s.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((s.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((s.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, ((s.metrics_json ->> 'followers')::numeric::bigint - (SELECT (b.metrics_json ->> 'followers')::numeric::bigint FROM public.ig_account_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.day < s.day AND b.metrics_json ->> 'followers' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS followers_gained, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views_of_day, ((s.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach_of_day, (s.metrics_json)::jsonb AS metrics_json, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = s.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = s.account_id), true)))::boolean AS stale FROM public.ig_account_metrics s LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'instagram' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.day::date)::date AS day, ((s.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((s.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((s.metrics_json ->> 'videos')::numeric::bigint)::bigint AS posts_count, ((s.metrics_json ->> 'followers')::numeric::bigint - (SELECT (b.metrics_json ->> 'followers')::numeric::bigint FROM public.tiktok_account_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.day < s.day AND b.metrics_json ->> 'followers' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS followers_gained, (NULL)::bigint AS views_of_day, (NULL)::bigint AS reach_of_day, (s.metrics_json)::jsonb AS metrics_json, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = s.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = s.account_id), true)))::boolean AS stale FROM public.tiktok_account_metrics s LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
            WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id;
COMMENT ON VIEW reporting.account_metrics_v1 IS 'Numbers of each account on each day; up to synced_at no row is no change, and after it a gap';
COMMENT ON COLUMN reporting.account_metrics_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting.account_metrics_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting.account_metrics_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.account_metrics_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting.account_metrics_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting.account_metrics_v1.day IS 'in UTC';
COMMENT ON COLUMN reporting.account_metrics_v1.followers IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.account_metrics_v1.following IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.account_metrics_v1.posts_count IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.account_metrics_v1.followers_gained IS 'followers of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting.account_metrics_v1.views_of_day IS 'how often its posts were seen on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.account_metrics_v1.reach_of_day IS 'accounts that saw its posts on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting.account_metrics_v1.metrics_json IS 'all numbers of that day by the platform''s own names';
COMMENT ON COLUMN reporting.account_metrics_v1.measured_at IS 'when numbers of that day were last read';
COMMENT ON COLUMN reporting.account_metrics_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting.account_metrics_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting.account_metrics_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.account_metrics_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.account_metrics_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.accounts_v1 AS
SELECT (c.tenant_id)::uuid AS tenant_id, (coalesce(c.platform, a.platform))::text AS platform, (coalesce(c.account_id, a.account_id))::text AS account_id, (coalesce(nullif(c.username, ''), a.account))::text AS account, (c.id)::bigint AS connection_id, (nullif(c.instance, ''))::text AS instance, (coalesce(a.name, nullif(c.profile ->> 'name', '')))::text AS name, (c.state)::text AS state, (c.reason)::text AS reason, (c.scopes)::text[] AS scopes, (c.created_at)::timestamp with time zone AS connected_at, (c.expires_at)::timestamp with time zone AS expires_at, (c.authorized_at)::timestamp with time zone AS authorized_at, (a.followers)::bigint AS followers, (a.following)::bigint AS following, (a.posts_count)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (least(a.created_at, c.created_at))::timestamp with time zone AS created_at, (greatest(a.updated_at, c.updated_at))::timestamp with time zone AS updated_at, (a.synced_at)::timestamp with time zone AS synced_at, (a.source_time)::timestamp with time zone AS source_time, (c.state IS DISTINCT FROM 'active' OR coalesce(a.stale, true))::boolean AS stale
FROM public.find_reported_connections() c FULL JOIN (SELECT (NULL)::uuid AS tenant_id, ('instagram')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = a.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = a.bucket AND r.account_id = a.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = a.bucket AND t.account_id = a.account_id AND t.provider = 'instagram'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = a.account_id), true)))::boolean AS stale FROM public.instagram_accounts a
UNION ALL
SELECT (NULL)::uuid AS tenant_id, ('tiktok')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.display_name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'videos')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = a.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = a.bucket AND r.account_id = a.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = a.bucket AND t.account_id = a.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = a.account_id), true)))::boolean AS stale FROM public.tiktok_accounts a) a
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
COMMENT ON COLUMN reporting.accounts_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.accounts_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.accounts_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting.publishing_v1 AS
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.target_id)::text AS target_id, (p.post_id::uuid)::uuid AS landfall_post_id, (p.parent_id)::text AS parent_target_id, (p.kind)::text AS kind, (coalesce(p.is_action, false))::boolean AS is_action, (p.campaign_id)::text AS campaign_id, (p.content)::text AS text, (p.link_url)::text AS link_url, (p.state)::text AS state, (CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
        WHEN p.state IN ('failed', 'missed') THEN 'failed'
        WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END)::text AS status, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (p.error_code)::text AS error_code, (p.error_message)::text AS error_message, (p.retryable)::boolean AS retryable, (p.retry_count)::integer AS failures, (p.scheduled_at)::timestamp with time zone AS scheduled_at, (p.published_at)::timestamp with time zone AS published_at, (extract(epoch FROM p.published_at - p.scheduled_at))::numeric AS late_seconds, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS synced_at, (p.published_at)::timestamp with time zone AS source_time, (false)::boolean AS stale FROM public.social_posts p LEFT JOIN public.find_reported_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807;
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
COMMENT ON COLUMN reporting.publishing_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting.publishing_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting.publishing_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
"""

# A row is judged before anybody's own function sees it: otherwise such a function, in a condition, would see rows of others.
TENANT_VIEWS = """
CREATE VIEW reporting_tenant.posts_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (m.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.ig_id)::text AS post_id, (coalesce(m.permalink, t.platform_post_url))::text AS permalink, (m.username)::text AS author, (coalesce(m.caption, t.content))::text AS text, (CASE WHEN m.media_product_type IN ('REELS', 'STORY', 'AD') THEN
            CASE m.media_product_type WHEN 'REELS' THEN 'reel' ELSE lower(m.media_product_type) END
            ELSE coalesce(CASE m.media_type WHEN 'CAROUSEL_ALBUM' THEN 'carousel' ELSE lower(m.media_type) END, t.kind)
            END)::text AS kind, (coalesce(m.timestamp, t.published_at))::timestamp with time zone AS published_at, (CASE WHEN m.deleted_at IS NULL THEN 'published' ELSE 'deleted' END)::text AS state, (m.deleted_at IS NOT NULL)::boolean AS deleted, (m.deleted_at)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (m.metrics_json)::jsonb AS metrics_json, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (m.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = m.bucket AND r.account_id = m.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = m.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = m.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media m JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'instagram' AND t.bucket = m.bucket
            AND t.account_id = m.account_id AND t.platform_post_id = m.ig_id AND t.user_id = owner.tenant_id::text
UNION ALL
SELECT (v.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (v.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (v.post_id)::text AS post_id, (coalesce(v.share_url, t.platform_post_url))::text AS permalink, (NULL)::text AS author, (coalesce(i.title, t.content, nullif(v.video_description, ''), v.title))::text AS text, (coalesce(t.kind, CASE WHEN v.duration > 0 THEN 'video' END))::text AS kind, (coalesce(v.posted_at, t.published_at, i.status_at, v.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN CASE WHEN CASE WHEN v.presence_version <> ''
            THEN to_timestamp(left(v.presence_version, 16)::numeric / 1000000) END >= greatest(v.visibility_at, i.listed_at, '-infinity')
            THEN v.absent_at IS NULL
            WHEN i.listed_at > coalesce(v.visibility_at, '-infinity') THEN true
            ELSE v.is_public IS NOT FALSE END THEN 'published' ELSE 'not_public' END)::text AS state, (false)::boolean AS deleted, (CASE WHEN NOT CASE WHEN CASE WHEN v.presence_version <> ''
            THEN to_timestamp(left(v.presence_version, 16)::numeric / 1000000) END >= greatest(v.visibility_at, i.listed_at, '-infinity')
            THEN v.absent_at IS NULL
            WHEN i.listed_at > coalesce(v.visibility_at, '-infinity') THEN true
            ELSE v.is_public IS NOT FALSE END THEN coalesce(v.absent_at, v.visibility_at) END)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, ((v.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((v.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((v.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((v.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (v.metrics_json)::jsonb AS metrics_json, (v.created_at)::timestamp with time zone AS created_at, (coalesce(v.updated_at, v.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = v.bucket AND seen.account_id = v.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = v.post_id))::timestamp with time zone AS synced_at, (v.posted_at)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = v.bucket AND r.account_id = v.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = v.bucket AND t.account_id = v.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('videos', 'videos_by_id') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = v.bucket AND seen.account_id = v.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = v.post_id), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = v.bucket AND t.account_id = v.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('tiktok_video') AND t.object_id = v.post_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.tiktok_videos v JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = v.account_id
        LEFT JOIN (SELECT DISTINCT ON (i.bucket, i.account_id, i.post_id) i.bucket, i.account_id, i.post_id, i.is_public,
            i.visibility_at, i.listed_at, i.created_at, i.updated_at, p.title, p.status_at
        FROM public.tiktok_post_ids i JOIN public.tiktok_posts p ON p.bucket = i.bucket
            AND p.account_id = i.account_id AND p.publish_id = i.publish_id
        ORDER BY i.bucket, i.account_id, i.post_id, p.request_version = '', i.publish_id) i ON i.bucket = v.bucket AND i.account_id = v.account_id AND i.post_id = v.post_id
        LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = v.bucket
            AND t.account_id = v.account_id AND t.platform_post_id = v.post_id AND t.user_id = owner.tenant_id::text
UNION ALL
SELECT (hashtextextended(i.post_id, hashtextextended(i.account_id, 0)) & 9223372036854775807)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (i.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (i.post_id)::text AS post_id, (t.platform_post_url)::text AS permalink, (NULL)::text AS author, (coalesce(i.title, t.content))::text AS text, (t.kind)::text AS kind, (coalesce(t.published_at, i.status_at, i.visibility_at))::timestamp with time zone AS published_at, (CASE WHEN CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END IS FALSE THEN 'not_public' ELSE 'published' END)::text AS state, (false)::boolean AS deleted, (CASE WHEN CASE WHEN i.listed_at > coalesce(i.visibility_at, '-infinity') THEN true ELSE i.is_public END IS FALSE THEN i.visibility_at END)::timestamp with time zone AS gone_at, (t.target_id)::text AS target_id, (t.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (i.created_at)::timestamp with time zone AS created_at, (coalesce(i.updated_at, i.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM (SELECT DISTINCT ON (i.bucket, i.account_id, i.post_id) i.bucket, i.account_id, i.post_id, i.is_public,
            i.visibility_at, i.listed_at, i.created_at, i.updated_at, p.title, p.status_at
        FROM public.tiktok_post_ids i JOIN public.tiktok_posts p ON p.bucket = i.bucket
            AND p.account_id = i.account_id AND p.publish_id = i.publish_id
        ORDER BY i.bucket, i.account_id, i.post_id, p.request_version = '', i.publish_id) i JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = i.account_id LEFT JOIN (SELECT DISTINCT ON (provider, bucket, account_id, platform_post_id)
                provider, bucket, account_id, platform_post_id, user_id, target_id,
                kind, content, campaign_id, platform_post_url, published_at
            FROM public.social_posts
            WHERE platform_post_id IS NOT NULL AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            ORDER BY provider, bucket, account_id, platform_post_id, user_id, target_id) t ON t.provider = 'tiktok' AND t.bucket = i.bucket
            AND t.account_id = i.account_id AND t.platform_post_id = i.post_id AND t.user_id = owner.tenant_id::text
        WHERE NOT EXISTS (SELECT 1 FROM public.tiktok_videos v WHERE v.bucket = i.bucket
            AND v.account_id = i.account_id AND v.post_id = i.post_id)
UNION ALL
SELECT (p.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (NULL)::text AS post_id, (NULL)::text AS permalink, (NULL)::text AS author, (p.title)::text AS text, (NULL)::text AS kind, (p.status_at)::timestamp with time zone AS published_at, ('published_id_unknown')::text AS state, (false)::boolean AS deleted, (NULL)::timestamp with time zone AS gone_at, (NULL)::text AS target_id, (NULL)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM public.tiktok_posts p JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = p.account_id
        WHERE p.status = 'PUBLISH_COMPLETE' AND p.request_version = '' AND NOT EXISTS (
            SELECT 1 FROM public.tiktok_post_ids i WHERE i.bucket = p.bucket AND i.account_id = p.account_id
                AND i.publish_id = p.publish_id)
UNION ALL
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (NULL)::text AS author, (p.content)::text AS text, (p.kind)::text AS kind, (p.published_at)::timestamp with time zone AS published_at, (p.state)::text AS state, (false)::boolean AS deleted, (NULL)::timestamp with time zone AS gone_at, (p.target_id)::text AS target_id, (p.campaign_id)::text AS campaign_id, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::jsonb AS metrics_json, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (NULL)::timestamp with time zone AS synced_at, (p.published_at)::timestamp with time zone AS source_time, (true)::boolean AS stale FROM public.social_posts p JOIN public.find_own_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AND owner.tenant_id::text = p.user_id
        WHERE p.state IN ('published', 'published_id_unknown', 'awaiting_person') AND is_action IS NOT TRUE AND coalesce(kind, '') NOT IN ('comment', 'comment_reply')
            AND NOT EXISTS (SELECT 1 FROM public.ig_media m WHERE p.provider = 'instagram' AND m.bucket = p.bucket
            AND m.account_id = p.account_id AND m.ig_id = p.platform_post_id)
            AND NOT (p.provider = 'tiktok' AND (EXISTS (SELECT 1 FROM public.tiktok_videos v
            WHERE v.bucket = p.bucket AND v.account_id = p.account_id AND v.post_id = p.platform_post_id)
            OR EXISTS (SELECT 1 FROM public.tiktok_post_ids i
            WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.post_id = p.platform_post_id)))
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
COMMENT ON COLUMN reporting_tenant.posts_v1.state IS 'published, deleted, not_public (no longer, or deleted, where the platform does not tell), or of posts that the platform took and did not name yet, published_id_unknown or awaiting_person';
COMMENT ON COLUMN reporting_tenant.posts_v1.deleted IS 'found to be gone; never of platforms that do not tell deleted from private';
COMMENT ON COLUMN reporting_tenant.posts_v1.gone_at IS 'when it was found to be gone, or not public any more; NULL while it is there';
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
COMMENT ON COLUMN reporting_tenant.posts_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.posts_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.posts_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.comments_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.timestamp IS NOT NULL)::boolean AS commented_at_is_platforms, (k.parent_ig_id)::text AS parent_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, ((k.parent_ig_id IS NOT NULL)::integer)::integer AS depth, (k.text)::text AS text, (k.from_user)::text AS author, (k.from_id)::text AS author_id, (k.is_own)::boolean AS is_own, (k.is_live)::boolean AS is_live, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at)::timestamp with time zone AS deleted_at, (k.deleted_at IS NULL AND ((SELECT m.deleted_at FROM public.ig_media m WHERE m.bucket = k.bucket
            AND m.account_id = k.account_id AND m.ig_id = k.media_ig_id) IS NOT NULL
        OR k.parent_ig_id IS NOT NULL AND (SELECT coalesce(p.deleted_at, m.deleted_at) FROM public.ig_comments p
            LEFT JOIN public.ig_media m ON m.bucket = p.bucket AND m.account_id = p.account_id
                AND m.ig_id = p.media_ig_id
            WHERE p.bucket = k.bucket AND p.account_id = k.account_id AND p.ig_id = k.parent_ig_id) IS NOT NULL))::boolean AS unreachable, (k.created_at > k.timestamp + interval '1 hour')::boolean AS found_late, (CASE WHEN k.is_own IS NOT TRUE AND k.is_live IS NOT TRUE
            THEN k.timestamp + interval '7 days' END)::timestamp with time zone AS reply_until, ((k.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, (CASE WHEN k.is_own IS NOT TRUE THEN (
            SELECT extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)) FROM (SELECT r.ig_id, coalesce(r.timestamp, r.created_at) AS answered_at FROM public.ig_comments r
            WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.parent_ig_id = coalesce(k.parent_ig_id, k.ig_id)
                AND r.is_own AND r.deleted_at IS NULL AND coalesce(r.timestamp, r.created_at) >= coalesce(k.timestamp, k.created_at)
            ORDER BY coalesce(r.timestamp, r.created_at) LIMIT 1) a) END)::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (k.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('comments') AND t.object_id = k.media_ig_id AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_comment', 'ig_unlisted_comment', 'ig_mentioned_comment') AND t.object_id = k.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_comments k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
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
COMMENT ON COLUMN reporting_tenant.comments_v1.unreachable IS 'its post, or the comment that it replies to, is gone, and so nobody sees it';
COMMENT ON COLUMN reporting_tenant.comments_v1.found_late IS 'known only an hour after it was written, or later: no webhook brought it; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.comments_v1.reply_until IS 'until when the platform takes a private answer to it; NULL: not known, own, or as long as the broadcast lasts';
COMMENT ON COLUMN reporting_tenant.comments_v1.likes IS 'NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.comments_v1.answer_seconds IS 'until the account''s first comment in its thread after it that is still there; NULL: none, or own';
COMMENT ON COLUMN reporting_tenant.comments_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.comments_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting_tenant.comments_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.comments_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.comments_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.response_times_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (k.id)::bigint AS id, (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (coalesce(k.timestamp, k.created_at))::timestamp with time zone AS commented_at, (k.ig_id)::text AS comment_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (coalesce(k.parent_ig_id, k.ig_id))::text AS root_id, (k.text)::text AS text, (k.from_user)::text AS author, (coalesce(k.hidden, false))::boolean AS hidden, (k.deleted_at IS NOT NULL)::boolean AS deleted, (k.deleted_at IS NULL AND ((SELECT m.deleted_at FROM public.ig_media m WHERE m.bucket = k.bucket
            AND m.account_id = k.account_id AND m.ig_id = k.media_ig_id) IS NOT NULL
        OR k.parent_ig_id IS NOT NULL AND (SELECT coalesce(p.deleted_at, m.deleted_at) FROM public.ig_comments p
            LEFT JOIN public.ig_media m ON m.bucket = p.bucket AND m.account_id = p.account_id
                AND m.ig_id = p.media_ig_id
            WHERE p.bucket = k.bucket AND p.account_id = k.account_id AND p.ig_id = k.parent_ig_id) IS NOT NULL))::boolean AS unreachable, (a.ig_id IS NOT NULL)::boolean AS is_answered, (a.ig_id)::text AS answer_id, (a.answered_at)::timestamp with time zone AS answered_at, (extract(epoch FROM a.answered_at - coalesce(k.timestamp, k.created_at)))::numeric AS answer_seconds, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (k.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('comments') AND t.object_id = k.media_ig_id AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_comment', 'ig_mentioned_comment') AND seen.object_id = k.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_comment', 'ig_unlisted_comment', 'ig_mentioned_comment') AND t.object_id = k.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_comments k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
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
COMMENT ON COLUMN reporting_tenant.response_times_v1.text IS 'of the comment; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.response_times_v1.author IS 'username of whoever wrote it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.hidden IS 'false until it is known to be';
COMMENT ON COLUMN reporting_tenant.response_times_v1.deleted IS 'found to be gone';
COMMENT ON COLUMN reporting_tenant.response_times_v1.unreachable IS 'its post, or the comment that it replies to, is gone, and so nobody sees it';
COMMENT ON COLUMN reporting_tenant.response_times_v1.is_answered IS 'whether the account wrote in its thread after it, and that is still there';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answer_id IS 'comment_id of the first such answer';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answered_at IS 'when that was written';
COMMENT ON COLUMN reporting_tenant.response_times_v1.answer_seconds IS 'from the comment to that answer';
COMMENT ON COLUMN reporting_tenant.response_times_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.response_times_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting_tenant.response_times_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.response_times_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.response_times_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.engagement_v1 WITH (security_barrier) AS
SELECT (e.tenant_id)::uuid AS tenant_id, (e.platform)::text AS platform, (e.account_id)::text AS account_id, (e.account)::text AS account, (e.connection_id)::bigint AS connection_id, (e.post_key)::bigint AS post_key, (e.post_id)::text AS post_id, (e.day)::date AS day, (sum(coalesce(e.new_comments, 0)))::bigint AS new_comments, (sum(coalesce(e.own_comments, 0)))::bigint AS own_comments, (max(e.views))::bigint AS views, (max(e.likes))::bigint AS likes, (max(e.comments_count))::bigint AS comments_count, (max(e.shares_count))::bigint AS shares_count, (max(e.saves))::bigint AS saves, (max(e.reach))::bigint AS reach, (max(e.views_gained))::bigint AS views_gained, (max(e.likes_gained))::bigint AS likes_gained, (max(e.comments_count_gained))::bigint AS comments_count_gained, (max(e.shares_count_gained))::bigint AS shares_count_gained, (max(e.saves_gained))::bigint AS saves_gained, (max(e.reach_gained))::bigint AS reach_gained, (max(e.measured_at))::timestamp with time zone AS measured_at, (min(e.created_at))::timestamp with time zone AS created_at, (max(e.updated_at))::timestamp with time zone AS updated_at, (max(e.synced_at))::timestamp with time zone AS synced_at, (max(e.source_time))::timestamp with time zone AS source_time, (bool_or(e.stale))::boolean AS stale
FROM (SELECT * FROM (
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.ig_media_id)::bigint AS post_key, (s.ig_id)::text AS post_id, (s.day::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((s.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((s.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((s.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((s.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((s.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, ((s.metrics_json ->> 'views')::numeric::bigint - (SELECT (b.metrics_json ->> 'views')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'views' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS views_gained, ((s.metrics_json ->> 'likes')::numeric::bigint - (SELECT (b.metrics_json ->> 'likes')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'likes' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS likes_gained, ((s.metrics_json ->> 'comments')::numeric::bigint - (SELECT (b.metrics_json ->> 'comments')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'comments' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS comments_count_gained, ((s.metrics_json ->> 'shares')::numeric::bigint - (SELECT (b.metrics_json ->> 'shares')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'shares' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS shares_count_gained, ((s.metrics_json ->> 'saved')::numeric::bigint - (SELECT (b.metrics_json ->> 'saved')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'saved' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS saves_gained, ((s.metrics_json ->> 'reach')::numeric::bigint - (SELECT (b.metrics_json ->> 'reach')::numeric::bigint FROM public.ig_media_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.ig_id = s.ig_id AND b.day < s.day AND b.metrics_json ->> 'reach' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS reach_gained, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = s.bucket AND f.account_id = s.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = s.ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = s.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = s.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = s.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media_metrics s JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (m.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (m.id)::bigint AS post_key, (m.ig_id)::text AS post_id, ((coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC')::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((m.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((m.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((m.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((m.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, ((m.metrics_json ->> 'saved')::numeric::bigint)::bigint AS saves, ((m.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach, (NULL)::bigint AS views_gained, (NULL)::bigint AS likes_gained, (NULL)::bigint AS comments_count_gained, (NULL)::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS measured_at, (m.created_at)::timestamp with time zone AS created_at, (coalesce(m.updated_at, m.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, (m.timestamp)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = m.bucket AND r.account_id = m.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = m.bucket AND f.account_id = m.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = m.ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = m.bucket AND seen.account_id = m.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = m.ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = m.ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = m.bucket AND t.account_id = m.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = m.ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.ig_media m JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = m.account_id
        WHERE m.metrics_json IS NOT NULL AND NOT EXISTS (SELECT 1 FROM public.ig_media_metrics s
            WHERE s.bucket = m.bucket AND s.account_id = m.account_id AND s.ig_id = m.ig_id)
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (k.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (k.ig_media_id)::bigint AS post_key, (k.media_ig_id)::text AS post_id, (k.day)::date AS day, (k.new_comments)::bigint AS new_comments, (k.own_comments)::bigint AS own_comments, (NULL)::bigint AS views, (NULL)::bigint AS likes, (NULL)::bigint AS comments_count, (NULL)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, (NULL)::bigint AS views_gained, (NULL)::bigint AS likes_gained, (NULL)::bigint AS comments_count_gained, (NULL)::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (NULL)::timestamp with time zone AS measured_at, (k.created_at)::timestamp with time zone AS created_at, (coalesce(k.updated_at, k.created_at))::timestamp with time zone AS updated_at, ((SELECT CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = k.bucket AND r.account_id = k.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END < now() - CASE WHEN seen.parent = 'unlisted' THEN interval '1 day' ELSE interval '35 days' END)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('media', 'recent_media') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, (SELECT f.checked_at FROM public.pull_objects f WHERE f.bucket = k.bucket AND f.account_id = k.account_id AND f.provider = 'instagram' AND f.kind = 'ig_media_insights' AND f.object_id = k.media_ig_id)) END < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = k.bucket AND seen.account_id = k.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_media', 'ig_mentioned_media') AND seen.object_id = k.media_ig_id ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('ig_media', 'ig_mentioned_media') AND t.object_id = k.media_ig_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = k.bucket AND t.account_id = k.account_id AND t.provider = 'instagram'
                AND t.kind IN ('feed_insights', 'reel_insights', 'story_insights') AND t.object_id = k.media_ig_id AND t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - interval '1 hour') LIMIT 1) IS NOT NULL))::boolean AS stale FROM (SELECT k.bucket, k.account_id, k.media_ig_id, k.ig_media_id,
            (coalesce(k.timestamp, k.created_at) AT TIME ZONE 'UTC')::date AS day, count(*) FILTER (WHERE k.is_own IS NOT TRUE)
                AS new_comments, count(*) FILTER (WHERE k.is_own) AS own_comments,
            min(k.created_at) AS created_at, max(k.updated_at) AS updated_at
        FROM public.ig_comments k WHERE k.ig_media_id IS NOT NULL
        GROUP BY k.bucket, k.account_id, k.media_ig_id, k.ig_media_id, day) k JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = k.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.tiktok_video_id)::bigint AS post_key, (s.post_id)::text AS post_id, (s.day::date)::date AS day, (NULL)::bigint AS new_comments, (NULL)::bigint AS own_comments, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views, ((s.metrics_json ->> 'likes')::numeric::bigint)::bigint AS likes, ((s.metrics_json ->> 'comments')::numeric::bigint)::bigint AS comments_count, ((s.metrics_json ->> 'shares')::numeric::bigint)::bigint AS shares_count, (NULL)::bigint AS saves, (NULL)::bigint AS reach, ((s.metrics_json ->> 'views')::numeric::bigint - (SELECT (b.metrics_json ->> 'views')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'views' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS views_gained, ((s.metrics_json ->> 'likes')::numeric::bigint - (SELECT (b.metrics_json ->> 'likes')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'likes' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS likes_gained, ((s.metrics_json ->> 'comments')::numeric::bigint - (SELECT (b.metrics_json ->> 'comments')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'comments' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS comments_count_gained, ((s.metrics_json ->> 'shares')::numeric::bigint - (SELECT (b.metrics_json ->> 'shares')::numeric::bigint FROM public.tiktok_video_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.post_id = s.post_id AND b.day < s.day AND b.metrics_json ->> 'shares' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS shares_count_gained, (NULL)::bigint AS saves_gained, (NULL)::bigint AS reach_gained, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id))::timestamp with time zone AS synced_at, ((SELECT seen.source_time FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id))::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('videos', 'videos_by_id') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_video') AND seen.object_id = s.post_id), true)) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('tiktok_video') AND t.object_id = s.post_id AND t.due_at IS NOT NULL AND t.skip_code IS NULL LIMIT 1) IS NOT NULL))::boolean AS stale FROM public.tiktok_video_metrics s JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
) u) e
GROUP BY e.tenant_id, e.platform, e.account_id, e.account, e.connection_id, e.post_key, e.post_id, e.day;
COMMENT ON VIEW reporting_tenant.engagement_v1 IS 'What happened at each post on each day, and its totals; up to synced_at no row is no change';
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
COMMENT ON COLUMN reporting_tenant.engagement_v1.views_gained IS 'views of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.likes_gained IS 'likes of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.comments_count_gained IS 'comments_count of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.shares_count_gained IS 'shares_count of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.saves_gained IS 'saves of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.reach_gained IS 'reach of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.engagement_v1.measured_at IS 'when these totals were last looked at on that day; NULL: there are none of that day';
COMMENT ON COLUMN reporting_tenant.engagement_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.engagement_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting_tenant.engagement_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.engagement_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.engagement_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.account_metrics_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (owner.tenant_id)::uuid AS tenant_id, ('instagram')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.day::date)::date AS day, ((s.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((s.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((s.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, ((s.metrics_json ->> 'followers')::numeric::bigint - (SELECT (b.metrics_json ->> 'followers')::numeric::bigint FROM public.ig_account_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.day < s.day AND b.metrics_json ->> 'followers' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS followers_gained, ((s.metrics_json ->> 'views')::numeric::bigint)::bigint AS views_of_day, ((s.metrics_json ->> 'reach')::numeric::bigint)::bigint AS reach_of_day, (s.metrics_json)::jsonb AS metrics_json, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = s.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'instagram'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = s.account_id), true)))::boolean AS stale FROM public.ig_account_metrics s JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'instagram' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
UNION ALL
SELECT (owner.tenant_id)::uuid AS tenant_id, ('tiktok')::text AS platform, (s.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (owner.id)::bigint AS connection_id, (s.day::date)::date AS day, ((s.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((s.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((s.metrics_json ->> 'videos')::numeric::bigint)::bigint AS posts_count, ((s.metrics_json ->> 'followers')::numeric::bigint - (SELECT (b.metrics_json ->> 'followers')::numeric::bigint FROM public.tiktok_account_metrics b WHERE b.bucket = s.bucket AND b.account_id = s.account_id AND b.day < s.day AND b.metrics_json ->> 'followers' IS NOT NULL
            ORDER BY b.day DESC LIMIT 1))::bigint AS followers_gained, (NULL)::bigint AS views_of_day, (NULL)::bigint AS reach_of_day, (s.metrics_json)::jsonb AS metrics_json, (s.read_at)::timestamp with time zone AS measured_at, (s.created_at)::timestamp with time zone AS created_at, (coalesce(s.updated_at, s.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = s.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, ((owner.state IS DISTINCT FROM 'active') OR ((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = s.bucket AND r.account_id = s.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = s.bucket AND t.account_id = s.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = s.bucket AND seen.account_id = s.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = s.account_id), true)))::boolean AS stale FROM public.tiktok_account_metrics s JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_own_connections()
            WHERE platform = 'tiktok' AND shown ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) owner
            ON owner.account_id = s.account_id
) u;
COMMENT ON VIEW reporting_tenant.account_metrics_v1 IS 'Numbers of each account on each day; up to synced_at no row is no change, and after it a gap';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.tenant_id IS 'whose account it is; NULL where no tenant has connected it';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.platform IS 'where it is';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.account IS 'username of the account, as its connection has it';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.connection_id IS 'accounts_v1.connection_id; NULL where no tenant has connected the account';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.day IS 'in UTC';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.followers IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.following IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.posts_count IS 'as last read on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.followers_gained IS 'followers of that day less the last earlier known value, which may be days ago; NULL: either is unknown';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.views_of_day IS 'how often its posts were seen on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.reach_of_day IS 'accounts that saw its posts on that day; NULL is unknown, not 0';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.metrics_json IS 'all numbers of that day by the platform''s own names';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.measured_at IS 'when numbers of that day were last read';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.created_at IS 'when it was first known';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.updated_at IS 'when it was last heard of';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.account_metrics_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.accounts_v1 WITH (security_barrier) AS
SELECT (c.tenant_id)::uuid AS tenant_id, (coalesce(c.platform, a.platform))::text AS platform, (coalesce(c.account_id, a.account_id))::text AS account_id, (coalesce(nullif(c.username, ''), a.account))::text AS account, (c.id)::bigint AS connection_id, (nullif(c.instance, ''))::text AS instance, (coalesce(a.name, nullif(c.profile ->> 'name', '')))::text AS name, (c.state)::text AS state, (c.reason)::text AS reason, (c.scopes)::text[] AS scopes, (c.created_at)::timestamp with time zone AS connected_at, (c.expires_at)::timestamp with time zone AS expires_at, (c.authorized_at)::timestamp with time zone AS authorized_at, (a.followers)::bigint AS followers, (a.following)::bigint AS following, (a.posts_count)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (least(a.created_at, c.created_at))::timestamp with time zone AS created_at, (greatest(a.updated_at, c.updated_at))::timestamp with time zone AS updated_at, (a.synced_at)::timestamp with time zone AS synced_at, (a.source_time)::timestamp with time zone AS source_time, (c.state IS DISTINCT FROM 'active' OR coalesce(a.stale, true))::boolean AS stale
FROM public.find_own_connections() c LEFT JOIN (SELECT * FROM (
SELECT (NULL)::uuid AS tenant_id, ('instagram')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'media')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = a.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = a.bucket AND r.account_id = a.account_id AND r.provider = 'instagram' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = a.bucket AND t.account_id = a.account_id AND t.provider = 'instagram'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'instagram'
            AND seen.kind IN ('ig_account') AND seen.object_id = a.account_id), true)))::boolean AS stale FROM public.instagram_accounts a
UNION ALL
SELECT (NULL)::uuid AS tenant_id, ('tiktok')::text AS platform, (a.account_id)::text AS account_id, (a.username)::text AS account, (NULL)::bigint AS connection_id, (NULL)::text AS instance, (a.display_name)::text AS name, (NULL)::text AS state, (NULL)::text AS reason, (NULL)::text[] AS scopes, (NULL)::timestamp with time zone AS connected_at, (NULL)::timestamp with time zone AS expires_at, (NULL)::timestamp with time zone AS authorized_at, ((a.metrics_json ->> 'followers')::numeric::bigint)::bigint AS followers, ((a.metrics_json ->> 'follows')::numeric::bigint)::bigint AS following, ((a.metrics_json ->> 'videos')::numeric::bigint)::bigint AS posts_count, (a.metrics_json)::jsonb AS metrics_json, (a.created_at)::timestamp with time zone AS created_at, (coalesce(a.updated_at, a.created_at))::timestamp with time zone AS updated_at, ((SELECT seen.checked_at FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = a.account_id))::timestamp with time zone AS synced_at, (NULL)::timestamp with time zone AS source_time, (((SELECT r.authorized_at FROM public.pull_accounts r WHERE r.bucket = a.bucket AND r.account_id = a.account_id AND r.provider = 'tiktok' AND r.trouble IS NULL) IS NULL) OR (coalesce((SELECT (seen.checked_at IS NULL) OR (seen.gone_at IS NULL AND (seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL OR seen.checked_at < now() - interval '35 days')) OR ((SELECT true FROM public.pull_tasks t WHERE t.bucket = a.bucket AND t.account_id = a.account_id AND t.provider = 'tiktok'
                AND t.kind IN ('account') AND t.object_id = '' AND (t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - interval '1 hour' AND seen.checked_at < t.due_at) LIMIT 1) IS NOT NULL) FROM public.pull_objects seen WHERE seen.bucket = a.bucket AND seen.account_id = a.account_id AND seen.provider = 'tiktok'
            AND seen.kind IN ('tiktok_account') AND seen.object_id = a.account_id), true)))::boolean AS stale FROM public.tiktok_accounts a
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
COMMENT ON COLUMN reporting_tenant.accounts_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.accounts_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.accounts_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
CREATE VIEW reporting_tenant.publishing_v1 WITH (security_barrier) AS
SELECT * FROM (
SELECT (p.id)::bigint AS id, (p.user_id::uuid)::uuid AS tenant_id, (p.provider)::text AS platform, (p.account_id)::text AS account_id, (nullif(owner.username, ''))::text AS account, (uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807)::bigint AS connection_id, (p.target_id)::text AS target_id, (p.post_id::uuid)::uuid AS landfall_post_id, (p.parent_id)::text AS parent_target_id, (p.kind)::text AS kind, (coalesce(p.is_action, false))::boolean AS is_action, (p.campaign_id)::text AS campaign_id, (p.content)::text AS text, (p.link_url)::text AS link_url, (p.state)::text AS state, (CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
        WHEN p.state IN ('failed', 'missed') THEN 'failed'
        WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END)::text AS status, (p.platform_post_id)::text AS post_id, (p.platform_post_url)::text AS permalink, (p.error_code)::text AS error_code, (p.error_message)::text AS error_message, (p.retryable)::boolean AS retryable, (p.retry_count)::integer AS failures, (p.scheduled_at)::timestamp with time zone AS scheduled_at, (p.published_at)::timestamp with time zone AS published_at, (extract(epoch FROM p.published_at - p.scheduled_at))::numeric AS late_seconds, (p.created_at)::timestamp with time zone AS created_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS updated_at, (coalesce(p.updated_at, p.created_at))::timestamp with time zone AS synced_at, (p.published_at)::timestamp with time zone AS source_time, (false)::boolean AS stale FROM public.social_posts p JOIN public.find_own_connections() owner ON owner.id = uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AND owner.tenant_id::text = p.user_id
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
COMMENT ON COLUMN reporting_tenant.publishing_v1.synced_at IS 'when the platform was last asked for it, and showed it; NULL: never';
COMMENT ON COLUMN reporting_tenant.publishing_v1.source_time IS 'when it was made, by the platform''s clock; NULL until it was read';
COMMENT ON COLUMN reporting_tenant.publishing_v1.stale IS 'whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or is not looked at again, reading it has trouble, or an event of it waits to be looked up';
"""

GRANTS = """
GRANT SELECT ON reporting.posts_v1, reporting.comments_v1, reporting.response_times_v1, reporting.engagement_v1, reporting.account_metrics_v1, reporting.accounts_v1, reporting.publishing_v1 TO landfall_reader, landfall_app;
GRANT SELECT ON reporting_tenant.posts_v1, reporting_tenant.comments_v1, reporting_tenant.response_times_v1, reporting_tenant.engagement_v1, reporting_tenant.account_metrics_v1, reporting_tenant.accounts_v1, reporting_tenant.publishing_v1 TO landfall_tenant_reader, landfall_web;
"""


def upgrade() -> None:
    for script in (DROPPED, INDEXES, VIEWS, TENANT_VIEWS, GRANTS):
        run(script)


def downgrade() -> None:
    before = importlib.import_module("migrations.versions.0025_published_views")
    run(
        """
        DROP SCHEMA reporting_tenant CASCADE;
        DROP VIEW reporting.posts_v1, reporting.comments_v1, reporting.response_times_v1, reporting.engagement_v1, reporting.account_metrics_v1, reporting.accounts_v1, reporting.publishing_v1;
        DROP INDEX ix_ig_media_metrics_account_id_day, ix_tiktok_video_metrics_account_id_day;
        """
    )
    for script in (before.VIEWS, before.TENANT_VIEWS, before.GRANTS):
        run(script)
