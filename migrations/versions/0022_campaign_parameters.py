"""Keep whether campaign parameters are added to the links of a post, and what its targets show then."""

from migrations.script import run

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE posts ADD COLUMN utm BOOLEAN DEFAULT false NOT NULL;
        ALTER TABLE post_targets ADD COLUMN untagged TEXT, ADD COLUMN link_url TEXT;
        COMMENT ON COLUMN posts.utm IS 'whether campaign parameters are added to its links';
        COMMENT ON COLUMN post_targets.untagged IS 'content before campaign parameters were added to its links; NULL if none were';
        COMMENT ON COLUMN post_targets.link_url IS 'of the shared page, with campaign parameters; NULL for that of the post';
        GRANT INSERT (utm), UPDATE (utm) ON posts TO landfall_web, landfall_worker;
        GRANT INSERT (untagged, link_url), UPDATE (untagged, link_url) ON post_targets TO landfall_web, landfall_worker;
        """
    )


def downgrade() -> None:
    run(
        """
        ALTER TABLE post_targets DROP COLUMN untagged, DROP COLUMN link_url;
        ALTER TABLE posts DROP COLUMN utm;
        """
    )
