"""Compare the tables of the database with those of this release: every key and index must be there and in force.

Migrations make them. A restore that went wrong, a CREATE INDEX CONCURRENTLY that was interrupted, or somebody's change
can undo that unnoticed: what should be unique is then stored twice, and what was fast is slow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Dialect, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex

from ops.cli.store import catalogue
from ops.cli.store.catalogue import Catalogue

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # ships no type for it


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something of a table that is missing, or there and not in force; ``remedy`` is a command or a statement."""

    message: str
    remedy: str


async def examine(connection: asyncpg.Connection, metadata: MetaData) -> list[Flaw]:
    """Return every flaw of the tables of ``metadata``, which must be at this release's revision."""
    return flaws(await catalogue.read(connection, list(metadata.tables)), metadata)


def flaws(found: Catalogue, metadata: MetaData) -> list[Flaw]:
    """Compare what the catalogue holds with what ``metadata`` declares."""
    flawed: list[Flaw] = []
    for table in metadata.sorted_tables:
        if table.name not in found.tables:
            flawed.append(
                Flaw(f"table {table.name} is missing", "restore the newest backup; no migration makes it again")
            )
            continue
        flawed += _missing(table, found.indexes, found.constraints)
    for (table_name, name), whole in found.indexes.items():
        if not whole:
            message = f"index {name} of {table_name} is invalid: it is not used, or is not complete"
            flawed.append(Flaw(message, catalogue.rebuild_index(name)))
    for (table_name, name), validated in found.constraints.items():
        if not validated:
            message = f"constraint {name} of {table_name} was never checked against the rows that were there"
            flawed.append(Flaw(message, catalogue.validate_constraint(table_name, name)))
    return flawed


def _missing(
    table: Table, indexes: Mapping[tuple[str, str], bool], constraints: Mapping[tuple[str, str], bool]
) -> Iterator[Flaw]:
    names = _DIALECT.identifier_preparer
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        name = _plain(names.format_index(index))
        if (table.name, name) not in indexes:
            statement = " ".join(str(CreateIndex(index).compile(dialect=_DIALECT)).split())
            yield Flaw(f"index {name} of {table.name} is missing", statement)
    for constraint in sorted(table.constraints, key=lambda constraint: str(constraint.name)):
        formatted = names.format_constraint(constraint)
        if formatted is None:
            continue  # without a name it has no columns: the primary key of a table that has none
        name = _plain(formatted)
        if (table.name, name) not in constraints:
            statement = " ".join(str(AddConstraint(constraint).compile(dialect=_DIALECT)).split())
            yield Flaw(f"constraint {name} of {table.name} is missing", statement)


def _plain(name: str) -> str:
    """Return a name as the catalogue has it, without the quotes that a statement may need."""
    return name.strip('"')
