"""Publishing to Instagram against the sandbox: each kind once, and once whatever goes wrong on the way."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.posting import Posting, posting
from tests.posting_faults import (
    MODES,
    NOT_DONE,
    Case,
    acted,
    lagged,
    made,
    published,
    raced,
    survived,
    swept,
    target,
    worked_on,
)
from tests.rig import Rig

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
    (Case("instagram", "delete_post", "DELETE *", parent="post"), "delete"),
]


@pytest.fixture
async def publishing(rig: Rig) -> AsyncIterator[Posting]:
    async with posting(rig) as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_kind_is_published_once(publishing: Posting, case: Case) -> None:
    row = await published(publishing, case, "Tea & cake")
    [post] = await made(publishing, case, "Tea & cake")
    assert row["platform_post_id"] == post["id"]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_is_there_once_whatever_happens_to_its_commit(publishing: Posting, case: Case) -> None:
    for mode in MODES:
        await survived(publishing, case, mode, f"Tea {mode}")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("mode", ["lost_after", "killed_after"])
async def test_each_is_there_once_whichever_call_is_lost(publishing: Posting, case: Case, mode: str) -> None:
    assert await swept(publishing, case, mode)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_two_workers_publish_it_once(publishing: Posting, case: Case) -> None:
    await raced(publishing, case)


@pytest.mark.parametrize(("case", "change"), ACTIONS, ids=str)
async def test_acting_on_what_is_there(publishing: Posting, case: Case, change: str) -> None:
    for mode in ("", *MODES):
        await acted(publishing, case, change, mode)


async def sent(publishing: Posting, case: Case, text: str = "Tea") -> Mapping[str, Any]:
    """What the ledger has of the parameters and files of a post."""
    await published(publishing, case, text)
    [post] = await made(publishing, case, text)
    found: Mapping[str, Any] = {**post["options"], "files": post["files"]}
    return found


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


@pytest.mark.parametrize("result", ["failed", "expired"])
async def test_container_that_ends_is_made_again_a_few_times(publishing: Posting, result: str) -> None:
    await publishing.rig.sandbox.command("processing", platform="instagram", result=result, times=2)
    await published(publishing, IMAGE, "Tea")
    await publishing.rig.sandbox.command("processing", platform="instagram", result=result, times=3)
    row = await publishing.run(await target(publishing, IMAGE, "Cake"))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "container_failed", True)
    assert len(await publishing.shown("instagram")) == 1


async def test_only_the_child_that_failed_is_made_again(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="instagram", result="failed", skip=1)
    await published(publishing, CAROUSEL, "Tea")
    calls = await publishing.rig.sandbox.ledger("call", platform="instagram")
    items = [call for call in calls if call["path"].endswith("/media") and call["method"] == "POST"]
    assert len(items) == 5, "three items, one of them twice, and the carousel"


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


async def test_token_that_dies_in_a_poll_does_not_begin_anew(publishing: Posting) -> None:
    fault = {"endpoint": "GET */*", "where": {"fields": "status_code,status"}, "error": "token_expired"}
    await publishing.rig.sandbox.command("faults", platform="instagram", **fault)
    await published(publishing, IMAGE, "Tea")
    calls = await publishing.rig.sandbox.ledger("call", platform="instagram")
    begun = [call for call in calls if call["path"].endswith("/media") and call["method"] == "POST"]
    assert len(begun) == 1


async def test_throttle_by_401_neither_ends_the_token_nor_costs_the_post(publishing: Posting) -> None:
    for endpoint in ("POST */media", COMMIT):
        fault = {"endpoint": endpoint, "error": "too_many_actions"}
        await publishing.rig.sandbox.command("faults", platform="instagram", **fault)
        row = await worked_on(publishing, await target(publishing, IMAGE, endpoint), publishing.driver)
        assert row["state"] == "published", dict(row)
        assert len(await made(publishing, IMAGE, endpoint)) == 1
    [row] = await publishing.rig.raw("SELECT state FROM connections WHERE platform = 'instagram'")
    assert row["state"] == "active"


async def test_daily_limit_holds_it_back_and_fails_nothing(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("faults", platform="instagram", endpoint=COMMIT, error="daily_limit")
    id_ = await target(publishing, IMAGE, "Tea")
    row = await worked_on(publishing, id_, publishing.driver, until="rate_limit_exceeded")
    assert (row["state"], row["error_code"]) == ("publishing", "rate_limit_exceeded")
    row = await worked_on(publishing, id_, publishing.driver)
    assert row["state"] == "published", dict(row)


async def test_comment_waits_for_a_post_that_is_seconds_old(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("parent-lag", platform="instagram", seconds=70)
    root = await target(publishing, IMAGE, "Tea")
    connection = str((await publishing.row(root))["connection_id"])
    first = await publishing.target(connection, "First!", kind="comment", parent=root)
    await publishing.run(root)
    row = await publishing.run(first)
    assert row["state"] == "published", dict(row)
    assert len(await made(publishing, COMMENT, "First!")) == 1


@pytest.mark.parametrize("seconds", [45, 150, 400])
async def test_commit_that_takes_effect_late_is_there_once(publishing: Posting, seconds: int) -> None:
    fault = {"endpoint": COMMIT, "error": "service_unavailable", "effect": True, "late_seconds": seconds}
    for case in (IMAGE, CAROUSEL):
        await publishing.rig.sandbox.command("faults", platform="instagram", **fault)
        row = await publishing.run(await target(publishing, case, f"Tea {case}"))
        assert row["state"] == "published", dict(row)
        await publishing.rig.sandbox.command("clock", jump=600)
        assert [post["id"] for post in await made(publishing, case, f"Tea {case}")] == [row["platform_post_id"]]
        await publishing.rig.sandbox.clear_faults()


async def test_status_that_lags_behind_does_not_publish_again(publishing: Posting) -> None:
    await lagged(publishing, IMAGE, "status_code")
