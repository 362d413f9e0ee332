"""The contract of a simulated platform: routes over state in memory, with the platform's own error answers.

Handlers are plain functions: they take a call and return an answer, and their effects are complete when they return.
So an answer can be lost, delayed or damaged without touching the effect.
"""

import base64
import hashlib
import heapq
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from multidict import MultiMapping

from ops.sandbox.clock import Clock
from ops.sandbox.ledger import Ledger

ENDPOINT: ContextVar[str | None] = ContextVar("ENDPOINT", default=None)
"""The call that is being answered, as ``METHOD /path``."""

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
    def params(self) -> dict[str, Any]:
        """All fields of the query and of the body but credentials, for the ledger."""
        given = {**dict(self.query), **self.fields}
        return {name: value for name, value in given.items() if name not in ("access_token", "appsecret_proof")}

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
    """The answer of another server; ``status`` is None if it could not be reached in time."""

    status: int | None = None
    content_type: str = ""
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """A GET that the platform sends to another server: a handshake, or the download of a file.

    If a handler returns one, its call is answered with what ``then`` returns. Redirects are not followed.
    """

    url: str
    then: Callable[[Fetched], Any]
    query: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Download(OutboundRequest):
    """The download of a file from an address that the application named, for ``account``.

    A ``ranged`` one asks for one part after the other, as platforms do with videos.
    """

    platform: "Platform"
    account: str
    ranged: bool = False


class Refusal(Exception):  # noqa: N818  an answer, in the platform's own envelope
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class CommandError(Exception):
    """A command cannot be carried out; the text says why."""


Handler = Callable[[Call], Answer | OutboundRequest]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` in aiohttp's notation, below the platform's address."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class PlatformEvent:
    """Something that its platform sends a webhook about.

    ``topic`` is its kind, ``at`` is in seconds since 1970 by the sandbox's clock.
    """

    platform: str
    topic: str
    account: str
    value: Any
    at: float
    number: int = 0


@dataclass(frozen=True, slots=True)
class Processing:
    """How the platform processes one file or container, from the end of its upload on.

    ``result`` is ready, failed, stuck (it never ends) or expired; ``reason`` is the platform's own code for a failure,
    None for the usual one.
    """

    seconds: float
    result: str = "ready"
    reason: str | None = None


@dataclass
class Rule:
    """Applies ``times`` times after the first ``skip``."""

    skip: int
    times: int


@dataclass
class ProcessingRule(Rule):
    """Without ``seconds`` the platform's usual time is kept."""

    result: str
    seconds: float | None
    reason: str | None


@dataclass
class FetchRule(Rule):
    """How the platform downloads a file from its address, ``seconds`` later.

    ``result`` is complete, partial (it gives up after so many ``bytes``) or never (it does not ask for the file).
    """

    result: str
    seconds: float
    bytes: int


@dataclass
class VanishRule(Rule):
    """A post of the application is gone ``seconds`` after it was made."""

    seconds: float


AnyRule = TypeVar("AnyRule", bound=Rule)


def rule_of(rules: list[AnyRule]) -> AnyRule | None:
    """Return the first rule that applies now, and count it."""
    for rule in rules:
        if rule.skip:
            rule.skip -= 1
            continue
        rule.times -= 1
        if not rule.times:
            rules.remove(rule)
        return rule
    return None


Common = TypeVar("Common")


@dataclass
class Sandbox:
    """What all platforms share."""

    clock: Clock
    ledger: Ledger
    rng: random.Random
    capacity: int = 10_000
    """How many objects of a kind a platform keeps; beyond it the oldest are dropped."""
    outbox: list[PlatformEvent] = field(default_factory=list)
    outbound_requests: list[OutboundRequest] = field(default_factory=list)
    """To be sent by the server; no call waits for them."""
    vanishing: list[tuple[float, int, str, str, str]] = field(default_factory=list)
    """A heap of posts that will vanish: when, in which order, platform, account, id."""
    _common: dict[type, Any] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"outbound_requests": []}  # nobody answers a saved simulation

    @property
    def at(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def common(self, kind: type[Common]) -> Common:
        """Return the one ``kind`` of this simulation, shared by platforms that show the same objects."""
        if kind not in self._common:
            self._common[kind] = kind(self)  # type: ignore[call-arg]
        found: Common = self._common[kind]
        return found

    def secret(self, size: int = 32) -> str:
        return base64.urlsafe_b64encode(self.rng.randbytes(size)).decode().rstrip("=")


@dataclass
class Limits:
    """What a test may set lower than the platform does, to meet it soon. None: what the platform does usually."""

    calls: int | None = None
    """Calls of one account in its window."""
    calls_of: dict[str, int] = field(default_factory=dict)
    """The same for single accounts."""
    window_seconds: float | None = None
    app_calls: int | None = None
    """Calls of the application in an hour."""
    listed: int | None = None
    """The newest posts that a listing has."""
    page_weight: int | None = None
    """Values in one page of a listing."""
    cursor_seconds: float | None = None
    """How long a cursor can be used."""
    short_pages: float = 0.0
    """The share of pages that are shorter than asked for, although more follows."""

    def calls_for(self, account: str, usual: int) -> int:
        known = self.calls if self.calls is not None else usual
        return self.calls_of.get(account, known)


CHANGES = (
    *("edit", "moderate", "hide", "unhide", "archive", "unarchive", "restrict", "unrestrict", "approve", "like"),
    *("comments_off", "comments_on"),
)
"""What people and the platform change beside what they publish, comment and remove."""


@dataclass(frozen=True, slots=True)
class Change:
    """One of ``CHANGES``; ``by`` is the person it concerns, ``count`` how many likes come or go."""

    what: str
    account: str
    id: str = ""
    by: str = ""
    text: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class WorldSize:
    """How many accounts, of how many posts each, of how many comments each, from what seed and over how many days.

    ``replies`` is the share of comments that answer another one.
    """

    seed: int
    accounts: int
    media: int
    comments: int
    replies: float
    days: int


class Platform:
    """One platform; its module has a subclass called ``PLATFORM``.

    The first part is what clients call, the second how it sends webhooks, the third (``simulate_…``) what people do.
    """

    name: str
    title: str
    """Its name as people write it."""
    unreported: ClassVar[Mapping[str, str]] = {}
    """What happens there without a webhook, each in a sentence.

    The keys are what a person can do here (``publish``, ``comment``, ``delete_post``, ``delete_comment``, ``revoke``),
    and words of its own for what happens only in the real one.
    """
    slash_ignored = False
    """Whether an address with a slash at its end is the same address, as it is to Rails."""
    variants: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Where the platform's pages contradict each other: the documented variants of each thing, the usual one first."""

    processing_results: ClassVar[Sequence[str]] = ("ready", "failed", "stuck")
    """What a test may have files processed to."""

    resumable: ClassVar[Sequence[str]] = ()
    """Handlers of uploads that keep the bytes that arrived before a connection broke."""

    bounded: ClassVar[Sequence[str]] = ()
    """The fields of :class:`Limits` that the platform heeds."""

    transient_errors: ClassVar[Sequence[str]] = ()
    """Names of the error answers that random faults choose from."""

    reads_lag = False
    """Whether :attr:`read_lag` is heeded."""

    churn_kinds: ClassVar[Sequence[str]] = ()
    """What :meth:`churn` can do here."""

    fetch_agent = "sandbox"
    """The User-Agent with which it downloads files."""
    reads_robots = False
    """Whether it asks a server's robots.txt before."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.processing_rules: list[ProcessingRule] = []
        self.fetch_rules: list[FetchRule] = []
        self.vanish_rules: list[VanishRule] = []
        self.parent_lag = 0.0
        """Seconds that a new post cannot be replied to, though it can be read."""
        self.listing_lag = 0.0
        """Seconds that a new post is missing from listings, though it can be read by its id."""
        self.limits = Limits()
        self.read_lag = 0.0
        """Seconds for which reads show what was so before a change."""
        self.redirect_uris: set[str] = set()
        """Callback addresses of its application, as entered in the platform's portal."""
        self.selected = {name: choices[0] for name, choices in self.variants.items()}
        self.callbacks: dict[str, str] = {}
        """Where its webhooks go, by :meth:`stream`."""
        self.signing_secret = f"sandbox-{self.name}-webhook-secret"
        self.verify_token = "sandbox-verify-token"  # noqa: S105
        self.all_subscribed = False
        """Whether all accounts are subscribed without a call of the application."""

    def routes(self) -> Sequence[Route]:
        raise NotImplementedError

    def unknown(self, call: Call) -> Answer:
        """Return the answer for a path that the platform does not have."""
        raise NotImplementedError

    def account_of(self, call: Call) -> str | None:
        """Return the account of the call's token, for the ledger and for faults; None if there is none."""
        raise NotImplementedError

    def copy_settings(self, other: "Platform") -> None:
        """Take over the portal settings of ``other``: redirect addresses, callbacks and secrets."""
        self.redirect_uris = set(other.redirect_uris)
        self.signing_secret, self.verify_token = other.signing_secret, other.verify_token
        for stream, url in other.callbacks.items():
            self.callbacks[stream] = url
            self.callback_set(stream)
        if other.all_subscribed:
            self.subscribe_all_accounts()

    def application(self) -> tuple[str, str]:
        """Return id and secret of the only application; empty strings if applications register themselves."""
        raise NotImplementedError

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the platform's documented error answers by name, for faults."""
        return {}

    def edge(self, call: Call, path: str) -> str:
        """Return what the ledger of calls spent names the call by: the ``path`` of its route, with kinds for ids."""
        return path

    def complete(self, call: Call, answer: Answer) -> Answer:
        """Return the answer with what the platform adds to every answer, such as headers of rate limits."""
        return answer

    def record(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Add an entry to the ledger; ``by`` says whether the application published a post or its owner did.

        ``endpoint`` is the call in answer to which it happened; None for what happens later by itself.
        """
        if kind in ("post", "change"):
            fields = {"by": "application", "endpoint": ENDPOINT.get(), **fields}
        entry = self.sandbox.ledger.add(kind, self.sandbox.at, self.name, **fields)
        if kind == "post" and fields["by"] == "application" and (rule := rule_of(self.vanish_rules)) is not None:
            due = self.sandbox.clock.seconds() + rule.seconds
            gone = (due, int(entry["number"]), self.name, str(fields["account"]), str(fields["id"]))
            heapq.heappush(self.sandbox.vanishing, gone)
        return entry

    def changed(self, action: str, account: str, id_: str, **fields: Any) -> None:
        """Record that the application changed a post or comment: ``edit``, ``delete``, ``hide`` or ``unhide``."""
        self.record("change", action=action, account=account, id=id_, **fields)

    def process(self, seconds: float) -> Processing:
        """Return how the next file is processed: as a test asked for, else in the platform's usual ``seconds``."""
        rule = rule_of(self.processing_rules)
        if rule is None:
            return Processing(seconds)
        return Processing(seconds if rule.seconds is None else rule.seconds, rule.result, rule.reason)

    def download(
        self, url: str, then: Callable[[Fetched], Any], account: str, *, seconds: float = 60.0, ranged: bool = False
    ) -> Download:
        """Return the download of a file, which the ledger will show; ``seconds`` is the limit of each request."""
        return Download(url, then, seconds=seconds, platform=self, account=account, ranged=ranged)

    def listed(self, created: datetime) -> bool:
        """Return whether an object of this age is in listings yet."""
        return not self.listing_lag or (self.sandbox.clock.now() - created).total_seconds() >= self.listing_lag

    def answerable(self, created: datetime) -> bool:
        """Return whether an object of this age is found by calls that answer it."""
        return not self.parent_lag or (self.sandbox.clock.now() - created).total_seconds() >= self.parent_lag

    # --- webhooks

    streams: Sequence[str] = ("",)
    """Kinds of webhook that may have different callback addresses."""
    streams_without_handshake: Sequence[str] = ()
    """Streams whose callback address is not verified by a handshake."""
    batch = 1
    """How many events one request may carry."""
    retry_seconds: Sequence[float] = ()
    """Pauses between delivery attempts; after the last one the delivery is dropped."""
    answer_seconds = 10.0
    recheck_seconds: float | None = None
    """Seconds between repeated handshakes; None if they are not repeated."""

    def stream(self, event: PlatformEvent) -> str:
        return ""

    def batch_key(self, event: PlatformEvent) -> Hashable:
        """Return a key: events with the same key may share a request."""
        return self.stream(event)

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        raise NotImplementedError

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        """Return the signature headers. ``first`` is the time of the first attempt; both are in real Unix seconds."""
        raise NotImplementedError

    def ends_delivery(self, status: int | None) -> bool:
        """Return whether this answer ends the attempts, well or badly. None: there was no answer."""
        return status == 200

    def handshake(self, url: str, then: Callable[[bool], Any]) -> OutboundRequest | None:
        """Return the verification request for ``url``; None if the platform has no handshake."""
        return None

    def callback_set(self, stream: str) -> None:
        """Handle a callback address that was entered in the portal and verified."""

    def handshake_repeated(self, stream: str, *, passed: bool) -> None:
        """Handle the result of a repeated handshake."""

    def callback_removed(self, stream: str) -> None:
        """Handle a callback address that was removed in the portal."""

    def is_paused(self, stream: str) -> bool:
        """Return whether deliveries to this stream are dropped for now."""
        return False

    def notify(self, topic: str, account: str, value: Any) -> None:
        """Queue a webhook event."""
        self.sandbox.outbox.append(PlatformEvent(self.name, topic, account, value, self.sandbox.clock.seconds()))

    # --- life

    def next_due(self) -> float | None:
        """Return when the platform next has something to do, in seconds since 1970; None if nothing is due."""
        return None

    def advance(self) -> None:
        """Do what is due."""

    def people(self) -> Sequence[str]:
        """Return the accounts that a person may connect."""
        raise NotImplementedError

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        """Return ``id``, ``text``, ``comments`` of each post, newest first; a comment has ``id``, ``by``, ``text``."""
        raise NotImplementedError

    def drafts(self, account: str) -> list[dict[str, str]]:
        """Return ``id`` and ``text`` of the drafts that wait for the person to post them, newest first."""
        return []

    def simulate_activity(self) -> None:
        """Simulate one random action of a person."""
        raise NotImplementedError

    def simulate_publish(self, account: str, text: str) -> str:
        """Publish as the owner does in the platform's own app. Return the post's id. Raises CommandError."""
        raise NotImplementedError

    def simulate_publish_kind(self, account: str, text: str, kind: str) -> str:
        """Publish something of another kind, by the platform's own word for it. Raises CommandError."""
        raise CommandError(f"a post in {self.title}'s app has no kind here")

    def simulate_post_draft(self, account: str, draft: str) -> str:
        """Publish a draft that the application sent, as its owner. Return the post's id. Raises CommandError."""
        raise CommandError(f"{self.name} has no drafts that a person publishes")

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        """Comment on a post as somebody else. Return the comment's id. Raises CommandError."""
        raise CommandError(f"{self.name} shows no comments to applications")

    def simulate_comment_kind(self, account: str, post: str, by: str, text: str, kind: str) -> str:
        """Comment in a way that listings withhold. Raises CommandError."""
        raise CommandError(f"{self.title} has no kinds of comments")

    def simulate_mention(self, account: str, by: str, text: str, kind: str) -> str:
        """Mention an account elsewhere, as somebody else. Return the id of where. Raises CommandError."""
        raise CommandError(f"{self.title} has no mentions that are made here")

    def simulate_remove(self, account: str, id_: str) -> None:
        """Delete a post or a comment. Raises CommandError."""
        raise NotImplementedError

    def simulate_revoke(self, account: str) -> int:
        """Remove the application in the person's settings. Return the number of tokens that ended."""
        raise NotImplementedError

    def simulate_withdraw(self, account: str, scope: str) -> int:
        """Take one permission back from the application. Return how many tokens had it. Raises CommandError."""
        raise CommandError(f"a person at {self.title} cannot take back one permission here")

    def simulate_erase(self, account: str) -> None:
        """Ask, as the person, that the application delete their data. Raises CommandError."""
        raise CommandError(f"{self.name} tells applications of no such request")

    def configure(self, account: str, settings: Mapping[str, Any]) -> None:
        """Change what the platform has decided about an account, or its owner has. Raises CommandError."""
        raise CommandError(f"{self.name} has no settings of accounts")

    def simulate_change(self, change: Change) -> None:
        """Do what a person, or the platform's moderation, does in the app. Raises CommandError."""
        raise CommandError(f"{self.title} has nothing for {change.what}")

    def configure_object(self, id_: str, settings: Mapping[str, Any]) -> None:
        """Change what is so of a post or a comment. Raises CommandError."""
        raise CommandError(f"{self.title} has no settings of posts and comments")

    def set_subscription(self, account: str | None, kind: str, fields: Sequence[str]) -> None:
        """Set one half of a subscription without a word: the account's, or the application's. Raises CommandError."""
        raise CommandError(f"{self.title} has no subscriptions of two halves")

    def seed_world(self, size: WorldSize) -> Mapping[str, Any]:
        """Add accounts with their posts and comments, the same for the same size. Return counts.

        Raises CommandError.
        """
        raise CommandError(f"{self.title} is not filled by this command")

    def export_world(self, account: str | None) -> Mapping[str, Any]:
        """Return all accounts, posts and comments as they are, or those of one. Raises CommandError."""
        raise CommandError(f"{self.title} is not exported by this command")

    def churn(self, rng: random.Random, kind: str) -> bool:
        """Do one of ``churn_kinds`` to something that ``rng`` chooses. Return whether there was anything."""
        raise NotImplementedError

    def simulate_unsubscribe(self, account: str) -> None:
        """Stop sending this account's events without a notification. Raises CommandError."""
        raise CommandError(f"{self.name} sends all events of an application or none")

    def subscribe_all_accounts(self) -> None:
        """Subscribe every account, in this simulation and in those that take over its settings."""
        self.all_subscribed = True
        self.subscribe_all()

    def subscribe_all(self) -> None:
        """Subscribe every account, as if each had connected."""

    def sunset(self, version: str) -> None:
        """Retire a version of the API. Raises CommandError."""
        raise CommandError(f"{self.name} has no versions that end")

    def variant(self, name: str) -> str:
        return self.selected[name]


def whole(text: str) -> bool:
    """Return whether the text is an id or a count that ``int`` accepts: ASCII digits, and not too many."""
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def apply_settings(target: Any, known: Mapping[str, type], settings: Mapping[str, Any]) -> None:
    """Set attributes of ``target`` that are ``known`` by name and type. Raises CommandError."""
    for name, value in settings.items():
        if type(value) is not known.get(name):
            choices = ", ".join(f"{setting} ({kind.__name__})" for setting, kind in known.items())
            raise CommandError(f"settings are {choices}")
    for name, value in settings.items():
        setattr(target, name, value)


def digest(content: bytes | bytearray, alt_text: str | None = None) -> dict[str, Any]:
    """Return what the ledger says of a file: its size, its SHA-256 and its description."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "alt_text": alt_text}


def forget_oldest(kept: dict[str, Any], capacity: int) -> None:
    """Drop the oldest entries beyond ``capacity``."""
    for key in list(kept)[: max(0, len(kept) - capacity)]:
        del kept[key]
