"""Several accounts behind one login, and another account than the one that was to be brought back."""

import re
from typing import Any

import aiohttp
import pytest

from ops.access import users
from ops.runtime.tenancy import tenant_transaction
from publish.connections import connection_store
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests.rig import KEYS, TESTS, Rig

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SINGLE = ("instagram", "linkedin", "mastodon", "threads", "tiktok", "x")


async def offered(rig: Rig, **answers: str) -> dict[str, Any]:
    outcome = await rig.back("facebook", await rig.consented("facebook", **answers))
    assert outcome["kind"] == "choose", outcome
    return {item["username"]: item for item in outcome["choose"]}


async def listed(rig: Rig) -> dict[str, Any]:
    _, found = await rig.api("GET", "/api/connections")
    return {item["username"]: item for item in found["connections"]}


async def test_person_chooses_and_what_was_not_chosen_is_not_connected(rig: Rig) -> None:
    shown = await offered(rig)
    assert {name: item["platform"] for name, item in shown.items()} == {
        "Shop": "facebook",
        "shop": "instagram",
        "Cafe": "facebook",
    }
    assert await listed(rig) == {}
    [kept] = await rig.raw("SELECT sealed_accounts, outcome FROM oauth_states")
    simulated = rig.server.simulation.platforms["facebook"]
    assert kept["sealed_accounts"]
    assert not [token for token in simulated.tokens if token in str(kept)]  # type: ignore[attr-defined]
    outcome = await rig.chosen("facebook", [shown["Shop"]["account"]])
    assert (outcome["ok"], outcome["says"]) == (True, "Connected: Shop on Facebook Pages.")
    assert set(await listed(rig)) == {"Shop"}
    assert simulated.subscribed.keys() == {"Shop"}, "events of what nobody chose are not asked for"  # type: ignore[attr-defined]
    assert await rig.chosen("facebook", [shown["Cafe"]["account"]]) == outcome, "it was chosen"
    assert [row["sealed_accounts"] for row in await rig.raw("SELECT sealed_accounts FROM oauth_states")] == [None]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"type": "USER"}, "lacking"),
        ({"type": None}, "lacking"),
        ({"profile_id": "1"}, "lacking"),
        ({"app_id": "1"}, "app"),
        ({"is_valid": None}, "transient"),
        ({}, None),
    ],
    ids=str,
)
async def test_token_that_is_not_of_the_chosen_page_and_of_ours_is_not_kept(
    rig: Rig, changed: dict[str, Any], error: str | None
) -> None:
    """``meta.md`` 7.2: what ``debug_token`` says of it when the page is taken up."""
    shown = await offered(rig)
    client_id, _ = rig.server.simulation.platforms["facebook"].application()
    said = {"app_id": client_id, "type": "PAGE", "is_valid": True, "profile_id": shown["Shop"]["account_id"]}
    body = {"data": said | changed}
    await rig.sandbox.command("faults", platform="facebook", endpoint="GET *debug_token", status=200, body=body)
    outcome = await rig.chosen("facebook", [shown["Shop"]["account"]])
    assert (outcome["ok"], outcome.get("kind")) == (error is None, error), outcome
    assert list(await listed(rig)) == ([] if error else ["Shop"])


async def test_account_of_instagram_behind_a_page_is_a_connection_of_its_own(rig: Rig) -> None:
    shown = await offered(rig)
    outcome = await rig.chosen("facebook", [shown["shop"]["account"]])
    [id_] = outcome["connections"]
    found = await rig.shown(id_)
    assert (found["platform"], found["channel"], found["username"]) == ("instagram", "facebook", "shop")
    assert found["account_id"] == rig.server.simulation.platforms["instagram"].instagram.people["shop"].user_id  # type: ignore[attr-defined]
    await rig.due()
    assert await rig.refresher.refresh(id_) == "checked"
    assert await rig.connect("instagram") == [id_], "the same account, by another way in"
    assert (await rig.shown(id_))["channel"] == "instagram"
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        held = await connection_store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)
    assert set(held) == {"access_token"}, "and nothing is left of the other way"


async def test_what_cannot_be_connected_is_shown_with_what_to_do_and_not_taken(rig: Rig) -> None:
    shown = await offered(rig, untick="instagram_basic")
    assert "leave instagram_basic ticked" in shown["shop"]["why_not"]
    assert (shown["Shop"]["why_not"], shown["Shop"]["chosen"], shown["shop"]["chosen"]) == ("", True, False)
    for wanted, said in (
        ([shown["shop"]["account"]], "leave instagram_basic ticked"),
        ([], "at least one"),
        (["facebook:1"], "at least one"),
        ([shown["Shop"]["account"], "facebook:1"], "at least one"),
    ):
        assert said in (await rig.chosen("facebook", wanted))["says"]
    assert await listed(rig) == {}
    outcome = await rig.back("facebook", await rig.consented("facebook", account="bob"))
    assert (outcome["kind"], "ask one of its administrators" in outcome["says"]) == ("lacking", True)


async def test_only_the_browser_that_was_at_the_platform_may_choose(rig: Rig) -> None:
    shown = await offered(rig)
    wanted = [shown["Shop"]["account"]]
    address = f"{rig.url}/api/auth/facebook/choose"
    async with aiohttp.ClientSession() as stranger, stranger.post(address, json={"accounts": wanted}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
    for body in (b"", b"[]", b'{"accounts": "all"}', b"{"):
        async with rig.http.post(address, data=body, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 400
    for form, headers in (({}, {}), ({"csrf": "0" * 64}, {}), ({"csrf": ""}, {"Origin": "https://evil.example"})):
        async with rig.http.post(address, data={"account": wanted[0], **form}, headers=headers) as response:
            assert response.status == 403
    assert await listed(rig) == {}
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")
    assert "took too long" in (await rig.chosen("facebook", wanted))["says"]
    await rig.refresher._round()
    assert [row["sealed_accounts"] for row in await rig.raw("SELECT sealed_accounts FROM oauth_states")] == [None]


async def test_trouble_while_choosing_keeps_nothing_and_can_be_tried_again(rig: Rig) -> None:
    shown = await offered(rig)
    wanted = [shown["Shop"]["account"], shown["Cafe"]["account"]]
    await rig.sandbox.command("faults", platform="facebook", endpoint="POST */subscribed_apps", times=1, status=503)
    found = await rig.chosen("facebook", wanted)
    assert (found["kind"], found["error"]["retryable"]) == ("transient", True)
    assert await listed(rig) == {}
    assert (await rig.chosen("facebook", wanted))["ok"]
    assert set(await listed(rig)) == {"Shop", "Cafe"}


async def test_bringing_one_page_back_renews_those_that_share_the_grant_and_adds_none(rig: Rig) -> None:
    shown = await offered(rig)
    outcome = await rig.chosen("facebook", [shown["Shop"]["account"], shown["shop"]["account"]])
    await rig.sandbox.command("act", platform="facebook", what="revoke", account="alice")
    for id_ in outcome["connections"]:
        await rig.due()
        assert await rig.refresher.refresh(id_) == "needs_reconnect"
    again = await rig.back("facebook", await rig.consented("facebook", connection=outcome["connections"][0]))
    assert (again["ok"], sorted(again["connections"])) == (True, sorted(outcome["connections"]))
    assert {name: item["state"] for name, item in (await listed(rig)).items()} == {"Shop": "active", "shop": "active"}


@pytest.mark.parametrize("platform", SINGLE)
async def test_another_account_than_the_one_to_be_brought_back_asks_first(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform, "shop")
    name = (await rig.shown(id_))["username"]
    await rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'a test'")
    outcome = await rig.back(platform, await rig.consented(platform, account="alice", connection=id_))
    assert (outcome["ok"], outcome["kind"]) == (False, "choose")
    assert f"You wanted to connect {name} again, but this is " in outcome["says"]
    assert [item["chosen"] for item in outcome["choose"]] == [False]
    assert set(await listed(rig)) == {name}
    assert (await rig.shown(id_))["state"] == "needs_reconnect"
    added = await rig.chosen(platform, [outcome["choose"][0]["account"]])
    assert added["ok"]
    assert len(await listed(rig)) == 2
    assert (await rig.shown(id_))["state"] == "needs_reconnect", "and the one that was wanted still waits"
    back = await rig.back(platform, await rig.consented(platform, account="shop", connection=id_))
    assert (back["ok"], back["connections"]) == (True, [id_])


async def test_only_a_connection_of_ones_own_can_be_brought_back_and_by_its_own_way(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    for platform, wanted, status in (("x", id_, 400), ("tiktok", DEFAULT_TENANT, 400), ("tiktok", "nonsense", 404)):
        found, answer = await rig.api("GET", f"/api/auth/{platform}", params={"connection": wanted})
        assert found == status, answer


async def test_program_asks_what_came_of_a_flow_that_it_began(rig: Rig) -> None:
    status, begun = await rig.api("GET", "/api/auth/tiktok")
    assert status == 201

    async def state() -> Any:
        status, found = await rig.api("GET", f"/api/flows/{begun['flow']}")
        assert status == 200
        return found

    assert (await state())["state"] == "waiting"
    query = await rig.sandbox.consent(await rig.pressed(begun["open"]), "approve", "shop")
    assert isinstance(query, dict)
    outcome = await rig.back("tiktok", query)
    assert await state() == {
        "state": "connected",
        "says": "Connected: shop on TikTok.",
        "connections": outcome["connections"],
    }
    _, begun = await rig.api("GET", "/api/auth/tiktok")
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")
    assert (await state())["state"] == "failed"
    assert (await rig.api("GET", f"/api/flows/{DEFAULT_TENANT}"))[0] == 404


async def test_person_in_a_browser_chooses_on_a_page_and_is_led_back(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
    html = {"Accept": "text/html"}
    async with rig.http.post(f"{rig.url}/login", data={"email": EMAIL, "password": PASSWORD}):
        pass
    consent = await rig.pressed(f"{rig.url}/api/auth/facebook")
    query = await rig.sandbox.consent(consent, "approve", "alice", "instagram_basic")
    assert isinstance(query, dict)
    async with rig.http.get(f"{rig.url}/api/auth/facebook/callback", params=query, headers=html) as response:
        page = await response.text()
    [csrf] = re.findall(r'name="csrf" value="(\w+)"', page)
    usable = re.findall(r'name="account" value="([^"]+)" checked', page)
    assert len(usable) == 2
    address = f"{rig.url}/api/auth/facebook/choose"
    async with rig.http.get(address, headers=html) as response:
        assert await response.text() == page, "to be loaded again at will"
    async with rig.http.post(address, data={"csrf": csrf}, headers=html) as response:
        assert (response.status, "at least one" in await response.text()) == (400, True)
    form = [("csrf", csrf), *(("account", name) for name in usable)]
    async with rig.http.post(address, data=form, headers=html) as response:
        assert response.url.path == "/connections"
        assert "Connected: Shop on Facebook Pages, Cafe on Facebook Pages." in await response.text()


async def test_state_lives_for_five_minutes_and_a_choice_for_ten_more(rig: Rig) -> None:
    """``users-design.md`` 4."""
    older = "UPDATE oauth_states SET expires_at = expires_at - make_interval(secs => $1)"
    late = await rig.consented("facebook")
    await rig.raw(older, 301.0)
    outcome = await rig.back("facebook", late)
    assert (outcome["ok"], "It took too long" in outcome["says"]) == (False, True)
    in_time = await rig.consented("facebook")
    await rig.raw(older, 290.0)
    outcome = await rig.back("facebook", in_time)
    assert outcome["kind"] == "choose"
    await rig.raw(older, 590.0)
    assert (await rig.chosen("facebook", [outcome["choose"][0]["account"]]))["ok"]
