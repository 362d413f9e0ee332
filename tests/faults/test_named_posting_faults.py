"""Faults that open publishers are known to post twice by, each as a test of its own: what is done is done once."""

from datetime import timedelta
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from publish.posting.requests import PostBody, RetryBody, TargetBody
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting

DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
ADA = Actor("user:ada")


async def clip(publishing: Posting) -> str:
    """A video for TikTok that is due; its target."""
    [account] = await publishing.rig.connect("tiktok")
    file = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=4.0)
    return await publishing.target(account, "Tea", media=[file], options=DIRECT)


async def picture(publishing: Posting) -> str:
    """A picture for Instagram that is due; its target."""
    [account] = await publishing.rig.connect("instagram")
    file = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    return await publishing.target(account, "Tea", media=[file])


async def fault(publishing: Posting, platform: str, endpoint: str, **more: Any) -> None:
    await publishing.rig.sandbox.command("faults", platform=platform, endpoint=endpoint, **more)


async def asked(publishing: Posting, platform: str, ending: str, method: str = "POST") -> int:
    """How many requests a platform got whose path ends so."""
    calls = await publishing.rig.sandbox.ledger("call", platform=platform, method=method)
    return sum(call["path"].rstrip("/").endswith(ending) for call in calls)


async def test_token_that_dies_in_a_status_poll_is_refreshed_and_nothing_is_sent_again(publishing: Posting) -> None:
    id_ = await clip(publishing)
    for _ in range(20):
        await publishing.driver.drain()
        if (await publishing.row(id_))["state"] == "processing":
            break
    platform: Any = publishing.rig.server.simulation.platforms["tiktok"]
    for token in platform.access.values():
        token.expires -= timedelta(days=2)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    assert await asked(publishing, "tiktok", "/video/init") == 1
    assert await asked(publishing, "tiktok", "/oauth/token") == 2, "the connection, and one refresh"
    assert len(await publishing.shown("tiktok")) == 1


async def test_init_that_was_accepted_and_whose_id_nobody_has_posts_once(publishing: Posting) -> None:
    """The upload that nobody knows of never gets its file, so the one that is begun after it is the only post."""
    id_ = await clip(publishing)
    await fault(publishing, "tiktok", "POST */video/init", error="internal_error", effect=True, times=1)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    assert await asked(publishing, "tiktok", "/video/init") == 2
    assert len(await publishing.shown("tiktok")) == 1


async def test_container_that_was_accepted_and_whose_id_nobody_has_posts_once(publishing: Posting) -> None:
    id_ = await picture(publishing)
    await fault(publishing, "instagram", "POST */media", error="service_unavailable", effect=True, times=1)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    assert await asked(publishing, "instagram", "/media") == 2
    assert len(await publishing.shown("instagram")) == 1


async def test_later_step_that_fails_runs_no_earlier_one_again(publishing: Posting) -> None:
    id_ = await picture(publishing)
    await fault(publishing, "instagram", "POST */media_publish", error="service_unavailable", times=2)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    assert await asked(publishing, "instagram", "/media") == 1
    assert len(await publishing.shown("instagram")) == 1


async def test_first_comment_that_fails_leaves_the_post_published_and_is_tried_again_alone(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("instagram")
    file = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    target = TargetBody(connection=account, options={"first_comment": "More about it"})
    body = PostBody(content="Tea", media=[file], targets=[target], action="publish")
    made = (await publishing.posts.create(DEFAULT_TENANT, ADA, body)).post
    assert made is not None
    post, comment = sorted(made.targets, key=lambda each: each.position)
    await fault(publishing, "instagram", "POST */comments", error="permission_missing", times=1)
    assert (await publishing.run(post.id))["state"] == "published"
    failed = await publishing.run(comment.id)
    assert (failed["state"], bool(failed["error_message"])) == ("failed", True), dict(failed)
    assert (await publishing.row(post.id))["state"] == "published"
    await publishing.lifecycle.retry(DEFAULT_TENANT, ADA, made.id, RetryBody(target=comment.id))
    assert (await publishing.run(comment.id))["state"] == "published"
    assert await asked(publishing, "instagram", "/media_publish") == 1
    assert [shown["text"] for shown in await publishing.shown("instagram")] == ["Tea", "More about it"]


@pytest.mark.parametrize(
    ("platform", "endpoint", "error"),
    [
        ("instagram", "POST */media_publish", "service_unavailable"),
        ("mastodon", "POST */api/v1/statuses", "server_error"),
        ("x", "POST /2/tweets", "internal_error"),
    ],
)
async def test_repeat_after_a_week_of_downtime_posts_nothing_twice(
    publishing: Posting, platform: str, endpoint: str, error: str
) -> None:
    """What was sent before it all went down is looked for: no key, and no window of a search, lasts for a week."""
    if platform == "instagram":
        id_ = await picture(publishing)
    else:
        [account] = await publishing.rig.connect(platform)
        id_ = await publishing.target(account, "Tea")
    await fault(publishing, platform, endpoint, error=error, effect=True, times=1)
    for _ in range(20):
        await publishing.driver.drain()
        if await publishing.shown(platform):
            break
        await publishing.hurry()
    assert len(await publishing.shown(platform)) == 1
    week = timedelta(days=8)
    await publishing.rig.sandbox.command("clock", jump=int(week.total_seconds()))
    await publishing.rig.raw(
        "UPDATE post_targets SET intent_at = intent_at - $1::interval, step_since = step_since - $1::interval,"
        " due_at = due_at - $1::interval",
        week,
    )
    row = await publishing.run(id_)
    assert row["state"] in ("published", "unconfirmed"), dict(row)
    assert row["state"] == "published" or (row["error_message"] and row["evidence"]), dict(row)
    assert len(await publishing.shown(platform)) == 1
