"""Runs a script of several statements, which the prepared statements of the driver do not take."""

from alembic import op
from sqlalchemy.util import await_only


def run(script: str) -> None:
    bind = op.get_bind()
    bind.exec_driver_sql("SELECT 1")  # SQLAlchemy opens its transaction with its own first statement
    await_only(bind.connection.driver_connection.execute(script))
