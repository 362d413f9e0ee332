"""What `landfall verify` found, so that every worker can show it."""

from migrations.script import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE crm_verifications (
            id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
            verified_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            compared_rows BIGINT NOT NULL,
            drifted_rows BIGINT NOT NULL,
            CONSTRAINT pk_crm_verifications PRIMARY KEY (id)
        );
        COMMENT ON TABLE crm_verifications IS
            'What each `landfall verify` found; the newest is what the gauges show';
        GRANT SELECT, INSERT ON crm_verifications TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE crm_verifications")
