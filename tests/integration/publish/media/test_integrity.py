"""Whether the storage does what it is asked is tried, and whether it has what was stored is looked at."""

from collections.abc import AsyncIterator
from pathlib import Path

import boto3
import pytest

from publish.media.integrity import StoredFile, probe, stored_files
from publish.media.storage import Storage, StorageError, open_storage
from tests.integration.publish.media.conftest import KEYS


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.server)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return open_storage((tmp_path / "media").as_uri(), {})
    return open_storage("s3://files", {**KEYS, "AWS_ENDPOINT_URL": (request.getfixturevalue("s3"),)})


async def stored(storage: Storage, name: str, content: bytes) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield content

    await storage.write(name, stream())


async def test_sound_storage_is_tried_and_nothing_is_left_there(
    storage: Storage, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    await probe(storage)
    if request.node.callspec.params["storage"] == "folder":
        assert list((tmp_path / "media").rglob("*")) == []
    else:
        url = request.getfixturevalue("s3")
        login = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        listed = boto3.client("s3", endpoint_url=url, **login).list_objects_v2(Bucket="files", Prefix="landfall-doctor")
        assert listed["KeyCount"] == 0


async def test_storage_that_fails_is_told_by_what_it_did_not_do(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise StorageError("failed", "delete", "not allowed")

    async def other(*_: object) -> bytes:
        return b"other bytes"

    with monkeypatch.context() as patched:
        patched.setattr(type(storage), "delete", refused)
        with pytest.raises(StorageError) as raised:
            await probe(storage)
    assert (raised.value.operation, raised.value.said) == ("delete", "not allowed")
    monkeypatch.setattr(type(storage), "read", other)
    with pytest.raises(StorageError) as raised:
        await probe(storage)
    assert (raised.value.operation, "other bytes" in raised.value.said) == ("read", True)


async def test_bytes_that_are_missing_or_of_another_size_are_told_apart(storage: Storage) -> None:
    await stored(storage, "tenant/upload/whole", b"1234")
    await stored(storage, "tenant/upload/short", b"12")
    asked = [(f"tenant/upload/{name}", 4) for name in ("whole", "gone", "short")]
    assert await stored_files(storage, asked) == [
        StoredFile("ok", 4),
        StoredFile("missing"),
        StoredFile("other_size", 2),
    ]


@pytest.mark.server
async def test_storage_that_does_not_answer_is_not_said_to_have_lost_anything(s3: str) -> None:
    nowhere = open_storage("s3://files", {**KEYS, "AWS_ENDPOINT_URL": ("http://127.0.0.1:9",)})
    assert await stored_files(nowhere, [("tenant/upload/file", 4)]) == [StoredFile("unreadable")]
    with pytest.raises(StorageError) as raised:
        await probe(open_storage("s3://no-such-bucket", {**KEYS, "AWS_ENDPOINT_URL": (s3,)}))
    assert (raised.value.operation, "secret-canary" in raised.value.said) == ("write", False)
    assert "no-such-bucket" in raised.value.said
