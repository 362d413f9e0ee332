"""Posts on Mastodon: what each kind may hold on an instance, options, and what errors mean (``mastodon.md`` 4, 5)."""

from collections.abc import Iterator
from typing import Annotated, Literal

import regex
from pydantic import Field, StringConstraints

from ops.runtime.platform_protocol import JsonObject, Response
from publish.preflight.check import count_finding
from publish.preflight.contract import (
    AccountFacts,
    Draft,
    Finding,
    Limit,
    MediaRule,
    PostingRules,
    PostKind,
    Severity,
    TextRule,
)
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule, ReportedError
from publish.preflight.options import FirstComment, Options, Part, Words, labelled
from publish.preflight.text import graphemes, links

LINK_CHARACTERS = 23
CHARACTERS = 500
"""What the instances that were looked at allow (``mastodon.md`` 1); each instance says its own."""

_REMOTE_MENTION = regex.compile(r"(?<![\w/=])(@[\w.-]*\w)@[\w-]+(?:\.[\w-]+)+", regex.IGNORECASE)


def characters(text: str) -> int:
    """Return the length of a text: 23 for each link, a mention without its instance, grapheme clusters else."""
    return graphemes(_counted(text))


def _counted(text: str) -> str:
    text = _REMOTE_MENTION.sub(r"\1", text)
    for link in sorted(set(links(text)), key=len, reverse=True):
        text = text.replace(link, "x" * LINK_CHARACTERS)
    return text


class Everywhere(Options):
    """What every post has."""

    visibility: Literal["public", "unlisted", "private", "direct"] | None = Field(
        default=None,
        description="Who sees it; as the account is set if nothing is chosen.",
        json_schema_extra=labelled(
            public="Everybody",
            unlisted="Everybody, and not in public timelines",
            private="Followers only",
            direct="Only people who are mentioned",
        ),
    )
    spoiler_text: str = Field(
        default="", title="Content warning", description="A warning that hides the post until somebody opens it."
    )
    sensitive: bool = Field(
        default=False, title="Sensitive files", description="Hide the files until somebody opens them."
    )
    language: Annotated[str, StringConstraints(pattern="^[a-z]{2,3}$")] | None = Field(
        default=None, description="The language of the text, as its code: en, de."
    )
    quote_policy: Literal["public", "followers", "nobody"] | None = Field(
        default=None,
        description="Who may quote it.",
        json_schema_extra=labelled(public="Everybody", followers="Followers", nobody="Nobody"),
    )
    quote_of: Words | None = Field(default=None, description="The id of the post that is quoted.")
    first_comment: FirstComment = ""


class Text(Everywhere):
    """A post of text."""


class PollContent(Part):
    """The answers of a poll, and for how long people may vote."""

    options: Annotated[list[Words], Field(min_length=2)]
    seconds: Annotated[int, Field(ge=1, title="Seconds in which people may vote")]
    multiple: bool = Field(default=False, description="Several answers may be chosen.")
    hide_totals: bool = Field(default=False, description="Hide the numbers until the end.")


class PollPost(Everywhere):
    """A post with a poll."""

    poll: PollContent


class Focus(Part):
    """The point of an image that stays visible where it is cut: -1 is left or below, 1 right or above."""

    position: Annotated[int, Field(ge=1)]
    x: Annotated[float, Field(ge=-1, le=1)]
    y: Annotated[float, Field(ge=-1, le=1)]


class Media(Everywhere):
    """A post with files."""

    focus: list[Focus] = Field(default_factory=list)


_SCOPES = (("write:statuses", "write"),)
_MEDIA_SCOPES = (*_SCOPES, ("write:media", "write"))

_TEXT = TextRule(characters, Limit(at_most=CHARACTERS, source="mastodon.md 5", fact="text"))
_SOURCE = "mastodon.md 1"

_IMAGE = MediaRule(
    "image",
    ["image/jpeg", "image/png", "image/webp", "image/gif", "image/heic", "image/heif", "image/avif"],
    _SOURCE,
    {
        "bytes": Limit(at_most=16 * 1_048_576, source=_SOURCE, fact="image_bytes"),
        "pixels": Limit(at_most=33_177_600, source=_SOURCE, fact="image_pixels"),
    },
)
_GIF = MediaRule("gif", ["image/gif"], _SOURCE, _IMAGE.limits)
_VIDEO = MediaRule(
    "video",
    ["video/mp4", "video/webm", "video/quicktime"],
    _SOURCE,
    {
        "bytes": Limit(at_most=99 * 1_048_576, source=_SOURCE, fact="video_bytes"),
        "pixels": Limit(source=_SOURCE, fact="video_pixels"),
        "frames_per_second": Limit(source=_SOURCE, fact="video_frames_per_second"),
    },
)
_AUDIO = MediaRule(
    "audio",
    ["audio/mpeg", "audio/ogg", "audio/wav", "audio/flac", "audio/aac", "audio/mp4"],
    _SOURCE,
    {"bytes": Limit(at_most=99 * 1_048_576, source=_SOURCE, fact="video_bytes")},
)


def _with_files(title: str, items: Limit, *media: MediaRule) -> PostKind:
    return PostKind(
        title,
        "mastodon.md 4",
        _TEXT,
        items=items,
        media=media,
        alt_text=Limit(at_most=1500, source="mastodon.md 1", fact="alt_text"),
        alt_text_on=("image", "gif", "video", "audio"),
        options=Media,
        scopes=_MEDIA_SCOPES,
    )


_ONE = Limit(1, 1, "mastodon.md 4")

KINDS = {
    "text": PostKind("a text", "mastodon.md 5", _TEXT, text_needed=True, options=Text, scopes=_SCOPES),
    "poll": PostKind("a poll", "mastodon.md 5", _TEXT, text_needed=True, options=PollPost, scopes=_SCOPES),
    "images": _with_files("a post of images", Limit(1, 4, "mastodon.md 4", fact="media_items"), _IMAGE, _GIF),
    "video": _with_files("a video", _ONE, _VIDEO),
    "audio": _with_files("an audio file", _ONE, _AUDIO),
}

_LIMITS = (
    ("text", "statuses", "max_characters"),
    ("media_items", "statuses", "max_media_attachments"),
    ("alt_text", "media_attachments", "description_limit"),
    ("image_bytes", "media_attachments", "image_size_limit"),
    ("image_pixels", "media_attachments", "image_matrix_limit"),
    ("video_bytes", "media_attachments", "video_size_limit"),
    ("video_pixels", "media_attachments", "video_matrix_limit"),
    ("video_frames_per_second", "media_attachments", "video_frame_rate_limit"),
    ("poll_options", "polls", "max_options"),
    ("poll_characters", "polls", "max_characters_per_option"),
    ("poll_least_seconds", "polls", "min_expiration"),
    ("poll_most_seconds", "polls", "max_expiration"),
)


def instance_facts(instance: JsonObject) -> AccountFacts:
    """Return the limits of an instance, by ``GET /api/v2/instance`` or ``v1`` (``mastodon.md`` 1)."""
    configuration = instance.get("configuration")
    configuration = configuration if isinstance(configuration, dict) else {}
    limits: dict[str, float] = {}
    for fact, part, name in _LIMITS:
        values = configuration.get(part)
        value = values.get(name) if isinstance(values, dict) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            limits[fact] = value
    media = configuration.get("media_attachments")
    types = media.get("supported_mime_types") if isinstance(media, dict) else None
    known = [one for one in types if isinstance(one, str)] if isinstance(types, list) else None
    return AccountFacts(limits=limits, content_types=known or None)


def check_warning(draft: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """The warning counts with the text (``mastodon.md`` 5)."""
    if not isinstance(options, Everywhere) or not options.spoiler_text:
        return
    if characters(draft.text) <= facts.limits.get("text", CHARACTERS):
        counted = characters(draft.text) + graphemes(options.spoiler_text)
        words = "The text has {} characters with its warning"
        yield from count_finding(counted, _TEXT.limit, facts, "text_length", words, "Shorten one of them.")


def check_code_points(draft: Draft, _: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """How other servers count is not known: a text that fits by what people see only is a warning (11)."""
    limit, parts = facts.limits.get("text", CHARACTERS), len(_counted(draft.text))
    if characters(draft.text) <= limit < parts:
        message = f"The text has {parts} characters if the server counts parts of emoji; {limit:g} are allowed."
        yield Finding(Severity.WARNING, "text_length", "text", message, "Shorten it.", source="mastodon.md 11")


def check_poll(_: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """How long and how many the answers of a poll may be is said by the instance (``mastodon.md`` 1)."""
    if not isinstance(options, PollPost):
        return
    longest = max(map(len, options.poll.options))
    for value, low, high, what in (
        (len(options.poll.options), None, facts.limits.get("poll_options"), "The poll has {} answers"),
        (longest, None, facts.limits.get("poll_characters"), "An answer of the poll has {} characters"),
        (
            options.poll.seconds,
            facts.limits.get("poll_least_seconds"),
            facts.limits.get("poll_most_seconds"),
            "The poll lasts {} seconds",
        ),
    ):
        for finding in count_finding(value, Limit(low, high, "mastodon.md 1"), facts, "", what, "Change it."):
            yield Finding(
                Severity.REFUSAL, "option_not_valid", "option", finding.message, "Change it.", "poll", "mastodon.md 1"
            )


def check_quote_policy(_: Draft, options: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """Private posts cannot be quoted, whatever the policy (``mastodon.md`` 5.1)."""
    if (
        isinstance(options, Everywhere)
        and options.visibility in {"private", "direct"}
        and options.quote_policy not in {None, "nobody"}
    ):
        message = "A post that is not public cannot be quoted: the server sets the policy to nobody."
        yield Finding(
            Severity.WARNING,
            "option_not_allowed",
            "option",
            message,
            "Choose nobody, or another visibility.",
            "quote_policy",
            "mastodon.md 5.1",
        )


# What errors mean (mastodon.md 4, 5, 6, 12).

C = ErrorClass
UNKNOWN = ErrorClass.UNKNOWN_OUTCOME
BY_ITSELF = "It is tried again by itself."


def read_error(response: Response) -> ReportedError | None:
    """Read an error: the status tells, as texts are in the server's language and have no code (``mastodon.md`` 5)."""
    if response.ok:
        return None
    error = response.content.get("error") if isinstance(response.content, dict) else None
    return ReportedError(text=str(error or "").lower(), own=isinstance(error, str))


ERRORS = (
    ErrorRule(
        C.WAIT,
        "The account has asked its server for too much in a short time.",
        BY_ITSELF,
        "mastodon.md 6",
        statuses=[429],
        retryable=True,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.AGAIN,
        "The server had trouble.",
        BY_ITSELF,
        "mastodon.md 12",
        statuses=[500, 502, 503, 504],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.NOT_READY,
        "The server is still processing a file.",
        BY_ITSELF,
        "mastodon.md 9.1",
        statuses=[422],
        text="not finished processing",
        retryable=True,
        wait_seconds=5,
    ),
    ErrorRule(
        C.AGAIN,
        "The server does not find the post that is answered, or the file.",
        BY_ITSELF,
        "mastodon.md 5",
        statuses=[404],
        own=True,
        retryable=True,
        wait_seconds=5,
    ),
    ErrorRule(
        C.TOKEN,
        "The server no longer accepts this connection.",
        "Connect the account again.",
        "mastodon.md 3",
        statuses=[401],
        own=True,
        user_code="access_token_invalid",
    ),
    ErrorRule(
        C.PERMISSION,
        "The server does not let this account do that: a permission is missing, or the account is limited.",
        "Connect the account again, or ask the administrators of the server.",
        "mastodon.md 3",
        statuses=[403],
        own=True,
        user_code="scope_not_authorized",
    ),
    ErrorRule(
        C.MEDIA,
        "The server takes no file that is so large.",
        "Make the file smaller.",
        "mastodon.md 1",
        statuses=[413],
    ),
    ErrorRule(
        C.CONTENT,
        "The server does not take the post or the file as it is.",
        "Change the post.",
        "mastodon.md 5",
        statuses=[422],
        own=True,
    ),
)

PLATFORM = PostingRules(
    "Mastodon",
    KINDS,
    ErrorCatalogue(read_error, ERRORS),
    (check_warning, check_code_points, check_poll, check_quote_policy),
)
