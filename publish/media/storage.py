"""Keep the bytes of files: in a folder, or in a bucket that speaks S3's protocol.

Names are made of ids that are ours, so none of them leads out of the folder or bucket.
"""

import asyncio
import itertools
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from ops.runtime import metrics
from ops.runtime.files import private_folder
from schema.configuration import Variable

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

PIECE_BYTES = 4 * 2**20
"""As much of a file as is in memory at once where one is read from its beginning to its end."""

CHUNK_BYTES = 5 * 2**20
"""The smallest part that S3 takes, and so what is in memory of a file that is written."""

WRITES_AT_ONCE = 2

CREDENTIALS = tuple(
    Variable(name, where)
    for name, where in (
        ("AWS_ACCESS_KEY_ID", "of whoever may read, write and delete in the bucket of LANDFALL_MEDIA_URL"),
        ("AWS_SECRET_ACCESS_KEY", "of the same"),
        ("AWS_SESSION_TOKEN", "of the same, where the key is a temporary one"),
        ("AWS_REGION", "of the bucket"),
        ("AWS_ENDPOINT_URL", "address of a server that speaks S3's protocol, where it is not Amazon's"),
    )
)
"""What leads into a bucket. Without a key whatever else AWS' own tools look at is tried: roles of machines and pods."""

NOT_CONFIGURED = (
    "set LANDFALL_MEDIA_URL to a folder, file:///srv/landfall/media, or to a bucket, s3://name, and restart"
)

log = structlog.get_logger()

_DETAIL = re.compile(r"\n.*", re.DOTALL)
_FULL = "os error 28"
_FAILURES = (BaseError, OSError, EOFError)
"""A file that is missing, and whatever else the system says, come as OSError."""


class StorageError(Exception):
    """The storage did not do what was asked. ``reason`` is full, missing or failed, ``operation`` write, read or
    delete. ``said`` is what it said, without a secret, for whoever runs the installation.
    """

    def __init__(self, reason: str, operation: str, said: str = "") -> None:
        super().__init__(f"the storage of files did not {operation}: {reason}")
        self.reason = reason
        self.operation = operation
        self.said = said


class Storage(Protocol):
    """What keeps bytes by name. Every method raises StorageError."""

    async def write(self, name: str, content: AsyncIterable[bytes]) -> None:
        """Store a stream: all of it, kept for good, or nothing. What the stream raises is raised."""

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, which must be there."""

    async def delete(self, name: str) -> None:
        """Delete what is stored, if anything is."""

    async def clear(self, folder: str, kept: str | None) -> None:
        """Delete everything in a folder but what is named ``kept``."""

    async def size(self, name: str) -> int:
        """Return how many bytes are stored."""


def folder_of(tenant: str, upload: str) -> str:
    """Return what all names begin with that an upload stores."""
    return f"{tenant}/{upload}"


def new_name(tenant: str, upload: str, what: str) -> str:
    """Return a name that nothing has. No two requests, nor two tries of one, write to the same."""
    return f"{folder_of(tenant, upload)}/{what}-{secrets.token_hex(8)}"


async def pieces(storage: Storage, name: str, first: int, last: int) -> AsyncIterator[bytes]:
    """Yield the bytes from ``first`` to ``last``, both included."""
    while first <= last:
        content = await storage.read(name, first, min(PIECE_BYTES, last + 1 - first))
        first += len(content)
        yield content


def folder_at(url: str) -> Path | None:
    """Return the folder that ``LANDFALL_MEDIA_URL`` names; None for a bucket."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_storage(url: str, variables: Mapping[str, tuple[str, ...]]) -> "ObjectStorage":
    """Open a storage; nothing is read or written yet.

    ``url`` is what ``LANDFALL_MEDIA_URL`` may be, ``variables`` are those of ``CREDENTIALS`` that are set.
    """
    for operation, reason in itertools.product(("write", "read", "delete"), ("failed", "full")):
        metrics.of(metrics.media_storage_failures, operation, reason)  # a first one is an increase only from a zero
    if (folder := folder_at(url)) is not None:
        return ObjectStorage(None, folder)
    parts = urlsplit(url)
    given = {variable.name.lower(): variables.get(variable.name, ())[:1] for variable in CREDENTIALS}
    options = {name: value for name, values in given.items() for value in values}
    plain = options.get("aws_endpoint_url", "").startswith("http://")
    store = S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=cast("S3Config", options),
        client_options={"allow_http": plain, "connect_timeout": "5s", "timeout": "60s"},
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
    )
    return ObjectStorage(store, None)


@dataclass(slots=True)
class ObjectStorage:
    """A bucket, or a folder that is made when something is first written to it."""

    _store: "ObjectStore | None"
    _folder: Path | None

    async def write(self, name: str, content: AsyncIterable[bytes]) -> None:
        source = _Source(content)
        try:
            store = await self._opened(make=True)
            await obstore.put_async(
                store, name, source, use_multipart=True, chunk_size=CHUNK_BYTES, max_concurrency=WRITES_AT_ONCE
            )
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / name)
        except _FAILURES as error:
            if error is source.error:
                raise
            raise _failed(error, "write") from None

    async def read(self, name: str, offset: int, length: int) -> bytes:
        try:
            content = bytes(await obstore.get_range_async(await self._opened(), name, start=offset, length=length))
        except _FAILURES as error:
            raise _failed(error, "read") from None
        if len(content) != length:
            raise _failed(EOFError(f"{len(content)} bytes in place of {length}"), "read")
        return content

    async def delete(self, name: str) -> None:
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(await self._opened(), name)
        except _FAILURES as error:
            raise _failed(error, "delete") from None

    async def clear(self, folder: str, kept: str | None) -> None:
        try:
            if self._folder is not None:
                await asyncio.to_thread(_clear, self._folder / folder, None if kept is None else self._folder / kept)
                return
            store = await self._opened()
            async for found in obstore.list(store, f"{folder}/"):
                for each in found:
                    if each["path"] != kept:
                        with suppress(FileNotFoundError):
                            await obstore.delete_async(store, each["path"])
        except _FAILURES as error:
            raise _failed(error, "delete") from None

    async def size(self, name: str) -> int:
        try:
            return (await obstore.head_async(await self._opened(), name))["size"]
        except _FAILURES as error:
            raise _failed(error, "read") from None

    async def _opened(self, *, make: bool = False) -> "ObjectStore":
        if self._store is None:
            if make and self._folder is not None:
                await asyncio.to_thread(private_folder, self._folder)
            self._store = LocalStore(self._folder, automatic_cleanup=True)
        return self._store


class _Source:
    """Keeps what a stream raises, to tell it from what the storage raises."""

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self._content = content.__aiter__()
        self.error: BaseException | None = None

    def __aiter__(self) -> "_Source":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._content.__anext__()
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _clear(folder: Path, kept: Path | None) -> None:
    """Delete the files in a folder, also what a killed process was writing: no listing shows that."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path != kept:
                path.unlink(missing_ok=True)
        if kept is None:
            folder.rmdir()


def _flush(path: Path) -> None:
    """Have a file, and its entry in the folder, survive a loss of power."""
    for each in (path, *path.parents[:3]):  # of the upload, of the tenant, and the one of all
        number = os.open(each, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _failed(error: Exception, operation: str) -> StorageError:
    """Describe a failure: the log gets the first line, which names the file and no secret."""
    said = _DETAIL.sub("", str(error))
    missing = isinstance(error, FileNotFoundError) and operation != "write"
    reason = "missing" if missing else "full" if _FULL in str(error) or getattr(error, "errno", 0) == 28 else "failed"
    metrics.of(metrics.media_storage_failures, operation, reason).inc()
    kind = type(error).__name__ if isinstance(error, BaseError | OSError) else type(error).__qualname__
    log.warning("media.storage_failed", operation=operation, reason=reason, error=kind, said=said[:200])
    return StorageError(reason, operation, said[:200])
