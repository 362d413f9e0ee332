"""Who reads the response: a program or a browser. For addresses that serve both, and for those of programs alone."""

from aiohttp import hdrs, web

from ops.runtime.responses import wants_page
from ops.web.responses import EarlyResponse, redirect


def is_browser(request: web.Request) -> bool:
    """Return whether a browser asks, at an address of programs: it accepts HTML and sends no key."""
    return hdrs.AUTHORIZATION not in request.headers and wants_page(request)


def accepts_json(request: web.Request) -> bool:
    """Return whether a program asks, at an address to which platforms and pages send browsers."""
    return "application/json" in request.headers.get(hdrs.ACCEPT, "")


def redirect_browser(request: web.Request, page: str) -> None:
    """Raises EarlyResponse for a browser at an address that answers in JSON: to the page that shows the same."""
    if is_browser(request):
        raise EarlyResponse(redirect(page))
