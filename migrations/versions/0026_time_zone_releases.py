"""Keep by which release of the time zone database a saved time was turned into UTC, and what a later one moved."""

from migrations.script import run

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE post_targets ADD COLUMN slot_local_time TEXT, ADD COLUMN slot_zone TEXT, ADD COLUMN tzdata TEXT, ADD COLUMN moved_from TIMESTAMP WITH TIME ZONE;
        ALTER TABLE post_recurrences ADD COLUMN tzdata TEXT;
        COMMENT ON COLUMN post_targets.slot_local_time IS 'the wall time of that slot, such as 2026-11-28T09:00';
        COMMENT ON COLUMN post_targets.slot_zone IS 'the IANA zone of that time';
        COMMENT ON COLUMN post_targets.tzdata IS 'release of the time zone database by which its wall time was turned into UTC; NULL without one';
        COMMENT ON COLUMN post_targets.moved_from IS 'when it was due before a later release moved it; NULL if none did';
        COMMENT ON COLUMN post_recurrences.tzdata IS 'release of the time zone database that gave next_at; NULL if it is not known';
        CREATE INDEX ix_post_targets_tzdata ON post_targets (tzdata) WHERE tzdata IS NOT NULL AND ((state = 'draft') OR (state = 'awaiting_approval') OR (state = 'scheduled'));
        GRANT INSERT (slot_local_time, slot_zone, tzdata), UPDATE (slot_local_time, slot_zone, tzdata, moved_from) ON post_targets TO landfall_web, landfall_worker;
        GRANT INSERT (tzdata), UPDATE (tzdata) ON post_recurrences TO landfall_web, landfall_worker;
        GRANT UPDATE (at) ON post_occurrences TO landfall_web, landfall_worker;
        """
    )


def downgrade() -> None:
    run(
        """
        REVOKE UPDATE (at) ON post_occurrences FROM landfall_web, landfall_worker;
        DROP INDEX ix_post_targets_tzdata;
        ALTER TABLE post_recurrences DROP COLUMN tzdata;
        ALTER TABLE post_targets DROP COLUMN slot_local_time, DROP COLUMN slot_zone, DROP COLUMN tzdata, DROP COLUMN moved_from;
        """
    )
