"""What the database itself refuses, whatever the program above it does."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.runtime.embedded import Postgres
from schema.crm import crm_tables
from schema.event_states import (
    PROCESSED,
    SETTLED,
    TRANSITIONS,
    IllegalTransitionError,
    State,
    Step,
    after,
    sources,
)
from schema.events import BUCKETS, bucket_of, identity_of
from schema.metadata import APP_ROLE
from tests.support import append_event

BUCKET = bucket_of("instagram", "a")


@pytest.fixture
async def event(connection: asyncpg.Connection) -> int:
    """One pending event of account a."""
    return await append_event(connection, "a", "x:1")


async def act_as_service(connection: asyncpg.Connection) -> None:
    await connection.execute(f"SET ROLE {APP_ROLE}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE webhook_event_log SET payload_json = '{}'",
        "UPDATE webhook_event_log SET external_id = 'other'",
        "DELETE FROM webhook_event_log",
        "TRUNCATE webhook_event_log",
        "UPDATE webhook_events SET payload_json = '{}'",
        "DELETE FROM webhook_events",
        "UPDATE webhook_deliveries SET body = ''",
        "DELETE FROM webhook_deliveries",
        "TRUNCATE webhook_deliveries",
        "ALTER TABLE webhook_event_log DISABLE TRIGGER ALL",
        "DROP TABLE webhook_event_log",
    ],
)
async def test_service_cannot_change_what_was_said(connection: asyncpg.Connection, event: int, statement: str) -> None:
    await act_as_service(connection)
    with pytest.raises(
        (
            asyncpg.InsufficientPrivilegeError,
            asyncpg.ObjectNotInPrerequisiteStateError,
            asyncpg.FeatureNotSupportedError,
        )
    ):
        await connection.execute(statement)


async def test_event_is_unique_per_provider_and_account(connection: asyncpg.Connection, event: int) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="pk_webhook_event_identities"):
        await append_event(connection, "a", "x:1")
    assert await append_event(connection, "b", "x:1"), "another account's event of the same name is another event"


ILLEGAL = {
    "settled while it waits": "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state) "
    "VALUES ({bucket}, 'a', {id}, 'done')",
    "parked without a reason": "WITH q AS (DELETE FROM webhook_event_queue) INSERT INTO webhook_event_outcomes "
    "(bucket, account_id, event_id, state) VALUES ({bucket}, 'a', {id}, 'parked')",
    "a state nobody knows": "WITH q AS (DELETE FROM webhook_event_queue) INSERT INTO webhook_event_outcomes "
    "(bucket, account_id, event_id, state) VALUES ({bucket}, 'a', {id}, 'finished')",
    "a lease without an end": "UPDATE webhook_buckets SET holder = 'me'",
    "fewer than no retries": "UPDATE webhook_event_queue SET retry_count = -1",
}


@pytest.mark.parametrize("case", ILLEGAL)
async def test_illegal_state_is_refused(connection: asyncpg.Connection, event: int, case: str) -> None:
    await act_as_service(connection)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(ILLEGAL[case].format(id=event, bucket=BUCKET))


async def test_database_allows_the_transitions_of_the_table_and_no_other(
    connection: asyncpg.Connection, event: int
) -> None:
    """What is queued is pending, and what has an outcome is in the outcome's state; both at once is neither."""
    await act_as_service(connection)
    settle = "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message)"
    settle += f" VALUES ({BUCKET}, 'a', {event}, '{{}}', 'why')"
    queue = f"INSERT INTO webhook_event_queue (bucket, account_id, event_id) VALUES ({BUCKET}, 'a', {event})"
    allowed = set()
    for old, new in product(State, repeat=2):
        attempt = connection.transaction()
        await attempt.start()
        if old is not State.PENDING:
            await connection.execute(f"WITH q AS (DELETE FROM webhook_event_queue) {settle.format(old)}")
        changes = {
            (False, False): f"UPDATE webhook_event_outcomes SET state = '{new}'",
            (True, True): "UPDATE webhook_event_queue SET retry_count = retry_count + 1",
            (True, False): f"WITH q AS (DELETE FROM webhook_event_queue) {settle.format(new)}",
            (False, True): f"WITH o AS (DELETE FROM webhook_event_outcomes) {queue}",
        }
        with suppress(asyncpg.CheckViolationError):
            await connection.execute(changes[old is State.PENDING, new is State.PENDING])
            allowed.add((old, new))
        await attempt.rollback()
    same = {(state, state) for state in State}
    assert allowed - same == {(old, new) for old, steps in TRANSITIONS.items() for new in steps.values()} - same


def test_step_leads_to_one_state_and_one_that_is_not_possible_is_an_error() -> None:
    assert after(Step.PROJECT) is State.DONE
    assert after(Step.IGNORE, State.DEAD) is State.IGNORED
    assert sources(Step.RELEASE) == SETTLED
    for state, step in ((State.DONE, Step.IGNORE), (State.PENDING, Step.RELEASE), (State.PARKED, Step.PROJECT)):
        with pytest.raises(IllegalTransitionError, match=f"{state} cannot {step}"):
            after(step, state)


async def test_view_of_the_events_shows_when_they_were_processed_by_the_table(
    connection: asyncpg.Connection, event: int
) -> None:
    await connection.execute("DELETE FROM webhook_event_queue")
    for state in SETTLED:
        await connection.execute("TRUNCATE webhook_event_outcomes")
        await connection.execute(
            "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message)"
            " VALUES ($3, 'a', $1, $2, 'why')",
            event,
            state,
            BUCKET,
        )
        processed = await connection.fetchval("SELECT processed_at FROM webhook_events")
        assert (processed is not None) == (state in PROCESSED), state


async def test_settled_event_cannot_be_queued_beside_its_outcome(connection: asyncpg.Connection, event: int) -> None:
    await connection.execute("DELETE FROM webhook_event_queue")
    await connection.execute(
        "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state) VALUES ($2, 'a', $1, 'done')",
        event,
        BUCKET,
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(
            "INSERT INTO webhook_event_queue (bucket, account_id, event_id) VALUES ($2, 'a', $1)", event, BUCKET
        )


async def test_view_tells_the_state_of_work(connection: asyncpg.Connection, event: int) -> None:
    async def shown() -> asyncpg.Record:
        return await connection.fetchrow("SELECT state, processed_at, error_message, retry_count FROM webhook_events")

    assert tuple(await shown()) == ("pending", None, None, 0)
    await connection.execute("UPDATE webhook_event_queue SET retry_count = 2, error_message = 'why'")
    assert tuple(await shown()) == ("pending", None, "why", 2)
    await connection.execute("UPDATE webhook_buckets SET holder = 'w', leased_until = now() + interval '1 s'")
    assert (await shown())["state"] == "leased"
    await connection.execute("DELETE FROM webhook_event_queue")
    await connection.execute(
        "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state) VALUES ($2, 'a', $1, 'done')",
        event,
        BUCKET,
    )
    done = await shown()
    assert done["state"] == "done"
    assert done["processed_at"] is not None


async def test_bucket_begins_every_key_of_account_data(connection: asyncpg.Connection) -> None:
    """So that bucket and shard can be one: primary, unique and foreign keys, and the account comes next."""
    tables = {table.name for table in crm_tables()}
    tables |= {"webhook_event_identities", "webhook_event_log", "webhook_event_outcomes", "webhook_event_queue"}
    keys = await connection.fetch(
        """
        SELECT conrelid::regclass::text AS table, conname, contype, confrelid::regclass::text AS target,
            array(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS k (number, at)
                JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY at) AS columns,
            array(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY AS k (number, at)
                JOIN pg_attribute ON attrelid = confrelid AND attnum = number ORDER BY at) AS referred
        FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace"""
    )
    found = [key for key in keys if {key["table"], key["target"]} & tables]
    assert {key["table"] for key in found} == tables
    assert {key["contype"] for key in found} == {b"p", b"f"}
    for key in found:
        of_an_account = ["bucket", "identity" if key["table"] == "webhook_event_identities" else "account_id"]
        assert key["columns"][:2] == of_an_account, key["conname"]
        assert key["contype"] != b"f" or key["referred"][:2] == ["bucket", "account_id"], key["conname"]
    unique = await connection.fetch(
        """
        SELECT indrelid::regclass::text AS table, indexrelid::regclass::text AS name FROM pg_index
        WHERE indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"""
    )
    assert not [row["name"] for row in unique if row["table"] in tables]
    generated = await connection.fetch(
        "SELECT attrelid::regclass::text AS table FROM pg_attribute WHERE attname = 'bucket' AND attgenerated <> ''"
    )
    assert generated == [], "a table cannot be distributed by a generated column"


async def test_triggers_have_no_transition_tables_but_for_two(connection: asyncpg.Connection) -> None:
    """Distributed tables take none. As row triggers these two would cost a tenth and more of a projection's time."""
    rows = await connection.fetch(
        "SELECT DISTINCT tgname::text AS name FROM pg_trigger WHERE coalesce(tgnewtable, tgoldtable) IS NOT NULL"
    )
    assert {row["name"] for row in rows} == {"webhook_event_settled_once", "webhook_event_queued_once"}


async def test_functions_that_read_account_data_are_of_a_form_that_distributed_tables_take(
    connection: asyncpg.Connection,
) -> None:
    """Not in SQL with parameters, and no SELECT without a column. Two triggers are left out there."""
    tables = "|".join((*(table.name for table in crm_tables()), "webhook_(event_|dropped_)"))
    rows = await connection.fetch(
        """
        SELECT proname::text AS name, (lanname = 'sql' AND pronargs > 0) OR prosrc ~ 'SELECT\\s+FROM' AS refused
        FROM pg_proc JOIN pg_language l ON l.oid = prolang
        WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype AND prosrc ~ $1""",
        tables,
    )
    assert {row["name"] for row in rows} >= {"find_partition_gaps", "drop_due_partition", "drop_due_events"}
    assert [row["name"] for row in rows if row["refused"]] == []


async def test_view_of_events_asks_for_the_time_outside_of_any_case(connection: asyncpg.Connection) -> None:
    """In a CASE it could not be sent to the server that has the event."""
    view = await connection.fetchval("SELECT pg_get_viewdef('webhook_events'::regclass)")
    assert "now()" in view
    assert [case for case in re.findall(r"CASE\b.*?\bEND\b", view, re.DOTALL) if "now()" in case] == []


async def test_account_stands_in_every_key_of_account_data(connection: asyncpg.Connection) -> None:
    """So that the tables can be distributed by account; the work queue is leased by a bucket made of it."""
    found = await connection.fetch(
        """
        SELECT c.relname, x.indexrelid::regclass::text AS name,
            array(SELECT attname FROM pg_attribute WHERE attrelid = x.indexrelid) AS columns
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique AND NOT c.relispartition
        """
    )
    not_account_data = {
        "alembic_version",
        "webhook_deliveries",
        "webhook_buckets",
        "webhook_refusals",
        "crm_verifications",
        "database_incarnations",
        "deletion_requests",
        "devices",
        "login_failures",
        "outages",  # of the service
        "passkeys",
        "pending_logins",
        "platform_budgets",
        "processes",
        "recovery_codes",
        "signed_requests",
        "tenants",
        "totp_factors",
        "users",
        "vault_canaries",
        "webauthn_challenges",
        "webhook_delivery_outcomes",  # whose it is, is known of its events
        "webhook_delivery_queue",
        "retention_policies",
        "webhook_event_identities",  # distributed by bucket, as the events are
    }
    for row in found:
        if row["relname"] not in not_account_data:  # what people own is distributed by its tenant instead
            assert {"account_id", "tenant_id"} & set(row["columns"]), row["name"]
    foreign = await connection.fetch(
        "SELECT conname, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE contype = 'f'"
    )
    assert foreign
    for row in foreign:
        both = [row["text"].count(name) == 2 for name in ("account_id", "tenant_id")]
        assert any(both) or "REFERENCES tenants(id)" in row["text"] or "REFERENCES users(id)" in row["text"], row[
            "conname"
        ]


@given(names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=3, max_size=3))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_database_names_an_event_as_the_program_does(postgres: Postgres, database: str, names: list[str]) -> None:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    found = postgres.sql(f"SELECT identity_of({quoted})", database=database.rpartition("/")[2])
    assert found == str(identity_of(*names))


async def test_names_of_one_account_stand_together_and_differ_by_every_part() -> None:
    one, two = identity_of("instagram", "a", "e1"), identity_of("instagram", "a", "e2")
    assert one.bytes[:6] == two.bytes[:6]
    assert len({one, two, identity_of("instagram", "b", "e1"), identity_of("tiktok", "a", "e1")}) == 4
    assert int.from_bytes(one.bytes[:2]) % BUCKETS == BUCKET, "the bucket is of the same hash"


async def test_id_of_an_event_tells_its_second_and_keeps_the_order(connection: asyncpg.Connection) -> None:
    times = ["1970-01-01Z", "2020-01-01Z", "2026-11-28 09:00:00.9Z", "2026-11-28 09:00:01Z", "9999-01-01Z"]
    ids = [await connection.fetchval("SELECT next_event_id($1::text::timestamptz)", at) for at in times]
    assert ids == sorted(ids)
    assert ids[0] >= 0
    assert ids[-1] < 2**53
    since = datetime(2026, 11, 28, 9, 0, 1, tzinfo=UTC) - datetime(2020, 1, 1, tzinfo=UTC)
    assert ids[3] >> 20 == (ids[2] >> 20) + 1 == since.total_seconds()
    await connection.execute("SELECT setval('webhook_event_numbers', 1048575)")
    assert await connection.fetchval("SELECT next_event_id('2026-11-28Z') & 1048575") == 0, "numbers begin anew"


async def test_every_row_stands_in_the_partition_of_the_month_of_its_id(connection: asyncpg.Connection) -> None:
    await connection.execute(
        """
        INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
            sanitized, created_at)
        SELECT next_event_id(at), 1, 'a', 'instagram', 't', at::text, 1, false, at
        FROM date_trunc('month', now(), 'UTC') AS first, generate_series(first, first + interval '100 days', '1 h') at;
        INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state)
        SELECT bucket, account_id, id, 'done' FROM webhook_event_log;
        INSERT INTO webhook_deliveries (id, provider, body, headers, verdict, secret_used, received_at)
        SELECT ('0' || to_hex(extract(epoch FROM created_at)::bigint * 1000) || repeat('7', 20))::uuid, provider, '',
            '', 'accepted', 'S#1', created_at
        FROM webhook_event_log;
        INSERT INTO webhook_delivery_outcomes (delivery_id, rule_version, verdict, event_count, new_event_count,
            body_sha256, split_at)
        SELECT id, 1, 'accepted', 0, 0, '', received_at FROM webhook_deliveries"""
    )
    for table, at in (
        ("webhook_event_log", "created_at"),
        ("webhook_event_outcomes", "to_timestamp((event_id >> 20) + 1577836800)"),
        ("webhook_deliveries", "received_at"),
        ("webhook_delivery_outcomes", "split_at"),
    ):
        month = f"to_char({at} AT TIME ZONE 'UTC', '_YYYY_MM')"
        places = await connection.fetch(f"SELECT DISTINCT tableoid::regclass::text, '{table}' || {month} FROM {table}")
        assert len(places) >= 3
        assert [tuple(row) for row in places if row[0] != row[1]] == []
