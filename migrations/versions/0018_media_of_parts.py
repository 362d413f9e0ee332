"""Let a part of a thread have files of its own, and tell posts from what is done to posts that are there."""

from migrations.script import run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE post_media ADD COLUMN target_id UUID;
COMMENT ON COLUMN post_media.target_id IS 'the part of a thread, or the first comment, that shows it; NULL for the post itself';
CREATE INDEX ix_post_media_target_id ON post_media (tenant_id, target_id) WHERE target_id IS NOT NULL;
ALTER TABLE social_posts ADD COLUMN is_action BOOLEAN;
COMMENT ON COLUMN social_posts.is_action IS 'whether it acts on, or answers, what is no part of its own post; NULL: it does not';
COMMENT ON COLUMN post_media.position IS 'from 0; those of parts from 1000';
"""

# As in 0015, but for what a part shows, and for is_action.
EVENTS = """
CREATE OR REPLACE FUNCTION append_target_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
    name text := 'target:' || NEW.id || ':' || NEW.sequence;
    place smallint := public.bucket_of(NEW.platform, NEW.account_id);
    number bigint;
    below boolean;
    said jsonb;
BEGIN
    PERFORM set_config('landfall.tenant', NEW.tenant_id::text, true);
    below := EXISTS (SELECT FROM public.post_targets parent WHERE parent.tenant_id = NEW.tenant_id
        AND parent.id = NEW.parent_id AND parent.post_id = NEW.post_id);
    SELECT jsonb_build_object('sequence', NEW.sequence, 'target_id', NEW.id, 'user_id', NEW.tenant_id,
            'post_id', NEW.post_id, 'connection_id', NEW.connection_id, 'parent_id', NEW.parent_id, 'kind', NEW.kind,
            'is_action', NEW.options ? 'parent_post_id' OR (NEW.parent_id IS NOT NULL AND NOT below),
            'content', coalesce(NEW.content, p.content), 'hashtags', array_to_string(p.hashtags, ' '),
            'media_ids', (SELECT coalesce(string_agg(m.media_id::text, ' ' ORDER BY m.position), '')
                FROM public.post_media m WHERE m.tenant_id = NEW.tenant_id AND m.post_id = NEW.post_id
                AND m.target_id IS NOT DISTINCT FROM CASE WHEN below THEN NEW.id END),
            'campaign_id', p.campaign_id, 'link_url', CASE WHEN NOT below THEN p.link->>'url' END,
            'link_title', CASE WHEN NOT below THEN p.link->>'title' END,
            'scheduled_at', p.scheduled_at, 'state', NEW.state, 'step', NEW.step,
            'platform_post_id', NEW.platform_post_id, 'platform_post_url', NEW.platform_post_url,
            'error_code', NEW.error_code, 'error_message', NEW.error_message, 'retryable', NEW.retryable,
            'retry_count', NEW.failures, 'published_at', NEW.published_at)
        INTO said FROM public.posts p WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.post_id;
    PERFORM set_config('landfall.tenant', acting, true);
    INSERT INTO public.webhook_event_identities (bucket, identity, event_id)
        VALUES (place, public.identity_of(NEW.platform, NEW.account_id, name), public.next_event_id(now()))
        RETURNING event_id INTO number;
    INSERT INTO public.webhook_event_log (id, bucket, provider, account_id, event_type, external_id, rule_version,
            payload_json, occurred_at, sanitized, source)
        VALUES (number, place, NEW.platform, NEW.account_id, 'target.' || NEW.state, name, 1, said, now(), false, 'own');
    INSERT INTO public.webhook_event_queue (bucket, account_id, event_id) VALUES (place, NEW.account_id, number);
    RETURN NULL;
END $$;
"""

EVENTS_BEFORE = """
CREATE OR REPLACE FUNCTION append_target_event() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
    name text := 'target:' || NEW.id || ':' || NEW.sequence;
    place smallint := public.bucket_of(NEW.platform, NEW.account_id);
    number bigint;
    said jsonb;
BEGIN
    PERFORM set_config('landfall.tenant', NEW.tenant_id::text, true);
    SELECT jsonb_build_object('sequence', NEW.sequence, 'target_id', NEW.id, 'user_id', NEW.tenant_id,
            'post_id', NEW.post_id, 'connection_id', NEW.connection_id, 'parent_id', NEW.parent_id, 'kind', NEW.kind,
            'content', coalesce(NEW.content, p.content), 'hashtags', array_to_string(p.hashtags, ' '),
            'media_ids', (SELECT coalesce(string_agg(m.media_id::text, ' ' ORDER BY m.position), '')
                FROM public.post_media m WHERE m.tenant_id = NEW.tenant_id AND m.post_id = NEW.post_id),
            'campaign_id', p.campaign_id, 'link_url', p.link->>'url', 'link_title', p.link->>'title',
            'scheduled_at', p.scheduled_at, 'state', NEW.state, 'step', NEW.step,
            'platform_post_id', NEW.platform_post_id, 'platform_post_url', NEW.platform_post_url,
            'error_code', NEW.error_code, 'error_message', NEW.error_message, 'retryable', NEW.retryable,
            'retry_count', NEW.failures, 'published_at', NEW.published_at)
        INTO said FROM public.posts p WHERE p.tenant_id = NEW.tenant_id AND p.id = NEW.post_id;
    PERFORM set_config('landfall.tenant', acting, true);
    INSERT INTO public.webhook_event_identities (bucket, identity, event_id)
        VALUES (place, public.identity_of(NEW.platform, NEW.account_id, name), public.next_event_id(now()))
        RETURNING event_id INTO number;
    INSERT INTO public.webhook_event_log (id, bucket, provider, account_id, event_type, external_id, rule_version,
            payload_json, occurred_at, sanitized, source)
        VALUES (number, place, NEW.platform, NEW.account_id, 'target.' || NEW.state, name, 1, said, now(), false, 'own');
    INSERT INTO public.webhook_event_queue (bucket, account_id, event_id) VALUES (place, NEW.account_id, number);
    RETURN NULL;
END $$;
"""

VIEWS = """
CREATE OR REPLACE VIEW reporting.scheduled_posts AS
SELECT p.id, p.campaign_id, p.user_id::uuid AS user_id, uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AS social_connection_id,
        p.provider AS platform, p.content AS post_content,
        ARRAY(SELECT '/api/media/' || m.id FROM regexp_split_to_table(p.media_ids, ' ')
            WITH ORDINALITY AS m(id, position) WHERE m.id <> '' ORDER BY m.position) AS media_urls,
        array_remove(string_to_array(p.hashtags, ' '), '') AS hashtags,
        p.scheduled_at AS scheduled_time, CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
WHEN p.state IN ('failed', 'missed') THEN 'failed'
WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END AS status, p.platform_post_id,
        p.error_message AS posting_error, p.retry_count, p.created_at
    FROM public.social_posts p{posts};
CREATE OR REPLACE VIEW reporting.social_shares AS
SELECT uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AS connection, p.link_url AS shared_url, p.link_title AS shared_title,
        p.platform_post_id, p.platform_post_url, CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
WHEN p.state IN ('failed', 'missed') THEN 'failed'
WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END AS status, p.error_message, p.created_at
    FROM public.social_posts p WHERE p.link_url IS NOT NULL{shares};
"""


def upgrade() -> None:
    run(COLUMNS)
    run(EVENTS)
    run(VIEWS.format(posts=" WHERE p.is_action IS NOT TRUE", shares=" AND p.is_action IS NOT TRUE"))


def downgrade() -> None:
    run(VIEWS.format(posts="", shares=""))
    run(EVENTS_BEFORE)
    run(
        """
        DELETE FROM post_media WHERE target_id IS NOT NULL;
        DROP INDEX ix_post_media_target_id;
        ALTER TABLE post_media DROP COLUMN target_id;
        ALTER TABLE social_posts DROP COLUMN is_action;
        COMMENT ON COLUMN post_media.position IS 'from 0';
        """
    )
