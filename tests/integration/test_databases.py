"""A database that one test has used is given to the next one as if nobody had: ``tests/databases.py``."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ops.access import api_keys, users
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests import databases as lending
from tests.databases import Databases
from tests.rig import TESTS

DELIVERIES = """
INSERT INTO webhook_deliveries (id, provider, body, headers, verdict, secret_used)
SELECT gen_random_uuid(), 'tiktok', 'private', '', 'accepted', 'S#1' FROM generate_series(1, 9)"""
LEFT = f"""
SELECT set_config('landfall.tenant', '*', false);
{DELIVERIES};
INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
    authorized_at)
VALUES ('{DEFAULT_TENANT}', '{DEFAULT_TENANT}', 'x', '1', '{{}}', '', '{{}}', '{{}}', 'active', now());
INSERT INTO posts (tenant_id, id, content, author) VALUES ('{DEFAULT_TENANT}', '{DEFAULT_TENANT}', 'hello', 'test');
UPDATE tenants SET name = 'renamed';
DELETE FROM webhook_buckets WHERE bucket < 7;
UPDATE alembic_version SET version_num = 'other';
SELECT nextval('webhook_event_numbers') FROM generate_series(1, 1000);
ANALYZE"""

CHANGES = [
    "ALTER TABLE post_targets DISABLE TRIGGER USER",
    "ALTER TABLE post_targets ALTER content SET DEFAULT 'x'",
    "ALTER TABLE connections DROP CONSTRAINT ck_connections_times",
    "ALTER TABLE connections NO FORCE ROW LEVEL SECURITY",
    "ALTER POLICY tenant ON connections USING (true)",
    "ALTER SEQUENCE webhook_event_numbers INCREMENT 2",
    "TRUNCATE ig_media CASCADE",
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE INDEX mine ON ig_media (permalink)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "COMMENT ON TABLE posts IS 'mine'",
    "GRANT SELECT ON users TO landfall_reader",
    "DROP TABLE lookups",
    "DROP VIEW reporting.ig_media CASCADE",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 65', current_database()); END $$",
    "DO $$ BEGIN EXECUTE format('GRANT ALL ON DATABASE %I TO landfall_reader', current_database()); END $$",
]
"""What is not mended: the database is dropped."""


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Databases]:
    """Databases of this test alone, on the run's server."""
    found = Databases()
    yield found
    found.close()
    postgres.sql(
        *(f"DROP DATABASE {clone.name} WITH (FORCE)" for waiting in found._clean.values() for clone in waiting)
    )


@asynccontextmanager
async def opened(postgres: Postgres, name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.dsn(name))
    try:
        yield connection
    finally:
        connection.terminate()


async def whole(postgres: Postgres, name: str) -> dict[str, str]:
    """All rows of all tables, and where all sequences stand."""
    connection = await asyncpg.connect(postgres.dsn(name, "postgres"))
    found = {}
    for table, kind in await connection.fetch(
        "SELECT oid::regclass::text, relkind FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace NOT IN"
        " ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    ):
        columns = "last_value, is_called" if kind == b"S" else "*"
        rows = await connection.fetch(f"SELECT t::text FROM (SELECT {columns} FROM {table}) t ORDER BY 1")
        found[table] = str([row[0] for row in rows])
    await connection.close()
    return found


def test_used_database_is_given_on_without_a_trace(own: Databases, postgres: Postgres, template: str) -> None:
    async def use(name: str) -> None:
        async with opened(postgres, name) as connection:
            await connection.execute(LEFT)
            async with await open_pool(postgres.dsn(name), "test", 1, role=APP_ROLE) as pool:
                await users.add(pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "owner", TESTS)
                await api_keys.create(pool, DEFAULT_TENANT, "tests", api_keys.SCOPES, TESTS)

    with own.fresh(postgres, template) as untouched:
        wanted = asyncio.run(whole(postgres, untouched))
    for _ in range(3):
        with own.shared(postgres, template) as name:
            assert asyncio.run(whole(postgres, name)) == wanted
            asyncio.run(use(name))
            assert asyncio.run(whole(postgres, name)).keys() == wanted.keys()
            changed = {table for table, rows in asyncio.run(whole(postgres, name)).items() if rows != wanted[table]}
            assert changed > {"webhook_buckets", "tenants", "alembic_version", "webhook_event_numbers", "audit_log"}
    with own.shared(postgres, template) as last:
        assert last == name, "it was the same one"


def test_session_that_a_test_left_open_ends_with_it(own: Databases, postgres: Postgres, template: str) -> None:
    """Else what it has begun could be committed in the next test."""
    with asyncio.Runner() as runner:
        with own.shared(postgres, template) as first:
            left = runner.run(asyncpg.connect(postgres.dsn(first)))
            runner.run(left.execute(f"BEGIN; {DELIVERIES}; SELECT pg_advisory_lock(1)"))
        with own.shared(postgres, template) as second, pytest.raises((OSError, asyncpg.PostgresError)):
            runner.run(left.execute("COMMIT"))
        left.terminate()
        assert second == first


@pytest.mark.parametrize("change", CHANGES)
def test_changed_database_is_given_to_nobody(own: Databases, postgres: Postgres, template: str, change: str) -> None:
    async def use(name: str) -> None:
        async with opened(postgres, name) as connection:
            await connection.execute(change)

    with own.shared(postgres, template) as first:
        asyncio.run(use(first))
    with own.shared(postgres, template) as second:
        assert second != first
    assert postgres.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{first}'") == "0"


def test_change_that_was_taken_back_or_rolled_back_is_none(own: Databases, postgres: Postgres, template: str) -> None:
    async def use(name: str) -> None:
        async with opened(postgres, name) as connection:
            await connection.execute("BEGIN; CREATE TABLE mine (id int); DROP TABLE users CASCADE; ROLLBACK")
            await connection.execute("CREATE TABLE mine (id int); DROP TABLE mine")

    with own.shared(postgres, template) as first:
        asyncio.run(use(first))
    with own.shared(postgres, template) as second:
        assert second == first


def test_database_that_is_gone_or_was_used_often_is_replaced(
    own: Databases, postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own.shared(postgres, template) as first:
        postgres.sql(f"DROP DATABASE {first} WITH (FORCE)")
    monkeypatch.setattr(lending, "USES", 2)
    names = []
    for _ in range(4):
        with own.shared(postgres, template) as name:
            names.append(name)
    assert first not in names
    assert names[0] == names[1] != names[2] == names[3]


_seen: list[str] = []


@pytest.mark.parametrize("time", [1, 2])
async def test_fixture_gives_the_same_database_without_the_rows_of_the_test_before(
    connection: asyncpg.Connection, time: int
) -> None:
    _seen.append(await connection.fetchval("SELECT current_database()"))
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
    await connection.execute(DELIVERIES)
    assert len(set(_seen)) == 1 or time == 1
