"""Hash passwords with Argon2id: 64 MiB and a good part of a processor each, so never many at once."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from precis_i18n import get_profile

MAX_CONCURRENT = 2
"""Threads of our own: a flood of logins takes neither the memory nor the threads that webhooks need."""

MAX_QUEUED = 20
MIN_LENGTH, MAX_LENGTH = 12, 256
"""Of a password, in characters of its normal form."""

_threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="password")
_hasher = PasswordHasher()
_opaque_string = get_profile("OpaqueString")

_waiting = 0


class InvalidPasswordError(ValueError):
    """Raised for what cannot be a password. The text says why."""


class OverloadedError(Exception):
    """Raised where too many passwords wait to be hashed. Trying again a moment later works."""


@contextmanager
def hashing_slot() -> Iterator[None]:
    """Hold a place among those whose password is hashed. Raises OverloadedError, before anything is hashed."""
    global _waiting  # noqa: PLW0603  there is one queue in a process, as there is one processor
    if _waiting >= MAX_CONCURRENT + MAX_QUEUED:
        raise OverloadedError
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1


def normalize(password: str) -> str:
    """Return a password in RFC 8265's OpaqueString form: keyboards write one password in several ways.

    Raises InvalidPasswordError.
    """
    try:
        found: str = _opaque_string.enforce(password) if password else ""
    except UnicodeEncodeError:
        problem = "a password cannot contain control characters, invisible characters or unassigned characters"
        raise InvalidPasswordError(problem) from None
    return found


def has_normal_form(typed: str, normal: str) -> bool:
    """Return whether what was typed has this normal form."""
    try:
        return normalize(typed) == normal
    except InvalidPasswordError:
        return False


async def hash_password(password: str) -> str:
    """Return the hash of a password in its normal form."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, stored_hash: str | None) -> str | None:
    """Return the hash to store from now on if the password is right, else None.

    It differs from ``stored_hash`` if that is of the password as it was typed, as earlier releases stored it. A wrong
    password takes as long where there is no hash. Passwords have at most :data:`MAX_LENGTH` characters.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password, stored_hash)


def _verify(password: str, stored_hash: str | None) -> str | None:
    try:
        normal = normalize(password)
    except InvalidPasswordError:
        normal = password
    forms = [form for form in dict.fromkeys((normal, password)) if len(form) <= MAX_LENGTH]
    right = next((form for form in forms if _matches(stored_hash, form)), None)
    if right is None or not stored_hash:
        return None
    return stored_hash if right == normal else _hasher.hash(normal)


@cache
def _dummy_hash() -> str:
    """Return a hash to verify where there is no such user, so that the time it takes tells nothing."""
    return _hasher.hash("a password that nobody has")


def _matches(stored_hash: str | None, password: str) -> bool:
    dummy = _dummy_hash()
    try:
        return _hasher.verify(stored_hash or dummy, password)
    except (VerificationError, InvalidHashError):
        return False
