"""Passwords: Argon2id, 64 MiB and a good part of a processor each, so never many at once."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from precis_i18n import get_profile

AT_ONCE = 2
"""Threads of our own: a flood of logins takes neither the memory nor the threads that webhooks need."""

IN_LINE = 20
SHORTEST, LONGEST = 12, 256
"""Of a password, in characters of its normal form."""

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
_hasher = PasswordHasher()
_opaque_string = get_profile("OpaqueString")

_waiting = 0


class Unfit(ValueError):  # noqa: N818  an answer
    """It holds what no password can hold."""


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


def normalised(password: str) -> str:
    """RFC 8265's OpaqueString: keyboards and systems write one password in several ways. Raises Unfit."""
    try:
        found: str = _opaque_string.enforce(password) if password else ""
    except UnicodeEncodeError:
        says = "a password cannot hold control characters, invisible ones, or such as no standard knows"
        raise Unfit(says) from None
    return found


def same(typed: str, normal: str) -> bool:
    """Whether what was typed has this normal form."""
    try:
        return normalised(typed) == normal
    except Unfit:
        return False


async def hashed(password: str) -> str:
    """Of a password in its normal form."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verified(password: str, kept: str | None) -> str | None:
    """The hash to keep from now on if it is the password that was hashed, else None.

    It is another than ``kept`` where that is of the password as it was typed, as releases before kept it. A wrong one
    takes as long where there is none. At most :data:`LONGEST` characters; longer ones were never taken.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, _verified, password, kept)


def _verified(password: str, kept: str | None) -> str | None:
    try:
        normal = normalised(password)
    except Unfit:
        normal = password
    forms = [form for form in dict.fromkeys((normal, password)) if len(form) <= LONGEST]
    right = next((form for form in forms if _matches(kept, form)), None)
    if right is None or not kept:
        return None
    return kept if right == normal else _hasher.hash(normal)


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
