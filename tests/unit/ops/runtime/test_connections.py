"""Of too many connections the least useful one is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.runtime.connections import BACKLOG, ConnectionLimits, Connections, connection_limits

WHOLE = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
PART = b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx"
LIMIT = 3


class Serving:
    """A server that keeps at most three connections; what is asked at /held is answered when ``release`` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        app = web.Application()
        app.router.add_get("/held", self._held)
        app.router.add_get("/now", self._now)
        app.router.add_post("/held", self._held)
        self.server = TestServer(app)

    async def _held(self, _: web.Request) -> web.Response:
        await self.release.wait()
        return web.Response()

    async def _now(self, _: web.Request) -> web.Response:
        return web.Response()

    async def asked(self, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(PART if path == b"part" else WHOLE % path if path else b"")
        if path == b"now":
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.02)
        return reader, writer


@asynccontextmanager
async def watched(connections: Connections) -> AsyncIterator[Serving]:
    found = Serving()
    await found.server.start_server()
    assert isinstance(found.server.runner, web.AppRunner)
    assert found.server.runner.server is not None
    connections.watch(found.server.runner.server)
    yield found
    found.release.set()
    await found.server.close()


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    async with watched(Connections(LIMIT, 100)) as found:
        yield found


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.1):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("before", "gone"),
    [
        ([b"held", b"now", b""], 2),
        ([b"now", b"", b""], 1),
        ([b"held", b"now", b"now"], 1),
        ([b"held", b"held", b"held"], 3),
        ([b"now", b"held", b"part"], 2),
    ],
    ids=[
        "one that sent nothing",
        "the oldest of two that did",
        "the oldest idle one",
        "the new one if all are served",
        "one whose body is not there",
    ],
)
async def test_connection_that_is_closed_is(serving: Serving, before: list[bytes], gone: int) -> None:
    found = [await serving.asked(path) for path in before]
    found.append(await serving.asked(b"held"))
    assert [await closed(reader) for reader, _ in found] == [number == gone for number in range(LIMIT + 1)]
    for _, writer in found:
        writer.close()


async def test_address_over_its_share_loses_a_connection_of_its_own_and_our_proxy_none() -> None:
    async with watched(Connections(100, 2, [ip_network("127.0.0.9/32")])) as serving:
        found = []
        for address in ("127.0.0.2", *["127.0.0.1"] * 3, *["127.0.0.9"] * 3):
            found.append(await asyncio.open_connection("127.0.0.1", serving.server.port, local_addr=(address, 0)))
            await asyncio.sleep(0.02)
        gone = [number for number, (reader, _) in enumerate(found) if await closed(reader)]
        assert gone == [1], "the oldest of the address that has three"
        for _, writer in found:
            writer.close()


@pytest.mark.parametrize(
    ("descriptors", "expected"),
    [(64, ConnectionLimits(12, 4)), (1024, ConnectionLimits(672, 224)), (65536, ConnectionLimits(4096, BACKLOG))],
)
def test_limits_leave_descriptors_for_everything_else(descriptors: int, expected: ConnectionLimits) -> None:
    assert connection_limits(descriptors, 4096) == expected
    assert expected.connections + expected.backlog < descriptors
