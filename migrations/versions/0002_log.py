"""The log: deliveries, events, and how far the work on each event has come."""

from migrations.script import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE webhook_buckets (
    bucket SMALLINT NOT NULL,
    holder TEXT,
    fence BIGINT DEFAULT 0 NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE,
    served_at TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    CONSTRAINT pk_webhook_buckets PRIMARY KEY (bucket),
    CONSTRAINT ck_webhook_buckets_lease CHECK ((holder IS NULL) = (leased_until IS NULL))
);
COMMENT ON TABLE webhook_buckets IS 'Leases on the work: who holds one works on its accounts alone';
COMMENT ON COLUMN webhook_buckets.bucket IS 'hash of an account';
COMMENT ON COLUMN webhook_buckets.holder IS 'host and process that hold it';
COMMENT ON COLUMN webhook_buckets.fence IS 'goes up with each holder, so that a former one can write nothing';
COMMENT ON COLUMN webhook_buckets.leased_until IS 'free from then on';
COMMENT ON COLUMN webhook_buckets.served_at IS 'when it was last taken; the longest ago is next';
CREATE TABLE webhook_deliveries (
    id UUID NOT NULL,
    provider TEXT NOT NULL,
    body BYTEA,
    body_sha256 BYTEA NOT NULL,
    headers JSONB NOT NULL,
    verdict TEXT NOT NULL,
    verdict_reason TEXT,
    secret_used TEXT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE,
    event_count INTEGER NOT NULL,
    new_event_count INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    body_of UUID,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT ck_webhook_deliveries_verdict CHECK (verdict IN ('accepted', 'unreadable', 'quarantined')),
    CONSTRAINT ck_webhook_deliveries_counts CHECK (new_event_count BETWEEN 0 AND event_count),
    CONSTRAINT ck_webhook_deliveries_body CHECK ((body IS NULL) = (body_of IS NOT NULL))
);
CREATE INDEX ix_webhook_deliveries_body ON webhook_deliveries (provider, body_sha256) WHERE body <> '';
CREATE INDEX ix_webhook_deliveries_created_at ON webhook_deliveries USING brin (created_at);
COMMENT ON TABLE webhook_deliveries IS 'Accepted requests, as received';
COMMENT ON COLUMN webhook_deliveries.id IS 'UUIDv7; the correlation id of everything that follows from it';
COMMENT ON COLUMN webhook_deliveries.provider IS 'the platform that sent it';
COMMENT ON COLUMN webhook_deliveries.body IS 'the bytes the signature was made over; NULL where body_of has the same';
COMMENT ON COLUMN webhook_deliveries.body_sha256 IS 'of the body, before anything was parsed';
COMMENT ON COLUMN webhook_deliveries.headers IS 'as received, less anything secret';
COMMENT ON COLUMN webhook_deliveries.verdict IS 'accepted; unreadable: no JSON; quarantined: of another application';
COMMENT ON COLUMN webhook_deliveries.verdict_reason IS 'why it is not accepted as it is';
COMMENT ON COLUMN webhook_deliveries.secret_used IS 'name of the variable, and which of its values matched';
COMMENT ON COLUMN webhook_deliveries.signed_at IS 'time in the signature, where the scheme has one';
COMMENT ON COLUMN webhook_deliveries.event_count IS 'events in it';
COMMENT ON COLUMN webhook_deliveries.new_event_count IS 'those of them that the log did not have';
COMMENT ON COLUMN webhook_deliveries.created_at IS 'when it was received';
COMMENT ON COLUMN webhook_deliveries.body_of IS 'the delivery that holds the same body, which is stored once';
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
    source TEXT DEFAULT 'webhook' NOT NULL,
    CONSTRAINT pk_webhook_event_log PRIMARY KEY (account_id, id),
    CONSTRAINT uq_webhook_event_log_provider_account_id_external_id UNIQUE (provider, account_id, external_id),
    CONSTRAINT ck_webhook_event_log_source CHECK (source IN ('webhook', 'poll', 'own'))
);
CREATE INDEX ix_webhook_event_log_created_at ON webhook_event_log USING brin (created_at);
CREATE INDEX ix_webhook_event_log_id ON webhook_event_log (id);
COMMENT ON TABLE webhook_event_log IS 'Events, each once; never changed';
COMMENT ON COLUMN webhook_event_log.account_id IS 'the platform''s id of the account the event is about';
COMMENT ON COLUMN webhook_event_log.id IS 'in the order of the log';
COMMENT ON COLUMN webhook_event_log.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_event_log.event_type IS 'the platform''s own word';
COMMENT ON COLUMN webhook_event_log.external_id IS 'deterministic; see the platform''s split rules';
COMMENT ON COLUMN webhook_event_log.rule_version IS 'version of the rule that made external_id';
COMMENT ON COLUMN webhook_event_log.payload_json IS 'NULL where the body could not be read; the delivery has the bytes';
COMMENT ON COLUMN webhook_event_log.occurred_at IS 'the platform''s clock for the thing itself';
COMMENT ON COLUMN webhook_event_log.delivery_id IS 'first delivery that carried it; NULL for facts of our own';
COMMENT ON COLUMN webhook_event_log.defect IS 'why the event cannot be projected as it is';
COMMENT ON COLUMN webhook_event_log.sanitized IS 'payload_json differs from the raw bytes';
COMMENT ON COLUMN webhook_event_log.created_at IS 'when it was received';
COMMENT ON COLUMN webhook_event_log.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
CREATE TABLE webhook_event_outcomes (
    bucket SMALLINT NOT NULL,
    account_id TEXT NOT NULL,
    event_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    projection_version SMALLINT,
    retry_count INTEGER DEFAULT 0 NOT NULL,
    error_message TEXT,
    CONSTRAINT pk_webhook_event_outcomes PRIMARY KEY (account_id, event_id),
    CONSTRAINT ck_webhook_event_outcomes_state CHECK (state IN ('done', 'ignored', 'parked', 'dead')),
    CONSTRAINT ck_webhook_event_outcomes_reason CHECK (state NOT IN ('parked', 'dead') OR error_message IS NOT NULL)
);
CREATE INDEX ix_webhook_event_outcomes_unsettled ON webhook_event_outcomes (state, settled_at) WHERE state IN ('parked', 'dead');
COMMENT ON TABLE webhook_event_outcomes IS 'Events that are settled';
COMMENT ON COLUMN webhook_event_outcomes.bucket IS 'the lease under which it was worked on';
COMMENT ON COLUMN webhook_event_outcomes.account_id IS 'of the event';
COMMENT ON COLUMN webhook_event_outcomes.event_id IS 'of the log';
COMMENT ON COLUMN webhook_event_outcomes.state IS 'done, ignored, parked or dead; the last two wait for a person';
COMMENT ON COLUMN webhook_event_outcomes.settled_at IS 'when it came to this state';
COMMENT ON COLUMN webhook_event_outcomes.projection_version IS 'version of the projection that settled it';
COMMENT ON COLUMN webhook_event_outcomes.retry_count IS 'failures until then';
COMMENT ON COLUMN webhook_event_outcomes.error_message IS 'of the last failure, or why somebody ignored it';
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
COMMENT ON TABLE webhook_event_queue IS 'Events that wait to be projected';
COMMENT ON COLUMN webhook_event_queue.bucket IS 'the lease under which it is worked on';
COMMENT ON COLUMN webhook_event_queue.account_id IS 'of the event';
COMMENT ON COLUMN webhook_event_queue.event_id IS 'of the log';
COMMENT ON COLUMN webhook_event_queue.due_at IS 'not worked on before';
COMMENT ON COLUMN webhook_event_queue.retry_count IS 'failures so far';
COMMENT ON COLUMN webhook_event_queue.error_message IS 'of the last failure';
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
COMMENT ON TABLE webhook_refusals IS 'A sample of refused requests';
COMMENT ON COLUMN webhook_refusals.provider IS 'the platform whose address it was sent to';
COMMENT ON COLUMN webhook_refusals.slot IS 'a ring: the newest sample takes the oldest one''s place';
COMMENT ON COLUMN webhook_refusals.reason IS 'why it was refused';
COMMENT ON COLUMN webhook_refusals.headers IS 'as received, less anything secret';
COMMENT ON COLUMN webhook_refusals.body_head IS 'the first bytes only';
COMMENT ON COLUMN webhook_refusals.body_size IS 'of the whole body, in bytes';
COMMENT ON COLUMN webhook_refusals.refused_at IS 'when it was refused';
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
    q.due_at, o.settled_at, o.projection_version,
    e.occurred_at, e.created_at, e.delivery_id, e.rule_version, e.defect, e.sanitized, e.source
FROM webhook_event_log e
LEFT JOIN webhook_event_outcomes o ON o.account_id = e.account_id AND o.event_id = e.id
-- crc32 of the account gives the bucket, but PostgreSQL need not know how: all 64 are probed.
LEFT JOIN webhook_event_queue q ON q.account_id = e.account_id AND q.event_id = e.id
LEFT JOIN webhook_buckets b ON b.bucket = q.bucket;
COMMENT ON VIEW webhook_events IS 'Events with the work on each: what people and dashboards read';
COMMENT ON COLUMN webhook_events.id IS 'in the order of the log';
COMMENT ON COLUMN webhook_events.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_events.event_type IS 'the platform''s own word';
COMMENT ON COLUMN webhook_events.external_id IS 'deterministic; see the platform''s split rules';
COMMENT ON COLUMN webhook_events.account_id IS 'the platform''s id of the account the event is about';
COMMENT ON COLUMN webhook_events.payload_json IS 'NULL where the body could not be read; the delivery has the bytes';
COMMENT ON COLUMN webhook_events.state IS 'pending, leased (being worked on), done, ignored, parked or dead; the last two wait for a person';
COMMENT ON COLUMN webhook_events.processed_at IS 'when its rows were written, or it was ignored; NULL until then';
COMMENT ON COLUMN webhook_events.error_message IS 'of the last failure, or why somebody ignored it';
COMMENT ON COLUMN webhook_events.retry_count IS 'failures so far';
COMMENT ON COLUMN webhook_events.due_at IS 'not worked on before; NULL once it is settled';
COMMENT ON COLUMN webhook_events.settled_at IS 'when it came to its state; NULL while it waits';
COMMENT ON COLUMN webhook_events.projection_version IS 'version of the projection that settled it';
COMMENT ON COLUMN webhook_events.occurred_at IS 'the platform''s clock for the thing itself';
COMMENT ON COLUMN webhook_events.created_at IS 'when it was received';
COMMENT ON COLUMN webhook_events.delivery_id IS 'first delivery that carried it; NULL for facts of our own';
COMMENT ON COLUMN webhook_events.rule_version IS 'version of the rule that made external_id';
COMMENT ON COLUMN webhook_events.defect IS 'why the event cannot be projected as it is';
COMMENT ON COLUMN webhook_events.sanitized IS 'payload_json differs from the raw bytes';
COMMENT ON COLUMN webhook_events.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
"""

# As schema/event_states.py has it.
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

-- One look per statement, not per row: both sit on the hot path. Tables are named with their schema, so that a temporary
-- one of the same name is not looked at in their place.
CREATE FUNCTION webhook_event_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN public.webhook_event_queue q
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
        SELECT FROM added a JOIN public.webhook_event_outcomes o
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

# A queue is all inserts and deletes: left to the defaults, dead rows pile up faster than they are cleared.
STORAGE = """
ALTER TABLE webhook_event_queue SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);
"""

GRANTS = """
GRANT SELECT (id, new_event_count), INSERT (id, provider, body, body_of, body_sha256, headers, verdict,
    verdict_reason, secret_used, signed_at, event_count, new_event_count) ON webhook_deliveries TO landfall_web;
GRANT SELECT (id, delivery_id, provider, account_id, external_id, defect), INSERT (delivery_id, provider,
    account_id, event_type, external_id, rule_version, payload_json, occurred_at, defect, sanitized) ON
    webhook_event_log TO landfall_web;
GRANT SELECT (bucket, account_id, event_id), INSERT (bucket, account_id, event_id) ON webhook_event_queue TO
    landfall_web;
GRANT SELECT (account_id, event_id), INSERT (bucket, account_id, event_id, state, error_message) ON
    webhook_event_outcomes TO landfall_web;
GRANT SELECT (provider, slot, reason, headers, body_head, body_size), INSERT (provider, slot, reason, headers,
    body_head, body_size), UPDATE (reason, headers, body_head, body_size, refused_at) ON webhook_refusals TO
    landfall_web;
GRANT SELECT (id, provider, account_id, external_id, event_type, payload_json, occurred_at, delivery_id, created_at,
    defect) ON webhook_event_log TO landfall_worker;
GRANT SELECT, UPDATE (due_at, retry_count, error_message), DELETE ON webhook_event_queue TO landfall_worker;
GRANT SELECT (account_id, event_id, state), INSERT (bucket, account_id, event_id, state, projection_version,
    retry_count, error_message) ON webhook_event_outcomes TO landfall_worker;
GRANT SELECT, UPDATE (holder, fence, leased_until, served_at) ON webhook_buckets TO landfall_worker;
GRANT SELECT, INSERT (id, provider, body, body_of, body_sha256, headers, verdict, verdict_reason, secret_used,
    signed_at, event_count, new_event_count) ON webhook_deliveries TO landfall_app;
GRANT SELECT, INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json,
    occurred_at, defect, sanitized, source) ON webhook_event_log TO landfall_app;
GRANT SELECT, INSERT, UPDATE (due_at, retry_count, error_message), DELETE ON webhook_event_queue TO landfall_app;
GRANT SELECT, INSERT, UPDATE (state, settled_at, error_message), DELETE ON webhook_event_outcomes TO landfall_app;
GRANT SELECT ON webhook_events TO landfall_app;
GRANT SELECT, UPDATE (holder, fence, leased_until, served_at) ON webhook_buckets TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON webhook_refusals TO landfall_app;
"""

# It runs with the rights of whoever owns it, for the web process, which may not look at bodies itself.
FUNCTION = """
-- For each body, counted from 1, the delivery that holds it; many at once, as it is on the hot path.
CREATE FUNCTION find_bodies(providers text[], digests bytea[]) RETURNS TABLE (number bigint, id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT i.number, d.id FROM unnest(providers, digests) WITH ORDINALITY AS i (provider, digest, number),
        LATERAL (SELECT o.id FROM public.webhook_deliveries o
            WHERE o.provider = i.provider AND o.body_sha256 = i.digest AND o.body <> '' LIMIT 1) d;
END $$;
REVOKE ALL ON FUNCTION find_bodies FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_bodies TO landfall_web;
"""


def upgrade() -> None:
    for script in (TABLES, VIEW, STATE_MACHINE, STORAGE, GRANTS, FUNCTION):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION find_bodies;
        DROP VIEW webhook_events;
        DROP TABLE webhook_refusals, webhook_event_queue, webhook_event_outcomes, webhook_event_log, webhook_deliveries, webhook_buckets;
        DROP FUNCTION webhook_event_refuse, webhook_event_settled_once, webhook_event_queued_once;
        """
    )
