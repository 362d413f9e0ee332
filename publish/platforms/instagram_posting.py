"""Posts on Instagram: what each kind may hold, its options and its errors (``meta.md`` 8)."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

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
from publish.preflight.error_catalogue import ErrorCatalogue
from publish.preflight.options import FirstComment, Fraction, Options, Part, Words, labelled
from publish.preflight.text import hashtags, mentions

FACEBOOK_LOGIN = "facebook"
"""The :attr:`AccountFacts.login` of accounts that were connected by Facebook Login."""


class UserTag(Part):
    """A person who is shown, and where: x and y are fractions of the width and height, from the upper left corner."""

    username: Words
    x: Fraction | None = None
    y: Fraction | None = None
    position: Annotated[int, Field(ge=1)] = Field(default=1, description="Which file of the post, counted from 1.")


class Poll(Part):
    """A poll below the caption, which is its question."""

    options: Annotated[list[Words], Field(min_length=2, max_length=4)]
    open_end: bool = Field(default=False, title="Open end", description="Without it, a poll ends after 3 days.")


class Everywhere(Options):
    """What every kind of post has."""

    user_tags: Annotated[list[UserTag], Field(default_factory=list, max_length=20)]
    ai_generated: bool = Field(default=False, description="Label the post as made with AI.")
    paid_partnership: bool = Field(default=False, description="Label the post as a paid partnership.")
    sponsor_ids: Annotated[
        list[Words], Field(default_factory=list, max_length=2, description="Accounts that paid for it.")
    ]


class Feed(Everywhere):
    """What the posts of the feed have."""

    location_id: Words | None = Field(default=None, description="The id of a place's page.")
    collaborators: Annotated[list[Words], Field(default_factory=list, max_length=3, description="Names of accounts.")]
    poll: Poll | None = None
    comment_prompt: bool = Field(default=False, description="Ask for comments; not together with a poll.")
    first_comment: FirstComment = ""


class Reel(Feed):
    """What a reel has besides."""

    cover_media_id: Words | None = Field(
        default=None,
        title="Image for the cover",
        description="The id of an uploaded file; it wins over a moment of the video.",
    )
    cover_ms: Annotated[int, Field(ge=0)] | None = Field(
        default=None, title="Moment of the cover", description="In milliseconds from the beginning of the video."
    )
    share_to_feed: bool = Field(default=True, description="Show the reel in the feed too.")
    audio_name: Words | None = Field(default=None, description="The name of the reel's own sound.")
    trial_reel: Literal["MANUAL", "SS_PERFORMANCE"] | None = Field(
        None,
        description="Show it to people who do not follow first, until it is shared by hand or by its success.",
        json_schema_extra=labelled(MANUAL="Until you share it", SS_PERFORMANCE="Until it does well"),
    )


class Story(Everywhere):
    """A story has no caption, place or collaborators."""


_SCOPES = (("instagram_business_content_publish", "instagram_content_publish"),)
_OPTION_SCOPES = {"first_comment": ("instagram_business_manage_comments", "instagram_manage_comments")}
"""By Instagram Login, and by Facebook Login (``meta.md`` 7)."""

_CAPTION = TextRule(
    len,
    Limit(at_most=2200, source="meta.md 8.1"),
    hashtags=Limit(at_most=30, source="meta.md 8.1"),
    mentions=Limit(at_most=20, source="meta.md 8.1"),
)

_IMAGE = MediaRule(
    "image",
    ["image/jpeg"],
    "meta.md 8.3",
    {
        "bytes": Limit(at_most=8 * MIB, source="meta.md 7.4"),
        "ratio": Limit(0.8, 1.91, "meta.md 8.3"),
        "width": Limit(320, 1440, "meta.md 8.3", Severity.WARNING),
    },
)

_VIDEO_TYPES = ("video/mp4", "video/quicktime")
_VIDEO = MediaRule(
    "video",
    _VIDEO_TYPES,
    "meta.md 8.3",
    {
        "bytes": megabytes(300, "meta.md 8.3"),
        "seconds": Limit(3, 900, "meta.md 8.3"),
        "width": Limit(at_most=1920, source="meta.md 8.3"),
        "ratio": Limit(0.01, 10, "meta.md 8.3"),
        "frames_per_second": Limit(23, 60, "meta.md 8.3"),
        "bits_per_second": Limit(at_most=25_000_000, source="meta.md 8.3"),
        "audio_hertz": Limit(at_most=48_000, source="meta.md 8.3"),
    },
    codecs=("h264", "hevc"),
    audio_codecs=("aac",),
    subsampling="420",
    index_first=True,
)

_STORY_IMAGE = MediaRule(
    "image", ["image/jpeg"], "meta.md 8.3", {"bytes": Limit(at_most=8 * MIB, source="meta.md 7.4")}
)
_STORY_VIDEO = MediaRule(
    "video",
    _VIDEO_TYPES,
    "meta.md 8.3",
    {
        **_VIDEO.limits,
        "bytes": megabytes(100, "meta.md 8.3"),
        "seconds": Limit(3, 60, "meta.md 8.3"),
        "ratio": Limit(0.1, 10, "meta.md 8.3"),
    },
    _VIDEO.codecs,
    _VIDEO.audio_codecs,
    _VIDEO.subsampling,
    _VIDEO.index_first,
)

_ALT_TEXT = Limit(at_most=1000, source="meta.md 8.2")


def _one(
    title: str, source: str, *media: MediaRule, options: type[Options], text: TextRule | None = _CAPTION
) -> PostKind:
    return PostKind(
        title,
        source,
        text,
        items=Limit(1, 1, source),
        media=media,
        alt_text=_ALT_TEXT,
        options=options,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
        fetched=True,
    )


KINDS = {
    "image": _one("an image", "meta.md 8.2", _IMAGE, options=Feed),
    "reel": _one("a reel", "meta.md 8.2", _VIDEO, options=Reel),
    "carousel": PostKind(
        "a carousel",
        "meta.md 8.1",
        _CAPTION,
        items=Limit(2, 10, "meta.md 8.1", fact="carousel_items"),
        media=(_IMAGE, _VIDEO),
        alt_text=_ALT_TEXT,
        options=Feed,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
        fetched=True,
    ),
    "story": PostKind(
        "a story",
        "meta.md 8.3",
        items=Limit(1, 1, "meta.md 8.3"),
        media=(_STORY_IMAGE, _STORY_VIDEO),
        options=Story,
        scopes=_SCOPES,
        fetched=True,
    ),
}


def quota(content: JsonObject) -> AccountFacts:
    """Return how many posts are left, by the answer of ``content_publishing_limit`` (``meta.md`` 8.1)."""
    for limit in objects(content.get("data")):
        config, used = limit.get("config"), limit.get("quota_usage")
        total = config.get("quota_total") if isinstance(config, dict) else None
        if isinstance(total, int) and isinstance(used, int):
            return AccountFacts(quota_left=max(0, total - used))
    return AccountFacts()


def check_add_ons(draft: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """At most one add-on, with a caption, and with Facebook Login only (``meta.md`` 8.6)."""
    if not isinstance(options, Feed) or not (options.poll or options.comment_prompt):
        return
    source = "meta.md 8.6"
    name = "poll" if options.poll else "comment_prompt"
    if options.poll and options.comment_prompt:
        message = "A post has a poll or asks for comments, and not both."
        yield Finding(Severity.REFUSAL, "option_not_valid", "option", message, "Leave one out.", name, source)
    if not draft.text.strip():
        message = f"{name!r} needs a caption, which is its question."
        yield Finding(Severity.REFUSAL, "text_missing", "text", message, "Write one.", source=source)
    if facts.login and facts.login != FACEBOOK_LOGIN:
        message = f"{name!r} is possible only for accounts that were connected by Facebook Login."
        remedy = "Leave it out, or connect the account by Facebook Login."
        yield Finding(Severity.REFUSAL, "option_not_allowed", "option", message, remedy, name, source)


def check_tags(draft: Draft, options: Options | None, _: AccountFacts) -> Iterator[Finding]:
    """A tag names a file of the post, and in an image it needs its place (``meta.md`` 8.2)."""
    for tag in options.user_tags if isinstance(options, Everywhere) else ():
        found = next((media for media in draft.media if media.position == tag.position), None)
        if found is None:
            message = f"The tag of {tag.username} names file {tag.position}, which the post does not have."
        elif found.kind == "image" and (tag.x is None or tag.y is None):
            message = f"The tag of {tag.username} needs a place in the image: x and y, from 0 to 1."
        else:
            continue
        yield Finding(
            Severity.REFUSAL, "option_not_valid", "option", message, "Correct it.", "user_tags", "meta.md 8.2"
        )


FEW_HASHTAGS, FEW_MENTIONS = 5, 3


def check_reported_refusals(draft: Draft, _: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """A reseller reports refusals above 5 hashtags or 3 mentions (``meta.md`` 8.1)."""
    for noun, found, limit in (
        ("hashtags", hashtags(draft.text), FEW_HASHTAGS),
        ("mentions", mentions(draft.text), FEW_MENTIONS),
    ):
        if len(found) > limit:
            message = f"The text has {len(found)} {noun}; more than {limit} were refused to others."
            yield Finding(Severity.WARNING, noun, "text", message, "Leave some out.", source="meta.md 8.1")


PLATFORM = PostingRules(
    "Instagram",
    KINDS,
    ErrorCatalogue(_meta_posting.read_error, _meta_posting.RULES),
    (check_add_ons, check_tags, check_reported_refusals),
    (Quota(100, 86_400, "meta.md 8.1"),),
)
