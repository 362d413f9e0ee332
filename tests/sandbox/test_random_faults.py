"""Faults that meet a share of all calls."""

from collections import Counter

import aiohttp
import pytest
from multidict import MultiDict

from ops.sandbox.contract import Call
from ops.sandbox.faults import GENERAL, Fault, FaultSchedule, RandomFaults
from tests.sandbox.conftest import Stand, code
from tests.sandbox.reading import graph, platform_of, token

CALL = Call("GET", "/v25.0/me/media", "", {}, MultiDict(), {}, {}, {}, b"")
TRANSIENT = ("unknown", "service_unavailable", "app_throttled", "user_throttled")


def met(chance: RandomFaults, calls: int = 2000, platform: str = "instagram") -> list[Fault | None]:
    schedule = FaultSchedule()
    schedule.fail_by_chance(chance)
    return [schedule.take(platform, CALL, "shop", TRANSIENT) for _ in range(calls)]


def test_share_of_the_calls_fails_in_every_kind_and_the_same_ones_for_the_same_seed() -> None:
    found = met(RandomFaults(share=0.05))
    faults = [fault for fault in found if fault is not None]
    assert 70 < len(faults) < 130
    kinds = Counter(fault.error or fault.spoil or fault.truncate or fault.drop or fault.status for fault in faults)
    assert set(kinds) == {*TRANSIENT, "html", 20, True, 500, 429, None}, "None: malformed"
    assert found == met(RandomFaults(share=0.05))
    assert found != met(RandomFaults(share=0.05, seed=2))


def test_faults_by_chance_are_of_the_platforms_calls_and_kinds_that_are_named() -> None:
    assert set(met(RandomFaults(share=1, platforms=["tiktok"]), 5)) == {None}
    assert set(met(RandomFaults(share=1, endpoint="POST *"), 5)) == {None}
    assert met(RandomFaults(share=0), 5) == [None] * 5
    assert met(RandomFaults(share=1, kinds=["500"]), 2) == [Fault(status=500)] * 2
    assert met(RandomFaults(share=1, kinds=["timeout"], timeout_seconds=3), 1) == [Fault(drop=True, delay_seconds=3)]


def test_fault_of_a_script_goes_before_one_by_chance() -> None:
    schedule = FaultSchedule()
    schedule.fail_by_chance(RandomFaults(share=1, kinds=["500"]))
    schedule.add(Fault(status=503))
    assert [schedule.take("x", CALL, None) for _ in range(2)] == [Fault(status=503), Fault(status=500)]
    schedule.clear()
    assert schedule.take("x", CALL, None) is None


@pytest.mark.parametrize("kind", [*GENERAL, *TRANSIENT])
async def test_every_kind_is_answered_so(stand: Stand, kind: str) -> None:
    secret = token(stand)
    await stand.command("random-faults", platforms=["instagram"], share=1, kinds=[kind], timeout_seconds=0.05)
    url = f"{stand.url}/instagram/v25.0/me/media"
    if kind in ("reset", "timeout", "truncated"):
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with stand.http.get(url, params={"access_token": secret}) as response:
                await response.read()
    elif kind in TRANSIENT:
        expected = dict(zip(TRANSIENT, (1, 2, 4, 17), strict=True))
        assert code(await graph(stand, secret, "me/media"))[0] == expected[kind]
    else:
        async with stand.http.get(url, params={"access_token": secret}) as response:
            content = await response.text()
            assert response.status == {"html": 502, "malformed": 200}.get(kind) or int(kind)
            assert "paging" not in content
    await stand.clear_faults()
    assert len((await graph(stand, secret, "me/media"))["data"]) == 4


async def test_kinds_that_a_platform_lacks_are_refused(stand: Stand) -> None:
    refused = await stand.refused("random-faults", platforms=["tiktok"], share=0.1, kinds=["app_throttled"])
    assert refused.endswith("not app_throttled")
    assert "rate_limit_exceeded" in refused
    assert "platform is one of" in await stand.refused("random-faults", platforms=["myspace"], share=0.1)
    assert await stand.refused("random-faults", share=2)


@pytest.mark.parametrize("name", ["facebook", "instagram", "threads", "tiktok"])
async def test_transient_errors_of_a_platform_are_errors_that_it_has(stand: Stand, name: str) -> None:
    platform = platform_of(stand, name)
    assert platform.transient_errors
    assert set(platform.transient_errors) <= set(platform.error_answers())
