"""Store deliveries as they come, and split them into events later, in the worker.

What is in the log was split on arrival: each delivery gets the outcome that its row held, and none waits.
"""

from migrations.script import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE webhook_delivery_queue (
    delivery_id UUID NOT NULL,
    new_events INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_webhook_delivery_queue PRIMARY KEY (delivery_id)
);
COMMENT ON TABLE webhook_delivery_queue IS 'Deliveries that wait to be split into events';
COMMENT ON COLUMN webhook_delivery_queue.delivery_id IS 'of the delivery';
COMMENT ON COLUMN webhook_delivery_queue.new_events IS 'events that were new so far, of a large one that is split in portions';
CREATE TABLE webhook_delivery_outcomes (
    delivery_id UUID NOT NULL,
    split_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    rule_version SMALLINT NOT NULL,
    verdict TEXT NOT NULL,
    verdict_reason TEXT,
    event_count INTEGER NOT NULL,
    new_event_count INTEGER NOT NULL,
    body_sha256 BYTEA NOT NULL,
    CONSTRAINT pk_webhook_delivery_outcomes PRIMARY KEY (delivery_id),
    CONSTRAINT ck_webhook_delivery_outcomes_verdict CHECK (verdict IN ('accepted', 'unreadable', 'quarantined')),
    CONSTRAINT ck_webhook_delivery_outcomes_counts CHECK (new_event_count BETWEEN 0 AND event_count)
);
CREATE INDEX ix_webhook_delivery_outcomes_body_sha256 ON webhook_delivery_outcomes USING hash (body_sha256);
COMMENT ON TABLE webhook_delivery_outcomes IS 'Deliveries that are split: what each came to';
COMMENT ON COLUMN webhook_delivery_outcomes.delivery_id IS 'of the delivery';
COMMENT ON COLUMN webhook_delivery_outcomes.split_at IS 'when its events were appended';
COMMENT ON COLUMN webhook_delivery_outcomes.rule_version IS 'version of the rule that split it';
COMMENT ON COLUMN webhook_delivery_outcomes.verdict IS 'accepted; unreadable: no event could be read from it; quarantined: as the delivery';
COMMENT ON COLUMN webhook_delivery_outcomes.verdict_reason IS 'why it is not accepted as it is';
COMMENT ON COLUMN webhook_delivery_outcomes.event_count IS 'events in it';
COMMENT ON COLUMN webhook_delivery_outcomes.new_event_count IS 'those of them that the log did not have';
COMMENT ON COLUMN webhook_delivery_outcomes.body_sha256 IS 'of the body, before anything was parsed';
"""

MOVE = """
INSERT INTO webhook_delivery_outcomes (delivery_id, split_at, rule_version, verdict, verdict_reason, event_count,
    new_event_count, body_sha256)
SELECT d.id, d.created_at, coalesce((SELECT max(e.rule_version) FROM webhook_event_log e WHERE e.delivery_id = d.id), 1),
    d.verdict, d.verdict_reason, d.event_count, d.new_event_count, d.body_sha256
FROM webhook_deliveries d;

CREATE TEMPORARY TABLE webhook_deliveries_before ON COMMIT DROP AS SELECT * FROM webhook_deliveries;
DROP TABLE webhook_deliveries;
CREATE TABLE webhook_deliveries (
    id UUID NOT NULL,
    provider TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    verdict TEXT NOT NULL,
    secret_used TEXT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE,
    headers BYTEA NOT NULL,
    body BYTEA,
    body_of UUID,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT ck_webhook_deliveries_verdict CHECK (verdict IN ('accepted', 'quarantined')),
    CONSTRAINT ck_webhook_deliveries_body CHECK ((body IS NULL) = (body_of IS NOT NULL))
);
INSERT INTO webhook_deliveries (id, provider, received_at, verdict, secret_used, signed_at, headers, body, body_of)
SELECT id, provider, created_at, CASE verdict WHEN 'quarantined' THEN verdict ELSE 'accepted' END, secret_used,
    signed_at, convert_to(coalesce((
        SELECT string_agg(name || ': ' || value || E'\\r\\n', '') FROM jsonb_each_text(headers) AS h (name, value)
    ), ''), 'UTF8'), body, body_of
FROM webhook_deliveries_before;
CREATE INDEX ix_webhook_deliveries_received_at ON webhook_deliveries USING brin (received_at);
COMMENT ON TABLE webhook_deliveries IS 'Accepted requests, as received';
COMMENT ON COLUMN webhook_deliveries.id IS 'UUIDv7; the correlation id of everything that follows from it';
COMMENT ON COLUMN webhook_deliveries.provider IS 'the platform that sent it';
COMMENT ON COLUMN webhook_deliveries.received_at IS 'when it was received';
COMMENT ON COLUMN webhook_deliveries.verdict IS 'accepted; quarantined: genuine, and signed longer ago than the platform repeats a delivery';
COMMENT ON COLUMN webhook_deliveries.secret_used IS 'name of the variable, and which of its values matched';
COMMENT ON COLUMN webhook_deliveries.signed_at IS 'time in the signature, where the scheme has one';
COMMENT ON COLUMN webhook_deliveries.headers IS 'the lines of those that prove it, as received';
COMMENT ON COLUMN webhook_deliveries.body IS 'the bytes the signature was made over; NULL where body_of has the same';
COMMENT ON COLUMN webhook_deliveries.body_of IS 'the delivery that holds the same body, which is stored once';
"""

# A queue is all inserts and deletes: left to the defaults, dead rows pile up faster than they are cleared.
STORAGE = """
ALTER TABLE webhook_delivery_queue SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);
"""

# It runs with the rights of whoever owns it, for the worker, which may not change a body itself; and it drops nothing
# that is not there a second time. An erased body is empty.
FUNCTION = """
DROP FUNCTION find_bodies;
CREATE FUNCTION share_bodies(copies uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.webhook_deliveries d SET body = NULL, body_of = first.id
    FROM unnest(copies) AS given (id)
        JOIN public.webhook_deliveries copy ON copy.id = given.id
        JOIN public.webhook_delivery_outcomes o ON o.delivery_id = copy.id,
        LATERAL (
            SELECT f.id FROM public.webhook_delivery_outcomes p JOIN public.webhook_deliveries f ON f.id = p.delivery_id
            WHERE p.body_sha256 = o.body_sha256 AND f.provider = copy.provider AND f.body = copy.body AND f.id < copy.id
            ORDER BY f.id LIMIT 1
        ) first
    WHERE d.id = copy.id AND copy.body <> ''
$$;
REVOKE ALL ON FUNCTION share_bodies FROM PUBLIC;
GRANT EXECUTE ON FUNCTION share_bodies TO landfall_worker;
"""

GRANTS = """
GRANT INSERT (id, provider, received_at, verdict, secret_used, signed_at, headers, body) ON webhook_deliveries TO
    landfall_web;
GRANT INSERT (delivery_id) ON webhook_delivery_queue TO landfall_web;
REVOKE ALL ON webhook_event_log, webhook_event_queue, webhook_event_outcomes FROM landfall_web;
REVOKE ALL (id, delivery_id, provider, account_id, external_id, defect, event_type, rule_version, payload_json,
    occurred_at, sanitized) ON webhook_event_log FROM landfall_web;
REVOKE ALL (bucket, account_id, event_id) ON webhook_event_queue FROM landfall_web;
REVOKE ALL (bucket, account_id, event_id, state, error_message) ON webhook_event_outcomes FROM landfall_web;
GRANT SELECT ON webhook_deliveries TO landfall_worker;
GRANT SELECT, UPDATE, DELETE ON webhook_delivery_queue TO landfall_worker;
GRANT SELECT, INSERT (delivery_id, rule_version, verdict, verdict_reason, event_count, new_event_count, body_sha256),
    UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_worker;
GRANT INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json, occurred_at,
    defect, sanitized, created_at, source) ON webhook_event_log TO landfall_worker;
GRANT INSERT (bucket, account_id, event_id) ON webhook_event_queue TO landfall_worker;
GRANT SELECT, INSERT ON webhook_deliveries TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_delivery_queue TO landfall_app;
GRANT SELECT, INSERT, UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_app;
GRANT INSERT (created_at) ON webhook_event_log TO landfall_app;
"""

BACK = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM webhook_delivery_queue) THEN
        RAISE EXCEPTION 'deliveries wait to be split: stop the web processes and let a worker of this release run first';
    END IF;
END $$;
CREATE TEMPORARY TABLE webhook_deliveries_after ON COMMIT DROP AS SELECT * FROM webhook_deliveries;
DROP TABLE webhook_deliveries;
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
INSERT INTO webhook_deliveries (id, provider, body, body_sha256, headers, verdict, verdict_reason, secret_used, signed_at,
    event_count, new_event_count, created_at, body_of)
SELECT d.id, d.provider, d.body, o.body_sha256, coalesce((
        SELECT jsonb_object_agg(split_part(line, ': ', 1), substr(line, strpos(line, ': ') + 2))
        FROM regexp_split_to_table(encode(d.headers, 'escape'), E'\\r\\n') line WHERE line <> ''
    ), '{}'), o.verdict, o.verdict_reason, d.secret_used, d.signed_at, o.event_count, o.new_event_count, d.received_at,
    d.body_of
FROM webhook_deliveries_after d JOIN webhook_delivery_outcomes o ON o.delivery_id = d.id;
DROP TABLE webhook_delivery_queue, webhook_delivery_outcomes;
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
"""

BACK_GRANTS = """
DROP FUNCTION share_bodies;
GRANT SELECT (id, new_event_count), INSERT (id, provider, body, body_of, body_sha256, headers, verdict,
    verdict_reason, secret_used, signed_at, event_count, new_event_count) ON webhook_deliveries TO landfall_web;
GRANT SELECT (id, delivery_id, provider, account_id, external_id, defect), INSERT (delivery_id, provider,
    account_id, event_type, external_id, rule_version, payload_json, occurred_at, defect, sanitized) ON
    webhook_event_log TO landfall_web;
GRANT SELECT (bucket, account_id, event_id), INSERT (bucket, account_id, event_id) ON webhook_event_queue TO
    landfall_web;
GRANT SELECT (account_id, event_id), INSERT (bucket, account_id, event_id, state, error_message) ON
    webhook_event_outcomes TO landfall_web;
REVOKE INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json, occurred_at,
    defect, sanitized, created_at, source) ON webhook_event_log FROM landfall_worker;
REVOKE INSERT (bucket, account_id, event_id) ON webhook_event_queue FROM landfall_worker;
REVOKE INSERT (created_at) ON webhook_event_log FROM landfall_app;
GRANT SELECT, INSERT (id, provider, body, body_of, body_sha256, headers, verdict, verdict_reason, secret_used,
    signed_at, event_count, new_event_count) ON webhook_deliveries TO landfall_app;

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
    for script in (TABLES, MOVE, STORAGE, FUNCTION, GRANTS):
        run(script)


def downgrade() -> None:
    for script in (BACK, BACK_GRANTS):
        run(script)
