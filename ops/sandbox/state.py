"""The file format of a saved simulation: a digest that tells whether this release can read it, then a pickle."""

import hashlib
from functools import cache
from pathlib import Path

DIGEST_BYTES = 32


class UnreadableStateError(Exception):
    """The bytes were not written by this release, or are damaged."""


def seal_state(state: bytes) -> bytes:
    return _digest(state) + state


def unseal_state(content: bytes) -> bytes:
    """Return the bytes that were given to :func:`seal_state`.

    Raises UnreadableStateError for those of another release: its objects may lack what this code expects.
    """
    digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest != _digest(state):
        raise UnreadableStateError("written by another release, or damaged")
    return state


def _digest(state: bytes) -> bytes:
    return hashlib.sha256(_code() + state).digest()


@cache
def _code() -> bytes:
    """A digest of the sandbox's source code."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).digest()
