"""With a spool, webhooks are answered 200 while PostgreSQL is away, and stored once when it is back: rows B1 to B3, B6
and I8 of ``faults.md``.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ops.runtime.embedded import Postgres, free_port
from tests.faults.oracle import Oracle
from tests.faults.proxy import Blackhole, FaultProxy, Pass, Refuse, SwallowReply
from tests.support import Process, Service, command, comment, drained, eventually, instagram

LEAST_BYTES = 2**20
"""The smallest spool that may be configured."""


@dataclass
class Spooled:
    """The service with a spool, on a cluster that may be broken, and a proxy between that and the web process."""

    service: Service
    oracle: Oracle
    postgres: Postgres
    link: FaultProxy
    directory: Path

    async def waiting(self) -> float:
        """How many deliveries wait in the spool."""
        return (await self.service.metrics())["landfall_spool_deliveries"]

    async def emptied(self) -> None:
        async def empty() -> bool:
            return await self.waiting() == 0

        await eventually(empty, 20)

    async def readiness(self) -> tuple[int, dict[str, dict[str, object]]]:
        """The status, and the checks."""
        async with self.service.client.get(f"{self.service.url}/readyz") as response:
            found = await response.json()
            checks = found["checks"] if response.status == 200 else found["error"]["details"]["checks"]
            return response.status, checks

    async def held(self, deliveries: int | None = None) -> None:
        """I1, I2 and I4: what was acknowledged is stored, once, and becomes rows without anybody's help."""
        await self.emptied()
        assert list(self.directory.glob("*.spool*")) == []
        connection = await asyncpg.connect(self.postgres.dsn())
        try:
            await self.oracle.check(connection)
            await drained(connection)
            acked = len(self.oracle.acked)
            assert await connection.fetchval("SELECT count(*) FROM ig_comments") == acked
            stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
            assert stored == (acked if deliveries is None else deliveries), "each once"
            assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_outcomes") == stored
        finally:
            await connection.close()


@pytest.fixture
async def spooled(own_postgres: Postgres, tmp_path: Path) -> AsyncIterator[Spooled]:
    directory = tmp_path / "spool"
    service = Service(own_postgres.dsn(), None, tmp_path, {"LANDFALL_SPOOL_DIR": str(directory)})
    async with FaultProxy.to(own_postgres.dsn()) as link:
        service.web.environment["DATABASE_URL"] = link.before(own_postgres.dsn())
        await service.start()
        yield Spooled(service, Oracle(service), own_postgres, link, directory)
        await service.stop()


async def test_b1_everything_is_accepted_while_postgresql_is_away_and_stored_once(spooled: Spooled) -> None:
    oracle, postgres, stop = spooled.oracle, spooled.postgres, asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    for end in (postgres.kill, postgres.stop):
        await asyncio.sleep(0.8)
        before = len(oracle.acked)
        await asyncio.to_thread(end)
        await asyncio.sleep(2.0)
        assert len(oracle.acked) > before + 50
        assert await spooled.waiting() > 0
        status, checks = await spooled.readiness()
        assert status == 200, "a load balancer goes on sending"
        assert checks["postgresql"]["ok"] is checks["spool"]["ok"] is False
        assert "wait in the spool" in str(checks["spool"]["detail"])
        back = await asyncio.to_thread(started, postgres)
    await spooled.emptied()
    await asyncio.sleep(0.5)
    stop.set()
    await load
    assert oracle.statuses == {200}
    assert oracle.slowest < 2, "no answer took longer than without a spool"
    await spooled.held()
    assert (await spooled.readiness())[1]["spool"] == {"ok": True}
    connection = await asyncpg.connect(postgres.dsn())
    times = [row["received_at"] for row in await connection.fetch("SELECT received_at FROM webhook_deliveries")]
    await connection.close()
    assert sum(0.2 < (back - at).total_seconds() < 1.8 for at in times) > 20, (
        "when they came, not when they were stored"
    )


def started(postgres: Postgres) -> datetime:
    """Start it; when that was, by its own clock."""
    postgres.start()
    return datetime.fromisoformat(postgres.sql("SELECT pg_postmaster_start_time()").replace(" ", "T"))


async def test_b1_deliveries_of_the_spool_are_stored_beside_new_ones_in_order(spooled: Spooled) -> None:
    oracle = spooled.oracle
    await spooled.link.become(Refuse())
    for number in range(30):
        await oracle.send(number)
    stop = asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(100), stop))
    await asyncio.sleep(1)
    await spooled.link.become(Pass())
    await spooled.emptied()
    counted = await spooled.service.metrics()
    await asyncio.sleep(0.5)
    stop.set()
    await load
    later = await spooled.service.metrics()
    assert later["landfall_spool_appended_total"] == counted["landfall_spool_appended_total"]
    assert later["landfall_ingest_commit_deliveries_count"] > counted["landfall_ingest_commit_deliveries_count"]
    assert oracle.statuses == {200}
    await spooled.held()
    connection = await asyncpg.connect(spooled.postgres.dsn())
    found = await connection.fetch(
        """
        SELECT substr(convert_from(body, 'UTF8')::jsonb #>> '{entry,0,changes,0,value,id}', 5)::int AS number
        FROM webhook_deliveries ORDER BY xmin::text::bigint, id"""
    )
    await connection.close()
    assert [row["number"] for row in found if row["number"] < 30] == list(range(30))


async def test_b6_read_only_server_is_a_server_that_is_away(spooled: Spooled) -> None:
    oracle, stop = spooled.oracle, asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    await asyncio.sleep(0.5)
    spooled.postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    await asyncio.sleep(1.5)
    failures = await commit_failures(spooled.service)
    await asyncio.sleep(1.0)
    assert await spooled.waiting() > 50
    assert await commit_failures(spooled.service) == failures, "nothing is tried while it is known to be read-only"
    spooled.postgres.sql("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    await spooled.emptied()
    stop.set()
    await load
    assert oracle.statuses == {200}
    await spooled.held()


async def commit_failures(service: Service) -> float:
    counted = await service.metrics()
    return sum(n for name, n in counted.items() if name.startswith("landfall_ingest_commit_failures_total"))


@pytest.mark.parametrize("silent", [False, True], ids=["reset", "silence"])
async def test_b2_commit_of_which_nobody_knows_is_acknowledged_by_the_spool_and_stored_once(
    spooled: Spooled, *, silent: bool
) -> None:
    connection = await asyncpg.connect(spooled.postgres.dsn())
    await spooled.oracle.send(1)
    await asyncio.sleep(0.2)  # until its connection is back in the pool: the next reply is a commit's
    await spooled.link.become(SwallowReply(silent=silent))
    await spooled.oracle.send(2)
    assert spooled.oracle.acked == {1, 2}
    assert spooled.oracle.slowest < 1.8
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 2, "it was committed"
    assert await spooled.waiting() == 1, "and is kept, since nobody knows"
    await connection.close()
    await spooled.link.become(Pass())
    await spooled.held()


async def test_d1_silent_server_costs_a_second_once_and_nobody_an_answer(spooled: Spooled) -> None:
    oracle, numbers = spooled.oracle, itertools.count()
    for _ in range(3):
        await oracle.send(next(numbers))
    await spooled.link.become(Blackhole())
    stop = asyncio.Event()
    load = asyncio.create_task(oracle.load(numbers, stop, 40))
    await asyncio.sleep(4)
    stop.set()
    await load
    assert oracle.statuses == {200}
    assert oracle.slowest < 1.8
    assert len(oracle.acked) > 300, "the others did not wait for it"
    await spooled.link.become(Pass())
    await spooled.held()


async def test_b3_spool_lets_go_of_what_was_committed_only_when_the_standby_has_it(spooled: Spooled) -> None:
    """The row is there, and a failover would lose it: storing it again adds nothing, and waits for the standby."""
    postgres = spooled.postgres
    await spooled.oracle.send(1)
    postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)
    await spooled.oracle.send(2)
    assert spooled.oracle.acked == {1, 2}
    connection = await asyncpg.connect(postgres.dsn())
    for _ in range(10):  # the commit itself, and each time that the spool stores it again
        await connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        await asyncio.sleep(0.3)
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 2, "committed here only"
    assert await spooled.waiting() == 1, "not durable, so not done"
    await connection.close()
    postgres.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    await spooled.held()


async def test_i8_full_spool_is_answered_503_and_goes_on_when_postgresql_is_back(spooled: Spooled) -> None:
    oracle, service = spooled.oracle, spooled.service
    await service.web.kill()
    await spooled.link.become(Refuse())
    service.web.environment["LANDFALL_SPOOL_BYTES"] = str(LEAST_BYTES)
    await service.web.start()
    await eventually(service.answering)
    large = [instagram(comment(number, text="x" * 2**17)) for number in range(12)]
    answers = [(await service.send("instagram", body))[0] for body in large]
    kept = answers.index(503)
    assert kept in (6, 7)
    assert set(answers[kept:]) == {503}
    await oracle.send(100)
    assert oracle.acked == {100}, "a small one still finds room"
    while oracle.statuses == {200}:
        await oracle.send(next(NUMBERS))
    assert oracle.without_retry_after == 0
    status, checks = await spooled.readiness()
    assert status == 503
    assert "of 1048576 bytes are in use" in str(checks["spool"]["detail"])
    assert (await service.metrics())['landfall_spool_failures_total{reason="full"}'] > 0
    await spooled.link.become(Pass())
    await oracle.redeliver()
    oracle.acked |= set(range(kept))
    await spooled.held()


NUMBERS = itertools.count(1000)


async def test_a1_process_killed_with_a_backlog_goes_on_with_it(spooled: Spooled) -> None:
    oracle, service = spooled.oracle, spooled.service
    await spooled.link.become(Refuse())
    numbers = itertools.count()
    for _ in range(3):
        stop = asyncio.Event()
        load = asyncio.create_task(oracle.load(numbers, stop))
        await asyncio.sleep(0.7)
        await service.web.kill()
        stop.set()
        await load
        await service.web.start()
        await eventually(service.answering)
    assert await spooled.waiting() >= len(oracle.acked) > 100
    await spooled.link.become(Pass())
    await oracle.redeliver()
    await spooled.emptied()
    connection = await asyncpg.connect(spooled.postgres.dsn())
    stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
    await connection.close()
    await spooled.held(stored)  # one that was on the disk without an answer came again as a delivery of its own


async def test_a3_sigterm_while_postgresql_is_away_answers_what_was_begun(spooled: Spooled) -> None:
    oracle, stop = spooled.oracle, asyncio.Event()
    await spooled.link.become(Refuse())
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    assert await spooled.service.web.terminate() == 0
    assert time.monotonic() - begun < 5
    stop.set()
    await load
    assert oracle.statuses == {200}
    await spooled.link.become(Pass())
    code, said = await command(spooled.postgres.dsn(), "spool", "drain", **spooled.service.extra)
    assert (code, said.split()[:2]) == (0, [str(len(oracle.acked)), "deliveries"])
    await spooled.service.web.start()
    await eventually(spooled.service.answering)
    await spooled.held()


async def test_second_process_with_the_same_spool_does_not_start_and_says_why(
    spooled: Spooled, spawned: list[Process], tmp_path: Path
) -> None:
    ports = {"LANDFALL_HTTP_PORT": str(free_port()), "LANDFALL_METRICS_PORT": str(free_port())}
    second = Process(("serve",), spooled.service.web.environment | ports, tmp_path / "second.log")
    spawned.append(await second.start())
    assert second.child is not None
    assert await asyncio.wait_for(second.child.wait(), 20) == 1
    for part in ("LANDFALL_SPOOL_DIR cannot be used", f"{spooled.service.web.pid}", "of its own"):
        assert part in second.output()
    assert "Traceback" not in second.output()
    await spooled.oracle.send(1)
    await spooled.held()


async def test_process_starts_without_postgresql_and_accepts(spooled: Spooled) -> None:
    service = spooled.service
    await service.web.kill()
    await spooled.link.become(Refuse())
    await service.web.start()

    async def accepted() -> bool:
        try:
            await spooled.oracle.send(1)
        except aiohttp.ClientError:
            return False
        return 1 in spooled.oracle.acked

    await eventually(accepted)
    await spooled.link.become(Pass())
    await spooled.held()
