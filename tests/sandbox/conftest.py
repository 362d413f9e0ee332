"""The sandbox on a port, and a person with a browser."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from requests.adapters import HTTPAdapter

from ops.sandbox.client import Client, CommandRejected
from ops.sandbox.server import MEDIA, Server
from tests.support import eventually


class Stand(Client):
    """A sandbox from outside, and its ``server`` from inside."""

    def __init__(self, server: Server, http: aiohttp.ClientSession, url: str) -> None:
        super().__init__(http, url)
        self.server = server

    async def refused(self, name: str, /, **fields: Any) -> str:
        """Why a command cannot be granted."""
        with pytest.raises(CommandRejected) as refused:
            await self.command(name, **fields)
        return str(refused.value)

    async def get(self, path: str, **query: Any) -> Any:
        return await self.call("GET", path, params=query)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """What a platform answers, whatever it is: parsed, with ``status`` beside it where it refuses."""
        async with self.http.request(method, self.url + path, **options) as response:
            content = await response.json(content_type=None)
            return content if response.status < 400 else {"status": response.status} | (content or {})


class Elsewhere(HTTPAdapter):
    """The base URL of clients that have their platform's host written into them: mounted in its place."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.url = self._url + str(request.path_url)
        return super().send(request, *arguments, **options)


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell clients built on oauthlib that this host need not be encrypted to, and that a person may untick scopes."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")


def code(answer: Any) -> tuple[int, int | None]:
    """Code and subcode of a refusal in Graph's envelope."""
    return answer["error"]["code"], answer["error"].get("error_subcode")


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    server = Server(seed=7)
    running = TestServer(server.app())
    await running.start_server()
    async with aiohttp.ClientSession() as http:
        yield Stand(server, http, str(running.make_url("")).rstrip("/"))
    await running.close()


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """An application's webhook address: what came, and what it answers. ``url`` shakes hands with everybody."""

    url: str = ""
    media: str = ""
    """Where it serves ``files`` from, for platforms to fetch."""
    token: str = "t0ken"
    secret: str = "s3cret"
    statuses: list[int] = field(default_factory=list)
    """Answers to the next deliveries; 200 to the others."""
    asking: int = 200
    """What handshakes are answered; 200 are answered rightly."""
    came: list[Received] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    """Whether it serves parts of files, as an origin that knows ``Range`` does."""

    async def ask(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.asking != 200:
            return web.Response(status=self.asking)
        key = self.secret.encode()
        if token := request.query.get("crc_token"):
            digest = base64.b64encode(hmac.digest(key, token.encode(), hashlib.sha256)).decode()
            return web.json_response({"response_token": f"sha256={digest}"})
        if code := request.query.get("challengeCode"):
            digest = hmac.digest(key, code.encode(), hashlib.sha256).hex()
            return web.json_response({"challengeCode": code, "challengeResponse": digest})
        if request.query.get("hub.verify_token") != self.token:
            return web.Response(status=403, text="who are you?")
        return web.Response(text=request.query["hub.challenge"])

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.came.append(Received(headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def give(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["name"])
        if content is None:
            return web.Response(status=404)
        if not self.ranges or "Range" not in request.headers:
            return web.Response(body=content)
        part = content[request.http_range]
        first = request.http_range.start
        told = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return web.Response(status=206, body=part, headers={"Content-Range": told})

    async def until(self, count: int) -> list[Received]:
        """Wait for so many deliveries."""
        await until(lambda: len(self.came) >= count)
        return self.came


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something inside the sandbox."""

    async def look() -> bool:
        return holds()

    await eventually(look, seconds=5, every=0.01)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_get("/hook", found.ask)
    app.router.add_post("/hook", found.take)
    app.router.add_get("/files/{name}", found.give)
    running = TestServer(app)
    await running.start_server()
    found.url, found.media = str(running.make_url("/hook")), str(running.make_url("/files"))
    found.files = {file.name: file.read_bytes() for file in MEDIA.iterdir()}
    yield found
    await running.close()
