"""A body is read whole or not at all, and what was counted of it is given back."""

import asyncio
from typing import Any

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from ops.runtime import bodies


def coming(**headers: str) -> tuple[web.Request, StreamReader]:
    """A request of whose body nothing is there yet, and where to put it."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    stream = StreamReader(protocol, 2**16, loop=loop)
    return make_mocked_request("POST", "/", headers=headers, payload=stream), stream


async def test_body_in_pieces_is_put_together_and_counted() -> None:
    request, stream = coming()
    budget = bodies.Budget(100, 50)
    reading = asyncio.create_task(bodies.read(request, 10, budget, lambda: "a"))
    for piece in (b"abc", b"def"):
        stream.feed_data(piece)
        await asyncio.sleep(0.01)
    stream.feed_eof()
    assert (await reading, budget.held, budget._arriving) == (b"abcdef", 6, {})


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (web.RequestPayloadError("chunk"), bodies.BodyBrokenError),
        (ConnectionResetError("gone"), ConnectionResetError),
        (None, bodies.BodyTooSlowError),
        (b"12345678", bodies.BodyTooLargeError),
    ],
)
async def test_body_that_does_not_end_well_counts_for_nothing(
    end: Any, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    request, stream = coming()
    budget = bodies.Budget(100, 50)
    reading = asyncio.create_task(bodies.read(request, 10, budget, lambda: "a"))
    stream.feed_data(b"abc")
    await asyncio.sleep(0.01)
    if isinstance(end, Exception):
        stream.set_exception(end)
    elif end is not None:
        stream.feed_data(end)
    with pytest.raises(expected):
        await reading
    assert (budget.held, budget._arriving) == (0, {})


async def test_body_that_broke_before_it_is_read_is_a_broken_one() -> None:
    request, stream = coming()
    stream.feed_data(b"abc")
    stream.set_exception(web.RequestPayloadError("chunk"))
    stream.feed_eof()
    budget = bodies.Budget(100, 50)
    with pytest.raises(bodies.BodyBrokenError):
        await bodies.read(request, 10, budget, lambda: "a")
    assert (budget.held, budget._arriving) == (0, {})


async def test_body_on_a_connection_that_is_closed_already_is_a_lost_connection() -> None:
    loop = asyncio.get_running_loop()
    request = make_mocked_request("POST", "/", payload=StreamReader(BaseProtocol(loop), 2**16, loop=loop))
    with pytest.raises(ConnectionResetError):
        await bodies.read(request, 10)


@pytest.mark.parametrize("announced", [{"Content-Length": "11"}, {}])
async def test_body_over_the_limit_is_refused_whether_or_not_it_was_announced(announced: dict[str, str]) -> None:
    request, stream = coming(**announced)
    stream.feed_data(b"x" * 11)
    stream.feed_eof()
    with pytest.raises(bodies.BodyTooLargeError, match="over 10 bytes"):
        await bodies.read(request, 10)


async def test_body_of_exactly_the_limit_is_read() -> None:
    for announced in ({"Content-Length": "10"}, {}):
        for whole in (True, False):
            request, stream = coming(**announced)
            stream.feed_data(b"x" * 10)
            if whole:
                stream.feed_eof()
            else:
                asyncio.get_running_loop().call_later(0.01, stream.feed_eof)
            assert await bodies.read(request, 10) == b"x" * 10


async def test_one_client_may_hold_only_its_share_of_what_is_arriving() -> None:
    budget = bodies.Budget(800, 200)
    budget.grow("a", 200, None)
    with pytest.raises(bodies.BudgetError, match="from this address"):
        budget.grow("a", 1, None)
    budget.grow("b", 200, None)
    budget.grow(None, 200, None)  # a proxy of ours that does not say for whom
    budget.arrived("a", 200)
    assert budget.held == 600, "it waits for the log and is still in memory, but is nobody's slow body any more"
    budget.release(200)
    budget.grow("a", 200, None)


async def test_small_bodies_have_memory_that_big_and_unfinished_ones_cannot_take() -> None:
    small, big = bodies.SMALL_BYTES, bodies.SMALL_BYTES + 1
    limit = 32 * small
    budget = bodies.Budget(limit, limit)
    assert not budget.grow("a", limit * 6 // 8, None)
    for announced in (None, big):
        with pytest.raises(bodies.BudgetError):
            budget.grow("b", 1, announced)
    with pytest.raises(bodies.BudgetError):
        budget.take(big)
    assert budget.grow("b", limit // 8, small), "it must hurry"
    with pytest.raises(bodies.BudgetError):
        budget.grow("b", 1, small)
    for _ in range(4):
        budget.take(small)
    with pytest.raises(bodies.BudgetError):
        budget.take(1)


@pytest.mark.parametrize(("body_seconds", "reserve_seconds"), [(10, 0.2), (0.2, 10)])
async def test_body_in_the_reserve_must_hurry_however_it_drips(
    monkeypatch: pytest.MonkeyPatch, body_seconds: float, reserve_seconds: float
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", body_seconds)
    monkeypatch.setattr(bodies, "RESERVE_SECONDS", reserve_seconds)
    budget = bodies.Budget(80, 80)
    budget.grow("other", 60, None)
    request, stream = coming(**{"Content-Length": "9"})
    reading = asyncio.create_task(bodies.read(request, 10, budget, lambda: "a"))
    for _ in range(8):
        stream.feed_data(b"x")
        await asyncio.sleep(0.05)
    with pytest.raises(bodies.BodyTooSlowError):
        await asyncio.wait_for(reading, 0.1)
    assert budget.held == 60
