"""`landfall migrate`: bring the schema to this release."""

from alembic import command

from ops.cli import wiring


def migrate(dsn: str, revision: str = "head") -> None:
    """Run from a thread without an event loop. Any number may be started at once; they take turns."""
    config = wiring.alembic_config()
    config.attributes["dsn"] = dsn
    if revision == "head":
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)
