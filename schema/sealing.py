"""Where a sealed secret stands, and what seals it, for whoever keeps one. Standard library only."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands."""

    tenant: str
    owner: str
    field: str

    @property
    def bound(self) -> bytes:
        # The number is the binding's own: what is inside keeps it when the bytes around it get another version.
        return f"landfall\x1f1\x1f{self.tenant}\x1f{self.owner}\x1f{self.field}".encode()


def target_place(tenant: str, target: str) -> Place:
    """Return where a target of a post keeps what is secret of its steps."""
    return Place(tenant, target, "post_target")


class Sealer(Protocol):
    """Seals secrets and opens them again; the vault, for whoever stands below it.

    ``open`` raises an error for what was not sealed for this place.
    """

    def seal(self, secret: str, place: Place) -> bytes: ...

    def open(self, sealed: bytes, place: Place) -> str: ...
