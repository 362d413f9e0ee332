"""Under which licences the locked packages are, and whether Landfall may be shipped with each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from license_expression import AND, OR, ExpressionError, LicenseExpression, get_spdx_licensing

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
"""Permissive licences, by SPDX identifier: they ask for a notice and bind nothing that is shipped beside them."""

CLASSIFIERS: Mapping[str, str] = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
}
"""What packages say that name no SPDX identifier. The one of BSD leaves open whether it has two clauses or three; both
are allowed."""

UNKNOWN = "no licence that it declares"


@dataclass(frozen=True, slots=True)
class Package:
    """``licenses`` are those it declares, each an SPDX expression or its own words; all of them apply."""

    name: str
    version: str
    licenses: Sequence[str]

    @property
    def refused(self) -> list[str]:
        """Those that are not allowed."""
        return [text for text in self.licenses or [UNKNOWN] if not allowed(text)]


def packages(sbom: Mapping[str, Any]) -> Iterator[Package]:
    """The components of a CycloneDX document, by name."""
    for component in sorted(sbom["components"], key=lambda found: str(found["name"]).lower()):
        yield Package(component["name"], component["version"], list(_declared(component)))


def _declared(component: Mapping[str, Any]) -> Iterator[str]:
    for choice in component.get("licenses", []):
        if "expression" in choice:
            yield choice["expression"]
        else:
            name = choice["license"].get("id") or choice["license"]["name"]
            yield CLASSIFIERS.get(name, name)


_spdx = cache(get_spdx_licensing)
"""Reads some hundred licences from a file at each call."""


def allowed(text: str) -> bool:
    """Whether an SPDX expression leaves a choice that needs allowed licences only; other words are never allowed."""
    try:
        expression = _spdx().parse(text, validate=True, strict=True)
    except ExpressionError:
        return False
    return expression is not None and _allowed(expression)


def _allowed(expression: LicenseExpression) -> bool:
    if isinstance(expression, AND):
        return all(_allowed(part) for part in expression.args)
    if isinstance(expression, OR):
        return any(_allowed(part) for part in expression.args)
    return str(expression) in ALLOWED
