"""Times in which nothing received webhooks are noted by the process that receives them again."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from ops.runtime import process_store, processes
from ops.runtime.db import open_pool
from schema.rights import WEB_ROLE
from tests.support import eventually


async def reported(connection: asyncpg.Connection, kind: str, ago: timedelta) -> UUID:
    id_ = uuid4()
    await process_store.save(connection, id_, kind, "host", 1, [])
    await connection.execute("UPDATE processes SET seen_at = now() - $2::interval WHERE id = $1", id_, ago)
    return id_


async def outages(connection: asyncpg.Connection) -> list[Any]:
    return list(await connection.fetch("SELECT began_at, ended_at FROM outages ORDER BY began_at"))


async def test_first_process_after_an_outage_notes_it_once(connection: asyncpg.Connection) -> None:
    await reported(connection, "serve", timedelta(days=9))
    await reported(connection, "serve", timedelta(days=2))
    await reported(connection, "work", timedelta(0))
    for _ in range(2):  # two that start at the same time
        await process_store.note_start(connection)
    [outage] = await outages(connection)
    assert outage["ended_at"] - outage["began_at"] > timedelta(days=1, hours=23)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(minutes=9)])
async def test_restart_is_no_outage(connection: asyncpg.Connection, ago: timedelta) -> None:
    await reported(connection, "serve", timedelta(days=9))
    await reported(connection, "serve", ago)
    await process_store.note_start(connection)
    assert await outages(connection) == []


async def test_first_process_ever_ends_no_outage(connection: asyncpg.Connection) -> None:
    await reported(connection, "work", timedelta(days=3))
    await process_store.note_start(connection)
    assert await outages(connection) == []


async def test_last_report_of_each_kind_is_kept_for_the_next_process_to_see(connection: asyncpg.Connection) -> None:
    """However long the worker ran alone meanwhile: it deletes what is old."""
    await reported(connection, "serve", timedelta(days=20))
    last = await reported(connection, "serve", timedelta(days=10))
    await reported(connection, "work", timedelta(0))
    await process_store.delete_old(connection)
    rows = await connection.fetch("SELECT id FROM processes WHERE kind = 'serve'")
    assert [row["id"] for row in rows] == [last]


async def test_time_in_which_webhooks_were_refused_is_noted_if_it_was_no_moment(
    connection: asyncpg.Connection,
) -> None:
    now = datetime.now(UTC)
    await process_store.note_refused(connection, now - timedelta(minutes=9))
    assert await outages(connection) == []
    since = now - timedelta(hours=40)
    await process_store.note_refused(connection, since)
    [outage] = await outages(connection)
    assert outage["began_at"] == since


async def test_process_notes_at_its_start_what_was_before_and_later_what_it_had_to_refuse(
    database: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the role of the web process, which may write nothing else there."""
    monkeypatch.setattr(processes, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(processes, "REPORT_SECONDS", 0.05)
    await reported(connection, "serve", timedelta(days=2))
    refused = [None, datetime.now(UTC) - timedelta(hours=1), None]
    async with await open_pool(database, "test", 1, role=WEB_ROLE) as pool:
        task = asyncio.create_task(processes.report(pool, "serve", [], lambda: refused.pop(0) if refused else None))

        async def both() -> bool:
            return len(await outages(connection)) == 2

        await eventually(both)
        await eventually(lambda: asyncio.sleep(0, not refused))
        task.cancel()
    lengths = [row["ended_at"] - row["began_at"] for row in await outages(connection)]
    assert [round(length / timedelta(hours=1)) for length in lengths] == [48, 1]
