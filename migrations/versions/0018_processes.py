"""What each process of the service says of itself."""

from migrations.script import run

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE processes (
            id UUID NOT NULL,
            kind TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            configured TEXT[] NOT NULL,
            started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_processes PRIMARY KEY (id),
            CONSTRAINT ck_processes_kind CHECK (kind IN ('serve', 'work'))
        );
        COMMENT ON COLUMN processes.configured IS 'what it has settings for, such as webhooks:instagram or vault';
        COMMENT ON COLUMN processes.seen_at IS 'written every few seconds';
        GRANT SELECT, INSERT (id, kind, host, pid, configured), UPDATE (seen_at), DELETE ON processes
            TO landfall_web, landfall_worker;
        GRANT SELECT ON processes TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE processes")
