"""PKCE (RFC 7636), at every platform where a flow was begun with a challenge."""

import base64
import hashlib
from dataclasses import dataclass

from ops.sandbox.contract import Call

FIELDS = ("code_challenge", "code_challenge_method")
"""What an authorization request carries."""


@dataclass(frozen=True, slots=True)
class Challenge:
    value: str
    method: str


def challenge_of(call: Call) -> Challenge | None:
    """What a flow was begun with; None without a challenge. The method is ``plain`` where it is not named (4.3)."""
    value = call.text("code_challenge")
    return None if value is None else Challenge(value, call.text("code_challenge_method") or "plain")


def proven(challenge: Challenge | None, call: Call) -> bool:
    """Whether a token request may have the code: with the verifier of its challenge (4.6), and with none otherwise.

    A verifier without a challenge is refused, as RFC 9700 2.1.1 demands: somebody has taken the challenge out.
    """
    verifier = call.text("code_verifier")
    if challenge is None or verifier is None:
        return challenge is None and verifier is None
    if challenge.method == "plain":
        return verifier == challenge.value
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return challenge.method == "S256" and digest == challenge.value
