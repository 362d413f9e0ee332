"""First contact with a server that people name: found in whatever way it is written, and told apart from others."""

from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ops.runtime.platform_protocol import PlatformError, Request, Response, Steps
from publish.oauth.contract import App
from publish.platforms.mastodon import REDIRECTS, locate, recognised, register
from tests.rig import Rig

APP = App(
    "", "", "https://crm.example/api/auth/mastodon/social.example/callback", {"instance": "https://social.example"}
)
HTML = {"body": "<html>hello</html>", "headers": {"Content-Type": "text/html"}}
V2 = Response(200, {"domain": "social.example", "version": "4.6.2", "title": "x"})
V1 = Response(200, {"uri": "https://social.example", "version": "0.17.0 git", "title": "GoToSocial"})
NOT_FOUND = Response(404, {"error": "not found"})
PAGE = Response(200, None)


async def start(rig: Rig, instance: str) -> tuple[int, Any]:
    return await rig.api("GET", "/api/auth/mastodon", params={"instance": instance})


async def befall(rig: Rig, endpoint: str, times: int = 0, **fault: Any) -> None:
    await rig.sandbox.command("faults", platform="mastodon", endpoint=endpoint, times=times, **fault)


async def calls(rig: Rig) -> list[str]:
    return [f"{call['method']} {call['path']}" for call in await rig.sandbox.ledger("call", platform="mastodon")]


@pytest.mark.parametrize(
    ("fault", "status", "error", "said"),
    [
        ({"status": 404, "body": {"error": "not found"}}, 400, "wrong", "does not answer as a Mastodon server does"),
        ({"status": 404, **HTML}, 400, "wrong", "does not answer as a Mastodon server does; check the address"),
        ({"status": 301, "headers": {"Location": "/elsewhere"}}, 400, "wrong", "does not answer as a Mastodon server"),
        ({"status": 200, **HTML}, 400, "wrong", "does not answer as a Mastodon server does; check the address"),
        ({"status": 200, "body": {"data": []}}, 400, "wrong", "does not answer as a Mastodon server does"),
        ({"status": 405, **HTML}, 400, "wrong", "does not answer as a Mastodon server does"),
        ({"status": 401, "body": {"error": "x"}}, 400, "wrong", "does not let applications register"),
        ({"status": 403, **HTML}, 400, "wrong", "does not let applications register"),
        ({"status": 422, "body": {"error": "Validation failed: Redirect URI must be https"}}, 400, "wrong",
         "does not take our registration; ask whoever runs it"),
        ({"status": 400, "body": {"error": "Bad Request: \n<b>no</b>"}}, 400, "wrong",
         "does not take our registration"),
        ({"status": 500, **HTML}, 503, "transient", "try again"),
        ({"status": 503}, 503, "transient", "try again"),
        ({"status": 429, "body": {"error": "Too many requests"}}, 503, "transient", "try again"),
        ({"drop": True}, 503, "transient", "try again"),
    ],
)  # fmt: skip
async def test_registration_that_fails_says_what_it_is(
    rig: Rig, fault: dict[str, Any], status: int, error: str, said: str
) -> None:
    await befall(rig, "POST /api/v1/apps", **fault)
    found, answer = await start(rig, "social.example")
    problem = answer["error"]
    assert (found, problem["details"]["reason"], problem["retryable"]) == (status, error, error == "transient"), answer
    assert said in answer["error"]["message"]
    assert "no longer accepts" not in answer["error"]["message"]
    assert await rig.raw("SELECT 1 FROM oauth_states") == await rig.raw("SELECT 1 FROM oauth_clients") == []


async def test_site_that_is_no_server_at_all_is_told_apart_and_not_registered_with(rig: Rig) -> None:
    await befall(rig, "*", status=404, **HTML)
    status, answer = await start(rig, "example.org")
    assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (400, "invalid_request", False)
    assert "does not answer as a Mastodon server does; check the address" in answer["error"]["message"]
    assert "POST /api/v1/apps" not in await calls(rig)


@pytest.mark.parametrize(
    "path", ["/.well-known/host-meta", "/.well-known/webfinger", "/api/v2/instance", "/api/v1/instance"]
)
async def test_server_whose_handles_have_another_domain_is_one_under_both_names(rig: Rig, path: str) -> None:
    if path == "/api/v1/instance":
        await befall(rig, "GET /api/v2/instance", times=1, status=404, **HTML)
    await befall(rig, f"GET {path}", times=1, status=301, headers={"Location": f"https://Web.Example{path}"})
    status, answer = await start(rig, "@me@example.org")
    assert status == 201, answer
    consent = await rig.pressed(answer["open"])
    [back] = parse_qs(urlsplit(consent).query)["redirect_uri"]
    assert urlsplit(back).path == "/api/auth/mastodon/web.example/callback"
    query = await rig.sandbox.consent(consent, "approve", "shop")
    async with rig.http.get(back, params=query, headers={"Accept": "application/json"}) as response:
        assert (await response.json())["ok"]
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass
    assert (await start(rig, "https://web.example/@me"))[0] == 201
    await befall(rig, "GET /.well-known/host-meta", times=1, status=302, headers={"Location": "https://web.example/x"})
    assert (await start(rig, "example.org"))[0] == 201
    rows = await rig.raw("SELECT instance FROM connections UNION ALL SELECT instance FROM oauth_clients")
    assert [row["instance"] for row in rows] == ["web.example"] * 2
    assert {row["instance"] for row in await rig.raw("SELECT instance FROM oauth_states")} == {"web.example"}
    assert (await calls(rig)).count("POST /api/v1/apps") == 1


async def test_server_we_know_is_not_looked_for_again_and_one_that_is_gone_says_so(rig: Rig) -> None:
    assert (await start(rig, "social.example"))[0] == 201
    before = await calls(rig)
    assert (await start(rig, "https://SOCIAL.example/@me"))[0] == 201
    assert (await calls(rig))[len(before) :] == ["POST /oauth/token"]
    await befall(rig, "*", status=200, **HTML)
    status, answer = await start(rig, "social.example")
    assert (status, "does not answer as a Mastodon server does" in answer["error"]["message"]) == (400, True)


async def test_names_in_any_script_are_kept_in_the_one_that_the_network_knows(rig: Rig) -> None:
    for written in ("bücher.example", "https://BÜCHER.example/@me", "xn--bcher-kva.example", "@me@bücher.example"):
        assert (await start(rig, written))[0] == 201
    assert [row["instance"] for row in await rig.raw("SELECT instance FROM oauth_clients")] == ["xn--bcher-kva.example"]


async def test_server_that_knows_only_the_old_answer_is_one(rig: Rig) -> None:
    await befall(rig, "GET /api/v2/instance", status=404, body={"error": "not found"})
    assert (await start(rig, "pixels.example"))[0] == 201


async def test_redirect_into_our_own_network_is_held_to_the_same_guard(rig: Rig) -> None:
    def led(host: str) -> Steps[str]:
        steps = locate(APP)
        next(steps)
        request = steps.send(Response(301, None, {"location": f"https://{host}/"}))
        assert request.url == f"https://{host}/.well-known/host-meta"
        answer = yield request
        raise AssertionError(answer)

    for host, why in (
        ("127.0.0.1", "no server on the internet has this name"),
        ("169.254.169.254", "no server on the internet has this name"),
        ("nobody.invalid", "no server on the internet has this name"),
    ):
        with pytest.raises(PlatformError, match=why) as refused:
            await rig.providers.client.run(led(host), platform="mastodon", instance="social.example")
        assert (refused.value.kind, refused.value.code) == ("transient", "unreachable")


# --- the conversation by itself


def played(steps: Steps[Any], answers: dict[str, Response | list[Response]]) -> tuple[Any, list[str]]:
    """What the steps return against a server that answers so by address, 404 elsewhere; and what was asked."""
    asked = []
    request: Request = next(steps)
    try:
        while True:
            asked.append(request.url)
            request = steps.send(answers.get(request.url, NOT_FOUND))
    except StopIteration as done:
        return done.value, asked


def to(address: str, status: int = 301) -> Response:
    return Response(status, None, {"location": address})


@pytest.mark.parametrize("answer", [V2, V1, Response(200, {"uri": "pixels.example", "version": "2.7.2 (compatible)"})])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_server_of_the_language_is_recognised_by_either_answer(answer: Response, version: str) -> None:
    found, _ = played(locate(APP), {f"https://social.example/api/{version}/instance": answer})
    assert found == "social.example"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_any_redirect_is_followed_and_only_so_many(status: int) -> None:
    hosts = ["social.example", *(f"h{number}.example" for number in range(REDIRECTS + 1))]
    for last in range(1, len(hosts)):
        ways = {
            f"https://{here}/.well-known/host-meta": to(f"https://{there}/x", status)
            for here, there in pairwise(hosts[: last + 1])
        }
        ways[f"https://{hosts[last]}/api/v2/instance"] = V2
        if last <= REDIRECTS:
            assert played(locate(APP), ways)[0] == hosts[last]
        else:
            with pytest.raises(PlatformError, match="check the address"):
                played(locate(APP), ways)


@pytest.mark.parametrize(
    "location",
    ["http://web.example/", "https://web.example:444/", "https://a@web.example/", "/api/v2/instance/", "", "https://[::1",
     "https://social.example/elsewhere"],
)  # fmt: skip
def test_redirect_that_leads_nowhere_else_is_not_followed(location: str) -> None:
    paths = ("/.well-known/host-meta", "/.well-known/webfinger", "/api/v2/instance", "/api/v1/instance")
    ways = {f"https://social.example{path}": to(location) for path in paths}
    with pytest.raises(PlatformError, match="check the address") as refused:
        played(locate(APP), ways)
    assert refused.value.kind == "wrong"


def test_two_servers_that_redirect_to_each_other_are_none() -> None:
    ways = {
        "https://social.example/.well-known/host-meta": to("https://web.example/x"),
        "https://web.example/.well-known/host-meta": to("https://social.example/x"),
    }
    with pytest.raises(PlatformError, match="check the address"):
        played(locate(APP), ways)


@pytest.mark.parametrize("status", [401, 403])
def test_server_that_shows_itself_to_nobody_may_register_us_all_the_same(status: int) -> None:
    """In limited federation mode the first answers are 401, and registering works."""
    answer = Response(status, {"error": "This method requires an authenticated user"})
    assert played(locate(APP), {"https://social.example/api/v2/instance": answer})[0] == "social.example"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_server_in_trouble_is_to_be_asked_again(status: int) -> None:
    for steps, path in (
        (locate(APP), "/api/v2/instance"),
        (locate(APP), "/api/v1/instance"),
        (register(APP, "Landfall", ["read"]), "/api/v1/apps"),
        (recognised(APP), "/oauth/token"),
    ):
        with pytest.raises(PlatformError, match="try again") as refused:
            played(steps, {f"https://social.example{path}": Response(status, None)})
        assert refused.value.kind == "transient"


def test_ids_that_are_numbers_are_ids() -> None:
    made = Response(200, {"client_id": 17, "client_secret": "s"})
    found, _ = played(register(APP, "Landfall", ["read"]), {"https://social.example/api/v1/apps": made})
    assert found == ("17", "s")


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (Response(200, {"access_token": "x"}), True),
        (Response(401, {"error": "invalid_client"}), False),
        (Response(403, {"error": "unauthorized_client"}), False),
        (Response(404, {"error": "not found"}), False),
        (to("https://web.example/"), False),
        (PAGE, False),
    ],
)
def test_server_that_does_not_answer_as_one_does_not_know_us(answer: Response, known: bool) -> None:  # noqa: FBT001
    assert played(recognised(APP), {"https://social.example/oauth/token": answer})[0] is known
