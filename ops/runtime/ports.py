"""What one stage needs of another, as protocols: the command line passes the implementations in.

A pull takes all three: a token for the account (``publish.connections.refresh.Refresher``), a way to ask its platform
(``ops.runtime.platform_client.PlatformClient``), and the log to append what was read to (``ingest.store.append_own``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from ops.runtime.platform_protocol import Steps, T


class AccessTokens(Protocol):
    """Gives tokens for connected accounts."""

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        """Return the secrets of a connection by name, refreshed if they end soon. Raises PlatformError."""


class Api(Protocol):
    """The addresses of a platform's interface: of the platform itself, of one instance, or of a sandbox."""

    def url(self, host: str, path: str) -> str:
        """Return the address of a path at one of the platform's hosts, by the host's name in the platform's file."""


class AskPlatform(Protocol):
    """Asks platforms, within their rate limits."""

    async def require_allowed(self, platform: str, instance: str = "", account: str = "") -> None:
        """Raise PlatformError while a rate limit of the account, or of the whole application, is used up."""

    async def run(self, steps: Steps[T], *, platform: str, instance: str = "", account: str = "") -> T:
        """Run the steps to their end and return what they found. Raises PlatformError."""


class Fact(NamedTuple):
    """An event of our own, such as an answer that was read from a platform.

    ``external_id`` is the same whenever the same fact is read again; ``payload`` is JSON text that jsonb takes.
    """

    platform: str
    rule_version: int
    account_id: str
    type: str
    external_id: str
    payload: str
    occurred_at: datetime | None = None
    sanitized: bool = False


class AppendFact(Protocol):
    """Appends to the log."""

    async def __call__(self, fact: Fact) -> None:
        """Append a fact and return once it is committed; a fact that the log has is left as it is."""


@dataclass(frozen=True, slots=True)
class Pulling:
    """Everything that a pull needs of the other stages."""

    tokens: AccessTokens
    platforms: AskPlatform
    append: AppendFact
