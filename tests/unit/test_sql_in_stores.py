"""SQL stands in modules called ``store`` or ``…_store`` and in migrations only: the syntax trees prove it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "sync", "publish", "ops")
ELSEWHERE = {Path("ops/sandbox"), Path("ops/bench")}
"""They stand beside the service, and measure or imitate it."""

BEGINS = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|GRANT|REVOKE|TRUNCATE|REINDEX|COMMENT ON|SHOW"
    r"|SET|RESET|COPY|LOCK|EXPLAIN|VACUUM|ANALYZE|REFRESH|MERGE|VALUES|EXISTS|UNION|FROM|WHERE|ORDER BY)\b"
    r"(?! *[=:.,]|\Z)"  # a word alone is a command of Redis, and no statement
)

HOLDS = re.compile(
    r"\(SELECT\b|\bSELECT\b.*\bFROM\b|\bINSERT INTO\b|\bDELETE FROM\b|\bUPDATE \w+ SET\b"
    r"|\b(CREATE|DROP|ALTER) (TABLE|ROLE|SCHEMA|INDEX|VIEW)\b|\bset_config\(",
    re.DOTALL,
)


def of_a_store(path: Path) -> bool:
    return path.stem == "store" or path.stem.endswith("_store") or "store" in path.parts[:-1]


def docstrings(tree: ast.Module) -> set[int]:
    """The strings that stand alone: of modules, classes and functions, and below a name."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def statements(source: str) -> Iterator[tuple[int, str]]:
    """The line and the beginning of every string that is SQL, or a part of it."""
    tree = ast.parse(source)
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            text = node.value
        else:
            continue
        if BEGINS.match(text) or HOLDS.search(text):
            yield node.lineno, " ".join(text.split())[:60]


def found() -> dict[str, list[tuple[int, str]]]:
    """Every file that holds SQL and is no store, with what it holds."""
    paths = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    ours = [path for path in paths if not of_a_store(path) and not ELSEWHERE & {*path.parents}]
    held = {str(path): list(statements((ROOT / path).read_text())) for path in sorted(ours)}
    return {path: lines for path, lines in held.items() if lines}


def test_sql_stands_in_stores_and_nowhere_else() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    "source",
    [
        'await connection.fetch("SELECT 1")',
        'x = f"SELECT * FROM {table} WHERE {condition}"',
        'x = f"""\n        WITH found AS (SELECT 1) {rest}"""',
        "x = 'INSERT INTO a VALUES ($1)' ' ON CONFLICT DO NOTHING'",
        'x = "UPDATE a SET b = 1"',
        'x = f"{prefix} AND EXISTS (SELECT FROM b)"',
        'x = f"CREATE ROLE {name} NOLOGIN"',
        'x = "SHOW data_checksums"',
        'x = f"{first}; DELETE FROM a"',
        'X = {"a": "GRANT x TO y"}',
        'def f(a="ALTER TABLE a ADD b int"): ...',
        "x = \"SELECT set_config('landfall.tenant', '*', true)\"",
    ],
)
def test_statement_is_found_whatever_it_is_written_as(source: str) -> None:
    assert list(statements(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Select a row from a table, and update it."""',
        "def f():\n    '''SELECT is what it is called.'''",
        'x = "Choose an account from the list, or create one"',
        'LEVEL = "SETTINGS"',
        'x = "WITHDRAWN"',
        'x = "set LANDFALL_SMTP_URL to have owners told"',
    ],
)
def test_prose_is_no_statement(source: str) -> None:
    assert list(statements(source)) == []


@pytest.mark.parametrize(
    ("path", "store"),
    [
        ("sync/store.py", True),
        ("ops/cli/store/server.py", True),
        ("sync/events/store.py", True),
        ("publish/connections/refresh_store.py", True),
        ("ops/cli/doctor.py", False),
        ("ops/restore.py", False),
        ("publish/stores.py", False),
        ("publish/restore.py", False),
        ("publish/_store/refresh.py", False),
    ],
)
def test_store_is_a_module_or_a_package_of_that_name(path: str, *, store: bool) -> None:
    assert of_a_store(Path(path)) is store
