"""Times that make sense, since when an account is in trouble, and which scopes a flow asks for."""

from migrations.script import run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The release before this one may still write times that make no sense until the constraint is there, and fills neither
# of the new columns. What it took for an end is forgotten; the worker gives such connections the documented one.
BOUNDED = """
ALTER TABLE connections ADD CONSTRAINT ck_connections_times CHECK ((
    access_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    AND refresh_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    AND refresh_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    AND check_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00') IS NOT FALSE) NOT VALID;
SELECT set_config('landfall.tenant', '*', true);
UPDATE connections SET
    access_expires_at = CASE
        WHEN access_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' THEN access_expires_at END,
    refresh_expires_at = CASE
        WHEN refresh_expires_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' THEN refresh_expires_at END,
    refresh_due_at = CASE
        WHEN refresh_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' THEN refresh_due_at
        WHEN refresh_due_at IS NOT NULL THEN now() END,
    check_due_at = CASE
        WHEN check_due_at BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00' THEN check_due_at
        WHEN check_due_at IS NOT NULL THEN now() END
WHERE access_expires_at NOT BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    OR refresh_expires_at NOT BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    OR refresh_due_at NOT BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'
    OR check_due_at NOT BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00';
SELECT set_config('landfall.tenant', '', true);
ALTER TABLE connections VALIDATE CONSTRAINT ck_connections_times;
"""

TROUBLE = """
ALTER TABLE connections ADD COLUMN trouble_since TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN connections.trouble_since IS 'of the first failure in a row; NULL once it works';
ALTER TABLE notices DROP CONSTRAINT ck_notices_kind;
ALTER TABLE notices ADD CONSTRAINT ck_notices_kind CHECK (
    kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day'));
COMMENT ON COLUMN notices.episode IS
    'when the grant, or the trouble, that it is about began: there is one notice of a kind for each';
"""

SCOPES = """
ALTER TABLE oauth_states ADD COLUMN scopes TEXT[];
COMMENT ON COLUMN oauth_states.scopes IS 'as asked for; NULL where the previous release began it';
"""


def upgrade() -> None:
    for script in (BOUNDED, TROUBLE, SCOPES):
        run(script)


def downgrade() -> None:
    run(
        """
        ALTER TABLE oauth_states DROP COLUMN scopes;
        SELECT set_config('landfall.tenant', '*', true);
        DELETE FROM notices WHERE kind = 'in_trouble';
        SELECT set_config('landfall.tenant', '', true);
        ALTER TABLE notices DROP CONSTRAINT ck_notices_kind;
        ALTER TABLE notices ADD CONSTRAINT ck_notices_kind CHECK (
            kind IN ('needs_reconnect', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day'));
        COMMENT ON COLUMN notices.episode IS
            'when the grant it is about began: there is one notice of a kind for each';
        ALTER TABLE connections DROP CONSTRAINT ck_connections_times;
        ALTER TABLE connections DROP COLUMN trouble_since;
        """
    )
