"""A command that is forked is like one that is started: its own arguments, environment, folder, streams and end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests import fork_server

PATH = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["event"],
        ["events", "list", "--json"],
        ["events", "list", "--nonsense"],
        ["explain", "nonsense", "x\udcff"],
        ["vault", "key"],
        ["migrate"],
    ],
)
@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": "mysql://somewhere"}])
def test_it_says_and_returns_the_same(arguments: list[str], environment: dict[str, str]) -> None:
    started = [sys.executable, "-c", "from ops.cli.main import main; main(prog_name='landfall')", *arguments]
    wanted = subprocess.run(started, env=PATH | environment, cwd="/", capture_output=True, text=True, check=False)
    found = fork_server.run(*arguments, environment=PATH | environment)
    assert (found.returncode, found.stderr) == (wanted.returncode, wanted.stderr)
    if arguments == ["vault", "key"]:
        assert found.stdout != wanted.stdout != fork_server.run(*arguments, environment=PATH).stdout != found.stdout
    else:
        assert found.stdout == wanted.stdout


def said_of_a_log_level(directory: Path, **environment: str) -> bool:
    with TemporaryFile() as written:
        both = {"stdout": written.fileno(), "stderr": written.fileno()}
        child = fork_server.start("migrate", environment=PATH | environment, directory=directory, **both)
        assert child.wait_blocking() == 1
        written.seek(0)
        return b"LANDFALL_LOG_LEVEL" in written.read()


def test_environment_and_folder_are_its_own(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LANDFALL_LOG_LEVEL=nonsense")
    assert said_of_a_log_level(tmp_path)
    assert said_of_a_log_level(Path("/"), LANDFALL_LOG_LEVEL="nonsense")
    assert not said_of_a_log_level(Path("/"))


async def test_it_can_be_killed_and_ends_alone() -> None:
    reading, writing = os.pipe()
    waiting = {"environment": PATH | {"DATABASE_URL": "postgresql://127.0.0.1/x"}, "stdin": reading}
    first, second = (fork_server.start("db", "login", "serve", **waiting, new_session=True) for _ in range(2))
    os.close(reading)
    try:
        assert (first.returncode, second.returncode) == (None, None)
        assert os.getsid(first.pid) == first.pid
        os.kill(first.pid, signal.SIGKILL)
        assert await first.wait() == first.returncode == -signal.SIGKILL
        assert second.returncode is None
    finally:
        os.kill(second.pid, signal.SIGTERM)
        os.close(writing)
    assert await second.wait() == -signal.SIGTERM
