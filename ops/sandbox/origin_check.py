"""Accept requests of programs on this machine and of the sandbox's own pages only.

A page of any website can make a browser send requests here. It is told apart by two headers that it cannot choose: Host
is the website's name where that was made to resolve to this machine (DNS rebinding), and Origin is the website's own.
"""

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

READING = ("GET", "HEAD", "OPTIONS")


def origin_check_middleware(listening: str) -> Middleware:
    """Return a middleware that refuses requests of other websites. ``listening`` is the value of --host."""

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
    """Return whether Host is a local name, or the address that the request came to."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        address = None if host in ("localhost", listening) else ipaddress.ip_address(host)
    except ValueError:
        return False
    came_to = request.get_extra_info("sockname") or ("",)
    return address is None or address.is_loopback or str(address) == came_to[0]


def _is_same_origin(request: web.Request) -> bool:
    """Return whether no other website sent this. Programs send neither header, browsers at least one with a change."""
    own = f"{request.scheme}://{request.headers.get('Host', '')}".lower()
    return request.headers.get("Origin", own).lower() == own and request.headers.get("Sec-Fetch-Site", "none") in (
        "none",
        "same-origin",
    )
