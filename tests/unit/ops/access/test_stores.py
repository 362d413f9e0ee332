"""Where SQL of people and access stands, and what its stores return."""

import ast
from pathlib import Path

import pytest

import ops.access

MODULES = sorted(Path(ops.access.__file__).parent.glob("*.py"))
STORES = [module for module in MODULES if module.stem.endswith("_store")]
SENDS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table"}


def statements(module: Path) -> list[str]:
    """The calls that send SQL."""
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    return [ast.unparse(node) for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr in SENDS]


@pytest.mark.parametrize("module", [module for module in MODULES if module not in STORES], ids=lambda path: path.stem)
def test_module_that_is_no_store_sends_no_sql(module: Path) -> None:
    assert statements(module) == []


@pytest.mark.parametrize("module", STORES, ids=lambda path: path.stem)
def test_store_sends_sql_and_returns_typed_values(module: Path) -> None:
    """A row of asyncpg has no types: whoever reads a column that is gone finds out at run time."""
    assert statements(module)
    tree = ast.parse(module.read_text())
    public = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_")]
    assert public
    for function in public:
        assert function.returns is not None
        returned = ast.unparse(function.returns)
        assert not any(untyped in returned for untyped in ("Record", "Any", "dict")), f"{function.name}: {returned}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_nothing_here_is_any(module: Path) -> None:
    names = [node.id for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Name)]
    assert "Any" not in names
