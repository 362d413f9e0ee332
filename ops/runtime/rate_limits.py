"""Rate limits of platforms, as their responses report them, stored in PostgreSQL for every process."""

from collections.abc import Sequence

import structlog

from ops.runtime import rate_limit_store
from ops.runtime.db import Pool, describe
from ops.runtime.platform_protocol import PlatformError, RateLimitStatus
from ops.runtime.tenancy import NO_TENANT, tenant_transaction

SLOW, STOP = 75, 95
"""Percent of a rate limit (``meta.md`` 11): from the first on there are pauses, from the second on no requests."""

SLOW_SECONDS, STOP_SECONDS = 60.0, 300.0
"""The longest of those pauses, and how long no request is sent where no reset time is given."""

HELD = "budget"
"""The code of the problem when the platform was not asked."""

LONGEST_SECONDS = 86_400.0
"""No documented rate limit takes longer to be reset; whatever a response says, requests go on after that."""

MOST = 1000
"""Percent: a platform may count beyond 100, and a wrong response may contain any number."""

log = structlog.get_logger()


def pause(said: Sequence[RateLimitStatus]) -> float:
    """Return the seconds to wait, by everything that a response says of one rate limit."""
    spent = [usage.seconds for usage in said if usage.percent >= STOP]
    if spent:
        return min(max(spent) or STOP_SECONDS, LONGEST_SECONDS)
    slow = [usage for usage in said if usage.percent >= SLOW]
    return max((min(_share(usage) * SLOW_SECONDS, usage.seconds or SLOW_SECONDS) for usage in slow), default=0.0)


def _share(usage: RateLimitStatus) -> float:
    """Return how far into the slow part a rate limit is; more than 0."""
    return (usage.percent - SLOW + 1) / (STOP - SLOW)


class RateLimits:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def require(self, who: str, platform: str, instance: str, account: str) -> None:
        """Raise PlatformError while a rate limit of the account, or of the whole application, is used up."""
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            held = await rate_limit_store.held(connection, platform, instance, account)
        if held is not None:
            until, seconds = held
            message = (
                f"{who} asks for patience: it was asked too often. It is asked again after {until:%H:%M} UTC; nothing"
                " has to be done until then."
            )
            raise PlatformError("transient", message, HELD, seconds)

    async def note(self, platform: str, instance: str, account: str, said: Sequence[RateLimitStatus]) -> float:
        """Store what a response said and return the seconds for which the account must wait.

        What is said of an account's own limit is not stored while the account is unknown.
        """
        app, own = ([usage for usage in said if usage.whole_app == whole] for whole in (True, False))
        kept = [("", app)] if app else []
        if account and own:
            kept.append((account, own))
        if kept:
            try:
                async with tenant_transaction(self._pool, NO_TENANT) as connection:
                    for subject, found in kept:
                        percent = min(max(usage.percent for usage in found), MOST)
                        await rate_limit_store.save(connection, platform, instance, subject, percent, pause(found))
            except Exception as error:  # noqa: BLE001  the same response may hold a token, which must not be lost for this
                log.warning("rate_limits.not_stored", platform=platform, error=describe(error))
        return max(pause(own), pause(app))
