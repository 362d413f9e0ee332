"""Uploads into a bucket, as into a folder."""

import obstore
import pytest

from ops.access.audit_log_store import Actor
from publish.media import uploads
from publish.media.pruning import Pruner
from publish.media.storage import ObjectStorage, open_storage, pieces
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.integration.publish.media.conftest import KEYS
from tests.rig import Rig

pytestmark = pytest.mark.server
TESTS = Actor("key:tests")


async def chunks(content: bytes) -> object:
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]


@pytest.fixture
def storage(rig: Rig, s3: str) -> ObjectStorage:
    rig.uploads.storage = found = open_storage("s3://files", {**KEYS, "AWS_ENDPOINT_URL": (s3,)})
    return found


async def names(storage: ObjectStorage) -> list[str]:
    found = obstore.list(await storage._opened(), f"{DEFAULT_TENANT}/")
    return [each["path"] async for some in found for each in some]


async def test_upload_in_parts_becomes_one_object_that_is_deleted_with_its_file(
    rig: Rig, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 2**20)
    content = media_samples.large_video(7 * 2**20)
    half, _ = await rig.uploads.create(DEFAULT_TENANT, TESTS, len(content), None)
    await rig.uploads.append(DEFAULT_TENANT, TESTS, half, 0, chunks(content[: 2**20]), None)
    id_, _ = await rig.uploads.create(DEFAULT_TENANT, TESTS, len(content), "clip.mp4")
    cut = 3 * 2**20 + 5
    upload, media = await rig.uploads.append(DEFAULT_TENANT, TESTS, id_, 0, chunks(content[:cut]), cut)
    assert (upload.offset, media) == (cut, None)
    assert len(await names(storage)) == 5
    _, media = await rig.uploads.append(DEFAULT_TENANT, TESTS, id_, cut, chunks(content[cut:]), None)
    assert media is not None
    assert b"".join([piece async for piece in pieces(storage, media.stored_as, 0, media.bytes - 1)]) == content
    await rig.uploads.terminate(DEFAULT_TENANT, half)
    assert await names(storage) == [media.stored_as]
    await rig.uploads.remove(DEFAULT_TENANT, TESTS, media.id)
    assert await Pruner(rig.pool, storage, 90).purge() == 1
    assert await names(storage) == []
