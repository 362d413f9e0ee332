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
    counted: list[int] = []
    reading = asyncio.create_task(bodies.read(request, 10, counted.append))
    for piece in (b"abc", b"def"):
        stream.feed_data(piece)
        await asyncio.sleep(0.01)
    stream.feed_eof()
    assert (await reading, counted) == (b"abcdef", [3, 3])


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
    counted: list[int] = []
    reading = asyncio.create_task(bodies.read(request, 10, counted.append))
    stream.feed_data(b"abc")
    await asyncio.sleep(0.01)
    if isinstance(end, Exception):
        stream.set_exception(end)
    elif end is not None:
        stream.feed_data(end)
    with pytest.raises(expected):
        await reading
    assert sum(counted) == 0


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
