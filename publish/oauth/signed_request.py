"""Verify a ``signed_request``, which is posted when a person removes the application (``meta.md`` 6)."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from ops.runtime import platform_protocol
from ops.runtime.text import parsed_json


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """``user_id`` is app-scoped; ``issued_at`` in seconds since 1970, 0 where it was not said."""

    user_id: str
    issued_at: int


def verified(text: str, secrets: Iterable[str]) -> SignedRequest | None:
    """Return the request if one of the secrets signed it; None if not, or if it cannot be read.

    The digest is over the second part as received, still encoded.
    """
    given, _, payload = text.partition(".")
    signature = _decoded(given)
    if signature is None or not payload:
        return None
    signed = payload.encode(errors="replace")
    digests = [hmac.digest(secret.encode(), signed, hashlib.sha256) for secret in secrets if secret]
    if not any(hmac.compare_digest(signature, digest) for digest in digests):
        return None
    document = parsed_json(_decoded(payload) or b"")
    if not isinstance(document, dict) or str(document.get("algorithm")).upper() != "HMAC-SHA256":
        return None
    user, issued = platform_protocol.text(document.get("user_id")), platform_protocol.moment(document.get("issued_at"))
    return SignedRequest(user, int(issued.timestamp()) if issued else 0) if user else None


def _decoded(text: str) -> bytes | None:
    """base64url without its padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
