"""Threads: how text counts, links, polls, spoilers, and what is wrong with a container (``meta.md`` 9.1, 9.3)."""

from dataclasses import replace
from typing import Any

import pytest

from publish.platforms._meta_posting import reported
from publish.platforms.threads_posting import PLATFORM, quota
from publish.preflight.error_catalogue import ErrorClass, classify_error
from tests.unit.publish.platforms.drafts import FACTS, codes, findings, image, video

LINKS = " ".join(f"https://{letter}.ex" for letter in "abcdef")


@pytest.mark.parametrize(
    ("kind", "text", "media", "options", "expected"),
    [
        ("text", "x" * 500, [], {}, []),
        ("text", "x" * 501, [], {}, ["text_length"]),
        ("text", "\U0001f600" * 125, [], {}, []),
        ("text", "\U0001f600" * 125 + "x", [], {}, ["text_length"]),
        ("text", LINKS, [], {}, ["links"]),
        ("text", LINKS[:-13] + LINKS[:12], [], {}, []),
        ("text", "hi", [], {"long_text": LINKS}, ["links"]),
        ("text", "hi", [], {"poll": ["yes", "no"]}, []),
        ("text", "hi", [], {"poll": ["yes", "x" * 26]}, ["option_not_valid"]),
        ("text", "hi", [], {"poll": ["a", "b", "c", "d", "e"]}, ["option_not_valid"]),
        ("text", "hi", [], {"poll": ["yes", "no"], "long_text": "more"}, ["option_not_valid"]),
        ("text", "hi", [], {"topic_tag": "a.b"}, ["option_not_valid"]),
        ("text", "hi", [], {"topic_tag": "x" * 51}, ["option_not_valid"]),
        ("text", "hi", [], {"spoilers": [{"offset": 1, "length": 1}]}, []),
        ("text", "hi", [], {"spoilers": [{"offset": 1, "length": 2}]}, ["option_not_valid"]),
        ("text", "hi", [], {"spoilers": [{"offset": 0, "length": 1}] * 11}, ["option_not_valid"]),
        ("text", "hi", [], {"spoiler_media": True}, ["unknown_option"]),
        ("image", "hi", [image()], {"poll": ["yes", "no"]}, ["unknown_option"]),
        ("image", "", [image(width=1080, height=90)], {}, ["media_ratio"]),
        ("image", "", [image(width=1500, alt_text="a dog")], {"spoiler_media": True}, ["media_width"]),
        ("carousel", "", [image(), video(2)], {}, []),
        ("carousel", "", [image()], {}, ["media_count"]),
        ("carousel", "", [image(number) for number in range(1, 22)], {}, ["media_count"]),
        ("video", "", [video(seconds=300.5)], {}, ["media_seconds"]),
    ],
)
def test_kinds(kind: str, text: str, media: list[Any], options: dict[str, Any], expected: list[str]) -> None:
    assert [finding.code for finding in findings(PLATFORM, kind, text, *media, **options)] == expected


def test_link_attachment_counts_as_a_link_if_it_is_another() -> None:
    five = LINKS[:-13]
    assert codes(PLATFORM, "text", five, link="https://a.ex") == []
    assert codes(PLATFORM, "text", five, link="https://z.ex") == [("refusal", "links")]
    assert codes(PLATFORM, "image", "hi", image(), link="https://a.ex") == [("refusal", "link_not_possible")]


def test_option_is_not_refused_for_a_permission_of_which_no_response_speaks() -> None:
    facts = replace(FACTS, scopes=["threads_content_publish"])
    for options in ({}, {"share_to_story": "light"}, {"first_comment": "hi"}):
        assert codes(PLATFORM, "text", "hi", facts=facts, **options) == []
    assert codes(PLATFORM, "text", "hi", facts=replace(FACTS, scopes=[])) == [("refusal", "scope_not_authorized")]


def test_quota_of_posts_and_of_replies() -> None:
    content = {
        "data": [
            {
                "quota_usage": 240,
                "config": {"quota_total": 250},
                "reply_quota_usage": 1,
                "reply_config": {"quota_total": 1000},
            }
        ]
    }
    assert quota(content).quota_left == 10
    assert quota(content, reply=True).quota_left == 999
    assert quota({}).quota_left is None


@pytest.mark.parametrize(
    ("word", "error_class", "retryable"),
    [
        ("FAILED_DOWNLOADING_VIDEO", ErrorClass.ANEW, True),
        ("UNKNOWN", ErrorClass.ANEW, True),
        ("INVALID_ASPEC_RATIO", ErrorClass.MEDIA, False),
        ("INVALID_FRAME_RATE", ErrorClass.MEDIA, False),
    ],
)
def test_what_a_container_reports(word: str, error_class: ErrorClass, *, retryable: bool) -> None:
    found = classify_error(PLATFORM.errors, reported(word), 200, commit=False)
    assert (found.error_class, found.retryable, found.code) == (error_class, retryable, word)
