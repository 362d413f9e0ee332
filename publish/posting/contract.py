"""The contract of a state machine that publishes one kind of post: a table of steps, without input or output.

A step says what to ask the platform, and what its answer means. It declares its *effect class* and what to do when the
outcome of its request is unknown: the request was about to be sent, and no answer tells whether it was carried out.
The driver (``publish.posting.driver``) stores that a request is about to be sent before it sends one, and what its
answer means at once after. A machine whose steps lack either declaration, or whose declarations contradict one another,
cannot be made: see :class:`Machine`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from ops.runtime.platform_protocol import JsonObject, Request, Response, Steps
from publish.oauth.contract import App
from publish.preflight.contract import AccountFacts
from schema.states import IN_FLIGHT, TARGET, TargetState

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

Kept = Mapping[str, JsonValue]
"""What the steps of one attempt have stored, by name: ids, counts, offsets."""


class Effect(StrEnum):
    """What a request does, and so whether it may be sent again when its outcome is unknown."""

    READ = "read"
    """It changes nothing."""
    REPEATABLE = "repeatable"
    """It makes something that nobody sees, such as a container or a part of an upload: one too many does no harm."""
    KEYED = "keyed"
    """It makes something visible, with a key or an id by which the platform recognises a repeat and does it once."""
    COMMIT = "commit"
    """It makes something visible, which a repeat could make a second time."""


PARENT_OPTION = "parent_post_id"
"""The option with the platform's id of what a target answers or acts on, where no target of ours is it: a comment that
somebody else wrote, or a post that was not made here. Machines have it as ``parent_id`` and never among the options.
"""

CARD_FILE = "image_media"
"""In a link, the id of the file of its picture: machines find it among ``others``."""

BEGINNING = datetime.min.replace(tzinfo=UTC)

AGAIN = "again"
"""When an outcome is unknown, send the same request again: it cannot have its effect twice."""

ASK_PERSON = "ask a person"
"""When an outcome is unknown and no request can tell it, ask a person."""


@dataclass(frozen=True, slots=True)
class Media:
    """A file of a post. ``width`` and ``height`` are in pixels, ``duration`` in seconds; None where it has none.

    ``url`` is where the platform may fetch it, during this attempt and for this target only; ``fetched`` is how many of
    its bytes the platform has fetched there.
    """

    id: str
    content_type: str
    size: int
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    alt_text: str = ""
    file_name: str = ""
    url: str = ""
    fetched: int = 0

    @property
    def is_video(self) -> bool:
        return self.content_type.startswith("video/")

    @property
    def is_image(self) -> bool:
        return self.content_type.startswith("image/")


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a step may know of a target. All times are of the database's clock.

    ``parent_id`` is the platform's id of the post or comment that this one answers, or that is hidden, edited or
    deleted; empty for none. ``bound`` are the posts of the account that other targets hold: none of them is this
    target's. ``intent_at`` is when a step that makes something visible was first about to be asked; None before that.
    ``attempt`` goes up when a target is begun anew.
    """

    id: str
    kind: str
    app: App
    account_id: str
    text: str
    secrets: Mapping[str, str] = field(repr=False)
    """Of the connection: its tokens."""
    options: Kept = field(default_factory=dict)
    media: Sequence[Media] = ()
    others: Mapping[str, Media] = field(default_factory=dict)
    """Files that options name, such as a cover, by id."""
    link: Mapping[str, str] = field(default_factory=dict)
    """``url``, ``title``, ``description``, ``image`` and ``image_media`` of a page that is shared; empty for none."""
    platform: str = ""
    """At which it is published: what an error that no catalogue has is counted by."""
    username: str = ""
    """Of the account, as the platform last gave it."""
    profile: Kept = field(default_factory=dict)
    instance: str = ""
    parent_id: str = ""
    root_id: str = ""
    """The platform's id of the first post of the thread; empty for none."""
    post_id: str = ""
    """The platform's id of this post; empty while it is not known."""
    kept: Kept = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What steps have stored that is secret, such as an upload address with a token in it."""
    now: datetime = BEGINNING
    step_since: datetime = BEGINNING
    intent_at: datetime | None = None
    attempt: int = 1
    bound: frozenset[str] = frozenset()
    seen: Mapping[str, Sequence[JsonObject]] = field(default_factory=dict)
    """What the log has of the evidence of this step, by the table of it."""
    rivals: int = 0
    """How many other targets of the account are at this step too: what fits one of them may be another's."""

    @property
    def token(self) -> str:
        return self.secrets.get("access_token", "")

    def kept_text(self, name: str) -> str:
        """Return what was kept under this name as text; empty if there is none."""
        found = self.kept.get(name)
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""

    def kept_number(self, name: str) -> int:
        """Return what was kept under this name as a whole number; 0 if there is none."""
        found = self.kept.get(name)
        return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else 0

    def kept_list(self, name: str) -> list[str]:
        """Return what was kept under this name as a list of texts; an empty one if there is none."""
        found = self.kept.get(name)
        return [str(item) for item in found] if isinstance(found, list) else []

    @property
    def seconds_here(self) -> float:
        """Seconds since the target came to this step."""
        return (self.now - self.step_since).total_seconds()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the answer says and the log is to have: an event of the account, ``name`` apart.

    The driver appends it in the transaction that stores the verdict.
    """

    type: str
    name: str
    payload: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer means. ``keep`` and ``seal`` are stored with it, under names that replace earlier ones.

    ``end_links``: the platform may not fetch the files any more. ``new_links``: it may not, and later steps have other
    addresses, of an attempt of its own.
    """

    keep: Kept = field(default_factory=dict)
    seal: Mapping[str, str] = field(default_factory=dict, repr=False)
    facts: Sequence[Fact] = ()
    end_links: bool = False
    new_links: bool = False


@dataclass(frozen=True, slots=True)
class Go(Verdict):
    """It is done: go on with another step, after so many seconds."""

    step: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait(Verdict):
    """The platform is still working on it: ask this step again after so many seconds. It costs no attempt."""

    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry(Verdict):
    """It was *not* done, and may work later: ask this step again, at most ``TRIES`` times in a row.

    ``seconds`` is the least pause, where the platform names one. ``at_once``: what stood in the way is gone already.
    """

    code: str
    message: str
    seconds: float = 0.0
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Hold(Verdict):
    """It was *not* done, since a limit is used up or the account is held back: ask again later. It costs no attempt."""

    seconds: float
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TokenRefused(Verdict):
    """It was *not* done: the platform did not take the token. It is checked or refreshed, and the step asked again.

    At once where that made another token: each is refused once, so that no platform is asked round in a circle.
    """

    code: str


@dataclass(frozen=True, slots=True)
class Unknown(Verdict):
    """Whether it was done is not known. What the step declares for that is done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Published(Verdict):
    """It is there. ``step`` reads what is not known yet, such as its address; empty where nothing is left to read.

    ``post_id`` is empty for what makes no post, such as hiding a comment.
    """

    post_id: str
    url: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class PublishedUnnamed(Verdict):
    """It is there, and its id is not known. ``step`` looks for it; empty where nothing can find it."""

    step: str = ""


@dataclass(frozen=True, slots=True)
class HandedOver(Verdict):
    """The platform has it, and its owner must go on there. ``step`` reads what the platform sends of that."""

    message: str
    step: str = ""


@dataclass(frozen=True, slots=True)
class Doubt(Verdict):
    """No request can tell whether it is there: a person decides, and sees ``evidence``."""

    message: str
    evidence: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Failed(Verdict):
    """It was not published, and will not be by itself. ``retryable``: a person may try again as it is.

    ``unasked``: the request could not be made, which tells nothing of what an earlier one did.
    """

    code: str
    message: str
    retryable: bool = False
    unasked: bool = False


Inquire = Callable[[App, str, Mapping[str, str]], Steps[AccountFacts]]
"""From our application, an account's id and its secrets to what the account may post."""

Ask = Callable[[Job], Request]
Read = Callable[[Job, Response], Verdict]
ReadLog = Callable[[Job], Verdict | None]
"""From a job with what the log has ``seen`` to what that means; None where it decides nothing. There is no token."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request. ``state`` is what people see while the target is at it.

    ``unknown`` is what to do when its outcome is unknown: ``AGAIN``, ``ASK_PERSON``, or the name of a step that looks.
    ``leads_to`` names the steps that a verdict of it may go on with. ``deadline`` is how long, in seconds, a target may
    stay at it before ``overdue`` is taken; None for a step that ends by itself. ``read_log`` reads what the platform
    sent by itself, before it is asked and whenever there is more of it; None where it sends nothing.
    """

    state: TargetState
    effect: Effect
    unknown: str
    ask: Ask
    read: Read
    leads_to: Sequence[str] = ()
    deadline: float | None = None
    overdue: Callable[[Job], Verdict] | None = None
    read_log: ReadLog | None = None


AFTERWARDS = (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN)
"""States of steps that only read what is published: nothing they meet makes it less so."""


class MachineError(Exception):
    """A machine's table contradicts itself."""


@dataclass(frozen=True)
class Machine:
    """How one kind of post is published. Raises MachineError where its table contradicts itself.

    ``first`` is the step that a target begins with; ``without_files`` is that of a post without files, where files may
    be left out. ``title`` is what people call the kind.
    """

    name: str
    title: str
    steps: Mapping[str, Step]
    first: str
    search: str = ""
    """The step that looks for a post by its content alone, after a restore; empty where nothing can."""
    without_files: str = ""

    def __post_init__(self) -> None:
        for name in (*self._beginnings(), *([self.search] if self.search else [])):
            if name not in self.steps:
                raise MachineError(f"{self.name}: there is no step {name}")
        if self.search and self.steps[self.search].state is not TargetState.UNCONFIRMED:
            raise MachineError(f"{self.name}: people must see that it is unconfirmed while {self.search} looks for it")
        for name, step in self.steps.items():
            for problem in self._problems(step):
                raise MachineError(f"{self.name}, step {name}: {problem}")
        if unreachable := self.steps.keys() - self._reachable():
            raise MachineError(f"{self.name}: nothing leads to {', '.join(sorted(unreachable))}")

    def _beginnings(self) -> Sequence[str]:
        return (self.first, *([self.without_files] if self.without_files else []))

    def beginning(self, *, files: bool) -> str:
        """Return the step that a target begins with, whose post has files or has none."""
        return self.first if files or not self.without_files else self.without_files

    def _problems(self, step: Step) -> list[str]:
        found = []
        looks = step.unknown not in (AGAIN, ASK_PERSON)
        found += [f"it leads to {name}, which there is not" for name in step.leads_to if name not in self.steps]
        if looks and (step.unknown not in self.steps or self.steps[step.unknown].effect is not Effect.READ):
            found.append("what it does when its outcome is unknown is no step that reads")
        if looks and step.unknown in self.steps and self.steps[step.unknown].state is not TargetState.UNCONFIRMED:
            found.append("people must see that it is unconfirmed while its outcome is looked up")
        if step.effect is Effect.COMMIT and step.unknown == AGAIN:
            found.append("what a repeat could do twice is not asked again when its outcome is unknown")
        if step.effect in (Effect.READ, Effect.REPEATABLE) and step.unknown != AGAIN:
            found.append("nothing visible can come of it, so it is asked again when its outcome is unknown")
        if step.effect in (Effect.COMMIT, Effect.KEYED) and step.state is not TargetState.PUBLISHING:
            found.append("it makes something visible, so its state is publishing")
        if step.effect is not Effect.READ and step.state not in IN_FLIGHT:
            found.append("what is more than a reading is done in flight only")
        if step.effect is Effect.READ and step.state in AFTERWARDS:
            found += [f"{name} comes before publishing" for name in self._before_publishing(step.leads_to)]
        if (step.deadline is None) != (step.overdue is None):
            found.append("a deadline and what is done then belong together")
        return [*found, *self._problems_of_listening(step)]

    def _problems_of_listening(self, step: Step) -> list[str]:
        found = []
        if step.read_log is not None and step.effect is not Effect.READ:
            found.append("only a step that reads may read the log")
        if step.state == TargetState.AWAITING_PERSON:
            found += [f"{name} comes before publishing" for name in self._before_publishing(step.leads_to)]
            found += ["nobody asks about it, so it has to read the log"] if step.read_log is None else []
        return found

    def _before_publishing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.steps and self.steps[name].state not in AFTERWARDS]

    def _reachable(self) -> set[str]:
        found, left = set[str](), [*self._beginnings()]
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            step = self.steps[name]
            left += [other for other in (*step.leads_to, step.unknown) if other in self.steps]
        return found

    @property
    def diagram(self) -> str:
        """A Mermaid state diagram of the steps, with the effect class of each and what follows an unknown outcome."""
        lines = ["stateDiagram-v2", *(f"    [*] --> {name}" for name in self._beginnings())]
        for name, step in self.steps.items():
            reads = "" if step.read_log is None else ", reads the log"
            lines.append(f"    {name}: {name} ({step.effect}, {step.state}{reads})")
            lines += [f"    {name} --> {other}" for other in step.leads_to]
            if step.unknown in self.steps:
                lines.append(f"    {name} --> {step.unknown}: outcome unknown")
            elif step.unknown == ASK_PERSON:
                lines.append(f"    {name} --> [*]: outcome unknown, a person decides")
            if not step.leads_to:
                lines.append(f"    {name} --> [*]")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Looks:
    """How long to look for a post before it counts as not there: ``times`` readings over at least ``seconds``."""

    times: int
    seconds: float

    def not_found(self, job: Job, otherwise: Verdict) -> Verdict:
        """Return a wait until it was looked for often and long enough, and ``otherwise`` then."""
        looked = job.kept_number("looks") + 1
        if looked < self.times or job.seconds_here < self.seconds:
            return Wait(max(5.0, self.seconds / max(1, self.times - 1)), "it is looked for", keep={"looks": looked})
        return otherwise


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the log shows what a platform told of a target without being asked, for its ``steps``.

    ``table`` is projected from the log, or is the log itself. Of its rows of the account count those whose ``column``
    has the value that a step kept as ``kept``; with ``unheld`` those that came since the intent whose value no target
    of the account kept; without a column all that came since then. ``condition`` is SQL on a row ``e`` of it and the
    target ``t``. ``columns`` are what the steps are given of each. ``asks``: where they decide nothing, the platform
    is asked at once. ``kinds`` are the kinds of post that it is for; empty for all. ``provider`` is the platform under
    which the log has it, where its webhooks come to another one's address.
    """

    table: str
    columns: Sequence[str]
    steps: Sequence[str]
    column: str = ""
    kept: str = ""
    condition: str = "true"
    asks: bool = False
    unheld: bool = False
    kinds: Sequence[str] = ()
    provider: str = ""

    def is_for(self, kind: str, step: str) -> bool:
        return step in self.steps and (not self.kinds or kind in self.kinds)


CONNECT_AGAIN = "Connect the account again and leave all permissions ticked."


@dataclass(frozen=True, slots=True)
class Permission:
    """What an account must have allowed for a kind of post: one scope of each group, by what the platform reports."""

    groups: Sequence[Collection[str]]
    remedy: str = CONNECT_AGAIN

    def missing(self, granted: Collection[str]) -> str:
        """Return what was not granted, in words; empty where nothing lacks."""
        return ", ".join(" or ".join(group) for group in self.groups if not {*group} & {*granted})


@dataclass(frozen=True, slots=True)
class Sample:
    """A post for show, which `landfall up` makes in the sandbox. ``shows`` is image, video, or empty for no file."""

    kind: str
    shows: str = ""
    options: Kept = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PostingPlatform:
    """How posts are published to one platform. ``machines`` by kind of post.

    ``kind_of`` chooses the kind from what is to be posted, where nobody names one. ``own_link`` tells whether the
    platform shows a shared link by itself, apart from the text.
    """

    machines: Mapping[str, Machine]
    kind_of: Callable[[Sequence[Media], Kept, Mapping[str, str]], str]
    reply_kind: str = ""
    """The kind of thread parts and first comments; empty where there are none."""
    reply_with_files: Callable[[Sequence[Media]], str] | None = None
    """The kind of a part with these files; None where parts and first comments hold text only: pages that describe
    comments (``meta.md`` 10.3, ``linkedin.md`` 4.6) have no parameter for a file.
    """
    evidence: Sequence[Evidence] = ()
    sample: Sample | None = None
    checked_first: Callable[[Kept], bool] | None = None
    """Whether a connection with this profile is checked before a post is accepted, and once a step was refused for a
    permission: what it may do can end there without a word. None where no connection is.
    """
    inquire: Inquire | None = None
    """Return what the account may post at this moment; None where the platform does not say."""
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    """What has to be allowed for a kind beside publishing, by kind; nothing where the platform does not report it."""
    post_id: str = r"[0-9]+"
    comment_id: str = r"[0-9]+"
    """Ids of what can be acted on, as regular expressions: they become parts of addresses at the platform."""


def allowed(before: TargetState, after: TargetState) -> bool:
    """Return whether a target may go from one state to another."""
    return before == after or (before, after) in TARGET.pairs
