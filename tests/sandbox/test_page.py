"""The page at ``/``, snapshots, and the world's bounds."""

import asyncio
import html
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from ops.runtime.files import UnsafePathError
from ops.sandbox.client import Client
from ops.sandbox.clock import Clock
from ops.sandbox.office import Shipment
from ops.sandbox.server import Server
from ops.sandbox.state import UnreadableStateError
from ops.sandbox.world import World
from tests.sandbox.conftest import Receiver, Stand, until
from tests.support import eventually


async def shown(stand: Stand) -> str:
    async with stand.http.get(f"{stand.url}/") as response:
        assert response.status == 200
        return await response.text()


async def click(stand: Stand, headers: dict[str, str] | None = None, **form: str) -> str:
    """Press a button; what the page says then."""
    async with stand.http.post(f"{stand.url}/", data=form, headers=headers, allow_redirects=False) as response:
        assert response.status == 303
        return parse_qs(urlsplit(response.headers["Location"]).query)["said"][0]


async def test_person_tries_everything_by_hand_and_sees_what_was_answered(stand: Stand, receiver: Receiver) -> None:
    receiver.token = stand.server.world.platforms["instagram"].verify_token
    assert "nothing yet" in await shown(stand)
    form = {"platform": "instagram", "account": "shop"}
    assert "sends to" in await click(stand, what="webhooks", platform="instagram", stream="", url=receiver.url)
    post = re.findall(r"'(\d+)'", await click(stand, what="publish", text="<b>new</b> & fresh", **form))[0]
    receiver.statuses = [503]
    said = re.findall(r"'(\d+)'", await click(stand, what="comment", post=post, text="hello there", **form))[0]
    await receiver.until(1)
    await until(lambda: len(stand.server.world.ledger.find("webhook")) >= 1)
    page = await shown(stand)
    assert "&lt;b&gt;new&lt;/b&gt; &amp; fresh" in page
    assert "hello there" in page
    assert 'class="bad">503' in page
    assert "removed" not in await click(stand, what="remove", id=said, **form)
    assert "hello there" not in re.sub(r"<pre>.*?</pre>", "", await shown(stand), flags=re.DOTALL)
    assert "{'ended': 0}" in await click(stand, what="revoke", **form)
    assert "It is " in await click(stand, what="jump", seconds="3600")
    assert "shows no comments" in await click(stand, what="comment", platform="tiktok", account="shop", post="1")
    assert "no such wish" in await click(stand, what="erase", platform="x", account="shop")


async def test_every_form_of_the_page_can_be_sent(stand: Stand) -> None:
    page = await shown(stand)
    forms = re.findall(r'<form method="post">(.*?)</form>', page, flags=re.DOTALL)
    assert len(forms) > 100
    seen = set()
    for form in forms:
        fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}
        if "what" in fields and (key := (fields["what"], fields.get("platform"))) not in seen:
            seen.add(key)
            await click(stand, **{"text": "t", **fields})
    assert {what for what, _ in seen} >= {"jump", "pace", "publish", "comment", "remove", "revoke", "live", "reset"}


def telling(world: World) -> dict[str, Any]:
    return {
        name: {account: platform.shown(account) for account in platform.people()}
        for name, platform in world.platforms.items()
    }


async def test_world_can_be_kept_and_gone_back_to_tokens_and_faults_and_all(stand: Stand, tmp_path: Path) -> None:
    assert "there is no snapshot" in await stand.refused("restore")
    await stand.wish("faults", platform="x", status=418)
    for name in stand.server.world.platforms:
        stand.server.world.platforms[name].live()
    kept = telling(stand.server.world)
    assert (await stand.wish("snapshot"))["bytes"] > 1000
    for _ in range(20):
        stand.server.world.step()
    assert telling(stand.server.world) != kept
    await stand.wish("restore")
    assert telling(stand.server.world) == kept
    async with stand.http.get(f"{stand.url}/x/2/users/me") as response:
        assert response.status == 418


async def test_state_in_a_file_outlives_the_program(tmp_path: Path) -> None:
    file = tmp_path / "state"
    first = Server(seed=3, state=file)
    first.world.step()
    first.world.clock.jump(86_400)
    first.snapshot()
    second = Server(seed=4, state=file)
    assert telling(second.world) == telling(first.world)
    assert second.world.clock.seconds() - time.time() > 86_000
    running = TestServer(second.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http, http.get(running.make_url("/")) as response:
        assert response.status == 200
    await running.close()


async def test_world_with_a_file_is_written_to_it_soon_after_each_call(tmp_path: Path) -> None:
    """A program that is killed writes nothing at its end."""
    file = tmp_path / "state"
    first = Server(seed=3, state=file)
    running = TestServer(first.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http:
        client = Client(http, str(running.make_url("")))
        await client.wish("act", platform="mastodon", what="publish", account="alice", text="kept")

        async def written() -> bool:
            return file.exists() and telling(Server(seed=4, state=file).world) == telling(first.world)

        await eventually(written, 10)
    await running.close()


async def test_delivery_that_nobody_answered_is_sent_again_by_the_world_in_the_file() -> None:
    first = World(3, Clock())
    platform = first.platforms["instagram"]
    platform.callbacks = dict.fromkeys(platform.streams, "http://receiver.example/")
    platform.subscribe_all()
    while not (sent := first.office.due()):
        platform.live()
    second = World.load(first.save())
    second.clock.jump(3600)
    again = second.office.due()

    def facts(shipments: Sequence[Shipment]) -> list[int]:
        return sorted(notice.number for shipment in shipments for notice in shipment.notices)

    assert set(facts(sent)) <= set(facts(again))
    assert len(set(facts(again))) == len(facts(again)), "each of them once"


def test_state_of_another_release_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    state = World(3, Clock()).save()
    for content in (b"", b"no world", state[:-1], state[:-1] + b"?", b"0" * 32 + state[32:]):
        with pytest.raises(UnreadableStateError, match="another release"):
            World.load(content)


def test_state_that_may_be_somebody_elses_is_not_gone_on_from(tmp_path: Path) -> None:
    """What is in such a file is run; and whoever can read it has every token."""
    kept = tmp_path / "state"
    first = Server(seed=3, state=kept)
    first.snapshot()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    link = tmp_path / "link"
    link.symlink_to(kept)
    with pytest.raises(UnsafePathError, match="remove it"):
        Server(seed=3, state=link)
    if os.geteuid() == 0:
        os.chown(kept, 65534, 65534)
        with pytest.raises(UnsafePathError, match="remove it"):
            Server(seed=3, state=kept)


def test_same_seed_makes_the_same_mail() -> None:
    def mail(seed: int) -> list[tuple[str, bytes]]:
        clock = Clock(1_767_225_600)
        clock.run(0)
        world = World(seed, clock)
        return [(shipment.platform, shipment.body) for shipment in world.mail(60)]

    first = mail(5)
    assert len(first) > 40
    assert first == mail(5)
    assert first != mail(6)


def test_day_of_activity_takes_little_time_and_the_memory_it_may() -> None:
    """8,640 things, one every ten seconds of a day."""
    clock = Clock()
    clock.run(0)
    world = World(1, clock, ring=500, room=200)
    for name, platform in world.platforms.items():
        platform.callbacks = dict.fromkeys(platform.streams, f"http://{name}.example/")
        platform.entered(platform.streams[0])
        platform.subscribe_all()
    begun, sent = time.monotonic(), 0
    world.hurry(0.1)
    for _ in range(8640):
        clock.jump(10)
        world.live()
        for shipment in world.office.due():
            world.office.answered(shipment, 200)
            sent += 1
    assert sent > 5000
    assert time.monotonic() - begun < 60, "minutes at most"
    counts = {
        name: sum(len(post["comments"]) + 1 for account in platform.people() for post in platform.shown(account))
        for name, platform in world.platforms.items()
    }
    assert max(counts.values()) <= 500, counts
    assert len(world.save()) < 4_000_000


@pytest.mark.parametrize("seconds", [3600.0])
async def test_outage_holds_the_mail_back_and_then_sends_it(stand: Stand, receiver: Receiver, seconds: float) -> None:
    receiver.token = stand.server.world.platforms["instagram"].verify_token
    await stand.wish("webhooks", platform="instagram", url=receiver.url, everybody=True)
    await stand.wish("outage", platform="instagram", seconds=seconds)
    post = (await stand.wish("act", platform="instagram", what="publish", account="bob", text="p"))["id"]
    await stand.wish("act", platform="instagram", what="comment", account="bob", post=post, text="late")
    await asyncio.sleep(0.1)
    assert receiver.came == []
    await stand.wish("clock", jump=seconds + 1)
    assert "late" in (await receiver.until(1))[0].body.decode()


async def test_mail_comes_twice_late_overtaken_and_recut_and_nothing_is_lost(stand: Stand, receiver: Receiver) -> None:
    world = stand.server.world
    receiver.token = world.platforms["instagram"].verify_token
    await stand.wish("webhooks", platform="instagram", url=receiver.url, everybody=True)
    await stand.wish("manners", gather_seconds=2, twice=0.3, late=0.3, late_seconds=60, recut=1.0)
    receiver.statuses = [500, 200, 500, 200, 500]
    post = (await stand.wish("act", platform="instagram", what="publish", account="bob", text="p"))["id"]
    said = []
    for number in range(60):
        wish = {"platform": "instagram", "what": "comment", "account": "bob", "post": post, "text": f"n{number}"}
        said.append((await stand.wish("act", **wish))["id"])
        world.clock.jump(1)
    for _ in range(12):
        await stand.wish("clock", jump=61)
        await asyncio.sleep(0.02)
    await until(lambda: len(world.office) == 0)
    deliveries = [
        [change["value"]["id"] for entry in r.json["entry"] for change in entry["changes"]] for r in receiver.came
    ]
    heard = [id_ for delivery in deliveries for id_ in delivery]
    assert set(heard) == set(said)
    assert len(heard) > len(said), "some twice"
    firsts = [heard.index(id_) for id_ in said]
    assert firsts != sorted(firsts), "some overtaken"
    attempts = await stand.ledger("webhook")
    failed = {tuple(entry["events"]) for entry in attempts if entry["status"] == 500}
    again = {tuple(entry["events"]) for entry in attempts if entry["attempt"] == 2}
    assert any(len(events) > 1 and events not in again for events in failed), "cut anew"
