"""What a linked page says of itself, whatever it holds, and nothing of our own network."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.runtime import http
from ops.runtime.http import Client
from publish.posting import link_preview
from publish.posting.errors import PostError
from publish.posting.link_preview import HEADERS, NoPreviewError, Preview, Previews, fetch_preview, read_preview
from tests.linked_site import linked_site

URL = "https://example.com/blog/post?x=1"


def preview(html: str | bytes, content_type: str = "text/html; charset=utf-8") -> Preview:
    return read_preview(html if isinstance(html, bytes) else html.encode(), content_type, URL)


def test_what_opengraph_says_comes_before_the_rest() -> None:
    found = preview("""<!doctype html><html><head>
        <title>Plain title</title>
        <meta name="description" content="Plain description">
        <meta name="twitter:title" content="Card">
        <meta property="og:title" content="Open &amp; graph &gt; all">
        <meta property="og:title" content="Second">
        <meta property="og:description" content="What   it
            says">
        <meta property="og:image" content="/images/1.jpg?a=1&amp;b=2">
        </head><body><svg><title>Drawing</title></svg></body></html>""")
    assert found == Preview(URL, "Open & graph > all", "What it says", "https://example.com/images/1.jpg?a=1&b=2")


def test_plain_page_has_a_title_and_a_description() -> None:
    found = preview('<title> A  <b>title</title><meta NAME="Description" content="x"><svg><title>Drawing</title></svg>')
    assert found == Preview(URL, "A <b>title", "x", "")


@pytest.mark.parametrize(
    "html", ["", "   ", "<p>text", "<title></title>", '<meta property="og:title" content=" ">', "\x00"]
)
def test_page_without_a_title_has_no_preview(html: str) -> None:
    with pytest.raises(NoPreviewError):
        preview(html)


@pytest.mark.parametrize(
    "image",
    ["javascript:alert(1)", "data:image/png;base64,AAAA", "file:///etc/passwd", "http://[", "/" * 3000],
)
def test_image_is_an_address_of_the_web_or_nothing(image: str) -> None:
    assert preview(f'<title>t</title><meta property="og:image" content="{image}">').image == ""


def test_text_is_short_visible_and_storable() -> None:
    found = preview(f'<title>{"t" * 5000}</title><meta name="description" content="a\x00b\u202ec &#0; &#xd800;">')
    assert len(found.title) == 300
    assert "\x00" not in found.description
    assert "\u202e" not in found.description
    found.description.encode()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("<title>Größe</title>".encode("cp1252"), "text/html; charset=ISO-8859-1"),
        ("<title>Größe</title>".encode("cp1252"), 'text/html;charset="windows-1252"'),
        ('<meta charset="iso-8859-15"><title>Größe</title>'.encode("iso-8859-15"), "text/html"),
        ("<title>Größe</title>".encode(), "text/html"),
        ("<title>Größe</title>".encode(), "text/html; charset=unknown"),
        ("<title>Größe</title>".encode(), "text/html; charset=punycode"),
        ("<title>Größe</title>".encode(), "text/html; charset=zip"),
        ("<title>Größe</title>".encode("utf-8-sig"), "text/html; charset=iso-8859-1"),
        ("<title>Größe</title>".encode("utf-16"), "text/html; charset=utf-16"),
        ('<?xml version="1.0" encoding="UTF-8"?><html><title>Größe</title></html>'.encode(), "application/xhtml+xml"),
    ],
)
def test_encoding_is_that_of_the_header_or_else_of_the_page(content: bytes, content_type: str) -> None:
    assert preview(content, content_type).title == "Größe"


@pytest.mark.parametrize(
    "part",
    [
        "<div>",
        "<b><i><a>",
        "<b a%d>",
        "<table>",
        "<select><option>",
        "<",
        "<!--",
        "<![CDATA[",
        "<?",
        "</p>",
        "&a",
        "<a ",
        '<a b="',
    ],
)
def test_hostile_page_is_read_in_time(part: str) -> None:
    began = time.monotonic()
    html = "<title>t</title>" + "".join(part.replace("%d", str(n)) for n in range(http.PAGE_BYTES // len(part)))
    assert preview(html[: http.PAGE_BYTES]).title == "t"
    assert time.monotonic() - began < 5


async def answer(request: web.Request) -> web.StreamResponse:
    what = request.match_info["what"]
    page = f"<title>{request.headers['User-Agent']}</title>"
    if what == "page":
        return web.Response(text=page, content_type="text/html")
    if what == "long":
        return web.Response(text=page + "x" * 3 * http.PAGE_BYTES, content_type="text/html")
    if what == "image":
        return web.Response(body=b"GIF89a", content_type="image/gif")
    if what == "moved":
        return web.Response(status=302, headers={"Location": "/page"})
    return web.Response(text=page, content_type="text/html", status=404)


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server that this machine takes for one on the internet."""
    monkeypatch.setattr(http, "outside", lambda _: True)
    app = web.Application()
    app.router.add_get("/{what}", answer)
    running = TestServer(app)
    await running.start_server()
    yield str(running.make_url("")).rstrip("/")
    await running.close()


async def test_link_is_followed_and_its_page_read(site: str) -> None:
    async with Client(frozenset()) as client:
        assert await fetch_preview(f"{site}/moved", client) == Preview(f"{site}/page", HEADERS["User-Agent"], "", "")
        assert (await fetch_preview(f"{site}/long", client)).title == HEADERS["User-Agent"]


@pytest.mark.parametrize(
    ("what", "why"), [("image", "leads to no HTML page"), ("gone", "answered with status 404"), ("", "status 404")]
)
async def test_what_is_no_page_has_no_preview(site: str, what: str, why: str) -> None:
    async with Client(frozenset()) as client:
        with pytest.raises(NoPreviewError, match=why):
            await fetch_preview(f"{site}/{what}", client)


async def test_link_into_our_own_network_has_no_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "NO_SERVER_SECONDS", 0.01)
    async with Client(frozenset({"127.0.0.1:1"})) as client:
        for url in ("http://127.0.0.1:1/", "http://localhost:1/", "file:///etc/passwd", "x"):
            with pytest.raises(NoPreviewError):
                await fetch_preview(url, client)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("inside", "no server on the internet has this name"),
        ("slow", "no complete answer within 0.3 seconds"),
        ("large", "has no title"),
        ("picture", "leads to no HTML page"),
    ],
)
async def test_reason_is_told_for_each_page_without_a_preview(
    path: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PAGE_SECONDS", 0.3)
    async with linked_site(monkeypatch) as (url, asked), Client(frozenset({url.removeprefix("http://")})) as client:
        with pytest.raises(NoPreviewError, match=why):
            await fetch_preview(f"{url}/{path}", client)
        assert asked == [f"/{path}"]


async def test_few_pages_are_fetched_for_a_tenant_at_once_and_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAGE_SECONDS", 0.5)
    async with linked_site(monkeypatch) as (url, asked), Client(frozenset()) as client:
        previews = Previews(client)
        slow = [asyncio.create_task(previews.of("a", f"{url}/slow")) for _ in range(link_preview.OF_A_TENANT)]
        await asyncio.sleep(0)
        with pytest.raises(PostError, match="are being looked at") as caught:
            await previews.of("a", f"{url}/tea")
        assert (caught.value.status, caught.value.code, caught.value.retryable) == (429, "rate_limit_exceeded", True)
        assert (await previews.of("b", f"{url}/tea")).title == "All about tea"
        assert all(isinstance(end, NoPreviewError) for end in await asyncio.gather(*slow, return_exceptions=True))
        monkeypatch.setattr(link_preview, "A_MINUTE", 3)
        await previews.of("a", f"{url}/tea")
        with pytest.raises(PostError, match="within a minute"):
            await previews.of("a", f"{url}/tea")
        assert asked.count("/tea") == 2
