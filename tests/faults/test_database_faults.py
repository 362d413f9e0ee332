"""Faults of PostgreSQL and of our web process: rows A3, A5, A6, B1, B3, B12, F1, F3, F4 and F6 of ``faults.md``."""

import asyncio
import itertools
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from ops.cli import wiring
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, scratch
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from tests.faults.oracle import Oracle
from tests.support import (
    Service,
    append_event,
    comment,
    copy_of,
    crm,
    drained,
    eventually,
    instagram,
    rows,
    sign_tiktok,
    split_into,
    tiktok,
)


@pytest.fixture
async def fragile(own_postgres: Postgres, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The service on a cluster that may be broken."""
    running = Service(own_postgres.dsn(), redis_url, tmp_path)
    await running.start()
    yield running
    await running.stop()


async def test_b1_postmaster_killed_under_load_loses_nothing_and_heals(
    fragile: Service, own_postgres: Postgres
) -> None:
    oracle, stop = Oracle(fragile), asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    for _ in range(2):
        await asyncio.sleep(0.8)
        own_postgres.kill()
        await asyncio.sleep(1.0)
        await asyncio.to_thread(own_postgres.start)
    before = len(oracle.acked)

    async def accepting() -> bool:
        return len(oracle.acked) > before + 50

    await eventually(accepting, 15)
    stop.set()
    await load
    assert oracle.slowest < 5, "no answer took longer than a sender waits"
    assert oracle.statuses == {200, 503}
    await oracle.redeliver()
    connection = await asyncpg.connect(own_postgres.dsn())
    await oracle.check(connection)
    await drained(connection)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == len(oracle.acked)
    await connection.close()
    assert fragile.web.running
    assert fragile.worker.running


async def test_b1_backends_terminated_at_random_lose_nothing(fragile: Service, own_postgres: Postgres) -> None:
    oracle, stop = Oracle(fragile), asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    for _ in range(12):
        await asyncio.sleep(random.uniform(0.05, 0.3))
        await asyncio.to_thread(
            own_postgres.sql,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'landfall%'",
        )
    stop.set()
    await load
    await oracle.redeliver()
    connection = await asyncpg.connect(own_postgres.dsn())
    await oracle.check(connection)
    await drained(connection)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == len(oracle.acked)
    await connection.close()


async def test_b3_duplicate_is_not_acknowledged_while_the_original_waits_for_a_standby(
    fragile: Service, own_postgres: Postgres
) -> None:
    body = instagram(comment(1))
    own_postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'", "SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    first = asyncio.create_task(fragile.send("instagram", body))

    async def waits() -> bool:
        return bool(await asyncio.to_thread(own_postgres.sql, waiting))

    await eventually(waits, 5, every=0.02)
    own_postgres.sql(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) w")
    status, answer = await first
    assert status == 503, f"committed here only, and acknowledged all the same: {answer}"
    for _ in range(2):
        status, answer = await fragile.send("instagram", body)
        assert status == 503, f"the duplicate vouched for a commit that is not safe: {answer}"
    own_postgres.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    async def accepted() -> bool:
        return (await fragile.send("instagram", body))[0] == 200

    await eventually(accepted, 10)
    connection = await asyncpg.connect(own_postgres.dsn())
    try:
        await drained(connection)
        assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") == 1
    finally:
        await connection.close()


async def test_both_processes_start_without_postgresql_and_heal(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    own_postgres.stop()
    running = Service(own_postgres.dsn(), redis_url, tmp_path)
    await running.start()
    try:
        begun = time.monotonic()
        status, answer = await running.send("instagram", instagram(comment(1)))
        assert (status, answer["error"]["retryable"]) == (503, True)
        assert time.monotonic() - begun < 2.5
        async with running.client.get(f"{running.url}/readyz") as response:
            assert response.status == 503
            assert "does not answer" in (await response.json())["error"]["details"]["checks"]["postgresql"]["detail"]
        await asyncio.to_thread(own_postgres.start)
        await eventually(lambda: running.answering("/readyz"), 10)
        assert (await running.send("instagram", instagram(comment(1))))[0] == 200
        connection = await asyncpg.connect(own_postgres.dsn())

        async def projected() -> bool:
            return await connection.fetchval("SELECT count(*) FROM ig_comments") == 1

        await eventually(projected, 15)
        await connection.close()
    finally:
        await running.stop()


async def test_i8_overload_is_answered_and_not_stored_up(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    running = Service(own_postgres.dsn(), redis_url, tmp_path, {"LANDFALL_QUEUE_DELIVERIES": "16"})
    await running.start()
    try:
        oracle = Oracle(running)
        await oracle.send(0)
        assert oracle.acked == {0}
        connection = await asyncpg.connect(own_postgres.dsn())
        before = psutil.Process(running.web.pid).memory_info().rss
        async with connection.transaction():
            await connection.execute("LOCK webhook_deliveries IN EXCLUSIVE MODE")
            begun = time.monotonic()
            await asyncio.gather(*(oracle.send(number) for number in range(1, 400)))
            assert time.monotonic() - begun < 10
            assert oracle.acked == {0}
        assert psutil.Process(running.web.pid).memory_info().rss - before < 30 * 2**20
        counted = await running.metrics()
        assert counted['landfall_ingest_deliveries_total{outcome="overloaded",platform="instagram"}'] > 0
        await oracle.redeliver()
        await oracle.check(connection)
        await connection.close()
    finally:
        await running.stop()


async def test_f1_parallel_copies_over_two_processes_count_once(
    service: Service, connection: asyncpg.Connection, database: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = Service(database, redis_url, tmp_path / "second")
    await second.start(worker=False)
    try:
        body = instagram(*(comment(number) for number in range(20)))
        answers = await asyncio.gather(*((service, second)[n % 2].send("instagram", body) for n in range(32)))
        assert {status for status, _ in answers} == {200}
        assert sum([(await split_into(connection, answer))[1] for _, answer in answers]) == 20
        await drained(connection)
        before = await crm(connection)
        assert await split_into(connection, (await second.send("instagram", body))[1]) == (20, 0)
        await drained(connection)
        assert await crm(connection) == before
        assert len(before["ig_comments"]) == 20
    finally:
        await second.stop()


async def test_f3_a_thousand_entries_some_broken_for_many_accounts(
    service: Service, connection: asyncpg.Connection
) -> None:
    entries = [comment(number, account=f"1784140000000{number % 40:04d}") for number in range(1000)]
    for number in range(0, 1000, 100):
        del entries[number]["changes"][0]["value"]["id"]
    status, answer = await service.send("instagram", instagram(*entries))
    assert (status, await split_into(connection, answer)) == (200, (1000, 1000))
    await drained(connection)
    states = await connection.fetch("SELECT state, count(*) FROM webhook_events GROUP BY state ORDER BY state")
    assert [tuple(row) for row in states] == [("done", 990), ("parked", 10)]
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 990


async def test_f4_replays_are_harmless_and_real_retries_are_not_refused(
    service: Service, connection: asyncpg.Connection
) -> None:
    hour = 3600
    cases = [
        (-hour, 200, "accepted"),
        (-71 * hour, 200, "accepted"),
        (-8 * 24 * hour, 200, "quarantined"),
        (+hour, 401, None),
    ]
    for number, (age, expected, verdict) in enumerate(cases):
        body = tiktok("post.publish.complete", {"publish_id": f"p{number}"})
        status, answer = await service.send("tiktok", body, sign_tiktok(body, time.time() + age))
        assert status == expected, (age, answer)
        if verdict:
            found = await connection.fetchval(
                "SELECT verdict FROM webhook_deliveries WHERE id = $1::uuid", answer["delivery"]
            )
            assert found == verdict
        else:
            assert answer["error"]["details"]["reason"] == "from_the_future"
    await drained(connection)
    posts = [row["publish_id"] for row in await rows(connection, "tiktok_posts")]
    assert sorted(posts) == ["p0", "p1"], "what is quarantined waits for a person"
    assert await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state = 'parked'") == 1


async def test_f6_events_of_an_account_nobody_knows_are_kept_under_its_id(
    service: Service, connection: asyncpg.Connection
) -> None:
    assert (await service.send("instagram", instagram(comment(1, account="999"))))[0] == 200
    await drained(connection)
    [row] = await rows(connection, "ig_comments")
    assert row["account_id"] == "999"


async def test_a3_sigterm_finishes_what_was_begun(service: Service, connection: asyncpg.Connection) -> None:
    oracle, stop = Oracle(service), asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop))
    await asyncio.sleep(1)
    begun = time.monotonic()
    assert await service.web.terminate() == 0
    assert time.monotonic() - begun < 12
    stop.set()
    await load
    assert oracle.acked
    assert oracle.statuses <= {200}, "no answer but a good one, up to the last"
    await oracle.check(connection)


async def test_b12_readiness_warns_of_settings_that_void_the_promise(
    migrated_cluster: Postgres, redis_url: str, tmp_path: Path
) -> None:
    with scratch() as directory:
        directory.chmod(0o755)
        server = copy_of(migrated_cluster, directory / "pg", synchronous_commit="off")
        server.start()
        running = Service(server.dsn(), redis_url, tmp_path)
        await running.start(worker=False)
        try:
            async with running.client.get(f"{running.url}/readyz") as response:
                durability = json.loads(await response.text())["checks"]["durability"]
            assert durability["ok"] is False
            assert "synchronous_commit = off" in durability["detail"]
        finally:
            await running.stop()
            server.stop()


async def test_worker_that_is_frozen_past_its_lease_cannot_do_anything_twice(
    service: Service, connection: asyncpg.Connection, database: str, redis_url: str, tmp_path: Path
) -> None:
    """A5, A6: another one takes over, and the old one finds that it may not write."""
    numbers = itertools.count()
    for _ in range(30):
        assert (await service.send("instagram", instagram(*(comment(next(numbers)) for _ in range(100)))))[0] == 200
    service.worker.signal(signal.SIGSTOP)
    for _ in range(10):
        assert (await service.send("instagram", instagram(*(comment(next(numbers)) for _ in range(100)))))[0] == 200
    (tmp_path / "second").mkdir()
    second = Service(database, redis_url, tmp_path / "second")
    await second.worker.start()
    try:
        await drained(connection, 25)
        service.worker.signal(signal.SIGCONT)
        await asyncio.sleep(2)
        assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 4000
        assert await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done'") == 4000
        assert service.worker.running
    finally:
        await second.worker.kill()


async def test_events_are_projected_while_the_standby_that_commits_wait_for_is_away(own_postgres: Postgres) -> None:
    """Neither the lease, nor the batch, nor giving the lease back waits."""
    async with await open_pool(own_postgres.dsn(), "test", 1, role=APP_ROLE, settings=store.PLANNER) as pool:
        connection = await asyncpg.connect(own_postgres.dsn())
        try:
            await append_event(connection, "a", "one", payload={"id": "1"})
            own_postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'away'", "SELECT pg_reload_conf()")

            async def in_force() -> bool:
                return await connection.fetchval("SHOW synchronous_standby_names") == "away"

            await eventually(in_force)
            async with asyncio.timeout(10):
                assert await Projector(pool, wiring.projections(), tries=3).drain() == 1
            assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 1
            assert await connection.fetchval("SELECT count(*) FROM webhook_buckets WHERE holder IS NOT NULL") == 0
        finally:
            own_postgres.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
            await connection.close()
