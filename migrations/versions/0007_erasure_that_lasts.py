"""A wish to be erased is kept until no platform can bring the person back."""

from migrations.script import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE deletion_requests
            ADD COLUMN accounts TEXT[],
            ADD COLUMN names TEXT[] DEFAULT '{}' NOT NULL,
            ADD COLUMN rebuild_due BOOLEAN DEFAULT false NOT NULL,
            ADD COLUMN repeat_until TIMESTAMP WITH TIME ZONE,
            DROP CONSTRAINT ck_deletion_requests_done;
        UPDATE deletion_requests SET repeat_until = done_at + interval '96 hours' WHERE done_at IS NOT NULL;
        ALTER TABLE deletion_requests
            ADD CONSTRAINT ck_deletion_requests_done CHECK ((done_at IS NULL) = (repeat_until IS NULL)),
            ADD CONSTRAINT ck_deletion_requests_forgotten
                CHECK (user_id IS NOT NULL OR (done_at IS NOT NULL AND names = '{}'));
        COMMENT ON COLUMN deletion_requests.user_id IS
            'NULL once no platform can bring the person back: then this too is forgotten';
        COMMENT ON COLUMN deletion_requests.done_at IS 'when it was carried out for the first time';
        COMMENT ON COLUMN deletion_requests.accounts IS
            'that go with all they received; NULL where nobody has looked for any yet';
        COMMENT ON COLUMN deletion_requests.names IS
            'what else leads to the person: usernames, and the ids of comments';
        COMMENT ON COLUMN deletion_requests.rebuild_due IS 'the log has forgotten, the tables have not';
        COMMENT ON COLUMN deletion_requests.repeat_until IS
            'carried out again until then, as platforms repeat deliveries';
        """
    )


def downgrade() -> None:
    run(
        """
        UPDATE deletion_requests SET user_id = NULL, names = '{}' WHERE done_at IS NOT NULL;
        ALTER TABLE deletion_requests
            DROP CONSTRAINT ck_deletion_requests_done,
            DROP CONSTRAINT ck_deletion_requests_forgotten,
            DROP COLUMN accounts,
            DROP COLUMN names,
            DROP COLUMN rebuild_due,
            DROP COLUMN repeat_until,
            ADD CONSTRAINT ck_deletion_requests_done CHECK ((user_id IS NULL) = (done_at IS NOT NULL));
        COMMENT ON COLUMN deletion_requests.user_id IS 'NULL once it is done: nothing of the person is left';
        COMMENT ON COLUMN deletion_requests.done_at IS NULL;
        """
    )
