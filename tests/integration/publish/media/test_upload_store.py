"""Of an upload comes one file, and none once it has ended."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ops.runtime.db import Pool, open_pool
from ops.runtime.tenancy import tenant_transaction
from publish.media import media_store, upload_store
from publish.media.inspection import Facts
from publish.media.media_store import Origin
from schema.rights import WEB_ROLE
from schema.tenancy import DEFAULT_TENANT

UPLOAD, FIRST, SECOND = (f"00000000-0000-7000-8000-0000000000{end}" for end in ("aa", "bb", "cc"))
FACTS = Facts("image", "image/png", 1, 1, None, {})


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """With an upload, and two files that could come of it."""
    async with await open_pool(database, "test", 3, role=WEB_ROLE, wait_seconds=20) as pool:
        async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
            await upload_store.insert(connection, DEFAULT_TENANT, UPLOAD, 10, None, "key:tests")
            for id_ in (FIRST, SECOND):
                digest = id_[-2:].encode() * 16
                await media_store.insert(connection, DEFAULT_TENANT, id_, id_, digest, 10, FACTS, Origin("key:tests"))
        yield pool


async def completed(connection: asyncpg.Connection, media: str) -> bool:
    return await upload_store.complete(connection, DEFAULT_TENANT, UPLOAD, 10, media)


async def test_upload_is_completed_once(pool: Pool) -> None:
    async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
        assert await completed(connection, FIRST)
        assert not await completed(connection, SECOND)
        assert not await upload_store.append(connection, DEFAULT_TENANT, UPLOAD, 10, "part", 0)
        assert not await upload_store.end(connection, DEFAULT_TENANT, UPLOAD), "a file came of it"
        found = await upload_store.find(connection, DEFAULT_TENANT, UPLOAD)
    assert found is not None
    assert (found.media, found.offset) == (FIRST, 10)


async def test_part_counts_at_its_offset_alone(pool: Pool) -> None:
    async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
        assert await upload_store.append(connection, DEFAULT_TENANT, UPLOAD, 0, "a", 4)
        assert not await upload_store.append(connection, DEFAULT_TENANT, UPLOAD, 0, "b", 4)
        assert await upload_store.append(connection, DEFAULT_TENANT, UPLOAD, 4, "c", 5)
        found = await upload_store.find(connection, DEFAULT_TENANT, UPLOAD)
    assert found is not None
    assert (found.offset, found.parts) == (9, ["a", "c"])


async def test_upload_that_ended_takes_nothing_even_from_a_transaction_that_began_before(pool: Pool) -> None:
    async with tenant_transaction(pool, DEFAULT_TENANT) as older:
        await older.fetchval("SELECT now()")
        async with tenant_transaction(pool, DEFAULT_TENANT) as ending:
            assert await upload_store.end(ending, DEFAULT_TENANT, UPLOAD)
            waiting = asyncio.create_task(completed(older, FIRST))
            await asyncio.sleep(0.2)
            assert not waiting.done()
        assert not await waiting
        assert not await upload_store.append(older, DEFAULT_TENANT, UPLOAD, 0, "a", 4)
