"""Read from an address which server takes our mail, and whether it is trusted, without connecting."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """``tls`` is from the first byte on; ``here`` is this machine."""

    host: str
    port: int
    tls: bool
    here: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse an address. Raises ValueError, which shows nothing of the address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("it is no address") from None
        if parts.scheme not in PORTS or not host:
            raise ValueError("it does not begin with smtp:// or smtps:// and a host")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("something follows the host; write /, ? and # of a password as %2F, %3F and %23")
        username, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        if (username is None) != (password is None):
            raise ValueError("a user and a password go together")
        return cls(host, port or PORTS[parts.scheme], parts.scheme == "smtps", _here(host), username, password)

    @property
    def demands_tls(self) -> bool:
        """Whether TLS is required: a password to another machine must not be readable on the way."""
        return self.password is not None and not self.here


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
