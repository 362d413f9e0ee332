"""Addresses at which a platform may fetch a file: each for one attempt of one target, expiring and revocable.

Whoever has the address has the file, so only a digest of it is kept, and it is never logged.
"""

import asyncpg
import uuid_utils

from ops.access.tokens import digest, new_token
from publish.media import link_store
from publish.media.link_store import Fetch

PATH = "/media"


class Links:
    """``public_url`` is the address of the web process as platforms know it."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    async def make(
        self, connection: asyncpg.Connection, tenant: str, media_id: str, target_id: str, attempt: int, seconds: int
    ) -> str:
        """Return an address that leads to the file for so many seconds, for the only time."""
        token = new_token()
        id_ = str(uuid_utils.uuid7())
        await link_store.insert(connection, tenant, id_, media_id, target_id, attempt, digest(token), seconds)
        return f"{self._public_url}{PATH}/{token}"


async def revoke(connection: asyncpg.Connection, tenant: str, target_id: str) -> int:
    """End all addresses of a target. Return how many led to a file until now.

    What is being sent stops with the piece under way. A fetch whose ``last_byte`` is None may be that one: wait for it.
    """
    return await link_store.revoke(connection, tenant, target_id)


async def fetches(connection: asyncpg.Connection, tenant: str, target_id: str) -> list[Fetch]:
    """Return who fetched what by the addresses of a target, the first request first."""
    return await link_store.fetches(connection, tenant, target_id)


async def fetches_about(connection: asyncpg.Connection, tenant: str, id_: str) -> list[Fetch] | None:
    """Return who fetched a file, or what a post or one of its targets shows; None where nothing has this id."""
    return await link_store.fetches_about(connection, tenant, id_)
