"""Which event each column of a facet is of, and removals that name no time.

The previous release writes a facet as a whole and leaves the new columns as they are, so what it writes while both run
is put right by `landfall rebuild --outdated`, as is what an older release made of events that lacked a detail.
Tables are changed in the order in which workers write them, so that neither waits for the other in a circle.
"""

from migrations.script import run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE ig_media ADD COLUMN details_carried JSONB, ADD COLUMN ad_carried JSONB, ADD COLUMN story_carried JSONB;
        ALTER TABLE tiktok_accounts ADD COLUMN removal_carried JSONB;
        ALTER TABLE tiktok_posts ADD COLUMN status_carried JSONB;
        ALTER TABLE ig_comments ADD COLUMN comment_carried JSONB, ADD COLUMN details_carried JSONB;
        ALTER TABLE tiktok_post_ids ADD COLUMN visibility_carried JSONB;
        COMMENT ON COLUMN ig_media.details_carried IS
            'versions of columns that are not of details_version, or NULL by what an event said';
        COMMENT ON COLUMN ig_media.ad_carried IS
            'versions of columns that are not of ad_version, or NULL by what an event said';
        COMMENT ON COLUMN ig_media.story_carried IS
            'versions of columns that are not of story_version, or NULL by what an event said';
        COMMENT ON COLUMN ig_comments.comment_carried IS
            'versions of columns that are not of comment_version, or NULL by what an event said';
        COMMENT ON COLUMN ig_comments.details_carried IS
            'versions of columns that are not of details_version, or NULL by what an event said';
        COMMENT ON COLUMN tiktok_accounts.removal_carried IS
            'versions of columns that are not of removal_version, or NULL by what an event said';
        COMMENT ON COLUMN tiktok_posts.status_carried IS
            'versions of columns that are not of status_version, or NULL by what an event said';
        COMMENT ON COLUMN tiktok_post_ids.visibility_carried IS
            'versions of columns that are not of visibility_version, or NULL by what an event said';
        CREATE TABLE tiktok_undated_removals (
            account_id TEXT NOT NULL,
            external_id TEXT NOT NULL,
            removal_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
            removal_reason INTEGER,
            projector SMALLINT NOT NULL,
            CONSTRAINT pk_tiktok_undated_removals PRIMARY KEY (account_id, external_id)
        );
        COMMENT ON TABLE tiktok_undated_removals IS 'Removals of an authorization that name no time';
        COMMENT ON COLUMN tiktok_undated_removals.account_id IS 'open_id, which is per app';
        COMMENT ON COLUMN tiktok_undated_removals.external_id IS
            'of the event; when it was received stands in the log';
        COMMENT ON COLUMN tiktok_undated_removals.projector IS 'newest projection version that wrote here';
        GRANT SELECT, INSERT, UPDATE, DELETE ON tiktok_undated_removals TO landfall_app;
        """
    )


def downgrade() -> None:
    run(
        """
        DROP TABLE tiktok_undated_removals;
        ALTER TABLE ig_media DROP COLUMN details_carried, DROP COLUMN ad_carried, DROP COLUMN story_carried;
        ALTER TABLE tiktok_accounts DROP COLUMN removal_carried;
        ALTER TABLE tiktok_posts DROP COLUMN status_carried;
        ALTER TABLE ig_comments DROP COLUMN comment_carried, DROP COLUMN details_carried;
        ALTER TABLE tiktok_post_ids DROP COLUMN visibility_carried;
        """
    )
