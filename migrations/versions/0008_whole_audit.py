"""The audit log can only grow; where a key was last used from; memberships that end."""

from migrations.script import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Earlier releases named accounts of platforms in the details, and took the names out when somebody was erased. Nothing
# can be taken out from here on; the previous release, which still runs, writes no such names either.
FORGET = """
SELECT set_config('landfall.tenant', '*', true);
UPDATE audit_log SET detail = detail - 'account' - 'user' WHERE detail ?| ARRAY['account', 'user'];
SELECT set_config('landfall.tenant', '', true);
"""

# Rights hold the service back; this holds back the owner, and whoever has got hold of the owner's login.
INSERT_ONLY = """
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was done stays said: audit_log takes no %', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_log_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();
CREATE INDEX ix_audit_log_tenant_id_subject_id ON audit_log (tenant_id, subject, id);
"""

KEYS = """
ALTER TABLE api_keys ADD COLUMN last_used_from INET;
GRANT DELETE ON memberships TO landfall_app;
"""


def upgrade() -> None:
    for script in (FORGET, INSERT_ONLY, KEYS):
        run(script)


def downgrade() -> None:
    run(
        """
        REVOKE DELETE ON memberships FROM landfall_app;
        ALTER TABLE api_keys DROP COLUMN last_used_from;
        DROP INDEX ix_audit_log_tenant_id_subject_id;
        DROP TRIGGER audit_log_insert_only ON audit_log;
        DROP FUNCTION audit_log_refuse;
        """
    )
