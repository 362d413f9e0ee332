"""The change feed: which columns of which CRM tables are published by logical replication, under one name.

What the projection keeps for itself (versions of facets) and the list of look-ups are not in it, nor are columns that
PostgreSQL computes: before version 18 it does not publish them, and a subscriber computes the same from the same
columns. CRM tables hold no secret, and a column that is added later is published once somebody enables it. A migration
that drops a published column takes it out of the publication first, where there is one: PostgreSQL refuses it else.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateColumn

from schema.crm import crm_tables

PUBLICATION = "landfall_crm"

LOGIN = "landfall_feed"
"""Of the database, for whoever subscribes, unless they choose another name."""

_OWN = ("guards", "carries")
"""What columns of the projection say of themselves in ``info``."""


def _published(column: Column[object]) -> bool:
    return column.computed is None and column.name != "projection_version" and not any(w in column.info for w in _OWN)


@cache
def published_columns() -> Mapping[str, tuple[str, ...]]:
    """Return the columns that are published, by table; those of its key are among them."""
    found = {table.name: tuple(column.name for column in table.columns if _published(column)) for table in crm_tables()}
    return MappingProxyType(found)


def subscriber_script() -> str:
    """Return SQL that makes, in the database of a subscriber, what the feed writes to, or adds what is lacking there.

    Columns that PostgreSQL computes are made there too; they need only columns of the feed.
    """
    return "\n".join(statement for table in crm_tables() for statement in _statements(table))


def _statements(table: Table) -> list[str]:
    names = published_columns()[table.name]
    key = ", ".join(column.name for column in table.primary_key.columns)
    computed = [column for column in table.columns if column.computed is not None and _computable(column, names)]
    shown = [column for column in table.columns if column.name in names]
    definitions = {column.name: _definition(column) for column in (*shown, *computed)}
    made = ",\n".join(f"    {text}" for text in (*definitions.values(), f"PRIMARY KEY ({key})"))
    added = [
        f"ALTER TABLE public.{table.name} ADD COLUMN IF NOT EXISTS {definitions[column.name]};"
        for column in (*shown, *computed)
        if not column.primary_key
    ]
    return [f"CREATE TABLE IF NOT EXISTS public.{table.name} (\n{made}\n);", *added]


def _computable(column: Column[object], names: tuple[str, ...]) -> bool:
    """Whether a subscriber has all columns that a computed one is made of."""
    expression = "" if column.computed is None else str(column.computed.sqltext)
    others = [other.name for other in column.table.columns if other.computed is None and other.name not in names]
    return not any(re.search(rf"\b{other}\b", expression) for other in others)


def _definition(column: Column[object]) -> str:
    text = str(CreateColumn(column).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    return text if column.primary_key else text.replace(" NOT NULL", "")
