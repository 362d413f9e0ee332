"""Pending logins: somebody gave the right password and has yet to give a second factor.

A pending login opens nothing but the second step, and only the browser in which the password was given has its token.
"""

from dataclasses import dataclass

import asyncpg

from ops.access import pending_login_store
from ops.access.tokens import digest, new_token

LIFETIME_MINUTES = 5
MAX_ATTEMPTS = 5
"""How many codes may be tried with one."""


class PendingLoginEndedError(Exception):
    """Raised where the pending login ended: the user logs in from the beginning."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A login whose second step is to come."""

    token: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a second factor. ``last`` says that no other is allowed with this pending login."""

    user: str
    email: str
    last: bool


async def begin(connection: asyncpg.Connection, user: str) -> PendingLogin:
    token = new_token()
    await pending_login_store.insert(connection, digest(token), user, LIFETIME_MINUTES)
    return PendingLogin(token)


async def find_user(connection: asyncpg.Connection, token: str) -> str | None:
    """Return the id of the user who is logging in, or None if the pending login ended."""
    return await pending_login_store.find_user(connection, digest(token), MAX_ATTEMPTS)


async def count_attempt(connection: asyncpg.Connection, token: str) -> Attempt:
    """Count an attempt before the code is checked, so that parallel requests get no more than are allowed.

    Raises PendingLoginEndedError.
    """
    found = await pending_login_store.count_attempt(connection, digest(token), MAX_ATTEMPTS)
    if found is None:
        raise PendingLoginEndedError
    return Attempt(found.user, found.email, found.attempts >= MAX_ATTEMPTS)


async def finish(connection: asyncpg.Connection, token: str) -> None:
    """End it for the request that proved the factor.

    Raises PendingLoginEndedError where another request was first, or time is up.
    """
    if not await pending_login_store.take(connection, digest(token)):
        raise PendingLoginEndedError


async def end(connection: asyncpg.Connection, token: str) -> None:
    await pending_login_store.delete(connection, digest(token))
