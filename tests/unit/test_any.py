"""``Any`` switches the type checker off, so it stays rare: a value of unknown type is an ``object``."""

import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "sync", "publish", "schema", "ops")
ELSEWHERE = {Path("ops/sandbox"), Path("ops/bench")}
"""They stand beside the service, and imitate or measure it."""

PER_THOUSAND_LINES = 5


def uses(path: Path) -> int:
    """Count the name in code, imports included; comments and strings do not count."""
    with path.open("rb") as source:
        return sum(
            token.type == tokenize.NAME and token.string == "Any" for token in tokenize.tokenize(source.readline)
        )


def test_any_is_rare() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    paths = [path for path in paths if not ELSEWHERE & {*path.relative_to(ROOT).parents}]
    counts = {str(path.relative_to(ROOT)): uses(path) for path in paths}
    lines = sum(len(path.read_text().splitlines()) for path in paths)
    most = sorted(counts.items(), key=lambda item: -item[1])[:10]
    assert sum(counts.values()) * 1000 < PER_THOUSAND_LINES * lines, f"most of them are in {most}"
