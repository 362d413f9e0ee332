"""A role for each process, each with what it needs; row policies without a word that shows all tenants to the web process;
and entries of the audit log that nobody dates.

The previous release acts as landfall_app, which becomes a member of both new roles and loses nothing that it uses.
Every part before the last transaction may be stopped halfway and is then run again.
"""

from alembic import op

from migrations.script import run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# Roles belong to the whole cluster: another database's migration, or an administrator, may have made these. Whoever owns
# the tables has to inherit what landfall_app may, or would see no row of any tenant from here on.
ROLES = """
DO $$
DECLARE
    made text;
    settable text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH made IN ARRAY ARRAY['landfall_web', 'landfall_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = made) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', made);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        IF NOT (pg_has_role('landfall_app', made, 'USAGE') AND pg_has_role('landfall_app', made, settable)) THEN
            EXECUTE format('GRANT %I TO landfall_app', made);
        END IF;
    END LOOP;
    IF NOT (pg_has_role('landfall_app', 'USAGE') AND pg_has_role('landfall_app', settable)) THEN
        EXECUTE format('GRANT landfall_app TO %I', current_user);
        IF NOT pg_has_role('landfall_app', 'USAGE') THEN
            RAISE EXCEPTION 'the login that migrates must inherit the rights of its roles: ALTER ROLE % INHERIT, then'
                ' migrate again', quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
END $$;
"""

TENANTED = (
    "memberships",
    "invitations",
    "sessions",
    "api_keys",
    "audit_log",
    "connections",
    "connection_secrets",
    "oauth_states",
    "oauth_clients",
    "notices",
    "notice_mails",
)

# Each table by itself, so that no lock on one is held while that on another is waited for. The owner and landfall_app,
# which the previous release acts as, see every tenant as members of landfall_worker; landfall_web never does.
POLICIES = """
DO $$ BEGIN
    DROP POLICY IF EXISTS every_tenant ON {table};
    CREATE POLICY every_tenant ON {table} TO landfall_worker
        USING (current_setting('landfall.tenant', true) = '*');
    ALTER POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
END $$;
"""

OLD_POLICIES = """
DO $$ BEGIN
    ALTER POLICY tenant ON {table} USING (current_setting('landfall.tenant', true) IN ('*', tenant_id::text));
    DROP POLICY IF EXISTS every_tenant ON {table};
END $$;
"""

WEB = """
GRANT SELECT ON alembic_version TO landfall_web;
GRANT SELECT (id, new_event_count), INSERT (id, provider, body, body_of, body_sha256, headers, verdict,
    verdict_reason, secret_used, signed_at, event_count, new_event_count) ON webhook_deliveries TO landfall_web;
GRANT SELECT (id, delivery_id, provider, account_id, external_id, defect), INSERT (delivery_id, provider, account_id,
    event_type, external_id, rule_version, payload_json, occurred_at, defect, sanitized) ON webhook_event_log TO
    landfall_web;
GRANT SELECT (bucket, account_id, event_id), INSERT (bucket, account_id, event_id) ON webhook_event_queue TO
    landfall_web;
GRANT SELECT (account_id, event_id), INSERT (bucket, account_id, event_id, state, error_message) ON
    webhook_event_outcomes TO landfall_web;
GRANT SELECT (provider, slot, reason, headers, body_head, body_size), INSERT (provider, slot, reason, headers,
    body_head, body_size), UPDATE (reason, headers, body_head, body_size, refused_at) ON webhook_refusals TO
    landfall_web;
GRANT SELECT (id, name) ON tenants TO landfall_web;
GRANT SELECT (id, email, password_hash, disabled_at, password_tenant_id), INSERT (id, email, password_hash), UPDATE
    (password_hash, password_tenant_id) ON users TO landfall_web;
GRANT SELECT, INSERT (tenant_id, user_id, role), UPDATE (role), DELETE ON memberships TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, email, role, link_sha256, inviter_id, expires_at), UPDATE (role, link_sha256,
    inviter_id, created_at, expires_at), DELETE ON invitations TO landfall_web;
GRANT SELECT, INSERT (tenant_id, session_sha256, user_id, address, created_at, expires_at, browser, second_factor),
    UPDATE (last_used_at, second_factor), DELETE ON sessions TO landfall_web;
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
GRANT SELECT (tenant_id, id, name, scopes, created_at, last_used_at, revoked_at, last_used_from, user_id), INSERT
    (tenant_id, id, name, key_sha256, scopes, user_id), UPDATE (last_used_at, last_used_from, revoked_at) ON api_keys TO landfall_web;
GRANT SELECT, INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_web;
GRANT INSERT (code, platform, user_id, requested_at) ON deletion_requests TO landfall_web;
GRANT SELECT (platform, purpose, request_sha256, code, received_at), INSERT (platform, purpose, request_sha256, code,
    expires_at), UPDATE (code) ON signed_requests TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, platform, instance, account_id, state, other_ids, username, scopes, profile, via,
    grant_id, authorized_at, access_expires_at, refresh_expires_at, refresh_due_at, check_due_at, checked_at), UPDATE
    (disconnected_at, other_ids, username, scopes, profile, via, grant_id, authorized_at, state, reason,
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
"""

WORKER = """
GRANT SELECT ON alembic_version TO landfall_worker;
GRANT SELECT ON crm_verifications TO landfall_worker;
GRANT SELECT (id, provider, account_id, external_id, event_type, payload_json, occurred_at, delivery_id, created_at)
    ON webhook_event_log TO landfall_worker;
GRANT SELECT, UPDATE (due_at, retry_count, error_message), DELETE ON webhook_event_queue TO landfall_worker;
GRANT SELECT (account_id, event_id, state), INSERT (bucket, account_id, event_id, state, projector, retry_count,
    error_message) ON webhook_event_outcomes TO landfall_worker;
GRANT SELECT, UPDATE (holder, fence, leased_until, served_at) ON webhook_buckets TO landfall_worker;
GRANT SELECT (id, name) ON tenants TO landfall_worker;
GRANT SELECT (id, email, disabled_at) ON users TO landfall_worker;
GRANT SELECT (tenant_id, user_id, role) ON memberships TO landfall_worker;
GRANT SELECT (expires_at), DELETE ON invitations, sessions, pending_logins, webauthn_challenges TO landfall_worker;
GRANT SELECT (confirmed_at, created_at), DELETE ON totp_factors TO landfall_worker;
GRANT SELECT (seen_at), DELETE ON devices TO landfall_worker;
GRANT SELECT (failed_at), DELETE ON login_failures TO landfall_worker;
GRANT INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_worker;
GRANT SELECT (expires_at), DELETE ON signed_requests TO landfall_worker;
GRANT SELECT, UPDATE (state, reason, refresh_failures, lease_until, fence, trouble, trouble_since, access_expires_at,
    refresh_expires_at, refresh_due_at, check_due_at, checked_at) ON connections TO landfall_worker;
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
GRANT SELECT, INSERT, UPDATE ON ig_media, ig_comments, tiktok_accounts, tiktok_undated_removals, tiktok_posts,
    tiktok_post_ids, lookups TO landfall_worker;
"""

# Numbers and times of what is only ever added are the database's to give, whoever adds it.
APPENDED = """
REVOKE INSERT ON audit_log, webhook_event_log, webhook_deliveries FROM landfall_app;
GRANT INSERT (tenant_id, actor, action, subject, address, detail) ON audit_log TO landfall_app;
GRANT INSERT (delivery_id, provider, account_id, event_type, external_id, rule_version, payload_json, occurred_at,
    defect, sanitized) ON webhook_event_log TO landfall_app;
GRANT INSERT (id, provider, body, body_of, body_sha256, headers, verdict, verdict_reason, secret_used, signed_at,
    event_count, new_event_count) ON webhook_deliveries TO landfall_app;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- By the clock, not by when a transaction began, which somebody may have kept open for days.
CREATE FUNCTION audit_log_date() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := pg_catalog.clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_dated BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_date();
"""

# Named with their schema, so that a temporary table of the same name is not looked at in their place.
STATE_MACHINE = """
CREATE OR REPLACE FUNCTION webhook_event_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN {schema}webhook_event_queue q
            ON q.bucket = a.bucket AND q.account_id = a.account_id AND q.event_id = a.event_id
    ) THEN
        RAISE EXCEPTION 'an event that still waits cannot be settled: take it off the queue in the same statement'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION webhook_event_queued_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added a JOIN {schema}webhook_event_outcomes o
            ON o.account_id = a.account_id AND o.event_id = a.event_id
    ) THEN
        RAISE EXCEPTION 'a settled event cannot be queued: remove its outcome in the same statement'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'webhook_event_state';
    END IF;
    RETURN NULL;
END $$;
"""

EVERY_FUNCTION = """find_api_key, find_bodies, find_connections_of_person, find_connections_sharing_grant, find_deletion_request,
    find_invitation, find_oauth_state, find_session, find_tenants_of_person, find_tenants_of_sessions, find_vault_keys,
    forget_person"""

# They run with the rights of whoever owns them, for callers that may not look for themselves. The policies hold their
# owner too, so each sets landfall.tenant and sets it back (a SET clause of the function would need a superuser).
FUNCTIONS = f"""
-- For each body, counted from 1, the delivery that holds it; many at once, as it is on the hot path.
CREATE FUNCTION find_bodies(providers text[], digests bytea[]) RETURNS TABLE (number bigint, id uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT i.number, d.id FROM unnest(providers, digests) WITH ORDINALITY AS i (provider, digest, number),
        LATERAL (SELECT o.id FROM public.webhook_deliveries o
            WHERE o.provider = i.provider AND o.body_sha256 = i.digest AND o.body <> '' LIMIT 1) d;
END $$;

CREATE FUNCTION find_api_key(digest bytea) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT k.tenant_id, k.id FROM public.api_keys k WHERE k.key_sha256 = digest;
    PERFORM set_config('landfall.tenant', acting, true);
END $$;

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

CREATE FUNCTION find_deletion_request(code text) RETURNS TABLE (requested_at timestamptz, done_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT d.requested_at, d.done_at FROM public.deletion_requests d WHERE d.code = find_deletion_request.code
$$;

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

REVOKE ALL ON FUNCTION {EVERY_FUNCTION} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {EVERY_FUNCTION} TO landfall_web;
GRANT EXECUTE ON FUNCTION find_connections_sharing_grant, find_vault_keys, forget_person TO landfall_worker;
"""


def upgrade() -> None:
    run(ROLES)
    with op.get_context().autocommit_block():
        for table in TENANTED:
            op.execute(POLICIES.format(table=table))
    for script in (WEB, WORKER, APPENDED, STATE_MACHINE.format(schema="public."), FUNCTIONS):
        run(script)


def downgrade() -> None:
    # The roles stay, as landfall_app does: other databases of the cluster may use them, and they own nothing.
    with op.get_context().autocommit_block():
        for table in TENANTED:
            op.execute(OLD_POLICIES.format(table=table))
    run(STATE_MACHINE.format(schema=""))
    run(
        f"""
        DROP FUNCTION IF EXISTS {EVERY_FUNCTION};
        DROP TRIGGER audit_log_dated ON audit_log;
        DROP FUNCTION audit_log_date;
        GRANT INSERT ON audit_log, webhook_event_log, webhook_deliveries TO landfall_app;
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM landfall_web, landfall_worker;
        """
    )
