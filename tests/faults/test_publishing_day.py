"""A day of scheduled posts on all platforms, with faults: each is published once, or says what a person needs to know.

``TARGETS=2000 make test TESTS=tests/faults/test_publishing_day.py`` is the whole day, at as many accounts as the limits
of their platforms want for it: what is beyond a day's limit is held back, and takes further days. PostgreSQL's clock
cannot be hurried, so every stored time is moved back by what the sandbox's clock is moved ahead.
"""

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from ops.runtime.http import Unreachable
from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import Request, Response
from tests.posting import POSTING, Posting
from tests.posting_faults import FILES, IN_TROUBLE, MODES, KilledError

TARGETS = int(os.environ.get("TARGETS", "60"))
SEED = int(os.environ.get("DAY_SEED", "1"))
STEP, DAY = 600, 86_400
OF_AN_ACCOUNT = 80
"""Posts of a day, at most: Instagram takes 100 of one (``meta.md`` 8.1)."""
FAULTS = 0.05
NEEDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "instagram": (["picture"], {}),
    "tiktok": (["clip"], {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}),
}
"""Files and options of platforms that take no text alone."""

MOVED = {
    "post_targets": ("due_at", "step_since", "intent_at", "lease_until", "worked_at", "published_at"),
    "posts": ("scheduled_at",),
    "connections": ("refresh_due_at", "access_expires_at", "refresh_expires_at", "authorized_at", "checked_at"),
}


@dataclass
class Unlucky:
    """A client of which some calls go wrong; one that is killed takes its worker with it."""

    client: PlatformClient
    chance: random.Random
    met: Counter[str] = field(default_factory=Counter)

    async def send(self, request: Request, open_part: Any = None, **where: Any) -> Response:
        if self.chance.random() >= FAULTS:
            return await self.client.send(request, open_part, **where)
        mode = self.chance.choice(MODES)
        self.met[mode] += 1
        if mode.endswith("after"):
            await self.client.send(request, open_part, **where)
        if mode.startswith("lost"):
            raise Unreachable("sandbox", "the connection was cut", sent=True)
        if mode.startswith("killed"):
            raise KilledError
        return Response(500, IN_TROUBLE, {})


async def passed(publishing: Posting, seconds: int) -> None:
    for table, columns in MOVED.items():
        assigned = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
        await publishing.rig.raw(f"UPDATE {table} SET {assigned}", timedelta(seconds=seconds))
    await publishing.rig.raw("DELETE FROM platform_budgets")
    await publishing.rig.sandbox.command("clock", jump=seconds)


async def connected(publishing: Posting, platform: str) -> list[str]:
    """Connect as many accounts as the posts of the day need, of those that the sandbox has."""
    names = ("shop", "alice", "bob")[: -(-TARGETS // (len(POSTING) * OF_AN_ACCOUNT))]
    if platform == "facebook":  # pages are a person's, who has several, and Instagram accounts behind them
        await publishing.rig.connect(platform)
        rows = await publishing.rig.raw("SELECT id::text FROM connections WHERE platform = $1 ORDER BY id", platform)
        return [row[0] for row in rows]
    if platform == "tiktok":  # the cap of a day varies by creator, and is 15 unless somebody says so
        for name in names:
            settings = {"daily_posts": OF_AN_ACCOUNT * 2, "private": False}
            await publishing.rig.sandbox.command("account", platform=platform, account=name, settings=settings)
    return [id_ for name in names for id_ in await publishing.rig.connect(platform, account=name)]


async def scheduled(publishing: Posting, chance: random.Random) -> dict[str, str]:
    """Store the targets of the day, and return the text of each by its id."""
    accounts = {platform: await connected(publishing, platform) for platform in POSTING}
    found = {}
    for number in range(TARGETS):
        turn, place = divmod(number, len(accounts))
        platform = sorted(accounts)[place]
        names, options = NEEDS.get(platform, ([], {}))
        files = [publishing.media.add(*FILES[name][:2], **FILES[name][2]) for name in names]
        text = f"Tea at table {number}"
        account = accounts[platform][turn % len(accounts[platform])]
        id_ = await publishing.target(account, text, media=files, options=options)
        found[id_] = text
        at = timedelta(seconds=chance.uniform(0, DAY))
        await publishing.rig.raw("UPDATE post_targets SET due_at = now() + $2 WHERE id = $1::uuid", id_, at)
    return found


async def test_day_of_scheduled_posts_with_faults(publishing: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    texts = await scheduled(publishing, chance)
    client: Any = Unlucky(publishing.driver.client, chance)
    workers = [replace(publishing.driver, client=client) for _ in range(2)]
    for _ in range(14 * DAY // STEP):
        if chance.random() < FAULTS:
            await publishing.rig.sandbox.command("processing", platform="instagram", result="ready", seconds=900)
        while sum(await asyncio.gather(*(worker.drain() for worker in workers))):
            pass
        left = await publishing.rig.raw("SELECT count(*) FROM post_targets WHERE due_at IS NOT NULL")
        if not left[0][0]:
            break
        await passed(publishing, STEP)
    states = await judged(publishing, texts)
    with capsys.disabled():
        print(f"\n{len(texts)} targets, seed {SEED}: {dict(states)}; faults: {dict(client.met)}")  # noqa: T201
    assert states["published"] > 0.9 * len(texts)
    assert sum(client.met.values()) > 0.02 * len(texts)


async def judged(publishing: Posting, texts: dict[str, str]) -> Counter[str]:
    """Compare the ledger with the table: nothing is there twice, and what is said of each is true."""
    shown = Counter([post["text"] for platform in POSTING for post in await publishing.shown(platform)])
    states = Counter[str]()
    for row in await publishing.rig.raw("SELECT * FROM post_targets"):
        count, state, told = shown.pop(texts[str(row["id"])], 0), row["state"], dict(row)
        states[state] += 1
        assert count <= 1, told
        assert row["due_at"] is None, told
        if state in ("published", "published_id_unknown"):
            assert count == 1, told
            continue
        assert state in ("failed", "unconfirmed"), told
        assert row["error_message"], told
        assert state != "failed" or not count, told
    assert not shown, "posts that no target is about"
    return states
