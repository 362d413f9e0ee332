"""The tables can be proved to be what the log says, made so again, and every row can say why it is what it is."""

import asyncio
import itertools
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.cli import wiring
from ops.runtime import db
from ops.runtime.db import Pool, open_pool
from schema.crm import crm_tables
from schema.crm.instagram import ig_comments
from schema.events import Event
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.contract import Projection, Upsert, Want
from sync.projection.worker import Projector
from sync.rebuild import shadow
from sync.rebuild import store as rebuild_store
from sync.rebuild.procedure import Report, WouldLoseError, rebuild, verify
from sync.rebuild.processes import EVERYTHING
from sync.rebuild.shadow import KEPT, BusyError
from tests import fork_server
from tests.integration.sync.projection.test_worker import story
from tests.support import Process, append_event, crm, drained, eventually, rows

PROJECTIONS = wiring.projections()


def silent(_done: int, _total: int) -> None:
    pass


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 12, role=APP_ROLE, settings=store.PLANNER) as opened:
        yield opened


async def told(connection: asyncpg.Connection, pool: Pool, seed: int = 5) -> dict[str, Any]:
    """A story in the log and in the tables; the tables."""
    for account, event in {event["external_id"]: (account, event) for account, event in story(seed)}.values():
        await append_event(connection, account, **event)
    await Projector(pool, PROJECTIONS, tries=3).drain(30)
    return await crm(connection)


async def verified(database: str, projections: Mapping[str, Projection] = PROJECTIONS, **options: Any) -> Report:
    connection = await db.connect(database, APP_ROLE)
    try:
        return await verify(connection, projections, silent, **options)
    finally:
        await connection.close()


async def rebuilt(database: str, projections: Mapping[str, Projection] = PROJECTIONS, **options: Any) -> Report:
    connection = await db.connect(database)
    try:
        return await rebuild(connection, projections, options.pop("platforms", list(projections)), silent, **options)
    finally:
        await connection.close()


def departures(report: Report) -> dict[str, tuple[int, int, int]]:
    return {d.table: (d.missing, d.extra, d.different) for d in report.differences if d.drift}


async def damage(connection: asyncpg.Connection) -> dict[str, tuple[int, int, int]]:
    """What a careless hand does to the tables; missing, too many, different."""
    await connection.execute(
        """
        UPDATE ig_comments SET text = 'tampered' WHERE ig_id IN (SELECT ig_id FROM ig_comments LIMIT 3);
        DELETE FROM tiktok_post_ids WHERE (account_id, publish_id, post_id) IN
            (SELECT account_id, publish_id, post_id FROM tiktok_post_ids LIMIT 2);
        INSERT INTO ig_media (bucket, account_id, ig_id, projection_version, created_at)
            VALUES (1, 'nobody', 'invented', 1, now());
        INSERT INTO ig_comments (bucket, account_id, ig_id, media_ig_id, projection_version, created_at)
            VALUES (1, 'nobody', 'invented', 'invented', 1, now());
        UPDATE tiktok_posts SET status_version = '' WHERE (account_id, publish_id) IN
            (SELECT account_id, publish_id FROM tiktok_posts LIMIT 1)
        """
    )
    return {"ig_comments": (0, 1, 3), "tiktok_post_ids": (2, 0, 0), "ig_media": (0, 1, 0), "tiktok_posts": (0, 0, 1)}


async def test_drift_is_found_row_by_row_and_put_right_to_the_byte(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    sound = await verified(database)
    assert (sound.drift, sound.failed) == (0, [])
    assert sum(d.rows for d in sound.differences) == sum(len(found) for found in before.values()) > 100
    done = await damage(connection)
    assert departures(await verified(database)) == done
    assert await crm(connection) != before, "verify changes nothing"
    assert departures(await rebuilt(database)) == done
    assert await crm(connection) == before
    assert (await verified(database)).drift == 0
    assert not await connection.fetchval("SELECT to_regnamespace($1)", KEPT), "the shadow is gone"


# In the place of Citus' own, which is called with the same names.
DISTRIBUTES = """
CREATE TABLE distributed (name text PRIMARY KEY, by_key boolean, beside text);
CREATE FUNCTION create_distributed_table(named regclass, distribution_column text, colocate_with text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO public.distributed SELECT relname, EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = named AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = named AND i.indisprimary AND a.attname = distribution_column
    ), colocate_with FROM pg_class WHERE oid = named
$$
"""


async def test_where_tables_are_distributed_their_copies_are_too(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    await connection.execute(DISTRIBUTES)
    done = await damage(connection)
    assert departures(await rebuilt(database, distributed=True)) == done
    assert await crm(connection) == before
    found = await connection.fetch("SELECT name, by_key, beside FROM distributed")
    wanted = {*(table.name for table in crm_tables()), "folded"}
    assert {(row["name"], row["by_key"]) for row in found} == {(name, True) for name in wanted}
    assert {row["beside"] for row in found} == {"public.webhook_event_queue"}


async def test_row_in_the_wrong_bucket_is_found_and_put_right(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    await connection.execute(
        "UPDATE ig_comments SET bucket = (bucket + 1) % 256, media_ig_id = NULL WHERE ig_id IN"
        " (SELECT ig_id FROM ig_comments LIMIT 2)"
    )
    assert departures(await verified(database)) == {"ig_comments": (2, 2, 0)}
    await rebuilt(database)
    assert await crm(connection) == before


async def test_rebuild_that_finds_nothing_touches_no_row(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await told(connection, pool)
    query = "SELECT ctid, xmin FROM ig_comments ORDER BY account_id, ig_id"
    physical = await connection.fetch(query)
    assert (await rebuilt(database)).drift == 0
    assert await connection.fetch(query) == physical


async def test_emptied_tables_come_back(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    before = await told(connection, pool)
    await connection.execute(f"TRUNCATE {', '.join(table.name for table in crm_tables())}")
    assert (await rebuilt(database)).drift == sum(len(found) for found in before.values())
    assert await crm(connection) == before


async def test_readers_see_the_old_tables_or_the_new_while_traffic_flows(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    """faults.md F7: whatever a statement or a snapshot sees, it is one or the other; projection goes on."""
    await told(connection, pool)
    await connection.execute("UPDATE ig_comments SET from_user = 'old'")
    marked = "SELECT count(*) FILTER (WHERE from_user = 'old') AS old, count(*) AS whole FROM ig_comments"
    total = await connection.fetchval("SELECT count(*) FROM ig_comments")
    reader, patient, writer = [await asyncpg.connect(database) for _ in range(3)]
    snapshot = patient.transaction(isolation="repeatable_read")
    await snapshot.start()
    assert tuple(await patient.fetchrow(marked)) == (total, total)
    stop, seen, numbers = asyncio.Event(), [], itertools.count()

    async def read() -> None:
        while not stop.is_set():
            seen.append(tuple(await reader.fetchrow(marked)))

    async def write() -> None:
        while not stop.is_set():
            number = next(numbers)
            value = {"id": f"live{number}", "from": {"id": "1", "username": "u"}, "media": {"id": "m"}}
            await append_event(writer, f"acc{number % 9}", f"live{number}", payload=value)
            await Projector(pool, PROJECTIONS, tries=3).drain(5)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        tasks.create_task(write())
        for _ in range(3):
            await rebuilt(database)
        before = next(numbers)

        async def went_on() -> bool:
            return next(numbers) > before + 20

        await eventually(went_on, 20)
        stop.set()
    assert {old for old, _ in seen} == {0, total}, "never a part of them"
    assert tuple(await patient.fetchrow(marked)) == (total, total), "an old snapshot stays whole"
    await snapshot.rollback()
    await Projector(pool, PROJECTIONS, tries=3).drain(5)
    assert (await verified(database)).drift == 0
    for opened in (reader, patient, writer):
        await opened.close()


async def test_verify_reports_no_drift_that_is_only_traffic(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await told(connection, pool)
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
        for _ in range(4):
            report = await verified(database)
            assert (report.drift, report.failed) == (0, [])
        stop.set()
    await writer.close()


async def test_killed_rebuild_goes_on_where_it_was(
    connection: asyncpg.Connection, pool: Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await told(connection, pool)
    done = await damage(connection)
    monkeypatch.setattr(shadow, "BATCH_EVENTS", 20)
    monkeypatch.setattr("sync.rebuild.procedure.FEW_EVENTS", 0)
    opened = await db.connect(database)

    def killed(done: int, _total: int) -> None:
        if done >= 60:
            opened.terminate()  # as the server sees it, the process is gone

    with pytest.raises((asyncpg.InterfaceError, ConnectionError)):
        await rebuild(opened, PROJECTIONS, list(PROJECTIONS), killed)
    assert await crm(connection) != before, "nothing of it is visible"

    async def alone() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")

    await eventually(alone, 10)
    report = await rebuilt(database)
    assert report.resumed == 60
    assert departures(report) == done
    assert await crm(connection) == before


async def test_two_rebuilds_do_not_share_a_shadow(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    await told(connection, pool)
    first = await db.connect(database)
    await shadow.Shadow(first, PROJECTIONS, list(PROJECTIONS)).open()
    with pytest.raises(BusyError):
        await rebuilt(database)
    await first.close()


def shouting(event: Event) -> list[Upsert]:
    """What a next release might make of a comment: the text in capitals, no media of its own, and no look-up."""
    facts = PROJECTIONS["instagram"].handlers["comments"](event)
    loud = []
    for fact in facts:
        if isinstance(fact, Want):
            continue
        if "text" in fact.values:
            fact = fact._replace(values={**fact.values, "text": fact.values["text"].upper()})  # noqa: PLW2901
        if fact.facet != "product":
            loud.append(fact)
    return loud


def next_release(**handlers: Any) -> dict[str, Projection]:
    instagram = PROJECTIONS["instagram"]
    return {
        **PROJECTIONS,
        "instagram": Projection({**instagram.handlers, **handlers}, instagram.version + 1),
    }


async def test_new_version_of_a_projection_concerns_its_own_platform_only(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    await append_event(connection, "a", "s1", type="story_mentions", payload={"id": "said"})
    await Projector(pool, PROJECTIONS, tries=3).drain()
    later = next_release(comments=shouting, story_mentions=lambda event: [])
    old = await rebuild_store.outdated(connection, later)
    assert list(old) == ["instagram"]
    touched = {t: await connection.fetch(f"SELECT ctid, xmin FROM {t} ORDER BY ctid") for t in ("tiktok_posts",)}
    report = await rebuilt(database, later, platforms=list(old))
    of_instagram = {"instagram_accounts", "ig_media", "ig_comments", "ig_media_metrics", "social_posts"}
    of_instagram |= {"ig_account_metrics"}
    assert {d.table for d in report.differences} == of_instagram
    after = await crm(connection)
    assert [row["text"] for row in after["ig_comments"]] == [row["text"].upper() for row in before["ig_comments"]]
    assert {row["projection_version"] for row in after["ig_comments"]} == {PROJECTIONS["instagram"].version + 1}
    assert {row["media_product_type"] for row in before["ig_media"]} != {None}
    assert {row["media_product_type"] for row in after["ig_media"]} == {None}, "a fact that is withdrawn vanishes"
    assert after["tiktok_posts"] == before["tiktok_posts"]
    assert await connection.fetch("SELECT ctid, xmin FROM tiktok_posts ORDER BY ctid") == touched["tiktok_posts"]
    assert report.queued == 1, "what nobody could read before is read now"
    await Projector(pool, later, tries=3).drain()
    assert await rebuild_store.outdated(connection, later) == {}
    assert (await verified(database, later)).drift == 0


async def test_outdated_events_of_a_large_log_are_estimated_from_a_sample(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(
        """
        WITH added AS (
            INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
                sanitized)
            SELECT next_event_id(now()), 1, n::text, 'instagram', 'comments', n::text, 1, false
            FROM generate_series(1, 3000) n RETURNING bucket, account_id, id
        )
        INSERT INTO webhook_event_outcomes (bucket, account_id, event_id, state, projection_version)
        SELECT bucket, account_id, id, 'done', $1 FROM added
        """,
        PROJECTIONS["instagram"].version,
    )
    later = next_release()
    assert await rebuild_store.estimate_outdated(connection, PROJECTIONS) == {}
    assert await rebuild_store.estimate_outdated(connection, later) == {"instagram": 3000}, "a small log is counted"
    monkeypatch.setattr(rebuild_store, "SAMPLED_BLOCKS", 10)
    assert await connection.fetchval(rebuild_store._OUTCOME_BLOCKS) > 20
    estimates = [(await rebuild_store.estimate_outdated(connection, later)).get("instagram", 0) for _ in range(20)]
    assert 2000 < sum(estimates) / len(estimates) < 4000
    assert len(set(estimates)) > 1, "of a sample"
    assert await rebuild_store.estimate_outdated(connection, PROJECTIONS) == {}
    assert await rebuild_store.outdated(connection, later) == {"instagram": 3000}


async def test_what_a_person_decided_to_ignore_stays_ignored_though_a_later_release_could_read_it(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    def broken(_: Event) -> list[Upsert]:
        raise RuntimeError("a bug")

    first = await append_event(connection, "a", "by hand", type="story_mentions")
    await Projector(pool, next_release(story_mentions=broken), tries=1).drain()
    second = await append_event(connection, "a", "for want of a handler", type="story_mentions")
    await Projector(pool, PROJECTIONS, tries=1).drain()
    ids = [first, second]
    await connection.execute("UPDATE webhook_event_outcomes SET projection_version = 0")
    assert (await run(database, "events", "ignore", str(ids[0]), "--reason", "not ours"))[0] == 0
    report = await rebuilt(database, next_release(story_mentions=lambda event: []))
    assert report.queued == 1
    states = await connection.fetch("SELECT id, state, error_message FROM webhook_events ORDER BY id")
    assert [tuple(row) for row in states] == [(ids[0], "ignored", "not ours"), (ids[1], "pending", None)]


async def test_what_an_interrupted_rebuild_of_another_release_left_is_not_gone_on_with(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    """Its rows were projected otherwise: they would go into the tables of this release."""
    before = await told(connection, pool)
    opened = await db.connect(database)
    left = shadow.Shadow(opened, next_release(comments=shouting), ["instagram"])
    await left.open()
    await left.fold(EVERYTHING)
    assert await connection.fetchval(f"SELECT count(*) FROM {KEPT}.folded") > 50
    await opened.close()
    report = await rebuilt(database, platforms=["instagram"])
    assert (report.resumed, report.drift) == (0, 0)
    assert await crm(connection) == before


async def test_rebuild_refuses_to_lose_what_an_older_release_could_read(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    victim = before["ig_comments"][7]["ig_id"]

    def broken(event: Event) -> list[Upsert]:
        if event.payload["id"] == victim:
            raise RuntimeError("a bug")
        return PROJECTIONS["instagram"].handlers["comments"](event)

    later = next_release(comments=broken)
    with pytest.raises(WouldLoseError) as caught:
        await rebuilt(database, later)
    [failed] = {(item.error,) for item in caught.value.failed}
    assert failed == ("RuntimeError: a bug",)
    assert await crm(connection) == before
    report = await rebuilt(database, later, lose_failed=True)
    assert report.failed
    after = await crm(connection)
    assert {row["ig_id"] for row in before["ig_comments"]} - {row["ig_id"] for row in after["ig_comments"]} == {victim}


async def test_rebuild_names_the_event_whose_row_postgresql_refuses(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    before = await told(connection, pool)
    victim = before["ig_comments"][7]["ig_id"]

    def refused(event: Event) -> list[Upsert]:
        facts = PROJECTIONS["instagram"].handlers["comments"](event)
        nul = {"text": "\x00"} if event.payload["id"] == victim else {}
        return [
            fact._replace(values={**fact.values, **nul}) if "text" in fact.values else fact
            for fact in facts
            if isinstance(fact, Upsert)
        ]

    with pytest.raises(WouldLoseError) as caught:
        await rebuilt(database, next_release(comments=refused))
    assert {item.error for item in caught.value.failed} == {"CharacterNotInRepertoireError 22021"}
    assert await crm(connection) == before


async def test_parked_and_ignored_events_are_in_neither(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await append_event(connection, "a", "e1", payload={"text": "no id"})
    await append_event(connection, "a", "e2", type="story_mentions")
    await Projector(pool, PROJECTIONS, tries=1).drain()
    report = await verified(database)
    assert (report.drift, report.failed) == (0, [])


async def run(database: str, *arguments: str) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database}
    done = await asyncio.to_thread(fork_server.run, *arguments, environment=environment)
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    return done.returncode, text


async def test_commands_say_what_they_found_and_did(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    before = await told(connection, pool)
    code, text = await run(database, "verify")
    assert (code, text.splitlines()[-1]) == (0, f"{sum(map(len, before.values()))} rows, all of them what the log says")
    await damage(connection)
    code, text = await run(database, "verify")
    assert code == 1
    assert "tiktok_post_ids: 2 missing" in text
    assert "ig_media: 1 too many, such as nobody invented" in text
    assert "8 of" in text
    found = await connection.fetch("SELECT drifted_rows FROM crm_verifications ORDER BY id")
    assert [row["drifted_rows"] for row in found] == [0, 8]
    code, text = await run(database, "verify", "--json")
    assert (code, json.loads(text)["drift"]) == (1, 8)
    code, text = await run(database, "rebuild", "--outdated")
    assert (code, text) == (0, "nothing to do: every event was projected by this release's versions\n")
    code, text = await run(database, "rebuild", "--platform", "tiktok")
    assert (code, text.splitlines()[-1]) == (0, "tiktok: 3 rows put right")
    code, text = await run(database, "rebuild")
    assert (code, text.splitlines()[-1]) == (0, f"{', '.join(sorted(PROJECTIONS))}: 5 rows put right")
    assert await crm(connection) == before
    code, text = await run(database, "rebuild", "--platform", "myspace")
    assert code == 2
    assert f"known are {', '.join(sorted(PROJECTIONS))}" in text


async def test_row_names_the_events_that_made_it(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    first = {"id": "c1", "text": "a boosted post", "media": {"id": "ad1", "ad_id": "9"}, "from": {"id": "1"}}
    better = first | {"media": {"id": "ad1", "original_media_id": "m1"}}
    ids = [
        await append_event(connection, "a", "e1", payload=first),
        await append_event(connection, "a", "e2", payload=better),
        await append_event(connection, "a", "e3", type="comment.read", payload={"id": "c1", "like_count": 4}),
        await append_event(connection, "b", "e1", payload=first),
    ]
    await Projector(pool, PROJECTIONS, tries=3).drain()
    code, text = await run(database, "explain", "ig_comments", "c1", "--account", "a", "--json")
    assert code == 0
    [document] = [json.loads(line) for line in text.splitlines()]
    made = {said["facet"]: said["id"] for said in document["events"]}
    assert made == {"author": ids[1], "place": ids[1], "content": ids[1], "metrics": ids[2], "presence": ids[2]}
    assert document["row"]["media_ig_id"] == "m1"
    code, text = await run(database, "explain", "ig_comments", "c1", "--account", "a", "--json", "--history")
    told_all = [(said["id"], said["facet"], said["stands"]) for said in json.loads(text)["events"]]
    assert told_all == [
        (ids[0], "place", False), (ids[0], "author", False), (ids[0], "content", False),
        (ids[1], "place", True), (ids[1], "author", True), (ids[1], "content", True),
        (ids[2], "presence", True), (ids[2], "metrics", True),
    ]  # fmt: skip
    code, text = await run(database, "explain", "ig_comments", "c1")
    assert code == 0
    assert text.count("ig_comments ") == 2, "both accounts'"
    assert f"✓ author: event {ids[1]} comments e2" in text
    code, text = await run(database, "explain", "ig_media", "m1", "--account", "a")
    assert f"made the row exist: event {ids[1]}" in text, "a placeholder names no maker: its events are looked for"
    code, text = await run(database, "explain", "ig_comments", "nothing")
    assert code == 1
    assert "no row of that id" in text
    code, text = await run(database, "explain", "webhook_events", "1")
    assert (code, "there are ig_account_metrics" in text) == (2, True)


async def test_row_says_which_of_its_events_retention_dropped(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    gone = await append_event(connection, "a", "e1", payload={"id": "c1", "text": "hello", "media": {"id": "m1"}})
    await append_event(connection, "b", "e1", payload={"id": "c1"})
    await Projector(pool, PROJECTIONS, tries=3).drain()
    dropped = "DELETE FROM webhook_event_log WHERE id = $1 RETURNING bucket, account_id, created_at"
    bucket, account, at = await connection.fetchrow(dropped, gone)
    await connection.execute(
        "INSERT INTO webhook_dropped_events VALUES ($1, 'instagram', $2, 1, $3)", bucket, account, at
    )
    kept = await append_event(connection, "a", "e2", type="comment.read", payload={"id": "c1", "like_count": 4})
    await Projector(pool, PROJECTIONS, tries=3).drain()
    for arguments in ([], ["--history"]):
        code, text = await run(database, "explain", "ig_comments", "c1", "--account", "a", "--json", *arguments)
        assert code == 0
        document = json.loads(text)
        assert datetime.fromisoformat(document["dropped_until"]) == at
        found = {said["facet"]: said for said in document["events"]}
        assert (found["content"]["dropped"], found["content"]["external_id"]) == (True, "e1")
        assert found["content"]["values"] == {"text": "hello"}
        assert (found["metrics"]["dropped"], found["metrics"]["id"]) == (False, kept)
    code, text = await run(database, "explain", "ig_comments", "c1", "--account", "a")
    assert "✓ content: event e1, which retention dropped from the log" in text
    code, text = await run(database, "explain", "ig_media", "m1")
    assert f"older than {at:%Y-%m-%d %H:%M:%S}Z: retention dropped events of its account up to then" in text
    code, text = await run(database, "explain", "ig_comments", "c1", "--account", "b")
    assert (code, "dropped" in text) == (0, False)


async def test_row_names_the_event_behind_each_column(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    """Also behind those that the newest event did not know, and the NULL that one stated."""
    whole = {"id": "c1", "text": "hello", "media": {"id": "m1"}, "from": {"id": "1", "username": "u"}}
    ids = [
        await append_event(connection, "a", "e1", payload=whole),
        await append_event(connection, "a", "e2", payload={"id": "c1", "parent_id": "c0"}),
        await append_event(connection, "a", "e0", payload={"id": "c1", "text": "older"}),
    ]
    await Projector(pool, PROJECTIONS, tries=3).drain()
    code, text = await run(database, "explain", "ig_comments", "c1", "--json")
    assert code == 0
    document = json.loads(text)
    by_facet = {
        facet: {said["id"]: said["values"] for said in document["events"] if said["facet"] == facet}
        for facet in ("author", "place")
    }
    assert by_facet == {
        "author": {ids[0]: {"from_id": "1", "from_user": "u", "is_own": False}, ids[1]: {"is_live": False}},
        "place": {ids[0]: {"media_ig_id": "m1"}, ids[1]: {"parent_ig_id": "c0"}},
    }
    code, text = await run(database, "explain", "ig_comments", "c1", "--json", "--history")
    said_of_it = [said for said in json.loads(text)["events"] if said["facet"] == "author"]
    assert [(said["id"], said["stands"]) for said in said_of_it] == [
        (ids[0], True), (ids[1], True), (ids[2], False),
    ]  # fmt: skip
    content = json.dumps({"publish_id": "p1", "publish_type": "DIRECT_POST"})
    done = await append_event(
        connection, "b", "e1", provider="tiktok", type="post.publish.complete", payload={"content": content}
    )
    await Projector(pool, PROJECTIONS, tries=3).drain()
    code, text = await run(database, "explain", "tiktok_posts", "p1", "--json")
    [said] = json.loads(text)["events"]
    assert (said["id"], said["values"]) == (
        done,
        {"status": "PUBLISH_COMPLETE", "error_code": None, "error_message": None, "publish_type": "DIRECT_POST"},
    )  # fmt: skip
    assert (await verified(database)).drift == 0
    await connection.execute("UPDATE ig_comments SET author_carried = NULL")
    assert departures(await rebuilt(database)) == {"ig_comments": (0, 0, 1)}


async def test_history_of_a_row_leaves_out_what_was_never_projected(connection: asyncpg.Connection, pool: Pool) -> None:
    from sync.rebuild import lineage

    def broken(_: Event) -> list[Upsert]:
        raise RuntimeError("a bug")

    first = await append_event(connection, "a", "e1", payload={"id": "c1", "text": "said"})
    await Projector(pool, PROJECTIONS, tries=1).drain()
    await append_event(connection, "a", "e2", payload={"id": "c1", "text": "parked"})
    await Projector(pool, next_release(comments=broken), tries=1).drain()
    [row] = await rows(connection, "ig_comments")
    history = [said async for said in lineage.history(connection, PROJECTIONS, ig_comments, row)]
    assert {said.event.id for said in history} == {first}


async def test_makers_of_a_row_are_events_of_its_own_account(connection: asyncpg.Connection, pool: Pool) -> None:
    """Another account may have an event with the same id of its platform's."""
    from sync.rebuild import lineage

    own = {
        account: await append_event(connection, account, "e1", payload={"id": "c1", "text": f"said to {account}"})
        for account in ("a", "b")
    }
    await Projector(pool, PROJECTIONS, tries=1).drain()
    found = await rows(connection, "ig_comments")
    assert {row["account_id"] for row in found} == {"a", "b"}
    for row in found:
        makers = await lineage.makers(connection, ig_comments, row)
        assert {maker.event.id for maker in makers} == {own[row["account_id"]]}


async def test_every_row_of_a_story_can_be_explained(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    from sync.rebuild import lineage

    await told(connection, pool)
    chance = random.Random(1)
    for table in crm_tables():
        found = await rows(connection, table.name)
        for row in chance.sample(found, min(12, len(found))):
            makers = await lineage.makers(connection, table, row)
            filled = {facet for facet in store.facets_of(table) if row[f"{facet}_version"]}
            assert {said.facet for said in makers} == filled
            columns = [name for said in makers for name in said.values]
            assert len(columns) == len(set(columns)), "each column is of one event"
            assert set(columns) >= {
                name
                for facet in store.facets_of(table)
                for name, value in store.values_of(table, row, facet).items()
                if value is not None
            }
            history = [said async for said in lineage.history(connection, PROJECTIONS, table, row)]
            assert history, "somebody said something of it"
            assert {(said.facet, said.event.id) for said in history if said.stands} == {
                (said.facet, said.event.id) for said in makers
            }
            for said in makers:  # and what it said is what the row says
                word = next(h for h in history if h.facet == said.facet and h.version == said.version)
                assert {name: word.values.get(name) for name in said.values} == dict(said.values)


async def test_workers_show_what_was_found(
    connection: asyncpg.Connection, database: str, tmp_path: Path, spawned: list[Process]
) -> None:
    import aiohttp

    from ops.runtime.embedded import free_port

    await connection.execute("INSERT INTO crm_verifications (compared_rows, drifted_rows) VALUES (10, 0), (10, 3)")
    port = free_port()
    environment = {"DATABASE_URL": database, "LANDFALL_METRICS_PORT": str(port)}
    spawned.append(await Process(("work",), environment, tmp_path / "work.log").start())
    async with aiohttp.ClientSession() as client:

        async def shown() -> bool:
            try:
                async with client.get(f"http://127.0.0.1:{port}/metrics") as response:
                    text = await response.text()
            except aiohttp.ClientError:
                return False
            return "landfall_crm_drifted_rows 3.0" in text and "landfall_crm_verified_timestamp_seconds 1." in text

        await eventually(shown, 20)


async def test_killed_command_leaves_nothing_that_is_in_the_way(
    connection: asyncpg.Connection, pool: Pool, database: str, tmp_path: Path, spawned: list[Process]
) -> None:
    """SIGKILL at random moments, as often as it takes; projection goes on meanwhile and the end is right."""
    before = await told(connection, pool)
    await damage(connection)
    for delay in (0.5, 0.6, 0.7, 0.8, 1.0):
        process = Process(("rebuild",), {"DATABASE_URL": database}, tmp_path / "rebuild.log")
        spawned.append(await process.start())
        await asyncio.sleep(delay)
        process.signal(signal.SIGKILL)
        await process.kill()
    await append_event(connection, "a", "meanwhile", payload={"id": "c", "media": {"id": "m"}})
    await Projector(pool, PROJECTIONS, tries=3).drain()
    await drained(connection, 10)

    async def free() -> bool:
        return (await run(database, "rebuild"))[0] == 0

    await eventually(free, 20)
    after = await crm(connection)
    assert [row for row in after["ig_comments"] if row["ig_id"] != "c"] == before["ig_comments"]
    assert (await run(database, "verify"))[0] == 0


async def test_doctor_knows_what_the_tables_need(connection: asyncpg.Connection, pool: Pool, database: str) -> None:
    async def findings() -> dict[str, tuple[str, str]]:
        found = json.loads((await run(database, "doctor", "--json"))[1])
        return {f["about"]: (f["level"], f["remedy"]) for f in found}

    await told(connection, pool)
    assert (await findings())["tables"] == ("warning", "run `landfall verify`, and then nightly")
    await run(database, "verify")
    assert (await findings())["tables"][0] == "ok"
    await damage(connection)
    await run(database, "verify")
    await connection.execute("UPDATE webhook_event_outcomes SET projection_version = 0 WHERE event_id % 2 = 0")
    opened = await db.connect(database)
    await shadow.Shadow(opened, PROJECTIONS, list(PROJECTIONS)).open()
    await opened.close()
    found = await findings()
    assert found["tables"] == ("fault", "run `landfall rebuild`, then `landfall verify`")
    assert found["projections"] == ("warning", "run `landfall rebuild --outdated`")
    assert found["rebuild"][0] == "warning"
    assert (await run(database, "rebuild"))[0] == 0
    assert (await run(database, "verify"))[0] == 0
    found = await findings()
    assert found["tables"][0] == "ok"
    assert not {"projections", "rebuild"} & set(found)
