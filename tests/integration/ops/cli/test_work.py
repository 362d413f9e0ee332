"""`landfall work`: it takes what settings say; a wake-up goes from a stored delivery to its row, and ends in time."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from ingest import store as ingest_store
from ingest.splitter import DRAIN_SECONDS as SPLIT_SECONDS
from ingest.splitter import Splitter
from ops.cli import wiring, work
from ops.cli.work import split_and_project
from ops.runtime import garbage
from ops.runtime.db import Pool, open_pool
from ops.runtime.worker_listener import JOB_SECONDS
from schema.rights import WORKER_ROLE
from sync.projection import store
from sync.projection.worker import DRAIN_SECONDS, Projector
from tests.recordings import received
from tests.support import VARIABLES, comment, instagram

ROWS = "SELECT count(*) FROM ig_comments"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 2, role=WORKER_ROLE, settings=store.PLANNER) as opened:
        yield opened


class Fed(Splitter):
    """A splitter whose deliveries never end: another one arrives whenever it looks."""

    def __init__(self, web: asyncpg.Connection) -> None:
        super().__init__(wiring.webhooks(), VARIABLES)
        self._web = web
        self._numbers = itertools.count()

    async def drain(self, connection: asyncpg.Connection, seconds: float = SPLIT_SECONDS) -> int:
        await ingest_store.receive(self._web, [received("instagram", instagram(comment(next(self._numbers))))])
        return await super().drain(connection, seconds)


def projector(pool: Pool) -> Projector:
    return Projector(pool, wiring.projections(), tries=3)


async def test_one_wake_up_makes_a_row_of_a_stored_delivery(connection: asyncpg.Connection, pool: Pool) -> None:
    await ingest_store.receive(connection, [received("instagram", instagram(comment(1), comment(2)))])
    await split_and_project(pool, Splitter(wiring.webhooks(), VARIABLES), projector(pool))
    assert await connection.fetchval(ROWS) == 2


async def test_wake_up_ends_in_time_while_deliveries_keep_coming(connection: asyncpg.Connection, pool: Pool) -> None:
    """And what came meanwhile is projected: neither stage waits for the end of the other's backlog."""
    begun = time.monotonic()
    async with asyncio.timeout(JOB_SECONDS):
        await split_and_project(pool, Fed(connection), projector(pool), seconds=2.0)
    assert time.monotonic() - begun >= 2.0
    assert await connection.fetchval(ROWS) > 1


def test_longest_wake_up_ends_before_its_job_would_be_cancelled() -> None:
    """It may begin its last turn at the end of its time: both stages once more, and a transaction of each."""
    assert DRAIN_SECONDS + SPLIT_SECONDS + DRAIN_SECONDS / 2 < JOB_SECONDS / 2


class StoppedError(Exception):
    """It came as far as the test looks."""


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("LANDFALL_PLAN_CACHE_MODE", "auto", [7, 3, False]), ("LANDFALL_DISTRIBUTED", "true", [7, 3, True])],
)
async def test_how_statements_are_planned_and_size_of_a_batch_are_settings(
    database: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: list[Any]
) -> None:
    monkeypatch.setattr(garbage, "collect_rarely", lambda: None)  # for the whole process, which is the tests'
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LANDFALL_BATCH_EVENTS", "7")
    monkeypatch.setenv("LANDFALL_LEASE_BUCKETS", "3")
    found: list[Any] = []

    def projector(*_: Any, **options: Any) -> None:
        found.extend((options["batch_events"], options["lease_buckets"], options["distributed"]))
        raise StoppedError

    async def mode(pool: Pool) -> str:
        async with pool.acquire() as connection:
            return str(await connection.fetchval("SHOW plan_cache_mode"))

    original = work.open_pool
    modes: dict[str, str] = {}

    async def opened(dsn: str, name: str, *arguments: Any, **options: Any) -> Pool:
        pool = await original(dsn, name, *arguments, **options)
        modes[name] = await mode(pool)
        return pool

    monkeypatch.setattr(work, "Projector", projector)
    monkeypatch.setattr(work, "open_pool", opened)
    with pytest.raises(StoppedError):
        await work.work(wiring.configuration())
    assert found == expected
    assert modes["sync"] == "auto"
