"""What the catalogue holds of tables, indexes and constraints, and the statements that mend what is broken there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

Named = tuple[str, str]
"""The name of a table, and of an index or a constraint of it."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``indexes`` maps to whether each is valid and in use, ``constraints`` to whether each was validated."""

    tables: frozenset[str]
    indexes: Mapping[Named, bool]
    constraints: Mapping[Named, bool]


async def read(connection: asyncpg.Connection, tables: Sequence[str]) -> Catalogue:
    """Return what the catalogue holds of these tables of schema public, and of their partitions."""
    names = list(tables)
    present = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = any($1)", names
    )
    indexes = await connection.fetch(
        """
        SELECT t.relname, i.relname, x.indisvalid AND x.indisready AND x.indislive
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace AND (t.relname = any($1) OR t.oid IN (
            SELECT r.inhrelid FROM pg_inherits r JOIN pg_class p ON p.oid = r.inhparent WHERE p.relname = any($1)))""",
        names,
    )
    constraints = await connection.fetch(
        """
        SELECT t.relname, c.conname, c.convalidated FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        WHERE t.relnamespace = 'public'::regnamespace AND t.relname = any($1)""",
        names,
    )
    return Catalogue(
        frozenset(row[0] for row in present),
        {(row[0], row[1]): row[2] for row in indexes},
        {(row[0], row[1]): row[2] for row in constraints},
    )


def rebuild_index(name: str) -> str:
    return f"REINDEX INDEX CONCURRENTLY {name}"


def validate_constraint(table: str, name: str) -> str:
    return f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
