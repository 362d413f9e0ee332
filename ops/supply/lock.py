"""What a lock file pins."""

from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "requirements.lock"
"""What is installed wherever Landfall runs."""

DEVELOPMENT = ROOT / "requirements-dev.lock"
"""The same, and what builds and tests it."""


class LockError(Exception):
    """The lock file cannot be read as one; the message says where."""


def pins(lock: Path) -> Mapping[str, str]:
    """Version by normalised name. Raises LockError for a line that pins nothing, and OSError."""
    found: dict[str, str] = {}
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line.strip() or line[0] in " #":  # hashes and "via" comments are indented
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        exact = [part.version for part in requirement.specifier if part.operator == "=="]
        if len(exact) != 1:
            raise LockError(f"{lock.name}, line {number}: {requirement} is not pinned to one version")
        found[canonicalize_name(requirement.name)] = exact[0]
    if not found:
        raise LockError(f"{lock.name} pins nothing")
    return found
