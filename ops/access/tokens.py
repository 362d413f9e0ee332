"""Random tokens, and the digests that the database keeps of them."""

import hashlib
import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """Return a random token that fits into a URL or a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """Return the SHA-256 of a token. The tokens are random, so nobody finds one by hashing guesses."""
    return hashlib.sha256(token.encode()).digest()
