"""The software bill of materials: each locked package with its licences, archives, hashes and dependencies.

The lock file alone says versions and hashes, the installed packages alone say licences and who needs whom, so the
generator of the CycloneDX project is asked for both and the answers are joined.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ops.supply.lock import ROOT

VERSION = "1.6"
"""Of CycloneDX: the newest that most readers know."""


class SbomError(Exception):
    """No bill can be made; the message says what to do about it."""


def sbom(lock: Path) -> dict[str, Any]:
    """A CycloneDX document for what ``lock`` pins and this Python has installed. Raises SbomError."""
    return joined(_generated("requirements", str(lock)), _generated("environment", sys.executable))


def validate(document: Mapping[str, Any]) -> None:
    """Hold a document against the schema of CycloneDX; takes seconds. Raises SbomError."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.from_version(VERSION)).validate_str(json.dumps(document))
    if problem is not None:
        raise SbomError(f"the bill does not follow CycloneDX {VERSION}: {problem}")


def joined(locked: dict[str, Any], installed: dict[str, Any]) -> dict[str, Any]:
    """The components of ``installed`` that are ``locked``, with the archives and hashes of the lock. Raises SbomError.

    Both are CycloneDX documents.
    """
    known = {canonicalize_name(component["name"]): component for component in installed["components"]}
    components = []
    for component in locked["components"]:
        found = known.get(canonicalize_name(component["name"]))
        if found is None or found["version"] != component["version"]:
            raise SbomError(
                f"{component['name']} {component['version']} is locked and "
                f"{'not' if found is None else found['version']} installed: run `make lint` first, which installs it"
            )
        archives = component.get("externalReferences", [])
        components.append(found | {"externalReferences": found.get("externalReferences", []) + archives})
    kept = {installed["metadata"]["component"]["bom-ref"], *(component["bom-ref"] for component in components)}
    dependencies = [
        {"ref": entry["ref"], "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}
        for entry in installed["dependencies"]
        if entry["ref"] in kept
    ]
    return installed | {"components": components, "dependencies": dependencies}


def _generated(kind: str, of: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "cyclonedx_py", kind, "--output-reproducible", "--sv", VERSION, "--no-validate"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), of]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SbomError(f"cyclonedx-py {kind} failed: {done.stderr.strip()[-500:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document
