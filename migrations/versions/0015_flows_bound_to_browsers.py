"""Flows that belong to the browser in which somebody pressed the button, and to no one before.

What the previous release begins has no ticket here, and ends with it: this one neither opens it nor takes its answer.
"""

from migrations.script import run

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        ALTER TABLE oauth_states ADD COLUMN ticket_sha256 BYTEA;
        ALTER TABLE oauth_states ADD COLUMN opened_at TIMESTAMP WITH TIME ZONE;
        ALTER TABLE oauth_states ALTER COLUMN session_sha256 DROP NOT NULL;
        COMMENT ON COLUMN oauth_states.ticket_sha256 IS 'of the link that is opened in a browser; NULL where the previous release began it';
        COMMENT ON COLUMN oauth_states.opened_at IS 'when a browser took it: the link opens it in no other from then on';
        COMMENT ON COLUMN oauth_states.session_sha256 IS 'of the secret of the browser that took it; NULL until one does';
        """
    )


def downgrade() -> None:
    run(
        """
        DELETE FROM oauth_states WHERE session_sha256 IS NULL;
        ALTER TABLE oauth_states ALTER COLUMN session_sha256 SET NOT NULL;
        ALTER TABLE oauth_states DROP COLUMN opened_at, DROP COLUMN ticket_sha256;
        COMMENT ON COLUMN oauth_states.session_sha256 IS 'of the browser or the key that began it';
        """
    )
