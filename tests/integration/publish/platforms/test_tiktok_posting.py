"""Publishing to TikTok, through the driver and against the sandbox: each post is there once, whatever happens."""

from typing import Any

from tests.posting import Posting

DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}


async def video(publishing: Posting, **options: Any) -> str:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    return await publishing.target(account, "Tea", kind="video", media=[clip], options=DIRECT | options)


async def test_file_is_sent_and_the_post_is_known_by_its_id(publishing: Posting) -> None:
    row = await publishing.run(await video(publishing, allow_comments=True, ai_generated=True))
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("tiktok")
    assert (post["id"], post["text"]) == (row["platform_post_id"], "Tea")
    assert row["platform_post_url"].startswith("https://www.tiktok.com/")
    facts = await publishing.rig.connection.fetch(
        "SELECT event_type FROM webhook_event_log WHERE provider = 'tiktok' AND event_type LIKE 'post.%' ORDER BY id"
    )
    assert next(fact["event_type"] for fact in facts) == "post.begun"
    assert "post.read" in {fact["event_type"] for fact in facts}


async def test_inbox_waits_for_its_owner(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    row = await publishing.run(await publishing.target(account, "", kind="inbox_video", media=[clip]))
    assert (row["state"], await publishing.shown("tiktok")) == ("awaiting_person", [])


async def test_photos_are_fetched(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    row = await publishing.run(await publishing.target(account, "Tea", kind="photos", media=[picture], options=DIRECT))
    assert row["state"] == "published", dict(row)
    assert len(await publishing.shown("tiktok")) == 1
