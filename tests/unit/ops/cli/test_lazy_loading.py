"""Help costs no imports, and says of each command what the command says of itself."""

import subprocess
import sys

import click
import pytest

from ops.cli.main import COMMANDS, main

HEAVY = ("aiohttp", "alembic", "argon2", "arq", "asyncpg", "cryptography", "pydantic", "redis", "rich", "sqlalchemy")
OURS = ("ingest", "sync", "publish", "ops.erasure", "ops.cli.doctor", "ops.cli.wiring")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], [], ["nonsense"]])
def test_help_imports_no_driver_no_server_and_none_of_the_stages(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from ops.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "print('loaded', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "click" in loaded
    assert sorted(loaded & {*HEAVY, *OURS}) == []


def test_web_process_imports_no_library_that_few_requests_need() -> None:
    """Each of these takes megabytes of every web process."""
    program = (
        "import sys, ops.cli.serve, ops.cli.composition, ops.erasure.requests, ops.web.app, ops.web.site\n"
        "print('loaded', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()[1:])
    assert {"aiohttp", "ops.access.passkeys"} <= loaded
    assert sorted(loaded & {"arq", "redis", "sqlalchemy", "webauthn", "ops.sandbox"}) == []


def test_line_of_each_command_in_the_help_is_its_own() -> None:
    context = click.Context(main)
    for name, lazy in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert " ".join((command.help or "").split("\n\n")[0].split()) == lazy.help, name


def test_command_that_is_called_by_a_wrong_name_is_told_so() -> None:
    done = subprocess.run([sys.executable, "-m", "ops.cli.main", "event"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such command 'event'" in done.stderr
