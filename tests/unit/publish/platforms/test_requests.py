"""What a request says with everything that a person may choose, by the pages; and which kind follows from the files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from publish.posting.contract import Job, Media, PostingPlatform
from tests.unit.publish.platforms.step_answers import CLIP, PAPER, PICTURE, SOUND, Family, Line

PLATFORMS = discover(publish.platforms, PostingPlatform, "machines")


def job(platform: str, kind: str, media: Sequence[Media] = (), /, kept: Any = None, **options: Any) -> Job:
    return Family(platform, {kind: media}, [], kept=kept or {}, options=options).job(kind, Line("", None, ""))


def form(platform: str, of: Job, step: str) -> Mapping[str, str]:
    """Return the form of a request without its token."""
    found = dict(PLATFORMS[platform].machines[of.kind].steps[step].ask(of).form or {})
    assert found.pop("access_token") == "token"
    return found


def body(platform: str, of: Job, step: str) -> Any:
    return PLATFORMS[platform].machines[of.kind].steps[step].ask(of).json


def test_instagram_image_with_everything() -> None:
    """``meta.md`` 8.2, 8.6."""
    of = job(
        "instagram",
        "image",
        [PICTURE],
        user_tags=[{"username": "fan", "x": 0.5, "y": 0.25}, {"username": "friend"}],
        ai_generated=True,
        paid_partnership=True,
        sponsor_ids=["7"],
        location_id="11",
        collaborators=["baker"],
        poll={"options": ["black", "green"], "open_end": True},
    )
    assert form("instagram", of, "container") == {
        "image_url": PICTURE.url,
        "alt_text": "a picture",
        "caption": "Tea",
        "user_tags": json.dumps([{"username": "fan", "x": 0.5, "y": 0.25}, {"username": "friend"}]),
        "is_ai_generated": "true",
        "is_paid_partnership": "true",
        "branded_content_sponsor_ids": '["7"]',
        "location_id": "11",
        "collaborators": '["baker"]',
        "poll_attachment": '{"option_a": "black", "option_b": "green"}',
        "is_poll_duration_extended": "true",
    }
    asked = form("instagram", job("instagram", "image", [PICTURE], comment_prompt=True), "container")
    assert asked["is_comment_prompt_used"] == "true"


def test_instagram_reel_with_everything() -> None:
    """``meta.md`` 8.2; the cover wins over the moment, and neither is left out."""
    of = job(
        "instagram",
        "reel",
        [CLIP],
        cover_media_id="cover",
        cover_ms=1500,
        audio_name="Kettle",
        trial_reel="MANUAL",
        share_to_feed=False,
        kept={"by_address": True},
    )
    of = replace(of, others={"cover": PICTURE})
    assert form("instagram", of, "container") == {
        "video_url": CLIP.url,
        "media_type": "REELS",
        "caption": "Tea",
        "share_to_feed": "false",
        "thumb_offset": "1500",
        "audio_name": "Kettle",
        "trial_params": '{"graduation_strategy": "MANUAL"}',
        "cover_url": PICTURE.url,
    }


def test_instagram_carousel_has_tags_at_its_files_and_labels_at_the_whole() -> None:
    """``meta.md`` 8.2: the AI label belongs on the parent only."""
    options = {"user_tags": [{"username": "fan", "position": 2}], "ai_generated": True}
    of = job("instagram", "carousel", [PICTURE, CLIP], kept={"children": ["c1"]}, **options)
    assert form("instagram", of, "child") == {
        "is_carousel_item": "true",
        "video_url": CLIP.url,
        "media_type": "VIDEO",
        "user_tags": '[{"username": "fan"}]',
    }
    whole = form(
        "instagram",
        job("instagram", "carousel", [PICTURE, CLIP], kept={"children": ["c1", "c2"]}, **options),
        "container",
    )
    assert whole == {"media_type": "CAROUSEL", "children": "c1,c2", "is_ai_generated": "true", "caption": "Tea"}


def test_story_has_neither_caption_nor_description() -> None:
    """``meta.md`` 8.2: a story with an alternative text would be refused."""
    assert form("instagram", job("instagram", "story", [PICTURE]), "container") == {
        "image_url": PICTURE.url,
        "media_type": "STORIES",
    }


def test_facebook_posts_with_everything() -> None:
    """``meta.md`` 9.2, 9.4."""
    of = job("facebook", "multi_photo", [PICTURE, PICTURE], kept={"photos": ["p1", "p2"]}, place_id="11")
    assert form("facebook", of, "draft") == {
        "message": "Tea",
        "place": "11",
        "attached_media[0]": '{"media_fbid": "p1"}',
        "attached_media[1]": '{"media_fbid": "p2"}',
        "published": "false",
    }
    of = Family(
        "facebook", {"video": [CLIP]}, [], sealed={"handle": "2:1"}, options={"title": "Kettle", "place_id": "11"}
    )
    found = form("facebook", of.job("video", Line("", None, "")), "publish")
    assert found == {"fbuploader_video_file_chunk": "2:1", "description": "Tea", "title": "Kettle", "place": "11"}
    reel = form("facebook", job("facebook", "reel", [CLIP], kept={"video": "v1"}, title="Kettle"), "publish")
    assert reel == {
        "upload_phase": "finish",
        "video_id": "v1",
        "video_state": "PUBLISHED",
        "description": "Tea",
        "title": "Kettle",
    }
    undescribed = form("facebook", job("facebook", "photo", [CLIP]), "photo")
    assert undescribed == {"url": CLIP.url, "published": "false"}, "no description where there is none"


def test_threads_text_with_everything() -> None:
    """``meta.md`` 9.1, 9.3."""
    of = job(
        "threads",
        "text",
        reply_control="mentioned_only",
        reply_approvals=True,
        topic_tag="tea",
        location_id="11",
        quote_of="12",
        countries=["DE", "AT"],
        spoilers=[{"offset": 0, "length": 3}],
        poll=["black", "green"],
    )
    assert form("threads", of, "container") == {
        "media_type": "TEXT",
        "text": "Tea",
        "reply_control": "mentioned_only",
        "enable_reply_approvals": "true",
        "topic_tag": "tea",
        "location_id": "11",
        "quote_post_id": "12",
        "allowlisted_country_codes": "DE,AT",
        "text_entities": '[{"entity_type": "SPOILER", "offset": 0, "length": 3}]',
        "poll_attachment": '{"option_a": "black", "option_b": "green"}',
    }
    long = form("threads", job("threads", "text", long_text="All about tea"), "container")
    assert long["text_attachment"] == '{"plaintext": "All about tea"}'


@pytest.mark.parametrize(
    ("chosen", "name"), [("light", "crossreshare_to_ig"), ("dark", "crossreshare_to_ig_dark_mode")]
)
def test_share_to_the_story_is_asked_for_with_the_publish(chosen: str, name: str) -> None:
    """``meta.md`` 9.3."""
    of = job("threads", "image", [PICTURE], kept={"container": "c1"}, share_to_story=chosen, spoiler_media=True)
    assert form("threads", of, "container") == {
        "media_type": "IMAGE",
        "image_url": PICTURE.url,
        "alt_text": "a picture",
        "text": "Tea",
        "is_spoiler_media": "true",
    }
    assert form("threads", of, "publish") == {"creation_id": "c1", name: "true"}


def test_tiktok_video_and_photos_with_everything() -> None:
    """``tiktok.md`` 6: the two brand switches are always sent."""
    switches = {"branded_content": True, "own_brand": True, "allow_comments": True}
    video = job(
        "tiktok",
        "video",
        [CLIP],
        privacy_level="SELF_ONLY",
        music_usage_confirmed=True,
        ai_generated=True,
        allow_duet=True,
        allow_stitch=True,
        cover_ms=1500,
        **switches,
    )
    assert body("tiktok", video, "begin")["post_info"] == {
        "privacy_level": "SELF_ONLY",
        "title": "Tea",
        "disable_comment": False,
        "disable_duet": False,
        "disable_stitch": False,
        "brand_content_toggle": True,
        "brand_organic_toggle": True,
        "is_aigc": True,
        "video_cover_timestamp_ms": 1500,
    }
    photos = job(
        "tiktok",
        "photos",
        [PICTURE, PICTURE],
        privacy_level="SELF_ONLY",
        music_usage_confirmed=True,
        title="Kettle",
        cover_position=2,
        auto_add_music=True,
        **switches,
    )
    assert body("tiktok", photos, "pull") == {
        "media_type": "PHOTO",
        "post_mode": "DIRECT_POST",
        "post_info": {
            "title": "Kettle",
            "description": "Tea",
            "privacy_level": "SELF_ONLY",
            "disable_comment": False,
            "auto_add_music": True,
            "brand_content_toggle": True,
            "brand_organic_toggle": True,
        },
        "source_info": {"source": "PULL_FROM_URL", "photo_images": [PICTURE.url] * 2, "photo_cover_index": 1},
    }
    inbox = body("tiktok", job("tiktok", "inbox_photos", [PICTURE], title="Kettle"), "pull")
    assert (inbox["post_mode"], inbox["post_info"]) == ("MEDIA_UPLOAD", {"title": "Kettle", "description": "Tea"})


def test_mastodon_status_with_everything() -> None:
    """``mastodon.md`` 4, 5."""
    options = {
        "visibility": "unlisted",
        "spoiler_text": "Hot",
        "sensitive": True,
        "language": "en",
        "quote_policy": "followers",
        "quote_of": "12",
        "focus": [{"position": 2, "x": 0.5, "y": -1}],
    }
    of = job("mastodon", "images", [PICTURE, PICTURE], kept={"files": ["f1"]}, **options)
    upload = PLATFORMS["mastodon"].machines["images"].steps["upload"].ask(of)
    assert upload.form == {"description": "a picture", "focus": "0.5,-1"}
    of = job("mastodon", "images", [PICTURE, PICTURE], kept={"files": ["f1", "f2"]}, **options)
    assert body("mastodon", of, "post") == {
        "status": "Tea",
        "media_ids": ["f1", "f2"],
        "visibility": "unlisted",
        "spoiler_text": "Hot",
        "sensitive": True,
        "language": "en",
        "quote_approval_policy": "followers",
        "quoted_status_id": "12",
    }


def test_linkedin_post_with_everything() -> None:
    """``linkedin.md`` 4: the commentary is little text, and other texts are plain."""
    options = {"visibility": "CONNECTIONS", "feed": "NONE", "reshare_disabled": True}
    of = job("linkedin", "video", [CLIP], kept={"urns": ["urn:li:video:1"]}, title="Tea (hot)", **options)
    found = body("linkedin", of, "publish")
    assert found["content"] == {"media": {"id": "urn:li:video:1", "title": "Tea (hot)"}}
    assert (found["visibility"], found["isReshareDisabledByAuthor"]) == ("CONNECTIONS", True)
    assert found["distribution"]["feedDistribution"] == "NONE"
    reshare = body("linkedin", job("linkedin", "text", reshare_of="urn:li:share:5"), "publish")
    assert reshare["reshareContext"] == {"parent": "urn:li:share:5"}


@pytest.mark.parametrize(
    ("platform", "media", "options", "link", "kind"),
    [
        *((platform, [PICTURE], {}, {}, "image") for platform in ("instagram", "threads", "linkedin")),
        ("instagram", [CLIP], {}, {}, "reel"),
        *((platform, [PICTURE, CLIP], {}, {}, "carousel") for platform in ("instagram", "threads")),
        ("threads", [CLIP], {}, {}, "video"),
        ("facebook", [PICTURE], {}, {}, "photo"),
        ("facebook", [PICTURE, PICTURE], {}, {}, "multi_photo"),
        ("facebook", [CLIP], {}, {}, "video"),
        ("facebook", [], {}, {"url": "https://example.org"}, "link"),
        *((platform, [], {}, {}, "text") for platform in ("facebook", "threads", "mastodon", "x", "linkedin")),
        ("tiktok", [CLIP], {}, {}, "video"),
        ("tiktok", [PICTURE], {}, {}, "photos"),
        ("mastodon", [PICTURE], {}, {}, "images"),
        ("mastodon", [CLIP], {}, {}, "video"),
        ("mastodon", [SOUND], {}, {}, "audio"),
        ("mastodon", [], {"poll": {"options": ["a", "b"]}}, {}, "poll"),
        ("linkedin", [PAPER], {}, {}, "document"),
    ],
)
def test_kind_follows_from_what_is_attached(platform: str, media: Any, options: Any, link: Any, kind: str) -> None:
    assert PLATFORMS[platform].kind_of(media, options, link) == kind
