"""Times in which nothing received webhooks are noted by the process that receives them again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from ops.runtime import process_store


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
