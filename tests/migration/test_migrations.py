"""The history of the database leads to what the code believes it to be, and back."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_mock_engine

from ops.cli.migrate import UnknownRevisionError, migrate
from ops.runtime.embedded import Postgres
from schema.revision import HEAD
from schema.tables import all_tables

VERSIONS = sorted((Path(__file__).parents[2] / "migrations" / "versions").glob("*.py"))

CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            a.attgenerated, l.collname, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'""",
    "constraints": """
        SELECT c.relname, conname, pg_get_constraintdef(o.oid) FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid
        WHERE connamespace = 'public'::regnamespace AND NOT c.relispartition AND c.relname <> 'alembic_version'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes JOIN pg_class c ON c.oid = tablename::regclass
        WHERE schemaname = 'public' AND NOT c.relispartition AND tablename <> 'alembic_version'""",
    "partitions": "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid) FROM pg_partitioned_table",
    "comments": "SELECT relname, obj_description(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relkind IN ('r', 'p') AND NOT relispartition AND obj_description(oid) IS NOT NULL",
}


async def catalogue(dsn: str) -> dict[str, set[tuple[Any, ...]]]:
    connection = await asyncpg.connect(dsn)
    found = {name: {tuple(row) for row in await connection.fetch(query)} for name, query in CATALOGUE.items()}
    await connection.close()
    return found


@pytest.fixture
def empty(postgres: Postgres, request: pytest.FixtureRequest) -> Any:
    names: list[str] = []

    def make() -> str:
        name = f"empty_{abs(hash(request.node.name))}_{len(names)}"
        postgres.sql(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} OWNER landfall")
        names.append(name)
        return postgres.dsn(name)

    yield make
    for name in names:
        postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


def statements() -> list[str]:
    """The metadata as SQL."""
    found: list[str] = []
    engine = create_mock_engine(
        "postgresql://", lambda ddl, *_, **__: found.append(str(ddl.compile(dialect=engine.dialect)))
    )
    all_tables().create_all(engine, checkfirst=False)
    return found


async def test_migrations_lead_to_the_metadata(empty: Any, database: str) -> None:
    declared = empty()
    connection = await asyncpg.connect(declared)
    for statement in statements():
        await connection.execute(statement)
    await connection.close()
    migrated, wanted = await catalogue(database), await catalogue(declared)
    for name in CATALOGUE:
        assert migrated[name] == wanted[name], name


def test_down_to_nothing_and_up_again(empty: Any, postgres: Postgres) -> None:
    dsn = empty()
    database = dsn.rpartition("/")[2]
    count = (
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')"
    )
    functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    views = "SELECT count(*) FROM pg_views WHERE schemaname = 'reporting'"
    migrate(dsn)
    full = postgres.sql(count, functions, views, database=database)
    migrate(dsn, "base")
    assert postgres.sql(count, functions, views, database=database) == "1\n0\n0", "only alembic's own table is left"
    migrate(dsn)
    assert postgres.sql(count, functions, views, database=database) == full


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_each_migration_can_be_taken_back_and_made_again(path: Path, database: str, postgres: Postgres) -> None:
    number = VERSIONS.index(path)
    version = "SELECT version_num FROM alembic_version"
    assert postgres.sql(version, database=database.rpartition("/")[2]) == HEAD
    migrate(database, VERSIONS[number - 1].name[:4] if number else "base")
    migrate(database)
    assert postgres.sql(version, database=database.rpartition("/")[2]) == HEAD


def test_roles_without_a_right_are_left_where_a_database_is_taken_down(empty: Any, postgres: Postgres) -> None:
    """Other databases of the cluster may use them."""
    dsn = empty()
    migrate(dsn)
    migrate(dsn, "base")
    left = "SELECT count(*) FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid"
    left += " WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    left += " AND r.rolname LIKE 'landfall\\_%'"
    assert postgres.sql(left, database=dsn.rpartition("/")[2]) == "0"
    roles = "SELECT count(*) FROM pg_roles WHERE rolname IN"
    roles += " ('landfall_web', 'landfall_worker', 'landfall_reader', 'landfall_tenant_reader', 'landfall_app')"
    assert postgres.sql(roles) == "5"


def test_database_of_an_earlier_build_is_told_to_be_made_anew(empty: Any, postgres: Postgres) -> None:
    dsn = empty()
    migrate(dsn)
    postgres.sql("UPDATE alembic_version SET version_num = '9999'", database=dsn.rpartition("/")[2])
    with pytest.raises(UnknownRevisionError, match="at revision 9999, which this release does not know"):
        migrate(dsn)


def test_three_migrators_at_once_take_turns(empty: Any, postgres: Postgres) -> None:
    """Row I-2 of ``faults.md``."""
    dsn = empty()
    command = [sys.executable, "-m", "ops.cli.main", "migrate"]
    migrators = [subprocess.Popen(command, env=os.environ | {"DATABASE_URL": dsn}) for _ in range(3)]
    assert [migrator.wait(60) for migrator in migrators] == [0, 0, 0]
    assert postgres.sql("SELECT version_num FROM alembic_version", database=dsn.rpartition("/")[2]) == HEAD


def test_owner_who_would_see_no_row_of_any_tenant_is_told_so_instead(postgres: Postgres, template: str) -> None:
    """What an owner may see by the policies comes by inheriting it."""
    postgres.sql(
        "DROP ROLE IF EXISTS heir",
        "CREATE ROLE heir LOGIN CREATEROLE NOINHERIT PASSWORD 'heir'",
        "GRANT landfall_app TO heir WITH ADMIN OPTION",
        "CREATE DATABASE heirs OWNER heir",
    )
    postgres.sql("GRANT CREATE ON SCHEMA public TO heir", database="heirs")
    dsn = f"postgresql://heir:heir@127.0.0.1:{postgres.port}/heirs"
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="ALTER ROLE heir INHERIT"):
            migrate(dsn)
        postgres.sql("ALTER ROLE heir INHERIT")
        migrate(dsn)
        seen = "SET landfall.tenant = '*'; INSERT INTO audit_log (tenant_id, actor, action, subject, detail)"
        seen += " SELECT id, 'a', 'a.b', 's', '{}' FROM tenants; SELECT count(*) FROM audit_log"
        assert postgres.sql("SET ROLE heir", seen, database="heirs") == "1"
    finally:
        postgres.sql("DROP DATABASE heirs WITH (FORCE)", "DROP ROLE heir")


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
def test_file_is_named_after_its_revision(path: Path) -> None:
    assert re.fullmatch(r"\d{4}_[a-z0-9_]+\.py", path.name)
    assert f'revision = "{path.name[:4]}"' in path.read_text()
