"""Rows A2, A3, A6, A8, B4 to B7, B11, B13, C5 and D5 of ``faults.md``; each ends with the oracle's questions."""

import asyncio
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
import redis

from ops.cli.migrate import migrate
from ops.runtime.embedded import Postgres, Redis, Server, free_port, redis_server, scratch
from tests.chaos.patroni import clustered
from tests.faults.oracle import Oracle
from tests.faults.standby import thaw, tree
from tests.support import NotRunError, Process, Service, command, comment, drained, eventually, instagram, program

Count = Callable[..., None]


@pytest.fixture
async def connection(own_postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(own_postgres.dsn())
    yield opened
    await opened.close()


@pytest.fixture
async def service(own_postgres: Postgres, own_redis: Redis, tmp_path: Path) -> AsyncIterator[Service]:
    """The whole, on servers of its own."""
    running = Service(own_postgres.dsn(), own_redis.url, tmp_path)
    await running.start()
    yield running
    await running.stop()


@asynccontextmanager
async def loaded(oracle: Oracle, senders: int = 16) -> AsyncIterator[None]:
    """Deliveries come all the while."""
    stop = asyncio.Event()
    load = asyncio.create_task(oracle.load(itertools.count(), stop, senders))
    try:
        yield
    finally:
        stop.set()
        await load


async def held(oracle: Oracle, dsn: str, count: Count) -> None:
    """I1, I2 and I4: what was acknowledged is stored, once, and becomes rows without anybody's help."""
    unknown = len(oracle.unknown - oracle.acked)
    await oracle.redeliver()
    connection = await asyncpg.connect(dsn)
    await oracle.check(connection)
    await drained(connection, 30)
    stored = await connection.fetchval("SELECT count(*) FROM webhook_event_log")
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == stored == len(oracle.acked)
    states = await connection.fetch("SELECT DISTINCT state FROM webhook_event_outcomes")
    assert {row["state"] for row in states} == {"done"}, "no event was blamed for the fault"
    count(acked=len(oracle.acked), stored=stored, unknown=unknown)
    await connection.close()


async def test_a2_web_process_killed_and_restarted_under_load(
    service: Service, own_postgres: Postgres, chance: random.Random, count: Count
) -> None:
    oracle, rounds = Oracle(service), 20
    async with loaded(oracle):
        for _ in range(rounds):
            before = len(oracle.acked)

            async def going(before: int = before) -> bool:
                return len(oracle.acked) > before

            await eventually(going, 20)
            await asyncio.sleep(chance.uniform(0, 0.2))
            await service.web.kill()
            await service.web.start()
    count(kills=rounds)
    assert oracle.unknown
    await held(oracle, own_postgres.dsn(), count)


async def test_a3_two_releases_roll_over_one_port(
    service: Service, own_postgres: Postgres, tmp_path: Path, count: Count
) -> None:
    """One replaces the other on the same port. No answer is anything but 200; who was cut off had not been answered."""
    oracle, rolls = Oracle(service), 6
    current = service.web
    async with loaded(oracle):
        for number in range(rolls):
            environment = service.web.environment | {"LANDFALL_METRICS_PORT": str(free_port())}
            after = await Process(("serve",), environment, tmp_path / f"release{number}.log").start()
            await eventually(lambda process=after: started(process))  # type: ignore[misc]
            await asyncio.sleep(0.3)
            assert await current.terminate() == 0
            current = after
    service.web = current
    assert oracle.statuses == {200}
    count(rolls=rolls, statuses=sorted(oracle.statuses))
    await held(oracle, own_postgres.dsn(), count)


async def started(process: Process) -> bool:
    assert process.running, process.output()[-2000:]
    return "serve.started" in process.output()


async def test_a6_frozen_worker_is_left_behind_and_tells_that_it_was(
    service: Service, own_postgres: Postgres, connection: asyncpg.Connection, tmp_path: Path, count: Count
) -> None:
    environment = service.worker.environment | {"LANDFALL_METRICS_PORT": str(free_port())}
    second = await Process(("work",), environment, tmp_path / "second.log").start()
    try:
        oracle, freezes, lag = Oracle(service), 2, 0.0
        async with loaded(oracle):
            for _ in range(freezes):
                service.worker.signal(signal.SIGSTOP)
                with pytest.raises((aiohttp.ClientError, TimeoutError)):
                    async with asyncio.timeout(1):
                        await service.metrics(service.work_metrics)
                await asyncio.sleep(11)
                age = "SELECT coalesce(max(extract(epoch FROM now() - due_at)), 0)::float8 FROM webhook_event_queue"
                # A session that is frozen amid a transaction is ended after 5 s, a lease after 2.
                assert await connection.fetchval(age) < 9, "the other one goes on"
                service.worker.signal(signal.SIGCONT)
                for _ in range(20):
                    found = await service.metrics(service.work_metrics)
                    lag = max(lag, found["landfall_event_loop_lag_seconds"])
                    await asyncio.sleep(0.05)
        assert lag > 1, "the gauge tells that it stood still"
        count(freezes=freezes, lag=f"{lag:.1f} s")
        await held(oracle, own_postgres.dsn(), count)
    finally:
        await second.kill()


async def test_a8_web_process_with_too_little_memory(
    service: Service, own_postgres: Postgres, tmp_path: Path, count: Count
) -> None:
    """Large bodies under a memory limit: refused, or at worst that process dies; what it acknowledged is there."""
    await service.web.kill()
    limit = 700 * 2**20
    service.web.environment |= {"LANDFALL_BODY_LIMIT": str(4 * 2**20), "LANDFALL_QUEUE_BYTES": str(2**28)}
    await service.web.start()
    resource.prlimit(service.web.pid, resource.RLIMIT_AS, (limit, limit))
    await eventually(service.answering)
    oracle = Oracle(service)
    numbers = set(range(10**7, 10**7 + 900))
    large = instagram(*(comment(number, text="x" * 3000) for number in sorted(numbers)))
    answers: list[int] = []

    async def heavy() -> None:
        with suppress(aiohttp.ClientError):
            answers.append((await service.send("instagram", large))[0])

    async with loaded(oracle, 4):
        for _ in range(4):
            await asyncio.gather(*(heavy() for _ in range(40)))
    died = not service.web.running
    if died:
        await service.web.start()
        await eventually(service.answering)
    assert set(answers) <= {200, 413, 503}
    assert answers
    connection = await asyncpg.connect(own_postgres.dsn())
    await drained(connection, 60)
    stored = await connection.fetchval("SELECT count(*) FROM webhook_event_log WHERE payload_json->>'text' LIKE 'xxx%'")
    await connection.close()
    assert stored in (0, len(numbers)), "all of a delivery or nothing"
    assert stored or 200 not in answers
    oracle.acked |= numbers if stored else set()
    count(large=len(answers), answers=sorted(set(answers)), died=died)
    await held(oracle, own_postgres.dsn(), count)


HEALED_SECONDS = 30
"""By then deliveries are acknowledged again after a failover (faults.md B4): Patroni's 20 s, and what is left to us."""


async def acknowledged_again(oracle: Oracle, since: float) -> float:
    """Seconds from ``since``, of the monotonic clock, until deliveries are acknowledged again, one after another."""
    before = len(oracle.acked)

    async def going() -> bool:
        return len(oracle.acked) > before + 20

    await eventually(going, 60)
    return time.monotonic() - since


async def test_b4_leader_of_a_synchronous_cluster_freezes_and_another_is_killed(
    own_redis: Redis, tmp_path: Path, count: Count
) -> None:
    """The frozen one stands first in the address, and no link to it is ever closed; nothing acknowledged is lost."""
    async with clustered(tmp_path, synchronous=True) as cluster:
        first = await cluster.leader()
        await asyncio.to_thread(migrate, cluster.dsn(first))
        service = Service(cluster.dsn(first), own_redis.url, tmp_path)
        await service.start()
        stopped: list[psutil.Process] = []
        try:
            oracle = Oracle(service)
            async with loaded(oracle, 8):
                await asyncio.sleep(3)
                stopped, begun = first.freeze(), time.monotonic()
                await asyncio.sleep(3)  # what was under way is over
                frozen = await acknowledged_again(oracle, begun)
                second = await cluster.leader(but=first)
                first.wake(stopped)
                assert await cluster.whole(but=first) is second, "who was frozen leads no more"
                begun = time.monotonic()
                second.kill()
                await asyncio.sleep(1)
                killed = await acknowledged_again(oracle, begun)
            third = await cluster.leader(but=second)
            count(frozen=f"{frozen:.0f} s", killed=f"{killed:.0f} s", slowest=f"{oracle.slowest:.1f} s")
            assert max(frozen, killed) < HEALED_SECONDS
            assert oracle.slowest < 5
            await held(oracle, third.dsn(), count)
        finally:
            await service.stop()
            thaw(stopped)


async def test_b5_asynchronous_standby_is_promoted_without_what_came_last(
    own_redis: Redis, tmp_path: Path, count: Count
) -> None:
    """What was acknowledged while no standby followed is lost, as documented: no more, and the tables agree with it."""
    async with clustered(tmp_path, synchronous=False) as cluster:
        first = await cluster.leader()
        await asyncio.to_thread(migrate, cluster.dsn(first))
        service = Service(cluster.dsn(first), own_redis.url, tmp_path)
        await service.start()
        receivers: list[psutil.Process] = []
        try:
            oracle = Oracle(service)
            async with loaded(oracle, 4):
                await asyncio.sleep(2)
                safe = set(oracle.acked)
                await asyncio.sleep(2)
                receivers = [
                    process
                    for node in cluster.nodes
                    if node is not first
                    for process in tree(node.postmaster() or 0)
                    if "walreceiver" in " ".join(process.cmdline())
                ]
                assert len(receivers) == 2
                for receiver in receivers:
                    receiver.suspend()
                await asyncio.sleep(1)
                begun = time.monotonic()
                first.kill()
                for receiver in receivers:
                    receiver.kill()  # a polite end would let it read what the link still holds
                await asyncio.sleep(1)
                last = set(oracle.acked)  # with answers that were under way; no standby is promoted so soon
                healed = await acknowledged_again(oracle, begun)
            second = await cluster.leader(but=first)
            await oracle.redeliver()
            connection = await asyncpg.connect(second.dsn())
            await drained(connection, 60)
            stored = {
                int(row["id"][4:])
                for row in await connection.fetch("SELECT payload_json->>'id' AS id FROM webhook_event_log")
            }
            lost = oracle.acked - stored
            count(healed=f"{healed:.0f} s", acked=len(oracle.acked), lost=len(lost))
            assert healed < HEALED_SECONDS
            assert lost, "the standbys lagged: otherwise this shows nothing"
            assert lost <= last - safe, "what they had followed is there, and what came after the failover"
            assert await connection.fetchval("SELECT count(*) FROM ig_comments") == len(stored)
            await connection.close()
            code, said = await command(second.dsn(), "verify")
            assert code == 0, said
        finally:
            await service.stop()
            thaw(receivers)


async def test_b6_server_turns_read_only_and_back(service: Service, own_postgres: Postgres, count: Count) -> None:
    """As after a switch-over, when the address still leads to what is now a standby."""
    oracle, turns = Oracle(service), 3
    async with loaded(oracle):
        for _ in range(turns):
            await asyncio.sleep(0.7)
            own_postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
            await asyncio.sleep(1.5)
            own_postgres.sql("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    assert oracle.statuses == {200, 503}
    assert "ReadOnlySQLTransactionError" in service.web.output()
    count(turns=turns)
    await held(oracle, own_postgres.dsn(), count)


async def test_b13_postgresql_away_for_a_minute(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path, chance: random.Random, count: Count
) -> None:
    """Under load: every POST is answered 200, and all of it is in the tables afterwards, once."""
    spool = tmp_path / "spool"
    service = Service(own_postgres.dsn(), own_redis.url, tmp_path, {"LANDFALL_SPOOL_DIR": str(spool)})
    await service.start()
    oracle = Oracle(service)

    async def emptied() -> bool:
        return (await service.metrics())["landfall_spool_deliveries"] == 0

    try:
        async with loaded(oracle):
            await asyncio.sleep(chance.uniform(1, 3))
            before = len(oracle.acked)
            await asyncio.to_thread(chance.choice([own_postgres.kill, own_postgres.stop]))
            await asyncio.sleep(60)
            counted = await service.metrics()
            kept, most = int(counted["landfall_spool_deliveries"]), int(counted["landfall_spool_bytes"])
            assert len(oracle.acked) - before >= kept > 1000
            begun = time.monotonic()
            await asyncio.to_thread(own_postgres.start)
            await eventually(emptied, 120)
            count(kept=kept, bytes=most, stored_within=f"{time.monotonic() - begun:.0f} s")
        assert oracle.statuses == {200}
        assert not oracle.unknown
        assert oracle.slowest < 2
        assert list(spool.glob("*.spool*")) == []
        connection = await asyncpg.connect(own_postgres.dsn())
        await drained(connection, 300)
        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == len(oracle.acked), "each once"
        await connection.close()
        await held(oracle, own_postgres.dsn(), count)
        assert service.worker.running
    finally:
        await service.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, str], Callable[[str], None]]]:
    """Puts a folder of a cluster on a file system of a size; the answer makes it larger."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Callable[[str], None]:
        owner = folder.stat()
        moved = folder.rename(folder.with_name(folder.name + ".before"))
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False)
        if done.returncode:
            raise NotRunError("this account may not mount a tmpfs: run it as root")
        mounted.append(folder)
        subprocess.run(["cp", "-a", f"{moved}/.", folder], check=True)
        os.chown(folder, owner.st_uid, owner.st_gid)
        folder.chmod(0o700)

        def grow(to: str) -> None:
            subprocess.run(["mount", "-o", f"remount,size={to}", folder], check=True)

        return grow

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=False)


async def until_full_and_on(
    postgres: Postgres, valkey: Redis, directory: Path, grow: Callable[[str], None], count: Count
) -> str:
    """Load until the disk is full, then make room, and start PostgreSQL if it stopped; what the service said."""
    service = Service(postgres.dsn(), valkey.url, directory)
    await service.start()
    try:
        oracle = Oracle(service)
        async with loaded(oracle):

            async def full() -> bool:
                return 503 in oracle.statuses

            await eventually(full, 120)
            acked = len(oracle.acked)
            grow("400m")

            async def accepting() -> bool:
                if not postgres.running:
                    await asyncio.to_thread(postgres.start)
                return len(oracle.acked) > acked + 50

            await eventually(accepting, 60)
        count(acked_before=acked)
        await held(oracle, postgres.dsn(), count)
        return service.web.output() + service.worker.output()
    finally:
        await service.stop()


async def test_b7_disk_full(
    own_postgres: Postgres,
    own_redis: Redis,
    tmp_path: Path,
    small_disk: Callable[[Path, str], Callable[[str], None]],
    count: Count,
) -> None:
    """No room for WAL: PostgreSQL stops, acknowledged events survive, all goes on when there is room and it runs."""
    own_postgres.stop()
    grow = small_disk(own_postgres.data / "pg_wal", "56m")
    own_postgres.settings = {"min_wal_size": "32MB", "max_wal_size": "512MB", "checkpoint_timeout": "1h"}
    own_postgres.start()
    await until_full_and_on(own_postgres, own_redis, tmp_path, grow, count)
    assert "No space left on device" in own_postgres.log.read_text(errors="replace")
    own_postgres.stop()  # before its disk is taken away


async def test_b7_data_full(
    own_postgres: Postgres,
    own_redis: Redis,
    tmp_path: Path,
    small_disk: Callable[[Path, str], Callable[[str], None]],
    count: Count,
) -> None:
    """No room for tables (53100): refused and nothing else; all goes on by itself when there is room."""
    own_postgres.stop()
    grow = small_disk(own_postgres.data / "base", "48m")
    own_postgres.start()
    assert "DiskFullError" in await until_full_and_on(own_postgres, own_redis, tmp_path, grow, count)
    own_postgres.stop()


async def test_b11_through_pgbouncer_in_transaction_mode(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path, count: Count
) -> None:
    """Fewer server connections than clients, so that every transaction may meet another session."""
    own_postgres.sql("CREATE ROLE bounced LOGIN PASSWORD 'bounced'", "GRANT landfall_app TO bounced")
    with pgbouncer(program("pgbouncer", "pgbouncer"), own_postgres.port) as port:
        await eventually(lambda: reachable(port))
        address = f"postgresql://bounced:bounced@127.0.0.1:{port}/landfall"
        service = Service(address, own_redis.url, tmp_path, {"LANDFALL_PGBOUNCER": "true"})
        await service.start()
        try:
            oracle = Oracle(service)
            async with loaded(oracle):
                await asyncio.sleep(6)
            assert oracle.statuses == {200}
            await held(oracle, own_postgres.dsn(), count)
            assert "sweep.failed" not in service.worker.output()
            async with service.client.get(f"{service.url}/readyz") as response:
                assert response.status == 200
        finally:
            await service.stop()


@contextmanager
def pgbouncer(program: Path, postgres: int) -> Iterator[int]:
    """In transaction mode, before the PostgreSQL on that port; its own port."""
    port = free_port()
    with scratch() as directory:
        directory.chmod(0o755)  # its reader may be another user
        (directory / "users").write_text('"bounced" "bounced"\n')
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\nlandfall = host=127.0.0.1 port={postgres} dbname=landfall\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {directory}/users\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
        )
        server = Server(directory / "server.log")
        options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        server.spawn([str(program), str(directory / "pgbouncer.ini")], **(options if os.geteuid() == 0 else {}))
        try:
            yield port
        finally:
            server.end(signal.SIGTERM)


async def reachable(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


async def test_c5_sentinel_promotes_a_replica_that_missed_notifications(
    own_postgres: Postgres, tmp_path: Path, count: Count
) -> None:
    """The service knows the old master's address only: rows come by the sweep, whatever became of notifications."""
    master, port = plain(tmp_path / "master")
    replica, replica_port = plain(tmp_path / "replica", f"replicaof 127.0.0.1 {port}")
    sentinels = [
        plain(
            tmp_path / f"sentinel{number}",
            f"sentinel monitor landfall 127.0.0.1 {port} 2",
            "sentinel down-after-milliseconds landfall 1000",
            "sentinel failover-timeout landfall 5000",
        )
        for number in range(3)
    ]
    service = Service(own_postgres.dsn(), f"redis://127.0.0.1:{port}/0", tmp_path)
    await service.start()
    try:
        await asyncio.to_thread(await_quorum, sentinels)
        oracle = Oracle(service)
        async with loaded(oracle):
            await asyncio.sleep(1)
            master.kill()

            async def promoted() -> bool:
                with redis.Redis(port=replica_port) as client:
                    return client.info("replication")["role"] == "master"

            await eventually(promoted, 30)
            await asyncio.sleep(1)
        assert oracle.statuses == {200}
        await held(oracle, own_postgres.dsn(), count)
        assert service.worker.running
        count(sentinels=len(sentinels), promoted=True)
    finally:
        await service.stop()
        for server, _ in (*sentinels, (master, port), (replica, replica_port)):
            server.kill()


def plain(directory: Path, *lines: str) -> tuple[Server, int]:
    """A server that does as it is told by anybody, as a sentinel if it is to watch; it and its port."""
    directory.mkdir()
    port = free_port()
    configuration = directory / "server.conf"
    configuration.write_text("\n".join((f"port {port}", "bind 127.0.0.1", f"dir {directory}", *lines, "")))
    server = Server(directory / "server.log")
    watching = ["--sentinel"] if any(line.startswith("sentinel ") for line in lines) else []
    server.spawn([str(redis_server()), str(configuration), *watching])
    return server, port


def await_quorum(sentinels: list[tuple[Server, int]]) -> None:
    """Each has found the other two and the replica."""

    async def known() -> bool:
        with suppress(redis.ConnectionError):
            for _, port in sentinels:
                with redis.Redis(port=port, decode_responses=True) as client:
                    [master] = client.sentinel_masters().values()
                    if (master["num-other-sentinels"], master["num-slaves"]) != (2, 1):
                        return False
            return True
        return False

    asyncio.run(eventually(known, 30))


def faketime() -> Path:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise NotRunError("libfaketimeMT.so.1 is not there: apt-get install libfaketime")
    return library


@pytest.mark.parametrize("shift", ["+1h", "-3d", "+3d"])
async def test_d5_worker_with_a_wrong_clock(
    own_postgres: Postgres, own_redis: Redis, tmp_path: Path, count: Count, shift: str
) -> None:
    """Leases and schedules go by PostgreSQL's clock; `landfall doctor` says whose is wrong."""
    library = faketime()
    faked = {"LD_PRELOAD": str(library), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    service = Service(own_postgres.dsn(), own_redis.url, tmp_path)
    service.worker.environment |= faked
    await service.start()
    other = Process(
        ("work",),
        service.worker.environment | {"FAKETIME": "+0", "LANDFALL_METRICS_PORT": str(free_port())},
        tmp_path / "other.log",
    )
    await other.start()
    try:
        oracle = Oracle(service)
        async with loaded(oracle, 8):
            await asyncio.sleep(2)
        await held(oracle, own_postgres.dsn(), count)
        doctor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ops.cli.main", "doctor", "--json",
            env={"PATH": os.environ["PATH"], **service.worker.environment}, cwd="/", stdout=subprocess.PIPE,
        )  # fmt: skip
        output, _ = await doctor.communicate()
        clock = next(finding for finding in json.loads(output) if finding["about"] == "clock")
        assert (clock["level"], doctor.returncode) == ("fault", 1)
        assert clock["remedy"] == "synchronise both by NTP"
    finally:
        await other.kill()
        await service.stop()
