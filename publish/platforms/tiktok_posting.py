"""Posts on TikTok: what each kind may hold, its options, its errors, and how a file is cut (``tiktok.md`` 5 to 11)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ops.runtime.platform_protocol import JsonObject, Response
from publish.preflight.check import count_finding, owns
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
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule, ReportedError
from publish.preflight.options import Options, Words, labelled
from publish.preflight.text import utf16_units

SELF_ONLY = "SELF_ONLY"

_TRANSFERS = labelled(file="Landfall sends the file", url="TikTok fetches the file")


class Direct(Options):
    """What is published at once. Nobody chooses the privacy for the person, and every switch is off at first."""

    privacy_level: Literal["PUBLIC_TO_EVERYONE", "FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"] = Field(
        title="Who may see it",
        description="The account's own choices change, so they are asked for each time, and none is made for you.",
        json_schema_extra=labelled(
            PUBLIC_TO_EVERYONE="Everybody",
            FOLLOWER_OF_CREATOR="Followers",
            MUTUAL_FOLLOW_FRIENDS="Friends: followers who are followed back",
            SELF_ONLY="Only the account itself",
        ),
    )
    music_usage_confirmed: bool = Field(
        title="Music usage confirmation",
        description="Whether you agree to TikTok's Music Usage Confirmation for this post.",
    )
    allow_comments: bool = False
    own_brand: bool = Field(default=False, title="Your brand", description="It promotes your own business.")
    branded_content: bool = Field(default=False, title="Branded content", description="It is a paid partnership.")


class Video(Direct):
    """A video that is published at once."""

    allow_duet: bool = False
    allow_stitch: bool = False
    ai_generated: bool = Field(default=False, description="Label the post as made with AI.")
    cover_ms: Annotated[int, Field(ge=0)] | None = Field(
        default=None, title="Cover", description="The moment of the video for it, in milliseconds."
    )
    transfer: Literal["file", "url"] = Field(
        default="file",
        description="Whether Landfall sends the file or TikTok fetches it.",
        json_schema_extra=_TRANSFERS,
    )


class InboxVideo(Options):
    """A video that waits in the person's inbox: text and privacy are chosen in the app."""

    transfer: Literal["file", "url"] = Field(
        default="file",
        description="Whether Landfall sends the file or TikTok fetches it.",
        json_schema_extra=_TRANSFERS,
    )


class PhotosOptions(Options):
    """What a post of photos has, wherever it goes."""

    title: Words | None = Field(default=None, description="Up to 90 UTF-16 units; the text is the description.")
    cover_position: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Which file is the cover, counted from 1."
    )


class Photos(Direct, PhotosOptions):
    """Photos that are published at once."""

    auto_add_music: bool = Field(default=False, description="Let TikTok add music.")


class InboxPhotos(PhotosOptions):
    """Photos that wait in the person's inbox."""


_PUBLISH, _INBOX = (("video.publish",),), (("video.upload",),)

_TITLE = TextRule(utf16_units, Limit(at_most=2200, source="tiktok.md 6"), "UTF-16 units")
_DESCRIPTION = TextRule(utf16_units, Limit(at_most=4000, source="tiktok.md 6"), "UTF-16 units")
_PHOTO_TITLE = Limit(at_most=90, source="tiktok.md 6")

_VIDEO = MediaRule(
    "video",
    ["video/mp4", "video/webm", "video/quicktime"],
    "tiktok.md 11",
    {
        "bytes": megabytes(4096, "tiktok.md 11"),
        "width": Limit(360, 4096, "tiktok.md 11"),
        "height": Limit(360, 4096, "tiktok.md 11"),
        "frames_per_second": Limit(23, 60, "tiktok.md 11"),
        "seconds": Limit(at_most=600, source="tiktok.md 11", fact="video_seconds"),
    },
    codecs=("h264", "hevc", "vp8", "vp9"),
)
_PHOTO = MediaRule(
    "image",
    ["image/jpeg", "image/webp"],
    "tiktok.md 11",
    {
        "bytes": megabytes(20, "tiktok.md 11"),
        "shorter_side": Limit(at_most=1080, source="tiktok.md 11"),
    },
)
_ONE, _UP_TO_35 = Limit(1, 1, "tiktok.md 6"), Limit(1, 35, "tiktok.md 6")

KINDS = {
    "video": PostKind("a video", "tiktok.md 6", _TITLE, items=_ONE, media=(_VIDEO,), options=Video, scopes=_PUBLISH),
    "photos": PostKind(
        "a post of photos",
        "tiktok.md 6",
        _DESCRIPTION,
        items=_UP_TO_35,
        media=(_PHOTO,),
        options=Photos,
        scopes=_PUBLISH,
        fetched=True,
    ),
    "inbox_video": PostKind(
        "a video for the inbox", "tiktok.md 6", items=_ONE, media=(_VIDEO,), options=InboxVideo, scopes=_INBOX
    ),
    "inbox_photos": PostKind(
        "a post of photos for the inbox",
        "tiktok.md 6",
        _DESCRIPTION,
        items=_UP_TO_35,
        media=(_PHOTO,),
        options=InboxPhotos,
        scopes=_INBOX,
        fetched=True,
    ),
}


def creator_facts(creator_info: JsonObject) -> AccountFacts:
    """Return what ``creator_info`` says of an account, from its ``data`` (``tiktok.md`` 5)."""
    offered = creator_info.get("privacy_level_options")
    longest = creator_info.get("max_video_post_duration_sec")
    switches = {
        "comment_disabled": "allow_comments",
        "duet_disabled": "allow_duet",
        "stitch_disabled": "allow_stitch",
    }
    return AccountFacts(
        choices={"privacy_level": [one for one in offered if isinstance(one, str)]}
        if isinstance(offered, list)
        else {},
        switched_off=[option for name, option in switches.items() if creator_info.get(name) is True],
        limits={"video_seconds": min(float(longest), 600)} if isinstance(longest, int) and longest > 0 else {},
    )


def check_creator(_: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """What is published at once is checked against the creator's own choices of this moment (``tiktok.md`` 5, 10)."""
    if not isinstance(options, Direct):
        return
    if "privacy_level" not in facts.choices:
        message = "TikTok was not asked yet what this account allows."
        yield Finding(
            Severity.REFUSAL,
            "creator_info_missing",
            "option",
            message,
            "Try again in a minute.",
            "privacy_level",
            "tiktok.md 5",
        )
    if not options.music_usage_confirmed:
        message = "TikTok publishes it only with the person's consent to its Music Usage Confirmation."
        remedy = "Read it, and agree to it."
        yield Finding(
            Severity.REFUSAL, "consent_missing", "option", message, remedy, "music_usage_confirmed", "tiktok.md 10"
        )
    if options.branded_content and options.privacy_level == SELF_ONLY:
        message = "TikTok may refuse a paid partnership that only the account itself sees."
        yield Finding(
            Severity.WARNING,
            "option_not_allowed",
            "option",
            message,
            "Choose another privacy.",
            "branded_content",
            "tiktok.md 15",
        )


def check_photos(draft: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """Photos have a title of their own, and a cover that is one of them (``tiktok.md`` 6)."""
    if not isinstance(options, PhotosOptions):
        return
    words = "The title has {} UTF-16 units"
    yield from count_finding(
        utf16_units(options.title or ""), _PHOTO_TITLE, facts, "title_length", words, "Shorten it."
    )
    if draft.media and options.cover_position not in {media.position for media in draft.media}:
        message = f"The cover is file {options.cover_position}, which the post does not have."
        yield Finding(
            Severity.REFUSAL, "option_not_valid", "option", message, "Correct it.", "cover_position", "tiktok.md 6"
        )


def check_ownership(draft: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    """TikTok fetches files only from hosts or prefixes that are verified as ours (``tiktok.md`` 7.3)."""
    fetched = isinstance(options, PhotosOptions) or (
        isinstance(options, Video | InboxVideo) and options.transfer == "url"
    )
    if not fetched or not draft.media:
        return
    remedy = "The operator verifies the address at TikTok's developer portal, or videos are sent as files."
    if facts.owned_urls is None:
        message = "It is not known whether TikTok has verified the address from which it fetches the files."
        yield Finding(Severity.WARNING, "url_ownership_unknown", "post", message, remedy, source="tiktok.md 7.3")
    elif not owns(facts.media_url, facts.owned_urls):
        message = f"TikTok has not verified the address from which it fetches the files: {facts.media_url or 'none'}."
        yield Finding(Severity.REFUSAL, "url_ownership_unverified", "post", message, remedy, source="tiktok.md 7.3")


# How a file is cut (tiktok.md 7.1).

SINGLE = 64 * MB
"""Up to this size a file is sent in one piece."""

CHUNK = 10 * MB
MOST_CHUNKS = 1000


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """``chunk_size`` and ``count`` are what TikTok is told; the last chunk takes the rest, so it is the largest."""

    size: int
    chunk_size: int
    count: int

    def range(self, number: int) -> tuple[int, int]:
        """Return the first and the last byte of a chunk, both included; chunks are numbered from 0."""
        first = number * self.chunk_size
        return first, (self.size if number == self.count - 1 else first + self.chunk_size) - 1

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The first and the last byte of each chunk, both included, in order."""
        return [self.range(number) for number in range(self.count)]

    def chunk_at(self, uploaded: int) -> int | None:
        """Return the number of the chunk that follows ``uploaded`` bytes; None where no chunk begins there."""
        number, inside = divmod(uploaded, self.chunk_size)
        return number if inside == 0 and number < self.count else None


def chunk_plan(size: int) -> ChunkPlan:
    """Return how a file of this size is cut. Raises ValueError for an empty file."""
    if size < 1:
        raise ValueError("an empty file cannot be cut")
    if size <= SINGLE:
        return ChunkPlan(size, size, 1)
    chunk = max(CHUNK, -(-size // MOST_CHUNKS))
    return ChunkPlan(size, chunk, size // chunk)


# What errors mean (tiktok.md 8.2, 9).

C = ErrorClass
UNKNOWN = ErrorClass.UNKNOWN_OUTCOME
BY_ITSELF = "It is tried again by itself."
OTHER_FILE = "Change or replace the file."
AT_TIKTOK = "The owner of the account looks at TikTok's notices in the app."


def read_error(response: Response) -> ReportedError | None:
    """Read an error: it may come with HTTP 200, and ``ok`` is none (``tiktok.md`` 4). Uploads have a status only."""
    content = response.content if isinstance(response.content, dict) else {}
    error = content.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        if code == "ok":
            return None if response.ok else ReportedError(text=str(error.get("message") or "").lower())
        return ReportedError(str(code or ""), text=str(error.get("message") or "").lower(), own=bool(code))
    return None if response.ok else ReportedError(own=False)


def failed(reason: str) -> ReportedError:
    """Return the error that a status or a webhook reports as the reason of ``FAILED`` (``tiktok.md`` 8.2)."""
    return ReportedError(reason)


ERRORS = (
    ErrorRule(
        C.TOKEN,
        "TikTok no longer accepts this connection.",
        "Connect the account again.",
        "tiktok.md 9",
        codes=["access_token_invalid"],
        user_code="access_token_invalid",
    ),
    ErrorRule(
        C.TOKEN,
        "The owner has ended the connection meanwhile.",
        "Connect the account again.",
        "tiktok.md 8.2",
        codes=["auth_removed"],
        user_code="access_token_invalid",
    ),
    ErrorRule(
        C.PERMISSION,
        "The account has not allowed publishing.",
        "Connect the account again and leave all permissions ticked.",
        "tiktok.md 9",
        codes=["scope_not_authorized", "scope_permission_missed"],
        user_code="scope_not_authorized",
    ),
    ErrorRule(
        C.WAIT,
        "The account has asked TikTok for too much within a minute.",
        BY_ITSELF,
        "tiktok.md 9",
        codes=["rate_limit_exceeded"],
        retryable=True,
        wait_seconds=60,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.QUOTA,
        "The account has published all that TikTok allows in 24 hours.",
        "Publish it later.",
        "tiktok.md 9",
        codes=["spam_risk_too_many_posts"],
        wait_seconds=3600,
        user_code="rate_limit_exceeded",
    ),
    ErrorRule(
        C.QUOTA,
        "Five posts wait in the inbox of the account, which is all that TikTok allows in 24 hours.",
        "The owner publishes or deletes what waits in the app; then post it again.",
        "tiktok.md 9",
        codes=["spam_risk_too_many_pending_share"],
        wait_seconds=3600,
        user_code="spam_risk_too_many_pending_share",
    ),
    ErrorRule(
        C.QUOTA,
        "The application has as many active accounts as TikTok allows in 24 hours.",
        "Publish it tomorrow; the operator asks TikTok for a higher limit.",
        "tiktok.md 9",
        codes=["reached_active_user_cap"],
        wait_seconds=3600,
    ),
    ErrorRule(
        C.ACCOUNT_STOPPED,
        "TikTok does not let this account publish.",
        AT_TIKTOK,
        "tiktok.md 9",
        codes=["spam_risk_user_banned_from_posting", "spam_risk"],
    ),
    ErrorRule(
        C.CONTENT,
        "TikTok takes the text for spam.",
        "Change the text.",
        "tiktok.md 8.2",
        codes=["spam_risk_text"],
    ),
    ErrorRule(
        C.APPLICATION,
        "TikTok has not audited the application yet, so it publishes on private accounts only.",
        "The owner sets the account to private, or the operator has the application audited.",
        "tiktok.md 10",
        codes=["unaudited_client_can_only_post_to_private_accounts"],
    ),
    ErrorRule(
        C.APPLICATION,
        "TikTok has not verified the address from which it fetches the files.",
        "The operator verifies the address at TikTok's developer portal, or the video is sent as a file.",
        "tiktok.md 9",
        codes=["url_ownership_unverified"],
        user_code="url_ownership_unverified",
    ),
    ErrorRule(
        C.CONTENT,
        "The account no longer allows this privacy.",
        "Choose the privacy again.",
        "tiktok.md 9",
        codes=["privacy_level_option_mismatch"],
    ),
    ErrorRule(
        C.CONTENT,
        "The app on the owner's phone is too old for this.",
        "The owner updates the TikTok app.",
        "tiktok.md 9",
        codes=["app_version_check_failed"],
    ),
    ErrorRule(
        C.NOT_DONE,
        "TikTok does not know this post, or no longer.",
        "Look at the account.",
        "tiktok.md 8.4",
        codes=["invalid_publish_id"],
    ),
    ErrorRule(
        C.NOT_DONE,
        "The post belongs to another account.",
        "Connect the account with which it was posted.",
        "tiktok.md 8.4",
        codes=["token_not_authorized_for_specified_publish_id"],
    ),
    ErrorRule(
        C.NOT_DONE,
        "It is too late to cancel the post.",
        "Delete it in the app.",
        "tiktok.md 7.3",
        codes=["publish_not_cancellable"],
    ),
    ErrorRule(C.MEDIA, "TikTok does not take the file.", OTHER_FILE, "tiktok.md 9", codes=["invalid_file_upload"]),
    ErrorRule(
        C.MEDIA,
        "TikTok does not take a file: its type, length, rate or size does not fit.",
        OTHER_FILE,
        "tiktok.md 8.2",
        codes=[
            "file_format_check_failed",
            "duration_check_failed",
            "frame_rate_check_failed",
            "picture_size_check_failed",
        ],
    ),
    ErrorRule(
        C.ANEW,
        "TikTok could not fetch the files from Landfall.",
        "They are offered again by themselves, a few times.",
        "tiktok.md 8.2",
        codes=["video_pull_failed", "photo_pull_failed"],
        retryable=True,
    ),
    ErrorRule(
        C.ANEW,
        "TikTok had trouble while publishing.",
        BY_ITSELF,
        "tiktok.md 8.2",
        codes=["internal"],
        retryable=True,
    ),
    ErrorRule(
        C.NOT_DONE, "The post was cancelled.", "There is nothing to do.", "tiktok.md 8.2", codes=["publish_cancelled"]
    ),
    ErrorRule(
        C.AGAIN,
        "TikTok had trouble.",
        BY_ITSELF,
        "tiktok.md 9",
        codes=["internal_error"],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.CONTENT,
        "TikTok does not take the post as it is.",
        "Change the post.",
        "tiktok.md 9",
        codes=["invalid_param", "invalid_params"],
    ),
    ErrorRule(
        C.NOT_DONE,
        "TikTok did not take a part of the file.",
        "Report it to the operator.",
        "tiktok.md 7.2",
        statuses=[400],
        own=False,
        on_commit=UNKNOWN,
    ),
    ErrorRule(
        C.ANEW,
        "The address for the upload is over.",
        "The file is uploaded again by itself.",
        "tiktok.md 7.2",
        statuses=[403, 404],
        own=False,
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.AGAIN,
        "TikTok expects another part of the file.",
        "The upload goes on by itself from where TikTok is.",
        "tiktok.md 7.2",
        statuses=[416],
        own=False,
        on_commit=UNKNOWN,
        retryable=True,
    ),
    ErrorRule(
        C.AGAIN,
        "TikTok had trouble.",
        BY_ITSELF,
        "tiktok.md 7.2",
        statuses=[500, 502, 503, 504],
        on_commit=UNKNOWN,
        retryable=True,
    ),
    # An error code in the answer to an init says that nothing was created (tiktok.md 6.1).
    ErrorRule(
        C.NOT_DONE,
        "TikTok refused it.",
        "Ask the operator what TikTok means by it.",
        "tiktok.md 6.1",
        statuses=[200, *range(400, 429), *range(430, 500)],
        own=True,
        known=False,
    ),
)

PLATFORM = PostingRules(
    "TikTok",
    KINDS,
    ErrorCatalogue(read_error, ERRORS),
    (check_creator, check_photos, check_ownership),
    (Quota(5, 86_400, "tiktok.md 10", ("inbox_video", "inbox_photos"), "spam_risk_too_many_pending_share"),),
)
