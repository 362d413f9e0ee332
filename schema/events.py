"""One row of the log, as the stages see it. Standard library only."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

BUCKETS = 256
"""How many buckets accounts are divided into. Changing it needs a migration: buckets are stored with the rows."""


@lru_cache(maxsize=4096)
def bucket_of(provider: str, account_id: str) -> int:
    """The bucket of all that belongs to one account; stable over processes, machines and versions.

    The function ``bucket_of`` of the database computes the same.
    """
    digest = hashlib.sha256(f"{provider}\x1f{account_id}".encode()).digest()
    return int.from_bytes(digest[:2]) % BUCKETS


def identity_of(provider: str, account_id: str, external_id: str) -> UUID:
    """The name of an event, the same for each of its deliveries: 48 bits of the account's hash, 80 of its own.

    Names of one account stand together, so that those of an erased account can be found when its events are long gone.
    The function ``identity_of`` of the database computes the same.
    """
    account = f"{provider}\x1f{account_id}".encode()
    event = account + b"\x1f" + external_id.encode()
    return UUID(bytes=hashlib.sha256(account).digest()[:6] + hashlib.sha256(event).digest()[:10])


class Event(NamedTuple):
    """What a projection may know of an event: nothing that depends on how often it was delivered, or on the work on it.

    A tuple, since a frozen dataclass takes four times as long to make, and one is made for every event.
    ``external_id`` is unique within (provider, account_id) and is the event's identity; ``occurred_at`` is the
    platform's own clock for the thing itself, and None where the platform gives no stable one.
    """

    provider: str
    account_id: str
    external_id: str
    type: str
    payload: object
    occurred_at: datetime | None
