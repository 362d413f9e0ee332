"""Find the platforms: by a function, not as a side effect of importing."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import TypeVar

T = TypeVar("T")


def discover(package: ModuleType, kind: type[T], part: str = "") -> Mapping[str, T]:
    """Import the modules of ``package`` in name order and return the ``PLATFORM`` of each, by the platform's name.

    A platform's name has no underscore. ``x`` is a platform's module, ``x_posting`` holds the part ``posting`` of it,
    and a module whose name begins with an underscore is what platforms share.
    """
    found = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        name, _, rest = info.name.partition("_")
        if not name or rest != part:
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        platform = getattr(module, "PLATFORM", None)
        if not isinstance(platform, kind):
            raise TypeError(f"{module.__name__} must define PLATFORM, a {kind.__name__}")
        found[name] = platform
    return MappingProxyType(found)
