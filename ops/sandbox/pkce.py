"""PKCE (RFC 7636), required on every platform if the flow began with a challenge."""

import base64
import hashlib
from dataclasses import dataclass

from ops.sandbox.contract import Call

FIELDS = ("code_challenge", "code_challenge_method")
"""Parameters of an authorization request."""


@dataclass(frozen=True, slots=True)
class Challenge:
    value: str
    method: str


def challenge_of(call: Call) -> Challenge | None:
    """Return the challenge of an authorization request; None without one. The method defaults to ``plain`` (4.3)."""
    value = call.text("code_challenge")
    return None if value is None else Challenge(value, call.text("code_challenge_method") or "plain")


def proven(challenge: Challenge | None, call: Call) -> bool:
    """Return whether a token request proves its flow: with the challenge's verifier (4.6), or without both.

    A verifier without a challenge is refused, as RFC 9700 2.1.1 demands: somebody has taken the challenge out.
    """
    verifier = call.text("code_verifier")
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    if challenge.method == "plain":
        return verifier == challenge.value
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return challenge.method == "S256" and digest == challenge.value
