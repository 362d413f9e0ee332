"""Which server of many is meant: its host, in the one spelling by which it is known here."""

import re
from urllib.parse import urlsplit

from ops.runtime.origins import DEFAULT_PORTS, host_of

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+")
_HANDLE = re.compile(r"@[^@\s/]+@([^@\s/]+)")
_PROFILE = re.compile(r"@[^/\s?#]+/?")


def instance_of(given: str) -> str | None:
    """The host that a person means: written as such, as an address, as a profile's address or as a whole handle.

    ``social.example``, ``https://social.example/``, ``https://social.example/@me``, ``@me@social.example``, in any
    script. None for anything else.
    """
    text = given.strip()
    if handle := _HANDLE.fullmatch(text):
        return _named(handle[1])
    scheme, separator, rest = text.partition("://")
    host, _, path = (rest if separator and scheme.lower() == "https" else text).partition("/")
    return None if path and not _PROFILE.fullmatch(path) else _named(host.removesuffix(":443"))


def moved_to(location: str) -> str | None:
    """The host that a redirect leads to; None where that is no server as a person could name it, spoken to by https."""
    try:
        parts = urlsplit(location)
        ordinary = parts.port in (None, DEFAULT_PORTS["https"])
    except ValueError:
        return None
    if parts.scheme != "https" or not ordinary or parts.username is not None or parts.password is not None:
        return None
    return _named(parts.hostname or "")


def _named(host: str) -> str | None:
    try:
        name = host_of(host.removesuffix("."))
    except ValueError:
        return None
    return name if _HOST.fullmatch(name) else None
