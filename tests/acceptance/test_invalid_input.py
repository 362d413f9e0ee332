"""Odd input on every route of the real application: the caller's nonsense is answered as the caller's, and at once.

Row E13 of ``faults.md``.
"""

import asyncio
import json
import logging
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ops.access import api_keys, sessions, users
from ops.cli import wiring
from ops.cli.serve import application
from ops.runtime import bodies, sampling
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from ops.sandbox.server import Server
from publish.vault.envelope import new_key
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, variables
from tests.support import ENVIRONMENT, is_error

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
FORM = b"application/x-www-form-urlencoded"
ID = "00000000-0000-7000-8000-00000000dead"
HTML = (b"Accept", b"text/html,application/xhtml+xml,*/*;q=0.8")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


@dataclass(frozen=True)
class Ask:
    """One request, as bytes that need not make sense."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes | None = None
    port: int = 0

    def lines(self) -> bytes:
        given = {name.lower() for name, _ in self.headers}
        headers = [*self.headers, (b"Connection", b"close")]
        if b"host" not in given:
            headers.insert(0, (b"Host", b"127.0.0.1"))
        if self.body is not None and b"content-length" not in given:
            headers.append((b"Content-Length", b"%d" % len(self.body)))
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self.method.encode() + b" " + self.target + b" HTTP/1.1\r\n" + head + b"\r\n" + (self.body or b"")


@dataclass
class Running:
    """The web process's two applications on ports of their own, in this process, so that nothing they log is missed."""

    app: web.Application
    inside: web.Application
    port: int
    inside_port: int
    pool: Pool
    key: str
    user: str
    troubles: list[str] = field(default_factory=list)

    def routes(self) -> list[tuple[int, str, str]]:
        """Port, method and path of every route."""
        found = []
        for port, app in ((self.port, self.app), (self.inside_port, self.inside)):
            for route in app.router.routes():
                assert route.resource is not None
                found.append((port, route.method, route.resource.canonical))
        return found

    async def session(self) -> str:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            return await sessions._begin(connection, DEFAULT_TENANT, self.user, None)

    async def ask(self, ask: Ask, seconds: float = 10.0) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", ask.port or self.port)
        raw = b""
        try:
            async with asyncio.timeout(seconds):
                try:
                    writer.write(ask.lines())
                    await writer.drain()
                    while chunk := await reader.read(65_536):
                        raw += chunk
                except ConnectionError:
                    pass  # it was refused before all of it was sent
        finally:
            writer.close()
        return parsed(raw)

    async def checked(self, ask: Ask) -> Answer:
        """The answer; what is wrong with it is kept for the end."""
        answer = await self.ask(ask)
        if why := wrong_with(answer, ask):
            shown = f"{ask.method} {ask.target[:150]!r} {list(ask.headers)} {(ask.body or b'')[-150:]!r}"
            self.troubles.append(f"{why}: {shown} -> {answer.status} {answer.body[:200]!r}")
        return answer


def wrong_with(answer: Answer, ask: Ask) -> str:
    """Why this is no answer to give to anybody; empty for one that is."""
    if answer.status >= 500:
        return "an error of ours"
    if answer.status < 400:
        return ""
    if answer.headers.get("cache-control") != "no-store":
        return "an error that may be cached"
    return "" if in_our_shape(answer, ask) else "an error in no shape of ours"


def in_our_shape(answer: Answer, ask: Ask) -> bool:
    """A page for who accepts one, and for everybody else the shape of the user's design, section 3."""
    if ask.method == "HEAD" and not answer.body:
        return True
    accepted = b",".join(value for name, value in ask.headers if name == b"Accept")
    if b"text/html" in accepted and b"json" not in accepted and answer.kind == "text/html":
        return True
    error = json.loads(answer.body) if answer.kind == "application/json" else None
    for_program = ask.method != "HEAD" and (b"text/html" not in accepted or b"json" in accepted)
    return is_error(error) and (for_program or is_unparsed(error))


def is_unparsed(content: Any) -> bool:
    """Whether the request was no HTTP, so that nobody knows whether a browser sent it."""
    return content["error"]["code"] == "bad_request"


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert first.startswith("HTTP/1."), raw[:200]
    return Answer(int(first.split(" ")[1]), headers, body)


@pytest.fixture
async def running(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Running]:
    async with serving(database, caplog) as found:
        yield found


@asynccontextmanager
async def serving(database: str, caplog: pytest.LogCaptureFixture, **settings: str) -> AsyncIterator[Running]:
    """The applications as they are started, with these variables changed; fails at the end for what went wrong."""
    sandbox = Server(seed=5)
    outside = TestServer(sandbox.app())
    await outside.start_server()
    url = str(outside.make_url("")).rstrip("/")
    folder = tempfile.TemporaryDirectory()
    environment = {
        **ENVIRONMENT,
        **{name: ",".join(values) for name, values in variables(sandbox, url).items()},
        "DATABASE_URL": database,
        "LANDFALL_VAULT_KEYS": new_key(),
        "LANDFALL_BODY_LIMIT": str(2**20),
        "LANDFALL_MEDIA_URL": Path(folder.name).as_uri(),
        **settings,
    }
    configuration = Configuration.load(wiring.variables(), environment)
    aiohttp_log = logging.getLogger("aiohttp.server")
    before = aiohttp_log.level
    async with application(configuration) as (app, inside), await open_pool(database, "test", 2, role=APP_ROLE) as pool:
        https = configuration.settings.https
        public = await wiring.listen(app, "TEST", "127.0.0.1", 0, https=https)
        internal = await wiring.listen(inside, "TEST", "127.0.0.1", 0)
        await users.add(pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
        user = await users.find_member(pool, DEFAULT_TENANT, EMAIL)
        key = await api_keys.create(pool, DEFAULT_TENANT, "tests", api_keys.SCOPES, TESTS)
        ports = [runner.addresses[0][1] for runner in (public, internal)]
        aiohttp_log.setLevel(logging.ERROR)
        with capture_logs() as lines:
            running = Running(app, inside, *ports, pool, key, user or "")
            yield running
        aiohttp_log.setLevel(before)
        await public.cleanup()
        await internal.cleanup()
    await outside.close()
    folder.cleanup()
    errors = [str(line)[:1000] for line in lines if line["log_level"] in ("error", "critical")]
    errors += [record.getMessage() for record in caplog.records if not by_parser(record)]
    found = [*running.troubles, *errors]
    if found:
        pytest.fail(
            "\n".join([f"{len(found)} faults, among them:", *found[:: max(1, len(found) // 60)]]), pytrace=False
        )


def by_parser(record: logging.LogRecord) -> bool:
    """Whether it says that something was no HTTP, which is not logged in operation."""
    return record.exc_info is not None and isinstance(record.exc_info[1], HttpProcessingError)


def filled(path: str, value: str) -> bytes:
    """The address with this in each of its places."""
    return re.sub(r"\{[^}]+\}", lambda _: value, path).encode("utf-8", "surrogateescape")


PLACES = (
    "a%00b",
    "%ff",
    "%ed%a0%80",
    "%",
    "a" * 3000,
    "%2e%2e%2fetc",
    "x\udcffy",
    "é",
    ID,
    "instagram",
    "mastodon",
    "{x}",
)
NAMES = ("state", "code", "error", "ticket", "flow", "connection", "instance", "return_to", "before", "after",
         "connected", "hub.verify_token", "hub.mode", "hub.challenge", "signed_request")  # fmt: skip
VALUES = (
    b"%00",
    b"%ff",
    b"\xff",
    b"%ed%a0%80",
    b"9" * 400,
    b"-1",
    b"",
    b"%F0%9F%98%80",
    b"http://[::1",
    b"@",
    b"a&a=b",
)
QUERIES = tuple(b"&".join(name.encode() + b"=" + value for name in NAMES) for value in VALUES)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Cookie", b"\xff"),
    (b"Cookie", b"landfall=\xff; landfall-flow-x=\xff"),
    (b"Cookie", b'landfall="; =; ;;'),
    (b"Cookie", b"; ".join(b"landfall-flow-%032x=x" % number for number in range(100))),
    (b"Authorization", b"\xff"),
    (b"Authorization", b"Bearer \xff"),
    (b"Authorization", b"Bearer lf_\xff"),
    (b"Authorization", b"Bearer"),
    (b"Authorization", b"Basic Og=="),
    (b"Origin", b"http://[::1"),
    (b"Origin", b"null"),
    (b"Origin", b"\xff"),
    (b"Origin", b"http://127.0.0.1:99999999"),
    (b"Origin", b"http://\xe2\x92\x88.example"),
    (b"Host", b"[::1"),
    (b"Host", b"\xff:x"),
    (b"Host", b""),
    (b"X-Forwarded-For", b"\xff, [::1, %"),
    (b"X-Forwarded-Proto", b"\xff"),
    (b"Sec-Fetch-Site", b"\xff"),
    (b"Accept", b"\xff"),
    (b"Content-Encoding", b"gzip"),
    (b"If-None-Match", b"\xff"),
    (b"Range", b"bytes=9-1"),
)
FIELDS = ("email", "password", "old", "new", "role", "name", "tenant", "account", "flow", "signed_request")
BODIES: tuple[tuple[bytes, bytes], ...] = (
    *((FORM, b"&".join(name.encode() + b"=" + value for name in FIELDS)) for value in VALUES),
    (FORM, b"email=a%00b@example.org&password=correct+horse+battery&role=editor"),
    (FORM, b"email=" + b"a" * 20_000 + b"@example.org&password=correct+horse+battery&role=editor"),
    (FORM, b"email=a@example.org&role=editor&password=" + b"a" * 300),
    (FORM, b"name=" + b"a" * 5000 + b"&connections:read=on"),
    (FORM + b"; charset=klingon", b"email=a"),
    (FORM + b"; charset=utf-16", b"email=a"),
    (FORM + b"; charset=utf-8", b"email=a"),
    (FORM + b'; charset="', b"email=a"),
    (FORM, b"&".join(b"a=b" for _ in range(20_000))),
    (FORM, b"a" * 2 * 2**20),
    (b"multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=email\r\n\r\na"),
    (b"multipart/form-data", b"--x"),
    (b"multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=csrf\r\n\r\na\r\n--x--\r\n"),
    (b"application/json", b"{"),
    (b"application/json", b"\xff"),
    (b"application/json", b"[" * 30_000),
    (b"application/json", b'{"accounts": ["\\u0000", "\\ud800", 1, {}, null]}'),
    (b"application/json; charset=klingon", b"{}"),
    (b"\xff", b"email=a"),
    (b";;=", b"email=a"),
    (b"", b"email=a"),
)


def own_methods(method: str) -> Sequence[str]:
    return METHODS if method == "*" else (method,)


async def asks(running: Running, way: str, port: int, method: str, path: str) -> AsyncIterator[Ask]:
    """Every piece of nonsense for one route, with these credentials."""
    plain = filled(path, "mastodon" if "{platform}" in path else ID)
    own = [(b"Authorization", f"Bearer {running.key}".encode())] if way == "key" else []
    csrf = b""
    if way == "session":
        token = await running.session()
        own, csrf = [(b"Cookie", f"landfall={token}".encode())], b"csrf=" + sessions.csrf_token(token).encode() + b"&"
    for place in PLACES if "{" in path else ():
        yield Ask(method, filled(path, place), own, None, port)
        yield Ask(method, filled(path, place), [*own, HTML], None, port)
    for query in QUERIES:
        yield Ask(method, plain + b"?" + query, [*own, HTML], None, port)
    for header in HEADERS:
        yield Ask(method, plain, [*own, header], csrf if method in UNSAFE else None, port)
    for kind, body in BODIES if method in UNSAFE else BODIES[:1]:
        head = [*own, (b"Content-Type", kind)]
        yield Ask(method, plain, head, (csrf if kind.startswith(FORM) else b"") + body, port)


@pytest.mark.parametrize("way", ["nobody", "session", "key"])
async def test_nonsense_on_every_route_is_the_callers_error_and_none_of_ours(
    running: Running, connection: asyncpg.Connection, way: str
) -> None:
    tried = 0
    for port, method, path in running.routes():
        for own in own_methods(method):
            async for ask in asks(running, way, port, own, path):
                await running.checked(ask)
                tried += 1
        await connection.execute("DELETE FROM login_failures")
    assert tried > 2000


async def test_every_method_on_every_address_is_answered_in_the_one_shape(running: Running) -> None:
    for port, _, path in running.routes():
        for method in METHODS:
            for head in ([], [HTML]):
                answer = await running.checked(Ask(method, filled(path, "x"), head, None, port))
                if answer.status in (404, 405) and method != "HEAD":
                    assert answer.kind == ("text/html" if head else "application/json"), (method, path)


ODD_TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=()), max_size=30)
ODD_BYTES = ODD_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40).map(
    lambda raw: re.sub(rb"[\x00-\x1f\x7f]", b"", raw)
)


async def test_whatever_hypothesis_invents_is_no_error_of_ours(running: Running) -> None:
    loop = asyncio.get_running_loop()
    token = await running.session()
    csrf = sessions.csrf_token(token).encode()
    routes = [(port, own, path) for port, method, path in running.routes() for own in own_methods(method)]
    routes = [route for route in routes if route[2] not in ("/logout", "/tenant", "/account/password")]
    names = st.sampled_from([name.encode() for name in (*NAMES, *FIELDS)])
    pairs = st.lists(st.tuples(names, st.one_of(ODD_BYTES, ODD_BYTES.map(lambda raw: quote(raw).encode()))), max_size=4)
    header_names = st.sampled_from(
        [b"Cookie", b"Authorization", b"Origin", b"Accept", b"Content-Type", b"X-Forwarded-For", b"X-Forwarded-Proto"]
    )
    headers = st.lists(st.tuples(header_names, ODD_BYTES), max_size=3, unique_by=lambda header: header[0])

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def invent(data: st.DataObject) -> None:
        port, method, path = data.draw(st.sampled_from(routes))
        target = filled(path, "{}")
        while b"{}" in target:
            target = target.replace(b"{}", quote(data.draw(ODD_BYTES), safe="").encode() or b"x", 1)
        given = data.draw(pairs)
        target += b"?" + b"&".join(name + b"=" + re.sub(rb"[ #]", b"+", value) for name, value in given)
        who = data.draw(st.sampled_from([[], [(b"Cookie", b"landfall=" + token.encode())],
                                         [(b"Authorization", b"Bearer " + running.key.encode())]]))  # fmt: skip
        fields = data.draw(pairs)
        body = b"csrf=" + csrf + b"&" + b"&".join(name + b"=" + value for name, value in fields)
        body = data.draw(st.sampled_from([body, b""]) | st.binary(max_size=50))
        odd = dict(data.draw(headers))
        if data.draw(st.booleans()):
            odd[b"Content-Type"] = FORM
        ask = Ask(method, target, list((odd | dict(who)).items()), body if method in UNSAFE else None, port)
        asyncio.run_coroutine_threadsafe(running.checked(ask), loop).result()

    await asyncio.to_thread(invent)


# --- what each of these is


LOGIN = [(b"Content-Type", FORM)]
KLINGON = [(b"Content-Type", FORM + b"; charset=klingon")]
NONSENSE: dict[str, tuple[str, bytes, list[tuple[bytes, bytes]], bytes | None, int]] = {
    "NUL in an email": ("POST", b"/login", LOGIN, b"email=a%00b@example.org&password=x", 400),
    "a raw byte that is no UTF-8": ("POST", b"/login", LOGIN, b"email=\xff&password=x", 400),
    "an escaped byte that is no UTF-8": ("POST", b"/login", LOGIN, b"email=%ff&password=x", 400),
    "a charset that nobody knows": ("POST", b"/login", KLINGON, b"email=a", 415),
    "another charset": ("POST", b"/login", [(b"Content-Type", FORM + b"; charset=utf-16")], b"email=a", 415),
    "two mebibytes": ("POST", b"/login", LOGIN, b"a" * 2**21, 413),
    "broken multipart": ("POST", b"/login", [(b"Content-Type", b"multipart/form-data; boundary=x")], b"--x\r\nA", 415),
    "a password longer than any": ("POST", b"/login", LOGIN, b"email=a@b.example&password=" + b"x" * 257, 400),
    "an origin that is no address": ("POST", b"/login", [*LOGIN, (b"Origin", b"http://[::1")], b"email=a", 403),
    "a session that is no text": ("GET", b"/api/connections", [(b"Cookie", b"landfall=\xff")], None, 401),
    "a key that is no text": ("GET", b"/api/connections", [(b"Authorization", b"Bearer lf_\xff")], None, 401),
    "a code with NUL": ("GET", b"/deletions/a%00b", [], None, 404),
    "a query with NUL": ("GET", b"/api/auth/x/callback?state=%00", [], None, 400),
    "a callback in Klingon": ("POST", b"/api/auth/facebook/deauthorize", KLINGON, b"a=b", 415),
    "a callback of two mebibytes": ("POST", b"/api/auth/facebook/deauthorize", LOGIN, b"a" * 2**21, 413),
    "an unsigned callback": ("POST", b"/api/auth/facebook/deauthorize", LOGIN, b"signed_request=%F0%9F%98%80.a", 401),
    "a compressed form": ("POST", b"/login", [*LOGIN, (b"Content-Encoding", b"gzip")], b"\x1f\x8b", 415),
    "another method": ("DELETE", b"/connections", [], None, 405),
    "a method nobody has": ("PROPFIND", b"/", [], None, 405),
    "nowhere": ("GET", b"/nowhere", [], None, 404),
}  # fmt: skip


@pytest.mark.parametrize("case", NONSENSE)
async def test_each_kind_of_nonsense_has_its_status_and_browsers_get_a_page_with_the_same_words(
    running: Running, case: str
) -> None:
    method, target, headers, body, status = NONSENSE[case]
    program = await running.checked(Ask(method, target, headers, body))
    browser = await running.checked(Ask(method, target, [*headers, HTML], body))
    both = await running.checked(Ask(method, target, [*headers, (b"Accept", b"text/html, application/json")], body))
    led_to_login = status == 401 and method == "GET" and browser.headers.get("location", "").startswith("/login")
    assert (program.status, both.status) == (status, status), (program, both)
    assert browser.status == (303 if led_to_login else status), browser
    if program.kind == "application/json" and not led_to_login:
        said = json.loads(program.body)
        assert (both.kind, json.loads(both.body)) == ("application/json", said)
        words = unescape(browser.body.decode())
        assert browser.kind == "text/html"
        assert said["error"]["message"].rstrip(".").lower() in words.lower()
        if 'name="password"' not in words and 'role="status"' not in words:  # else a page of its own, such as the login
            assert said["error"]["details"]["remedy"] in words
            assert f"Status {status}" in words
            assert "What to do: " in words
    assert browser.headers["content-security-policy"].startswith("default-src 'none'")


async def test_owner_who_lets_in_somebody_with_nul_or_no_end_is_told_and_nobody_is_let_in(
    running: Running, connection: asyncpg.Connection
) -> None:
    token = await running.session()
    own = [(b"Cookie", f"landfall={token}".encode()), *LOGIN]
    csrf = b"csrf=" + sessions.csrf_token(token).encode()
    for email in (b"a%00b@example.org", b"%ff@example.org", b"a" * 20_000 + b"@example.org", b"%07@example.org"):
        body = csrf + b"&role=viewer&email=" + email
        assert (await running.checked(Ask("POST", b"/people", own, body))).status == 400, email[:20]
    assert await connection.fetchval("SELECT count(*) FROM users") == 1


async def test_without_a_key_of_the_vault_browsers_get_pages_too(database: str, running: Running) -> None:
    configuration = Configuration.load(wiring.variables(), {**ENVIRONMENT, "DATABASE_URL": database})
    async with application(configuration) as (app, _):
        server = await wiring.listen(app, "TEST", "127.0.0.1", 0)
        port = server.addresses[0][1]
        for target in (b"/connections", b"/"):
            browser = await running.ask(Ask("GET", target, [HTML], None, port))
            assert browser.status == 303, "to the login, which needs no vault"
        for target in (b"/api/connections", b"/api/auth/x", b"/api/notices", b"/deletions/x"):
            program = await running.ask(Ask("GET", target, [], None, port))
            browser = await running.ask(Ask("GET", target, [HTML], None, port))
            assert (program.status, browser.status) == (503, 503)
            assert (program.kind, browser.kind) == ("application/json", "text/html")
            message = json.loads(program.body)["error"]["message"]
            assert message.lower().rstrip(".") in unescape(browser.body.decode()).lower()
        await server.cleanup()


async def test_surprises_are_answered_and_only_some_of_their_traces_are_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def surprise(*_: object) -> None:
        raise LookupError("a surprise")

    monkeypatch.setattr(sessions, "login", surprise)
    with capture_logs() as lines:
        for _ in range(30):
            answer = await running.ask(Ask("POST", b"/login", LOGIN, b"email=a&password=b"))
            assert (answer.status, answer.headers["cache-control"]) == (503, "no-store")
            assert is_error(json.loads(answer.body))
        page = await running.ask(Ask("POST", b"/login", [*LOGIN, HTML], b"email=a&password=b"))
    assert (page.status, page.kind) == (503, "text/html")
    assert 0 < len([line for line in lines if line["event"] == "request.failed"]) <= 3 * sampling.PER_SECOND


# --- time

CLAIMED = [(b"X-Hub-Signature-256", b"sha256=00"), (b"TikTok-Signature", b"t=1,s=00")]
"""Signatures that nobody made: the body of a webhook without any is not read."""


async def stalled(
    running: Running, port: int, path: bytes, headers: Sequence[tuple[bytes, bytes]], *, chunked: bool
) -> Answer:
    """What somebody is answered whose body stops coming."""
    length = (b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", b"100")
    head = (
        Ask("POST", path, [(b"Host", b"x"), *CLAIMED, *headers, length]).lines().replace(b"Connection: close\r\n", b"")
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head + (b"5\r\ncsrf=\r\n" if chunked else b"csrf="))
        async with asyncio.timeout(10):
            return parsed(await reader.read())
    finally:
        writer.close()


async def test_bodies_that_stall_end_in_time_and_hold_up_nobody_of_the_same_tenant(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 2.0)
    session, key = await running.session(), running.key
    ways = [
        [(b"Cookie", f"landfall={session}".encode()), *LOGIN],
        [(b"Authorization", f"Bearer {key}".encode()), *LOGIN],
        [(b"Cookie", f"landfall={session}".encode()), (b"Content-Type", b"application/json")],
    ]
    posts = {path for port, method, path in running.routes() if method == "POST" and port == running.port}
    # Uploads are another matter: who sends one is asked first, and its body may take any time.
    posts -= {"/api/media", "/api/media/uploads", "/api/media/{id}/convert", "/api/{platform}/upload"}
    posts -= {"/posts/files", "/posts/{id}/files"}
    assert len(posts) >= 16
    tasks = [
        asyncio.create_task(stalled(running, running.port, filled(path, "instagram"), way, chunked=chunked))
        for path in sorted(posts)
        for way in ways
        for chunked in (False, True)
    ]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    for _ in range(3):
        for way, path in ((ways[0], b"/connections"), (ways[1], b"/api/connections"), (ways[0], b"/account")):
            answer = await running.ask(Ask("GET", path, way[:1]), seconds=1)
            assert answer.status == 200
    other = await running.session()
    form = b"csrf=" + sessions.csrf_token(other).encode()
    left = Ask("POST", b"/logout", [(b"Cookie", f"landfall={other}".encode()), *LOGIN], form)
    assert (await running.ask(left, seconds=1)).status == 303
    assert not any(task.done() for task in tasks)
    for answer in await asyncio.gather(*tasks):
        said = json.loads(answer.body)["error"]
        assert (answer.status, said["code"], said["retryable"]) == (408, "body_too_slow", True)
        assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")


async def test_body_of_a_get_is_not_waited_for(running: Running) -> None:
    for _, method, path in running.routes():
        if method == "GET":
            length = (b"Content-Length", b"100")
            answer = await running.ask(Ask("GET", filled(path, ID), [length], b"x"), seconds=3)
            assert answer.status < 500, path


async def test_body_that_breaks_off_or_breaks_the_rules_later_than_its_head_is_the_callers_error(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.5)
    for path in (b"/login", b"/api/webhooks/instagram"):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            Ask("POST", path, [*LOGIN, *CLAIMED, (b"Transfer-Encoding", b"chunked")]).lines() + b"3\r\nabc\r\n"
        )
        await asyncio.sleep(0.1)
        writer.write(b"zz\r\nabc\r\n")
        answer = parsed(await reader.read())
        writer.close()
        # Which of the two it is depends on whether aiohttp's parser is the compiled one.
        code = json.loads(answer.body)["error"]["code"]
        assert (answer.status, code) in ((400, "body_broken"), (408, "body_too_slow")), path
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(Ask("POST", path, [*LOGIN, *CLAIMED, (b"Content-Length", b"100")]).lines() + b"abc")
        await asyncio.sleep(0.1)
        writer.close()
    await asyncio.sleep(0.2)


async def test_addresses_may_end_in_a_slash_and_head_is_answered_where_get_is(running: Running) -> None:
    url = f"http://127.0.0.1:{running.port}"
    async with aiohttp.ClientSession() as http:
        for path, location in (
            ("/login/", "/login"),
            ("/connections/?connected=1", "/connections?connected=1"),
            ("/api/auth/tiktok/callback/?state=a%26b", "/api/auth/tiktok/callback?state=a%26b"),
        ):
            for method in ("GET", "HEAD", "POST"):
                async with http.request(method, url + path, allow_redirects=False) as response:
                    assert (response.status, response.headers["Location"]) == (308, location), (method, path)
        for path in ("/nothing/", "//evil.example/", "//"):
            async with http.get(url + path, allow_redirects=False) as response:
                assert response.status == 404, path
        for path, status in (("/login", 200), ("/connections", 303), ("/api/connections", 401), ("/healthz", 200)):
            async with http.head(url + path, allow_redirects=False) as response:
                assert response.status == status, path


async def test_empty_content_encoding_of_a_form_is_none(running: Running) -> None:
    headers = {"Content-Encoding": "", "Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession() as http:
        for path in ("/login", "/api/auth/facebook/deauthorize"):
            url = f"http://127.0.0.1:{running.port}{path}"
            async with http.post(url, data=b"email=a%40b.example&password=x", headers=headers) as response:
                assert response.status == 401, path
