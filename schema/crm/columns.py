"""Columns that CRM tables are made of."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, DateTime, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB

Timestamp = DateTime(timezone=True)


def account_id() -> Column[Any]:
    return Column("account_id", Text, nullable=False, comment="the platform's id of the account whose events made it")


def projector() -> Column[Any]:
    return Column("projector", SmallInteger, nullable=False, comment="newest projection version that wrote here")


def facet(name: str, *columns: Column[Any]) -> Iterator[Column[Any]]:
    yield Column(
        f"{name}_version",
        Text(collation="C"),
        nullable=False,
        server_default=text("''"),
        comment=f"of the newest event that speaks of {name}; '' for none",
        info={"guards": name},
    )
    for column in columns:
        column.info["facet"] = name
        yield column


def carried(*facets: str) -> Iterator[Column[Any]]:
    """For each facet of several columns; last in their tables, where the migration that added them put them."""
    for name in facets:
        yield Column(
            f"{name}_carried",
            JSONB,
            comment=f"versions of columns that are not of {name}_version, or NULL by what an event said",
            info={"carries": name},
        )
