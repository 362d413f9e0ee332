"""What a program or a page asks for, as it is sent: read by models that refuse what they do not know."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from ops.runtime.text import storable
from publish.posting.errors import PostError
from publish.schedule.lateness import LONGEST_WINDOW, PUNCTUAL
from publish.schedule.slots import MOST_SLOTS

MOST_TARGETS = 100
MOST_FILES = 50
MOST_PARTS = 50
LONGEST_TEXT = 100_000
"""Characters; the limits of platforms are far below it."""

REMEDY = "correct the body; GET /api/posting/rules has the kinds of post and their options"


def _storable(text: str) -> str:
    if storable(text) != text:
        raise ValueError("it holds NUL or half of a surrogate pair")
    return text


def _id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError("it is no id") from None


def _all_storable(value: Any) -> Any:
    """Check the texts inside a JSON value. Raises ValueError."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            _storable(each)
        elif isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            left += each
    return value


Stored = AfterValidator(_storable)
Words = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), Stored]
Short = Annotated[str, StringConstraints(max_length=200), Stored]
Address = Annotated[str, StringConstraints(max_length=4000), Stored]
Id = Annotated[str, AfterValidator(_id)]
Hashtag = Annotated[str, StringConstraints(pattern=r"^#?[^\s#]+$", max_length=200), Stored]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MediaItem(_Body):
    """A file of the post. ``alt_text`` says what it shows, for who cannot see it."""

    id: Id
    alt_text: Words = ""


def _item(value: object) -> object:
    """An id alone is a file without an alternative text."""
    return MediaItem.model_validate({"id": value}) if isinstance(value, str) else value


Files = Annotated[list[Annotated[MediaItem, BeforeValidator(_item)]], Field(max_length=MOST_FILES)]


class PartBody(_Body):
    """A further part of a thread."""

    content: Words = ""
    media: Files = Field(default_factory=list)


def _part(value: object) -> object:
    """A text alone is a part without files."""
    return PartBody.model_validate({"content": value}) if isinstance(value, str) else value


Parts = Annotated[list[Annotated[PartBody, BeforeValidator(_part)]], Field(max_length=MOST_PARTS)]
"""The further parts of a thread."""


class TargetBody(_Body):
    """One account. ``content`` replaces the text of the post there; ``kind`` is chosen from the files if not named.

    ``first_comment_media`` are files of the comment that the option ``first_comment`` has the text of.
    """

    connection: Id
    kind: Short = ""
    content: Words | None = None
    options: Annotated[dict[str, Any], AfterValidator(_all_storable)] = Field(default_factory=dict)
    first_comment_media: Files = Field(default_factory=list)


class LinkBody(_Body):
    """A page that is shared. What is not named is what the page says of itself.

    ``image_media`` is the file of the picture, for platforms that do not read pages; made of ``image`` if not named.
    """

    url: Address
    title: Words = ""
    description: Words = ""
    image: Address = ""
    image_media: Id | None = None


class _Shown(_Body):
    content: Words = ""
    link: LinkBody | None = None
    hashtags: Annotated[list[Hashtag], Field(max_length=100)] = Field(default_factory=list)
    media: Files = Field(default_factory=list)
    campaign_id: Short | None = None
    utm: bool = False
    late_policy: Literal["publish", "skip", "ask"] = "publish"
    late_minutes: Annotated[int, Field(ge=PUNCTUAL.total_seconds() // 60, le=LONGEST_WINDOW.total_seconds() // 60)] = (
        1440
    )
    needs_approval: bool = False


class _Content(_Shown):
    scheduled_time: Short | None = None
    timezone: Short | None = None
    action: Literal["draft", "schedule", "publish"] | None = None
    repeat: bool = False
    dry_run: bool = False


class PostBody(_Content):
    """A post. ``platforms`` stand for all connections of these; ``thread`` has the further parts.

    ``action`` is ``schedule`` where there is a ``scheduled_time`` and ``draft`` where there is none. ``utm`` adds
    campaign parameters to the links. ``repeat`` posts what was posted before, on purpose. ``dry_run`` checks and
    stores nothing. ``next_free_slot``: each account publishes it at the next free slot of its own queue.
    """

    targets: Annotated[list[TargetBody], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    platforms: Annotated[list[Short], Field(max_length=20)] = Field(default_factory=list)
    thread: Parts = Field(default_factory=list)
    idempotency_key: Short = ""
    schedule_id: Id | None = None
    next_free_slot: bool = False


class TemplateBody(_Shown):
    """What the posts of a recurrence have in common, as in :class:`PostBody`."""

    targets: Annotated[list[TargetBody], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    platforms: Annotated[list[Short], Field(max_length=20)] = Field(default_factory=list)
    thread: Parts = Field(default_factory=list)


class RecurrenceBody(_Body):
    """A post that repeats. ``start_time`` is that of the first one, whose wall time all others have.

    ``rule`` is one of RFC 5545 with an end, such as ``FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10``.
    """

    post: TemplateBody
    rule: Short
    start_time: Short
    timezone: Short | None = None
    dry_run: bool = False
    idempotency_key: Short = ""


class RecurrenceEdit(_Body):
    """A change of what repeats; what is not named stays, in ``post`` too. ``version`` is the one that was read."""

    post: TemplateBody | None = None
    rule: Short | None = None
    start_time: Short | None = None
    timezone: Short | None = None
    version: int | None = None
    dry_run: bool = False


class QueueSlot(_Body):
    """A time of the week: ``weekday`` is MO to SU, ``time`` such as 09:00."""

    weekday: Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
    time: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class QueueBody(_Body):
    """The slots of an account, in place of those that it has."""

    timezone: Short
    slots: Annotated[list[QueueSlot], Field(max_length=MOST_SLOTS)]


class TargetEdit(_Body):
    """A change of one target; what is not named stays. ``content`` null: that of the post.

    ``media`` are the files of a further part or a first comment: those of an account are the post's.
    """

    id: Id
    content: Words | None = None
    media: Files = Field(default_factory=list)
    options: Annotated[dict[str, Any], AfterValidator(_all_storable)] = Field(default_factory=dict)


class EditBody(_Content):
    """A change of a post; what is not named stays. ``version`` is the one that was read: another one is not changed."""

    targets: Annotated[list[TargetEdit], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    version: int | None = None


class RetryBody(_Body):
    """Which targets to try again: one, those that failed with a code, or all that can be.

    ``repeat`` posts again what another post has shown or is to show at the account, on purpose.
    """

    target: Id | None = None
    cause: Short = ""
    repeat: bool = False


class RetryAllBody(_Body):
    """The code for which targets failed that are to be tried again, at one platform or at all."""

    cause: Annotated[Short, StringConstraints(min_length=1)]
    platform: Short | None = None


class ConfirmBody(_Body):
    """What a person saw at the platform. ``post_id`` and ``url`` are of the post that is there."""

    target: Id
    there: bool
    post_id: Short = ""
    url: Address = ""
    evidence: Words = ""


class ActionBody(_Body):
    """Something to do to what is there: to a ``target`` of ours, or to an ``object`` of the account ``connection``.

    ``object_is`` says whether an answer is to a post or to a comment, where it was not made here. ``sure``: what cannot
    be taken back is done to what was not made here. ``repeat`` does again on purpose what was done before.
    """

    kind: Short
    connection: Id | None = None
    object: Address = ""
    target: Id | None = None
    content: Words = ""
    media: Files = Field(default_factory=list)
    options: Annotated[dict[str, Any], AfterValidator(_all_storable)] = Field(default_factory=dict)
    object_is: Literal["post", "comment"] | None = None
    sure: bool = False
    repeat: bool = False
    dry_run: bool = False
    idempotency_key: Short = ""


class ActionConfirmBody(_Body):
    """What a person saw of an action; ``post_id`` and ``url`` are of an answer that is there."""

    there: bool
    post_id: Short = ""
    url: Address = ""
    evidence: Words = ""


class ApproveBody(_Body):
    """The version that was read, and is approved."""

    version: int


class ShareBody(_Body):
    """A page to share at accounts; all that are connected if none is named.

    What is empty of ``title``, ``description`` and ``image`` is what the page says of itself.
    """

    url: Address
    title: Words = ""
    description: Words = ""
    image: Address = ""
    message: Words = ""
    accounts: Annotated[list[Id], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    campaign_id: Short | None = None
    utm: bool = False
    repeat: bool = False
    dry_run: bool = False
    idempotency_key: Short = ""


class UploadBody(_Body):
    """One file of the library for one platform. ``accounts`` are connections of it, all if none is named."""

    media: Annotated[MediaItem, BeforeValidator(_item)]
    caption: Words = ""
    kind: Short = ""
    options: Annotated[dict[str, Any], AfterValidator(_all_storable)] = Field(default_factory=dict)
    accounts: Annotated[list[Id], Field(max_length=MOST_TARGETS)] = Field(default_factory=list)
    scheduled_time: Short | None = None
    timezone: Short | None = None
    repeat: bool = False
    dry_run: bool = False
    idempotency_key: Short = ""


def moment(name: str, text: str | None) -> datetime | None:
    """Return a time of a query; one without an offset is in UTC, and nothing is None. Raises PostError."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message, remedy = f"{name} is no time.", "write it as 2027-05-01 or as 2027-05-01T09:00:00Z"
        raise PostError("invalid_request", message, remedy, status=400) from None


B = TypeVar("B", bound=_Body)


def read(model: type[B], document: object) -> B:
    """Read a body. Raises PostError, which names each field that is wrong."""
    if not isinstance(document, Mapping):
        raise PostError("invalid_request", "The body is no JSON object.", REMEDY, status=400)
    try:
        return model.model_validate(document)
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
        fields = [{"field": ".".join(map(str, error["loc"])), "message": error["msg"]} for error in errors[:20]]
        first = f"{fields[0]['field'] or 'the body'}: {fields[0]['message']}"
        message = f"The body is not as it should be: {first}."
        raise PostError("invalid_request", message, REMEDY, status=400, details={"fields": fields}) from None
    except RecursionError:
        raise PostError("invalid_request", "The body is nested too deeply.", REMEDY, status=400) from None
