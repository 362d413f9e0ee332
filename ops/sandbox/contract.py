"""What a platform of the sandbox is: routes over state in memory, and its own way to say no.

Handlers are plain functions: they take a call and return an answer, and what they change is changed when they return.
So an answer can be lost, delayed or spoiled without touching what happened.
"""

import base64
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from multidict import MultiMapping

from ops.sandbox.clock import Clock
from ops.sandbox.ledger import Ledger

DIGITS = 40
"""Of the longest number that is read as one; ids have 20 at most."""


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

    @property
    def basic(self) -> tuple[str, str] | None:
        """Name and password of the header; None where there are none."""
        kind, _, text = self.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(text).decode(errors="replace").partition(":")
        except ValueError:
            return None
        return name, password


@dataclass(frozen=True, slots=True)
class Answer:
    """``content`` is sent as JSON unless it is text."""

    status: int = 200
    content: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def redirect(address: str, query: Mapping[str, str], end: str = "") -> Answer:
    """Back to the application, with ``query`` added to its address, and ``end`` after that."""
    joint = "&" if "?" in address else "?"
    return Answer(302, "", {"Location": f"{address}{joint}{urlencode(query)}{end}"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """What another server said; ``status`` is None where it could not be reached in time."""

    status: int | None = None
    content_type: str = ""
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Errand:
    """A question to another server: a handshake, or a file at an address that a caller named.

    A handler that returns one is answered by what ``then`` returns. Redirects are not followed.
    """

    url: str
    then: Callable[[Fetched], Any]
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 10.0


class Refusal(Exception):  # noqa: N818  an answer, in the platform's own envelope
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Impossible(Exception):  # noqa: N818  an answer to a person
    """What was asked for cannot be done here; the text says why."""


Handler = Callable[[Call], Answer | Errand]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` in aiohttp's notation, below the platform's address."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact that its platform has to tell. ``topic`` is its kind, ``at`` seconds since 1970 by the sandbox's clock."""

    platform: str
    topic: str
    account: str
    value: Any
    at: float
    number: int = 0


Common = TypeVar("Common")


@dataclass
class Sandbox:
    """What the platforms share."""

    clock: Clock
    ledger: Ledger
    chance: random.Random
    room: int = 10_000
    """How many comments or posts of others a platform keeps; beyond it the oldest are forgotten."""
    outbox: list[Notice] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    """To be run by whoever serves the platforms; nobody waits for them."""
    _common: dict[type, Any] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"errands": []}  # whoever was asked will not answer a world in a file

    @property
    def at(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def common(self, kind: type[Common]) -> Common:
        """The one ``kind`` of this world, for platforms that show the same things."""
        if kind not in self._common:
            self._common[kind] = kind(self)  # type: ignore[call-arg]
        found: Common = self._common[kind]
        return found

    def secret(self, size: int = 32) -> str:
        return base64.urlsafe_b64encode(self.chance.randbytes(size)).decode().rstrip("=")


class Platform:
    """One platform; its module has a subclass called ``PLATFORM``.

    The first part is what clients see, the second how it sends webhooks, the third what people do on it: ``let_…``
    does it for one of them.
    """

    name: str
    title: str
    """Its name as people write it."""
    silent: ClassVar[Mapping[str, str]] = {}
    """What happens there that no webhook tells of, each in a sentence.

    The keys are what a person can do here (``publish``, ``comment``, ``delete_post``, ``delete_comment``, ``revoke``),
    and words of its own for what happens only in the real one.
    """
    slash_ignored = False
    """Whether an address with a slash at its end is the same address, as it is to Rails."""
    forms: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Where its pages contradict themselves: the documented forms of each such thing, the usual one first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.redirect_uris: set[str] = set()
        """Callback addresses of its application, as one would enter them in the platform's portal."""
        self.chosen = {name: choices[0] for name, choices in self.forms.items()}
        self.callbacks: dict[str, str] = {}
        """Where its webhooks go, by :meth:`stream`."""
        self.signing_secret = f"sandbox-{self.name}-webhook-secret"
        self.verify_token = "sandbox-verify-token"  # noqa: S105
        self.everybody_subscribed = False
        """Whether its webhooks were asked for on behalf of every account, without a call of the application."""

    def routes(self) -> Sequence[Route]:
        raise NotImplementedError

    def unknown(self, call: Call) -> Answer:
        """The answer for an address it does not have."""
        raise NotImplementedError

    def account_of(self, call: Call) -> str | None:
        """Whose token it is, for the ledger and for faults; None where it is nobody's."""
        raise NotImplementedError

    def take_settings(self, other: "Platform") -> None:
        """Be set up in its portal as ``other`` is: the same redirect addresses, callbacks and secrets."""
        self.redirect_uris = set(other.redirect_uris)
        self.signing_secret, self.verify_token = other.signing_secret, other.verify_token
        for stream, url in other.callbacks.items():
            self.callbacks[stream] = url
            self.entered(stream)
        if other.everybody_subscribed:
            self.subscribe_everybody()

    def application(self) -> tuple[str, str]:
        """Id and secret of the one application that exists here; empty where applications register themselves."""
        raise NotImplementedError

    def record(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self.sandbox.ledger.add(kind, self.sandbox.at, self.name, **fields)

    # --- webhooks

    streams: Sequence[str] = ("",)
    """Its kinds of webhook that may go to different addresses."""
    unasked: Sequence[str] = ()
    """Those that no handshake goes before."""
    batch = 1
    """How many facts one request may carry."""
    retry_seconds: Sequence[float] = ()
    """Pauses between the attempts at a delivery; after the last it is given up."""
    answer_seconds = 10.0
    recheck_seconds: float | None = None
    """How often it repeats its handshake."""

    def stream(self, notice: Notice) -> str:
        return ""

    def together(self, notice: Notice) -> Hashable:
        """Facts with the same value may share a request."""
        return self.stream(notice)

    def body(self, notices: Sequence[Notice]) -> bytes:
        raise NotImplementedError

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        """Headers. ``first`` is when the delivery was first tried; both are real seconds since 1970."""
        raise NotImplementedError

    def final(self, status: int | None) -> bool:
        """Whether such an answer ends the attempts, well or badly. None: there was no answer."""
        return status == 200

    def handshake(self, url: str, then: Callable[[bool], Any]) -> Errand | None:
        """The question that ``url`` must answer before it is sent anything; None where there is none."""
        return None

    def entered(self, stream: str) -> None:
        """A callback address was entered in its portal, and passed."""

    def rechecked(self, stream: str, *, passed: bool) -> None:
        """Its repeated handshake went so."""

    def left(self, stream: str) -> None:
        """The callback address was taken away in its portal."""

    def stopped(self, stream: str) -> bool:
        """Whether it sends nothing there for now: what was on its way is dropped."""
        return False

    def notify(self, topic: str, account: str, value: Any) -> None:
        """Tell it to whoever listens."""
        self.sandbox.outbox.append(Notice(self.name, topic, account, value, self.sandbox.clock.seconds()))

    # --- life

    def moment(self) -> float | None:
        """When something of its own is due next, in seconds since 1970; None while nothing is."""
        return None

    def advance(self) -> None:
        """Let happen what is due."""

    def people(self) -> Sequence[str]:
        """The accounts that a person may connect."""
        raise NotImplementedError

    def shown(self, account: str) -> list[dict[str, Any]]:
        """``id``, ``text`` and ``comments`` of each, newest first; a comment has ``id``, ``by`` and ``text``."""
        raise NotImplementedError

    def live(self) -> None:
        """Let one thing happen that people do."""
        raise NotImplementedError

    def let_publish(self, account: str, text: str) -> str:
        """As its owner would in the platform's own app; the post's id. Raises Impossible."""
        raise NotImplementedError

    def let_comment(self, account: str, post: str, by: str, text: str) -> str:
        """Somebody comments on a post; the comment's id. Raises Impossible."""
        raise Impossible(f"{self.name} shows no comments to applications")

    def let_remove(self, account: str, id_: str) -> None:
        """A post or a comment is deleted. Raises Impossible."""
        raise NotImplementedError

    def let_revoke(self, account: str) -> int:
        """The person removes the application in the platform's settings; how many tokens that ended."""
        raise NotImplementedError

    def let_erase(self, account: str) -> None:
        """The person asks that what the application knows of them be deleted. Raises Impossible."""
        raise Impossible(f"{self.name} tells applications of no such request")

    def let_unsubscribe(self, account: str) -> None:
        """The platform stops sending this account's events, and says nothing. Raises Impossible."""
        raise Impossible(f"{self.name} sends all events of an application or none")

    def subscribe_everybody(self) -> None:
        """Subscribe every account, in this world and in those that begin with its settings."""
        self.everybody_subscribed = True
        self.subscribe_all()

    def subscribe_all(self) -> None:
        """As if every account had connected and been subscribed."""

    def sunset(self, version: str) -> None:
        """A version of the interface ends. Raises Impossible."""
        raise Impossible(f"{self.name} has no versions that end")

    def form(self, name: str) -> str:
        return self.chosen[name]


def whole(text: str) -> bool:
    """Whether ``int`` takes it for an id or a count: digits like ² look like numbers, and some numbers are too long."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def forget_oldest(kept: dict[str, Any], room: int) -> None:
    """Make room: drop the oldest entries beyond ``room``."""
    for key in list(kept)[: max(0, len(kept) - room)]:
        del kept[key]
