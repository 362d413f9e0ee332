"""Give a platform the file that an address leads to, and note every request for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web

from ops.access.tokens import digest
from ops.runtime.db import describe
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.runtime.text import excerpt, storable
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Site
from publish.media import link_store
from publish.media.link_store import Linked
from publish.media.links import PATH
from publish.media.storage import Storage, StorageError, pieces

AGENT_CHARACTERS = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Part:
    """What of a file is asked for: the bytes from ``first`` to ``last``, both included."""

    status: int
    first: int
    last: int


class MediaFiles:
    """``storage`` is None where there is no storage for files: then no address leads anywhere."""

    def __init__(self, site: Site, storage: Storage | None) -> None:
        self._site = site
        self._storage = storage

    def routes(self) -> Sequence[Route]:
        return (Route("GET", f"{PATH}/{{token}}", self.serve, limited=False, any_query=True),)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Send the file, or the part of it that is asked for; unknown, expired and revoked addresses are alike."""
        token = digest(request.match_info["token"])
        async with tenant_transaction(self._site.pool, NO_TENANT) as connection:
            found = await link_store.find(connection, token)
        if found is None or self._storage is None:
            raise _nothing()
        tenant, link = found
        async with tenant_transaction(self._site.pool, tenant) as connection:
            file = await link_store.linked(connection, tenant, link)
            if file is None:
                raise _nothing()
            part = requested_part(request, file)
            first = part.first if part is not None and request.method == hdrs.METH_GET else None
            agent = excerpt(storable(request.headers.get(hdrs.USER_AGENT, "")), AGENT_CHARACTERS)
            status = 416 if part is None else part.status
            asked = (request.method, status, first, agent, self._site.client.address(request))
            fetch = await link_store.begin_fetch(connection, tenant, link, *asked)
        if part is None:
            return web.Response(status=416, headers={hdrs.CONTENT_RANGE: f"bytes */{file.bytes}"})
        headers = _headers(file, part)
        if first is None:
            return web.Response(status=part.status, headers=headers)
        content = pieces(self._storage, file.stored_as, part.first, part.last)
        return await self._send(request, headers, content, part, _Fetch(tenant, token, fetch))

    async def _send(
        self,
        request: web.Request,
        headers: dict[str, str],
        content: AsyncIterator[bytes],
        part: Part,
        fetch: "_Fetch",
    ) -> web.StreamResponse:
        """Send piece by piece, as long as the address leads somewhere, and note how far it got."""
        try:
            piece = await anext(content)
        except StorageError:
            message, remedy = "The file cannot be read at the moment.", "ask again later"
            raise Refused(503, "server_error", message, remedy, retry=True, after=30) from None
        response = web.StreamResponse(status=part.status, headers=headers)
        await response.prepare(request)
        last = part.first - 1
        try:
            while True:
                await response.write(piece)
                last += len(piece)
                if last == part.last:
                    break
                if not await self._alive(fetch):
                    raise ConnectionResetError("the address was revoked")
                piece = await anext(content)
            await response.write_eof()
        except (ConnectionError, StorageError):
            response.force_close()
            if request.transport is not None:
                request.transport.abort()  # what was sent must not look whole
        finally:
            await asyncio.shield(self._noted(fetch, part, last))
        return response

    async def _alive(self, fetch: "_Fetch") -> bool:
        async with tenant_transaction(self._site.pool, NO_TENANT) as connection:
            return await link_store.find(connection, fetch.token) is not None

    async def _noted(self, fetch: "_Fetch", part: Part, last: int) -> None:
        if last < part.first:
            return
        try:
            async with tenant_transaction(self._site.pool, fetch.tenant) as connection:
                await link_store.end_fetch(connection, fetch.tenant, fetch.id, last)
        except Exception as error:  # noqa: BLE001  what was sent is sent; that nobody saw its end is what stays noted
            log.warning("media.fetch_not_noted", error=describe(error))


@dataclass(frozen=True, slots=True)
class _Fetch:
    tenant: str
    token: bytes
    id: int


def requested_part(request: web.Request, file: Linked) -> Part | None:
    """Return what of a file is asked for; None where it has no such bytes.

    A Range header that is in no known form, or names several parts, is not followed (RFC 9110, 14.2).
    """
    whole = Part(200, 0, file.bytes - 1)
    if hdrs.RANGE not in request.headers or request.headers.get(hdrs.IF_RANGE, _tag(file)) != _tag(file):
        return whole
    try:
        asked = request.http_range
    except ValueError:
        return whole
    if asked.start is None:
        return whole
    first = max(0, file.bytes + asked.start) if asked.start < 0 else asked.start
    last = file.bytes - 1 if asked.stop is None else min(asked.stop, file.bytes) - 1
    return Part(206, first, last) if first <= last else None


def _headers(file: Linked, part: Part) -> dict[str, str]:
    found: dict[str, str] = {
        hdrs.CONTENT_TYPE: file.content_type,
        hdrs.CONTENT_LENGTH: str(part.last + 1 - part.first),
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.ETAG: _tag(file),
    }
    if part.status == 206:
        found[hdrs.CONTENT_RANGE] = f"bytes {part.first}-{part.last}/{file.bytes}"
    return found


def _tag(file: Linked) -> str:
    return f'"{file.sha256}"'


def _nothing() -> Refused:
    return Refused(404, "not_found", "There is nothing at this address.", "check the address")
