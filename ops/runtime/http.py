"""The one way out: time-outs on everything, and no way into our own network.

Answers are small and redirects are not followed, but those of a page that is only looked at, and of a file, which is
read piece by piece; each redirect is held to the same.

Query strings and bodies carry tokens, so nothing here puts either into a log or an error.
"""

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import ResolveResult
from aiohttp.payload import AsyncIterablePayload
from yarl import URL

from ops.runtime.origins import host_of
from ops.runtime.platform_protocol import FilePart
from ops.runtime.text import parsed_json, storable

CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 15.0
ANSWER_BYTES = 2 * 2**20
TRIES, PAUSE_SECONDS = 3, 0.3
PAGE_SECONDS, PAGE_BYTES = 10.0, 512 * 2**10
REDIRECTS = 5
_REDIRECT = (301, 302, 303, 307, 308)
NO_SERVER_SECONDS = 2.0
"""How long it takes at least to say that no public server has a name: it must not show whether an inner one has."""

CARRIERS = [IPv6Network(prefix) for prefix in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")]
"""NAT64, the compatible and the translated form: the last 32 bits of an address are an IPv4 one."""

ISATAP = 0x5EFE
"""The 32 bits before an IPv4 address that is reached through a tunnel (RFC 5214 6.1), but for the universal bit."""

GIVEN_OUT = IPv6Network("2000::/3")
"""All of IPv6 that IANA has given out for the internet. Outside are 64:ff9b:1::/48, 100::/64, 5f00::/16, fec0::/10."""

SPECIAL = [
    ip_network(prefix)
    for prefix in (
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
]
"""Of IANA's two registries of special-purpose addresses, what Python's ``ipaddress`` takes for global in some version:
protocol assignments, relays, sinks and documentation. No server that a person names is there.
"""


OpenPart = Callable[[FilePart], AsyncIterator[bytes]]
"""Reads a part of a stored file."""

LEAST_BYTES_PER_SECOND = 65_536
"""A body that is sent slower than this is given up: the time for a request grows with the files in it."""


class Unreachable(Exception):  # noqa: N818  an answer
    """There was no answer; the text names the host and never the rest of the address. ``sent``: it may have arrived."""

    def __init__(self, host: str, why: str, *, sent: bool) -> None:
        super().__init__(f"{host}: {why}")
        self.sent = sent


class NoServer(Unreachable):
    """No public server has this name: it is unknown, or leads into a network that nobody outside may name.

    The two are not told apart, so that nobody learns by asking which inner names there are.
    """

    def __init__(self, host: str) -> None:
        super().__init__(host, "no server on the internet has this name", sent=False)


class ForbiddenError(OSError):
    """The address leads into a network that nobody outside may name."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``content`` is parsed JSON; None where the answer was none. ``headers`` are named in lower case.

    All text in both is storable: ``ops/runtime/text.py``.
    """

    status: int
    content: object
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """The beginning of a page, at most ``PAGE_BYTES`` of it. ``url`` is where the redirects led.

    ``content_type`` is the header as it came. The bytes are as they came: a page that was compressed, though that was
    not asked for, cannot be read.
    """

    url: str
    status: int
    content: bytes
    content_type: str


def public(address: str) -> bool:
    """Whether a server on the internet could be there. IPv6 that carries IPv4 inside is judged by that too."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return _is_ordinary(ip)
    if (int(ip) >> 32) & 0xFDFFFFFF == ISATAP and not _is_ordinary(_last_bits(ip)):
        return False
    carried = ip.ipv4_mapped or ip.sixtofour
    if carried is None and any(ip in carrier for carrier in CARRIERS):
        carried = _last_bits(ip)
    # What carries another address is not "global" itself; what it carries decides.
    return _is_ordinary(carried) if carried is not None else ip in GIVEN_OUT and _is_ordinary(ip)


def _last_bits(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)


def _is_ordinary(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL)


def outside(address: str) -> bool:
    """Whether a server on the internet is there, and not this machine under an address that the internet knows.

    A firewall in front of this machine does not see what it sends to itself.
    """
    return public(address) and not _is_own(address)


def _is_own(address: str) -> bool:
    """Whether this machine has the address: what is sent there would come from there. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == probe.getpeername()[0])
        except OSError:  # there is no way there, and so it is not ours
            return False


class _Resolver(aiohttp.ThreadedResolver):
    """The system's resolver, which remembers the names it is still looking up: a look-up goes on after its time-out."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.pending.append(host)
        try:
            return await super().resolve(host, port, family)
        finally:
            self.pending.remove(host)


class _Sized(AsyncIterablePayload):
    """A stream whose length is known, so that it is not sent in chunks, which not every platform takes."""

    def __init__(self, part: FilePart, stream: AsyncIterator[bytes]) -> None:
        super().__init__(stream, content_type=part.content_type, filename=part.file_name)
        self._size = part.length


@dataclass(frozen=True, slots=True)
class _Body:
    """What is sent with a request; made anew for each try, since a stream is read once."""

    form: Mapping[str, str] | None
    json: object
    content: FilePart | None
    files: Mapping[str, FilePart]
    open_part: OpenPart | None

    @property
    def seconds(self) -> float:
        """How long the request may take."""
        parts = [*self.files.values(), *([self.content] if self.content is not None else [])]
        return TOTAL_SECONDS + sum(part.length for part in parts) // LEAST_BYTES_PER_SECOND

    def data(self) -> object:
        if self.content is not None:
            return self._payload(self.content)
        if not self.files:
            return self.form
        multipart = aiohttp.FormData(dict(self.form or {}), default_to_multipart=True)
        for name, part in self.files.items():
            multipart.add_field(name, self._payload(part), content_type=part.content_type, filename=part.file_name)
        return multipart

    def _payload(self, part: FilePart) -> _Sized:
        if self.open_part is None:
            raise ValueError("there is nothing to read files with")
        return _Sized(part, self.open_part(part))


DOWNLOAD_SECONDS = 900.0
PAUSE_OF_SENDER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Download:
    """The answer to a request for a file. ``length`` is as announced, None where it is not."""

    status: int
    length: int | None
    content: AsyncIterator[bytes]


class Client:
    """Sessions that are closed together. ``trusted`` hosts are the platforms' own, or a sandbox; all others are held to
    public addresses, on the address that is really connected to, and so is whatever a person names the address of.

    Nobody leads us to ourselves either, by the name in ``own_url``: our own pages would be asked by a server that they
    may take for somebody else. A name that leads to the same address is not known here, as a proxy in front may serve
    many.
    """

    def __init__(self, trusted: frozenset[str], own_url: str = "") -> None:
        self._trusted = trusted
        self._own = _name_of(own_url)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._resolver: _Resolver

    async def __aenter__(self) -> Self:
        limit = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
        self._resolver = _Resolver()
        for guarded in (False, True):
            factory: Callable[[aiohttp.AddrInfoType], socket.socket] | None = _guarded if guarded else None
            connector = aiohttp.TCPConnector(
                limit=50, socket_factory=factory, ttl_dns_cache=60, resolver=self._resolver
            )
            self._sessions[guarded] = aiohttp.ClientSession(
                connector=connector, timeout=limit, cookie_jar=aiohttp.DummyCookieJar(), trust_env=not guarded
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()

    async def ask(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        content: FilePart | None = None,
        files: Mapping[str, FilePart] | None = None,
        open_part: OpenPart | None = None,
        repeatable: bool,
    ) -> Reply:
        """Raises Unreachable. Only ``repeatable`` requests are sent again, after a pause of no fixed length.

        An answer that says when to come again is handed on: the pauses here are shorter than that. ``content`` and
        ``files`` are read by ``open_part`` while they are sent, a piece at a time.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sent = _Body(form, body, content, files or {}, open_part)
        try:
            return await self._tried(method, url, query, sent, headers, repeatable=repeatable)
        except NoServer:
            await asyncio.sleep(begun + NO_SERVER_SECONDS - loop.time())
            raise

    async def page(self, url: str, headers: Mapping[str, str]) -> Page:
        """Fetch the beginning of a page that a person names, from public addresses only. Raises Unreachable.

        The platforms' own hosts, and a sandbox, are held to public addresses here too, and so is each redirect.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                return await self._redirected(url, headers)
        except TimeoutError:
            raise Unreachable(_host(url), f"no complete answer within {PAGE_SECONDS:g} seconds", sent=True) from None
        except NoServer:
            await asyncio.sleep(begun + NO_SERVER_SECONDS - loop.time())
            raise

    async def _redirected(self, url: str, headers: Mapping[str, str]) -> Page:
        # Not compressed: a few bytes of a page that anybody names could unfold to more than the memory holds.
        plain = {**headers, "Accept-Encoding": "identity"}
        for _ in range(REDIRECTS + 1):
            async with self._exchange("GET", url, guarded=True, headers=plain, auto_decompress=False) as response:
                location = response.headers.get("Location", "")
                if response.status not in _REDIRECT or not location:
                    content = await _beginning(response)
                    kind = storable(response.headers.get("Content-Type", ""))
                    return Page(url, response.status, content, kind)
                response.close()
                url = urljoin(url, location)
        raise Unreachable(_host(url), f"more than {REDIRECTS} redirects", sent=True)

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[Download]:
        """Ask for a file that a person names, from public addresses only, as :meth:`page`; redirects are followed.

        Raises Unreachable, also while the content is read.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        limit = aiohttp.ClientTimeout(
            total=DOWNLOAD_SECONDS, connect=CONNECT_SECONDS, sock_read=PAUSE_OF_SENDER_SECONDS
        )
        for _ in range(REDIRECTS + 1):
            host = _host(url)
            try:
                with self._explained(host, DOWNLOAD_SECONDS, guarded=True):
                    response = await self._sessions[True].get(
                        url, allow_redirects=False, timeout=limit, headers={hdrs.ACCEPT_ENCODING: "identity"}
                    )
            except NoServer:
                await asyncio.sleep(begun + NO_SERVER_SECONDS - loop.time())
                raise
            async with response:
                onward = response.headers.get(hdrs.LOCATION, "")
                if response.status not in _REDIRECT or not onward:
                    yield Download(response.status, response.content_length, self._pieces(host, response))
                    return
                try:
                    url = urljoin(url, onward)
                except ValueError:
                    raise Unreachable(host, "it leads on to what is no address", sent=True) from None
        raise Unreachable(host, f"it leads on more than {REDIRECTS} times", sent=True)

    async def _pieces(self, host: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        with self._explained(host, DOWNLOAD_SECONDS, guarded=True):
            async for piece in response.content.iter_chunked(65_536):
                yield piece

    async def _tried(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        body: "_Body",
        headers: Mapping[str, str] | None,
        *,
        repeatable: bool,
    ) -> Reply:
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES or not repeatable
            try:
                reply = await self._once(method, url, query=query, body=body, headers=headers)
            except Unreachable:
                if last:
                    raise
            else:
                if reply.status < 500 or last or "retry-after" in reply.headers:
                    return reply
            await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  no secret
        raise AssertionError("unreachable")

    async def _once(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None,
        body: "_Body",
        headers: Mapping[str, str] | None,
    ) -> Reply:
        host = _host(url)
        options = {"params": query or None, "data": body.data(), "json": body.json, "headers": headers}
        options["timeout"] = aiohttp.ClientTimeout(total=body.seconds, connect=CONNECT_SECONDS)
        async with self._exchange(method, _address(url), guarded=host not in self._trusted, **options) as response:
            content = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                content += chunk
                if len(content) > ANSWER_BYTES:
                    raise Unreachable(host, f"its answer is longer than {ANSWER_BYTES} bytes", sent=True)
            named = {name.lower(): storable(value) for name, value in response.headers.items()}
            return Reply(response.status, parsed_json(bytes(content)), named)

    @asynccontextmanager
    async def _exchange(
        self, method: str, url: str | URL, *, guarded: bool, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and turn whatever goes wrong until its response was read into Unreachable."""
        host, limit = _host(str(url)), options.get("timeout")
        seconds = limit.total if isinstance(limit, aiohttp.ClientTimeout) and limit.total else TOTAL_SECONDS
        with self._explained(host, seconds, guarded=guarded):
            async with self._sessions[guarded].request(method, url, allow_redirects=False, **options) as response:
                yield response

    @contextmanager
    def _explained(self, host: str, seconds: float, *, guarded: bool) -> Iterator[None]:
        """Raise Unreachable for whatever goes wrong between here and ``host``, which has ``seconds`` to answer.

        A guarded request to our own address is not made.
        """
        if guarded and self._own and _name_of(f"//{host}") == self._own:
            raise NoServer(host)
        try:
            yield
        except Unreachable:
            raise
        except aiohttp.ClientConnectorError as error:
            if guarded and (
                isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(error.os_error, ForbiddenError)
            ):
                raise NoServer(host) from None
            raise Unreachable(host, _why(error), sent=False) from None
        except aiohttp.ConnectionTimeoutError:
            pending = urlsplit(f"//{host}").hostname in self._resolver.pending
            why = "its name was not resolved" if pending else "no connection"
            raise Unreachable(host, f"{why} within {CONNECT_SECONDS:g} seconds", sent=False) from None
        except aiohttp.InvalidURL:
            raise Unreachable(host, "it is no address", sent=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(host, _what_was_lost(error, seconds), sent=True) from None


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        content += chunk
        if len(content) >= PAGE_BYTES:
            response.close()  # the rest is not waited for
            break
    return bytes(content[:PAGE_BYTES])


def _guarded(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = info
    if not outside(str(address[0])):
        raise ForbiddenError("not a public address")  # one text for all: of several that differ, no type is left
    return socket.socket(family, kind, protocol)


def _host(url: str) -> str:
    """Host and port, without whoever is named before them. Raises Unreachable for what leads nowhere on the web."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unreachable("an address", "it makes no sense", sent=False) from None
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not host:
        raise Unreachable(host or "an address", "it is not one of the web", sent=False)
    return host


def _name_of(url: str) -> str:
    """Return the host of an address in its one spelling, without a port; empty where it has none."""
    try:
        return host_of(urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


_WRITTEN = re.compile(r"https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?")
"""An address of characters that it may have, without a name before the host and without a fragment."""


def _address(url: str) -> str | URL:
    """Return an address that is sent byte for byte where it can be.

    An upload address may be signed as it is, and a key in a path must stay encoded (``linkedin.md`` 3).
    """
    return URL(url, encoded=True) if _WRITTEN.fullmatch(url) else url


def _why(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError):  # that of a certificate has no os_error
        return "it does not prove who it is: TLS failed"
    return "not reached"


def _what_was_lost(error: Exception, seconds: float) -> str:
    """What went wrong once there was a connection."""
    if isinstance(error, TimeoutError):
        silent = isinstance(error, aiohttp.SocketTimeoutError)
        lacking, within = ("nothing", PAUSE_OF_SENDER_SECONDS) if silent else ("no complete answer", seconds)
        return f"{lacking} within {within:g} seconds"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer was cut short or is damaged"
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is not HTTP"
    if isinstance(error, OSError):
        return "the connection broke"
    return "the request failed"
