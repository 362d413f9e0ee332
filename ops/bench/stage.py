"""The servers and processes that a measurement needs, and what they cost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ops.bench import load, traffic
from ops.bench.load import Order, Sent
from ops.cli.migrate import migrate
from ops.runtime.embedded import Postgres, Redis, free_port, scratch
from schema.crm import crm_tables

SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "track_commit_timestamp": "on", "max_connections": "60"}
START_SECONDS = 20.0
SETTLE_SECONDS = 120.0

_WAITING = "SELECT (SELECT count(*) FROM webhook_delivery_queue) + (SELECT count(*) FROM webhook_event_queue)"


@dataclass
class Stage:
    """A PostgreSQL and a Redis of the benchmark's own, and whatever is started on them."""

    directory: Path
    postgres: Postgres
    redis: Redis
    _started: ExitStack = field(default_factory=ExitStack)

    def start(self, *command: str, **environ: str) -> psutil.Popen:
        """A process of ours; it ends with the stage. Its log goes to a file, as in production."""
        with (self.directory / f"{len(list(self.directory.iterdir()))}.log").open("wb") as log:
            return self._spawn(command, environ, log, log)

    def start_piped(self, *command: str) -> psutil.Popen:
        """The same, for one whose output is its result."""
        return self._spawn(command, {"REDIS_URL": self.redis.url}, subprocess.PIPE, None)

    def _spawn(self, command: Sequence[str], environ: Mapping[str, str], out: Any, err: Any) -> psutil.Popen:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.postgres.dsn(),
            "META_APP_SECRET": traffic.SECRET,
            "TIKTOK_CLIENT_SECRET": traffic.SECRET,
            **environ,
        }
        process = psutil.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.callback(end, process)
        return process

    def serve(self, **environ: str) -> tuple[psutil.Popen, int]:
        """`landfall serve`; its process and port."""
        port = free_port()
        ports = {"LANDFALL_HTTP_PORT": str(port), "LANDFALL_METRICS_PORT": str(free_port())}
        process = self.start("ops.cli.main", "serve", **ports, **environ)
        await_port(port, process)
        return process, port

    def work(self, **environ: str) -> psutil.Popen:
        """`landfall work`."""
        port = free_port()
        own = {"REDIS_URL": self.redis.url, "LANDFALL_METRICS_PORT": str(port)}
        process = self.start("ops.cli.main", "work", **environ, **own)
        await_port(port, process)
        return process

    def bare(self) -> tuple[psutil.Popen, int]:
        """The empty handler; its process and port."""
        port = free_port()
        process = self.start("ops.bench.bare", str(port))
        await_port(port, process)
        return process, port

    def empty(self) -> None:
        """Nothing in the log, nothing in the tables."""
        self.postgres.sql(
            "TRUNCATE webhook_deliveries, webhook_delivery_queue, webhook_delivery_outcomes, "
            "webhook_event_identities, webhook_event_log, webhook_event_queue, webhook_event_outcomes",
            database="landfall",
        )
        self.empty_tables()

    def empty_tables(self) -> None:
        """Nothing in the tables, while the log stays."""
        names = ", ".join((*(table.name for table in crm_tables()), "pull_tasks"))
        self.postgres.sql(
            f"TRUNCATE {names}",
            "CHECKPOINT",
            database="landfall",
        )

    def waiting(self) -> int:
        """How many deliveries wait to be split, and events to be projected."""
        return int(self.scalar(_WAITING))

    def settle(self) -> None:
        """Return when nothing waits."""
        until = time.monotonic() + SETTLE_SECONDS
        while self.waiting():
            if time.monotonic() > until:
                raise RuntimeError("the worker does not get through")
            time.sleep(0.02)

    def scalar(self, query: str) -> float:
        return float(self.postgres.sql(query, database="landfall"))

    def send(
        self, requests: list[bytes], port: int, connections: int, seconds: float, rate: float | None = None
    ) -> Sent:
        """Send from a process of its own."""
        path = traffic.save(requests, self.directory / "requests")
        return load.run(Order(port, connections, seconds, path, rate))


@contextmanager
def stage() -> Iterator[Stage]:
    """Migrated servers; all that was started on them is ended by its id."""
    with scratch() as directory:
        directory.chmod(0o755)
        postgres = Postgres.at(directory / "pg", settings=SETTINGS)
        redis = Redis.at(directory / "redis")
        with ExitStack() as servers:
            postgres.start()
            servers.callback(postgres.stop)
            redis.start()
            servers.callback(redis.stop)
            migrate(postgres.dsn())
            (directory / "logs").mkdir()
            running = Stage(directory / "logs", postgres, redis)
            servers.callback(running._started.close)  # noqa: SLF001  its own
            yield running


def end(process: psutil.Popen) -> None:
    """SIGTERM, and SIGKILL if that does not help."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(port: int, process: psutil.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in process.net_connections("tcp")):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen")


def cpu(process: psutil.Process) -> float:
    """Seconds of processor time so far, of the process and of all it started."""
    spent = process.cpu_times()
    total = spent.user + spent.system + spent.children_user + spent.children_system
    for child in process.children():
        try:
            of_child = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += of_child.user + of_child.system
    return float(total)


def proportional_megabytes(process: psutil.Process) -> float:
    """Proportional set size: memory of its own, and its share of what it has in common with other processes."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell the proportional set size")
