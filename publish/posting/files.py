"""The library of files of an installation that has none: posts have texts and links alone."""

from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg

from ops.runtime.platform_protocol import FilePart, PlatformError
from publish.posting.acceptance import KnownFile
from publish.posting.contract import Media


class NoFiles:
    """Knows no file, so that whatever names one is refused."""

    async def known(self, _: asyncpg.Connection, __: str, ___: Sequence[str]) -> Mapping[str, KnownFile]:
        return {}

    async def describe(self, _: asyncpg.Connection, __: Sequence[str]) -> Mapping[str, Media]:
        return {}

    async def digests(self, _: asyncpg.Connection, __: Sequence[str]) -> Mapping[str, bytes]:
        return {}

    async def link(self, _: asyncpg.Connection, __: str, ___: str, ____: str, _____: int) -> str:
        raise _none()

    async def fetched(self, _: asyncpg.Connection, __: str, ___: int) -> Mapping[str, int]:
        return {}

    async def revoke(self, _: asyncpg.Connection, __: str) -> None:
        return None

    def read(self, _: str, __: FilePart) -> AsyncIterator[bytes]:
        raise _none()


def _none() -> PlatformError:
    return PlatformError("wrong", "This installation keeps no files.", "media_changed")
