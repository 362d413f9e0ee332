"""Columns that CRM tables are made of."""

from collections.abc import Iterator

from sqlalchemy import BigInteger, Column, Computed, DateTime, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB

Timestamp = DateTime(timezone=True)

METRICS = "metrics_json"
"""The column of a facet of metrics."""


def account_id(comment: str = "the platform's id of the account whose events made it") -> Column[str]:
    return Column("account_id", Text, nullable=False, comment=comment)


def bucket() -> Column[int]:
    """Return the column that divides rows among buckets: with the account, the first of every key.

    It is written with the row and not computed by the database, since tables can only be distributed by a plain column.
    """
    return Column("bucket", SmallInteger, nullable=False, comment="hash of the account; see schema.events.bucket_of")


def hash_of(*key: str) -> str:
    """Return SQL for a number from 0 to 2^63 - 1 made of text columns; NULL if one of them is NULL."""
    seed = "0"
    for column in key:
        seed = f"hashtextextended({column}, {seed})"
    return f"{seed} & 9223372036854775807"


def row_id(*key: str, name: str = "id", comment: str = "made of the row's key; for joins") -> Column[int]:
    """Return a column that PostgreSQL computes from a key: of this row, or of the row that this one refers to."""
    return Column(
        name, BigInteger, Computed(hash_of(*key), persisted=True), comment=comment, info={"of_key": name == "id"}
    )


def log_times() -> Iterator[Column[object]]:
    yield Column("created_at", Timestamp, nullable=False, comment="when the log received the first event that named it")
    yield Column("updated_at", Timestamp, comment="when the log received the last event about it; NULL if only named")


def projection_version() -> Column[int]:
    return Column(
        "projection_version", SmallInteger, nullable=False, comment="newest version of the projection that wrote here"
    )


def facet(name: str, *columns: Column[object]) -> Iterator[Column[object]]:
    """Yield the columns of a facet: its version, what is of another version, and ``columns``."""
    yield _version(name)
    if len(columns) > 1:
        yield _carried(name)
    for column in columns:
        column.info["facet"] = name
        yield column


def metrics(comment: str) -> Iterator[Column[object]]:
    """Yield the columns of the facet ``metrics``: numbers by their names, each of the newest fact that knew it."""
    yield _version("metrics")
    yield _carried("metrics")
    yield Column(METRICS, JSONB, comment=comment, info={"facet": "metrics", "keys": True})


def _version(name: str) -> Column[object]:
    return Column(
        f"{name}_version",
        Text(collation="C"),
        nullable=False,
        server_default=text("''"),
        comment=f"of the newest event that speaks of {name}; '' for none",
        info={"guards": name},
    )


def _carried(name: str) -> Column[object]:
    return Column(
        f"{name}_carried",
        JSONB,
        comment=f"versions of what is not of {name}_version, or NULL by what an event said",
        info={"carries": name},
    )
