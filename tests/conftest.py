"""Real servers for every test that needs one: a throw-away PostgreSQL cluster and Redis per run."""

import asyncio
import gc
import itertools
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from argon2 import PasswordHasher
from selenium import webdriver

from ops.access import passwords, users
from ops.cli import stack
from ops.cli.migrate import migrate
from ops.runtime import embedded, logs
from ops.runtime.embedded import Postgres, Redis, Server, free_port, scratch
from ops.runtime.embedded import redis_server as redis_server_program
from schema.tenancy import DEFAULT_TENANT
from tests import fork_server
from tests.compose import REDIS_PASSWORD, SERVICES, substituted
from tests.databases import Databases
from tests.posting import Posting, posting
from tests.rig import TESTS, Rig, rigged
from tests.support import ForkedServer, Process, Service, breakable_redis, breaking, eventually, required_program

logs.configure("error")

# What was imported and collected is a million objects that live to the end of the run. By default the collector walks
# through all of them again and again, for the few cycles that a test leaves: a tenth of the time of the whole suite.
gc.set_threshold(20_000, 10, 20)

ROOT = Path(__file__).parents[1]


STARTED = {"postgres", "migrated_cluster", "redis_server", "locked_redis", "chromium", "own_redis", "spawned"}
"""The fixtures that start a server, or put an end to one. A test that starts one by itself is marked ``server``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run only the tests that need no server")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The slow faults take minutes, and programs that not every machine has: only `make chaos` asks for them.

    Tests of the whole program start it, whatever fixtures they have: `make quick` leaves their folders out.
    """
    if config.getoption("quick") and collection_path.name in ("acceptance", "faults"):
        return True
    return True if collection_path.name == "chaos" and not any("chaos" in arg for arg in config.args) else None


def needs_server(item: pytest.Item) -> bool:
    return "server" in item.keywords or (isinstance(item, pytest.Function) and bool(STARTED & set(item.fixturenames)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        config.hook.pytest_deselected(items=[item for item in items if needs_server(item)])
        items[:] = [item for item in items if not needs_server(item)]
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = distributed(items, workers)


SLOW = ("tests/faults", "tests/acceptance", "tests/migration")
"""Folders whose tests wait or start processes. They come first, so that no worker is left with them at the end."""


def distributed(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order tests so that equal parts of them, one for each worker, begin with a share of the slow files each.

    The tests of a file stay together, as they share servers.
    """
    files = [list(group) for _, group in itertools.groupby(items, lambda item: item.path)]
    parts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    slow = [file for file in files if file[0].path.relative_to(ROOT).as_posix().startswith(SLOW)]
    for number, file in enumerate(slow):
        parts[number % workers] += file
    for file in (file for file in files if file not in slow):
        min(parts, key=len).extend(file)
    return [item for part in parts for item in part]


@pytest.fixture(scope="session", autouse=True)
def no_server_when_quick(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail whoever starts a server under ``--quick``."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("`make quick` starts no server: mark this test `server`, or add its fixture to STARTED")

    with pytest.MonkeyPatch.context() as patched:
        if pytestconfig.getoption("quick"):
            patched.setattr(Server, "spawn", refuse)
        yield


@pytest.fixture(scope="session", autouse=True)
def without_name_server() -> Iterator[None]:
    """Resolve addresses and localhost; no server is asked for any other name, which is unknown at once.

    What a machine's name server says, and how long it takes, decides no test.
    """
    resolve = socket.getaddrinfo

    def resolver(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        if isinstance(host, str) and host.rstrip(".").lower() == "localhost":
            return resolve("localhost", port, family, type, proto, flags)
        return resolve(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolver)
        yield


@pytest.fixture(scope="session", autouse=True)
def fork_server_of_its_own() -> Iterator[None]:
    """End the process that `landfall` commands are forked from, if a test has started it."""
    yield
    fork_server.stop()


USUAL_PORTS = (5432, 8080, 8090, 9464)
PORTS_APART = 200
PORTS_OF_TESTS = range(10_000, 20_000)
"""Below those that a started `make up` chooses from by itself."""


@pytest.fixture(scope="session", autouse=True)
def ports_of_its_own(worker_id: str) -> Iterator[None]:
    """Give each process of the run ports that no other one takes between choosing a port and listening there.

    `make up` prefers usual ports, which are others in each process: a second start finds the first one's free again.
    """
    number = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    apart = PORTS_APART * (1 + number)
    of_all = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

    def own_port(preferred: int = 0) -> int:
        return free_port(preferred + apart if preferred in USUAL_PORTS else preferred)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stack, "free_port", own_port)
        patched.setattr(embedded, "other_ports", itertools.cycle(PORTS_OF_TESTS[number::of_all]))
        yield


@pytest.fixture(autouse=True)
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords with little memory: tests log in thousands of times, and few of them are about what that costs."""
    if "hash_cost" not in request.keywords:
        monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for the run, with durability on: crash tests make their own.

    In memory where there is enough: every test gets a database of its own, and making those is a third of the run.
    """
    with scratch(MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH else None) as directory:
        directory.chmod(0o755)
        # Each database that is made or dropped looks through all buffers: there are not more than tests need.
        settings = {"max_connections": "200", "max_wal_size": "512MB", "shared_buffers": "64MB"}
        # Tests open many thousands of connections, and none is about how long a password withstands guessing.
        settings |= {"scram_iterations": "1"}
        # Tests hold locks and look at plans: nothing that comes once a minute is to take part.
        settings |= {"autovacuum": "off"}
        server = Postgres.at(directory / "pg", settings=settings)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def migrated_cluster() -> Iterator[Postgres]:
    """A cluster at head, stopped: a test that needs one of its own copies it, which takes less than making it."""
    with scratch() as directory:
        directory.chmod(0o755)
        server = Postgres.at(directory / "pg")
        server.start()
        migrate(server.dsn())
        server.stop()
        server.log.unlink()
        yield server


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database at head, made once; tests get clones of it."""
    postgres.sql("CREATE DATABASE template_landfall OWNER landfall")
    migrate(postgres.dsn("template_landfall"))
    return "template_landfall"


_number = iter(range(10**6))


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """There may be several servers: a module may put another one in the place of the run's."""
    found = Databases()
    yield found
    found.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, postgres: Postgres, databases: Databases, template: str) -> Iterator[str]:
    """The DSN of a migrated database without rows of anybody.

    Others have used it before, and it was cleaned, except for the folders whose tests start processes, or change the
    schema: there a process that outlives its test must not find the database of the next one.
    """
    own = request.path.relative_to(ROOT).as_posix().startswith(SLOW)
    with (databases.fresh if own else databases.shared)(postgres, template) as name:
        yield postgres.dsn(name)


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection, for looking and arranging."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with scratch() as directory:
        server = breakable_redis(directory / "redis")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """A numbered database of the run's Redis, empty."""
    import redis

    number = next(_number) % 16
    with redis.Redis.from_url(breaking(redis_server, number)) as client:
        client.flushdb()
    return redis_server.address(database=number)


@pytest.fixture
async def locked_redis(tmp_path: Path) -> AsyncIterator[int]:
    """A Redis started by the very command of the compose file; its port."""
    from redis.asyncio import Redis as Connection
    from redis.exceptions import ConnectionError as NotYetError

    binary = redis_server_program()
    assert binary is not None
    place = tmp_path / "redis"
    place.mkdir()
    (place / "redis-server").symlink_to(binary)
    port = free_port()
    shell, option, script = SERVICES["redis"]["command"]
    settings = SERVICES["redis"]["environment"]
    environ = {name: substituted(text, {"REDIS_PASSWORD": REDIS_PASSWORD}) for name, text in settings.items()}
    script = substituted(script, {}).replace("maxclients", f"port {port}\nbind 127.0.0.1\nmaxclients")
    with (place / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(shell, option, script),
            env=environ | {"PATH": f"{place}:{os.environ['PATH']}"},
            cwd=place,
            stdout=log,
            stderr=log,
        )

    async def answers() -> bool:
        assert server.returncode is None, (place / "log").read_text()
        try:
            async with Connection.from_url(f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0") as client:
                return bool(await client.ping())
        except NotYetError:
            return False

    await eventually(answers)
    yield port
    server.terminate()
    await server.wait()


@pytest.fixture
async def service(database: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The web process and the worker, as real processes."""
    running = Service(database, redis_url, tmp_path)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def forked_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the web process, the worker and the sandbox of a stack in this process: three interpreters less to start."""
    monkeypatch.setattr(stack, "Server", ForkedServer)


@pytest.fixture
async def spawned() -> AsyncIterator[list[Process]]:
    """Put processes here and they are gone when the test is over."""
    processes: list[Process] = []
    yield processes
    await asyncio.gather(*(process.kill() for process in processes))


@pytest.fixture
async def rig(request: pytest.FixtureRequest, database: str, connection: asyncpg.Connection) -> AsyncIterator[Rig]:
    """Landfall and the sandbox, with the people of ``@pytest.mark.rig(password=…, members={email: role})``."""
    async with rigged(database, connection) as found:
        if marker := request.node.get_closest_marker("rig"):
            for email, role in marker.kwargs["members"].items():
                await users.add(found.pool, DEFAULT_TENANT, email, marker.kwargs["password"], role, TESTS)
        yield found


@pytest.fixture
async def publishing(rig: Rig) -> AsyncIterator[Posting]:
    """The rig with what publishes."""
    async with posting(rig) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """This machine's Chromium without a window, with a profile of its own."""
    program, driver = required_program("chromium", "chromium"), required_program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    root = ["--no-sandbox"] if os.getuid() == 0 else []  # as root its own sandbox does not start
    profile = tmp_path_factory.mktemp("chromium") / "profile"
    for argument in ("--headless=new", "--disable-dev-shm-usage", f"--user-data-dir={profile}", *root):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # With the driver's place given, selenium looks for none elsewhere.
    with webdriver.Chrome(options, webdriver.ChromeService(str(driver))) as found:
        yield found


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """That Chromium in a tab of this test, without what others left: cookies, pages, emulations, authenticators, logs.

    Its calls block: give them to a thread.
    """
    first = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    for left in ("Network.clearBrowserCookies", "Network.clearBrowserCache"):
        chromium.execute_cdp_cmd(left, {})
    chromium.get_log("browser")
    yield chromium
    for tab in chromium.window_handles:
        if tab != first:
            chromium.switch_to.window(tab)
            chromium.close()
    chromium.switch_to.window(first)
