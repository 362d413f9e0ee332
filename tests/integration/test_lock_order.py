"""Writers of the same rows take them in one order, so that none ends another; what one loses to another is counted.

A third writer holds what comes last of what both want. Each of the two takes what it can before that and waits, so
that two orders are a deadlock every time, and not by chance.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from ingest import store as log
from ingest.contract import Incoming
from ingest.split import Split
from ops.runtime.db import CONFLICTS, Pool, open_pool, transaction
from schema.crm.instagram import ig_comments, ig_media
from schema.events import identity_of
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.contract import Upsert
from tests.recordings import received
from tests.support import append_event, eventually

POOL = "lock-order"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, POOL, 4, role=APP_ROLE, settings=store.PLANNER) as opened:
        yield opened


def conflicts(kind: str = "deadlock") -> float:
    found = REGISTRY.get_sample_value("landfall_database_conflicts_total", {"pool": POOL, "kind": kind})
    assert found is not None, "it is seen before it first happens"
    return found


async def waiting(connection: asyncpg.Connection) -> int:
    """How many wait for a lock; what ``pg_stat_activity`` says stands still within a transaction."""
    found: int = await connection.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
    return found


async def side_by_side(
    connection: asyncpg.Connection,
    hold: Callable[[asyncpg.Connection], Awaitable[Any]],
    *writers: Coroutine[Any, Any, Any],
) -> list[Any]:
    """What comes of writers that all wait before what ``hold`` takes is free."""
    holding = connection.transaction()
    await holding.start()
    await hold(connection)
    running = []
    for number, writer in enumerate(writers, 1):
        running.append(asyncio.create_task(writer))

        async def waits(number: int = number) -> bool:
            return await waiting(connection) == number

        await eventually(waits, 5)
    await holding.rollback()
    return list(await asyncio.gather(*running, return_exceptions=True))


def cut(*names: str) -> log.SplitDelivery:
    events = [Incoming(account_id="a", type="comments", external_id=name, payload="{}") for name in names]
    return log.SplitDelivery(received("instagram", b"{}"), 1, Split("accepted", None, events))


async def test_deliveries_of_the_same_events_in_opposite_orders_do_not_end_each_other(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    # In the order in which their names are taken, so that the one that is held is in the middle.
    e1, e2, e3 = sorted(("e1", "e2", "e3"), key=lambda name: identity_of("instagram", "a", name))

    async def hold(holder: asyncpg.Connection) -> None:
        await append_event(holder, "a", e2)

    async def append(*names: str) -> int:
        async with pool.acquire() as own, transaction(own):
            return sum((await log.append(own, [cut(*names)])).values())

    before = conflicts()
    found = await side_by_side(connection, hold, append(e1, e2, e3), append(e3, e2, e1))
    assert found == [3, 0]
    assert conflicts() == before, "a second try hides it from whoever waits, and costs a second"


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def comments(*names: str) -> list[store.Fact]:
    return [store.Fact("a", 1, Upsert(ig_comments, {"ig_id": n}, "content", "1", {"text": n}), NOON) for n in names]


def media(*names: str) -> list[store.Fact]:
    return [store.Fact("a", 1, Upsert(ig_media, {"ig_id": n}, "ad", "1", {"ad_id": n}), NOON) for n in names]


@pytest.mark.parametrize(
    ("held", "first", "second"),
    [
        (comments("c2"), comments("c1", "c2", "c3"), comments("c3", "c2", "c1")),
        (media("m2"), [*media("m1", "m2"), *comments("c1")], [*comments("c1"), *media("m1")]),
    ],
    ids=["rows", "tables"],
)
async def test_facts_about_the_same_rows_in_opposite_orders_do_not_end_each_other(
    connection: asyncpg.Connection,
    pool: Pool,
    held: list[store.Fact],
    first: list[store.Fact],
    second: list[store.Fact],
) -> None:
    async def hold(holder: asyncpg.Connection) -> None:
        await store.apply(holder, held)

    async def write(facts: list[store.Fact]) -> int:
        async with pool.acquire() as writer, transaction(writer):
            return await store.apply(writer, facts)

    before = conflicts()
    assert await side_by_side(connection, hold, write(first), write(second)) == [len(first), len(second)]
    assert conflicts() == before


async def test_what_writers_lose_to_each_other_is_counted_by_its_kind(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    before = {kind: conflicts(kind) for kind in CONFLICTS.values()}
    assert set(before) == {"deadlock", "lock_timeout", "serialization"}

    async def lock(first: int, second: int) -> None:
        async with pool.acquire() as writer, transaction(writer):
            await writer.execute("SELECT pg_advisory_xact_lock($1)", first)
            await writer.execute("SELECT pg_advisory_xact_lock(0)")
            await writer.execute("SELECT pg_advisory_xact_lock_shared($1)", second)

    async def hold(holder: asyncpg.Connection) -> None:
        await holder.execute("SELECT pg_advisory_xact_lock(0)")

    async def impatient() -> None:
        async with pool.acquire() as writer, transaction(writer):
            await writer.execute("SET LOCAL lock_timeout = '10ms'")
            await writer.execute("SELECT pg_advisory_xact_lock(7)")

    found = await side_by_side(connection, hold, lock(1, 2), lock(2, 1))
    assert [type(error) for error in found if error is not None] == [asyncpg.exceptions.DeadlockDetectedError]
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(7)")
        with pytest.raises(asyncpg.exceptions.LockNotAvailableError):
            await impatient()
    assert {kind: conflicts(kind) - count for kind, count in before.items()} == {
        "deadlock": 1, "lock_timeout": 1, "serialization": 0,
    }  # fmt: skip
