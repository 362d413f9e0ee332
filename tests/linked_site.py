"""A web site that this machine takes for one on the internet, whose pages say something of themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.runtime import http
from tests import media_samples

OUTSIDE, INSIDE = "127.0.0.1", "127.0.0.2"
"""Addresses of this machine: one that counts as the internet here, and one that does not."""

TEA = """<!doctype html><html><head><title>Plain</title><meta property="og:title" content="All about tea">
<meta property="og:description" content="Green &amp; black"><meta property="og:image" content="/cup.jpg">"""


PAGES = {
    "/tea": TEA,
    "/webp": TEA.replace("cup.jpg", "cup.webp"),
    "/broken": TEA.replace("cup.jpg", "gone.jpg"),
    "/large": "<p>" + "x" * 3 * http.PAGE_BYTES,
}


@asynccontextmanager
async def linked_site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, list[str]]]:
    """Yield its address and the paths that were asked for."""
    monkeypatch.setattr(http, "outside", lambda address: address == OUTSIDE)
    monkeypatch.setattr(http, "NO_SERVER_SECONDS", 0.01)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        if request.path in PAGES:
            return web.Response(text=PAGES[request.path], content_type="text/html")
        match request.path:
            case "/cup.jpg" | "/cup.webp":
                form = {"/cup.jpg": "JPEG", "/cup.webp": "WEBP"}[request.path]
                return web.Response(body=media_samples.image(form, (640, 640)), content_type="image/any")
            case "/slow":
                await asyncio.sleep(5)
            case "/inside":
                return web.Response(status=302, headers={"Location": f"http://{INSIDE}:{request.url.port}/tea"})
            case "/picture":
                return web.Response(body=b"GIF89a", content_type="image/gif")
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    async with TestServer(app, host=OUTSIDE) as server:
        yield str(server.make_url("")).rstrip("/"), asked
