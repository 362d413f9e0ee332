"""The commands a person types when something is to be seen or mended."""

import asyncio
import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.access import invitations
from ops.access.sessions import Person
from ops.cli import wiring
from ops.cli.main import COMMANDS
from ops.cli.sql import apart
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, free_port, scratch
from ops.runtime.sweep import sweep
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.worker import DEAD_AFTER_PARKED, Projector
from tests import fork_server
from tests.support import CANARIES, ENVIRONMENT, append_event, breakable_redis, breaking, copy_of


def landfall(
    *arguments: str, check: int | None = 0, answer: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a command from nowhere in particular; by default it must succeed."""
    done = fork_server.run(*arguments, environment={"PATH": os.environ["PATH"], **environ}, answer=answer)
    assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_starts_as_a_program_of_its_own(name: str) -> None:
    """Most tests fork commands from a process that has imported them all: here each has to import what it needs."""
    command = [sys.executable, "-m", "ops.cli.main", name, "--help"]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: python -m ops.cli.main {name} ")


@pytest.fixture
async def parked(connection: asyncpg.Connection, database: str) -> list[int]:
    """Three events: one done, one parked because it names no comment, one of a type nobody projects."""
    value = {"id": "c1", "media": {"id": "m1"}, "from": {"id": "1", "username": "u"}, "text": "t"}
    ids = [
        await append_event(connection, "a", "e1", payload=value),
        await append_event(connection, "a", "e2", payload={"text": "no id"}),
        await append_event(connection, "a", "e3", type="story_mentions"),
    ]
    async with await open_pool(database, "test", 2, role=APP_ROLE) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    return ids


async def test_events_are_listed_by_filter_and_shown_whole(parked: list[int], database: str) -> None:
    lines = landfall("events", "list", "--json", DATABASE_URL=database).stdout.splitlines()
    assert [(json.loads(line)["id"], json.loads(line)["state"]) for line in lines] == [
        (parked[2], "ignored"),
        (parked[1], "parked"),
        (parked[0], "done"),
    ]
    table = landfall("events", "list", "--state", "parked", "--platform", "instagram", DATABASE_URL=database).stdout
    assert len(table.splitlines()) == 1
    assert "Unprojectable: comment id is missing" in table
    shown = json.loads(landfall("events", "show", str(parked[1]), "--json", DATABASE_URL=database).stdout)
    assert (shown["payload_json"], shown["state"], shown["delivery"]) == ({"text": "no id"}, "parked", None)
    assert '"text": "no id"' in landfall("events", "show", str(parked[1]), DATABASE_URL=database).stdout
    missing = landfall("events", "show", "999999", check=1, DATABASE_URL=database)
    assert "there is no event 999999" in missing.stderr


async def test_retry_and_ignore_change_what_they_say(
    parked: list[int], database: str, connection: asyncpg.Connection
) -> None:
    async def state(number: int) -> str:
        return await connection.fetchval("SELECT state FROM webhook_events WHERE id = $1", parked[number])

    assert "1 event put back" in landfall("events", "retry", "--state", "parked", DATABASE_URL=database).stdout
    assert await state(1) == "pending"
    again = landfall("events", "retry", str(parked[1]), DATABASE_URL=database).stdout
    assert "0 events put back on the queue; 1 were left" in again
    async with await open_pool(database, "test", 2, role=APP_ROLE) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    assert await state(1) == "parked"
    landfall("events", "ignore", str(parked[1]), "--reason", "known bad", DATABASE_URL=database)
    assert await state(1) == "ignored"
    reason = await connection.fetchval("SELECT error_message FROM webhook_events WHERE id = $1", parked[1])
    assert reason == "known bad"
    done = landfall("events", "ignore", str(parked[0]), "--reason", "r", DATABASE_URL=database).stdout
    assert "0 events ignored" in done
    assert await state(0) == "done"


async def test_retry_asks_before_changing_many_and_refuses_to_guess(parked: list[int], database: str) -> None:
    assert landfall("events", "retry", check=2, DATABASE_URL=database).stderr.count("at least one filter")
    ids = [str(number) for number in parked]
    assert landfall("events", "retry", *ids, "--state", "done", check=2, DATABASE_URL=database)
    refused = landfall("events", "retry", *ids, check=1, answer="n\n", DATABASE_URL=database)
    assert "3 events fit" in refused.stdout
    assert "3 events put back" in landfall("events", "retry", *ids, "--yes", DATABASE_URL=database).stdout


async def test_event_that_is_retried_keeps_its_tries_and_its_error_and_dies_of_them(
    parked: list[int], database: str, connection: asyncpg.Connection
) -> None:
    """Else whoever retries for ever keeps it parked for ever, and nobody sees that no release can read it."""
    row = "SELECT state, retry_count, error_message FROM webhook_events WHERE id = $1"
    error = "Unprojectable: comment id is missing, or is not an id"
    async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        for tried in range(1, DEAD_AFTER_PARKED):
            assert tuple(await connection.fetchrow(row, parked[1])) == ("parked", tried, error)
            landfall("events", "retry", str(parked[1]), DATABASE_URL=database)
            assert tuple(await connection.fetchrow(row, parked[1])) == ("pending", tried, error)
            await Projector(pool, wiring.projections(), tries=1).drain()
    assert tuple(await connection.fetchrow(row, parked[1])) == ("dead", DEAD_AFTER_PARKED, error)
    assert "0 events" not in landfall("events", "retry", "--state", "dead", DATABASE_URL=database).stdout
    assert (await connection.fetchrow(row, parked[1]))["state"] == "pending"


async def test_retry_by_filter_takes_parked_events_and_leaves_what_is_done(
    parked: list[int], database: str, connection: asyncpg.Connection
) -> None:
    for chosen in (("--platform", "instagram"), ("--account", "a"), ("--type", "comments")):
        said = landfall("events", "retry", *chosen, "--wait", "0", DATABASE_URL=database).stdout
        assert said == "1 event put back on the queue\n"
        states = await connection.fetch("SELECT id, state FROM webhook_events ORDER BY id")
        assert [tuple(row) for row in states] == list(zip(parked, ("done", "pending", "ignored"), strict=True))
        async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
            await Projector(pool, wiring.projections(), tries=9).drain()


@pytest.mark.parametrize("state", ["parked", "dead"])
async def test_event_is_ignored_from_now_on_and_stays_in_the_log(
    parked: list[int], database: str, connection: asyncpg.Connection, state: str
) -> None:
    if state == "dead":
        async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
            for _ in range(DEAD_AFTER_PARKED - 1):
                landfall("events", "retry", str(parked[1]), DATABASE_URL=database)
                await Projector(pool, wiring.projections(), tries=1).drain()
    await connection.execute("UPDATE webhook_event_outcomes SET settled_at = now() - interval '1 day'")
    before = await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id")
    begun = await connection.fetchval("SELECT now()")
    said = landfall("events", "ignore", "--state", state, "--reason", "of a test", DATABASE_URL=database).stdout
    assert said == "1 event ignored\n"
    event = await connection.fetchrow("SELECT * FROM webhook_events WHERE id = $1", parked[1])
    assert (event["state"], event["error_message"]) == ("ignored", "of a test")
    assert event["processed_at"] >= begun, "when it was decided, not when it failed"
    assert await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id") == before


@pytest.mark.parametrize(
    "chosen", [("--platform", "instagram"), ("--account", "a"), ("--type", "comments"), ("--state", "parked")]
)
async def test_ignore_takes_every_filter(parked: list[int], database: str, chosen: tuple[str, str]) -> None:
    assert parked
    assert "1 event ignored" in landfall("events", "ignore", *chosen, "--reason", "r", DATABASE_URL=database).stdout


async def test_ignoring_wants_a_reason(parked: list[int], database: str, connection: asyncpg.Connection) -> None:
    """Half a year later nobody knows any more why an event is missing from the tables."""
    for chosen in ([str(parked[1])], ["--state", "parked", "--yes"]):
        assert "--reason" in landfall("events", "ignore", *chosen, check=2, DATABASE_URL=database).stderr
        blank = landfall("events", "ignore", *chosen, "--reason", " \t", check=2, DATABASE_URL=database)
        assert "it is empty" in blank.stderr
    assert await connection.fetchval("SELECT state FROM webhook_events WHERE id = $1", parked[1]) == "parked"


async def test_retry_says_what_became_of_each_event_while_a_worker_runs(
    parked: list[int], database: str, connection: asyncpg.Connection
) -> None:
    value = {"id": "c2", "media": {"id": "m1"}, "text": "t"}
    good = await append_event(connection, "a", "e4", payload=value)
    async with await open_pool(database, "sync", 6, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, wiring.projections(), tries=3).drain()
        assert await pool_of_a_worker_is_seen(connection)
        stop = asyncio.Event()
        sweeping = asyncio.create_task(sweep(Projector(pool, wiring.projections(), tries=3).drain, stop))
        ids = [str(parked[1]), str(parked[2]), str(good)]
        begun = time.monotonic()
        said = await asyncio.to_thread(landfall, "events", "retry", *ids, "--yes", DATABASE_URL=database)
        assert time.monotonic() - begun < 9, "it waits no longer than it must"
        stop.set()
        await sweeping
    assert said.stdout.splitlines() == [
        "3 events put back on the queue",
        "1 event parked again",
        "1 event ignored: nothing reads its type",
        "1 event done: its rows are written",
        f"  {parked[1]}: Unprojectable: comment id is missing, or is not an id",
    ]
    assert said.stderr == ""


async def pool_of_a_worker_is_seen(connection: asyncpg.Connection) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'landfall sync'"
    return bool(await connection.fetchval(query))


async def test_retry_says_that_no_worker_runs_and_that_one_is_busy(parked: list[int], database: str) -> None:
    begun = time.monotonic()
    said = landfall("events", "retry", str(parked[1]), DATABASE_URL=database)
    assert time.monotonic() - begun < 8, "there is nothing to wait for"
    assert said.stdout.splitlines() == ["1 event put back on the queue", "1 event still waiting"]
    assert "no worker is connected" in said.stderr
    async with await open_pool(database, "sync", 1, role=APP_ROLE) as pool, pool.acquire():
        arguments = ("events", "retry", str(parked[0]), "--wait", "1")
        said = await asyncio.to_thread(landfall, *arguments, DATABASE_URL=database)
    assert said.stdout.splitlines()[-1] == "1 event still waiting"
    assert said.stderr == "after 1 s; they are worked on when their turn comes\n"


async def test_event_that_can_never_be_read_is_parked_again_when_it_is_retried(
    database: str, connection: asyncpg.Connection
) -> None:
    """Its type is one that nothing reads: to ignore it for that would hide it, and nobody decided so."""
    async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        number = await append_event(connection, "a", "unreadable:1", type="unreadable")
        query = "UPDATE webhook_event_log SET defect = 'not_json' WHERE id = $1"
        await connection.execute("ALTER TABLE webhook_event_log DISABLE TRIGGER USER")
        await connection.execute(query, number)
        await connection.execute("ALTER TABLE webhook_event_log ENABLE TRIGGER USER")
        await Projector(pool, wiring.projections(), tries=3).drain()
        row = "SELECT state, error_message FROM webhook_events WHERE id = $1"
        assert tuple(await connection.fetchrow(row, number)) == ("parked", "Unprojectable: not_json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events", "show", "0"), "is not in the range"),
        (("events", "show", str(2**63)), "is not in the range"),
        (("events", "retry", str(2**63)), "is not in the range"),
        (("events", "list", "--delivery", "nonsense"), "is not a valid UUID"),
        (("events", "list", "--account", "\udcff"), "not UTF-8"),
        (("connections", "list", "--platform", "\udcff"), "not UTF-8"),
    ],
)
def test_nonsense_on_the_command_line_is_one_clear_sentence(
    arguments: tuple[str, ...], said: str, database: str
) -> None:
    assert said in landfall(*arguments, check=2, DATABASE_URL=database).stderr


async def test_retry_takes_a_lease_holder_by_surprise_without_harm(
    parked: list[int], database: str, connection: asyncpg.Connection
) -> None:
    """What is done and put back is projected again, to the same row."""
    before = await connection.fetch("SELECT * FROM ig_comments")
    landfall("events", "retry", str(parked[0]), DATABASE_URL=database)
    async with await open_pool(database, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    assert await connection.fetch("SELECT * FROM ig_comments") == before


@pytest.fixture
def own(postgres: Postgres) -> Any:
    """A database that is called as ours are."""
    made: list[str] = []

    def make(name: str) -> str:
        postgres.sql(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} OWNER landfall")
        made.append(name)
        return postgres.dsn(name)

    yield make
    for name in made:
        postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


async def test_reset_and_seed_a_database_of_ours(own: Any) -> None:
    dsn = own("landfall_test_reset")
    assert "schema is at" in landfall("migrate", DATABASE_URL=dsn).stdout
    first = landfall("db", "seed", DATABASE_URL=dsn).stdout
    assert int(first.split()[0]) > 50
    assert landfall("db", "seed", DATABASE_URL=dsn).stdout.startswith("0 events")
    async with await open_pool(dsn, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM ig_media WHERE NOT placeholder") > 5
    assert await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state = 'parked'") == 0
    landfall("db", "reset", check=1, answer="n\n", DATABASE_URL=dsn)
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") > 0
    await connection.close()
    landfall("db", "reset", "--yes", DATABASE_URL=dsn)
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") == 0
    await connection.close()


async def test_reset_refuses_what_is_not_ours(own: Any, postgres: Postgres) -> None:
    foreign = own("somebodys_shop")
    assert "called somebodys_shop" in landfall("db", "reset", "--yes", check=1, DATABASE_URL=foreign).stderr
    dsn = own("landfall_test_shared")
    landfall("migrate", DATABASE_URL=dsn)
    postgres.sql("CREATE TABLE invoices (id int)", database="landfall_test_shared")
    assert "invoices" in landfall("db", "reset", "--yes", check=1, DATABASE_URL=dsn).stderr
    assert postgres.sql("SELECT count(*) FROM webhook_event_log", database="landfall_test_shared") == "0"


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {finding["about"]: finding for finding in json.loads(done.stdout)}


async def test_doctor_finds_a_sound_installation_sound(database: str, redis_url: str) -> None:
    done = landfall("doctor", "--json", DATABASE_URL=database, REDIS_URL=redis_url, **ENVIRONMENT)
    assert {f["level"] for f in findings(done).values()} <= {"ok", "warning"}
    assert findings(done)["durability"]["level"] == "ok"
    assert findings(done)["role"]["level"] == "ok"
    assert not any(canary in done.stdout for canary in CANARIES)
    assert "durability: a commit is on disk" in landfall("doctor", DATABASE_URL=database, **ENVIRONMENT).stdout


BROKEN = [
    ({}, "secrets", "no platform is configured"),
    ({"LANDFALL_DATABASE_ROLE": "", **ENVIRONMENT}, "role", "the service may UPDATE, DELETE, TRUNCATE events"),
]


async def test_people_keys_and_the_audit_log_of_each_tenant(database: str, connection: asyncpg.Connection) -> None:
    def said(*arguments: str, check: int = 0, answer: str = "") -> str:
        done = landfall(*arguments, check=check, answer=answer, DATABASE_URL=database)
        return done.stdout if check == 0 else done.stderr

    password = {"answer": "correct horse battery\n"}
    added = said("user", "add", "ada@example.org", "--password-file", "-", **password)
    assert "can log in as owner, at /login, and chooses another password there first\n" in added
    assert "made" in said("tenant", "add", "Shop & Co")
    for wrong in ("Shop & Co", " padded"):
        assert "tenant" in said("tenant", "add", wrong, check=1)
    assert said("tenant", "list").splitlines() == [
        "default  1 people  0 connections",
        "Shop & Co  0 people  0 connections",
    ]
    there = ("--tenant", "Shop & Co")
    link = said("user", "add", "ada@example.org", "--role", "viewer", *there)
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/invitation\?link=[\w-]{43}\n", link)
    assert "for another tenant" in said(
        "user", "add", "ada@example.org", "--password-file", "-", *there, check=1, **password
    )
    assert "can log in as owner" in said("user", "add", "bob@example.org", "--password-file", "-", *there, **password)
    assert "is a member already" in said("user", "add", "bob@example.org", *there, check=1)
    bob, ada = said("user", "list", *there).splitlines()
    assert (bob, ada[:38]) == ("bob@example.org  owner  live", "ada@example.org  viewer  invited until")
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        [[user]] = await connection.fetch("SELECT id::text FROM users WHERE email = 'ada@example.org'")
        person = Person("", user, "ada@example.org", "owner", [], "")
        await invitations.accept(pool, link.strip().rpartition("=")[2], person, None)
    assert said("user", "list", *there).splitlines() == [
        "ada@example.org  viewer  live",
        "bob@example.org  owner  live",
    ]
    again = said("user", "add", "ada@example.org", "--password-file", "-", *there, **password)
    assert "as viewer" in again, "a member keeps the role"
    assert said("user", "add", "new@example.org", *there).startswith("http")
    assert said("user", "remove", "new@example.org", *there) == "new@example.org is not invited any more\n"
    assert said("user", "list").splitlines() == ["ada@example.org  owner  live"]
    assert "last owner" in said("user", "role", "ada@example.org", "viewer", check=1)
    assert "last owner" in said("user", "remove", "bob@example.org", *there, check=1)
    assert said("user", "role", "ada@example.org", "owner", *there) == "ada@example.org is owner\n"
    assert "does not belong here any more" in said("user", "remove", "ada@example.org", *there)
    assert said("key", "create", "crm", *there).startswith("lf_")
    assert said("key", "create", "crm", "--scope", "audit:read").startswith("lf_")
    assert "unknown scope people:write" in said("key", "create", "no", "--scope", "people:write", check=1)
    assert said("key", "list", *there) == "crm  live  never used  connections:read connections:write\n"
    assert said("key", "list") == "crm  live  never used  audit:read\n"
    assert "is revoked" in said("key", "revoke", "crm", *there)
    assert "live" in said("key", "list")
    for command in (("user", "list"), ("key", "create", "x"), ("audit",)):
        wrong = said(*command, "--tenant", "nobody's", check=1)
        assert "there is no tenant nobody's: look for it with `landfall tenant list`" in wrong
        assert "Shop" not in wrong
    first = said("audit", *there, "--limit", "2").splitlines()[1]
    assert first.endswith("Z  command  key.created  crm  (scopes connections:read connections:write)")
    entries = [json.loads(line) for line in said("audit", *there, "--json").splitlines()]
    assert [entry["action"] for entry in entries] == [
        "key.revoked",
        "key.created",
        "user.removed",
        "user.role_changed",
        "invitation.withdrawn",
        "invitation.made",
        "user.password_set",
        "user.added",
        "user.added",
        "invitation.made",
        "tenant.added",
    ]
    assert entries[3]["detail"] == {"from": "viewer", "to": "owner"}
    assert [json.loads(line)["id"] for line in said("audit", *there, "--json", "--limit", "2").splitlines()] == [
        entry["id"] for entry in entries[:2]
    ]


def vault_key(byte: int) -> str:
    return "old:" + base64.urlsafe_b64encode(bytes([byte]) * 32).decode()


async def test_doctor_looks_at_the_keys_the_address_and_the_accounts_that_wait(database: str) -> None:
    keyed = ENVIRONMENT | {"LANDFALL_VAULT_KEYS": vault_key(1)}
    assert (
        "no key for tokens"
        in findings(landfall("doctor", "--json", DATABASE_URL=database, **ENVIRONMENT))["connections"]["message"]
    )
    found = findings(landfall("doctor", "--json", DATABASE_URL=database, **keyed))
    assert (found["vault"]["level"], found["mail"]["level"]) == ("ok", "warning")
    assert "only when they look" in found["mail"]["message"]
    mail = {"LANDFALL_SMTP_URL": "smtp://u:canary@h", "LANDFALL_MAIL_FROM": "a@example.org"}
    done = landfall("doctor", "--json", DATABASE_URL=database, **keyed, **mail)
    assert findings(done)["mail"]["level"] == "ok"
    assert "canary" not in done.stdout + done.stderr
    connection = await asyncpg.connect(database)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    await connection.execute(
        """
        INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
            reason, authorized_at)
        SELECT id, id, 'x', '1', '{}', 'u', '{}', '{}', 'needs_reconnect', 'a test', now() FROM tenants"""
    )
    await connection.close()
    waiting = findings(landfall("doctor", "--json", DATABASE_URL=database, **keyed))["connections"]
    assert "1 accounts of x wait" in waiting["message"]
    wrong = keyed | {"LANDFALL_VAULT_KEYS": vault_key(2)}
    assert (
        "another one than it was"
        in findings(landfall("doctor", "--json", check=1, DATABASE_URL=database, **wrong))["vault"]["message"]
    )
    https = keyed | {"LANDFALL_PUBLIC_URL": "https://crm.example.org"}
    assert (
        "set LANDFALL_TRUSTED_PROXIES"
        in findings(landfall("doctor", "--json", DATABASE_URL=database, **https))["proxy"]["remedy"]
    )
    named = https | {"LANDFALL_TRUSTED_PROXIES": "10.0.0.5"}
    assert "proxy" not in findings(landfall("doctor", "--json", DATABASE_URL=database, **named))
    plain = keyed | {"LANDFALL_PUBLIC_URL": "http://crm.example.org"}
    assert (
        "in the clear"
        in findings(landfall("doctor", "--json", check=1, DATABASE_URL=database, **plain))["public address"]["message"]
    )
    nothing = keyed | {"LINKEDIN_PRODUCT": "advertising"}
    found = findings(landfall("doctor", "--json", check=1, DATABASE_URL=database, **nothing))["permissions"]
    assert found["message"] == "LINKEDIN_PRODUCT may be community_management, or empty, and not advertising."


@pytest.mark.parametrize(("environ", "about", "message"), BROKEN)
async def test_doctor_names_the_fault(database: str, environ: dict[str, str], about: str, message: str) -> None:
    """Row I-7 of ``faults.md``."""
    done = landfall("doctor", "--json", check=1, DATABASE_URL=database, **environ)
    finding = findings(done)[about]
    assert finding["level"] == "fault"
    assert message in finding["message"]
    assert finding["remedy"]


async def test_doctor_says_which_server_is_away(own: Any) -> None:
    nowhere = f"postgresql://u:canary-password@127.0.0.1:{free_port()}/d"
    done = landfall("doctor", "--json", check=1, DATABASE_URL=nowhere, REDIS_URL="redis://127.0.0.1:1/0", **ENVIRONMENT)
    assert findings(done)["postgresql"]["level"] == "fault"
    assert findings(done)["redis"]["level"] == "warning", "a notifier is no fault"
    assert "canary-password" not in done.stdout + done.stderr
    empty = own("landfall_test_empty")
    done = landfall("doctor", "--json", check=1, DATABASE_URL=empty, **ENVIRONMENT)
    assert findings(done)["schema"]["remedy"] == "run `landfall migrate`"


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_setting_that_voids_the_promise_is_a_fault(setting: str, migrated_cluster: Postgres) -> None:
    """faults.md B12"""
    with scratch() as directory:
        directory.chmod(0o755)
        server = copy_of(migrated_cluster, directory / "pg", **{setting: "off"})
        server.start()
        try:
            finding = findings(landfall("doctor", "--json", check=1, DATABASE_URL=server.dsn(), **ENVIRONMENT))[
                "durability"
            ]
            assert finding["level"] == "fault"
            assert f"{setting} = off" in finding["message"]
        finally:
            server.stop()


async def test_doctor_names_keys_and_indexes_that_are_missing_or_invalid_and_what_makes_them_again(
    database: str, connection: asyncpg.Connection, postgres: Postgres
) -> None:
    def flaws(check: int) -> dict[str, str]:
        done = landfall("doctor", "--json", check=check, DATABASE_URL=database, **ENVIRONMENT)
        assert not done.stderr
        return {f["message"]: f["remedy"] for f in json.loads(done.stdout) if f["about"] == "structure"}

    assert flaws(0) == {"every key and index is there and valid": ""}
    [[index, table]] = await connection.fetch(
        "SELECT indexname, tablename FROM pg_indexes WHERE tablename = 'connections'"
        " AND indexdef LIKE '%WHERE%' LIMIT 1"
    )
    await connection.execute(f"DROP INDEX {index}")
    await connection.execute("ALTER TABLE ig_comments DROP CONSTRAINT pk_ig_comments")
    [[key, child, definition]] = await connection.fetch(
        """
        SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace ORDER BY 1 LIMIT 1"""
    )
    await connection.execute(f"ALTER TABLE {child} DROP CONSTRAINT {key}")
    await connection.execute(f"ALTER TABLE {child} ADD CONSTRAINT {key} {definition} NOT VALID")
    name = database.rpartition("/")[2]
    postgres.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'pk_ig_media'::regclass", database=name)
    found = flaws(1)
    assert set(found) == {
        f"index {index} of {table} is missing",
        "constraint pk_ig_comments of ig_comments is missing",
        f"constraint {key} of {child} was never checked against the rows that were there",
        "index pk_ig_media of ig_media is invalid: it is not used, or is not complete",
    }
    for remedy in found.values():
        await connection.execute(remedy)
    assert flaws(0) == {"every key and index is there and valid": ""}
    await connection.execute("DROP TABLE pull_tasks CASCADE")
    assert "table pull_tasks is missing" in flaws(1)


async def test_doctor_warns_of_a_redis_that_may_forget(database: str) -> None:
    with scratch() as directory:
        server = breakable_redis(directory / "redis", **{"maxmemory-policy": "allkeys-lru"})
        server.start()
        try:
            done = landfall("doctor", DATABASE_URL=database, REDIS_URL=breaking(server), **ENVIRONMENT)
            assert "maxmemory-policy = allkeys-lru" in done.stdout
            done = landfall("doctor", "--json", DATABASE_URL=database, REDIS_URL=server.url, **ENVIRONMENT)
            assert findings(done)["redis"]["level"] == "ok", "it refuses CONFIG, as a managed one does"
            assert "maxmemory-policy, so that was not looked at" in findings(done)["redis"]["message"]
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "12"),
        (b"short\n", "12"),
        (b"\xff" * 20, "not UTF-8"),
        (b"correct horse battery\nanother line\n", "one line"),
        (b"x" * 5000, "one line"),
    ],
)
def test_password_file_that_holds_no_password_is_told_so(
    database: str, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    done = landfall("user", "add", "a@example.org", "--password-file", str(file), check=1, DATABASE_URL=database)
    assert said in done.stderr


def test_unconfigured_command_says_everything_that_is_missing() -> None:
    done = landfall("serve", check=1, LANDFALL_HTTP_PORT="many")
    assert "DATABASE_URL is not set" in done.stderr
    assert "LANDFALL_HTTP_PORT cannot be used" in done.stderr
    assert ".env.example" in done.stderr


@pytest.mark.parametrize(("variable", "command"), [("HTTP", "serve"), ("METRICS", "serve"), ("METRICS", "work")])
def test_taken_port_is_named(variable: str, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"LANDFALL_HTTP_PORT": str(free_port()), "LANDFALL_METRICS_PORT": str(free_port())}
        ports[f"LANDFALL_{variable}_PORT"] = str(taken.getsockname()[1])
        done = landfall(command, check=1, DATABASE_URL="postgresql://h/d", **ports)
    assert f"set LANDFALL_{variable}_PORT" in done.stderr


async def test_login_without_the_rights_is_told_what_migrate_needs(own: Any, postgres: Postgres) -> None:
    own("landfall_test_rights")
    postgres.sql("DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN PASSWORD 'weak'")
    dsn = f"postgresql://weak:weak@127.0.0.1:{postgres.port}/landfall_test_rights"
    assert "need the owner of the database" in landfall("migrate", check=1, DATABASE_URL=dsn).stderr


def test_internal_port_is_not_shared_even_with_another_of_ours() -> None:
    """Two processes behind one port would answer Prometheus in turns."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        ports = {"LANDFALL_METRICS_PORT": str(other.getsockname()[1])}
        done = landfall("work", check=1, DATABASE_URL="postgresql://h/d", **ports)
    assert "set LANDFALL_METRICS_PORT" in done.stderr


def test_sandbox_says_where_its_platforms_are_and_ends_on_sigterm() -> None:
    port = free_port()
    command = [sys.executable, "-m", "ops.cli.main", "sandbox", "--port", str(port)]
    with subprocess.Popen(
        command, env={"PATH": os.environ["PATH"]}, cwd="/", stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            names = ("facebook", "instagram", "linkedin", "mastodon", "threads", "tiktok", "x")
            lines = [
                f"page: http://127.0.0.1:{port}/\n",
                *(f"{name}: http://127.0.0.1:{port}/{name}\n" for name in names),
            ]
            assert [child.stdout.readline() for _ in lines] == lines
            taken = landfall("sandbox", "--port", str(port), check=1)
            assert "choose another --port" in taken.stderr
        finally:
            child.terminate()
        assert child.wait(10) == 0


def test_sql_without_a_login_that_only_reads_says_how_to_make_one() -> None:
    said = landfall("sql", check=1, DATABASE_URL="postgresql://landfall:canary@127.0.0.1:1/landfall").stderr
    assert "make one with `landfall db login read`, and set LANDFALL_READER_URL" in said
    assert "canary" not in said


def test_sql_that_cannot_connect_is_psqls_own_matter_and_shows_no_password() -> None:
    address = "postgresql://landfall_read:canary%2F1@127.0.0.1:1/landfall"
    said = landfall("sql", "-c", "SELECT 1", check=2, DATABASE_URL=address, LANDFALL_READER_URL=address).stderr
    assert "port 1 failed" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("dsn", "parts"),
    [
        ("postgresql://u:p%2F%40@h:1/d?a=b", ("postgresql://u@h:1/d?a=b", "p/@")),
        ("postgresql://u@h1,h2:2/d", ("postgresql://u@h1,h2:2/d", "")),
        ("postgresql:///d?host=/run", ("postgresql:///d?host=/run", "")),
        ("postgresql:///d?host=/run&password=p%2F&user=u", ("postgresql:///d?host=/run&user=u", "p/")),
        ("postgresql://u:p@h/d?password=of_query", ("postgresql://u@h/d", "of_query")),
        ("postgresql://:p@h/d", ("postgresql://@h/d", "p")),
    ],
)
def test_password_is_taken_out_of_an_address_before_it_is_an_argument(dsn: str, parts: tuple[str, str]) -> None:
    assert apart(dsn) == parts
