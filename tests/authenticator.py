"""A passkey in software, and a phone's authenticator app: what a person holds, for tests that attack."""

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

USER_PRESENT, USER_VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def code_of(secret: str, step: int) -> str:
    """What the app shows in this time step."""
    return str(pyotp.TOTP(secret).generate_otp(step))


@dataclass
class Passkey:
    """One credential of WebAuthn level 2, with an ES256 key; it counts its uses."""

    origin: str
    rp_id: str = "localhost"
    id: bytes = field(default_factory=lambda: os.urandom(16))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    count: int = 0

    def create(self, options: dict[str, Any], **changed: str) -> str:
        """The answer to a registration, as JSON; ``changed`` replaces what the browser writes of itself."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cbor2.dumps(cose)
        data = self._data(USER_PRESENT | USER_VERIFIED | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, changed)
        return self._answer({"clientDataJSON": text_of(client), "attestationObject": text_of(attestation)})

    def get(self, options: dict[str, Any], *, flags: int = USER_PRESENT, **changed: str) -> str:
        """The answer to a login, as JSON."""
        self.count += 1
        data, client = self._data(flags), self._client("webauthn.get", options, changed)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": text_of(client),
                "authenticatorData": text_of(data),
                "signature": text_of(signature),
            }
        )

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + struct.pack(">BI", flags, self.count)

    def _client(self, kind: str, options: dict[str, Any], changed: dict[str, str]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | changed).encode()

    def _answer(self, response: dict[str, str]) -> str:
        id_ = text_of(self.id)
        return json.dumps({"id": id_, "rawId": id_, "type": "public-key", "response": response})
