"""CRM tables: what the log adds up to, one row per thing, keyed by the account the events came to.

A row is made of *facets*: groups of columns that come from one kind of fact. Each facet has a ``<facet>_version``: the
highest of the facts it was offered (``sync.projection.contract``), which ends in the ``external_id`` of its event; ''
means no fact yet. Each column of it has the value of the highest fact that knew it, so a notification that lacks a
detail takes nothing away. Where that is not the facet's own version, it stands in ``<facet>_carried``, by column: for a
value that another fact gave, and for a NULL that a fact stated (other NULLs are unknown). A facet of one column has no
such list: a fact that does not know the column does not count. So a row is the same whatever order its events came in,
and says itself which events made it. No column holds anything that depends on how often an event was
delivered or when it was worked on. ``received_at`` is the log's own time, of the first event about the row; the version
of its facet is the higher the earlier that was (``sync.projection.contract.first_receipt``).

A table of one platform's things says so in ``info``; one of many platforms' has a column ``provider`` in its key.

``account_id`` is part of every key: one event's effects stay within one account. A comment on another account's
media therefore has its media row under the account that was told of it.
"""

import importlib
import pkgutil

from sqlalchemy import Table

from schema.metadata import metadata


def crm_tables() -> list[Table]:
    """Return every table that the log can rebuild, parents before children: those of the modules of this package."""
    found = set()
    for module in pkgutil.iter_modules(__path__):
        names = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        found |= {value for value in names if isinstance(value, Table) and "projector" in value.columns}
    return [table for table in metadata.sorted_tables if table in found]
