"""Write functions of partitions and retention in a form that Citus takes too, where it distributes the log.

Citus 13 fails at an ``EXISTS`` whose SELECT names nothing, in a query that it sends in parts, and plans no distributed
table in a function of language SQL that has parameters. Both forms do the same, so going back leaves these.
"""

from migrations.script import run

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

GAPS = """
CREATE OR REPLACE FUNCTION find_partition_gaps() RETURNS TABLE (months_ahead integer, misplaced boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT (SELECT min(ahead.months)::integer FROM (
        SELECT (SELECT count(*) FROM generate_series(1, 3) m WHERE to_regclass('public.' || t.name
            || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m), '_YYYY_MM')) IS NOT NULL) AS months
        FROM (VALUES ('webhook_deliveries'), ('webhook_delivery_outcomes'), ('webhook_event_log'), ('webhook_event_outcomes'))
            AS t (name)) ahead),
    EXISTS (SELECT 1 FROM public.webhook_deliveries_default) OR EXISTS (SELECT 1 FROM public.webhook_delivery_outcomes_default)
        OR EXISTS (SELECT 1 FROM public.webhook_event_log_default) OR EXISTS (SELECT 1 FROM public.webhook_event_outcomes_default);
END $$;
"""

RETENTION = r"""
CREATE OR REPLACE FUNCTION drop_due_partition() RETURNS text
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
            SELECT 1 FROM public.%1$I e
            LEFT JOIN public.retention_policies own ON own.platform = e.provider AND own.kind = e.event_type
                AND own.kind NOT IN ('events', 'deliveries')
            LEFT JOIN public.retention_policies any_type ON any_type.platform = e.provider AND any_type.kind = 'events'
            WHERE (e.created_at < now() - make_interval(days =>
                    CASE WHEN own.kind IS NULL THEN any_type.days ELSE own.days END)) IS NOT TRUE
                OR NOT EXISTS (SELECT 1 FROM public.%2$I o WHERE o.bucket = e.bucket AND o.account_id = e.account_id
                    AND o.event_id = e.id AND o.state IN ('done', 'ignored'))
            $sql$ ELSE $sql$
            SELECT 1 FROM public.%1$I d
            LEFT JOIN public.retention_policies p ON p.platform = d.provider AND p.kind = 'deliveries'
            WHERE (d.received_at < now() - make_interval(days => p.days)) IS NOT TRUE
                OR NOT EXISTS (SELECT 1 FROM public.%2$I o WHERE o.delivery_id = d.id)
                OR EXISTS (SELECT 1 FROM public.webhook_delivery_queue q WHERE q.delivery_id = d.id)
                OR EXISTS (SELECT 1 FROM public.webhook_deliveries c WHERE c.body_of = d.id AND c.tableoid <> d.tableoid)
            $sql$ END;
        kept := format('SELECT NOT EXISTS (' || kept || ') AND EXISTS (SELECT 1 FROM public.%1$I)', t.name, t.other);
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

CREATE OR REPLACE FUNCTION drop_due_events(after bigint, batch integer) RETURNS TABLE (dropped bigint, last bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
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
    SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page);
END $$;
"""


def upgrade() -> None:
    run(GAPS)
    run(RETENTION)


def downgrade() -> None:
    pass
