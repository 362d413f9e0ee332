"""Show what a linked page says of itself: title, description and image, by OpenGraph (https://ogp.me) or plain HTML."""

import asyncio
import codecs
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from lxml import etree

from ops.runtime.http import Client, Unreachable
from ops.runtime.text import excerpt, storable
from publish.posting.errors import PostError

HEADERS = {"Accept": "text/html,application/xhtml+xml", "User-Agent": "Landfall link preview"}
TITLE_CHARACTERS, DESCRIPTION_CHARACTERS, ADDRESS_CHARACTERS = 300, 1000, 2000

OF_A_TENANT, AT_ONCE = 2, 8
"""Pages that one process fetches at the same time."""

A_MINUTE = 30
"""Pages that are fetched for one tenant by one process within 60 seconds: each is a request to somebody's server."""

_HTML = ("text/html", "application/xhtml+xml")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE | re.ASCII)
_ENCODINGS = re.compile(
    r"utf-8(-sig)?|utf-16(-[bl]e)?|cp(125\d|866|874|932|949|950)|iso8859-\d+|koi8-[ru]|mac-roman"
    r"|shift_jis|euc_(jp|kr)|iso2022_jp|gb(k|2312|18030)|big5",
    re.ASCII,
)
"""Those of the web (https://encoding.spec.whatwg.org), by Python's names."""

_DECLARED_WITHIN = 1024
"""In how many of its first bytes an HTML page declares its encoding."""

_TITLES = ("og:title", "twitter:title")
_DESCRIPTIONS = ("og:description", "twitter:description", "description")
_IMAGES = ("og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src")


class NoPreviewError(Exception):
    """The page has no preview; the text says why, and is for the person who named the link."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a page says of itself; "" for what it does not say. All text is storable, and short.

    ``url`` is where the link leads. ``image`` is an address that nobody has fetched yet.
    """

    url: str
    title: str
    description: str
    image: str


class Previews:
    """Fetches previews for tenants, of each as many at once and within a minute as is good for the servers asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: Counter[str] = Counter()
        self._begun: dict[str, deque[float]] = {}

    async def of(self, tenant: str, url: str) -> Preview:
        """Return the preview of a link that somebody of a tenant named.

        Raises NoPreviewError, and PostError with status 429 where the tenant has to wait.
        """
        with self._slot(tenant):
            return await fetch_preview(url, self._client)

    @contextmanager
    def _slot(self, tenant: str) -> Iterator[None]:
        now = time.monotonic()
        begun = self._begun.setdefault(tenant, deque())
        while begun and begun[0] <= now - 60:
            begun.popleft()
        if self._running[tenant] >= OF_A_TENANT or self._running.total() >= AT_ONCE:
            raise _wait(f"More than {OF_A_TENANT} pages are being looked at for you, or {AT_ONCE} for all.")
        if len(begun) >= A_MINUTE:
            raise _wait(f"{A_MINUTE} pages were looked at for you within a minute.")
        begun.append(now)
        self._running[tenant] += 1
        try:
            yield
        finally:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]


def _wait(message: str) -> PostError:
    return PostError("rate_limit_exceeded", message, "wait a minute", status=429, retryable=True)


class _Statements:
    """Collects what the elements of a page say by attributes, and its title, as the parser meets them."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self._said: dict[str, str] = {}
        self._in_title = self._after_title = False

    def first(self, names: tuple[str, ...]) -> str:
        """Return what the page says first under the first of these names that it has."""
        return next((self._said[name] for name in names if name in self._said), "")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        # Drawings have titles too, further down.
        self._in_title = tag == "title" and not self._after_title
        content = attributes.get("content", "")
        for key in ("property", "name"):
            if content.strip() and (name := attributes.get(key)):
                self._said.setdefault(name.strip().lower(), content)

    def end(self, tag: str) -> None:
        if tag == "title":
            self._in_title, self._after_title = False, True

    def data(self, text: str) -> None:
        if self._in_title:
            self.title.append(text)

    def close(self) -> None:
        """Take the end of the page, which the parser announces."""


async def fetch_preview(url: str, client: Client) -> Preview:
    """Fetch the preview of a link that a person named. Raises NoPreviewError."""
    try:
        page = await client.page(url, HEADERS)
    except Unreachable as error:
        raise NoPreviewError(str(error)) from None
    if page.status != 200:
        raise NoPreviewError(f"the page was answered with status {page.status}")
    kind = page.content_type.partition(";")[0].strip().lower()
    if kind not in _HTML:
        raise NoPreviewError("the link leads to no HTML page")
    # In a thread, so that a large page does not keep other requests waiting.
    return await asyncio.to_thread(read_preview, page.content, page.content_type, page.url)


def read_preview(content: bytes, content_type: str, url: str) -> Preview:
    """Read the preview from the beginning of a page. Raises NoPreviewError where it has not even a title."""
    said = _Statements()
    try:
        # A target, and no tree: to build one takes quadratic time where elements are nested deeply.
        etree.HTML(storable(_decoded(content, content_type)).encode(), etree.HTMLParser(target=said, encoding="utf-8"))
    except etree.LxmlError:
        raise NoPreviewError("the page holds no HTML") from None
    title = said.first(_TITLES) or "".join(said.title)
    preview = Preview(
        _address(url, url),
        _short(title, TITLE_CHARACTERS),
        _short(said.first(_DESCRIPTIONS), DESCRIPTION_CHARACTERS),
        _address(said.first(_IMAGES), url),
    )
    if not preview.title:
        raise NoPreviewError("the page has no title")
    return preview


def _short(text: str, limit: int) -> str:
    return excerpt(storable(text), limit)


def _address(text: str, base: str) -> str:
    """Return an absolute address of the web; "" for any other, such as ``javascript:``, and for what is too long."""
    try:
        url = urljoin(base, text.strip()) if text else ""
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        return ""
    return storable(url) if found and len(url) <= ADDRESS_CHARACTERS else ""


def _decoded(content: bytes, content_type: str) -> str:
    """Decode a page as its header says, or else its first bytes; as UTF-8 where neither names a known encoding."""
    beginning = content[:_DECLARED_WITHIN].decode("latin-1")
    if content.startswith(b"\xef\xbb\xbf"):
        name = "utf-8-sig"
    else:
        found = _CHARSET.search(content_type) or _CHARSET.search(beginning)
        name = found[1].lower() if found else "utf-8"
    return content.decode(_codec(name), "replace")


def _codec(name: str) -> str:
    """Return Python's name of an encoding that pages have. Others, such as punycode, decode in quadratic time."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        return "utf-8"
    if codec in ("iso8859-1", "ascii"):
        return "cp1252"  # what browsers read under these names
    return codec if _ENCODINGS.fullmatch(codec) else "utf-8"
