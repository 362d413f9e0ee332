"""What becomes of the PostgreSQL and the Redis of `make up` when whoever started them is killed."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from ops.runtime.embedded import Postgres, Redis, scratch
from tests.support import not_checked

ROOT = Path(__file__).parents[4]

pytestmark = pytest.mark.server

HOLD = """
import os, sys, time
from pathlib import Path
from ops.runtime.embedded import Postgres, Redis

for call, number in zip((os.setgid, os.setuid), map(int, sys.argv[1:])):
    os.setgroups([])
    call(number)
for server in (Postgres.at(Path("postgres")), Redis.at(Path("redis"))):
    server.start()
print("started", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(directory: Path, account: pwd.struct_passwd | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has started both servers in ``directory``; all that it started is gone afterwards."""
    # It becomes that account when it has been imported: the account may have no way to this Python.
    become = [] if account is None else [str(account.pw_gid), str(account.pw_uid)]
    command = [sys.executable, "-c", HOLD, *become]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=directory, env=environ)
    assert process.stdout is not None
    children: list[psutil.Process] = []
    try:
        assert process.stdout.readline() == b"started\n"
        children = psutil.Process(process.pid).children(recursive=True)
        yield process
    finally:
        process.kill()
        process.wait()
        for child in running(children):
            child.kill()
        process.stdout.close()


def below(process: subprocess.Popen[bytes]) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The servers with their own processes, and the watchers beside them."""
    children = psutil.Process(process.pid).children(recursive=True)
    watchers = [child for child in children if child.name() == "sh"]
    return [child for child in children if child not in watchers], watchers


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def ended(processes: list[psutil.Process], seconds: float = 15.0) -> bool:
    """Whether all of them end in that time."""
    end = time.monotonic() + seconds
    while running(processes) and time.monotonic() < end:
        time.sleep(0.05)
    return not running(processes)


def log_of(directory: Path) -> str:
    return (directory / "postgres" / "server.log").read_text()


@pytest.mark.parametrize("account", ["this account", "an account without rights"])
def test_servers_end_as_if_asked_to_when_whoever_started_them_is_killed(account: str) -> None:
    other = None
    with scratch() as directory:
        if account == "an account without rights":
            if os.geteuid() != 0:
                not_checked("only root can start something as another account; the one of this run has no rights")
            other = pwd.getpwnam("nobody")
            os.chown(directory, other.pw_uid, other.pw_gid)
        with holder(directory, other) as process:
            servers, watchers = below(process)
            assert {each.name() for each in servers} >= {"postgres", "valkey-server"}
            assert len(watchers) == 2
            process.kill()
            assert ended([*servers, *watchers])
        assert "database system is shut down" in log_of(directory)


def test_servers_that_outlived_their_parent_are_ended_by_the_next_start() -> None:
    with scratch() as directory, holder(directory) as process:
        servers, watchers = below(process)
        for watcher in watchers:
            watcher.kill()
        process.kill()
        assert running(servers) == servers
        postgres, valkey = Postgres.at(directory / "postgres"), Redis.at(directory / "redis")
        try:
            postgres.start()
            valkey.start()
            assert running(servers) == []
            assert "database system is shut down" in log_of(directory)
            assert postgres.sql("SELECT 1") == "1"
            with redis.Redis.from_url(valkey.url) as client:
                assert client.ping()
        finally:
            postgres.stop()
            valkey.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_stays_of_a_server_that_has_ended(end: str) -> None:
    before = psutil.Process().children()
    with scratch() as directory:
        server = Redis.at(directory / "redis")
        server.start()
        assert len(psutil.Process().children()) == len(before) + 2, "the server and its watcher"
        getattr(server, end)()
        assert psutil.Process().children() == before
