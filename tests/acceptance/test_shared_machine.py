"""What another account of the same machine gets out of `make up` and the commands: nothing it could use."""

import asyncio
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
import redis

from ops.access import api_keys, users
from ops.access.audit_log_store import COMMAND
from ops.cli.stack import Unusable, stack
from ops.runtime.db import open_pool
from ops.runtime.embedded import OWNER, Postgres, Redis, StartError, free_port, scratch
from ops.runtime.files import UnsafePathError
from ops.runtime.worker_listener import listen, open_redis, redis_settings
from ops.runtime.worker_notifier import open_notifier
from schema.jobs import PROJECT_EVENTS
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.support import Process, eventually, not_checked

ROOT = os.geteuid() == 0
PROC = Path("/proc/self/cmdline").exists()


def environment(**more: str) -> dict[str, str]:
    ports = {"LANDFALL_HTTP_PORT": str(free_port()), "LANDFALL_METRICS_PORT": str(free_port())}
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANDFALL_LOG_LEVEL": "warning", **ports, **more}


# --- Redis

LONG = "a-folder-with-a-name-that-takes-its-share-of-the-hundred-and-seven-bytes-that-the-path-of-a-socket-may-have"


@pytest.fixture(params=["socket", "port"])
def valkey(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """In a folder that a socket fits into, and in one that is too deep for it."""
    with scratch() as directory:
        server = Redis.at((directory if request.param == "socket" else directory / LONG) / "redis")
        server.start()
        yield server
        server.stop()


def listening(pid: int) -> list[int]:
    return [found.laddr.port for found in psutil.Process(pid).net_connections("tcp") if found.status == "LISTEN"]


def test_redis_can_be_reached_by_its_own_account_only(valkey: Redis) -> None:
    if valkey.socket is None:
        assert listening(valkey.pid) == [valkey.port]
    else:
        assert listening(valkey.pid) == []
        assert stat.S_IMODE(valkey.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(valkey.socket.stat().st_mode) & 0o077 == 0


COMMANDS = (
    *("CONFIG SET dir /etc", "CONFIG SET dbfilename x", "CONFIG GET *", "CONFIG REWRITE", "SAVE", "BGSAVE"),
    *("BGREWRITEAOF", "SLAVEOF 127.0.0.1 1", "REPLICAOF 127.0.0.1 1", "MODULE LOAD /tmp/x.so", "MODULE LIST"),
    *("DEBUG SLEEP 0", "SHUTDOWN NOSAVE", "EVAL return(1) 0", "EVALSHA 0 0", "SCRIPT LOAD return(1)", "FUNCTION LIST"),
    *("FCALL x 0", "MIGRATE 127.0.0.1 1 k 0 10", "FAILOVER", "ACL LIST", "ACL SETUSER x on", "MONITOR", "PSYNC ? -1"),
    *("CLIENT LIST", "FLUSHALL", "KEYS *", "CLUSTER INFO", "LATENCY DOCTOR"),
)


@pytest.mark.parametrize("login", ["nobody", "Landfall"])
def test_redis_writes_no_file_and_runs_no_code_for_whoever_reaches_it(valkey: Redis, login: str) -> None:
    """What an attacker tells a server: write a file where this account may, load what I wrote, take this for data."""
    known = {path for path in valkey.directory.rglob("*") if path.name != "server.log"}
    address = valkey.url if login == "Landfall" else re.sub(r"//[^@]*@", "//", valkey.url)
    with redis.Redis.from_url(address) as client:
        for command in COMMANDS:
            with pytest.raises(redis.RedisError) as refused:
                client.execute_command(*command.split())
            assert re.search("permission|not allowed|Authentication|WRONGPASS", str(refused.value)), command
    assert valkey.running
    assert {path for path in valkey.directory.rglob("*") if path.name != "server.log"} == known


def test_no_server_stays_root(valkey: Redis, postgres: Postgres) -> None:
    if not ROOT:
        not_checked("only root has an account to leave")
    for server in (valkey, postgres):
        assert set(psutil.Process(server.pid).uids()) & {0} == set()


async def test_worker_is_notified_at_every_form_of_address(valkey: Redis) -> None:
    heard = asyncio.Event()

    async def job() -> None:
        heard.set()

    for number in (0, 3):
        address = valkey.address(database=number)
        task = asyncio.create_task(listen(address, {PROJECT_EVENTS: job}, 1))
        notifier = open_notifier(address)
        heard.clear()
        notifier.notify()
        await asyncio.wait_for(heard.wait(), 10)
        await notifier.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        opened = await open_redis(address)
        assert opened.connection_pool.connection_kwargs["db"] == number
        await opened.aclose()


def test_address_of_redis_is_read_whole() -> None:
    found = redis_settings("unix://us%40er:pa%2Fss@/run/a%20b/redis.sock?db=3")
    assert (found.unix_socket_path, found.database) == ("/run/a b/redis.sock", 3)
    assert (found.username, found.password) == ("us@er", "pa/ss")
    found = redis_settings("unix:///run/redis.sock")
    assert (found.unix_socket_path, found.database, found.password) == ("/run/redis.sock", 0, None)
    found = redis_settings("rediss://u:p%40@h:7000/2")
    assert (found.host, found.port, found.database, found.ssl) == ("h", 7000, 2, True)
    assert (found.username, found.password) == ("u", "p@")
    found = redis_settings("redis://:p@h?db=4")
    assert (found.host, found.port, found.database, found.ssl, found.password) == ("h", 6379, 4, False, "p")
    with pytest.raises(ValueError, match="does not begin with"):
        redis_settings("http://h")
    for wrong in ("redis://h:port/0", "redis://:p/w@h:6379/0", "redis://h:99999"):
        with pytest.raises(ValueError, match="port is no number"):
            redis_settings(wrong)
    with pytest.raises(ValueError, match="database is no number"):
        redis_settings("redis://h/first")


def test_somebody_who_took_the_port_is_not_taken_for_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told no password."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]

        def take() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = squatter.accept()
                    connection.settimeout(1)
                    told.append(connection.recv(1000))
                    connection.sendall(b"+PONG\r\n")

        threading.Thread(target=take, daemon=True).start()
        monkeypatch.setattr("ops.runtime.embedded.free_port", lambda _=0: port)
        server = Redis.at(tmp_path / LONG / "redis")
        with pytest.raises(StartError):
            server.start()
    assert told == []


async def test_port_that_is_taken_while_the_sandbox_starts_is_left_to_whoever_took_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        monkeypatch.setattr("ops.cli.stack.free_port", lambda preferred=0: port if preferred == 8090 else free_port())
        async with stack(tmp_path / "data", environment()) as running:
            assert running.sandbox_port != port
            async with aiohttp.ClientSession() as http, http.get(f"{running.sandbox}/") as response:
                assert response.status == 200


# --- arguments


@contextmanager
def watched() -> Iterator[dict[str, str]]:
    """Every argument of every process of the machine, by pid and argument, as long as this lasts."""
    seen: dict[str, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):  # what is looked for lives longer, and needs the processor too
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    with suppress(OSError):
                        text = (process / "cmdline").read_bytes().decode(errors="replace")
                        seen[f"{process.name} {text}"] = text

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def told(seen: dict[str, str], secrets: list[str]) -> list[str]:
    assert all(len(secret) > 8 for secret in secrets)
    return [text for text in seen.values() if any(secret in text for secret in secrets)]


async def test_no_process_has_a_secret_among_its_arguments(tmp_path: Path) -> None:
    """While everything starts, while SQL is run as superuser, and while every kind of command is used."""
    if not PROC:
        not_checked("arguments are looked at in /proc")
    word = "correct horse battery"
    with watched() as seen:
        async with stack(tmp_path / "data", environment()) as running:
            made = json.loads((tmp_path / "data" / "secrets.json").read_text())
            password = (tmp_path / "data" / "postgres" / "password").read_text()
            postgres = Postgres.at(tmp_path / "data" / "postgres")
            postgres.password, postgres.port = password, int(re.findall(r":(\d+)/", running.dsn)[0])
            for _ in range(5):
                await asyncio.to_thread(postgres.sql, "SELECT 1", "ALTER ROLE landfall PASSWORD '" + password + "'")
            shared = {**environment(), **running.environment}
            for arguments, given in (
                (("user", "add", "a@example.org", "--password-file", "-"), word),
                (("user", "add", "b@example.org"), f"{word}\n{word}\n"),
                (("key", "create", "k"), ""),
                (("doctor",), ""),
                (("vault", "status"), ""),
                (("connections", "list"), ""),
            ):
                done = await asyncio.to_thread(
                    subprocess.run, [sys.executable, "-m", "ops.cli.main", *arguments], env=shared, input=given,
                    capture_output=True, text=True, check=False, cwd="/",
                )  # fmt: skip
                assert done.returncode == 0, done.stdout + done.stderr
            urls = [running.environment["REDIS_URL"], running.dsn]
            login = [re.findall(r"//\w+:([^@]+)@", url)[0] for url in urls]
    made_here = made.pop("databases")["of its own"]
    let_in = [made_here["key"], made_here["password"]]
    secrets = [*made.pop("logins").values(), *made.values(), *let_in, password, word, *login]
    assert any("postgres" in text for text in seen.values())
    assert told(seen, secrets) == []


async def test_what_up_prints_to_be_typed_has_no_secret_among_its_arguments(tmp_path: Path) -> None:
    running = await Process(
        ("up", "--directory", str(tmp_path / "data"), "--pace", "0"),
        environment(),
        tmp_path / "up.log",
    ).start()

    async def announced() -> bool:
        assert running.running, running.output()
        return "Ctrl-C stops everything" in running.output()

    try:
        await eventually(announced, 60)
        lines = running.output().splitlines()
        [database, reader] = [line[12:].strip() for line in lines if "psql" in line]
        [connect] = [line.partition("connect")[2].strip() for line in lines if "curl" in line]
        password, _, typed = database.partition(" ")
        assert password.startswith("PGPASSWORD=")
        assert password.removeprefix("PGPASSWORD=") not in typed
        assert re.fullmatch(r"psql postgresql://landfall@127\.0\.0\.1:\d+/landfall", typed)
        reader, _, other = reader.partition("  or ")
        assert other == "./landfall sql"
        word, _, typed = reader.partition(" ")
        assert re.fullmatch(r"psql postgresql://landfall_read@127\.0\.0\.1:\d+/landfall", typed)
        dsn = typed.split()[1].replace("@", f":{word.removeprefix('PGPASSWORD=')}@")
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT count(*) FROM ig_comments") is not None
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM public.connection_secrets")
        await connection.close()
        header = Path(connect.split()[2].removeprefix("@"))
        assert mode(header) == 0o600
        assert "lf_" not in connect
        name, _, value = content(header).strip().partition(": ")
        async with aiohttp.ClientSession() as http, http.get(connect.split()[3], headers={name: value}) as response:
            assert response.status == 201
    finally:
        running.signal(signal.SIGTERM)
        assert running.child is not None
        await asyncio.wait_for(running.child.wait(), 30)


# --- files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def content(path: Path) -> str:
    return path.read_text()


def modes(directory: Path) -> dict[str, int]:
    found = {str(path.relative_to(directory)): path.lstat() for path in (directory, *directory.rglob("*"))}
    return {name: stat.S_IMODE(found.st_mode) for name, found in found.items() if not stat.S_ISLNK(found.st_mode)}


async def test_nothing_of_it_can_be_read_by_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with stack(tmp_path / "data", environment()):
            found = modes(tmp_path / "data")
    finally:
        os.umask(before)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o007} == {}
    assert {
        name: oct(mode) for name, mode in found.items() if mode & 0o060 and not name.startswith("postgres/data")
    } == {}
    if not ROOT:
        assert {name: oct(mode) for name, mode in found.items() if mode & 0o070} == {}
    for name in ("web.log", "worker.log", "sandbox.log", "secrets.json", "postgres/password", "redis/server.conf"):
        assert found[name] == 0o600, name


@pytest.mark.parametrize(
    "planted", ["lock", "web.log", "sandbox.log", "secrets.json", "postgres/server.log", "redis/server.log"]
)
async def test_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, planted: str) -> None:
    """Whoever could write there before could have anything overwritten, or handed to a server's account."""
    target = tmp_path / "target"
    target.write_text("{}")
    target.chmod(0o644)
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "lock").touch()
    path = directory / planted
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    with pytest.raises(UnsafePathError, match="remove it"):
        async with stack(directory, environment()):
            pass
    assert target.read_text() == "{}"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_link_that_a_server_planted_hands_nothing_to_it() -> None:
    """The server's account owns its data: at the next start it must not be given what it points at there."""
    if not ROOT:
        not_checked("only root hands anything over")
    with scratch() as directory:
        directory.chmod(0o755)
        mine = directory / "mine"
        mine.write_text("root's")
        server = Postgres.at(directory / "pg")
        server.start()
        server.stop()
        (server.data / "link").symlink_to(mine)
        server.start()
        server.stop()
        assert mine.stat().st_uid == 0


async def test_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    if not ROOT:
        not_checked("only root can make a folder somebody else's")
    directory = tmp_path / "data"
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    with pytest.raises(UnsafePathError, match="not a folder of this account"):
        async with stack(directory, environment()):
            pass
    link = tmp_path / "link"
    (tmp_path / "elsewhere").mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError, match="not a folder of this account"):
        async with stack(link, environment()):
            pass


async def test_folder_with_other_files_is_left_as_it_is(shared: Path) -> None:
    with pytest.raises(Unusable, match="holds other files"):
        async with stack(shared, environment()):
            pass
    assert mode(shared) == 0o755


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "letter.txt").write_text("mine")
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    found = pwd.getpwnam("nobody")
    try:
        subprocess.run([sys.executable, "-c", ""], user=found.pw_uid, check=True)
    except PermissionError:
        not_checked(f"no other account can run {sys.executable}, so nothing was started as one")
    return found


async def test_ordinary_account_can_start_and_stop_it(nobody: pwd.struct_passwd) -> None:
    if not ROOT:
        not_checked("it is what every other test here is, where we are not root")
    with scratch() as directory:
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        command = [sys.executable, "-m", "ops.cli.main", "up", "--directory", str(directory / "data"), "--for", "1"]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment(), cwd=directory,
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the data is kept" in done.stdout
        assert modes(directory / "data")["."] == 0o700


# --- a database that somebody named


async def refused(tmp_path: Path, dsn: str) -> str:
    with pytest.raises(Unusable) as error:
        async with stack(tmp_path / "data", environment(DATABASE_URL=dsn)):
            pass
    return str(error.value)


async def holds(dsn: str) -> dict[str, int]:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    tables = ("users", "api_keys", "webhook_event_log", "webhook_deliveries")
    found = {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    await connection.close()
    return found


async def test_up_puts_nothing_into_a_database_that_is_in_use(tmp_path: Path, database: str) -> None:
    """The one of .env, most likely: on this machine, and called as ours are."""
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        await users.add(pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "owner", COMMAND)
    before = await holds(database)
    said = await refused(tmp_path, database)
    assert "it is in use: users hold something" in said
    for advice in ("Unset DATABASE_URL", ".env", "`landfall migrate`, `serve` and `work`"):
        assert advice in said
    assert await holds(database) == before


async def test_up_and_reset_leave_a_database_alone_that_is_not_ours(tmp_path: Path, postgres: Postgres) -> None:
    for name, sql, reason in (
        ("somebodys_shop", "SELECT 1", "it is called somebodys_shop"),
        ("landfall_test_shop", "CREATE TABLE invoices (id int)", "tables that are not Landfall's: invoices"),
    ):
        postgres.sql(f"CREATE DATABASE {name} OWNER {OWNER}")
        postgres.sql(sql, database=name)
        tables = postgres.sql("SELECT count(*) FROM pg_tables", database=name)
        assert reason in await refused(tmp_path, postgres.dsn(name))
        assert postgres.sql("SELECT count(*) FROM pg_tables", database=name) == tables
        postgres.sql(f"DROP DATABASE {name}")


@pytest.mark.usefixtures("forked_stack")
async def test_up_goes_on_with_an_empty_database_and_with_one_that_it_made(tmp_path: Path, database: str) -> None:
    async with stack(tmp_path / "data", environment(DATABASE_URL=database)) as first:
        key, password = first.api_key, first.password
    async with stack(tmp_path / "data", environment(DATABASE_URL=database)) as second:
        assert (second.api_key, second.password) == (key, password)
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        assert await api_keys.authenticate(pool, key, None) is not None
    with pytest.raises(Unusable, match="did not put it there from this folder"):
        async with stack(tmp_path / "another", environment(DATABASE_URL=database)):
            pass
    assert (await holds(database))["users"] == 1


@pytest.mark.usefixtures("forked_stack")
async def test_each_database_of_one_folder_has_a_key_of_its_own(tmp_path: Path, database: str) -> None:
    async with stack(tmp_path / "data", environment()) as own:
        first = own.api_key
    async with stack(tmp_path / "data", environment(DATABASE_URL=database)) as other:
        assert other.api_key != first
    (tmp_path / "data" / "secrets.json").unlink()
    async with (
        stack(tmp_path / "data", environment()) as again,
        await open_pool(again.dsn, "test", 1, role=APP_ROLE) as pool,
    ):
        assert again.api_key != first
        assert await api_keys.authenticate(pool, again.api_key, None) is not None


ELSEWHERE: list[tuple[str, dict[str, str]]] = [
    ("postgresql://u:p@db.example.org/landfall", {}),
    ("postgresql://u:p@127.0.0.1,db.example.org/landfall", {}),
    ("postgresql:///landfall?host=db.example.org", {}),
    ("postgresql://u:p@localhost/landfall?host=db.example.org", {}),
    ("postgresql://u:p@db.example.org@localhost/landfall", {}),
    ("postgresql:///landfall", {"PGHOST": "db.example.org"}),
    ("postgresql:///landfall?service=production", {}),
    ("postgresql:///landfall", {"PGSERVICE": "production"}),
]
HERE: list[tuple[str, dict[str, str]]] = [
    ("postgresql://u:p@127.0.0.1:5432/landfall", {"PGHOST": "db.example.org"}),
    ("postgresql://u:p@[::1]:5432/landfall", {}),
    ("postgresql://u@localhost,127.0.0.1:5433/landfall", {}),
    ("postgresql:///landfall", {}),
    ("postgresql:///landfall?host=/run/postgresql", {}),
    ("postgresql://%2Frun%2Fpostgresql/landfall", {}),
]


@pytest.mark.parametrize(
    ("dsn", "environ", "here"), [*((*x, False) for x in ELSEWHERE), *((*x, True) for x in HERE)], ids=str
)
def test_server_elsewhere_is_known_by_every_way_of_naming_it(dsn: str, environ: dict[str, Any], *, here: bool) -> None:
    from ops.cli.db import on_this_machine

    assert on_this_machine(dsn, environ) is here
