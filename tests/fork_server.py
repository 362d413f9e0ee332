"""Runs `landfall` commands as forks of one process that has imported the program.

Importing the program takes most of what a command costs, and the tests run some thousand of them. A fork is a process
of its own, with its own environment, folder, standard streams, signals and end; only the imports are shared. What is
about starting the program runs ``python -m ops.cli.main`` instead: `make up`, and each command once. Tests that run
the stack of `make up` in their own process may have its processes forked too: ``forked_stack``.

Run as a script this is the server, which reads requests from its standard input; imported, it is the client.
"""

import asyncio
import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

REQUEST_BYTES, STATUS_BYTES = 2**17, 32
ENVIRONMENT = {"PATH": os.environ["PATH"]}


class Forked:
    """A `landfall` command that was started by the server; what it has in common with ``asyncio``'s processes."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status.detach()  # a number: what a test forgets to wait for is closed without a warning
        self._code: int | None = None
        self.pid = int(os.read(self._status, STATUS_BYTES))

    def __del__(self) -> None:
        os.close(self._status)

    @property
    def returncode(self) -> int | None:
        """How it ended, as ``subprocess`` says it, None while it runs."""
        return self.returncode_within(0)

    def returncode_within(self, seconds: float) -> int | None:
        """The same, waited for that long at most."""
        said = select.poll()  # not select(), which knows no descriptor above 1023
        said.register(self._status, select.POLLIN)
        if self._code is None and said.poll(seconds * 1000):
            self.wait_blocking()
        return self._code

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        while (code := self.returncode) is None:
            readable = asyncio.Event()
            loop.add_reader(self._status, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._status)
        return code

    def wait_blocking(self) -> int:
        if self._code is None:
            self._code = int(os.read(self._status, STATUS_BYTES))
        return self._code


@cache
def _server() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start the server of this test process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        return ours, subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env=ENVIRONMENT, cwd="/", stdin=theirs, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def stop() -> None:
    """End the server, if there is one."""
    if _server.cache_info().currsize:
        requests, process = _server()
        requests.close()
        process.wait()
        _server.cache_clear()


def start(
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path | str = "/",
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    new_session: bool = False,
    descriptors: tuple[int, int] | None = None,
    umask: int | None = None,
    code: str = "",
) -> Forked:
    """Start a command; a stream that is not given is ``/dev/null``. ``descriptors`` are its limits of open files.

    ``code`` is Python to run with these arguments in the place of `landfall`.
    """
    request = {
        "arguments": arguments,
        "environment": dict(environment),
        "directory": str(directory),
        "descriptors": descriptors,
        "new_session": new_session,
        "umask": umask,
        "code": code,
    }
    nowhere = os.open(os.devnull, os.O_RDWR)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        streams = [nowhere if stream is None else stream for stream in (stdin, stdout, stderr)]
        socket.send_fds(_server()[0], [json.dumps(request).encode()], [*streams, theirs.fileno()])
    finally:
        os.close(nowhere)
        theirs.close()
    return Forked(ours)


def run(*arguments: str, environment: Mapping[str, str], answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, from nowhere in particular; ``answer`` is what is typed."""
    with TemporaryFile() as given, TemporaryFile() as output, TemporaryFile() as errors:
        given.write(answer.encode())
        given.seek(0)
        streams = {"stdin": given.fileno(), "stdout": output.fileno(), "stderr": errors.fileno()}
        code = start(*arguments, environment=environment, **streams).wait_blocking()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read().decode(), errors.read().decode())


# --- the server


def _preload() -> None:
    """Import what any command may import."""
    import pkgutil
    from importlib import import_module

    import ingest
    import ops.access
    import ops.cli
    import ops.erasure
    import ops.runtime
    import ops.sandbox
    import ops.web
    import publish
    import schema
    import sync

    for package in (ingest, ops.access, ops.cli, ops.erasure, ops.runtime, ops.sandbox, ops.web, publish, schema, sync):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def _serve(requests: socket.socket) -> Mapping[str, Any]:
    """Fork for each request until there are no more. Returns in the forks only, with the request."""
    while True:
        raw, streams, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not raw:
            os._exit(0)
        with suppress(ChildProcessError):  # keepers that are done, until there is none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            break
        for stream in streams:
            os.close(stream)
    # The keeper of one command, which waits for it: the server itself goes on forking.
    requests.close()
    pid = os.fork()
    if pid:
        with socket.socket(fileno=streams.pop()) as status:
            for stream in (0, 1, 2, *streams):
                os.close(stream)
            status.send(str(pid).encode())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with suppress(OSError):  # nobody wants to know
                status.send(str(code).encode())
        os._exit(0)
    request: Mapping[str, Any] = json.loads(raw)
    _become(request, streams)
    return request


def _become(request: Mapping[str, Any], streams: list[int]) -> None:
    """Become what was asked for, as ``subprocess`` would have started it."""
    if request["new_session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        if number < 3:
            os.dup2(stream, number)
        os.close(stream)
    if request["descriptors"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, request["descriptors"])
    if request["umask"] is not None:
        os.umask(request["umask"])
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.path[:0] = [path for path in request["environment"].get("PYTHONPATH", "").split(os.pathsep) if path]
    if "LANDFALL_FAULT" in os.environ:
        from importlib import reload

        from ops.runtime import faultpoint

        reload(faultpoint)  # it reads the variable when it is imported


if __name__ == "__main__":
    del sys.path[0]  # the folder of the tests, where a module may have the name of somebody's package
    import gc

    _preload()
    gc.collect()
    gc.freeze()
    from ops.cli.main import main

    wanted = _serve(socket.socket(fileno=os.dup(0)))
    sys.argv[1:] = wanted["arguments"]
    if wanted["code"]:
        exec(wanted["code"], {"__name__": "__main__"})
    else:
        main(prog_name="landfall")
