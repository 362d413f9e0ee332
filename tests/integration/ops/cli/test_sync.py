"""`landfall sync`: how far accounts are read, and reading something now."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from ops.cli import wiring
from ops.cli.shapes import SHAPES
from ops.cli.sync import bar, left
from sync.pull.worker import Puller
from tests.rig import Rig
from tests.support import command


@pytest.fixture
async def account(rig: Rig) -> str:
    [id_] = await rig.connect("instagram")
    found: str = (await rig.shown(id_))["account_id"]
    return found


@pytest.fixture
async def working(rig: Rig, account: str) -> AsyncIterator[Puller]:
    """A worker that reads, but for the figures of a quarter, which are ninety calls."""
    puller = Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling)
    await puller.refresh_accounts()
    await rig.raw("UPDATE pull_tasks SET due_at = NULL WHERE kind = 'past_account_insights'")
    stop = asyncio.Event()
    running = asyncio.create_task(puller.sweep(stop))
    yield puller
    stop.set()
    with suppress(asyncio.CancelledError):
        await running


async def landfall(rig: Rig, *arguments: str) -> tuple[int, str]:
    return await command(rig.dsn, "sync", *arguments)


def lines(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


async def test_status_shows_each_account_with_what_waits_and_what_is_skipped(rig: Rig, account: str) -> None:
    assert await landfall(rig, "status") == (0, "0 accounts\n")
    puller = Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling)
    await puller.refresh_accounts()
    await rig.raw("UPDATE pull_tasks SET due_at = NULL WHERE kind LIKE '%insights'")
    for _ in range(30):
        if not await puller.round():
            break
    await rig.raw("UPDATE pull_tasks SET skip_code = 'platform', skipped = 'It is a collab.' WHERE kind = 'stories'")
    await rig.raw("UPDATE pull_tasks SET attempts = 3, trouble = 'It is in trouble.' WHERE kind = 'account'")
    code, output = await landfall(rig, "status")
    assert code == 0
    assert f"instagram  shop  {bar(100)}" in output
    assert "1 stories skipped: It is a collab." in output
    assert "1 account in trouble, tried again by itself: It is in trouble." in output
    code, output = await landfall(rig, "status", "--json", "--platform", "instagram")
    [found] = lines(output)
    assert (code, tuple(found)) == (0, SHAPES["sync status"])
    assert (found["account_id"], found["percent"], found["skipped"], found["troubled"]) == (account, 100, 1, 1)
    assert found["calls"] > 3
    assert {kind["kind"] for kind in found["kinds"]} >= {"account", "media", "stories"}
    assert {reason["reason"] for reason in found["reasons"]} == {"It is a collab.", "It is in trouble."}
    assert await landfall(rig, "status", "--platform", "x") == (0, "0 accounts\n")


async def test_account_is_read_by_id_and_by_name_and_waited_for(rig: Rig, account: str, working: Puller) -> None:
    await rig.raw("UPDATE pull_tasks SET due_at = NULL")
    for name in (account, "shop"):
        code, output = await landfall(rig, "account", name, "--wait", "--json", "--seconds", "60")
        found = lines(output)
        assert (code, {item["state"] for item in found}) == (0, {"done"}), output
        assert {tuple(item) for item in found} == {SHAPES["sync account"]}
    code, output = await landfall(rig, "account", "nobody")
    assert (code, "no connected account that is read has the id or name nobody" in output) == (1, True)
    assert (await landfall(rig, "account", account, "--platform", "tiktok"))[0] == 1


async def test_media_is_read_with_all_that_is_read_of_it(rig: Rig, account: str, working: Puller) -> None:
    media = (await rig.sandbox.world("instagram", account="shop"))["media"][0]["id"]
    code, output = await landfall(rig, "media", media, "--account", account, "--wait", "--seconds", "60", "--json")
    assert (code, {item["state"] for item in lines(output)}) == (0, {"done"}), output
    assert "ig_media" in {item["task"] for item in lines(output)}
    code, output = await landfall(rig, "media", media)
    assert (code, f"ig_media {media}: waiting" in output) == (0, True), output
    code, output = await landfall(rig, "media", "17999")
    assert (code, "no connected account has read an object 17999; name one with --account" in output) == (1, True)
    code, output = await landfall(rig, "media", "17999", "--account", account, "--wait", "--seconds", "60")
    assert (code, "skipped" in output) == (1, True), output


async def test_wait_ends_and_says_what_still_waits(rig: Rig, account: str) -> None:
    await Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling).refresh_accounts()
    code, output = await landfall(rig, "account", account, "--wait", "--seconds", "1")
    assert code == 1
    assert "still wait after 1 s; they are read as soon as `landfall work` can" in output


async def test_post_of_ours_is_read_where_it_is_published(rig: Rig, account: str) -> None:
    await Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling).refresh_accounts()
    code, output = await landfall(rig, "post", "00000000-0000-7000-8000-00000000dead")
    assert (code, "is published at an account that is connected and read" in output) == (1, True)
    status, made = await rig.api("POST", "/api/posts", json={"content": "Tea", "platforms": ["instagram"]})
    assert status in (200, 201), made
    post = made["post"]["id"]
    await rig.raw("ALTER TABLE post_targets DISABLE TRIGGER USER")
    await rig.raw("UPDATE post_targets SET state = 'published', platform_post_id = '178999'")
    code, output = await landfall(rig, "post", post)
    assert (code, f"instagram  {account}  ig_media 178999: waiting" in output) == (0, True), output


BARS = {0: "[....................]   0 %", 50: "[##########..........]  50 %", 100: "[####################] 100 %"}


@pytest.mark.parametrize(("percent", "shown"), BARS.items())
def test_bar_is_text(percent: int, shown: str) -> None:
    assert bar(percent) == shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.0, ""), (30.0, "about 30 s left"), (600.0, "about 10 min left"), (7200.0, "about 2 h left")],
)
def test_estimate_is_said_in_words(seconds: float | None, said: str) -> None:
    assert left(seconds) == said
