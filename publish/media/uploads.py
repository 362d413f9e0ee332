"""Take files: whole, in parts that a client may go on with after any interruption, by their address, or converted.

Whatever an upload stores has names of its own, below the upload's id. The one that became the file stays, and the
worker deletes the rest once the upload has ended. So a crash leaves nothing that counts, and nothing for good.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import uuid_utils

from ops.access.audit_log_store import Actor, audit
from ops.runtime import metrics
from ops.runtime.db import Pool
from ops.runtime.http import Client, Unreachable
from ops.runtime.tenancy import tenant_transaction
from ops.runtime.text import excerpt, storable
from publish.media import media_store, sniffing, upload_store
from publish.media.inspection import Conversion, Facts, Inspector
from publish.media.media_store import Media, Origin
from publish.media.refusal import MediaRefused
from publish.media.sniffing import HEAD_BYTES, SUPPORTED, Claim
from publish.media.storage import Storage, StorageError, folder_of, new_name, pieces
from publish.media.upload_store import Upload

PART_BYTES = 8 * 2**20
"""After so many bytes, at most, an upload in parts stores where it is."""

MOST_PARTS = 10_000
OF_A_TENANT, AT_ONCE = 4, 16
"""Uploads in one process."""

NAME_CHARACTERS = 255

Way = Literal["whole", "resumable", "url", "converted"]


@dataclass(slots=True)
class _Taken:
    """What is known of a stream while it is stored."""

    limits: Mapping[str, int]
    size: int = 0
    claim: Claim | None = None
    hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    async def of(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a stream, and refuse it as soon as it is too large or is nothing that is supported."""
        head = b""
        async for chunk in content:
            self.size += len(chunk)
            self.hash.update(chunk)
            if self.claim is None:
                head += chunk
                if len(head) < HEAD_BYTES:
                    continue
                self.claim, chunk, head = _claimed(head), head, b""  # noqa: PLW2901  the chunks until now
            check_size(self.limits, self.claim, self.size)
            yield chunk
        if self.claim is None:
            self.claim = _claimed(head)
            check_size(self.limits, self.claim, self.size)
            yield head


def _claimed(head: bytes) -> Claim:
    if not head:
        raise MediaRefused("wrong_request", 400, "invalid_request", "The file is empty.", "send the bytes of a file")
    found = sniffing.claim(head)
    if found is None:
        message = "The bytes are those of no file that can be posted."
        raise MediaRefused("unsupported", 415, "content_type", message, f"send one of {SUPPORTED}")
    return found


def check_size(limits: Mapping[str, int], claim: Claim, size: int) -> None:
    """Raises MediaRefused for a file that is too large for its kind."""
    if size > limits[claim.kind]:
        raise too_large(sniffing.article(claim.kind), limits[claim.kind])


def too_large(what: str, limit: int) -> MediaRefused:
    message = f"{what[:1].upper()}{what[1:]} of more than {limit} bytes is not taken here."
    remedy = "make it smaller, or raise LANDFALL_MEDIA_…_BYTES"
    return MediaRefused("too_large", 413, "body_too_large", message, remedy, details={"limit_bytes": limit})


class _Incoming:
    """A stream that is cut into parts. When it breaks off, what has arrived is a part of its own."""

    def __init__(self, content: AsyncIterator[bytes], most: int) -> None:
        self._content = content
        self._left = b""
        self._most = most
        self.error: Exception | None = None
        self.ended = False
        self.size = 0
        """Bytes of the part under way."""

    async def part(self) -> AsyncIterator[bytes]:
        self.size = 0
        while self.size < min(PART_BYTES, self._most):
            chunk = self._left or await self._next()
            if not chunk:
                break
            fits = min(PART_BYTES, self._most) - self.size
            self._left = chunk[fits:]
            self.size += len(chunk[:fits])
            yield chunk[:fits]
        self._most -= self.size

    async def more(self) -> bool:
        """Return whether anything is left of the stream."""
        self._left = self._left or await self._next()
        return bool(self._left)

    async def _next(self) -> bytes:
        if self.ended:
            return b""
        try:
            return await anext(self._content)
        except StopAsyncIteration:
            self.ended = True
        except (MediaRefused, ConnectionError) as error:
            self.ended, self.error = True, error
        return b""


class Uploads:
    """``limits`` are the largest sizes by kind."""

    def __init__(
        self, pool: Pool, storage: Storage, inspector: Inspector, client: Client, limits: Mapping[str, int]
    ) -> None:
        self._pool = pool
        self.storage = storage
        self._inspector = inspector
        self._client = client
        self._limits = limits
        self._running: Counter[str] = Counter()

    @property
    def longest(self) -> int:
        """The largest file of any kind."""
        return max(self._limits.values())

    # --- in one go

    async def whole(
        self, tenant: str, actor: Actor, content: AsyncIterator[bytes], file_name: str | None, announced: int | None
    ) -> tuple[Media, bool]:
        """Take a file. Return it, and whether it is new. Raises MediaRefused and what ``content`` raises."""
        if announced is not None and announced > self.longest:
            raise too_large("a file", self.longest)
        with self._slot(tenant):
            return await self._taken(tenant, actor, content, Origin(actor.name, named(file_name)), "whole")

    async def fetched(self, tenant: str, actor: Actor, url: str) -> tuple[Media, bool]:
        """Take the file at an address. As :meth:`whole`."""
        with self._slot(tenant), _not_fetched():
            async with self._client.download(url) as answer:
                if answer.status != 200:
                    message = f"The address answers with {answer.status}, not with a file."
                    remedy = "give an address at which anybody gets the file"
                    raise MediaRefused("not_fetched", 422, "unprocessable", message, remedy)
                if answer.length is not None and answer.length > self.longest:
                    raise too_large("a file", self.longest)
                parts = urlsplit(url)
                shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
                origin = Origin(actor.name, named(parts.path), excerpt(storable(shown), 2000))
                return await self._taken(tenant, actor, answer.content, origin, "url")

    async def converted(self, tenant: str, actor: Actor, media_id: str, conversion: Conversion) -> tuple[Media, bool]:
        """Make another image of an image. As :meth:`whole`."""
        source = await self.file(tenant, media_id)
        if source.kind not in ("image", "gif"):
            what = sniffing.article(source.kind)
            message = f"{what[0].upper()}{what[1:]} cannot be converted here."
            raise MediaRefused("unsupported", 422, "unprocessable", message, "convert it before, and send the result")
        read = partial(self.storage.read, source.stored_as)
        with self._slot(tenant), _stored():
            claim = _claimed(await read(0, min(source.bytes, HEAD_BYTES)))
            origin = Origin(actor.name, source.file_name, None, source.id)
            async with self._inspector.converted(claim, source.bytes, read, conversion) as content:
                return await self._taken(tenant, actor, content, origin, "converted")

    async def _taken(
        self, tenant: str, actor: Actor, content: AsyncIterator[bytes], origin: Origin, way: Way
    ) -> tuple[Media, bool]:
        upload = str(uuid_utils.uuid7())
        async with tenant_transaction(self._pool, tenant) as connection:
            await upload_store.insert(connection, tenant, upload, None, origin.file_name, actor.name)
        try:
            return await self._stored_file(tenant, actor, upload, content, origin, way)
        except BaseException:
            await self._give_up(tenant, upload)
            raise

    # --- in parts

    async def create(self, tenant: str, actor: Actor, length: int, file_name: str | None) -> tuple[str, datetime]:
        """Begin an upload in parts. Return its id, and when it ends. Raises MediaRefused."""
        if length > self.longest:
            raise too_large("a file", self.longest)
        if length < 1:
            raise MediaRefused("wrong_request", 400, "invalid_request", "The file is empty.", "send one with bytes")
        id_ = str(uuid_utils.uuid7())
        async with tenant_transaction(self._pool, tenant) as connection:
            ends = await upload_store.insert(connection, tenant, id_, length, named(file_name), actor.name)
        return id_, ends

    async def progress(self, tenant: str, id_: str) -> Upload:
        """Return how far an upload in parts is. Raises MediaRefused where there is none, or it has ended."""
        async with tenant_transaction(self._pool, tenant) as connection:
            found = await upload_store.find(connection, tenant, id_)
        if found is None or found.length is None:
            message, remedy = "There is no such upload.", "begin one with POST /api/media/uploads"
            raise MediaRefused("not_found", 404, "not_found", message, remedy)
        if found.expired:
            message = "This upload was given up, or has had its time, and what it stored is deleted."
            raise MediaRefused("expired", 410, "gone", message, "begin another one with POST /api/media/uploads")
        return found

    async def append(
        self, tenant: str, actor: Actor, id_: str, offset: int, content: AsyncIterator[bytes], announced: int | None
    ) -> tuple[Upload, Media | None]:
        """Store what comes next, part by part. Return how far the upload is, and the file once it is whole.

        What has arrived when the stream breaks off is kept. Raises MediaRefused and ConnectionError.
        """
        upload = await self.progress(tenant, id_)
        length = upload.length or 0
        if offset != upload.offset:
            raise _wrong_offset(upload.offset)
        if announced is not None and offset + announced > length:
            raise _too_long(length)
        incoming = _Incoming(content, length - offset)
        with self._slot(tenant), _stored():
            media = await self._appended(tenant, actor, upload, incoming)
        if media is None and incoming.error is not None:
            raise incoming.error
        return await self.progress(tenant, id_), media

    async def _appended(self, tenant: str, actor: Actor, upload: Upload, incoming: _Incoming) -> Media | None:
        """Store part by part, and return the file that comes of the last one."""
        parts, offset, length = list(upload.parts), upload.offset, upload.length or 0
        while offset < length and await incoming.more():
            if len(parts) >= MOST_PARTS:
                message = f"The upload came in more than {MOST_PARTS} parts."
                raise MediaRefused("too_many_parts", 400, "invalid_request", message, "send more at once")
            part = new_name(tenant, upload.id, f"part-{offset}")
            await self.storage.write(part, incoming.part())
            if not parts:
                await self._check_head(tenant, upload.id, part, incoming.size, length)
            parts.append(part)
            if offset + incoming.size == length:
                if await incoming.more():
                    raise _too_long(length)
                return await self._assembled(tenant, actor, upload, parts)
            async with tenant_transaction(self._pool, tenant) as connection:
                counted = await upload_store.append(connection, tenant, upload.id, offset, part, incoming.size)
            if not counted:
                raise _wrong_offset((await self.progress(tenant, upload.id)).offset)
            offset += incoming.size
        return None

    async def _check_head(self, tenant: str, id_: str, part: str, size: int, length: int) -> None:
        """Refuse early what would be refused in the end, once enough of it is there to tell."""
        if size < min(HEAD_BYTES, length):
            return
        try:
            check_size(self._limits, _claimed(await self.storage.read(part, 0, min(size, HEAD_BYTES))), length)
        except MediaRefused:
            await self._give_up(tenant, id_)
            raise

    async def _assembled(self, tenant: str, actor: Actor, upload: Upload, parts: list[str]) -> Media:
        """Make one file of the parts, the last of which is not counted yet: until there is a file it can be sent again.

        An upload that makes no file is over; what the storage or the database did not do can be tried again.
        """
        origin = Origin(upload.created_by, upload.file_name)
        try:
            media, _ = await self._stored_file(tenant, actor, upload.id, self._content(parts), origin, "resumable")
        except MediaRefused as refused:
            if refused.status in (413, 415, 422):
                await self._give_up(tenant, upload.id)
            elif (found := await self.progress(tenant, upload.id)).media is not None:
                raise _wrong_offset(found.offset) from None  # another request was faster, and deleted the parts
            raise
        with suppress(StorageError):
            await self.storage.clear(folder_of(tenant, upload.id), media.stored_as)
        return media

    async def _content(self, parts: list[str]) -> AsyncIterator[bytes]:
        for part in parts:
            async for piece in pieces(self.storage, part, 0, await self.storage.size(part) - 1):
                yield piece

    async def terminate(self, tenant: str, id_: str) -> None:
        """Give an upload up. A file that came of it stays. Raises MediaRefused."""
        await self.progress(tenant, id_)
        async with tenant_transaction(self._pool, tenant) as connection:
            ended = await upload_store.end(connection, tenant, id_)
        if ended:
            with suppress(StorageError):
                await self.storage.clear(folder_of(tenant, id_), None)

    # --- both

    async def _stored_file(
        self, tenant: str, actor: Actor, upload: str, content: AsyncIterator[bytes], origin: Origin, way: Way
    ) -> tuple[Media, bool]:
        """Store a stream as a file, look into it and add its row, unless the tenant has the same bytes already."""
        name, taken = new_name(tenant, upload, "file"), _Taken(self._limits)
        with _stored():
            await self.storage.write(name, taken.of(content))
        metrics.of(metrics.media_bytes, way).inc(taken.size)
        media = await self._known(tenant, upload, taken)
        if media is None:
            with _stored():
                claim = taken.claim or _claimed(b"")
                facts = await self._inspector.look(claim, taken.size, partial(self.storage.read, name))
            media = await self._added(tenant, actor, upload, name, taken, facts, origin, way)
        if media.stored_as != name:
            with suppress(StorageError):
                await self.storage.delete(name)
        return media, media.stored_as == name

    async def _known(self, tenant: str, upload: str, taken: _Taken) -> Media | None:
        """Return the file that has the same bytes, as what came of the upload."""
        async with tenant_transaction(self._pool, tenant) as connection:
            media = await media_store.with_bytes(connection, tenant, taken.hash.digest())
            if media is not None:
                await _complete(connection, tenant, upload, taken.size, media.id)
        return media

    async def _added(
        self,
        tenant: str,
        actor: Actor,
        upload: str,
        name: str,
        taken: _Taken,
        facts: Facts,
        origin: Origin,
        way: Way,
    ) -> Media:
        id_, digest = str(uuid_utils.uuid7()), taken.hash.digest()
        async with tenant_transaction(self._pool, tenant) as connection:
            if await media_store.insert(connection, tenant, id_, name, digest, taken.size, facts, origin):
                await audit(connection, tenant, actor, "media.added", id_, kind=facts.kind, bytes=taken.size, way=way)
            media = await media_store.with_bytes(connection, tenant, digest)
            if media is None:  # it was added and removed by others within this moment
                raise MediaRefused("busy", 409, "conflict", "The same file is being removed.", "send it again", 1)
            await _complete(connection, tenant, upload, taken.size, media.id)
        return media

    async def _give_up(self, tenant: str, upload: str) -> None:
        """Delete what an upload stored, as far as that is possible now; the worker comes to the rest."""
        with suppress(Exception):
            async with tenant_transaction(self._pool, tenant) as connection:
                ended = await upload_store.end(connection, tenant, upload)
            if ended:
                await self.storage.clear(folder_of(tenant, upload), None)

    @contextmanager
    def _slot(self, tenant: str) -> Iterator[None]:
        if self._running[tenant] >= OF_A_TENANT or self._running.total() >= AT_ONCE:
            message = f"More than {OF_A_TENANT} of your uploads are under way, or {AT_ONCE} of all."
            raise MediaRefused("busy", 429, "rate_limit_exceeded", message, "wait until one of them has ended", 5)
        self._running[tenant] += 1
        try:
            yield
        finally:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]

    # --- files that are there

    async def file(self, tenant: str, id_: str) -> Media:
        """Return a file that is not removed. Raises MediaRefused."""
        found = await self.known_file(tenant, id_)
        if found.removed_at is not None:
            raise no_file(410)
        return found

    async def known_file(self, tenant: str, id_: str) -> Media:
        """Return a file, removed or not. Raises MediaRefused."""
        async with tenant_transaction(self._pool, tenant) as connection:
            found = await media_store.find(connection, tenant, id_)
        if found is None:
            raise no_file(404)
        return found

    async def files(self, tenant: str, before: str | None, limit: int) -> list[Media]:
        async with tenant_transaction(self._pool, tenant) as connection:
            return await media_store.listed(connection, tenant, before=before, limit=limit)

    async def remove(self, tenant: str, actor: Actor, id_: str) -> None:
        """Remove a file. Raises MediaRefused for one that is not there, or that something holds."""
        async with tenant_transaction(self._pool, tenant) as connection:
            if not await media_store.lock(connection, tenant, id_):
                raise no_file(404)
            if not await media_store.remove(connection, tenant, id_, actor.name):
                message = "Something that is not finished needs this file."
                raise MediaRefused("in_use", 409, "conflict", message, "cancel or delete that first")
            await audit(connection, tenant, actor, "media.removed", id_)


async def _complete(connection: asyncpg.Connection, tenant: str, upload: str, size: int, media: str) -> None:
    if not await upload_store.complete(connection, tenant, upload, size, media):
        message = "This upload was completed by another request, or has ended."
        raise MediaRefused("offset", 409, "conflict", message, "ask how far it is, with HEAD")


@contextmanager
def _stored() -> Iterator[None]:
    """Say what the storage did not do, in words for whoever sends a file."""
    try:
        yield
    except StorageError as error:
        full = error.reason == "full"
        message = "There is no room left for the file." if full else "The file could not be stored or read."
        remedy = "send it again later; whoever runs this installation finds why in the log, media.storage_failed"
        raise MediaRefused("storage", 507 if full else 503, "server_error", message, remedy, 30) from None


@contextmanager
def _not_fetched() -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        message = f"The file was not fetched: {error}."
        raise MediaRefused(
            "not_fetched", 422, "unprocessable", message, "check the address, or send the file"
        ) from None


def _wrong_offset(offset: int) -> MediaRefused:
    message = f"The upload goes on at byte {offset}."
    remedy = "ask how far it is, with HEAD, and go on from there"
    return MediaRefused("offset", 409, "conflict", message, remedy, details={"offset": offset})


def _too_long(length: int) -> MediaRefused:
    message = f"More came than the {length} bytes that were announced."
    return MediaRefused("wrong_request", 413, "body_too_large", message, "announce the size that the file has")


def no_file(status: Literal[404, 410]) -> MediaRefused:
    """Say that there is no such file: never, or no more."""
    if status == 404:
        return MediaRefused("not_found", 404, "not_found", "There is no such file.", "look at GET /api/media")
    return MediaRefused("not_found", 410, "gone", "This file was removed.", "send it again")


def named(file_name: str | None) -> str | None:
    """Return the last part of a name, as it can be stored; None where nothing is left of it."""
    last = storable(file_name or "").replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
    return last[:NAME_CHARACTERS] or None
