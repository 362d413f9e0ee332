"""A platform fetches a file by its address, as long as that leads somewhere, and every request is noted."""

import asyncio
import io
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from ops.runtime.tenancy import tenant_transaction
from publish.media import links, storage
from publish.media.link_store import Fetch
from publish.media.links import Links
from publish.media.pruning import Pruner
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import Rig
from tests.support import eventually

CONTENT = media_samples.large_video(20_000)


@pytest.fixture
async def file(rig: Rig) -> str:
    return await added(rig, CONTENT)


async def added(rig: Rig, content: bytes) -> str:
    status, made = await rig.api("POST", "/api/media", data=io.BytesIO(content))
    assert status == 201
    return str(made["id"])


async def link(rig: Rig, file: str, target: str, attempt: int = 1, seconds: int = 60) -> str:
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        return await Links(rig.url).make(connection, DEFAULT_TENANT, file, target, attempt, seconds)


async def fetches(rig: Rig, target: str) -> list[Fetch]:
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        return await links.fetches(connection, DEFAULT_TENANT, target)


async def noted_end(rig: Rig, target: str) -> Fetch:
    """The one request of a target, once its end is noted: that follows the last byte."""

    async def ended() -> bool:
        return (await fetches(rig, target))[-1].last_byte is not None

    await eventually(ended)
    [found] = await fetches(rig, target)
    return found


async def fetched(url: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers) as response:
        return response.status, response.headers, await response.read()


async def test_whole_file_is_sent_with_the_right_headers_and_noted(rig: Rig, file: str) -> None:
    target = str(uuid4())
    url = await link(rig, file, target, attempt=3)
    assert url.startswith(f"{rig.url}/media/")
    status, headers, content = await fetched(url, **{"User-Agent": "facebookexternalhit/1.1"})
    assert (status, content) == (200, CONTENT)
    assert headers["Content-Type"] == "video/mp4"
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["Accept-Ranges"] == "bytes"
    assert "Set-Cookie" not in headers
    noted = await noted_end(rig, target)
    assert (noted.media, noted.attempt, noted.method, noted.status) == (file, 3, "GET", 200)
    assert (noted.first_byte, noted.last_byte, noted.whole) == (0, len(CONTENT) - 1, True)
    assert noted.user_agent == "facebookexternalhit/1.1"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-299", 100, 299),
        ("bytes=19000-", 19_000, 19_999),
        ("bytes=-500", 19_500, 19_999),
        ("bytes=-50000", 0, 19_999),
        ("bytes=19999-99999", 19_999, 19_999),
    ],
)
async def test_part_of_a_file_is_sent(rig: Rig, file: str, asked: str, first: int, last: int) -> None:
    target = str(uuid4())
    status, headers, content = await fetched(await link(rig, file, target), Range=asked)
    assert (status, content) == (206, CONTENT[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/20000"
    assert headers["Content-Length"] == str(last + 1 - first)
    noted = await noted_end(rig, target)
    assert (noted.status, noted.first_byte, noted.last_byte) == (206, first, last)
    assert noted.whole == (first == 0 and last == 19_999)


async def test_range_that_cannot_be_followed(rig: Rig, file: str) -> None:
    target = str(uuid4())
    url = await link(rig, file, target)
    status, headers, _ = await fetched(url, Range="bytes=20000-")
    assert (status, headers["Content-Range"]) == (416, "bytes */20000")
    for asked in ("bytes=0-1,5-6", "lines=1-2", "bytes=5-1", "bytes=x"):
        status, _, content = await fetched(url, Range=asked)
        assert (status, content) == (200, CONTENT), asked
    tag = (await fetched(url))[1]["ETag"]
    assert (await fetched(url, Range="bytes=0-0", **{"If-Range": tag}))[0] == 206
    assert (await fetched(url, Range="bytes=0-0", **{"If-Range": '"other"'}))[0] == 200
    assert [noted.status for noted in await fetches(rig, target)] == [416, 200, 200, 200, 200, 200, 206, 200]


async def test_head_sends_no_bytes_and_is_noted_as_such(rig: Rig, file: str) -> None:
    target = str(uuid4())
    status, headers, content = await fetched(await link(rig, file, target), "HEAD")
    assert (status, headers["Content-Length"], content) == (200, "20000", b"")
    [noted] = await fetches(rig, target)
    assert (noted.method, noted.first_byte, noted.last_byte, noted.whole) == ("HEAD", None, None, False)


async def test_unknown_expired_revoked_and_removed_are_alike(rig: Rig, file: str) -> None:
    target, other = str(uuid4()), str(uuid4())
    revoked, kept = await link(rig, file, target), await link(rig, file, other)
    expired = await link(rig, file, other, seconds=0)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        assert await links.revoke(connection, DEFAULT_TENANT, target) == 1
        assert await links.revoke(connection, DEFAULT_TENANT, target) == 0
    gone = await link(rig, await added(rig, media_samples.image()), target)
    await rig.raw("UPDATE media SET removed_at = now(), removed_by = 'worker' WHERE kind = 'image'")
    answers = [await fetched(url) for url in (f"{rig.url}/media/unknown", revoked, expired, gone)]
    assert {status for status, _, _ in answers} == {404}
    assert len({content for _, _, content in answers}) == 1
    assert (await fetched(kept))[0] == 200
    assert await fetches(rig, target) == []


async def test_only_a_digest_of_an_address_is_kept(rig: Rig, file: str) -> None:
    token = (await link(rig, file, str(uuid4()))).rpartition("/")[2]
    [row] = await rig.raw("SELECT media_links::text AS all FROM media_links")
    assert token not in row["all"]


async def test_file_stops_being_sent_when_its_address_is_revoked(
    rig: Rig, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PIECE_BYTES", 5000)
    going, read = asyncio.Event(), storage.ObjectStorage.read

    async def slow(self: Any, name: str, offset: int, length: int) -> bytes:
        if offset >= 10_000:
            await going.wait()
        return await read(self, name, offset, length)

    monkeypatch.setattr(storage.ObjectStorage, "read", slow)
    target = str(uuid4())
    fetching = asyncio.create_task(fetched(await link(rig, file, target)))

    async def begun() -> bool:
        return [(noted.first_byte, noted.last_byte) for noted in await fetches(rig, target)] == [(0, None)]

    await eventually(begun)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        await links.revoke(connection, DEFAULT_TENANT, target)
    going.set()
    with pytest.raises(aiohttp.ClientPayloadError):
        await fetching

    async def ended() -> bool:
        return [noted.last_byte for noted in await fetches(rig, target)] == [14_999]

    await eventually(ended)


async def test_file_that_the_storage_lost_is_no_short_file(rig: Rig, file: str) -> None:
    target = str(uuid4())
    url = await link(rig, file, target)
    [path] = rig.media.rglob("file-*")
    path.unlink()
    assert (await fetched(url))[0] == 503
    [noted] = await fetches(rig, target)
    assert (noted.first_byte, noted.last_byte, noted.whole) == (0, None, False)


async def test_old_links_go_with_what_was_fetched_by_them(rig: Rig, file: str) -> None:
    target = str(uuid4())
    await fetched(await link(rig, file, target))
    pruner = Pruner(rig.pool, rig.uploads.storage, 90)
    for days, left in ((89, 1), (91, 0)):
        await rig.raw("UPDATE media_links SET expires_at = now() - make_interval(days => $1)", days)
        await pruner.round()
        assert len(await fetches(rig, target)) == left
