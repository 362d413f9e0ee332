"""Connections that send nothing, or nothing whole, keep nobody out: over real sockets, against the real process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from ops.runtime.connections import connection_limits
from tests.rig import KEYS
from tests.support import Service, comment, eventually, instagram, sign_meta

DESCRIPTORS = 256
SLOW = 600


@pytest.fixture
async def service(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The web process with few file descriptors, and a soft limit below the hard one."""
    extra = {"LANDFALL_CLIENT_CONNECTIONS": "100000", "LANDFALL_VAULT_KEYS": KEYS[0]}
    running = Service(database, None, tmp_path, extra)
    running.web.descriptors = (DESCRIPTORS // 2, DESCRIPTORS)
    await running.start(worker=False)
    yield running
    await running.stop()
    assert "Traceback" not in running.web.output(), running.web.output()[-3000:]
    assert "Too many open files" not in running.web.output()


async def opened(port: int, payload: bytes, address: str = "127.0.0.1") -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(payload)
    return writer


async def signed(service: Service, number: int) -> int:
    """One webhook over a connection of its own, as platforms send them; its status."""
    body = instagram(comment(number))
    url = f"{service.url}/api/webhooks/instagram"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
        http.post(url, data=body, headers=sign_meta(body)) as response,
    ):
        return response.status


SLOW_REQUESTS = {
    "nothing": b"",
    "half a head": b"POST /login HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "half a form": b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 1000\r\n\r\nemail=",
    "half a webhook": b"POST /api/webhooks/instagram HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=00\r\n"
    b"Content-Length: 1000\r\n\r\n{",
}


@pytest.mark.parametrize("what", SLOW_REQUESTS)
async def test_slow_connections_beyond_the_descriptors_keep_no_signed_webhook_out(service: Service, what: str) -> None:
    writers: list[asyncio.StreamWriter] = []
    statuses: list[int] = []
    for number in range(SLOW // 20):
        found = await asyncio.gather(
            *(opened(service.port, SLOW_REQUESTS[what]) for _ in range(20)), return_exceptions=True
        )
        writers += [writer for writer in found if isinstance(writer, asyncio.StreamWriter)]
        statuses.append(await signed(service, number))
    assert statuses == [200] * len(statuses)
    assert psutil.Process(service.web.pid).rlimit(psutil.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
    counted = await service.metrics()
    limit = connection_limits(DESCRIPTORS, 4096).connections
    assert counted["landfall_http_connections_limit"] == limit
    assert 0 < counted["landfall_http_connections"] <= limit
    assert counted['landfall_http_connections_closed_total{reason="unfinished"}'] >= SLOW - limit
    for writer in writers:
        writer.close()


async def test_one_address_has_only_so_many_connections_and_a_proxy_of_ours_any(database: str, tmp_path: Path) -> None:
    running = Service(
        database, None, tmp_path, {"LANDFALL_CLIENT_CONNECTIONS": "20", "LANDFALL_TRUSTED_PROXIES": "127.0.0.9"}
    )
    await running.start(worker=False)
    writers = [await opened(running.port, b"", address) for address in ("127.0.0.2", "127.0.0.9") for _ in range(50)]

    async def kept() -> bool:
        """Of the one 20, of the other all 50, and what asked for health."""
        return (await running.metrics())["landfall_http_connections"] in (70, 71)

    await eventually(kept, 5)
    await asyncio.sleep(0.2)
    assert await kept()
    assert await signed(running, 1) == 200
    for writer in writers:
        writer.close()
    await running.stop()
