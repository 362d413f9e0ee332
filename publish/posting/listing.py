"""List and count posts, and the accounts that they can be published with."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store
from publish.posting.errors import PostError, no_post
from publish.posting.post_store import STATUSES, Account, PostFilter, StoredPost, Tally
from publish.posting.posts import Posts
from schema.states import TargetState

PAGE_SIZE = 50
MOST_LISTED = 200


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

    async def page(self, tenant: str, wanted: PostFilter, limit: int = PAGE_SIZE) -> Page:
        """Return posts that fit, at most ``limit``, the newest first. Raises PostError for a state that is unknown."""
        known_state(wanted.state)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.listed(connection, wanted, limit + 1)
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
    if state is not None and state not in (*STATUSES, *(str(each) for each in TargetState)):
        message = f"There is no state {state[:40]!r}."
        known = ", ".join((*STATUSES, *TargetState))
        raise PostError("invalid_request", message, f"name one of {known}", status=400)


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
