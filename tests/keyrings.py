"""Keyrings of a key service, for the tests: ``LANDFALL_VAULT_RING`` can name the functions here."""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from publish.vault.envelope import LocalRing, VaultError
from tests.rig import KEYS

WRAPPED_BYTES = 184
_SERVICE = AESGCM(bytes([9]) * 32)


class KeyService:
    """Its wrapped keys are longer than a local ring's and say what they are under; ``local`` opens what was before."""

    primary = "service/key-1"

    def __init__(self, local: LocalRing | None = None) -> None:
        self._local = local
        self.away = False

    @property
    def names(self) -> Sequence[str]:
        return [self.primary, *(self._local.names if self._local else ())]

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        if self.away:
            raise ConnectionError("canary: what a client library says")
        nonce = os.urandom(12)
        blob = nonce + _SERVICE.encrypt(nonce, key, bound)
        return self.primary.encode().ljust(WRAPPED_BYTES - len(blob), b".") + blob

    def unwrap(self, name: str, wrapped: bytes, bound: bytes) -> bytes:
        if self._local is not None and name in self._local.names:
            return self._local.unwrap(name, wrapped, bound)
        if name != self.primary:
            raise VaultError(f"the service has no key {name}")
        blob = wrapped.removeprefix(self.primary.encode().ljust(WRAPPED_BYTES - 60, b"."))
        try:
            return _SERVICE.decrypt(blob[:12], blob[12:], bound)
        except InvalidTag:
            raise VaultError("the service does not know this key, or the secret is not of this place") from None


def service() -> KeyService:
    return KeyService()


def moving() -> KeyService:
    """Seals with the service, and opens what the rig's local keys sealed."""
    return KeyService(LocalRing(KEYS))


def nothing() -> object:
    return object()


def broken() -> KeyService:
    raise RuntimeError("canary: a password")


def refused() -> KeyService:
    raise VaultError("the service has no key of this name")
