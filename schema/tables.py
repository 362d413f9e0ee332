"""Every table there is, in one MetaData: importing a module of tables is what registers them."""

from collections.abc import Iterator

from sqlalchemy import MetaData

import schema.access
import schema.log
import schema.media
import schema.posting
import schema.processes
import schema.publishing
import schema.pulling
import schema.recurring  # noqa: F401  (tables register themselves)
from schema.crm import crm_tables
from schema.metadata import metadata


def all_tables() -> MetaData:
    """Return the metadata with the tables of every module, those of platforms included."""
    crm_tables()
    return metadata


def key_numbers() -> Iterator[tuple[str, str]]:
    """Yield table and column of each number that is made of a row's key, and that no two rows are to share."""
    for table in all_tables().sorted_tables:
        for column in table.columns:
            if column.info.get("of_key"):
                yield table.name, column.name
