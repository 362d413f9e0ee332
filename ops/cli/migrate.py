"""`landfall migrate`: bring the schema to this release."""

from importlib.resources import files

import click
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from ops.cli import wiring
from ops.cli.terminal import echo
from schema.revision import HEAD


@click.command()
@click.option("--down", "down_to", metavar="REVISION", help="Go back to a revision, or to `base`: this drops data.")
def migrate_command(down_to: str | None) -> None:
    """Bring the database schema to this release."""
    migrate(wiring.load().settings.database_url.get_secret_value(), down_to or "head")
    echo(f"schema is at {down_to or HEAD}")


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
