"""Give the log its lasting shape: names apart from payloads, ids by time, and a partition for each month.

The name of an event is kept for ever in a narrow row, whatever becomes of its payload. The ids of what is in the log
stay: they are lower than every id by time, so that the order is the same, and stand in the partition before the first
month.
"""

from migrations.script import run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# As schema/events.py has them. decode() and not convert_to(), which is only STABLE: a call of a function that contains
# it is not replaced by its body. The timestamp without a zone is there for the same reason.
FUNCTIONS = r"""
CREATE SEQUENCE webhook_event_numbers AS integer MINVALUE 0 MAXVALUE 1048575 CYCLE;
COMMENT ON SEQUENCE webhook_event_numbers IS 'Tells events of one second apart, in their ids';
CREATE FUNCTION event_id_from(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN greatest(0, least(8589934591, floor(extract(epoch FROM at AT TIME ZONE 'UTC'))::bigint - 1577836800)) << 20;
COMMENT ON FUNCTION event_id_from IS 'The lowest id of an event of that second';
CREATE FUNCTION next_event_id(at timestamptz) RETURNS bigint LANGUAGE sql VOLATILE STRICT
RETURN event_id_from(at) | nextval('webhook_event_numbers');
COMMENT ON FUNCTION next_event_id IS 'An id for an event that was received then';
CREATE FUNCTION identity_of(provider text, account_id text, external_id text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN encode(
    substr(sha256(decode(replace(provider || U&'\001F' || account_id, '\', '\\'), 'escape')), 1, 6)
    || substr(sha256(decode(replace(
        provider || U&'\001F' || account_id || U&'\001F' || external_id, '\', '\\'), 'escape')), 1, 10),
    'hex')::uuid;
COMMENT ON FUNCTION identity_of IS 'The name of an event, as schema.events.identity_of computes it';
"""

# What there is goes out of the way with its keys and indexes, to be copied.
ASIDE = """
DROP VIEW reporting.webhook_events, webhook_events;
CREATE SCHEMA landfall_before;
ALTER TABLE webhook_deliveries SET SCHEMA landfall_before;
ALTER TABLE webhook_delivery_outcomes SET SCHEMA landfall_before;
ALTER TABLE webhook_event_log SET SCHEMA landfall_before;
ALTER TABLE webhook_event_outcomes SET SCHEMA landfall_before;
"""

TABLES = """
CREATE TABLE webhook_event_identities (
    bucket SMALLINT NOT NULL,
    identity UUID NOT NULL,
    event_id BIGINT NOT NULL,
    CONSTRAINT pk_webhook_event_identities PRIMARY KEY (bucket, identity)
);
CREATE TABLE webhook_event_log (
    id BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE,
    delivery_id UUID,
    bucket SMALLINT NOT NULL,
    rule_version SMALLINT NOT NULL,
    sanitized BOOLEAN NOT NULL,
    provider TEXT NOT NULL,
    account_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    external_id TEXT NOT NULL,
    source TEXT DEFAULT 'webhook' NOT NULL,
    defect TEXT,
    payload_json JSONB,
    CONSTRAINT pk_webhook_event_log PRIMARY KEY (bucket, account_id, id),
    CONSTRAINT ck_webhook_event_log_source CHECK (source IN ('webhook', 'poll', 'own'))
) PARTITION BY RANGE (id);
CREATE INDEX ix_webhook_event_log_created_at ON webhook_event_log USING brin (created_at);
CREATE INDEX ix_webhook_event_log_id ON webhook_event_log (id);
CREATE TABLE webhook_event_outcomes (
    event_id BIGINT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    retry_count INTEGER DEFAULT 0 NOT NULL,
    bucket SMALLINT NOT NULL,
    projection_version SMALLINT,
    account_id TEXT NOT NULL,
    state TEXT NOT NULL,
    error_message TEXT,
    CONSTRAINT pk_webhook_event_outcomes PRIMARY KEY (bucket, account_id, event_id),
    CONSTRAINT ck_webhook_event_outcomes_state CHECK (state IN ('done', 'ignored', 'parked', 'dead')),
    CONSTRAINT ck_webhook_event_outcomes_reason CHECK (state NOT IN ('parked', 'dead') OR error_message IS NOT NULL)
) PARTITION BY RANGE (event_id);
CREATE INDEX ix_webhook_event_outcomes_unsettled ON webhook_event_outcomes (state, settled_at) WHERE state IN ('parked', 'dead');
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
) PARTITION BY RANGE (id);
CREATE INDEX ix_webhook_deliveries_received_at ON webhook_deliveries USING brin (received_at);
CREATE INDEX ix_webhook_deliveries_body_of ON webhook_deliveries (body_of) WHERE body_of IS NOT NULL;
CREATE INDEX ix_webhook_deliveries_erased ON webhook_deliveries (id) WHERE body = '';
CREATE TABLE webhook_delivery_outcomes (
    delivery_id UUID NOT NULL,
    split_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    rule_version SMALLINT NOT NULL,
    verdict TEXT NOT NULL,
    verdict_reason TEXT,
    event_count INTEGER NOT NULL,
    new_event_count INTEGER NOT NULL,
    body_sha256 BYTEA NOT NULL,
    holds_body BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_webhook_delivery_outcomes PRIMARY KEY (delivery_id),
    CONSTRAINT ck_webhook_delivery_outcomes_verdict CHECK (verdict IN ('accepted', 'unreadable', 'quarantined')),
    CONSTRAINT ck_webhook_delivery_outcomes_counts CHECK (new_event_count BETWEEN 0 AND event_count)
) PARTITION BY RANGE (delivery_id);
CREATE INDEX ix_webhook_delivery_outcomes_body_sha256 ON webhook_delivery_outcomes USING hash (body_sha256) WHERE holds_body;
"""

COMMENTS = """
COMMENT ON TABLE webhook_event_identities IS 'The names of all events that were ever received: each is received once';
COMMENT ON COLUMN webhook_event_identities.bucket IS 'of the account';
COMMENT ON COLUMN webhook_event_identities.identity IS 'hashes of the account (48 bits) and of the event within it (80 bits)';
COMMENT ON COLUMN webhook_event_identities.event_id IS 'of the log, which may have dropped the event since';
COMMENT ON TABLE webhook_event_log IS 'Events, each once; never changed';
COMMENT ON COLUMN webhook_event_log.id IS 'in the order of the log: seconds since 2020, and a number within the second';
COMMENT ON COLUMN webhook_event_log.created_at IS 'when it was received';
COMMENT ON COLUMN webhook_event_log.occurred_at IS 'the platform''s clock for the thing itself';
COMMENT ON COLUMN webhook_event_log.delivery_id IS 'first delivery that carried it; NULL for facts of our own';
COMMENT ON COLUMN webhook_event_log.bucket IS 'of the account';
COMMENT ON COLUMN webhook_event_log.rule_version IS 'version of the rule that made external_id';
COMMENT ON COLUMN webhook_event_log.sanitized IS 'payload_json differs from the raw bytes';
COMMENT ON COLUMN webhook_event_log.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_event_log.account_id IS 'the platform''s id of the account the event is about';
COMMENT ON COLUMN webhook_event_log.event_type IS 'the platform''s own word';
COMMENT ON COLUMN webhook_event_log.external_id IS 'deterministic; see the platform''s split rules';
COMMENT ON COLUMN webhook_event_log.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
COMMENT ON COLUMN webhook_event_log.defect IS 'why the event cannot be projected as it is';
COMMENT ON COLUMN webhook_event_log.payload_json IS 'NULL where the body could not be read; the delivery has the bytes';
COMMENT ON TABLE webhook_event_outcomes IS 'Events that are settled';
COMMENT ON COLUMN webhook_event_outcomes.event_id IS 'of the log';
COMMENT ON COLUMN webhook_event_outcomes.settled_at IS 'when it came to this state';
COMMENT ON COLUMN webhook_event_outcomes.retry_count IS 'failures until then';
COMMENT ON COLUMN webhook_event_outcomes.bucket IS 'the lease under which it was worked on';
COMMENT ON COLUMN webhook_event_outcomes.projection_version IS 'version of the projection that settled it';
COMMENT ON COLUMN webhook_event_outcomes.account_id IS 'of the event';
COMMENT ON COLUMN webhook_event_outcomes.state IS 'done, ignored, parked or dead; the last two wait for a person';
COMMENT ON COLUMN webhook_event_outcomes.error_message IS 'of the last failure, or why somebody ignored it';
"""

# Also those that webhook_deliveries and webhook_delivery_outcomes had.
DELIVERY_COMMENTS = """
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
COMMENT ON TABLE webhook_delivery_outcomes IS 'Deliveries that are split: what each came to';
COMMENT ON COLUMN webhook_delivery_outcomes.delivery_id IS 'of the delivery';
COMMENT ON COLUMN webhook_delivery_outcomes.split_at IS 'when its events were appended';
COMMENT ON COLUMN webhook_delivery_outcomes.rule_version IS 'version of the rule that split it';
COMMENT ON COLUMN webhook_delivery_outcomes.verdict IS 'accepted; unreadable: no event could be read from it; quarantined: as the delivery';
COMMENT ON COLUMN webhook_delivery_outcomes.verdict_reason IS 'why it is not accepted as it is';
COMMENT ON COLUMN webhook_delivery_outcomes.event_count IS 'events in it';
COMMENT ON COLUMN webhook_delivery_outcomes.new_event_count IS 'those of them that the log did not have';
COMMENT ON COLUMN webhook_delivery_outcomes.body_sha256 IS 'of the body, before anything was parsed';
COMMENT ON COLUMN webhook_delivery_outcomes.holds_body IS 'later deliveries with the same body point to this one';
"""

# Partitions are rows of the catalogue, and no login of ours may CREATE: a function with the owner's rights makes them.
# ATTACH PARTITION and not CREATE TABLE … PARTITION OF, which would wait for every reader and let none in meanwhile. Rows
# of the month that stand in the default partition are moved: ATTACH refuses to leave them there. What is outside of
# those years came by a clock that is wrong, and stays.
PARTITIONS = """
CREATE FUNCTION make_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
    month timestamp;
    made integer := 0;
    part text;
    spare text;
    bounds text[];
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(439217170);
    FOR t IN SELECT * FROM (VALUES
        ('webhook_deliveries', 'id', true), ('webhook_delivery_outcomes', 'delivery_id', true),
        ('webhook_event_log', 'id', false), ('webhook_event_outcomes', 'event_id', false)
    ) AS v (name, key, by_uuid) LOOP
        spare := t.name || '_default';
        FOR month IN EXECUTE format(
            'SELECT generate_series(date_trunc(''month'', now() AT TIME ZONE ''UTC''), now() AT TIME ZONE ''UTC''
                + interval ''3 months'', ''1 month'')
            UNION SELECT date_trunc(''month'', at) FROM (SELECT to_timestamp(%s) AT TIME ZONE ''UTC'' AS at FROM public.%I) s
            WHERE at BETWEEN ''2020-01-01'' AND now() AT TIME ZONE ''UTC'' + interval ''1 year'' ORDER BY 1',
            CASE WHEN t.by_uuid
                THEN format('(''x'' || left(replace(%I::text, ''-'', ''''), 12))::bit(48)::bigint / 1000.0', t.key)
                ELSE format('(%I >> 20) + 1577836800', t.key) END, spare)
        LOOP
            part := t.name || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
            SELECT array_agg(CASE WHEN t.by_uuid
                THEN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid::text
                ELSE public.event_id_from(at AT TIME ZONE 'UTC')::text END ORDER BY at)
            INTO bounds FROM (VALUES (month), (month + interval '1 month')) AS b (at);
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES) WITH (
                autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000,
                autovacuum_analyze_scale_factor = 0.05, autovacuum_freeze_min_age = 0)', part, t.name);
            EXECUTE format('WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *)
                INSERT INTO public.%I SELECT * FROM moved', spare, t.key, bounds[1], t.key, bounds[2], part);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                t.name, part, bounds[1], bounds[2]);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION make_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions TO landfall_worker, landfall_app;
COMMENT ON FUNCTION make_partitions IS 'Make the partitions of this month and the next three, and return how many';

CREATE FUNCTION find_partition_gaps() RETURNS TABLE (months_ahead integer, misplaced boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT (SELECT min(ahead.months)::integer FROM (
        SELECT (SELECT count(*) FROM generate_series(1, 3) m WHERE to_regclass('public.' || t.name
            || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m), '_YYYY_MM')) IS NOT NULL) AS months
        FROM (VALUES ('webhook_deliveries'), ('webhook_delivery_outcomes'), ('webhook_event_log'), ('webhook_event_outcomes'))
            AS t (name)) ahead),
    EXISTS (SELECT FROM public.webhook_deliveries_default) OR EXISTS (SELECT FROM public.webhook_delivery_outcomes_default)
        OR EXISTS (SELECT FROM public.webhook_event_log_default) OR EXISTS (SELECT FROM public.webhook_event_outcomes_default);
END $$;
REVOKE ALL ON FUNCTION find_partition_gaps FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_partition_gaps TO landfall_worker, landfall_app;
COMMENT ON FUNCTION find_partition_gaps IS 'For how many months to come there are partitions, and whether rows stand outside of their month''s';

DO $$
DECLARE
    first timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    by_time text := (lpad(to_hex((extract(epoch FROM first) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhook_deliveries', 'webhook_delivery_outcomes', 'webhook_event_log', 'webhook_event_outcomes'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', name || '_default', name);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%L)', name || '_before', name,
            CASE WHEN name LIKE 'webhook_deliver%' THEN by_time ELSE event_id_from(first)::text END);
    END LOOP;
    PERFORM make_partitions();
END $$;
"""

# What is dropped is what policies say, and settled for good: nothing that waits for a worker or for a person. Each call of
# a function is one transaction's work; it is called until it finds nothing more. A partition is looked through while
# writers of its month wait and readers do not; then all wait for the moment in which it goes.
RETENTION = r"""
CREATE TABLE retention_policies (
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    days INTEGER,
    CONSTRAINT pk_retention_policies PRIMARY KEY (platform, kind),
    CONSTRAINT ck_retention_policies_days CHECK (days >= 1)
);
COMMENT ON TABLE retention_policies IS 'How long the log keeps what it holds; for ever where nothing is said';
COMMENT ON COLUMN retention_policies.platform IS 'of which platform';
COMMENT ON COLUMN retention_policies.kind IS 'a type of events; events: those without a policy of their own; deliveries: raw requests';
COMMENT ON COLUMN retention_policies.days IS 'for how many days after they were received; NULL for ever';
CREATE TABLE webhook_dropped_events (
    bucket SMALLINT NOT NULL,
    provider TEXT NOT NULL,
    account_id TEXT NOT NULL,
    event_count BIGINT NOT NULL,
    newest_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_webhook_dropped_events PRIMARY KEY (bucket, provider, account_id)
);
COMMENT ON TABLE webhook_dropped_events IS 'Accounts of whose events the log has dropped some: no rebuild can make their rows anew';
COMMENT ON COLUMN webhook_dropped_events.bucket IS 'of the account';
COMMENT ON COLUMN webhook_dropped_events.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_dropped_events.account_id IS 'the platform''s id of the account';
COMMENT ON COLUMN webhook_dropped_events.event_count IS 'how many events were dropped';
COMMENT ON COLUMN webhook_dropped_events.newest_at IS 'when the newest of them was received';

CREATE FUNCTION drop_due_partition() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
    kept text;
    found boolean;
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(439217170);
    FOR t IN
        SELECT p.parent, c.relname AS name, p.other || substr(c.relname, length(p.parent) + 1) AS other
        FROM (VALUES ('webhook_event_log', 'webhook_event_outcomes'), ('webhook_deliveries', 'webhook_delivery_outcomes'))
            AS p (parent, other)
        JOIN pg_inherits i ON i.inhparent = to_regclass('public.' || p.parent) JOIN pg_class c ON c.oid = i.inhrelid
        WHERE c.relname = p.parent || '_before' OR c.relname ~ '_[0-9]{4}_[0-9]{2}$'
            AND c.relname < p.parent || to_char(now() AT TIME ZONE 'UTC', '_YYYY_MM')
        ORDER BY 2
    LOOP
        kept := CASE t.parent WHEN 'webhook_event_log' THEN $sql$
            SELECT FROM public.%1$I e
            LEFT JOIN public.retention_policies own ON own.platform = e.provider AND own.kind = e.event_type
                AND own.kind NOT IN ('events', 'deliveries')
            LEFT JOIN public.retention_policies any_type ON any_type.platform = e.provider AND any_type.kind = 'events'
            WHERE (e.created_at < now() - make_interval(days =>
                    CASE WHEN own.kind IS NULL THEN any_type.days ELSE own.days END)) IS NOT TRUE
                OR NOT EXISTS (SELECT FROM public.%2$I o WHERE o.bucket = e.bucket AND o.account_id = e.account_id
                    AND o.event_id = e.id AND o.state IN ('done', 'ignored'))
            $sql$ ELSE $sql$
            SELECT FROM public.%1$I d
            LEFT JOIN public.retention_policies p ON p.platform = d.provider AND p.kind = 'deliveries'
            WHERE (d.received_at < now() - make_interval(days => p.days)) IS NOT TRUE
                OR NOT EXISTS (SELECT FROM public.%2$I o WHERE o.delivery_id = d.id)
                OR EXISTS (SELECT FROM public.webhook_delivery_queue q WHERE q.delivery_id = d.id)
                OR EXISTS (SELECT FROM public.webhook_deliveries c WHERE c.body_of = d.id AND c.tableoid <> d.tableoid)
            $sql$ END;
        kept := format('SELECT NOT EXISTS (' || kept || ') AND EXISTS (SELECT FROM public.%1$I)', t.name, t.other);
        EXECUTE kept INTO found;  -- once without a lock: mostly the first row that is seen is to be kept
        CONTINUE WHEN NOT found;
        EXECUTE format('LOCK TABLE public.%I, public.%I IN SHARE ROW EXCLUSIVE MODE', t.name, t.other);
        EXECUTE kept INTO found;
        CONTINUE WHEN NOT found;
        IF t.parent = 'webhook_event_log' THEN
            EXECUTE format($sql$
                INSERT INTO public.webhook_dropped_events AS k (bucket, provider, account_id, event_count, newest_at)
                SELECT bucket, provider, account_id, count(*), max(created_at) FROM public.%I GROUP BY 1, 2, 3
                ON CONFLICT (bucket, provider, account_id) DO UPDATE SET
                    event_count = k.event_count + excluded.event_count,
                    newest_at = greatest(k.newest_at, excluded.newest_at)$sql$, t.name);
        END IF;
        EXECUTE format('DROP TABLE public.%I, public.%I', t.name, t.other);
        RETURN t.name;
    END LOOP;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION drop_due_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_due_partition TO landfall_app;
COMMENT ON FUNCTION drop_due_partition IS 'Drop a partition in which everything is due, and return its name; NULL where there is none';

CREATE FUNCTION drop_due_events(after bigint, batch integer) RETURNS TABLE (dropped bigint, last bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH page AS MATERIALIZED (
        SELECT e.bucket, e.account_id, e.id, e.provider, e.event_type, e.created_at FROM public.webhook_event_log e
        WHERE e.id > after AND e.id < public.event_id_from(
            now() - make_interval(days => (SELECT min(days) FROM public.retention_policies WHERE kind <> 'deliveries')))
        ORDER BY e.id LIMIT batch
    ), settled AS (
        DELETE FROM public.webhook_event_outcomes o USING page e
        LEFT JOIN public.retention_policies own ON own.platform = e.provider AND own.kind = e.event_type
            AND own.kind NOT IN ('events', 'deliveries')
        LEFT JOIN public.retention_policies any_type ON any_type.platform = e.provider AND any_type.kind = 'events'
        WHERE e.created_at < now() - make_interval(days =>
                CASE WHEN own.kind IS NULL THEN any_type.days ELSE own.days END)
            AND o.bucket = e.bucket AND o.account_id = e.account_id AND o.event_id = e.id
            AND o.state IN ('done', 'ignored')
        RETURNING o.bucket, o.account_id, o.event_id
    ), gone AS (
        DELETE FROM public.webhook_event_log e USING settled s
        WHERE e.bucket = s.bucket AND e.account_id = s.account_id AND e.id = s.event_id
        RETURNING e.bucket, e.provider, e.account_id, e.created_at
    ), noted AS (
        INSERT INTO public.webhook_dropped_events AS k (bucket, provider, account_id, event_count, newest_at)
        SELECT bucket, provider, account_id, count(*), max(created_at) FROM gone GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (bucket, provider, account_id) DO UPDATE SET event_count = k.event_count + excluded.event_count,
            newest_at = greatest(k.newest_at, excluded.newest_at)
    )
    SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page)
$$;
REVOKE ALL ON FUNCTION drop_due_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_due_events TO landfall_app;
COMMENT ON FUNCTION drop_due_events IS 'Drop what is due of the next events, and return how many, and where to go on; NULL at the end';

CREATE FUNCTION drop_due_deliveries(after uuid, batch integer) RETURNS TABLE (dropped bigint, last uuid)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH page AS MATERIALIZED (
        SELECT d.id, d.received_at < now() - make_interval(days => p.days) AS due
        FROM public.webhook_deliveries d
        LEFT JOIN public.retention_policies p ON p.platform = d.provider AND p.kind = 'deliveries'
        WHERE d.id > after AND d.id < (lpad(to_hex(extract(epoch FROM now() - make_interval(days =>
            (SELECT min(days) FROM public.retention_policies WHERE kind = 'deliveries')))::bigint * 1000), 12, '0')
            || repeat('0', 20))::uuid
        ORDER BY d.id LIMIT batch
    ), gone AS (
        DELETE FROM public.webhook_deliveries d USING page p
        WHERE d.id = p.id AND p.due
            AND EXISTS (SELECT FROM public.webhook_delivery_outcomes o WHERE o.delivery_id = d.id)
            AND NOT EXISTS (SELECT FROM public.webhook_delivery_queue q WHERE q.delivery_id = d.id)
            AND NOT EXISTS (SELECT FROM public.webhook_deliveries c WHERE c.body_of = d.id)
        RETURNING d.id
    ), settled AS (
        DELETE FROM public.webhook_delivery_outcomes o USING gone g WHERE o.delivery_id = g.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT p.id FROM page p ORDER BY p.id DESC LIMIT 1)
$$;
REVOKE ALL ON FUNCTION drop_due_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_due_deliveries TO landfall_app;
COMMENT ON FUNCTION drop_due_deliveries IS 'Drop what is due of the next deliveries, and return how many, and where to go on; NULL at the end';
"""

MOVE = """
INSERT INTO webhook_event_identities (bucket, identity, event_id)
SELECT bucket_of(provider, account_id), identity_of(provider, account_id, external_id), id
FROM landfall_before.webhook_event_log ORDER BY 1, 2;
INSERT INTO webhook_event_log (id, created_at, occurred_at, delivery_id, bucket, rule_version, sanitized, provider,
    account_id, event_type, external_id, source, defect, payload_json)
SELECT id, created_at, occurred_at, delivery_id, bucket_of(provider, account_id), rule_version, sanitized, provider,
    account_id, event_type, external_id, source, defect, payload_json
FROM landfall_before.webhook_event_log;
INSERT INTO webhook_event_outcomes (event_id, settled_at, retry_count, bucket, projection_version, account_id, state,
    error_message)
SELECT event_id, settled_at, retry_count, bucket, projection_version, account_id, state, error_message
FROM landfall_before.webhook_event_outcomes;
INSERT INTO webhook_deliveries (id, provider, received_at, verdict, secret_used, signed_at, headers, body, body_of)
SELECT id, provider, received_at, verdict, secret_used, signed_at, headers, body, body_of
FROM landfall_before.webhook_deliveries;
INSERT INTO webhook_delivery_outcomes (delivery_id, split_at, rule_version, verdict, verdict_reason, event_count,
    new_event_count, body_sha256, holds_body)
SELECT delivery_id, split_at, rule_version, verdict, verdict_reason, event_count, new_event_count, body_sha256, holds_body
FROM landfall_before.webhook_delivery_outcomes;
DROP SCHEMA landfall_before CASCADE;
"""

# Names are only added. Autovacuum freezes them as they come, and not all of them at once one day.
STORAGE = """
ALTER TABLE webhook_event_identities SET (
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 500000, autovacuum_freeze_min_age = 0
);
"""

VIEW = """
CREATE VIEW webhook_events AS
SELECT
    e.id, e.provider, e.event_type, e.external_id, e.account_id, e.payload_json,
    CASE
        WHEN o.state IS NOT NULL THEN o.state
        WHEN b.bucket IS NOT NULL THEN 'leased'
        ELSE 'pending'
    END AS state,
    CASE WHEN o.state IN ('done', 'ignored') THEN o.settled_at END AS processed_at,
    coalesce(o.error_message, q.error_message) AS error_message,
    coalesce(o.retry_count, q.retry_count, 0) AS retry_count,
    q.due_at, o.settled_at, o.projection_version,
    e.occurred_at, e.created_at, e.delivery_id, e.rule_version, e.defect, e.sanitized, e.source, e.bucket
FROM webhook_event_log e
LEFT JOIN webhook_event_outcomes o ON o.bucket = e.bucket AND o.account_id = e.account_id AND o.event_id = e.id
LEFT JOIN webhook_event_queue q ON q.bucket = e.bucket AND q.account_id = e.account_id AND q.event_id = e.id
-- The clock is asked here and not in the CASE, which could not be sent to the server that has the event.
LEFT JOIN webhook_buckets b ON b.bucket = q.bucket AND b.leased_until > now() AND q.due_at <= now();
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
COMMENT ON COLUMN webhook_events.bucket IS 'of the account';
COMMENT ON COLUMN webhook_events.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
"""

REPORTING = """
CREATE VIEW reporting.webhook_events AS
SELECT e.id, e.provider, e.event_type, e.external_id, e.payload_json, e.processed_at, e.error_message,
    e.retry_count, e.created_at, e.source
FROM public.webhook_events e;
COMMENT ON VIEW reporting.webhook_events IS 'Events, and how far the work on each has come';
COMMENT ON COLUMN reporting.webhook_events.id IS 'in the order of the log';
COMMENT ON COLUMN reporting.webhook_events.provider IS 'the platform that it is of';
COMMENT ON COLUMN reporting.webhook_events.event_type IS 'the platform''s own word';
COMMENT ON COLUMN reporting.webhook_events.external_id IS 'the same for every delivery of one event';
COMMENT ON COLUMN reporting.webhook_events.payload_json IS 'NULL where the body could not be read';
COMMENT ON COLUMN reporting.webhook_events.processed_at IS 'when its rows were written, or it was ignored; NULL until then';
COMMENT ON COLUMN reporting.webhook_events.error_message IS 'of the last failure, or why somebody ignored it';
COMMENT ON COLUMN reporting.webhook_events.retry_count IS 'failures so far';
COMMENT ON COLUMN reporting.webhook_events.created_at IS 'when it was received';
COMMENT ON COLUMN reporting.webhook_events.source IS 'webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall''s';
GRANT SELECT ON reporting.webhook_events TO landfall_reader;
"""

TRIGGERS = """
CREATE TRIGGER webhook_event_outcome_transition
    BEFORE UPDATE OF state ON webhook_event_outcomes FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (('parked', 'ignored'), ('dead', 'ignored')))
    EXECUTE FUNCTION webhook_event_refuse();
CREATE TRIGGER webhook_event_settled_once
    AFTER INSERT ON webhook_event_outcomes REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION webhook_event_settled_once();
"""

# Tables are named with their schema, so that a temporary one of the same name is not looked at in their place.
QUEUED_ONCE = """
CREATE OR REPLACE FUNCTION webhook_event_queued_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN public.webhook_event_outcomes o
            ON o.bucket = a.bucket AND o.account_id = a.account_id AND o.event_id = a.event_id
    ) THEN
        RAISE EXCEPTION 'a settled event cannot be queued: remove its outcome in the same statement'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
    END IF;
    RETURN NULL;
END $$;
"""

GRANTS = """
GRANT USAGE ON SEQUENCE webhook_event_numbers TO landfall_worker, landfall_app;
GRANT INSERT (id, provider, received_at, verdict, secret_used, signed_at, headers, body) ON webhook_deliveries TO
    landfall_web;
GRANT SELECT ON webhook_deliveries TO landfall_worker;
GRANT SELECT, INSERT ON webhook_deliveries TO landfall_app;
GRANT SELECT, INSERT (delivery_id, rule_version, verdict, verdict_reason, event_count, new_event_count, body_sha256,
    holds_body),
    UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_worker;
GRANT SELECT, INSERT, UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_app;
GRANT SELECT, INSERT ON webhook_event_identities TO landfall_worker, landfall_app;
GRANT SELECT (id, provider, account_id, external_id, event_type, payload_json, occurred_at, delivery_id, created_at,
    defect, bucket), INSERT (id, bucket, delivery_id, provider, account_id, event_type, external_id, rule_version,
    payload_json, occurred_at, defect, sanitized, created_at, source) ON webhook_event_log TO landfall_worker;
GRANT SELECT, INSERT (id, bucket, delivery_id, provider, account_id, event_type, external_id, rule_version,
    payload_json, occurred_at, defect, sanitized, created_at, source) ON webhook_event_log TO landfall_app;
GRANT SELECT (bucket, account_id, event_id, state), INSERT (bucket, account_id, event_id, state, projection_version,
    retry_count, error_message) ON webhook_event_outcomes TO landfall_worker;
GRANT SELECT, INSERT, UPDATE (state, settled_at, error_message), DELETE ON webhook_event_outcomes TO landfall_app;
GRANT SELECT ON webhook_events TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON retention_policies TO landfall_app;
GRANT SELECT ON webhook_dropped_events TO landfall_app;
"""

BACK = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM webhook_event_identities i WHERE NOT EXISTS (
        SELECT FROM webhook_event_log e WHERE e.bucket = i.bucket AND e.id = i.event_id)
    ) THEN
        RAISE EXCEPTION 'the log has dropped events, whose names the release before would forget';
    END IF;
END $$;
"""

TABLES_BEFORE = """
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
CREATE INDEX ix_webhook_deliveries_received_at ON webhook_deliveries USING brin (received_at);
CREATE TABLE webhook_delivery_outcomes (
    delivery_id UUID NOT NULL,
    split_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    rule_version SMALLINT NOT NULL,
    verdict TEXT NOT NULL,
    verdict_reason TEXT,
    event_count INTEGER NOT NULL,
    new_event_count INTEGER NOT NULL,
    body_sha256 BYTEA NOT NULL,
    holds_body BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_webhook_delivery_outcomes PRIMARY KEY (delivery_id),
    CONSTRAINT ck_webhook_delivery_outcomes_verdict CHECK (verdict IN ('accepted', 'unreadable', 'quarantined')),
    CONSTRAINT ck_webhook_delivery_outcomes_counts CHECK (new_event_count BETWEEN 0 AND event_count)
);
CREATE INDEX ix_webhook_delivery_outcomes_body_sha256 ON webhook_delivery_outcomes USING hash (body_sha256) WHERE holds_body;
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
"""

MOVE_BACK = """
INSERT INTO webhook_deliveries (id, provider, received_at, verdict, secret_used, signed_at, headers, body, body_of)
SELECT id, provider, received_at, verdict, secret_used, signed_at, headers, body, body_of
FROM landfall_before.webhook_deliveries;
INSERT INTO webhook_delivery_outcomes (delivery_id, split_at, rule_version, verdict, verdict_reason, event_count,
    new_event_count, body_sha256, holds_body)
SELECT delivery_id, split_at, rule_version, verdict, verdict_reason, event_count, new_event_count, body_sha256, holds_body
FROM landfall_before.webhook_delivery_outcomes;
INSERT INTO webhook_event_log (account_id, id, provider, event_type, external_id, rule_version, payload_json,
    occurred_at, delivery_id, defect, sanitized, created_at, source) OVERRIDING SYSTEM VALUE
SELECT account_id, id, provider, event_type, external_id, rule_version, payload_json, occurred_at, delivery_id, defect,
    sanitized, created_at, source
FROM landfall_before.webhook_event_log;
SELECT setval('webhook_event_log_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM webhook_event_log), false);
INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, settled_at, projection_version, retry_count,
    error_message)
SELECT bucket, account_id, event_id, state, settled_at, projection_version, retry_count, error_message
FROM landfall_before.webhook_event_outcomes;
DROP SCHEMA landfall_before CASCADE;
DROP TABLE webhook_event_identities, retention_policies, webhook_dropped_events;
DROP FUNCTION drop_due_partition, drop_due_events, drop_due_deliveries;
DROP FUNCTION make_partitions, find_partition_gaps, next_event_id, event_id_from, identity_of;
DROP SEQUENCE webhook_event_numbers;
"""

VIEW_BEFORE = """
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

QUEUED_ONCE_BEFORE = """
CREATE OR REPLACE FUNCTION webhook_event_queued_once() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""

GRANTS_BEFORE = """
GRANT INSERT (id, provider, received_at, verdict, secret_used, signed_at, headers, body) ON webhook_deliveries TO
    landfall_web;
GRANT SELECT ON webhook_deliveries TO landfall_worker;
GRANT SELECT, INSERT ON webhook_deliveries TO landfall_app;
GRANT SELECT, INSERT (delivery_id, rule_version, verdict, verdict_reason, event_count, new_event_count, body_sha256,
    holds_body),
    UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_worker;
GRANT SELECT, INSERT, UPDATE (split_at, rule_version, verdict, verdict_reason, event_count, new_event_count)
    ON webhook_delivery_outcomes TO landfall_app;
GRANT SELECT (id, provider, account_id, external_id, event_type, payload_json, occurred_at, delivery_id, created_at,
    defect), INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json, occurred_at,
    defect, sanitized, created_at, source) ON webhook_event_log TO landfall_worker;
GRANT SELECT, INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json,
    occurred_at, defect, sanitized, created_at, source) ON webhook_event_log TO landfall_app;
GRANT SELECT (account_id, event_id, state), INSERT (bucket, account_id, event_id, state, projection_version,
    retry_count, error_message) ON webhook_event_outcomes TO landfall_worker;
GRANT SELECT, INSERT, UPDATE (state, settled_at, error_message), DELETE ON webhook_event_outcomes TO landfall_app;
GRANT SELECT ON webhook_events TO landfall_app;
"""


def upgrade() -> None:
    for script in (
        FUNCTIONS,
        ASIDE,
        TABLES,
        COMMENTS,
        DELIVERY_COMMENTS,
        PARTITIONS,
        RETENTION,
        MOVE,
        STORAGE,
        VIEW,
        REPORTING,
        QUEUED_ONCE,
        TRIGGERS,
        GRANTS,
    ):
        run(script)


def downgrade() -> None:
    for script in (
        BACK,
        ASIDE,
        TABLES_BEFORE,
        DELIVERY_COMMENTS,
        MOVE_BACK,
        VIEW_BEFORE,
        REPORTING,
        QUEUED_ONCE_BEFORE,
        TRIGGERS,
        GRANTS_BEFORE,
    ):
        run(script)
