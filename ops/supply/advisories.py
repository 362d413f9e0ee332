"""Known vulnerabilities of the locked packages, from a local copy of an advisory database and without a network.

Reads records in the OSV format, as JSON or YAML: an export of PyPI's part of OSV, packed or not, or a checkout of the
advisory database of PyPA. ``pip-audit`` reads neither (its issue 698): it asks an index.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ECOSYSTEM = "PyPI"


class DatabaseError(Exception):
    """The copy of the database cannot be used, so nothing is known; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """``fixed`` are versions that mend it, as far as the record names any."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """``records`` are those about packages of PyPI, ``newest`` is the last day on which one of them was changed."""

    found: tuple[Vulnerability, ...]
    records: int
    newest: str


def check(pinned: Iterable[tuple[str, str]], database: Path) -> Report:
    """Compare pinned versions, by normalised name, with every record. Raises DatabaseError where there is none."""
    versions: dict[str, set[str]] = {}
    for name, version in pinned:
        versions.setdefault(name, set()).add(version)
    count, newest, found = 0, "", list[Vulnerability]()
    for record in _records(database):
        affected = [part for part in record.get("affected") or [] if _is_ours(part)]
        if not affected:
            continue
        count += 1
        newest = max(newest, str(record.get("modified", ""))[:10])
        if not record.get("withdrawn"):
            found += _matching(versions, record, affected)
    if not count:
        raise DatabaseError(f"{database} holds no advisory about a package of {ECOSYSTEM}")
    return Report(tuple(sorted(found, key=lambda item: (item.package, item.version, item.id))), count, newest)


def _is_ours(affected: Mapping[str, Any]) -> bool:
    package = affected.get("package") or {}
    return str(package.get("ecosystem", "")).partition(":")[0] == ECOSYSTEM and bool(package.get("name"))


def _matching(
    versions: Mapping[str, set[str]], record: Mapping[str, Any], affected: Iterable[Mapping[str, Any]]
) -> Iterator[Vulnerability]:
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for part in affected:
        by_name.setdefault(canonicalize_name(part["package"]["name"]), []).append(part)
    words = str(record.get("summary") or record.get("details") or "").strip().split("\n")[0][:200]
    aliases = tuple(record.get("aliases") or ())
    for name, parts in by_name.items():
        for version in versions.get(name, ()):
            if any(affects(part, version) for part in parts):
                yield Vulnerability(name, version, str(record["id"]), aliases, words, _fixed(parts))


def affects(affected: Mapping[str, Any], version: str) -> bool:
    """Whether one ``affected`` entry of a record means this version (OSV schema, "Evaluation").

    A version is affected if it is listed or lies in a range. A bound that is no version of PEP 440 cannot be compared
    with: the range then counts as one that the version lies in.
    """
    pinned = Version(version)
    if any(_equal(listed, pinned) for listed in affected.get("versions") or ()):
        return True
    # Commits say nothing of a release.
    ranges = [part for part in affected.get("ranges") or () if part.get("type") in ("ECOSYSTEM", "SEMVER")]
    return any(_within(part.get("events") or (), pinned) for part in ranges)


def _equal(listed: object, pinned: Version) -> bool:
    try:
        return Version(str(listed)) == pinned
    except InvalidVersion:
        return False  # a pinned version always is one of PEP 440


def _within(events: Iterable[Mapping[str, Any]], pinned: Version) -> bool:
    try:
        ordered = sorted((_version(v), kind) for event in events for kind, v in event.items() if kind in _BOUNDS)
    except InvalidVersion:
        return True
    inside = False
    for bound, kind in ordered:
        if kind == "introduced" and pinned >= bound:
            inside = True
        elif (kind == "fixed" and pinned >= bound) or (kind == "last_affected" and pinned > bound):
            inside = False
    return inside


_BOUNDS = ("introduced", "fixed", "last_affected")


def _version(value: object) -> Version:
    """``0`` is before everything, pre-releases of version 0 too (OSV schema, "events")."""
    return Version("0.dev0") if str(value) == "0" else Version(str(value))


def _fixed(parts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    found = {
        str(event["fixed"])
        for part in parts
        for ranged in part.get("ranges") or ()
        if ranged.get("type") != "GIT"
        for event in ranged.get("events") or ()
        if "fixed" in event
    }
    return tuple(sorted(found))


def _records(database: Path) -> Iterator[Mapping[str, Any]]:
    """Every record of the copy. Raises DatabaseError for one that cannot be read: it could be the one that matters."""
    for name, text in _texts(database):
        try:
            record = json.loads(text) if name.endswith(".json") else yaml.load(text, _LOADER)  # noqa: S506  a safe one
        except (ValueError, yaml.YAMLError) as error:
            raise DatabaseError(f"{name} in {database} cannot be read ({error.__class__.__name__})") from None
        if isinstance(record, dict) and "id" in record:
            yield record


def _texts(database: Path) -> Iterator[tuple[str, str]]:
    try:
        if database.is_dir():
            for path in sorted(database.rglob("*")):
                if path.suffix in (".json", ".yaml") and path.is_file():
                    yield str(path.relative_to(database)), path.read_text()
        else:
            with zipfile.ZipFile(database) as packed:
                for member in sorted(packed.namelist()):
                    if member.endswith((".json", ".yaml")):
                        yield member, packed.read(member).decode()
    except FileNotFoundError:
        raise DatabaseError(f"there is no {database}") from None
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DatabaseError(f"{database} cannot be read ({error.__class__.__name__})") from None


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
