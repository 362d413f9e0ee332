"""Bytes are kept in a folder and in a bucket alike."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from publish.media import storage as storage_module
from publish.media.storage import Storage, StorageError, new_name, open_storage, pieces
from tests.integration.publish.media.conftest import KEYS

FOLDER = "tenant/upload"


@pytest.fixture(
    params=["folder", *(pytest.param(name, marks=pytest.mark.server) for name in ("bucket", "folder of a bucket"))]
)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage((tmp_path / "media").as_uri(), {})
    address = "s3://files/landfall" if "of" in request.param else "s3://files"
    return open_storage(address, {**KEYS, "AWS_ENDPOINT_URL": (request.getfixturevalue("s3"),)})


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_what_is_written_is_read_in_any_part(storage: Storage) -> None:
    content = os.urandom(12 * 2**20)
    name = new_name("tenant", "upload", "file")
    await storage.write(name, stream(*(content[at : at + 65_536] for at in range(0, len(content), 65_536))))
    assert await storage.size(name) == len(content)
    assert await storage.read(name, 7_000_000, 10) == content[7_000_000:7_000_010]
    assert b"".join([piece async for piece in pieces(storage, name, 5, 9_000_000)]) == content[5:9_000_001]
    for offset, length in ((len(content) - 5, 10), (len(content), 1)):
        with pytest.raises(StorageError, match="did not read"):
            await storage.read(name, offset, length)
    await storage.delete(name)
    await storage.delete(name)
    with pytest.raises(StorageError, match="missing"):
        await storage.read(name, 0, 1)
    with pytest.raises(StorageError, match="missing"):
        await storage.size(name)


async def test_stream_that_breaks_off_stores_nothing(storage: Storage) -> None:
    error = ConnectionResetError("the client is gone")

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(11 * 2**20)
        raise error

    with pytest.raises(ConnectionResetError) as raised:
        await storage.write(f"{FOLDER}/file", broken())
    assert raised.value is error
    with pytest.raises(StorageError, match="missing"):
        await storage.size(f"{FOLDER}/file")


async def test_folder_is_cleared_but_for_what_is_kept(storage: Storage) -> None:
    for name in ("part-0", "part-1", "file"):
        await storage.write(f"{FOLDER}/{name}", stream(name.encode()))
    await storage.write(f"{FOLDER}-other/file", stream(b"another"))
    await storage.clear(FOLDER, f"{FOLDER}/file")
    assert await storage.read(f"{FOLDER}/file", 0, 4) == b"file"
    for name in ("part-0", "part-1"):
        with pytest.raises(StorageError, match="missing"):
            await storage.size(f"{FOLDER}/{name}")
    await storage.clear(FOLDER, None)
    await storage.clear("tenant/nothing", None)
    with pytest.raises(StorageError, match="missing"):
        await storage.size(f"{FOLDER}/file")
    assert await storage.read(f"{FOLDER}-other/file", 0, 7) == b"another"


async def test_folder_is_this_accounts_alone_and_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(Path(f"/proc/self/fd/{number}").readlink()))
    await open_storage((tmp_path / "me dia").as_uri(), {}).write(f"{FOLDER}/file", stream(b"content"))
    root = tmp_path / "me dia"
    assert root.stat().st_mode & 0o777 == 0o700
    assert [path.relative_to(tmp_path) for path in flushed] == [
        Path("me dia/tenant/upload/file"),
        Path("me dia/tenant/upload"),
        Path("me dia/tenant"),
        Path("me dia"),
    ]


async def test_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device (os error 28)")

    monkeypatch.setattr(storage_module.obstore, "put_async", full)
    with pytest.raises(StorageError) as raised:
        await open_storage(tmp_path.as_uri(), {}).write(f"{FOLDER}/file", stream(b"content"))
    assert raised.value.reason == "full"


@pytest.mark.server
async def test_bucket_that_refuses_is_said_without_its_secret(s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    refusing = open_storage("s3://no-such-bucket", {**KEYS, "AWS_ENDPOINT_URL": (s3,)})
    with pytest.raises(StorageError, match="write"):
        await refusing.write(f"{FOLDER}/file", stream(b"content"))
    nowhere = open_storage("s3://files", {**KEYS, "AWS_ENDPOINT_URL": ("http://127.0.0.1:9",)})
    with pytest.raises(StorageError):
        await nowhere.read(f"{FOLDER}/file", 0, 1)
    assert "secret-canary" not in "".join(capsys.readouterr())
