"""Publishing on Threads against the sandbox: each kind once, and once whatever goes wrong on the way."""

import json

import pytest

from publish.platforms.threads import SHARE
from tests.posting import Posting
from tests.posting_faults import MODES, NOT_DONE, Case, faulty, made, published, run_on, sent, target

COMMIT = "POST */threads_publish"

TEXT = Case("threads", "text", COMMIT)
IMAGE = Case("threads", "image", COMMIT, media=["picture"])
VIDEO = Case("threads", "video", COMMIT, media=["clip"])
CAROUSEL = Case("threads", "carousel", COMMIT, media=["picture", "clip", "picture"])
REPLY = Case("threads", "reply", COMMIT, parent="comment")

CASES = [
    TEXT,
    IMAGE,
    VIDEO,
    CAROUSEL,
    REPLY,
    Case("threads", "reply", COMMIT, media=["picture", "picture"], parent="post"),
]

ACTIONS = [
    (Case("threads", "hide_comment", "POST */manage_reply", {"hide": "true"}, parent="comment"), "hide"),
    (Case("threads", "show_comment", "POST */manage_reply", {"hide": "false"}, parent="hidden"), "unhide"),
    (Case("threads", "delete_post", "DELETE *", parent="post"), "delete"),
]


async def test_options_of_a_text_arrive(publishing: Posting) -> None:
    options = {
        "reply_control": "mentioned_only",
        "reply_approvals": True,
        "topic_tag": "tea",
        "poll": ["Green", "Black"],
        "spoilers": [{"offset": 7, "length": 3}],
    }
    link = {"url": "https://example.org/tea"}
    post = await sent(publishing, Case("threads", "text", COMMIT, options=options, link=link), "Tea is hot")
    assert (post["reply_control"], post["enable_reply_approvals"]) == ("mentioned_only", "true")
    assert (post["topic_tag"], post["link_attachment"]) == ("tea", "https://example.org/tea")
    assert json.loads(post["poll_attachment"]) == {"option_a": "Green", "option_b": "Black"}
    assert json.loads(post["text_entities"]) == [{"entity_type": "SPOILER", "offset": 7, "length": 3}]


async def test_long_text_arrives(publishing: Posting) -> None:
    post = await sent(publishing, Case("threads", "text", COMMIT, options={"long_text": "Tea " * 900}))
    assert json.loads(post["text_attachment"]) == {"plaintext": "Tea " * 900}


async def test_files_have_their_alternative_texts_and_are_hidden_on_request(publishing: Posting) -> None:
    post = await sent(publishing, Case("threads", "image", COMMIT, media=["picture"], options={"spoiler_media": True}))
    assert (post["is_spoiler_media"], [file["alt_text"] for file in post["files"]]) == ("true", ["a picture"])
    post = await sent(publishing, CAROUSEL, "Cake")
    assert [file["alt_text"] for file in post["files"]] == ["a picture"] * 3


SHARED = Case("threads", "text", COMMIT, options={"share_to_story": "dark"})


async def allow_sharing(publishing: Posting) -> None:
    """Connect an account that allows sharing, for which people are asked on request only."""
    await publishing.rig.connect("threads", optional_scopes=SHARE)


async def shared(publishing: Posting) -> int:
    """How many shares to a story there were."""
    return len([post for post in await publishing.rig.sandbox.published("threads") if post.get("story")])


async def test_share_to_the_story_that_fails_is_said_and_the_post_stays_published(publishing: Posting) -> None:
    row = await published(publishing, SHARED, "Tea")  # this account did not grant its permission
    assert (row["state"], row["error_code"]) == ("published", "story_share_failed")
    assert "failed. Share it in the app" in row["error_message"]
    assert row["platform_post_url"], "its address was read, and what is to be said of the share is said still"


async def test_share_to_the_story_is_done_beside_the_post(publishing: Posting) -> None:
    await allow_sharing(publishing)
    row = await published(publishing, SHARED, "Tea")
    assert (row["error_code"], json.loads(row["kept"])["story_share"]) == (None, "success")
    assert await shared(publishing) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_share_to_the_story_is_done_once_whatever_becomes_of_the_call(publishing: Posting, mode: str) -> None:
    await allow_sharing(publishing)
    id_ = await target(publishing, SHARED, "Tea")
    row = await run_on(publishing, id_, faulty(publishing, mode, SHARED))
    assert row["state"] == "published", dict(row)
    assert await shared(publishing) == 1
    if mode in NOT_DONE:
        assert (row["error_code"], json.loads(row["kept"])["story_share"]) == (None, "success")
    else:
        assert row["error_code"] == "story_share_unknown", "the answer that tells it was lost"
        assert "before you share it again" in row["error_message"]


async def test_thread_goes_on_at_its_first_missing_part(publishing: Posting) -> None:
    root = await target(publishing, TEXT, "One")
    connection = str((await publishing.row(root))["connection_id"])
    two = await publishing.target(connection, "Two", kind="reply", parent=root)
    three = await publishing.target(connection, "Three", kind="reply", parent=two)
    await publishing.run(root)
    await publishing.rig.sandbox.command(
        "faults", platform="threads", endpoint="POST */threads", error="account_blocked"
    )
    row = await publishing.run(two)
    assert (row["state"], (await publishing.row(root))["state"]) == ("failed", "published")
    await publishing.rig.raw(
        "UPDATE post_targets SET state = 'scheduled', step = '', attempt = attempt + 1, commits = 0, kept = '{}',"
        " due_at = now() WHERE id = $1::uuid",
        two,
    )
    assert (await publishing.run(two))["state"] == "published"
    row = await publishing.run(three)
    assert row["state"] == "published", dict(row)
    posts = await publishing.shown("threads")
    assert [(post["text"], post["reply_to"]) for post in posts] == [
        ("One", None),
        ("Two", posts[0]["id"]),
        ("Three", posts[1]["id"]),
    ]


async def test_missing_container_is_read_and_then_made_again(publishing: Posting) -> None:
    for times, containers in ((1, 1), (2, 2)):
        before = await containers_made(publishing)
        fault = {"endpoint": COMMIT, "error": "media_missing", "times": times}
        await publishing.rig.sandbox.command("faults", platform="threads", **fault)
        await published(publishing, TEXT, f"Tea {times}")
        assert await containers_made(publishing) - before == containers
        assert len(await made(publishing, TEXT, f"Tea {times}")) == 1
        await publishing.rig.sandbox.clear_faults()
    await publishing.rig.sandbox.command("faults", platform="threads", endpoint=COMMIT, error="media_missing", times=0)
    row = await publishing.run(await target(publishing, TEXT, "Tea at last"))
    assert (row["state"], row["error_code"], row["commits"]) == ("failed", "container_failed", 3)


async def containers_made(publishing: Posting) -> int:
    calls = await publishing.rig.sandbox.ledger("call", platform="threads", method="POST")
    return len([call for call in calls if call["path"].endswith("/threads")])


async def test_file_of_the_wrong_shape_is_not_sent_again(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="threads", result="failed", reason="INVALID_BIT_RATE")
    row = await publishing.run(await target(publishing, VIDEO, "Tea"))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "media_refused", False)
    assert await containers_made(publishing) == 1


@pytest.mark.parametrize("case", [TEXT, REPLY], ids=str)
async def test_daily_limit_is_of_posts_and_of_replies(publishing: Posting, case: Case) -> None:
    used = {"quota_usage": 250, "config": {"quota_total": 250}, "reply_quota_usage": 0}
    used |= {"reply_config": {"quota_total": 1000}}
    id_ = await target(publishing, case, "Tea")
    await publishing.rig.sandbox.command(
        "faults", platform="threads", endpoint="GET */threads_publishing_limit", status=200, body={"data": [used]}
    )
    await publishing.driver.drain()
    assert (await publishing.row(id_))["error_code"] == ("rate_limit_exceeded" if case is TEXT else None)
    assert (await publishing.run(id_))["state"] == "published"


async def test_published_container_that_lists_nothing_stays_published(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("listing-lag", platform="threads", seconds=10**6)
    fault = {"endpoint": COMMIT, "error": "service_unavailable", "effect": True}
    await publishing.rig.sandbox.command("faults", platform="threads", **fault)
    row = await publishing.run(await target(publishing, TEXT, "Tea"), rounds=120)
    assert (row["state"], row["platform_post_id"]) == ("published_id_unknown", None)
    assert len(await publishing.shown("threads")) == 1


async def test_token_that_dies_at_the_commit_is_checked_and_the_container_published(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("faults", platform="threads", endpoint=COMMIT, error="token_expired")
    row = await published(publishing, TEXT, "Tea")
    assert (row["commits"], await containers_made(publishing)) == (2, 1)
    assert len(await made(publishing, TEXT, "Tea")) == 1
