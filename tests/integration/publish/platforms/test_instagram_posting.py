"""Publishing to Instagram against the sandbox: each kind once, and once whatever goes wrong on the way."""

import json
from dataclasses import replace

import pytest

from tests.posting import Posting
from tests.posting_faults import (
    MODES,
    NOT_DONE,
    Case,
    faulty,
    made,
    published,
    run_on,
    sent,
    target,
    worked_on,
)

COMMIT = "POST */media_publish"

IMAGE = Case("instagram", "image", COMMIT, media=["picture"])
REEL = Case("instagram", "reel", COMMIT, media=["clip"])
BY_BYTES = Case("instagram", "reel", COMMIT, media=["clip"], login="facebook")
CAROUSEL = Case("instagram", "carousel", COMMIT, media=["picture", "clip", "picture"])
COMMENT = Case("instagram", "comment", "POST */comments", parent="post", doubtful=NOT_DONE)

CASES = [
    IMAGE,
    REEL,
    BY_BYTES,
    Case("instagram", "story", COMMIT, media=["picture"]),
    Case("instagram", "story", COMMIT, media=["clip"], login="facebook"),
    CAROUSEL,
    COMMENT,
    Case("instagram", "comment_reply", "POST */replies", parent="comment", doubtful=NOT_DONE),
]

ACTIONS = [
    (Case("instagram", "hide_comment", "POST *", {"hide": "true"}, parent="comment"), "hide"),
    (Case("instagram", "show_comment", "POST *", {"hide": "false"}, parent="hidden"), "unhide"),
    (Case("instagram", "delete_comment", "DELETE *", parent="comment"), "delete"),
]


CONTENTS = "instagram_manage_contents"
POSTED = Case("instagram", "image", COMMIT, media=["picture"], login="facebook")
DELETED = Case("instagram", "delete_post", "DELETE *", parent="named", login="facebook")


@pytest.mark.parametrize("mode", ["", *MODES])
async def test_post_is_deleted_by_the_permission_that_facebook_login_asks_for_on_request(
    publishing: Posting, mode: str
) -> None:
    await publishing.rig.connect("facebook", optional_scopes=CONTENTS)
    post = str((await published(publishing, POSTED, "Tea"))["platform_post_id"])
    id_ = await target(publishing, DELETED, post)
    row = await run_on(publishing, id_, faulty(publishing, mode, DELETED) if mode else publishing.driver)
    assert (row["state"], row["platform_post_id"]) == ("published", None), dict(row)
    changes = await publishing.rig.sandbox.ledger("change", platform="facebook", id=post)
    assert {entry["action"] for entry in changes} == {"delete"}


@pytest.mark.parametrize("login", ["", "facebook"])
async def test_post_is_not_deleted_without_that_permission_and_the_person_is_told_what_to_do(
    publishing: Posting, login: str
) -> None:
    posted, deleted = replace(POSTED, login=login), replace(DELETED, login=login)
    post = str((await published(publishing, posted, "Tea"))["platform_post_id"])
    row = await publishing.run(await target(publishing, deleted, post))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "scope_not_authorized", True)
    assert CONTENTS in row["error_message"]
    assert "delete the post in the app" in row["error_message"]
    asked = await publishing.rig.sandbox.ledger("call", platform=deleted.at, method="DELETE")
    assert asked == [], "nothing is asked that is sure to be refused"


async def test_options_and_alternative_texts_arrive(publishing: Posting) -> None:
    options = {
        "user_tags": [{"username": "bob", "x": 0.5, "y": 0.25}],
        "collaborators": ["bob"],
        "location_id": "123",
        "ai_generated": True,
        "paid_partnership": True,
    }
    post = await sent(publishing, Case("instagram", "image", COMMIT, media=["picture"], options=options))
    assert json.loads(post["user_tags"]) == [{"username": "bob", "x": 0.5, "y": 0.25}]
    assert (post["collaborators"], post["location_id"]) == ('["bob"]', "123")
    assert (post["is_ai_generated"], post["is_paid_partnership"]) == ("true", "true")
    assert [file["alt_text"] for file in post["files"]] == ["a picture"]


async def test_options_of_a_reel_arrive(publishing: Posting) -> None:
    options = {"cover_ms": 1500, "share_to_feed": False, "trial_reel": "MANUAL", "audio_name": "Kettle"}
    post = await sent(publishing, Case("instagram", "reel", COMMIT, media=["clip"], options=options))
    assert (post["media_type"], post["thumb_offset"], post["share_to_feed"]) == ("REELS", "1500", "false")
    assert json.loads(post["trial_params"]) == {"graduation_strategy": "MANUAL"}
    assert post["audio_name"] == "Kettle"


async def test_each_item_of_a_carousel_has_its_alternative_text(publishing: Posting) -> None:
    post = await sent(publishing, CAROUSEL)
    assert [file["alt_text"] for file in post["files"] if file["alt_text"]] == ["a picture", "a picture"]
    assert len(post["files"]) == 3


async def test_video_goes_to_the_upload_host_by_facebook_login(publishing: Posting) -> None:
    post = await sent(publishing, BY_BYTES)
    assert (post["upload_type"], "video_url" in post) == ("resumable", False)


async def test_broken_upload_is_begun_anew_by_address(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("faults", platform="facebook", endpoint="POST /ig-api-upload/*", receive=2000)
    post = await sent(publishing, BY_BYTES)
    assert "video_url" in post


async def test_refused_upload_is_fetched_by_address(publishing: Posting) -> None:
    fault = {"endpoint": "POST */media", "where": {"upload_type": "resumable"}, "error": "permission_missing"}
    await publishing.rig.sandbox.command("faults", platform="facebook", **fault)
    assert "video_url" in await sent(publishing, BY_BYTES)


async def test_container_that_never_ends_is_made_again_and_then_fails(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="instagram", result="stuck", times=3)
    id_ = await target(publishing, IMAGE, "Tea")
    row = await worked_on(publishing, id_, publishing.driver, seconds=90_000)
    assert (row["state"], row["error_code"]) == ("failed", "container_failed")


async def test_not_ready_is_no_failure_of_the_commit(publishing: Posting) -> None:
    for error in ("not_ready", "container_missing"):
        await publishing.rig.sandbox.command("faults", platform="instagram", endpoint=COMMIT, error=error)
        row = await published(publishing, IMAGE, error)
        assert (len(await made(publishing, IMAGE, error)), row["commits"]) == (1, 2)


@pytest.mark.parametrize("effect", [True, False])
async def test_spam_block_is_looked_at(publishing: Posting, effect: bool) -> None:  # noqa: FBT001
    fault = {"endpoint": COMMIT, "error": "spam_block", "effect": effect}
    await publishing.rig.sandbox.command("faults", platform="instagram", **fault)
    await publishing.rig.raw("SELECT 1")
    id_ = await target(publishing, IMAGE, "Tea")
    row = await worked_on(publishing, id_, publishing.driver)
    assert row["state"] == "published", dict(row)
    assert len(await made(publishing, IMAGE, "Tea")) == 1


async def test_daily_limit_holds_it_back_and_fails_nothing(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("faults", platform="instagram", endpoint=COMMIT, error="daily_limit")
    id_ = await target(publishing, IMAGE, "Tea")
    row = await worked_on(publishing, id_, publishing.driver, until="rate_limit_exceeded")
    assert (row["state"], row["error_code"]) == ("publishing", "rate_limit_exceeded")
    row = await worked_on(publishing, id_, publishing.driver)
    assert row["state"] == "published", dict(row)
