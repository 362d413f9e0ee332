"""One row of the log, as the stages see it. Standard library only."""

import zlib
from dataclasses import dataclass
from datetime import datetime

BUCKETS = 64
"""How many leases the work is divided into. Changing it needs a migration: buckets are stored with the work."""


def bucket_of(provider: str, account_id: str) -> int:
    """The lease that all work of one account falls under; stable over processes, machines and versions."""
    return zlib.crc32(f"{provider}\x1f{account_id}".encode()) % BUCKETS


@dataclass(frozen=True, slots=True)
class Event:
    """What a projection may know of an event: nothing that depends on how often it was delivered, or on the work on it.

    ``external_id`` is unique within (provider, account_id) and is the event's identity; ``occurred_at`` is the
    platform's own clock for the thing itself, and None where the platform gives no stable one.
    """

    provider: str
    account_id: str
    external_id: str
    type: str
    payload: object
    occurred_at: datetime | None
