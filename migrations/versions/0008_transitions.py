"""Guards of the state machines of ``schema/states.py``: each refuses every transition that its table does not hold."""

from migrations.script import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

GUARDS = """
CREATE FUNCTION connections_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'active' THEN 'active'
        WHEN state = 'needs_reconnect' THEN 'needs_reconnect'
        WHEN state = 'disconnected' THEN 'disconnected' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'active' THEN 'active'
        WHEN state = 'needs_reconnect' THEN 'needs_reconnect'
        WHEN state = 'disconnected' THEN 'disconnected' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('active', 'disconnected'), ('active', 'needs_reconnect'), ('disconnected', 'active'), ('needs_reconnect', 'active'), ('needs_reconnect', 'disconnected')) THEN
        RAISE EXCEPTION 'a row of connections cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'connections_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER connections_transition
    BEFORE UPDATE ON connections FOR EACH ROW EXECUTE FUNCTION connections_transition();

CREATE FUNCTION oauth_states_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN outcome IS NULL AND used_at IS NULL AND opened_at IS NULL THEN 'started'
        WHEN outcome IS NULL AND used_at IS NULL AND opened_at IS NOT NULL THEN 'opened'
        WHEN outcome IS NULL AND used_at IS NOT NULL THEN 'exchanging'
        WHEN outcome->>'kind' = 'choose' THEN 'selecting'
        WHEN (outcome->>'ok')::boolean THEN 'connected'
        WHEN NOT (outcome->>'ok')::boolean AND outcome->>'kind' IS DISTINCT FROM 'choose' THEN 'failed' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN outcome IS NULL AND used_at IS NULL AND opened_at IS NULL THEN 'started'
        WHEN outcome IS NULL AND used_at IS NULL AND opened_at IS NOT NULL THEN 'opened'
        WHEN outcome IS NULL AND used_at IS NOT NULL THEN 'exchanging'
        WHEN outcome->>'kind' = 'choose' THEN 'selecting'
        WHEN (outcome->>'ok')::boolean THEN 'connected'
        WHEN NOT (outcome->>'ok')::boolean AND outcome->>'kind' IS DISTINCT FROM 'choose' THEN 'failed' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('exchanging', 'connected'), ('exchanging', 'failed'), ('exchanging', 'selecting'), ('opened', 'exchanging'), ('opened', 'failed'), ('selecting', 'connected'), ('selecting', 'failed'), ('started', 'failed'), ('started', 'opened')) THEN
        RAISE EXCEPTION 'a row of oauth_states cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'oauth_states_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER oauth_states_transition
    BEFORE UPDATE ON oauth_states FOR EACH ROW EXECUTE FUNCTION oauth_states_transition();

CREATE FUNCTION notices_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN resolved_at IS NULL THEN 'open'
        WHEN resolved_at IS NOT NULL THEN 'resolved' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN resolved_at IS NULL THEN 'open'
        WHEN resolved_at IS NOT NULL THEN 'resolved' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('open', 'resolved')) THEN
        RAISE EXCEPTION 'a row of notices cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'notices_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notices_transition
    BEFORE UPDATE ON notices FOR EACH ROW EXECUTE FUNCTION notices_transition();

CREATE FUNCTION notice_mails_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'waiting' THEN 'waiting'
        WHEN state = 'sending' THEN 'sending'
        WHEN state = 'sent' THEN 'sent'
        WHEN state = 'unknown' THEN 'unknown'
        WHEN state = 'given_up' THEN 'given_up' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'waiting' THEN 'waiting'
        WHEN state = 'sending' THEN 'sending'
        WHEN state = 'sent' THEN 'sent'
        WHEN state = 'unknown' THEN 'unknown'
        WHEN state = 'given_up' THEN 'given_up' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('sending', 'given_up'), ('sending', 'sent'), ('sending', 'unknown'), ('sending', 'waiting'), ('unknown', 'sent'), ('waiting', 'given_up'), ('waiting', 'sending')) THEN
        RAISE EXCEPTION 'a row of notice_mails cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'notice_mails_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notice_mails_transition
    BEFORE UPDATE ON notice_mails FOR EACH ROW EXECUTE FUNCTION notice_mails_transition();

CREATE FUNCTION deletion_requests_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NULL THEN 'received'
        WHEN user_id IS NOT NULL AND rebuild_due THEN 'erased'
        WHEN user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NOT NULL THEN 'done'
        WHEN user_id IS NULL THEN 'forgotten' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NULL THEN 'received'
        WHEN user_id IS NOT NULL AND rebuild_due THEN 'erased'
        WHEN user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NOT NULL THEN 'done'
        WHEN user_id IS NULL THEN 'forgotten' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('done', 'erased'), ('done', 'forgotten'), ('erased', 'done'), ('erased', 'forgotten'), ('received', 'done'), ('received', 'erased')) THEN
        RAISE EXCEPTION 'a row of deletion_requests cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deletion_requests_transition';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER deletion_requests_transition
    BEFORE UPDATE ON deletion_requests FOR EACH ROW EXECUTE FUNCTION deletion_requests_transition();
"""

TABLES = ("connections", "oauth_states", "notices", "notice_mails", "deletion_requests")


def upgrade() -> None:
    run(GUARDS)


def downgrade() -> None:
    for table in TABLES:
        run(f"DROP TRIGGER {table}_transition ON {table}; DROP FUNCTION {table}_transition()")
