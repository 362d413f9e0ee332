"""How often a platform may still be asked: what its answers say, kept in PostgreSQL, where every process sees it."""

from collections.abc import Sequence

import structlog

from ops.runtime import rate_limit_store
from ops.runtime.db import Pool, describe
from ops.runtime.platform_protocol import Problem, Usage
from ops.runtime.tenancy import NO_TENANT, tenant_transaction

SLOW, STOP = 75, 95
"""Percent of a budget (``meta.md`` 11): from the one on there are pauses, from the other on nobody asks."""

SLOW_SECONDS, STOP_SECONDS = 60.0, 300.0
"""The longest of those pauses, and how long nobody asks where it is not said when the budget is whole again."""

HELD = "budget"
"""The code of the problem that nobody was asked for."""

LONGEST_SECONDS = 86_400.0
"""No documented budget takes longer to be whole again; whatever an answer says, it is asked again after that."""

MOST = 1000
"""Percent: a platform may count on beyond the end, and nonsense may say anything."""

log = structlog.get_logger()


def pause(said: Sequence[Usage]) -> float:
    """Seconds for which one budget is left alone, by everything that an answer says of it."""
    spent = [usage.seconds for usage in said if usage.percent >= STOP]
    if spent:
        return min(max(spent) or STOP_SECONDS, LONGEST_SECONDS)
    slow = [usage for usage in said if usage.percent >= SLOW]
    return max((min(_share(usage) * SLOW_SECONDS, usage.seconds or SLOW_SECONDS) for usage in slow), default=0.0)


def _share(usage: Usage) -> float:
    """How far into the slow part a budget is; never none of it."""
    return (usage.percent - SLOW + 1) / (STOP - SLOW)


class Budgets:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def insist(self, who: str, platform: str, instance: str, account: str) -> None:
        """Raises Problem while the account, or the whole application, is to leave the platform alone."""
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            held = await rate_limit_store.held(connection, platform, instance, account)
        if held is not None:
            until, seconds = held
            says = (
                f"{who} asks for patience: it was asked too often. It is asked again after {until:%H:%M} UTC; nothing"
                " has to be done until then."
            )
            raise Problem("transient", says, HELD, seconds)

    async def note(self, platform: str, instance: str, account: str, said: Sequence[Usage]) -> float:
        """Keep what an answer said; for how many seconds the account is left alone now.

        What is said of an account's budget before anybody knows whose account it is cannot be kept.
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
                        await rate_limit_store.spent(connection, platform, instance, subject, percent, pause(found))
            except Exception as error:  # noqa: BLE001  a token that the same answer brought is worth more than this
                log.warning("budget.not_kept", platform=platform, error=describe(error))
        return max(pause(own), pause(app))
