"""The history of the database leads to what the code believes it to be, and back."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_mock_engine

from ops.cli.migrate import migrate
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
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relname <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
            AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'""",
    "comments": "SELECT relname, obj_description(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relkind = 'r' AND obj_description(oid) IS NOT NULL",
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
    count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')"
    functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    migrate(dsn)
    full = postgres.sql(count, functions, database=database)
    migrate(dsn, "base")
    assert postgres.sql(count, functions, database=database) == "1\n0", "only alembic's own table is left"
    migrate(dsn)
    assert postgres.sql(count, functions, database=database) == full


async def test_wishes_to_be_erased_keep_their_state_both_ways(empty: Any) -> None:
    dsn = empty()
    await asyncio.to_thread(migrate, dsn)
    await asyncio.to_thread(migrate, dsn, "0004")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO deletion_requests (code, platform, user_id, done_at) VALUES"
        " ('open', 'x', 'u1', NULL), ('done', 'x', NULL, now())"
    )
    await asyncio.to_thread(migrate, dsn)
    await connection.execute(
        "INSERT INTO deletion_requests (code, platform, user_id, names, done_at, repeat_until) VALUES"
        " ('kept', 'x', 'u2', '{a}', now(), now() + interval '1 day')"
    )
    await asyncio.to_thread(migrate, dsn, "0004")
    rows = await connection.fetch("SELECT code, user_id, done_at IS NOT NULL FROM deletion_requests ORDER BY code")
    await connection.close()
    assert [tuple(row) for row in rows] == [("done", None, True), ("kept", None, True), ("open", "u1", False)]


async def test_connections_of_earlier_releases_are_checked_in_time_and_those_that_live_for_hours_are_not(
    empty: Any,
) -> None:
    dsn = empty()
    await asyncio.to_thread(migrate, dsn)
    await asyncio.to_thread(migrate, dsn, "0004")
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    await connection.execute(
        """
        INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
            authorized_at, access_expires_at, refresh_due_at)
        SELECT id, gen_random_uuid(), v.name, '1', '{}', '', '{}', '{}', 'active', now(), now() + life, now() + '1 hour'
        FROM tenants, (VALUES ('hours', interval '2 hours'), ('weeks', '60 days'), ('for ever', NULL)) AS v (name, life)
        """
    )
    await asyncio.to_thread(migrate, dsn)
    rows = await connection.fetch(
        """
        SELECT platform, refresh_due_at IS NOT NULL, check_due_at BETWEEN now() AND now() + interval '1 day', via
        FROM connections ORDER BY 1"""
    )
    await connection.close()
    assert [tuple(row) for row in rows] == [
        ("for ever", False, True, None),
        ("hours", True, None, None),
        ("weeks", True, True, None),
    ]


async def test_times_that_make_no_sense_are_mended_before_the_database_refuses_them(empty: Any) -> None:
    dsn = empty()
    await asyncio.to_thread(migrate, dsn)
    await asyncio.to_thread(migrate, dsn, "0009")
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    row = """
        INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
            authorized_at, access_expires_at, refresh_expires_at, refresh_due_at, check_due_at)
        SELECT id, gen_random_uuid(), v.name, '1', '{}', '', '{}', '{}', 'active', now(), access, refresh, due, again
        FROM tenants, (VALUES
            ('far', now() + interval '50000 years', now() + interval '50000 years', now() + interval '40000 years',
                now() + interval '9000 years'),
            ('none', NULL, NULL, NULL, NULL),
            ('past', '1901-01-01', 'infinity', '-infinity', NULL),
            ('well', now() + interval '60 days', NULL, now() + interval '50 days', now() + interval '1 day')
        ) AS v (name, access, refresh, due, again)"""
    await connection.execute(row)
    await asyncio.to_thread(migrate, dsn)
    rows = await connection.fetch(
        """
        SELECT platform, access_expires_at > now(), refresh_expires_at, refresh_due_at <= now(), check_due_at <= now(),
            trouble_since
        FROM connections ORDER BY 1"""
    )
    assert [tuple(row) for row in rows] == [
        ("far", None, None, True, True, None),
        ("none", None, None, None, None, None),
        ("past", None, None, True, None, None),
        ("well", True, None, False, False, None),
    ]
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(row.replace("'1', '{}'", "'2', '{}'"))
    await connection.execute("UPDATE connections SET trouble_since = now()")
    await connection.execute(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), id, 'in_trouble', now(), '' FROM connections"""
    )
    await asyncio.to_thread(migrate, dsn, "0009")
    assert await connection.fetch("SELECT 1 FROM notices") == []
    await connection.close()


def test_three_migrators_at_once_take_turns(empty: Any, postgres: Postgres) -> None:
    """Row I-2 of ``faults.md``."""
    dsn = empty()
    command = [sys.executable, "-m", "ops.cli.main", "migrate"]
    migrators = [subprocess.Popen(command, env=os.environ | {"DATABASE_URL": dsn}) for _ in range(3)]
    assert [migrator.wait(60) for migrator in migrators] == [0, 0, 0]
    assert postgres.sql("SELECT version_num FROM alembic_version", database=dsn.rpartition("/")[2]) == HEAD


def test_audit_log_forgets_whom_earlier_releases_named_before_it_forgets_nothing_more(
    empty: Any, postgres: Postgres
) -> None:
    dsn = empty()
    database = dsn.rpartition("/")[2]
    migrate(dsn)
    migrate(dsn, "0004")
    row = """
        INSERT INTO audit_log (tenant_id, actor, action, subject, detail)
        SELECT id, 'a', 'a.b', 's', '{}' FROM tenants"""
    for detail in ('{"account": "17841", "platform": "x"}', '{"user": "5200"}', '{"scopes": ["account"]}'):
        postgres.sql(row.format(detail), database=database)
    migrate(dsn)
    found = postgres.sql("SELECT detail FROM audit_log ORDER BY id", database=database)
    assert found.splitlines() == ['{"platform": "x"}', "{}", '{"scopes": ["account"]}']
    with pytest.raises(subprocess.CalledProcessError):
        postgres.sql("DELETE FROM audit_log", database=database)


async def test_previous_release_goes_on_reading_and_writing_as_the_one_role_it_knows(empty: Any) -> None:
    dsn = empty()
    await asyncio.to_thread(migrate, dsn)
    await asyncio.to_thread(migrate, dsn, "0013")
    previous = await asyncpg.connect(dsn, server_settings={"role": "landfall_app"})
    for number in range(2):
        async with previous.transaction():
            await previous.execute("SELECT set_config('landfall.tenant', $1, true)", "*")
            await previous.execute(
                """
                INSERT INTO audit_log (tenant_id, actor, address, action, subject, detail)
                SELECT id, $1, NULL, 'a.b', 's', '{}' FROM tenants""",
                str(number),
            )
            await previous.execute(
                """
                WITH added AS (
                    INSERT INTO webhook_event_log (provider, account_id, event_type, external_id, rule_version,
                        payload_json, occurred_at, defect, sanitized)
                    VALUES ('x', 'a', 't', $1, 1, '{}', now(), NULL, false) ON CONFLICT DO NOTHING RETURNING id)
                INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT 0, 'a', id FROM added""",
                str(number),
            )
            await previous.execute(
                """
                INSERT INTO webhook_deliveries (id, provider, body, body_of, body_sha256, headers, verdict,
                    verdict_reason, secret_used, signed_at, event_count, new_event_count)
                SELECT gen_random_uuid(), 'x', CASE WHEN k.id IS NULL THEN d.body END, k.id, sha256(d.body), '{}',
                    'accepted', NULL, '', NULL, 0, 0
                FROM (SELECT 'the same'::bytea AS body) d LEFT JOIN LATERAL (
                    SELECT o.id FROM webhook_deliveries o WHERE o.body_sha256 = sha256(d.body) LIMIT 1) k ON true"""
            )
        async with previous.transaction():
            await previous.execute("SELECT set_config('landfall.tenant', $1, true)", "*")
            assert await previous.fetchval("SELECT count(*) FROM audit_log") == number + 1
        if number == 0:
            await asyncio.to_thread(migrate, dsn)
    assert await previous.fetchval("SELECT count(*) FROM webhook_events") == 2
    assert await previous.fetchval("SELECT count(body_of) FROM webhook_deliveries") == 1
    await previous.close()


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


async def test_makers_of_keys_are_taken_from_the_log_and_whoever_belongs_nowhere_is_forgotten(empty: Any) -> None:
    dsn = empty()
    await asyncio.to_thread(migrate, dsn)
    await asyncio.to_thread(migrate, dsn, "0013")
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    await connection.execute(
        """
        INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'other');
        INSERT INTO users (id, email, password_hash)
            SELECT gen_random_uuid(), name || '@example.org', 'x' FROM unnest(ARRAY['ada', 'eve']) AS name;
        INSERT INTO memberships (tenant_id, user_id, role)
            SELECT t.id, u.id, 'owner' FROM tenants t, users u WHERE t.name = 'default' AND u.email LIKE 'ada%';
        INSERT INTO devices (user_id, device_sha256) SELECT id, 'd' FROM users;
        INSERT INTO api_keys (tenant_id, id, name, key_sha256, scopes)
            SELECT t.id, gen_random_uuid(), k.name, 'k', '{}' FROM tenants t, unnest(ARRAY['hers', 'ours']) AS k (name);
        INSERT INTO audit_log (tenant_id, actor, action, subject, detail)
            SELECT id, 'user:ada@example.org', 'key.created', 'hers', '{}'::jsonb FROM tenants WHERE name = 'default'
            UNION ALL SELECT id, 'command', 'key.created', 'ours', '{}'::jsonb FROM tenants;
        """
    )
    await asyncio.to_thread(migrate, dsn)
    makers = await connection.fetch(
        """
        SELECT t.name, k.name, u.email FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
        LEFT JOIN users u ON u.id = k.user_id ORDER BY 1, 2"""
    )
    left = await connection.fetch("SELECT email FROM users JOIN devices ON user_id = id")
    await connection.close()
    assert [tuple(row) for row in makers] == [
        ("default", "hers", "ada@example.org"),
        ("default", "ours", None),
        ("other", "hers", None),
        ("other", "ours", None),
    ]
    assert [row["email"] for row in left] == ["ada@example.org"]
