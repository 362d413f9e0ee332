"""Posts that repeat, the slots of accounts' queues, and a time of its own for a target that took one."""

from migrations.script import run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE post_recurrences (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    template JSONB NOT NULL,
    media_ids UUID[] DEFAULT '{}' NOT NULL,
    rule TEXT NOT NULL,
    start_time TEXT NOT NULL,
    zone TEXT NOT NULL,
    author TEXT NOT NULL,
    state TEXT DEFAULT 'active' NOT NULL,
    revision INTEGER DEFAULT 1 NOT NULL,
    armed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    handled INTEGER DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE,
    trouble TEXT,
    held_until TIMESTAMP WITH TIME ZONE,
    idempotency_key TEXT,
    request_sha256 BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_post_recurrences PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_post_recurrences_tenant_id_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT ck_post_recurrences_state CHECK (state IN ('active', 'paused', 'ended')),
    CONSTRAINT fk_post_recurrences_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_post_recurrences_due_at ON post_recurrences (due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE post_recurrences IS 'Posts that repeat by a rule; each occurrence is a post of its own';
COMMENT ON COLUMN post_recurrences.tenant_id IS 'whose it is';
COMMENT ON COLUMN post_recurrences.id IS 'UUID, ordered by time; posts.schedule_id of its posts';
COMMENT ON COLUMN post_recurrences.template IS 'content, files, targets and options of each post, as they were asked for';
COMMENT ON COLUMN post_recurrences.media_ids IS 'the files that these name, which are kept while it goes on';
COMMENT ON COLUMN post_recurrences.rule IS 'of RFC 5545, such as FREQ=WEEKLY;BYDAY=MO;COUNT=10';
COMMENT ON COLUMN post_recurrences.start_time IS 'the wall time of the first occurrence, or its instant with Z';
COMMENT ON COLUMN post_recurrences.zone IS 'the IANA zone of all its wall times';
COMMENT ON COLUMN post_recurrences.author IS 'who made it, as in audit_log';
COMMENT ON COLUMN post_recurrences.state IS 'see docs/states.md';
COMMENT ON COLUMN post_recurrences.revision IS 'goes up with each change, which arms it anew';
COMMENT ON COLUMN post_recurrences.armed_at IS 'what was due until then is past, and is not made';
COMMENT ON COLUMN post_recurrences.handled IS 'number of the last occurrence of this revision that was made or missed';
COMMENT ON COLUMN post_recurrences.next_at IS 'when the one after that is due; NULL where there is none';
COMMENT ON COLUMN post_recurrences.due_at IS 'when to look for what is to be made; NULL while nothing is';
COMMENT ON COLUMN post_recurrences.trouble IS 'why the next post cannot be made so far; NULL where nothing is wrong';
COMMENT ON COLUMN post_recurrences.held_until IS 'what was due until then is not made: the database was restored; NULL for never';
COMMENT ON COLUMN post_recurrences.idempotency_key IS 'of the request that made it';
COMMENT ON COLUMN post_recurrences.request_sha256 IS 'of that request, to tell a repeat from another use of the key';
COMMENT ON COLUMN post_recurrences.created_at IS 'when it was made';
COMMENT ON COLUMN post_recurrences.updated_at IS 'when it was last changed';
CREATE TABLE post_occurrences (
    tenant_id UUID NOT NULL,
    recurrence_id UUID NOT NULL,
    revision INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL,
    post_id UUID,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_post_occurrences PRIMARY KEY (tenant_id, recurrence_id, revision, number),
    CONSTRAINT ck_post_occurrences_state CHECK (state IN ('made', 'missed', 'replaced')),
    CONSTRAINT ck_post_occurrences_post_id CHECK ((state = 'missed') = (post_id IS NULL)),
    CONSTRAINT fk_post_occurrences_tenant_id_recurrence_id_post_recurrences FOREIGN KEY(tenant_id, recurrence_id) REFERENCES post_recurrences (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_post_occurrences_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE post_occurrences IS 'What became of each occurrence of posts that repeat: its key lets it be made once';
COMMENT ON COLUMN post_occurrences.tenant_id IS 'whose it is';
COMMENT ON COLUMN post_occurrences.recurrence_id IS 'of what';
COMMENT ON COLUMN post_occurrences.revision IS 'of that, which gave this time';
COMMENT ON COLUMN post_occurrences.number IS 'from 1, at the first wall time of the rule';
COMMENT ON COLUMN post_occurrences.at IS 'when it is, or was, due';
COMMENT ON COLUMN post_occurrences.state IS 'made; missed: it passed while nobody could make it; replaced: cancelled by a change, unpublished';
COMMENT ON COLUMN post_occurrences.post_id IS 'the post; NULL for one that was missed';
COMMENT ON COLUMN post_occurrences.reason IS 'why it was missed; NULL for a post';
COMMENT ON COLUMN post_occurrences.created_at IS 'when it was made';
CREATE TABLE queue_slots (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    weekday SMALLINT NOT NULL,
    local_time TIME WITHOUT TIME ZONE NOT NULL,
    zone TEXT NOT NULL,
    CONSTRAINT pk_queue_slots PRIMARY KEY (tenant_id, connection_id, weekday, local_time),
    CONSTRAINT ck_queue_slots_weekday CHECK (weekday BETWEEN 0 AND 6),
    CONSTRAINT fk_queue_slots_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_queue_slots_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE queue_slots IS 'Times of the week at which an account publishes what takes its next free slot';
COMMENT ON COLUMN queue_slots.tenant_id IS 'whose it is';
COMMENT ON COLUMN queue_slots.connection_id IS 'the account';
COMMENT ON COLUMN queue_slots.weekday IS '0 for Monday to 6 for Sunday';
COMMENT ON COLUMN queue_slots.local_time IS 'the wall time';
COMMENT ON COLUMN queue_slots.zone IS 'the IANA zone of that time, the same for all of an account';
ALTER TABLE post_targets ADD COLUMN slot_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN post_targets.slot_at IS 'the slot of its account that it took, in place of the time of its post; NULL for none';
CREATE UNIQUE INDEX uq_post_targets_slot_at ON post_targets (tenant_id, connection_id, slot_at) WHERE slot_at IS NOT NULL AND state <> 'cancelled';
ALTER TABLE posts DROP CONSTRAINT uq_posts_tenant_id_schedule_id_scheduled_at;
CREATE INDEX ix_posts_schedule_id ON posts (tenant_id, schedule_id, scheduled_at) WHERE schedule_id IS NOT NULL;
"""

TENANTED = ("post_recurrences", "post_occurrences", "queue_slots")

# As in 0004.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# As in 0008.
GUARD = """
CREATE FUNCTION post_recurrences_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'active' THEN 'active'
        WHEN state = 'paused' THEN 'paused'
        WHEN state = 'ended' THEN 'ended' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'active' THEN 'active'
        WHEN state = 'paused' THEN 'paused'
        WHEN state = 'ended' THEN 'ended' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('active', 'ended'), ('active', 'paused'), ('paused', 'active'), ('paused', 'ended')) THEN
        RAISE EXCEPTION 'a row of post_recurrences cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'post_recurrences_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER post_recurrences_transition
    BEFORE UPDATE ON post_recurrences FOR EACH ROW EXECUTE FUNCTION post_recurrences_transition();
"""

# As in 0018, with the time of the slot that a target took.
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
            'scheduled_at', {time}, 'state', NEW.state, 'step', NEW.step,
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

GRANTS = """
GRANT SELECT, INSERT (tenant_id, id, template, media_ids, rule, start_time, zone, author, next_at, due_at, idempotency_key, request_sha256), UPDATE (template, media_ids, rule, start_time, zone, state, revision, armed_at, handled, next_at, due_at, trouble, held_until, updated_at) ON post_recurrences TO landfall_web, landfall_worker;
GRANT SELECT, INSERT (tenant_id, recurrence_id, revision, number, at, state, post_id, reason), UPDATE (state) ON post_occurrences TO landfall_web, landfall_worker;
GRANT SELECT, INSERT, DELETE ON queue_slots TO landfall_web;
GRANT SELECT ON queue_slots TO landfall_worker;
GRANT INSERT (slot_at), UPDATE (slot_at) ON post_targets TO landfall_web, landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON post_recurrences, post_occurrences, queue_slots TO landfall_app;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICIES.format(table=table))
    for script in (GUARD, EVENTS.format(time="coalesce(NEW.slot_at, p.scheduled_at)"), GRANTS):
        run(script)


def downgrade() -> None:
    run(EVENTS.format(time="p.scheduled_at"))
    run(
        """
        DROP INDEX ix_posts_schedule_id;
        ALTER TABLE posts ADD CONSTRAINT uq_posts_tenant_id_schedule_id_scheduled_at
            UNIQUE (tenant_id, schedule_id, scheduled_at);
        ALTER TABLE post_targets DROP COLUMN slot_at;
        DROP TABLE queue_slots, post_occurrences, post_recurrences;
        DROP FUNCTION post_recurrences_transition;
        """
    )
