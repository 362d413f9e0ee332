"""Serve the style sheet, scripts and pictures of the pages."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePath

from aiohttp import ETag, hdrs, web

from ops.runtime import responses
from ops.runtime.responses import Failure

PATH = "/static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"
"""Of an address that names the content: other content has another address."""

FILES: Mapping[str, bytes] = {
    found.name: found.read_bytes() for found in files("ops.web").joinpath("static").iterdir() if found.is_file()
}
_DIGESTS = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in FILES.items()}


def address(name: str) -> str:
    """Return the address of a file, which changes with its content. Raises KeyError."""
    return f"{PATH}/{name}?v={_DIGESTS[name]}"


async def serve(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    content = FILES.get(name)
    if content is None:
        return responses.error(request, Failure(404, "not_found", "There is no such file.", "load the page again"))
    tag = _DIGESTS[name]
    headers = {hdrs.CACHE_CONTROL: FOR_GOOD if request.query.get("v") == tag else "no-cache"}
    if any(known.value == tag for known in request.if_none_match or ()):
        response = web.Response(status=304, headers=headers)
    else:
        response = web.Response(body=content, content_type=TYPES[PurePath(name).suffix], headers=headers)
    response.etag = ETag(tag)
    return response
