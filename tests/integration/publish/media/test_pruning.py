"""Files that nothing refers to go when their time is over, with their bytes; their rows say so."""

import io
from uuid import uuid4

import pytest

from ops.access.audit_log_store import WORKER
from ops.runtime.tenancy import tenant_transaction
from publish.media import media_store
from publish.media.links import Links
from publish.media.pruning import Pruner
from publish.media.storage import Storage, StorageError
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import Rig


async def added(rig: Rig, size: int) -> str:
    status, made = await rig.api("POST", "/api/media", data=io.BytesIO(media_samples.image("PNG", (size, size))))
    assert status == 201
    return str(made["id"])


async def aged(rig: Rig, days: int) -> None:
    await rig.raw("UPDATE media SET created_at = now() - make_interval(days => $1)", days)


def pruner(rig: Rig, storage: Storage | None = None) -> Pruner:
    return Pruner(rig.pool, storage or rig.uploads.storage, 30)


def stored(rig: Rig) -> int:
    return len([path for path in rig.media.rglob("*") if path.is_file()])


async def test_file_is_removed_when_its_time_is_over(rig: Rig) -> None:
    id_ = await added(rig, 10)
    await aged(rig, 29)
    await pruner(rig).round()
    assert (stored(rig), (await rig.api("GET", f"/api/media/{id_}"))[1]["removed_at"]) == (1, None)
    await aged(rig, 31)
    await pruner(rig).round()
    _, shown = await rig.api("GET", f"/api/media/{id_}")
    assert (stored(rig), shown["removed_by"]) == (0, "worker")
    [row] = await rig.raw("SELECT purged_at FROM media")
    assert row["purged_at"] is not None
    [entry] = await rig.raw("SELECT actor, subject FROM audit_log WHERE action = 'media.removed'")
    assert tuple(entry) == ("worker", id_)


async def test_file_that_a_platform_may_fetch_is_neither_pruned_nor_removed(rig: Rig) -> None:
    id_ = await added(rig, 10)
    await aged(rig, 31)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        await Links(rig.url).make(connection, DEFAULT_TENANT, id_, str(uuid4()), 1, 60)
    assert await pruner(rig).remove_due(WORKER) == 0
    status, answer = await rig.api("DELETE", f"/api/media/{id_}")
    assert (status, answer["error"]["details"]["reason"]) == (409, "in_use")
    await rig.raw("UPDATE media_links SET expires_at = now()")
    assert await pruner(rig).remove_due(WORKER) == 1


async def test_removing_waits_for_whoever_takes_a_file_and_sees_what_they_made(rig: Rig) -> None:
    """As ``media_store.usable`` promises: a post that is made at this moment keeps its file."""
    id_ = await added(rig, 10)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as taking:
        [found] = await media_store.usable(taking, DEFAULT_TENANT, [id_])
        assert found.id == id_
        async with tenant_transaction(rig.pool, DEFAULT_TENANT) as removing:
            await removing.execute("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(Exception, match="lock timeout"):
                await media_store.lock(removing, DEFAULT_TENANT, id_)
            await removing.execute("ROLLBACK; BEGIN")
        await Links(rig.url).make(taking, DEFAULT_TENANT, id_, str(uuid4()), 1, 60)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as removing:
        assert await media_store.lock(removing, DEFAULT_TENANT, id_)
        assert not await media_store.remove(removing, DEFAULT_TENANT, id_, "worker")


async def test_removed_file_cannot_be_taken(rig: Rig) -> None:
    kept, gone = await added(rig, 10), await added(rig, 11)
    assert (await rig.api("DELETE", f"/api/media/{gone}"))[0] == 200
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        found = await media_store.usable(connection, DEFAULT_TENANT, [gone, kept, NOBODY])
    assert [each.id for each in found] == [kept]


NOBODY = "00000000-0000-7000-8000-00000000dead"


async def test_storage_that_fails_is_tried_again(rig: Rig) -> None:
    await added(rig, 10)
    await aged(rig, 31)

    class Failing:
        async def delete(self, name: str) -> None:
            raise StorageError("failed", "delete")

    await pruner(rig, Failing()).round()  # type: ignore[arg-type]
    assert stored(rig) == 1
    assert (await rig.api("GET", "/api/media"))[1]["media"] == []
    await pruner(rig).round()
    assert stored(rig) == 0
