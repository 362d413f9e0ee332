"""Accounts of TikTok are read from the sandbox until the tables are what it holds."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.cli import wiring
from ops.cli.composition import append_within
from ops.runtime.ports import Fact
from sync.projection.worker import Projector
from sync.pull.worker import Puller
from tests.rig import Rig

STATS = "user.info.stats"
ACCOUNT = "s3_001"
VIDEOS = 64
COUNTS = {"views": "view_count", "likes": "like_count", "comments": "comment_count", "shares": "share_count"}


@pytest.fixture
def puller(rig: Rig) -> Puller:
    return Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling, confirm_seconds=0.0)


async def project(rig: Rig) -> None:
    await Projector(rig.pool, wiring.projections(), tries=3).drain(60)


async def read(rig: Rig, puller: Puller) -> None:
    """Read what is due, to its end."""
    await puller.refresh_accounts()
    await rig.raw("UPDATE pull_accounts SET held_until = NULL")
    for _ in range(100):
        if not await puller.round():
            break
    await project(rig)


async def again(rig: Rig, puller: Puller, times: int = 3) -> None:
    """Everything that is read again and again is due: what is missing is asked for twice."""
    for _ in range(times):
        await rig.raw("UPDATE pull_tasks SET due_at = now() WHERE due_at IS NOT NULL OR kind = 'tiktok_video'")
        await read(rig, puller)


async def connected(rig: Rig, **more: str) -> str:
    await rig.sandbox.command("world", platform="tiktok", seed=3, accounts=1, media=VIDEOS, days=400)
    [id_] = await rig.connect("tiktok", account=ACCOUNT, **more)
    return id_


async def videos(rig: Rig) -> dict[str, Any]:
    return {row["post_id"]: dict(row) for row in await rig.raw("SELECT * FROM tiktok_videos")}


async def compare(rig: Rig) -> int:
    """Compare the rows with the sandbox's world, row for row; how many videos are public."""
    world = await rig.sandbox.world("tiktok", account=ACCOUNT)
    rows = await videos(rig)
    public = {item["id"]: item for item in world["videos"] if item["public"] and not item["deleted"]}
    there = {id_ for id_, row in rows.items() if row["absent_at"] is None}
    assert there == public.keys(), "what is public, and nothing else"
    for id_, item in public.items():
        row = rows[id_]
        assert row["posted_at"] == datetime.fromtimestamp(item["create_time"], UTC)
        assert row["video_description"] == item["text"][:150]
        assert item["share_url"] in row["share_url"]
        assert json.loads(row["metrics_json"]) == {name: item[theirs] for name, theirs in COUNTS.items()}
    return len(public)


async def listings(rig: Rig) -> int:
    return len(await rig.sandbox.ledger("call", platform="tiktok", path="/v2/video/list"))


async def test_account_is_read_until_its_rows_are_what_the_platform_holds_through_changes(
    rig: Rig, puller: Puller
) -> None:
    """Captions edited, posts hidden, shown again and deleted, counters moving: no webhook tells of any of it."""
    id_ = await connected(rig, optional_scopes=STATS)
    await read(rig, puller)
    public = await compare(rig)
    assert public > 50
    # A page that ends in a whole second is followed by one that shows the last of its videos again.
    assert -(-public // 20) <= await listings(rig) <= -(-public // 19)
    [profile] = await rig.raw("SELECT * FROM tiktok_accounts")
    world = await rig.sandbox.world("tiktok", account=ACCOUNT)
    theirs = world["accounts"][0]
    assert (profile["account_id"], profile["username"]) == (theirs["open_id"], ACCOUNT)
    assert json.loads(profile["metrics_json"]) == {
        "followers": theirs["follower_count"],
        "follows": theirs["following_count"],
        "likes": theirs["likes_count"],
        "videos": theirs["video_count"],
    }
    series = await rig.raw("SELECT * FROM tiktok_video_metrics")
    assert {row["post_id"] for row in series} == (await videos(rig)).keys()
    assert len(await rig.raw("SELECT FROM tiktok_account_metrics")) == 1
    assert (await rig.shown(id_))["sync"]["percent"] == 100
    for seed in (1, 2):
        await rig.sandbox.command("churn", platform="tiktok", seed=seed, changes=20)
        await again(rig, puller)
        await compare(rig)
    polled = "SELECT count(*) FROM webhook_event_log WHERE source = 'poll'"
    before = await rig.raw(polled)
    await again(rig, puller, 1)
    assert await rig.raw(polled) == before, "nothing changed, so nothing is appended"


async def test_video_that_only_became_public_later_is_found_by_the_walk_of_all(rig: Rig, puller: Puller) -> None:
    await connected(rig)
    await read(rig, puller)
    world = await rig.sandbox.world("tiktok", account=ACCOUNT)
    hidden = next(item["id"] for item in world["videos"] if not item["public"])
    assert hidden not in await videos(rig)
    await rig.sandbox.command("act", platform="tiktok", what="unhide", account=ACCOUNT, id=hidden)
    await again(rig, puller, 1)
    assert (await videos(rig))[hidden]["absent_at"] is None
    await compare(rig)


async def test_account_that_goes_private_loses_no_row(rig: Rig, puller: Puller) -> None:
    """tiktok.md 17: where no id of a call comes back, nothing is learned."""
    await connected(rig)
    await read(rig, puller)
    public = await compare(rig)
    await rig.sandbox.command("account", platform="tiktok", account=ACCOUNT, settings={"private": True})
    await again(rig, puller)
    assert await rig.raw("SELECT FROM tiktok_videos WHERE absent_at IS NOT NULL") == []
    await rig.sandbox.command("account", platform="tiktok", account=ACCOUNT, settings={"private": False})
    await again(rig, puller, 1)
    assert await compare(rig) == public


@pytest.mark.parametrize("error", ["internal_error", "scope_not_authorized", "rate_limit_exceeded"])
async def test_errors_take_no_row_with_them(rig: Rig, puller: Puller, error: str) -> None:
    await connected(rig)
    await read(rig, puller)
    await rig.sandbox.command("faults", platform="tiktok", endpoint="*video*", error=error, times=0)
    await again(rig, puller)
    await rig.sandbox.clear_faults()
    assert await rig.raw("SELECT FROM tiktok_videos WHERE absent_at IS NOT NULL") == []
    assert await rig.raw("SELECT FROM webhook_event_log WHERE event_type = 'video.absent'") == []


async def test_publish_shows_address_and_numbers_of_its_public_posts_and_keeps_its_caption(
    rig: Rig, puller: Puller
) -> None:
    await connected(rig)
    world = await rig.sandbox.world("tiktok", account=ACCOUNT)
    item = next(item for item in world["videos"] if item["public"] and len(item["text"]) > 150)
    account = world["accounts"][0]["open_id"]
    begun = {"publish_id": "p1", "source": "FILE_UPLOAD", "title": item["text"]}
    done = {"publish_id": "p1", "status": "PUBLISH_COMPLETE", "publicaly_available_post_id": [item["id"]]}
    facts = [
        Fact("tiktok", 1, account, kind, kind, json.dumps(payload), datetime.now(UTC))
        for kind, payload in (("post.begun", begun), ("post.read", done))
    ]
    async with rig.pool.acquire() as connection, connection.transaction():
        await append_within(connection, facts)
    await read(rig, puller)
    [row] = await rig.raw("SELECT title, metadata FROM reporting.tiktok_posts")
    assert row["title"] == item["text"]
    metadata = json.loads(row["metadata"])
    assert metadata["post_ids"] == [item["id"]]
    [public] = metadata["public_posts"]
    assert public["metrics"] == {name: item[theirs] for name, theirs in COUNTS.items()}
    assert item["share_url"] in public["permalink"]
    told = {"content": {"publish_id": "p1", "post_id": item["id"]}}
    kind = "post.publish.no_longer_publicly_available"
    async with rig.pool.acquire() as connection, connection.transaction():
        await append_within(connection, [Fact("tiktok", 1, account, kind, kind, json.dumps(told), datetime.now(UTC))])
    await project(rig)
    [row] = await rig.raw("SELECT metadata FROM reporting.tiktok_posts")
    assert "post_ids" not in json.loads(row["metadata"]), "what a webhook tells later counts"
