"""Mastodon: what an instance allows, how it counts, and what its errors mean (``mastodon.md`` 1, 4, 5, 12)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.platform_protocol import Response
from publish.platforms.mastodon_posting import LINK_CHARACTERS, PLATFORM, characters, instance_facts
from publish.preflight.error_catalogue import ErrorClass, classify
from publish.preflight.text import graphemes
from tests.unit.publish.platforms.drafts import FACTS, codes, findings, image, video

INSTANCE = {
    "configuration": {
        "statuses": {"max_characters": 50, "max_media_attachments": 2, "characters_reserved_per_url": 23},
        "media_attachments": {
            "supported_mime_types": ["image/jpeg", "video/mp4"],
            "description_limit": 10,
            "image_size_limit": 100_000,
            "video_frame_rate_limit": 24,
        },
        "polls": {"max_options": 3, "max_characters_per_option": 5, "min_expiration": 300, "max_expiration": 600},
    }
}
SMALL = replace(instance_facts(INSTANCE), media_url="https://media.example/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", 5),
        ("see https://example.org/a/very/long/path?with=a&query=too", 4 + LINK_CHARACTERS),
        ("http://a.example", LINK_CHARACTERS),
        ("@ann@mastodon.example hi", 7),
        ("@ann hi", 7),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 1),
        ("example.org", 11),
    ],
)
def test_characters(text: str, expected: int) -> None:
    assert characters(text) == expected


@given(st.text(alphabet=st.characters(exclude_characters="@:", exclude_categories=["Cs"])))
def test_text_without_links_and_mentions_counts_what_people_see(text: str) -> None:
    assert characters(text) == graphemes(text)


def test_instance_says_its_own_limits() -> None:
    assert SMALL.limits["text"] == 50
    assert SMALL.content_types == ["image/jpeg", "video/mp4"]
    assert instance_facts({"configuration": {"statuses": "x", "polls": {"max_options": True}}}) == instance_facts({})
    assert instance_facts({}).content_types is None


@pytest.mark.parametrize(
    ("kind", "text", "media", "options", "expected"),
    [
        ("text", "x" * 50, [], {}, []),
        ("text", "x" * 51, [], {}, ["text_length"]),
        ("text", "x" * 46, [], {"spoiler_text": "food!"}, ["text_length"]),
        ("text", "x" * 45, [], {"spoiler_text": "food!"}, []),
        ("text", "e\u0301" * 30, [], {}, ["text_length"]),
        ("images", "", [image(bytes=50_000)], {}, []),
        ("images", "", [image(bytes=200_000)], {}, ["media_bytes"]),
        ("images", "", [image(n, bytes=1) for n in (1, 2, 3)], {}, ["media_count"]),
        ("images", "", [image(bytes=1, alt_text="x" * 11)], {}, ["alt_text_length"]),
        ("images", "", [image(bytes=1, content_type="image/png")], {}, ["media_type"]),
        ("video", "", [video()], {}, ["media_frames_per_second"]),
        ("video", "", [video(), video(2)], {}, ["media_count", *["media_frames_per_second"] * 2]),
        ("text", "hi", [], {"visibility": "direct", "quote_policy": "public"}, ["option_not_allowed"]),
        ("text", "hi", [], {"visibility": "secret"}, ["option_not_valid"]),
        ("poll", "?", [], {"poll": {"options": ["a", "b"], "seconds": 300}}, []),
        ("poll", "?", [], {"poll": {"options": ["a", "b", "c", "d"], "seconds": 300}}, ["option_not_valid"]),
        ("poll", "?", [], {"poll": {"options": ["a", "b" * 6], "seconds": 300}}, ["option_not_valid"]),
        ("poll", "?", [], {"poll": {"options": ["a", "b"], "seconds": 299}}, ["option_not_valid"]),
        ("poll", "?", [], {"poll": {"options": ["a", "b"], "seconds": 601}}, ["option_not_valid"]),
    ],
)
def test_post_on_a_small_instance(
    kind: str, text: str, media: list[Any], options: dict[str, Any], expected: list[str]
) -> None:
    assert [finding.code for finding in findings(PLATFORM, kind, text, *media, facts=SMALL, **options)] == expected


def test_instance_that_was_not_asked_has_the_usual_limits() -> None:
    assert codes(PLATFORM, "text", "x" * 500) == []
    assert codes(PLATFORM, "text", "x" * 501) == [("refusal", "text_length")]


def test_files_need_a_permission_of_their_own() -> None:
    facts = replace(FACTS, scopes=["write:statuses"])
    assert codes(PLATFORM, "text", "hi", facts=facts) == []
    assert codes(PLATFORM, "images", "hi", image(), facts=facts) == [("refusal", "scope_not_authorized")]
    assert codes(PLATFORM, "images", "hi", image(), facts=replace(FACTS, scopes=["write"])) == []


@pytest.mark.parametrize(
    ("status", "content", "error_class", "retryable"),
    [
        (
            422,
            {"error": "Cannot attach files that have not finished processing. Try again in a moment!"},
            ErrorClass.NOT_READY,
            True,
        ),
        (422, {"error": "Validation failed: Text character limit of 500 exceeded"}, ErrorClass.CONTENT, False),
        (404, {"error": "Record not found"}, ErrorClass.AGAIN, True),
        (429, {"error": "Too many requests"}, ErrorClass.WAIT, True),
        (401, {"error": "The access token is invalid"}, ErrorClass.TOKEN, False),
        (403, {"error": "This action is outside the authorized scopes"}, ErrorClass.PERMISSION, False),
        (500, {"error": "Internal"}, ErrorClass.UNKNOWN_OUTCOME, False),
        (504, None, ErrorClass.UNKNOWN_OUTCOME, False),
        (403, None, ErrorClass.UNKNOWN_OUTCOME, False),
    ],
)
def test_errors_of_a_commit(status: int, content: Any, error_class: ErrorClass, *, retryable: bool) -> None:
    found = classify(PLATFORM.errors, Response(status, content), commit=True)
    assert found is not None
    assert (found.error_class, found.retryable) == (error_class, retryable)
