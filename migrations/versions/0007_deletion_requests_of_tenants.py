"""A tenant asks for an account of its own to be erased, without taking it from other tenants."""

from migrations.script import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The web process may record such a request for a connection of the tenant that it acts for, and see nothing of others.
FUNCTION = """
CREATE FUNCTION request_account_deletion(connection uuid, new_code text) RETURNS TABLE (code text, platform text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
    asked record;
    known text;
BEGIN
    IF acting IN ('', '*') THEN
        RAISE EXCEPTION 'a tenant asks this, of its own connection' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Locked, so that two requests at once become one.
    SELECT c.tenant_id, c.platform, c.instance, c.account_id INTO asked FROM public.connections c
        WHERE c.id = request_account_deletion.connection AND c.tenant_id::text = acting FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE public.deletion_requests d SET requested_at = now()
        WHERE d.requesting_tenant_id = asked.tenant_id AND d.platform = asked.platform AND d.instance = asked.instance
            AND d.user_id = asked.account_id AND d.done_at IS NULL
        RETURNING d.code INTO known;
    IF known IS NULL THEN
        INSERT INTO public.deletion_requests (code, platform, user_id, accounts, requesting_tenant_id, instance)
            VALUES (new_code, asked.platform, asked.account_id, ARRAY[asked.account_id], asked.tenant_id,
                asked.instance);
        known := new_code;
    END IF;
    RETURN QUERY SELECT known, asked.platform;
END $$;
REVOKE ALL ON FUNCTION request_account_deletion FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_account_deletion TO landfall_web;
"""


def upgrade() -> None:
    run(
        """
        ALTER TABLE deletion_requests
            ADD COLUMN requesting_tenant_id UUID,
            ADD COLUMN instance TEXT,
            ADD CONSTRAINT fk_deletion_requests_requesting_tenant_id_tenants
                FOREIGN KEY (requesting_tenant_id) REFERENCES tenants (id),
            ADD CONSTRAINT ck_deletion_requests_tenant
                CHECK (requesting_tenant_id IS NULL OR accounts IS NOT NULL OR user_id IS NULL);
        COMMENT ON TABLE deletion_requests IS
            'Requests to be erased: of a person by way of a platform, of a tenant for an account, or of the operator';
        COMMENT ON COLUMN deletion_requests.platform IS 'of the person or the account';
        COMMENT ON COLUMN deletion_requests.requesting_tenant_id IS
            'the tenant that asks for an account of its own, where what others have connected stays; or NULL';
        COMMENT ON COLUMN deletion_requests.instance IS
            'host of the account, on platforms with many instances; NULL for any';
        """
    )
    run(FUNCTION)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION request_account_deletion;
        -- The previous release would carry them out for all tenants.
        DELETE FROM deletion_requests WHERE requesting_tenant_id IS NOT NULL AND done_at IS NULL;
        ALTER TABLE deletion_requests
            DROP COLUMN requesting_tenant_id,
            DROP COLUMN instance;
        COMMENT ON TABLE deletion_requests IS 'Wishes of people, by way of a platform, to be erased';
        COMMENT ON COLUMN deletion_requests.platform IS 'by whose way';
        """
    )
