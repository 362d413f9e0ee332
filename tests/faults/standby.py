"""A streaming standby of a cluster, and a failover made by hand: what a manager such as Patroni does, step by step."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from ops.runtime.embedded import Postgres


def standby_of(primary: Postgres, directory: Path, name: str = "standby") -> Postgres:
    """A copy of ``primary`` that follows it, running; it asks for changes as ``name``."""
    directory.mkdir(mode=0o700)
    shutil.copy(primary.directory / "password", directory / "password")
    shutil.copy(primary.directory / "owner", directory / "owner")
    copy = Postgres.at(directory, settings=primary.settings, programs=primary.programs)
    environment = primary.environment(user="postgres")
    conninfo = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"
    options = ("-d", conninfo, "-X", "stream", "-R", "-c", "fast")
    subprocess.run(
        [str(primary.programs / "pg_basebackup"), "-D", str(copy.data), *options],
        env={"PATH": os.defpath, **environment}, check=True, capture_output=True, umask=0o077,
    )  # fmt: skip
    owner = primary.data.stat()
    for path in (copy.data, *copy.data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    copy.start()
    return copy


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def freeze(pid: int) -> list[psutil.Process]:
    """Stop a process and its children where they stand, as a machine that hangs; who was stopped."""
    stopped: list[psutil.Process] = []
    while new := [process for process in tree(pid) if process not in stopped]:
        for process in new:  # the parent first: it starts no more
            process.send_signal(signal.SIGSTOP)
        stopped += new
    return stopped


def thaw(stopped: list[psutil.Process]) -> None:
    for process in stopped:
        if process.is_running():
            process.send_signal(signal.SIGCONT)
