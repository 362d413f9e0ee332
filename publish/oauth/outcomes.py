"""What came of an authorization flow, as it is stored, shown on pages and sent to programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One account to choose from. ``account`` is its value in a form; ``why_not`` is why it cannot be connected.

    ``owner`` is person or organization, on platforms where that makes a difference.
    """

    account: str
    platform: str
    account_id: str
    username: str
    why_not: str
    chosen: bool
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``message`` is for the person; ``connections`` are the ids of what was connected.

    ``kind`` is that of the problem where the flow failed, and ``choose`` where the person has to choose first.
    """

    ok: bool
    message: str
    return_to: str = ""
    connections: Sequence[str] = ()
    kind: str = ""
    choices: Sequence[Choice] = ()

    @property
    def document(self) -> dict[str, object]:
        """The outcome as programs get it."""
        found: dict[str, object] = {
            "ok": self.ok,
            "says": self.message,
            "return_to": self.return_to,
            "connections": list(self.connections),
        }
        if self.kind:
            found["kind"] = self.kind
        if self.choices:
            found["choose"] = [asdict(choice) for choice in self.choices]
        return found

    @property
    def text(self) -> str:
        return json.dumps(self.document)

    @classmethod
    def parsed(cls, text: str) -> "Outcome":
        """Return the outcome that was stored as this text."""
        found: dict[str, Any] = json.loads(text)
        return cls(
            found["ok"],
            found["says"],
            found["return_to"],
            tuple(found["connections"]),
            found.get("kind", ""),
            tuple(Choice(**choice) for choice in found.get("choose", ())),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a flow is: ``state`` is waiting, connected or failed."""

    state: str
    message: str
    connections: Sequence[str] = ()

    @property
    def document(self) -> dict[str, object]:
        """The progress as programs get it."""
        return {"state": self.state, "says": self.message, "connections": list(self.connections)}
