"""Several processes give what one gives, and whichever of them ends, nothing is half done and no work is lost."""

import asyncio
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from ops.runtime import db
from ops.runtime.db import Pool, open_pool
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild import shadow
from sync.rebuild.procedure import Report, rebuild, verify
from sync.rebuild.processes import ProcessEndedError, Processes
from sync.rebuild.shadow import BusyError
from tests.integration.sync.rebuild.test_rebuild import PROJECTIONS, damage, departures, rebuilt, told, verified
from tests.support import append_event, crm, eventually


@pytest.fixture(autouse=True)
def all_in_ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave nothing to fold while everything waits, and no process behind."""
    monkeypatch.setattr("sync.rebuild.procedure.FEW_EVENTS", 0)
    yield
    assert not multiprocessing.active_children()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 12, role=APP_ROLE, settings=store.PLANNER) as opened:
        yield opened


def several(database: str, role: str = "", count: int = 2) -> Processes:
    return Processes(database, role, count)


async def alone(connection: asyncpg.Connection) -> bool:
    return not await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('landfall ranges', 'landfall command')"
    )


async def test_three_processes_find_and_mend_what_one_does(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    done = await damage(connection)
    one, three = await verified(database), await verified(database, processes=several(database, APP_ROLE, 3))
    assert departures(one) == departures(three) == done
    assert [d.rows for d in one.differences] == [d.rows for d in three.differences]
    assert departures(await rebuilt(database, processes=several(database, count=3))) == done
    assert await crm(connection) == before
    seen: list[tuple[int, int]] = []
    opened = await db.connect(database, APP_ROLE)
    report = await verify(
        opened, PROJECTIONS, lambda *counts: seen.append(counts), processes=several(database, APP_ROLE)
    )
    await opened.close()
    assert report.drift == 0
    assert (
        seen[-1][0]
        == seen[-1][1]
        == await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done'")
    )
    assert len(seen) > 2, "while it goes on"


async def interrupted(database: str, end: str) -> Report:
    """Rebuild, and let something happen as soon as a further process has folded something."""
    opened = await db.connect(database)
    task: asyncio.Task[Report]
    happened = False

    def progress(done: int, _total: int) -> None:
        nonlocal happened
        if done and not happened:
            happened = True
            if end == "kill":
                victim = multiprocessing.active_children()[-1].pid
                assert victim
                os.kill(victim, signal.SIGKILL)
            if end == "cancel":
                task.cancel()

    task = asyncio.create_task(rebuild(opened, PROJECTIONS, list(PROJECTIONS), progress, processes=several(database)))
    try:
        return await task
    finally:
        await opened.close()


@pytest.mark.parametrize(("end", "error"), [("kill", ProcessEndedError), ("cancel", asyncio.CancelledError)])
async def test_rebuild_goes_on_after_one_process_is_killed_or_the_whole_cancelled(
    end: str, error: type[BaseException], connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    done = await damage(connection)
    damaged = await crm(connection)
    with pytest.raises(error):
        await interrupted(database, end)
    assert not multiprocessing.active_children(), "the others ended too"
    assert await crm(connection) == damaged, "nothing of it is visible"
    await eventually(lambda: alone(connection), 10)
    report = await rebuilt(database, processes=several(database))
    assert report.resumed > 0
    assert departures(report) == done
    assert await crm(connection) == before


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_rebuild_goes_on_after_its_processes_died_at_any_range(
    number: int,
    connection: asyncpg.Connection,
    pool: Pool,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await told(connection, pool)
    done = await damage(connection)
    monkeypatch.setenv("LANDFALL_FAULT", f"exit:{number}:{tmp_path}/fired")  # only processes that begin now read it
    with pytest.raises(ProcessEndedError):
        await rebuilt(database, processes=several(database))
    assert set((tmp_path / "fired").read_text().split()) == {"ranges.done"}
    monkeypatch.delenv("LANDFALL_FAULT")
    await eventually(lambda: alone(connection), 10)
    report = await rebuilt(database, processes=several(database))
    assert report.resumed > 0
    assert departures(report) == done
    assert await crm(connection) == before


async def test_what_fails_in_another_process_is_said_here(
    connection: asyncpg.Connection, pool: Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(connection, pool)
    monkeypatch.setenv("LANDFALL_FAULT", f"raise:1:{tmp_path}/fired")
    with pytest.raises(ProcessEndedError, match="InjectedError"):
        await verified(database, processes=several(database, APP_ROLE))
    monkeypatch.delenv("LANDFALL_FAULT")
    with pytest.raises(ProcessEndedError, match="InsufficientPrivilegeError 42501"):
        await verified(database, processes=several(database, "landfall_worker"))


REBUILD = """
import sync.rebuild.procedure
sync.rebuild.procedure.FEW_EVENTS = 0
from ops.cli.main import main
main(["rebuild", "--processes", "2"])
"""


async def test_processes_whose_first_one_is_gone_end_and_keep_others_out_until_then(
    connection: asyncpg.Connection, pool: Pool, database: str, tmp_path: Path
) -> None:
    before = await told(connection, pool)
    await damage(connection)
    folding = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'landfall ranges'"
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database,
        # The first one stalls as soon as it has the shadow, the others after their first range.
        "LANDFALL_FAULT": f"stall:1:{tmp_path}/fired",
    }
    root = Path(__file__).parents[4]
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", REBUILD, env=environment, cwd=root)

    async def stalled() -> bool:
        fired = tmp_path / "fired"
        return fired.exists() and "ranges.done" in fired.read_text()

    await eventually(stalled, 30)
    with pytest.raises(BusyError):
        await rebuilt(database)
    first.kill()
    await first.wait()

    async def outlived() -> bool:
        return not await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'landfall command'"
        )

    await eventually(outlived, 2)
    assert await connection.fetchval(folding) > 0, "they have not noticed yet"
    with pytest.raises(BusyError):
        await rebuilt(database)
    with pytest.raises(BusyError):
        async with connection.transaction():
            await shadow.discard(connection)
    await eventually(lambda: alone(connection), 20)
    assert (await rebuilt(database, processes=several(database))).drift > 0
    assert await crm(connection) == before


async def test_tables_are_right_though_traffic_flows_beside_several_processes(
    connection: asyncpg.Connection, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(connection, pool)
    monkeypatch.setattr("sync.rebuild.procedure.FEW_EVENTS", 200)
    await damage(connection)
    writer, stop = await asyncpg.connect(database), asyncio.Event()

    async def write() -> None:
        for number in itertools.count():
            value = {"id": f"live{number}", "from": {"id": "1", "username": "u"}, "media": {"id": "m"}}
            await append_event(writer, f"acc{number % 9}", f"live{number}", payload=value)
            await Projector(pool, PROJECTIONS, tries=3).drain(5)
            if stop.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        assert (await rebuilt(database, processes=several(database))).drift > 0
        for _ in range(2):
            report = await verified(database, processes=several(database, APP_ROLE))
            assert (report.drift, report.failed) == (0, [])
        assert (await rebuilt(database, processes=several(database))).drift == 0
        stop.set()
    await writer.close()
    assert (await verified(database)).drift == 0
