"""The work list of what is read from platforms, which takes over the rows of lookups, and what was read last."""

from migrations.script import run

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE pull_tasks (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    wanted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    pass_began_at TIMESTAMP WITH TIME ZONE,
    swept_at TIMESTAMP WITH TIME ZONE,
    oldest_shown TIMESTAMP WITH TIME ZONE,
    first_done_at TIMESTAMP WITH TIME ZONE,
    source_time TIMESTAMP WITH TIME ZONE,
    pages BIGINT DEFAULT 0 NOT NULL,
    objects BIGINT DEFAULT 0 NOT NULL,
    shown BIGINT DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    bucket SMALLINT NOT NULL,
    priority SMALLINT NOT NULL,
    reason TEXT NOT NULL,
    cursor TEXT DEFAULT '' NOT NULL,
    wanted_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    mark TEXT DEFAULT '' NOT NULL,
    trouble TEXT,
    skip_code TEXT,
    skipped TEXT,
    CONSTRAINT pk_pull_tasks PRIMARY KEY (bucket, account_id, provider, kind, object_id),
    CONSTRAINT ck_pull_tasks_priority CHECK (priority BETWEEN 0 AND 4),
    CONSTRAINT ck_pull_tasks_skip_code CHECK (skip_code IN ('release', 'scopes', 'gone', 'platform')),
    CONSTRAINT ck_pull_tasks_skipped CHECK ((skip_code IS NULL) = (skipped IS NULL))
);
CREATE INDEX ix_pull_tasks_due_at ON pull_tasks (bucket, account_id, provider, priority, due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE pull_tasks IS 'What is to be read from platforms, once or again and again';
COMMENT ON COLUMN pull_tasks.account_id IS 'the account whose connection reads it';
COMMENT ON COLUMN pull_tasks.provider IS 'the platform to read it from';
COMMENT ON COLUMN pull_tasks.kind IS 'what is read, by the word of the platform''s file';
COMMENT ON COLUMN pull_tasks.object_id IS 'the platform''s id of what it is about; '''' for the account';
COMMENT ON COLUMN pull_tasks.wanted_at IS 'when it was last asked for';
COMMENT ON COLUMN pull_tasks.due_at IS 'not carried out before; NULL: not until somebody asks for it';
COMMENT ON COLUMN pull_tasks.pass_began_at IS 'when the walk that is under way, or the last one, began';
COMMENT ON COLUMN pull_tasks.swept_at IS 'when the last complete walk began';
COMMENT ON COLUMN pull_tasks.oldest_shown IS 'when the oldest object was made that this walk showed; NULL: not known';
COMMENT ON COLUMN pull_tasks.first_done_at IS 'when it was carried out for the first time';
COMMENT ON COLUMN pull_tasks.source_time IS 'when the platform made the object; NULL: not known';
COMMENT ON COLUMN pull_tasks.pages IS 'read so far, over all walks';
COMMENT ON COLUMN pull_tasks.objects IS 'in these pages';
COMMENT ON COLUMN pull_tasks.shown IS 'objects of its listing in this walk';
COMMENT ON COLUMN pull_tasks.attempts IS 'failures in a row';
COMMENT ON COLUMN pull_tasks.bucket IS 'hash of the account; see schema.events.bucket_of';
COMMENT ON COLUMN pull_tasks.priority IS 'sync.pull.contract.Priority: the lower first';
COMMENT ON COLUMN pull_tasks.reason IS 'why it was last asked for, in words';
COMMENT ON COLUMN pull_tasks.cursor IS 'where the next page begins; '''' for the first';
COMMENT ON COLUMN pull_tasks.wanted_version IS 'of the newest event that asked for it; '''' for none';
COMMENT ON COLUMN pull_tasks.mark IS 'what was seen when it was last asked for';
COMMENT ON COLUMN pull_tasks.trouble IS 'what went wrong when it was last tried, in words';
COMMENT ON COLUMN pull_tasks.skip_code IS 'why it is not carried out, in a word; NULL where it is';
COMMENT ON COLUMN pull_tasks.skipped IS 'the same in words for a person';
CREATE TABLE pull_objects (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    checked_at TIMESTAMP WITH TIME ZONE,
    source_time TIMESTAMP WITH TIME ZONE,
    missed_at TIMESTAMP WITH TIME ZONE,
    unlisted_at TIMESTAMP WITH TIME ZONE,
    unlisted_by UUID,
    gone_at TIMESTAMP WITH TIME ZONE,
    bucket SMALLINT NOT NULL,
    parent TEXT DEFAULT '' NOT NULL,
    external_id TEXT DEFAULT '' NOT NULL,
    digests JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_pull_objects PRIMARY KEY (bucket, account_id, provider, kind, object_id)
);
CREATE INDEX ix_pull_objects_parent ON pull_objects (bucket, account_id, provider, kind, parent);
COMMENT ON TABLE pull_objects IS 'Objects of platforms as they were read last';
COMMENT ON COLUMN pull_objects.account_id IS 'the account whose connection read it';
COMMENT ON COLUMN pull_objects.provider IS 'the platform that it was read from';
COMMENT ON COLUMN pull_objects.kind IS 'of the object, by the word of the platform''s file';
COMMENT ON COLUMN pull_objects.object_id IS 'the platform''s id of the object';
COMMENT ON COLUMN pull_objects.read_at IS 'when the request began whose answer was appended last';
COMMENT ON COLUMN pull_objects.checked_at IS 'when the last request began whose answer showed it';
COMMENT ON COLUMN pull_objects.source_time IS 'when the platform made it; NULL: not known';
COMMENT ON COLUMN pull_objects.missed_at IS 'when the platform first said that it does not exist; NULL: not since';
COMMENT ON COLUMN pull_objects.unlisted_at IS 'when a complete walk of its listing ended that did not show it';
COMMENT ON COLUMN pull_objects.unlisted_by IS 'connections.id by which that walk was read';
COMMENT ON COLUMN pull_objects.gone_at IS 'when it was found to be no more; NULL while it is there';
COMMENT ON COLUMN pull_objects.bucket IS 'hash of the account; see schema.events.bucket_of';
COMMENT ON COLUMN pull_objects.parent IS 'in whose listing it stands; '''' the account''s';
COMMENT ON COLUMN pull_objects.external_id IS 'of the last event about it; '''' for none';
COMMENT ON COLUMN pull_objects.digests IS 'of what was appended last, by event type';
CREATE TABLE pull_accounts (
    account_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    authorized_at TIMESTAMP WITH TIME ZONE,
    began_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE,
    served_at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE,
    fence BIGINT DEFAULT 0 NOT NULL,
    calls BIGINT DEFAULT 0 NOT NULL,
    bucket SMALLINT NOT NULL,
    holder TEXT,
    trouble TEXT,
    refused TEXT[] DEFAULT '{}' NOT NULL,
    progress JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_pull_accounts PRIMARY KEY (bucket, account_id, provider),
    CONSTRAINT ck_pull_accounts_lease CHECK ((holder IS NULL) = (leased_until IS NULL))
);
COMMENT ON TABLE pull_accounts IS 'Accounts whose objects are read: who does it, and how far it has come';
COMMENT ON COLUMN pull_accounts.account_id IS 'whose objects are read';
COMMENT ON COLUMN pull_accounts.provider IS 'the platform';
COMMENT ON COLUMN pull_accounts.authorized_at IS 'of its newest active connection; NULL while it has none';
COMMENT ON COLUMN pull_accounts.began_at IS 'when it was connected first';
COMMENT ON COLUMN pull_accounts.leased_until IS 'free from then on';
COMMENT ON COLUMN pull_accounts.served_at IS 'when it was last taken';
COMMENT ON COLUMN pull_accounts.held_until IS 'nothing is asked before that; NULL: nothing says to wait';
COMMENT ON COLUMN pull_accounts.fence IS 'goes up with each holder, so that a former one can write nothing';
COMMENT ON COLUMN pull_accounts.calls IS 'requests that were sent for it';
COMMENT ON COLUMN pull_accounts.bucket IS 'hash of the account; see schema.events.bucket_of';
COMMENT ON COLUMN pull_accounts.holder IS 'host and process that read it at the moment';
COMMENT ON COLUMN pull_accounts.trouble IS 'why nothing is read at the moment, in words';
COMMENT ON COLUMN pull_accounts.refused IS 'fields and numbers that the platform refuses to its connection';
COMMENT ON COLUMN pull_accounts.progress IS 'tasks, counted when it was last served';
"""

# Beside the new release the one before writes to lookups; the table stays until the next one. No row of it is kept, so
# that what an erasure deletes from pull_tasks is in no second place.
LOOKUPS = """
INSERT INTO pull_tasks (bucket, account_id, provider, kind, object_id, priority, reason, due_at, wanted_version)
SELECT bucket, account_id, provider, kind, object_id, 0, coalesce(reason, ''), now(), wanted_version FROM lookups;
DELETE FROM lookups;
CREATE FUNCTION take_look_up() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.pull_tasks AS t (bucket, account_id, provider, kind, object_id, priority, reason, due_at, wanted_version)
    VALUES (NEW.bucket, NEW.account_id, NEW.provider, NEW.kind, NEW.object_id, 0, coalesce(NEW.reason, ''), now(), NEW.wanted_version)
    ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET due_at = least(t.due_at, excluded.due_at),
        wanted_at = excluded.wanted_at, wanted_version = excluded.wanted_version, reason = excluded.reason, priority = 0,
        skip_code = NULL, skipped = NULL
    WHERE excluded.wanted_version > t.wanted_version;
    RETURN NULL;
END $$;
CREATE TRIGGER lookups_taken BEFORE INSERT ON lookups FOR EACH ROW EXECUTE FUNCTION take_look_up();
COMMENT ON TABLE lookups IS 'Empty: what the release before writes here goes to pull_tasks. To be dropped with the next release';
"""

# The web process sees no table of accounts. Connections are those of its tenant: their policy holds for the owner too.
FUNCTIONS = """
CREATE FUNCTION find_pull_progress(connection_ids uuid[]) RETURNS TABLE (connection_id uuid, began_at timestamptz,
    served_at timestamptz, held_until timestamptz, trouble text, calls bigint, progress jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
BEGIN
    FOR held IN SELECT c.id, c.platform, c.account_id FROM public.connections c WHERE c.id = ANY(connection_ids) LOOP
        RETURN QUERY SELECT held.id, a.began_at, a.served_at, a.held_until, a.trouble, a.calls, a.progress
            FROM public.pull_accounts a WHERE a.bucket = public.bucket_of(held.platform, held.account_id)
                AND a.account_id = held.account_id AND a.provider = held.platform;
    END LOOP;
END $$;
CREATE FUNCTION request_pull(asked uuid, kinds text[], object_ids text[], why text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held record;
    place smallint;
BEGIN
    SELECT c.platform, c.account_id INTO held FROM public.connections c WHERE c.id = asked AND c.state = 'active';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    place := public.bucket_of(held.platform, held.account_id);
    INSERT INTO public.pull_tasks AS t (bucket, account_id, provider, kind, object_id, priority, reason, due_at)
    SELECT place, held.account_id, held.platform, w.kind, w.object_id, 1, why, now()
    FROM unnest(kinds, object_ids) AS w (kind, object_id)
    ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET due_at = least(t.due_at, excluded.due_at),
        wanted_at = excluded.wanted_at, reason = excluded.reason, priority = least(t.priority, excluded.priority),
        skip_code = NULL, skipped = NULL, attempts = 0, trouble = NULL;
    RETURN cardinality(kinds);
END $$;
REVOKE ALL ON FUNCTION find_pull_progress, request_pull FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_pull_progress, request_pull TO landfall_web;
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON pull_tasks, pull_objects, pull_accounts TO landfall_worker;
"""


def upgrade() -> None:
    for script in (TABLES, LOOKUPS, FUNCTIONS, GRANTS):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP TRIGGER lookups_taken ON lookups;
        DROP FUNCTION take_look_up, find_pull_progress, request_pull;
        INSERT INTO lookups (bucket, account_id, provider, kind, object_id, projection_version, reason, wanted_version)
        SELECT bucket, account_id, provider, kind, object_id, 0, reason, wanted_version FROM pull_tasks
        WHERE wanted_version <> '';
        COMMENT ON TABLE lookups IS 'Objects whose truth an event does not carry, to be read from the platform';
        DROP TABLE pull_accounts, pull_objects, pull_tasks;
        """
    )
