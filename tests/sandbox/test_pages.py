"""The page at ``/``, snapshots, and the bounds of a simulation."""

import asyncio
import html
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from selenium.webdriver.remote.webdriver import WebDriver

from ops.runtime.files import UnsafePathError
from ops.sandbox.client import Client
from ops.sandbox.clock import Clock
from ops.sandbox.contract import CommandError
from ops.sandbox.dispatcher import Delivery
from ops.sandbox.server import Server
from ops.sandbox.simulation import Simulation
from ops.sandbox.state import UnreadableStateError
from tests.sandbox import test_tiktok
from tests.sandbox.conftest import Receiver, Stand, until
from tests.support import eventually


async def shown(stand: Stand, path: str = "/") -> str:
    async with stand.http.get(f"{stand.url}{path}") as response:
        assert response.status == 200
        return await response.text()


async def click(stand: Stand, headers: dict[str, str] | None = None, **form: str) -> str:
    """Press a button; what the page says then."""
    async with stand.http.post(f"{stand.url}/", data=form, headers=headers, allow_redirects=False) as response:
        assert response.status == 303
        return parse_qs(urlsplit(response.headers["Location"]).query)["said"][0]


async def test_person_tries_everything_by_hand_and_sees_what_was_answered(stand: Stand, receiver: Receiver) -> None:
    receiver.token = stand.server.simulation.platforms["instagram"].verify_token
    assert "nothing yet" in await shown(stand)
    form = {"platform": "instagram", "account": "shop"}
    assert await click(stand, what="comment", post="1", **form) == "shop has no post 1"
    said = await click(stand, what="webhooks", platform="instagram", stream="", url=receiver.url)
    assert said == f"Instagram sends its webhooks to {receiver.url}."
    said = await click(stand, what="publish", text="<b>new</b> & fresh", **form)
    post = re.findall(r"\d+", said)[0]
    assert said == f"shop published post {post}. Instagram sends nothing for a new post."
    receiver.statuses = [503]
    said = await click(stand, what="comment", post=post, text="hello there", **form)
    comment = re.findall(r"comment (\d+)", said)[0]
    assert said == f"fan_1 commented on post {post}: comment {comment}. Instagram sends a webhook: comments."
    await receiver.until(1)
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) >= 1)
    page = await shown(stand, "/platforms/instagram")
    assert "&lt;b&gt;new&lt;/b&gt; &amp; fresh" in page
    assert "hello there" in page
    assert 'class="bad">503' in page
    said = await click(stand, what="remove", id=comment, **form)
    assert said == f"Comment {comment} is deleted. Instagram sends nothing for a deleted comment."
    page = await shown(stand, "/platforms/instagram")
    assert "hello there" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    said = await click(stand, what="revoke", **form)
    assert said.startswith("shop revoked Landfall; no tokens ended. Instagram would send a webhook, but no address")
    assert "It is " in await click(stand, what="jump", seconds="3600")
    assert "valid number" in await click(stand, what="jump", seconds="soon")
    assert "shows no comments" in await click(stand, what="comment", platform="tiktok", account="shop", post="1")
    assert "no such request" in await click(stand, what="erase", platform="x", account="shop")


async def test_person_posts_a_draft_from_the_inbox_once_it_is_there(stand: Stand) -> None:
    """``tiktok.md`` 8.1: it waits for the human."""
    secret = await test_tiktok.connected(stand)
    clip = test_tiktok.CLIP
    source = {"source": "FILE_UPLOAD", "video_size": len(clip), "chunk_size": len(clip), "total_chunk_count": 1}
    begun = (await test_tiktok.post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source}))["data"]
    await test_tiktok.put(stand, begun["upload_url"], clip, 0, len(clip))
    assert "A draft in the inbox" not in await shown(stand, "/platforms/tiktok")
    await stand.command("clock", jump=21)
    await stand.ledger("draft")
    assert f"<small>{begun['publish_id']}</small>" in await shown(stand, "/platforms/tiktok")
    said = await click(stand, what="post_draft", platform="tiktok", account="shop", id=begun["publish_id"])
    [post] = await stand.ledger("post", platform="tiktok", by="owner")
    assert said.startswith(f"shop posted the draft: post {post['id']}. TikTok would send a webhook")
    assert "A draft in the inbox" not in await shown(stand, "/platforms/tiktok")


async def test_page_says_how_many_tokens_a_revocation_ended(stand: Stand) -> None:
    simulation = stand.server.simulation
    simulation.platforms["instagram"].issue("alice", [], "short", 3600)  # type: ignore[attr-defined]
    said = await click(stand, what="revoke", platform="instagram", account="alice")
    assert said.startswith("alice revoked Landfall; 1 token ended.")


async def test_answer_stands_beside_what_was_pressed(stand: Stand) -> None:
    form = {"platform": "x", "account": "bob", "what": "publish", "text": "t"}
    page = await shown(stand, "/platforms/x")
    place = re.findall(r'<h3 id="([^"]+)">bob</h3>', page)[0]
    async with stand.http.post(f"{stand.url}/", data=form | {"at": place}) as response:
        assert response.url.path == "/platforms/x"
        assert response.history[0].headers["Location"].endswith(f"#{place}")
        page = await response.text()
    beside = re.findall(r'bob</h3>\s*<p class="said" role="status">(.*?)</p>', page)
    assert len(beside) == 1
    assert beside[0].startswith("bob published post ")
    assert page.count('role="status"') == 1
    async with stand.http.post(f"{stand.url}/", data=form | {"at": "a\r\nb: c"}, allow_redirects=False) as response:
        assert response.status == 303


async def test_every_form_of_the_pages_can_be_sent(stand: Stand) -> None:
    seen, sent = set(), 0
    for path in ("/", *(f"/platforms/{name}" for name in stand.server.simulation.platforms)):
        forms = re.findall(r'<form method="post" action="/">(.*?)</form>', await shown(stand, path), flags=re.DOTALL)
        sent += len(forms)
        for form in sorted(forms, key=lambda form: 'value="remove"' in form):  # last: what is gone takes no comment
            fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}
            if "what" in fields and (key := (fields["what"], fields.get("platform"))) not in seen:
                seen.add(key)
                said = await click(stand, **({"text": "t"} if 'name="text"' in form else {}), **fields)
                impossible = ("only pages publish", "is a page: a person")
                assert said.endswith(".") or any(words in said for words in impossible), said
                assert not re.search(r"[{}\[\]]|None|True", said), said
    assert sent > 100
    assert {what for what, _ in seen} >= {"jump", "pace", "publish", "comment", "remove", "revoke", "live", "reset"}


def told_of(name: str, what: str, account: str) -> list[str]:
    """The topics of what a platform sends of that, where everybody is subscribed. Raises CommandError."""
    simulation = Simulation(3, Clock())
    platform = simulation.platforms[name]
    platform.callbacks = dict.fromkeys(platform.streams, "http://receiver.example/")
    platform.callback_set(platform.streams[0])
    platform.subscribe_all_accounts()
    simulation.sandbox.outbox.clear()
    if what == "revoke":
        platform.simulate_revoke(account)
    else:
        post = platform.simulate_publish(account, "t")
        if what != "publish":
            simulation.sandbox.outbox.clear()
        if what.endswith("comment"):
            comment = platform.simulate_comment(account, post, "fan_1", "t")
        if what.startswith("delete"):
            simulation.sandbox.outbox.clear()
            platform.simulate_remove(account, comment if what == "delete_comment" else post)
    return [event.topic for event in simulation.sandbox.outbox]


@pytest.mark.parametrize("name", Simulation(3, Clock()).platforms)
@pytest.mark.parametrize("what", ["publish", "comment", "delete_post", "delete_comment", "revoke"])
def test_page_says_that_nothing_is_sent_exactly_where_nothing_is(name: str, what: str) -> None:
    platform = Simulation(3, Clock()).platforms[name]
    # LinkedIn's webhooks are about organizations only (linkedin.md 2.3).
    accounts = ["acme", "bakery"] if name == "linkedin" else platform.people()
    found = []
    for account in accounts:
        with suppress(CommandError):
            found.append(told_of(name, what, account))
    if (name, what) == ("tiktok", "delete_post"):
        assert ["post.publish.no_longer_publicly_available"] not in found, "it was not published by the application"
    assert all(bool(topics) is (what not in platform.unreported) for topics in found), found
    assert found or (name == "tiktok" and "comment" in what)


async def test_each_page_is_one_of_a_platform_with_a_heading_landmarks_and_named_fields(stand: Stand) -> None:
    for path in ("/", *(f"/platforms/{name}" for name in stand.server.simulation.platforms)):
        page = await shown(stand, path)
        assert page.count("<h1>") == page.count("<main>") == page.count("<nav ") == 1, path
        assert page.count('aria-current="page"') == 1, path
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids)), path
        for field in re.findall(r'<input (?!type="hidden")[^>]*>', page):
            assert "aria-label=" in field or f"to {field}</label>" in page, field
    async with stand.http.get(f"{stand.url}/platforms/nosuch") as response:
        assert response.status == 404
        assert "instagram" in await response.text()


async def test_pages_are_no_wider_than_a_phone_and_follow_the_colour_scheme(stand: Stand, browser: WebDriver) -> None:
    await stand.command("act", platform="instagram", what="publish", account="bob", text="w" * 300)
    async with stand.http.get(f"{stand.url}/x/2/{'long' * 60}"):
        pass

    def look() -> None:
        for path in ("/", *(f"/platforms/{name}" for name in stand.server.simulation.platforms)):
            browser.get(f"{stand.url}{path}?said={'word' * 80}&at=top")
            metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[attr-defined]
            colours = set()
            for scheme in ("light", "dark"):
                media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)  # type: ignore[attr-defined]
                assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, path
                script = "return getComputedStyle(document.querySelector('h1')).color"
                colours.add(browser.execute_script(script))
            assert len(colours) == 2, "dark text on light, and light text on dark"
        assert [line for line in browser.get_log("browser") if "favicon" not in line["message"]] == []

    await asyncio.to_thread(look)


async def test_starting_over_keeps_what_was_set_up_and_forgets_what_people_did(
    stand: Stand, receiver: Receiver
) -> None:
    """Otherwise `make up` would have to be started again after it."""
    simulation = stand.server.simulation
    await stand.command("redirects", platform="instagram", redirect_uri="http://127.0.0.1/callback")
    receiver.token = "of its own"
    await stand.command(
        "webhooks", platform="instagram", url=receiver.url, secret="s", verify_token=receiver.token, all_accounts=True
    )
    await stand.command("delivery-policy", duplicated=1.0)
    await stand.command("faults", times=0, status=500, platform="instagram")
    await stand.command("pace", pace=0.001, platforms=["instagram"])
    old = posts_of(simulation)["instagram"]
    await stand.command("act", platform="instagram", what="publish", account="bob", text="before")
    assert "created anew" in await click(stand, what="reset")
    simulation, platform = stand.server.simulation, stand.server.simulation.platforms["instagram"]
    assert platform.redirect_uris == {"http://127.0.0.1/callback"}
    assert platform.callbacks == {"": receiver.url}
    assert (platform.signing_secret, platform.verify_token) == ("s", "of its own")
    assert (simulation.dispatcher.delivery_policy.duplicated, simulation.pace, simulation.active) == (
        1.0,
        0.001,
        ["instagram"],
    )
    assert simulation.faults.faults == []
    assert "before" not in str(posts_of(simulation))
    told = {post["id"] for posts in old.values() for post in posts}
    assert not told & {post["id"] for posts in posts_of(simulation)["instagram"].values() for post in posts}, "new ids"
    post = (await stand.command("act", platform="instagram", what="publish", account="bob", text="p"))["id"]
    await stand.command("act", platform="instagram", what="comment", account="bob", post=post, text="after")
    assert "after" in (await receiver.until(1))[0].body.decode()


def posts_of(simulation: Simulation) -> dict[str, Any]:
    return {
        name: {account: platform.visible_posts(account) for account in platform.people()}
        for name, platform in simulation.platforms.items()
    }


async def test_simulation_can_be_saved_and_restored_with_tokens_and_faults(stand: Stand, tmp_path: Path) -> None:
    assert "there is no snapshot" in await stand.refused("restore")
    await stand.command("faults", platform="x", status=418)
    for name in stand.server.simulation.platforms:
        stand.server.simulation.platforms[name].simulate_activity()
    kept = posts_of(stand.server.simulation)
    assert (await stand.command("snapshot"))["bytes"] > 1000
    for _ in range(20):
        stand.server.simulation.step()
    assert posts_of(stand.server.simulation) != kept
    await stand.command("restore")
    assert posts_of(stand.server.simulation) == kept
    async with stand.http.get(f"{stand.url}/x/2/users/me") as response:
        assert response.status == 418


async def test_state_in_a_file_outlives_the_program(tmp_path: Path) -> None:
    file = tmp_path / "state"
    first = Server(seed=3, state=file)
    first.simulation.step()
    first.simulation.clock.jump(86_400)
    first.snapshot()
    second = Server(seed=4, state=file)
    assert posts_of(second.simulation) == posts_of(first.simulation)
    assert second.simulation.clock.seconds() - time.time() > 86_000
    running = TestServer(second.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http, http.get(running.make_url("/")) as response:
        assert response.status == 200
    await running.close()


async def test_simulation_with_a_file_is_written_to_it_soon_after_each_call(tmp_path: Path) -> None:
    """A program that is killed writes nothing at its end."""
    file = tmp_path / "state"
    first = Server(seed=3, state=file)
    running = TestServer(first.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http:
        client = Client(http, str(running.make_url("")))
        await client.command("act", platform="mastodon", what="publish", account="alice", text="kept")

        async def written() -> bool:
            return file.exists() and posts_of(Server(seed=4, state=file).simulation) == posts_of(first.simulation)

        await eventually(written, 10)
    await running.close()


async def test_delivery_that_nobody_answered_is_sent_again_by_the_simulation_in_the_file() -> None:
    first = Simulation(3, Clock())
    platform = first.platforms["instagram"]
    platform.callbacks = dict.fromkeys(platform.streams, "http://receiver.example/")
    platform.subscribe_all()
    while not (sent := first.dispatcher.due()):
        platform.simulate_activity()
    second = Simulation.load(first.save())
    second.clock.jump(3600)
    again = second.dispatcher.due()

    def facts(shipments: Sequence[Delivery]) -> list[int]:
        return sorted(event.number for delivery in shipments for event in delivery.events)

    assert set(facts(sent)) <= set(facts(again))
    assert len(set(facts(again))) == len(facts(again)), "each of them once"


def test_state_of_another_release_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    state = Simulation(3, Clock()).save()
    for content in (b"", b"no simulation", state[:-1], state[:-1] + b"?", b"0" * 32 + state[32:]):
        with pytest.raises(UnreadableStateError, match="another release"):
            Simulation.load(content)


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
    def deliveries(seed: int) -> list[tuple[str, bytes]]:
        clock = Clock(1_767_225_600)
        clock.set_speed(0)
        simulation = Simulation(seed, clock)
        return [(delivery.platform, delivery.body) for delivery in simulation.deliveries(60)]

    first = deliveries(5)
    assert len(first) > 40
    assert first == deliveries(5)
    assert first != deliveries(6)


def test_day_of_activity_takes_little_time_and_the_memory_it_may() -> None:
    """8,640 things, one every ten seconds of a day."""
    clock = Clock()
    clock.set_speed(0)
    simulation = Simulation(1, clock, ring=500, capacity=200)
    for name, platform in simulation.platforms.items():
        platform.callbacks = dict.fromkeys(platform.streams, f"http://{name}.example/")
        platform.callback_set(platform.streams[0])
        platform.subscribe_all()
    begun, sent = time.monotonic(), 0
    simulation.set_pace(0.1)
    for _ in range(8640):
        clock.jump(10)
        simulation.advance()
        for delivery in simulation.dispatcher.due():
            simulation.dispatcher.answered(delivery, 200)
            sent += 1
    assert sent > 5000
    assert time.monotonic() - begun < 60, "minutes at most"
    counts = {
        name: sum(
            len(post["comments"]) + 1 for account in platform.people() for post in platform.visible_posts(account)
        )
        for name, platform in simulation.platforms.items()
    }
    assert max(counts.values()) <= 500, counts
    assert len(simulation.save()) < 4_000_000


@pytest.mark.parametrize("seconds", [3600.0])
async def test_outage_holds_the_mail_back_and_then_sends_it(stand: Stand, receiver: Receiver, seconds: float) -> None:
    receiver.token = stand.server.simulation.platforms["instagram"].verify_token
    await stand.command("webhooks", platform="instagram", url=receiver.url, all_accounts=True)
    await stand.command("outage", platform="instagram", seconds=seconds)
    post = (await stand.command("act", platform="instagram", what="publish", account="bob", text="p"))["id"]
    await stand.command("act", platform="instagram", what="comment", account="bob", post=post, text="late")
    await asyncio.sleep(0.1)
    assert receiver.came == []
    await stand.command("clock", jump=seconds + 1)
    assert "late" in (await receiver.until(1))[0].body.decode()


async def test_mail_comes_twice_late_overtaken_and_recut_and_nothing_is_lost(stand: Stand, receiver: Receiver) -> None:
    simulation = stand.server.simulation
    receiver.token = simulation.platforms["instagram"].verify_token
    await stand.command("webhooks", platform="instagram", url=receiver.url, all_accounts=True)
    await stand.command(
        "delivery-policy", batch_seconds=2, duplicated=0.3, delayed=0.3, delay_seconds=60, regrouped=1.0
    )
    receiver.statuses = [500, 200, 500, 200, 500]
    post = (await stand.command("act", platform="instagram", what="publish", account="bob", text="p"))["id"]
    said = []
    for number in range(60):
        command = {"platform": "instagram", "what": "comment", "account": "bob", "post": post, "text": f"n{number}"}
        said.append((await stand.command("act", **command))["id"])
        simulation.clock.jump(1)
    for _ in range(12):
        await stand.command("clock", jump=61)
        await asyncio.sleep(0.02)
    await until(lambda: len(simulation.dispatcher) == 0)
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
