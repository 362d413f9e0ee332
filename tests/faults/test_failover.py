"""Several hosts in one address: one that is frozen, gone or a standby is left for the primary: B4, B6 and D2."""

import asyncio
import gc
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from ops.cli.migrate import migrate
from ops.runtime import db
from ops.runtime.db import AddressError, NoPrimaryError, connect, hosts, open_pool, reach
from ops.runtime.embedded import Postgres, free_port, scratch
from tests.faults.oracle import Oracle
from tests.faults.proxy import Blackhole, FaultProxy
from tests.faults.standby import freeze, standby_of, thaw
from tests.support import Service, command, drained, eventually

QUICK_SECONDS = 1.0
"""Less than one host's bound: a host that is silent costs its head start, not its whole bound."""


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never answers, as a frozen server's does."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def dropping() -> Iterator[int]:
    """A port where not even the connection is answered, as where a machine lost its power: the queue is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.settimeout(0)
            filling.connect_ex(address)
        yield address[1]


def through(dsn: str, *ports: int, wanted: str = "primary") -> str:
    """``dsn`` with these ports of this machine for its hosts."""
    login, _, rest = dsn.rpartition("@")
    where = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"{login}@{where}/{rest.rpartition('/')[2]}?target_session_attrs={wanted}"


@pytest.fixture(scope="module")
def copied(postgres: Postgres) -> Iterator[Postgres]:
    """A standby of the run's cluster."""
    with scratch() as directory:
        directory.chmod(0o755)
        server = standby_of(postgres, directory / "standby")
        yield server
        server.stop()


@pytest.fixture
def following(copied: Postgres, postgres: Postgres, database: str) -> Postgres:
    """That standby, once it has the test's database."""
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{postgres.sql('SELECT pg_current_wal_lsn()')}'"
    end = time.monotonic() + 60
    while copied.sql(reached) != "t":
        assert time.monotonic() < end
        time.sleep(0.05)
    return copied


@pytest.mark.parametrize("black", ["silent", "dropping"])
async def test_pool_leaves_a_host_that_does_not_answer(
    black: str, database: str, postgres: Postgres, following: Postgres, request: pytest.FixtureRequest
) -> None:
    """A black hole first, a standby second: the primary is last."""
    dsn = through(database, request.getfixturevalue(black), following.port, postgres.port)
    async with await open_pool(dsn, "test", 2) as pool:
        begun = time.monotonic()
        async with pool.acquire() as connection:
            assert not await connection.fetchval("SELECT pg_is_in_recovery()")
        assert time.monotonic() - begun < QUICK_SECONDS


async def test_command_and_migration_leave_a_host_that_does_not_answer(
    database: str, postgres: Postgres, following: Postgres, silent: int, dropping: int
) -> None:
    dsn = through(database, silent, dropping, following.port, postgres.port)
    begun = time.monotonic()
    connection = await connect(dsn)
    assert not await connection.fetchval("SELECT pg_is_in_recovery()")
    await connection.close()
    assert time.monotonic() - begun < 2 * QUICK_SECONDS
    await asyncio.to_thread(migrate, dsn)
    assert time.monotonic() - begun < 10


async def test_one_silent_host_is_away_after_a_second(database: str, silent: int) -> None:
    async with await open_pool(through(database, silent), "test", 1) as pool:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with pool.acquire():
                pass
        assert 0.9 < time.monotonic() - begun < 1.5


async def test_host_that_answers_first_is_not_raced_and_one_that_came_second_is_ended(
    database: str, postgres: Postgres, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'raced'"
    dsn = through(database, postgres.port, postgres.port, postgres.port, wanted="any")
    settings = {"application_name": "raced"}
    alone = await reach(dsn, 1.0, server_settings=settings)
    assert await connection.fetchval(name) == 1
    monkeypatch.setattr(db, "NEXT_HOST_SECONDS", 0.0)  # all of them, side by side
    second = await reach(dsn, 1.0, server_settings=settings)

    async def two() -> bool:
        return await connection.fetchval(name) == 2

    await eventually(two, 5)
    await alone.close()
    await second.close()


async def test_standby_is_never_taken_for_the_primary(database: str, following: Postgres, silent: int) -> None:
    """Nor does anybody wait longer than for the silent host to be told."""
    begun = time.monotonic()
    with pytest.raises(NoPrimaryError, match="target_session_attrs=primary"):
        await reach(through(database, silent, following.port), 1.0)
    assert time.monotonic() - begun < 1.5


async def test_wrong_password_is_said_though_another_host_is_away(database: str, postgres: Postgres) -> None:
    dsn = through(database.replace("landfall:", "landfall:wrong"), postgres.port, free_port())
    with pytest.raises(asyncpg.InvalidPasswordError):
        await reach(dsn, 1.0)


async def test_connections_that_were_idle_in_the_pool_of_a_frozen_server_cost_one_wait_together(
    database: str, postgres: Postgres, tmp_path: Path
) -> None:
    async with (
        FaultProxy.to(database) as first,
        await open_pool(through(database, first.port, postgres.port), "test", 5, statement_seconds=1) as pool,
    ):

        async def ask() -> int:
            async with pool.acquire() as connection:
                await connection.execute("SELECT pg_sleep(0.1)")
                pid: int = connection.get_server_pid()
                return pid

        assert len(set(await asyncio.gather(*(ask() for _ in range(5))))) == 5
        await first.become(Blackhole())
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await ask()
        for _ in range(5):
            await ask()
        assert time.monotonic() - begun < 2.5


async def test_host_list_is_read_as_the_driver_reads_it() -> None:
    assert hosts("postgresql://u:p%2C@a/d?x=y") == ["postgresql://u:p%2C@a/d?x=y"]
    assert hosts("postgresql://u:p@a:1,b,[::1]:3/d?x=y") == [
        f"postgresql://u:p@{host}/d?x=y" for host in ("a:1", "b", "[::1]:3")
    ]
    assert hosts("postgresql:///d") == ["postgresql:///d"]
    for dsn in (
        "postgresql://u@/d?host=a,%2Frun%2Fpg&port=1,2&target_session_attrs=primary",
        "postgresql://u@/d?target_session_attrs=primary&host=a:1,b:2",
    ):
        assert len(hosts(dsn)) == 2
        for single in hosts(dsn):
            assert "target_session_attrs=primary" in single
            assert "," not in single
    assert db.wanted_server("postgresql://a,b/d") == "any"
    assert db.wanted_server("postgresql://a,b/d?target_session_attrs=read-write") == "read-write"


async def test_server_that_freezes_while_a_connection_is_given_back_is_given_up_without_a_word_too_many(
    database: str, postgres: Postgres
) -> None:
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with (
        FaultProxy.to(database) as first,
        await open_pool(through(database, first.port, postgres.port), "test", 2, statement_seconds=1) as pool,
    ):

        async def freeze_before_the_end() -> None:
            async with asyncio.timeout(0.5), pool.acquire() as connection:
                await connection.execute("SELECT 1")
                await first.become(Blackhole())

        with pytest.raises(TimeoutError):
            await freeze_before_the_end()
        begun = time.monotonic()
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert time.monotonic() - begun < QUICK_SECONDS
        await asyncio.sleep(1.5)
        gc.collect()
        await asyncio.sleep(0)
    assert said == []


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://u:canary@h/d",
        "postgresql://u:canary@h1,h2:x/d",
        "postgresql://u:canary@[::1/d",
        "postgresql://u:canary@h1,h2/d?target_session_attrs=primry",
        "postgresql://u:canary@/d?host=h1,h2&port=x",
    ],
)
async def test_address_that_cannot_be_read_is_said_without_its_password(dsn: str) -> None:
    with pytest.raises(AddressError) as caught:
        await reach(dsn, 1.0)
    assert "canary" not in str(caught.value)
    code, said = await command(dsn, "doctor")
    assert code == 1
    assert "DATABASE_URL" in said
    assert "canary" not in said


async def test_query_with_several_hosts_is_reached(database: str, postgres: Postgres, silent: int) -> None:
    login, _, _ = database.rpartition("@")
    name = database.rpartition("/")[2]
    dsn = f"{login}@/{name}?host=127.0.0.1,127.0.0.1&port={silent},{postgres.port}&target_session_attrs=primary"
    opened = await reach(dsn, 1.0)
    assert await opened.fetchval("SELECT current_database()") == name
    await opened.close()


@pytest.fixture
async def pair(own_postgres: Postgres) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """A primary whose commits wait for its standby, and that standby."""
    with scratch() as directory:
        directory.chmod(0o755)
        standby = await asyncio.to_thread(standby_of, own_postgres, directory / "second", "second")
        own_postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()")
        yield own_postgres, standby
        standby.kill()


async def test_b4_leader_that_freezes_under_load_is_left_and_nothing_acknowledged_is_lost(
    pair: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    """The frozen one stands first in the address, and none of its connections is ever ended."""
    leader, standby = pair
    dsn = through(leader.dsn(), leader.port, standby.port)
    service = Service(dsn, None, tmp_path)
    await service.start()
    stopped = []
    try:
        oracle, stop = Oracle(service), asyncio.Event()
        load = asyncio.create_task(oracle.load(itertools.count(), stop, 8))

        async def more(than: int = 50) -> bool:
            return len(oracle.acked) > than

        await eventually(more)
        stopped = freeze(leader.pid)
        await asyncio.sleep(3)
        before = len(oracle.acked)
        standby.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_promote()")
        begun = time.monotonic()
        await eventually(lambda: more(before + 50), 15)
        healed = time.monotonic() - begun
        stop.set()
        await load
        assert healed < 10, "a second for the pool's wait, and the head start of the frozen host"
        assert oracle.slowest < 5
        await oracle.redeliver()
        connection = await asyncpg.connect(standby.dsn())
        await oracle.check(connection)
        await drained(connection, 45)
        assert await connection.fetchval("SELECT count(*) FROM ig_comments") == len(oracle.acked)
        await connection.close()
    finally:
        await service.stop()
        thaw(stopped)


async def findings(dsn: str, **environ: str) -> dict[str, dict[str, str]]:
    _, output = await command(dsn, "doctor", "--json", **environ)
    return {finding["about"]: finding for finding in json.loads(output)}


async def test_doctor_calls_a_synchronous_pair_sound_and_a_standby_a_fault(pair: tuple[Postgres, Postgres]) -> None:
    leader, standby = pair
    leader.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    assert "none of them synchronous" in (await findings(leader.dsn()))["replication"]["message"]
    leader.sql("ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()")
    found = await findings(through(leader.dsn(), standby.port, leader.port))
    assert found["replication"]["level"] == "ok"
    assert "not shown to this login" in found["replication"]["message"]
    assert "hosts" not in found
    leader.sql("GRANT pg_read_all_stats TO landfall_app")
    assert (await findings(leader.dsn()))["replication"]["message"] == "1 synchronous standbys are connected"

    async def told() -> bool:
        return (await findings(standby.dsn()))["replication"]["level"] == "fault"

    await eventually(told, 20)
    there = (await findings(standby.dsn()))["replication"]
    assert there["message"].startswith("this server is a standby")
    assert "target_session_attrs=primary" in there["remedy"]
    several = await findings(through(leader.dsn(), leader.port, standby.port, wanted="any"))
    assert several["hosts"]["level"] == "warning"
    nobody = await findings(through(standby.dsn(), standby.port))
    assert "NoPrimaryError" in nobody["postgresql"]["message"]
    await asyncio.to_thread(standby.stop)

    async def missed() -> bool:
        return (await findings(leader.dsn()))["replication"]["level"] == "fault"

    await eventually(missed, 20)
    leader.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
