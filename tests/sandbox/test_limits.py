"""Budgets that a test sets, the headers that tell of them, and the calls that were spent (``meta.md`` 11)."""

import json
from typing import Any

import pytest

from ops.sandbox.contract import Limits
from ops.sandbox.server import edge_of
from tests.sandbox.conftest import Stand, code
from tests.sandbox.reading import PAGE, SHOP, act, commented, graph, newest, platform_of, token


async def headers(stand: Stand, secret: str, path: str, platform: str = "instagram") -> tuple[int, dict[str, Any]]:
    url = f"{stand.url}/{platform}/v25.0/{path}"
    async with stand.http.get(url, params={"access_token": secret}) as response:
        usage = {name: json.loads(text) for name, text in response.headers.items() if name.endswith("-Usage")}
        return response.status, usage


async def test_account_uses_up_its_budget_and_another_goes_on(stand: Stand) -> None:
    shop, alice = token(stand), token(stand, account="alice")
    await stand.command("limits", platform="instagram", account="shop", calls=4)
    await stand.command("limits", platform="instagram", window_seconds=600)
    seen = [await headers(stand, shop, "me") for _ in range(4)]
    [business] = [person.user_id for person in platform_of(stand).instagram.people.values() if person.name == SHOP]
    told = [usage["X-Business-Use-Case-Usage"][business][0] for _, usage in seen]
    assert [(item["type"], item["call_count"]) for item in told] == [("instagram", n) for n in (25, 50, 75, 100)]
    assert told[-1]["estimated_time_to_regain_access"] == 0
    refused = await graph(stand, shop, "me")
    assert (refused["status"], code(refused)) == (403, (80002, None))
    _, usage = await headers(stand, shop, "me")
    [last] = usage["X-Business-Use-Case-Usage"][business]
    assert (last["call_count"], last["estimated_time_to_regain_access"]) == (150, 10), "refusals count and tell too"
    assert (await headers(stand, alice, "me"))[0] == 200
    await stand.command("clock", jump=601)
    assert (await headers(stand, shop, "me"))[0] == 200
    await stand.command("limits", platform="instagram", calls=1)
    assert [(await headers(stand, alice, "me"))[0] for _ in range(2)] == [200, 403]
    assert (await headers(stand, shop, "me"))[0] == 200, "its own limit stays"


async def test_application_uses_up_its_budget_for_every_account(stand: Stand) -> None:
    shop, alice = token(stand), token(stand, account="alice")
    await stand.command("limits", platform="instagram", app_calls=4)
    counted = [(await headers(stand, secret, "me"))[1]["X-App-Usage"]["call_count"] for secret in (shop, alice) * 2]
    assert counted == [25, 50, 75, 100]
    refused = await graph(stand, alice, "me")
    assert (code(refused), refused["error"]["is_transient"]) == ((4, None), True)
    await stand.command("clock", jump=3601)
    assert "id" in await graph(stand, alice, "me")


async def test_page_has_a_budget_for_itself_and_one_for_its_instagram_account(stand: Stand) -> None:
    """``meta.md`` 11 and 7.4: 80001 and 80002."""
    secret, media = token(stand, "facebook"), newest(stand)
    page = platform_of(stand, "facebook").pages[PAGE].id
    await stand.command("limits", platform="facebook", calls=1)
    assert (await graph(stand, secret, media, "facebook"))["id"] == media
    assert code(await graph(stand, secret, media, "facebook")) == (80002, None)
    assert (await graph(stand, secret, page, "facebook"))["id"] == page
    assert code(await graph(stand, secret, page, "facebook")) == (80001, None)
    _, usage = await headers(stand, secret, page, "facebook")
    told = {item["type"]: item["call_count"] for item in usage["X-Business-Use-Case-Usage"][page]}
    assert told == {"instagram": 200, "pages": 300}, "each call once, however often its token is looked at"


async def test_limit_is_one_that_the_platform_has(stand: Stand) -> None:
    assert await stand.refused("limits", platform="tiktok", page_weight=3) == "tiktok has no page_weight to limit"
    assert "only calls" in await stand.refused("limits", platform="instagram", account="shop", listed=3)
    assert "only calls" in await stand.refused("limits", platform="instagram", account="shop")
    assert "has no calls" in await stand.refused("limits", platform="mastodon", calls=3)
    await stand.command("limits", platform="instagram", calls=3, short_pages=0.5)
    assert (await stand.command("limits", platform="instagram", calls=None)) == vars(Limits(short_pages=0.5))


async def test_calls_spent_are_counted_by_account_and_edge(stand: Stand) -> None:
    shop, alice = token(stand), token(stand, account="alice")
    media = newest(stand)
    comment = await commented(stand, media)
    await graph(stand, shop, "me/media")
    await graph(stand, shop, f"{platform_of(stand).instagram.people['shop'].user_id}/media")
    await graph(stand, shop, f"{media}/comments")
    await graph(stand, shop, f"{comment}/replies")
    await graph(stand, shop, comment)
    await stand.call("DELETE", f"/instagram/{comment}", params={"access_token": shop})
    await graph(stand, shop, comment)
    await graph(stand, alice, media)
    await stand.command("faults", platform="instagram", status=500)
    await graph(stand, alice, "me")
    assert await stand.spent(platform="instagram", account="shop") == {
        "DELETE /{comment}": 1,
        "GET /{account}/media": 2,
        "GET /{comment}": 2,
        "GET /{comment}/replies": 1,
        "GET /{media}/comments": 1,
    }, "also of what is gone"
    found = await stand.get("/_sandbox/spent", account="alice")
    about = {"platform": "instagram", "account": "alice"}
    assert found == [
        about | {"edge": "GET /{account}", "calls": 1, "refused": 0, "faulted": 1},
        about | {"edge": "GET /{media}", "calls": 1, "refused": 1, "faulted": 0},
    ]
    await stand.call("DELETE", "/_sandbox/spent")
    assert await stand.spent() == {}


async def test_calls_of_facebook_and_tiktok_are_counted_too(stand: Stand) -> None:
    secret, media = token(stand, "facebook"), newest(stand)
    platform = platform_of(stand, "facebook")
    page = platform.pages[PAGE].id
    [post, *_] = platform.pages[PAGE].posts
    for path in (page, f"{page}/published_posts", post, media, f"{media}/insights"):
        await graph(stand, secret, path, "facebook")
    assert set(await stand.spent(platform="facebook", account=PAGE)) == {
        "GET /{page}",
        "GET /{page}/published_posts",
        "GET /{post}",
        "GET /{media}",
        "GET /{media}/insights",
    }
    await stand.get("/tiktok/v2/nothing/")
    assert await stand.spent(platform="tiktok") == {"GET unknown": 1}
    await act(stand, "live")


@pytest.mark.parametrize(
    ("path", "edge"),
    [
        (r"/{version:(?:v\d+\.\d+/)?}{id:[^/]+}/media", "/{id}/media"),
        (r"/{version:(?:v\d+\.\d+/)?}me", "/me"),
        (r"/{id:[^/]+}/{edge:owned_pages|client_pages}", "/{id}/{edge}"),
        (r"/{code:[0-9]{3}}/x", "/{code}/x"),
        ("/v2/video/list/", "/v2/video/list/"),
    ],
)
def test_edge_is_the_path_of_a_route_without_patterns(path: str, edge: str) -> None:
    assert edge_of(path) == edge
