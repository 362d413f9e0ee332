"""The tables are complete: whatever changes in silence, fails, is lost and dies, they come to be what the world is.

`make complete` runs it with 50 accounts, 5,000 media and 100,000 comments, and says what that took.
"""

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psutil

from tests.complete_world import difference, evidence, keeping, verified, wrongly_gone
from tests.rig import Rig
from tests.support import eventually


@dataclass(frozen=True)
class Size:
    """Of the world: accounts, media of each, comments of each media on average; and how often it changes."""

    accounts: int
    media: int
    comments: int
    creators: int
    videos: int
    rounds: int
    changes: int
    seconds: float
    patience: float
    again: bool
    """Whether all is read again and again meanwhile, and not at the end alone."""
    compared: int
    """How many accounts ``DriftCheck`` compares, each of which it reads as a whole."""


SMALL = Size(3, 11, 8, 1, 30, rounds=4, changes=40, seconds=1.0, patience=60, again=True, compared=4)
WHOLE = Size(50, 100, 20, 5, 100, rounds=20, changes=150, seconds=8.0, patience=600, again=False, compared=6)
SIZE = WHOLE if os.environ.get("WORLD") == "whole" else SMALL

UNRELIABLE: dict[str, Any] = {
    "duplicated": 0.3, "delayed": 0.4, "delay_seconds": 3.0, "regrouped": 0.5, "lost": 0.3, "forged": 0.05
}  # fmt: skip

FILES = {"media_url", "thumbnail_url"}
"""Addresses of files end after days, and are read of young media: an old one that is unarchived may have none."""

INSIGHTS = "instagram_business_manage_insights"
"""Figures have tests of their own; those of 5,000 media would be most of the calls."""


def least_calls(world: dict[str, Any], accounts: set[str]) -> int:
    """Return the fewest calls that read these accounts once: profile, stories, and pages of 50."""
    media = [item for item in world["media"] if item["account"] in accounts and item["readable"] and not item["parent"]]
    of_media = Counter(item["account"] for item in media)
    shown = {item["id"] for item in media}
    comments = [item for item in world["comments"] if item["listed"] and item["media"] in shown]
    tops = Counter(item["media"] for item in comments if not item["parent"])
    threads = Counter(item["parent"] for item in comments if item["parent"])
    pages = sum(-(-count // 50) for count in (*of_media.values(), *tops.values()))
    # The first page of replies comes with the comment; where there is more, they are walked.
    return 2 * len(accounts) + pages + sum(-(-count // 50) for count in threads.values() if count > 50)


async def connected(rig: Rig) -> set[str]:
    size = SIZE
    made = await rig.sandbox.command(
        "world", platform="instagram", seed=1, accounts=size.accounts, media=size.media, comments=size.comments
    )
    videos = {"accounts": size.creators, "media": size.videos, "comments": 0}
    creators = await rig.sandbox.command("world", platform="tiktok", seed=1, **videos)
    for name in made["accounts"]:
        outcome = await rig.back("instagram", await rig.consented("instagram", account=name, untick=INSIGHTS))
        assert outcome["ok"], outcome
    for name in creators["accounts"]:
        await rig.connect("tiktok", account=name, optional_scopes="user.info.stats")
    return {*made["accounts"]}


def resident() -> float:
    """Megabytes of this process, which the sandbox is in."""
    return float(psutil.Process().memory_info().rss / 2**20)


async def test_tables_become_the_world_through_changes_faults_lost_webhooks_and_deaths(rig: Rig) -> None:
    """Row for row; the log alone makes them too; and nothing was ever said to be gone that was there."""
    sandbox, size = rig.sandbox, SIZE
    async with keeping(rig) as found:
        accounts = await connected(rig)
        begun, before = time.monotonic(), resident()
        await sandbox.command("delivery-policy", **UNRELIABLE)
        await sandbox.command("random-faults", share=0.05, platforms=["instagram", "tiktok"], timeout_seconds=0.2)
        async with found.running():
            for number in range(size.rounds):
                await sandbox.command("churn", platform="instagram", seed=number, changes=size.changes)
                await sandbox.command("churn", platform="tiktok", seed=number, changes=10)
                await asyncio.sleep(size.seconds)
                if number % 2 and size.again:
                    await found.time_passes(everything=True)
            await eventually(found.is_read, size.patience)
        history, spent = time.monotonic() - begun, await sandbox.spent(platform="instagram")
        await sandbox.clear_faults()
        await sandbox.command("delivery-policy")
        await found.told()
        await found.settle()
        await found.time_passes(everything=True)
        await found.settle()
        took, after, final = time.monotonic() - begun, resident(), await sandbox.spent(platform="instagram")
        least = least_calls(await sandbox.world("instagram"), accounts)
        said = [
            f"history {history:.0f} s, all {took:.0f} s; {found.deaths} deaths, at points {found.killer.kills}",
            f"resident {before:.0f} MB before, {after:.0f} MB after; to read all once takes {least} calls",
            f"calls of the history {sum(spent.values())}: {spent}",
            f"calls of all {sum(final.values())}: {final}",
        ]
        print("\n".join(said))  # noqa: T201  `make complete` shows it
        assert found.deaths > 3
        assert found.killer.kills
        different = await difference(found)
        for _, id_, _, _ in different[:3]:
            print("\n".join(await evidence(found, id_)))  # noqa: T201  says why, where it fails
        assert different == []
        assert await wrongly_gone(found) == []
        report = await verified(found)
        assert (report.drift, report.failed) == (0, [])
        for drift in await found.compare(size.compared):
            findings = [each for each in drift.findings if each.kind != "different" or each.columns.keys() - FILES]
            assert (drift.complete, findings) == (True, [])
            assert drift.compared
        [[gone]] = await found.raw("SELECT count(*) FROM webhook_event_log WHERE event_type = 'comment.gone'")
        assert gone, "nothing was shown of what goes"
