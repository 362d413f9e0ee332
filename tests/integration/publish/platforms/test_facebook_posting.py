"""Publishing on a Facebook Page against the sandbox: each kind once, and once whatever goes wrong on the way."""

import json

import pytest

from tests.posting import Posting
from tests.posting_faults import (
    MODES,
    NOT_DONE,
    Case,
    made,
    published,
    sent,
    survived,
    target,
    worked_on,
)

PUBLISH = {"is_published": "true"}
FINISH = {"upload_phase": "finish"}

TEXT = Case("facebook", "text", "POST *", PUBLISH)
PHOTO = Case("facebook", "photo", "POST *", PUBLISH, media=["picture"])
PHOTOS = Case("facebook", "multi_photo", "POST *", PUBLISH, media=["picture", "picture", "picture"])
VIDEO = Case("facebook", "video", "POST */videos", media=["clip"], doubtful=NOT_DONE)
REEL = Case("facebook", "reel", "POST */video_reels", FINISH, media=["clip"])
PHOTO_STORY = Case("facebook", "story", "POST */photo_stories", media=["picture"], doubtful=NOT_DONE)
VIDEO_STORY = Case("facebook", "story", "POST */video_stories", FINISH, media=["clip"], doubtful=NOT_DONE)
COMMENT = Case("facebook", "comment", "POST */comments", parent="post", doubtful=NOT_DONE)

CASES = [
    TEXT,
    Case("facebook", "link", "POST *", PUBLISH, link={"url": "https://example.org/tea"}),
    PHOTO,
    PHOTOS,
    VIDEO,
    REEL,
    PHOTO_STORY,
    VIDEO_STORY,
    COMMENT,
    Case("facebook", "comment_reply", "POST */comments", parent="comment", doubtful=NOT_DONE),
]

ACTIONS = [
    (Case("facebook", "hide_comment", "POST *", {"is_hidden": "true"}, parent="comment"), "hide"),
    (Case("facebook", "show_comment", "POST *", {"is_hidden": "false"}, parent="hidden"), "unhide"),
    (Case("facebook", "delete_comment", "DELETE *", parent="comment"), "delete"),
    (Case("facebook", "delete_post", "DELETE *", parent="own"), "delete"),
    (Case("facebook", "edit_post", "POST *", {"message": "Tea with milk"}, parent="own"), "edit"),
]


async def test_options_and_alternative_texts_arrive(publishing: Posting) -> None:
    case = Case("facebook", "multi_photo", "POST *", PUBLISH, media=["picture"] * 2, options={"place_id": "77"})
    post = await sent(publishing, case)
    assert (post["place"], [file["alt_text"] for file in post["files"]]) == ("77", ["a picture", "a picture"])


async def test_link_arrives(publishing: Posting) -> None:
    post = await sent(publishing, CASES[1])
    assert (post["link"], post["message"]) == ("https://example.org/tea", "Tea")


@pytest.mark.parametrize("case", [VIDEO, REEL], ids=str)
async def test_video_arrives_whole_with_its_title(publishing: Posting, case: Case) -> None:
    titled = Case("facebook", case.kind, case.commit, case.where, case.media, {"title": "Kettle"})
    post = await sent(publishing, titled)
    [clip] = publishing.media.files.values()
    assert (post["title"], post["description"], post["files"][0]["bytes"]) == ("Kettle", "Tea", clip[1].size)


@pytest.mark.parametrize("case", [VIDEO, REEL, VIDEO_STORY], ids=str)
async def test_upload_goes_on_where_it_broke(publishing: Posting, case: Case) -> None:
    endpoint = "POST */upload:*" if case is VIDEO else "POST /video-upload/*"
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint=endpoint, receive=2000, times=2)
    await sent(publishing, case)
    calls = await publishing.rig.sandbox.ledger("call", platform="facebook", method="POST")
    starts = [call for call in calls if call["path"].endswith(("/uploads", "/video_reels", "/video_stories"))]
    assert len(starts) == (1 if case is VIDEO else 2), "one upload; a reel's is finished by a call to the same edge"


async def test_refused_second_step_is_followed_by_a_direct_post(publishing: Posting) -> None:
    for case in (TEXT, PHOTOS):
        fault = {"where": PUBLISH, "status": 400, "body": {"error": {"code": 100, "message": "Unknown parameter"}}}
        await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST *", **fault)
        row = await published(publishing, case, f"Tea {case}")
        [post] = await made(publishing, case, f"Tea {case}")
        assert "published" not in post["options"]
        assert row["platform_post_id"] == post["id"]
        await publishing.rig.sandbox.clear_faults()


@pytest.mark.parametrize("case", [TEXT, PHOTO], ids=str)
@pytest.mark.parametrize("mode", MODES)
async def test_direct_post_is_there_once_whatever_happens(publishing: Posting, case: Case, mode: str) -> None:
    fault = {"where": PUBLISH, "status": 400, "body": {"error": {"code": 100, "message": "Unknown parameter"}}}
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST *", **fault)
    direct = Case("facebook", case.kind, "POST */feed", {"published": ""}, case.media)
    await survived(publishing, direct, mode, f"Tea {mode}")


@pytest.mark.parametrize("case", [TEXT, PHOTO, PHOTOS], ids=str)
async def test_post_that_stays_unpublished_is_replaced_by_a_direct_one(publishing: Posting, case: Case) -> None:
    await publishing.rig.sandbox.command("variants", platform="facebook", name="is_published", variant="ignored")
    for mode in ("error_before", "killed_before"):
        await survived(publishing, case, mode, f"Tea {mode}")


async def test_draft_that_cannot_be_deleted_is_a_question(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("variants", platform="facebook", name="is_published", variant="ignored")
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="DELETE *", error="permission_missing")
    row = await publishing.run(await target(publishing, TEXT, "Tea"))
    assert (row["state"], len(json.loads(row["evidence"]))) == ("unconfirmed", 1)


async def test_post_that_cannot_be_read_is_found_in_the_list(publishing: Posting) -> None:
    fields = {"fields": "is_published,permalink_url,created_time"}
    fault = {"endpoint": "GET *", "where": fields, "error": "object_missing", "times": 0}
    await publishing.rig.sandbox.command("faults", platform="facebook", **fault)
    row = await survived(publishing, TEXT, "lost_after", "Tea")
    assert row["platform_post_url"]


async def test_repeated_finish_is_not_sent_where_the_first_may_have_come_through(publishing: Posting) -> None:
    """Also where a second one would publish again (``meta.md`` 9.6: unconfirmed)."""
    await publishing.rig.sandbox.command(
        "variants", platform="facebook", name="repeated_finish", variant="publishes_again"
    )
    for mode in MODES:
        await survived(publishing, REEL, mode, f"Tea {mode}")


async def test_finish_of_a_reel_that_is_processed_for_long_is_not_repeated(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="facebook", seconds=900, times=3)
    for mode in ("lost_after", "error_after", "killed_after"):
        await survived(publishing, REEL, mode, f"Tea {mode}")


@pytest.mark.parametrize("case", [VIDEO, REEL, VIDEO_STORY], ids=str)
async def test_video_that_cannot_be_processed_fails(publishing: Posting, case: Case) -> None:
    await publishing.rig.sandbox.command("processing", platform="facebook", result="failed")
    row = await publishing.run(await target(publishing, case, "Tea"))
    assert (row["state"], row["error_code"]) == ("failed", "media_refused")
    assert not await publishing.shown("facebook")


async def test_video_that_is_never_processed_becomes_a_question(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="facebook", result="stuck")
    row = await worked_on(publishing, await target(publishing, REEL, "Tea"), publishing.driver, seconds=90_000)
    assert (row["state"], row["error_code"]) == ("unconfirmed", "unconfirmed")


async def test_only_the_photo_that_failed_is_uploaded_again(publishing: Posting) -> None:
    await publishing.rig.sandbox.command(
        "faults", platform="facebook", endpoint="POST */photos", skip=1, error="unknown"
    )
    await published(publishing, PHOTOS, "Tea")
    calls = await publishing.rig.sandbox.ledger("call", platform="facebook", method="POST")
    assert len([call for call in calls if call["path"].endswith("/photos")]) == 4


@pytest.mark.parametrize("error", ["page_throttled", "business_throttled", "posting_too_fast", "too_many_actions"])
async def test_throttle_holds_it_back_and_fails_nothing(publishing: Posting, error: str) -> None:
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST */feed", error=error)
    row = await worked_on(publishing, await target(publishing, TEXT, "Tea"), publishing.driver)
    assert row["state"] == "published", dict(row)
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST *", where=PUBLISH, error=error)
    row = await worked_on(publishing, await target(publishing, TEXT, "Cake"), publishing.driver)
    assert row["state"] == "published", dict(row)
    assert [post["text"] for post in await publishing.shown("facebook")] == ["Tea", "Cake"]


async def test_missing_right_fails_with_words(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST */feed", error="page_permission")
    row = await publishing.run(await target(publishing, TEXT, "Tea"))
    assert (row["state"], row["error_code"]) == ("failed", "scope_not_authorized")
    [connection] = await publishing.rig.raw("SELECT state FROM connections WHERE username = 'Shop'")
    assert connection["state"] == "active", "it is no dead token"


@pytest.mark.parametrize("case", [VIDEO, PHOTO_STORY, COMMENT], ids=str)
async def test_commit_that_takes_effect_late_and_cannot_be_repeated_is_there_once(
    publishing: Posting, case: Case
) -> None:
    fault = {"error": "service_unavailable", "effect": True, "late_seconds": 9000}
    id_ = await target(publishing, case, "Tea")
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint=case.commit, where=case.where, **fault)
    row = await publishing.run(id_, rounds=120)
    assert row["state"] == "unconfirmed", dict(row)
    await publishing.rig.sandbox.command("clock", jump=9000)
    await publishing.rig.sandbox.command("clock", jump=600)
    assert len(await made(publishing, case, "Tea")) == 1
