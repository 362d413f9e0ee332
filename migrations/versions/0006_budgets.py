"""How much of each platform's budgets is used, and until when nobody asks."""

from migrations.script import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
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
        COMMENT ON TABLE platform_budgets IS
            'No tenant''s: the platform counts our one application, and an account however many tenants connected it';
        COMMENT ON COLUMN platform_budgets.subject IS 'the account''s id; empty for the whole application';
        COMMENT ON COLUMN platform_budgets.percent IS 'of it is used, as last said';
        COMMENT ON COLUMN platform_budgets.held_until IS 'nobody asks before that; NULL for no such wish';
        GRANT SELECT, INSERT, UPDATE, DELETE ON platform_budgets TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE platform_budgets")
