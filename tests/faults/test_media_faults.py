"""Uploads over a client that goes, a process that is killed, and a storage that fails."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from ops.access import api_keys
from ops.runtime.db import open_pool
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import TESTS
from tests.support import Service, eventually

MIB = 2**20
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
async def service(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    running = Service(database, None, tmp_path, {"LANDFALL_MEDIA_URL": (tmp_path / "media").as_uri()})
    await running.start(worker=False)
    async with await open_pool(database, "test", 1, role=APP_ROLE) as pool:
        key = await api_keys.create(pool, DEFAULT_TENANT, "tests", ["posts:read", "posts:write"], TESTS)
    running.client.headers["Authorization"] = f"Bearer {key}"
    yield running
    await running.stop()


def stored(service: Service) -> list[Path]:
    return [path for path in (service.directory / "media").rglob("*") if path.is_file()]


async def created(service: Service, length: int) -> str:
    headers = {**TUS, "Upload-Length": str(length)}
    async with service.client.post(f"{service.url}/api/media/uploads", headers=headers) as response:
        assert response.status == 201, await response.text()
        return service.url + response.headers["Location"]


async def offset_of(service: Service, url: str) -> int:
    async with service.client.head(url, headers=TUS) as response:
        assert response.status == 200
        return int(response.headers["Upload-Offset"])


async def patched(service: Service, url: str, offset: int, content: Any) -> tuple[int, str]:
    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    data = io.BytesIO(content) if isinstance(content, bytes) else content
    async with service.client.patch(url, headers=headers, data=data) as response:
        return response.status, response.headers.get("Landfall-Media-Id", "")


async def media(service: Service, id_: str) -> Any:
    async with service.client.get(f"{service.url}/api/media/{id_}") as response:
        return await response.json()


async def test_client_that_is_gone_half_way_goes_on_where_it_was(service: Service) -> None:
    content = media_samples.large_video(3 * MIB)
    url = await created(service, len(content))

    async def broken() -> AsyncIterator[bytes]:
        yield content[:MIB]
        await asyncio.sleep(0.5)
        raise ConnectionResetError

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await patched(service, url, 0, broken())

    async def kept() -> bool:
        return await offset_of(service, url) == MIB

    await eventually(kept)
    status, id_ = await patched(service, url, MIB, content[MIB:])
    assert status == 204
    assert (await media(service, id_))["sha256"] == media_samples.sha256(content)


async def test_whole_upload_that_breaks_off_leaves_nothing(service: Service) -> None:
    content = media_samples.large_video(3 * MIB)

    async def broken() -> AsyncIterator[bytes]:
        yield content[:MIB]
        await asyncio.sleep(0.5)
        raise ConnectionResetError

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await service.client.post(f"{service.url}/api/media", data=broken())

    async def nothing() -> bool:
        return stored(service) == []

    await eventually(nothing)


async def test_killed_process_goes_on_at_the_stored_offset(service: Service) -> None:
    content = media_samples.large_video(40 * MIB)
    url = await created(service, len(content))
    reached = asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        for at in range(0, 30 * MIB, MIB):
            yield content[at : at + MIB]
        reached.set()
        await asyncio.sleep(60)

    sending = asyncio.create_task(patched(service, url, 0, halting()))
    await asyncio.wait_for(reached.wait(), 30)

    async def some() -> bool:
        return await offset_of(service, url) == 24 * MIB

    await eventually(some)
    os.kill(service.web.pid, signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await sending
    await service.web.kill()
    await service.web.start()
    await eventually(service.answering)
    assert await offset_of(service, url) == 24 * MIB
    status, id_ = await patched(service, url, 24 * MIB, content[24 * MIB :])
    assert status == 204
    assert (await media(service, id_))["sha256"] == media_samples.sha256(content)
    assert [path.stat().st_size for path in stored(service)] == [len(content)]


async def test_large_file_is_sent_and_fetched_with_flat_memory(service: Service) -> None:
    """The bound would be passed by far if the file, or a quarter of it, were in memory at once."""
    small, size = media_samples.large_video(MIB), 400 * MIB
    async with service.client.post(f"{service.url}/api/media", data=io.BytesIO(small)) as response:
        assert response.status == 201
    process = psutil.Process(service.web.pid)
    before = peak = process.memory_info().rss
    head = media_samples.large_video(size, filled=False)

    async def content() -> AsyncIterator[bytes]:
        nonlocal peak
        yield head
        for _ in range((size - len(head)) // MIB):
            yield bytes(MIB)
            peak = max(peak, process.memory_info().rss)
        yield bytes((size - len(head)) % MIB)

    async with service.client.post(f"{service.url}/api/media", data=content()) as response:
        assert (response.status, (await response.json())["bytes"]) == (201, size)
    assert peak - before < 100 * MIB, f"{(peak - before) // MIB} MiB more"


async def test_storage_that_cannot_be_written_refuses_clearly_and_is_counted(service: Service) -> None:
    (service.directory / "media").write_text("a file where the folder belongs")
    data = media_samples.image()
    async with service.client.post(f"{service.url}/api/media", data=data) as response:
        error = (await response.json())["error"]
    assert (response.status, error["retryable"], error["details"]["reason"]) == (503, True, "storage")
    url = await created(service, len(data))
    assert (await patched(service, url, 0, data))[0] == 503
    counted = await service.metrics(service.web_metrics)
    assert counted['landfall_media_storage_failures_total{operation="write",reason="failed"}'] == 2
    (service.directory / "media").unlink()
    assert (await patched(service, url, 0, data))[0] == 204, "it goes on once the storage is mended"


async def test_worker_removes_what_nothing_refers_to(service: Service, connection: asyncpg.Connection) -> None:
    async with service.client.post(f"{service.url}/api/media", data=media_samples.image()) as response:
        id_ = (await response.json())["id"]
    assert len(stored(service)) == 1
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        await connection.execute("UPDATE media SET created_at = now() - interval '91 days'")
    await service.worker.start()

    async def gone() -> bool:
        return stored(service) == []

    await eventually(gone)
    assert (await media(service, id_))["removed_by"] == "worker"
