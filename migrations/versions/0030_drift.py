"""What the comparison of each account's rows with its platform found."""

from migrations.script import run

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE pull_drifts (
            account_id TEXT NOT NULL,
            provider TEXT NOT NULL,
            checked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            compared BIGINT NOT NULL,
            missing BIGINT NOT NULL,
            different BIGINT NOT NULL,
            extra BIGINT NOT NULL,
            complete BOOLEAN NOT NULL,
            bucket SMALLINT NOT NULL,
            CONSTRAINT pk_pull_drifts PRIMARY KEY (bucket, account_id, provider)
        );
        COMMENT ON TABLE pull_drifts IS 'What the last `landfall drift` found, by account';
        COMMENT ON COLUMN pull_drifts.account_id IS 'whose rows were compared';
        COMMENT ON COLUMN pull_drifts.provider IS 'the platform';
        COMMENT ON COLUMN pull_drifts.checked_at IS 'when it ended';
        COMMENT ON COLUMN pull_drifts.compared IS 'objects of the platform';
        COMMENT ON COLUMN pull_drifts.missing IS 'rows that are not there';
        COMMENT ON COLUMN pull_drifts.different IS 'rows that say something else';
        COMMENT ON COLUMN pull_drifts.extra IS 'rows of what does not exist at the platform';
        COMMENT ON COLUMN pull_drifts.complete IS 'whether all could be read';
        COMMENT ON COLUMN pull_drifts.bucket IS 'hash of the account; see schema.events.bucket_of';
        GRANT SELECT, INSERT, UPDATE ON pull_drifts TO landfall_worker;
        """
    )


def downgrade() -> None:
    run("DROP TABLE pull_drifts;")
