"""A body that was received before is not stored again.

The previous release stores every body, and none of its statements reads a body that may be NULL now, but for its
`landfall erase`: that leaves copies as they are, and the next `landfall erase --requested` of this release takes them.
"""

from alembic import op

from migrations.script import run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Each part may be stopped halfway and is then run again. Traffic goes on meanwhile.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_webhook_deliveries_body")
        op.execute(
            """
            CREATE INDEX CONCURRENTLY ix_webhook_deliveries_body ON webhook_deliveries (provider, body_sha256)
                WHERE body <> ''"""
        )
    run(
        """
        ALTER TABLE webhook_deliveries
            ALTER COLUMN body DROP NOT NULL,
            ADD COLUMN IF NOT EXISTS body_of UUID,
            DROP CONSTRAINT IF EXISTS ck_webhook_deliveries_body,
            ADD CONSTRAINT ck_webhook_deliveries_body CHECK ((body IS NULL) = (body_of IS NOT NULL)) NOT VALID;
        COMMENT ON COLUMN webhook_deliveries.body IS
            'the bytes the signature was made over; NULL where body_of has the same';
        COMMENT ON COLUMN webhook_deliveries.body_of IS 'the delivery that holds the same body, which is stored once';
        """
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE webhook_deliveries VALIDATE CONSTRAINT ck_webhook_deliveries_body")


def downgrade() -> None:
    run(
        """
        UPDATE webhook_deliveries d SET body = o.body, body_of = NULL
            FROM webhook_deliveries o WHERE o.id = d.body_of;
        UPDATE webhook_deliveries SET body = '', body_of = NULL WHERE body IS NULL;
        ALTER TABLE webhook_deliveries
            DROP CONSTRAINT ck_webhook_deliveries_body,
            ALTER COLUMN body SET NOT NULL,
            DROP COLUMN body_of;
        DROP INDEX ix_webhook_deliveries_body;
        COMMENT ON COLUMN webhook_deliveries.body IS 'the bytes the signature was made over';
        """
    )
