"""Files as posts need them: what is known of one, an address for a platform, and its bytes a piece at a time."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg

from ops.runtime import transaction_store
from ops.runtime.db import Pool
from ops.runtime.platform_protocol import FilePart, PlatformError
from ops.runtime.tenancy import tenant_transaction
from publish.media import link_store, media_store
from publish.media import links as media_links
from publish.media.links import Links
from publish.media.storage import Storage, pieces
from publish.posting.acceptance import KnownFile
from publish.posting.contract import Media
from publish.preflight.contract import MediaFacts
from publish.preflight.stored_media import media_facts

LINK_SECONDS = 2 * 86_400
"""Longer than any container waits for its file. The end of a target revokes its addresses before."""


class MediaLibrary:
    """``public_url`` is the address of the web process as platforms know it. Without a storage there is no file."""

    def __init__(self, pool: Pool, storage: Storage | None, public_url: str) -> None:
        self._pool = pool
        self._storage = storage
        self._links = Links(public_url)

    async def known(self, connection: asyncpg.Connection, tenant: str, ids: Sequence[str]) -> Mapping[str, KnownFile]:
        """Return what is known of files by id, and keep them until the transaction ends; none of one that is gone."""
        if self._storage is None:
            return {}
        found = await media_store.usable(connection, tenant, ids)
        return {each.id: KnownFile(_media(each), facts_of(each), bytes.fromhex(each.sha256)) for each in found}

    async def describe(self, connection: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, Media]:
        return {id_: each.media for id_, each in (await self._of_this_tenant(connection, ids)).items()}

    async def digests(self, connection: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {id_: each.sha256 for id_, each in (await self._of_this_tenant(connection, ids)).items()}

    async def _of_this_tenant(self, connection: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, KnownFile]:
        return await self.known(connection, await transaction_store.tenant(connection) or "", ids)

    async def link(
        self, connection: asyncpg.Connection, tenant: str, media_id: str, target_id: str, attempt: int
    ) -> str:
        return await self._links.make(connection, tenant, media_id, target_id, attempt, LINK_SECONDS)

    async def fetched(self, connection: asyncpg.Connection, target_id: str, attempt: int) -> Mapping[str, int]:
        """Return how many bytes were sent of each file; 1 where a request was answered whose end nobody saw."""
        tenant = await transaction_store.tenant(connection) or ""
        found = Counter[str]()
        for fetch in await link_store.fetches(connection, tenant, target_id):
            if fetch.attempt == attempt and fetch.first_byte is not None and fetch.method == "GET":
                sent = 1 if fetch.last_byte is None else fetch.last_byte + 1 - fetch.first_byte
                found[fetch.media] = min(fetch.bytes, found[fetch.media] + sent)
        return found

    async def revoke(self, connection: asyncpg.Connection, target_id: str) -> None:
        await media_links.revoke(connection, await transaction_store.tenant(connection) or "", target_id)

    async def read(self, tenant: str, part: FilePart) -> AsyncIterator[bytes]:
        async with tenant_transaction(self._pool, tenant) as connection:
            found = await media_store.find(connection, tenant, part.media_id)
        if found is None or found.removed_at is not None or self._storage is None:
            raise PlatformError("wrong", "A file of the post is gone; attach another one.", "media_changed")
        async for piece in pieces(self._storage, found.stored_as, part.offset, part.offset + part.length - 1):
            yield piece


def _media(file: media_store.Media) -> Media:
    return Media(
        file.id,
        file.content_type,
        file.bytes,
        file.width,
        file.height,
        _seconds(file),
        file_name=file.file_name or "",
    )


def facts_of(file: media_store.Media) -> MediaFacts:
    """Return what rules compare, of a file at the first place."""
    return media_facts(
        1,
        content_type=file.content_type,
        size=file.bytes,
        width=file.width,
        height=file.height,
        duration_ms=file.duration_ms,
        details=file.details,
    )


def _seconds(file: media_store.Media) -> float | None:
    return None if file.duration_ms is None else file.duration_ms / 1000
