"""Tell people of posts that failed, were missed, are late, or wait for them, by the notices that accounts have."""

from migrations.script import run

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE notices DROP CONSTRAINT ck_notices_kind, ADD CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day', 'post_failed', 'post_missed', 'post_unconfirmed', 'post_waiting', 'post_late'));
        COMMENT ON COLUMN notices.episode IS 'when the grant or trouble that it is about began, of posts the day: one notice of a kind for each';
        CREATE INDEX ix_post_targets_state ON post_targets (state, step_since) WHERE state NOT IN ('draft', 'published', 'cancelled');
        """
    )


def downgrade() -> None:
    run(
        """
        DROP INDEX ix_post_targets_state;
        DELETE FROM notices WHERE starts_with(kind, 'post_');
        COMMENT ON COLUMN notices.episode IS 'when the grant, or the trouble, that it is about began: there is one notice of a kind for each';
        ALTER TABLE notices DROP CONSTRAINT ck_notices_kind, ADD CONSTRAINT ck_notices_kind CHECK (kind IN ('needs_reconnect', 'in_trouble', 'ends_in_14_days', 'ends_in_7_days', 'ends_in_1_day'));
        """
    )
