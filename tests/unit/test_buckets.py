"""Statements of the hot paths name the buckets that they are about, so that bucket and shard can be one."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest.store
import sync.projection.store
from schema.crm import crm_tables
from schema.tables import all_tables
from sync.projection.store import _statement, facets_of

LOG = {"webhook_event_identities", "webhook_event_log", "webhook_event_queue", "webhook_event_outcomes"}
"""Tables of account data beside those of ``schema.crm``."""

LEASES = "webhook_buckets"
"""It stays on one server, wherever the others are."""

MENTION = re.compile(r"\b(INTO|FROM|JOIN|UPDATE|USING) (\w+)(?: AS)?(?: ([a-z]\w*))?")


def statements() -> Iterator[tuple[str, str]]:
    """The SQL constants of appending, claiming and settling, and the upserts of the CRM tables."""
    for module in (ingest.store, sync.projection.store):
        for name, value in vars(module).items():
            if isinstance(value, str) and name.isupper() and re.search(r"\b(SELECT|INSERT|UPDATE|DELETE)\b", value):
                yield f"{module.__name__}.{name}", value
    for table in crm_tables():
        yield f"upsert of {table.name}", _statement(table, frozenset(facets_of(table)))[0]


STATEMENTS = dict(statements())


def unnamed(statement: str, tables: set[str]) -> Iterator[str]:
    """Mentions of these tables without a bucket."""
    for mention in MENTION.finditer(statement):
        verb, table, alias = mention.groups()
        if table not in tables:
            continue
        if verb == "INTO":
            columns = re.match(r"[^(]*\(([^)]*)\)", statement[mention.end(2) :])
            if columns is None or not re.search(r"\bbucket\b", columns[1]):
                yield mention[0]
            continue
        prefix = rf"\b{alias}\." if alias else r"(?<![\w.])"
        rest = statement[mention.end() :]
        if not re.search(prefix + r"bucket\s*=\s*(\$\d|ANY\(\$\d|\w+\.bucket\b)", rest):
            yield mention[0]


def test_constants_are_found() -> None:
    wanted = {"ingest.store._NAME", "ingest.store._APPEND"}
    wanted |= {f"sync.projection.store.{name}" for name in ("_DUE", "_LEASE", "_CLAIM", "_SETTLE", "_PARK", "_RENEW")}
    wanted |= {f"sync.projection.store.{name}" for name in ("_DUE_IN_SHARDS", "_CLAIM_IN_SHARD")}
    assert wanted <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_names_the_bucket_of_every_table_of_account_data(name: str) -> None:
    assert list(unnamed(STATEMENTS[name], LOG | {table.name for table in crm_tables()})) == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_can_be_sent_to_the_server_of_a_bucket(name: str) -> None:
    statement = STATEMENTS[name]
    assert "RECURSIVE" not in statement
    assert LEASES not in statement or not [table for table in LOG if table in statement], "they are not joined"


def test_each_table_of_account_data_is_distributed_after_those_it_refers_to() -> None:
    """By ``citus.sql``: all but the leases, whose rows are locked, and in one group of shards."""
    script = (Path(__file__).parents[2] / "ops" / "deploy" / "citus.sql").read_text()
    calls = re.findall(r"create_distributed_table\('(\w+)', 'bucket', colocate_with => '(\w+)'", script)
    order = [name for name, _ in calls]
    tables = {table.name: table for table in all_tables().tables.values() if "bucket" in table.columns}
    assert sorted(order) == sorted(tables.keys() - {LEASES})
    assert {beside for _, beside in calls[1:]} == {order[0]}
    for name in order:
        parents = {key.column.table.name for key in tables[name].foreign_keys} - {name}
        assert parents <= {*order[: order.index(name)]}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM webhook_event_log e WHERE e.account_id = $1",
        "SELECT 1 FROM due JOIN webhook_event_log e ON e.account_id = due.account_id WHERE due.bucket = $1",
        "INSERT INTO webhook_event_queue (account_id, event_id) VALUES ($1, $2)",
        "DELETE FROM webhook_event_queue WHERE account_id = $1",
        "UPDATE webhook_event_outcomes o SET state = $1 FROM c WHERE o.account_id = c.account_id",
    ],
)
def test_statement_without_a_bucket_is_found(statement: str) -> None:
    assert list(unnamed(statement, LOG))
