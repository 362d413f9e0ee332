"""Rows are compared with what the log says of them, in parts that fit in memory, and nothing is written."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from ops.runtime.db import Pool, open_pool
from schema.events import Event
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.contract import Upsert
from sync.rebuild import verification
from tests.integration.sync.rebuild.test_rebuild import (
    PROJECTIONS,
    damage,
    departures,
    next_release,
    rebuilt,
    told,
    verified,
)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 12, role=APP_ROLE, settings=store.PLANNER) as opened:
        yield opened


async def test_parts_of_a_range_give_what_the_whole_gives(
    connection: asyncpg.Connection, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(connection, pool)
    done = await damage(connection)
    whole = await verified(database)
    monkeypatch.setattr(verification, "PART_EVENTS", 25)
    monkeypatch.setattr(verification, "BATCH_EVENTS", 10)
    parts = await verified(database)
    assert departures(parts) == departures(whole) == done
    assert [(d.table, d.rows) for d in parts.differences] == [(d.table, d.rows) for d in whole.differences]
    for report in (parts, whole):
        assert {d.table: d.samples for d in report.differences}["ig_media"] == ("nobody invented",)
        assert len({d.table: d.samples for d in report.differences}["ig_comments"]) == 4
    await rebuilt(database)
    assert (await verified(database)).drift == 0


async def test_row_in_a_wrong_bucket_is_missing_where_it_belongs(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await told(connection, pool)
    await connection.execute(
        """
        UPDATE lookups SET bucket = (bucket + 1) % 256 WHERE (account_id, kind, object_id) IN
            (SELECT account_id, kind, object_id FROM lookups LIMIT 1)"""
    )
    assert departures(await verified(database)) == {"lookups": (1, 1, 0)}
    assert departures(await rebuilt(database)) == {"lookups": (1, 1, 0)}
    assert (await verified(database)).drift == 0


async def test_verify_names_the_event_whose_row_postgresql_refuses(
    connection: asyncpg.Connection, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await told(connection, pool)
    victims = {before["ig_comments"][place]["ig_id"] for place in (7, 30)}

    def refused(event: Event) -> list[Upsert]:
        facts = PROJECTIONS["instagram"].handlers["comments"](event)
        nul = {"text": "\x00"} if event.payload["id"] in victims else {}
        return [fact._replace(values={**fact.values, **nul}) if "text" in fact.values else fact for fact in facts]

    later = next_release(comments=refused)
    later["instagram"] = type(later["instagram"])(later["instagram"].handlers, PROJECTIONS["instagram"].version)
    events = await connection.fetch(
        "SELECT id FROM webhook_event_log WHERE event_type = 'comments' AND payload_json ->> 'id' = any($1) ORDER BY 1",
        list(victims),
    )
    for size in (10_000, 25):
        monkeypatch.setattr(verification, "PART_EVENTS", size)
        report = await verified(database, later)
        assert [(item.event_id, item.error) for item in report.failed] == [
            (row["id"], "CharacterNotInRepertoireError 22021") for row in events
        ]
        assert departures(report)["ig_comments"] == (0, len(victims), 0)
