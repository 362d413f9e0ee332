"""The sweep: one scenario again and again, with a fault at the first point reached, the second, … until none is left.

Rows A1, A4, A7 and B13 of ``faults.md``. ``ops/runtime/faultpoint.py`` has the points.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from ingest.splitter import Splitter
from ingest.store import receive
from ops.cli import wiring
from ops.runtime import db
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, free_port
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild.procedure import verify
from tests import fork_server
from tests.faults.proxy import FaultProxy, Pass, Refuse
from tests.recordings import received
from tests.support import (
    VARIABLES,
    Process,
    Service,
    append_event,
    comment,
    crm,
    crm_of_any_log,
    drained,
    eventually,
    instagram,
)

MODES = ["exit", "raise", "cancel"]
SIDE_BY_SIDE = 4
MOST_POINTS = 40


@dataclass
class Fault:
    """A fault that is asked for, and whether it happened."""

    mode: str
    number: int
    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"LANDFALL_FAULT": f"{self.mode}:{self.number}:{self.path}"}

    @property
    def point(self) -> str | None:
        return self.path.read_text().strip() if self.path.exists() else None


@pytest.fixture
async def databases(postgres: Postgres, template: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Makes migrated databases by name."""
    made, taking_turns = [], asyncio.Lock()
    superuser = await asyncpg.connect(postgres.dsn("postgres", "postgres"))

    async def make(name: str) -> str:
        made.append(database := f"sweep_{name}")
        async with taking_turns:
            await superuser.execute(f"CREATE DATABASE {database} TEMPLATE {template} OWNER landfall STRATEGY FILE_COPY")
        return postgres.dsn(database)

    yield make
    for database in made:
        await superuser.execute(f"DROP DATABASE {database} WITH (FORCE)")
    await superuser.close()


async def sweep(mode: str, directory: Path, scenario: Callable[[Fault], Awaitable[None]]) -> list[str]:
    """Run the scenario with the fault at every point there is, several side by side; the points, in order."""
    points: list[str] = []
    for start in range(1, MOST_POINTS, SIDE_BY_SIDE):
        faults = [Fault(mode, number, directory / f"fired{number}") for number in range(start, start + SIDE_BY_SIDE)]
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                tasks.create_task(scenario(fault))
        points += [fault.point for fault in faults if fault.point]
        if faults[-1].point is None:
            print(f"{mode}: {len(points)} points: {' '.join(points)}")  # noqa: T201  `pytest -s` shows it
            return points
    raise AssertionError(f"more than {MOST_POINTS} points: the scenario does not end")


async def sound(dsn: str) -> None:
    """I3: the tables are what the log says, and deliveries are what was split into it."""
    connection = await db.connect(dsn, APP_ROLE)
    split = "SELECT coalesce(sum(new_event_count), 0) FROM webhook_delivery_outcomes"
    logged = "SELECT count(*) FROM webhook_event_log WHERE delivery_id IS NOT NULL"
    assert await connection.fetchval(split) == await connection.fetchval(logged)
    report = await verify(connection, wiring.projections(), lambda done, total: None)
    await connection.close()
    assert (report.drift, report.failed) == (0, [])


@pytest.mark.parametrize("mode", MODES)
async def test_a1_a7_ingest_survives_a_fault_at_every_point(
    mode: str, databases: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    bodies = [instagram(comment(1), comment(2)), instagram(comment(2), comment(3))]  # one of them twice

    async def scenario(fault: Fault) -> None:
        directory = tmp_path / f"{fault.number}"
        directory.mkdir()
        dsn = await databases(f"ingest_{mode}_{fault.number}")
        connection = await asyncpg.connect(dsn)
        service = Service(dsn, None, directory, fault.environment)
        await service.start(worker=False)
        restarts = 0

        async def delivered(body: bytes) -> bool:
            nonlocal restarts
            stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
            try:
                status, _ = await service.send("instagram", body)
            except aiohttp.ClientError:  # nobody knows: it comes again, as platforms do
                status = 0
            now = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
            assert status in (0, 200, 503)
            assert status != 200 or now == stored + 1, "I1: acknowledged is stored, with a row of its own"
            if not service.web.running:
                restarts += 1
                service.web.environment.pop("LANDFALL_FAULT")
                await service.web.start()
                await eventually(service.answering)
            return status == 200

        try:
            for body in bodies:
                await eventually(lambda body=body: delivered(body), 20)  # type: ignore[misc]
            assert restarts == (mode == "exit" and fault.point is not None) or mode == "cancel"
            async with await open_pool(dsn, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
                await Splitter(wiring.webhooks(), VARIABLES).drain(connection)
                log = await connection.fetch("SELECT payload_json->>'id' AS id FROM webhook_event_log ORDER BY 1")
                assert [row["id"] for row in log] == [f"1785{n:08d}" for n in (1, 2, 3)], "I2: once each"
                await Projector(pool, wiring.projections(), tries=3).drain()
            assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 3
            await sound(dsn)
        finally:
            await service.stop()
            await connection.close()

    points = await sweep(mode, tmp_path, scenario)
    assert set(points) == {"ingest.read", "ingest.accepted", "ingest.append", "ingest.committed", "ingest.answer"}
    assert len(points) >= 5 * len(bodies), "each of them, for each delivery"


@pytest.mark.parametrize("mode", MODES)
async def test_b13_spool_survives_a_fault_at_every_point(
    mode: str, databases: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    """Deliveries come while PostgreSQL is away, and are stored when it is back."""
    bodies = [instagram(comment(1), comment(2)), instagram(comment(2), comment(3))]

    async def scenario(fault: Fault) -> None:
        directory = tmp_path / f"{fault.number}"
        directory.mkdir()
        dsn = await databases(f"spool_{mode}_{fault.number}")
        service = Service(dsn, None, directory, {"LANDFALL_SPOOL_DIR": str(directory / "spool")} | fault.environment)
        acknowledged: list[str] = []

        async def running() -> bool:
            if not service.web.running:
                service.web.environment.pop("LANDFALL_FAULT")
                await service.web.start()
                await eventually(service.answering)
            return True

        async def delivered(body: bytes) -> bool:
            try:
                status, answer = await service.send("instagram", body)
            except aiohttp.ClientError:
                status, answer = 0, {}
            assert status in (0, 200, 503)
            if status == 200:
                acknowledged.append(answer["delivery"])
            await running()
            return status == 200

        async def emptied() -> bool:
            await running()
            try:
                return (await service.metrics())["landfall_spool_deliveries"] == 0
            except aiohttp.ClientError:
                return False

        async with FaultProxy.to(dsn) as link:
            service.web.environment["DATABASE_URL"] = link.before(dsn)
            await link.become(Refuse())
            await service.start(worker=False)
            connection = await asyncpg.connect(dsn)
            try:
                for body in bodies:
                    await eventually(lambda body=body: delivered(body), 20)  # type: ignore[misc]
                assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
                await link.become(Pass())
                await eventually(emptied, 20)
                assert list((directory / "spool").glob("*.spool*")) == []
                stored = [row["id"] for row in await connection.fetch("SELECT id::text FROM webhook_deliveries")]
                assert set(acknowledged) <= set(stored), "I1: acknowledged is stored"
                assert len(stored) <= len(bodies) + (fault.point is not None), "and nothing twice that came once"
                await Splitter(wiring.webhooks(), VARIABLES).drain(connection)
                log = await connection.fetch("SELECT payload_json->>'id' AS id FROM webhook_event_log ORDER BY 1")
                assert [row["id"] for row in log] == [f"1785{n:08d}" for n in (1, 2, 3)], "I2: once each"
            finally:
                await service.stop()
                await connection.close()

    points = await sweep(mode, tmp_path, scenario)
    kept = {"ingest.read", "ingest.accepted", "ingest.spool", "ingest.spooled", "ingest.answer"}
    assert (set(points), len(points)) == (kept | {"spool.drain", "spool.drained"}, len(kept) * len(bodies) + 2)


@pytest.mark.parametrize("mode", MODES)
async def test_a4_a7_worker_survives_a_fault_at_every_point(
    mode: str, databases: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    tables: list[object] = []

    async def scenario(fault: Fault) -> None:
        dsn = await databases(f"sync_{mode}_{fault.number}")
        connection = await asyncpg.connect(dsn)
        environment = {"DATABASE_URL": dsn, "LANDFALL_METRICS_PORT": str(free_port())}
        log = tmp_path / f"work{fault.number}.log"
        worker = await Process(("work",), environment | fault.environment, log).start()

        async def over() -> bool:
            return not worker.running or not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM webhook_delivery_queue) OR EXISTS (SELECT FROM webhook_event_queue)"
            )

        try:
            for number in range(2):  # one account, so that its batches come one after the other
                body = instagram(comment(1, text=f"t{number}", **{"from": {"id": f"{number}"}}))
                await receive(connection, [received("instagram", body)])
                await eventually(over, 20)
                if not worker.running:
                    assert mode == "exit", worker.output()[-2000:]
                    assert worker.environment.pop("LANDFALL_FAULT", ""), worker.output()[-2000:]
                    await worker.start()
            await drained(connection, 20)
            assert await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done'") == 2
            await sound(dsn)
            tables.append(await crm_of_any_log(connection))
        finally:
            await worker.kill()
            await connection.close()

    points = await sweep(mode, tmp_path, scenario)
    split = {"split.taken", "split.appended", "split.settled", "split.committed"}
    assert set(points) == split | {"sync.leased", "sync.claimed", "sync.applied", "sync.settled", "sync.committed"}
    assert len(points) >= 18, "each of them, for each batch"
    assert all(found == tables[0] for found in tables), "and always the same tables"


async def test_rebuild_survives_death_at_every_point(
    databases: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    wanted: list[object] = []

    async def scenario(fault: Fault) -> None:
        dsn = await databases(f"rebuild_{fault.number}")
        connection = await asyncpg.connect(dsn)
        for number in range(6):
            value = {"id": f"c{number}", "text": "t", "media": {"id": "m"}, "from": {"id": "1"}}
            await append_event(connection, "ab"[number % 2], f"e{number}", payload=value)
        environment = {"DATABASE_URL": dsn, "LANDFALL_METRICS_PORT": str(free_port())}
        worker = await Process(("work",), environment, tmp_path / f"work{fault.number}.log").start()
        try:
            await drained(connection)
            before = await crm(connection)
            await connection.execute("UPDATE ig_comments SET text = 'tampered' WHERE ig_id IN ('c1', 'c2')")
            tampered = await crm(connection)
            environ = {"PATH": os.environ["PATH"], "DATABASE_URL": dsn}
            first = await asyncio.to_thread(fork_server.run, "rebuild", environment=environ | fault.environment)
            assert first.returncode == (137 if fault.point else 0), first.stderr
            committed = fault.point in (None, "rebuild.committed")
            assert await crm(connection) == (before if committed else tampered), "all of it or nothing"
            await append_event(connection, "a", "later", payload={"id": "late", "media": {"id": "m"}})
            await drained(connection, 20)

            async def again() -> bool:  # the dead one's lock lives until PostgreSQL has noticed
                done = await asyncio.to_thread(fork_server.run, "rebuild", environment=environ)
                return done.returncode == 0

            await eventually(again, 20)
            await sound(dsn)
            wanted.append(await crm_of_any_log(connection))
        finally:
            await worker.kill()
            await connection.close()

    points = await sweep("exit", tmp_path, scenario)
    assert points == [f"rebuild.{point}" for point in ("opened", "held", "folded", "merged", "committed")]
    assert all(found == wanted[0] for found in wanted)
