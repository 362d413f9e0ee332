"""List and count posts, and the accounts that they can be published with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store
from publish.posting.errors import PostError, no_post
from publish.posting.history import History, history_of
from publish.posting.post_store import ONLY, STATUSES, Account, Planned, PostFilter, StoredPost, Tally
from publish.posting.posts import Posts
from schema.states import TargetState

PAGE_SIZE = 50
MOST_LISTED = 200
MOST_PLANNED = 2000


@dataclass(frozen=True, slots=True)
class Page:
    """Posts, the newest first. ``before`` is where the next page begins; None at the end."""

    posts: Sequence[StoredPost]
    before: str | None


@dataclass(frozen=True, slots=True)
class PostListing:
    posts: Posts

    async def one(self, tenant: str, id_: str) -> StoredPost:
        """Return a post. Raises PostError where there is none."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.one(connection, id_)
        if found is None:
            raise no_post()
        return found

    async def history(self, tenant: str, id_: str) -> History:
        """Return when the targets of a post came to their states, and what happens next. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.one(connection, id_)
            if found is None:
                raise no_post()
            events = await post_store.events(connection, id_)
            return history_of(found, events, await post_store.clock(connection))

    async def histories(self, tenant: str, posts: Sequence[StoredPost]) -> list[History]:
        """Return the same of several posts, or actions, that were read before."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            now = await post_store.clock(connection)
            return [history_of(post, await post_store.events(connection, post.id), now) for post in posts]

    async def planned(
        self, tenant: str, since: datetime, until: datetime, *, connection: str | None, campaign: str | None
    ) -> list[Planned]:
        """Return what accounts are to publish from one time until another, in that order; at most ``MOST_PLANNED``."""
        async with tenant_transaction(self.posts.pool, tenant) as opened:
            return await post_store.planned(
                opened, tenant, since, until, connection_id=connection, campaign=campaign, limit=MOST_PLANNED
            )

    async def usual_zone(self, tenant: str) -> str:
        """Return the zone in which a tenant scheduled last; UTC for none."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await post_store.latest_zone(connection, tenant) or "UTC"

    async def page(self, tenant: str, wanted: PostFilter, limit: int = PAGE_SIZE) -> Page:
        """Return posts that fit, at most ``limit``, the newest first. Raises PostError for a state that is unknown."""
        known_state(wanted.state)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.listed(connection, tenant, wanted, limit + 1)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def summary(self, tenant: str, campaign: str | None = None) -> dict[str, object]:
        """Count targets by the user's words and by state, in all, per platform and per campaign."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.tallies(connection, campaign)
        return {
            **_counted(found),
            "platforms": {name: _counted(each) for name, each in _grouped(found, lambda t: t.platform).items()},
            "campaigns": {
                name: _counted(each) for name, each in _grouped(found, lambda t: t.campaign_id or "").items() if name
            },
        }

    async def accounts(self, tenant: str) -> list[Account]:
        """Return the connected accounts of platforms to which posts can be published."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.accounts(connection)
        return [account for account in found if account.platform in self.posts.publishers]


def known_state(state: str | None) -> None:
    """Raises PostError for what is neither a state nor the user's word for one."""
    if state is not None and not post_store.states_of(state):
        message = f"There is no state {state[:40]!r}."
        remedy = f"name one of {', '.join((*STATUSES, *TargetState))}; {ONLY}failed is that state alone"
        raise PostError("invalid_request", message, remedy, status=400)


def _grouped(tallies: Sequence[Tally], name: Any) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(name(tally), []).append(tally)
    return found


def _counted(tallies: Sequence[Tally]) -> dict[str, object]:
    words, states = Counter(dict.fromkeys(STATUSES, 0)), Counter[str]()
    for tally in tallies:
        words[post_store.STATUS[tally.state]] += tally.targets
        states[str(tally.state)] += tally.targets
    return {"total": sum(states.values()), **words, "states": dict(states)}
