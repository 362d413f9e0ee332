"""A dump that was restored by the runbook is the whole of it: log, tables, sealed tokens, and who may do what."""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.access import api_keys, tenants
from ops.cli import wiring
from ops.runtime.db import open_pool
from ops.runtime.embedded import POSTGRES_BIN, Postgres, scratch
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store
from publish.vault import key_rotation
from publish.vault.envelope import LocalRing, Vault, VaultError
from schema.crm import crm_tables
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.store import PLANNER
from sync.projection.worker import Projector
from tests.integration.sync.rebuild.test_rebuild import told
from tests.integration.test_tenant_isolation import complaints
from tests.migration.test_migrations import catalogue
from tests.rig import KEYS, TESTS, Rig
from tests.support import append_event, command, crm

ROOT = Path(__file__).parents[2]

RIGHTS = {
    "grants": "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "columns": "SELECT attrelid::regclass::text, attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL"
    " AND attrelid::regclass::text !~ '^(pg_|information_schema)'",
    "policies": "SELECT polrelid::regclass::text, polname, polcmd, pg_get_expr(polqual, polrelid) FROM pg_policy",
    "security": "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace",
    "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "functions": "SELECT proname, prosrc, proacl::text, prosecdef FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
}


def steps() -> list[str]:
    """The commands of the runbook's chapter on backups: dump, make the role, restore."""
    chapter = (ROOT / "ops" / "RUNBOOK.md").read_text().split("\n## Backing up\n")[1].split("\n## ")[0]
    return re.findall(r"^    (.+)$", chapter, re.MULTILINE)


def run(step: str, directory: Path, **environ: str) -> None:
    path = f"{POSTGRES_BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", step], cwd=directory, env={"PATH": path} | environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), step


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An empty database on a server that never had Landfall, whose owner is no superuser."""
    with scratch() as directory:
        directory.chmod(0o755)
        server = Postgres.at(directory / "pg")
        server.start()
        yield server.dsn()
        server.stop()


@pytest.fixture
def beside(postgres: Postgres) -> Iterator[str]:
    """An empty database on the same server."""
    postgres.sql("DROP DATABASE IF EXISTS restored", "CREATE DATABASE restored OWNER landfall")
    yield postgres.dsn("restored")
    postgres.sql("DROP DATABASE restored WITH (FORCE)")


@asynccontextmanager
async def seeing_all(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner, with the rows of every tenant."""
    connection = await asyncpg.connect(dsn, server_settings={"landfall.tenant": "*"})
    yield connection
    await connection.close()


async def contents(dsn: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    async with seeing_all(dsn) as connection:
        names = [
            row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        return {
            name: [
                row[0] for row in await connection.fetch(f'SELECT t::text FROM "{name}" t ORDER BY t::text COLLATE "C"')
            ]
            for name in names
        }


def _ungrouped(found: dict[str, set[tuple[Any, ...]]]) -> dict[str, set[tuple[Any, ...]]]:
    """A catalogue without the parentheses of its constraints: read again, `a AND b AND c` is grouped differently."""
    plain = {(*names, text.translate({40: None, 41: None})) for *names, text in found["constraints"]}
    return found | {"constraints": plain}


async def rights(dsn: str) -> dict[str, set[tuple[Any, ...]]]:
    async with seeing_all(dsn) as connection:
        return {name: {tuple(row) for row in await connection.fetch(query)} for name, query in RIGHTS.items()}


async def tokens(dsn: str, keys_: tuple[str, ...] = KEYS) -> dict[tuple[str, str], dict[str, str]]:
    """Every sealed token, opened as the service's role does."""
    vault, found = Vault(LocalRing(keys_)), {}
    async with await open_pool(dsn, "test", 2, role=APP_ROLE) as pool:
        await key_rotation.check(pool, vault)
        async with tenant_transaction(pool, ALL_TENANTS) as connection:
            held = await connection.fetch("SELECT tenant_id::text, id::text FROM connections")
        for row in held:
            async with tenant_transaction(pool, row["tenant_id"]) as connection:
                found[row["tenant_id"], row["id"]] = await connection_store.secrets(connection, vault, *row)
    return found


@dataclass
class Whole:
    """A database with everything in it, dumped: its address, where the dump is, and the second tenant."""

    dsn: str
    directory: Path
    other: str


@pytest.fixture
async def dumped(rig: Rig, database: str, connection: asyncpg.Connection, tmp_path: Path) -> Whole:
    async with await open_pool(database, "test", 12, role=APP_ROLE, settings=PLANNER) as pool:
        await told(connection, pool)
        await append_event(connection, "a", "parked", payload={"text": "no id"})
        for kind, payload in (("account.read", {"followers_count": 1}), ("media.read", {"id": "m", "like_count": 1})):
            await append_event(connection, "read", kind, type=kind, payload=payload, occurred_at=datetime.now(UTC))
        await Projector(pool, wiring.projections(), tries=1).drain()
    await append_event(connection, "a", "waiting", payload={"id": "w", "media": {"id": "m"}})
    await connection.execute(
        """
        WITH kept AS (
            INSERT INTO webhook_deliveries (id, provider, body, headers, verdict, secret_used)
            VALUES (gen_random_uuid(), 'tiktok', '\\x00ff7b22', '\\x61ff', 'accepted', 'S#1') RETURNING id
        ), queued AS (
            INSERT INTO webhook_delivery_queue SELECT id FROM kept
        )
        INSERT INTO webhook_delivery_outcomes (delivery_id, rule_version, verdict, event_count, new_event_count,
            body_sha256)
        SELECT id, 1, 'unreadable', 0, 0, '\\x01' FROM kept"""
    )
    await key_rotation.check(rig.pool, Vault(LocalRing(KEYS)))
    await rig.connect("x")
    await rig.connect("mastodon")
    other = await tenants.add(connection, "Shop & Co", TESTS)
    key = await api_keys.create(rig.pool, other, "theirs", api_keys.SCOPES, TESTS)
    await rig.connect("tiktok", key=key)
    dump, *_ = steps()
    run(dump, tmp_path, DATABASE_URL=database)
    return Whole(database, tmp_path, other)


async def holds_every_row_and_the_whole_schema(dumped: Whole, restored: str) -> None:
    before = await contents(dumped.dsn)
    filled = {name for name, rows in before.items() if rows}
    assert {"webhook_event_log", "webhook_event_outcomes", "webhook_event_queue", "webhook_deliveries"} <= filled
    assert {"webhook_delivery_queue", "webhook_delivery_outcomes"} <= filled
    assert {table.name for table in crm_tables()} - filled <= {
        "tiktok_accounts",
        "tiktok_account_metrics",
        "tiktok_undated_removals",
        "tiktok_videos",
        "tiktok_video_metrics",
        "social_posts",
    }
    assert {"connections", "connection_secrets", "vault_canaries", "audit_log", "tenants", "api_keys"} <= filled
    assert await contents(restored) == before
    assert _ungrouped(await catalogue(restored)) == _ungrouped(await catalogue(dumped.dsn))


async def log_gives_the_tables_to_the_byte(restored: str) -> None:
    async with seeing_all(restored) as connection:
        before = await crm(connection)
        total = sum(map(len, before.values()))
        assert total > 100
        code, said = await command(restored, "verify")
        assert (code, said.splitlines()[-1]) == (0, f"{total} rows, all of them what the log says")
        await connection.execute(f"TRUNCATE {', '.join(table.name for table in crm_tables())}")
        assert (await command(restored, "verify"))[0] == 1
        code, said = await command(restored, "rebuild")
        assert (code, said.splitlines()[-1]) == (
            0,
            f"{', '.join(sorted(wiring.projections()))}: {total} rows put right",
        )
        assert await crm(connection) == before


async def tokens_open_with_the_same_keys_and_no_others(dumped: Whole, restored: str) -> None:
    before = await tokens(dumped.dsn)
    assert len(before) == 3
    assert all(held["access_token"] for held in before.values())
    assert await tokens(restored) == before
    stranger = KEYS[0].partition(":")[0] + ":" + KEYS[1].partition(":")[2]
    with pytest.raises(VaultError, match="another one than it was"):
        await tokens(restored, (stranger,))


async def role_and_policies_hold(dumped: Whole, restored: str) -> None:
    assert await rights(restored) == await rights(dumped.dsn)
    async with seeing_all(restored) as connection:
        assert await complaints(connection) == []
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("DELETE FROM audit_log")
    async with await open_pool(restored, "test", 2, role=APP_ROLE) as pool:
        async with tenant_transaction(pool, dumped.other) as connection:
            seen = await connection.fetch("SELECT tenant_id::text, platform FROM connections")
        assert [tuple(row) for row in seen] == [(dumped.other, "tiktok")]
        async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
            assert await connection.fetchval("SELECT count(*) FROM connections") == 2
            changed = await connection.execute("UPDATE connections SET username = 'mine' WHERE platform = 'tiktok'")
        assert changed == "UPDATE 0"
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM connections") == 0, "nobody's rows for nobody"
            for statement in ("UPDATE webhook_event_log SET event_type = ''", "DELETE FROM webhook_event_log"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)


async def goes_on_where_it_was(restored: str) -> None:
    """The event that waited is projected, and a new one gets a number that none has."""
    async with seeing_all(restored) as connection:
        newest = await connection.fetchval("SELECT max(id) FROM webhook_event_log")
        value = {"id": "after", "media": {"id": "m"}, "from": {"id": "1", "username": "u"}, "text": "t"}
        assert await append_event(connection, "a", "after", payload=value) > newest
        async with await open_pool(restored, "test", 2, role=APP_ROLE, settings=PLANNER) as pool:
            await Projector(pool, wiring.projections(), tries=3).drain()
        found = await connection.fetch("SELECT ig_id FROM ig_comments WHERE account_id = 'a' ORDER BY 1")
        assert [row[0] for row in found] == ["after", "w"]
        states = await connection.fetch(
            "SELECT external_id, state FROM webhook_events WHERE account_id = 'a' ORDER BY id"
        )
        assert [tuple(row) for row in states] == [("parked", "parked"), ("waiting", "done"), ("after", "done")]


@pytest.mark.parametrize("place", ["another database", "another server"])
async def test_dump_restored_by_the_runbook_is_the_whole_of_it(
    dumped: Whole, place: str, request: pytest.FixtureRequest
) -> None:
    restored: str = request.getfixturevalue("beside" if place == "another database" else "elsewhere")
    _, role, restore = steps()
    if place == "another server":
        run(role, dumped.directory, NEW_DATABASE_URL=restored)
    run(restore, dumped.directory, NEW_DATABASE_URL=restored)
    await holds_every_row_and_the_whole_schema(dumped, restored)
    await role_and_policies_hold(dumped, restored)
    await tokens_open_with_the_same_keys_and_no_others(dumped, restored)
    await log_gives_the_tables_to_the_byte(restored)
    await goes_on_where_it_was(restored)


def test_dump_without_the_setting_of_the_runbook_would_lack_the_rows_of_tenants(dumped: Whole) -> None:
    """What the runbook warns of: the owner alone sees none of them."""
    bare = steps()[0].replace("PGOPTIONS='-c landfall.tenant=*' ", "").replace("landfall.dump", "bare.dump")
    run(bare, dumped.directory, DATABASE_URL=dumped.dsn)
    restore = shutil.which("pg_restore", path=str(POSTGRES_BIN))
    assert restore is not None
    rows = subprocess.run(
        [restore, "--data-only", "--table=connections", "--file=-", "bare.dump"],
        cwd=dumped.directory, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "COPY public.connections" in rows
    assert "tiktok" not in rows
