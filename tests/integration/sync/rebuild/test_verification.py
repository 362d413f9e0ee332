"""Rows are compared with what the log says of them, in parts that fit in memory, and nothing is written."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ops.runtime import db
from ops.runtime.db import Pool, open_pool
from schema.events import Event
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.contract import Upsert
from sync.projection.worker import Projector, measure_backlog
from sync.rebuild import verification
from sync.rebuild.procedure import LONGEST_TRANSACTION, Report, verify_changed
from sync.rebuild.processes import Processes
from tests.integration.sync.rebuild.test_rebuild import (
    PROJECTIONS,
    damage,
    departures,
    next_release,
    rebuilt,
    run,
    silent,
    told,
    verified,
)
from tests.support import append_event


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
        UPDATE ig_comments SET bucket = (bucket + 1) % 256, media_ig_id = NULL WHERE (account_id, ig_id) IN
            (SELECT account_id, ig_id FROM ig_comments LIMIT 1)"""
    )
    assert departures(await verified(database)) == {"ig_comments": (1, 1, 0)}
    assert departures(await rebuilt(database)) == {"ig_comments": (1, 1, 0)}
    assert (await verified(database)).drift == 0


async def test_verify_names_the_event_whose_row_postgresql_refuses(
    connection: asyncpg.Connection, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await told(connection, pool)
    victims = {before["ig_comments"][place]["ig_id"] for place in (7, 30)}

    def refused(event: Event) -> list[Upsert]:
        facts = PROJECTIONS["instagram"].handlers["comments"](event)
        nul = {"text": "\x00"} if event.payload["id"] in victims else {}
        return [
            fact._replace(values={**fact.values, **nul}) if "text" in fact.values else fact
            for fact in facts
            if isinstance(fact, Upsert)
        ]

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


ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


async def changes(database: str, since: datetime, **options: Processes) -> Report:
    connection = await db.connect(database, APP_ROLE)
    try:
        return await verify_changed(connection, PROJECTIONS, since, silent, **options)
    finally:
        await connection.close()


async def age(connection: asyncpg.Connection) -> None:
    """Let everything that was settled or verified be an hour old."""
    await connection.execute("UPDATE webhook_event_outcomes SET settled_at = settled_at - interval '1 hour'")
    await connection.execute("UPDATE crm_verifications SET began_at = began_at - interval '30 minutes'")


async def drained(pool: Pool) -> None:
    await Projector(pool, PROJECTIONS, tries=3).drain(30)


@pytest.mark.parametrize("seed", range(3))
async def test_row_is_what_the_events_that_it_names_make_together(
    seed: int, connection: asyncpg.Connection, pool: Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever events are looked at, nothing is drift that is none; and where all are, all of it is found."""
    before = await told(connection, pool, seed)
    rows = sum(map(len, before.values()))
    everything = await changes(database, ALWAYS)
    assert (everything.drift, everything.failed, sum(d.rows for d in everything.differences)) == (0, [], rows)
    monkeypatch.setattr(verification, "CHANGED_PART_EVENTS", 20)
    monkeypatch.setattr(verification, "BATCH_EVENTS", 15)
    assert (await changes(database, ALWAYS)).differences == everything.differences
    shared = Processes(database, APP_ROLE, 2)
    assert (await changes(database, ALWAYS, processes=shared)).differences == everything.differences
    await connection.execute(
        """
        UPDATE webhook_event_outcomes SET settled_at = settled_at - interval '1 day'
        WHERE hashtextextended(account_id || event_id, $1) % 5 <> 0""",
        seed,
    )
    some = await changes(database, datetime.now(UTC) - timedelta(hours=1))
    assert some.drift == 0
    assert 0 < sum(d.rows for d in some.differences) < rows
    done = await damage(connection)
    found = departures(await changes(database, ALWAYS))
    assert found == {
        table: (missing, 0, different) for table, (missing, _, different) in done.items() if missing or different
    }


async def test_drift_is_found_in_rows_that_events_were_about_and_in_others_by_the_whole_comparison(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    said = {"from": {"id": "1", "username": "u"}, "media": {"id": "m1"}}
    for number in range(20):
        await append_event(connection, "a", f"e{number}", payload=said | {"id": f"c{number}", "text": "hello"})
    await drained(pool)
    assert (await run(database, "verify"))[0] == 0
    await age(connection)
    code, text = await run(database, "verify", "--changed")
    assert (code, text.startswith("0 rows that events were about since ")) == (0, True)

    for number in range(4):
        read = {"id": f"c{number}", "like_count": 7}
        await append_event(connection, "a", f"read{number}", type="comment.read", payload=read)
    await drained(pool)
    code, text = await run(database, "verify", "--changed", "--json")
    document = json.loads(text)
    assert (code, document["drift"], document["since"] is not None) == (0, 0, True)
    assert {found["table"]: found["rows"] for found in document["differences"]}["ig_comments"] == 4

    await connection.execute(
        """
        UPDATE ig_comments SET metrics_json = '{"likes": 6}' WHERE ig_id = 'c0';
        UPDATE ig_comments SET text = 'of an older event' WHERE ig_id = 'c1';
        DELETE FROM ig_comments WHERE ig_id = 'c2';
        UPDATE ig_comments SET metrics_version = '', metrics_json = NULL, presence_version = '' WHERE ig_id = 'c3';
        UPDATE ig_comments SET text = 'no event was about it' WHERE ig_id = 'c10';
        INSERT INTO ig_comments (bucket, account_id, ig_id, media_ig_id, projection_version, created_at)
            SELECT bucket, 'a', 'invented', 'm1', 1, now() FROM ig_comments LIMIT 1
        """
    )
    for _ in range(2):
        code, text = await run(database, "verify", "--changed")
        assert code == 1, "what was not right is looked at until it is"
        assert "ig_comments: 1 missing, 3 different" in text
        assert "4 of 4 rows that events were about since" in text
        assert "c10" not in text
    code, text = await run(database, "verify")
    assert code == 1
    assert "ig_comments: 1 missing, 1 too many, 4 different" in text
    assert (await run(database, "rebuild"))[0] == 0
    code, text = await run(database, "verify", "--changed")
    assert (code, "rows that events were about" in text) == (0, True)
    assert (await run(database, "verify"))[0] == 0


async def test_first_time_every_row_is_compared(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    await told(connection, pool)
    await connection.execute("INSERT INTO crm_verifications (compared_rows, drifted_rows) VALUES (10, 0)")
    await damage(connection)
    code, text = await run(database, "verify", "--changed")
    assert code == 1
    assert "no verification without drift is noted yet: comparing every row" in text
    assert "ig_media: 1 too many" in text
    noted = await connection.fetch(
        "SELECT changed_only, began_at <= verified_at AS sane FROM crm_verifications OFFSET 1"
    )
    assert [tuple(row) for row in noted] == [(False, True)]


async def test_event_is_looked_at_that_was_settled_by_a_transaction_which_a_verification_did_not_see(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await append_event(connection, "a", "e1", payload={"id": "c1", "text": "hello", "media": {"id": "m1"}})
    await drained(pool)
    began = await connection.fetchval("SELECT clock_timestamp()")
    await connection.execute("UPDATE webhook_event_outcomes SET settled_at = $1", began - LONGEST_TRANSACTION / 2)
    await connection.execute("UPDATE ig_comments SET text = 'otherwise'")
    assert departures(await changes(database, began)) == {"ig_comments": (0, 0, 1)}
    await connection.execute("UPDATE webhook_event_outcomes SET settled_at = $1", began - 2 * LONGEST_TRANSACTION)
    assert departures(await changes(database, began)) == {}


async def test_comparison_of_changes_does_not_hide_what_the_whole_one_found(
    connection: asyncpg.Connection, database: str
) -> None:
    async def last() -> tuple[int, bool] | None:
        found = await store.last_verification(connection)
        return found and (found.drifted_rows, found.at < datetime.now(UTC) - timedelta(minutes=30))

    async def note(drifted: int, *, changed_only: bool) -> None:
        await connection.execute("UPDATE crm_verifications SET verified_at = verified_at - interval '1 hour'")
        await connection.execute(
            "INSERT INTO crm_verifications (compared_rows, drifted_rows, changed_only) VALUES (9, $1, $2)",
            *(drifted, changed_only),
        )

    assert await last() is None
    await note(3, changed_only=False)
    assert await last() == (3, False)
    await note(0, changed_only=True)
    assert await last() == (3, True), "when every row was compared"
    await note(5, changed_only=True)
    assert await last() == (5, True)
    await note(0, changed_only=False)
    assert await last() == (0, False)
    await note(2, changed_only=True)
    assert await last() == (2, True)
    await note(0, changed_only=True)
    assert await last() == (0, True), "it was put right"
    await measure_backlog(connection)
