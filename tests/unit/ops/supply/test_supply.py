"""What Landfall is shipped with is known: every package, its hashes and licence, and what is known against it."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from packaging.utils import canonicalize_name

from ops.supply import licenses, lock
from ops.supply.__main__ import main
from ops.supply.advisories import affects
from ops.supply.sbom import SbomError, joined, validate

ROOT = Path(__file__).parents[4]


def supply(*arguments: str, code: int = 0) -> Result:
    """Run a command of ``ops.supply``; by default it must succeed."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bill of materials of this checkout, as `make sbom` writes it."""
    output = tmp_path_factory.mktemp("sbom") / "new" / "sbom.cdx.json"
    command = [sys.executable, "-m", "ops.supply", "sbom", "--output", str(output)]  # as the Makefile does
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def test_bill_of_materials_is_valid_and_lists_what_is_locked_with_hashes_and_licences(bill: dict[str, Any]) -> None:
    from cyclonedx.schema import SchemaVersion  # takes a second, and this test alone needs it
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "landfall")
    pinned = lock.pins(lock.RUNTIME)
    named = {canonicalize_name(part["name"]): part for part in bill["components"]}
    assert {name: part["version"] for name, part in named.items()} == pinned
    locked = re.findall(r"--hash=sha256:(\w+)", lock.RUNTIME.read_text())
    listed = []
    for part in named.values():
        assert part["licenses"], part["name"]
        assert part["purl"].startswith("pkg:pypi/")
        hashes = [found["content"] for archive in part["externalReferences"] for found in archive.get("hashes", [])]
        assert hashes, part["name"]
        listed += hashes
    assert sorted(listed) == sorted(locked)


def test_bill_of_materials_says_who_needs_whom(bill: dict[str, Any]) -> None:
    references = {part["bom-ref"]: part["name"] for part in bill["components"]}
    needs = {entry["ref"]: {references[ref] for ref in entry.get("dependsOn", [])} for entry in bill["dependencies"]}
    assert {"yarl", "multidict"} <= next(needs[ref] for ref, name in references.items() if name == "aiohttp")
    assert {"aiohttp", "asyncpg"} <= needs[bill["metadata"]["component"]["bom-ref"]]


def test_bill_of_materials_is_written_where_git_looks_away() -> None:
    ignored = subprocess.run(["git", "check-ignore", "build/sbom.cdx.json"], cwd=ROOT, check=False, capture_output=True)
    assert ignored.returncode == 0
    assert 'default=ROOT / "build" / "sbom.cdx.json"' in (ROOT / "ops" / "supply" / "__main__.py").read_text()


def component(version: str = "1.0") -> dict[str, Any]:
    return {"name": "Some_Package", "version": version, "bom-ref": "a"}


def test_bill_that_does_not_follow_the_format_is_no_bill(bill: dict[str, Any]) -> None:
    with pytest.raises(SbomError, match=r"does not follow CycloneDX 1\.6"):
        validate(bill | {"components": [{"name": "without a type"}]})


def test_package_that_is_locked_and_not_installed_so_is_no_bill_at_all() -> None:
    installed = {"components": [component("1.1")], "dependencies": [], "metadata": {"component": {"bom-ref": "root"}}}
    with pytest.raises(SbomError, match=r"some-package 1\.0 is locked and 1\.1 installed: run `make lint` first"):
        joined({"components": [component() | {"name": "some-package"}]}, installed)
    with pytest.raises(SbomError, match="is locked and not installed"):
        joined({"components": [component() | {"name": "other"}]}, installed)


def test_every_package_that_is_shipped_has_an_allowed_licence() -> None:
    done = supply("licenses")
    assert len(done.stdout.splitlines()) == len(lock.pins(lock.RUNTIME))
    assert "aiohttp 3." in done.stdout
    assert done.stderr == ""


def block(name: str) -> str:
    """The lines of the development lock about one package."""
    lines, kept = lock.DEVELOPMENT.read_text().splitlines(keepends=True), []
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    for line in lines[start + 1 :]:
        if not line.startswith(" "):
            break
        kept.append(line)
    return lines[start] + "".join(kept)


def test_licence_outside_the_list_fails_with_a_sentence(tmp_path: Path) -> None:
    """One of our development tools is under a licence that what is shipped may not be under."""
    short = tmp_path / "short.lock"
    short.write_text(block("click") + block("hypothesis"))
    done = supply("licenses", "--lock", str(short), code=1)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["click", "hypothesis"]
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("hypothesis ")
    assert (
        "is under MPL-2.0, which is not among the licences that Landfall may be shipped with: use another" in sentence
    )


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(GPL-3.0-only OR LGPL-3.0-only) AND MIT", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("AGPL-3.0-or-later", False),
        ("MIT-flavoured", False),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("see the file LICENSE", False),
        ("", False),
        (licenses.UNKNOWN, False),
    ],
)
def test_licence_is_allowed_where_every_choice_it_leaves_is_read_as_spdx_does(text: str, allowed: bool) -> None:  # noqa: FBT001
    assert licenses.allowed(text) is allowed


@pytest.mark.parametrize(
    ("declared", "refused"),
    [
        ([{"license": {"id": "MIT"}}, {"license": {"name": "License :: OSI Approved :: Apache Software License"}}], []),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "GPL-3.0-only"}}], ["GPL-3.0-only"]),
        ([{"expression": "MIT OR GPL-3.0-only"}], []),
        ([], [licenses.UNKNOWN]),
    ],
)
def test_all_licences_that_a_package_declares_must_be_allowed(declared: Any, refused: list[str]) -> None:
    [package] = licenses.packages({"components": [component() | {"licenses": declared}]})
    assert package.refused == refused


def record(**affected: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "Some_Package"}
    return {
        "id": "PYSEC-2026-1",
        "aliases": ["CVE-2026-1"],
        "modified": "2026-11-01T00:00:00Z",
        "details": "Reads files of others.\nMore of it.",
        "affected": [{"package": package} | affected],
    }


def ranged(*events: dict[str, str], type_: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"ranges": [{"type": type_, "events": list(events)}]}


OLD = ranged({"introduced": "0"}, {"fixed": "1.5"})


@pytest.fixture
def pinned(tmp_path: Path) -> Any:
    def write(version: str) -> str:
        path = tmp_path / "some.lock"
        path.write_text(f"some-package=={version} \\\n    --hash=sha256:00\n    # via nobody\nother==1.0\n")
        return str(path)

    return write


def database(directory: Path, *records: dict[str, Any], form: str = "json") -> str:
    directory.mkdir(exist_ok=True)
    for number, found in enumerate(records):
        text = json.dumps(found) if form == "json" else yaml.safe_dump(found)
        (directory / f"{number}.{form}").write_text(text)
    return str(directory)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_vulnerable_pin_is_found_and_a_fixed_one_is_not(tmp_path: Path, pinned: Any, form: str) -> None:
    copy = database(tmp_path / "copy", record(**OLD), form=form)
    done = supply("advisories", "--database", copy, pinned("1.4"), code=1)
    assert done.stdout.splitlines() == [
        "some-package 1.4: PYSEC-2026-1 (CVE-2026-1): Reads files of others.; fixed in 1.5",
        "1 vulnerabilities; 2 packages against 1 advisories, the newest of 2026-11-01",
    ]
    done = supply("advisories", "--database", copy, pinned("1.5"))
    assert done.stdout == "no known vulnerability; 2 packages against 1 advisories, the newest of 2026-11-01\n"


def test_packed_export_is_read_as_it_is(tmp_path: Path, pinned: Any) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("PYSEC-2026-1.json", json.dumps(record(**OLD)))
    supply("advisories", "--database", str(tmp_path / "all.zip"), pinned("1.4"), code=1)
    supply("advisories", "--database", str(tmp_path / "all.zip"), pinned("1.5"))


def test_both_lock_files_are_checked_where_none_is_named(tmp_path: Path) -> None:
    for path in (lock.RUNTIME, lock.DEVELOPMENT):
        name, version = next(iter(sorted(lock.pins(path).items(), reverse=True)))
        found = record(versions=[version])
        found["affected"][0]["package"]["name"] = name
        done = supply("advisories", "--database", database(tmp_path / path.name, found), code=1)
        assert f"{name} {version}: PYSEC-2026-1" in done.stdout


def test_check_that_could_not_be_made_says_so_and_is_neither_clean_nor_vulnerable(tmp_path: Path, pinned: Any) -> None:
    good = pinned("1.4")
    assert "make advisories ADVISORIES=" in supply("advisories", good, code=2).stderr
    assert "nothing was checked" in supply("advisories", "--database", str(tmp_path / "nowhere"), good, code=2).stderr
    empty = database(tmp_path / "empty")
    assert "holds no advisory" in supply("advisories", "--database", empty, good, code=2).stderr
    other = record(**OLD)
    other["affected"][0]["package"]["ecosystem"] = "npm"
    copy = database(tmp_path / "npm", other)
    assert "holds no advisory" in supply("advisories", "--database", copy, good, code=2).stderr
    cut = Path(database(tmp_path / "cut", record(**OLD)))
    (cut / "1.json").write_text('{"id": "PYSEC-2026-2", "affec')
    assert "1.json" in supply("advisories", "--database", str(cut), good, code=2).stderr
    (tmp_path / "all.zip").write_bytes(b"PK cut off")
    assert "cannot be read" in supply("advisories", "--database", str(tmp_path / "all.zip"), good, code=2).stderr
    copy = database(tmp_path / "copy", record(**OLD))
    assert "nothing was checked" in supply("advisories", "--database", copy, str(tmp_path / "no.lock"), code=2).stderr
    (tmp_path / "loose.lock").write_text("some-package>=1\n")
    done = supply("advisories", "--database", copy, str(tmp_path / "loose.lock"), code=2)
    assert "line 1: some-package>=1 is not pinned" in done.stderr


@pytest.mark.parametrize(
    ("affected", "version", "expected"),
    [
        (ranged({"introduced": "1.0"}, {"fixed": "1.5"}), "0.9", False),
        (ranged({"introduced": "1.0"}, {"fixed": "1.5"}), "1.0", True),
        (ranged({"introduced": "1.0"}, {"fixed": "1.5"}), "1.5rc1", True),  # a candidate is before its release
        (ranged({"introduced": "1.0"}, {"fixed": "1.10"}), "1.9", True),  # as versions, not as text
        (ranged({"introduced": "0"}), "0.0.dev1", True),
        (ranged({"introduced": "0"}, {"last_affected": "1.5"}), "1.5", True),
        (ranged({"introduced": "0"}, {"last_affected": "1.5"}), "1.5.post1", False),
        (ranged({"fixed": "2.3"}, {"introduced": "2.0"}, {"introduced": "0"}, {"fixed": "1.5"}), "2.1", True),
        (ranged({"fixed": "2.3"}, {"introduced": "2.0"}, {"introduced": "0"}, {"fixed": "1.5"}), "1.7", False),
        (ranged({"introduced": "0"}, {"limit": "*"}, {"fixed": "1.5"}), "1.6", False),
        (ranged({"introduced": "0"}, {"fixed": "0123abc"}, type_="GIT"), "1.0", False),  # commits, no versions
        (ranged({"introduced": "0"}, {"fixed": "2009-final"}), "1.0", True),  # who cannot tell must not say clean
        ({"versions": ["0.9", "1.0.0"]}, "1.0", True),
        ({"versions": ["0.9", "strange"]}, "1.0", False),
        ({"versions": ["0.9"]} | ranged({"introduced": "1.0"}), "1.0", True),
        ({}, "1.0", False),
    ],
)
def test_version_is_affected_as_the_osv_schema_says(affected: Any, version: str, expected: bool) -> None:  # noqa: FBT001
    assert affects(affected, version) is expected


def test_withdrawn_advisory_is_no_finding(tmp_path: Path, pinned: Any) -> None:
    copy = database(tmp_path / "copy", record(**OLD) | {"withdrawn": "2026-11-02T00:00:00Z"})
    supply("advisories", "--database", copy, pinned("1.4"))


def test_what_an_advisory_says_cannot_command_the_terminal(tmp_path: Path, pinned: Any) -> None:
    copy = database(tmp_path / "copy", record(**OLD) | {"summary": "\x1b[2Jgone"})
    assert "\x1b" not in supply("advisories", "--database", copy, pinned("1.4"), code=1).stdout
