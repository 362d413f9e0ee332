"""Deliveries that wait become events, each once, whoever splits them, however often, and whatever is wrong with one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ingest import splitter as splitting
from ingest import store
from ingest.contract import Change, Webhook
from ingest.splitter import Splitter
from ops.cli import wiring
from ops.runtime import db
from schema.metadata import APP_ROLE
from schema.rights import WORKER_ROLE
from tests.recordings import received
from tests.support import VARIABLES, command, comment, instagram, tiktok

EVENTS = "SELECT count(*) FROM webhook_event_log"


@pytest.fixture
async def worker(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the rights of a worker."""
    opened = await db.connect(database, WORKER_ROLE)
    yield opened
    await opened.close()


def splitter(**changed: Webhook) -> Splitter:
    return Splitter(wiring.webhooks() | changed, VARIABLES)


def cutting(changes: Callable[[Any], Iterator[Change]], *, rule_version: int = 1) -> Webhook:
    """Instagram's webhooks, cut by another rule."""
    return replace(wiring.webhooks()["instagram"], changes=changes, rule_version=rule_version)


async def outcomes(connection: asyncpg.Connection) -> list[tuple[str, int, int]]:
    rows = await connection.fetch(
        "SELECT verdict, event_count, new_event_count FROM webhook_delivery_outcomes ORDER BY delivery_id"
    )
    return [tuple(row) for row in rows]


async def test_delivery_is_queued_with_its_bytes_and_taken_off_with_its_events(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    delivery = received("instagram", instagram(comment(1), comment(2)))
    await store.receive(connection, [delivery])
    assert (await store.waiting(connection)).deliveries == 1
    assert await splitter().drain(worker, 30) == 1
    assert (await store.waiting(connection)).deliveries == 0
    rows = await connection.fetch(
        """
        SELECT e.delivery_id::text, e.created_at = d.received_at AS in_time, q.event_id IS NOT NULL AS queued
        FROM webhook_event_log e JOIN webhook_deliveries d ON d.id = e.delivery_id
            LEFT JOIN webhook_event_queue q ON q.account_id = e.account_id AND q.event_id = e.id"""
    )
    assert [tuple(row) for row in rows] == [(delivery.id, True, True)] * 2, (
        "when it was received, not when it was split"
    )
    assert await outcomes(connection) == [("accepted", 2, 2)]


async def test_splitters_side_by_side_take_different_deliveries_and_append_each_event_once(
    connection: asyncpg.Connection, database: str
) -> None:
    bodies = [instagram(comment(number), comment(number + 1)) for number in range(300)]
    await store.receive(connection, [received("instagram", body) for body in bodies * 2])
    own = [await db.connect(database, WORKER_ROLE) for _ in range(4)]
    taken = await asyncio.gather(*(splitter().drain(each, 30) for each in own))
    for each in own:
        await each.close()
    assert sum(taken) == 600
    assert await connection.fetchval(EVENTS) == 301
    assert sum(new for _, _, new in await outcomes(connection)) == 301


async def test_splitter_does_not_wait_for_deliveries_that_another_one_holds(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await store.receive(connection, [received("instagram", instagram(comment(number))) for number in range(3)])
    async with connection.transaction():
        assert len(await store.take(connection, 2, 2**20)) == 2
        assert await splitter().drain(worker, 30) == 1
    assert await splitter().drain(worker, 30) == 2, "whoever gives up gives them back"


async def test_no_more_bodies_are_taken_than_fit_into_memory_and_one_in_any_case(
    connection: asyncpg.Connection,
) -> None:
    await store.receive(connection, [received("instagram", b"x" * size) for size in (1000, 1000, 5000, 10)])
    for size, count in ((1, 1), (1999, 1), (2000, 2), (6999, 2), (7000, 3), (7010, 4)):
        async with connection.transaction():
            assert len(await store.take(connection, 10, size)) == count, size
    async with connection.transaction():
        assert len(await store.take(connection, 2, 10**6)) == 2


async def test_delivery_whose_events_the_database_refuses_is_parked_as_a_whole_and_holds_up_no_other(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE webhook_event_log ADD CHECK (payload_json->>'text' <> 'refused')")
    bodies = [instagram(comment(1)), instagram(comment(2, text="refused"), comment(3)), instagram(comment(4))]
    await store.receive(connection, [received("instagram", body) for body in bodies])
    assert await splitter().drain(worker, 30) == 3
    assert await outcomes(connection) == [("accepted", 1, 1), ("unreadable", 1, 1), ("accepted", 1, 1)]
    [reason] = await connection.fetch("SELECT error_message FROM webhook_events WHERE state = 'parked'")
    assert reason[0].startswith("the database refused its events")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A body that is split in five portions."""
    body = instagram(*(comment(number) for number in range(50)))
    monkeypatch.setattr(splitting, "BATCH_BYTES", len(body) - 1)
    monkeypatch.setattr(splitting, "PORTION_EVENTS", 10)
    return body


async def test_large_delivery_is_split_in_portions_and_counted_as_one(
    large: bytes, connection: asyncpg.Connection, worker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    portions: list[int] = []
    append = store.append

    async def seen(own: asyncpg.Connection, cuts: Sequence[store.SplitDelivery]) -> dict[str, int]:
        portions.append(sum(len(cut.split.events) for cut in cuts))
        return await append(own, cuts)

    monkeypatch.setattr(store, "append", seen)
    bodies = [instagram(comment(1)), large, instagram(comment(2))]
    await store.receive(connection, [received("instagram", body) for body in bodies])
    assert await splitter().drain(worker, 30) == 3
    assert portions == [1, *[10] * 5, 1], "and no other is held up"
    assert await outcomes(connection) == [("accepted", 1, 1), ("accepted", 50, 49), ("accepted", 1, 0)]
    await store.receive(connection, [received("instagram", large)])
    assert await splitter().drain(worker, 30) == 1
    assert (await outcomes(connection))[-1] == ("accepted", 50, 0)
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries WHERE body IS NULL") == 1


@pytest.mark.parametrize("portion", range(1, 6))
async def test_large_delivery_that_was_split_in_part_is_split_to_its_end_and_counted_once(
    large: bytes,
    portion: int,
    connection: asyncpg.Connection,
    worker: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append, calls = store.append, iter(range(1, 100))

    async def failing(own: asyncpg.Connection, cuts: Sequence[store.SplitDelivery]) -> dict[str, int]:
        if next(calls) == portion:
            raise ConnectionResetError
        return await append(own, cuts)

    monkeypatch.setattr(store, "append", failing)
    await store.receive(connection, [received("instagram", large)])
    with pytest.raises(ConnectionResetError):
        await splitter().drain(worker, 30)
    assert await connection.fetchval(EVENTS) == 10 * (portion - 1)
    assert await splitter().drain(worker, 30) == 1
    assert await connection.fetchval(EVENTS) == 50
    assert await outcomes(connection) == [("accepted", 50, 50)]


async def test_large_delivery_of_which_the_database_refuses_a_portion_is_parked_and_keeps_what_was_appended(
    large: bytes, connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE webhook_event_log ADD CHECK (payload_json->>'id' <> '178500000025')")
    await store.receive(connection, [received("instagram", large), received("instagram", instagram(comment(99)))])
    assert await splitter().drain(worker, 30) == 2
    assert await outcomes(connection) == [("unreadable", 21, 21), ("accepted", 1, 1)]


@pytest.mark.parametrize("error", [RuntimeError, RecursionError, MemoryError])
async def test_rule_that_fails_parks_the_delivery_and_a_mended_one_adds_its_events(
    connection: asyncpg.Connection, worker: asyncpg.Connection, error: type[Exception]
) -> None:
    def failing(_document: Any) -> Iterator[Change]:
        raise error

    begun = datetime.now(UTC) - timedelta(minutes=1)
    bodies = [instagram(comment(1), comment(2)), tiktok("post.publish.complete", {"publish_id": "p"})]
    platforms = ("instagram", "tiktok")
    await store.receive(connection, [received(name, body) for name, body in zip(platforms, bodies, strict=True)])
    assert await splitter(instagram=cutting(failing)).drain(worker, 30) == 2
    assert await outcomes(connection) == [("unreadable", 1, 1), ("accepted", 1, 1)]
    async with connection.transaction():
        assert await store.queue_again(connection, "instagram", begun) == 1
    assert await splitter().drain(worker, 30) == 1
    assert await outcomes(connection) == [("accepted", 3, 3), ("accepted", 1, 1)], "three in all"
    assert await connection.fetchval(f"{EVENTS} WHERE event_type = 'comments'") == 2


async def test_deliveries_are_split_again_by_a_mended_rule_which_adds_what_was_missed_and_nothing_twice(
    connection: asyncpg.Connection, worker: asyncpg.Connection, database: str
) -> None:
    mended = wiring.webhooks()["instagram"]

    def first_only(document: Any) -> Iterator[Change]:
        yield next(iter(mended.changes(document)))

    sent = [instagram(comment(n), comment(n + 100)) for n in range(3)]
    await store.receive(connection, [received("instagram", body) for body in [*sent, sent[0]]])
    await splitter(instagram=cutting(first_only)).drain(worker, 30)
    assert await connection.fetchval(EVENTS) == 3
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries WHERE body_of IS NOT NULL") == 1
    before = await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id")
    for deliveries, added, since in ((0, 0, "2999-01-01"), (3, 3, "2020-01-01"), (3, 0, "2020-01-01T10:00")):
        code, said = await command(database, "split", "--again", "--platform", "instagram", "--since", since)
        assert (code, said.splitlines()[1]) == (0, f"{deliveries} deliveries were split; {added} events are new")
    after = await connection.fetch("SELECT * FROM webhook_event_log ORDER BY id")
    assert after[:3] == before
    assert sorted(json.loads(row["payload_json"])["id"] for row in after) == sorted(
        f"1785{n:08d}" for n in (0, 1, 2, 100, 101, 102)
    )
    assert [found[1:] for found in await outcomes(connection)] == [(2, 2), (2, 2), (2, 2), (1, 0)]


async def test_erased_deliveries_are_not_split_again(
    connection: asyncpg.Connection, worker: asyncpg.Connection, database: str
) -> None:
    await store.receive(connection, [received("instagram", instagram(comment(1)))])
    await splitter().drain(worker, 30)
    code, said = await command(database, "erase", "instagram", "--account", "17841400000000001", "--yes")
    assert code == 0, said
    async with connection.transaction():
        assert await store.queue_again(connection, "instagram", datetime(2020, 1, 1, tzinfo=UTC)) == 0


async def test_delivery_of_a_platform_that_this_release_does_not_know_is_kept_for_one_that_does(
    connection: asyncpg.Connection, worker: asyncpg.Connection
) -> None:
    later = received("instagram", instagram(comment(1)))._replace(provider="later")
    await store.receive(connection, [later])
    assert await splitter().drain(worker, 30) == 1
    [row] = await connection.fetch("SELECT state, error_message FROM webhook_events")
    assert tuple(row) == ("parked", "this release knows no platform later")
    async with connection.transaction():
        await store.queue_again(connection, "later", datetime(2020, 1, 1, tzinfo=UTC))
    assert await splitter(later=wiring.webhooks()["instagram"]).drain(worker, 30) == 1
    assert await connection.fetchval(f"{EVENTS} WHERE event_type = 'comments'") == 1


async def test_erasing_splits_first_what_waits(connection: asyncpg.Connection, database: str) -> None:
    """What is not split has no events that could be found."""
    await store.receive(connection, [received("instagram", instagram(comment(1), comment(2)))])
    code, said = await command(database, "erase", "instagram", "--account", "17841400000000001", "--yes")
    assert (code, "2 events, the bytes of 1 deliveries" in said) == (0, True), said
    assert await connection.fetchval(EVENTS) == 0
    assert await connection.fetchval("SELECT body FROM webhook_deliveries") == b""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--again"], "--again needs --platform and --since"),
        (["--again", "--platform", "tiktok"], "--again needs --platform and --since"),
        (["--since", "2026-01-01"], "say which ones to split --again"),
        (["--again", "--platform", "orkut", "--since", "2026-01-01"], "no platform is called orkut"),
        (["--again", "--platform", "tiktok", "--since", "yesterday"], "does not match the formats"),
    ],
)
async def test_split_says_what_it_needs(database: str, arguments: list[str], said: str) -> None:
    code, text = await command(database, "split", *arguments)
    assert code == 2
    assert said in text


async def test_split_without_anything_to_split_says_so(database: str) -> None:
    assert await command(database, "split", LANDFALL_DATABASE_ROLE=APP_ROLE) == (
        0,
        "0 deliveries were split; 0 events are new\n",
    )


@pytest.mark.parametrize("large", [False, True], ids=["many deliveries", "one large delivery"])
async def test_batch_that_times_out_is_split_in_smaller_ones(
    connection: asyncpg.Connection, worker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    """The server takes 50 ms for an event, and gives a statement 400: eight events in one statement are too many."""
    await connection.execute(
        """
        CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT ON webhook_event_log FOR EACH ROW EXECUTE FUNCTION take_time();
        """
    )
    await worker.execute("SET statement_timeout = 400")
    comments = [comment(number) for number in range(20)]
    if large:
        monkeypatch.setattr(splitting, "BATCH_BYTES", 100)
        monkeypatch.setattr(splitting, "PORTION_EVENTS", 20)
    bodies = [instagram(*comments)] if large else [instagram(each) for each in comments]
    await store.receive(connection, [received("instagram", body) for body in bodies])
    stage, total = splitter(), 0
    for _ in range(6):
        try:
            total += await stage.drain(worker, 5)
        except asyncpg.QueryCanceledError:
            continue
    assert total == len(bodies)
    assert await connection.fetchval(EVENTS) == 20
