"""`landfall migrate`: bring the schema to this release."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config


def migrate(dsn: str, revision: str = "head") -> None:
    """Run from a thread without an event loop. Any number may be started at once; they take turns."""
    config = alembic_config()
    config.attributes["dsn"] = dsn
    try:
        if revision == "head":
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except DBAPIError as error:
        # The driver's own word, which the command line knows how to explain, instead of a wrapper of a wrapper.
        raise (getattr(error.orig, "__cause__", None) or error) from None
