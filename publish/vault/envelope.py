"""Secrets at rest: AES-256-GCM with a key of its own for each, wrapped by a key from outside the database.

A sealed secret is bound to its place: tenant, connection and field are authenticated with it, so a ciphertext that is
moved to another row does not open. The wrapping keys stand in ``LANDFALL_VAULT_KEYS``; :class:`Ring` is the hook for a
key service that wraps and unwraps without handing its keys out, and ``LANDFALL_VAULT_RING`` names what makes one.
"""

import base64
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schema.configuration import Variable
from schema.sealing import Place

VAULT_KEYS = KEYS = Variable(
    "LANDFALL_VAULT_KEYS",
    "Keys for tokens at rest, as name:key, the one to seal with first; `landfall vault key` makes one",
)

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
VERSION = 2
"""Of the bytes. Version 1 had no length of the wrapped key: it could only be that of a local ring."""

LOCAL_WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
LONGEST_NAME, LONGEST_WRAPPED = 2**8 - 1, 2**16 - 1
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")


class VaultError(Exception):
    """A secret cannot be sealed or opened; the text never holds one."""


@runtime_checkable
class Ring(Protocol):
    """Wraps keys. ``primary`` is the name of the key it seals with, ``names`` are those it can still open.

    ``wrap`` and ``unwrap`` are called on the event loop and wait for nothing long: a ring that asks a service keeps
    what it was told. ``unwrap`` fails where ``bound`` is not what the key was wrapped with.
    """

    @property
    def primary(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def wrap(self, key: bytes, bound: bytes) -> bytes: ...

    def unwrap(self, name: str, wrapped: bytes, bound: bytes) -> bytes: ...


class LocalRing:
    """Keys that this process holds, the primary one first."""

    def __init__(self, keys: Sequence[str]) -> None:
        """``keys`` as ``name:base64``. Raises VaultError, which names the place in the list and never the key."""
        self._keys: dict[str, AESGCM] = {}
        for number, text in enumerate(keys, 1):
            name, _, encoded = text.partition(":")
            try:
                key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            except ValueError:
                key = b""
            if not _NAME.fullmatch(name) or len(key) != KEY_BYTES:
                raise VaultError(
                    f"{KEYS.name}: the key at place {number} is not name:key with {KEY_BYTES} bytes in base64;"
                    " `landfall vault key` makes one"
                )
            if name in self._keys:
                raise VaultError(f"{KEYS.name}: two keys are called {name}")
            self._keys[name] = AESGCM(key)
        if not self._keys:
            raise VaultError(f"{KEYS.name} is not set; `landfall vault key` makes a key")

    @property
    def primary(self) -> str:
        return next(iter(self._keys))

    @property
    def names(self) -> Sequence[str]:
        return list(self._keys)

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._keys[self.primary].encrypt(nonce, key, bound)

    def unwrap(self, name: str, wrapped: bytes, bound: bytes) -> bytes:
        known = self._keys.get(name)
        if known is None:
            raise VaultError(f"the key {name} is not in {KEYS.name}; put it back until `landfall vault status` shows 0")
        try:
            return known.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
        except InvalidTag:
            raise VaultError(f"the key {name} is another one than it was, or the secret is not of this place") from None


def new_key() -> str:
    """A key for the list, with a name that sorts by time."""
    return f"k{secrets.token_hex(4)}:{base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode().rstrip('=')}"


class Vault:
    """Seals and opens.

    The bytes are: version, length of the key's name, the name, length of the wrapped key in two bytes, the wrapped key,
    nonce, text.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    @property
    def primary(self) -> str:
        return self._ring.primary

    @property
    def names(self) -> Sequence[str]:
        return self._ring.names

    def seal(self, secret: str, place: Place) -> bytes:
        key, nonce = AESGCM.generate_key(KEY_BYTES * 8), os.urandom(NONCE_BYTES)
        return self._wrapped(key, place) + nonce + AESGCM(key).encrypt(nonce, secret.encode(), place.bound)

    def open(self, sealed: bytes, place: Place) -> str:
        """Raises VaultError for what was not sealed for this place by a key of the ring."""
        name, wrapped, rest = _parts(sealed)
        key = self._unwrapped(name, wrapped, place)
        try:
            return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], place.bound).decode()
        except InvalidTag:
            raise VaultError("the secret was changed") from None

    def rewrap(self, sealed: bytes, place: Place) -> bytes:
        """The same secret under the primary key; what is inside is not opened."""
        name, wrapped, rest = _parts(sealed)
        return self._wrapped(self._unwrapped(name, wrapped, place), place) + rest

    def _wrapped(self, key: bytes, place: Place) -> bytes:
        primary = self._ring.primary
        with _speaking("wrap", primary):
            wrapped = self._ring.wrap(key, place.bound)
        name = primary.encode()
        if not 0 < len(name) <= LONGEST_NAME or not 0 < len(wrapped) <= LONGEST_WRAPPED:
            raise VaultError(
                f"the ring of keys gives a name of {len(name)} and a wrapped key of {len(wrapped)} bytes;"
                f" there is room for {LONGEST_NAME} and {LONGEST_WRAPPED}"
            )
        return bytes((VERSION, len(name))) + name + len(wrapped).to_bytes(2) + wrapped

    def _unwrapped(self, name: str, wrapped: bytes, place: Place) -> bytes:
        with _speaking("unwrap", name):
            key = self._ring.unwrap(name, wrapped, place.bound)
        if len(key) != KEY_BYTES:
            raise VaultError(f"what the ring of keys unwraps with {name} is no key of {KEY_BYTES} bytes")
        return key


@contextmanager
def _speaking(verb: str, name: str) -> Iterator[None]:
    """A key service fails in its own words, which may hold anything."""
    try:
        yield
    except VaultError:
        raise
    except Exception as error:  # noqa: BLE001
        raise VaultError(f"the ring of keys could not {verb} with {name} ({error.__class__.__name__})") from None


def key_name(sealed: bytes) -> str:
    """The name of the key that a secret is under; the secret's beginning, until the name ends, is enough."""
    if sealed[:1] not in (b"\x01", bytes((VERSION,))) or len(sealed) < 2:
        raise VaultError("this is no sealed secret, or one of a later release")
    return sealed[2 : 2 + sealed[1]].decode(errors="replace")


def _parts(sealed: bytes) -> tuple[str, bytes, bytes]:
    """The key's name, the wrapped key, and the rest."""
    name = key_name(sealed)
    start, wrapped_bytes = 2 + sealed[1], LOCAL_WRAPPED_BYTES
    if sealed[0] == VERSION:
        wrapped_bytes = int.from_bytes(sealed[start : start + 2])
        start += 2
    end = start + wrapped_bytes
    if len(sealed) < end + NONCE_BYTES + TAG_BYTES:
        raise VaultError("this is no sealed secret, or one that was cut off")
    return name, sealed[start:end], sealed[end:]
