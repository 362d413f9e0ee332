"""Every failed request on every route of every port is answered in the one shape of the user's design, section 3."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import asyncpg
import pytest
from structlog.testing import capture_logs

from ingest import endpoint
from ops.access import api_keys
from ops.runtime.platform_protocol import Kind
from ops.runtime.responses import Code
from ops.web.responses import CODES, STATUS
from schema.tenancy import DEFAULT_TENANT
from tests.acceptance.test_invalid_input import (
    CLAIMED,
    EMAIL,
    FORM,
    HTML,
    ID,
    LOGIN,
    PASSWORD,
    UNSAFE,
    Answer,
    Ask,
    Running,
    filled,
    serving,
)
from tests.rig import TESTS
from tests.support import is_error

LARGE = b"a" * 2**21
JSON = (b"Accept", b"application/json")


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    @property
    def takes_body(self) -> bool:
        return self.method in UNSAFE

    @property
    def by_platform(self) -> bool:
        """Whether a platform calls it, and no program of ours."""
        return self.path.startswith("/api/webhooks/") or self.path.endswith(("/deauthorize", "/deletion"))


Build = Callable[[Route, bytes, bytes], Ask | None]
"""The request of one kind to a route, with its address filled in and a key of few scopes; None where it has none."""


def form(method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Ask:
    return Ask(method, target, [(b"Content-Type", FORM), *headers], body)


KINDS: dict[str, tuple[Build, set[tuple[int, str]], int]] = {
    # what is sent to each route, how it may be refused, and on how many routes it is at least
    "a method that it does not have": (
        lambda _, target, __: Ask("PROPFIND", target),
        {(405, "method_not_allowed"), (404, "unknown_platform")},
        30,
    ),
    "an expectation that nobody meets": (
        lambda route, target, _: Ask(route.method, target, [(b"Expect", b"x")]) if route.method != "HEAD" else None,
        {(417, "expectation_failed")},
        40,
    ),
    "a body that is too large": (
        lambda route, target, _: form(route.method, target, CLAIMED, LARGE) if route.takes_body else None,
        {(413, "body_too_large")},
        20,
    ),
    "a compressed body": (
        lambda route, target, _: (
            form(route.method, target, [*CLAIMED, (b"Content-Encoding", b"gzip")], b"x") if route.takes_body else None
        ),
        {(415, "content_encoding")},
        20,
    ),
    "no credential": (
        lambda route, target, _: (
            Ask(route.method, target, [(b"Content-Type", FORM)], b"a=b" if route.takes_body else None)
            if route.path.startswith("/api/") and route.method in ("GET", "POST", "DELETE")
            else None
        ),
        {(401, "unauthorized"), (401, "invalid_signature")},
        8,
    ),
    "a key without the scope": (
        lambda route, target, key: (
            Ask(route.method, target, [(b"Authorization", b"Bearer " + key)], b"" if route.takes_body else None)
            if route.path.startswith("/api/") and not route.by_platform
            else None
        ),
        {(403, "forbidden")},
        6,
    ),
    "a form of another website": (
        lambda route, target, _: (
            form(route.method, target, [(b"Origin", b"https://evil.example")], b"csrf=x")
            if route.method == "POST" and not route.by_platform
            else None
        ),
        {(403, "csrf")},
        15,
    ),
    "a query that no text can hold": (
        lambda route, target, _: Ask(route.method, target + b"?a=%00") if route.method == "GET" else None,
        {(400, "invalid_request")},
        12,
    ),
    "an address that is none": (
        lambda route, target, _: Ask("GET", target + b"/nowhere") if route.method == "GET" else None,
        {(404, "not_found"), (404, "unknown_platform")},
        20,
    ),
    "bytes that are no request": (
        lambda _, target, __: Ask("G(T", target),
        {(400, "bad_request")},
        40,
    ),
}


@pytest.fixture
async def running(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Running]:
    async with serving(database, caplog) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_refusal_has_one_shape_on_every_route_of_every_port(running: Running, kind: str) -> None:
    build, wanted, least = KINDS[kind]
    key = (await api_keys.create(running.pool, DEFAULT_TENANT, "narrow", ["audit:read"], TESTS)).encode()
    seen = defaultdict(list)
    for port, method, path in running.routes():
        for own in ("GET", "POST") if method == "*" else (method,):
            ask = build(Route(own, path), filled(path, "instagram" if "{platform}" in path else ID), key)
            if ask is None:
                continue
            for accept in ([], [JSON], [HTML]):
                answer = await running.checked(Ask(ask.method, ask.target, [*ask.headers, *accept], ask.body, port))
                if accept != [HTML] and answer.status >= 400 and own != "HEAD":
                    assert is_error(json.loads(answer.body)), (own, path, answer)
                    seen[answer.status, json.loads(answer.body)["error"]["code"]].append(path)
    assert sum(len(seen[each]) for each in wanted) >= 2 * least, dict(seen)


async def said(running: Running, ask: Ask) -> tuple[int, str, bool, Answer]:
    """Status, code and whether to retry, of an answer that may be an error of ours too."""
    answer = await running.ask(ask)
    content = json.loads(answer.body)
    assert is_error(content), answer
    return answer.status, content["error"]["code"], content["error"]["retryable"], answer


async def test_who_asks_too_often_is_told_so_as_a_program_and_as_a_person(running: Running) -> None:
    body = f"email={EMAIL}&password=".encode()
    codes = [(await said(running, Ask("POST", b"/login", LOGIN, body + b"wrong")))[:3] for _ in range(6)]
    assert codes == [(401, "unauthorized", False)] * 5 + [(429, "rate_limit_exceeded", True)]
    page = await running.checked(Ask("POST", b"/login", [*LOGIN, HTML], body + PASSWORD.replace(" ", "+").encode()))
    assert (page.status, page.kind) == (429, "text/html")


async def test_surprise_is_an_error_of_the_server_and_may_be_tried_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: object) -> None:
        raise LookupError("a surprise")

    monkeypatch.setattr(api_keys, "authenticate", surprise)
    monkeypatch.setattr(endpoint, "accept", surprise)
    api = Ask("GET", b"/api/connections", [(b"Authorization", b"Bearer x")])
    webhook = Ask("POST", b"/api/webhooks/instagram", CLAIMED, b"{}")
    with capture_logs():
        assert (await said(running, api))[:3] == (503, "server_error", True)
        assert (await said(running, webhook))[:3] == (503, "processing_failed", True)


async def test_what_is_not_configured_says_so_in_the_same_shape(
    database: str, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    none = {"INSTAGRAM_APP_SECRET": "", "META_APP_SECRET": "", "META_VERIFY_TOKEN": "", "LANDFALL_VAULT_KEYS": ""}
    async with serving(database, caplog, **none) as running:
        for method, target in (("POST", b"/api/webhooks/instagram"), ("GET", b"/api/webhooks/instagram")):
            status, code, retryable, answer = await said(running, Ask(method, target, CLAIMED))
            assert (status, code, retryable, answer.headers["retry-after"]) == (503, "not_configured", True, "60")
        for target in (b"/api/connections", b"/api/auth/x", b"/api/auth/x/callback"):
            assert (await said(running, Ask("GET", target)))[:3] == (503, "not_configured", False)
        monitored = await running.ask(Ask("GET", b"/readyz", [JSON], None, running.inside_port))
        assert (monitored.status, json.loads(monitored.body)["status"]) == (200, "ready"), "other platforms have one"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        (b"hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong", 403, "handshake_refused"),
        (b"hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=verify-canary-0c2e", 400, "invalid_request"),
    ],
)
async def test_handshake_that_fails_is_refused_in_the_same_shape(
    running: Running, query: bytes, status: int, code: str
) -> None:
    target = b"/api/webhooks/instagram?" + query
    assert (await said(running, Ask("GET", target)))[:3] == (status, code, False)
    page = await running.checked(Ask("GET", target, [HTML]))
    assert (page.status, page.kind) == (status, "text/html")


def test_every_kind_of_problem_has_a_code_and_a_status() -> None:
    assert set(CODES) - {"ended"} == set(STATUS) == set(get_args(Kind)), "a flow of somebody removed is ended"


def test_readme_names_every_code_and_no_other() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [told] = re.findall(r"The codes: (.*?) Bodies are forms", readme, re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", told)) - {"signed_request"} == set(get_args(Code))
