"""Set security headers: those of every response, and the policy of a page."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

POLICY = "Content-Security-Policy"
REFERRER = "Referrer-Policy"
CLOSED = "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
"""Loads nothing and is framed by nobody. ``object-src`` follows from ``default-src``; scanners ask for it by name."""

STANDARD = {
    POLICY: f"{CLOSED}; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    REFERRER: "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-store",
}
SERVER = "Landfall"
"""aiohttp would name its version and Python's."""

TRANSPORT = "max-age=31536000; includeSubDomains"
"""A year, and the subdomains too: OWASP ASVS 5.0, 3.4.1."""

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


FILES = "style-src 'self'; img-src 'self'"
"""Of a page that loads its sheet and its pictures from this site."""


def page_policy(html: str, form_action: str = "'self'") -> str:
    """Return the policy of a page that has the style elements of ``html``, and no script.

    ``form_action`` says where forms may lead. Browsers hold redirects after a form to it too (Chromium does, Firefox
    does not), so a form whose answer leads to another site answers with a page that goes on by itself.
    """
    digests = [hashlib.sha256(style.encode()).digest() for style in _STYLE.findall(html)]
    styles = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"{CLOSED}; form-action {form_action}" + (f"; style-src {styles}" if styles else "")


def set_standard(response: web.StreamResponse, *, https: bool = False) -> None:
    """Add the standard headers that ``response`` lacks. ``https`` is whether people reach us by it, for HSTS."""
    for name, value in STANDARD.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = SERVER
    if https:
        response.headers["Strict-Transport-Security"] = TRANSPORT


def add_to(app: web.Application, *, https: bool = False) -> None:
    """Add the standard headers to every response of ``app``."""
    app.on_response_prepare.append(_setter(https=https))


def _setter(*, https: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def set_headers(_: web.Request, response: web.StreamResponse) -> None:
        set_standard(response, https=https)

    return set_headers
