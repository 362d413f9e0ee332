"""Uploads that can be gone on with after an interruption, by the protocol of tus.io, version 1.0.0: the core, and the
extensions creation, expiration and termination.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from email.utils import format_datetime
from functools import wraps

from aiohttp import hdrs, web

from ops.runtime.responses import NO_STORE
from ops.web import forms
from ops.web.api.media import WRITE
from ops.web.forms import path_id
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Site
from ops.web.uploading import body, configured, refusals
from publish.media.upload_store import Upload
from publish.media.uploads import Uploads

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
PATH = "/api/media/uploads"
OFFSET_TYPE = "application/offset+octet-stream"

RESUMABLE, OFFSET, LENGTH, METADATA, EXPIRES = (
    *("Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Metadata"),
    "Upload-Expires",
)
MEDIA = "Landfall-Media-Id"
"""The file that came of an upload: tus has no name for it."""

Method = Callable[["MediaUploadsApi", web.Request], Awaitable[web.Response]]


def tus(handler: Method) -> Method:
    """Check the version of the protocol, and name it in every response, errors too."""

    @wraps(handler)
    async def handle(self: "MediaUploadsApi", request: web.Request) -> web.Response:
        try:
            if request.headers.get(RESUMABLE) != VERSION:
                message = f"Uploads speak tus {VERSION} here."
                raise Refused(412, "invalid_request", message, f"send the header {RESUMABLE}: {VERSION}")
            with refusals():
                response = await handler(self, request)
        except Refused as refused:
            response = refused.response(request)
            response.headers["Tus-Version"] = VERSION
        response.headers[RESUMABLE] = VERSION
        return response

    return handle


class MediaUploadsApi:
    """``uploads`` is None where there is no storage for files."""

    def __init__(self, site: Site, uploads: Uploads | None) -> None:
        self._site = site
        self._uploads = uploads

    def routes(self) -> Sequence[Route]:
        return (
            Route("OPTIONS", PATH, self.describe, limited=False),
            Route("POST", PATH, self.create, streamed=WRITE),
            Route("HEAD", f"{PATH}/{{id}}", self.progress),
            Route("PATCH", f"{PATH}/{{id}}", self.append, streamed=WRITE),
            Route("DELETE", f"{PATH}/{{id}}", self.terminate),
        )

    async def describe(self, _: web.Request) -> web.Response:
        """Say what is understood, and that no size is taken where there is no place for files."""
        longest = 0 if self._uploads is None else self._uploads.longest
        headers = {"Tus-Version": VERSION, "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(longest)}
        return web.Response(status=204, headers={RESUMABLE: VERSION, **headers})

    @tus
    async def create(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_writer(request, WRITE)
        uploads = configured(self._uploads)
        length, name = _number(request, LENGTH), metadata(request.headers.get(METADATA, "")).get("filename")
        id_, ends = await uploads.create(caller.tenant, caller.actor, length, name)
        headers = {hdrs.LOCATION: f"{PATH}/{id_}", EXPIRES: format_datetime(ends.astimezone(UTC), usegmt=True)}
        return web.Response(status=201, headers=headers)

    @tus
    async def progress(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_writer(request, WRITE)
        upload = await configured(self._uploads).progress(caller.tenant, path_id(request, _no_upload()))
        return web.Response(status=200, headers=NO_STORE | _headers(upload) | {LENGTH: str(upload.length)})

    @tus
    async def append(self, request: web.Request) -> web.Response:
        """Store what comes. What has arrived when the connection breaks is kept."""
        caller = await self._site.authentication.require_writer(request, WRITE)
        uploads = configured(self._uploads)
        if request.content_type != OFFSET_TYPE:
            message = f"The body must be {OFFSET_TYPE}."
            raise Refused(415, "content_type", message, f"send it with Content-Type: {OFFSET_TYPE}")
        id_, offset = path_id(request, _no_upload()), _number(request, OFFSET)
        try:
            upload, _ = await uploads.append(
                caller.tenant, caller.actor, id_, offset, body(request), request.content_length
            )
        except ConnectionError:  # nobody reads the response
            message, remedy = "The connection broke; what had arrived is kept.", "ask how far it is, with HEAD"
            raise Refused(400, "body_broken", message, remedy, retry=True, close=True) from None
        return web.Response(status=204, headers=_headers(upload))

    @tus
    async def terminate(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_writer(request, WRITE)
        await configured(self._uploads).terminate(caller.tenant, path_id(request, _no_upload()))
        return web.Response(status=204)


def _headers(upload: Upload) -> dict[str, str]:
    ends = format_datetime(upload.expires_at.astimezone(UTC), usegmt=True)
    return {OFFSET: str(upload.offset), EXPIRES: ends} | ({} if upload.media is None else {MEDIA: upload.media})


def _number(request: web.Request, name: str) -> int:
    given = request.headers.get(name, "")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise Refused(400, "invalid_request", f"The header {name} must be a number of bytes.", "send it so")
    return int(given)


def metadata(header: str) -> dict[str, str]:
    """Return what Upload-Metadata says. Raises Refused for what is not in its form."""
    found = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            text = "\x00"
        if not forms.is_storable(text):
            message = f"The header {METADATA} is not in its form."
            raise Refused(
                400, "invalid_request", message, "send pairs of a name and a text in Base64, with commas between"
            )
        found[name] = text
    return found


def _no_upload() -> Refused:
    return Refused(404, "not_found", "There is no such upload.", f"begin one with POST {PATH}")
