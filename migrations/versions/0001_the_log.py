"""The log, the work on it, and who may do what to it.

The view and the triggers are the state machine of ``schema/log.py``; a later migration that changes it replaces them
whole.
"""

from migrations.script import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE webhook_deliveries (
    id UUID NOT NULL,
    provider TEXT NOT NULL,
    body BYTEA NOT NULL,
    body_sha256 BYTEA NOT NULL,
    headers JSONB NOT NULL,
    verdict TEXT NOT NULL,
    verdict_reason TEXT,
    secret_used TEXT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE,
    event_count INTEGER NOT NULL,
    new_event_count INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT ck_webhook_deliveries_verdict CHECK (verdict IN ('accepted', 'unreadable', 'quarantined')),
    CONSTRAINT ck_webhook_deliveries_counts CHECK (new_event_count BETWEEN 0 AND event_count)
);
CREATE INDEX ix_webhook_deliveries_created_at ON webhook_deliveries USING brin (created_at);
COMMENT ON COLUMN webhook_deliveries.id IS 'UUIDv7; the correlation id of everything that follows from it';
COMMENT ON COLUMN webhook_deliveries.body IS 'the bytes the signature was made over';
COMMENT ON COLUMN webhook_deliveries.headers IS 'as received, less anything secret';
COMMENT ON COLUMN webhook_deliveries.secret_used IS 'name of the variable, and which of its values matched';
COMMENT ON COLUMN webhook_deliveries.signed_at IS 'time in the signature, where the scheme has one';
CREATE TABLE webhook_event_log (
    account_id TEXT NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    provider TEXT NOT NULL,
    event_type TEXT NOT NULL,
    external_id TEXT NOT NULL,
    rule_version SMALLINT NOT NULL,
    payload_json JSONB,
    occurred_at TIMESTAMP WITH TIME ZONE,
    delivery_id UUID,
    defect TEXT,
    sanitized BOOLEAN NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhook_event_log PRIMARY KEY (account_id, id),
    CONSTRAINT uq_webhook_event_log_provider_account_id_external_id UNIQUE (provider, account_id, external_id)
);
COMMENT ON COLUMN webhook_event_log.account_id IS 'the platform''s id of the account the event is about';
COMMENT ON COLUMN webhook_event_log.event_type IS 'the platform''s own word';
COMMENT ON COLUMN webhook_event_log.external_id IS 'deterministic; see the platform''s split rules';
COMMENT ON COLUMN webhook_event_log.rule_version IS 'version of the rule that made external_id';
COMMENT ON COLUMN webhook_event_log.payload_json IS 'NULL where the body could not be read; the delivery has the bytes';
COMMENT ON COLUMN webhook_event_log.occurred_at IS 'the platform''s clock for the thing itself';
COMMENT ON COLUMN webhook_event_log.delivery_id IS 'first delivery that carried it; NULL for facts of our own';
COMMENT ON COLUMN webhook_event_log.defect IS 'why the event cannot be projected as it is';
COMMENT ON COLUMN webhook_event_log.sanitized IS 'payload_json differs from the raw bytes';
CREATE INDEX ix_webhook_event_log_id ON webhook_event_log (id);
CREATE TABLE webhook_event_queue (
    bucket SMALLINT NOT NULL,
    account_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retry_count INTEGER DEFAULT 0 NOT NULL,
    error_message TEXT,
    CONSTRAINT pk_webhook_event_queue PRIMARY KEY (bucket, account_id, event_id),
    CONSTRAINT ck_webhook_event_queue_retry_count CHECK (retry_count >= 0)
);
CREATE TABLE webhook_event_outcomes (
    bucket SMALLINT NOT NULL,
    account_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    projector SMALLINT,
    retry_count INTEGER DEFAULT 0 NOT NULL,
    error_message TEXT,
    CONSTRAINT pk_webhook_event_outcomes PRIMARY KEY (account_id, event_id),
    CONSTRAINT ck_webhook_event_outcomes_state CHECK (state IN ('done', 'ignored', 'parked', 'dead')),
    CONSTRAINT ck_webhook_event_outcomes_reason CHECK (state NOT IN ('parked', 'dead') OR error_message IS NOT NULL)
);
CREATE INDEX ix_webhook_event_outcomes_unsettled ON webhook_event_outcomes (state, settled_at)
    WHERE state IN ('parked', 'dead');
COMMENT ON COLUMN webhook_event_outcomes.projector IS 'version of the projection that settled it';
CREATE TABLE webhook_buckets (
    bucket SMALLINT NOT NULL,
    holder TEXT,
    fence BIGINT DEFAULT 0 NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE,
    served_at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    CONSTRAINT pk_webhook_buckets PRIMARY KEY (bucket),
    CONSTRAINT ck_webhook_buckets_lease CHECK ((holder IS NULL) = (leased_until IS NULL))
);
CREATE TABLE webhook_refusals (
    provider TEXT NOT NULL,
    slot SMALLINT NOT NULL,
    reason TEXT NOT NULL,
    headers JSONB NOT NULL,
    body_head BYTEA NOT NULL,
    body_size INTEGER NOT NULL,
    refused_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhook_refusals PRIMARY KEY (provider, slot)
);
COMMENT ON COLUMN webhook_refusals.slot IS 'a ring: the newest sample takes the oldest one''s place';
COMMENT ON COLUMN webhook_refusals.body_head IS 'the first bytes only';
INSERT INTO webhook_buckets (bucket) SELECT generate_series(0, 63);
"""

VIEW = """
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
-- crc32 of the account gives the bucket, but PostgreSQL need not know how: all 64 are probed.
LEFT JOIN webhook_event_queue q ON q.account_id = e.account_id AND q.event_id = e.id
LEFT JOIN webhook_buckets b ON b.bucket = q.bucket
"""

STATE_MACHINE = """
CREATE FUNCTION webhook_event_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'event % of account % cannot go from % to %', NEW.event_id, NEW.account_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
END $$;
CREATE TRIGGER webhook_event_outcome_transition
    BEFORE UPDATE OF state ON webhook_event_outcomes FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (('parked', 'ignored'), ('dead', 'ignored')))
    EXECUTE FUNCTION webhook_event_refuse();

-- One look per statement, not per row: both sit on the hot path.
CREATE FUNCTION webhook_event_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN webhook_event_queue q
            ON q.bucket = a.bucket AND q.account_id = a.account_id AND q.event_id = a.event_id
    ) THEN
        RAISE EXCEPTION 'an event that still waits cannot be settled: take it off the queue in the same statement'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_event_settled_once
    AFTER INSERT ON webhook_event_outcomes REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_event_settled_once();

CREATE FUNCTION webhook_event_queued_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN webhook_event_outcomes o
            ON o.account_id = a.account_id AND o.event_id = a.event_id
    ) THEN
        RAISE EXCEPTION 'a settled event cannot be queued: remove its outcome in the same statement'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_event_queued_once
    AFTER INSERT ON webhook_event_queue REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_event_queued_once();
"""

# Roles belong to the whole cluster, so another database's migration may have made this one.
ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_app') THEN
        CREATE ROLE landfall_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
-- Until PostgreSQL 15 a member may act as the role; from 16 on that is a right of its own, and whoever makes a role is a
-- member without it.
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'landfall_app', 'MEMBER') OR NOT pg_has_role(
        current_user, 'landfall_app',
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
    THEN
        EXECUTE format('GRANT landfall_app TO %I', current_user);
    END IF;
END $$;
"""

GRANTS = """
GRANT SELECT ON alembic_version TO landfall_app;
GRANT SELECT, INSERT ON webhook_deliveries, webhook_event_log TO landfall_app;
GRANT SELECT, INSERT, DELETE ON webhook_event_queue, webhook_event_outcomes TO landfall_app;
GRANT UPDATE (due_at, retry_count, error_message) ON webhook_event_queue TO landfall_app;
GRANT UPDATE (state, settled_at, error_message) ON webhook_event_outcomes TO landfall_app;
GRANT SELECT ON webhook_events TO landfall_app;
GRANT SELECT ON webhook_buckets TO landfall_app;
GRANT UPDATE (holder, fence, leased_until, served_at) ON webhook_buckets TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON webhook_refusals TO landfall_app;
"""

# A queue is all inserts and deletes: left to the defaults, dead rows pile up faster than they are cleared.
STORAGE = """
ALTER TABLE webhook_event_queue SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);
"""


def upgrade() -> None:
    for script in (TABLES, VIEW, STATE_MACHINE, ROLE, GRANTS, STORAGE):
        run(script)


def downgrade() -> None:
    # The role stays: other databases of the cluster may use it, and it owns nothing.
    run(
        """
        DROP VIEW webhook_events;
        DROP TABLE webhook_refusals, webhook_buckets, webhook_event_outcomes, webhook_event_queue,
            webhook_event_log, webhook_deliveries;
        DROP FUNCTION webhook_event_refuse, webhook_event_settled_once, webhook_event_queued_once;
        """
    )
