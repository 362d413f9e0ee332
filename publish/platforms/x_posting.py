"""Posts on X: what each kind may hold, its options, its errors and its prices (``x.md`` 4 to 8)."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ops.runtime.platform_protocol import Response, objects
from publish.platforms.x_text import LIMIT, NOT_ALLOWED, length, urls
from publish.preflight.contract import (
    MIB,
    AccountFacts,
    Draft,
    Finding,
    Limit,
    MediaRule,
    PostingRules,
    PostKind,
    Severity,
    TextRule,
    megabytes,
)
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule, ReportedError
from publish.preflight.options import MULTILINE, Options, Part, labelled

Id = Annotated[str, StringConstraints(pattern="^[0-9]{1,19}$")]


class Poll(Part):
    """The answers of a poll, and for how long people may vote."""

    options: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=25)]], Field(min_length=2, max_length=4)
    ]
    minutes: Annotated[int, Field(ge=5, le=10_080)]


class Text(Options):
    """What every post has."""

    reply_control: Literal["following", "mentionedUsers", "subscribers", "verified"] | None = Field(
        default=None,
        description="Who may reply; everybody if nothing is chosen.",
        json_schema_extra=labelled(
            following="Accounts that it follows, and those that are mentioned",
            mentionedUsers="Accounts that are mentioned",
            subscribers="Subscribers",
            verified="Verified accounts",
        ),
    )
    ai_generated: bool = Field(default=False, description="Label the post as made with AI.")
    paid_partnership: bool = Field(default=False, description="Label the post as a paid partnership.")
    quote_of: Id | None = Field(default=None, description="The id of the post that is quoted.")
    community_id: Id | None = None
    share_with_followers: bool = Field(default=False, description="Show a post of a community to followers too.")
    first_comment: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        default="",
        title="First comment",
        description="A reply of the account's own: published after the post, with a state of its own.",
        json_schema_extra={MULTILINE: True},
    )


class PollPost(Text):
    """A post with a poll."""

    poll: Poll


class Media(Text):
    """A post with files."""

    tagged_user_ids: Annotated[list[Id], Field(default_factory=list, max_length=10)]


_SCOPES = (("tweet.write",), ("users.read",))
_MEDIA_SCOPES = (*_SCOPES, ("media.write",))

_TEXT = TextRule(length, Limit(at_most=LIMIT, source="x.md 4.1", fact="text"), "weighted characters")

_IMAGE = MediaRule(
    "image",
    ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"],
    "x.md 5",
    {"bytes": megabytes(5, "x.md 5")},
)
_GIF = MediaRule(
    "gif",
    ["image/gif"],
    "x.md 5",
    {
        "bytes": megabytes(15, "x.md 5"),
        "width": Limit(at_most=1280, source="x.md 5"),
        "height": Limit(at_most=1080, source="x.md 5"),
        "frames": Limit(at_most=350, source="x.md 5"),
    },
)
_VIDEO = MediaRule(
    "video",
    ["video/mp4", "video/quicktime", "video/webm", "video/mp2t"],
    "x.md 5",
    {
        "bytes": megabytes(512, "x.md 5"),
        "seconds": Limit(0.5, 140, "x.md 5"),
        "longer_side": Limit(32, 1280, "x.md 5"),
        "shorter_side": Limit(32, 1024, "x.md 5"),
        "ratio": Limit(1 / 3, 3, "x.md 5"),
        "frames_per_second": Limit(at_most=60, source="x.md 5"),
    },
    codecs=("h264",),
    audio_codecs=("aac",),
)


def _with_files(title: str, most: int, rule: MediaRule) -> PostKind:
    return PostKind(
        title,
        "x.md 4",
        _TEXT,
        items=Limit(1, most, "x.md 4"),
        media=(rule,),
        alt_text=Limit(at_most=1000, source="x.md 5"),
        alt_text_on=("image", "gif"),
        options=Media,
        scopes=_MEDIA_SCOPES,
    )


KINDS = {
    "text": PostKind("a text", "x.md 4", _TEXT, text_needed=True, options=Text, scopes=_SCOPES),
    "poll": PostKind("a poll", "x.md 4", _TEXT, text_needed=True, options=PollPost, scopes=_SCOPES),
    "images": _with_files("a post of images", 4, _IMAGE),
    "gif": _with_files("an animated GIF", 1, _GIF),
    "video": _with_files("a video", 1, _VIDEO),
}

POST_DOLLARS, POST_WITH_URL_DOLLARS, METADATA_DOLLARS = 0.015, 0.200, 0.005
"""What one request costs (``x.md`` 8)."""


def dollars(draft: Draft) -> float:
    """Return the price of a post with the alternative texts of its files; doubtful addresses count (``x.md`` 8)."""
    described = sum(1 for media in draft.media if media.alt_text)
    return (POST_WITH_URL_DOLLARS if urls(draft.text) else POST_DOLLARS) + described * METADATA_DOLLARS


def check_price(draft: Draft, _: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """Each post costs money, and much more with an address in it (``x.md`` 8)."""
    price = f"X charges {dollars(draft):.3f} US dollars for this post"
    found = [draft.text[url.start : url.end] for url in urls(draft.text)]
    if found:
        message = f"{price}, as it has an address: {found[0][:100]}."
        remedy = f"Without one it costs {POST_DOLLARS:.3f}."
    else:
        message, remedy = f"{price}.", "There is nothing to do."
    yield Finding(Severity.WARNING, "cost", "post", message, remedy, source="x.md 8")


def check_characters(draft: Draft, _: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """Three characters make a text invalid (``x.md`` 4.1)."""
    for character in NOT_ALLOWED:
        if character in draft.text:
            message = f"The text has the character U+{ord(character):04X}, which X refuses."
            yield Finding(Severity.REFUSAL, "text_characters", "text", message, "Leave it out.", source="x.md 4.1")


def check_self_serve(draft: Draft, options: Options | None, _: AccountFacts) -> Iterator[Finding]:
    """Quotes, replies and cashtags are limited for applications without a contract (``x.md`` 4)."""
    cashtags = _cashtags(draft.text)
    if len(cashtags) > 1:
        message = f"The text has {len(cashtags)} cashtags; one is allowed."
        yield Finding(Severity.REFUSAL, "cashtags", "text", message, "Leave the others out.", source="x.md 4")
    if isinstance(options, Text) and options.quote_of is not None:
        message = "X lets only applications with a contract quote posts, and may refuse it."
        yield Finding(
            Severity.WARNING, "option_not_allowed", "option", message, "Link the post instead.", "quote_of", "x.md 4"
        )
    if draft.parent or (isinstance(options, Text) and options.first_comment):
        message = "X may refuse replies to one's own posts: then the post is there, and what follows it is not."
        yield Finding(
            Severity.WARNING, "replies_uncertain", "post", message, "Put all of it into one post.", source="x.md 4"
        )


# What errors mean (x.md 4, 6, 7, 12).

C = ErrorClass
UNKNOWN = ErrorClass.UNKNOWN_OUTCOME
BY_ITSELF = "It is tried again by itself."
DUPLICATE = "duplicate content"


def read_error(response: Response) -> ReportedError | None:
    """Read a problem (RFC 9457) or a legacy error (``x.md`` 7). A 2xx with data or without a body is no error."""
    content = response.content if isinstance(response.content, dict) else {}
    legacy = objects(content.get("errors"))
    if response.ok and not (legacy and "data" not in content):
        return None
    first = legacy[0] if legacy else {}
    kind = str(content.get("type") or first.get("type") or "")
    slug = kind.rpartition("/")[2].replace("-", "_") if "/problems/" in kind else ""
    said = first.get("code")
    code = str(said) if isinstance(said, int) and not isinstance(said, bool) else slug
    names = ("title", "detail", "error", "error_description", "message")
    text = " ".join(str(part.get(name) or "") for part in (content, first) for name in names)
    own = bool(kind or legacy or content.get("title") or content.get("error"))
    return ReportedError(code, text=" ".join(text.split()).lower(), own=own)


def _cashtags(text: str) -> list[str]:
    return [
        word.strip(".,!?;:()") for word in text.split() if word[:1] == "$" and word[1:2].isalpha() and len(word) > 1
    ]


ERRORS = (
    ErrorRule(
        C.NOT_DONE,
        "X answered without saying what it made or found.",
        "Look at the account.",
        "x.md 4",
        statuses=[200, 201],
        on_commit=UNKNOWN,
    ),
    *(
        ErrorRule(
            C.CONTENT,
            "X says that this account has posted the same text before.",
            "Look at the account; to post it once more, change the text.",
            "x.md 4",
            codes=codes,
            text=text,
            on_commit=UNKNOWN,
        )
        for codes, text in (((), DUPLICATE), (("187",), ""))
    ),
    ErrorRule(
        C.APPLICATION,
        "The credits for X are used up.",
        "The operator buys credits in X's developer console.",
        "x.md 7",
        statuses=[402],
    ),
    ErrorRule(
        C.QUOTA,
        "The application has used up what X allows it in this month.",
        "The operator raises the limit in X's developer console.",
        "x.md 6",
        codes=["usage_capped"],
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.WAIT,
        "The account has asked X for too much in a short time.",
        BY_ITSELF,
        "x.md 6",
        statuses=[429],
        own=True,
        retryable=True,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.WAIT,
        "X asks to wait.",
        BY_ITSELF,
        "x.md 12",
        statuses=[429],
        own=False,
        on_commit=UNKNOWN,
        retryable=True,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.AGAIN,
        "X had trouble.",
        BY_ITSELF,
        "x.md 7",
        statuses=[500, 502, 503, 504],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.TOKEN,
        "X no longer accepts this connection.",
        "Connect the account again.",
        "x.md 7",
        statuses=[401],
        user_code="access_token_invalid",
    ),
    ErrorRule(
        C.APPLICATION,
        "X does not let this application do that.",
        "The operator looks at the application in X's developer console.",
        "x.md 7",
        codes=["client_forbidden"],
    ),
    ErrorRule(
        C.PERMISSION,
        "X does not let this account do that: a permission is missing, or the other account does not allow it.",
        "Connect the account again and leave all permissions ticked, or change the post.",
        "x.md 7",
        statuses=[403],
        user_code="scope_not_authorized",
    ),
    ErrorRule(C.NOT_DONE, "X does not find it.", "Look whether it was deleted.", "x.md 7", statuses=[404]),
    ErrorRule(C.CONTENT, "X does not take the post as it is.", "Change the post.", "x.md 7", statuses=[400]),
    ErrorRule(
        C.APPLICATION,
        "X takes no piece of a file that is so large.",
        "Report it to the operator.",
        "x.md 9.4",
        statuses=[413, 431],
    ),
)

# How a file is cut (x.md 5).

SEGMENT = MIB
MOST_SEGMENTS = 1000


def segments(size: int) -> list[tuple[int, int]]:
    """Return the first and the last byte of each segment, both included. Raises ValueError for what does not fit."""
    if not 1 <= size <= SEGMENT * MOST_SEGMENTS:
        raise ValueError(f"a file of {size} bytes cannot be cut into 1 to {MOST_SEGMENTS} segments")
    return [(first, min(first + SEGMENT, size) - 1) for first in range(0, size, SEGMENT)]


PLATFORM = PostingRules(
    "X", KINDS, ErrorCatalogue(read_error, ERRORS), (check_price, check_characters, check_self_serve)
)
