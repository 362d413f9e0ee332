"""Meta's ``signed_request``: what it posts when a person removes the application (``meta.md`` 6)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

LATEST = 10**11
"""Seconds since 1970, in the year 5138: what is later is no time."""


@dataclass(frozen=True, slots=True)
class Wish:
    """``user_id`` is app-scoped; ``issued_at`` in seconds since 1970, 0 where it was not said."""

    user_id: str
    issued_at: int


def opened(text: str, secrets: Iterable[str]) -> Wish | None:
    """What was signed with one of the secrets; None for what was not, or cannot be read.

    The digest is over the second part as received, still encoded.
    """
    given, _, payload = text.partition(".")
    signature = _decoded(given)
    if signature is None or not payload:
        return None
    digests = [hmac.digest(secret.encode(), payload.encode(), hashlib.sha256) for secret in secrets if secret]
    if not any(hmac.compare_digest(signature, digest) for digest in digests):
        return None
    try:
        document = json.loads(_decoded(payload) or b"")
        if str(document["algorithm"]).upper() != "HMAC-SHA256":
            return None
        wish = Wish(str(document["user_id"]), int(document.get("issued_at") or 0))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return wish if wish.user_id.isprintable() and 0 <= wish.issued_at < LATEST else None


def _decoded(text: str) -> bytes | None:
    """base64url without its padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
