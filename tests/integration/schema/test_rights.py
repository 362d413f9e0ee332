"""Who may do what to the database: what `schema.rights` says, and no more to whoever gets hold of a process's login."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from ops.access import api_keys, tenants, users
from ops.cli import logins
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres
from ops.runtime.tenancy import ALL_TENANTS, set_tenant, tenant_transaction
from schema.crm import crm_tables
from schema.events import bucket_of
from schema.published import PUBLISHED, PUBLISHED_FOR_TENANT
from schema.reporting import VIEWS
from schema.rights import (
    APP_PROJECTED,
    APP_ROLE,
    EVERY,
    FUNCTIONS,
    PROJECTED,
    READ,
    READER_ROLE,
    RIGHTS,
    TENANT_READER_ROLE,
    WEB_ROLE,
    WORKER_ROLE,
    Rights,
)
from schema.tenancy import DEFAULT_TENANT
from schema.views import EVERYTHING, ONE_TENANT
from tests.rig import TESTS
from tests.support import append_event, command

PASSWORD = "correct-horse-battery"

Granted = tuple[str, str, str, str]
"""A role, a table, a privilege, and a column or ``EVERY``."""


def declared() -> Mapping[tuple[str, str], Rights]:
    found = {(role, table): rights for role, tables in RIGHTS.items() for table, rights in tables.items()}
    for table in crm_tables():
        found[WORKER_ROLE, table.name] = PROJECTED
        found[APP_ROLE, table.name] = APP_PROJECTED
    for view in (*VIEWS, *PUBLISHED):
        found[READER_ROLE, f"{EVERYTHING.schema}.{view}"] = found[APP_ROLE, f"{EVERYTHING.schema}.{view}"] = READ
    for view in PUBLISHED_FOR_TENANT:
        for role in (TENANT_READER_ROLE, WEB_ROLE):
            found[role, f"{ONE_TENANT.schema}.{view}"] = READ
    return found


def each(role: str, table: str, rights: Rights) -> Iterator[Granted]:
    for privilege, columns in (("SELECT", rights.select), ("INSERT", rights.insert), ("UPDATE", rights.update)):
        for column in columns.split():
            yield role, table, privilege, column
    if rights.delete:
        yield role, table, "DELETE", EVERY


GRANTS = """
SELECT coalesce(r.rolname, 'PUBLIC'), c.oid::regclass::text, a.privilege_type, '*' AS column
FROM pg_class c, aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace, 'reporting_tenant'::regnamespace)
    AND c.relkind <> 'S'
    AND a.grantee <> c.relowner
UNION ALL
SELECT coalesce(r.rolname, 'PUBLIC'), c.oid::regclass::text, a.privilege_type, t.attname
FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace, 'reporting_tenant'::regnamespace)
"""


async def test_no_role_may_more_and_none_less_than_is_declared(connection: asyncpg.Connection) -> None:
    wanted = {granted for (role, table), rights in declared().items() for granted in each(role, table, rights)}
    found = {tuple(row) for row in await connection.fetch(GRANTS)}
    assert found - wanted == set(), "granted, and not declared"
    assert wanted - found == set(), "declared, and not granted"
    for role, table, privilege, column in wanted:
        asked = ("has_table_privilege($1, $2, $3)", (role, table, privilege))
        if column != EVERY:
            asked = ("has_column_privilege($1, $2, $4, $3)", (role, table, privilege, column))
        assert await connection.fetchval(f"SELECT {asked[0]}", *asked[1]), (role, table, privilege, column)


async def test_functions_with_the_owners_rights_are_called_by_whom_they_are_for(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """
        SELECT p.oid::regprocedure::text AS name, p.proconfig,
            array(SELECT coalesce(r.rolname, 'PUBLIC')
                FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> p.proowner ORDER BY 1) AS callers
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef"""
    )
    assert {row["name"]: tuple(row["callers"]) for row in rows} == dict(FUNCTIONS)
    for row in rows:
        assert row["proconfig"] == ["search_path=pg_catalog, pg_temp"], row["name"]
    others = await connection.fetch(
        "SELECT proname, provolatile = 'i' AS pure FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND NOT prosecdef AND prorettype <> 'trigger'::regtype ORDER BY 1"
    )
    assert [tuple(row) for row in others] == [
        ("bucket_of", True),
        ("event_id_from", True),
        ("identity_of", True),
        ("next_event_id", False),  # it needs a right on its sequence
    ], "nothing else that anybody could call"


async def test_roles_can_neither_log_in_nor_do_anything_to_the_server(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """
        SELECT rolname, rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,
            array(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
        FROM pg_roles r WHERE rolname = ANY($1) ORDER BY 1""",
        list(RIGHTS),
    )
    assert [tuple(row) for row in rows] == [
        (APP_ROLE, False, [WEB_ROLE, WORKER_ROLE]),
        (READER_ROLE, False, []),
        (TENANT_READER_ROLE, False, []),
        (WEB_ROLE, False, []),
        (WORKER_ROLE, False, []),
    ]


# --- an intruder


@pytest.fixture
async def addresses(database: str, connection: asyncpg.Connection) -> Mapping[str, str]:
    """Of a login for each process, made as `landfall db login` makes them."""
    found = {}
    for process in logins.PROCESSES:
        await logins.make(connection, process, f"landfall_{process}", PASSWORD)
        found[process] = logins.address(database, f"landfall_{process}", PASSWORD)
    return found


@dataclass
class Filled:
    """A database with something in every table of an intruder's interest, and the login of each process."""

    owner: asyncpg.Connection
    addresses: Mapping[str, str]
    event: int

    async def everything(self) -> dict[str, list[asyncpg.Record]]:
        tables = ("audit_log", "webhook_event_log", "webhook_deliveries", "webhook_event_queue", "users", "tenants")
        async with self.owner.transaction():
            await self.owner.execute("SELECT set_config('landfall.tenant', '*', true)")
            return {name: await self.owner.fetch(f"SELECT * FROM {name} t ORDER BY t::text") for name in tables}


@pytest.fixture
async def filled(addresses: Mapping[str, str], database: str, connection: asyncpg.Connection) -> Filled:
    event = await append_event(connection, "a", "x:1")
    await connection.execute(
        """
        INSERT INTO webhook_deliveries (id, provider, body, headers, verdict, secret_used)
        VALUES (gen_random_uuid(), 'tiktok', 'private', '', 'accepted', 'S#1')"""
    )
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        await api_keys.create(pool, DEFAULT_TENANT, "crm", api_keys.DEFAULT_SCOPES, TESTS)
        await users.add(pool, DEFAULT_TENANT, "ada@example.org", PASSWORD, "owner", TESTS)
    return Filled(connection, addresses, event)


REFUSED = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.RestrictViolationError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.GeneratedAlwaysError,
)

AUDIT = "INSERT INTO audit_log (tenant_id, actor, action, subject, detail"
VALUES = f"VALUES ('{DEFAULT_TENANT}', 'user:ada', 'user.removed', 's', '{{}}'"

EVENT = (
    "INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version, sanitized"
)

BY_ANY = [
    # the audit log
    "ALTER TABLE audit_log DISABLE TRIGGER audit_log_insert_only",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_log_insert_only ON audit_log",
    "DROP TRIGGER audit_log_dated ON audit_log",
    "SET session_replication_role = replica",
    "UPDATE audit_log SET actor = 'nobody'",
    "UPDATE audit_log SET created_at = '2020-01-01'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    f"{AUDIT}, created_at) {VALUES}, '2020-01-01')",
    f"{AUDIT}, id) {VALUES}, 1)",
    f"{AUDIT}, id) OVERRIDING SYSTEM VALUE {VALUES}, 1)",
    "SELECT setval('audit_log_id_seq', 1)",
    "CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    # the event log
    "UPDATE webhook_event_log SET payload_json = '{}'",
    "DELETE FROM webhook_event_log",
    "TRUNCATE webhook_event_log",
    "UPDATE webhook_deliveries SET body = ''",
    "UPDATE webhook_deliveries SET body = NULL, body_of = id",
    "DELETE FROM webhook_deliveries",
    "DELETE FROM webhook_delivery_outcomes",
    "UPDATE webhook_delivery_outcomes SET body_sha256 = ''",
    "SELECT setval('webhook_event_numbers', 1)",
    "UPDATE webhook_event_identities SET event_id = 1",
    "DELETE FROM webhook_event_identities",
    "TRUNCATE webhook_event_identities",
    "SELECT * FROM webhook_event_log_before",
    "DELETE FROM webhook_event_log_default",
    "DROP TABLE webhook_event_log_default",
    "ALTER TABLE webhook_event_log DETACH PARTITION webhook_event_log_default",
    "CREATE TABLE webhook_event_log_mine PARTITION OF webhook_event_log FOR VALUES FROM (1) TO (2)",
    "DELETE FROM webhook_event_outcomes",
    "UPDATE webhook_event_outcomes SET state = 'ignored'",
    "SELECT * FROM webhook_events",
    # other roles, and the server
    "SET ROLE landfall",
    "SET ROLE landfall_app",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION landfall",
    "CREATE ROLE mine LOGIN",
    "ALTER ROLE landfall PASSWORD 'mine'",
    "ALTER ROLE landfall_serve SUPERUSER",
    "ALTER ROLE landfall_serve BYPASSRLS",
    "GRANT landfall_app TO landfall_serve",
    "SELECT pg_reload_conf()",
    "COPY audit_log TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    # tables, and what is in the way
    "CREATE TABLE public.mine (id int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "DROP TABLE connections",
    "ALTER TABLE connections NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE connections DISABLE ROW LEVEL SECURITY",
    "DROP POLICY tenant ON connections",
    "CREATE POLICY mine ON connections USING (true)",
    "UPDATE alembic_version SET version_num = '0001'",
    "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'mine')",
    "UPDATE users SET disabled_at = NULL",
    "UPDATE users SET email = 'eve@example.org'",
    "DELETE FROM users",
    "DELETE FROM connections",
    "UPDATE connections SET tenant_id = gen_random_uuid()",
    "UPDATE connections SET account_id = 'mine'",
    "SELECT user_id FROM deletion_requests",
    "DELETE FROM deletion_requests",
    "SELECT key_sha256 FROM api_keys",
    "UPDATE api_keys SET scopes = '{audit:read}'",
    "DELETE FROM api_keys",
    "UPDATE vault_canaries SET sealed = ''",
    "DELETE FROM vault_canaries",
    "UPDATE ig_media SET account_id = 'mine' RETURNING pg_read_file('/etc/passwd')",
]
BY_SERVE = [
    "SET ROLE landfall_worker",
    f"{EVENT}) VALUES (1, 1, 'a', 'x', 't', 'e', 1, false)",
    "SELECT body FROM webhook_deliveries",
    "SELECT id FROM webhook_deliveries",
    "SELECT * FROM webhook_delivery_queue",
    "DELETE FROM webhook_delivery_queue",
    "SELECT * FROM webhook_delivery_outcomes",
    "SELECT id FROM webhook_event_log",
    "SELECT * FROM webhook_event_identities",
    "INSERT INTO webhook_event_identities SELECT 1, gen_random_uuid(), 1",
    "SELECT make_partitions()",
    "SELECT find_partition_gaps()",
    "INSERT INTO webhook_event_queue (bucket, account_id, event_id) VALUES (1, 'a', 1)",
    "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state) VALUES (1, 'a', 1, 'done')",
    "SELECT share_bodies('{}')",
    "SELECT payload_json FROM webhook_event_log",
    "SELECT count(*) FROM ig_comments",
    "INSERT INTO ig_media (bucket, account_id, ig_id, projection_version, created_at) VALUES (1, 'a', 'm', 1, now())",
    "UPDATE ig_comments SET text = 'mine'",
    "DELETE FROM pull_tasks",
    "SELECT count(*) FROM pull_objects",
    "UPDATE webhook_event_queue SET due_at = 'infinity'",
    "DELETE FROM webhook_event_queue",
    "UPDATE webhook_buckets SET fence = 0",
    "SELECT * FROM notice_mails",
    "INSERT INTO crm_verifications (compared_rows, drifted_rows) VALUES (1, 0)",
]
BY_WORK = [
    "SET ROLE landfall_web",
    "SELECT password_hash FROM users",
    "SELECT session_sha256 FROM sessions",
    "INSERT INTO sessions (tenant_id, session_sha256, user_id) SELECT tenant_id, '', user_id FROM memberships",
    "SELECT who_sha256 FROM login_failures",
    "SELECT * FROM api_keys",
    "INSERT INTO api_keys (tenant_id, id, name, key_sha256) SELECT id, id, 'mine', 'mine' FROM tenants",
    "UPDATE memberships SET role = 'owner'",
    "INSERT INTO memberships (tenant_id, user_id, role) SELECT tenant_id, user_id, 'owner' FROM memberships",
    "DELETE FROM memberships",
    "SELECT * FROM audit_log",
    "SELECT sealed_verifier FROM oauth_states",
    "INSERT INTO webhook_deliveries (id, provider, verdict, secret_used, headers) VALUES (NULL, 'x', 'x', '', '')",
    "INSERT INTO webhook_delivery_queue SELECT id FROM webhook_deliveries",
    "DELETE FROM ig_comments",
    "SELECT find_api_key('')",
    "SELECT find_connections_of_person('x', '1', now())",
    "SELECT find_deletion_request('')",
    "SELECT find_session('')",
    "SELECT find_invitation('')",
    "SELECT find_oauth_state('', '', '')",
    "SELECT find_tenants_of_person(gen_random_uuid())",
    "SELECT find_tenants_of_sessions(gen_random_uuid())",
    "SELECT sealed_secret FROM totp_factors",
    "SELECT public_key FROM passkeys",
    "SELECT code_sha256 FROM recovery_codes",
    "INSERT INTO pending_logins (token_sha256, user_id, expires_at) SELECT '', id, 'infinity' FROM users",
    "SELECT link_sha256 FROM invitations",
    "UPDATE invitations SET role = 'owner'",
]
ATTACKS = [
    *((process, statement) for process in logins.PROCESSES for statement in BY_ANY),
    *(("serve", statement) for statement in BY_SERVE),
    *(("work", statement) for statement in BY_WORK),
]


async def test_intruder_with_a_login_of_ours_is_refused_what_its_process_does_not_need(filled: Filled) -> None:
    before = await filled.everything()
    got_through = []
    for process, address in filled.addresses.items():
        intruder = await asyncpg.connect(address)
        await intruder.execute("RESET ROLE; RESET SESSION AUTHORIZATION")
        for tenant in (DEFAULT_TENANT, "*", ""):
            await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
            for statement in [said for who, said in ATTACKS if who == process]:
                trial = intruder.transaction()
                await trial.start()
                try:
                    await intruder.execute(statement)
                except REFUSED:
                    pass
                except asyncpg.PostgresError as error:
                    got_through.append((process, tenant, statement, error))
                else:
                    got_through.append((process, tenant, statement, None))
                finally:
                    await trial.rollback()
        await intruder.close()
    assert got_through == []
    assert await filled.everything() == before


async def test_entry_of_the_audit_log_has_the_time_of_the_clock_whoever_adds_it(filled: Filled) -> None:
    """Not the one given, nor that at which a transaction began that was kept open."""
    async with filled.owner.transaction():
        await filled.owner.execute("SELECT set_config('landfall.tenant', '*', true)")
        begun = await filled.owner.fetchval("SELECT now()")
        await filled.owner.execute("SELECT pg_sleep(0.05)")
        for times in ("created_at) ", "created_at, actor) "):
            given = "'2020-01-01'" if times == "created_at) " else "'infinity', 'late'"
            at = await filled.owner.fetchval(
                f"INSERT INTO audit_log (tenant_id, action, subject, detail, {times}"
                f"VALUES ('{DEFAULT_TENANT}', 'a.b', 's', '{{}}', {given}) RETURNING created_at"
                if "actor" in times
                else f"{AUDIT}, {times}{VALUES}, {given}) RETURNING created_at"
            )
            assert begun + timedelta(seconds=0.05) <= at <= await filled.owner.fetchval("SELECT clock_timestamp()")


async def test_entry_of_the_audit_log_is_of_the_tenant_that_the_web_process_acts_for(filled: Filled) -> None:
    other = await tenants.add(filled.owner, "other", TESTS)
    intruder = await asyncpg.connect(filled.addresses["serve"])
    await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", other)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await intruder.execute(f"{AUDIT}) {VALUES})")
    assert await intruder.fetchval("SELECT count(*) FROM audit_log") == 1, "its own"
    await intruder.close()


def rows(id_: str, user: str) -> dict[str, str]:
    """A row of the default tenant for each table of tenants: what an INSERT has after the table's name."""
    tenant = f"'{DEFAULT_TENANT}'"
    return {
        "memberships": f"(tenant_id, user_id, role) VALUES ({tenant}, '{user}', 'owner')",
        "invitations": "(tenant_id, id, email, role, link_sha256, expires_at)"
        f" VALUES ({tenant}, '{id_}', '{id_}', 'owner', '{id_}', 'infinity')",
        "sessions": "(tenant_id, session_sha256, user_id, expires_at)"
        f" VALUES ({tenant}, '{id_}', '{user}', 'infinity')",
        "api_keys": "(tenant_id, id, name, key_sha256, scopes)"
        f" VALUES ({tenant}, '{id_}', '{id_}', '{id_}', '{{audit:read}}')",
        "audit_log": f"(tenant_id, actor, action, subject, detail) VALUES ({tenant}, 'a', 'a.b', 's', '{{}}')",
        "connections": "(tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,"
        f" authorized_at) VALUES ({tenant}, '{id_}', 'x', '{id_}', '{{}}', 'u', '{{}}', '{{}}', 'active', now())",
        "connection_secrets": "(tenant_id, connection_id, field, sealed, key_name)"
        f" VALUES ({tenant}, '{id_}', 'access_token', 'sealed', 'k')",
        "oauth_states": "(tenant_id, state_sha256, platform, sealed_verifier, redirect_uri, return_to, actor,"
        f" expires_at) VALUES ({tenant}, '{id_}', 'x', 'sealed', '', '', 'user:ada', 'infinity')",
        "oauth_clients": "(tenant_id, platform, instance, client_id, sealed_secret, redirect_uri, scopes)"
        f" VALUES ({tenant}, 'mastodon', '{id_}', 'c', 'sealed', '', '{{}}')",
        "notices": "(tenant_id, id, connection_id, kind, episode, says)"
        f" VALUES ({tenant}, '{id_}', '{id_}', 'in_trouble', now(), 's')",
        "event_subscriptions": f"(tenant_id, connection_id) VALUES ({tenant}, '{id_}')",
        "event_silences": f"(tenant_id, connection_id) VALUES ({tenant}, '{id_}')",
        "notice_mails": f"(tenant_id, notice_id, user_id) VALUES ({tenant}, '{id_}', '{user}')",
        "posts": f"(tenant_id, id, content, author) VALUES ({tenant}, '{id_}', 'c', 'user:ada')",
        "post_media": f"(tenant_id, post_id, position, media_id, sha256) VALUES ({tenant}, '{id_}', 0, '{id_}', '')",
        "post_targets": "(tenant_id, id, post_id, connection_id, platform, account_id, kind, digest, state)"
        f" VALUES ({tenant}, '{id_}', '{id_}', '{id_}', 'x', '{id_}', 'post', '', 'draft')",
        "post_recurrences": "(tenant_id, id, template, rule, start_time, zone, author)"
        f" VALUES ({tenant}, '{id_}', '{{}}', 'FREQ=DAILY;COUNT=2', '2027-05-01 09:00', 'UTC', 'user:ada')",
        "post_occurrences": "(tenant_id, recurrence_id, revision, number, at, state, post_id)"
        f" VALUES ({tenant}, '{id_}', 1, 1, now(), 'made', '{id_}')",
        "reader_tenants": f"(tenant_id, login) VALUES ({tenant}, '{id_}')",
        "queue_slots": "(tenant_id, connection_id, weekday, local_time, zone)"
        f" VALUES ({tenant}, '{id_}', 0, '09:00', 'UTC')",
        "media": "(tenant_id, id, stored_as, sha256, bytes, content_type, kind, details, created_by)"
        f" VALUES ({tenant}, '{id_}', 'name', sha256('{id_}'), 1, 'image/png', 'image', '{{}}', 'user:ada')",
        "media_uploads": f"(tenant_id, id, created_by, expires_at) VALUES ({tenant}, '{id_}', 'user:ada', 'infinity')",
        "media_links": "(tenant_id, id, media_id, target_id, attempt, token_sha256, expires_at)"
        f" VALUES ({tenant}, '{id_}', '{id_}', '{id_}', 1, '{id_}', 'infinity')",
        "media_fetches": f"(tenant_id, link_id, method, status, user_agent) VALUES ({tenant}, '{id_}', 'GET', 200, '')",
    }


async def test_web_process_that_asks_for_all_tenants_is_refused_and_not_told_that_there_is_nothing(
    filled: Filled, database: str
) -> None:
    async with await open_pool(filled.addresses["serve"], "test", 1) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may not look at all tenants at once"):
            async with tenant_transaction(pool, ALL_TENANTS):
                pass
    async with (
        await open_pool(filled.addresses["work"], "test", 1) as pool,
        tenant_transaction(pool, ALL_TENANTS) as all_,
    ):
        assert await all_.fetchval("SELECT count(*) FROM memberships") == 1
    code, said = await command(database, "connections", "list", LANDFALL_DATABASE_ROLE=WEB_ROLE)
    assert (code, "may not look at all tenants at once" in said) == (1, True), said


OURS, THEIRS = "00000000-0000-7000-8000-0000000000aa", "00000000-0000-7000-8000-0000000000bb"


async def test_web_process_reaches_no_row_before_it_says_of_which_tenant(filled: Filled) -> None:
    for id_ in (OURS, THEIRS):
        await filled.owner.execute("INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $1, '')", id_)
    filling, adding = rows(OURS, OURS), rows(THEIRS, THEIRS)
    tenanted = await filled.owner.fetch(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"""
    )
    assert {row["relname"] for row in tenanted} == set(filling), "another table of tenants: give it a row here"
    async with filled.owner.transaction():
        await set_tenant(filled.owner, "*")
        for table, row in filling.items():
            await filled.owner.execute(f"INSERT INTO {table} {row}")
    kept = await of_tenants(filled.owner, filling)
    intruder = await asyncpg.connect(filled.addresses["serve"])
    reached = []
    for tenant in ("*", "", "nonsense", f"{DEFAULT_TENANT},*", "%"):
        await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
        for table, row in adding.items():
            columns = RIGHTS[WEB_ROLE].get(table, Rights()).update.split()
            statements = [
                f"SELECT tenant_id FROM {table}",
                f"INSERT INTO {table} {row} RETURNING tenant_id",
                *(f"UPDATE {table} SET {column} = {column} RETURNING tenant_id" for column in columns),
                f"DELETE FROM {table} RETURNING tenant_id",
            ]
            for statement in statements:
                trial = intruder.transaction()
                await trial.start()
                try:
                    if await intruder.fetch(statement):
                        reached.append((tenant, statement))
                except asyncpg.InsufficientPrivilegeError:
                    pass
                except asyncpg.PostgresError as error:
                    reached.append((tenant, f"{statement}: {error}"))
                finally:
                    await trial.rollback()
    assert reached == []
    assert await of_tenants(filled.owner, filling) == kept
    await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", DEFAULT_TENANT)
    for table in RIGHTS[WEB_ROLE].keys() & filling.keys():
        assert await intruder.fetch(f"SELECT tenant_id FROM {table}"), "what a tenant is served is there"
    await intruder.close()


async def of_tenants(owner: asyncpg.Connection, tables: Iterable[str]) -> dict[str, list[asyncpg.Record]]:
    async with owner.transaction():
        await set_tenant(owner, "*")
        return {table: await owner.fetch(f"SELECT * FROM {table} t ORDER BY t::text") for table in tables}


async def test_nobody_is_forgotten_who_belongs_to_a_tenant(filled: Filled) -> None:
    user = await filled.owner.fetchval("SELECT id FROM users WHERE email = 'ada@example.org'")
    before = await filled.everything()
    for process, address in filled.addresses.items():
        intruder = await asyncpg.connect(address)
        for tenant in ("*", "", DEFAULT_TENANT, OURS):
            await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
            assert await intruder.fetchval("SELECT forget_person($1)", user) is False, process
        await intruder.close()
    assert await filled.everything() == before


SHADOWS = """
CREATE TEMP TABLE api_keys (tenant_id uuid, id uuid, key_sha256 bytea);
INSERT INTO api_keys SELECT gen_random_uuid(), gen_random_uuid(), 'mine';
CREATE TEMP TABLE webhook_deliveries (id uuid, provider text, body bytea);
INSERT INTO webhook_deliveries VALUES (gen_random_uuid(), 'tiktok', 'mine');
CREATE TEMP TABLE webhook_delivery_outcomes (delivery_id uuid, body_sha256 bytea);
INSERT INTO webhook_delivery_outcomes SELECT id, 'mine' FROM webhook_deliveries;
CREATE TEMP TABLE deletion_requests (code text, requested_at timestamptz, done_at timestamptz);
INSERT INTO deletion_requests VALUES ('mine', now(), now());
CREATE TEMP TABLE connections (tenant_id uuid, id uuid, platform text, via text, state text, account_id text,
    other_ids text[], authorized_at timestamptz);
INSERT INTO connections VALUES (gen_random_uuid(), gen_random_uuid(), 'x', NULL, 'active', '1', '{}', now());
CREATE TEMP TABLE connection_secrets (key_name text);
INSERT INTO connection_secrets VALUES ('mine');
CREATE TEMP TABLE sessions (tenant_id uuid, user_id uuid, session_sha256 bytea);
INSERT INTO sessions VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 'mine');
CREATE TEMP TABLE invitations (tenant_id uuid, link_sha256 bytea, expires_at timestamptz);
INSERT INTO invitations VALUES (gen_random_uuid(), 'mine', 'infinity');
CREATE TEMP TABLE oauth_states (tenant_id uuid, state_sha256 bytea, session_sha256 bytea, ticket_sha256 bytea,
    opened_at timestamptz);
INSERT INTO oauth_states VALUES (gen_random_uuid(), 'mine', 'mine', 'mine', now());
CREATE TEMP TABLE memberships (tenant_id uuid, user_id uuid, created_at timestamptz);
INSERT INTO memberships VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now());
CREATE TEMP TABLE users (id uuid);
INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000000');
CREATE TEMP TABLE reader_tenants (tenant_id uuid, login text);
INSERT INTO reader_tenants VALUES (gen_random_uuid(), session_user);
CREATE FUNCTION pg_temp.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called with the rights of %', current_user; END $$;
CREATE FUNCTION pg_temp.get_byte(bytea, integer) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'called with the rights of %', current_user; END $$;
SET search_path = pg_temp, public, pg_catalog;
"""

NONSENSE = {
    "find_api_key": ["NULL", "''", "'mine'", "decode(repeat('00', 100000), 'hex')"],
    "find_connections_of_person": [
        "NULL, NULL, NULL",
        "'x', '1', 'infinity'",
        "'%', '%', now()",
        "'x'' OR true --', '', '-infinity'",
    ],
    "find_connections_sharing_grant": ["NULL", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"],
    "find_invitation": ["NULL", "''", "'mine'", "decode(repeat('00', 100000), 'hex')"],
    "find_media_link": ["NULL", "''", "'mine'", "decode(repeat('00', 100000), 'hex')"],
    "find_oauth_state": ["NULL, NULL, NULL", "'', '', ''", "'mine', 'mine', 'mine'"],
    "find_own_connections": [""],
    "find_session": ["NULL", "''", "'mine'", "decode(repeat('00', 100000), 'hex')"],
    "find_target_events": ["NULL", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"],
    "find_tenants_of_person": ["NULL", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"],
    "find_tenants_of_sessions": ["NULL", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"],
    "forget_person": ["NULL", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"],
    "find_deletion_request": ["NULL", "''", "'mine'", "'%'", "repeat('x', 100000)"],
    "find_pull_progress": ["NULL", "'{}'", "ARRAY[gen_random_uuid()]"],
    "find_vault_keys": [""],
    "request_account_deletion": ["NULL, NULL", "gen_random_uuid(), 'mine'", "gen_random_uuid(), repeat('x', 100000)"],
    "request_pull": ["NULL, NULL, NULL, NULL", "gen_random_uuid(), '{comments}', '{1}', 'mine'"],
}


async def test_nonsense_and_tables_of_the_same_names_get_nothing_out_of_a_function(filled: Filled) -> None:
    assert {name.partition("(")[0] for name, callers in FUNCTIONS.items() if WEB_ROLE in callers} == set(NONSENSE)
    intruder = await asyncpg.connect(filled.addresses["serve"])
    await intruder.execute(SHADOWS)
    await intruder.execute("SELECT pg_catalog.set_config('landfall.tenant', $1, false)", DEFAULT_TENANT)
    for name, calls in NONSENSE.items():
        for given in calls:
            rows = await intruder.fetch(f"SELECT * FROM public.{name}({given})")
            found = [value for row in rows for value in row.values() if value not in (None, False)]
            assert found == [], (name, given)
            acting = await intruder.fetchval("SELECT current_setting('landfall.tenant')")
            assert acting == DEFAULT_TENANT, "it goes on for the tenant that it was acting for"
    await intruder.close()


async def test_no_body_is_dropped_that_is_not_stored_twice(filled: Filled) -> None:
    """Whatever somebody notes as its digest, and whatever they call a table."""
    await filled.owner.execute(
        """
        INSERT INTO webhook_deliveries (id, provider, body, headers, verdict, secret_used)
        VALUES (gen_random_uuid(), 'tiktok', 'another', '', 'accepted', 'S#1')"""
    )
    before = await filled.everything()
    ids = [row["id"] for row in before["webhook_deliveries"]]
    intruder = await asyncpg.connect(filled.addresses["work"])
    await intruder.execute(
        """
        INSERT INTO webhook_delivery_outcomes (delivery_id, rule_version, verdict, event_count, new_event_count,
            body_sha256) SELECT id, 1, 'accepted', 0, 0, 'mine' FROM webhook_deliveries"""
    )
    await intruder.execute(SHADOWS)
    for given in ([], ids, ids * 2, [None]):
        await intruder.execute("SELECT public.share_bodies($1::uuid[])", given)
    await intruder.close()
    assert await filled.everything() == before


async def test_nobody_is_told_that_a_grant_is_shared_with_none_who_asks_for_no_tenant(filled: Filled) -> None:
    """It would be revoked for all who share it."""
    intruder = await asyncpg.connect(filled.addresses["serve"])
    for tenant in ("*", ""):
        await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
        with pytest.raises(asyncpg.InvalidParameterValueError, match="a tenant asks this"):
            await intruder.fetch("SELECT * FROM find_connections_sharing_grant(gen_random_uuid())")
        with pytest.raises(asyncpg.InvalidParameterValueError, match="a tenant asks this"):
            await intruder.fetch("SELECT * FROM request_account_deletion(gen_random_uuid(), 'mine')")
    await intruder.close()


async def test_web_process_asks_for_the_erasure_of_no_other_tenants_account(filled: Filled) -> None:
    """Neither by a connection of another tenant, nor by a row that names one."""
    other = await tenants.add(filled.owner, "other", TESTS)
    async with filled.owner.transaction():
        await set_tenant(filled.owner, "*")
        theirs = rows(THEIRS, THEIRS)["connections"].replace(DEFAULT_TENANT, other)
        await filled.owner.execute(f"INSERT INTO connections {theirs}")
    intruder = await asyncpg.connect(filled.addresses["serve"])
    await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", DEFAULT_TENANT)
    assert await intruder.fetch("SELECT * FROM request_account_deletion($1::uuid, 'mine')", THEIRS) == []
    for statement in (
        f"INSERT INTO deletion_requests (code, platform, requesting_tenant_id) VALUES ('c', 'x', '{other}')",
        "SELECT requesting_tenant_id FROM deletion_requests",
        "UPDATE deletion_requests SET requested_at = now()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await intruder.execute(statement)
    await intruder.execute("SELECT set_config('landfall.tenant', $1, false)", other)
    asked = await intruder.fetch("SELECT * FROM request_account_deletion($1::uuid, 'theirs')", THEIRS)
    assert [tuple(row) for row in asked] == [("theirs", "x")]
    assert await filled.owner.fetchval("SELECT count(*) FROM deletion_requests") == 1
    await intruder.close()


async def test_state_of_an_event_is_checked_whatever_an_intruder_calls_a_table(filled: Filled) -> None:
    intruder = await asyncpg.connect(filled.addresses["work"])
    for table in ("webhook_event_queue", "webhook_event_outcomes"):
        await intruder.execute(f"CREATE TEMP TABLE {table} (bucket smallint, account_id text, event_id bigint)")
    with pytest.raises(asyncpg.CheckViolationError, match="still waits"):
        await intruder.execute(
            "INSERT INTO public.webhook_event_outcomes (bucket, account_id, event_id, state, error_message)"
            " VALUES ($1, 'a', $2, 'parked', 'mine')",
            bucket_of("instagram", "a"),
            filled.event,
        )
    await intruder.close()


async def test_key_is_found_by_its_digest_and_by_nothing_else(filled: Filled) -> None:
    async with await open_pool(filled.addresses["serve"], "test", 1) as pool:
        key = await api_keys.create(pool, DEFAULT_TENANT, "made by the web process", api_keys.DEFAULT_SCOPES, TESTS)
        caller = await api_keys.authenticate(pool, key, "203.0.113.1")
        assert caller is not None
        assert (caller.tenant, caller.actor.name) == (DEFAULT_TENANT, "key:made by the web process")
        assert await api_keys.authenticate(pool, key[:-1], "203.0.113.1") is None
        async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
            assert await connection.fetchval("SELECT last_used_from FROM api_keys WHERE name <> 'crm'") is not None


async def test_process_started_before_the_migration_is_told_to_wait_for_it(database: str) -> None:
    code, said = await command(database, "verify", LANDFALL_DATABASE_ROLE="landfall_later")
    assert (code, said) == (1, 'Error: role "landfall_later" does not exist: run `landfall migrate`, which makes it\n')


# --- logins


async def test_login_is_made_again_with_another_password_and_is_a_member_of_one_role(
    database: str, connection: asyncpg.Connection
) -> None:
    for password in ("first password".replace(" ", "_"), "a:/?#[]@second$%^&*'\"\\"):
        await logins.make(connection, "work", "landfall_again", password)
        opened = await asyncpg.connect(logins.address(database, "landfall_again", password))
        assert await opened.fetchval("SELECT pg_has_role(session_user, $1, 'USAGE')", WORKER_ROLE)
        assert await logins.excess(opened, "landfall_again", WORKER_ROLE) == []
        assert await logins.excess(opened, "landfall_again", WEB_ROLE) == [f"can act as {WORKER_ROLE}"]
        await opened.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(logins.address(database, "landfall_again", "first_password"))


async def test_login_that_is_somebodys_is_not_taken_over(postgres: Postgres, connection: asyncpg.Connection) -> None:
    postgres.sql(
        "DROP ROLE IF EXISTS mighty, reader",
        "CREATE ROLE mighty LOGIN SUPERUSER",
        "CREATE ROLE reader LOGIN IN ROLE pg_read_all_data",
    )
    for name, why in (
        ("mighty", "rights over the whole server"),
        ("reader", "a member of pg_read_all_data"),
        ("landfall", "the login of DATABASE_URL itself"),
        ('x"; DROP ROLE landfall_web; --', "the name of a login"),
        ("Landfall", "the name of a login"),
    ):
        with pytest.raises(logins.UnfitLogin, match=why):
            await logins.make(connection, "serve", name, PASSWORD)
    for password in ("short", "with a blank inside", "x" * 257, "ümlaut-passwort", "line\nbreak-password"):
        with pytest.raises(logins.UnfitLogin, match="the password of a login"):
            await logins.make(connection, "serve", "landfall_serve", password)


async def test_owner_who_may_make_no_roles_is_told_what_somebody_else_has_to_run(
    postgres: Postgres, database: str
) -> None:
    name = database.rpartition("/")[2]
    postgres.sql("DROP ROLE IF EXISTS plain", f"CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}' IN ROLE landfall_app")
    code, said = await command(
        logins.address(database, "plain", PASSWORD), "db", "login", "serve", "--name", f"{name}_new",
        "--password-file", "/dev/stdin",
    )  # fmt: skip
    assert code == 1
    assert "the password of a login has" in said, "nothing is on standard input"
    file = postgres.directory / "password-of-a-login"
    file.write_text(f"{PASSWORD}\n")
    where = ("db", "login", "serve", "--name", f"{name}_new", "--password-file", str(file))
    code, said = await command(logins.address(database, "plain", PASSWORD), *where)
    assert code == 1
    steps = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert steps == [f"CREATE ROLE {name}_new LOGIN;", f"GRANT landfall_web TO {name}_new;", f"\\password {name}_new"]
    assert PASSWORD not in said
    postgres.sql(*steps[:2])
    if int(postgres.sql("SHOW server_version_num")) >= 160000:  # before, whoever creates roles may change any
        code, said = await command(database, *where)
        assert (code, "may not make others" in said) == (1, True), "it is the superuser's"
        assert f"ALTER ROLE {name}_new LOGIN INHERIT;" in said
    postgres.sql(f"DROP ROLE {name}_new")
    code, said = await command(database, *where)
    assert code == 0
    assert said.startswith(f"{name}_new can log in, and do what `landfall serve` needs")


@pytest.mark.parametrize("pgbouncer", [False, True], ids=["sessions", "transactions"])
async def test_one_login_for_all_still_becomes_each_process_and_its_own_login_only_that_one(
    postgres: Postgres, database: str, addresses: Mapping[str, str], *, pgbouncer: bool
) -> None:
    """As a member of landfall_app, which was what an install without the owner's login had."""
    postgres.sql("DROP ROLE IF EXISTS shared", f"CREATE ROLE shared LOGIN PASSWORD '{PASSWORD}' IN ROLE landfall_app")
    for dsn, own in (
        (logins.address(database, "shared", PASSWORD), {WEB_ROLE, WORKER_ROLE, APP_ROLE}),
        (addresses["serve"], {WEB_ROLE}),
        (addresses["work"], {WORKER_ROLE}),
    ):
        for role in RIGHTS:
            async with await open_pool(dsn, "test", 1, role=role, pgbouncer=pgbouncer) as pool:
                if role in own:
                    async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
                        assert await connection.fetchval("SELECT current_user") == role
                else:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied to set role"):
                        async with tenant_transaction(pool, DEFAULT_TENANT):
                            pass


async def test_neither_statement_nor_log_of_the_server_holds_the_password(
    postgres: Postgres, connection: asyncpg.Connection
) -> None:
    postgres.sql("ALTER ROLE landfall SET log_statement = 'all'")
    try:
        loud = await asyncpg.connect(postgres.dsn(await connection.fetchval("SELECT current_database()")))
        await logins.make(loud, "serve", "landfall_serve", "canary-password-5e1f")
        await loud.close()
    finally:
        postgres.sql("ALTER ROLE landfall RESET log_statement")
    log = postgres.log.read_text()
    assert "ALTER ROLE landfall_serve LOGIN INHERIT PASSWORD 'SCRAM-SHA-256$4096:" in log
    assert "canary-password" not in log
