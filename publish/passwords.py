"""Passwords: Argon2id, 64 MiB and a good part of a processor each, so never many at once."""

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
"""Threads of our own: a flood of logins takes neither the memory nor the threads that webhooks need."""

IN_LINE = 20
SHORTEST, LONGEST = 12, 256
"""Of a password, in characters."""

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
_hasher = PasswordHasher()

_waiting = 0


class Busy(Exception):  # noqa: N818  an answer
    """More people want to log in than can be looked at; a moment later it works."""


@contextmanager
def line() -> Iterator[None]:
    """A place among those whose password is looked at. Raises Busy, before anything is looked at."""
    global _waiting  # noqa: PLW0603  there is one line in a process, as there is one processor
    if _waiting >= AT_ONCE + IN_LINE:
        raise Busy
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1


def generated() -> str:
    """One that nobody guesses, to be shown once."""
    return secrets.token_urlsafe(12)


async def hashed(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def fits(password: str, kept: str | None) -> bool:
    """Whether it is the one that was hashed; takes as long where there is none."""
    right = await asyncio.get_running_loop().run_in_executor(_threads, _matches, kept, password[:LONGEST])
    return right and kept is not None


@cache
def _nobodys() -> str:
    """Verified where there is no such person, so that the time it takes tells nothing."""
    return _hasher.hash("a password that nobody has")


def _matches(kept: str | None, password: str) -> bool:
    nobodys = _nobodys()
    try:
        return _hasher.verify(kept or nobodys, password)
    except (VerificationError, InvalidHashError):
        return False
