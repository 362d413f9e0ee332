"""What a platform of the sandbox is: routes over state in memory, and its own way to say no.

Handlers are plain functions: they take a call and return an answer, and what they change is changed when they return.
So an answer can be lost, delayed or spoiled without touching what happened.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from multidict import MultiMapping

from ops.sandbox.clock import Clock
from ops.sandbox.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a multipart body."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``fields`` are those of a form or of a JSON body; ``base`` is the address this platform is under."""

    method: str
    path: str
    base: str
    parts: Mapping[str, str]
    query: MultiMapping[str]
    fields: Mapping[str, Any]
    files: Mapping[str, Upload]
    headers: Mapping[str, str]
    body: bytes

    def text(self, name: str) -> str | None:
        """A field, or a query parameter, as text; None where it is absent or empty."""
        value = self.fields.get(name, self.query.get(name))
        return None if value in (None, "") else str(value)

    def flag(self, name: str) -> bool:
        return str(self.fields.get(name, self.query.get(name, ""))).lower() in ("true", "1", "on")

    def many(self, name: str) -> list[str]:
        """A list, in any of the ways clients write one."""
        for key in (name, f"{name}[]"):
            value = self.fields.get(key)
            if value is not None:
                return [str(item) for item in value] if isinstance(value, list) else [str(value)]
            if key in self.query:
                return self.query.getall(key)
        return []

    @property
    def bearer(self) -> str | None:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True, slots=True)
class Answer:
    """``content`` is sent as JSON unless it is text."""

    status: int = 200
    content: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def redirect(address: str, query: Mapping[str, str]) -> Answer:
    """Back to the application, with ``query`` added to its address."""
    joint = "&" if "?" in address else "?"
    return Answer(302, "", {"Location": f"{address}{joint}{urlencode(query)}"})


class Refusal(Exception):  # noqa: N818  an answer, in the platform's own envelope
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` in aiohttp's notation, below the platform's address."""

    method: str
    path: str
    handler: Handler


@dataclass
class Sandbox:
    """What the platforms share."""

    clock: Clock
    ledger: Ledger
    chance: random.Random

    @property
    def at(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Platform:
    """One platform; its module has a subclass called ``PLATFORM``."""

    name: str
    slash_ignored = False
    """Whether an address with a slash at its end is the same address, as it is to Rails."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.redirect_uris: set[str] = set()
        """Callback addresses of its application, as one would enter them in the platform's portal."""

    def routes(self) -> Sequence[Route]:
        raise NotImplementedError

    def unknown(self, call: Call) -> Answer:
        """The answer for an address it does not have."""
        raise NotImplementedError

    def account_of(self, call: Call) -> str | None:
        """Whose token it is, for the ledger and for faults; None where it is nobody's."""
        raise NotImplementedError

    def record(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self.sandbox.ledger.add(kind, self.sandbox.at, self.name, **fields)
