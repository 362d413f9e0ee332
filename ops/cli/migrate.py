"""`landfall migrate`: bring the schema to this release."""

from importlib.resources import files

import click
from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util.exc import CommandError
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


class UnknownRevisionError(click.ClickException):
    """The database is at a revision of another release, or of a build before the first one."""


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config


def migrate(dsn: str, revision: str = "head") -> None:
    """Run from a thread without an event loop. Any number may be started at once; they take turns.

    Raises UnknownRevisionError.
    """
    config = alembic_config()
    config.attributes["dsn"] = dsn
    try:
        if revision == "head":
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise UnknownRevisionError(
            f"the database is at revision {error.__cause__.argument}, which this release does not know. If a newer"
            " release made it, use that one. If it is of a build before the first release, make a new database (where"
            " `make up` made it, `make clean` takes it away)."
        ) from None
    except DBAPIError as error:
        # The driver's own word, which the command line knows how to explain, instead of a wrapper of a wrapper.
        raise (getattr(error.orig, "__cause__", None) or error) from None
