"""Are the tables of the database those of this release, with every key and index whole?

Migrations make them; a restore that went wrong, a CREATE INDEX CONCURRENTLY that was interrupted, or a hand, can undo
that without anybody noticing: what should be unique is then stored twice, and what was fast is slow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Dialect, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # ships no type for it

_INDEXES = """
SELECT t.relname, i.relname, x.indisvalid AND x.indisready AND x.indislive
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relname = any($1)"""

_CONSTRAINTS = """
SELECT t.relname, c.conname, c.convalidated FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relname = any($1)"""

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = any($1)"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something of a table that is missing, or there and not in force; ``remedy`` is a command or a statement."""

    message: str
    remedy: str


async def examine(connection: asyncpg.Connection, metadata: MetaData) -> list[Flaw]:
    """Every flaw of the tables of ``metadata``, which must be at this release's revision. Reads the catalogue only."""
    names = list(metadata.tables)
    tables = {row[0] for row in await connection.fetch(_TABLES, names)}
    indexes = {(row[0], row[1]): row[2] for row in await connection.fetch(_INDEXES, names)}
    constraints = {(row[0], row[1]): row[2] for row in await connection.fetch(_CONSTRAINTS, names)}
    found: list[Flaw] = []
    for table in metadata.sorted_tables:
        if table.name not in tables:
            found.append(
                Flaw(f"table {table.name} is missing", "restore the newest backup; no migration makes it again")
            )
            continue
        found += _missing(table, indexes, constraints)
    for (table_name, name), whole in indexes.items():
        if not whole:
            message = f"index {name} of {table_name} is invalid: it is not used, or is not complete"
            found.append(Flaw(message, f"REINDEX INDEX CONCURRENTLY {name}"))
    for (table_name, name), validated in constraints.items():
        if not validated:
            message = f"constraint {name} of {table_name} was never checked against the rows that were there"
            found.append(Flaw(message, f"ALTER TABLE {table_name} VALIDATE CONSTRAINT {name}"))
    return found


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
    """A name as the catalogue has it, without the quotes that a statement may need."""
    return name.strip('"')
