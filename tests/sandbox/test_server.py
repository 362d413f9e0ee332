"""The sandbox's own surface: its clock, its faults by script, its ledger."""

import asyncio
import time

import aiohttp
import pytest

from ops.sandbox.clock import Clock
from ops.sandbox.ledger import Ledger
from tests.sandbox.conftest import Stand

INSTANCE = "/mastodon/api/v2/instance"
APPS = "/mastodon/api/v1/apps"
APP = {"client_name": "a", "redirect_uris": "https://a.example/"}


async def test_clock_jumps_runs_and_wakes_whoever_sleeps() -> None:
    clock = Clock()
    before = clock.seconds()
    sleeping = asyncio.create_task(clock.until(before + 3600))
    await asyncio.sleep(0)
    clock.jump(3601)
    await asyncio.wait_for(sleeping, 1)
    clock.set_speed(3600)
    begun = time.monotonic()
    await asyncio.wait_for(clock.until(clock.seconds() + 600), 5)
    assert time.monotonic() - begun < 2
    clock.set_speed(0)
    still = clock.seconds()
    await asyncio.sleep(0.05)
    assert clock.seconds() == still
    with pytest.raises(ValueError, match="only goes forward"):
        clock.jump(-1)


async def test_fault_befalls_the_nth_call_of_what_it_names(stand: Stand) -> None:
    await stand.command(
        "faults", platform="mastodon", endpoint="GET /api/v2/*", skip=1, times=2, status=503, body={"e": 1}
    )
    seen = []
    for _ in range(4):
        async with stand.http.get(stand.url + INSTANCE) as response:
            seen.append(response.status)
    assert seen == [200, 503, 503, 200]
    async with stand.http.get(stand.url + "/mastodon/api/v1/instance") as response:
        assert response.status == 200


@pytest.mark.parametrize(("effect", "registered"), [(False, 0), (True, 1)])
async def test_call_is_dropped_before_or_after_it_took_effect(stand: Stand, *, effect: bool, registered: int) -> None:
    await stand.command("faults", endpoint="POST /api/v1/apps", drop=True, effect=effect)
    with pytest.raises(aiohttp.ClientError):
        await stand.http.post(stand.url + APPS, json=APP)
    assert len(stand.server.simulation.platforms["mastodon"].apps) == registered  # type: ignore[attr-defined]
    [call] = await stand.ledger("call", path="/api/v1/apps")
    assert call["fault"]["drop"]
    assert (call["status"] is None) is not effect


async def test_answers_are_delayed_truncated_turned_to_html_and_never_given(stand: Stand) -> None:
    await stand.command("faults", delay_seconds=0.3, status=429, headers={"Retry-After": "7"})
    begun = time.monotonic()
    async with stand.http.get(stand.url + INSTANCE) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")
    assert time.monotonic() - begun >= 0.3
    await stand.command("faults", effect=True, truncate=20)
    async with stand.http.get(stand.url + INSTANCE) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await stand.command("faults", spoil="html")
    async with stand.http.get(stand.url + INSTANCE) as response:
        assert (response.status, response.content_type) == (502, "text/html")
    await stand.command("faults", spoil="hang")
    with pytest.raises(TimeoutError):
        await stand.http.get(stand.url + INSTANCE, timeout=aiohttp.ClientTimeout(total=0.3))


async def test_invalid_commands_are_rejected(stand: Stand) -> None:
    for path, command in (
        ("faults", {"statsu": 500}),
        ("faults", {"status": 42}),
        ("clock", {"jump": -1}),
        ("clock", {"jump": "x"}),
    ):
        async with stand.http.post(f"{stand.url}/_sandbox/{path}", json=command) as response:
            assert response.status == 400
            assert (await response.json())["error"]
    async with stand.http.get(f"{stand.url}/_sandbox/ledger?kind=dreams") as response:
        assert response.status == 400


def test_ledger_forgets_the_oldest_calls_and_no_post() -> None:
    ledger = Ledger(ring=3)
    for number in range(5):
        ledger.add("call", "now", "x", path=f"/{number}")
        ledger.add("post", "now", "x", id=number)
    assert [entry["path"] for entry in ledger.find("call")] == ["/2", "/3", "/4"]
    assert [entry["id"] for entry in ledger.find("post", platform="x")] == [0, 1, 2, 3, 4]
    numbers = [entry["number"] for entry in ledger.find()]
    assert numbers == sorted(numbers)


async def test_reset_forgets_everything_but_the_time(stand: Stand) -> None:
    await stand.command("clock", jump=86400)
    await stand.command("faults", times=0, status=500)
    await stand.command("reset")
    async with stand.http.post(stand.url + APPS, json=APP) as response:
        assert response.status == 200
    assert len(await stand.ledger("call")) == 1
    assert stand.server.simulation.clock.seconds() - time.time() > 86000
