"""The way out: which addresses are public, what is never sent twice, and what no error shows."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ops.runtime import http
from ops.runtime.http import Client, Unreachable, public

SPECIAL_PURPOSE = [
    ip_network(prefix)
    for prefix in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "224.0.0.0/4"),
        *("::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32"),
        *("2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
]
"""IANA's registries of special-purpose addresses, with multicast and what was given back."""


def edges(network: IPv4Network | IPv6Network) -> list[IPv4Address | IPv6Address]:
    """The first, the middle and the last one, once each."""
    return list(dict.fromkeys((network[0], network[network.num_addresses // 2], network[-1])))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::",
        "2001:0:7f00:1::",
        "64:ff9b:1::808:808",
        "::127.0.0.1",
        "::a00:1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "2001:db8::1",
        *(str(address) for network in SPECIAL_PURPOSE for address in edges(network)),
        *(f"::ffff:{network[1]}" for network in SPECIAL_PURPOSE if network.version == 4),
        "64:ff9b::192.88.99.1",
        "2002:c058:6301::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:127.0.0.1",
        "not an address",
        "",
    ],
)
def test_inner_addresses_are_not_public_whatever_they_are_wrapped_in(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
        *("192.0.1.1", "192.88.98.1", "192.88.100.1", "2001:200::1", "2003::1", "2606:4700::5efe:8.8.8.8"),
    ],
)
def test_outer_addresses_are_public(address: str) -> None:
    assert public(address)


SQUEEZED = gzip.compress(b" " * (http.ANSWER_BYTES + 1))
ANSWERS: dict[str, dict[str, Any]] = {
    "big": {"body": b"x" * (http.ANSWER_BYTES + 1)},
    "bomb": {"body": SQUEEZED, "headers": {"Content-Encoding": "gzip"}},
    "html": {"text": "<h1>502</h1>", "content_type": "text/html", "status": 502},
    "away": {"status": 302, "headers": {"Location": "/inner"}},
    "busy": {"status": 503, "headers": {"Retry-After": "30", "X-Rate-Limit-Remaining": "0"}},
    "mislabelled": {"text": '{"n": 1}', "content_type": "text/javascript"},
    "binary": {"body": bytes(range(256)), "content_type": "application/json"},
}


class FaultyServer:
    def __init__(self) -> None:
        self.calls = 0
        self.url = ""
        self.path = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        self.path = request.raw_path
        what = request.match_info["what"]
        if what in ANSWERS:
            return web.Response(**ANSWERS[what])
        if what == "flaky":
            return web.json_response({"n": self.calls}, status=200 if self.calls > 2 else 503)
        if what == "slow":
            await asyncio.sleep(30)
        short = web.StreamResponse(headers={"Content-Length": "100"})
        assert request.transport is not None
        if what == "cut":
            await short.prepare(request)
            await short.write(b'{"n": ')
            request.transport.close()
        else:
            request.transport.abort()
        return short


NOWHERE = "no server on the internet has this name"


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyServer]:
    monkeypatch.setattr(http, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(http, "NO_SERVER_SECONDS", 0.01)
    found = FaultyServer()
    app = web.Application()
    app.router.add_route("*", "/{what}", found.answer)
    running = TestServer(app)
    await running.start_server()
    found.url = str(running.make_url("")).rstrip("/")
    yield found
    await running.close()


async def ask(
    faulty: FaultyServer, what: str, *, trusted: bool = True, repeatable: bool = False, **options: Any
) -> Any:
    hosts = frozenset({faulty.url.removeprefix("http://")} if trusted else set[str]())
    async with Client(hosts) as client:
        method = "GET" if repeatable else "POST"
        return await client.ask(method, f"{faulty.url}/{what}", repeatable=repeatable, **options)


async def test_only_what_may_be_repeated_is_sent_again(faulty: FaultyServer) -> None:
    assert (await ask(faulty, "flaky", repeatable=True)).content == {"n": 3}
    faulty.calls = 0
    assert (await ask(faulty, "flaky")).status == 503
    assert faulty.calls == 1
    for repeatable, calls in ((False, 1), (True, 2 * http.TRIES)):  # aiohttp asks again by itself what is no POST
        faulty.calls = 0
        with pytest.raises(Unreachable) as lost:
            await ask(faulty, "dropped", repeatable=repeatable)
        assert lost.value.sent
        assert faulty.calls == calls, (repeatable, calls)


async def test_address_is_sent_as_it_is_written(faulty: FaultyServer) -> None:
    """An upload address may be signed byte for byte, and LinkedIn wants the colons of a key encoded."""
    for written in ("urn%3Ali%3Ashare%3A1?q=%28a%29&b=c", "plain?sig=a%2Bb%2fc%3D"):
        with suppress(Unreachable):
            await ask(faulty, written)
        assert faulty.path == f"/{written}"
    with suppress(Unreachable):
        await ask(faulty, "tea time", query={"to": "a b"})
    assert faulty.path == "/tea%20time?to=a+b", "what could not be sent is written so that it can"


async def test_answers_are_bounded_and_what_is_no_json_is_nothing(faulty: FaultyServer) -> None:
    for what in ("big", "bomb"):
        with pytest.raises(Unreachable, match="longer than"):
            await ask(faulty, what)
    found = await ask(faulty, "html")
    assert (found.status, found.content) == (502, None)
    assert (await ask(faulty, "binary")).content is None
    assert (await ask(faulty, "mislabelled")).content == {"n": 1}, "the bytes decide: Graph calls its JSON a script"


async def test_answer_that_was_cut_short_is_no_answer(faulty: FaultyServer) -> None:
    with pytest.raises(Unreachable, match=r": its answer was cut short or is damaged$") as lost:
        await ask(faulty, "cut")
    assert lost.value.sent, "whoever asked for something must not ask again"


async def test_server_that_says_when_to_come_again_is_not_asked_at_once(faulty: FaultyServer) -> None:
    found = await ask(faulty, "busy", repeatable=True)
    assert (found.status, found.headers["retry-after"], found.headers["x-rate-limit-remaining"]) == (503, "30", "0")
    assert faulty.calls == 1


async def test_server_that_cannot_prove_who_it_is_is_told_nothing(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    found = FaultyServer()
    app = web.Application()
    app.router.add_route("*", "/{what}", found.answer)
    running = TestServer(app, scheme="https")
    await running.start_server(ssl=context)
    host = f"127.0.0.1:{running.port}"
    async with Client(frozenset({host})) as client:
        for url in (f"https://{host}/flaky", f"https://localhost:{running.port}/flaky"):
            with pytest.raises(Unreachable) as refused:
                await client.ask("POST", url, form={"code": "canary"}, repeatable=False)
            assert not refused.value.sent
        assert NOWHERE in str(refused.value), "only the platform's own hosts may be here"
        with pytest.raises(Unreachable, match="TLS failed") as refused:
            await client.ask("GET", f"https://{host}/flaky", query={"code": "canary"}, repeatable=False)
        assert "canary" not in str(refused.value)
    await running.close()
    assert found.calls == 0


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_time_is_bounded(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TOTAL_SECONDS", 0.2)
    with pytest.raises(Unreachable, match=r": no complete answer within 0\.2 seconds$") as lost:
        await ask(faulty, "slow")
    assert lost.value.sent


@asynccontextmanager
async def listening(answer: bytes | None = b"") -> AsyncIterator[str]:
    """A server that answers whatever comes with these bytes and hangs up; with b"" it waits until the client does."""
    ended = asyncio.Event()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer == b"":
            await reader.read()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer or b"")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answering, "127.0.0.1") as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(10):
            await ended.wait()


async def test_connection_that_nobody_takes_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS handshake is part of connecting, and this server never answers it."""
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.2)
    async with listening() as host, Client(frozenset({host})) as client:
        with pytest.raises(Unreachable, match=rf"^{host}: no connection within 0\.2 seconds$") as lost:
            await client.ask("POST", f"https://{host}/", repeatable=False)
    assert not lost.value.sent


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip",
            "its answer was cut short or is",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", "its answer was cut short or is"),
    ],
)
async def test_what_was_lost_is_said_without_the_name_of_a_class(answer: bytes | None, said: str) -> None:
    async with listening(answer) as host, Client(frozenset({host})) as client:
        with pytest.raises(Unreachable, match=rf"^{host}: {said}") as lost:
            await client.ask("POST", f"http://{host}/", repeatable=False)
    assert lost.value.sent
    assert "Error" not in str(lost.value)


async def test_no_text_of_an_answer_holds_what_cannot_be_stored() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = rb'{"name": "a\u0000b\ud800", "token": "t", "life": NaN}'
        writer.write(b"HTTP/1.1 200 OK\r\nX-Odd: \xff\xfe\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(frozenset({f"127.0.0.1:{port}"})) as client:
            found = await client.ask("GET", f"http://127.0.0.1:{port}/", repeatable=False)
    assert found.content == {"name": "a\ufffdb\ufffd", "token": "t", "life": None}
    assert found.headers["x-odd"] == "\ufffd\ufffd"


async def test_inner_networks_are_refused_at_the_connection_and_no_error_shows_a_query(faulty: FaultyServer) -> None:
    for query in (None, {"access_token": "canary-1234"}):
        with pytest.raises(Unreachable, match=NOWHERE) as refused:
            await ask(faulty, "flaky", trusted=False, query=query)
        assert "canary" not in str(refused.value)
    assert faulty.calls == 0


INNER_HOSTS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "user:password@127.0.0.1",
    "１２７.0.0.1",  # noqa: RUF001  digits that a browser takes for others
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%25lo]",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
]
"""Ways of writing an address of our own network."""


@pytest.mark.parametrize("host", INNER_HOSTS)
async def test_g8_no_way_of_writing_an_inner_address_leads_there(faulty: FaultyServer, host: str) -> None:
    port = faulty.url.rpartition(":")[2]
    async with Client(frozenset()) as client:
        began = time.monotonic()
        with pytest.raises(Unreachable) as refused:
            await client.ask("GET", f"http://{host}:{port}/flaky", repeatable=False)
    assert not refused.value.sent
    assert time.monotonic() - began < 1, "refused before anything was sent, and not by a time-out"
    assert faulty.calls == 0
    assert "password" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "//127.0.0.1/", "http://[", "http:///x", "x", ""],
)
async def test_g8_only_http_is_spoken(url: str) -> None:
    async with Client(frozenset()) as client:
        with pytest.raises(Unreachable) as refused:
            await client.ask("GET", url, repeatable=False)
    assert not refused.value.sent


async def test_g8_redirect_is_handed_on_and_never_followed(faulty: FaultyServer) -> None:
    found = await ask(faulty, "away")
    assert (found.status, found.headers["location"]) == (302, "/inner")
    assert faulty.calls == 1


async def test_d4_name_that_does_not_resolve_is_said_so(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for trusted, said in ((frozenset[str](), NOWHERE), (frozenset({"nobody.invalid"}), "its name does not resolve")):
        async with Client(trusted) as client:
            with pytest.raises(Unreachable, match=rf"^nobody\.invalid: {said}$") as lost:
                await client.ask("POST", "http://nobody.invalid/", form={"code": "c"}, repeatable=False)
        assert not lost.value.sent


async def test_inner_name_and_unknown_name_get_one_answer_in_the_same_time(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody outside may go: one address or several, and what looking up takes tells nothing either."""
    found = {
        "one.example": ["127.0.0.1"],
        "two.example": ["10.0.0.1", "10.0.0.2", "::1"],
        "slow.example": ["192.168.1.1"],
        "unknown.example": [],
    }

    async def resolved(_: Any, host: str, port: int = 0, *__: Any, **___: Any) -> list[dict[str, Any]]:
        await asyncio.sleep(0.2 if host == "slow.example" else 0)
        if not found[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in found[host]
            for family in [socket.AF_INET6 if ":" in each else socket.AF_INET]
        ]

    monkeypatch.setattr(http, "NO_SERVER_SECONDS", 0.5)
    resolve_by(monkeypatch, resolved)
    said, took = set(), []
    async with Client(frozenset()) as client:
        for name in found:
            begun = time.monotonic()
            with pytest.raises(Unreachable) as lost:
                await client.ask("POST", f"http://{name}/", repeatable=False)
            took.append(time.monotonic() - begun)
            said.add((str(lost.value).removeprefix(name), lost.value.sent))
    assert said == {(f": {NOWHERE}", False)}
    assert min(took) >= 0.5
    assert max(took) - min(took) < 0.15, took


@pytest.mark.parametrize("trusted", [frozenset[str](), frozenset({"slow.example"})], ids=["anybody's", "platform's"])
async def test_d4_resolver_that_never_answers_is_not_waited_for(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, trusted: frozenset[str]
) -> None:
    """Nor by the second who asks for the same name while it is looked up."""

    async def silent(*_: Any, **__: Any) -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silent)
    async with Client(trusted) as client:
        asked = [client.ask("POST", "http://slow.example/", repeatable=False) for _ in range(2)]
        async with asyncio.timeout(2):
            answers = await asyncio.gather(*asked, return_exceptions=True)
    for lost in answers:
        assert isinstance(lost, Unreachable)
        assert str(lost) == "slow.example: its name was not resolved within 0.2 seconds"
        assert not lost.sent


def resolve_by(monkeypatch: pytest.MonkeyPatch, resolver: Any) -> None:
    """Every name is looked up there."""
    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolver)


async def test_name_that_is_rebound_to_an_inner_address_is_refused_too(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(faulty.url.rpartition(":")[2])

    async def rebound(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{"hostname": "h", "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    resolve_by(monkeypatch, rebound)
    async with Client(frozenset()) as client:
        with pytest.raises(Unreachable, match=NOWHERE):
            await client.ask("GET", f"http://public.example:{port}/flaky", repeatable=False)
    assert faulty.calls == 0


@pytest.fixture
def outside(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """The server as one on the internet, by its address; by the name ``localhost`` it is in our own network."""
    monkeypatch.setattr(http, "outside", lambda address: address == "127.0.0.1")
    return faulty


async def page(url: str, trusted: frozenset[str] = frozenset()) -> http.Page:
    async with Client(trusted) as client:
        return await client.page(url, {"Accept": "text/html"})


async def test_page_is_read_to_its_beginning_and_nothing_is_unfolded(outside: FaultyServer) -> None:
    found = await page(f"{outside.url}/big")
    assert (len(found.content), found.status) == (http.PAGE_BYTES, 200)
    found = await page(f"{outside.url}/bomb")
    assert found.content == SQUEEZED[: http.PAGE_BYTES]
    found = await page(f"{outside.url}/html")
    assert (found.status, found.content, found.content_type) == (502, b"<h1>502</h1>", "text/html; charset=utf-8")
    assert outside.calls == 3, "a page is not asked for again"


async def test_g8_redirects_of_a_page_are_followed_a_few_times_and_each_is_held_to_public_addresses(
    outside: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = f"http://[::1]:{outside.url.rpartition(':')[2]}/flaky"
    for location, why in (
        (inner, NOWHERE),
        ("file:///etc/passwd", "not one of the web"),
        ("http://[", "the request failed"),
        ("/again", "more than 5 redirects"),
    ):
        monkeypatch.setitem(ANSWERS, "again", {"status": 302, "headers": {"Location": location}})
        outside.calls = 0
        with pytest.raises(Unreachable, match=why):
            await page(f"{outside.url}/again")
        assert outside.calls == (http.REDIRECTS + 1 if location == "/again" else 1)
    monkeypatch.setitem(ANSWERS, "again", {"status": 301, "headers": {"Location": "html#top"}})
    assert (await page(f"{outside.url}/again")).url == f"{outside.url}/html#top"


async def test_g8_host_that_is_trusted_as_a_platform_is_held_to_public_addresses_as_a_page(
    faulty: FaultyServer,
) -> None:
    host = faulty.url.removeprefix("http://")
    with pytest.raises(Unreachable, match=NOWHERE):
        await page(f"{faulty.url}/html", frozenset({host}))
    assert faulty.calls == 0


async def downloaded(url: str, trusted: frozenset[str] = frozenset(), own_url: str = "") -> tuple[int, bytes]:
    async with Client(trusted, own_url) as client, client.download(url) as found:
        return found.status, b"".join([piece async for piece in found.content])


async def test_g8_file_of_a_host_that_is_trusted_as_a_platform_is_held_to_public_addresses(
    faulty: FaultyServer,
) -> None:
    port = faulty.url.rpartition(":")[2]
    for host in INNER_HOSTS:
        name = f"{host.rpartition('@')[2]}:{port}"
        with pytest.raises(Unreachable) as refused:
            await downloaded(f"http://{host}:{port}/html", frozenset({name}))
        assert not refused.value.sent, host
        assert "password" not in str(refused.value)
    assert faulty.calls == 0


@pytest.mark.parametrize(
    "port",
    ["0", "-1", "65536", "99999", "x", "80@127.0.0.1:{port}", "80#@127.0.0.1:{port}", "{port}?@elsewhere.example"],
)
async def test_g8_no_port_leads_into_our_own_network(faulty: FaultyServer, port: str) -> None:
    written = port.format(port=faulty.url.rpartition(":")[2])
    for way in (downloaded, page):
        with pytest.raises(Unreachable):
            await way(f"http://127.0.0.1:{written}/html", frozenset({f"127.0.0.1:{written}"}))
    assert faulty.calls == 0


async def test_g8_redirect_of_a_file_is_held_to_public_addresses_though_a_platform_is_there(
    outside: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = outside.url.rpartition(":")[2]
    for host in ("localhost", "user:password@localhost", "[::1]", "[::ffff:127.0.0.1]"):
        location = f"http://{host}:{port}/html"
        monkeypatch.setitem(ANSWERS, "again", {"status": 307, "headers": {"Location": location}})
        answers = [False, True]
        monkeypatch.setattr(http, "outside", lambda _, answers=answers: answers.pop())
        outside.calls = 0
        with pytest.raises(Unreachable, match=NOWHERE):
            await downloaded(f"{outside.url}/again", frozenset({f"{host}:{port}"}))
        assert outside.calls == 1


async def test_g8_of_several_addresses_of_a_name_only_those_outside_are_connected_to(
    outside: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(outside.url.rpartition(":")[2])
    inner = await asyncio.start_server(lambda *_: connected.append(1), "127.0.0.2", port)
    connected: list[int] = []

    async def mixed(*_: Any, **__: Any) -> list[dict[str, Any]]:
        return [
            {"hostname": "h", "host": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for host in ("127.0.0.2", "127.0.0.1", "127.0.0.2")
        ]

    resolve_by(monkeypatch, mixed)
    async with inner:
        assert await downloaded(f"http://mixed.example:{port}/html") == (502, b"<h1>502</h1>")
    assert connected == []


@pytest.mark.parametrize(
    "host",
    [
        "landfall.example",
        "LANDFALL.example.",
        "landfall.example:8443",
        "user@landfall.example",
        "landfall。example",
        "ｌandfall.example",  # noqa: RUF001  a letter that is shown as another
    ],
)
async def test_g8_nobody_leads_us_to_ourselves(
    outside: FaultyServer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Our own name leads out and in again, past whatever tells strangers from ourselves."""
    port = int(outside.url.rpartition(":")[2])

    async def ours(*_: Any, **__: Any) -> list[dict[str, Any]]:
        one = {"hostname": "h", "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [one]

    resolve_by(monkeypatch, ours)
    url = f"http://{host}/html"
    assert (await downloaded(url))[0] == 502, "another server's name leads there"
    outside.calls = 0
    with pytest.raises(Unreachable, match=NOWHERE):
        await downloaded(url, own_url="https://landfall.example")
    async with Client(frozenset(), "https://landfall.example/") as client:
        with pytest.raises(Unreachable, match=NOWHERE):
            await client.page(url, {})
        with pytest.raises(Unreachable, match=NOWHERE):
            await client.ask("GET", url, repeatable=False)
    assert outside.calls == 0


async def test_g8_address_of_this_machine_is_inside_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that listens here for this machine alone is reached at its public address too, past any firewall."""
    monkeypatch.setattr(http, "public", lambda _: True)
    assert [http.outside(address) for address in ("127.0.0.1", "::1", "8.8.8.8")] == [False, False, True]


async def test_time_of_a_page_is_bounded_over_all_its_redirects(
    outside: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PAGE_SECONDS", 0.2)
    with pytest.raises(Unreachable, match=r"no complete answer within 0\.2 seconds"):
        await page(f"{outside.url}/slow")
