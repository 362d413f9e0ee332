"""Ask a platform what an account may post at this moment, before a post is accepted: quotas, choices, limits."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import PlatformError
from publish.oauth.client_registration import ClientRegistrations
from publish.posting.contract import PostingPlatform
from publish.posting.post_store import Account
from publish.preflight.contract import AccountFacts

KEPT_SECONDS = 60.0
"""How long an answer counts: an account's choices change, and its limits are asked for in bursts."""

WAIT_SECONDS = 8.0
"""How long a person who makes a post waits for a platform; without its answer the documented limits count."""

MOST_KEPT = 1000

log = structlog.get_logger()


class AskAccount(Protocol):
    """Asks what an account may post."""

    async def __call__(self, tenant: str, account: Account) -> AccountFacts | None:
        """Return what the platform says now; None where it says nothing, or could not be asked."""


class Tokens(Protocol):
    """Gives tokens for connected accounts."""

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        """Return the secrets of a connection by name, refreshed if they end soon. Raises PlatformError."""

    async def recheck(self, tenant: str, id_: str) -> str:
        """Ask the platform what a connection may do, if it was not just asked, and store that; return the outcome."""


@dataclass(frozen=True, slots=True)
class Inquiries:
    """Asks platforms that have an inquiry, and keeps each answer for a minute.

    Connections that may have lost what they were allowed are checked before, which stores what came of it.
    """

    platforms: Mapping[str, PostingPlatform]
    client: PlatformClient
    clients: ClientRegistrations
    tokens: Tokens
    _kept: dict[str, tuple[float, AccountFacts]] = field(default_factory=dict)
    _checked: dict[str, float] = field(default_factory=dict)

    async def __call__(self, tenant: str, account: Account) -> AccountFacts | None:
        platform = self.platforms.get(account.platform)
        if platform is None:
            return None
        if platform.checked_first is not None and platform.checked_first(account.profile):
            await self._check(tenant, account)
        if platform.inquire is None:
            return None
        kept = self._kept.get(account.id)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                app = await self.clients.app(account.login_platform, account.instance, tenant)
                secrets = await self.tokens.access(tenant, account.id)
                found = await self.client.run(
                    platform.inquire(app, account.account_id, secrets),
                    platform=account.login_platform,
                    instance=account.instance,
                    account=account.account_id,
                )
        except (PlatformError, TimeoutError) as error:
            code = error.code if isinstance(error, PlatformError) else "timeout"
            log.info("posting.not_asked", platform=account.platform, connection=account.id, code=code)
            return None
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[account.id] = (time.monotonic(), found)
        return found

    async def _check(self, tenant: str, account: Account) -> None:
        """Have a connection checked: what is over there is so here too, before the post is compared with it."""
        if time.monotonic() - self._checked.get(account.id, -KEPT_SECONDS) < KEPT_SECONDS:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.tokens.recheck(tenant, account.id)
        except (PlatformError, TimeoutError) as error:
            code = error.code if isinstance(error, PlatformError) else "timeout"
            log.info("posting.not_asked", platform=account.platform, connection=account.id, code=code)
        if len(self._checked) >= MOST_KEPT:
            self._checked.clear()
        self._checked[account.id] = time.monotonic()
