"""Note when a verification began, so that the next one can look at what changed since, and find that quickly."""

from migrations.script import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE crm_verifications ADD COLUMN began_at timestamptz,
            ADD COLUMN changed_only boolean NOT NULL DEFAULT false;
        COMMENT ON COLUMN crm_verifications.began_at IS 'when it began: events that are settled later are not in it';
        COMMENT ON COLUMN crm_verifications.changed_only IS 'whether it compared only rows that events were about since the verification before';
        CREATE INDEX ix_webhook_event_outcomes_settled_at ON webhook_event_outcomes USING brin (settled_at);
        """
    )


def downgrade() -> None:
    run(
        """
        DROP INDEX ix_webhook_event_outcomes_settled_at;
        ALTER TABLE crm_verifications DROP COLUMN began_at, DROP COLUMN changed_only;
        """
    )
