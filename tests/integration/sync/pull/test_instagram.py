"""Instagram's accounts are read from the sandbox until the tables are what it holds."""

from datetime import datetime
from typing import Any

from ops.cli import wiring
from sync.projection.worker import Projector
from sync.pull.worker import Puller
from tests.rig import Rig


async def read(rig: Rig, puller: Puller) -> None:
    """Read what is due, but for the figures of a quarter, which are ninety calls."""
    await puller.refresh_accounts()
    await rig.raw("UPDATE pull_tasks SET due_at = NULL WHERE kind = 'past_account_insights'")
    await rig.raw("UPDATE pull_accounts SET held_until = NULL")
    for _ in range(100):
        if not await puller.round():
            break
    await Projector(rig.pool, wiring.projections(), tries=3).drain(60)


async def again(rig: Rig, puller: Puller) -> None:
    for _ in range(3):  # an object that is missing is asked for twice, each time after a walk of its listing
        await rig.raw("UPDATE pull_tasks SET due_at = now() WHERE due_at IS NOT NULL")
        await read(rig, puller)


async def rows(rig: Rig, table: str) -> dict[str, Any]:
    return {row["ig_id"]: dict(row) for row in await rig.raw(f"SELECT * FROM {table}")}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("+0000") + "+00:00")


async def compare(rig: Rig, account: str) -> tuple[int, int]:
    """Compare the rows with the sandbox's world; how many media and comments there are."""
    world = await rig.sandbox.world("instagram", account=account)
    media, comments = await rows(rig, "ig_media"), await rows(rig, "ig_comments")
    shown = {item["id"]: item for item in world["media"] if not item["deleted"] and not item["archived"]}
    shown = {id_: item for id_, item in shown.items() if item["readable"] and item["media_product_type"] != "STORY"}
    assert shown.keys() <= media.keys()
    for id_, item in shown.items():
        row = media[id_]
        assert (row["caption"], row["permalink"], row["timestamp"]) == (
            item["caption"],
            item["permalink"],
            moment(item["timestamp"]),
        )
    said = {item["id"]: item for item in world["comments"] if item["media"] in shown and item["listed"]}
    there = {id_ for id_, row in comments.items() if row["deleted_at"] is None}
    assert said.keys() <= there
    for id_, item in said.items():
        row = comments[id_]
        assert (row["text"], row["hidden"], row["timestamp"]) == (
            item["text"],
            item["hidden"],
            moment(item["timestamp"]),
        )
    deleted = {item["id"] for item in world["comments"] if item["deleted"] and item["media"] in shown}
    left = there & deleted
    # A listing that shows nothing more proves nothing of what stood there.
    listings = {item["id"]: item["parent"] or item["media"] for item in world["comments"]}
    assert {listings[id_] for id_ in left} <= {*listings.values()} - {listings[id_] for id_ in said}
    return len(shown), len(said)


async def test_account_is_read_until_its_rows_are_what_the_platform_holds_through_changes(rig: Rig) -> None:
    """Edits, hides, deletions and archivings, of none of which a webhook tells."""
    await rig.sandbox.command("world", platform="instagram", seed=7, accounts=1, media=6, comments=4, replies=0.2)
    [id_] = await rig.connect("instagram", account="s7_001")
    shown = await rig.shown(id_)
    assert shown["sync"] is None, "no worker has looked at it"
    puller = Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling, confirm_seconds=0.0)
    await read(rig, puller)
    media, comments = await compare(rig, shown["username"])
    assert (media >= 6, comments > 10) == (True, True)
    shown = await rig.shown(id_)
    assert (shown["sync"]["percent"], shown["sync"]["troubled"]) == (100, 0)
    assert shown["sync"]["calls"] > 10
    kinds = ["comment", "reply", "hide", "unhide", "remove_comment", "like", "archive", "edit", "publish"]
    for seed in (1, 2):
        await rig.sandbox.command("churn", platform="instagram", seed=seed, changes=12, kinds=kinds)
        await again(rig, puller)
        await compare(rig, shown["username"])
    calls = (await rig.shown(id_))["sync"]["calls"]
    events = await rig.raw("SELECT count(*) FROM webhook_event_log WHERE source = 'poll'")
    await again(rig, puller)
    assert await rig.raw("SELECT count(*) FROM webhook_event_log WHERE source = 'poll'") == events, "nothing changed"
    assert (await rig.shown(id_))["sync"]["calls"] > calls
