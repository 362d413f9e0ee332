"""Know the database again, so that one that was restored from a backup posts nothing a second time."""

from migrations.script import run

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE database_incarnations (
            incarnation TEXT NOT NULL,
            began_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            last_seen_at TIMESTAMP WITH TIME ZONE,
            held INTEGER DEFAULT 0 NOT NULL,
            CONSTRAINT pk_database_incarnations PRIMARY KEY (incarnation)
        );
        COMMENT ON TABLE database_incarnations IS 'Histories that this database has lived: after a restore or a failover it may not know what was posted';
        COMMENT ON COLUMN database_incarnations.incarnation IS 'of server, timeline and database: another after a restore';
        COMMENT ON COLUMN database_incarnations.began_at IS 'when a worker first met it';
        COMMENT ON COLUMN database_incarnations.last_seen_at IS 'when a process last reported before that; NULL for the first';
        COMMENT ON COLUMN database_incarnations.held IS 'targets that were then looked for';
        GRANT SELECT, INSERT (incarnation, last_seen_at), UPDATE (held) ON database_incarnations TO landfall_worker;
        GRANT SELECT ON database_incarnations TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE database_incarnations")
