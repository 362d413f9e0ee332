"""Pages of Facebook that no plain list shows, and permissions that are asked for on request."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ops.access.audit_log_store import Actor
from ops.cli.composition import assembled
from ops.runtime.platform_protocol import PlatformError
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests.integration.publish.platforms.test_malformed_responses import answering
from tests.rig import KEYS, PLATFORMS, PROVIDERS, TESTS, Rig

BUSINESS = "business_management"
SCOPED = ("instagram", "linkedin", "mastodon", "tiktok", "x")
"""Those whose token answers say what was granted."""


async def offered(rig: Rig, account: str, **query: str) -> dict[str, Any]:
    outcome = await rig.back("facebook", await rig.consented("facebook", account=account, **query))
    return {item["username"]: item for item in outcome["choose"]} if outcome.get("kind") == "choose" else outcome


def asked(address: str) -> set[str]:
    [scope] = parse_qs(urlsplit(address).query)["scope"]
    return set(scope.replace(",", " ").split())


async def test_pages_of_business_portfolios_are_found_with_the_permission_for_it(rig: Rig) -> None:
    shown = await offered(rig, "carol", optional_scopes=BUSINESS)
    assert set(shown) == {"Warehouse", "Client", "Auditor", "Picked"}
    outcome = await rig.chosen("facebook", [shown["Warehouse"]["account"], shown["Client"]["account"]])
    assert outcome["ok"], outcome
    found = await rig.shown(outcome["connections"][0])
    assert (found["state"], BUSINESS in found["scopes"]) == ("active", True)
    await rig.due()
    assert await rig.refresher.refresh(outcome["connections"][0]) == "checked"


async def test_page_of_a_portfolio_on_which_one_may_not_post_says_so_when_it_is_chosen(rig: Rig) -> None:
    shown = await offered(rig, "carol", optional_scopes=BUSINESS)
    found = await rig.chosen("facebook", [shown["Auditor"]["account"]])
    assert (found["kind"], "You may not do everything on Auditor" in found["says"]) == ("lacking", True)


async def test_page_that_was_picked_and_is_in_no_list_is_read_by_its_id(rig: Rig) -> None:
    outcome = await rig.back("facebook", await rig.consented("facebook", account="carol"))
    assert (outcome["ok"], outcome["says"]) == (True, "Connected: Picked on Facebook Pages.")


async def test_without_the_permission_the_message_says_that_a_portfolio_needs_it_and_how_to_ask(rig: Rig) -> None:
    simulated = rig.server.simulation.platforms["facebook"]
    del simulated.pages["Picked"]  # type: ignore[attr-defined]
    outcome = await rig.back("facebook", await rig.consented("facebook", account="carol"))
    assert (outcome["ok"], outcome["kind"]) == (False, "lacking")
    assert "/api/auth/facebook?optional_scopes=business_management" in outcome["says"]
    simulated.businesses.clear()  # type: ignore[attr-defined]
    outcome = await rig.back("facebook", await rig.consented("facebook", account="carol", optional_scopes=BUSINESS))
    assert (outcome["kind"], "optional_scopes" in outcome["says"]) == ("lacking", False), "it would not help"


@pytest.mark.parametrize(
    ("tasks", "usable"),
    [
        (["CREATE_CONTENT"], True),
        (["MANAGE"], True),
        (["PROFILE_PLUS_CREATE_CONTENT"], True),
        (["PROFILE_PLUS_FULL_CONTROL", "PROFILE_PLUS_ANALYZE"], True),
        (["PROFILE_PLUS_ANALYZE", "PROFILE_PLUS_MODERATE"], False),
        (["ANALYZE", "MODERATE"], False),
        ([], False),
    ],
)
async def test_every_task_that_lets_one_create_content_counts(rig: Rig, tasks: list[str], usable: Any) -> None:
    simulated = rig.server.simulation.platforms["facebook"]
    simulated.pages["Cafe"].tasks["alice"] = tasks  # type: ignore[attr-defined]
    shown = await offered(rig, "alice")
    assert (shown["Cafe"]["why_not"] == "") == usable
    if usable:
        assert (await rig.chosen("facebook", [shown["Cafe"]["account"]]))["ok"]


async def test_portfolios_and_pages_are_read_to_an_end(rig: Rig) -> None:
    simulated: Any = rig.server.simulation.platforms["facebook"]
    page = simulated.pages["Warehouse"]
    for number in range(130):
        name = f"Depot {number}"
        simulated.pages[name] = replace(page, id=f"9000{number:04d}", name=name, posts={})
    simulated.businesses["Holding"] = replace(
        simulated.businesses["Holding"], pages=[f"Depot {number}" for number in range(130)]
    )
    shown = await offered(rig, "carol", optional_scopes=BUSINESS)
    assert sum(name.startswith("Depot") for name in shown) == 130
    # A list that leads round in a circle ends too.
    body = {"data": [{"id": "1"}], "paging": {"next": "x", "cursors": {"after": "again"}}}
    circle = {"platform": "facebook", "endpoint": "GET */me/businesses", "status": 200, "body": body}
    await rig.sandbox.command("faults", times=0, **circle)
    await offered(rig, "carol", optional_scopes=BUSINESS)
    calls = await rig.sandbox.ledger("call", platform="facebook", path="/v25.0/me/businesses")
    assert len(calls) <= 21


# --- what is asked for


async def test_optional_permission_is_asked_for_only_where_somebody_wants_it(rig: Rig) -> None:
    assert asked(await rig.started("facebook")) == set(PROVIDERS["facebook"].scopes)
    assert asked(await rig.started("facebook", optional_scopes=BUSINESS)) == {*PROVIDERS["facebook"].scopes, BUSINESS}
    wanted = rig.providers.variables | {"FACEBOOK_OPTIONAL_SCOPES": (BUSINESS,)}
    flows = assembled(rig.pool, Vault(LocalRing(KEYS)), replace(rig.providers, variables=wanted)).flows
    begun = await flows.start("facebook", "", DEFAULT_TENANT, Actor("key:tests"), "/")
    assert BUSINESS in asked((await flows.open("facebook", begun.ticket, "a browser")).address)
    wrong = rig.providers.variables | {"FACEBOOK_OPTIONAL_SCOPES": ("user_posts",)}
    flows = assembled(rig.pool, Vault(LocalRing(KEYS)), replace(rig.providers, variables=wrong)).flows
    with pytest.raises(
        PlatformError,
        match="FACEBOOK_OPTIONAL_SCOPES may name business_management, instagram_manage_contents, and not user_posts",
    ):
        await flows.start("facebook", "", DEFAULT_TENANT, TESTS, "/")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_optional_permission_that_is_none_is_refused_with_those_there_are(rig: Rig, platform: str) -> None:
    instance = {"instance": "social.example"} if platform == "mastodon" else {}
    for wrong in ("user_posts", "email user_posts", "<script>", "x" * 3000):
        query = {"optional_scopes": wrong, **instance}
        status, answer = await rig.api("GET", f"/api/auth/{platform}", params=query)
        if wrong == "x" * 3000:
            assert status == 201, "nothing of it can be a scope"
            continue
        error = answer["error"]
        assert (status, error["code"], error["retryable"]) == (400, "invalid_request", False), answer
        known = ", ".join(PROVIDERS[platform].optional_scopes) or "none"
        assert f"optional_scopes may name {known} here" in answer["error"]["message"]


@pytest.mark.parametrize("platform", SCOPED)
async def test_answer_that_does_not_say_what_was_granted_means_as_asked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    query = await rig.consented(platform)
    answering(monkeypatch, lambda content: _without(content, ("scope", "permissions")))
    outcome = await rig.back(platform, query)
    assert outcome["ok"], outcome
    found = await rig.shown(outcome["connections"][0])
    assert set(found["scopes"]) == set(PROVIDERS[platform].scopes)


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _without(item, names) for name, item in value.items() if name not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("platform", SCOPED)
async def test_scopes_are_read_in_every_form_on_every_platform(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def written(value: Any, joint: str) -> Any:
        scopes = value if isinstance(value, list) else value.replace(",", " ").split()
        return {"list": scopes, "json": json.dumps(scopes)}.get(joint, joint.join(scopes))

    def change(value: Any, joint: str) -> Any:
        if isinstance(value, dict):
            named = ("scope", "permissions")
            return {
                name: written(item, joint) if name in named else change(item, joint) for name, item in value.items()
            }
        return [change(item, joint) for item in value] if isinstance(value, list) else value

    for joint in (" ", ",", "+", ", ", "list", "json"):
        query = await rig.consented(platform)
        with monkeypatch.context() as patch:
            answering(patch, lambda content, joint=joint: change(content, joint))
            outcome = await rig.back(platform, query)
        assert outcome["ok"], (joint, outcome)
        scopes = (await rig.shown(outcome["connections"][0]))["scopes"]
        assert set(scopes) == set(PROVIDERS[platform].scopes), joint


async def test_flow_that_the_previous_release_began_asks_for_the_usual_scopes(rig: Rig) -> None:
    status, begun = await rig.api("GET", "/api/auth/x")
    assert status == 201
    await rig.raw("UPDATE oauth_states SET scopes = NULL")
    address = await rig.pressed(begun["open"])
    assert asked(address) == set(PROVIDERS["x"].scopes)
    query = await rig.sandbox.consent(address, "approve", "shop")
    assert isinstance(query, dict)
    assert (await rig.back("x", query))["ok"]


async def test_one_odd_page_takes_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(content: dict[str, Any]) -> dict[str, Any]:
        pages = content.get("data")
        if isinstance(pages, list) and pages and isinstance(pages[0], dict) and "tasks" in pages[0]:
            odd = {"id": "77", "name": "Odd", "access_token": "t", "tasks": 5, "instagram_business_account": "x"}
            return content | {"data": [odd, 5, None, *pages], "paging": "x"}
        return content

    answering(monkeypatch, changed)
    shown = await offered(rig, "alice")
    assert len(shown) >= 2
    assert "Odd" in shown
