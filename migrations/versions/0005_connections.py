"""Connections to platforms, the tokens and flows behind them, notices about them, and the processes of the service."""

from migrations.script import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE platform_budgets (
    platform TEXT NOT NULL,
    instance TEXT NOT NULL,
    subject TEXT NOT NULL,
    percent INTEGER NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_platform_budgets PRIMARY KEY (platform, instance, subject),
    CONSTRAINT ck_platform_budgets_percent CHECK (percent >= 0)
);
COMMENT ON TABLE platform_budgets IS 'No tenant''s: the platform counts our one application, and an account however many tenants connected it';
COMMENT ON COLUMN platform_budgets.platform IS 'that counts';
COMMENT ON COLUMN platform_budgets.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN platform_budgets.subject IS 'the account''s id; empty for the whole application';
COMMENT ON COLUMN platform_budgets.percent IS 'of it is used, as last said';
COMMENT ON COLUMN platform_budgets.held_until IS 'nobody asks before that; NULL for no such wish';
COMMENT ON COLUMN platform_budgets.updated_at IS 'when the platform last said so';
CREATE TABLE vault_canaries (
    key_name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_vault_canaries PRIMARY KEY (key_name)
);
COMMENT ON TABLE vault_canaries IS 'A known text under each key of the vault, to tell a wrong key from a right one';
COMMENT ON COLUMN vault_canaries.key_name IS 'of the key, as connection_secrets has it';
COMMENT ON COLUMN vault_canaries.sealed IS 'opens with the right key, and with no other';
COMMENT ON COLUMN vault_canaries.created_at IS 'when it was made';
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
    via TEXT,
    grant_id TEXT,
    check_due_at TIMESTAMP WITH TIME ZONE,
    checked_at TIMESTAMP WITH TIME ZONE,
    trouble TEXT,
    ends_at TIMESTAMP WITH TIME ZONE GENERATED ALWAYS AS (least(CASE WHEN refresh_due_at IS NULL THEN access_expires_at END, refresh_expires_at)) STORED,
    trouble_since TIMESTAMP WITH TIME ZONE,
    reporting_id BIGINT GENERATED ALWAYS AS (uuid_hash_extended(id, 0) & 9223372036854775807) STORED,
    CONSTRAINT pk_connections PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_connections_tenant_id_platform_instance_account_id UNIQUE (tenant_id, platform, instance, account_id),
    CONSTRAINT ck_connections_state CHECK (state IN ('active', 'needs_reconnect', 'disconnected')),
    CONSTRAINT ck_connections_reason CHECK (state <> 'needs_reconnect' OR reason IS NOT NULL),
    CONSTRAINT ck_connections_times CHECK ((access_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' AND refresh_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' AND refresh_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' AND check_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00') IS NOT FALSE),
    CONSTRAINT fk_connections_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_connections_check_due_at ON connections (check_due_at) WHERE state = 'active';
CREATE INDEX ix_connections_refresh_due_at ON connections (refresh_due_at) WHERE state = 'active';
COMMENT ON TABLE connections IS 'Accounts that are, or were, connected';
COMMENT ON COLUMN connections.tenant_id IS 'whose it is';
COMMENT ON COLUMN connections.id IS 'UUID; it stays when the account is connected again';
COMMENT ON COLUMN connections.platform IS 'of the account';
COMMENT ON COLUMN connections.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN connections.account_id IS 'the platform''s id that its webhooks name';
COMMENT ON COLUMN connections.other_ids IS 'further ids of the same account, such as app-scoped ones';
COMMENT ON COLUMN connections.username IS 'as the platform last gave it';
COMMENT ON COLUMN connections.scopes IS 'as granted, not as asked for';
COMMENT ON COLUMN connections.profile IS 'what else the platform says of the account';
COMMENT ON COLUMN connections.state IS 'active, needs_reconnect or disconnected';
COMMENT ON COLUMN connections.reason IS 'why it needs a person, in words for that person';
COMMENT ON COLUMN connections.authorized_at IS 'when the person last agreed at the platform';
COMMENT ON COLUMN connections.access_expires_at IS 'as the platform said; NULL for a token without an end';
COMMENT ON COLUMN connections.refresh_expires_at IS 'when the refresh token ends; NULL for none, or without an end';
COMMENT ON COLUMN connections.refresh_due_at IS 'NULL where there is nothing to refresh; once disconnected, when to revoke it at the platform';
COMMENT ON COLUMN connections.refresh_failures IS 'in a row';
COMMENT ON COLUMN connections.lease_until IS 'somebody is refreshing it until then';
COMMENT ON COLUMN connections.fence IS 'which refresh may write';
COMMENT ON COLUMN connections.disconnected_at IS 'NULL while it is connected';
COMMENT ON COLUMN connections.created_at IS 'when it was made';
COMMENT ON COLUMN connections.via IS 'whose login it came through, where that is not its own platform''s';
COMMENT ON COLUMN connections.grant_id IS 'what is revoked together, where that is more than this account';
COMMENT ON COLUMN connections.check_due_at IS 'NULL where refreshing shows soon enough whether it still holds';
COMMENT ON COLUMN connections.checked_at IS 'when the platform last took what we hold';
COMMENT ON COLUMN connections.trouble IS 'what went wrong when it was last asked for, while it is tried again';
COMMENT ON COLUMN connections.ends_at IS 'when access ends unless a person comes back';
COMMENT ON COLUMN connections.trouble_since IS 'of the first failure in a row; NULL once it works';
COMMENT ON COLUMN connections.reporting_id IS 'oauth_accounts.id in schema reporting';
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
COMMENT ON TABLE oauth_clients IS 'Applications that were registered at instances';
COMMENT ON COLUMN oauth_clients.tenant_id IS 'whose it is';
COMMENT ON COLUMN oauth_clients.platform IS 'of the instance';
COMMENT ON COLUMN oauth_clients.instance IS 'its host';
COMMENT ON COLUMN oauth_clients.client_id IS 'as the instance calls the application';
COMMENT ON COLUMN oauth_clients.sealed_secret IS 'of the application, sealed by the vault';
COMMENT ON COLUMN oauth_clients.redirect_uri IS 'that was registered';
COMMENT ON COLUMN oauth_clients.scopes IS 'that were registered';
COMMENT ON COLUMN oauth_clients.created_at IS 'when it was made';
CREATE TABLE oauth_states (
    tenant_id UUID NOT NULL,
    state_sha256 BYTEA NOT NULL,
    platform TEXT NOT NULL,
    instance TEXT DEFAULT '' NOT NULL,
    session_sha256 BYTEA,
    sealed_verifier BYTEA NOT NULL,
    redirect_uri TEXT NOT NULL,
    return_to TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    outcome JSONB,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    connection_id UUID,
    sealed_accounts BYTEA,
    scopes TEXT[],
    ticket_sha256 BYTEA,
    opened_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_oauth_states PRIMARY KEY (tenant_id, state_sha256),
    CONSTRAINT fk_oauth_states_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_oauth_states_id ON oauth_states (id);
COMMENT ON TABLE oauth_states IS 'Attempts to connect an account';
COMMENT ON COLUMN oauth_states.tenant_id IS 'whose it is';
COMMENT ON COLUMN oauth_states.state_sha256 IS 'of the state that the platform sends back';
COMMENT ON COLUMN oauth_states.platform IS 'to be connected to';
COMMENT ON COLUMN oauth_states.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN oauth_states.session_sha256 IS 'of the secret of the browser that took it; NULL until one does';
COMMENT ON COLUMN oauth_states.sealed_verifier IS 'of PKCE (RFC 7636), sealed by the vault';
COMMENT ON COLUMN oauth_states.redirect_uri IS 'where the platform sends the person back to';
COMMENT ON COLUMN oauth_states.return_to IS 'where the person goes after that';
COMMENT ON COLUMN oauth_states.actor IS 'who began it, as in audit_log';
COMMENT ON COLUMN oauth_states.created_at IS 'when it was made';
COMMENT ON COLUMN oauth_states.expires_at IS 'leads nowhere from then on';
COMMENT ON COLUMN oauth_states.used_at IS 'when its code was sent to the platform, which is done once';
COMMENT ON COLUMN oauth_states.outcome IS 'what came of it, for whoever comes back a second time';
COMMENT ON COLUMN oauth_states.id IS 'what whoever began it asks by for what came of it';
COMMENT ON COLUMN oauth_states.connection_id IS 'the connection that it is to bring back';
COMMENT ON COLUMN oauth_states.sealed_accounts IS 'what there is to choose from, tokens and all, until it is chosen';
COMMENT ON COLUMN oauth_states.scopes IS 'as asked for; NULL where the previous release began it';
COMMENT ON COLUMN oauth_states.ticket_sha256 IS 'of the link that is opened in a browser; NULL where the previous release began it';
COMMENT ON COLUMN oauth_states.opened_at IS 'when a browser took it: the link opens it in no other from then on';
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
COMMENT ON TABLE connection_secrets IS 'Tokens of connections, sealed by the vault';
COMMENT ON COLUMN connection_secrets.tenant_id IS 'whose it is';
COMMENT ON COLUMN connection_secrets.connection_id IS 'whose it is';
COMMENT ON COLUMN connection_secrets.field IS 'which of its tokens';
COMMENT ON COLUMN connection_secrets.sealed IS 'version, key name, wrapped key, nonce, text';
COMMENT ON COLUMN connection_secrets.key_name IS 'the key it is under, for rotation';
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
    CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day')),
    CONSTRAINT fk_notices_tenant_id_connection_id_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_notices_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE notices IS 'What somebody is to be told of a connection, once each';
COMMENT ON COLUMN notices.tenant_id IS 'whose it is';
COMMENT ON COLUMN notices.id IS 'UUID';
COMMENT ON COLUMN notices.connection_id IS 'that it is about';
COMMENT ON COLUMN notices.kind IS 'what happened, such as needs_reconnect';
COMMENT ON COLUMN notices.episode IS 'when the grant, or the trouble, that it is about began: there is one notice of a kind for each';
COMMENT ON COLUMN notices.says IS 'in words for the account''s owner';
COMMENT ON COLUMN notices.created_at IS 'when it was made';
COMMENT ON COLUMN notices.resolved_at IS 'when it was over; NULL while it is not';
CREATE TABLE notice_mails (
    tenant_id UUID NOT NULL,
    notice_id UUID NOT NULL,
    user_id UUID NOT NULL,
    state TEXT DEFAULT 'waiting' NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    mail_id UUID,
    claimed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_notice_mails PRIMARY KEY (tenant_id, notice_id, user_id),
    CONSTRAINT ck_notice_mails_state CHECK (state IN ('waiting', 'sending', 'sent', 'unknown', 'given_up')),
    CONSTRAINT ck_notice_mails_claimed CHECK (state IN ('waiting', 'given_up') OR (mail_id IS NOT NULL AND claimed_at IS NOT NULL)),
    CONSTRAINT fk_notice_mails_tenant_id_notice_id_notices FOREIGN KEY(tenant_id, notice_id) REFERENCES notices (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_notice_mails_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_notice_mails_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_notice_mails_due_at ON notice_mails (due_at) WHERE state = 'waiting';
COMMENT ON TABLE notice_mails IS 'Mails about notices, one row for each person and notice';
COMMENT ON COLUMN notice_mails.tenant_id IS 'whose it is';
COMMENT ON COLUMN notice_mails.notice_id IS 'that it tells';
COMMENT ON COLUMN notice_mails.user_id IS 'to whom';
COMMENT ON COLUMN notice_mails.state IS 'unknown: handed over, and no answer came; it is not sent again';
COMMENT ON COLUMN notice_mails.tries IS 'so far';
COMMENT ON COLUMN notice_mails.due_at IS 'not tried before';
COMMENT ON COLUMN notice_mails.mail_id IS 'the mail that it is in, with whatever else that person is told';
COMMENT ON COLUMN notice_mails.claimed_at IS 'when somebody began to send that mail';
COMMENT ON COLUMN notice_mails.created_at IS 'when it was made';
CREATE TABLE processes (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    configured TEXT[] NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_processes PRIMARY KEY (id),
    CONSTRAINT ck_processes_kind CHECK (kind IN ('serve', 'work'))
);
COMMENT ON TABLE processes IS 'Processes of the service, as each reports itself; `landfall doctor` shows them';
COMMENT ON COLUMN processes.id IS 'made up when the process starts';
COMMENT ON COLUMN processes.kind IS 'serve or work, by the command';
COMMENT ON COLUMN processes.host IS 'the name of the machine';
COMMENT ON COLUMN processes.pid IS 'its number on that machine';
COMMENT ON COLUMN processes.configured IS 'what it has settings for: vault, redis, mail, and webhooks of each platform';
COMMENT ON COLUMN processes.started_at IS 'when it first reported';
COMMENT ON COLUMN processes.seen_at IS 'written every few seconds';
"""

TENANTED = (
    "connections",
    "connection_secrets",
    "oauth_states",
    "oauth_clients",
    "notices",
    "notice_mails",
)

# As in 0004.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# As in 0004.
FUNCTIONS = """
CREATE FUNCTION find_connections_of_person(channel text, person text, granted_until timestamptz)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT c.tenant_id, c.id FROM public.connections c
        WHERE coalesce(c.via, c.platform) = channel AND c.state = 'active'
            AND (c.account_id = person OR person = ANY(c.other_ids)) AND c.authorized_at <= granted_until
        ORDER BY 1, 2;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- Of a connection of the tenant that asks. same_grant: revoking it would end others too; same_person: its person has more.
CREATE FUNCTION find_connections_sharing_grant(connection uuid)
RETURNS TABLE (same_grant boolean, same_person boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    IF acting IN ('', '*') THEN  -- no answer at all: "nobody shares it" would end the grants of others
        RAISE EXCEPTION 'a tenant asks this, of its own connection' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT
            coalesce(bool_or(coalesce(other.grant_id, other.account_id) = coalesce(mine.grant_id, mine.account_id)),
                false),
            coalesce(bool_or(other.other_ids && mine.other_ids), false)
        FROM public.connections mine JOIN public.connections other
            ON other.id <> mine.id AND other.instance = mine.instance
                AND coalesce(other.via, other.platform) = coalesce(mine.via, mine.platform)
        WHERE mine.id = find_connections_sharing_grant.connection AND mine.tenant_id::text = acting
            AND other.state <> 'disconnected';
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- By their names, or the beginnings of what they sealed, in which the name stands (publish/vault/envelope.py).
CREATE FUNCTION find_vault_keys() RETURNS TABLE (key_name text, sealed_head bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT DISTINCT s.key_name, NULL::bytea FROM public.connection_secrets s;
    RETURN QUERY SELECT DISTINCT NULL::text, substring(s.sealed FROM 1 FOR 2 + get_byte(s.sealed, 1))
        FROM (
            SELECT sealed_secret AS sealed FROM public.oauth_clients
            UNION ALL SELECT sealed_verifier FROM public.oauth_states WHERE expires_at > now()
            UNION ALL SELECT sealed_accounts FROM public.oauth_states WHERE sealed_accounts IS NOT NULL
            UNION ALL SELECT sealed_secret FROM public.totp_factors
        ) s WHERE length(s.sealed) > 1;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- By its own digest, by that of the secret of the browser that took the flow, or by that of its link's ticket.
CREATE FUNCTION find_oauth_state(state bytea, browser bytea, ticket bytea)
RETURNS TABLE (tenant_id uuid, state_sha256 bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT o.tenant_id, o.state_sha256 FROM public.oauth_states o
        WHERE o.state_sha256 = state OR (o.session_sha256 = browser AND o.opened_at IS NOT NULL)
            OR o.ticket_sha256 = ticket;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

REVOKE ALL ON FUNCTION find_connections_of_person, find_connections_sharing_grant, find_vault_keys, find_oauth_state
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_connections_of_person, find_connections_sharing_grant, find_oauth_state,
    find_vault_keys TO landfall_web;
GRANT EXECUTE ON FUNCTION find_connections_sharing_grant, find_vault_keys TO landfall_worker;
"""

GRANTS = """
GRANT SELECT, INSERT (tenant_id, id, platform, instance, account_id, state, other_ids, username, scopes, profile,
    via, grant_id, authorized_at, access_expires_at, refresh_expires_at, refresh_due_at, check_due_at, checked_at),
    UPDATE (disconnected_at, other_ids, username, scopes, profile, via, grant_id, authorized_at, state, reason,
    refresh_failures, lease_until, fence, trouble, trouble_since, access_expires_at, refresh_expires_at,
    refresh_due_at, check_due_at, checked_at) ON connections TO landfall_web;
GRANT SELECT, INSERT (tenant_id, connection_id, field, sealed, key_name), UPDATE (sealed, key_name), DELETE ON
    connection_secrets TO landfall_web;
GRANT SELECT, INSERT (tenant_id, state_sha256, platform, instance, ticket_sha256, sealed_verifier, redirect_uri,
    return_to, actor, connection_id, expires_at, scopes), UPDATE (used_at, outcome, sealed_accounts, expires_at,
    session_sha256, opened_at) ON oauth_states TO landfall_web;
GRANT SELECT, INSERT (tenant_id, platform, instance, client_id, sealed_secret, redirect_uri, scopes), UPDATE
    (client_id, sealed_secret, redirect_uri, scopes) ON oauth_clients TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, connection_id, kind, episode, says), UPDATE (resolved_at) ON notices TO
    landfall_web;
GRANT SELECT, INSERT (platform, instance, subject, percent, held_until), UPDATE (percent, held_until, updated_at) ON
    platform_budgets TO landfall_web;
GRANT SELECT (key_name, sealed), INSERT (key_name, sealed) ON vault_canaries TO landfall_web;
GRANT SELECT, INSERT (id, kind, host, pid, configured), UPDATE (seen_at), DELETE ON processes TO landfall_web;
GRANT SELECT, UPDATE (state, reason, refresh_failures, lease_until, fence, trouble, trouble_since,
    access_expires_at, refresh_expires_at, refresh_due_at, check_due_at, checked_at) ON connections TO
    landfall_worker;
GRANT SELECT, INSERT (tenant_id, connection_id, field, sealed, key_name), UPDATE (sealed, key_name), DELETE ON
    connection_secrets TO landfall_worker;
GRANT SELECT (expires_at, sealed_accounts), UPDATE (sealed_accounts), DELETE ON oauth_states TO landfall_worker;
GRANT SELECT ON oauth_clients TO landfall_worker;
GRANT SELECT, INSERT (tenant_id, id, connection_id, kind, episode, says), UPDATE (resolved_at) ON notices TO
    landfall_worker;
GRANT SELECT, INSERT (tenant_id, notice_id, user_id), UPDATE (state, tries, due_at, mail_id, claimed_at), DELETE ON
    notice_mails TO landfall_worker;
GRANT SELECT, INSERT (platform, instance, subject, percent, held_until), UPDATE (percent, held_until, updated_at),
    DELETE ON platform_budgets TO landfall_worker;
GRANT SELECT (key_name, sealed), INSERT (key_name, sealed) ON vault_canaries TO landfall_worker;
GRANT SELECT, INSERT (id, kind, host, pid, configured), UPDATE (seen_at), DELETE ON processes TO landfall_worker;
GRANT SELECT, INSERT, UPDATE ON connections, notices TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_secrets, oauth_states, oauth_clients, notice_mails,
    platform_budgets TO landfall_app;
GRANT SELECT, INSERT ON vault_canaries TO landfall_app;
GRANT SELECT ON processes TO landfall_app;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICIES.format(table=table))
    for script in (FUNCTIONS, GRANTS):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION find_connections_of_person, find_connections_sharing_grant, find_vault_keys, find_oauth_state;
        DROP TABLE processes, notice_mails, notices, connection_secrets, oauth_states, oauth_clients, connections, vault_canaries, platform_budgets;
        """
    )
