"""Tenants, people, API keys, the audit log, connections and their sealed secrets."""

from migrations.script import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE tenants (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tenants PRIMARY KEY (id),
    CONSTRAINT uq_tenants_name UNIQUE (name)
);
CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_email CHECK (email = lower(email)),
    CONSTRAINT uq_users_email UNIQUE (email)
);
COMMENT ON COLUMN users.email IS 'in lower case';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, parameters and salt included';
CREATE TABLE memberships (
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_memberships PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT ck_memberships_role CHECK (role IN ('owner', 'editor', 'viewer')),
    CONSTRAINT fk_memberships_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_memberships_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE TABLE sessions (
    tenant_id UUID NOT NULL,
    session_sha256 BYTEA NOT NULL,
    user_id UUID NOT NULL,
    address INET,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, session_sha256),
    CONSTRAINT fk_sessions_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_sessions_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_sessions_session_sha256 ON sessions (session_sha256);
CREATE TABLE login_failures (
    who_sha256 BYTEA NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    failed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_login_failures PRIMARY KEY (who_sha256, id)
);
COMMENT ON COLUMN login_failures.who_sha256 IS 'of an email address, or of where it came from';
CREATE TABLE api_keys (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    key_sha256 BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_api_keys_tenant_id_name UNIQUE (tenant_id, name),
    CONSTRAINT fk_api_keys_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_api_keys_key_sha256 ON api_keys (key_sha256);
COMMENT ON COLUMN api_keys.key_sha256 IS 'of 256 random bits, so a fast digest is enough';
CREATE TABLE audit_log (
    tenant_id UUID NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    address INET,
    detail JSONB NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_audit_log_action CHECK (action LIKE '%%.%%'),
    CONSTRAINT fk_audit_log_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON COLUMN audit_log.actor IS 'key:name, command, worker, or the platform that told us';
COMMENT ON COLUMN audit_log.action IS 'a verb in the past, such as connection.connected';
COMMENT ON COLUMN audit_log.subject IS 'what it was done to';
COMMENT ON COLUMN audit_log.address IS 'where from, where that is known';
CREATE TABLE deletion_requests (
    code TEXT NOT NULL,
    platform TEXT NOT NULL,
    user_id TEXT,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deletion_requests PRIMARY KEY (code),
    CONSTRAINT ck_deletion_requests_done CHECK ((user_id IS NULL) = (done_at IS NOT NULL))
);
COMMENT ON COLUMN deletion_requests.code IS 'what the platform was told, and its person can look up';
COMMENT ON COLUMN deletion_requests.user_id IS 'NULL once it is done: nothing of the person is left';
CREATE TABLE connections (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    platform TEXT NOT NULL,
    instance TEXT DEFAULT '' NOT NULL,
    account_id TEXT NOT NULL,
    other_ids TEXT[] NOT NULL,
    username TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    profile JSONB NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    authorized_at TIMESTAMP WITH TIME ZONE NOT NULL,
    access_expires_at TIMESTAMP WITH TIME ZONE,
    refresh_expires_at TIMESTAMP WITH TIME ZONE,
    refresh_due_at TIMESTAMP WITH TIME ZONE,
    refresh_failures INTEGER DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    fence INTEGER DEFAULT 0 NOT NULL,
    disconnected_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_connections PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_connections_tenant_id_platform_instance_account_id UNIQUE (tenant_id, platform, instance, account_id),
    CONSTRAINT ck_connections_state CHECK (state IN ('active', 'needs_reconnect', 'disconnected')),
    CONSTRAINT ck_connections_reason CHECK (state <> 'needs_reconnect' OR reason IS NOT NULL),
    CONSTRAINT fk_connections_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_connections_refresh_due_at ON connections (refresh_due_at) WHERE state = 'active';
COMMENT ON COLUMN connections.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN connections.account_id IS 'the platform''s id that its webhooks name';
COMMENT ON COLUMN connections.other_ids IS 'further ids of the same account, such as app-scoped ones';
COMMENT ON COLUMN connections.scopes IS 'as granted, not as asked for';
COMMENT ON COLUMN connections.reason IS 'why it needs a person, in words for that person';
COMMENT ON COLUMN connections.access_expires_at IS 'as the platform said; NULL for a token without an end';
COMMENT ON COLUMN connections.refresh_due_at IS 'NULL where there is nothing to refresh';
CREATE TABLE connection_secrets (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    field TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    key_name TEXT NOT NULL,
    CONSTRAINT pk_connection_secrets PRIMARY KEY (tenant_id, connection_id, field),
    CONSTRAINT fk_connection_secrets_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_connection_secrets_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_connection_secrets_key_name ON connection_secrets (key_name);
COMMENT ON COLUMN connections.lease_until IS 'somebody is refreshing it until then';
COMMENT ON COLUMN connections.fence IS 'which refresh may write';
COMMENT ON COLUMN connection_secrets.sealed IS 'version, key name, wrapped key, nonce, text';
COMMENT ON COLUMN connection_secrets.key_name IS 'the key it is under, for rotation';
CREATE TABLE oauth_states (
    tenant_id UUID NOT NULL,
    state_sha256 BYTEA NOT NULL,
    platform TEXT NOT NULL,
    instance TEXT DEFAULT '' NOT NULL,
    session_sha256 BYTEA NOT NULL,
    sealed_verifier BYTEA NOT NULL,
    redirect_uri TEXT NOT NULL,
    return_to TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    outcome JSONB,
    CONSTRAINT pk_oauth_states PRIMARY KEY (tenant_id, state_sha256),
    CONSTRAINT fk_oauth_states_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON COLUMN oauth_states.session_sha256 IS 'of the browser or the key that began it';
COMMENT ON COLUMN oauth_states.used_at IS 'when its code was sent to the platform, which is done once';
COMMENT ON COLUMN oauth_states.outcome IS 'what came of it, for whoever comes back a second time';
CREATE TABLE oauth_clients (
    tenant_id UUID NOT NULL,
    platform TEXT NOT NULL,
    instance TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL,
    redirect_uri TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_oauth_clients PRIMARY KEY (tenant_id, platform, instance),
    CONSTRAINT fk_oauth_clients_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE TABLE vault_canaries (
    key_name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_vault_canaries PRIMARY KEY (key_name)
);
COMMENT ON COLUMN vault_canaries.sealed IS 'opens with the right key, and with no other';
"""

# Without landfall.tenant nothing is seen, by the owner neither; '*' is the worker, which serves all tenants.
TENANTED = (
    "memberships",
    "sessions",
    "api_keys",
    "audit_log",
    "connections",
    "connection_secrets",
    "oauth_states",
    "oauth_clients",
)
POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (
    current_setting('landfall.tenant', true) IN ('*', tenant_id::text)
);
"""

RIGHTS = """
INSERT INTO tenants (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default');
GRANT SELECT ON tenants TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON api_keys, connections, oauth_states TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_secrets, oauth_clients TO landfall_app;
GRANT DELETE ON oauth_states TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON users, memberships TO landfall_app;
GRANT SELECT, INSERT, DELETE ON sessions, login_failures TO landfall_app;
-- What was done stays said.
GRANT SELECT, INSERT ON audit_log TO landfall_app;
GRANT SELECT, INSERT ON vault_canaries, deletion_requests TO landfall_app;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICY.format(table=table))
    run(RIGHTS)


def downgrade() -> None:
    run(
        "DROP TABLE connection_secrets, oauth_states, oauth_clients, connections, audit_log, api_keys, sessions,"
        " memberships, users, login_failures, deletion_requests, tenants, vault_canaries"
    )
