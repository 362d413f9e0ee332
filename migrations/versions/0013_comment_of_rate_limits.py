"""The comment of ``platform_budgets.held_until`` in plain words."""

from migrations.script import run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("COMMENT ON COLUMN platform_budgets.held_until IS 'nobody asks before that; NULL: nothing says to wait'")


def downgrade() -> None:
    run("COMMENT ON COLUMN platform_budgets.held_until IS 'nobody asks before that; NULL for no such wish'")
