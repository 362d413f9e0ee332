"""Find out whether the storage of files does what it is asked, and whether it still has what was stored."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from publish.media.storage import Storage, StorageError

PROBE_FOLDER = "landfall-doctor"
PROBE_BYTES = 1024
AT_ONCE = 8

Stored = Literal["ok", "missing", "other_size", "unreadable"]
"""What was found of a file's bytes. ``unreadable``: the storage did not say."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the storage was asked of, and what it has: ``size`` in bytes, None where it has or tells nothing."""

    state: Stored
    size: int | None = None


async def probe(storage: Storage) -> None:
    """Write, read back and delete a small file of a name that nothing has. Raises StorageError."""
    name, content = f"{PROBE_FOLDER}/{secrets.token_hex(16)}", secrets.token_bytes(PROBE_BYTES)

    async def stream() -> AsyncIterator[bytes]:
        yield content

    await storage.write(name, stream())
    try:
        if await storage.read(name, 0, len(content)) != content:
            raise StorageError("failed", "read", "other bytes came back than were written")
    finally:
        await storage.delete(name)


async def stored_files(storage: Storage, files: Sequence[tuple[str, int]]) -> list[StoredFile]:
    """Return what the storage has of files, each given by its name there and its size in bytes; in the same order."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def looked(name: str, size: int) -> StoredFile:
        async with slots:
            try:
                found = await storage.size(name)
            except StorageError as error:
                return StoredFile("missing" if error.reason == "missing" else "unreadable")
        return StoredFile("ok" if found == size else "other_size", found)

    return list(await asyncio.gather(*(looked(*file) for file in files)))
