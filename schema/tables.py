"""Every table there is, in one MetaData: importing a module of tables is what registers them."""

from sqlalchemy import MetaData

import schema.access
import schema.log
import schema.processes
import schema.publishing  # noqa: F401  (tables register themselves)
from schema.crm import crm_tables
from schema.metadata import metadata


def all_tables() -> MetaData:
    """Return the metadata with the tables of every module, those of platforms included."""
    crm_tables()
    return metadata
