"""Who may ask the sandbox for something: programs of this machine, and pages of its own.

A page of any website can make a browser send requests here. It is told apart by two headers that it cannot choose: Host
is the website's name where that was made to resolve to this machine (DNS rebinding), and Origin is the website's own.
"""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

READING = ("GET", "HEAD", "OPTIONS")


def origin_check_middleware(listening: str) -> Middleware:
    """A middleware that refuses what another website may be behind. ``listening`` is the name or address of --host."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_ours(request, listening.lower()):
            text = "the sandbox answers to localhost and to its own address only; --host gives it another name"
            return web.json_response({"error": text}, status=421)
        if request.method not in READING and not _is_same_origin(request):
            return web.json_response({"error": "another website cannot ask for this"}, status=403)
        return await handler(request)

    return middleware


def _is_ours(request: web.Request, listening: str) -> bool:
    """Whether Host is a name that only this machine can give itself, or the address that the request came to."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        address = None if host in ("localhost", listening) else ipaddress.ip_address(host)
    except ValueError:
        return False
    came_to = request.get_extra_info("sockname") or ("",)
    return address is None or address.is_loopback or str(address) == came_to[0]


def _is_same_origin(request: web.Request) -> bool:
    """A program sends neither header; a browser sends one at least with everything that may change something."""
    own = f"{request.scheme}://{request.headers.get('Host', '')}".lower()
    return request.headers.get("Origin", own).lower() == own and request.headers.get("Sec-Fetch-Site", "none") in (
        "none",
        "same-origin",
    )
