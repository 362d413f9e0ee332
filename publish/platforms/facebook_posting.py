"""Posts on a Facebook Page: what each kind may hold, its options and its errors (``meta.md`` 9.2)."""

from collections.abc import Iterator

from pydantic import Field

from publish.platforms import _meta_posting
from publish.preflight.contract import (
    MB,
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
from publish.preflight.options import FirstComment, Options, Words


class Feed(Options):
    """What the posts of the timeline have."""

    place_id: Words | None = Field(default=None, description="The id of a place's page.")
    first_comment: FirstComment = ""


class Video(Feed):
    """What a video has besides."""

    title: Words | None = None


class Reel(Options):
    """What a reel has."""

    title: Words | None = None
    first_comment: FirstComment = ""


_SCOPES = (("pages_manage_posts",),)
_OPTION_SCOPES = {"first_comment": ("pages_manage_engagement",)}

_TEXT = TextRule(len, Limit())
"""The page names no longest text."""

_PHOTO = MediaRule("image", ["image/jpeg", "image/png"], "meta.md 9.5", {"bytes": megabytes(4, "meta.md 9.2")})
_VIDEO = MediaRule("video", ["video/mp4"], "meta.md 9.2")
_REEL = MediaRule(
    "video",
    ["video/mp4"],
    "meta.md 9.2",
    {
        "ratio": Limit(0.55, 0.575, "meta.md 9.2"),
        "width": Limit(at_least=540, source="meta.md 9.2"),
        "height": Limit(at_least=960, source="meta.md 9.2"),
        "seconds": Limit(3, 90, "meta.md 9.2"),
        "frames_per_second": Limit(24, 60, "meta.md 9.2"),
        "audio_hertz": Limit(48_000, 48_000, "meta.md 9.2", Severity.WARNING),
    },
    codecs=("h264", "hevc", "vp9", "av1"),
    audio_codecs=("aac",),
)
_STORY_PHOTO = MediaRule(
    "image",
    ["image/jpeg", "image/png"],
    "meta.md 9.2",
    {"bytes": Limit(at_most=10 * MB, doubt_above=4 * MB, source="meta.md 9.2")},
)
_STORY_VIDEO = MediaRule(
    "video",
    ["video/mp4"],
    "meta.md 9.2",
    {
        "ratio": Limit(0.55, 0.575, "meta.md 9.2"),
        "seconds": Limit(3, 90, "meta.md 9.2", doubt_above=60),
    },
)

KINDS = {
    "text": PostKind(
        "a text", "meta.md 9.2", _TEXT, text_needed=True, options=Feed, scopes=_SCOPES, option_scopes=_OPTION_SCOPES
    ),
    "link": PostKind(
        "a link", "meta.md 9.2", _TEXT, link="needed", options=Feed, scopes=_SCOPES, option_scopes=_OPTION_SCOPES
    ),
    "photo": PostKind(
        "a photo",
        "meta.md 9.2",
        _TEXT,
        items=Limit(1, 1, "meta.md 9.2"),
        media=(_PHOTO,),
        alt_text=Limit(),
        options=Feed,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
        fetched=True,
    ),
    "multi_photo": PostKind(
        "a post of several photos",
        "meta.md 9.2",
        _TEXT,
        items=Limit(at_least=2, source="meta.md 9.2"),
        media=(_PHOTO,),
        alt_text=Limit(),
        options=Feed,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
        fetched=True,
    ),
    "video": PostKind(
        "a video",
        "meta.md 9.2",
        _TEXT,
        items=Limit(1, 1, "meta.md 9.2"),
        media=(_VIDEO,),
        options=Video,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
    ),
    "reel": PostKind(
        "a reel",
        "meta.md 9.2",
        _TEXT,
        items=Limit(1, 1, "meta.md 9.2"),
        media=(_REEL,),
        options=Reel,
        scopes=_SCOPES,
        option_scopes=_OPTION_SCOPES,
    ),
    "story": PostKind(
        "a story",
        "meta.md 9.2",
        items=Limit(1, 1, "meta.md 9.2"),
        media=(_STORY_PHOTO, _STORY_VIDEO),
        scopes=_SCOPES,
        fetched=True,
    ),
}


def check_link_source(draft: Draft, _: Options | None, __: AccountFacts) -> Iterator[Finding]:
    """Links to files of the platform's own servers are refused as sources (``meta.md`` 9.2)."""
    if "fbcdn.net/" in draft.link.lower():
        message = "The platform does not take addresses of its own files (fbcdn.net)."
        remedy = "Link the post or the page, or upload the file."
        yield Finding(Severity.REFUSAL, "link_not_valid", "link", message, remedy, source="meta.md 9.2")


PLATFORM = PostingRules(
    "Facebook",
    KINDS,
    ErrorCatalogue(_meta_posting.read_error, _meta_posting.RULES),
    (check_link_source,),
    (Quota(30, 86_400, "meta.md 9.2", ("reel",)),),
)
