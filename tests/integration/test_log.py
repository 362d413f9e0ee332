"""What the database itself refuses, whatever the program above it does."""

import asyncpg
import pytest

from schema.events import bucket_of
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
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_webhook_event_log_provider_account_id_external_id"):
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


TRANSITIONS = [
    ("parked", "ignored", True),
    ("dead", "ignored", True),
    ("parked", "done", False),  # only a projection makes an event done
    ("dead", "done", False),
    ("done", "parked", False),  # what is done is done; put it back on the queue instead
    ("done", "ignored", False),
    ("ignored", "done", False),
]


@pytest.mark.parametrize(("old", "new", "legal"), TRANSITIONS)
async def test_transition(connection: asyncpg.Connection, event: int, old: str, new: str, *, legal: bool) -> None:
    await connection.execute("DELETE FROM webhook_event_queue")
    await connection.execute(
        "INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, error_message) "
        "VALUES (0, 'a', $1, $2, 'why')",
        event,
        old,
    )
    await act_as_service(connection)
    change = connection.execute("UPDATE webhook_event_outcomes SET state = $1", new)
    if legal:
        assert await change == "UPDATE 1"
    else:
        with pytest.raises(asyncpg.CheckViolationError, match=f"cannot go from {old} to {new}"):
            await change


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


async def test_account_stands_in_every_key_of_account_data(connection: asyncpg.Connection) -> None:
    """So that the tables can be distributed by account; the work queue is leased by a bucket made of it."""
    found = await connection.fetch(
        """
        SELECT c.relname, x.indexrelid::regclass::text AS name,
            array(SELECT attname FROM pg_attribute WHERE attrelid = x.indexrelid) AS columns
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique
        """
    )
    not_account_data = {
        "alembic_version",
        "webhook_deliveries",
        "webhook_buckets",
        "webhook_refusals",
        "crm_verifications",
        "deletion_requests",
        "devices",
        "login_failures",
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
