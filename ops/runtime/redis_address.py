"""Read the address of Redis."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how to log in there. ``path`` is that of a socket, which takes the place of host and port."""

    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None
    tls: bool

    @classmethod
    def of(cls, url: str) -> Self:
        """Read the forms that redis-py reads.

        They are ``redis://user:password@host:port/database``, ``rediss://…`` for TLS, and
        ``unix://user:password@/path?db=database``; what stands in them may be percent-encoded. Raises ValueError, which
        shows nothing of the address.
        """
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("it does not begin with redis://, rediss:// or unix://")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(
                "the port is no number up to 65535; a password with one of : / ? # @ has to be percent-encoded"
            ) from None
        socket = parts.scheme == "unix"
        [database] = parse_qs(parts.query).get("db", ["" if socket else parts.path.removeprefix("/")])[:1]
        if database and not database.isdecimal():
            raise ValueError("the database is no number")
        return cls(
            unquote(parts.hostname or "localhost"),
            port or 6379,
            unquote(parts.path) if socket else None,
            int(database or 0),
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            parts.scheme == "rediss",
        )
