"""CRM tables: what the log adds up to, one row per thing, keyed by the account that the events came to.

Each module of this package has the tables of one platform; ``shared`` has those of all platforms.

A row is made of *facets*: groups of columns that come from one kind of fact. Each facet has a ``<facet>_version``: the
highest version of the facts that it was offered (``sync.projection.contract.version``), which ends in the
``external_id`` of its event. '' means that there is no fact yet. Each column of a facet has the value of the highest
fact that knew the column, so a notification that lacks a detail takes nothing away. Where that is not the facet's own
version, ``<facet>_carried`` has it, by column: for a value that another fact gave, and for a NULL that a fact stated
(any other NULL is unknown). A facet of one column has no such list: a fact that does not know the column does not
count. So a row is the same whatever order its events came in, and it says itself which events made it.

A facet of metrics has one JSON object, ``metrics_json``: its keys are treated as columns are, so that each number is of
the newest fact that knew it. JSON null is a number that the platform has and does not show.

``created_at`` and ``updated_at`` are the log's times (when it received them) of the first event that named the row and
of the last event that was about it: minimum and maximum, so again independent of the order. An event that only names a
row, as a comment names its media, counts for ``created_at`` alone; ``updated_at`` is NULL while there was no other.
No column depends on how often an event was delivered or on when it was worked on.

``id`` is a number made of the row's key: the same after a rebuild, and what other rows refer to in the views of schema
``reporting``.

A table of one platform says so in ``info``; one of many platforms has a column ``provider`` in its key. A table that
``landfall up`` shows has a ``Preview`` there. A module gives the views of schema ``reporting`` that show its tables in
``VIEWS``, and its rows of the published views of all platforms in ``PARTS`` (``schema.views.Parts``); ``KNOWN_POST`` is
the condition under which one of them shows a post of ours.

``bucket`` and ``account_id`` are part of every key: one event's effects stay within one account, and so within one
bucket, by which the tables can be distributed. A comment on another account's
media therefore has its media row under the account that was told of it.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType

from sqlalchemy import Table

from schema.metadata import metadata
from schema.views import Part, Parts, Scope, View


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{module.name}")


def crm_tables() -> list[Table]:
    """Return every table that the log can rebuild, parents before children: those of the modules of this package."""
    values = [value for module in _modules() for value in vars(module).values()]
    found = {value for value in values if isinstance(value, Table) and "projection_version" in value.columns}
    return [table for table in metadata.sorted_tables if table in found]


def platform_views() -> Mapping[str, View]:
    """Return the views of schema ``reporting`` that the modules of this package give in ``VIEWS``, by name."""
    return {name: view for module in _modules() for name, view in getattr(module, "VIEWS", {}).items()}


def parts(view: str, scope: Scope) -> list[Part]:
    """Return what the modules of this package give for a published view."""
    given: list[Parts] = [module.PARTS[view] for module in _modules() if view in getattr(module, "PARTS", {})]
    return [part for each in given for part in each(scope)]


def known_posts() -> list[str]:
    """Return the conditions on a target ``p`` of ours that a row of its platform shows the same post."""
    return [module.KNOWN_POST for module in _modules() if hasattr(module, "KNOWN_POST")]
