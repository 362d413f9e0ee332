"""How an error is answered: JSON for a program, a page with the same words for a browser."""

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from string import Template
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from ops.runtime import headers as standard
from ops.runtime.text import visible

NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}

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
html { background: light-dark(#ffffff, #111827); color: light-dark(#111827, #f3f4f6) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } a { color: light-dark(#1d4ed8, #93c5fd) } .soft { color: light-dark(#5b6472, #a8b0bd) }
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


def page_headers(html: str) -> dict[Any, str]:
    """Headers of a page with the style elements of ``html``.

    Neither the code in an address nor the page itself goes any further, and nobody frames it. "no-referrer" would make
    browsers send a form of ours with "Origin: null", which is what a stranger sends.
    """
    return NO_STORE | {
        standard.REFERRER: "same-origin",
        "X-Frame-Options": "DENY",
        standard.POLICY: standard.page_policy(html),
    }


_PAGE_HEADERS = page_headers(_PAGE.template)


def wants_page(request: web.BaseRequest) -> bool:
    """Whether a browser asks: it takes HTML and does not name JSON."""
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, []))
    return "text/html" in accepted and "json" not in accepted


def error(
    request: web.BaseRequest,
    status: int,
    body: Mapping[str, Any],
    *,
    remedy: str = "",
    headers: Mapping[Any, str] | None = None,
    close: bool = False,
) -> web.Response:
    """The answer to a request that failed.

    ``body`` is the JSON, with ``message`` and mostly ``remedy``; a page says the same, and ``remedy`` given beside it
    where the JSON has none. ``close`` ends the connection: the rest of the body is still on its way and nobody is going
    to read it.
    """
    if wants_page(request):
        title = HTTPStatus(status).phrase
        words = {"title": title, "message": _sentence(body["message"]), "status": f"Status {status}"}
        words["remedy"] = _sentence(body.get("remedy") or remedy, capital=False)
        text = _PAGE.substitute({name: escape(visible(word)) for name, word in words.items()})
        response = web.Response(status=status, text=text, content_type="text/html", headers=_PAGE_HEADERS)
    else:
        content = json.dumps(body).encode()
        response = web.Response(status=status, body=content, content_type="application/json", headers=NO_STORE)
    response.headers.update(headers or {})
    if close:
        response.force_close()
    return response


def _sentence(text: str, *, capital: bool = True) -> str:
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


def add_nothing_here(app: web.Application) -> None:
    """Answer whatever no route of ``app`` does; to be called when all the others are there."""
    app.router.add_route(hdrs.METH_ANY, "/{path:.*}", _nothing_here, expect_handler=expect)


async def expect(request: web.Request) -> web.Response | None:
    """Answer the header Expect, for every route that is added: 417 for what nobody here can promise."""
    if request.version < HttpVersion11:
        return None
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        body = {
            "error": "expectation_failed",
            "message": "of Expect only 100-continue is understood",
            "retry": False,
            "remedy": "send the request without the header Expect",
        }
        return error(request, 417, body, close=True)
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


async def _nothing_here(request: web.Request) -> web.Response:
    """What no route answers: 405 where another method would find something, 404 where nothing is."""
    bare = request.path.rstrip("/")
    if bare and bare != request.path and await _answered(request, bare):
        # An address with a slash at its end is the same one; 308 keeps method and body.
        url = request.rel_url
        address = url.raw_path.rstrip("/") + (f"?{url.raw_query_string}" if url.raw_query_string else "")
        return web.Response(status=308, headers=NO_STORE | {hdrs.LOCATION: address})
    methods: set[str] = set()
    for resource in request.app.router.resources():
        methods |= (await resource.resolve(request))[1]
    if named := sorted(methods - {hdrs.METH_ANY}):  # any method: that is this route itself
        return wrong_method(request, named)
    body = {"error": "not_found", "retry": False, "message": "there is nothing at this address"}
    return error(request, 404, body, remedy="check the address")


async def _answered(request: web.Request, path: str) -> bool:
    """Whether a route answers this path, other than the one for what no route answers."""
    other = request.clone(rel_url=request.rel_url.with_path(path))
    for resource in request.app.router.resources():
        methods = (await resource.resolve(other))[1]
        if methods - {hdrs.METH_ANY}:
            return True
    return False


def wrong_method(request: web.Request, allowed: list[str]) -> web.Response:
    """405, naming the methods that the address takes."""
    message = f"this address takes {' and '.join(method for method in allowed if method != hdrs.METH_HEAD)}"
    body = {"error": "method_not_allowed", "retry": False, "message": message}
    headers = {hdrs.ALLOW: ",".join(allowed)}
    return error(request, 405, body, remedy="come by a link or a button of ours", headers=headers)
