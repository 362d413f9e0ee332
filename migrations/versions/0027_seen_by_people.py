"""Let people see who fetched a file, from where, and when each target of a post came to its states."""

from migrations.script import run

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# Each event of a target has a name that ends with its number, so each is found by the key of its identity.
FUNCTION = """
CREATE FUNCTION find_target_events(post uuid) RETURNS TABLE (target_id uuid, at timestamptz, state text, step text,
    retry_count integer, error_code text, error_message text, platform_post_url text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target record;
    place smallint;
    names uuid[];
BEGIN
    FOR target IN SELECT t.id, t.platform, t.account_id, t.sequence FROM public.post_targets t
        WHERE t.tenant_id::text = current_setting('landfall.tenant', true) AND t.post_id = post ORDER BY t.id
    LOOP
        place := public.bucket_of(target.platform, target.account_id);
        names := array(SELECT public.identity_of(target.platform, target.account_id, 'target:' || target.id || ':' || n)
            FROM generate_series(greatest(1, target.sequence - 199), target.sequence) AS n);
        RETURN QUERY SELECT target.id, l.occurred_at, l.payload_json->>'state', coalesce(l.payload_json->>'step', ''),
            coalesce((l.payload_json->>'retry_count')::integer, 0), l.payload_json->>'error_code',
            l.payload_json->>'error_message', l.payload_json->>'platform_post_url'
        FROM public.webhook_event_identities i
        JOIN public.webhook_event_log l ON l.bucket = i.bucket AND l.id = i.event_id
        WHERE i.bucket = place AND i.identity = ANY(names) AND l.account_id = target.account_id ORDER BY l.id;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION find_target_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_target_events TO landfall_web;
"""


def upgrade() -> None:
    run(
        """
        ALTER TABLE media_fetches ADD COLUMN address INET;
        COMMENT ON COLUMN media_fetches.address IS 'from where, behind our proxies; NULL where it is not known';
        REVOKE SELECT (tenant_id, id) ON media_fetches FROM landfall_web;
        GRANT SELECT, INSERT (address) ON media_fetches TO landfall_web;
        CREATE INDEX ix_post_targets_slot_at ON post_targets (tenant_id, slot_at) WHERE slot_at IS NOT NULL;
        CREATE INDEX ix_media_links_tenant_id_media_id ON media_links (tenant_id, media_id);
        """
    )
    run(FUNCTION)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION find_target_events;
        DROP INDEX ix_media_links_tenant_id_media_id, ix_post_targets_slot_at;
        REVOKE SELECT ON media_fetches FROM landfall_web;
        ALTER TABLE media_fetches DROP COLUMN address;
        GRANT SELECT (tenant_id, id) ON media_fetches TO landfall_web;
        """
    )
