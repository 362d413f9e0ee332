"""Posts on LinkedIn: what each kind may hold, little text, options, and what errors mean (``linkedin.md`` 4 to 7)."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ops.runtime.platform_protocol import JsonObject, Response, objects
from publish.platforms._linkedin import ORGANIZATION, PERSON
from publish.preflight.contract import (
    AccountFacts,
    Draft,
    Finding,
    Limit,
    MediaRule,
    Owner,
    PostingRules,
    PostKind,
    Severity,
    TextRule,
    megabytes,
)
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule, ReportedError
from publish.preflight.options import FirstComment, Options, Part, Words, labelled

# Little text (linkedin.md 4.1).

LONGEST_TEXT = 3000

_RESERVED = re.compile(r"[\\|{}@\[\]()<>#*_~]")
_ESCAPED_HASHTAG = re.compile(r"(?<!\w)\\#(?=\w)")
_ELEMENT = re.compile(
    r"\{hashtag\|\\?#\|(?P<tag>[^}]*)\}|@\[(?P<name>(?:\\.|[^\]\\])*)\]\([^)]*\)|\\(?P<one>.)", re.DOTALL
)


def little_text(text: str) -> str:
    """Return a plain text in LinkedIn's little text format: an unescaped bracket would cut the post there."""
    return _ESCAPED_HASHTAG.sub("#", _RESERVED.sub(lambda found: f"\\{found[0]}", text))


def plain_text(little: str) -> str:
    """Return what a person reads of a little text: escapes undone, mentions and hashtags as they are shown."""

    def shown(found: re.Match[str]) -> str:
        if found["tag"] is not None:
            return f"#{plain_text(found['tag'])}"
        return plain_text(found["name"]) if found["name"] is not None else found["one"]

    return _ELEMENT.sub(shown, little)


class Everywhere(Options):
    """What every post has."""

    visibility: Literal["PUBLIC", "CONNECTIONS", "LOGGED_IN"] = Field(
        default="PUBLIC",
        description="Who sees it.",
        json_schema_extra=labelled(
            PUBLIC="Everybody", CONNECTIONS="Connections only", LOGGED_IN="Everybody who is logged in"
        ),
    )
    feed: Literal["MAIN_FEED", "NONE"] = Field(
        default="MAIN_FEED",
        description="NONE keeps it out of feeds.",
        json_schema_extra=labelled(MAIN_FEED="Shown in feeds", NONE="Kept out of feeds"),
    )
    reshare_disabled: bool = Field(default=False, description="Do not let others reshare it.")
    first_comment: FirstComment = ""


class Text(Everywhere):
    """A post of text."""

    reshare_of: Annotated[str, StringConstraints(pattern="^urn:li:(share|ugcPost):")] | None = Field(
        default=None, description="The URN of the post that is reshared."
    )


class Article(Everywhere):
    """A link with its card: LinkedIn does not read the page, so the card is sent with the post."""

    title: Words | None = Field(default=None, description="Of the card; that of the shared page if not given.")
    description: str | None = Field(default=None, description="Of the card; that of the shared page if not given.")


class Media(Everywhere):
    """A post with files."""

    title: Words | None = None


class Document(Everywhere):
    """A document, which needs a title."""

    title: Words


class PollContent(Part):
    """A poll. It cannot be edited after it is published."""

    question: Annotated[str, StringConstraints(min_length=1, max_length=140)]
    options: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=30)]], Field(min_length=2, max_length=4)
    ]
    duration: Literal["ONE_DAY", "THREE_DAYS", "SEVEN_DAYS", "FOURTEEN_DAYS"]


class PollPost(Everywhere):
    """A post with a poll."""

    poll: PollContent


_MEMBER_COMMENTS = ("w_member_social", "w_member_social_feed")
_ORGANIZATION_COMMENTS = ("w_organization_social_feed",)
"""Comments have permissions of their own; a member's came with that for posts before (``linkedin.md`` 1)."""

OWNERS = {
    PERSON: Owner(
        "a person",
        "linkedin.md 1",
        scopes=(("w_member_social",),),
        reply_scopes=(_MEMBER_COMMENTS,),
        option_scopes={"first_comment": _MEMBER_COMMENTS},
        notes=(
            "LinkedIn shows a member's posts to no application: where no answer came, a person looks and decides.",
            "Whether LinkedIn could process a file is not said: it is posted after a while all the same.",
        ),
    ),
    ORGANIZATION: Owner(
        "an organization",
        "linkedin.md 1.2",
        scopes=(("w_organization_social",),),
        reply_scopes=(_ORGANIZATION_COMMENTS,),
        option_scopes={"first_comment": _ORGANIZATION_COMMENTS},
        notes=(
            "The person who connected it must have a role in its page: administrator or content administrator.",
            "A post of which no answer came is looked for in the list of its posts.",
            "A file is posted once LinkedIn has processed it.",
        ),
    ),
}

_TEXT = TextRule(len, Limit(at_most=LONGEST_TEXT, source="linkedin.md 4"))

_IMAGE = MediaRule(
    "image",
    ["image/jpeg", "image/png", "image/gif"],
    "linkedin.md 5",
    {"pixels": Limit(at_most=36_152_319, source="linkedin.md 5")},
)
_GIF = MediaRule(
    "gif", ["image/gif"], "linkedin.md 5", {**_IMAGE.limits, "frames": Limit(at_most=250, source="linkedin.md 5")}
)
_VIDEO = MediaRule(
    "video",
    ["video/mp4"],
    "linkedin.md 5",
    {
        "bytes": Limit(75_000, 500 * 1_048_576, "linkedin.md 5", doubt_above=500_000_000),
        "seconds": Limit(3, 1800, "linkedin.md 5"),
    },
)
_DOCUMENT = MediaRule(
    "document",
    [
        "application/pdf",
        "application/msword",
        "application/vnd.ms-powerpoint",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ],
    "linkedin.md 5",
    {"bytes": megabytes(100, "linkedin.md 5"), "pages": Limit(at_most=300, source="linkedin.md 5")},
)


def _with_files(title: str, items: Limit, options: type[Options], *media: MediaRule) -> PostKind:
    return PostKind(
        title,
        "linkedin.md 4",
        _TEXT,
        items=items,
        media=media,
        alt_text=Limit() if media[0] is _IMAGE else None,
        alt_text_on=("image", "gif"),
        options=options,
    )


_ONE = Limit(1, 1, "linkedin.md 4")

KINDS = {
    "text": PostKind("a text", "linkedin.md 4", _TEXT, text_needed=True, options=Text),
    "article": PostKind(
        "a link with its card",
        "linkedin.md 4",
        _TEXT,
        items=Limit(0, 1, "linkedin.md 4"),
        media=(_IMAGE,),
        link="needed",
        options=Article,
        card_image=_IMAGE,
    ),
    "image": _with_files("an image", _ONE, Media, _IMAGE, _GIF),
    "multi_image": _with_files("a post of several images", Limit(2, 20, "linkedin.md 4"), Media, _IMAGE, _GIF),
    "video": _with_files("a video", _ONE, Media, _VIDEO),
    "document": _with_files("a document", _ONE, Document, _DOCUMENT),
    "poll": PostKind("a poll", "linkedin.md 4.4", _TEXT, options=PollPost),
}


def check_escaped_length(draft: Draft, _: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """Whether escapes count is not known, so a text that fits only without them is a warning (``linkedin.md`` 4.1)."""
    escaped = len(little_text(draft.text))
    if len(draft.text) <= LONGEST_TEXT < escaped:
        message = (
            f"With what LinkedIn wants escaped, the text has {escaped} characters; at most {LONGEST_TEXT} may fit."
        )
        remedy = "Use fewer brackets, underscores and the like."
        yield Finding(Severity.WARNING, "text_length", "text", message, remedy, source="linkedin.md 4.1")


def check_card(draft: Draft, options: Options | None, _: AccountFacts) -> Iterator[Finding]:
    """LinkedIn does not read the page, so somebody has to say what the card is called (``linkedin.md`` 4)."""
    if isinstance(options, Article) and not options.title and not draft.link_title:
        message = "A link with its card needs a title, and LinkedIn does not read the page."
        remedy = "Give the link a title, or the option 'title'."
        yield Finding(Severity.REFUSAL, "option_missing", "option", message, remedy, "title", "linkedin.md 4")


# How a video is cut (linkedin.md 5).


def upload_parts(instructions: JsonObject, size: int) -> list[tuple[str, int, int]]:
    """Return address, first and last byte, both included, of each part, by the answer to ``initializeUpload``.

    Raises ValueError where the parts do not cover a file of this size, in order and without a gap.
    """
    parts: list[tuple[str, int, int]] = []
    for part in objects(instructions.get("uploadInstructions")):
        url, first, last = part.get("uploadUrl"), part.get("firstByte"), part.get("lastByte")
        if not isinstance(url, str) or not isinstance(first, int) or not isinstance(last, int):
            raise ValueError("an upload instruction has no address or no range")  # noqa: TRY004 -- of the platform
        parts.append((url, first, last))
    expected = 0
    for _, first, last in parts:
        if first != expected or last < first:
            raise ValueError("the upload instructions have a gap or overlap")
        expected = last + 1
    if expected != size:
        raise ValueError(f"the upload instructions are for {expected} bytes and not for {size}")
    return parts


# What errors mean (linkedin.md 3 to 7, 11).

C = ErrorClass
UNKNOWN = ErrorClass.UNKNOWN_OUTCOME
BY_ITSELF = "It is tried again by itself."
DUPLICATE = "DUPLICATE_POST"


def read_error(response: Response) -> ReportedError | None:
    """Read an error of the versioned API (``linkedin.md`` 3, 4); the code of an input error says the most."""
    if response.ok:
        return None
    content = response.content if isinstance(response.content, dict) else {}
    details = content.get("errorDetails")
    inputs = objects(details.get("inputErrors")) if isinstance(details, dict) else []
    codes = [str(one.get("code")) for one in inputs if one.get("code")]
    code = codes[0] if codes else str(content.get("code") or "")
    service = content.get("serviceErrorCode")
    text = str(content.get("message") or "").lower()
    return ReportedError(code, str(service) if isinstance(service, int) else "", text, own="message" in content)


def duplicate_of(response: Response) -> str:
    """Return the URN that a refused repeat names; empty if it names none. It may be a ghost (``linkedin.md`` 4)."""
    content = response.content if isinstance(response.content, dict) else {}
    found = re.search(r"duplicate of (urn:li:[A-Za-z]{1,20}:[0-9]{1,20})", str(content.get("message") or ""))
    return found[1] if found is not None else ""


def _rule(
    error_class: ErrorClass,
    message: str,
    remedy: str,
    source: str,
    statuses: Sequence[int] = (),
    codes: Sequence[str] = (),
    user_code: str = "",
) -> ErrorRule:
    retryable = error_class in {C.AGAIN, C.ANEW, C.WAIT, C.NOT_READY}
    return ErrorRule(
        error_class,
        message,
        remedy,
        f"linkedin.md {source}",
        codes=codes,
        statuses=statuses,
        retryable=retryable,
        user_code=user_code,
    )


ERRORS = (
    *(
        ErrorRule(
            C.CONTENT,
            "LinkedIn says that the same was posted before.",
            "Look at the profile. The same text is refused for up to 48 hours, even if the post was deleted.",
            "linkedin.md 11",
            codes=codes,
            text=text,
            on_commit=UNKNOWN,
        )
        for codes, text in (((DUPLICATE,), ""), ((), "content is a duplicate"))
    ),
    _rule(
        C.APPLICATION,
        "LinkedIn no longer has the version of its interface that this installation uses.",
        "The operator sets a newer version.",
        "3",
        codes=["VERSION_MISSING", "NONEXISTENT_VERSION"],
    ),
    _rule(
        C.APPLICATION,
        "LinkedIn no longer has the version of its interface that this installation uses.",
        "The operator sets a newer version.",
        "3",
        [426],
    ),
    _rule(
        C.ANEW,
        "The address for the upload is over.",
        "It is uploaded again by itself.",
        "5",
        codes=["EXPIRED_UPLOAD_URL"],
    ),
    _rule(
        C.NOT_READY,
        "LinkedIn is still waiting for the file, or processing it.",
        BY_ITSELF,
        "5",
        codes=["MEDIA_ASSET_WAITING_UPLOAD"],
    ),
    _rule(
        C.MEDIA,
        "LinkedIn could not process a file.",
        "Change or replace the file.",
        "5",
        codes=["MEDIA_ASSET_PROCESSING_FAILED", "INVALID_IMAGE_ID"],
    ),
    _rule(
        C.MEDIA,
        "LinkedIn does not take a file: its size or type does not fit.",
        "Change or replace the file.",
        "5",
        [413, 415],
    ),
    _rule(
        C.TOKEN,
        "LinkedIn no longer accepts this connection.",
        "Connect the account again.",
        "6",
        [401],
        user_code="access_token_invalid",
    ),
    _rule(
        C.PERMISSION,
        "LinkedIn does not allow it: a permission of the connection is missing.",
        "Connect the account again and leave all permissions ticked; then post it again.",
        "1",
        [403],
        user_code="scope_not_authorized",
    ),
    _rule(C.WAIT, "LinkedIn allows no more requests for now.", BY_ITSELF, "6", [429], user_code="rate_limit_exceeded"),
    ErrorRule(
        C.AGAIN,
        "LinkedIn was busy with the same object.",
        BY_ITSELF,
        "linkedin.md 6",
        statuses=[409],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    _rule(C.NOT_DONE, "LinkedIn does not find it.", "Look whether it was deleted.", "6", [404]),
    _rule(C.CONTENT, "LinkedIn does not take the post as it is.", "Change the post.", "6", [400]),
    ErrorRule(
        C.AGAIN,
        "LinkedIn had trouble.",
        BY_ITSELF,
        "linkedin.md 11",
        statuses=[500, 502, 503, 504],
        on_commit=UNKNOWN,
        retryable=True,
    ),
)

PLATFORM = PostingRules(
    "LinkedIn", KINDS, ErrorCatalogue(read_error, ERRORS), (check_escaped_length, check_card), owners=OWNERS
)
