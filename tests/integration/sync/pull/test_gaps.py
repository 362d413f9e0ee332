"""Accounts are read again after an outage that lost webhooks of their platform, and no others."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ops.cli import wiring
from ops.runtime import metrics
from ops.runtime.db import open_pool
from schema.rights import WORKER_ROLE
from sync.pull import store
from sync.pull.contract import Priority
from sync.pull.gaps import GapFiller
from sync.pull.store import Key

HERE, THERE = Key("instagram", "17841400000000001"), Key("tiktok", "-000person")


@pytest.fixture
async def filler(database: str, connection: asyncpg.Connection) -> AsyncIterator[GapFiller]:
    for key in (HERE, THERE):
        await store.enable_account(connection, key, datetime.now(UTC))
    async with await open_pool(database, "publish", 2, role=WORKER_ROLE) as pool:
        yield GapFiller(pool, wiring.pulling_platforms(), wiring.retry_hours())


async def outage(connection: asyncpg.Connection, hours: float) -> None:
    await connection.execute(
        "INSERT INTO outages (began_at) VALUES (now() - make_interval(secs => $1))",
        timedelta(hours=hours).total_seconds(),
    )


async def wanted(connection: asyncpg.Connection) -> dict[str, list[Any]]:
    rows = await connection.fetch("SELECT * FROM pull_tasks WHERE due_at <= now() ORDER BY provider, kind")
    return {name: [row for row in rows if row["provider"] == name] for name in ("instagram", "tiktok")}


async def test_accounts_of_the_platform_that_dropped_something_are_read_with_the_reason(
    connection: asyncpg.Connection, filler: GapFiller
) -> None:
    """meta.md 1.3 and tiktok.md 2.1: 36 and 72 hours."""
    await outage(connection, 40)
    assert await filler.round() == 1
    found = await wanted(connection)
    assert found["tiktok"] == []
    assert {row["kind"] for row in found["instagram"]} == {
        task.kind for task in wiring.pulling_platforms()["instagram"].first
    }
    for row in found["instagram"]:
        assert row["priority"] == Priority.RECENT
        assert "were not received" in row["reason"]
    assert metrics.webhooks_lost_seconds.labels("instagram")._value.get() == pytest.approx(4 * 3600, abs=60)
    assert metrics.webhooks_lost_seconds.labels("tiktok")._value.get() == 0
    assert await filler.round() == 0, "once for each outage"


async def test_task_that_was_done_and_waits_for_its_turn_is_brought_forward(
    connection: asyncpg.Connection, filler: GapFiller
) -> None:
    await outage(connection, 80)
    assert await filler.round() == 2
    await connection.execute(
        "UPDATE pull_tasks SET first_done_at = now(), due_at = now() + interval '1 day', reason = ''"
    )
    assert (await wanted(connection))["tiktok"] == []
    await outage(connection, 79)
    await filler.round()
    assert {row["kind"] for row in (await wanted(connection))["tiktok"]} == {"account", "videos", "videos_by_id"}


async def test_shorter_outage_asks_for_nothing(connection: asyncpg.Connection, filler: GapFiller) -> None:
    await outage(connection, 35)
    assert await filler.round() == 0
    assert await wanted(connection) == {"instagram": [], "tiktok": []}
    assert await connection.fetchval("SELECT count(*) FROM outages WHERE settled_at IS NULL") == 0
    assert metrics.webhooks_lost_seconds.labels("instagram")._value.get() == 0
