"""Several flows in one browser, of one platform or of several servers: each stands by itself."""

import asyncio
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from ops.web.pages.authorization import BROWSER_COOKIE, FLOW_COOKIE, MOST_FLOWS
from tests.rig import HTML, Rig, form_of, outcome_of
from tests.support import eventually

JSON = {"Accept": "application/json"}


async def begun(rig: Rig, platform: str, **query: str) -> str:
    """A flow opened in another tab: the platform's consent page."""
    status, found = await rig.api("GET", f"/api/auth/{platform}", params=query)
    assert status == 201, found
    return await rig.pressed(found["open"])


async def approved(rig: Rig, consent: str, account: str) -> tuple[str, dict[str, str]]:
    """Where the platform sends the browser back to, and with what."""
    found = await rig.sandbox.consent(consent, "approve", account)
    assert isinstance(found, dict)
    [back] = parse_qs(urlsplit(consent).query)["redirect_uri"]
    return back, found


async def came_back(rig: Rig, back: tuple[str, dict[str, str]]) -> Any:
    async with rig.http.get(back[0], params=back[1], headers=JSON) as response:
        return outcome_of(await response.json())


async def chosen(rig: Rig, platform: str, **body: Any) -> tuple[int, Any]:
    address = f"{rig.url}/api/auth/{platform}/choose"
    async with rig.http.post(address, json=body, headers=JSON) as response:
        return response.status, await response.json()


def held(rig: Rig) -> list[str]:
    """The marks of the flows that the browser has cookies of."""
    return [c.key.removeprefix(f"{FLOW_COOKIE}-") for c in rig.http.cookie_jar if c.key.startswith(f"{FLOW_COOKIE}-")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("platform", ["tiktok", "mastodon"])
async def test_two_tabs_connect_two_accounts_in_whichever_order_they_return(
    rig: Rig, platform: str, order: tuple[int, int]
) -> None:
    accounts = ("shop", "alice")
    query = {"instance": "social.example"} if platform == "mastodon" else {}
    tabs = [await begun(rig, platform, **query) for _ in accounts]
    for tab in order:
        outcome = await came_back(rig, await approved(rig, tabs[tab], accounts[tab]))
        assert outcome["ok"], outcome
    rows = await rig.raw("SELECT username FROM connections ORDER BY username")
    assert [row["username"] for row in rows] == ["alice", "shop"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_two_servers_of_one_platform_are_connected_side_by_side(rig: Rig, order: tuple[int, int]) -> None:
    servers = ("social.example", "other.example")
    tabs = [await begun(rig, "mastodon", instance=server) for server in servers]
    backs = [await approved(rig, tab, "shop") for tab in tabs]
    assert [urlsplit(back[0]).path.split("/")[4] for back in backs] == list(servers)
    for tab in order:
        assert (await came_back(rig, backs[tab]))["ok"]
    rows = await rig.raw("SELECT instance FROM connections ORDER BY instance")
    assert [row["instance"] for row in rows] == sorted(servers)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_each_choice_is_made_in_its_own_flow(rig: Rig, order: tuple[int, int]) -> None:
    tabs = [await begun(rig, "facebook") for _ in range(2)]
    outcomes = [await came_back(rig, await approved(rig, tab, "alice")) for tab in tabs]
    names = ["Shop", "Cafe"]
    wanted = [
        next(i["account"] for i in o["choose"] if i["username"] == n) for o, n in zip(outcomes, names, strict=True)
    ]
    status, answer = await chosen(rig, "facebook", accounts=[wanted[0]])
    error = answer["error"]
    assert (status, error["code"], "`flow`" in error["message"]) == (400, "invalid_request", True), "which of the two?"
    for tab in order:
        address = f"{rig.url}/api/auth/facebook/choose"
        async with rig.http.get(address, params={"flow": outcomes[tab]["flow"]}, headers=JSON) as response:
            assert await response.json() == outcomes[tab]
        status, answer = await chosen(rig, "facebook", accounts=[wanted[tab]], flow=outcomes[tab]["flow"])
        assert (status, answer["says"]) == (200, f"Connected: {names[tab]} on Facebook Pages.")
    rows = await rig.raw("SELECT username FROM connections ORDER BY username")
    assert [row["username"] for row in rows] == ["Cafe", "Shop"]


async def test_same_accounts_that_are_chosen_in_opposite_orders_at_once_are_connected_by_both(rig: Rig) -> None:
    """Each takes the first of its own, and waits for the second; who then wants the other's first would be ended."""
    first, second, third = (await rig.connect("facebook"))[:3]
    outcomes = [await came_back(rig, await approved(rig, await begun(rig, "facebook"), "alice")) for _ in range(2)]
    known = {row["id"]: f"{row['platform']}:{row['account_id']}" for row in await rig.raw(
        "SELECT id::text, platform, account_id FROM connections")}  # fmt: skip
    orders = ([first, second, third], [third, second, first])

    async def waiting(number: int) -> bool:
        found = await rig.connection.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return bool(found == number)

    holding = rig.connection.transaction()
    await holding.start()
    await rig.connection.execute("SELECT set_config('landfall.tenant', '*', true)")
    await rig.connection.execute("SELECT 1 FROM connections WHERE id = $1::uuid FOR UPDATE", second)
    running = []
    for number, (outcome, order) in enumerate(zip(outcomes, orders, strict=True), 1):
        request = chosen(rig, "facebook", accounts=[known[id_] for id_ in order], flow=outcome["flow"])
        running.append(asyncio.create_task(request))
        await eventually(lambda number=number: waiting(number))
    await holding.rollback()
    for (status, answer), order in zip(await asyncio.gather(*running), orders, strict=True):
        assert (status, answer.get("ok")) == (200, True), answer
        assert answer["connections"] == order, "told in the order in which they were chosen"


async def test_page_of_a_choice_names_its_flow_and_another_flows_token_does_not_fit(rig: Rig) -> None:
    pages = []
    for tab in [await begun(rig, "facebook") for _ in range(2)]:
        address, query = await approved(rig, tab, "alice")
        async with rig.http.get(address, params=query, headers=HTML) as response:
            pages.append(await response.text())
    fields = [dict(re.findall(r'name="(csrf|flow)" value="(\w+)"', page)) for page in pages]
    assert fields[0]["flow"] != fields[1]["flow"]
    [account] = re.findall(r'name="account" value="([^"]+)" checked>\s*Facebook Pages: Shop', pages[0])
    address = f"{rig.url}/api/auth/facebook/choose"
    mixed = {"csrf": fields[1]["csrf"], "flow": fields[0]["flow"], "account": account}
    async with rig.http.post(address, data=mixed) as response:
        assert response.status == 403
    async with rig.http.post(address, data=fields[0] | {"account": account}, headers=HTML) as response:
        assert "Connected: Shop on Facebook Pages." in await response.text()
    async with rig.http.post(address, data=fields[0] | {"flow": "0" * 32}) as response:
        assert response.status == 403
    for flow in ("0" * 32, "x", "landfall", "\u0130"):
        assert (await chosen(rig, "facebook", accounts=[account], flow=flow))[0] == 400


async def test_only_flow_of_a_browser_needs_no_name_though_others_of_other_platforms_are_open(rig: Rig) -> None:
    await begun(rig, "facebook")
    await begun(rig, "tiktok")
    outcome = await came_back(rig, await approved(rig, await begun(rig, "facebook"), "alice"))
    async with rig.http.get(f"{rig.url}/api/auth/facebook/choose", headers=JSON) as response:
        assert await response.json() == outcome
    account = outcome["choose"][0]["account"]
    assert (await chosen(rig, "facebook", accounts=[account]))[1]["ok"]
    assert (await chosen(rig, "tiktok", accounts=[account]))[0] == 400


async def test_return_of_a_flow_needs_the_cookie_of_that_flow_and_no_other_will_do(rig: Rig) -> None:
    back = await approved(rig, await begun(rig, "tiktok"), "shop")
    mark = held(rig)[0]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        mine, rig.http = rig.http, other
        await begun(rig, "tiktok")
        [stolen] = [c.value for c in other.cookie_jar if c.key.startswith(FLOW_COOKIE)]
        assert "another browser" in (await came_back(rig, back))["says"]
        other.cookie_jar.update_cookies({f"{FLOW_COOKIE}-{mark}": stolen})
        assert "another browser" in (await came_back(rig, back))["says"]
        rig.http = mine
    assert (await came_back(rig, back))["ok"]


async def test_cookies_of_ended_flows_are_taken_back_and_their_number_is_bounded(rig: Rig) -> None:
    back = await approved(rig, await begun(rig, "tiktok"), "shop")
    [ended] = held(rig)
    outcome = await came_back(rig, back)
    assert await came_back(rig, back) == outcome, "a page that is loaded again says the same"
    await begun(rig, "x")
    assert ended not in held(rig)
    [old] = held(rig)
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")
    await begun(rig, "x")
    assert old not in held(rig)
    for _ in range(MOST_FLOWS + 5):
        last = await begun(rig, "x")
    assert len(held(rig)) == MOST_FLOWS
    assert sum(len(f"__Host-{c.key}={c.value}; ") for c in rig.http.cookie_jar) < 4096
    assert (await came_back(rig, await approved(rig, last, "shop")))["ok"]


async def test_oldest_flows_go_first_where_a_browser_is_in_too_many(rig: Rig) -> None:
    cookies: dict[str, str] = {}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        for number in range(MOST_FLOWS + 1):
            _, found = await rig.api("GET", "/api/auth/x")
            # Oldest first, as browsers send them (RFC 6265 5.4).
            headers = HTML | {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            async with browser.get(found["open"], headers=headers) as response:
                known = f"{BROWSER_COOKIE}={response.cookies[BROWSER_COOKIE].value}"
                action, form = form_of(await response.text())
            headers["Cookie"] = "; ".join(filter(None, (headers["Cookie"], known)))
            async with browser.post(rig.url + action, data=form, headers=headers, allow_redirects=False) as response:
                gone = [name for name, cookie in response.cookies.items() if cookie["max-age"] == "0"]
                assert gone == ([next(iter(cookies))] if number == MOST_FLOWS else [])
                cookies |= {name: c.value for name, c in response.cookies.items() if name not in gone}
