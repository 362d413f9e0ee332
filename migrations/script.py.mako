"""${message}.

While this runs, the previous release is still writing. So: add, do not rename or remove; new columns are nullable or
have a constant default; indexes on tables with traffic are made CONCURRENTLY, alone in their migration; removal
comes one release later. Rows of tenants are hidden from the owner too: whoever changes some sets landfall.tenant to '*'
before, and back after. What each database role needs of something new is granted here, and declared in schema/rights.py.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "op.execute(\"\")"}


def downgrade() -> None:
    ${downgrades if downgrades else "op.execute(\"\")"}
