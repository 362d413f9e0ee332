"""Faults of Redis and of the worker: a notification may be lost, the work is in PostgreSQL.

Rows A5, C1 to C3, C6, C7 and C10 of ``faults.md``.
"""

import asyncio
import itertools
import pickle
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from ops.cli import wiring
from ops.runtime.db import open_pool
from ops.runtime.embedded import Redis
from ops.runtime.worker_listener import listen
from ops.runtime.worker_notifier import open_notifier
from schema.jobs import PROJECT_EVENTS, PUBLISH_POSTS, QUEUE
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from tests.support import Process, Service, append_event, breaking, comment, drained, eventually, instagram


@pytest.fixture
async def running(database: str, own_redis: Redis, tmp_path: Path) -> AsyncIterator[Service]:
    """The service with a Redis that may be broken."""
    running = Service(database, own_redis.url, tmp_path)
    await running.start()
    yield running
    await running.stop()


async def to_row(service: Service, connection: asyncpg.Connection, number: int) -> float:
    """Seconds from the acknowledgement of a comment to its row."""
    assert (await service.send("instagram", instagram(comment(number))))[0] == 200
    begun = time.monotonic()
    identity = f"1785{number:08d}"

    async def there() -> bool:
        return await connection.fetchval("SELECT true FROM ig_comments WHERE ig_id = $1", identity)

    await eventually(there, 15, every=0.005)
    return time.monotonic() - begun


async def test_notification_wakes_the_worker_at_once(running: Service, connection: asyncpg.Connection) -> None:
    await to_row(running, connection, 0)
    times = sorted([await to_row(running, connection, number) for number in range(1, 21)])
    assert times[len(times) // 2] < 0.5, "the sweep alone would take half a second on average"


async def test_c1_c2_redis_gone_and_back_costs_latency_only(
    running: Service, connection: asyncpg.Connection, own_redis: Redis
) -> None:
    await to_row(running, connection, 0)
    pid = running.worker.pid
    own_redis.kill()
    for number in range(1, 6):
        begun = time.monotonic()
        assert (await running.send("instagram", instagram(comment(number))))[0] == 200
        assert time.monotonic() - begun < 1
    await drained(connection, 5)
    await asyncio.to_thread(own_redis.start)
    numbers = itertools.count(6)

    async def notified() -> bool:
        await to_row(running, connection, next(numbers))
        return (await running.metrics()).get('landfall_worker_notifications_total{outcome="sent"}', 0) > 1

    await eventually(notified, 30, every=0.3)
    assert running.worker.pid == pid
    assert running.worker.running


async def test_c3_flushed_at_random_nothing_is_lost(
    running: Service, connection: asyncpg.Connection, own_redis: Redis
) -> None:
    async with redis.asyncio.from_url(breaking(own_redis)) as client:
        for number in range(200):
            assert (await running.send("instagram", instagram(comment(number))))[0] == 200
            if number % 7 == 0:
                await client.flushall()
    await drained(connection, 10)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 200


async def test_c6_no_wake_up_is_lost_for_long(running: Service, connection: asyncpg.Connection) -> None:
    """Deliveries at all distances from the end of the job before: none waits longer than two sweeps."""
    chance = random.Random(6)
    slowest = 0.0
    for number in range(80):
        slowest = max(slowest, await to_row(running, connection, number))
        await asyncio.sleep(chance.uniform(0, 0.05))
    assert slowest < 2.5


async def test_c6_commit_between_the_last_look_and_the_end_of_a_job_is_seen_at_once(
    database: str, redis_url: str, connection: asyncpg.Connection
) -> None:
    """The very moment: the job has looked for the last time and still holds its key. No sweep runs here."""
    notifier, late = open_notifier(redis_url), asyncio.Event()
    async with await open_pool(database, "test", 4, role=APP_ROLE, settings=store.PLANNER) as pool:
        projector = Projector(pool, wiring.projections(), tries=3)

        async def job() -> None:
            await projector.drain()
            if not late.is_set():  # nobody else notifies before this is over
                await append_event(connection, "a", "late", payload={"id": "c", "media": {"id": "m"}})
                notifier.notify()
                late.set()
                await asyncio.sleep(0.3)  # the notification is sent by the time this job lets go of its key

        listening = asyncio.create_task(listen(redis_url, {PROJECT_EVENTS: job}, 2))
        notifier.notify()
        await late.wait()
        await drained(connection, 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await notifier.close()
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 1


async def test_each_kind_of_job_is_notified_though_they_come_together(redis_url: str) -> None:
    notifier, ran = open_notifier(redis_url), set[str]()

    async def project() -> None:
        ran.add(PROJECT_EVENTS)

    async def publish() -> None:
        ran.add(PUBLISH_POSTS)

    listening = asyncio.create_task(listen(redis_url, {PROJECT_EVENTS: project, PUBLISH_POSTS: publish}, 2))
    notifier.notify()
    notifier.notify(PUBLISH_POSTS)

    async def both() -> bool:
        return ran == {PROJECT_EVENTS, PUBLISH_POSTS}

    await eventually(both)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await notifier.close()


async def test_c3_snapshot_of_another_time_loses_and_doubles_nothing(
    running: Service, connection: asyncpg.Connection, own_redis: Redis
) -> None:
    """Redis comes back with what it held a while ago: jobs that are long done, none of the newer ones."""
    numbers = itertools.count()
    async with redis.asyncio.from_url(breaking(own_redis)) as client:
        for _ in range(20):
            assert (await running.send("instagram", instagram(comment(next(numbers)))))[0] == 200
        await client.zadd(QUEUE, {"project_events:3": 1})  # a notification comes at the moment of the snapshot
        await client.set("arq:job:project_events:3", b'{"t": 1, "f": "project_events", "a": [], "k": {}, "et": 1}')
        await client.save()
    for _ in range(20):
        assert (await running.send("instagram", instagram(comment(next(numbers)))))[0] == 200
    own_redis.kill()
    assert (await running.send("instagram", instagram(comment(next(numbers)))))[0] == 200
    await asyncio.to_thread(own_redis.start)
    for _ in range(20):
        assert (await running.send("instagram", instagram(comment(next(numbers)))))[0] == 200
    await drained(connection, 15)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == next(numbers)
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes") == await connection.fetchval(
        "SELECT count(*) FROM webhook_event_log"
    )


async def test_c10_hostile_jobs_are_passed_over(
    running: Service, connection: asyncpg.Connection, own_redis: Redis, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (witness,))

    async with redis.asyncio.from_url(breaking(own_redis)) as client:
        for name, job in {
            "bomb": pickle.dumps({"t": 1, "f": "project_events", "a": (Bomb(),), "k": {}, "et": 1}),
            "noise": b"\x00\xff",
            "stranger": b'{"t": 1, "f": "rm_rf", "a": [], "k": {}, "et": 1}',
            "wrong": b'{"t": 1, "f": "project_events", "a": [1, 2], "k": {"x": 1}, "et": 1}',
            "list": b"[]",
        }.items():
            await client.set(f"arq:job:{name}", job)
            await client.zadd(QUEUE, {name: 1})

        async def taken() -> bool:
            return await client.zcard(QUEUE) == 0

        await eventually(taken, 15)
    assert not witness.exists()
    assert await to_row(running, connection, 1) < 5
    assert running.worker.running


async def test_c7_killed_worker_is_replaced_within_seconds(
    running: Service, connection: asyncpg.Connection, spawned: list[Process]
) -> None:
    for start in range(0, 6000, 500):
        entries = [comment(number, account=f"acc{number % 97}") for number in range(start, start + 500)]
        assert (await running.send("instagram", instagram(*entries)))[0] == 200
    environment = running.worker.environment | {"LANDFALL_METRICS_PORT": "0"}
    spawned.append(await Process(running.worker.arguments, environment, running.directory / "other.log").start())
    await running.worker.kill()
    begun = time.monotonic()
    settled = await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes")

    async def goes_on() -> bool:
        return await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes") > settled

    await eventually(goes_on, 4)  # the other one starts, or has started: a lease is 2 s, a sweep 1 s
    await drained(connection, 20)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 6000
    assert time.monotonic() - begun < 15


async def test_without_any_redis_rows_appear_within_two_sweeps(
    database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    running = Service(database, None, tmp_path)
    await running.start()
    try:
        times = [await to_row(running, connection, number) for number in range(3)]
        assert max(times) < 4
    finally:
        await running.stop()


async def test_a5_several_workers_share_the_work_and_do_it_once(
    running: Service, connection: asyncpg.Connection, spawned: list[Process]
) -> None:
    await running.worker.kill()
    for start in range(0, 4000, 500):
        entries = [comment(number, account=f"acc{number % 61}") for number in range(start, start + 500)]
        assert (await running.send("instagram", instagram(*entries)))[0] == 200
    for number in range(4):
        environment = running.worker.environment | {"LANDFALL_METRICS_PORT": "0"}
        process = Process(running.worker.arguments, environment, running.directory / f"worker{number}.log")
        spawned.append(await process.start())
    await drained(connection, 20)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 4000
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done'") == 4000
