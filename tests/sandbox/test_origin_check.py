"""What other websites, and whoever only knows an address, get out of the sandbox: nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.sandbox.server import Server, own_answer
from tests.sandbox.conftest import Stand, until
from tests.sandbox.test_instagram import short
from tests.support import eventually

SECRET = "inner-service-canary-8d1f"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def status(stand: Stand, method: str, path: str, **options: Any) -> int:
    async with stand.http.request(method, stand.url + path, allow_redirects=False, **options) as response:
        return response.status


@pytest.fixture
async def marked(stand: Stand) -> Stand:
    """A fault waits: whoever resets the simulation, or takes faults away, is seen by that."""
    await stand.command("faults", platform="x", status=418, times=0)
    return stand


def untouched(stand: Stand) -> bool:
    return len(stand.server.simulation.faults.faults) == 1 and stand.server.simulation.pace == 0


ASKED = [
    ("POST", "/_sandbox/reset", JSON, "{}"),
    ("POST", "/_sandbox/pace", JSON, '{"pace": 9}'),
    ("DELETE", "/_sandbox/faults", {}, ""),
    ("POST", "/", FORM, "what=reset"),
    ("POST", "/", FORM, "what=pace&pace=9"),
    ("POST", "/mastodon/api/v1/apps", FORM, "client_name=a&redirect_uris=https://a.example/"),
]
"""Everything that changes something, one of each kind."""


@pytest.mark.parametrize(
    "name", ["rebound.example", "rebound.example:8090", "127.0.0.1.rebound.example", "10.1.2.3", ""]
)
async def test_name_that_was_made_to_lead_here_is_answered_nothing(marked: Stand, name: str) -> None:
    """DNS rebinding: the browser takes the website and the sandbox for one origin, and sends the website's name."""
    for method, path, headers, body in [*ASKED, ("GET", "/", {}, ""), ("GET", "/_sandbox/state", {}, "")]:
        assert await status(marked, method, path, headers=headers | {"Host": name}, data=body) == 421, (name, path)
    assert untouched(marked)
    assert not marked.server.simulation.platforms["mastodon"].apps  # type: ignore[attr-defined]


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
async def test_another_website_changes_nothing(marked: Stand, foreign: dict[str, str]) -> None:
    for method, path, headers, body in ASKED:
        assert await status(marked, method, path, headers=headers | foreign, data=body) == 403, path
    assert untouched(marked)
    assert not marked.server.simulation.platforms["mastodon"].apps  # type: ignore[attr-defined]


async def test_form_of_another_website_is_no_command_even_from_a_browser_that_says_nothing(marked: Stand) -> None:
    """A form can send these types without asking first; JSON it cannot."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind}
        assert await status(marked, "POST", "/_sandbox/reset", headers=headers, data="{}") == 400, kind
    assert untouched(marked)


async def test_no_get_changes_anything(marked: Stand) -> None:
    for name in ("reset", "pace?pace=9", "restore", "snapshot", "act", "clock?jump=9"):
        assert await status(marked, "GET", f"/_sandbox/{name}") == 405
    assert await status(marked, "GET", "/?what=reset") == 200
    assert untouched(marked)


async def test_pages_of_its_own_and_programs_are_answered(marked: Stand) -> None:
    own = {"Origin": marked.url, "Sec-Fetch-Site": "same-origin"}
    assert await status(marked, "POST", "/", headers=own, data={"what": "pace", "pace": "9"}) == 303
    assert marked.server.simulation.pace == 9
    by_name = {"Host": marked.url.replace("http://127.0.0.1", "localhost")}
    assert await status(marked, "POST", "/_sandbox/reset", headers=by_name, json={}) == 200
    assert not untouched(marked)


async def test_it_answers_to_the_name_it_was_given() -> None:
    running = TestServer(Server(seed=1).app("Sandbox.internal"))
    await running.start_server()
    async with aiohttp.ClientSession() as http:
        for name, expected in (("sandbox.internal:8090", 200), ("other.internal", 421)):
            async with http.get(running.make_url("/"), headers={"Host": name}) as response:
                assert response.status == expected
    await running.close()


async def test_page_cannot_be_laid_under_another(stand: Stand) -> None:
    async with stand.http.get(f"{stand.url}/") as response:
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


# --- addresses that whoever enters them may not reach


@pytest.fixture
async def inner() -> AsyncIterator[str]:
    """A service of the inner network that says secrets to whoever can reach it, as text, as JSON and as a page."""

    async def answer(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind == "json":
            return web.json_response({"error": SECRET, "token": SECRET})
        return web.Response(status=500 if kind == "broken" else 200, text=SECRET, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{kind}", answer)
    running = TestServer(app)
    await running.start_server()
    yield str(running.make_url("")).rstrip("/")
    await running.close()


async def everything_shown(stand: Stand) -> str:
    shown = [json.dumps(stand.server.simulation.ledger.find())]
    for path in ("/", "/_sandbox/state", "/_sandbox/ledger", "/_sandbox/ledger?kind=webhook"):
        async with stand.http.get(stand.url + path) as response:
            shown.append(await response.text())
    return "".join(shown)


@pytest.mark.parametrize("kind", ["text", "json", "broken"])
async def test_what_an_inner_address_answers_to_a_webhook_is_not_shown(stand: Stand, inner: str, kind: str) -> None:
    await stand.command("webhooks", platform="tiktok", url=f"{inner}/{kind}", all_accounts=True)
    for _ in range(3):
        await stand.command("act", platform="tiktok", what="live", account="shop")
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) > 0)
    assert SECRET not in await everything_shown(stand)
    assert (await stand.ledger("webhook"))[0]["status"] == (500 if kind == "broken" else 200)


def test_only_an_error_with_exactly_our_fields_is_shown() -> None:
    ours = {"code": "overloaded", "message": "m", "details": {}, "retryable": True, "userMessage": "m"}
    assert own_answer("application/json", json.dumps({"error": ours}).encode())
    for theirs in ({"error": ours, "more": SECRET}, {"error": {"message": SECRET}}, {"error": SECRET}, ours, {}):
        assert own_answer("application/json", json.dumps(theirs).encode()) == "", theirs


@pytest.mark.parametrize("platform", ["instagram", "x", "linkedin"])
async def test_what_an_inner_address_answers_to_a_handshake_is_not_shown(
    stand: Stand, inner: str, platform: str
) -> None:
    said = await stand.refused("webhooks", platform=platform, url=f"{inner}/broken")
    assert "it answered 500" in said
    assert SECRET not in said + await everything_shown(stand)


async def test_what_an_inner_address_answers_for_a_file_is_not_shown(stand: Stand, inner: str) -> None:
    _, token = await short(stand)
    bodies = ({"image_url": f"{inner}/text"}, {"media_type": "REELS", "video_url": f"{inner}/json"})
    said = [
        await stand.call("POST", "/instagram/me/media", data=command | {"access_token": token}) for command in bodies
    ]
    container = said[1]["id"]

    async def failed() -> bool:
        query = {"fields": "status,status_code", "access_token": token}
        said.append(await stand.get(f"/instagram/{container}", **query))
        return bool(said[-1]["status_code"] == "ERROR")

    await eventually(failed, 5)
    assert SECRET not in json.dumps(said) + await everything_shown(stand)
