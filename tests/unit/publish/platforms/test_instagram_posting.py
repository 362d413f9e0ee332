"""Instagram: kinds, captions, add-ons, tags and quota (``meta.md`` 8)."""

from dataclasses import replace
from typing import Any

import pytest

from publish.platforms.instagram_posting import FACEBOOK_LOGIN, PLATFORM, quota
from tests.unit.publish.platforms.drafts import FACTS, codes, findings, image, video

TAGS = " ".join(f"#t{number}" for number in range(31))
POLL = {"options": ["yes", "no"]}


@pytest.mark.parametrize(
    ("kind", "text", "media", "options", "expected"),
    [
        ("image", "hello", [image(alt_text="a dog")], {}, []),
        ("image", "x" * 2200, [image()], {}, []),
        ("image", "x" * 2201, [image()], {}, ["text_length"]),
        ("image", TAGS, [image()], {}, ["hashtags", "hashtags"]),
        ("image", "@a @b @c @d", [image()], {}, ["mentions"]),
        ("image", "", [image(content_type="image/png")], {}, ["media_type"]),
        ("image", "", [image(bytes=9_000_000)], {}, ["media_bytes"]),
        ("image", "", [image(width=1080, height=1920)], {}, ["media_ratio"]),
        ("image", "", [image(width=1500, height=1500)], {}, ["media_width"]),
        ("image", "", [image(alt_text="x" * 1001)], {}, ["alt_text_length"]),
        ("image", "", [video()], {}, ["media_kind"]),
        ("reel", "", [video()], {}, []),
        ("reel", "", [video(alt_text="a dog")], {}, ["alt_text_not_sent"]),
        ("reel", "", [video(seconds=900.5)], {}, ["media_seconds"]),
        ("reel", "", [video(index_first=False)], {}, ["media_index"]),
        ("reel", "", [video(pixel_format="yuv422p")], {}, ["media_pixel_format"]),
        ("story", "", [video(pixel_format="yuv420p10le", index_first=True)], {}, []),
        ("story", "", [video(pixel_format="yuv444p", index_first=False)], {}, ["media_pixel_format", "media_index"]),
        ("reel", "", [video()], {"trial_reel": "MANUAL", "cover_ms": 100}, []),
        ("reel", "", [video()], {"trial_reel": "always"}, ["option_not_valid"]),
        ("carousel", "", [image(), video(2)], {}, []),
        ("carousel", "", [image(number) for number in range(1, 12)], {}, ["media_count"]),
        ("story", "", [video(seconds=61.0)], {}, ["media_seconds"]),
        ("story", "", [image(width=1080, height=1920)], {}, []),
        ("story", "hi", [image()], {}, ["text_not_possible"]),
        ("story", "", [image()], {"collaborators": ["ann"]}, ["unknown_option"]),
        ("image", "", [image()], {"collaborators": ["a", "b", "c", "d"]}, ["option_not_valid"]),
        ("image", "", [image()], {"user_tags": [{"username": "ann", "x": 0.5, "y": 0.5}]}, []),
        ("image", "", [image()], {"user_tags": [{"username": "ann"}]}, ["option_not_valid"]),
        ("image", "", [image()], {"user_tags": [{"username": "ann", "x": 1.5, "y": 0.5}]}, ["option_not_valid"]),
        ("reel", "", [video()], {"user_tags": [{"username": "ann"}]}, []),
        ("reel", "", [video()], {"user_tags": [{"username": "ann", "position": 2}]}, ["option_not_valid"]),
        ("image", "Which?", [image()], {"poll": POLL}, []),
        ("image", "", [image()], {"poll": POLL}, ["text_missing"]),
        ("image", "Which?", [image()], {"poll": POLL, "comment_prompt": True}, ["option_not_valid"]),
        ("image", "Which?", [image()], {"poll": {"options": ["yes"]}}, ["option_not_valid"]),
    ],
)
def test_kinds(kind: str, text: str, media: list[Any], options: dict[str, Any], expected: list[str]) -> None:
    assert [finding.code for finding in findings(PLATFORM, kind, text, *media, **options)] == expected


def test_add_ons_need_facebook_login() -> None:
    assert codes(PLATFORM, "image", "?", image(), facts=replace(FACTS, login="instagram"), poll=POLL) == [
        ("refusal", "option_not_allowed")
    ]
    assert codes(PLATFORM, "image", "?", image(), facts=replace(FACTS, login=FACEBOOK_LOGIN), poll=POLL) == []


def test_carousel_limit_is_that_of_the_account_where_it_is_known() -> None:
    media = [image(number) for number in range(1, 21)]
    assert codes(PLATFORM, "carousel", "", *media, facts=replace(FACTS, limits={"carousel_items": 20})) == []


@pytest.mark.parametrize("scope", ["instagram_business_content_publish", "instagram_content_publish"])
def test_either_login_has_a_permission_of_its_own(scope: str) -> None:
    assert codes(PLATFORM, "image", "", image(), facts=replace(FACTS, scopes=[scope])) == []
    [found] = findings(PLATFORM, "image", "", image(), facts=replace(FACTS, scopes=[scope]), first_comment="hi")
    assert (found.code, found.which) == ("scope_not_authorized", "first_comment")


def test_quota_is_read_live() -> None:
    content = {"data": [{"quota_usage": 48, "config": {"quota_total": 50, "quota_duration": 86400}}]}
    assert quota(content).quota_left == 2
    assert quota({"data": [{"quota_usage": 60, "config": {"quota_total": 50}}]}).quota_left == 0
    assert quota({"data": [{"quota_usage": 1}]}).quota_left is None
