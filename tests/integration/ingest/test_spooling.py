"""What the spool kept is stored once, as the web process's role, and nothing is answered before it is safe."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest import spool_store, store
from ingest.committer import Committer
from ingest.contract import Received
from ingest.errors import Unavailable
from ingest.replication import NotReplicatedError
from ingest.spool import Spool, SpoolError
from ingest.spooling import Spooling
from ops.runtime.db import Pool, open_pool, transaction
from schema.rights import WEB_ROLE
from tests.recordings import received
from tests.support import eventually

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 3, role=WEB_ROLE, wait_seconds=5, connect_seconds=5) as opened:
        yield opened


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = await Spool.open(tmp_path / "spool", 2**24)
    yield opened
    await opened.close()


def deliveries(count: int) -> list[Received]:
    return [
        received("instagram", b"%d" % number)._replace(received_at=AT + timedelta(seconds=number))
        for number in range(count)
    ]


async def stored(connection: asyncpg.Connection) -> list[tuple[str, datetime, bool]]:
    """Each delivery, when it was received, and whether it waits to be split."""
    found = await connection.fetch(
        """
        SELECT d.id::text, d.received_at, q.delivery_id IS NOT NULL AS waits
        FROM webhook_deliveries d LEFT JOIN webhook_delivery_queue q ON q.delivery_id = d.id ORDER BY d.id"""
    )
    return [tuple(row) for row in found]


async def test_each_is_stored_once_with_its_time_and_what_was_there_is_left_alone(
    pool: Pool, spool: Spool, connection: asyncpg.Connection
) -> None:
    kept = deliveries(200)
    there = [*kept[:64], *kept[70:75], kept[150]]  # a whole batch, some of one, and one
    async with pool.acquire() as lent:
        await store.receive(lent, there)
    await connection.execute("DELETE FROM webhook_delivery_queue")  # they are split by now
    await spool.append(kept)
    notified: list[None] = []
    spooling = Spooling(spool, pool, lambda: notified.append(None))
    assert await spooling.drain() == 200
    assert notified
    assert spool.backlog.records == 0
    ids = {delivery.id for delivery in there}
    times = {delivery.id: delivery.received_at for delivery in kept}
    found = await stored(connection)
    assert [id_ for id_, _, _ in found] == [delivery.id for delivery in kept]
    for id_, at, waits in found:
        assert waits == (id_ not in ids)
        assert id_ in ids or at == times[id_]


async def test_refused_delivery_stops_nothing_and_its_file_is_set_aside(
    pool: Pool, spool: Spool, connection: asyncpg.Connection
) -> None:
    kept = deliveries(100)
    bad = [kept[3], kept[97]]
    await spool.append([delivery._replace(verdict="odd") if delivery in bad else delivery for delivery in kept])
    [path] = spool.directory.glob("*.spool")
    content = path.read_bytes()
    assert await Spooling(spool, pool).drain() == 98
    assert [id_ for id_, _, _ in await stored(connection)] == [d.id for d in kept if d not in bad]
    [aside] = spool.directory.glob("*.refused")
    assert aside.read_bytes() == content
    assert spool.backlog.records == 0


async def test_delivery_that_is_there_is_done_only_after_a_commit_that_wrote(
    pool: Pool, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: whoever inserted it may still wait for its flush; this commit waits for the same."""
    [delivery] = deliveries(1)
    async with pool.acquire() as lent:
        await store.receive(lent, [delivery])
        for given in ([delivery], []):
            async with transaction(lent):
                await spool_store.receive(lent, given)
                assert await lent.fetchval("SELECT pg_current_xact_id_if_assigned()") is not None, "it writes WAL"
    real = spool_store.receive

    async def warned(lent: asyncpg.Connection, given: Sequence[Received]) -> None:
        await real(lent, given)
        await lent.execute("DO $$ BEGIN RAISE WARNING 'not replicated'; END $$")

    monkeypatch.setattr(spool_store, "receive", warned)
    await spool.append([delivery])
    with pytest.raises(NotReplicatedError):
        await Spooling(spool, pool).drain()
    assert spool.backlog.records == 1


class BrokenError(Exception):
    """Stands for any trouble of a server."""


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise BrokenError

    monkeypatch.setattr(store, "receive", fail)
    monkeypatch.setattr(spool_store, "receive", fail)


@pytest.mark.usefixtures("away")
async def test_nothing_is_answered_before_its_bytes_are_flushed(
    pool: Pool, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test that fails where the spool does without fsync: the answer comes while the disk is still at it."""
    begun, go_on = threading.Event(), threading.Event()
    real = os.fsync
    flushed: list[int] = []

    def slow(number: int) -> None:
        begun.set()
        assert go_on.wait(10)
        real(number)
        flushed.append(os.fstat(number).st_size)

    monkeypatch.setattr(os, "fsync", slow)
    committer = Committer(pool, max_deliveries=10, spooling=Spooling(spool, pool))
    running = asyncio.create_task(committer.run())
    body = received("instagram", b"x" * 5000)
    answer = asyncio.create_task(committer.commit(body))
    assert await asyncio.to_thread(begun.wait, 5)
    done, _ = await asyncio.wait({answer}, timeout=0.5)
    assert not done
    go_on.set()
    await asyncio.wait_for(answer, 5)
    assert max(flushed) > 5000, "a file with the body in it, and not only its folder"
    committer.close()
    await running


@pytest.mark.usefixtures("away")
async def test_broken_disk_is_answered_503_and_tried_again(
    pool: Pool, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooling = Spooling(spool, pool)
    committer = Committer(pool, max_deliveries=10, spooling=spooling)
    running = asyncio.create_task(committer.run())

    def broken(_: int) -> None:
        raise OSError(5, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await committer.commit(received("instagram", b"1"))
        assert not spooling.takes
        refused = committer.take_refused()
        assert refused is not None, "and how long that goes on is noted as an outage"
        assert committer.take_refused() is None
        assert (spooling.check().ok, spooling.check().required) == (False, True)
    await committer.commit(received("instagram", b"2"))
    assert spooling.takes
    assert [spool.backlog.records, spooling.check().required] == [1, False]
    assert committer.take_refused() is None, "what the spool takes is not refused"
    committer.close()
    await running


async def test_delivery_that_postgresql_refuses_for_itself_is_not_spooled(
    pool: Pool, spool: Spool, connection: asyncpg.Connection
) -> None:
    committer = Committer(pool, max_deliveries=10, spooling=Spooling(spool, pool))
    running = asyncio.create_task(committer.run())
    with pytest.raises(Unavailable):
        await committer.commit(received("instagram", b"1")._replace(verdict="odd"))
    await committer.commit(received("instagram", b"2"))
    assert spool.backlog.records == 0
    assert len(await stored(connection)) == 1
    committer.close()
    await running


async def test_trouble_of_the_spool_does_not_end_the_task_that_empties_it(
    pool: Pool, spool: Spool, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spool.append(deliveries(3))
    spooling = Spooling(spool, pool)
    real, left = spool.next_batch, [None] * 3

    async def fails_at_first(*arguments: Any) -> Any:
        if left:
            left.pop()
            raise SpoolError("broken")
        return await real(*arguments)

    monkeypatch.setattr(spool, "next_batch", fails_at_first)
    running = asyncio.create_task(spooling.run())

    async def empty() -> bool:
        return len(await stored(connection)) == 3 and spool.backlog.records == 0

    await eventually(empty)
    assert not running.done()
    running.cancel()
