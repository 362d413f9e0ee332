"""`landfall migrate`: bring the schema to this release."""

from alembic import command
from sqlalchemy.exc import DBAPIError

from ops.cli import wiring


def migrate(dsn: str, revision: str = "head") -> None:
    """Run from a thread without an event loop. Any number may be started at once; they take turns."""
    config = wiring.alembic_config()
    config.attributes["dsn"] = dsn
    try:
        if revision == "head":
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except DBAPIError as error:
        # The driver's own word, which the command line knows how to explain, instead of a wrapper of a wrapper.
        raise (getattr(error.orig, "__cause__", None) or error) from None
