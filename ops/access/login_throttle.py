"""Limit how many passwords and codes somebody may try.

An attempt is counted before it is checked, as a failure until it turns out not to be one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import asyncpg

from ops.access import login_failure_store
from ops.access.tokens import digest

WINDOW_MINUTES = 15
MAX_ATTEMPTS_BY_EMAIL, MAX_ATTEMPTS_BY_NETWORK = 5, 30
MAX_ATTEMPTS_BY_DEVICE = MAX_ATTEMPTS_BY_SESSION = 5
"""How many attempts may fail within :data:`WINDOW_MINUTES`."""

_NETWORK = "address:"


class TooManyAttemptsError(Exception):
    """Raised where too many attempts failed; wait for :data:`WINDOW_MINUTES`."""


@dataclass(frozen=True, slots=True)
class CountedAttempt:
    """An attempt that was counted before it is checked.

    ``rows`` has the id of its row for each subject, ``shared`` are the subjects that others count for too. ``last``
    says whether it was the last one allowed.
    """

    rows: Mapping[bytes, int]
    shared: frozenset[bytes]
    last: bool


def network_of(address: str | None) -> str:
    """Return where an attempt comes from: an IPv4 address, or a /64 of IPv6, which belongs to one customer."""
    if address is None:
        return ""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
    return str(ip)


def login_limits(email: str, address: str | None, known_device: str) -> dict[str, int]:
    """Return the subjects that a login counts for, each with how many failures it may have.

    ``known_device`` is the token of a browser in which this user logged in before, or empty. Such a browser has a count
    of its own, so that strangers cannot lock the user out of it.
    """
    if known_device:
        return {f"device:{email}:{known_device}": MAX_ATTEMPTS_BY_DEVICE}
    return {f"email:{email}": MAX_ATTEMPTS_BY_EMAIL, f"{_NETWORK}{network_of(address)}": MAX_ATTEMPTS_BY_NETWORK}


def session_limits(token: str) -> dict[str, int]:
    """Return the subject of an attempt in a session, which no stranger has."""
    return {_session(token): MAX_ATTEMPTS_BY_SESSION}


async def count_attempt(connection: asyncpg.Connection, limits: Mapping[str, int]) -> CountedAttempt:
    """Count an attempt. Raises TooManyAttemptsError.

    Attempts are counted one after the other, and their subjects in one order, so that parallel requests get no more
    than are allowed and do not deadlock.
    """
    rows, last = {}, False
    for subject, limit in sorted((digest(subject), limit) for subject, limit in limits.items()):
        await login_failure_store.lock(connection, subject)
        count = await login_failure_store.count(connection, subject, WINDOW_MINUTES)
        if count >= limit:
            raise TooManyAttemptsError
        rows[subject] = await login_failure_store.insert(connection, subject)
        last |= count + 1 == limit
    shared = frozenset(digest(subject) for subject in limits if subject.startswith(_NETWORK))
    return CountedAttempt(rows, shared, last)


async def forgive(connection: asyncpg.Connection, attempt: CountedAttempt) -> None:
    """Delete an attempt that was right and the failures before it, except those of others in the same network."""
    for subject, id_ in attempt.rows.items():
        if subject in attempt.shared:
            await login_failure_store.delete(connection, subject, id_)
        else:
            await login_failure_store.delete_all(connection, subject)


async def withdraw(connection: asyncpg.Connection, attempt: CountedAttempt) -> None:
    """Delete an attempt, and leave the failures before it."""
    for subject, id_ in attempt.rows.items():
        await login_failure_store.delete(connection, subject, id_)


async def move_session(connection: asyncpg.Connection, old_token: str, new_token: str) -> None:
    """Count the failures of a session for its new token."""
    await login_failure_store.move(connection, digest(_session(old_token)), digest(_session(new_token)))


def _session(token: str) -> str:
    return f"session:{token}"
