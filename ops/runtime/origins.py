"""Parse origins as RFC 6454 defines them: two spellings of one address are equal."""

from typing import NamedTuple
from urllib.parse import urlsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """``host`` is in lower case and in A-labels."""

    scheme: str
    host: str
    port: int


def origin_of(address: str) -> Origin | None:
    """Return the origin of a web address; None for anything else, such as the ``null`` that browsers send."""
    try:
        parts = urlsplit(address)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return Origin(parts.scheme, host_of(parts.hostname or ""), port)
    except (ValueError, KeyError):
        return None


def host_of(host: str) -> str:
    """Return the canonical spelling of a host. Raises ValueError for what is no host."""
    if not host:
        raise ValueError("a host is missing")
    return host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
