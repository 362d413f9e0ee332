"""The table of ``docs/asvs.md`` names tests that exist, each requirement once, and says why where it names none."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "asvs.md"
STATES = {"met", "not met", "not applicable", "the operator's"}
ROW = re.compile(r"^\| (\d[^|]*) \| ([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
NUMBER = r"\d{1,2}\.\d{1,2}\.\d{1,2}"
REQUIREMENTS = 253
"""Of levels 1 and 2 in release 5.0.0."""

SPANS = {"10.4.1 to 10.4.11": 11, "10.5.1 to 10.5.5": 5, "10.7.1 to 10.7.3": 3, "17.1.1 to 17.3.2": 7}
"""Lines that stand for several requirements, and for how many."""


def collected() -> set[str]:
    """The name of every test there is."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {
        name for file in files for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def test_every_test_that_the_table_names_exists() -> None:
    named = set(re.findall(r"\btest_\w+", TABLE.read_text()))
    assert len(named) > 50
    assert named - collected() == set()


def test_every_requirement_has_one_line_with_a_state_and_a_test_or_a_reason() -> None:
    rows = ROW.findall(TABLE.read_text())
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == len(lines), "a line that is no row of four"
    assert {state for _, _, state, _ in rows} == STATES
    single = [number for numbers, *_ in rows if numbers not in SPANS for number in numbers.split(", ")]
    assert all(re.fullmatch(NUMBER, number) for number in single), single
    assert len(single) == len(set(single))
    assert len(single) + sum(SPANS.values()) == REQUIREMENTS
    assert all(proof.strip() for *_, proof in rows)


def test_what_is_not_met_is_said_at_the_beginning() -> None:
    text = TABLE.read_text()
    open_ = {numbers for numbers, _, state, _ in ROW.findall(text) if state == "not met"}
    assert open_ == set(re.findall(NUMBER, text.partition("\n## ")[0])) - {"5.0.0"}
