"""Posts, their files and targets, the event for each transition of a target, and what the log says of them."""

from migrations.script import run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE posts (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    content TEXT NOT NULL,
    link JSONB,
    hashtags TEXT[] DEFAULT '{}' NOT NULL,
    campaign_id TEXT,
    author TEXT NOT NULL,
    version INTEGER DEFAULT 1 NOT NULL,
    needs_approval BOOLEAN DEFAULT false NOT NULL,
    approved_version INTEGER,
    approved_by TEXT,
    scheduled_at TIMESTAMP WITH TIME ZONE,
    local_time TEXT,
    zone TEXT,
    late_policy TEXT DEFAULT 'publish' NOT NULL,
    late_seconds FLOAT DEFAULT 86400 NOT NULL,
    schedule_id UUID,
    idempotency_key TEXT,
    request_sha256 BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_posts PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_posts_tenant_id_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT uq_posts_tenant_id_schedule_id_scheduled_at UNIQUE (tenant_id, schedule_id, scheduled_at),
    CONSTRAINT ck_posts_late_policy CHECK (late_policy IN ('publish', 'skip', 'ask')),
    CONSTRAINT fk_posts_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_posts_campaign_id ON posts (tenant_id, campaign_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX ix_posts_scheduled_at ON posts (tenant_id, scheduled_at);
COMMENT ON TABLE posts IS 'What is, or was, to be published';
COMMENT ON COLUMN posts.tenant_id IS 'whose it is';
COMMENT ON COLUMN posts.id IS 'UUID, ordered by time';
COMMENT ON COLUMN posts.content IS 'the text, where a target has none of its own';
COMMENT ON COLUMN posts.link IS 'url, title, description and image of a shared page; NULL for none';
COMMENT ON COLUMN posts.hashtags IS 'without #, added to the text';
COMMENT ON COLUMN posts.campaign_id IS 'by which posts are listed together; NULL for none';
COMMENT ON COLUMN posts.author IS 'who made it, as in audit_log';
COMMENT ON COLUMN posts.version IS 'goes up with each edit';
COMMENT ON COLUMN posts.needs_approval IS 'by another person, as it is';
COMMENT ON COLUMN posts.approved_version IS 'that somebody approved; another one is not published';
COMMENT ON COLUMN posts.approved_by IS 'who did, as in audit_log';
COMMENT ON COLUMN posts.scheduled_at IS 'when it is to be published; NULL for a draft';
COMMENT ON COLUMN posts.local_time IS 'the wall time that was asked for, such as 2026-11-28T09:00';
COMMENT ON COLUMN posts.zone IS 'the IANA zone of that time';
COMMENT ON COLUMN posts.late_policy IS 'publish, skip or ask';
COMMENT ON COLUMN posts.late_seconds IS 'how late it may be published without a decision';
COMMENT ON COLUMN posts.schedule_id IS 'the recurrence that it is an occurrence of; NULL for none';
COMMENT ON COLUMN posts.idempotency_key IS 'of the request that made it';
COMMENT ON COLUMN posts.request_sha256 IS 'of that request, to tell a repeat from another use of the key';
COMMENT ON COLUMN posts.created_at IS 'when it was made';
COMMENT ON COLUMN posts.updated_at IS 'when it was last edited';
CREATE TABLE post_media (
    tenant_id UUID NOT NULL,
    post_id UUID NOT NULL,
    position INTEGER NOT NULL,
    media_id UUID NOT NULL,
    alt_text TEXT DEFAULT '' NOT NULL,
    sha256 BYTEA NOT NULL,
    CONSTRAINT pk_post_media PRIMARY KEY (tenant_id, post_id, position),
    CONSTRAINT fk_post_media_tenant_id_post_id_posts FOREIGN KEY(tenant_id, post_id) REFERENCES posts (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_post_media_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_post_media_media_id ON post_media (tenant_id, media_id);
COMMENT ON TABLE post_media IS 'The files of posts, in order';
COMMENT ON COLUMN post_media.tenant_id IS 'whose it is';
COMMENT ON COLUMN post_media.post_id IS 'that shows it';
COMMENT ON COLUMN post_media.position IS 'from 0';
COMMENT ON COLUMN post_media.media_id IS 'the file';
COMMENT ON COLUMN post_media.alt_text IS 'what it shows, for who cannot see it';
COMMENT ON COLUMN post_media.sha256 IS 'of the file as it was attached: another is not posted';
CREATE TABLE post_targets (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    post_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    platform TEXT NOT NULL,
    account_id TEXT NOT NULL,
    parent_id UUID,
    position INTEGER DEFAULT 0 NOT NULL,
    kind TEXT NOT NULL,
    content TEXT,
    options JSONB DEFAULT '{}' NOT NULL,
    digest BYTEA NOT NULL,
    repeats BOOLEAN DEFAULT false NOT NULL,
    state TEXT NOT NULL,
    sequence INTEGER DEFAULT 0 NOT NULL,
    step TEXT DEFAULT '' NOT NULL,
    step_since TIMESTAMP WITH TIME ZONE,
    asked_at TIMESTAMP WITH TIME ZONE,
    intent_at TIMESTAMP WITH TIME ZONE,
    commits INTEGER DEFAULT 0 NOT NULL,
    attempt INTEGER DEFAULT 1 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    kept JSONB DEFAULT '{}' NOT NULL,
    sealed BYTEA,
    due_at TIMESTAMP WITH TIME ZONE,
    lease_until TIMESTAMP WITH TIME ZONE,
    fence INTEGER DEFAULT 0 NOT NULL,
    worked_at TIMESTAMP WITH TIME ZONE,
    platform_post_id TEXT,
    platform_post_url TEXT,
    error_code TEXT,
    error_message TEXT,
    retryable BOOLEAN,
    evidence JSONB,
    published_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_post_targets PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_post_targets_tenant_id_post_id_posts FOREIGN KEY(tenant_id, post_id) REFERENCES posts (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_post_targets_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id),
    CONSTRAINT fk_post_targets_tenant_id_parent_id_post_targets FOREIGN KEY(tenant_id, parent_id) REFERENCES post_targets (tenant_id, id),
    CONSTRAINT ck_post_targets_state CHECK (state IN ('draft', 'awaiting_approval', 'scheduled', 'preparing', 'uploading', 'processing', 'ready', 'publishing', 'published', 'published_id_unknown', 'unconfirmed', 'awaiting_person', 'failed', 'cancelled', 'missed')),
    CONSTRAINT fk_post_targets_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_post_targets_connection_id ON post_targets (tenant_id, connection_id, published_at);
CREATE INDEX ix_post_targets_digest ON post_targets (tenant_id, connection_id, digest);
CREATE INDEX ix_post_targets_due_at ON post_targets (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_post_targets_parent_id ON post_targets (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX ix_post_targets_post_id ON post_targets (tenant_id, post_id);
CREATE UNIQUE INDEX uq_post_targets_platform_post_id ON post_targets (tenant_id, connection_id, platform_post_id) WHERE platform_post_id IS NOT NULL;
COMMENT ON TABLE post_targets IS 'Posts at the accounts that they are published with, and the state of that work';
COMMENT ON COLUMN post_targets.tenant_id IS 'whose it is';
COMMENT ON COLUMN post_targets.id IS 'UUID, ordered by time';
COMMENT ON COLUMN post_targets.post_id IS 'what is to be published';
COMMENT ON COLUMN post_targets.connection_id IS 'the account that it is published with';
COMMENT ON COLUMN post_targets.platform IS 'of that account';
COMMENT ON COLUMN post_targets.account_id IS 'the platform''s id of it, under which the log has its events';
COMMENT ON COLUMN post_targets.parent_id IS 'the target that it answers: of a thread''s part or a first comment';
COMMENT ON COLUMN post_targets.position IS 'in the thread, from 0';
COMMENT ON COLUMN post_targets.kind IS 'the machine that publishes it, such as reel or carousel';
COMMENT ON COLUMN post_targets.content IS 'its own text; NULL for that of the post';
COMMENT ON COLUMN post_targets.options IS 'the platform''s options, as given';
COMMENT ON COLUMN post_targets.digest IS 'of what is shown: tells the same post to one account again';
COMMENT ON COLUMN post_targets.repeats IS 'whether somebody said that the same is to be posted again';
COMMENT ON COLUMN post_targets.state IS 'see docs/states.md';
COMMENT ON COLUMN post_targets.sequence IS 'transitions so far';
COMMENT ON COLUMN post_targets.step IS 'of its machine; empty before the first';
COMMENT ON COLUMN post_targets.step_since IS 'when it came to that step';
COMMENT ON COLUMN post_targets.asked_at IS 'when the request of this step was about to be sent; NULL once its outcome is stored';
COMMENT ON COLUMN post_targets.intent_at IS 'the first of those times at a step that makes something visible';
COMMENT ON COLUMN post_targets.commits IS 'how often such a step was asked';
COMMENT ON COLUMN post_targets.attempt IS 'goes up when it is begun anew';
COMMENT ON COLUMN post_targets.failures IS 'in a row, at this step';
COMMENT ON COLUMN post_targets.kept IS 'ids and counts that the steps need';
COMMENT ON COLUMN post_targets.sealed IS 'secrets that the steps need, such as upload addresses, sealed by the vault';
COMMENT ON COLUMN post_targets.due_at IS 'when to work on it; NULL while it waits for somebody';
COMMENT ON COLUMN post_targets.lease_until IS 'somebody works on it until then';
COMMENT ON COLUMN post_targets.fence IS 'which of those may write';
COMMENT ON COLUMN post_targets.worked_at IS 'when somebody last did';
COMMENT ON COLUMN post_targets.platform_post_id IS 'the platform''s id of the post; NULL while it is not known';
COMMENT ON COLUMN post_targets.platform_post_url IS 'its address for people';
COMMENT ON COLUMN post_targets.error_code IS 'why it failed or is in doubt, in a word';
COMMENT ON COLUMN post_targets.error_message IS 'and in words for the person';
COMMENT ON COLUMN post_targets.retryable IS 'whether trying again can help';
COMMENT ON COLUMN post_targets.evidence IS 'what was looked at where it is unconfirmed';
COMMENT ON COLUMN post_targets.published_at IS 'when it was seen to be published';
COMMENT ON COLUMN post_targets.created_at IS 'when it was made';
CREATE TABLE social_posts (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    target_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS (hashtextextended(target_id, hashtextextended(provider, hashtextextended(account_id, 0))) & 9223372036854775807) STORED,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    projection_version SMALLINT NOT NULL,
    content_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    content_carried JSONB,
    user_id TEXT,
    post_id TEXT,
    connection_id TEXT,
    parent_id TEXT,
    kind TEXT,
    content TEXT,
    hashtags TEXT,
    media_ids TEXT,
    campaign_id TEXT,
    link_url TEXT,
    link_title TEXT,
    scheduled_at TIMESTAMP WITH TIME ZONE,
    state_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    state_carried JSONB,
    state TEXT,
    platform_post_id TEXT,
    platform_post_url TEXT,
    error_code TEXT,
    error_message TEXT,
    retryable BOOLEAN,
    retry_count INTEGER,
    published_at TIMESTAMP WITH TIME ZONE,
    bucket SMALLINT NOT NULL,
    CONSTRAINT pk_social_posts PRIMARY KEY (bucket, account_id, provider, target_id)
);
CREATE INDEX ix_social_posts_id ON social_posts (id);
COMMENT ON TABLE social_posts IS 'Posts of ours at each account, as the log has them';
COMMENT ON COLUMN social_posts.account_id IS 'the account that it is published with';
COMMENT ON COLUMN social_posts.provider IS 'the platform';
COMMENT ON COLUMN social_posts.target_id IS 'post_targets.id';
COMMENT ON COLUMN social_posts.id IS 'made of the row''s key; for joins';
COMMENT ON COLUMN social_posts.created_at IS 'when the log received the first event that named it';
COMMENT ON COLUMN social_posts.updated_at IS 'when the log received the last event about it; NULL if only named';
COMMENT ON COLUMN social_posts.projection_version IS 'newest version of the projection that wrote here';
COMMENT ON COLUMN social_posts.content_version IS 'of the newest event that speaks of content; '''' for none';
COMMENT ON COLUMN social_posts.content_carried IS 'versions of what is not of content_version, or NULL by what an event said';
COMMENT ON COLUMN social_posts.user_id IS 'the tenant''s id';
COMMENT ON COLUMN social_posts.post_id IS 'posts.id: the same for all targets of one post';
COMMENT ON COLUMN social_posts.connection_id IS 'connections.id';
COMMENT ON COLUMN social_posts.parent_id IS 'post_targets.id of the part that it answers';
COMMENT ON COLUMN social_posts.kind IS 'what it is there, such as reel or carousel';
COMMENT ON COLUMN social_posts.content IS 'its text';
COMMENT ON COLUMN social_posts.hashtags IS 'separated by blanks, without #';
COMMENT ON COLUMN social_posts.media_ids IS 'of its files, in order, separated by blanks';
COMMENT ON COLUMN social_posts.campaign_id IS 'by which posts are listed together';
COMMENT ON COLUMN social_posts.link_url IS 'of the page that it shares';
COMMENT ON COLUMN social_posts.link_title IS 'of that page';
COMMENT ON COLUMN social_posts.scheduled_at IS 'when it is, or was, to be published';
COMMENT ON COLUMN social_posts.state_version IS 'of the newest event that speaks of state; '''' for none';
COMMENT ON COLUMN social_posts.state_carried IS 'versions of what is not of state_version, or NULL by what an event said';
COMMENT ON COLUMN social_posts.state IS 'as in docs/states.md';
COMMENT ON COLUMN social_posts.platform_post_id IS 'the platform''s id; NULL while it is not known';
COMMENT ON COLUMN social_posts.platform_post_url IS 'its address for people';
COMMENT ON COLUMN social_posts.error_code IS 'why it failed or is in doubt, in a word';
COMMENT ON COLUMN social_posts.error_message IS 'and in words';
COMMENT ON COLUMN social_posts.retryable IS 'whether trying again can help';
COMMENT ON COLUMN social_posts.retry_count IS 'failed tries at its last step';
COMMENT ON COLUMN social_posts.published_at IS 'when it was seen to be published';
COMMENT ON COLUMN social_posts.bucket IS 'hash of the account; see schema.events.bucket_of';
"""

TENANTED = ("posts", "post_media", "post_targets")

# As in 0004.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# As in 0008.
GUARD = """
CREATE FUNCTION post_targets_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('awaiting_approval', 'cancelled'), ('awaiting_approval', 'draft'), ('awaiting_approval', 'missed'), ('awaiting_approval', 'scheduled'), ('awaiting_person', 'failed'), ('awaiting_person', 'published'), ('draft', 'awaiting_approval'), ('draft', 'cancelled'), ('draft', 'scheduled'), ('failed', 'scheduled'), ('missed', 'cancelled'), ('missed', 'scheduled'), ('preparing', 'awaiting_person'), ('preparing', 'cancelled'), ('preparing', 'failed'), ('preparing', 'processing'), ('preparing', 'published'), ('preparing', 'published_id_unknown'), ('preparing', 'publishing'), ('preparing', 'ready'), ('preparing', 'unconfirmed'), ('preparing', 'uploading'), ('processing', 'awaiting_person'), ('processing', 'cancelled'), ('processing', 'failed'), ('processing', 'preparing'), ('processing', 'published'), ('processing', 'published_id_unknown'), ('processing', 'publishing'), ('processing', 'ready'), ('processing', 'unconfirmed'), ('processing', 'uploading'), ('published_id_unknown', 'published'), ('publishing', 'awaiting_person'), ('publishing', 'failed'), ('publishing', 'preparing'), ('publishing', 'processing'), ('publishing', 'published'), ('publishing', 'published_id_unknown'), ('publishing', 'ready'), ('publishing', 'unconfirmed'), ('publishing', 'uploading'), ('ready', 'awaiting_person'), ('ready', 'cancelled'), ('ready', 'failed'), ('ready', 'preparing'), ('ready', 'processing'), ('ready', 'published'), ('ready', 'published_id_unknown'), ('ready', 'publishing'), ('ready', 'unconfirmed'), ('ready', 'uploading'), ('scheduled', 'awaiting_approval'), ('scheduled', 'cancelled'), ('scheduled', 'draft'), ('scheduled', 'failed'), ('scheduled', 'missed'), ('scheduled', 'preparing'), ('scheduled', 'processing'), ('scheduled', 'publishing'), ('scheduled', 'ready'), ('scheduled', 'unconfirmed'), ('scheduled', 'uploading'), ('unconfirmed', 'awaiting_person'), ('unconfirmed', 'failed'), ('unconfirmed', 'preparing'), ('unconfirmed', 'processing'), ('unconfirmed', 'published'), ('unconfirmed', 'published_id_unknown'), ('unconfirmed', 'publishing'), ('unconfirmed', 'ready'), ('unconfirmed', 'uploading'), ('uploading', 'awaiting_person'), ('uploading', 'cancelled'), ('uploading', 'failed'), ('uploading', 'preparing'), ('uploading', 'processing'), ('uploading', 'published'), ('uploading', 'published_id_unknown'), ('uploading', 'publishing'), ('uploading', 'ready'), ('uploading', 'unconfirmed')) THEN
        RAISE EXCEPTION 'a row of post_targets cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'post_targets_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER post_targets_transition
    BEFORE UPDATE ON post_targets FOR EACH ROW EXECUTE FUNCTION post_targets_transition();
"""

# With the rights of its owner: whoever changes a target may not append other events. Nothing that people read of a
# target changes without an event, so the number of these goes up by itself.
EVENTS = """
CREATE FUNCTION post_targets_sequence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.sequence := 1;
    ELSIF (NEW.state, NEW.content, NEW.platform_post_id, NEW.platform_post_url, NEW.error_code, NEW.error_message)
        IS DISTINCT FROM
        (OLD.state, OLD.content, OLD.platform_post_id, OLD.platform_post_url, OLD.error_code, OLD.error_message)
        OR NEW.sequence <> OLD.sequence THEN
        NEW.sequence := OLD.sequence + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER post_targets_sequence
    BEFORE INSERT OR UPDATE ON post_targets FOR EACH ROW EXECUTE FUNCTION post_targets_sequence();

CREATE FUNCTION append_target_event() RETURNS trigger
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
REVOKE ALL ON FUNCTION append_target_event FROM PUBLIC;
CREATE TRIGGER post_targets_inserted
    AFTER INSERT ON post_targets FOR EACH ROW EXECUTE FUNCTION append_target_event();
CREATE TRIGGER post_targets_changed
    AFTER UPDATE ON post_targets FOR EACH ROW WHEN (NEW.sequence <> OLD.sequence)
    EXECUTE FUNCTION append_target_event();
"""

VAULT_KEYS = """
CREATE OR REPLACE FUNCTION find_vault_keys() RETURNS TABLE (key_name text, sealed_head bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT DISTINCT s.key_name, NULL::bytea FROM public.connection_secrets s;
    RETURN QUERY SELECT DISTINCT NULL::text, substring(s.sealed FROM 1 FOR 2 + get_byte(s.sealed, 1))
        FROM (
            SELECT sealed_secret AS sealed FROM public.oauth_clients
            UNION ALL SELECT sealed_verifier FROM public.oauth_states WHERE expires_at > now()
            UNION ALL SELECT sealed_accounts FROM public.oauth_states WHERE sealed_accounts IS NOT NULL
            UNION ALL SELECT sealed_secret FROM public.totp_factors{more}
        ) s WHERE length(s.sealed) > 1;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;
"""

VIEWS = """
CREATE VIEW reporting.social_connections AS
SELECT c.id, c.tenant_id AS user_id, c.platform, c.account_id AS platform_user_id, c.username AS platform_username,
    coalesce(nullif(c.profile ->> 'name', ''), c.username) AS display_name, c.expires_at AS token_expires_at,
    c.scopes, c.profile || jsonb_strip_nulls(jsonb_build_object('instance', nullif(c.instance, ''),
        'via', c.via)) AS extra_data,
    c.state AS connection_status, c.created_at, c.updated_at,
    CASE WHEN state = 'disconnected' THEN c.updated_at END AS revoked_at
FROM public.find_reported_connections() c;
COMMENT ON VIEW reporting.social_connections IS 'Accounts that are, or were, connected, as pages show them';
COMMENT ON COLUMN reporting.social_connections.id IS 'for joins: oauth_accounts.id';
COMMENT ON COLUMN reporting.social_connections.user_id IS 'the tenant''s id';
COMMENT ON COLUMN reporting.social_connections.platform IS 'the platform';
COMMENT ON COLUMN reporting.social_connections.platform_user_id IS 'the platform''s id of the account';
COMMENT ON COLUMN reporting.social_connections.platform_username IS 'as the platform last gave it';
COMMENT ON COLUMN reporting.social_connections.display_name IS 'as people see it; the username where the platform gives no other';
COMMENT ON COLUMN reporting.social_connections.token_expires_at IS 'when the access token ends; NULL for one without an end';
COMMENT ON COLUMN reporting.social_connections.scopes IS 'what was granted';
COMMENT ON COLUMN reporting.social_connections.extra_data IS 'what else is known: such as the instance, and the page';
COMMENT ON COLUMN reporting.social_connections.connection_status IS 'active, needs_reconnect or disconnected';
COMMENT ON COLUMN reporting.social_connections.created_at IS 'when it was connected for the first time';
COMMENT ON COLUMN reporting.social_connections.updated_at IS 'when it was last connected, checked or disconnected';
COMMENT ON COLUMN reporting.social_connections.revoked_at IS 'when it was disconnected; NULL while it is not';
CREATE VIEW reporting.scheduled_posts AS
SELECT p.id, p.campaign_id, p.user_id::uuid AS user_id, uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AS social_connection_id,
        p.provider AS platform, p.content AS post_content,
        ARRAY(SELECT '/api/media/' || m.id FROM regexp_split_to_table(p.media_ids, ' ')
            WITH ORDINALITY AS m(id, position) WHERE m.id <> '' ORDER BY m.position) AS media_urls,
        array_remove(string_to_array(p.hashtags, ' '), '') AS hashtags,
        p.scheduled_at AS scheduled_time, CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
WHEN p.state IN ('failed', 'missed') THEN 'failed'
WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END AS status, p.platform_post_id,
        p.error_message AS posting_error, p.retry_count, p.created_at
    FROM public.social_posts p;
COMMENT ON VIEW reporting.scheduled_posts IS 'Posts at each account: what is to be published, and what became of it';
COMMENT ON COLUMN reporting.scheduled_posts.id IS 'for joins';
COMMENT ON COLUMN reporting.scheduled_posts.campaign_id IS 'by which posts are listed together';
COMMENT ON COLUMN reporting.scheduled_posts.user_id IS 'the tenant''s id';
COMMENT ON COLUMN reporting.scheduled_posts.social_connection_id IS 'social_connections.id';
COMMENT ON COLUMN reporting.scheduled_posts.platform IS 'where';
COMMENT ON COLUMN reporting.scheduled_posts.post_content IS 'its text';
COMMENT ON COLUMN reporting.scheduled_posts.media_urls IS 'of its files, in order, at this service';
COMMENT ON COLUMN reporting.scheduled_posts.hashtags IS 'without #';
COMMENT ON COLUMN reporting.scheduled_posts.scheduled_time IS 'when it is, or was, to be published';
COMMENT ON COLUMN reporting.scheduled_posts.status IS 'pending, posted, failed or cancelled';
COMMENT ON COLUMN reporting.scheduled_posts.platform_post_id IS 'the platform''s id; NULL while it is not known';
COMMENT ON COLUMN reporting.scheduled_posts.posting_error IS 'why it failed, in words';
COMMENT ON COLUMN reporting.scheduled_posts.retry_count IS 'failed tries at its last step';
COMMENT ON COLUMN reporting.scheduled_posts.created_at IS 'when it was first known';
CREATE VIEW reporting.social_shares AS
SELECT uuid_hash_extended(p.connection_id::uuid, 0) & 9223372036854775807 AS connection, p.link_url AS shared_url, p.link_title AS shared_title,
        p.platform_post_id, p.platform_post_url, CASE WHEN p.state IN ('published', 'published_id_unknown', 'awaiting_person') THEN 'posted'
WHEN p.state IN ('failed', 'missed') THEN 'failed'
WHEN p.state = 'cancelled' THEN 'cancelled' ELSE 'pending' END AS status, p.error_message, p.created_at
    FROM public.social_posts p WHERE p.link_url IS NOT NULL;
COMMENT ON VIEW reporting.social_shares IS 'Pages that were shared: where, and what became of it';
COMMENT ON COLUMN reporting.social_shares.connection IS 'social_connections.id';
COMMENT ON COLUMN reporting.social_shares.shared_url IS 'of the page';
COMMENT ON COLUMN reporting.social_shares.shared_title IS 'of the page';
COMMENT ON COLUMN reporting.social_shares.platform_post_id IS 'the platform''s id; NULL while it is not known';
COMMENT ON COLUMN reporting.social_shares.platform_post_url IS 'its address for people';
COMMENT ON COLUMN reporting.social_shares.status IS 'pending, posted, failed or cancelled';
COMMENT ON COLUMN reporting.social_shares.error_message IS 'why it failed, in words';
COMMENT ON COLUMN reporting.social_shares.created_at IS 'when it was first known';
GRANT SELECT ON reporting.social_connections, reporting.scheduled_posts, reporting.social_shares TO landfall_reader;
"""

GRANTS = """
GRANT SELECT, INSERT (tenant_id, id, content, link, hashtags, campaign_id, author, needs_approval, scheduled_at, local_time, zone, late_policy, late_seconds, schedule_id, idempotency_key, request_sha256), UPDATE (content, link, hashtags, campaign_id, version, needs_approval, approved_version, approved_by, scheduled_at, local_time, zone, late_policy, late_seconds, updated_at), DELETE ON posts TO landfall_web;
GRANT SELECT, INSERT, DELETE ON post_media TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, post_id, connection_id, platform, account_id, parent_id, position, kind, content, options, digest, repeats, state, due_at), UPDATE (kind, content, options, digest, repeats, state, sequence, step, step_since, asked_at, intent_at, commits, attempt, failures, kept, sealed, due_at, lease_until, fence, worked_at, platform_post_id, platform_post_url, error_code, error_message, retryable, evidence, published_at), DELETE ON post_targets TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, content, link, hashtags, campaign_id, author, needs_approval, scheduled_at, local_time, zone, late_policy, late_seconds, schedule_id, idempotency_key, request_sha256), UPDATE (content, link, hashtags, campaign_id, version, needs_approval, approved_version, approved_by, scheduled_at, local_time, zone, late_policy, late_seconds, updated_at), DELETE ON posts TO landfall_worker;
GRANT SELECT, INSERT, DELETE ON post_media TO landfall_worker;
GRANT SELECT, INSERT (tenant_id, id, post_id, connection_id, platform, account_id, parent_id, position, kind, content, options, digest, repeats, state, due_at), UPDATE (kind, content, options, digest, repeats, state, sequence, step, step_since, asked_at, intent_at, commits, attempt, failures, kept, sealed, due_at, lease_until, fence, worked_at, platform_post_id, platform_post_url, error_code, error_message, retryable, evidence, published_at), DELETE ON post_targets TO landfall_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON posts, post_media, post_targets, social_posts TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON social_posts TO landfall_worker;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICIES.format(table=table))
    of_targets = " UNION ALL SELECT t.sealed FROM public.post_targets t WHERE t.sealed IS NOT NULL"
    for script in (GUARD, EVENTS, VAULT_KEYS.format(more=of_targets), VIEWS, GRANTS):
        run(script)


def downgrade() -> None:
    run(VAULT_KEYS.format(more=""))
    run(
        """
        DROP VIEW reporting.social_shares, reporting.scheduled_posts, reporting.social_connections;
        DROP TABLE post_targets, post_media, posts, social_posts;
        DROP FUNCTION append_target_event, post_targets_sequence, post_targets_transition;
        """
    )
