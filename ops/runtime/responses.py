"""Build the answer to every failed request: one JSON shape for programs, a page with the same words for browsers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from string import Template
from typing import Literal

from aiohttp import HttpVersion11, hdrs, web
from multidict import istr

from ops.runtime import headers as standard
from ops.runtime.text import visible

Headers = Mapping[str, str] | Mapping[istr, str]

NO_STORE: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store"}

Code = Literal[
    "access_denied",
    "access_token_invalid",
    "bad_request",
    "body_broken",
    "body_too_large",
    "body_too_slow",
    "conflict",
    "content_encoding",
    "content_type",
    "csrf",
    "duplicate_event",
    "expectation_failed",
    "forbidden",
    "gone",
    "handshake_refused",
    "invalid_request",
    "invalid_scope",
    "invalid_signature",
    "method_not_allowed",
    "no_passkeys",
    "not_configured",
    "not_found",
    "not_ready",
    "overloaded",
    "processing_failed",
    "rate_limit_exceeded",
    "scope_not_authorized",
    "second_factor_required",
    "server_error",
    "spam_risk_too_many_pending_share",
    "stale",
    "too_late",
    "unauthorized",
    "unknown_platform",
    "unprocessable",
    "url_ownership_unverified",
]
"""Every code there is. Those of section 3 of the user's design have the meaning that they have there."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed. ``message`` says what happened, ``remedy`` what to do; empty where the message says both.

    ``retryable`` is whether the same request may succeed later. ``details`` is JSON, to which ``remedy`` is added.
    """

    status: int
    code: Code
    message: str
    remedy: str = ""
    retryable: bool = False
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, object]:
        """The JSON of the answer, in the shape of section 3 of the user's design."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": {"remedy": self.remedy or self.message, **self.details},
                "retryable": self.retryable,
                "userMessage": " ".join(_sentence(text) for text in (self.message, self.remedy) if text),
            }
        }


FAILURE: web.ResponseKey[Failure] = web.ResponseKey("failure", Failure)
"""What a page says that is the answer to a failed request, for :func:`suited`."""

# The standard library's templates: the web process of an installation without pages holds no other in memory.
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title · Landfall</title>
<style>
:root { color-scheme: light dark }
html { background: light-dark(#f6f7f9, #0d1420); color: light-dark(#131a26, #eef2f8) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } a { color: light-dark(#0b5cad, #8cc4ff) } .soft { color: light-dark(#525d70, #a7b3c6) }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p role="alert">$message</p>
<p>What to do: $remedy</p>
<p><a href="/">Go to the start page</a></p>
<p class="soft">$status</p>
</main>
</body>
</html>
""")


def page_headers(html: str) -> dict[str, str]:
    """Return the headers of a page with the style elements of ``html``.

    The referrer policy keeps codes in addresses from other sites. "no-referrer" would make browsers send our own forms
    with "Origin: null", as other sites' forms are sent.
    """
    return NO_STORE | {
        standard.REFERRER: "same-origin",
        "X-Frame-Options": "DENY",
        standard.POLICY: standard.page_policy(html),
    }


_PAGE_HEADERS = page_headers(_PAGE.template)


def wants_page(request: web.BaseRequest) -> bool:
    """Return whether a browser asks: it accepts HTML and does not name JSON."""
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, []))
    return "text/html" in accepted and "json" not in accepted


def error(
    request: web.BaseRequest, failure: Failure, *, headers: Headers | None = None, close: bool = False
) -> web.Response:
    """Build the answer to a request that failed: a page for a browser, JSON for anybody else.

    ``close`` ends the connection: the rest of the body is still on its way and nobody is going to read it.
    """
    response = _page(failure) if wants_page(request) else program_error(failure)
    response.headers.update(headers or {})
    if close:
        response.force_close()
    return response


def program_error(failure: Failure) -> web.Response:
    """Build the JSON answer, for whoever asks."""
    content = json.dumps(failure.body).encode()
    return web.Response(status=failure.status, body=content, content_type="application/json", headers=NO_STORE)


def _page(failure: Failure) -> web.Response:
    words = {
        "title": HTTPStatus(failure.status).phrase,
        "message": _sentence(failure.message),
        "status": f"Status {failure.status}",
        "remedy": _sentence(failure.remedy or failure.message, capital=False),
    }
    text = _PAGE.substitute({name: escape(visible(word)) for name, word in words.items()})
    return web.Response(status=failure.status, text=text, content_type="text/html", headers=_PAGE_HEADERS)


def suited(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Return ``response``, or for a program the JSON in place of a page that reports a failure."""
    failure = response.get(FAILURE)
    if failure is None or wants_page(request):
        return response
    plain = program_error(failure)
    plain.cookies.update(response.cookies)
    if hdrs.RETRY_AFTER in response.headers:
        plain.headers[hdrs.RETRY_AFTER] = response.headers[hdrs.RETRY_AFTER]
    return plain


def _sentence(text: str, *, capital: bool = True) -> str:
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def add_fallback(app: web.Application) -> None:
    """Answer whatever no other route of ``app`` answers. To be called after all routes are added."""
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", _not_found, expect_handler=expect)


async def expect(request: web.Request) -> web.Response | None:
    """Answer the header Expect, for every route: 417 for anything but 100-continue."""
    if request.version < HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        message = "of Expect only 100-continue is understood"
        failure = Failure(417, "expectation_failed", message, "send the request without the header Expect")
        return error(request, failure, close=True)
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


async def _not_found(request: web.Request) -> web.Response:
    """Answer 405 where the address has other methods, 308 where it exists without its last slash, else 404."""
    bare = request.path.rstrip("/")
    if bare and bare != request.path and await _answered(request, bare):
        # A trailing slash names the same address; 308 keeps method and body.
        url = request.rel_url
        address = url.raw_path.rstrip("/") + (f"?{url.raw_query_string}" if url.raw_query_string else "")
        return web.Response(status=308, headers=NO_STORE | {hdrs.LOCATION: address})
    methods: set[str] = set()
    for resource in request.app.router.resources():
        methods |= (await resource.resolve(request))[1]
    if named := sorted(methods - {hdrs.METH_ANY}):  # any method: that is the fallback itself
        return method_not_allowed(request, named)
    return error(request, Failure(404, "not_found", "there is nothing at this address", "check the address"))


async def _answered(request: web.Request, path: str) -> bool:
    """Return whether a route other than the fallback answers this path."""
    other = request.clone(rel_url=request.rel_url.with_path(path))
    for resource in request.app.router.resources():
        methods = (await resource.resolve(other))[1]
        if methods - {hdrs.METH_ANY}:
            return True
    return False


def method_not_allowed(request: web.Request, allowed: list[str]) -> web.Response:
    """Answer 405, naming the methods that the address takes."""
    message = f"this address takes {' and '.join(method for method in allowed if method != hdrs.METH_HEAD)}"
    remedy = "send it with one of these methods; in a browser, come by a link or a button of ours"
    return error(request, Failure(405, "method_not_allowed", message, remedy), headers={hdrs.ALLOW: ",".join(allowed)})
