"""`make chaos`: the slow rows of the fault matrix, with a seed and a table at the end. Nothing is skipped silently.

Not part of `make test`: it takes minutes, and some rows need programs and rights that a developer's machine may lack.
A row that could not be run is not a row that held, so it fails the run too.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.conftest import own_postgres, own_redis  # noqa: F401  fixtures
from tests.support import NotRunError

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
ROWS = os.environ.get("ROWS", "").lower().split()

_counts: dict[str, dict[str, Any]] = {}
_verdicts: dict[str, tuple[str, float]] = {}


def pytest_report_header() -> str:
    return f"chaos: CHAOS_SEED={SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if ROWS:
        items[:] = [item for item in items if item.name.split("_")[1] in ROWS]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The row's own, made from the seed: the same whichever other rows run."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """What the row did, for the table."""

    def note(**counts: Any) -> None:
        _counts.setdefault(request.node.name, {}).update(counts)

    return note


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    begun = time.monotonic()
    outcome: Any = yield
    error = outcome.excinfo[1] if outcome.excinfo else None
    verdict = "held" if error is None else f"NOT RUN: {error}" if isinstance(error, NotRunError) else "BROKEN"
    _verdicts[item.name] = (verdict, time.monotonic() - begun)


def pytest_terminal_summary() -> None:
    table = Table(title=f"chaos, CHAOS_SEED={SEED}")
    for heading in ("row", "what was done", "counts", "s", "verdict"):
        table.add_column(heading)
    for name, (verdict, seconds) in _verdicts.items():
        _, row, *words = name.split("_")
        counts = ", ".join(f"{what} {value}" for what, value in _counts.get(name, {}).items())
        table.add_row(row.upper(), " ".join(words), counts, f"{seconds:.0f}", verdict)
    Console(width=150).print(table)
