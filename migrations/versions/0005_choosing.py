"""Accounts to choose from, checks between refreshes, ends that can be seen coming, and notices."""

from migrations.script import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The release before this one fills none of the new columns, and every one of them may be empty or has a default.
UP = """
ALTER TABLE connections ADD COLUMN via TEXT;
ALTER TABLE connections ADD COLUMN grant_id TEXT;
ALTER TABLE connections ADD COLUMN check_due_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE connections ADD COLUMN checked_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE connections ADD COLUMN trouble TEXT;
ALTER TABLE connections ADD COLUMN ends_at TIMESTAMP WITH TIME ZONE GENERATED ALWAYS AS
    (least(CASE WHEN refresh_due_at IS NULL THEN access_expires_at END, refresh_expires_at)) STORED;
CREATE INDEX ix_connections_check_due_at ON connections (check_due_at) WHERE state = 'active';
COMMENT ON COLUMN connections.refresh_due_at IS 'NULL where there is nothing to refresh; once disconnected, when to revoke it at the platform';
COMMENT ON COLUMN connections.via IS 'whose login it came through, where that is not its own platform''s';
COMMENT ON COLUMN connections.grant_id IS 'what is revoked together, where that is more than this account';
COMMENT ON COLUMN connections.check_due_at IS 'NULL where refreshing shows soon enough whether it still holds';
COMMENT ON COLUMN connections.checked_at IS 'when the platform last took what we hold';
COMMENT ON COLUMN connections.trouble IS 'what went wrong when it was last asked for, while it is tried again';
COMMENT ON COLUMN connections.ends_at IS 'when access ends unless a person comes back';
SELECT set_config('landfall.tenant', '*', true);  -- the owner too sees no rows without it
-- What lives for hours is refreshed so often that nobody checks it. What is checked is not all checked at once.
UPDATE connections SET check_due_at = now() + random() * interval '1 day',
    refresh_due_at = CASE WHEN access_expires_at IS NOT NULL THEN refresh_due_at END
WHERE state = 'active' AND coalesce(access_expires_at, 'infinity') > now() + interval '2 days';
SELECT set_config('landfall.tenant', '', true);
ALTER TABLE oauth_states ADD COLUMN id UUID DEFAULT gen_random_uuid() NOT NULL;
ALTER TABLE oauth_states ADD COLUMN connection_id UUID;
ALTER TABLE oauth_states ADD COLUMN sealed_accounts BYTEA;
CREATE INDEX ix_oauth_states_id ON oauth_states (id);
COMMENT ON COLUMN oauth_states.id IS 'what whoever began it asks by for what came of it';
COMMENT ON COLUMN oauth_states.connection_id IS 'the connection that it is to bring back';
COMMENT ON COLUMN oauth_states.sealed_accounts IS 'what there is to choose from, tokens and all, until it is chosen';
CREATE TABLE notices (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    kind TEXT NOT NULL,
    episode TIMESTAMP WITH TIME ZONE NOT NULL,
    says TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_notices PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_notices_tenant_id_connection_id_kind_episode UNIQUE (tenant_id, connection_id, kind, episode),
    CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day')),
    CONSTRAINT fk_notices_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_notices_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON COLUMN notices.episode IS 'when the grant it is about began: there is one notice of a kind for each';
ALTER TABLE notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE notices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notices USING (current_setting('landfall.tenant', true) IN ('*', tenant_id::text));
GRANT SELECT, INSERT, UPDATE ON notices TO landfall_app;
"""

DOWN = """
DROP TABLE notices;
ALTER TABLE oauth_states DROP COLUMN sealed_accounts, DROP COLUMN connection_id, DROP COLUMN id;
ALTER TABLE connections DROP COLUMN ends_at, DROP COLUMN trouble, DROP COLUMN checked_at, DROP COLUMN check_due_at, DROP COLUMN grant_id, DROP COLUMN via;
COMMENT ON COLUMN connections.refresh_due_at IS 'NULL where there is nothing to refresh';
"""


def upgrade() -> None:
    run(UP)


def downgrade() -> None:
    run(DOWN)
