"""Intervals, back-offs and jitter."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.periodic import RetryPolicy, repeat, stopped


def test_delays_grow_to_the_longest_and_stay_there() -> None:
    policy = RetryPolicy.exponential(1, 900, factor=4, jitter=0.25)
    assert policy.delays == (1, 4, 16, 64, 256, 900)
    assert [policy.delay(n, chance=lambda: 0.0) for n in (1, 2, 6, 7, 1000)] == [1, 4, 900, 900, 900]
    assert policy.delay(2, chance=lambda: 1.0) == 3


def test_named_delays_are_taken_in_their_order() -> None:
    policy = RetryPolicy((60, 300, 1800), jitter=0.2)
    assert [policy.delay(n, chance=lambda: 0.5) for n in (1, 2, 3, 4)] == [54, 270, 1620, 1620]


@given(
    failures=st.integers(1, 10_000),
    first=st.floats(0.001, 10),
    longest=st.floats(10, 1e6),
    least=st.floats(0, 1e6),
    chance=st.floats(0, 1),
    jitter=st.floats(0, 1),
)
def test_delay_is_never_shorter_than_asked_for_nor_longer_than_the_longest(
    failures: int, first: float, longest: float, least: float, chance: float, jitter: float
) -> None:
    policy = RetryPolicy.exponential(first, longest, jitter=jitter)
    found = policy.delay(failures, least=least, chance=lambda: chance)
    assert least <= found <= max(least, longest)
    assert policy.delay(failures + 1, chance=lambda: chance) >= policy.delay(failures, chance=lambda: chance)


async def test_work_is_repeated_until_stopped_and_the_stop_is_not_waited_for() -> None:
    stop, runs = asyncio.Event(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            stop.set()

    async with asyncio.timeout(1):
        await repeat(work, 0.01, stop=stop)
        assert runs == 3
        await repeat(work, 600, stop=stop)
        await repeat(work, 600, first=600, stop=stop)
    assert runs == 3
    assert await stopped(stop, 600)
    assert not await stopped(asyncio.Event(), 0.01)


async def test_stop_ends_the_wait_between_two_runs() -> None:
    stop, ran = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        ran.set()

    loop = asyncio.create_task(repeat(work, 600, stop=stop))
    await ran.wait()
    stop.set()
    async with asyncio.timeout(1):
        await loop


async def test_what_the_work_raises_ends_the_loop() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await repeat(work, 0)
