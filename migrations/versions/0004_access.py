"""Tenants, people, sessions, API keys, the audit log, and what people ask to be erased."""

from migrations.script import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE deletion_requests (
    code TEXT NOT NULL,
    platform TEXT NOT NULL,
    user_id TEXT,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    accounts TEXT[],
    names TEXT[] DEFAULT '{}' NOT NULL,
    rebuild_due BOOLEAN DEFAULT false NOT NULL,
    repeat_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deletion_requests PRIMARY KEY (code),
    CONSTRAINT ck_deletion_requests_done CHECK ((done_at IS NULL) = (repeat_until IS NULL)),
    CONSTRAINT ck_deletion_requests_forgotten CHECK (user_id IS NOT NULL OR (done_at IS NOT NULL AND names = '{}'))
);
COMMENT ON TABLE deletion_requests IS 'Wishes of people, by way of a platform, to be erased';
COMMENT ON COLUMN deletion_requests.code IS 'what the platform was told, and its person can look up';
COMMENT ON COLUMN deletion_requests.platform IS 'by whose way';
COMMENT ON COLUMN deletion_requests.user_id IS 'NULL once no platform can bring the person back: then this too is forgotten';
COMMENT ON COLUMN deletion_requests.requested_at IS 'when it was taken';
COMMENT ON COLUMN deletion_requests.done_at IS 'when it was carried out for the first time';
COMMENT ON COLUMN deletion_requests.accounts IS 'that go with all they received; NULL where nobody has looked for any yet';
COMMENT ON COLUMN deletion_requests.names IS 'what else leads to the person: usernames, and the ids of comments';
COMMENT ON COLUMN deletion_requests.rebuild_due IS 'the log has forgotten, the tables have not';
COMMENT ON COLUMN deletion_requests.repeat_until IS 'carried out again until then, as platforms repeat deliveries';
CREATE TABLE login_failures (
    who_sha256 BYTEA NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    failed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_login_failures PRIMARY KEY (who_sha256, id)
);
COMMENT ON TABLE login_failures IS 'Wrong passwords and codes of late, for throttling';
COMMENT ON COLUMN login_failures.who_sha256 IS 'of an email address, a device, a session, or of where it came from';
COMMENT ON COLUMN login_failures.id IS 'in the order of failures';
COMMENT ON COLUMN login_failures.failed_at IS 'when it was wrong';
CREATE TABLE signed_requests (
    platform TEXT NOT NULL,
    purpose TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL,
    code TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_signed_requests PRIMARY KEY (platform, purpose, request_sha256),
    CONSTRAINT ck_signed_requests_purpose CHECK (purpose IN ('deauthorize', 'deletion'))
);
COMMENT ON TABLE signed_requests IS 'Signed requests of platforms that were taken, so that none is taken twice';
COMMENT ON COLUMN signed_requests.platform IS 'that signed it';
COMMENT ON COLUMN signed_requests.purpose IS 'the address it was taken at';
COMMENT ON COLUMN signed_requests.request_sha256 IS 'of the person''s id and the time of issue';
COMMENT ON COLUMN signed_requests.code IS 'of the deletion request, where it is one';
COMMENT ON COLUMN signed_requests.received_at IS 'for the first time';
COMMENT ON COLUMN signed_requests.expires_at IS 'from then on it is refused as too old';
CREATE TABLE tenants (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tenants PRIMARY KEY (id),
    CONSTRAINT uq_tenants_name UNIQUE (name)
);
COMMENT ON TABLE tenants IS 'Customers of this install, who see nothing of each other';
COMMENT ON COLUMN tenants.id IS 'UUID';
COMMENT ON COLUMN tenants.name IS 'as `--tenant` and pages call it';
COMMENT ON COLUMN tenants.created_at IS 'when it was made';
CREATE TABLE webauthn_challenges (
    bound_sha256 BYTEA NOT NULL,
    challenge BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_webauthn_challenges PRIMARY KEY (bound_sha256)
);
COMMENT ON TABLE webauthn_challenges IS 'Challenges that an authenticator is to sign, once each';
COMMENT ON COLUMN webauthn_challenges.bound_sha256 IS 'of what it is for, and the session or pending login';
COMMENT ON COLUMN webauthn_challenges.challenge IS 'random bytes';
COMMENT ON COLUMN webauthn_challenges.expires_at IS 'not taken from then on';
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
CREATE INDEX ix_audit_log_tenant_id_subject_id ON audit_log (tenant_id, subject, id);
COMMENT ON TABLE audit_log IS 'Who did what, when and from where; it only grows';
COMMENT ON COLUMN audit_log.tenant_id IS 'whose it is';
COMMENT ON COLUMN audit_log.id IS 'in the order of entries';
COMMENT ON COLUMN audit_log.created_at IS 'when it was made';
COMMENT ON COLUMN audit_log.actor IS 'key:name, command, worker, or the platform that told us';
COMMENT ON COLUMN audit_log.action IS 'a verb in the past, such as connection.connected';
COMMENT ON COLUMN audit_log.subject IS 'what it was done to';
COMMENT ON COLUMN audit_log.address IS 'where from, where that is known';
COMMENT ON COLUMN audit_log.detail IS 'what else is to be known of it; no secrets, and nobody that a platform knows';
CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    password_tenant_id UUID,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_email CHECK (email = lower(email)),
    CONSTRAINT uq_users_email UNIQUE (email),
    CONSTRAINT fk_users_password_tenant_id_tenants FOREIGN KEY(password_tenant_id) REFERENCES tenants (id)
);
COMMENT ON TABLE users IS 'People who can log in';
COMMENT ON COLUMN users.id IS 'UUID';
COMMENT ON COLUMN users.email IS 'in lower case';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, parameters and salt included; empty where no password fits';
COMMENT ON COLUMN users.created_at IS 'when it was made';
COMMENT ON COLUMN users.disabled_at IS 'from then on nothing lets the person in; NULL for nobody disabled';
COMMENT ON COLUMN users.password_tenant_id IS 'where somebody else chose the password, which only lets the person choose another; NULL for their own';
CREATE TABLE api_keys (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    key_sha256 BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used_from INET,
    user_id UUID,
    CONSTRAINT pk_api_keys PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_api_keys_tenant_id_name UNIQUE (tenant_id, name),
    CONSTRAINT fk_api_keys_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_api_keys_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX ix_api_keys_key_sha256 ON api_keys (key_sha256);
COMMENT ON TABLE api_keys IS 'Keys that programs call with';
COMMENT ON COLUMN api_keys.tenant_id IS 'whose it is';
COMMENT ON COLUMN api_keys.id IS 'UUID';
COMMENT ON COLUMN api_keys.name IS 'as people call it; never free again';
COMMENT ON COLUMN api_keys.key_sha256 IS 'of 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN api_keys.scopes IS 'what it may do';
COMMENT ON COLUMN api_keys.created_at IS 'when it was made';
COMMENT ON COLUMN api_keys.last_used_at IS 'NULL until it is used';
COMMENT ON COLUMN api_keys.revoked_at IS 'from then on it opens nothing';
COMMENT ON COLUMN api_keys.last_used_from IS 'the address that it was last used from';
COMMENT ON COLUMN api_keys.user_id IS 'who made it, and with whose membership it ends; NULL for whoever runs the install';
CREATE TABLE devices (
    user_id UUID NOT NULL,
    device_sha256 BYTEA NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_devices PRIMARY KEY (user_id, device_sha256),
    CONSTRAINT fk_devices_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
COMMENT ON TABLE devices IS 'Browsers in which somebody was logged in before';
COMMENT ON COLUMN devices.user_id IS 'the person';
COMMENT ON COLUMN devices.device_sha256 IS 'of the cookie of a browser that was logged in';
COMMENT ON COLUMN devices.seen_at IS 'logging in, for the last time';
CREATE TABLE invitations (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    link_sha256 BYTEA NOT NULL,
    inviter_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_invitations PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_invitations_tenant_id_email UNIQUE (tenant_id, email),
    CONSTRAINT ck_invitations_role CHECK (role IN ('owner', 'editor', 'viewer')),
    CONSTRAINT ck_invitations_email CHECK (email = lower(email)),
    CONSTRAINT fk_invitations_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_invitations_inviter_id_users FOREIGN KEY(inviter_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_invitations_link_sha256 ON invitations (link_sha256);
COMMENT ON TABLE invitations IS 'Invitations that wait to be accepted';
COMMENT ON COLUMN invitations.tenant_id IS 'whose it is';
COMMENT ON COLUMN invitations.id IS 'UUID';
COMMENT ON COLUMN invitations.email IS 'in lower case';
COMMENT ON COLUMN invitations.role IS 'owner, editor or viewer, once accepted';
COMMENT ON COLUMN invitations.link_sha256 IS 'of 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN invitations.inviter_id IS 'NULL for whoever runs the install';
COMMENT ON COLUMN invitations.created_at IS 'when it was made';
COMMENT ON COLUMN invitations.expires_at IS 'the link opens nothing from then on';
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
COMMENT ON TABLE memberships IS 'Who belongs to which tenant, and as what';
COMMENT ON COLUMN memberships.tenant_id IS 'whose it is';
COMMENT ON COLUMN memberships.user_id IS 'the person';
COMMENT ON COLUMN memberships.role IS 'owner, editor or viewer';
COMMENT ON COLUMN memberships.created_at IS 'when it was made';
CREATE TABLE passkeys (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    credential_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    sign_count BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_passkeys PRIMARY KEY (id),
    CONSTRAINT fk_passkeys_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT uq_passkeys_credential_id UNIQUE (credential_id)
);
CREATE INDEX ix_passkeys_user_id ON passkeys (user_id);
COMMENT ON TABLE passkeys IS 'Passkeys of people';
COMMENT ON COLUMN passkeys.id IS 'UUID';
COMMENT ON COLUMN passkeys.user_id IS 'the person';
COMMENT ON COLUMN passkeys.name IS 'as the person calls it';
COMMENT ON COLUMN passkeys.credential_id IS 'as the authenticator calls it';
COMMENT ON COLUMN passkeys.public_key IS 'COSE key';
COMMENT ON COLUMN passkeys.sign_count IS 'as the authenticator counted last; 0 where it does not';
COMMENT ON COLUMN passkeys.created_at IS 'when it was made';
COMMENT ON COLUMN passkeys.last_used_at IS 'when it last let in';
CREATE TABLE pending_logins (
    token_sha256 BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tries BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_pending_logins PRIMARY KEY (token_sha256),
    CONSTRAINT fk_pending_logins_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_pending_logins_user_id ON pending_logins (user_id);
COMMENT ON TABLE pending_logins IS 'Logins that wait for a second factor';
COMMENT ON COLUMN pending_logins.token_sha256 IS 'of a cookie of the browser that gave the password';
COMMENT ON COLUMN pending_logins.user_id IS 'whose password was right';
COMMENT ON COLUMN pending_logins.created_at IS 'when it was made';
COMMENT ON COLUMN pending_logins.expires_at IS 'to be begun anew from then on';
COMMENT ON COLUMN pending_logins.tries IS 'wrong codes so far';
CREATE TABLE recovery_codes (
    user_id UUID NOT NULL,
    code_sha256 BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_sha256),
    CONSTRAINT fk_recovery_codes_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
COMMENT ON TABLE recovery_codes IS 'Codes that let a person in once each, without another factor';
COMMENT ON COLUMN recovery_codes.user_id IS 'the person';
COMMENT ON COLUMN recovery_codes.code_sha256 IS 'of 80 random bits, so a fast digest is enough';
COMMENT ON COLUMN recovery_codes.created_at IS 'when it was made';
COMMENT ON COLUMN recovery_codes.used_at IS 'NULL while it can still be used';
CREATE TABLE sessions (
    tenant_id UUID NOT NULL,
    session_sha256 BYTEA NOT NULL,
    user_id UUID NOT NULL,
    address INET,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    browser TEXT DEFAULT '' NOT NULL,
    second_factor BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, session_sha256),
    CONSTRAINT fk_sessions_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_sessions_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_sessions_session_sha256 ON sessions (session_sha256);
CREATE INDEX ix_sessions_user_id ON sessions (user_id);
COMMENT ON TABLE sessions IS 'Where people are logged in';
COMMENT ON COLUMN sessions.tenant_id IS 'whose it is';
COMMENT ON COLUMN sessions.session_sha256 IS 'of the cookie: 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN sessions.user_id IS 'the person';
COMMENT ON COLUMN sessions.address IS 'where the login came from';
COMMENT ON COLUMN sessions.created_at IS 'when it was made';
COMMENT ON COLUMN sessions.expires_at IS 'logged out by then, however much it is used';
COMMENT ON COLUMN sessions.id IS 'what the list of sessions calls it; opens nothing';
COMMENT ON COLUMN sessions.last_used_at IS 'written at most once a minute';
COMMENT ON COLUMN sessions.browser IS 'in words, from the User-Agent header';
COMMENT ON COLUMN sessions.second_factor IS 'begun with one; a session without ends when its person has one';
CREATE TABLE totp_factors (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_totp_factors PRIMARY KEY (id),
    CONSTRAINT fk_totp_factors_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_totp_factors_user_id ON totp_factors (user_id);
COMMENT ON TABLE totp_factors IS 'Authenticator apps of people';
COMMENT ON COLUMN totp_factors.id IS 'UUID';
COMMENT ON COLUMN totp_factors.user_id IS 'the person';
COMMENT ON COLUMN totp_factors.name IS 'as the person calls it';
COMMENT ON COLUMN totp_factors.sealed_secret IS 'the shared secret, sealed by the vault';
COMMENT ON COLUMN totp_factors.created_at IS 'when it was made';
COMMENT ON COLUMN totp_factors.confirmed_at IS 'NULL until a first code was right: until then it is no factor';
COMMENT ON COLUMN totp_factors.last_step IS 'the newest time step whose code was taken; older codes are not';
COMMENT ON COLUMN totp_factors.last_used_at IS 'when a code of it last let in';
INSERT INTO tenants (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default');
"""

TENANTED = (
    "memberships",
    "invitations",
    "sessions",
    "api_keys",
    "audit_log",
)

# Without landfall.tenant nothing is seen, by the owner neither. The owner and landfall_app see every tenant as members of
# landfall_worker, with '*'; landfall_web never does.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# Rights hold the service back; this holds back the owner, and whoever has got hold of the owner's login.
AUDIT_LOG = """
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was done stays said: audit_log takes no %', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_log_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();
-- By the clock, not by when a transaction began, which somebody may have kept open for days.
CREATE FUNCTION audit_log_date() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := pg_catalog.clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_dated BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_date();
"""

# They run with the rights of whoever owns them, for callers that may not look for themselves. The policies hold their
# owner too, so each sets landfall.tenant and sets it back (a SET clause of the function would need a superuser).
FUNCTIONS = """
CREATE FUNCTION find_api_key(digest bytea) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT k.tenant_id, k.id FROM public.api_keys k WHERE k.key_sha256 = digest;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

CREATE FUNCTION find_deletion_request(code text) RETURNS TABLE (requested_at timestamptz, done_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.requested_at, d.done_at FROM public.deletion_requests d WHERE d.code = find_deletion_request.code
$$;

-- The tenant of what was given out, by its digest, for which the caller then acts.
CREATE FUNCTION find_session(digest bytea) RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT s.tenant_id FROM public.sessions s WHERE s.session_sha256 = digest;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

CREATE FUNCTION find_invitation(digest bytea) RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT i.tenant_id FROM public.invitations i WHERE i.link_sha256 = digest AND i.expires_at > now();
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- Where a person is a member, the first tenant first.
CREATE FUNCTION find_tenants_of_person(person uuid) RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT m.tenant_id FROM public.memberships m WHERE m.user_id = person
        ORDER BY m.created_at, m.tenant_id;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- Where a person has sessions. In one order, so that two who end them at once do not wait for each other.
CREATE FUNCTION find_tenants_of_sessions(person uuid) RETURNS TABLE (tenant_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT DISTINCT s.tenant_id FROM public.sessions s WHERE s.user_id = person ORDER BY 1;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

-- Forget a person who belongs to no tenant any more, with the browsers, sessions and mails. Whether that was so.
CREATE FUNCTION forget_person(person uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
    forgotten boolean := false;
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    -- A statement of its own: the next one sees what whoever held the lock committed.
    PERFORM FROM public.users u WHERE u.id = person FOR UPDATE;
    IF NOT EXISTS (SELECT FROM public.memberships m WHERE m.user_id = person) THEN
        DELETE FROM public.sessions s WHERE s.user_id = person;
        DELETE FROM public.devices d WHERE d.user_id = person;
        DELETE FROM public.notice_mails n WHERE n.user_id = person;
        DELETE FROM public.users u WHERE u.id = person;
        forgotten := FOUND;
    END IF;
    PERFORM set_config('landfall.tenant', acting, true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION find_api_key, find_deletion_request, find_session, find_invitation, find_tenants_of_person,
    find_tenants_of_sessions, forget_person FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_person, find_api_key, find_deletion_request, find_invitation, find_session,
    find_tenants_of_person, find_tenants_of_sessions TO landfall_web;
GRANT EXECUTE ON FUNCTION forget_person TO landfall_worker;
"""

GRANTS = """
GRANT SELECT (id, name) ON tenants TO landfall_web;
GRANT SELECT (id, email, password_hash, disabled_at, password_tenant_id), INSERT (id, email, password_hash), UPDATE
    (password_hash, password_tenant_id) ON users TO landfall_web;
GRANT SELECT, INSERT (user_id, device_sha256), UPDATE (seen_at), DELETE ON devices TO landfall_web;
GRANT SELECT, INSERT (who_sha256, failed_at), DELETE ON login_failures TO landfall_web;
GRANT SELECT, INSERT (id, user_id, name, sealed_secret), UPDATE (confirmed_at, last_step, last_used_at), DELETE ON
    totp_factors TO landfall_web;
GRANT SELECT, INSERT (id, user_id, name, credential_id, public_key, sign_count), UPDATE (sign_count, last_used_at),
    DELETE ON passkeys TO landfall_web;
GRANT SELECT, INSERT (user_id, code_sha256), UPDATE (used_at), DELETE ON recovery_codes TO landfall_web;
GRANT SELECT (token_sha256, user_id, expires_at, tries), INSERT (token_sha256, user_id, expires_at), UPDATE (tries),
    DELETE ON pending_logins TO landfall_web;
GRANT SELECT, INSERT (bound_sha256, challenge, expires_at), UPDATE (challenge, expires_at), DELETE ON
    webauthn_challenges TO landfall_web;
GRANT SELECT, INSERT (tenant_id, user_id, role), UPDATE (role), DELETE ON memberships TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, email, role, link_sha256, inviter_id, expires_at), UPDATE (role, link_sha256,
    inviter_id, created_at, expires_at), DELETE ON invitations TO landfall_web;
GRANT SELECT, INSERT (tenant_id, session_sha256, user_id, address, created_at, expires_at, browser, second_factor),
    UPDATE (last_used_at, second_factor), DELETE ON sessions TO landfall_web;
GRANT SELECT (tenant_id, id, name, scopes, created_at, last_used_at, revoked_at, last_used_from, user_id), INSERT
    (tenant_id, id, name, key_sha256, scopes, user_id), UPDATE (last_used_at, last_used_from, revoked_at) ON
    api_keys TO landfall_web;
GRANT SELECT, INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_web;
GRANT INSERT (code, platform, user_id, requested_at) ON deletion_requests TO landfall_web;
GRANT SELECT (platform, purpose, request_sha256, code, received_at), INSERT (platform, purpose, request_sha256,
    code, expires_at), UPDATE (code) ON signed_requests TO landfall_web;
GRANT SELECT (id, name) ON tenants TO landfall_worker;
GRANT SELECT (id, email, disabled_at) ON users TO landfall_worker;
GRANT SELECT (tenant_id, user_id, role) ON memberships TO landfall_worker;
GRANT SELECT (expires_at), DELETE ON invitations, sessions, pending_logins, webauthn_challenges, signed_requests TO
    landfall_worker;
GRANT SELECT (confirmed_at, created_at), DELETE ON totp_factors TO landfall_worker;
GRANT SELECT (seen_at), DELETE ON devices TO landfall_worker;
GRANT SELECT (failed_at), DELETE ON login_failures TO landfall_worker;
GRANT INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_worker;
GRANT SELECT ON tenants TO landfall_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, memberships, invitations, devices, totp_factors, passkeys,
    recovery_codes, pending_logins, webauthn_challenges, signed_requests TO landfall_app;
GRANT SELECT, INSERT, UPDATE (last_used_at, second_factor), DELETE ON sessions TO landfall_app;
GRANT SELECT, INSERT, DELETE ON login_failures TO landfall_app;
GRANT SELECT, INSERT, UPDATE ON api_keys TO landfall_app;
GRANT SELECT, INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_app;
GRANT SELECT, INSERT ON deletion_requests TO landfall_app;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICIES.format(table=table))
    for script in (AUDIT_LOG, FUNCTIONS, GRANTS):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION find_api_key, find_deletion_request, find_session, find_invitation, find_tenants_of_person, find_tenants_of_sessions, forget_person;
        DROP TABLE totp_factors, sessions, recovery_codes, pending_logins, passkeys, memberships, invitations, devices, api_keys, users, audit_log, webauthn_challenges, tenants, signed_requests, login_failures, deletion_requests;
        DROP FUNCTION audit_log_refuse, audit_log_date;
        """
    )
