"""The one way out: time-outs on everything, small answers only, no redirects, and no way into our own network.

Query strings and bodies carry tokens, so nothing here puts either into a log or an error.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from ops.runtime.text import parsed_json, storable

CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 15.0
ANSWER_BYTES = 2 * 2**20
TRIES, PAUSE_SECONDS = 3, 0.3
CARRIERS = [IPv6Network(prefix) for prefix in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")]
"""NAT64, the compatible and the translated form: the last 32 bits of an address are an IPv4 one."""

LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
"""A network translates from it as it pleases, so nobody outside may name it."""


class Unreachable(Exception):  # noqa: N818  an answer
    """There was no answer; the text names the host and never the rest of the address. ``sent``: it may have arrived."""

    def __init__(self, host: str, why: str, *, sent: bool) -> None:
        super().__init__(f"{host}: {why}")
        self.sent = sent


class ForbiddenError(OSError):
    """The address leads into a network that nobody outside may name."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``content`` is parsed JSON; None where the answer was none. ``headers`` are named in lower case.

    All text in both is storable: ``ops/runtime/text.py``.
    """

    status: int
    content: Any
    headers: Mapping[str, str]


def public(address: str) -> bool:
    """Whether anybody on the internet could be at this address. IPv6 that carries IPv4 inside is judged by that too."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    judged: list[IPv4Address | IPv6Address] = [ip]
    if isinstance(ip, IPv6Address):
        if ip in LOCAL_NAT64 or ip.is_site_local:
            return False
        carried = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if any(ip in carrier for carrier in CARRIERS):
            carried.append(IPv4Address(int(ip) & 0xFFFFFFFF))
        inner = [found for found in carried if found is not None]
        # A mapped address is not "global" itself; what it carries decides.
        judged = inner or [ip]
    return all(found.is_global and not found.is_multicast for found in judged)


class Client:
    """Sessions that are closed together. ``trusted`` hosts are the platforms' own, or a sandbox; all others are held to
    public addresses, on the address that is really connected to.
    """

    def __init__(self, trusted: frozenset[str]) -> None:
        self._trusted = trusted
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        limit = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
        for guarded in (False, True):
            factory: Callable[[Any], socket.socket] | None = _guarded if guarded else None
            connector = aiohttp.TCPConnector(limit=50, socket_factory=factory, ttl_dns_cache=60)
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
        query: Any = None,
        form: Any = None,
        body: Any = None,
        headers: Any = None,
        repeatable: bool,
    ) -> Reply:
        """Raises Unreachable. Only ``repeatable`` requests are sent again, after a pause of no fixed length.

        An answer that says when to come again is handed on: the pauses here are shorter than any such wish.
        """
        for attempt in range(1, TRIES + 1):
            last = attempt == TRIES or not repeatable
            try:
                reply = await self._once(method, url, query=query, form=form, body=body, headers=headers)
            except Unreachable:
                if last:
                    raise
            else:
                if reply.status < 500 or last or "retry-after" in reply.headers:
                    return reply
            await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  no secret
        raise AssertionError("unreachable")

    async def _once(self, method: str, url: str, *, query: Any, form: Any, body: Any, headers: Any) -> Reply:
        host = _host(url)
        session = self._sessions[host not in self._trusted]
        options = {"params": query or None, "data": form, "json": body, "headers": headers}
        try:
            async with session.request(method, url, allow_redirects=False, **options) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(65_536):
                    content += chunk
                    if len(content) > ANSWER_BYTES:
                        raise Unreachable(host, f"its answer is longer than {ANSWER_BYTES} bytes", sent=True)
                named = {name.lower(): storable(value) for name, value in response.headers.items()}
                return Reply(response.status, parsed_json(bytes(content)), named)
        except Unreachable:
            raise
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(host, _why(error), sent=False) from None
        except aiohttp.InvalidURL:
            raise Unreachable(host, "it is no address", sent=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(host, type(error).__name__, sent=True) from None


def _guarded(info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if not public(str(address[0])):
        raise ForbiddenError(f"{address[0]} is not a public address")
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


def _why(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError):  # that of a certificate has no os_error
        return "it does not prove who it is: TLS failed"
    return "its address is not a public one" if isinstance(error.os_error, ForbiddenError) else "not reached"
