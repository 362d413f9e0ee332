"""Comparing a draft with rules, without any platform's own."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from publish.preflight.check import LONGEST_TEXT, check, check_quota, check_reply_permissions, owns
from publish.preflight.contract import (
    AccountFacts,
    Draft,
    Finding,
    Limit,
    MediaFacts,
    MediaRule,
    Owner,
    PostingRules,
    PostKind,
    Quota,
    Severity,
    TextRule,
    megabytes,
)
from publish.preflight.error_catalogue import ErrorCatalogue
from publish.preflight.options import Options


class Choices(Options):
    privacy: Literal["all", "none"]
    comments: bool = False
    first_comment: str = ""
    tags: Annotated[list[str], Field(default_factory=list, max_length=2)]


TEXT = TextRule(
    len,
    Limit(at_most=20, source="text", doubt_above=18, fact="text"),
    hashtags=Limit(at_most=1, source="tags"),
    mentions=Limit(at_most=1, source="names", severity=Severity.WARNING),
    links=Limit(at_most=1, source="links"),
)
IMAGE = MediaRule(
    "image",
    ["image/jpeg"],
    "image",
    {
        "bytes": megabytes(1, "bytes"),
        "shorter_side": Limit(at_most=1080, source="side"),
        "width": Limit(at_most=1440, source="width", severity=Severity.WARNING),
        "ratio": Limit(0.5, 2, "ratio"),
    },
)
VIDEO = MediaRule(
    "video",
    ["video/mp4"],
    "video",
    {
        "seconds": Limit(3, 60, "seconds", fact="seconds"),
        "frames_per_second": Limit(23, 60, "rate"),
        "audio_hertz": Limit(at_most=48_000),
    },
    codecs=("h264",),
    audio_codecs=("aac",),
)
RULES = PostingRules(
    "Acme",
    {
        "text": PostKind("a text", "kinds", TEXT, text_needed=True, link="optional", scopes=(("write", "all"),)),
        "link": PostKind("a link", "kinds", TEXT, link="needed"),
        "images": PostKind(
            "a post of images",
            "kinds",
            TEXT,
            items=Limit(1, 6, "items"),
            media=(IMAGE,),
            alt_text=Limit(at_most=10, source="alt"),
            options=Choices,
            option_scopes={"first_comment": ("comment",)},
            fetched=True,
        ),
        "video": PostKind("a video", "kinds", items=Limit(1, 1, "items"), media=(VIDEO,)),
    },
    ErrorCatalogue(lambda _: None, ()),
)
PUBLIC = AccountFacts(media_url="https://media.example")
GIVEN: Mapping[str, object] = {"privacy": "all"}


def image(position: int = 1, **facts: Any) -> MediaFacts:
    return replace(MediaFacts(position, "image/jpeg", 1000, 1080, 1080), **facts)


def video(**facts: Any) -> MediaFacts:
    whole = MediaFacts(1, "video/mp4", 1000, 1080, 1920, 10.0, "h264", "aac", 48_000, 30.0)
    return replace(whole, **facts)


def images(*media: MediaFacts, text: str = "", **options: object) -> Draft:
    return Draft("images", text, media=media or (image(),), options={**GIVEN, **options})


def findings(draft: Draft, facts: AccountFacts = PUBLIC) -> list[Finding]:
    return list(check(RULES, draft, facts).findings)


def only(draft: Draft, facts: AccountFacts = PUBLIC) -> Finding:
    [found] = findings(draft, facts)
    return found


def test_draft_that_fits_has_no_findings_and_its_options_with_defaults() -> None:
    report = check(RULES, images(text="hello"), PUBLIC)
    assert report.findings == []
    assert report.options == Choices(privacy="all", comments=False, first_comment="", tags=[])


def test_one_image_of_six_is_named_with_its_numbers() -> None:
    media = [image(number, width=1086, height=1200) if number == 4 else image(number) for number in range(1, 7)]
    found = only(images(*media))
    assert found.document == {
        "severity": "refusal",
        "code": "media_shorter_side",
        "item": "media 4",
        "message": "Image 4 of 6 is 1086 px on its shorter side; at most 1080 px are allowed.",
        "remedy": "Have it resized or cropped, or choose another file.",
        "source": "side",
    }


@pytest.mark.parametrize(
    ("media", "code", "severity", "message"),
    [
        (image(bytes=2_000_000), "media_bytes", "refusal", "The image is 2 MB large; at most 1.05 MB are allowed."),
        (
            image(bytes=1_020_000),
            "media_bytes",
            "warning",
            "The image is 1.02 MB large; more than 1 MB may be refused.",
        ),
        (
            image(width=1500),
            "media_width",
            "warning",
            "The image is 1500 px wide; at most 1440 px are allowed without a change by the platform.",
        ),
        (
            image(width=1080, height=480),
            "media_ratio",
            "refusal",
            "The image has a ratio of width to height of 2.25:1; 0.5:1 to 2:1 are allowed.",
        ),
        (image(content_type="image/png"), "media_type", "refusal", "The image is image/png; image/jpeg is allowed."),
        (
            image(content_type="video/mp4"),
            "media_kind",
            "refusal",
            "The video does not fit: a post of images takes an image.",
        ),
        (
            image(content_type="image/gif"),
            "media_kind",
            "refusal",
            "The animated GIF does not fit: a post of images takes an image.",
        ),
        (
            image(alt_text="eleven char"),
            "alt_text_length",
            "refusal",
            "The alternative text of the image has 11 characters; at most 10 are allowed.",
        ),
    ],
)
def test_image(media: MediaFacts, code: str, severity: str, message: str) -> None:
    found = only(images(media))
    assert (found.code, found.severity.value, found.message, found.which) == (code, severity, message, "1")


@pytest.mark.parametrize(
    ("media", "code"),
    [
        (video(seconds=2.99), "media_seconds"),
        (video(seconds=60.01), "media_seconds"),
        (video(frames_per_second=15.0), "media_frames_per_second"),
        (video(codec="vp9"), "media_codec"),
        (video(audio_codec="opus"), "media_audio_codec"),
        (video(audio_hertz=96_000), "media_audio_hertz"),
        (video(alt_text="a dog"), "alt_text_not_sent"),
        (video(seconds=None), "media_not_measured"),
    ],
)
def test_video(media: MediaFacts, code: str) -> None:
    found = only(Draft("video", media=[media]))
    assert found.code == code
    assert (found.severity is Severity.WARNING) is (code in {"alt_text_not_sent", "media_not_measured"})


@pytest.mark.parametrize(
    "media", [video(), video(audio_codec="", audio_hertz=None), video(seconds=3), video(seconds=60)]
)
def test_video_that_fits_at_the_edge(media: MediaFacts) -> None:
    assert findings(Draft("video", media=[media])) == []


def test_limit_of_the_account_replaces_the_general_one() -> None:
    facts = replace(PUBLIC, limits={"seconds": 5, "text": 30})
    assert only(Draft("video", media=[video()]), facts).message == "The video lasts 10 s; 3 s to 5 s are allowed."
    assert findings(images(text="x" * 30), facts) == []


def test_content_types_of_the_account_replace_the_general_ones() -> None:
    assert only(images(), replace(PUBLIC, content_types=["image/png"])).code == "media_type"


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (Draft("video"), "A video has no file; 1 is needed."),
        (images(*[image(n) for n in range(1, 8)]), "A post of images has 7 files; 1 to 6 are allowed."),
        (Draft("text", "hello", media=[image()]), "A text takes no files; it has 1."),
    ],
)
def test_count_of_files(draft: Draft, message: str) -> None:
    found = only(draft)
    assert (found.code, found.part, found.message) == ("media_count", "media", message)


@pytest.mark.parametrize(
    ("text", "code", "severity"),
    [
        ("", "text_missing", "refusal"),
        ("x" * 21, "text_length", "refusal"),
        ("x" * 19, "text_length", "warning"),
        ("#one #two", "hashtags", "refusal"),
        ("@one @two", "mentions", "warning"),
    ],
)
def test_text(text: str, code: str, severity: str) -> None:
    found = only(Draft("text", text))
    assert (found.code, found.severity.value, found.part) == (code, severity, "text")


def test_same_link_twice_counts_once() -> None:
    rules = replace(RULES, kinds={"text": replace(RULES.kinds["text"], text=replace(TEXT, limit=Limit()))})
    assert check(rules, Draft("text", "https://a.example https://a.example"), PUBLIC).findings == []
    [found] = check(rules, Draft("text", "https://a.example https://b.example"), PUBLIC).findings
    assert found.code == "links"


def test_text_that_a_kind_does_not_have_is_refused_and_not_dropped() -> None:
    found = only(Draft("video", "hello", media=[video()]))
    assert (found.code, found.severity) == ("text_not_possible", Severity.REFUSAL)


def test_huge_text_is_not_counted() -> None:
    found = only(Draft("text", "x" * (LONGEST_TEXT + 1)))
    assert found.code == "text_length"


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (Draft("link", "x"), "link_missing"),
        (Draft("link", "x", "javascript:alert(1)"), "link_not_valid"),
        (Draft("video", "", "https://a.example", [video()]), "link_not_possible"),
    ],
)
def test_link(draft: Draft, code: str) -> None:
    found = only(draft)
    assert (found.code, found.part) == (code, "link")


@pytest.mark.parametrize(
    ("options", "code", "which"),
    [
        ({}, "option_missing", "privacy"),
        ({"privacy": "friends"}, "option_not_valid", "privacy"),
        ({"privacy": "all", "color": "red"}, "unknown_option", "color"),
        ({"privacy": "all", "comments": "yes"}, "option_not_valid", "comments"),
        ({"privacy": "all", "tags": ["a", "b", "c"]}, "option_not_valid", "tags"),
        ({"privacy": "all", "tags": ["a", 1]}, "option_not_valid", "tags.1"),
    ],
)
def test_options(options: Mapping[str, object], code: str, which: str) -> None:
    report = check(RULES, Draft("images", media=[image()], options=options), PUBLIC)
    [found] = report.findings
    assert (found.code, found.part, found.which, report.options) == (code, "option", which, None)


def test_choices_of_the_account_are_asked_and_not_guessed() -> None:
    found = only(images(), replace(PUBLIC, choices={"privacy": ["none"]}))
    assert (found.code, found.which) == ("option_not_allowed", "privacy")
    found = only(images(comments=True), replace(PUBLIC, switched_off=["comments"]))
    assert (found.code, found.which) == ("option_switched_off", "comments")
    assert findings(images(comments=False), replace(PUBLIC, switched_off=["comments"])) == []


def test_permissions_of_a_kind_and_of_an_option() -> None:
    assert only(Draft("text", "hi"), replace(PUBLIC, scopes=["read"])).code == "scope_not_authorized"
    assert findings(Draft("text", "hi"), replace(PUBLIC, scopes=["all"])) == []
    found = only(images(first_comment="hi"), replace(PUBLIC, scopes=["write"]))
    assert (found.code, found.which) == ("scope_not_authorized", "first_comment")
    assert findings(images(), replace(PUBLIC, scopes=["write"])) == []


def test_permissions_of_the_owner_count_beside_those_of_the_kind() -> None:
    person = Owner("a person", "owners", scopes=(("mine",),), reply_scopes=(("my comments",),))
    shop = Owner("a shop", "owners", scopes=(("ours",),), option_scopes={"first_comment": ("our comments",)})
    rules = replace(RULES, owners={"person": person, "shop": shop})

    def refused(draft: Draft, owner: str, *scopes: str) -> list[str]:
        found = check(rules, draft, replace(PUBLIC, owner=owner, scopes=scopes)).findings
        assert {finding.code for finding in found} <= {"scope_not_authorized"}
        return [finding.which or finding.message.rpartition(": ")[2] for finding in found]

    text, commented = Draft("text", "hi"), images(first_comment="hi")
    assert refused(text, "shop", "all", "ours") == []
    assert refused(text, "shop", "all", "mine") == ["ours."]
    assert refused(text, "shop") == ["write or all.", "ours."]
    assert refused(text, "person", "all", "mine") == []
    assert refused(text, "", "all", "ours") == ["mine."], "the first one holds where it is not known"
    assert refused(commented, "shop", "ours", "comment") == ["first_comment"]
    assert refused(commented, "shop", "ours", "comment", "our comments") == []
    assert refused(commented, "person", "mine", "comment") == []
    [found] = check_reply_permissions(rules, replace(PUBLIC, owner="person", scopes=["mine"]))
    assert (found.code, "my comments" in found.message) == ("scope_not_authorized", True)
    for facts in (
        replace(PUBLIC, owner="person", scopes=["my comments"]),
        replace(PUBLIC, owner="person"),
        replace(PUBLIC, owner="shop", scopes=[]),
    ):
        assert check_reply_permissions(rules, facts) == []
    assert check_reply_permissions(RULES, replace(PUBLIC, scopes=[])) == []


NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def quota_codes(at: datetime, *quotas: Quota, **facts: Any) -> list[str]:
    found = check_quota(replace(RULES, quotas=quotas), "text", replace(PUBLIC, **facts), NOON, at)
    return [finding.code for finding in found]


def test_quota_of_the_moment_refuses_and_warns_what_is_published_now() -> None:
    resets = datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
    facts = replace(PUBLIC, quota_left=0, quota_resets_at=resets)
    [found] = check_quota(RULES, "text", facts, NOON, NOON)
    assert (found.code, found.severity) == ("quota_used_up", Severity.REFUSAL)
    assert "2026-12-01 08:30 UTC" in found.message
    assert quota_codes(NOON, quota_left=3) == ["quota_nearly_used_up"]
    assert quota_codes(NOON, quota_left=4) == []
    assert quota_codes(NOON, quota_left=None) == []


def test_quota_of_the_moment_counts_for_later_posts_only_within_its_window() -> None:
    second = timedelta(seconds=1)
    for quotas, facts, until in (
        ([], {}, NOON + timedelta(days=1)),
        ([Quota(5, 7200, "")], {}, NOON + timedelta(hours=2)),
        ([Quota(5, 7200, "", ("video",))], {}, NOON + timedelta(days=1)),
        ([Quota(5, 7200, "")], {"quota_resets_at": NOON + timedelta(hours=9)}, NOON + timedelta(hours=9)),
    ):
        assert quota_codes(until - second, *quotas, quota_left=0, **facts) == ["quota_used_up"]
        assert quota_codes(until, *quotas, quota_left=0, **facts) == []
        assert quota_codes(until, *quotas, quota_left=1, **facts) == []


def test_files_that_the_platform_fetches_need_a_public_address() -> None:
    assert only(images(), AccountFacts()).severity is Severity.REFUSAL
    assert only(images(), AccountFacts(media_url="http://127.0.0.1:8080")).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("address", "owned", "expected"),
    [
        ("https://media.example/media/", ["media.example"], True),
        ("https://a.media.example/x", ["media.example"], True),
        ("https://evilmedia.example/x", ["media.example"], False),
        ("https://media.example.evil/x", ["media.example"], False),
        ("https://media.example/media/", ["https://media.example/media/"], True),
        ("https://media.example/other/", ["https://media.example/media/"], False),
        ("", ["media.example"], False),
    ],
)
def test_ownership_of_an_address(address: str, owned: list[str], *, expected: bool) -> None:
    assert owns(address, owned) is expected


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_message_says_the_number_and_the_limit(width: int, height: int) -> None:
    for found in findings(images(image(width=width, height=height))):
        if found.code == "media_shorter_side":
            assert str(min(width, height)) in found.message
            assert "1080" in found.message
