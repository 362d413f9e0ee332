"""What is a platform's own stands in its files: its name, and facts about it, appear in no other code."""

import io
import re
import tokenize
from pathlib import Path

import pytest

import ingest.platforms
import publish.platforms
import sync.platforms
from ingest.contract import Webhook
from ops.runtime.discovery import discover
from publish.oauth.contract import OAuthProvider
from sync.projection.contract import Projection

ROOT = Path(__file__).parents[2]
CLEAN = (
    "ingest",
    "ops/access",
    "ops/cli",
    "ops/erasure",
    "ops/export",
    "ops/retention",
    "ops/runtime",
    "ops/supply",
    "ops/web",
    "publish",
    "schema",
    "sync",
)
"""Packages in which no file may name a platform, but those in a folder ``platforms`` and ``schema/crm/<platform>.py``.

The latter hold one platform's tables and views, whose names users rely on (``users-design.md`` 1)."""

MIGRATIONS = "migrations"
"""They make the tables and views of ``schema/crm``, in SQL that must not change with the code."""

APART = ("ops/sandbox", "ops/bench")
"""Packages that stand in for platforms."""

COMPANY = "meta"
PROSE = {"threads"}
"""Names that are words of programs too: they count where they are the whole of a string."""

NO_NAME = re.compile(r"\b[a-z]+\.md\b|\bremove_processors_meta\b")
"""A citation of a contract page, and a name of structlog's."""


def names() -> set[str]:
    found = {
        *discover(ingest.platforms, Webhook),
        *discover(sync.platforms, Projection),
        *discover(publish.platforms, OAuthProvider),
    }
    return {name for name in found if len(name) > 1} | {COMPANY, "ig"}


def named_in(text: str) -> list[str]:
    """What of a platform a source names, in code, strings and comments; citing its contract page is no naming."""
    words = re.compile(rf"(?<![a-z<])({'|'.join(sorted(names() - PROSE))})(?![a-z])", re.IGNORECASE)
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT):
            plain = NO_NAME.sub("", token.string)
            found += words.findall(plain)
            found += [name for name in PROSE if plain.strip("\"'") == name]
    return found


def of_a_platform(path: Path) -> bool:
    """Whether a file, by its path in the repository, is a platform's own."""
    return "platforms" in path.parts or (path.parent == Path("schema/crm") and path.stem in names())


def sources(tree: str) -> list[Path]:
    return [path for path in (ROOT / tree).rglob("*.py") if not of_a_platform(path.relative_to(ROOT))]


@pytest.mark.parametrize("tree", CLEAN)
def test_no_platform_is_named_outside_its_own_files(tree: str) -> None:
    assert len(sources(tree)) > 3
    found = {str(path.relative_to(ROOT)): named for path in sources(tree) if (named := named_in(path.read_text()))}
    assert found == {}


def test_every_tree_is_looked_at_or_listed() -> None:
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/__init__.py")} - {"ops", "tests"}
    packages |= {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("ops/*/__init__.py")}
    assert packages <= {*CLEAN, *APART, MIGRATIONS}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('x = "instagram"', ["instagram"]),
        ("META_APP = 1  # TikTok", ["META", "TikTok"]),
        ('table = "ig_media"', ["ig"]),
        ('kind = "threads"', ["threads"]),
        ('"""Threads of our own (``meta.md`` 2); metadata, a <meta> element, a digest."""', []),
    ],
)
def test_names_are_found_in_code_strings_and_comments(text: str, found: list[str]) -> None:
    assert named_in(text) == found


def test_every_platform_says_for_how_long_it_repeats_a_delivery() -> None:
    hours = {name: webhook.retry_hours for name, webhook in discover(ingest.platforms, Webhook).items()}
    assert hours == {"instagram": 36, "tiktok": 72}, "meta.md 1.3, tiktok.md 2.1"
