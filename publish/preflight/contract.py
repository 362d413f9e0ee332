"""What a platform must say about posting, as data: kinds of post, what each may hold, options and errors.

Everything here is a value. :func:`publish.preflight.check.check` compares a draft with it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from publish.preflight.error_catalogue import ErrorCatalogue
from publish.preflight.options import NoOptions, Options

MB, MIB = 1_000_000, 1_048_576

FileKind = Literal["image", "gif", "video", "audio", "document"]

IMAGES: Sequence[FileKind] = ("image",)

Measure = Literal[
    "bytes",
    "width",
    "height",
    "shorter_side",
    "longer_side",
    "pixels",
    "ratio",
    "seconds",
    "frames_per_second",
    "frames",
    "bits_per_second",
    "audio_hertz",
    "pages",
]
"""What is measured of a file. ``ratio`` is width by height; ``frames`` are those of an animation."""


class Severity(StrEnum):
    """A refusal keeps the post from being accepted; a warning is shown, and the person may go on."""

    REFUSAL = "refusal"
    WARNING = "warning"


Part = Literal["post", "text", "link", "media", "option"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a draft, or that a person should know before it is published.

    ``part`` and ``which`` name the item: ``which`` is the position of a file, counted from 1, or the name of an option.
    ``message`` and ``remedy`` are for the person; ``source`` is the section of a platform's page that the rule is from.
    ``below`` names the part of a thread that it is about, such as ``part 2``; empty for the post itself.
    """

    severity: Severity
    code: str
    part: Part
    message: str
    remedy: str
    which: str = ""
    source: str = ""
    below: str = ""

    @property
    def document(self) -> dict[str, str]:
        """The finding as programs get it."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "item": " ".join(word for word in (self.below, self.part, self.which) if word),
            "message": self.message,
            "remedy": self.remedy,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What is known of one file of a draft. None stands for what was not measured, and for what a file has not.

    ``position`` counts from 1, in the order in which the files are shown. ``codec`` and ``audio_codec`` are FFmpeg's
    names, in lower case; ``audio_codec`` is empty where there is no sound. ``pixel_format`` is FFmpeg's name too;
    ``index_first`` is whether the index of a video stands before its pictures.
    """

    position: int
    content_type: str
    bytes: int
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    codec: str | None = None
    audio_codec: str | None = None
    audio_hertz: int | None = None
    frames_per_second: float | None = None
    frames: int | None = None
    bits_per_second: int | None = None
    pages: int | None = None
    alt_text: str = ""
    pixel_format: str = ""
    index_first: bool | None = None

    @property
    def kind(self) -> FileKind:
        """A GIF that moves is a kind of its own; one whose frames were not counted is taken to move."""
        general = self.content_type.partition("/")[0]
        if self.content_type == "image/gif":
            return "image" if self.frames == 1 else "gif"
        if general == "image":
            return "image"
        if general == "video":
            return "video"
        return "audio" if general == "audio" else "document"


@dataclass(frozen=True, slots=True)
class Draft:
    """One post for one account, before it is accepted. A further part of a thread is a draft of its own.

    ``kind`` is one of the platform's kinds of post. ``options`` are as they were sent; ``parent`` is whether the post
    answers another one. ``link`` is the address of a shared page, and ``link_title`` what it is called.
    """

    kind: str
    text: str = ""
    link: str = ""
    media: Sequence[MediaFacts] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    parent: bool = False
    link_title: str = ""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What is known of an account at the moment of the check: asked of the platform, or kept from connecting it.

    - ``scopes``: those that were granted; None if they are not known.
    - ``owner``: ``person`` or ``organization``; empty if that makes no difference, or is not known.
    - ``login``: how the account was connected, where one platform has several ways.
    - ``choices``: values that the account allows now for an option, by the name of the option.
    - ``switched_off``: options that the account does not allow to be switched on.
    - ``limits``: limits of this account or its server, by the ``fact`` of a :class:`Limit`.
    - ``content_types``: those that the account's server takes; None if it does not say.
    - ``quota_left``: posts that may still be published in the platform's window; None if it is not known.
    - ``quota_resets_at``: when more are allowed.
    - ``media_url``: the address below which the platform fetches our files.
    - ``owned_urls``: hosts and address prefixes that the platform has verified as ours; None if they are not known.
    """

    scopes: Collection[str] | None = None
    owner: str = ""
    login: str = ""
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    switched_off: Collection[str] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    content_types: Collection[str] | None = None
    quota_left: int | None = None
    quota_resets_at: datetime | None = None
    media_url: str = ""
    owned_urls: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A lowest and a highest value, both allowed. ``severity`` is that of a value outside.

    Above ``doubt_above`` a value is allowed and a warning: the platform may mean the smaller of two readings. ``fact``
    names the entry of :attr:`AccountFacts.limits` that replaces ``at_most`` where the account has it.
    """

    at_least: float | None = None
    at_most: float | None = None
    source: str = ""
    severity: Severity = Severity.REFUSAL
    doubt_above: float | None = None
    fact: str = ""


def megabytes(number: float, source: str, fact: str = "") -> Limit:
    """Return a limit on the size of a file where the page says MB: MiB are allowed, and above MB is a warning."""
    return Limit(at_most=number * MIB, doubt_above=number * MB, source=source, fact=fact)


@dataclass(frozen=True, slots=True)
class MediaRule:
    """What a file of one kind must be. ``codecs`` and ``audio_codecs`` are empty where any will do.

    ``subsampling`` is a part of FFmpeg's name of the pixel format, such as ``420``; ``index_first`` is whether the
    index of a video must stand before its pictures.
    """

    kind: FileKind
    content_types: Collection[str]
    source: str
    limits: Mapping[Measure, Limit] = field(default_factory=dict)
    codecs: Collection[str] = ()
    audio_codecs: Collection[str] = ()
    subsampling: str = ""
    index_first: bool = False


@dataclass(frozen=True, slots=True)
class TextRule:
    """How long a text may be as its platform counts it, and what else is counted in it.

    ``count`` gives the length in ``unit``.
    """

    count: Callable[[str], int]
    limit: Limit
    unit: str = "characters"
    hashtags: Limit | None = None
    mentions: Limit | None = None
    links: Limit | None = None


@dataclass(frozen=True, slots=True)
class PostKind:
    """One kind of post.

    - ``title``: what people call it, with an article: ``a reel``.
    - ``items``: how many files it takes; ``media`` are the rules, one for each kind of file that is allowed.
    - ``text``: None if it has no text; ``text_needed`` if it cannot be without.
    - ``link``: whether it has a link of its own beside the text.
    - ``alt_text``: None if the platform has no alternative texts here; ``alt_text_on`` are the kinds of file with one.
    - ``scopes``: groups of permissions, of each of which one is needed; an option with ``option_scopes`` needs one of
      them too.
    - ``fetched``: whether the platform fetches the files from our address.
    - ``card_image``: what the picture of a shared page must be, which is uploaded where the platform does not read
      pages; None where it reads them.
    """

    title: str
    source: str
    text: TextRule | None = None
    text_needed: bool = False
    items: Limit = Limit(at_most=0)
    media: Sequence[MediaRule] = ()
    link: Literal["none", "optional", "needed"] = "none"
    alt_text: Limit | None = None
    alt_text_on: Sequence[FileKind] = IMAGES
    options: type[Options] = NoOptions
    scopes: Sequence[Collection[str]] = ()
    option_scopes: Mapping[str, Collection[str]] = field(default_factory=dict)
    fetched: bool = False
    card_image: MediaRule | None = None


Check = Callable[[Draft, Options | None, AccountFacts], Iterable[Finding]]
"""A rule of one platform that no table holds. The options are None where they are not valid."""


@dataclass(frozen=True, slots=True)
class Quota:
    """So many posts of an account in any window of so many seconds; of these kinds only, all kinds if none is named.

    ``code`` is that of the finding on one post too many.
    """

    posts: int
    seconds: float
    source: str
    kinds: Sequence[str] = ()
    code: str = "quota_used_up"


@dataclass(frozen=True, slots=True)
class Owner:
    """What holds for the accounts of persons, or for those of organizations, where a platform has both.

    - ``title``: what people call one, with an article.
    - ``scopes``: groups of permissions, of each of which every post needs one, beside those of its kind.
    - ``reply_scopes``: the same for the further parts of a thread; ``option_scopes``: for options.
    - ``notes``: what else such an account may do, or may not, in sentences.
    """

    title: str
    source: str
    scopes: Sequence[Collection[str]] = ()
    reply_scopes: Sequence[Collection[str]] = ()
    option_scopes: Mapping[str, Collection[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PostingRules:
    """All that one platform says about posts. ``checks`` are its further rules, ``errors`` its error catalogue.

    ``quotas`` are those that hold for every account; one that differs is read live while publishing. ``owners`` are by
    :attr:`AccountFacts.owner`; the first one holds where that is not known.
    """

    title: str
    kinds: Mapping[str, PostKind]
    errors: ErrorCatalogue
    checks: Sequence[Check] = ()
    quotas: Sequence[Quota] = ()
    owners: Mapping[str, Owner] = field(default_factory=dict)

    @property
    def card_image(self) -> MediaRule | None:
        """What the picture of a shared page must be; None where it is not uploaded."""
        return next((kind.card_image for kind in self.kinds.values() if kind.card_image is not None), None)

    def owner(self, facts: AccountFacts) -> Owner | None:
        """Return what holds for the owner of an account; None where that makes no difference."""
        return self.owners.get(facts.owner, next(iter(self.owners.values()), None))
