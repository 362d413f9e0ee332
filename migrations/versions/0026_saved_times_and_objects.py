"""Keep the time zone release that decided a time, name in its event what an action acts on, and take audio files."""

from migrations.script import run

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


# As in 0019, with the id of what an action acts on, and whether that is a post or a comment.
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
{objects}            'content', coalesce(NEW.content, p.content), 'hashtags', array_to_string(p.hashtags, ' '),
            'media_ids', (SELECT coalesce(string_agg(m.media_id::text, ' ' ORDER BY m.position), '')
                FROM public.post_media m WHERE m.tenant_id = NEW.tenant_id AND m.post_id = NEW.post_id
                AND m.target_id IS NOT DISTINCT FROM CASE WHEN below THEN NEW.id END),
            'campaign_id', p.campaign_id, 'link_url', CASE WHEN NOT below THEN p.link->>'url' END,
            'link_title', CASE WHEN NOT below THEN p.link->>'title' END,
            'scheduled_at', coalesce(NEW.slot_at, p.scheduled_at), 'state', NEW.state, 'step', NEW.step,
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

OBJECTS = """            'object_id', NEW.options->>'parent_post_id', 'object_kind', NEW.object_kind,
"""


def upgrade() -> None:
    run(
        """
        ALTER TABLE post_targets ADD COLUMN slot_local_time TEXT, ADD COLUMN slot_zone TEXT, ADD COLUMN tzdata TEXT, ADD COLUMN moved_from TIMESTAMP WITH TIME ZONE;
        ALTER TABLE post_recurrences ADD COLUMN tzdata TEXT;
        COMMENT ON COLUMN post_targets.slot_local_time IS 'the wall time of that slot, such as 2026-11-28T09:00';
        COMMENT ON COLUMN post_targets.slot_zone IS 'the IANA zone of that time';
        COMMENT ON COLUMN post_targets.tzdata IS 'release of the time zone database by which its wall time was turned into UTC; NULL without one';
        COMMENT ON COLUMN post_targets.moved_from IS 'when it was due before a later release moved it; NULL if none did';
        COMMENT ON COLUMN post_recurrences.tzdata IS 'release of the time zone database that gave next_at; NULL if it is not known';
        CREATE INDEX ix_post_targets_tzdata ON post_targets (tzdata) WHERE tzdata IS NOT NULL AND ((state = 'draft') OR (state = 'awaiting_approval') OR (state = 'scheduled'));
        GRANT INSERT (slot_local_time, slot_zone, tzdata), UPDATE (slot_local_time, slot_zone, tzdata, moved_from) ON post_targets TO landfall_web, landfall_worker;
        GRANT INSERT (tzdata), UPDATE (tzdata) ON post_recurrences TO landfall_web, landfall_worker;
        GRANT UPDATE (at) ON post_occurrences TO landfall_web, landfall_worker;
        ALTER TABLE media DROP CONSTRAINT ck_media_kind, ADD CONSTRAINT ck_media_kind CHECK (kind IN ('image', 'gif', 'video', 'audio', 'document'));
        COMMENT ON TABLE media IS 'Files to be posted: images, videos, sound and documents';
        ALTER TABLE post_targets ADD COLUMN object_kind TEXT;
        COMMENT ON COLUMN post_targets.object_kind IS 'whether what an action acts on is a post or a comment; NULL if that is not known, and for a post';
        GRANT INSERT (object_kind) ON post_targets TO landfall_web, landfall_worker;
        ALTER TABLE social_posts ADD COLUMN object_id TEXT, ADD COLUMN object_kind TEXT;
        COMMENT ON COLUMN social_posts.object_id IS 'the platform''s id of what an action acts on, or answers; NULL for a post';
        COMMENT ON COLUMN social_posts.object_kind IS 'whether that is a post or a comment; NULL if it is not known';
        """
    )
    run(EVENTS.format(objects=OBJECTS))


def downgrade() -> None:
    run(EVENTS.format(objects=""))
    run(
        """
        COMMENT ON TABLE media IS 'Files to be posted: images, videos and documents';
        ALTER TABLE media DROP CONSTRAINT ck_media_kind, ADD CONSTRAINT ck_media_kind CHECK (kind IN ('image', 'gif', 'video', 'document')) NOT VALID;
        REVOKE UPDATE (at) ON post_occurrences FROM landfall_web, landfall_worker;
        DROP INDEX ix_post_targets_tzdata;
        ALTER TABLE social_posts DROP COLUMN object_id, DROP COLUMN object_kind;
        ALTER TABLE post_targets DROP COLUMN object_kind;
        ALTER TABLE post_recurrences DROP COLUMN tzdata;
        ALTER TABLE post_targets DROP COLUMN slot_local_time, DROP COLUMN slot_zone, DROP COLUMN tzdata, DROP COLUMN moved_from;
        """
    )
