"""A test that cannot be made says so, and in CI nothing is left out silently."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import program, required_program

ROOT = Path(__file__).parents[2]
OLDEST_POSTGRES = "/usr/lib/postgresql/15/bin/postgres"
SKIPPING = {"skip", "skipif", "xfail", "importorskip", "skipTest", "SkipTest"}


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 failed")])
def test_missing_program_skips_a_test_at_a_developers_and_fails_it_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    case = tmp_path / "test_case.py"
    case.write_text(
        "from tests.support import required_program\n"
        "def test_it():\n    required_program('no-such-program', 'some-package other-package')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c"]
    command += ["/dev/null", "-rfs", str(case)]
    environ = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert outcome in done.stdout
    assert "NOT CHECKED: no-such-program is not there: apt-get install some-package other-package" in done.stdout


def test_program_that_is_there_is_found() -> None:
    assert required_program("sh", "dash").exists()


def test_no_test_is_left_out_but_by_the_one_helper() -> None:
    """Whatever else would skip a test has to go through ``tests.support``."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in SKIPPING)
        or (isinstance(node, ast.Name) and node.id in SKIPPING)
    ]
    assert [place.partition(":")[0] for place in found] == ["tests/support.py"]


def test_ci_says_that_it_is_ci_and_installs_what_the_tests_require() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert text.index("export CI=true") < text.index("make test")
    required = {
        (node.args[0].value, node.args[1].value)
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "required_program"
        and all(isinstance(argument, ast.Constant) for argument in node.args)
    } - {("sh", "dash")}  # fmt: skip
    assert {name for name, _ in required} == {"promtool", "chromium", "chromedriver", OLDEST_POSTGRES}
    for name, package in required:
        assert f"need {name} {package}" in text


def test_ci_stops_where_something_is_missing_and_cannot_be_installed(tmp_path: Path) -> None:
    """With neither promtool nor apt-get in reach, whoever runs it; PostgreSQL is looked for at its own place."""
    (tmp_path / "bin").mkdir()
    for name in ("bash", "git", "make", "dirname", "id"):
        (tmp_path / "bin" / name).symlink_to(program(name, "coreutils"))
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    done = subprocess.run(
        [ROOT / ".ci" / "run"], env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    postgres = "" if Path(OLDEST_POSTGRES).exists() else " postgresql-15"
    missing = f"prometheus chromium chromium-driver{postgres}"
    assert done.stderr == f"missing here, and this account cannot install it: {missing}\n"
