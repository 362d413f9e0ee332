"""Uploads by tus 1.0.0 go on after any interruption, at the offset that is stored."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from ops.web import uploading
from publish.media import upload_store, uploads
from publish.media.pruning import Pruner
from tests import media_samples
from tests.rig import Rig
from tests.support import is_error

TUS = {"Tus-Resumable": "1.0.0"}
KIB = 2**10


@pytest.fixture
def rig(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Parts are small, so that small files have several."""
    monkeypatch.setattr(uploads, "PART_BYTES", 8 * KIB)
    return rig


async def asked(
    rig: Rig, method: str, path: str, *, headers: Mapping[str, str] = TUS, data: Any = None
) -> tuple[int, Mapping[str, str], Any]:
    headers = {"Authorization": f"Bearer {rig.key}", **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, rig.url + path, headers=headers, data=data) as response,
    ):
        text = response.content_type == "application/json" and method != "HEAD"
        return response.status, response.headers, await response.json() if text else None


async def created(rig: Rig, length: int, name: str = "clip.mp4") -> str:
    headers = {**TUS, "Upload-Length": str(length)}
    headers["Upload-Metadata"] = f"filename {base64.b64encode(name.encode()).decode()},empty"
    status, answer, _ = await asked(rig, "POST", "/api/media/uploads", headers=headers)
    assert (status, answer["Tus-Resumable"]) == (201, "1.0.0")
    assert "GMT" in answer["Upload-Expires"]
    return answer["Location"]


async def patched(rig: Rig, path: str, offset: int, content: Any) -> tuple[int, Mapping[str, str], Any]:
    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    data = io.BytesIO(content) if isinstance(content, bytes) else content
    return await asked(rig, "PATCH", path, headers=headers, data=data)


async def offset_of(rig: Rig, path: str) -> int:
    status, answer, _ = await asked(rig, "HEAD", path)
    assert status == 200
    assert answer["Cache-Control"] == "no-store"
    return int(answer["Upload-Offset"])


def stored(rig: Rig) -> list[int]:
    return sorted(path.stat().st_size for path in rig.media.rglob("*") if path.is_file())


@pytest.fixture
def content() -> bytes:
    return media_samples.large_video(50 * KIB)


async def test_server_says_what_it_understands(rig: Rig) -> None:
    status, answer, _ = await asked(rig, "OPTIONS", "/api/media/uploads", headers={})
    assert status == 204
    assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
    assert answer["Tus-Extension"] == "creation,expiration,termination"
    assert answer["Tus-Max-Size"] == str(64 * 2**20)


async def test_file_comes_in_several_requests(rig: Rig, content: bytes) -> None:
    path = await created(rig, len(content))
    assert await offset_of(rig, path) == 0
    status, answer, _ = await patched(rig, path, 0, content[: 20 * KIB])
    assert (status, answer["Upload-Offset"]) == (204, str(20 * KIB))
    assert "Landfall-Media-Id" not in answer
    assert await offset_of(rig, path) == 20 * KIB
    status, answer, _ = await patched(rig, path, 20 * KIB, content[20 * KIB :])
    assert (status, answer["Upload-Offset"]) == (204, str(len(content)))
    status, made = await rig.api("GET", f"/api/media/{answer['Landfall-Media-Id']}")
    assert (status, made["bytes"], made["file_name"]) == (200, len(content), "clip.mp4")
    assert stored(rig) == [len(content)], "the parts are gone"
    _, again, _ = await asked(rig, "HEAD", path)
    assert (again["Landfall-Media-Id"], again["Upload-Length"]) == (made["id"], str(len(content)))


async def test_repeated_part_and_a_wrong_offset_are_refused_and_change_nothing(rig: Rig, content: bytes) -> None:
    path = await created(rig, len(content))
    await patched(rig, path, 0, content[: 20 * KIB])
    for offset in (0, 20 * KIB - 1, 20 * KIB + 1):
        status, answer, said = await patched(rig, path, offset, content[offset : offset + KIB])
        assert (status, answer["Tus-Resumable"]) == (409, "1.0.0")
        assert is_error(said)
        assert said["error"]["details"]["offset"] == 20 * KIB
    assert await offset_of(rig, path) == 20 * KIB
    await patched(rig, path, 20 * KIB, content[20 * KIB :])
    status, _, said = await patched(rig, path, 20 * KIB, content[20 * KIB :])
    assert (status, said["error"]["details"]["offset"]) == (409, len(content))
    [made] = (await rig.api("GET", "/api/media"))[1]["media"]
    assert made["sha256"] == media_samples.sha256(content)


async def test_client_that_stops_sending_is_told_and_keeps_what_it_sent(
    rig: Rig, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "PAUSE_SECONDS", 0.3)
    path = await created(rig, len(content))

    async def silent() -> AsyncIterator[bytes]:
        yield content[: 10 * KIB]
        await asyncio.sleep(30)

    status, _, said = await patched(rig, path, 0, silent())
    assert (status, said["error"]["code"]) == (408, "body_too_slow")
    assert await offset_of(rig, path) == 10 * KIB


async def test_two_requests_with_the_last_part_make_one_file(rig: Rig, content: bytes) -> None:
    path = await created(rig, len(content))
    await patched(rig, path, 0, content[:-KIB])
    other = content[:-KIB] + b"\x01" * KIB
    answers = await asyncio.gather(
        *(patched(rig, path, len(content) - KIB, each[-KIB:]) for each in (content, other, content))
    )
    assert sorted(status for status, _, _ in answers) == [204, 409, 409]
    [made] = (await rig.api("GET", "/api/media"))[1]["media"]
    [file] = list(rig.media.rglob("file-*"))
    assert made["sha256"] == media_samples.sha256(file.read_bytes())


async def test_more_than_was_announced_is_refused(rig: Rig, content: bytes) -> None:
    path = await created(rig, len(content) - 1)
    assert (await patched(rig, path, 0, content))[0] == 413

    async def chunked() -> AsyncIterator[bytes]:
        yield content

    assert (await patched(rig, path, 0, chunked()))[0] == 413
    assert (await rig.api("GET", "/api/media"))[1]["media"] == []


@pytest.mark.parametrize(
    ("length", "status"),
    [("0", 400), (str(64 * 2**20 + 1), 413), ("-1", 400), ("much", 400), ("", 400), ("\u0661", 400)],
)
async def test_length_that_cannot_be_taken_is_refused_at_once(rig: Rig, length: str, status: int) -> None:
    headers = {**TUS, "Upload-Length": length}
    found, answer, said = await asked(rig, "POST", "/api/media/uploads", headers=headers)
    assert (found, answer["Tus-Resumable"], is_error(said)) == (status, "1.0.0", True)


async def test_file_that_will_be_refused_is_refused_with_its_first_part(rig: Rig) -> None:
    image = media_samples.image() + bytes(11 * 2**20)
    path = await created(rig, len(image))
    status, _, said = await patched(rig, path, 0, image[: 8 * KIB])
    assert (status, said["error"]["details"]["limit_bytes"]) == (413, 10 * 2**20)
    assert (await asked(rig, "HEAD", path))[0] == 410
    assert stored(rig) == []
    path = await created(rig, 50 * KIB)
    assert (await patched(rig, path, 0, b"x" * 8 * KIB))[0] == 415


async def test_file_that_is_damaged_ends_its_upload(rig: Rig, content: bytes) -> None:
    damaged = content[:KIB] + bytes(20 * KIB)
    path = await created(rig, len(damaged))
    status, _, said = await patched(rig, path, 0, damaged)
    assert (status, said["error"]["details"]["reason"]) == (422, "broken")
    assert (await asked(rig, "HEAD", path))[0] == 410
    assert stored(rig) == []


async def test_upload_is_given_up(rig: Rig, content: bytes) -> None:
    path = await created(rig, len(content))
    await patched(rig, path, 0, content[: 20 * KIB])
    assert stored(rig) != []
    assert (await asked(rig, "DELETE", path))[0] == 204
    assert stored(rig) == []
    for method in ("HEAD", "DELETE"):
        assert (await asked(rig, method, path))[0] == 410
    assert (await patched(rig, path, 20 * KIB, content[20 * KIB :]))[0] == 410


async def test_half_upload_is_removed_when_it_expires_and_a_whole_one_keeps_its_file(
    rig: Rig, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, whole = await created(rig, len(content)), await created(rig, len(content))
    await patched(rig, half, 0, content[: 20 * KIB])
    await patched(rig, whole, 0, content)
    pruner = Pruner(rig.pool, rig.uploads.storage, 90)
    assert await pruner.clear_uploads() == 0
    await rig.raw("UPDATE media_uploads SET expires_at = now() - interval '1 minute'")
    assert (await patched(rig, half, 20 * KIB, content[20 * KIB :]))[0] == 410
    assert await pruner.clear_uploads() == 0, "what is under way at the end may still be writing"
    await rig.raw("UPDATE media_uploads SET expires_at = now() - interval '11 minutes'")
    assert await pruner.clear_uploads() == 2
    assert stored(rig) == [len(content)]
    assert (await asked(rig, "HEAD", half))[0] == 404
    assert upload_store.SETTLED_MINUTES == 10


async def test_other_versions_and_bodies_are_refused(rig: Rig, content: bytes) -> None:
    status, answer, said = await asked(rig, "POST", "/api/media/uploads", headers={"Upload-Length": "5"})
    assert (status, answer["Tus-Version"], is_error(said)) == (412, "1.0.0", True)
    path = await created(rig, len(content))
    headers = {**TUS, "Upload-Offset": "0", "Content-Type": "video/mp4"}
    assert (await asked(rig, "PATCH", path, headers=headers, data=b"x"))[0] == 415
    for metadata in ("filename !", "filename gA==", "filename AA=="):
        headers = {**TUS, "Upload-Length": "5", "Upload-Metadata": metadata}
        assert (await asked(rig, "POST", "/api/media/uploads", headers=headers))[0] == 400
    missing = "/api/media/uploads/00000000-0000-7000-8000-00000000dead"
    assert (await patched(rig, missing, 0, b"x"))[0] == 404


async def test_upload_in_crumbs_is_refused(rig: Rig, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_PARTS", 3)
    path = await created(rig, len(content))
    for offset in range(3):
        assert (await patched(rig, path, offset, content[offset : offset + 1]))[0] == 204
    status, _, said = await patched(rig, path, 3, content[3:])
    assert (status, said["error"]["details"]["reason"]) == (400, "too_many_parts")
