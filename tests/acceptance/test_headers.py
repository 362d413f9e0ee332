"""What every answer says to browsers, whichever route or error it comes from, and what it does not say of us."""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import sessions
from ops.cli import wiring
from ops.runtime import headers
from ops.sandbox.server import Server
from tests.acceptance.test_invalid_input import FORM, HTML, METHODS, Answer, Ask, Running, filled, own_methods, serving

PUBLIC = "https://crm.example.org"
YEAR = 365 * 86_400
FILES = ("text/css", "text/javascript", "image/svg+xml")
BANNERS = ("aiohttp", "python", "jinja", "prometheus")


@pytest.fixture
async def secured(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Running]:
    """Reached by https, and without a secret of TikTok, whose webhooks are answered 503 then."""
    async with serving(database, caplog, LANDFALL_PUBLIC_URL=PUBLIC, TIKTOK_CLIENT_SECRET="") as found:
        yield found


def directives(answer: Answer) -> dict[str, str]:
    parts = [part.strip() for part in answer.headers.get("content-security-policy", "").split(";")]
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


def missing_headers(answer: Answer, *, https: bool = False, secret_address: bool = False) -> list[str]:
    """What an answer lacks of the standard headers, and what it says too much."""
    said, policy = answer.headers, directives(answer)
    page = answer.kind == "text/html"
    wrong = [
        name for name in ("base-uri", "object-src", "frame-ancestors", "default-src") if policy.get(name) != "'none'"
    ]
    wrong += [f"unsafe: {value}" for value in policy.values() if "unsafe" in value]
    if policy.get("form-action") not in (("'self'",) if page else ("'none'",)):
        wrong.append("form-action")
    styles = policy.get("style-src", "")
    if page and styles != "'self'" and "'sha256-" not in styles:
        wrong.append("style-src")
    if said.get("x-content-type-options") != "nosniff":
        wrong.append("nosniff")
    if said.get("referrer-policy") != ("same-origin" if page and not secret_address else "no-referrer"):
        wrong.append("referrer-policy")
    if said.get("cache-control") not in (("no-cache",) if answer.kind in FILES else ("no-store",)):
        wrong.append("cache-control")
    if said.get("strict-transport-security") != (f"max-age={YEAR}; includeSubDomains" if https else None):
        wrong.append("strict-transport-security")
    if said.get("server") != "Landfall" or any(
        banner in str(value).lower() for value in said.values() for banner in BANNERS
    ):
        wrong.append(f"banner: {said}")
    if "access-control-allow-origin" in said or "x-powered-by" in said:
        wrong.append("an open door or a banner")
    return wrong


async def test_every_route_answers_everybody_with_the_headers_that_browsers_need(secured: Running) -> None:
    token = await secured.session()
    csrf = b"csrf=" + sessions.csrf_token(token).encode()
    key = [(b"Authorization", f"Bearer {secured.key}".encode())]
    session = [(b"Cookie", f"__Host-landfall={token}".encode()), (b"Content-Type", FORM)]
    found: set[tuple[int, str]] = set()
    for port, method, path in secured.routes():
        for own in {*own_methods(method), "GET", "PUT"}:
            for who in ([], key, session):
                if path in ("/logout", "/tenant", "/account/password") and who is session:
                    continue  # they would end this session
                for accept in ([], [HTML]):
                    body = csrf if own == "POST" else None
                    answer = await secured.ask(Ask(own, filled(path, "tiktok"), [*who, *accept], body, port))
                    ticket = path.endswith("/open") and own in {"GET", "HEAD"}
                    wrong = missing_headers(answer, https=port == secured.port, secret_address=ticket)
                    assert not wrong, (own, path, accept, answer.status, wrong)
                    found.add((answer.status, answer.kind))
    assert {status for status, _ in found} >= {200, 303, 400, 401, 403, 404, 405, 503}, found
    assert {"text/html", "application/json", "text/plain"} <= {kind for _, kind in found}


async def test_errors_below_and_beside_the_routes_have_them_too(secured: Running) -> None:
    webhook = b"/api/webhooks/instagram"
    asked: Sequence[tuple[int, Ask]] = [
        (308, Ask("GET", b"/connections/")),
        (404, Ask("GET", b"/nowhere")),
        (405, Ask("PROPFIND", b"/login")),
        (413, Ask("POST", b"/login", [(b"Content-Type", FORM)], b"a" * 2**17)),
        (401, Ask("POST", webhook, [], b"{}")),
        (413, Ask("POST", webhook, [(b"X-Hub-Signature-256", b"sha256=" + b"0" * 64)], b"a" * (2**20 + 1))),
        (415, Ask("POST", webhook, [(b"Content-Encoding", b"gzip")], b"{}")),
    ]
    for port in (secured.port, secured.inside_port):
        for status, ask in asked if port == secured.port else asked[1:2]:
            answer = await secured.checked(Ask(ask.method, ask.target, ask.headers, ask.body, port))
            assert (answer.status, missing_headers(answer, https=port == secured.port)) == (status, []), ask


UNPARSED = {
    "a request line that is too long": Ask("GET", b"/" + b"a" * 9000),
    "a header that is too long": Ask("GET", b"/login", [(b"X-Long", b"a" * 9000)]),
    "a method that is none": Ask("G(T", b"/login"),
    "a header with NUL": Ask("GET", b"/login", [(b"X-Odd", b"a\0b")]),
}


@pytest.mark.parametrize("case", UNPARSED)
async def test_what_is_no_http_is_answered_in_the_shape_of_every_other_error(secured: Running, case: str) -> None:
    for port in (secured.port, secured.inside_port):
        ask = UNPARSED[case]
        answer = await secured.checked(Ask(ask.method, ask.target, ask.headers, None, port))
        assert (answer.status, answer.kind) == (400, "application/json"), answer
        assert b'"code": "bad_request"' in answer.body
        assert b"aaaa" not in answer.body, "what was sent is not sent back"
        assert missing_headers(answer, https=port == secured.port) == []


async def test_expectation_that_nobody_can_meet_is_answered_417_on_every_route(secured: Running) -> None:
    for port, method, path in secured.routes():
        for own in own_methods(method):
            answer = await secured.checked(Ask(own, filled(path, "x"), [(b"Expect", b"x")], None, port))
            assert (answer.status, missing_headers(answer, https=port == secured.port)) == (417, []), (own, path)
            assert own == "HEAD" or b'"code": "expectation_failed"' in answer.body


async def test_body_that_waits_to_be_asked_for_is_asked_for(running_plain: Running) -> None:
    ask = Ask(
        "POST", b"/login", [(b"Content-Type", FORM), (b"Expect", b"100-continue")], b"email=a@b.example&password=x"
    )
    answer = await running_plain.ask(ask)
    assert answer.status == 100
    assert b"HTTP/1.1 401" in answer.body


@pytest.fixture
async def running_plain(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Running]:
    async with serving(database, caplog) as found:
        yield found


async def test_http_on_one_machine_does_not_forbid_itself(running_plain: Running) -> None:
    for target in (b"/login", b"/nowhere", b"/" + b"a" * 9000):
        answer = await running_plain.ask(Ask("GET", target, [HTML]))
        assert "strict-transport-security" not in answer.headers, target


async def test_surprise_that_no_handler_of_ours_catches_says_nothing_of_its_cause() -> None:
    async def fail(_: web.Request) -> web.Response:
        raise RuntimeError("canary")

    app = web.Application()
    app.router.add_get("/", fail)
    headers.add_to(app, https=True)
    runner = await wiring.listen(app, "TEST", "127.0.0.1", 0, https=True)
    try:
        here = Running(app, app, runner.addresses[0][1], 0, None, "", "")  # type: ignore[arg-type]
        answer = await here.ask(Ask("GET", b"/"))
        assert (answer.status, missing_headers(answer, https=True)) == (500, [])
        assert b'"code": "server_error"' in answer.body
        assert b"canary" not in answer.body
    finally:
        await runner.cleanup()


async def test_sandbox_answers_with_them_on_every_route() -> None:
    running = TestServer(Server(seed=1).app())
    await running.start_server()
    try:
        for route in running.app.router.routes():
            assert route.resource is not None
            here = Running(running.app, running.app, running.port or 0, 0, None, "", "")  # type: ignore[arg-type]
            for method in {*own_methods(route.method), "GET"} & {*METHODS}:
                for accept in ([], [HTML]):
                    answer = await here.ask(Ask(method, filled(route.resource.canonical, "x"), accept, b""))
                    policy = directives(answer)
                    assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'"), answer
                    assert policy["object-src"] == "'none'"
                    assert "form-action" in policy
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert answer.headers["server"] == "Landfall"
                    assert answer.kind != "application/json" or answer.headers["cache-control"] == "no-store"
    finally:
        await running.close()
