"""Find the platforms: by a function, not as a side effect of importing."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import TypeVar

T = TypeVar("T")


def discover(package: ModuleType, kind: type[T]) -> Mapping[str, T]:
    """Import every module of ``package`` in name order and return its ``PLATFORM``, by module name.

    A module whose name begins with an underscore is what platforms share.
    """
    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        platform = getattr(module, "PLATFORM", None)
        if not isinstance(platform, kind):
            raise TypeError(f"{module.__name__} must define PLATFORM, a {kind.__name__}")
        found[info.name] = platform
    return MappingProxyType(found)
