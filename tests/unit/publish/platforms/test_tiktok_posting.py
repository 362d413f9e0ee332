"""TikTok: consent and privacy, photos, ownership of addresses, and how a file is cut (``tiktok.md`` 5 to 11)."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.platform_protocol import Response
from publish.platforms.tiktok_posting import (
    CHUNK,
    MOST_CHUNKS,
    PLATFORM,
    SINGLE,
    chunk_plan,
    creator_facts,
    failed,
    read_error,
)
from publish.preflight.contract import AccountFacts
from publish.preflight.error_catalogue import ErrorClass, classify, classify_error
from tests.unit.publish.platforms.drafts import FACTS, codes, findings, image, video

CREATOR = {
    "creator_nickname": "Ann",
    "privacy_level_options": ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"],
    "comment_disabled": False,
    "duet_disabled": True,
    "stitch_disabled": False,
    "max_video_post_duration_sec": 180,
}
KNOWN = replace(
    creator_facts(CREATOR),
    media_url="https://media.example/files/",
    owned_urls=["media.example"],
    scopes=["video.publish"],
)
CHOSEN: dict[str, Any] = {"privacy_level": "SELF_ONLY", "music_usage_confirmed": True}


def test_creator_info_becomes_facts() -> None:
    facts = creator_facts(CREATOR)
    assert facts.choices == {"privacy_level": CREATOR["privacy_level_options"]}
    assert facts.switched_off == ["allow_duet"]
    assert facts.limits == {"video_seconds": 180}
    assert creator_facts({}) == AccountFacts(switched_off=[])


def test_video_that_fits() -> None:
    assert findings(PLATFORM, "video", "hello", video(), facts=KNOWN, **CHOSEN) == []


def test_privacy_is_never_chosen_for_the_person() -> None:
    found = findings(PLATFORM, "video", "hello", video(), facts=KNOWN, music_usage_confirmed=True)
    assert [(finding.code, finding.which) for finding in found] == [("option_missing", "privacy_level")]
    assert "nothing is chosen for you" in found[0].message


@pytest.mark.parametrize(
    ("options", "code", "which"),
    [
        ({"privacy_level": "FOLLOWER_OF_CREATOR"}, "option_not_allowed", "privacy_level"),
        ({"allow_duet": True}, "option_switched_off", "allow_duet"),
        ({"music_usage_confirmed": False}, "consent_missing", "music_usage_confirmed"),
        ({"disable_comment": True}, "unknown_option", "disable_comment"),
    ],
)
def test_what_the_creator_allows_now_counts(options: dict[str, Any], code: str, which: str) -> None:
    [found] = findings(PLATFORM, "video", "hello", video(), facts=KNOWN, **CHOSEN | options)
    assert (found.code, found.which, found.severity.value) == (code, which, "refusal")


def test_without_creator_info_nothing_is_accepted() -> None:
    facts = replace(KNOWN, choices={})
    assert codes(PLATFORM, "video", "hello", video(), facts=facts, **CHOSEN) == [("refusal", "creator_info_missing")]


def test_longest_video_is_the_creators() -> None:
    [found] = findings(PLATFORM, "video", "", video(seconds=181.0), facts=KNOWN, **CHOSEN)
    assert found.message == "The video lasts 181 s; at most 180 s are allowed."


def test_text_counts_utf16_units() -> None:
    assert codes(PLATFORM, "video", "\U0001f600" * 1100, video(), facts=KNOWN, **CHOSEN) == []
    assert codes(PLATFORM, "video", "\U0001f600" * 1100 + "a", video(), facts=KNOWN, **CHOSEN) == [
        ("refusal", "text_length")
    ]


def test_one_wide_image_among_six_is_named() -> None:
    photos = [image(number, width=1086, height=1400) if number == 5 else image(number) for number in range(1, 7)]
    [found] = findings(PLATFORM, "photos", "hi", *photos, facts=KNOWN, **CHOSEN)
    assert found.message == "Image 5 of 6 is 1086 px on its shorter side; at most 1080 px are allowed."
    assert (found.which, found.source) == ("5", "tiktok.md 11")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"title": "x" * 91}, "title_length"),
        ({"cover_position": 2}, "option_not_valid"),
        ({"ai_generated": True}, "unknown_option"),
    ],
)
def test_photos(options: dict[str, Any], code: str) -> None:
    assert codes(PLATFORM, "photos", "hi", image(), facts=KNOWN, **CHOSEN | options) == [("refusal", code)]


def test_png_is_no_photo() -> None:
    photo = image(content_type="image/png")
    assert codes(PLATFORM, "photos", "hi", photo, facts=KNOWN, **CHOSEN) == [("refusal", "media_type")]


@pytest.mark.parametrize("owned", [["other.example"], ["https://media.example/other/"], []])
def test_files_are_fetched_from_verified_addresses_only(owned: list[str]) -> None:
    facts = replace(KNOWN, owned_urls=owned)
    assert codes(PLATFORM, "photos", "hi", image(), facts=facts, **CHOSEN) == [("refusal", "url_ownership_unverified")]
    pulled = CHOSEN | {"transfer": "url"}
    assert codes(PLATFORM, "video", "hi", video(), facts=facts, **pulled) == [("refusal", "url_ownership_unverified")]
    assert codes(PLATFORM, "video", "hi", video(), facts=facts, **CHOSEN) == [], "a file that is sent needs no address"


def test_inbox_has_no_text_and_no_privacy() -> None:
    assert codes(PLATFORM, "inbox_video", "", video()) == []
    assert codes(PLATFORM, "inbox_video", "hi", video()) == [("refusal", "text_not_possible")]
    assert codes(PLATFORM, "inbox_video", "", video(), privacy_level="SELF_ONLY") == [("refusal", "unknown_option")]
    assert codes(PLATFORM, "inbox_video", "", video(), facts=replace(FACTS, scopes=["video.publish"])) == [
        ("refusal", "scope_not_authorized")
    ]


@pytest.mark.parametrize(
    ("size", "chunk", "count", "last"),
    [
        (4_194_304, 4_194_304, 1, 4_194_304),
        (64_000_000, 64_000_000, 1, 64_000_000),
        (64_000_001, 10_000_000, 6, 14_000_001),
        (66_259_900, 10_000_000, 6, 16_259_900),
        (158_008_374, 10_000_000, 15, 18_008_374),
        (4_294_967_296, 10_000_000, 429, 14_967_296),
    ],
)
def test_chunk_plan_of_the_page(size: int, chunk: int, count: int, last: int) -> None:
    """``tiktok.md`` 7.1."""
    plan = chunk_plan(size)
    assert (plan.chunk_size, plan.count) == (chunk, count)
    first, end = plan.ranges[-1]
    assert end - first + 1 == last


@given(st.integers(1, 4 * 1024**3))
def test_chunks_cover_the_file_once_and_follow_every_rule(size: int) -> None:
    plan = chunk_plan(size)
    ranges = plan.ranges
    assert ranges[0][0] == 0
    assert ranges[-1][1] == size - 1
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ranges))
    lengths = [last - first + 1 for first, last in ranges]
    assert plan.count == size // plan.chunk_size == len(lengths)
    assert 1 <= plan.count <= MOST_CHUNKS
    if plan.count > 1:
        assert size > SINGLE
        assert all(length == plan.chunk_size for length in lengths[:-1])
        assert 5_242_880 <= CHUNK <= plan.chunk_size <= 64_000_000
        assert plan.chunk_size <= lengths[-1] < 2 * plan.chunk_size <= 128_000_000
    else:
        assert plan.chunk_size == size


@given(st.integers(1, 4 * 1024**3), st.integers(0, 1000))
def test_upload_goes_on_at_a_boundary_only(size: int, number: int) -> None:
    plan = chunk_plan(size)
    number %= plan.count
    first, _last = plan.range(number)
    assert plan.chunk_at(first) == number
    assert plan.chunk_at(first + 1) is None or plan.chunk_size == 1
    assert plan.chunk_at(size) is None


def test_empty_file_is_not_cut() -> None:
    with pytest.raises(ValueError, match="empty"):
        chunk_plan(0)


def answer(status: int, code: str, message: str = "") -> Response:
    return Response(status, {"data": {}, "error": {"code": code, "message": message, "log_id": "1"}})


@pytest.mark.parametrize(
    ("status", "code", "error_class", "user_code"),
    [
        (401, "access_token_invalid", ErrorClass.TOKEN, "access_token_invalid"),
        (401, "scope_not_authorized", ErrorClass.PERMISSION, "scope_not_authorized"),
        (429, "rate_limit_exceeded", ErrorClass.WAIT, "rate_limit_exceeded"),
        (403, "spam_risk_too_many_pending_share", ErrorClass.QUOTA, "spam_risk_too_many_pending_share"),
        (403, "url_ownership_unverified", ErrorClass.APPLICATION, "url_ownership_unverified"),
        (200, "spam_risk_user_banned_from_posting", ErrorClass.ACCOUNT_STOPPED, ""),
        (200, "reached_active_user_cap", ErrorClass.QUOTA, ""),
        (400, "invalid_params", ErrorClass.CONTENT, ""),
        (400, "never_seen_before", ErrorClass.NOT_DONE, ""),
        (500, "internal_error", ErrorClass.UNKNOWN_OUTCOME, ""),
        (200, "", ErrorClass.UNKNOWN_OUTCOME, ""),
    ],
)
def test_what_an_init_that_posts_by_itself_answers(
    status: int, code: str, error_class: ErrorClass, user_code: str
) -> None:
    """An error code in the answer says that nothing was created; else the outcome is unknown (``tiktok.md`` 6.1)."""
    found = classify(PLATFORM.errors, answer(status, code), commit=True)
    assert found is not None
    assert (found.error_class, found.user_code) == (error_class, user_code)
    assert found.catalogued is (code not in {"never_seen_before", ""})


def test_success() -> None:
    assert read_error(answer(200, "ok")) is None
    assert read_error(Response(206, None)) is None


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (403, ErrorClass.ANEW),
        (404, ErrorClass.ANEW),
        (416, ErrorClass.AGAIN),
        (502, ErrorClass.AGAIN),
        (400, ErrorClass.NOT_DONE),
    ],
)
def test_what_an_upload_answers(status: int, error_class: ErrorClass) -> None:
    """``tiktok.md`` 7.2: a chunk makes nothing visible by itself."""
    found = classify(PLATFORM.errors, Response(status, None), commit=False)
    assert found is not None
    assert found.error_class is error_class


@pytest.mark.parametrize(
    ("reason", "error_class"),
    [
        ("picture_size_check_failed", ErrorClass.MEDIA),
        ("video_pull_failed", ErrorClass.ANEW),
        ("auth_removed", ErrorClass.TOKEN),
        ("spam_risk_text", ErrorClass.CONTENT),
        ("internal", ErrorClass.ANEW),
    ],
)
def test_reason_of_a_failure(reason: str, error_class: ErrorClass) -> None:
    assert classify_error(PLATFORM.errors, failed(reason), 200, commit=False).error_class is error_class
