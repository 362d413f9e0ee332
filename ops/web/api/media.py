"""Files to be posted, for programs and for scripts of pages: send, list, show, convert, remove."""

import re
from collections.abc import Sequence

from aiohttp import hdrs, web

from ops.access.api_keys import Caller
from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.forms import path_id
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Site
from ops.web.uploading import configured, refusals, whole_file
from publish.media import links
from publish.media.inspection import Conversion
from publish.media.media_store import Media
from publish.media.uploads import Uploads

READ, WRITE = "posts:read", "posts:write"
PAGE_SIZE = 50
URL_CHARACTERS = 4000

_RATIO = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})")
_WIDEST = 20


class MediaApi:
    """``uploads`` is None where there is no storage for files."""

    def __init__(self, site: Site, uploads: Uploads | None) -> None:
        self._site = site
        self._uploads = uploads

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/api/media", self.add, streamed=WRITE),
            Route("GET", "/api/media", self.list),
            Route("GET", "/api/media/{id}", self.show),
            Route("POST", "/api/media/{id}/convert", self.convert, streamed=WRITE),
            Route("DELETE", "/api/media/{id}", self.remove),
            Route("GET", "/api/media/{id}/fetches", self.fetches),
        )

    async def add(self, request: web.Request) -> web.Response:
        """Take a file: the body itself, a form with a file, or JSON with the address of one."""
        caller = await self._site.authentication.require_writer(request, WRITE)
        uploads = configured(self._uploads)
        with refusals():
            media, new = await self._added(request, uploads, caller)
        return _shown(media, 201 if new else 200)

    async def _added(self, request: web.Request, uploads: Uploads, caller: Caller) -> tuple[Media, bool]:
        if request.content_type == "application/json":
            await forms.read(request)
            return await uploads.fetched(caller.tenant, caller.actor, _url(forms.document(request)))
        return await whole_file(request, uploads, caller)

    async def list(self, request: web.Request) -> web.Response:
        """Return the newest files, or those before the one that the query names."""
        caller = await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/connections")
        before = forms.parse_id(request.query["before"], no_file()) if "before" in request.query else None
        found = await configured(self._uploads).files(caller.tenant, before, PAGE_SIZE + 1)
        shown = found[:PAGE_SIZE]
        older = shown[-1].id if len(found) > PAGE_SIZE else None
        return web.json_response({"media": [each.document for each in shown], "before": older})

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        with refusals():
            found = await configured(self._uploads).known_file(caller.tenant, path_id(request, no_file()))
        redirect_browser(request, "/connections")
        return _shown(found, 200)

    async def fetches(self, request: web.Request) -> web.Response:
        """Show who fetched a file by the addresses that were made for platforms."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        redirect_browser(request, "/posts")
        id_ = path_id(request, no_file())
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            found = await links.fetches_about(connection, caller.tenant, id_)
        if found is None:
            raise no_file()
        return web.json_response({"fetches": [fetch.document for fetch in found]})

    async def convert(self, request: web.Request) -> web.Response:
        """Make another image of an image: in another format, smaller, or of another ratio."""
        caller = await self._site.authentication.require_writer(request, WRITE)
        uploads = configured(self._uploads)
        await forms.read(request)
        conversion = conversion_of(forms.document(request))
        with refusals():
            media, new = await uploads.converted(caller.tenant, caller.actor, path_id(request, no_file()), conversion)
        return _shown(media, 201 if new else 200)

    async def remove(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_writer(request, WRITE)
        with refusals():
            await configured(self._uploads).remove(caller.tenant, caller.actor, path_id(request, no_file()))
        return web.json_response({"removed": True})


def _shown(media: Media, status: int) -> web.Response:
    return web.json_response(media.document, status=status, headers={hdrs.LOCATION: f"/api/media/{media.id}"})


def _url(document: object) -> str:
    url = document.get("url") if isinstance(document, dict) else None
    if not isinstance(url, str) or not 0 < len(url) <= URL_CHARACTERS or not forms.is_storable(url):
        message = f'The body must be JSON such as {{"url": "https://…"}}, of at most {URL_CHARACTERS} characters.'
        raise Refused(400, "invalid_request", message, "name the address of a file, or send the file itself")
    return url


def conversion_of(document: object) -> Conversion:
    """Return what a request wants made of an image. Raises Refused."""
    given = document if isinstance(document, dict) else {"": None}
    unknown = sorted(set(given) - {"format", "longest", "ratio", "fit"})
    format_, longest, fit = given.get("format", "jpeg"), given.get("longest"), given.get("fit", "crop")
    found = _RATIO.fullmatch(ratio) if isinstance(ratio := given.get("ratio", "1:1"), str) else None
    width, height = (int(found[1]), int(found[2])) if found else (0, 1)
    fits = isinstance(longest, int) and not isinstance(longest, bool) and 1 <= longest <= 20_000
    if (
        unknown
        or format_ not in ("jpeg", "png")
        or fit not in ("crop", "pad")
        or not (longest is None or fits)
        or not 1 / _WIDEST <= width / height <= _WIDEST
    ):
        message = "It does not say what to make of the image."
        remedy = (
            'send JSON with some of "format": "jpeg" or "png", "longest": pixels of the longer side from 1 to 20000,'
            f' "ratio": such as "4:5", up to {_WIDEST}:1, and "fit": "crop" or "pad"'
        )
        raise Refused(400, "invalid_request", message, remedy)
    return Conversion(format_, longest, (width, height) if "ratio" in given else None, fit)


def no_file() -> Refused:
    return Refused(404, "not_found", "There is no such file.", "look at those that there are: GET /api/media")
