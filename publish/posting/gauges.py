"""Measure unconfirmed targets, overdue targets, and what is left of quotas."""

from collections.abc import Awaitable, Callable, Mapping

import asyncpg

from ops.runtime import metrics
from ops.runtime.db import transaction
from ops.runtime.tenancy import ALL_TENANTS, set_tenant
from publish.posting import post_store
from publish.posting.acceptance import Publisher


def measurer(publishers: Mapping[str, Publisher]) -> Callable[[asyncpg.Connection], Awaitable[None]]:
    """Return what sets the gauges of posts."""

    async def measure_posts(connection: asyncpg.Connection) -> None:
        async with transaction(connection):
            await set_tenant(connection, ALL_TENANTS)
            waiting = await post_store.waiting(connection)
            left: dict[str, tuple[int, int]] = {}
            for name, publisher in publishers.items():
                for quota in publisher.rules.quotas:
                    kinds = list(quota.kinds) or list(publisher.machines.machines)
                    used = await post_store.most_published(connection, name, kinds, quota.seconds)
                    found = max(0, quota.posts - used), quota.posts
                    left[name] = min(left.get(name, found), found)
        for name in publishers:
            unconfirmed, overdue = waiting.get(name, (0, 0))
            metrics.posts_unconfirmed.labels(name).set(unconfirmed)
            metrics.posts_overdue.labels(name).set(overdue)
        for name, (count, limit) in left.items():
            metrics.post_quota_left.labels(name).set(count)
            metrics.post_quota_limit.labels(name).set(limit)

    return measure_posts
