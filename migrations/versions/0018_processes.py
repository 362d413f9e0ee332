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
        COMMENT ON TABLE processes IS
            'Processes of the service, as each reports itself; `landfall doctor` shows them';
        COMMENT ON COLUMN processes.id IS 'made up when the process starts';
        COMMENT ON COLUMN processes.kind IS 'serve or work, by the command';
        COMMENT ON COLUMN processes.host IS 'the name of the machine';
        COMMENT ON COLUMN processes.pid IS 'its number on that machine';
        COMMENT ON COLUMN processes.started_at IS 'when it first reported';
        COMMENT ON COLUMN processes.configured IS 'what it has settings for: vault, redis, mail, and webhooks of each platform';
        COMMENT ON COLUMN processes.seen_at IS 'written every few seconds';
        GRANT SELECT, INSERT (id, kind, host, pid, configured), UPDATE (seen_at), DELETE ON processes
            TO landfall_web, landfall_worker;
        GRANT SELECT ON processes TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE processes")
