"""What policies say is dropped and nothing else; names are kept for ever, so are rows that no rebuild could make."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ingest import store as log
from ingest.contract import Incoming, Received
from ingest.split import Split
from ops.cli import wiring
from ops.retention import procedure
from ops.retention.store import Policy
from ops.runtime import db
from ops.runtime.db import open_pool
from schema.rights import APP_ROLE
from sync.projection.store import PLANNER
from sync.projection.worker import Projector
from sync.rebuild.procedure import rebuild, verify
from tests.recordings import received
from tests.support import comment, crm, instagram

PROJECTIONS = wiring.projections()
NOW = datetime.now(UTC)
FIRST = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def operator(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await db.connect(database, APP_ROLE)
    yield connection
    await connection.close()


def delivery(at: datetime, number: int) -> Received:
    milliseconds = int(at.timestamp() * 1000)
    id_ = f"{milliseconds:012x}7{number:019x}"
    body = instagram(comment(number))
    return received("instagram", body)._replace(id=id_, received_at=at)


def events(number: int, kind: str = "comments", account: str = "a", person: str = "1") -> list[Incoming]:
    value = {
        "comments": f'{{"id": "c{number}", "text": "t{number}", "from": {{"id": "{person}", "username": "u{person}"}},'
        f' "media": {{"id": "m{number}"}}}}',
        "mentions": f'{{"media_id": "m{number}", "comment_id": "c{number}"}}',
    }[kind]
    return [Incoming(account, kind, f"{kind}:{number}", value)]


Appending = Callable[..., Awaitable[int]]


@pytest.fixture
async def append(connection: asyncpg.Connection, database: str) -> Appending:
    """Receives, splits and projects one event as of a time; how many were new."""

    async def appending(at: datetime, number: int, kind: str = "comments", *, project: bool = True, **who: str) -> int:
        one = delivery(at, number + (10_000 if kind == "mentions" else 0))
        await connection.execute(
            "INSERT INTO webhook_deliveries (id, provider, verdict, secret_used, headers, body, received_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(one.id, one.provider, one.verdict, one.secret_used, one.headers, one.body, one.received_at),
        )
        await connection.execute("INSERT INTO webhook_delivery_queue (delivery_id) VALUES ($1)", one.id)
        cut = log.SplitDelivery(one, 1, Split("accepted", None, events(number, kind, **who)))
        new = await log.append(connection, [cut])
        await log.settle(connection, [cut], new)
        if project:
            async with await open_pool(database, "test", 2, role=APP_ROLE, settings=PLANNER) as pool:
                await Projector(pool, PROJECTIONS, tries=3).drain()
        return sum(new.values())

    return appending


async def names(connection: asyncpg.Connection) -> set[str]:
    return {row["external_id"] for row in await connection.fetch("SELECT external_id FROM webhook_event_log")}


async def test_nothing_is_dropped_without_a_policy(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> None:
    for number in range(3):
        await append(NOW - timedelta(days=500 * number), number)
    await procedure.put(operator, Policy("instagram", "events", None))
    assert await procedure.plan(operator) == procedure.Plan([], [], [])
    done = await procedure.run(operator)
    assert (list(done.partitions), done.events, done.deliveries) == ([], 0, 0)
    assert len(await names(connection)) == 3


@pytest.mark.parametrize("whole", [True, False], ids=["with its month", "by itself"])
async def test_name_of_a_dropped_event_is_kept_and_makes_a_duplicate_of_what_comes_again(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending, *, whole: bool
) -> None:
    await append(NOW - timedelta(days=800), 1)
    await append(NOW, 2)
    await append(NOW - timedelta(days=71), 3)
    if not whole:
        await append(NOW - timedelta(days=72), 4, "mentions")
    before = await crm(connection)
    await procedure.put(operator, Policy("instagram", "comments", 30))
    done = await procedure.run(operator)
    assert (len(done.partitions), done.events) == ((1, 0) if whole else (0, 2))
    left = {"comments:2"} if whole else {"comments:2", "mentions:4"}
    assert await names(connection) == left
    for number in (1, 2, 3):
        again = log.SplitDelivery(delivery(NOW, 200 + number), 1, Split("accepted", None, events(number)))
        assert await log.append(connection, [again]) == {}, "it was received before, however long ago"
    assert await names(connection) == left
    assert await crm(connection) == before


async def test_policy_of_a_type_goes_before_that_of_all_and_what_waits_is_kept(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> None:
    old = NOW - timedelta(days=50)
    await append(old, 1)
    await append(old, 2, "mentions")
    await append(old, 3, project=False)
    await append(old, 4)
    await connection.execute("ALTER TABLE webhook_event_outcomes DISABLE TRIGGER USER")
    await connection.execute(
        "UPDATE webhook_event_outcomes SET state = 'parked', error_message = 'why' WHERE event_id ="
        " (SELECT id FROM webhook_event_log WHERE external_id = 'comments:4')"
    )
    await procedure.put(operator, Policy("instagram", "events", 30))
    await procedure.put(operator, Policy("instagram", "mentions", 100))
    await connection.execute(
        "WITH o AS (DELETE FROM webhook_event_outcomes WHERE event_id = (SELECT id FROM webhook_event_log"
        " WHERE external_id = 'comments:3') RETURNING *) INSERT INTO webhook_event_queue (bucket, account_id, event_id)"
        " SELECT bucket, account_id, event_id FROM o"
    )
    found = await procedure.plan(operator)
    assert [(due.event_type, due.events, due.waiting) for due in found.events] == [("comments", 1, 2)]
    done = await procedure.run(operator)
    assert (done.events, list(done.partitions)) == (1, [])
    assert await names(connection) == {"mentions:2", "comments:3", "comments:4"}


async def test_month_in_which_everything_is_due_is_dropped_whole_and_its_deliveries_too(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> None:
    for number in range(5):
        await append(NOW - timedelta(days=60 + number), number)
    await append(NOW, 9)
    await procedure.put(operator, Policy("instagram", "comments", 30))
    await procedure.put(operator, Policy("instagram", "deliveries", 30))
    planned = await procedure.plan(operator)
    assert [(due.events, due.accounts) for due in planned.events] == [(5, 1)]
    assert [due.deliveries for due in planned.deliveries] == [5]
    kept = {found.table: found.rows for found in planned.kept_rows}
    assert (kept["ig_comments"], kept["ig_media"], kept["instagram_accounts"]) == (5, 5, 1)
    done = await procedure.run(operator)
    assert list(done.partitions) == ["webhook_deliveries_before", "webhook_event_log_before"]
    assert (done.events, done.deliveries) == (0, 0)
    assert await names(connection) == {"comments:9"}
    for table in ("webhook_event_outcomes", "webhook_deliveries", "webhook_delivery_outcomes"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 1, table
    await append(NOW - timedelta(days=60), 10)
    assert await names(connection) == {"comments:9", "comments:10"}, (
        "what comes late for its month is stored all the same"
    )
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    said = await connection.fetch("SELECT action, subject FROM audit_log WHERE action ~ '^retention' ORDER BY id")
    assert [tuple(row) for row in said] == [
        ("retention.set", "instagram comments"),
        ("retention.set", "instagram deliveries"),
        ("retention.begun", "the log"),
        ("retention.dropped", "webhook_deliveries_before"),
        ("retention.dropped", "webhook_event_log_before"),
    ]


async def test_rows_of_dropped_events_are_no_drift_and_a_rebuild_keeps_them(
    database: str, connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> None:
    for number in range(4):
        await append(NOW - timedelta(days=70 * number), number)
    before = await crm(connection)
    await procedure.put(operator, Policy("instagram", "comments", 60))
    await procedure.run(operator)
    assert await names(connection) == {"comments:0"}
    report = await verify(connection, PROJECTIONS, lambda *_: None)
    assert report.drift == 0
    kept = {found.table: found.kept for found in report.differences}
    assert (kept["ig_comments"], kept["ig_media"], kept["instagram_accounts"]) == (3, 3, 1)
    await connection.close()
    for hurt in (
        "UPDATE ig_comments SET text = 'wrong' WHERE ig_id = 'c0'",
        "DELETE FROM ig_comments WHERE ig_id = 'c0'",
    ):
        owner = await asyncpg.connect(database)
        await owner.execute(hurt)
        put_right = await rebuild(owner, PROJECTIONS, list(PROJECTIONS), lambda *_: None)
        assert put_right.drift == 1, "what the log still says is put right"
        assert put_right.kept > 0
        assert await crm(owner) == before
        await owner.close()


async def test_body_is_kept_as_long_as_a_delivery_points_to_it(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> None:
    await append(NOW - timedelta(days=90), 1)
    await append(NOW, 2)
    await connection.execute(
        "UPDATE webhook_deliveries SET body = NULL, body_of = (SELECT min(id::text)::uuid FROM webhook_deliveries)"
        " WHERE received_at > now() - interval '1 day'"
    )
    await procedure.put(operator, Policy("instagram", "deliveries", 30))
    done = await procedure.run(operator)
    assert (list(done.partitions), done.deliveries) == ([], 0)
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 2
