"""What connecting and publishing share of LinkedIn's versioned API: ``linkedin.md`` 1.2 and 3."""

from collections.abc import Collection, Mapping
from urllib.parse import quote

VERSION = "202609"
"""The newest that is known (``linkedin.md`` 3); it ends on 2027-09-15."""

ORGANIZATION = "organization"
"""The ``owner`` in the profile of a connection that is an organization's; a member's is ``person``, or has none."""

PERSON = "person"

POSTING_ROLES = ("ADMINISTRATOR", "CONTENT_ADMINISTRATOR", "CONTENT_ADMIN", "DIRECT_SPONSORED_CONTENT_POSTER")
"""With one of these a member may post as the organization; pages name the second in two ways (``linkedin.md`` 1.2)."""


def versioned(token: str, method: str = "") -> dict[str, str]:
    """Return the headers of a call; ``method`` is that of Rest.li, where the verb does not say it."""
    found = {
        "Authorization": f"Bearer {token}",
        "Linkedin-Version": VERSION,
        "X-Restli-Protocol-Version": "2.0.0",
    }
    return found | ({"X-RestLi-Method": method} if method else {})


def key(urn: str) -> str:
    """Return a URN as a key in a path or as the value of a parameter (``linkedin.md`` 3)."""
    return quote(urn, safe="")


def urn_of(owner: object, account_id: str) -> str:
    """Return the URN of an account: it is the author of what it posts."""
    return f"urn:li:{ORGANIZATION if owner == ORGANIZATION else PERSON}:{account_id}"


def may_post(roles: Collection[str]) -> bool:
    """Return whether a member with these roles in an organization may post as it."""
    return not set(roles).isdisjoint(POSTING_ROLES)


def is_organization(profile: Mapping[str, object]) -> bool:
    """Return whether a connection with this profile is an organization's."""
    return profile.get("owner") == ORGANIZATION
