"""Faults between the processes: rows B2, B8, B9, C4, C8, C9 and D1 to D4 of ``faults.md``."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import redis.asyncio

from ingest.accept import accept
from ingest.contract import Delivery, Incoming
from ingest.split import split
from ops.cli.wiring import webhooks
from ops.runtime.clock import now
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, Redis, free_port
from ops.runtime.sweep import SWEEP_SECONDS
from ops.runtime.worker_listener import listen
from ops.runtime.worker_notifier import open_notifier
from schema.jobs import PROJECT_EVENTS, QUEUE
from tests.faults.oracle import Oracle
from tests.faults.proxy import (
    Blackhole,
    Cut,
    Delay,
    Direction,
    FaultProxy,
    Mode,
    Pass,
    Refuse,
    SwallowReply,
    Throttle,
)
from tests.support import (
    VARIABLES,
    Process,
    Service,
    append_event,
    breaking,
    comment,
    drained,
    eventually,
    instagram,
    sign_meta,
    split_into,
)

ANSWER_SECONDS = 5.0
"""A platform hangs up after this long: whatever the fault, the answer comes before."""

NOTICE_SECONDS = 10.0
"""By then a peer that is gone without a word must have been given up."""


@dataclass(repr=False)
class Wired:
    """The service with a proxy on each of its links, and a sender that remembers."""

    service: Service
    postgres: FaultProxy
    redis: FaultProxy
    oracle: Oracle


@pytest.fixture
async def wired(database: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Wired]:
    async with FaultProxy.to(database) as postgres, FaultProxy.to(redis_url) as redis:
        service = Service(postgres.before(database), redis.before(redis_url), tmp_path)
        await service.start()
        yield Wired(service, postgres, redis, Oracle(service))
        await service.stop()


@pytest.fixture
def numbers() -> "itertools.count[int]":
    """For comments that nobody has sent yet."""
    return itertools.count()


async def send(oracle: Oracle, numbers: "itertools.count[int]", count: int = 20) -> None:
    await asyncio.gather(*(oracle.send(next(numbers)) for _ in range(count)))


async def settled(oracle: Oracle, connection: asyncpg.Connection) -> None:
    """The fault is over: I1 and I2 hold, and so does I4, with a row for every comment and nobody's help."""
    assert oracle.slowest < ANSWER_SECONDS
    await oracle.redeliver()
    await oracle.check(connection)
    await drained(connection)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == len(oracle.acked)
    assert oracle.service.web.running
    assert oracle.service.worker.running
    assert "Traceback" not in oracle.service.web.output(), "a fault that is foreseen takes one line"


async def sweep_failed(service: Service, reason: str) -> float:
    """How often the worker's sweep has failed for this reason."""
    counted = await service.metrics(service.work_metrics)
    return counted.get(f'landfall_sync_sweep_failures_total{{reason="{reason}"}}', 0)


async def reached(service: Service) -> float:
    """How often the web process has reached Redis."""
    counted = await service.metrics()
    return sum(
        counted.get(f'landfall_worker_notifications_total{{outcome="{o}"}}', 0) for o in ("sent", "already_waiting")
    )


async def notifies_again(oracle: Oracle, numbers: "itertools.count[int]") -> None:
    """Notifications come back by themselves."""
    before = await reached(oracle.service)

    async def more() -> bool:
        await oracle.send(next(numbers))
        return await reached(oracle.service) > before

    await eventually(more)


async def test_b2_commit_whose_reply_is_lost_is_answered_503_and_its_redelivery_adds_nothing(
    wired: Wired, connection: asyncpg.Connection
) -> None:
    await wired.service.worker.terminate()  # it would lose replies of its own
    for number, silent in ((1, False), (3, True)):
        await wired.oracle.send(number)
        assert number in wired.oracle.acked, "the statement is prepared: the next reply is a commit's"
        before = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
        await asyncio.sleep(0.2)  # until its connection is back in the pool: the next reply is a commit's
        await wired.postgres.become(SwallowReply(silent=silent))
        await wired.oracle.send(number + 1)
        await wired.postgres.become(Pass())
        assert wired.oracle.unknown == {number + 1}
        committed = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
        assert committed == before + 1, "the first attempt was committed"
        assert (await wired.service.send("instagram", instagram(comment(number + 1))))[0] == 200
        await wired.oracle.redeliver()
    await wired.service.worker.start()
    await settled(wired.oracle, connection)


@pytest.fixture
async def crowd() -> AsyncIterator[list[asyncpg.Connection]]:
    """Sessions of others; they end with the test."""
    sessions: list[asyncpg.Connection] = []
    yield sessions
    await asyncio.gather(*(session.close() for session in sessions))


async def test_b8_database_without_a_free_connection_is_answered_503(
    own_postgres: Postgres,
    redis_url: str,
    tmp_path: Path,
    crowd: list[asyncpg.Connection],
    numbers: "itertools.count[int]",
) -> None:
    own_postgres.stop()
    own_postgres.settings = {"max_connections": "12"}
    own_postgres.start()
    service = Service(own_postgres.dsn(), redis_url, tmp_path)
    oracle = Oracle(service)
    end_ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'landfall%'"

    async def crowded_out() -> bool:
        ended = await asyncio.to_thread(own_postgres.sql, end_ours)
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                crowd.append(await asyncpg.connect(own_postgres.dsn()))
        return ended == "0"

    try:
        await service.start()
        await send(oracle, numbers)
        assert len(oracle.acked) == 20
        await eventually(crowded_out)
        await send(oracle, numbers)
        assert len(oracle.unknown) == 20
        async with asyncio.timeout(ANSWER_SECONDS):
            assert await service.answering("/healthz")
            async with service.client.get(f"{service.url}/readyz") as response:
                assert response.status == 503
                assert "TooManyConnectionsError 53300" in await response.text()
        connection = crowd[0]
        await asyncio.gather(*(other.close() for other in crowd[1:]))
        await eventually(lambda: service.answering("/readyz"))
        await settled(oracle, connection)
    finally:
        await service.stop()


async def test_b9_locked_tables_are_waited_for_with_an_end_and_cost_no_event_a_try(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    await send(wired.oracle, numbers)
    async with connection.transaction():
        await connection.execute("LOCK ig_comments IN ACCESS EXCLUSIVE MODE")
        await send(wired.oracle, numbers)
        assert len(wired.oracle.acked) == 40, "the log is not locked"
        await connection.execute("LOCK webhook_deliveries, webhook_event_log IN EXCLUSIVE MODE")
        await send(wired.oracle, numbers)
        assert len(wired.oracle.unknown) == 20
        async with asyncio.timeout(ANSWER_SECONDS):
            assert await wired.service.answering("/readyz"), "probes have a connection of their own"
        await eventually(lambda: sweep_failed(wired.service, "LockNotAvailableError 55P03"))
    await settled(wired.oracle, connection)
    assert await connection.fetchval("SELECT max(retry_count) FROM webhook_event_outcomes") == 0


@pytest.fixture
async def rival(database: str, postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A session that writes the same rows, and is never the one to give in to a deadlock."""
    postgres.sql("GRANT SET ON PARAMETER deadlock_timeout TO landfall")
    opened = await asyncpg.connect(database)
    await opened.execute("SET deadlock_timeout = '60s'")
    yield opened
    await opened.close()


def as_logged(number: int) -> Incoming:
    """The event that comment ``number`` becomes."""
    body = instagram(comment(number))
    headers = {name.lower(): value for name, value in sign_meta(body).items()}
    webhook = webhooks()["instagram"]
    received = accept("instagram", webhook, Delivery(headers, body), VARIABLES, now())
    [event] = split(webhook, received, VARIABLES).events
    return event


async def write(rival: asyncpg.Connection, event: Incoming) -> None:
    payload = json.loads(event.payload or "null")
    await append_event(rival, event.account_id, event.external_id, payload=payload)


async def blocked(connection: asyncpg.Connection) -> bool:
    """Somebody waits for another transaction to end."""
    return await connection.fetchval("SELECT true FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")


async def test_b9_victim_of_a_deadlock_tries_again(
    wired: Wired, connection: asyncpg.Connection, rival: asyncpg.Connection
) -> None:
    earlier, later = sorted((as_logged(1), as_logged(2)), key=lambda event: event.external_id)
    await wired.oracle.send(0)
    rivals = rival.transaction()
    await rivals.start()
    await write(rival, later)
    sent = asyncio.create_task(wired.service.send("instagram", instagram(comment(1), comment(2))))
    await eventually(lambda: blocked(connection), every=0.01)
    await write(rival, earlier)  # returns when PostgreSQL has ended the other one
    await rivals.rollback()
    status, answer = await sent
    assert (status, await split_into(connection, answer)) == (200, (2, 2))
    wired.oracle.acked |= {1, 2}
    await settled(wired.oracle, connection)


async def test_b9_serialization_errors_are_tried_again(
    wired: Wired, connection: asyncpg.Connection, rival: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'landfall%'"
    )
    await send(wired.oracle, numbers)
    await wired.oracle.redeliver()
    contested = next(numbers)
    rivals = rival.transaction()
    await rivals.start()
    await write(rival, as_logged(contested))
    sent = asyncio.create_task(wired.service.send("instagram", instagram(comment(contested))))
    await eventually(lambda: blocked(connection), every=0.01)
    await rivals.commit()
    status, answer = await sent
    assert (status, await split_into(connection, answer)) == (200, (1, 0)), "the rival's is the original"
    wired.oracle.acked.add(contested)
    await settled(wired.oracle, connection)


async def test_c4_full_redis_costs_latency_only(
    database: str, own_redis: Redis, tmp_path: Path, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    service = Service(database, own_redis.url, tmp_path)
    oracle = Oracle(service)
    try:
        await service.start()
        await notifies_again(oracle, numbers)
        async with redis.asyncio.from_url(breaking(own_redis)) as client:
            await client.config_set("maxmemory", "1mb")
            with suppress(redis.OutOfMemoryError):
                for number in itertools.count():
                    await client.set(f"ballast{number}", b"x" * 1000)

            async def felt() -> bool:
                await send(oracle, numbers, 5)
                return "OutOfMemoryError" in service.web.output() + service.worker.output()

            # A ring that was there before it was full keeps the next ones from being written for a while.
            await eventually(felt, 90)
            await send(oracle, numbers)
            await drained(connection)
            assert oracle.statuses == {200}
            await client.config_set("maxmemory", "0")
        await notifies_again(oracle, numbers)
        await settled(oracle, connection)
    finally:
        await service.stop()


def another_worker(service: Service, name: str) -> Process:
    """Like the service's own, on a free internal port."""
    environment = service.worker.environment | {"LANDFALL_METRICS_PORT": str(free_port())}
    return Process(service.worker.arguments, environment, service.directory / f"{name}.log")


async def test_c8_sweeps_of_five_workers_at_once_and_of_none_double_and_lose_nothing(
    database: str, tmp_path: Path, connection: asyncpg.Connection, spawned: list[Process]
) -> None:
    service = Service(database, None, tmp_path)
    oracle = Oracle(service)
    await service.start(worker=False)
    try:
        entries = iter(comment(number, account=f"acc{number % 61}") for number in itertools.count())

        async def deliver(deliveries: int) -> None:
            for _ in range(deliveries):
                body = instagram(*itertools.islice(entries, 500))
                assert (await service.send("instagram", body))[0] == 200

        await deliver(4)
        await asyncio.sleep(3 * SWEEP_SECONDS)
        assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_queue") == 4
        spawned += [await another_worker(service, f"worker{number}").start() for number in range(5)]
        await deliver(4)
        await drained(connection)
        ports = [int(process.environment["LANDFALL_METRICS_PORT"]) for process in spawned]
        counted = [await service.metrics(port) for port in ports]
        done = 'landfall_sync_events_total{outcome="done",platform="instagram"}'
        assert sum(worker.get(done, 0) for worker in counted) == 4000
        assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 4000
        oracle.acked.update(range(4000))
        await oracle.check(connection)
    finally:
        await service.stop()


async def test_c9_notification_that_expired_loses_nothing(
    database: str, redis_url: str, tmp_path: Path, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    service = Service(database, redis_url, tmp_path)
    oracle = Oracle(service)
    await service.start(worker=False)
    try:
        async with redis.asyncio.from_url(redis_url) as client:
            await oracle.send(next(numbers))  # alone, it notifies once
            await eventually(lambda: client.zcard(QUEUE))
            assert await client.delete(*[key async for key in client.scan_iter("arq:job:*")])
            await service.worker.start()
            await settled(oracle, connection)

            async def taken() -> bool:
                return await client.zcard(QUEUE) == 0

            await eventually(taken)
    finally:
        await service.stop()


async def test_c9_worker_that_is_replaced_again_and_again_loses_nothing_and_costs_no_event_a_try(
    service: Service, connection: asyncpg.Connection, spawned: list[Process], numbers: "itertools.count[int]"
) -> None:
    oracle = Oracle(service)

    async def working(since: int) -> bool:
        return await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes") > since

    for restart in range(6):
        before = await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes")
        old, service.worker = service.worker, another_worker(service, f"worker{restart}")
        spawned.append(await service.worker.start())
        sending = asyncio.create_task(send(oracle, numbers, 200))
        await eventually(partial(working, before), every=0.01)
        await eventually(partial(_started, old))  # who is told to stop before that has no way to do it well
        assert await old.terminate() == 0
        await sending
    await settled(oracle, connection)
    assert await connection.fetchval("SELECT max(retry_count) FROM webhook_event_outcomes") == 0


async def _started(worker: Process) -> bool:
    return "work.started" in worker.output()


def connections_to(service: Service, port: int) -> int:
    """What both processes hold open to a port at this moment."""
    return sum(
        connection.raddr.port == port
        for process in (service.web, service.worker)
        for connection in psutil.Process(process.pid).net_connections("tcp")
        if connection.raddr
    )


def resident(service: Service) -> int:
    return sum(psutil.Process(process.pid).memory_info().rss for process in (service.web, service.worker))


SLOW_LINKS: list[Mode] = [Delay(0.01, 0.02), Delay(0.1, 0.1), Delay(5, 1), Throttle(20_000)]
GROWTH = 32 * 2**20


async def test_d1_slow_link_to_postgresql_is_answered_in_time_and_piles_nothing_up(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    await send(wired.oracle, numbers, 200)
    before = resident(wired.service)
    counted = await wired.service.metrics() | await wired.service.metrics(wired.service.work_metrics)
    pooled = sum(value for name, value in counted.items() if name.startswith("landfall_pool_max_connections"))
    for mode in SLOW_LINKS:
        await wired.postgres.become(mode)
        await send(wired.oracle, numbers, 100)
        assert connections_to(wired.service, wired.postgres.port) <= pooled
        assert resident(wired.service) - before < GROWTH
    assert wired.oracle.statuses == {200, 503}
    await wired.postgres.become(Pass())
    await settled(wired.oracle, connection)


async def test_d1_slow_link_to_redis_delays_no_answer_and_piles_nothing_up(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    await send(wired.oracle, numbers, 200)
    before = resident(wired.service)
    for mode in SLOW_LINKS:
        await wired.redis.become(mode)
        await send(wired.oracle, numbers, 100)
        assert connections_to(wired.service, wired.redis.port) <= 12, "one notifies, one listens, ten work"
        assert resident(wired.service) - before < GROWTH
    assert wired.oracle.statuses == {200}
    await wired.redis.become(Pass())
    await notifies_again(wired.oracle, numbers)
    await settled(wired.oracle, connection)


async def test_d2_half_open_postgresql_is_noticed_in_the_middle_of_a_batch(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    await wired.redis.become(Refuse())  # the sweep alone works: it is known what it is at
    await send(wired.oracle, numbers)
    await drained(connection)

    async def in_a_batch() -> bool:
        return await connection.fetchval("SELECT true FROM pg_locks WHERE NOT granted AND locktype = 'relation'")

    async with connection.transaction():
        await connection.execute("LOCK ig_comments IN ACCESS EXCLUSIVE MODE")
        await send(wired.oracle, numbers)
        await eventually(in_a_batch, every=0.01)
        await wired.postgres.become(Blackhole())
    await send(wired.oracle, numbers)
    assert len(wired.oracle.unknown) == 20
    async with asyncio.timeout(ANSWER_SECONDS), wired.service.client.get(f"{wired.service.url}/readyz") as response:
        assert response.status == 503
    await eventually(lambda: sweep_failed(wired.service, "TimeoutError"), NOTICE_SECONDS)
    await wired.postgres.become(Pass())
    await eventually(lambda: wired.service.answering("/readyz"))
    await settled(wired.oracle, connection)


async def test_d2_half_open_redis_is_noticed_on_both_sides(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    await notifies_again(wired.oracle, numbers)
    await wired.redis.become(Blackhole())
    await send(wired.oracle, numbers)
    assert wired.oracle.statuses == {200}
    await drained(connection)

    async def noticed() -> bool:
        web, worker = await wired.service.metrics(), await wired.service.metrics(wired.service.work_metrics)
        return (
            web.get('landfall_worker_notifications_total{outcome="failed"}', 0) > 0
            and worker["landfall_worker_notifier_restarts_total"] > 0
        )

    await eventually(noticed, NOTICE_SECONDS)
    await wired.redis.become(Pass())
    await notifies_again(wired.oracle, numbers)
    await settled(wired.oracle, connection)


DIRECTIONS: tuple[Direction, ...] = ("requests", "replies")


async def test_d3_link_to_postgresql_cut_at_any_byte_loses_and_doubles_nothing(
    wired: Wired, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    for direction, after in itertools.product(DIRECTIONS, (0, 1, 5, 60, 300, 1000, 4000)):
        await send(wired.oracle, numbers, 5)
        await wired.postgres.become(Cut(direction, after))
        await send(wired.oracle, numbers, 5)
        await wired.postgres.become(Pass())
        await wired.oracle.redeliver()
    assert wired.oracle.statuses == {200, 503}
    await settled(wired.oracle, connection)


async def test_d3_senders_link_cut_at_any_byte_loses_and_doubles_nothing(
    service: Service, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    async with FaultProxy(service.port) as proxy:
        oracle = Oracle(service, f"http://127.0.0.1:{proxy.port}")
        for direction in DIRECTIONS:
            stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
            for after in (0, 1, 20, 150, 300, 450):
                await proxy.become(Cut(direction, after))
                await send(oracle, numbers, 5)
            stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries") - stored
            assert stored == {"requests": 0, "replies": 30}[direction], (
                "half a request is none; half a reply undoes none"
            )
            await proxy.become(Pass())
            await oracle.redeliver()
        await settled(oracle, connection)


NOWHERE = ".".join(["nowhere"] * 40)
"""Too long a name to ask a name server for (RFC 1035 2.3.4): the system's resolver refuses it by itself, at once."""


async def test_d4_database_whose_name_does_not_resolve_is_said_and_answered_in_time(
    database: str, tmp_path: Path, connection: asyncpg.Connection, numbers: "itertools.count[int]"
) -> None:
    """The address names two hosts: one is away until the fault ends, the other never resolves."""
    async with FaultProxy.to(database) as postgres:
        address = postgres.before(database).replace(f":{postgres.port}", f":{postgres.port},{NOWHERE}:5432")
        service = Service(address, f"redis://{NOWHERE}:6379/0", tmp_path)
        oracle = Oracle(service)
        try:
            await postgres.become(Refuse())
            await service.start()
            await send(oracle, numbers)
            assert oracle.statuses == {503}
            async with service.client.get(f"{service.url}/readyz") as response:
                assert "PostgreSQL does not answer (gaierror)" in await response.text()
            await eventually(lambda: sweep_failed(service, "gaierror"))
            await postgres.become(Pass())
            await eventually(lambda: service.answering("/readyz"))
            await settled(oracle, connection)
            assert "wakeup.listener_failed" in service.worker.output()
        finally:
            await service.stop()


@pytest.mark.parametrize("before", [None, "127.0.0.2"], ids=["unknown", "moved"])
async def test_d4_name_that_resolves_again_or_anew_is_followed_without_a_restart(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """The resolver is the one thing here that is not real; at 127.0.0.2 nobody listens."""
    addresses, resolve, notified = {"landfall.test": before}, socket.getaddrinfo, asyncio.Event()
    asked = itertools.count()
    asked_by_all = asyncio.Event()
    loop = asyncio.get_running_loop()

    def resolver(host: Any, *rest: Any, **options: Any) -> Any:
        if (
            host in addresses and next(asked) == 2
        ):  # the pool, the notifier and the listener; they pause before they ask again
            loop.call_soon_threadsafe(asked_by_all.set)
        if host in addresses and addresses[host] is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(addresses.get(host, host), *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)

    async def job() -> None:
        notified.set()

    async with FaultProxy.to(redis_url) as port:
        named = port.before(redis_url, "landfall.test")
        notifier, listening = open_notifier(named), asyncio.create_task(listen(named, {PROJECT_EVENTS: job}, 1))
        async with await open_pool(database.replace("127.0.0.1", "landfall.test"), "named", 1) as pool:
            notifier.notify()
            with pytest.raises(OSError):
                async with pool.acquire():
                    pass
            async with asyncio.timeout(ANSWER_SECONDS):
                await asked_by_all.wait()
            assert not notified.is_set()
            addresses["landfall.test"] = "127.0.0.1"
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1

            async def heard() -> bool:
                notifier.notify()
                return notified.is_set()

            await eventually(heard)
        listening.cancel()
        await notifier.close()
        with suppress(asyncio.CancelledError):
            await listening
