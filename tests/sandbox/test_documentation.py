"""``docs/sandbox.md`` names everything that a test can script."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ops.sandbox.clock import Clock
from ops.sandbox.contract import CHANGES, Limits
from ops.sandbox.control import Control
from ops.sandbox.faults import GENERAL, Fault
from ops.sandbox.instagram_service import COMMENT_SETTINGS, MEDIA_SETTINGS, PERSON_SETTINGS, WITHHELD
from ops.sandbox.ledger import KINDS
from ops.sandbox.server import Server
from ops.sandbox.simulation import Simulation
from ops.sandbox.tiktok_videos import COUNTERS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
PLATFORMS = Simulation(1, Clock()).platforms


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str, platform: str) -> set[str]:
    """All that the rows of a platform quote; an empty first cell means the row above."""
    found: set[str] = set()
    names = ""
    for row in re.findall(r"^\| ?(.*?) ?\| (.+) \|$", section(heading), re.MULTILINE):
        names = row[0] or names
        if platform in names.split(", "):
            found |= set(re.findall(r"`(\w+)`", row[1]))
    return found


def test_every_command_and_its_fields_are_named() -> None:
    text = section("Commands")
    for name, (command, _) in Control(Server(1))._commands.items():
        assert f"`{name}" in text, name
        own = {} if name in ("faults", "delivery-policy") else command.model_fields
        named = next(line for line in text.splitlines() if f"`{name}" in line)
        assert [field for field in own if f'"{field}"' not in named] == [], name


def test_every_field_of_a_fault_and_every_kind_of_entry_is_named() -> None:
    faults, ledger = section("Faults"), section("The ledger")
    assert [name for name in Fault.model_fields if f"`{name}" not in faults] == []
    assert [kind for kind in KINDS if f"| `{kind}` |" not in ledger] == []


def test_every_change_setting_limit_and_kind_of_fault_is_named() -> None:
    commands, reading, world = section("Commands"), section("Reading"), section("A whole world")
    assert [what for what in CHANGES if f"`{what}`" not in commands] == []
    settings = {**PERSON_SETTINGS, **MEDIA_SETTINGS, **COMMENT_SETTINGS, **COUNTERS}
    assert [name for name in settings if f"`{name}`" not in commands + reading] == []
    bounds = [item.name for item in fields(Limits) if item.name != "calls_of"]
    assert [name for name in bounds if f"`{name}`" not in reading] == []
    assert [kind for kind in WITHHELD if f"`{kind}`" not in commands] == []
    kinds = {kind for platform in PLATFORMS.values() for kind in platform.churn_kinds}
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in world] == []
    faults = section("Faults")
    errors = {name for platform in PLATFORMS.values() for name in platform.transient_errors}
    assert [kind for kind in (*GENERAL, *sorted(errors)) if f"`{kind}`" not in faults] == []


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_error_and_every_variant_of_a_platform_is_named_and_no_other(name: str) -> None:
    assert rows("Faults", name) == set(PLATFORMS[name].error_answers())
    variants = PLATFORMS[name].variants
    assert rows("Variants", name) >= {*variants, *(choice for choices in variants.values() for choice in choices)}
