"""What one stage needs of another, as protocols: the command line passes the implementations in.

A pull takes them all: a token for the account (``publish.connections.refresh.Refresher``), our application at its
platform (``publish.oauth.client_registration.ClientRegistrations``), a way to ask it
(``ops.runtime.platform_client.PlatformClient``), and the log to append what was read to (``ingest.store.append_own``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import asyncpg

from ops.runtime.platform_protocol import Steps, T


class AccessTokens(Protocol):
    """Gives tokens for connected accounts."""

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        """Return the secrets of a connection by name, refreshed if they end soon. Raises PlatformError."""

    async def renew(self, tenant: str, id_: str, refused: Mapping[str, str]) -> bool:
        """Refresh or check a token that the platform did not take; return whether there is another now.

        Raises PlatformError where the grant is over.
        """


class Api(Protocol):
    """The addresses of a platform's interface: of the platform itself, of one instance, or of a sandbox."""

    def url(self, host: str, path: str) -> str:
        """Return the address of a path at one of the platform's hosts, by the host's name in the platform's file."""


class Applications(Protocol):
    """Knows our application at each platform."""

    async def app(self, platform: str, instance: str, tenant: str) -> Api:
        """Return the addresses of a platform's interface. Raises PlatformError where it is not configured."""


class AskPlatform(Protocol):
    """Asks platforms, within their rate limits."""

    async def require_allowed(self, platform: str, instance: str = "", account: str = "") -> None:
        """Raise PlatformError while a rate limit of the account, or of the whole application, is used up."""

    async def run(self, steps: Steps[T], *, platform: str, instance: str = "", account: str = "") -> T:
        """Run the steps to their end and return what they found. Raises PlatformError."""


class Fact(NamedTuple):
    """An event of our own, such as an answer that was read from a platform.

    ``external_id`` is the same whenever the same fact is read again; ``payload`` is JSON text that jsonb takes.
    ``source`` is own, or poll for what was read from a platform.
    """

    platform: str
    rule_version: int
    account_id: str
    type: str
    external_id: str
    payload: str
    occurred_at: datetime | None = None
    sanitized: bool = False
    source: str = "own"


class AppendFacts(Protocol):
    """Appends to the log."""

    async def __call__(self, connection: asyncpg.Connection, facts: Sequence[Fact]) -> None:
        """Append facts within the caller's transaction; a fact that the log has is left as it is."""


@dataclass(frozen=True, slots=True)
class Pulling:
    """Everything that a pull needs of the other stages."""

    tokens: AccessTokens
    applications: Applications
    platforms: AskPlatform
    append: AppendFacts
