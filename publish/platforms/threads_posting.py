"""Posts on Threads: what each kind may hold, its options and its errors (``meta.md`` 9.1, 9.3)."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ops.runtime.platform_protocol import JsonObject, objects
from publish.platforms import _meta_posting
from publish.preflight.contract import (
    MIB,
    AccountFacts,
    Draft,
    Finding,
    Limit,
    MediaRule,
    PostingRules,
    PostKind,
    Quota,
    Severity,
    TextRule,
    megabytes,
)
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule
from publish.preflight.options import MULTILINE, FirstComment, Options, Part, Words
from publish.preflight.text import emoji_in_bytes, links

MOST_LINKS = 5


class Spoiler(Part):
    """A part of the text that is hidden until somebody taps it, by its first character and its length."""

    offset: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=1)]


class _Everywhere(Options):
    """What every post has."""

    reply_control: (
        Literal["everyone", "accounts_you_follow", "mentioned_only", "parent_post_author_only", "followers_only"] | None
    ) = Field(default=None, description="Who may reply.")
    reply_approvals: bool = Field(default=False, description="Show replies only once they are approved.")
    topic_tag: Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^.&]+$")] | None = None
    location_id: Words | None = None
    quote_of: Words | None = Field(default=None, description="The id of the post that is quoted.")
    countries: list[Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]] = Field(
        default_factory=list, description="The only countries in which it is shown, as codes of two letters."
    )
    spoilers: Annotated[list[Spoiler], Field(default_factory=list, max_length=10)]
    first_comment: FirstComment = ""
    share_to_story: Literal["light", "dark"] | None = Field(
        default=None,
        description="Share the post to the Instagram story too, in this mode. It needs the optional permission"
        " threads_share_to_instagram. Without it, or where sharing fails, the post is published all the same, and what"
        " became of the share is said beside it.",
    )


class Text(_Everywhere):
    """What a post without files has besides."""

    poll: (
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=25)]], Field(min_length=2, max_length=4)
        ]
        | None
    ) = Field(default=None, description="The answers of a poll.")
    long_text: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = Field(
        default=None, description="A longer text, attached to the post.", json_schema_extra={MULTILINE: True}
    )


class Media(_Everywhere):
    """What a post with files has besides."""

    spoiler_media: bool = Field(default=False, description="Hide the files until somebody taps them.")


_SCOPES = (("threads_content_publish",),)
"""No response says whether the permissions for replies and for sharing to the story were granted (``meta.md`` 7.3), so
that an option cannot be refused for want of them."""

_TEXT = TextRule(
    emoji_in_bytes,
    Limit(at_most=500, source="meta.md 9.1"),
    "characters, emoji counted in bytes",
)

_IMAGE = MediaRule(
    "image",
    ["image/jpeg", "image/png"],
    "meta.md 9.1",
    {
        "bytes": Limit(at_most=8 * MIB, doubt_above=8_000_000, source="meta.md 9.1"),
        "ratio": Limit(0.1, 10, "meta.md 9.1"),
        "width": Limit(320, 1440, "meta.md 9.1", Severity.WARNING),
    },
)
_VIDEO = MediaRule(
    "video",
    ["video/mp4", "video/quicktime"],
    "meta.md 9.1",
    {
        "bytes": megabytes(1000, "meta.md 9.1"),
        "seconds": Limit(at_most=300, source="meta.md 9.1"),
        "frames_per_second": Limit(23, 60, "meta.md 9.1"),
        "width": Limit(at_most=1920, source="meta.md 9.1"),
        "bits_per_second": Limit(at_most=100_000_000, source="meta.md 9.1"),
        "audio_hertz": Limit(at_most=48_000, source="meta.md 9.1"),
    },
    audio_codecs=("aac",),
)


def _with_files(title: str, items: Limit, *media: MediaRule) -> PostKind:
    return PostKind(
        title,
        "meta.md 9.1",
        _TEXT,
        items=items,
        media=media,
        alt_text=Limit(),
        alt_text_on=("image", "video"),
        options=Media,
        scopes=_SCOPES,
        fetched=True,
    )


KINDS = {
    "text": PostKind(
        "a text",
        "meta.md 9.1",
        _TEXT,
        text_needed=True,
        link="optional",
        options=Text,
        scopes=_SCOPES,
    ),
    "image": _with_files("an image", Limit(1, 1, "meta.md 9.1"), _IMAGE),
    "video": _with_files("a video", Limit(1, 1, "meta.md 9.1"), _VIDEO),
    "carousel": _with_files("a carousel", Limit(2, 20, "meta.md 9.1"), _IMAGE, _VIDEO),
}


def quota(content: JsonObject, *, reply: bool = False) -> AccountFacts:
    """Return how many posts or replies are left, by the answer of ``threads_publishing_limit`` (``meta.md`` 9.1)."""
    before = "reply_" if reply else ""
    for limit in objects(content.get("data")):
        config, used = limit.get(f"{before}config"), limit.get(f"{before}quota_usage")
        total = config.get("quota_total") if isinstance(config, dict) else None
        if isinstance(total, int) and isinstance(used, int):
            return AccountFacts(quota_left=max(0, total - used))
    return AccountFacts()


def check_links(draft: Draft, options: Options | None, _: AccountFacts) -> Iterator[Finding]:
    """At most 5 different links in text, attachment and long text together (``meta.md`` 9.1, 9.3)."""
    long_text = options.long_text or "" if isinstance(options, Text) else ""
    found = dict.fromkeys([*links(draft.text), *links(long_text), *([draft.link] if draft.link else [])])
    if len(found) > MOST_LINKS:
        message = f"The post has {len(found)} different links; at most {MOST_LINKS} are allowed."
        yield Finding(Severity.REFUSAL, "links", "text", message, "Leave some out.", source="meta.md 9.1")


def check_text_options(draft: Draft, options: Options | None, _: AccountFacts) -> Iterator[Finding]:
    """A long text and a poll exclude each other, and a spoiler lies inside of the text (``meta.md`` 9.3)."""
    if isinstance(options, Text) and options.poll and options.long_text:
        message = "A post has a poll or a long text, and not both."
        yield Finding(
            Severity.REFUSAL, "option_not_valid", "option", message, "Leave one out.", "long_text", "meta.md 9.3"
        )
    for spoiler in options.spoilers if isinstance(options, _Everywhere) else ():
        if spoiler.offset + spoiler.length > len(draft.text):
            end = spoiler.offset + spoiler.length
            message = f"A spoiler ends at character {end}; the text has {len(draft.text)}."
            yield Finding(
                Severity.REFUSAL, "option_not_valid", "option", message, "Correct it.", "spoilers", "meta.md 9.3"
            )


def _processing(error_class: ErrorClass, message: str, remedy: str, *words: str) -> ErrorRule:
    retryable = error_class in {ErrorClass.AGAIN, ErrorClass.ANEW}
    return ErrorRule(error_class, message, remedy, "meta.md 9.1", codes=words, retryable=retryable)


PROCESSING = (
    _processing(
        ErrorClass.ANEW,
        "The platform could not fetch the video from Landfall.",
        _meta_posting.NEW_ONE,
        "FAILED_DOWNLOADING_VIDEO",
    ),
    _processing(
        ErrorClass.ANEW,
        "The platform could not process the video.",
        _meta_posting.NEW_ONE,
        "FAILED_PROCESSING_AUDIO",
        "FAILED_PROCESSING_VIDEO",
        "UNKNOWN",
    ),
    _processing(
        ErrorClass.MEDIA,
        "The platform does not take the video: its shape, length, rate or sound does not fit.",
        _meta_posting.OTHER_FILE,
        "INVALID_ASPEC_RATIO",
        "INVALID_ASPECT_RATIO",
        "INVALID_BIT_RATE",
        "INVALID_DURATION",
        "INVALID_FRAME_RATE",
        "INVALID_AUDIO_CHANNELS",
        "INVALID_AUDIO_CHANNEL_LAYOUT",
    ),
)
"""What a container reports in ``error_message``."""

PLATFORM = PostingRules(
    "Threads",
    KINDS,
    ErrorCatalogue(_meta_posting.read_error, (*PROCESSING, *_meta_posting.RULES)),
    (check_links, check_text_options),
    (Quota(250, 86_400, "meta.md 9.1"),),
)
