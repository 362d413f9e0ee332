"""Nothing of a tenant is seen or changed by another: every address and table (rows J1 and J2 of ``faults.md``)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from ops.access import api_keys, sessions, tenants, users
from ops.web import static_files
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import TESTS, Rig, add_pages

PASSWORD = "correct horse battery"
NOBODY = "00000000-0000-7000-8000-00000000dead"

SETTING = "current_setting('landfall.tenant'::text, true)"
POLICIES = [
    f"every_tenant of landfall_worker: ({SETTING} = '*'::text)",
    f"tenant of everybody: ((tenant_id)::text = {SETTING})",
]
ACCOUNT_KEYS = {"account_id", "bucket", "provider"}
"""What spreads accounts' data: one of them stands in every unique key of it."""

NOBODYS = {
    "alembic_version": "how far the schema is",
    "crm_verifications": "what comparisons of the whole install found: counts",
    "database_incarnations": "which histories this database has lived; of the whole install, and no one's",
    "outages": "times in which the whole install received no webhooks",
    "processes": "which processes of the whole install run, and what they have settings for: no values",
    "deletion_requests": "a platform's person, or a tenant, asks the whole install; found by an unguessable code",
    "devices": "browsers of a person, who may belong to several",
    "passkeys": "of a person, who may belong to several",
    "pending_logins": "of a person, before it is known at which tenant; found by a digest",
    "recovery_codes": "of a person, who may belong to several",
    "totp_factors": "of a person, who may belong to several",
    "webauthn_challenges": "found by a digest of a session or a pending login",
    "login_failures": "digests of addresses, counted before it is known whose they are",
    "platform_budgets": "a platform counts our one application, and an account however many tenants connected it",
    "signed_requests": "a platform's person asks the whole install; found by what was signed",
    "tenants": "what the others belong to",
    "users": "a person may belong to several; memberships say to which",
    "vault_canaries": "one for each key of the install",
    "retention_policies": "of the whole install: how long its log is kept",
    "webhook_delivery_outcomes": "what deliveries came to, without anything of them",
    "webhook_delivery_queue": "ids of deliveries",
    "webhook_deliveries": "raw bodies, each with events of several accounts; found by the id in an event",
}


async def complaints(connection: asyncpg.Connection) -> list[str]:
    """What is wrong with how the tables are divided among tenants and accounts."""
    tables = await connection.fetch(
        """
        SELECT c.oid, c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS held,
            array(SELECT concat_ws(' but ', format('%s of %s: %s', p.polname, coalesce(nullif(array_to_string(array(
                    SELECT rolname FROM pg_roles WHERE oid = ANY(p.polroles) ORDER BY 1), ' and '), ''), 'everybody'),
                    pg_get_expr(p.polqual, p.polrelid)), pg_get_expr(p.polwithcheck, p.polrelid))
                FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1) AS policies,
            array(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
        ORDER BY 2"""
    )
    unique = await connection.fetch(
        """
        SELECT indrelid AS oid, indexrelid::regclass::text AS name, array(SELECT a.attname::text FROM pg_attribute a
            WHERE a.attrelid = indrelid AND a.attnum = ANY(indkey)) AS columns
        FROM pg_index WHERE indisunique ORDER BY 2"""
    )
    foreign = await connection.fetch(
        """
        SELECT conrelid AS oid, conname AS name, confrelid AS target, array(SELECT a.attname::text FROM pg_attribute a
            WHERE a.attrelid = conrelid AND a.attnum = ANY(conkey)) AS columns
        FROM pg_constraint WHERE contype = 'f' ORDER BY 2"""
    )
    tenanted = {row["oid"] for row in tables if "tenant_id" in row["columns"] and row["name"] not in NOBODYS}
    found = [f"{name} is no table any more" for name in NOBODYS if name not in {row["name"] for row in tables}]
    for table in tables:
        name, columns = table["name"], set(table["columns"])
        if name in NOBODYS:
            if columns & {"tenant_id", "account_id"}:
                found.append(f"{name} is somebody's after all")
        elif table["oid"] in tenanted:
            if not table["held"]:
                found.append(f"{name} does not force row-level security")
            if table["policies"] != POLICIES:
                found.append(f"{name} has not the two policies of tenants")
            keyed = [*_of(unique, table), *(row for row in _of(foreign, table) if row["target"] in tenanted)]
            found += [f"{row['name']} does not hold tenant_id" for row in keyed if "tenant_id" not in row["columns"]]
        elif columns & ACCOUNT_KEYS:
            found += [
                f"{row['name']} holds nothing of an account"
                for row in _of(unique, table)
                if not set(row["columns"]) & ACCOUNT_KEYS
            ]
        else:
            found.append(f"{name} belongs to nobody, and no reason is given")
    return found


def _of(rows: list[asyncpg.Record], table: asyncpg.Record) -> Iterator[asyncpg.Record]:
    return (row for row in rows if row["oid"] == table["oid"])


async def test_every_table_is_a_tenants_or_an_accounts_or_says_why_it_is_nobodys(
    connection: asyncpg.Connection,
) -> None:
    """What a new table forgets fails here, and not at a customer's."""
    assert await complaints(connection) == []


HELD = """
CREATE TABLE a (tenant_id uuid, name text);
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
ALTER TABLE a FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON a USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON a TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""
UNFORCED = "a does not force row-level security"
UNHELD = "a has not the two policies of tenants"


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        ("CREATE TABLE a (tenant_id uuid)", [UNFORCED, UNHELD]),
        (HELD + "CREATE UNIQUE INDEX uq ON a (name)", ["uq does not hold tenant_id"]),
        (HELD + "ALTER TABLE a NO FORCE ROW LEVEL SECURITY", [UNFORCED]),
        (HELD + "CREATE POLICY more ON a USING (true)", [UNHELD]),
        (HELD + "ALTER POLICY tenant ON a USING (true)", [UNHELD]),
        (HELD + "ALTER POLICY every_tenant ON a TO PUBLIC", [UNHELD]),
        (HELD + "ALTER POLICY every_tenant ON a TO landfall_worker, landfall_web", [UNHELD]),
        (HELD + "ALTER POLICY tenant ON a WITH CHECK (true)", [UNHELD]),
        ("CREATE UNIQUE INDEX uq ON connections (id)", ["uq does not hold tenant_id"]),
        (
            HELD + "ALTER TABLE a ADD UNIQUE (tenant_id, name);"
            "ALTER TABLE a ADD UNIQUE (name); ALTER TABLE a ADD other text CONSTRAINT fk REFERENCES a (name)",
            ["a_name_key does not hold tenant_id", "fk does not hold tenant_id"],
        ),
        ("CREATE TABLE a (id bigint UNIQUE, account_id text)", ["a_id_key holds nothing of an account"]),
        ("CREATE TABLE a (id bigint PRIMARY KEY, body text)", ["a belongs to nobody, and no reason is given"]),
        ("DROP TABLE crm_verifications", ["crm_verifications is no table any more"]),
        ("ALTER TABLE users ADD tenant_id uuid", ["users is somebody's after all"]),
    ],
)
async def test_table_that_forgets_its_tenant_is_named(
    connection: asyncpg.Connection, statements: str, named: list[str]
) -> None:
    await connection.execute(statements)
    assert sorted(await complaints(connection)) == sorted(named)


# --- every address


@dataclass
class Side:
    """One tenant's things, or nobody's: whatever an address, a query or a form can name."""

    ids: list[str]
    email: str
    key: str
    tenant: str
    entry: int


@dataclass(repr=False)
class Two:
    """Tenant A, who has everything, and tenant B, who asks."""

    rig: Rig
    of_a: Side
    b: str
    b_key: str

    async def everything_of_a(self) -> dict[str, Any]:
        """Whatever a request of B's could change; what A's log says of wrong passwords is not B's doing."""
        tables = await self.rig.raw(
            """
            SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"""
        )
        found = {}
        for [table] in tables:
            where = "tenant_id = $1::uuid" + (" AND action <> 'user.refused'" if table == "audit_log" else "")
            found[table] = await self.rig.raw(
                f"SELECT * FROM {table} WHERE {where} ORDER BY {table}::text", DEFAULT_TENANT
            )
        found["users"] = await self.rig.raw("SELECT * FROM users WHERE email = $1", self.of_a.email)
        return found


@pytest.fixture
async def two(rig: Rig, connection: asyncpg.Connection) -> Two:
    [id_] = await rig.connect("tiktok")
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", PASSWORD, "owner", TESTS)
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "editor", TESTS)
    for email in ("ada@example.org", "eve@example.org"):
        assert await sessions.login(rig.pool, email, PASSWORD, None)
    user = await users.find_member(rig.pool, DEFAULT_TENANT, "eve@example.org")
    [[key]] = await rig.raw("SELECT id::text FROM api_keys")
    [[entry]] = await rig.raw("SELECT max(id) FROM audit_log")
    status, file = await rig.api("POST", "/api/media", data=media_samples.image())
    assert status == 201
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    async with rig.http.post(
        f"{rig.url}/api/media/uploads", headers={"Authorization": f"Bearer {rig.key}", **headers}
    ) as response:
        upload = response.headers["Location"].rpartition("/")[2]
    [writer] = await rig.connect("x")
    draft = {"content": "Tea", "targets": [{"connection": writer}], "action": "draft"}
    rule = {"post": {name: draft[name] for name in ("content", "targets")}, "rule": "FREQ=DAILY;COUNT=2"}
    made = []
    for path, body in (
        ("/api/posts", draft),
        ("/api/actions", {"kind": "hide_comment", "connection": writer, "object": "77"}),
        ("/api/recurrences", rule | {"start_time": "2099-06-01T09:00Z"}),
    ):
        status, answer = await rig.api("POST", path, json=body)
        assert status == 201, answer
        [id_of] = [found["id"] for found in answer.values() if isinstance(found, dict) and "id" in found]
        made.append(id_of)
    b = await tenants.add(connection, "other", TESTS)
    await users.add(rig.pool, b, "bob@example.org", PASSWORD, "owner", TESTS)
    await users.add(rig.pool, b, "second@example.org", PASSWORD, "owner", TESTS)
    b_key = await api_keys.create(rig.pool, b, "theirs", api_keys.SCOPES, TESTS)
    return Two(
        rig,
        Side([id_, user or "", key, file["id"], upload, *made], "eve@example.org", "tests", DEFAULT_TENANT, entry),
        b,
        b_key,
    )


def routes(rig: Rig) -> list[tuple[str, str]]:
    """Every address there is; a new one is called by these tests by itself."""
    app = web.Application()
    add_pages(app, rig.pool, rig.built, uploads=rig.uploads)
    found = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]
    return [(method, path) for method, path in found if not path.startswith(static_files.PATH)]  # anybody's


def shape(text: str) -> Any:
    """An answer without its words."""
    try:
        return _form(json.loads(text))
    except ValueError:
        return re.findall(r"<(\w+)", text)


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _form(inner) for name, inner in value.items()}
    return [_form(inner) for inner in value[:1]] if isinstance(value, list) else type(value).__name__


async def asked(two: Two, method: str, path: str, side: Side, caller: dict[str, str], csrf: str) -> list[Any]:
    """What B is answered, with each of the ids in the address in turn."""
    answers = []
    for id_ in side.ids if "{id}" in path else side.ids[:1]:
        parts = {"id": id_, "platform": "tiktok", "instance": "social.example", "code": id_, "token": id_}
        parts["view"] = "posts_v1"
        address = re.sub(r"\{(\w+)\}", lambda found, parts=parts: parts[found[1]], path)
        named = {"tenant": side.tenant, "before": str(side.entry), "state": id_, "ticket": id_, "code": id_}
        form = {"csrf": csrf, "email": side.email, "name": side.key, "role": "viewer", "password": "wrong password"}
        data = (
            form | {"tenant": side.tenant, "id": id_, "old": PASSWORD + "x", "new": PASSWORD}
            if method == "POST"
            else None
        )
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                method, two.rig.url + address, params=named, data=data, headers=caller, allow_redirects=False
            ) as response,
        ):
            kind = "text/html" in caller.get("Accept", "")
            # The login leads back to what was asked for, whatever that was.
            location = (response.headers.get("Location") or "").partition("?next=")[0]
            answers.append((response.status, kind, location, shape(await response.text())))
    return answers


LEADS_ON = {"/api/auth/{platform}"}
"""Begins a flow of B's own, whatever the query says; where it leads is another address each time."""


async def test_no_address_tells_a_tenants_things_from_things_that_are_not_there(two: Two) -> None:
    nobodys = Side([NOBODY] * len(two.of_a.ids), "nobody@example.org", "no such", NOBODY, two.of_a.entry)
    called = set()
    for method, path in routes(two.rig):
        for way in ("key", "session"):
            before = await two.everything_of_a()
            answers = []
            for side in (two.of_a, nobodys):
                caller, csrf = {"Authorization": f"Bearer {two.b_key}"}, ""
                if way == "session":
                    await two.rig.connection.execute("DELETE FROM login_failures")
                    bobs = "user_id = (SELECT id FROM users WHERE email = 'bob@example.org')"
                    await two.rig.raw(f"DELETE FROM sessions WHERE {bobs}")  # his own page lists them
                    person = await sessions.login(two.rig.pool, "bob@example.org", PASSWORD, None)
                    assert person is not None
                    caller, csrf = {"Cookie": f"landfall={person.token}", "Accept": "text/html"}, person.csrf
                answers.append(await asked(two, method, path, side, caller, csrf))
                await two.rig.raw("DELETE FROM memberships WHERE tenant_id = $1::uuid AND role = 'viewer'", two.b)
                await two.rig.raw("DELETE FROM invitations WHERE tenant_id = $1::uuid", two.b)
                await two.rig.raw("DELETE FROM api_keys WHERE tenant_id = $1::uuid AND name <> 'theirs'", two.b)
            if path not in LEADS_ON:
                assert answers[0] == answers[1], (method, path, way)
            assert 500 not in {answer[0] for answer in answers[0]}
            assert await two.everything_of_a() == before, (method, path, way)
            called.add((method, path))
    assert len(called) > 25
    assert ("POST", "/people/{id}/role") in called


async def test_tenant_sees_its_own_and_without_a_tenant_nothing_is_seen(two: Two) -> None:
    headers = {"Authorization": f"Bearer {two.b_key}"}
    assert await two.rig.api("GET", "/api/connections", headers=headers) == (200, {"connections": []})
    status, found = await two.rig.api("GET", "/api/audit", headers=headers)
    assert status == 200
    assert {entry["action"] for entry in found["entries"]} == {
        "tenant.added",
        "user.added",
        "key.created",
        "key.used",
    }
    tables = await two.rig.connection.fetch(
        """
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"""
    )
    assert len(tables) >= 8
    for [table] in tables:
        assert await two.rig.connection.fetchval(f"SELECT count(*) FROM {table}") == 0, "the owner is held to it too"
