"""Accounts of Instagram are read as a whole, and stay what the sandbox's world is, by either login."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import pytest

from ops.cli import wiring
from ops.cli.composition import assembled
from ops.runtime.db import Pool, open_pool
from schema.rights import WORKER_ROLE
from sync.projection.store import PLANNER
from sync.projection.worker import Projector
from sync.pull.worker import Puller
from sync.rebuild.procedure import verify
from tests.rig import Rig
from tests.support import append_event

ACCOUNT = "s1_001"
WORLD = {"platform": "instagram", "seed": 1, "accounts": 1, "media": 12, "comments": 10, "replies": 0.4, "days": 90}


@dataclass(repr=False)
class Reading:
    """The rig, and what reads accounts and projects what was read."""

    rig: Rig
    pool: Pool
    puller: Puller

    async def world_of(self, rig: Rig) -> None:
        await rig.sandbox.command("world", **WORLD)

    async def connect(self, login: str) -> None:
        await self.rig.connect(login, account=ACCOUNT if login == "instagram" else "alice")

    async def settle(self, rounds: int = 400) -> None:
        """Read and project until nothing is due any more."""
        for _ in range(rounds):
            served = await self.puller.round()
            projected = await Projector(self.pool, wiring.projections(), tries=3).drain(30)
            if not served and not projected and not await self._due():
                return
        raise AssertionError("it never comes to an end")

    async def _due(self) -> int:
        await self.rig.raw("UPDATE pull_accounts SET held_until = NULL")
        await self.rig.raw("UPDATE pull_tasks SET due_at = now() WHERE due_at < now() + interval '1 minute'")
        [[due]] = await self.rig.raw("SELECT count(*) FROM pull_tasks WHERE due_at <= now() AND provider = 'instagram'")
        return int(due)

    async def again(self, times: int = 1, kind: str = "%") -> None:
        """Let everything that is read again be due, or what is of a kind, and read it."""
        for _ in range(times):
            await self.rig.raw("UPDATE pull_tasks SET due_at = now() WHERE due_at IS NOT NULL AND kind LIKE $1", kind)
            await self.settle()

    async def id(self) -> str:
        """The platform's id of the account."""
        [row] = await self.rig.raw("SELECT account_id FROM instagram_accounts WHERE username = $1", ACCOUNT)
        return str(row["account_id"])

    async def world(self) -> dict[str, Any]:
        return await self.rig.sandbox.world("instagram", account=ACCOUNT)

    async def assert_equal(self) -> None:
        """The views show what the world has, row for row, and the whole log makes the same tables."""
        world = await self.world()
        assert await self.media() == media_of(world)
        assert await self.comments() == comments_of(world)

    async def media(self) -> dict[str, Any]:
        rows = await self.rig.raw(
            """
            SELECT ig_id, caption, media_type, permalink, timestamp, (m.metrics_json ->> 'likes')::int AS likes,
                (m.metrics_json ->> 'comments')::int AS comments
            FROM reporting.ig_media m JOIN instagram_accounts a ON a.id = m.instagram_account_id
            WHERE a.username = $1""",
            ACCOUNT,
        )
        return {row["ig_id"]: tuple(row)[1:] for row in rows}

    async def comments(self) -> dict[str, Any]:
        rows = await self.rig.raw(
            """
            SELECT c.ig_id, m.ig_id AS media, r.parent_ig_id, c.from_user, c.text, c.hidden, c.timestamp
            FROM reporting.ig_comments c JOIN reporting.ig_media m ON m.id = c.ig_media_id
            JOIN ig_comments r ON r.ig_id = c.ig_id
            JOIN instagram_accounts a ON a.id = m.instagram_account_id WHERE a.username = $1""",
            ACCOUNT,
        )
        return {row["ig_id"]: tuple(row)[1:] for row in rows}


def at(value: str) -> datetime:
    return datetime.fromisoformat(value)


def media_of(world: dict[str, Any]) -> dict[str, Any]:
    """What the views are to show of the media that the account can read, items of carousels apart."""
    return {
        item["id"]: (
            item["caption"] or None,
            item["media_product_type"] if item["media_product_type"] in ("REELS", "STORY") else item["media_type"],
            item["permalink"],
            at(item["timestamp"]),
            item["like_count"],
            item["comments_count"],
        )
        for item in world["media"]
        if item["readable"] and not item["parent"]
    }


def comments_of(world: dict[str, Any]) -> dict[str, Any]:
    readable = {item["id"] for item in world["media"] if item["readable"]}
    return {
        item["id"]: (
            item["media"],
            item["parent"],
            item["username"],
            item["text"] or None,
            item["hidden"],
            at(item["timestamp"]),
        )
        for item in world["comments"]
        if not item["deleted"] and item["listed"] and item["media"] in readable
    }


@pytest.fixture
async def reading(rig: Rig) -> AsyncIterator[Reading]:
    async with await open_pool(rig.dsn, "pull", 8, role=WORKER_ROLE, wait_seconds=20, settings=PLANNER) as pool:
        needs = assembled(pool, rig.built.vault, rig.providers).pulling
        platforms = {"instagram": wiring.pulling_platforms()["instagram"]}
        yield Reading(rig, pool, Puller(pool, platforms, needs, confirm_seconds=0.0))


@pytest.mark.parametrize("login", ["instagram", "facebook"])
async def test_account_that_is_connected_is_read_as_a_whole(reading: Reading, login: str) -> None:
    await reading.world_of(reading.rig)
    await reading.connect(login)
    await reading.settle()
    await reading.assert_equal()
    media = await reading.media()
    assert (len(media), len(await reading.comments())) >= (WORLD["media"], 80)
    [series] = await reading.rig.raw(
        "SELECT count(DISTINCT ig_id) FROM ig_media_metrics WHERE metrics_json ? 'reach' AND ig_id = ANY($1)", [*media]
    )
    assert series["count"] == len(media)
    [totals] = await reading.rig.raw("SELECT count(*) FROM ig_media_metrics WHERE metrics_json ? 'total_likes'")
    assert bool(totals["count"]) is (login == "facebook"), "what ads brought is known by one login only"
    [days] = await reading.rig.raw("SELECT count(*) FROM ig_account_metrics WHERE metrics_json ? 'reach'")
    assert days["count"] >= 80, "the account's own series begins in the past"
    connection = await asyncpg.connect(reading.rig.dsn)
    report = await verify(connection, wiring.projections(), lambda *_: None)
    await connection.close()
    assert report.drift == 0, "the log alone gives the same tables"


async def test_what_did_not_change_is_no_news_and_its_comments_are_not_walked_again(reading: Reading) -> None:
    await reading.world_of(reading.rig)
    await reading.connect("instagram")
    await reading.settle()
    spent = await reading.rig.sandbox.spent(platform="instagram")
    [before] = await reading.rig.raw("SELECT count(*) FROM webhook_event_log WHERE event_type = 'comment.read'")
    await reading.again(kind="recent_media")
    await reading.again(kind="media")
    now = await reading.rig.sandbox.spent(platform="instagram")
    assert {edge: calls - spent.get(edge, 0) for edge, calls in now.items() if calls != spent.get(edge)} == {
        "GET /{account}/media": 2
    }
    await reading.again(kind="comments")
    [after] = await reading.rig.raw("SELECT count(*) FROM webhook_event_log WHERE event_type = 'comment.read'")
    assert after == before


async def test_account_that_changes_in_silence_is_read_until_the_tables_are_what_it_is(reading: Reading) -> None:
    """Captions, hides, deletions, archivings and new things, of which nothing tells."""
    await reading.world_of(reading.rig)
    await reading.connect("instagram")
    await reading.settle()
    before = await reading.comments()
    await reading.rig.sandbox.command("churn", platform="instagram", seed=3, changes=150)
    assert await reading.comments() == before
    await reading.again(4)
    await reading.assert_equal()


async def test_account_that_gives_little_is_read_as_far_as_it_gives(reading: Reading) -> None:
    """Refused fields and metrics, authors that are not named, small pages that end early, and cursors that are over."""
    sandbox = reading.rig.sandbox
    await reading.world_of(reading.rig)
    settings = {"refused_fields": ["from", "parent_id", "media"], "refused_metrics": ["total_interactions", "reposts"]}
    await sandbox.command("account", platform="instagram", account=ACCOUNT, settings=settings | {"names_absent": True})
    await sandbox.command("limits", platform="instagram", page_weight=150, short_pages=0.5)
    await reading.connect("instagram")
    await reading.settle()
    expected = {id_: (*row[:2], None, *row[3:]) for id_, row in comments_of(await reading.world()).items()}
    assert await reading.comments() == expected
    assert await reading.media() == media_of(await reading.world())
    [refused] = await reading.rig.raw("SELECT refused FROM pull_accounts WHERE account_id = $1", await reading.id())
    assert {"instagram.comment.from", "instagram.comment.parent_id", "instagram.comment.media"} <= {*refused["refused"]}
    [figures] = await reading.rig.raw(
        "SELECT count(*) FILTER (WHERE metrics_json ? 'reach') AS reach,"
        " count(*) FILTER (WHERE metrics_json ? 'total_interactions') AS refused FROM ig_media_metrics"
    )
    assert (figures["reach"], figures["refused"]) == (WORLD["media"], 0)


async def test_deleted_comment_is_gone_by_the_rules_alone_and_others_stay(reading: Reading) -> None:
    sandbox = reading.rig.sandbox
    reading.puller.confirm_seconds = 600.0
    await reading.world_of(reading.rig)
    await reading.connect("instagram")
    await reading.settle()
    world = await reading.world()
    top = next(item for item in world["comments"] if item["listed"] and not item["parent"])
    reply = next(i for i in world["comments"] if i["listed"] and i["parent"] not in (None, top["id"]))
    for item in (top, reply):
        await sandbox.command("act", platform="instagram", what="remove", account=ACCOUNT, id=item["id"])
    shown = await reading.comments()
    await reading.again(3)
    assert await reading.comments() == shown, "once is not enough"
    reading.puller.confirm_seconds = 0.0
    await reading.again(3)
    await reading.assert_equal()
    gone = await reading.rig.raw("SELECT ig_id FROM ig_comments WHERE deleted_at IS NOT NULL")
    assert {row["ig_id"] for row in gone} == {top["id"], reply["id"]}, "what hung on them is out of reach, not deleted"


async def test_last_comment_of_a_media_and_last_reply_of_a_comment_can_be_found_to_be_gone(reading: Reading) -> None:
    """Where a listing shows nothing any more, what it is of is there to the same token."""
    act = partial(reading.rig.sandbox.command, "act", platform="instagram", account=ACCOUNT)
    await reading.rig.sandbox.command("world", **WORLD | {"media": 3, "comments": 0})
    first, second, third = [item["id"] for item in (await reading.world())["media"] if not item["parent"]]
    alone = (await act(what="comment", post=first, by="ann", text="only me"))["id"]
    top = (await act(what="comment", post=second, by="ann", text="and"))["id"]
    reply = (await act(what="comment", post=top, by="bea", text="you"))["id"]
    off = (await act(what="comment", post=third, by="ann", text="comments are off"))["id"]
    await reading.connect("instagram")
    await reading.settle()
    assert {alone, top, reply, off} == {*await reading.comments()}
    for id_ in (alone, reply):
        await act(what="remove", id=id_)
    await act(what="comments_off", id=third)
    await reading.again(3)
    assert {*await reading.comments()} == {top, off}
    await reading.assert_equal()


async def test_comment_that_is_deleted_before_it_was_read_is_found_to_be_gone(reading: Reading) -> None:
    """The webhook made its row, and the look-up that follows finds nothing."""
    await reading.world_of(reading.rig)
    await reading.connect("instagram")
    await reading.settle()
    reading.puller.confirm_seconds = 600.0
    media = next(iter((await reading.comments()).values()))[0]
    value = {"id": "17999999999999999", "text": "gone at once", "from": {"id": "7", "username": "ann"}}
    value["media"] = {"id": media, "media_product_type": "FEED"}
    async with reading.rig.connection.transaction():
        await append_event(
            reading.rig.connection, await reading.id(), "ig:x:comments:17999999999999999:y", payload=value
        )
    await reading.settle()
    assert "17999999999999999" in await reading.comments(), "that it is not found once says nothing"
    reading.puller.confirm_seconds = 0.0
    await reading.again(3)
    assert "17999999999999999" not in await reading.comments()
    await reading.assert_equal()


async def test_story_has_its_figures_and_is_not_taken_for_deleted_once_it_is_over(reading: Reading) -> None:
    """meta.md 10.10: a listing says nothing of what is beyond its range."""
    sandbox = reading.rig.sandbox
    await sandbox.command("world", **WORLD | {"media": 2, "comments": 2})
    story = (await sandbox.command("act", platform="instagram", what="publish", account=ACCOUNT, kind="STORIES"))["id"]
    album = (await sandbox.command("act", platform="instagram", what="publish", account=ACCOUNT, kind="CAROUSEL"))["id"]
    await reading.connect("instagram")
    await reading.settle()
    rows = await reading.rig.raw("SELECT ig_id, children, metrics_json ? 'reach' AS seen FROM ig_media")
    found = {row["ig_id"]: row for row in rows}
    assert found[story]["seen"]
    assert len(json.loads(found[album]["children"])) == 3
    assert not {child["id"] for child in json.loads(found[album]["children"])} & found.keys(), "items are no media"
    await sandbox.command("clock", jump=25 * 3600)
    await reading.again(3)
    assert story in await reading.media()
    assert await reading.media() == media_of(await reading.world()) | {story: (await reading.media())[story]}
