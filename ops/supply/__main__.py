"""`make sbom`, `make licenses` and `make advisories`: what Landfall is shipped with. For developers, not operators."""

import json
import sys
from pathlib import Path
from typing import NoReturn

import click

from ops.cli.terminal import echo
from ops.supply.advisories import DatabaseError, check
from ops.supply.licenses import packages
from ops.supply.lock import DEVELOPMENT, ROOT, RUNTIME, LockError, pins
from ops.supply.sbom import SbomError, sbom, validate

CLEAN, FOUND, NOT_RUN = 0, 1, 2
"""Exit codes. A check that could not be made is told apart from one that found nothing."""

_lock = click.option(
    "--lock", type=click.Path(path_type=Path), default=RUNTIME, help="What is shipped; requirements.lock by default."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Check what Landfall is shipped with. Exits 1 for a finding and 2 where the check could not be made."""


@main.command("sbom")
@_lock
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "build" / "sbom.cdx.json")
def write_sbom(lock: Path, output: Path) -> None:
    """Write the software bill of materials, in CycloneDX JSON."""
    try:
        document = sbom(lock)
        validate(document)
    except SbomError as error:
        _not_run(str(error))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=2) + "\n")
    echo(f"{len(document['components'])} packages in {output}")


@main.command("licenses")
@_lock
def list_licenses(lock: Path) -> None:
    """List the licence of each locked package; one that is not allowed fails."""
    try:
        found = list(packages(sbom(lock)))
    except SbomError as error:
        _not_run(str(error))
    for package in found:
        echo(f"{package.name} {package.version}  {', '.join(package.licenses)}")
    refused = [(package, text) for package in found for text in package.refused]
    for package, text in refused:
        echo(
            f"{package.name} {package.version} is under {text}, which is not among the licences that Landfall may be "
            "shipped with: use another package, or let whoever may decide it add the licence to ALLOWED in "
            "ops/supply/licenses.py",
            err=True,
        )
    sys.exit(FOUND if refused else CLEAN)


@main.command("advisories")
@click.option("--database", help="A directory or zip archive of OSV records about PyPI.")
@click.argument("locks", type=click.Path(path_type=Path), nargs=-1)
def list_advisories(database: str | None, locks: tuple[Path, ...]) -> None:
    """Compare LOCKS, or both lock files, with a local copy of an advisory database."""
    if not database:
        _not_run(
            "no copy of an advisory database was named, so nothing was checked: "
            "make advisories ADVISORIES=/path/to/advisory-database"
        )
    try:
        pinned = {item for lock in locks or (RUNTIME, DEVELOPMENT) for item in pins(lock).items()}
        report = check(pinned, Path(database))
    except (DatabaseError, LockError, OSError) as error:
        _not_run(f"{error}: nothing was checked")
    for item in report.found:
        aliases = f" ({', '.join(item.aliases)})" if item.aliases else ""
        mend = f"; fixed in {', '.join(item.fixed)}" if item.fixed else "; no fixed version is named"
        echo(f"{item.package} {item.version}: {item.id}{aliases}: {item.summary}{mend}")
    said = (
        f"{len(pinned)} packages against {report.records} advisories, the newest of {report.newest or 'no known day'}"
    )
    echo(f"{len(report.found)} vulnerabilities; {said}" if report.found else f"no known vulnerability; {said}")
    sys.exit(FOUND if report.found else CLEAN)


def _not_run(why: str) -> NoReturn:
    echo(why, err=True)
    sys.exit(NOT_RUN)


if __name__ == "__main__":
    main()
