"""Three PostgreSQL servers under Patroni, with one etcd to agree in: Debian's programs, all on this machine."""

import asyncio
import json
import os
import pwd
import secrets
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from ops.runtime.embedded import OWNER, Server, free_port, scratch
from tests.faults.standby import freeze, thaw, tree
from tests.support import eventually, program

TTL_SECONDS = 20
"""After this long without a word a leader is taken for dead; the least that Patroni allows, its default is 30."""

FOLLOWING = ("running", "streaming")
"""States of a standby that is there; newer versions of Patroni use the second word."""

PACKAGES = "patroni python3-etcd etcd-server postgresql-15"


@dataclass
class Node:
    """One Patroni and its PostgreSQL, which is no child of its."""

    name: str
    directory: Path
    logs: Path
    etcd: int
    superuser: str
    synchronous: bool
    binaries: Path
    options: dict[str, Any]
    port: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    manager: Server = field(init=False)

    def __post_init__(self) -> None:
        self.manager = Server(self.logs / f"{self.name}.log")

    @property
    def data(self) -> Path:
        return self.directory / self.name / "data"

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL; where there is no cluster, it makes one or copies the leader's."""
        home = self.directory / self.name
        if not home.exists():
            home.mkdir(mode=0o700)
            if self.options:
                os.chown(home, self.options["user"], self.options["group"])
        login = {"password": self.superuser}
        configuration = {
            "scope": "landfall",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.api}", "connect_address": f"127.0.0.1:{self.api}"},
            "etcd3": {"host": f"127.0.0.1:{self.etcd}"},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_SECONDS,
                    "loop_wait": 5,
                    "retry_timeout": 5,
                    "synchronous_mode": self.synchronous,
                    "postgresql": {"use_pg_rewind": True},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data),
                "bin_dir": str(self.binaries),
                "pgpass": str(home / "pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", **login},
                    "replication": {"username": "replicator", **login},
                },
                "parameters": {"unix_socket_directories": str(home), "shared_buffers": "64MB"},
                "pg_hba": [
                    "host replication replicator 127.0.0.1/32 scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                ],
            },
        }
        path = home / "patroni.json"
        path.write_text(json.dumps(configuration))  # every JSON document is a YAML document
        path.chmod(0o600)
        if self.options:
            os.chown(path, self.options["user"], self.options["group"])
        environ = {"PATH": f"{self.binaries}:{os.defpath}", "HOME": str(home), "LC_ALL": "C.UTF-8"}
        self.manager.spawn([str(program("patroni", PACKAGES)), str(path)], cwd=home, env=environ, **self.options)

    def postmaster(self) -> int | None:
        """The process of its PostgreSQL, if that runs."""
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            if str(self.data) in psutil.Process(pid).cmdline():
                return pid
        return None

    def freeze(self) -> list[psutil.Process]:
        """The whole node stands still, its links open."""
        stopped = freeze(self.manager.pid)
        postmaster = self.postmaster()
        return stopped + (freeze(postmaster) if postmaster else [])

    def wake(self, stopped: list[psutil.Process]) -> None:
        """Let a frozen node go on, with its Patroni started anew.

        Patroni 3.0 that wakes may read its old copy of who leads and then take the lock back from the new leader
        (``_update_leader`` of its ``dcs/etcd3.py`` writes without a condition): that is not what is tested here.
        """
        for process in tree(self.manager.pid):
            process.send_signal(signal.SIGKILL)
        thaw(stopped)
        self.manager.wait()
        self.start()

    def kill(self) -> None:
        """The whole node is gone at once."""
        victims: list[psutil.Process] = []
        for pid in (self.manager.pid if self.manager.running else None, self.postmaster()):
            with suppress(psutil.NoSuchProcess):
                victims += tree(pid) if pid else []
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        self.manager.wait()

    def dsn(self, database: str = OWNER, user: str = OWNER) -> str:
        return f"postgresql://{user}:{self.superuser}@127.0.0.1:{self.port}/{database}"


@dataclass
class Cluster:
    nodes: list[Node]
    synchronous: bool

    def dsn(self, first: Node) -> str:
        """Every host, with one at the head, and only the primary wanted."""
        ordered = [first, *(node for node in self.nodes if node is not first)]
        where = ",".join(f"127.0.0.1:{node.port}" for node in ordered)
        return f"postgresql://{OWNER}:{first.superuser}@{where}/{OWNER}?target_session_attrs=primary"

    async def members(self, by: Node) -> dict[str, tuple[str, str]]:
        """Role and state of each, as one node sees them."""

        def ask() -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{by.api}/cluster", timeout=3) as response:
                return json.load(response)

        with suppress(OSError, ValueError):
            found = await asyncio.to_thread(ask)
            return {member["name"]: (member["role"], member["state"]) for member in found["members"]}
        return {}

    async def leader(self, but: Node | None = None) -> Node:
        """Who leads, other than ``but``, once somebody does."""
        asked = [node for node in self.nodes if node is not but and node.manager.running]

        async def found() -> Node | None:
            for by in asked:
                members = await self.members(by)
                for node in asked:
                    if members.get(node.name) == ("leader", "running"):
                        return node
            return None

        led: Node = await eventually(found, 90, 0.2)
        return led

    async def whole(self, but: Node | None = None) -> Node:
        """The leader, once all others but ``but`` follow it, one of them synchronously if that is wanted."""
        led = await self.leader(but)
        others = [node.name for node in self.nodes if node not in (led, but)]

        async def following() -> bool:
            members = await self.members(led)
            found = [members[name] for name in others if name in members]
            roles = [role for role, state in found if state in FOLLOWING]
            return len(roles) == len(others) and ("sync_standby" in roles) == self.synchronous

        await eventually(following, 120, 0.5)
        return led


@asynccontextmanager
async def clustered(logs: Path, *, synchronous: bool) -> AsyncIterator[Cluster]:
    """Three nodes that follow one leader, with a database and its owner; they log into the folder ``logs``.

    Raises NotRunError without the packages.
    """
    binaries = program("/usr/lib/postgresql/15/bin/postgres", PACKAGES).parent
    etcd_program = program("etcd", PACKAGES)
    program("patroni", PACKAGES)
    options: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")  # of postgresql-15
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with scratch() as directory:
        directory.chmod(0o755)
        client, peer = free_port(), free_port()
        etcd = Server(logs / "etcd.log")
        url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        etcd.spawn(
            [
                str(etcd_program), "--name", "one", "--data-dir", str(directory / "etcd"),
                "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer_url,
                "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"one={peer_url}",
            ]
        )  # fmt: skip
        password = secrets.token_urlsafe(16)
        nodes = [Node(f"node{n}", directory, logs, client, password, synchronous, binaries, options) for n in range(3)]
        try:
            for node in nodes:
                node.start()
            cluster = Cluster(nodes, synchronous)
            led = await cluster.whole()
            connection = await asyncpg.connect(led.dsn("postgres", "postgres"))
            await connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
            await connection.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
            await connection.close()
            yield cluster
        finally:
            for node in nodes:
                if node.manager.process is not None:
                    node.kill()
            etcd.kill()
